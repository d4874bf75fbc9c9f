//! Where the events of the journal stand: by type, person, correlation and time. What they say stays in the journal.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{
    CopyRow, Cursor, Fields, Kind, Page, Place, ReadModel, ReadModels, append, page_size, pg_revision,
};
use chrono::{DateTime, Utc};
use ledger_core::{Amounts, Event, Period, PersonId, Recorded, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use std::collections::{BTreeSet, HashMap};
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE events (
    revision bigint PRIMARY KEY,
    recorded_at timestamptz NOT NULL,
    correlation uuid,
    kind event_kind NOT NULL,
    -- The last event of its command: answers as of a moment stand at such revisions only.
    closes_unit boolean NOT NULL
);
CREATE INDEX events_of_kind ON events (kind, revision);
CREATE INDEX events_of_correlation ON events (correlation, revision) WHERE correlation IS NOT NULL;
CREATE INDEX units_by_time ON events (recorded_at, revision) WHERE closes_unit;

-- Everybody whom an event concerns, counted in the order of their first events: the table below has a row or two an
-- event, and a number is a quarter of an id.
CREATE TABLE people (
    person uuid PRIMARY KEY,
    number integer NOT NULL UNIQUE,
    -- The first event.
    revision bigint NOT NULL
);
CREATE INDEX people_by_revision ON people USING brin (revision) WITH (pages_per_range = 16);

-- One row for each person whom an event concerns.
CREATE TABLE event_people (
    -- `number` in `people`.
    person integer NOT NULL,
    kind event_kind NOT NULL,
    revision bigint NOT NULL,
    -- A person's events of one type are read along this key. Those of all types are merged from it, type by type.
    PRIMARY KEY (person, kind, revision)
);
-- Rows come in the journal's order, so verification finds a part of it by this small index.
CREATE INDEX event_people_by_revision ON event_people USING brin (revision) WITH (pages_per_range = 16);";

/// The events of a batch.
#[derive(Default)]
pub(crate) struct Events {
    events: Vec<EventPlace>,
    concerned: Vec<EventPerson>,
    wanted: BTreeSet<PersonId>,
    /// How many people there are.
    count: i32,
    numbers: HashMap<PersonId, i32>,
    new_people: Vec<PersonNumber>,
}

impl ReadModel for Events {
    const TABLES: &'static str = TABLES;

    fn touch(&mut self, event: &Event) {
        self.wanted.extend(event.people());
    }

    async fn load(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.wanted.is_empty() {
            return Ok(());
        }
        let wanted: Vec<Uuid> = self.wanted.iter().map(|person| person.0).collect();
        let rows: Vec<(Uuid, i32)> =
            sqlx::query_as("SELECT person, number FROM people WHERE person = ANY($1)")
                .bind(&wanted)
                .fetch_all(&mut *connection)
                .await?;
        if rows.len() < wanted.len() {
            self.count = sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM people")
                .fetch_one(connection)
                .await?;
        }
        self.numbers = rows.into_iter().map(|(person, number)| (PersonId(person), number)).collect();
        Ok(())
    }

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        let (event, metadata) = (place.event(), &place.recorded.metadata);
        let (revision, kind) = (place.revision, Kind(event.kind()));
        for id in event.people().into_iter().collect::<BTreeSet<_>>() {
            let (count, new_people) = (&mut self.count, &mut self.new_people);
            let person = *self.numbers.entry(id).or_insert_with(|| {
                *count += 1;
                new_people.push(PersonNumber { person: id.0, number: *count, revision });
                *count
            });
            self.concerned.push(EventPerson { person, kind, revision });
        }
        self.events.push(EventPlace {
            revision,
            recorded_at: place.at,
            correlation: metadata.correlation,
            kind,
            closes_unit: metadata.closes_unit(),
        });
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        append(connection, &self.events).await?;
        append(connection, &self.new_people).await?;
        append(connection, &self.concerned).await
    }
}

/// A row of `read.events`.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub(crate) struct EventPlace {
    pub revision: i64,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub recorded_at: DateTime<Utc>,
    pub correlation: Option<Uuid>,
    pub kind: Kind,
    pub closes_unit: bool,
}

