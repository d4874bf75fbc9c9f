//! Commission: the rates, and every split.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{
    CopyRow, Cursor, Fields, Page, Place, ReadModel, ReadModels, append, bps, page_size, pg_revision, put, scope, push_amounts,
};
use chrono::{DateTime, Utc};
use ledger_core::event::{CallChargeReturned, CommissionScope, CommissionSplit, OrderRefunded, SplitSource};
use event_store::ReadError;
use ledger_core::{Amounts, AgencyId, Event, Period, PersonId, Recorded, Timestamp, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
-- Who earned by a split, and what was split. The payer, the shares and the rule stand in the journal.
CREATE TABLE commission_splits (
    revision bigint PRIMARY KEY,
    -- Negative where a split was taken back.
    gross_milli bigint NOT NULL,
    host uuid NOT NULL,
    agency uuid
);
CREATE INDEX splits_of_host ON commission_splits (host, revision);
CREATE INDEX splits_of_agency ON commission_splits (agency, revision) WHERE agency IS NOT NULL;

CREATE TABLE commission_rates (
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
    INSERT INTO commission_rates SELECT * FROM json_populate_recordset(NULL::commission_rates, $1::json)";

/// The splits that a batch of events makes, and the rates that it sets.
#[derive(Default)]
pub(crate) struct Commission {
    splits: Vec<SplitPlace>,
    rates: Vec<CommissionRateRow>,
}

impl ReadModel for Commission {
    const TABLES: &'static str = TABLES;

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        match place.event() {
            Event::CommissionSplit(it) => self.splits.push(SplitPlace {
                revision: place.revision,
                gross_milli: it.gross_milli,
                host: it.host.0,
                agency: it.commission.agency.map(|id| id.0),
            }),
            Event::CallChargeReturned(it) => self.splits.push(SplitPlace {
                revision: place.revision,
                gross_milli: -it.returned_milli,
                host: it.host.0,
                agency: it.commission.agency.map(|id| id.0),
            }),
            Event::OrderRefunded(it) if it.completed => {
                if let Some((host, rule)) = it.provider.zip(it.commission) {
                    self.splits.push(SplitPlace {
                        revision: place.revision,
                        gross_milli: -(it.amount_milli + it.discount_milli),
                        host: host.0,
                        agency: rule.agency.map(|id| id.0),
                    });
                }
            }
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
        append(connection, &self.splits).await?;
        put(connection, WRITE_RATES, self.rates.iter()).await
    }
}

/// A row of `read.commission_splits`.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub(crate) struct SplitPlace {
    pub revision: i64,
    pub gross_milli: i64,
    pub host: Uuid,
    pub agency: Option<Uuid>,
}

impl CopyRow for SplitPlace {
    const TABLE: &'static str = "commission_splits";
    const COLUMNS: &'static [&'static str] =
        &["revision", "gross_milli", "host", "agency"];

    fn fields(&self, fields: &mut impl Fields) {
        fields
            .bigint(self.revision)
            .bigint(self.gross_milli)
            .uuid(Some(self.host))
            .uuid(self.agency);
    }
}

fn told(recorded: &Recorded) -> Result<SplitRow, QueryError> {
    match &recorded.event {
        Event::CommissionSplit(it) => Ok(split(it, recorded)),
        Event::CallChargeReturned(it) => Ok(returned(it, recorded)),
        Event::OrderRefunded(it) => refunded(it, recorded),
        _ => Err(ReadError::Damaged(format!("the event at {} is no split", recorded.revision)).into()),
    }
}

fn split(it: &CommissionSplit, recorded: &Recorded) -> SplitRow {
    let (source, source_id) = match it.source {
        SplitSource::Call(id) => ("call", id.0),
        SplitSource::Gift(id) => ("gift", id.0),
        SplitSource::Order(id) => ("order", id.0),
    };
    SplitRow {
        revision: pg_revision(recorded.revision),
        recorded_at: recorded.metadata.recorded_at.to_utc(),
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

/// What those who earned by an order have given back, negative.
fn refunded(it: &OrderRefunded, recorded: &Recorded) -> Result<SplitRow, QueryError> {
    let Some((host, commission)) = it.provider.zip(it.commission) else {
        return Err(ReadError::Damaged(format!("the refund at {} has no split", recorded.revision)).into());
    };
    Ok(SplitRow {
        revision: pg_revision(recorded.revision),
        recorded_at: recorded.metadata.recorded_at.to_utc(),
        source: "order".to_owned(),
        source_id: it.order.0,
        payer: it.user.0,
        host: host.0,
        agency: commission.agency.map(|id| id.0),
        commission_scope: scope(commission.scope).0.to_owned(),
        host_bps: bps(commission.host_bps),
        agency_bps: bps(commission.agency_bps),
        gross_milli: -(it.amount_milli + it.discount_milli),
        host_milli: -it.host_milli,
        agency_milli: -it.agency_milli,
        platform_milli: -it.platform_milli,
        available_from: recorded.metadata.recorded_at.to_utc(),
    })
}

/// A split that is taken back: the same shares, negative.
fn returned(it: &CallChargeReturned, recorded: &Recorded) -> SplitRow {
    SplitRow {
        revision: pg_revision(recorded.revision),
        recorded_at: recorded.metadata.recorded_at.to_utc(),
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
        available_from: recorded.metadata.recorded_at.to_utc(),
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
    #[serde(serialize_with = "rfc3339::serialize")]
    pub effective_from: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub recorded_at: DateTime<Utc>,
    /// Who set it: `person:<uuid>` or `system`.
    pub actor: String,
}

/// One split of the commission log.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SplitRow {
    pub revision: i64,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub recorded_at: DateTime<Utc>,
    /// `call` or `gift`.
    pub source: String,
    /// The call, the sending of the gift, or the order.
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
    #[serde(serialize_with = "rfc3339::serialize")]
    pub available_from: DateTime<Utc>,
}

/// Which splits; all that is absent matches everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommissionFilter {
    pub host: Option<PersonId>,
    pub agency: Option<AgencyId>,
    /// The payer or the host.
    pub person: Option<PersonId>,
    /// The call, or the sending of the gift.
    pub source_id: Option<Uuid>,
    pub source: Option<SplitFrom>,
    pub period: Period,
    /// Of what was split.
    pub gross_milli: Amounts,
}

/// What was charged and split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitFrom {
    Call,
    Gift,
    Order,
}

