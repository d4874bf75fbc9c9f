//! Settlements of hosts and agencies, what they cover, and what was paid of them.

use crate::accounts::words;
use crate::error::{ProjectError, QueryError};
use crate::mechanism::{
    Cursor, PAGE_LIMIT, Page, Place, ReadModel, ReadModels, Table, page_size, pg_revision, put,
};
use chrono::{DateTime, Utc};
use ledger_core::event::{Earner, SettlementClosed, SettlementCorrected, SplitSource, Totals};
use ledger_core::{Event, Period, Recorded, SettlementId, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE settlements (
    settlement uuid PRIMARY KEY,
    closed_revision bigint NOT NULL UNIQUE,
    -- The first version: all of a period have the same.
    first uuid NOT NULL,
    version bigint NOT NULL,
    corrects uuid,
    corrected_by uuid,
    host uuid,
    agency uuid,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    first_revision bigint NOT NULL,
    end_revision bigint NOT NULL,
    items bigint NOT NULL,
    gross_milli bigint NOT NULL,
    platform_milli bigint NOT NULL,
    others_milli bigint NOT NULL,
    earned_milli bigint NOT NULL,
    adjusted_milli bigint NOT NULL,
    net_milli bigint NOT NULL,
    correction_milli bigint,
    reason text,
    note uuid,
    closed_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    CHECK ((host IS NULL) <> (agency IS NULL))
);
CREATE INDEX settlements_of_host ON settlements (host, closed_revision) WHERE host IS NOT NULL;
CREATE INDEX versions_of_settlement ON settlements (first, version);
CREATE INDEX settlements_of_agency ON settlements (agency, closed_revision) WHERE agency IS NOT NULL;

CREATE TABLE settlement_payouts (
    revision bigint PRIMARY KEY,
    -- The first version.
    first uuid NOT NULL,
    settlement uuid NOT NULL,
    withdrawal uuid NOT NULL UNIQUE,
    coins_milli bigint NOT NULL
);
CREATE INDEX payouts_of_settlement ON settlement_payouts (first, revision);

-- What moved in earnings otherwise: adjustments, and what was taken for disputed payments. What was charged and given back
-- stands in commission_splits, and withdrawals are no items of a settlement.
CREATE TABLE earning_moves (
    -- A host or an agency.
    earner uuid NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (earner, revision)
);";

const LOAD: &str = "SELECT * FROM settlements WHERE settlement = ANY($1)";

const WRITE: &str = "
    INSERT INTO settlements SELECT * FROM json_populate_recordset(NULL::settlements, $1::json)
    ON CONFLICT (settlement) DO UPDATE SET
        corrected_by = EXCLUDED.corrected_by, revision = EXCLUDED.revision";

const WRITE_PAYOUTS: &str = "
    INSERT INTO settlement_payouts
    SELECT * FROM json_populate_recordset(NULL::settlement_payouts, $1::json)";

const WRITE_MOVES: &str = "
    INSERT INTO earning_moves SELECT * FROM json_populate_recordset(NULL::earning_moves, $1::json)";

/// The settlements that a batch of events closes, corrects or pays.
#[derive(Default)]
pub(crate) struct Settlements {
    settlements: Table<SettlementVersionRow>,
    payouts: Vec<SettlementPayoutRow>,
    moves: Vec<EarningMoveRow>,
}

impl ReadModel for Settlements {
    const TABLES: &'static str = TABLES;

    fn touch(&mut self, event: &Event) {
        if let Event::SettlementCorrected(it) = event {
            self.settlements.want(it.corrects.0);
        }
    }

    async fn load(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.settlements.load(connection, LOAD, |row| row.settlement).await
    }

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        match place.event() {
            Event::SettlementClosed(it) => {
                self.settlements.insert(it.settlement.0, closed(it, place));
            }
            Event::SettlementCorrected(it) => {
                let before = self.settlements.find(it.corrects.0, "settlement", place)?;
                before.corrected_by = Some(it.settlement.0);
                before.revision = place.revision;
                let row = corrected(it, before, place);
                self.settlements.insert(row.settlement, row);
            }
            Event::SettlementPayoutRequested(it) => self.payouts.push(SettlementPayoutRow {
                revision: place.revision,
                first: it.first.0,
                settlement: it.settlement.0,
                withdrawal: it.withdrawal.0,
                coins_milli: it.coins_milli,
            }),
            _ => {}
        }
        if is_move(place.event()) {
            let earners = place.event().postings().iter().filter_map(|it| Earner::of(it.account));
            let ids: BTreeSet<Uuid> = earners.map(id).collect();
            let revision = place.revision;
            self.moves.extend(ids.into_iter().map(|earner| EarningMoveRow { earner, revision }));
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.settlements.write(connection, WRITE).await?;
        put(connection, WRITE_PAYOUTS, self.payouts.iter()).await?;
        put(connection, WRITE_MOVES, self.moves.iter()).await
    }
}

/// Whether what an event moves in earnings is an item of its own.
fn is_move(event: &Event) -> bool {
    !matches!(
        event,
        Event::CommissionSplit(_)
            | Event::CallChargeReturned(_)
            | Event::OrderRefunded(_)
            | Event::SettlementCorrected(_)
            | Event::WithdrawalRequested(_)
            | Event::WithdrawalRejected(_)
            | Event::WithdrawalCancelled(_)
            | Event::WithdrawalFailed(_)
            | Event::WithdrawalReversed(_)
    )
}

fn id(of: Earner) -> Uuid {
    match of {
        Earner::Host(host) => host.0,
        Earner::Agency(agency) => agency.0,
    }
}

/// The host, or the agency.
fn ids(of: Earner) -> (Option<Uuid>, Option<Uuid>) {
    match of {
        Earner::Host(host) => (Some(host.0), None),
        Earner::Agency(agency) => (None, Some(agency.0)),
    }
}

fn closed(it: &SettlementClosed, place: &Place<'_>) -> SettlementVersionRow {
    let (host, agency) = ids(it.of);
    let Totals { items, gross_milli, platform_milli, earned_milli, adjusted_milli } = it.totals;
    SettlementVersionRow {
        settlement: it.settlement.0,
        closed_revision: place.revision,
        first: it.settlement.0,
        version: 1,
        corrects: None,
        corrected_by: None,
        host,
        agency,
        starts_at: it.from.to_utc(),
        ends_at: it.to.to_utc(),
        first_revision: pg_revision(it.first_revision),
        end_revision: pg_revision(it.end_revision),
        items: pg_revision(items),
        gross_milli,
        platform_milli,
        others_milli: it.totals.others_milli(),
        earned_milli,
        adjusted_milli,
        net_milli: it.net_milli,
        correction_milli: None,
        reason: None,
        note: None,
        closed_at: place.at,
        revision: place.revision,
    }
}

fn corrected(it: &SettlementCorrected, before: &SettlementVersionRow, place: &Place<'_>) -> SettlementVersionRow {
    SettlementVersionRow {
        settlement: it.settlement.0,
        closed_revision: place.revision,
        version: it.version.into(),
        corrects: Some(it.corrects.0),
        corrected_by: None,
        adjusted_milli: it.totals.adjusted_milli,
        net_milli: it.net_milli,
        correction_milli: Some(it.amount_milli),
        reason: Some(it.reason.clone()),
        note: it.note.map(|note| note.0),
        closed_at: place.at,
        revision: place.revision,
        ..before.clone()
    }
}

/// A version of the statement of a period.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct SettlementVersionRow {
    pub settlement: Uuid,
    pub closed_revision: i64,
    /// The first version; all versions of a period have the same.
    pub first: Uuid,
    /// Versions count from 1.
    pub version: i64,
    /// The version that this one corrects.
    pub corrects: Option<Uuid>,
    /// The version that corrects this one.
    pub corrected_by: Option<Uuid>,
    /// Whose earnings are settled: a host's or an agency's.
    pub host: Option<Uuid>,
    pub agency: Option<Uuid>,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub starts_at: DateTime<Utc>,
    /// The cut-off: what was recorded at this time or later belongs to the next settlement.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub ends_at: DateTime<Utc>,
    /// The items are the earner's from this revision on and before `end_revision`.
    pub first_revision: i64,
    pub end_revision: i64,
    /// How many charges, charges given back, and adjustments it covers.
    pub items: i64,
    /// What was charged, less what was given back.
    pub gross_milli: i64,
    /// The platform's share of it.
    pub platform_milli: i64,
    /// The share of the agencies of a host, or of the hosts of an agency.
    pub others_milli: i64,
    /// The earner's own share.
    pub earned_milli: i64,
    /// What admins added (positive) or took, corrections among it.
    pub adjusted_milli: i64,
    /// What it comes to: `earned_milli` and `adjusted_milli`.
    pub net_milli: i64,
    /// What this version changed; absent on the first one.
    pub correction_milli: Option<i64>,
    /// Why it was corrected.
    pub reason: Option<String>,
    pub note: Option<Uuid>,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub closed_at: DateTime<Utc>,
    pub revision: i64,
}

