//! Disputed payments, and what their buyers owe.

use crate::error::{ProjectError, QueryError};
use crate::events::{EventFilter, EventRow};
use crate::mechanism::{Cursor, Page, Place, ReadModel, ReadModels, Table, page_size, push_amounts};
use chrono::{DateTime, Utc};
use ledger_core::disputes::dispute_id;
use ledger_core::event::{DisputeOpened, ReleaseCause, ReturnedDraw};
use ledger_core::{Amounts, Event, Period, PersonId, PurchaseId, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE disputes (
    -- Made of the gateway's name; the dispute's events correlate by it.
    dispute uuid PRIMARY KEY,
    opened_revision bigint NOT NULL UNIQUE,
    dispute_ref text NOT NULL,
    gateway text NOT NULL,
    payment_ref text NOT NULL,
    purchase uuid,
    \"user\" uuid,
    amount_minor bigint NOT NULL,
    amount_asset text NOT NULL,
    status text NOT NULL CHECK (status IN ('open', 'won', 'closed', 'lost')),
    frozen_milli bigint NOT NULL CHECK (frozen_milli >= 0),
    matched_minor bigint NOT NULL,
    unmatched_minor bigint NOT NULL,
    fee_minor bigint NOT NULL,
    taken_milli bigint NOT NULL,
    owed_milli bigint NOT NULL CHECK (owed_milli >= 0),
    recovered_milli bigint NOT NULL,
    written_off_milli bigint NOT NULL,
    -- What hosts and agencies bear of it until the buyer pays.
    clawed_milli bigint NOT NULL CHECK (clawed_milli >= 0),
    opened_at timestamptz NOT NULL,
    decided_at timestamptz,
    revision bigint NOT NULL
);
CREATE INDEX disputes_of_user ON disputes (\"user\", opened_revision);
-- Receivables are few among disputes, and listed by themselves.
CREATE INDEX receivables ON disputes (opened_revision) WHERE owed_milli > 0;";

const LOAD: &str = "SELECT * FROM disputes WHERE dispute = ANY($1)";

const WRITE: &str = "
    INSERT INTO disputes SELECT * FROM json_populate_recordset(NULL::disputes, $1::json)
    ON CONFLICT (dispute) DO UPDATE SET
        purchase = EXCLUDED.purchase, \"user\" = EXCLUDED.\"user\", status = EXCLUDED.status,
        frozen_milli = EXCLUDED.frozen_milli, matched_minor = EXCLUDED.matched_minor,
        unmatched_minor = EXCLUDED.unmatched_minor, fee_minor = EXCLUDED.fee_minor,
        taken_milli = EXCLUDED.taken_milli, owed_milli = EXCLUDED.owed_milli,
        recovered_milli = EXCLUDED.recovered_milli, written_off_milli = EXCLUDED.written_off_milli,
        clawed_milli = EXCLUDED.clawed_milli,
        decided_at = EXCLUDED.decided_at, revision = EXCLUDED.revision";

/// The disputes that a batch of events opens or changes.
#[derive(Default)]
pub(crate) struct Disputes {
    disputes: Table<DisputeRow>,
}

/// The dispute that an event changes.
fn changes(event: &Event) -> Option<&str> {
    Some(match event {
        Event::DisputeMatched(it) => &it.dispute_ref,
        Event::DisputeReleased(it) => &it.dispute_ref,
        Event::DisputeLost(it) => &it.dispute_ref,
        Event::DisputeReversed(it) => &it.dispute_ref,
        Event::ReceivableRecovered(it) => &it.dispute_ref,
        Event::ReceivableWrittenOff(it) => &it.dispute_ref,
        _ => return None,
    })
}

impl ReadModel for Disputes {
    const TABLES: &'static str = TABLES;

    fn touch(&mut self, event: &Event) {
        if let Some(dispute_ref) = changes(event) {
            self.disputes.want(dispute_id(dispute_ref).0);
        }
    }

    async fn load(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.disputes.load(connection, LOAD, |row| row.dispute).await
    }

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        if let Event::DisputeOpened(it) = place.event() {
            let row = opened(it, place);
            self.disputes.insert(row.dispute, row);
        }
        let Some(dispute_ref) = changes(place.event()) else { return Ok(()) };
        let row = self.disputes.find(dispute_id(dispute_ref).0, "dispute", place)?;
        row.revision = place.revision;
        match place.event() {
            Event::DisputeMatched(it) => {
                (row.purchase, row.user) = (Some(it.purchase.0), Some(it.user.0));
                row.frozen_milli += sum(&it.frozen);
            }
            Event::DisputeReleased(it) => {
                row.frozen_milli -= sum(&it.released);
                match it.cause {
                    ReleaseCause::Won => row.decide("won", place.at),
                    ReleaseCause::Closed => row.decide("closed", place.at),
                    ReleaseCause::Taken => {}
                }
            }
            Event::DisputeLost(it) => {
                row.decide("lost", place.at);
                (row.purchase, row.user) = (it.purchase.map(|id| id.0), it.user.map(|id| id.0));
                (row.matched_minor, row.unmatched_minor) = (it.matched_minor, it.unmatched_minor);
                row.fee_minor += it.fee_minor;
                row.taken_milli = it.coins_milli + it.bonus_milli;
                row.owed_milli = it.owed_milli;
                row.clawed_milli = it.clawed.iter().map(|it| it.amount_milli).sum();
            }
            Event::DisputeReversed(_) => {
                row.decide("won", place.at);
                (row.matched_minor, row.unmatched_minor, row.taken_milli) = (0, 0, 0);
                (row.owed_milli, row.recovered_milli, row.written_off_milli) = (0, 0, 0);
                row.clawed_milli = 0;
            }
            Event::ReceivableRecovered(it) => {
                row.recovered_milli += it.recovered_milli;
                row.owed_milli -= it.recovered_milli;
                row.clawed_milli -= it.given_back.iter().map(|it| it.amount_milli).sum::<i64>();
            }
            Event::ReceivableWrittenOff(it) => {
                row.written_off_milli += it.amount_milli;
                row.owed_milli -= it.amount_milli;
            }
            _ => {}
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.disputes.write(connection, WRITE).await
    }
}

fn sum(draws: &[ReturnedDraw]) -> i64 {
    draws.iter().map(|it| it.amount_milli).sum()
}

fn opened(it: &DisputeOpened, place: &Place<'_>) -> DisputeRow {
    DisputeRow {
        dispute: dispute_id(&it.dispute_ref).0,
        opened_revision: place.revision,
        dispute_ref: it.dispute_ref.clone(),
        gateway: it.gateway.name().to_owned(),
        payment_ref: it.payment_ref.clone(),
        purchase: it.purchase.map(|id| id.0),
        user: it.user.map(|id| id.0),
        amount_minor: it.amount_minor,
        amount_asset: it.amount_asset.to_string(),
        status: "open".to_owned(),
        frozen_milli: sum(&it.frozen),
        matched_minor: 0,
        unmatched_minor: 0,
        fee_minor: 0,
        taken_milli: 0,
        owed_milli: 0,
        recovered_milli: 0,
        written_off_milli: 0,
        clawed_milli: 0,
        opened_at: place.at,
        decided_at: None,
        revision: place.revision,
    }
}

/// A disputed payment, what became of it, and what its buyer owes.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct DisputeRow {
    /// The id that the dispute's events have as their `correlation`.
    pub dispute: Uuid,
    pub opened_revision: i64,
    /// The gateway's name of the dispute.
    pub dispute_ref: String,
    pub gateway: String,
    /// The payment that is disputed.
    pub payment_ref: String,
    /// The purchase that the payment was for; absent as long as it has bought nothing.
    pub purchase: Option<Uuid>,
    /// The buyer.
    pub user: Option<Uuid>,
    pub amount_minor: i64,
    pub amount_asset: String,
    /// `open`, `won`, `closed` (without a decision) or `lost`.
    pub status: String,
    /// Coins of the buyer that it keeps from being spent.
    pub frozen_milli: i64,
    /// The money that the gateway took and that was paid for the purchase.
    pub matched_minor: i64,
    /// The money that the gateway took and that fits no purchase: it stands in suspense.
    pub unmatched_minor: i64,
    /// What the gateway charged for the dispute.
    pub fee_minor: i64,
    /// Coins that were taken back.
    pub taken_milli: i64,
    /// Coins that the buyer owes still.
    pub owed_milli: i64,
    pub recovered_milli: i64,
    pub written_off_milli: i64,
    /// What was taken from held earnings of hosts and agencies, and not given back: it covers what is owed.
    pub clawed_milli: i64,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub opened_at: DateTime<Utc>,
    /// When it was won, closed or lost, the last time.
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub decided_at: Option<DateTime<Utc>>,
    pub revision: i64,
}

impl DisputeRow {
    fn decide(&mut self, status: &str, at: DateTime<Utc>) {
        self.status = status.to_owned();
        self.decided_at = Some(at);
    }
}

/// Which disputes; all that is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisputeFilter {
    pub status: Option<String>,
    pub person: Option<PersonId>,
    pub purchase: Option<PurchaseId>,
    /// Only those for which something is owed.
    pub owed: bool,
    /// When they were opened.
    pub period: Period,
    pub amount_minor: Amounts,
}

