//! Gifts that were sent.

use super::{Cursor, Page, ReadModels, page_size};
use crate::error::QueryError;
use chrono::{DateTime, Utc};
use ledger_core::PersonId;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

/// One sending of a gift, and who earned how much of it.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct GiftRow {
    pub sending: Uuid,
    pub revision: i64,
    pub gift: Uuid,
    pub sender: Uuid,
    pub host: Uuid,
    /// The call that it was sent in.
    pub call: Option<Uuid>,
    pub price_milli: i64,
    pub host_milli: i64,
    pub agency_milli: i64,
    pub platform_milli: i64,
    pub sent_at: DateTime<Utc>,
}

/// All gifts that a host ever received.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct HostGiftTotals {
    pub host: Uuid,
    pub gift_count: i64,
    /// What they cost their senders.
    pub value_milli: i64,
    pub revision: i64,
}

impl ReadModels {
    /// The gifts that `host` received, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn gifts_received(
        &self,
        host: PersonId,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<GiftRow>, QueryError> {
        let limit = page_size(limit);
        let rows: Vec<GiftRow> = sqlx::query_as(
            "SELECT * FROM read.gifts_sent WHERE host = $1 AND revision < $2
             ORDER BY revision DESC LIMIT $3",
        )
        .bind(host.0)
        .bind(Cursor::parse(before)?.revision)
        .bind(limit + 1)
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::of(rows, limit, |row| Cursor::at(row.revision)))
    }

    /// Count and value of all gifts that `host` received; zeros when there is none.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn gift_totals(&self, host: PersonId) -> Result<HostGiftTotals, QueryError> {
        let row = sqlx::query_as("SELECT * FROM read.host_gift_totals WHERE host = $1")
            .bind(host.0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.unwrap_or(HostGiftTotals { host: host.0, gift_count: 0, value_milli: 0, revision: 0 }))
    }
}
