//! What is on offer: coin plans, gift prices, hosts' prices; and who belongs to an agency.

use super::ReadModels;
use crate::error::QueryError;
use chrono::{DateTime, Utc};
use ledger_core::PersonId;
use serde::Serialize;
use sqlx::FromRow;
use uuid::Uuid;

/// What a coin plan gives and costs now.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct CoinPlanRow {
    pub plan: Uuid,
    pub coins_milli: i64,
    pub bonus_milli: i64,
    pub bonus_valid_seconds: Option<i64>,
    pub price_minor: i64,
    pub price_asset: String,
    /// Whether it is sold.
    pub active: bool,
    pub revision: i64,
}

/// What a gift costs now.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct GiftPriceRow {
    pub gift: Uuid,
    /// Absent when it was withdrawn from the catalogue.
    pub price_milli: Option<i64>,
    pub revision: i64,
}

/// What a host asks per minute now.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct HostRateRow {
    pub host: Uuid,
    /// `chat`, `voice` or `video`.
    pub medium: String,
    /// Absent when the host does not offer the medium any more.
    pub price_milli_per_minute: Option<i64>,
    pub revision: i64,
}

/// A host's time with an agency.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct AgencyMemberRow {
    pub host: Uuid,
    pub joined_revision: i64,
    pub agency: Uuid,
    pub joined_at: DateTime<Utc>,
    pub left_at: Option<DateTime<Utc>>,
    pub revision: i64,
}

impl ReadModels {
    /// All plans, cheapest first; those that are no longer sold too.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn coin_plans(&self) -> Result<Vec<CoinPlanRow>, QueryError> {
        let rows = sqlx::query_as("SELECT * FROM read.coin_plans ORDER BY price_asset, price_minor, plan")
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }

    /// The gifts that can be sent, cheapest first.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn gift_prices(&self) -> Result<Vec<GiftPriceRow>, QueryError> {
        let rows = sqlx::query_as(
            "SELECT * FROM read.gift_prices WHERE price_milli IS NOT NULL ORDER BY price_milli, gift",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }

    /// What the `hosts` offer, a row a host and medium, in the order of the ids.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn host_rates(&self, hosts: &[PersonId]) -> Result<Vec<HostRateRow>, QueryError> {
        let hosts: Vec<Uuid> = hosts.iter().map(|host| host.0).collect();
        let rows = sqlx::query_as(
            "SELECT * FROM read.host_rates
             WHERE host = ANY($1) AND price_milli_per_minute IS NOT NULL ORDER BY host, medium",
        )
        .bind(hosts)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}
