//! Commission: the rates, and every split.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{Cursor, Page, Place, ReadModel, ReadModels, bps, page_size, put, scope};
use chrono::{DateTime, Utc};
use ledger_core::event::{CallChargeReturned, CommissionScope, CommissionSplit, SplitSource};
use ledger_core::{AgencyId, Event, PersonId, Timestamp};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE read.commission_splits (
    revision bigint PRIMARY KEY,
    recorded_at timestamptz NOT NULL,
    source text NOT NULL CHECK (source IN ('call', 'gift')),
    source_id uuid NOT NULL,
    payer uuid NOT NULL,
    host uuid NOT NULL,
    agency uuid,
    commission_scope text NOT NULL,
    host_bps integer NOT NULL,
    agency_bps integer NOT NULL,
    gross_milli bigint NOT NULL,
    host_milli bigint NOT NULL,
    agency_milli bigint NOT NULL,
    platform_milli bigint NOT NULL,
    available_from timestamptz NOT NULL,
    CHECK (gross_milli = host_milli + agency_milli + platform_milli)
);
CREATE INDEX splits_of_host ON read.commission_splits (host, revision);
CREATE INDEX splits_of_agency ON read.commission_splits (agency, revision) WHERE agency IS NOT NULL;
CREATE INDEX splits_of_source ON read.commission_splits (source_id, revision);

CREATE TABLE read.commission_rates (
    revision bigint PRIMARY KEY,
    scope text NOT NULL CHECK (scope IN ('global', 'agency', 'host')),
    scope_id uuid,
    -- Both are absent where the rate of the scope was cleared.
    host_bps integer,
    agency_bps integer,
    effective_from timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL,
    CHECK ((scope = 'global') = (scope_id IS NULL)),
    CHECK ((host_bps IS NULL) = (agency_bps IS NULL))
);";

const WRITE_RATES: &str = "
    INSERT INTO read.commission_rates SELECT * FROM json_populate_recordset(NULL::read.commission_rates, $1::json)";

/// The splits that a batch of events makes, and the rates that it sets.
#[derive(Default)]
pub(crate) struct Commission {
    splits: Vec<SplitRow>,
    rates: Vec<CommissionRateRow>,
}

impl ReadModel for Commission {
    const TABLES: &'static str = TABLES;

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        match place.event() {
            Event::CommissionSplit(it) => self.splits.push(split(it, place)),
            Event::CallChargeReturned(it) => self.splits.push(returned(it, place)),
            Event::CommissionRateSet(it) => {
                let shares = Some((bps(it.host_bps), bps(it.agency_bps)));
                self.rates.push(rate(place, it.scope, shares, it.effective_from));
            }
            Event::CommissionRateCleared(it) => {
                self.rates.push(rate(place, it.scope, None, it.effective_from));
            }
            _ => {}
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        write_splits(connection, &self.splits).await?;
        put(connection, WRITE_RATES, self.rates.iter()).await
    }
}

fn split(it: &CommissionSplit, place: &Place<'_>) -> SplitRow {
    let (source, source_id) = match it.source {
        SplitSource::Call(id) => ("call", id.0),
        SplitSource::Gift(id) => ("gift", id.0),
    };
    SplitRow {
        revision: place.revision,
        recorded_at: place.at,
        source: source.to_owned(),
        source_id,
        payer: it.payer.0,
        host: it.host.0,
        agency: it.commission.agency.map(|id| id.0),
        commission_scope: scope(it.commission.scope).0.to_owned(),
        host_bps: bps(it.commission.host_bps),
        agency_bps: bps(it.commission.agency_bps),
        gross_milli: it.gross_milli,
        host_milli: it.host_milli,
        agency_milli: it.agency_milli,
        platform_milli: it.platform_milli,
        available_from: it.available_from.to_utc(),
    }
}

/// A split that is taken back: the same shares, negative.
fn returned(it: &CallChargeReturned, place: &Place<'_>) -> SplitRow {
    SplitRow {
        revision: place.revision,
        recorded_at: place.at,
        source: "call".to_owned(),
        source_id: it.call.0,
        payer: it.payer.0,
        host: it.host.0,
        agency: it.commission.agency.map(|id| id.0),
        commission_scope: scope(it.commission.scope).0.to_owned(),
        host_bps: bps(it.commission.host_bps),
        agency_bps: bps(it.commission.agency_bps),
        gross_milli: -it.returned_milli,
        host_milli: -it.host_milli,
        agency_milli: -it.agency_milli,
        platform_milli: -it.platform_milli,
        available_from: place.at,
    }
}

