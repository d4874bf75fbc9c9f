//! Withdrawals of hosts and agencies.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{bps, Cursor, Page, Place, ReadModel, ReadModels, Table, page_size, push_amounts};
use chrono::{DateTime, Utc};
use ledger_core::event::WithdrawalRequested;
use ledger_core::{Amounts, AgencyId, Event, Payee, Period, PersonId, WithdrawalId, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE withdrawals (
    withdrawal uuid PRIMARY KEY,
    requested_revision bigint NOT NULL UNIQUE,
    person uuid NOT NULL,
    agency uuid,
    coins_milli bigint NOT NULL,
    rate text NOT NULL,
    tax_bps integer NOT NULL,
    gross_minor bigint NOT NULL,
    tax_minor bigint NOT NULL,
    payout_minor bigint NOT NULL,
    payout_asset text NOT NULL,
    status text NOT NULL CHECK (status IN ('requested', 'approved', 'rejected', 'cancelled', 'sent', 'unknown',
        'paid', 'failed', 'reversed')),
    payout_key text,
    payout_ref text,
    reason text,
    requested_at timestamptz NOT NULL,
    approved_at timestamptz,
    rejected_at timestamptz,
    cancelled_at timestamptz,
    sent_at timestamptz,
    unknown_at timestamptz,
    paid_at timestamptz,
    failed_at timestamptz,
    reversed_at timestamptz,
    revision bigint NOT NULL
);
CREATE INDEX withdrawals_of_host ON withdrawals (person, requested_revision) WHERE agency IS NULL;
CREATE INDEX withdrawals_of_agency ON withdrawals (agency, requested_revision) WHERE agency IS NOT NULL;
CREATE INDEX withdrawals_by_status ON withdrawals (status, requested_revision);
CREATE INDEX withdrawals_of_host_by_status ON withdrawals (person, status, requested_revision)
    WHERE agency IS NULL;
CREATE INDEX withdrawals_of_agency_by_status ON withdrawals (agency, status, requested_revision)
    WHERE agency IS NOT NULL;";

const LOAD: &str = "SELECT * FROM withdrawals WHERE withdrawal = ANY($1)";

const WRITE: &str = "
    INSERT INTO withdrawals SELECT * FROM json_populate_recordset(NULL::withdrawals, $1::json)
    ON CONFLICT (withdrawal) DO UPDATE SET
        status = EXCLUDED.status, payout_key = EXCLUDED.payout_key, payout_ref = EXCLUDED.payout_ref,
        reason = EXCLUDED.reason, approved_at = EXCLUDED.approved_at, rejected_at = EXCLUDED.rejected_at,
        cancelled_at = EXCLUDED.cancelled_at, sent_at = EXCLUDED.sent_at, unknown_at = EXCLUDED.unknown_at,
        paid_at = EXCLUDED.paid_at, failed_at = EXCLUDED.failed_at, reversed_at = EXCLUDED.reversed_at,
        revision = EXCLUDED.revision";

/// The withdrawals that a batch of events requests or changes.
#[derive(Default)]
pub(crate) struct Withdrawals {
    withdrawals: Table<WithdrawalRow>,
}

impl ReadModel for Withdrawals {
    const TABLES: &'static str = TABLES;

    fn touch(&mut self, event: &Event) {
        match event {
            Event::WithdrawalApproved(it) => self.withdrawals.want(it.withdrawal.0),
            Event::WithdrawalRejected(it) => self.withdrawals.want(it.withdrawal.0),
            Event::WithdrawalCancelled(it) => self.withdrawals.want(it.withdrawal.0),
            Event::WithdrawalSent(it) => self.withdrawals.want(it.withdrawal.0),
            Event::WithdrawalUnknown(it) => self.withdrawals.want(it.withdrawal.0),
            Event::WithdrawalPaid(it) => self.withdrawals.want(it.withdrawal.0),
            Event::WithdrawalFailed(it) => self.withdrawals.want(it.withdrawal.0),
            Event::WithdrawalReversed(it) => self.withdrawals.want(it.withdrawal.0),
            _ => {}
        }
    }

    async fn load(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.withdrawals.load(connection, LOAD, |row| row.withdrawal).await
    }

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        let at = Some(place.at);
        match place.event() {
            Event::WithdrawalRequested(it) => {
                self.withdrawals.insert(it.withdrawal.0, requested(it, place));
            }
            Event::WithdrawalApproved(it) => {
                self.moved(it.withdrawal, "approved", place)?.approved_at = at;
            }
            Event::WithdrawalRejected(it) => {
                let row = self.moved(it.withdrawal, "rejected", place)?;
                (row.rejected_at, row.reason) = (at, Some(it.reason.clone()));
            }
            Event::WithdrawalCancelled(it) => {
                self.moved(it.withdrawal, "cancelled", place)?.cancelled_at = at;
            }
            Event::WithdrawalSent(it) => {
                let row = self.moved(it.withdrawal, "sent", place)?;
                (row.sent_at, row.payout_key) = (at, Some(it.payout_key.clone()));
            }
            Event::WithdrawalUnknown(it) => {
                let row = self.moved(it.withdrawal, "unknown", place)?;
                (row.unknown_at, row.reason) = (at, Some(it.reason.clone()));
            }
            Event::WithdrawalReversed(it) => {
                let row = self.moved(it.withdrawal, "reversed", place)?;
                (row.reversed_at, row.reason) = (at, Some(it.reason.clone()));
            }
            Event::WithdrawalPaid(it) => {
                let row = self.moved(it.withdrawal, "paid", place)?;
                (row.paid_at, row.payout_ref) = (at, Some(it.payout_ref.clone()));
            }
            Event::WithdrawalFailed(it) => {
                let row = self.moved(it.withdrawal, "failed", place)?;
                (row.failed_at, row.reason) = (at, Some(it.reason.clone()));
            }
            _ => {}
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.withdrawals.write(connection, WRITE).await
    }
}

impl Withdrawals {
    fn moved(
        &mut self,
        id: WithdrawalId,
        status: &str,
        place: &Place<'_>,
    ) -> Result<&mut WithdrawalRow, ProjectError> {
        let row = self.withdrawals.find(id.0, "withdrawal", place)?;
        row.status = status.to_owned();
        row.revision = place.revision;
        Ok(row)
    }
}

fn requested(it: &WithdrawalRequested, place: &Place<'_>) -> WithdrawalRow {
    WithdrawalRow {
        withdrawal: it.withdrawal.0,
        requested_revision: place.revision,
        person: it.payee.person().0,
        agency: it.payee.agency().map(|agency| agency.0),
        coins_milli: it.coins_milli,
        rate: it.terms.rate.to_string(),
        tax_bps: bps(it.terms.tax_bps),
        gross_minor: it.gross_minor,
        tax_minor: it.tax_minor,
        payout_minor: it.payout_minor,
        payout_asset: it.payout_asset.to_string(),
        status: "requested".to_owned(),
        payout_key: None,
        payout_ref: None,
        reason: None,
        requested_at: place.at,
        approved_at: None,
        rejected_at: None,
        cancelled_at: None,
        sent_at: None,
        unknown_at: None,
        paid_at: None,
        failed_at: None,
        reversed_at: None,
        revision: place.revision,
    }
}

/// A withdrawal and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct WithdrawalRow {
    pub withdrawal: Uuid,
    pub requested_revision: i64,
    /// The host who is paid, or the owner of the agency that is.
    pub person: Uuid,
    /// The agency that is paid; absent for a host.
    pub agency: Option<Uuid>,
    pub coins_milli: i64,
    /// Units of the payout asset for one coin, as a decimal text.
    pub rate: String,
    /// The part that is withheld as tax, in basis points.
    pub tax_bps: i32,
    /// What the coins are worth.
    pub gross_minor: i64,
    /// What is withheld of it as tax.
    pub tax_minor: i64,
    /// What is paid out: the rest.
    pub payout_minor: i64,
    pub payout_asset: String,
    /// `requested`, `approved`, `rejected`, `cancelled`, `sent`, `unknown`, `paid`, `failed` or `reversed`.
    pub status: String,
    /// By what the bank or the payout provider knows the payout that was sent.
    pub payout_key: Option<String>,
    /// What the bank or gateway calls the payout.
    pub payout_ref: Option<String>,
    /// Why it was rejected, failed, came back, or why nobody knows what became of it.
    pub reason: Option<String>,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub requested_at: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub approved_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub rejected_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub cancelled_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub sent_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub unknown_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub paid_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub failed_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub reversed_at: Option<DateTime<Utc>>,
    pub revision: i64,
}