/// A settlement, and what was paid of its period.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct SettlementRow {
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub row: SettlementVersionRow,
    /// What withdrawals for this period hold: they are not paid yet.
    pub held_milli: i64,
    /// What withdrawals for this period have paid.
    pub paid_milli: i64,
}

/// A withdrawal that pays a settlement.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct SettlementPayoutRow {
    pub revision: i64,
    pub first: Uuid,
    pub settlement: Uuid,
    pub withdrawal: Uuid,
    pub coins_milli: i64,
}

/// Where something else moved in earnings.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct EarningMoveRow {
    pub earner: Uuid,
    pub revision: i64,
}

/// A line of a statement, as the earner reads it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SettlementItem {
    pub revision: i64,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub recorded_at: DateTime<Utc>,
    /// `call`, `gift`, `order`, `call_return`, `order_refund`, or the `type` that it has in a statement, such as `adjustment`; in a file of a statement also `correction` and `total`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The call, the sending of the gift, the order, or the adjustment.
    pub source_id: Option<Uuid>,
    pub payer: Option<Uuid>,
    pub host: Option<Uuid>,
    pub agency: Option<Uuid>,
    /// What was charged; negative where it was given back.
    pub gross_milli: i64,
    pub platform_milli: i64,
    /// The share of the host or the agency on the other side.
    pub others_milli: i64,
    /// What the earner gained (positive) or lost.
    pub net_milli: i64,
    /// Why it was adjusted.
    pub reason: Option<String>,
}

