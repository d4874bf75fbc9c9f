//! Bonus coins that a person has. Balances are asked of the ledger itself.

use super::ReadModels;
use crate::error::QueryError;
use chrono::{DateTime, Utc};
use ledger_core::PersonId;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

/// Bonus coins that came in together.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct BonusLotRow {
    pub lot: Uuid,
    pub user: Uuid,
    /// `plan`, `promotion` or `adjustment`.
    pub origin: String,
    pub purchase: Option<Uuid>,
    pub granted_milli: i64,
    pub remaining_milli: i64,
    pub granted_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    /// When what was left went back to the platform.
    pub expired_at: Option<DateTime<Utc>>,
    pub revision: i64,
}

impl ReadModels {
    /// The bonus lots of `user` that are not spent, soonest expiry first.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn bonus_lots_of(&self, user: PersonId) -> Result<Vec<BonusLotRow>, QueryError> {
        let rows = sqlx::query_as(
            "SELECT * FROM read.bonus_lots WHERE \"user\" = $1 AND remaining_milli > 0
             ORDER BY expires_at NULLS LAST, lot",
        )
        .bind(user.0)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}
