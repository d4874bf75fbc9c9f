//! Withdrawals of hosts.

use super::{Cursor, Page, ReadModels, page_size};
use crate::error::QueryError;
use chrono::{DateTime, Utc};
use ledger_core::PersonId;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

/// A withdrawal and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct WithdrawalRow {
    pub withdrawal: Uuid,
    pub requested_revision: i64,
    pub host: Uuid,
    pub coins_milli: i64,
    /// Units of the payout asset for one coin, as a decimal text.
    pub rate: String,
    pub payout_minor: i64,
    pub payout_asset: String,
    /// `requested`, `approved`, `rejected`, `cancelled`, `paid` or `failed`.
    pub status: String,
    /// What the bank or gateway calls the payout.
    pub payout_ref: Option<String>,
    /// Why it was rejected or failed.
    pub reason: Option<String>,
    pub requested_at: DateTime<Utc>,
    pub approved_at: Option<DateTime<Utc>>,
    pub rejected_at: Option<DateTime<Utc>>,
    pub cancelled_at: Option<DateTime<Utc>>,
    pub paid_at: Option<DateTime<Utc>>,
    pub failed_at: Option<DateTime<Utc>>,
    pub revision: i64,
}

/// Which withdrawals; all that is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WithdrawalFilter {
    pub status: Option<String>,
    pub host: Option<PersonId>,
}

impl ReadModels {
    /// The withdrawals, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn withdrawals(
        &self,
        filter: &WithdrawalFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<WithdrawalRow>, QueryError> {
        let limit = page_size(limit);
        let rows: Vec<WithdrawalRow> = sqlx::query_as(
            "SELECT * FROM read.withdrawals
             WHERE requested_revision < $1 AND ($2::text IS NULL OR status = $2)
               AND ($3::uuid IS NULL OR host = $3)
             ORDER BY requested_revision DESC LIMIT $4",
        )
        .bind(Cursor::parse(before)?.revision)
        .bind(filter.status.as_deref())
        .bind(filter.host.map(|host| host.0))
        .bind(limit + 1)
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::of(rows, limit, |row| Cursor::at(row.requested_revision)))
    }
}
