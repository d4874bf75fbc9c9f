//! Purchases of coin plans.

use super::{Cursor, Page, ReadModels, page_size};
use crate::error::QueryError;
use chrono::{DateTime, Utc};
use ledger_core::{PersonId, PurchaseId};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

/// A purchase and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct PurchaseRow {
    pub purchase: Uuid,
    pub opened_revision: i64,
    pub user: Uuid,
    pub plan: Uuid,
    pub gateway: String,
    pub coins_milli: i64,
    pub bonus_milli: i64,
    pub price_minor: i64,
    pub price_asset: String,
    /// `opened`, `failed`, `captured`, `partly_refunded` or `refunded`.
    pub status: String,
    /// The gateway's name of the last payment.
    pub payment_ref: Option<String>,
    /// Why the last payment failed.
    pub fail_reason: Option<String>,
    pub paid_minor: i64,
    pub refunded_minor: i64,
    pub refunded_coins_milli: i64,
    pub opened_at: DateTime<Utc>,
    pub captured_at: Option<DateTime<Utc>>,
    pub failed_at: Option<DateTime<Utc>>,
    /// The last refund.
    pub refunded_at: Option<DateTime<Utc>>,
    pub revision: i64,
}

impl ReadModels {
    /// # Errors
    /// When Postgres fails.
    pub async fn purchase(&self, purchase: PurchaseId) -> Result<Option<PurchaseRow>, QueryError> {
        let row = sqlx::query_as("SELECT * FROM read.purchases WHERE purchase = $1")
            .bind(purchase.0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row)
    }

    /// The purchases of `user`, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn purchases_of(
        &self,
        user: PersonId,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<PurchaseRow>, QueryError> {
        let limit = page_size(limit);
        let rows: Vec<PurchaseRow> = sqlx::query_as(
            "SELECT * FROM read.purchases WHERE \"user\" = $1 AND opened_revision < $2
             ORDER BY opened_revision DESC LIMIT $3",
        )
        .bind(user.0)
        .bind(Cursor::parse(before)?.revision)
        .bind(limit + 1)
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::of(rows, limit, |row| Cursor::at(row.opened_revision)))
    }
}