/// Which settlements; all that is absent matches everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettlementFilter {
    pub of: Option<Earner>,
    /// When it was closed.
    pub period: Period,
}

/// The settlement of a row with what its withdrawals hold and have paid.
const VIEW: &str = "
    SELECT settlements.*,
        COALESCE(paid.held_milli, 0)::bigint AS held_milli, COALESCE(paid.paid_milli, 0)::bigint AS paid_milli
    FROM read.settlements LEFT JOIN LATERAL (
        SELECT
            SUM(payout.coins_milli) FILTER (WHERE status IN ('requested', 'approved', 'sent', 'unknown')) AS held_milli,
            SUM(payout.coins_milli) FILTER (WHERE status = 'paid') AS paid_milli
        FROM read.settlement_payouts AS payout JOIN read.withdrawals USING (withdrawal)
        WHERE payout.first = settlements.first
    ) AS paid ON true";

impl ReadModels {
    /// Settlements, those that were closed last first; each version is one.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn settlements(
        &self,
        filter: SettlementFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<SettlementRow>, QueryError> {
        let limit = page_size(limit);
        let before = Cursor::read_or("settlements", before, i64::MAX)?;
        let (first, end) = self.revisions(filter.period).await?;
        let mut query = QueryBuilder::<Postgres>::new(VIEW);
        query.push(" WHERE closed_revision < ").push_bind(before.min(end));
        query.push(" AND closed_revision >= ").push_bind(first);
        match filter.of {
            Some(Earner::Host(host)) => query.push(" AND host = ").push_bind(host.0),
            Some(Earner::Agency(agency)) => query.push(" AND agency = ").push_bind(agency.0),
            None => &mut query,
        };
        query.push(" ORDER BY closed_revision DESC LIMIT ").push_bind(limit + 1);
        let rows: Vec<SettlementRow> = query.build_query_as().fetch_all(self.pool()?).await?;
        Ok(Page::of(rows, limit, "settlements", |it| it.row.closed_revision))
    }

    /// # Errors
    /// When Postgres fails.
    pub async fn settlement(&self, id: SettlementId) -> Result<Option<SettlementRow>, QueryError> {
        let mut query = QueryBuilder::<Postgres>::new(VIEW);
        query.push(" WHERE settlement = ").push_bind(id.0);
        Ok(query.build_query_as().fetch_optional(self.pool()?).await?)
    }