/// Which rates; all that is absent matches everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateFilter {
    /// `global`, `agency` or `host`.
    pub scope: Option<&'static str>,
    /// The agency or the host.
    pub scope_id: Option<Uuid>,
    /// When it was set or cleared.
    pub period: Period,
}

impl ReadModels {
    /// The rates that were set or cleared, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn commission_rates(
        &self,
        filter: RateFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<CommissionRateRow>, QueryError> {
        let limit = page_size(limit);
        let before = Cursor::read_or("commission_rates", before, i64::MAX)?;
        let (first, end) = self.revisions(filter.period).await?;
        let mut query =
            QueryBuilder::<Postgres>::new("SELECT * FROM read.commission_rates WHERE revision < ");
        query.push_bind(before.min(end)).push(" AND revision >= ").push_bind(first);
        if let Some(scope) = filter.scope {
            query.push(" AND scope = ").push_bind(scope);
        }
        if let Some(id) = filter.scope_id {
            query.push(" AND scope_id = ").push_bind(id);
        }
        query.push(" ORDER BY revision DESC LIMIT ").push_bind(limit + 1);
        let rows: Vec<CommissionRateRow> = query.build_query_as().fetch_all(self.pool()?).await?;
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
            QueryBuilder::<Postgres>::new("SELECT revision FROM read.commission_splits WHERE revision < ");
        let (first, end) = self.revisions(filter.period).await?;
        query.push_bind(before.min(end)).push(" AND revision >= ").push_bind(first);
        push_amounts(&mut query, "gross_milli", filter.gross_milli);
        if let Some(host) = filter.host {
            query.push(" AND host = ").push_bind(host.0);
        }
        if let Some(agency) = filter.agency {
            query.push(" AND agency = ").push_bind(agency.0);
        }
        if let Some(source_id) = filter.source_id {
            // Splits stand under their source among all events.
            query.push(" AND revision IN (SELECT revision FROM read.events WHERE correlation = ");
            query.push_bind(source_id).push(")");
        }
        if let Some(source) = filter.source {
            const OF_CALL: &str = "EXISTS (SELECT FROM read.events JOIN read.calls ON calls.call = events.correlation
                 WHERE events.revision = commission_splits.revision)";
            const OF_ORDER: &str = "EXISTS (SELECT FROM read.events JOIN read.orders
                 ON orders.\"order\" = events.correlation WHERE events.revision = commission_splits.revision)";
            match source {
                SplitFrom::Call => query.push(" AND ").push(OF_CALL),
                SplitFrom::Order => query.push(" AND ").push(OF_ORDER),
                SplitFrom::Gift => query.push(" AND NOT ").push(OF_CALL).push(" AND NOT ").push(OF_ORDER),
            };
        }
        if let Some(person) = filter.person {
            // A split names no payer. Both sides are named by the gift, right before its split, and by the start of
            // the call or the order, which all of its splits are correlated to.
            query.push(
                " AND revision IN (
                     WITH me AS (SELECT number FROM read.people WHERE person = ",
            );
            query.push_bind(person.0).push(
                ") SELECT revision + 1 FROM read.event_people
                   WHERE person = (SELECT number FROM me) AND kind = 'GiftSent'
                   UNION ALL
                   SELECT split.revision FROM read.event_people AS began
                   JOIN read.events AS start ON start.revision = began.revision
                   JOIN read.events AS split ON split.correlation = start.correlation
                   WHERE began.person = (SELECT number FROM me) AND began.kind = 'CallStarted'
                     AND split.kind IN ('CommissionSplit', 'CallChargeReturned')
                   UNION ALL
                   SELECT split.revision FROM read.event_people AS began
                   JOIN read.events AS start ON start.revision = began.revision
                   JOIN read.events AS split ON split.correlation = start.correlation
                   WHERE began.person = (SELECT number FROM me) AND began.kind = 'OrderPlaced'
                     AND split.kind IN ('CommissionSplit', 'OrderRefunded'))",
            );
        }
        query.push(" ORDER BY revision DESC LIMIT ").push_bind(limit + 1);
        let found: Vec<(i64,)> = query.build_query_as().fetch_all(self.pool()?).await?;
        let Page { items, next } = Page::of(found, limit, "commission_log", |(revision,)| *revision);
        let events = self.recorded(items.iter().map(|(revision,)| *revision)).await?;
        let items = items.iter().map(|(revision,)| told(events.at(*revision)?));
        Ok(Page { items: items.collect::<Result<_, _>>()?, next })
    }
}