/// Which withdrawals; all that is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WithdrawalFilter {
    pub status: Option<String>,
    pub payee: Option<Payee>,
    /// The host who is paid, or the owner of the agency that is.
    pub person: Option<PersonId>,
    pub agency: Option<AgencyId>,
    /// When it was requested.
    pub period: Period,
    pub coins_milli: Amounts,
}

impl ReadModels {
    /// The withdrawals, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn withdrawals(
        &self,
        filter: &WithdrawalFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<WithdrawalRow>, QueryError> {
        let limit = page_size(limit);
        let before = Cursor::read_or("withdrawals", before, i64::MAX)?;
        let mut query =
            QueryBuilder::<Postgres>::new("SELECT * FROM read.withdrawals WHERE requested_revision < ");
        let (first, end) = self.revisions(filter.period).await?;
        query.push_bind(before.min(end)).push(" AND requested_revision >= ").push_bind(first);
        push_amounts(&mut query, "coins_milli", filter.coins_milli);
        if let Some(person) = filter.person {
            query.push(" AND person = ").push_bind(person.0);
        }
        if let Some(agency) = filter.agency {
            query.push(" AND agency = ").push_bind(agency.0);
        }
        if let Some(status) = &filter.status {
            query.push(" AND status = ").push_bind(status);
        }
        match filter.payee {
            Some(Payee::Host { person }) => {
                query.push(" AND agency IS NULL AND person = ").push_bind(person.0);
            }
            Some(Payee::Agency { agency, .. }) => {
                query.push(" AND agency = ").push_bind(agency.0);
            }
            None => {}
        }
        query.push(" ORDER BY requested_revision DESC LIMIT ").push_bind(limit + 1);
        let rows: Vec<WithdrawalRow> = query.build_query_as().fetch_all(self.pool()?).await?;
        Ok(Page::of(rows, limit, "withdrawals", |row| row.requested_revision))
    }
}
