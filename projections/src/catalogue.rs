//! What is on offer: coin plans, gift prices, hosts' prices.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{Place, ReadModel, ReadModels, code, put};
use ledger_core::event::CoinPlanSet;
use ledger_core::{Event, PersonId};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use std::collections::BTreeMap;
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE coin_plans (
    plan uuid PRIMARY KEY,
    coins_milli bigint NOT NULL,
    bonus_milli bigint NOT NULL,
    bonus_valid_seconds bigint,
    price_minor bigint NOT NULL,
    price_asset text NOT NULL,
    active boolean NOT NULL,
    revision bigint NOT NULL
);

-- A gift without a price was withdrawn. Its row stays, so that verification knows of it.
CREATE TABLE gift_prices (
    gift uuid PRIMARY KEY,
    price_milli bigint,
    revision bigint NOT NULL
);

CREATE TABLE host_rates (
    host uuid NOT NULL,
    medium text NOT NULL CHECK (medium IN ('chat', 'voice', 'video')),
    price_milli_per_minute bigint,
    revision bigint NOT NULL,
    PRIMARY KEY (host, medium)
);";

const WRITE_PLANS: &str = "
    INSERT INTO coin_plans SELECT * FROM json_populate_recordset(NULL::coin_plans, $1::json)
    ON CONFLICT (plan) DO UPDATE SET
        coins_milli = EXCLUDED.coins_milli, bonus_milli = EXCLUDED.bonus_milli,
        bonus_valid_seconds = EXCLUDED.bonus_valid_seconds, price_minor = EXCLUDED.price_minor,
        price_asset = EXCLUDED.price_asset, active = EXCLUDED.active, revision = EXCLUDED.revision";

const WRITE_GIFT_PRICES: &str = "
    INSERT INTO gift_prices SELECT * FROM json_populate_recordset(NULL::gift_prices, $1::json)
    ON CONFLICT (gift) DO UPDATE SET price_milli = EXCLUDED.price_milli, revision = EXCLUDED.revision";

const WRITE_HOST_RATES: &str = "
    INSERT INTO host_rates SELECT * FROM json_populate_recordset(NULL::host_rates, $1::json)
    ON CONFLICT (host, medium) DO UPDATE SET
        price_milli_per_minute = EXCLUDED.price_milli_per_minute, revision = EXCLUDED.revision";

/// The offers that a batch of events sets.
#[derive(Default)]
pub(crate) struct Catalogue {
    plans: BTreeMap<Uuid, CoinPlanRow>,
    gift_prices: BTreeMap<Uuid, GiftPriceRow>,
    host_rates: BTreeMap<(Uuid, String), HostRateRow>,
}

impl ReadModel for Catalogue {
    const TABLES: &'static str = TABLES;

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        let revision = place.revision;
        match place.event() {
            Event::CoinPlanSet(it) => _ = self.plans.insert(it.plan.0, plan(it, revision)),
            Event::GiftPriceSet(it) => {
                let row = GiftPriceRow { gift: it.gift.0, price_milli: it.price_milli, revision };
                self.gift_prices.insert(row.gift, row);
            }
            Event::HostRateSet(it) => {
                let (host, medium) = (it.host.0, code(it.medium));
                let price_milli_per_minute = it.price_milli_per_minute;
                let row = HostRateRow { host, medium: medium.clone(), price_milli_per_minute, revision };
                self.host_rates.insert((host, medium), row);
            }
            _ => {}
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        put(connection, WRITE_PLANS, self.plans.values()).await?;
        put(connection, WRITE_GIFT_PRICES, self.gift_prices.values()).await?;
        put(connection, WRITE_HOST_RATES, self.host_rates.values()).await
    }
}

fn plan(it: &CoinPlanSet, revision: i64) -> CoinPlanRow {
    CoinPlanRow {
        plan: it.plan.0,
        coins_milli: it.coins_milli,
        bonus_milli: it.bonus_milli,
        bonus_valid_seconds: it.bonus_valid_seconds.map(i64::from),
        price_minor: it.price_minor,
        price_asset: it.price_asset.to_string(),
        active: it.active,
        revision,
    }
}

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

impl ReadModels {
    /// All plans, cheapest first; those that are no longer sold too.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn coin_plans(&self) -> Result<Vec<CoinPlanRow>, QueryError> {
        let rows = sqlx::query_as("SELECT * FROM read.coin_plans ORDER BY price_asset, price_minor, plan")
            .fetch_all(self.pool()?)
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
        .fetch_all(self.pool()?)
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
        .fetch_all(self.pool()?)
        .await?;
        Ok(rows)
    }
}
