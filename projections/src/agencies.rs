//! Who belongs to which agency, from when on and until when.

use crate::error::ProjectError;
use crate::mechanism::{Place, ReadModel, Table};
use chrono::{DateTime, Utc};
use ledger_core::{Event, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE agency_members (
    host uuid NOT NULL,
    joined_revision bigint NOT NULL,
    agency uuid NOT NULL,
    joined_at timestamptz NOT NULL,
    -- The end, which may be still to come.
    left_at timestamptz,
    revision bigint NOT NULL,
    PRIMARY KEY (host, joined_revision)
);
-- A host belongs to one agency at a time: nobody joins another one before the end of a membership is set.
CREATE UNIQUE INDEX agency_of_host ON agency_members (host) WHERE left_at IS NULL;
CREATE INDEX members_of_agency ON agency_members (agency, joined_revision);";

/// The memberships that have not ended when the batch begins: no other one can change.
const LOAD: &str = "
    SELECT * FROM agency_members WHERE host = ANY($1) AND (left_at IS NULL
        OR left_at >= (SELECT recorded_at FROM events ORDER BY revision DESC LIMIT 1))";

const WRITE: &str = "
    INSERT INTO agency_members SELECT * FROM json_populate_recordset(NULL::agency_members, $1::json)
    ON CONFLICT (host, joined_revision) DO UPDATE SET
        left_at = EXCLUDED.left_at, revision = EXCLUDED.revision";

/// The memberships that a batch of events begins or ends.
#[derive(Default)]
pub(crate) struct Agencies {
    // Written in the order of their keys, so that a host has left one agency before joining another.
    members: Table<AgencyMemberRow, (Uuid, i64)>,
}

impl ReadModel for Agencies {
    const TABLES: &'static str = TABLES;

    fn touch(&mut self, event: &Event) {
        if let Event::AgencyLeft(it) = event {
            self.members.want(it.host.0);
        }
    }

    async fn load(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.members.load(connection, LOAD, |row| (row.host, row.joined_revision)).await
    }

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        let revision = place.revision;
        match place.event() {
            Event::AgencyJoined(it) => {
                let row = AgencyMemberRow {
                    host: it.host.0,
                    joined_revision: revision,
                    agency: it.agency.0,
                    joined_at: it.from.to_utc(),
                    left_at: it.until.map(|until| until.to_utc()),
                    revision,
                };
                self.members.insert((row.host, revision), row);
            }
            Event::AgencyLeft(it) => {
                let at = it.at.to_utc();
                let of_then = |row: &&mut AgencyMemberRow| {
                    row.host == it.host.0
                        && row.joined_at <= at
                        && row.left_at.is_none_or(|left_at| at < left_at)
                };
                let row = self.members.values_mut().find(of_then);
                let row = row.ok_or_else(|| place.lacks("the agency of", it.host))?;
                (row.left_at, row.revision) = (Some(at), revision);
            }
            _ => {}
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.members.write(connection, WRITE).await
    }
}

/// A host's time with an agency.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct AgencyMemberRow {
    pub host: Uuid,
    pub joined_revision: i64,
    pub agency: Uuid,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub joined_at: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub left_at: Option<DateTime<Utc>>,
    pub revision: i64,
}