    /// The corrections that lead to a version of a settlement, as lines of its statement, the first first.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn settlement_corrections(&self, id: SettlementId) -> Result<Vec<SettlementItem>, QueryError> {
        let rows: Vec<SettlementVersionRow> = sqlx::query_as(
            "SELECT earlier.* FROM read.settlements AS wanted JOIN read.settlements AS earlier USING (first)
             WHERE wanted.settlement = $1 AND earlier.version <= wanted.version AND earlier.version > 1
             ORDER BY earlier.version LIMIT $2",
        )
        .bind(id.0)
        .bind(i64::from(PAGE_LIMIT))
        .fetch_all(self.pool()?)
        .await?;
        let line = |row: SettlementVersionRow| SettlementItem {
            revision: row.closed_revision,
            recorded_at: row.closed_at,
            kind: "correction".to_owned(),
            source_id: Some(row.settlement),
            payer: None,
            host: row.host,
            agency: row.agency,
            gross_milli: 0,
            platform_milli: 0,
            others_milli: 0,
            net_milli: row.correction_milli.unwrap_or(0),
            reason: row.reason,
        };
        Ok(rows.into_iter().map(line).collect())
    }

    /// What an earner earned from one revision on and before another, the first first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres or the journal fails.
    pub async fn settlement_items(
        &self,
        of: Earner,
        (first, end): (i64, i64),
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<SettlementItem>, QueryError> {
        let limit = page_size(limit);
        let after = Cursor::read_or("settlement_items", after, -1)?.max(first.saturating_sub(1));
        let column = match of {
            Earner::Host(_) => "host",
            Earner::Agency(_) => "agency",
        };
        let mut query = QueryBuilder::<Postgres>::new("SELECT revision FROM (");
        for (place, table) in
            [("commission_splits", column), ("earning_moves", "earner")].into_iter().enumerate()
        {
            let (table, column) = table;
            query.push(if place == 0 { "(" } else { " UNION ALL (" });
            query.push(format_args!("SELECT revision FROM read.{table} WHERE {column} = ")).push_bind(id(of));
            query.push(" AND revision > ").push_bind(after).push(" AND revision < ").push_bind(end);
            query.push(" ORDER BY revision LIMIT ").push_bind(limit + 1).push(")");
        }
        query.push(") AS items ORDER BY revision LIMIT ").push_bind(limit + 1);
        let found: Vec<(i64,)> = query.build_query_as().fetch_all(self.pool()?).await?;
        let Page { items, next } = Page::of(found, limit, "settlement_items", |(revision,)| *revision);
        let events = self.recorded(items.iter().map(|(revision,)| *revision)).await?;
        let items = items.iter().map(|(revision,)| Ok::<_, QueryError>(told(of, events.at(*revision)?)));
        Ok(Page { items: items.collect::<Result<_, _>>()?, next })
    }
}

/// An event as the line of an earner's statement.
fn told(of: Earner, recorded: &Recorded) -> SettlementItem {
    let line = |kind: &str, source_id: Option<Uuid>| SettlementItem {
        revision: pg_revision(recorded.revision),
        recorded_at: recorded.metadata.recorded_at.to_utc(),
        kind: kind.to_owned(),
        source_id,
        payer: None,
        host: None,
        agency: None,
        gross_milli: 0,
        platform_milli: 0,
        others_milli: 0,
        net_milli: 0,
        reason: None,
    };
    let own = |host_milli: i64, agency_milli: i64| match of {
        Earner::Host(_) => (host_milli, agency_milli),
        Earner::Agency(_) => (agency_milli, host_milli),
    };
    match &recorded.event {
        Event::CommissionSplit(it) => {
            let (net_milli, others_milli) = own(it.host_milli, it.agency_milli);
            let (kind, id) = match it.source {
                SplitSource::Call(call) => ("call", Some(call.0)),
                SplitSource::Gift(sending) => ("gift", Some(sending.0)),
                SplitSource::Order(order) => ("order", Some(order.0)),
            };
            SettlementItem {
                payer: Some(it.payer.0),
                host: Some(it.host.0),
                agency: it.commission.agency.map(|agency| agency.0),
                gross_milli: it.gross_milli,
                platform_milli: it.platform_milli,
                others_milli,
                net_milli,
                ..line(kind, id)
            }
        }
        Event::OrderRefunded(it) => {
            let (net_milli, others_milli) = own(-it.host_milli, -it.agency_milli);
            SettlementItem {
                payer: Some(it.user.0),
                host: it.provider.map(|host| host.0),
                agency: it.commission.and_then(|rule| rule.agency).map(|agency| agency.0),
                gross_milli: -(it.amount_milli + it.discount_milli),
                platform_milli: -it.platform_milli,
                others_milli,
                net_milli,
                ..line("order_refund", Some(it.order.0))
            }
        }
        Event::CallChargeReturned(it) => {
            let (net_milli, others_milli) = own(-it.host_milli, -it.agency_milli);
            SettlementItem {
                payer: Some(it.payer.0),
                host: Some(it.host.0),
                agency: it.commission.agency.map(|agency| agency.0),
                gross_milli: -it.returned_milli,
                platform_milli: -it.platform_milli,
                others_milli,
                net_milli,
                ..line("call_return", Some(it.call.0))
            }
        }
        other => {
            let account = of.account();
            let own = other.postings().iter().filter(|it| it.account == account);
            SettlementItem {
                net_milli: own.map(|it| -it.amount).sum(),
                reason: if let Event::AdjustmentPosted(it) = other { Some(it.reason.clone()) } else { None },
                ..line(words::describe(other, account, None).movement, recorded.metadata.correlation)
            }
        }
    }
}