impl ReadModels {
    /// # Errors
    /// When Postgres fails.
    pub async fn dispute(&self, dispute_ref: &str) -> Result<Option<DisputeRow>, QueryError> {
        let row = sqlx::query_as("SELECT * FROM read.disputes WHERE dispute = $1")
            .bind(dispute_id(dispute_ref).0)
            .fetch_optional(self.pool()?)
            .await?;
        Ok(row)
    }

    /// The events of a dispute in their order, with their postings.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres or the journal fails.
    pub async fn events_of_dispute(
        &self,
        dispute_ref: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<EventRow>, QueryError> {
        let correlation = Some(dispute_id(dispute_ref).0);
        self.events(&EventFilter { correlation, ..EventFilter::default() }, after, limit).await
    }

    /// The disputes, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn disputes(
        &self,
        filter: &DisputeFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<DisputeRow>, QueryError> {
        let limit = page_size(limit);
        let before = Cursor::read_or("disputes", before, i64::MAX)?;
        let (first, end) = self.revisions(filter.period).await?;
        let mut query = QueryBuilder::<Postgres>::new("SELECT * FROM read.disputes WHERE opened_revision < ");
        query.push_bind(before.min(end)).push(" AND opened_revision >= ").push_bind(first);
        push_amounts(&mut query, "amount_minor", filter.amount_minor);
        if filter.owed {
            query.push(" AND owed_milli > 0");
        }
        if let Some(status) = &filter.status {
            query.push(" AND status = ").push_bind(status);
        }
        if let Some(person) = filter.person {
            query.push(" AND \"user\" = ").push_bind(person.0);
        }
        if let Some(purchase) = filter.purchase {
            query.push(" AND purchase = ").push_bind(purchase.0);
        }
        query.push(" ORDER BY opened_revision DESC LIMIT ").push_bind(limit + 1);
        let rows: Vec<DisputeRow> = query.build_query_as().fetch_all(self.pool()?).await?;
        Ok(Page::of(rows, limit, "disputes", |row| row.opened_revision))
    }
}
