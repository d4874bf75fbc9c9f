//! Money that fits no open case and waits for a person.

use super::{Cursor, Page, ReadModels, page_size};
use crate::error::QueryError;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

/// One case in suspense.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct UnmatchedRow {
    pub revision: i64,
    pub recorded_at: DateTime<Utc>,
    pub gateway: String,
    /// The gateway's name of the payment or the refund.
    pub payment_ref: String,
    pub purchase: Option<Uuid>,
    /// `unknown_order`, `second_payment`, `amount_mismatch`, `currency_mismatch`,
    /// `refund_unmatched`, or `refund_uncovered`: the part of a refund whose coins were spent.
    pub cause: String,
    /// `in` or `out`.
    pub direction: String,
    pub amount_minor: i64,
    pub amount_asset: String,
}

impl ReadModels {
    /// The cases, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn suspense_cases(
        &self,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<UnmatchedRow>, QueryError> {
        let limit = page_size(limit);
        let rows: Vec<UnmatchedRow> = sqlx::query_as(
            "SELECT * FROM read.unmatched_money WHERE revision < $1 ORDER BY revision DESC LIMIT $2",
        )
        .bind(Cursor::parse(before)?.revision)
        .bind(limit + 1)
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::of(rows, limit, |row| Cursor::at(row.revision)))
    }
}