impl CopyRow for EventPlace {
    const TABLE: &'static str = "events";
    const COLUMNS: &'static [&'static str] =
        &["revision", "recorded_at", "correlation", "kind", "closes_unit"];

    fn fields(&self, fields: &mut impl Fields) {
        fields
            .bigint(self.revision)
            .time(self.recorded_at)
            .uuid(self.correlation)
            .kind(self.kind)
            .boolean(self.closes_unit);
    }
}

/// A row of `read.people`.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub(crate) struct PersonNumber {
    pub person: Uuid,
    pub number: i32,
    pub revision: i64,
}

impl CopyRow for PersonNumber {
    const TABLE: &'static str = "people";
    const COLUMNS: &'static [&'static str] = &["person", "number", "revision"];

    fn fields(&self, fields: &mut impl Fields) {
        fields.uuid(Some(self.person)).integer(self.number).bigint(self.revision);
    }
}

/// That an event concerns a person.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub(crate) struct EventPerson {
    pub person: i32,
    pub kind: Kind,
    pub revision: i64,
}

impl CopyRow for EventPerson {
    const TABLE: &'static str = "event_people";
    const COLUMNS: &'static [&'static str] = &["person", "kind", "revision"];

    fn fields(&self, fields: &mut impl Fields) {
        fields.integer(self.person).kind(self.kind).bigint(self.revision);
    }
}

/// An event of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct EventRow {
    pub revision: i64,
    pub event_id: Uuid,
    /// The name of the event's type.
    pub kind: String,
    #[serde(serialize_with = "rfc3339::serialize")]
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

impl From<&Recorded> for EventRow {
    fn from(recorded: &Recorded) -> EventRow {
        let Recorded { revision, event_id, metadata, event } = recorded;
        let json = |bytes: Vec<u8>| serde_json::from_slice(&bytes).unwrap_or_default();
        EventRow {
            revision: pg_revision(*revision),
            event_id: *event_id,
            kind: event.kind().to_owned(),
            recorded_at: metadata.recorded_at.to_utc(),
            actor: metadata.actor.to_string(),
            payer: metadata.payer.map(|person| person.0),
            correlation: metadata.correlation,
            command_id: metadata.command_id.0,
            closes_unit: metadata.closes_unit(),
            people: event.people().iter().map(|person| person.0).collect(),
            data: json(event.to_json()),
            metadata: json(metadata.to_json()),
        }
    }
}

/// Which events; all that is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub kind: Option<String>,
    pub person: Option<PersonId>,
    pub correlation: Option<Uuid>,
    /// From this revision on.
    pub from_revision: Option<u64>,
    pub period: Period,
    /// The largest amount that the event moves on one account, in the smallest unit of its asset.
    pub amount_minor: Amounts,
}

impl EventFilter {
    /// Whether it takes the events' own words to tell.
    fn reads(&self) -> bool {
        self.amount_minor != Amounts::default()
    }

    fn takes(&self, event: &Event) -> bool {
        let moved = event.postings().iter().map(|posting| posting.amount.saturating_abs()).max();
        !self.reads() || moved.is_some_and(|moved| self.amount_minor.take(moved))
    }
}

/// Of what a filter reads from the journal: events at a time, and how many times for one page.
const BLOCK: i64 = 1_000;
const BLOCKS: usize = 10;

impl ReadModels {
    /// # Errors
    /// When Postgres or the journal fails.
    pub async fn event(&self, revision: u64) -> Result<Option<EventRow>, QueryError> {
        let found: Option<i64> = sqlx::query_scalar("SELECT revision FROM read.events WHERE revision = $1")
            .bind(pg_revision(revision))
            .fetch_optional(self.pool()?)
            .await?;
        let Some(revision) = found else { return Ok(None) };
        Ok(Some(self.recorded([revision]).await?.at(revision)?.into()))
    }

