//! The journal as admins audit it.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{Cursor, Page, Place, ReadModel, ReadModels, page_size, pg_revision};
use chrono::{DateTime, Utc};
use ledger_core::{PersonId, Recorded};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE read.events (
    revision bigint PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    kind text NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor text NOT NULL,
    payer uuid,
    correlation uuid,
    command_id uuid NOT NULL,
    -- The last event of its command: answers as of a moment stand at such revisions only.
    closes_unit boolean NOT NULL,
    people uuid[] NOT NULL,
    data jsonb NOT NULL,
    metadata jsonb NOT NULL
);
CREATE INDEX events_of_kind ON read.events (kind, revision);
CREATE INDEX events_of_correlation ON read.events (correlation, revision) WHERE correlation IS NOT NULL;
CREATE INDEX events_by_time ON read.events (recorded_at, revision);

-- One row for each person whom an event concerns: a person's events are read in the journal's order,
-- which an index over the array in `events` could not do.
CREATE TABLE read.event_people (
    person uuid NOT NULL,
    revision bigint NOT NULL,
    kind text NOT NULL,
    PRIMARY KEY (person, revision)
);
CREATE INDEX events_of_person_by_kind ON read.event_people (person, kind, revision);";

/// The events of a batch.
#[derive(Default)]
pub(crate) struct Events {
    events: Vec<EventText>,
    people: Vec<EventPersonRow>,
}

/// A row of `read.events`, its JSON as canonical text.
struct EventText {
    revision: i64,
    event_id: Uuid,
    kind: &'static str,
    recorded_at: DateTime<Utc>,
    actor: String,
    payer: Option<Uuid>,
    correlation: Option<Uuid>,
    command_id: Uuid,
    closes_unit: bool,
    /// As Postgres writes an array: `{id,id}`.
    people: String,
    data: String,
    metadata: String,
}

impl ReadModel for Events {
    const TABLES: &'static str = TABLES;

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        let Recorded { event_id, metadata, event, .. } = place.recorded;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("JSON is UTF-8");
        let people = event.people();
        let names: Vec<String> = people.iter().map(ToString::to_string).collect();
        let kind = event.kind();
        for person in people.iter().map(|person| person.0).collect::<BTreeSet<_>>() {
            self.people.push(EventPersonRow { person, revision: place.revision, kind: kind.to_owned() });
        }
        self.events.push(EventText {
            revision: place.revision,
            event_id: *event_id,
            kind,
            recorded_at: place.at,
            actor: metadata.actor.to_string(),
            payer: metadata.payer.map(|person| person.0),
            correlation: metadata.correlation,
            command_id: metadata.command_id.0,
            closes_unit: metadata.closes_unit(),
            people: format!("{{{}}}", names.join(",")),
            data: text(event.encode()),
            metadata: text(metadata.encode()),
        });
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        write_events(connection, &self.events).await?;
        write_people(connection, &self.people).await
    }
}

async fn write_events(connection: &mut PgConnection, rows: &[EventText]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO read.events (revision, event_id, kind, recorded_at, actor, payer, correlation, command_id,
                                  closes_unit, people, data, metadata)
         SELECT revision, event_id, kind, recorded_at, actor, payer, correlation, command_id,
                closes_unit, people::uuid[], data::jsonb, metadata::jsonb
         FROM UNNEST($1::bigint[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::uuid[],
                     $7::uuid[], $8::uuid[], $9::boolean[], $10::text[], $11::text[], $12::text[])
              AS batch (revision, event_id, kind, recorded_at, actor, payer, correlation, command_id,
                        closes_unit, people, data, metadata)",
    )
    .bind(rows.iter().map(|row| row.revision).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.event_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.kind).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.recorded_at).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.actor.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.payer).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.correlation).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.command_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.closes_unit).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.people.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.data.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.metadata.as_str()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_people(connection: &mut PgConnection, rows: &[EventPersonRow]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO read.event_people (person, revision, kind)
         SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::text[])",
    )
    .bind(rows.iter().map(|row| row.person).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.revision).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// That an event concerns a person.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub(crate) struct EventPersonRow {
    pub person: Uuid,
    pub revision: i64,
    pub kind: String,
}

/// An event of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct EventRow {
    pub revision: i64,
    pub event_id: Uuid,
    /// The name of the event's type.
    pub kind: String,
    pub recorded_at: DateTime<Utc>,
    /// Who gave the command: `person:<uuid>`, `gateway:razorpay` or `system`.
    pub actor: String,
    pub payer: Option<Uuid>,
    pub correlation: Option<Uuid>,
    pub command_id: Uuid,
    /// Whether it is the last event of its command.
    pub closes_unit: bool,
    /// Whom the event concerns.
    pub people: Vec<Uuid>,
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
    #[schema(value_type = Object)]
    pub metadata: serde_json::Value,
}

/// Which events; all that is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub kind: Option<String>,
    pub person: Option<PersonId>,
    pub correlation: Option<Uuid>,
    /// From this revision on.
    pub from: Option<u64>,
}

impl ReadModels {
    /// # Errors
    /// When Postgres fails.
    pub async fn event(&self, revision: u64) -> Result<Option<EventRow>, QueryError> {
        let row = sqlx::query_as("SELECT * FROM read.events WHERE revision = $1")
            .bind(pg_revision(revision))
            .fetch_optional(self.pool()?)
            .await?;
        Ok(row)
    }

    /// The events in the journal's order, oldest first; the cursor leads to later ones.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn events(
        &self,
        filter: &EventFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<EventRow>, QueryError> {
        let limit = page_size(limit);
        let after = Cursor::read_or("events", after, -1_i64)?;
        let first = filter.from.map_or(0, pg_revision).max(after.saturating_add(1));
        let mut query = QueryBuilder::<Postgres>::new("SELECT events.* FROM read.events ");
        // The events of one call or purchase are few; those of a person or of a kind are read along the
        // index that has them in order.
        match (filter.person, filter.correlation) {
            (Some(person), None) => {
                query.push("JOIN read.event_people AS of USING (revision) WHERE of.person = ");
                query.push_bind(person.0).push(" AND of.revision >= ").push_bind(first);
                if let Some(kind) = &filter.kind {
                    query.push(" AND of.kind = ").push_bind(kind);
                }
                query.push(" ORDER BY of.revision");
            }
            (person, correlation) => {
                query.push("WHERE events.revision >= ").push_bind(first);
                if let Some(correlation) = correlation {
                    query.push(" AND correlation = ").push_bind(correlation);
                }
                if let Some(person) = person {
                    query.push(" AND people @> ").push_bind(vec![person.0]);
                }
                if let Some(kind) = &filter.kind {
                    query.push(" AND events.kind = ").push_bind(kind);
                }
                query.push(" ORDER BY events.revision");
            }
        }
        query.push(" LIMIT ").push_bind(limit + 1);
        let rows: Vec<EventRow> = query.build_query_as().fetch_all(self.pool()?).await?;
        Ok(Page::of(rows, limit, "events", |row| row.revision))
    }
}
