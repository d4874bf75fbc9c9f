//! What a person has.

use super::ReadModels;
use crate::error::QueryError;
use chrono::{DateTime, Utc};
use ledger_core::{Account, Asset, PersonId};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

/// The balances of a person's wallet, in thousandths of a coin.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct WalletRow {
    pub person: Uuid,
    /// `COIN/3`.
    pub asset: String,
    pub purchased_milli: i64,
    pub bonus_milli: i64,
    pub earnings_milli: i64,
    /// How far the read models were; absent before the journal's beginning.
    pub as_of_revision: Option<i64>,
}

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
    /// What `person` has; zeros for somebody whom the ledger does not know.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn wallet(&self, person: PersonId) -> Result<WalletRow, QueryError> {
        let accounts =
            [Account::UserPurchased(person), Account::UserBonus(person), Account::HostEarnings(person)]
                .map(|account| account.to_string());
        // Their normal side is credit: what the owner has is a negative balance.
        let row = sqlx::query_as(
            "SELECT $1 AS person, $2 AS asset,
                    coalesce(sum(-balance_minor) FILTER (WHERE account = $3[1]), 0)::bigint AS purchased_milli,
                    coalesce(sum(-balance_minor) FILTER (WHERE account = $3[2]), 0)::bigint AS bonus_milli,
                    coalesce(sum(-balance_minor) FILTER (WHERE account = $3[3]), 0)::bigint AS earnings_milli,
                    (SELECT revision FROM read.checkpoint) AS as_of_revision
             FROM read.balances WHERE account = ANY($3) AND asset = $2",
        )
        .bind(person.0)
        .bind(Asset::COIN.to_string())
        .bind(&accounts[..])
        .fetch_one(&self.pool)
        .await?;
        Ok(row)
    }

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
