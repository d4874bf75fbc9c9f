//! What a payout is worth in money, and the tax that is withheld from it: every rate that was set.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{Cursor, Page, Place, ReadModel, ReadModels, bps, page_size, put};
use chrono::{DateTime, Utc};
use ledger_core::{Event, Period, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::ToSchema;

const TABLES: &str = "
CREATE TABLE payout_rates (
    revision bigint PRIMARY KEY,
    asset text NOT NULL,
    rate text NOT NULL,
    effective_from timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL
);
CREATE TABLE tax_rates (
    revision bigint PRIMARY KEY,
    asset text NOT NULL,
    tax_bps integer NOT NULL,
    effective_from timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL
);";

const WRITE_RATES: &str =
    "INSERT INTO payout_rates SELECT * FROM json_populate_recordset(NULL::payout_rates, $1::json)";

const WRITE_TAXES: &str =
    "INSERT INTO tax_rates SELECT * FROM json_populate_recordset(NULL::tax_rates, $1::json)";

/// The rates that a batch of events sets.
#[derive(Default)]
pub(crate) struct PayoutRates {
    rates: Vec<PayoutRateRow>,
    taxes: Vec<TaxRateRow>,
}

impl ReadModel for PayoutRates {
    const TABLES: &'static str = TABLES;

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        let (revision, recorded_at) = (place.revision, place.at);
        let actor = || place.recorded.metadata.actor.to_string();
        match place.event() {
            Event::PayoutRateSet(it) => self.rates.push(PayoutRateRow {
                revision,
                asset: it.asset.to_string(),
                rate: it.rate.to_string(),
                effective_from: it.effective_from.to_utc(),
                recorded_at,
                actor: actor(),
            }),
            Event::TaxRateSet(it) => self.taxes.push(TaxRateRow {
                revision,
                asset: it.asset.to_string(),
                tax_bps: bps(it.tax_bps),
                effective_from: it.effective_from.to_utc(),
                recorded_at,
                actor: actor(),
            }),
            _ => {}
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        put(connection, WRITE_RATES, self.rates.iter()).await?;
        put(connection, WRITE_TAXES, self.taxes.iter()).await
    }
}

/// What a coin is paid out at, from a moment on.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct PayoutRateRow {
    pub revision: i64,
    pub asset: String,
    /// Units of the asset for one coin, as a decimal text.
    pub rate: String,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub effective_from: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub recorded_at: DateTime<Utc>,
    /// Who set it: `person:<uuid>` or `system`.
    pub actor: String,
}

/// The tax on payouts, from a moment on.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct TaxRateRow {
    pub revision: i64,
    pub asset: String,
    /// The part of a payout that is withheld, in basis points.
    pub tax_bps: i32,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub effective_from: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub recorded_at: DateTime<Utc>,
    /// Who set it: `person:<uuid>` or `system`.
    pub actor: String,
}

impl ReadModels {
    /// The payout rates that were set, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn payout_rates(
        &self,
        period: Period,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<PayoutRateRow>, QueryError> {
        let limit = page_size(limit);
        let mut query = QueryBuilder::new("SELECT * FROM read.payout_rates WHERE revision < ");
        self.push_page(&mut query, "payout_rates", period, before, limit).await?;
        let rows: Vec<PayoutRateRow> = query.build_query_as().fetch_all(self.pool()?).await?;
        Ok(Page::of(rows, limit, "payout_rates", |row| row.revision))
    }

    /// The taxes that were set, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn tax_rates(
        &self,
        period: Period,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<TaxRateRow>, QueryError> {
        let limit = page_size(limit);
        let mut query = QueryBuilder::new("SELECT * FROM read.tax_rates WHERE revision < ");
        self.push_page(&mut query, "tax_rates", period, before, limit).await?;
        let rows: Vec<TaxRateRow> = query.build_query_as().fetch_all(self.pool()?).await?;
        Ok(Page::of(rows, limit, "tax_rates", |row| row.revision))
    }

    async fn push_page(
        &self,
        query: &mut QueryBuilder<Postgres>,
        list: &'static str,
        period: Period,
        before: Option<&str>,
        limit: i64,
    ) -> Result<(), QueryError> {
        let before = Cursor::read_or(list, before, i64::MAX)?;
        let (first, end) = self.revisions(period).await?;
        query.push_bind(before.min(end)).push(" AND revision >= ").push_bind(first);
        query.push(" ORDER BY revision DESC LIMIT ").push_bind(limit + 1);
        Ok(())
    }
}
