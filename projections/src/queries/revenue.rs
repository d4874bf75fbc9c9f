//! Revenue by day and source.

use super::ReadModels;
use crate::error::QueryError;
use chrono::NaiveDate;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

/// What one source brought on one day (in UTC), and who earned it.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct RevenueRow {
    pub day: NaiveDate,
    /// `call_chat`, `call_voice`, `call_video` or `gift`.
    pub source: String,
    pub gross_milli: i64,
    pub host_milli: i64,
    pub agency_milli: i64,
    pub platform_milli: i64,
    /// How many charges were split: increments of calls, or gifts.
    pub charge_count: i64,
    /// The last split that counts.
    pub revision: i64,
}

impl ReadModels {
    /// The revenue of the days `from` to `to`, both included, in their order.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn revenue_by_day(
        &self,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<RevenueRow>, QueryError> {
        let rows = sqlx::query_as(
            "SELECT * FROM read.revenue_by_day WHERE day BETWEEN $1 AND $2 ORDER BY day, source",
        )
        .bind(from)
        .bind(to)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}
