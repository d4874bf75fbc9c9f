//! Calls, running and past.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{Place, ReadModel, ReadModels, Table, bps, code, scope};
use chrono::{DateTime, Utc};
use ledger_core::event::{CallStarted, SplitSource};
use ledger_core::{CallId, Event, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE calls (
    call uuid PRIMARY KEY,
    -- When it began, in the journal's order: histories are paged by it.
    started_revision bigint NOT NULL UNIQUE,
    payer uuid NOT NULL,
    host uuid NOT NULL,
    medium text NOT NULL CHECK (medium IN ('chat', 'voice', 'video')),
    price_milli_per_minute bigint NOT NULL,
    increment_seconds bigint NOT NULL,
    free_seconds bigint NOT NULL,
    grace_seconds bigint NOT NULL,
    commission_scope text NOT NULL,
    host_bps integer NOT NULL,
    agency_bps integer NOT NULL,
    agency uuid,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    status text NOT NULL CHECK (status IN ('running', 'paused', 'ended')),
    -- When a paused call is lost.
    lost_at timestamptz,
    end_reason text,
    ended_by uuid,
    -- Up to the last pause or the end.
    connected_ms bigint NOT NULL,
    -- Those that were not given back, as all amounts are here.
    ticks bigint NOT NULL,
    charged_total_milli bigint NOT NULL,
    host_earned_milli bigint NOT NULL,
    agency_earned_milli bigint NOT NULL,
    platform_earned_milli bigint NOT NULL,
    revision bigint NOT NULL,
    CHECK ((status = 'ended') = (ended_at IS NOT NULL)),
    -- At the end of each unit, all that was charged has been split.
    CHECK (charged_total_milli = host_earned_milli + agency_earned_milli + platform_earned_milli)
);";

const LOAD: &str = "SELECT * FROM calls WHERE call = ANY($1)";

const WRITE: &str = "
    INSERT INTO calls SELECT * FROM json_populate_recordset(NULL::calls, $1::json)
    ON CONFLICT (call) DO UPDATE SET
        ended_at = EXCLUDED.ended_at, status = EXCLUDED.status, lost_at = EXCLUDED.lost_at,
        end_reason = EXCLUDED.end_reason, ended_by = EXCLUDED.ended_by,
        connected_ms = EXCLUDED.connected_ms, ticks = EXCLUDED.ticks,
        charged_total_milli = EXCLUDED.charged_total_milli,
        host_earned_milli = EXCLUDED.host_earned_milli,
        agency_earned_milli = EXCLUDED.agency_earned_milli,
        platform_earned_milli = EXCLUDED.platform_earned_milli, revision = EXCLUDED.revision";

/// The calls that a batch of events begins or changes.
#[derive(Default)]
pub(crate) struct Calls {
    calls: Table<CallRow>,
}

impl ReadModel for Calls {
    const TABLES: &'static str = TABLES;

    fn touch(&mut self, event: &Event) {
        match event {
            Event::CallTicked(it) => self.calls.want(it.call.0),
            Event::CallPaused(it) => self.calls.want(it.call.0),
            Event::CallChargeReturned(it) => self.calls.want(it.call.0),
            Event::CallResumed(it) => self.calls.want(it.call.0),
            Event::CallEnded(it) => self.calls.want(it.call.0),
            Event::CommissionSplit(it) => {
                if let SplitSource::Call(call) = it.source {
                    self.calls.want(call.0);
                }
            }
            _ => {}
        }
    }

    async fn load(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.calls.load(connection, LOAD, |row| row.call).await
    }

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        match place.event() {
            Event::CallStarted(it) => self.calls.insert(it.call.0, started(it, place)),
            Event::CallTicked(it) => {
                let row = self.changed(it.call, place)?;
                row.ticks = i64::from(it.number);
                row.charged_total_milli = it.charged_total_milli;
            }
            Event::CallPaused(it) => {
                let row = self.changed(it.call, place)?;
                row.status = "paused".to_owned();
                row.connected_ms = it.connected_ms;
                row.lost_at = Some(it.lost_at.to_utc());
            }
            Event::CallChargeReturned(it) => {
                let row = self.changed(it.call, place)?;
                row.ticks = i64::from(it.from_number) - 1;
                row.charged_total_milli = it.charged_total_milli;
                row.host_earned_milli -= it.host_milli;
                row.agency_earned_milli -= it.agency_milli;
                row.platform_earned_milli -= it.platform_milli;
            }
            Event::CallResumed(it) => {
                let row = self.changed(it.call, place)?;
                row.status = "running".to_owned();
                row.lost_at = None;
            }
            Event::CallEnded(it) => {
                let row = self.changed(it.call, place)?;
                row.status = "ended".to_owned();
                row.lost_at = None;
                row.end_reason = Some(code(it.reason));
                row.ended_by = it.ended_by.map(|person| person.0);
                row.connected_ms = it.connected_ms;
                row.ended_at = Some(place.at);
            }
            Event::CommissionSplit(it) => {
                if let SplitSource::Call(call) = it.source {
                    let row = self.changed(call, place)?;
                    row.host_earned_milli += it.host_milli;
                    row.agency_earned_milli += it.agency_milli;
                    row.platform_earned_milli += it.platform_milli;
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.calls.write(connection, WRITE).await
    }
}

impl Calls {
    /// The medium of the call that a correlation names, where the batch has the call.
    pub fn medium_of(&self, correlation: Option<Uuid>) -> Option<String> {
        correlation.and_then(|id| self.calls.get(&id)).map(|call| call.medium.clone())
    }

    fn changed(&mut self, call: CallId, place: &Place<'_>) -> Result<&mut CallRow, ProjectError> {
        let row = self.calls.find(call.0, "call", place)?;
        row.revision = place.revision;
        Ok(row)
    }
}

fn started(it: &CallStarted, place: &Place<'_>) -> CallRow {
    CallRow {
        call: it.call.0,
        started_revision: place.revision,
        payer: it.payer.0,
        host: it.host.0,
        medium: code(it.medium),
        price_milli_per_minute: it.price_milli_per_minute,
        increment_seconds: i64::from(it.increment_seconds),
        free_seconds: i64::from(it.free_seconds),
        grace_seconds: i64::from(it.grace_seconds),
        commission_scope: scope(it.commission.scope).0.to_owned(),
        host_bps: bps(it.commission.host_bps),
        agency_bps: bps(it.commission.agency_bps),
        agency: it.commission.agency.map(|id| id.0),
        started_at: place.at,
        ended_at: None,
        status: "running".to_owned(),
        lost_at: None,
        end_reason: None,
        ended_by: None,
        connected_ms: 0,
        ticks: 0,
        charged_total_milli: 0,
        host_earned_milli: 0,
        agency_earned_milli: 0,
        platform_earned_milli: 0,
        revision: place.revision,
    }
}

/// A call from acceptance to end.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct CallRow {
    pub call: Uuid,
    pub started_revision: i64,
    pub payer: Uuid,
    pub host: Uuid,
    /// `chat`, `voice` or `video`.
    pub medium: String,
    pub price_milli_per_minute: i64,
    pub increment_seconds: i64,
    pub free_seconds: i64,
    pub grace_seconds: i64,
    /// Where the commission rate was set: `global`, `agency` or `host`.
    pub commission_scope: String,
    pub host_bps: i32,
    pub agency_bps: i32,
    pub agency: Option<Uuid>,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub started_at: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub ended_at: Option<DateTime<Utc>>,
    /// `running`, `paused` or `ended`.
    pub status: String,
    /// When a paused call is lost.
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub lost_at: Option<DateTime<Utc>>,
    /// `hung_up`, `exhausted`, `lost` or `stopped`.
    pub end_reason: Option<String>,
    pub ended_by: Option<Uuid>,
    /// Up to the last pause or the end.
    pub connected_ms: i64,
    pub ticks: i64,
    pub charged_total_milli: i64,
    pub host_earned_milli: i64,
    pub agency_earned_milli: i64,
    pub platform_earned_milli: i64,
    /// The last event of the call.
    pub revision: i64,
}

impl ReadModels {
    /// # Errors
    /// When Postgres fails.
    pub async fn call(&self, call: CallId) -> Result<Option<CallRow>, QueryError> {
        let row = sqlx::query_as("SELECT * FROM read.calls WHERE call = $1")
            .bind(call.0)
            .fetch_optional(self.pool()?)
            .await?;
        Ok(row)
    }

    /// Those of `calls` that have begun, in no order of meaning.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn calls(&self, calls: &[CallId]) -> Result<Vec<CallRow>, QueryError> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query_as("SELECT * FROM read.calls WHERE call = ANY($1)")
            .bind(calls.iter().map(|call| call.0).collect::<Vec<_>>())
            .fetch_all(self.pool()?)
            .await?;
        Ok(rows)
    }
}