    /// The events in the journal's order, oldest first; the cursor leads to later ones. Amounts stand in the journal
    /// alone, so that a filter by them reads up to 10,000 events for a page: it may be short and have a next one.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres or the journal fails.
    pub async fn events(
        &self,
        filter: &EventFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<EventRow>, QueryError> {
        let rows = usize::try_from(page_size(limit)).unwrap_or(usize::MAX);
        let after = Cursor::read_or("events", after, -1_i64)?;
        let (first, end) = self.revisions(filter.period).await?;
        let mut first = first.max(filter.from_revision.map_or(0, pg_revision)).max(after.saturating_add(1));
        let (block, blocks) = if filter.reads() { (BLOCK, BLOCKS) } else { (page_size(limit), 1) };
        let mut items = Vec::new();
        let mut next = None;
        for _ in 0..blocks {
            let places = self.event_places(filter, (first, end), block).await?;
            let events = self.recorded(places.items.iter().map(|(revision,)| *revision)).await?;
            next = places.next;
            for (place, (revision,)) in places.items.iter().enumerate() {
                let recorded = events.at(*revision)?;
                first = revision.saturating_add(1);
                items.extend(filter.takes(&recorded.event).then(|| EventRow::from(recorded)));
                if items.len() == rows {
                    let more = next.is_some() || place + 1 < places.items.len();
                    return Ok(Page { items, next: more.then(|| Cursor::write("events", revision)) });
                }
            }
            if next.is_none() {
                break;
            }
        }
        Ok(Page { items, next })
    }

    /// Up to `limit` revisions within bounds of events that fit, as far as tables know.
    async fn event_places(
        &self,
        filter: &EventFilter,
        (first, end): (i64, i64),
        limit: i64,
    ) -> Result<Page<(i64,)>, QueryError> {
        let mut query = match (filter.person, filter.correlation) {
            (Some(person), None) => of_person(person, filter.kind.as_deref(), (first, end), limit + 1),
            _ => of_all(filter, (first, end)),
        };
        query.push(" ORDER BY revision LIMIT ").push_bind(limit + 1);
        let found: Vec<(i64,)> = query.build_query_as().fetch_all(self.pool()?).await?;
        Ok(Page::of(found, limit, "events", |(revision,)| *revision))
    }
}

/// The events that concern a person, read along the key that has those of a type in order.
fn of_person(
    person: PersonId,
    kind: Option<&str>,
    (first, end): (i64, i64),
    limit: i64,
) -> QueryBuilder<Postgres> {
    // Looked up once, however many types of event there are.
    let mut query =
        QueryBuilder::new("WITH who AS MATERIALIZED (SELECT number FROM read.people WHERE person = ");
    query.push_bind(person.0).push(") SELECT revision FROM (");
    let kinds = Event::KINDS.iter().filter(|name| kind.is_none_or(|kind| kind == **name));
    for (place, kind) in kinds.enumerate() {
        query.push(if place == 0 { "(" } else { " UNION ALL (" });
        query.push("SELECT revision FROM read.event_people WHERE person = (SELECT number FROM who)");
        query.push(" AND kind = ").push_bind(*kind).push("::read.event_kind");
        query.push(" AND revision >= ").push_bind(first).push(" AND revision < ").push_bind(end);
        query.push(" ORDER BY revision LIMIT ").push_bind(limit).push(")");
    }
    query.push(") AS of_person");
    query
}

fn of_all(filter: &EventFilter, (first, end): (i64, i64)) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("SELECT revision FROM read.events WHERE revision >= ");
    query.push_bind(first).push(" AND revision < ").push_bind(end);
    if let Some(kind) = &filter.kind {
        query.push(" AND kind = ").push_bind(kind.clone()).push("::read.event_kind");
    }
    // The events of one call or purchase are few.
    if let Some(correlation) = filter.correlation {
        query.push(" AND correlation = ").push_bind(correlation);
    }
    if let Some(person) = filter.person {
        query.push(" AND EXISTS (SELECT FROM read.event_people AS of WHERE of.person = ");
        query.push("(SELECT number FROM read.people WHERE person = ").push_bind(person.0);
        query.push(") AND of.kind = events.kind AND of.revision = events.revision)");
    }
    query
}
