//! Calls, running and past.

use super::ReadModels;
use crate::error::QueryError;
use chrono::{DateTime, Utc};
use ledger_core::CallId;
use serde::Serialize;
use sqlx::FromRow;
use uuid::Uuid;

/// A call from acceptance to end.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct CallRow {
    pub call: Uuid,
    pub started_revision: i64,
    pub payer: Uuid,
    pub host: Uuid,
    /// `chat`, `voice` or `video`.
    pub medium: String,
    pub price_milli_per_minute: i64,
    pub increment_seconds: i64,
    pub free_seconds: i64,
    pub grace_seconds: i64,
    /// Where the commission rate was set: `global`, `agency` or `host`.
    pub commission_scope: String,
    pub host_bps: i32,
    pub agency_bps: i32,
    pub agency: Option<Uuid>,
    pub started_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    /// `running`, `paused` or `ended`.
    pub status: String,
    /// When a paused call is lost.
    pub lost_at: Option<DateTime<Utc>>,
    /// `hung_up`, `exhausted`, `lost` or `stopped`.
    pub end_reason: Option<String>,
    pub ended_by: Option<Uuid>,
    /// Up to the last pause or the end.
    pub connected_ms: i64,
    pub ticks: i64,
    pub charged_total_milli: i64,
    pub host_earned_milli: i64,
    pub agency_earned_milli: i64,
    pub platform_earned_milli: i64,
    /// The last event of the call.
    pub revision: i64,
}

impl ReadModels {
    /// # Errors
    /// When Postgres fails.
    pub async fn call(&self, call: CallId) -> Result<Option<CallRow>, QueryError> {
        let row = sqlx::query_as("SELECT * FROM read.calls WHERE call = $1")
            .bind(call.0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row)
    }

    /// Those of `calls` that have begun, in no order of meaning.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn calls(&self, calls: &[CallId]) -> Result<Vec<CallRow>, QueryError> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query_as("SELECT * FROM read.calls WHERE call = ANY($1)")
            .bind(calls.iter().map(|call| call.0).collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }
}