fn rate(
    place: &Place<'_>,
    of: CommissionScope,
    shares: Option<(i32, i32)>,
    effective_from: Timestamp,
) -> CommissionRateRow {
    let (scope, scope_id) = scope(of);
    CommissionRateRow {
        revision: place.revision,
        scope: scope.to_owned(),
        scope_id,
        host_bps: shares.map(|(host, _)| host),
        agency_bps: shares.map(|(_, agency)| agency),
        effective_from: effective_from.to_utc(),
        recorded_at: place.at,
        actor: place.recorded.metadata.actor.to_string(),
    }
}

async fn write_splits(connection: &mut PgConnection, rows: &[SplitRow]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO read.commission_splits (revision, recorded_at, source, source_id, payer, host, agency,
                                             commission_scope, host_bps, agency_bps, gross_milli, host_milli,
                                             agency_milli, platform_milli, available_from)
         SELECT * FROM UNNEST($1::bigint[], $2::timestamptz[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[],
                              $7::uuid[], $8::text[], $9::integer[], $10::integer[], $11::bigint[],
                              $12::bigint[], $13::bigint[], $14::bigint[], $15::timestamptz[])",
    )
    .bind(rows.iter().map(|row| row.revision).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.recorded_at).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.source.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.source_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.payer).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.host).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.agency).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.commission_scope.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.host_bps).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.agency_bps).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.gross_milli).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.host_milli).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.agency_milli).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.platform_milli).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.available_from).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// A rate that was set or (without shares) cleared, from a moment on.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct CommissionRateRow {
    pub revision: i64,
    /// `global`, `agency` or `host`.
    pub scope: String,
    /// The agency or the host.
    pub scope_id: Option<Uuid>,
    pub host_bps: Option<i32>,
    pub agency_bps: Option<i32>,
    pub effective_from: DateTime<Utc>,
    pub recorded_at: DateTime<Utc>,
    /// Who set it: `person:<uuid>` or `system`.
    pub actor: String,
}

/// One split of the commission log.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct SplitRow {
    pub revision: i64,
    pub recorded_at: DateTime<Utc>,
    /// `call` or `gift`.
    pub source: String,
    /// The call, or the sending of the gift.
    pub source_id: Uuid,
    pub payer: Uuid,
    pub host: Uuid,
    pub agency: Option<Uuid>,
    /// Where the rate was set: `global`, `agency` or `host`.
    pub commission_scope: String,
    pub host_bps: i32,
    pub agency_bps: i32,
    pub gross_milli: i64,
    pub host_milli: i64,
    pub agency_milli: i64,
    pub platform_milli: i64,
    pub available_from: DateTime<Utc>,
}

/// Which splits; all that is absent matches everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommissionFilter {
    pub host: Option<PersonId>,
    pub agency: Option<AgencyId>,
    /// The call, or the sending of the gift.
    pub source_id: Option<Uuid>,
}

impl ReadModels {
    /// The rates that were set or cleared, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn commission_rates(
        &self,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<CommissionRateRow>, QueryError> {
        let limit = page_size(limit);
        let rows: Vec<CommissionRateRow> = sqlx::query_as(
            "SELECT * FROM read.commission_rates WHERE revision < $1 ORDER BY revision DESC LIMIT $2",
        )
        .bind(Cursor::read_or("commission_rates", before, i64::MAX)?)
        .bind(limit + 1)
        .fetch_all(self.pool()?)
        .await?;
        Ok(Page::of(rows, limit, "commission_rates", |row| row.revision))
    }

    /// The splits, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn commission_log(
        &self,
        filter: CommissionFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<SplitRow>, QueryError> {
        let limit = page_size(limit);
        let before = Cursor::read_or("commission_log", before, i64::MAX)?;
        let mut query =
            QueryBuilder::<Postgres>::new("SELECT * FROM read.commission_splits WHERE revision < ");
        query.push_bind(before);
        if let Some(host) = filter.host {
            query.push(" AND host = ").push_bind(host.0);
        }
        if let Some(agency) = filter.agency {
            query.push(" AND agency = ").push_bind(agency.0);
        }
        if let Some(source_id) = filter.source_id {
            query.push(" AND source_id = ").push_bind(source_id);
        }
        query.push(" ORDER BY revision DESC LIMIT ").push_bind(limit + 1);
        let rows: Vec<SplitRow> = query.build_query_as().fetch_all(self.pool()?).await?;
        Ok(Page::of(rows, limit, "commission_log", |row| row.revision))
    }
}
