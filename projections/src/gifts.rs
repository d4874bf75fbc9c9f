//! Gifts that were sent.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{
    CopyRow, Cursor, Events, Fields, Page, Place, ReadModel, ReadModels, Table, append, page_size,
};
use chrono::{DateTime, Utc};
use event_store::ReadError;
use ledger_core::event::SplitSource;
use ledger_core::{Event, Metadata, PersonId, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use std::ops::RangeInclusive;
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
-- Where the gifts of a host stand. What they were, and their splits, is in the journal.
CREATE TABLE gifts_sent (
    host uuid NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (host, revision)
);
-- Rows come in the journal's order, so verification finds a part of it by this small index.
CREATE INDEX gifts_sent_by_revision ON gifts_sent USING brin (revision) WITH (pages_per_range = 16);

CREATE TABLE host_gift_totals (
    host uuid PRIMARY KEY,
    gift_count bigint NOT NULL,
    value_milli bigint NOT NULL,
    revision bigint NOT NULL
);";

const ADD_TOTALS: &str = "
    INSERT INTO host_gift_totals AS totals
    SELECT * FROM json_populate_recordset(NULL::host_gift_totals, $1::json)
    ON CONFLICT (host) DO UPDATE SET
        gift_count = totals.gift_count + EXCLUDED.gift_count,
        value_milli = totals.value_milli + EXCLUDED.value_milli, revision = EXCLUDED.revision";

/// The gifts that a batch of events sends, and what it adds to the totals of their hosts.
#[derive(Default)]
pub(crate) struct Gifts {
    sent: Vec<GiftPlace>,
    added: Table<HostGiftTotals>,
}

impl ReadModel for Gifts {
    const TABLES: &'static str = TABLES;

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        if let Event::GiftSent(it) = place.event() {
            self.sent.push(GiftPlace { host: it.host.0, revision: place.revision });
            let none = HostGiftTotals { host: it.host.0, gift_count: 0, value_milli: 0, revision: 0 };
            let totals = self.added.entry(it.host.0).or_insert(none);
            totals.gift_count += 1;
            totals.value_milli += it.price_milli;
            totals.revision = place.revision;
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        append(connection, &self.sent).await?;
        self.added.write(connection, ADD_TOTALS).await
    }
}

/// A row of `read.gifts_sent`.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub(crate) struct GiftPlace {
    pub host: Uuid,
    pub revision: i64,
}

impl CopyRow for GiftPlace {
    const TABLE: &'static str = "gifts_sent";
    const COLUMNS: &'static [&'static str] = &["host", "revision"];

    fn fields(&self, fields: &mut impl Fields) {
        fields.uuid(Some(self.host)).bigint(self.revision);
    }
}

/// One sending of a gift, and who earned how much of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct GiftRow {
    pub sending: Uuid,
    pub revision: i64,
    pub gift: Uuid,
    pub sender: Uuid,
    pub host: Uuid,
    /// The call that it was sent in.
    pub call: Option<Uuid>,
    pub price_milli: i64,
    pub host_milli: i64,
    pub agency_milli: i64,
    pub platform_milli: i64,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub sent_at: DateTime<Utc>,
}

/// The gift of an event and its split, which is a later event of the same unit; a gift that cost nothing has none.
fn told(events: &Events, revision: i64) -> Result<GiftRow, QueryError> {
    let sent = events.at(revision)?;
    let Event::GiftSent(it) = &sent.event else {
        return Err(ReadError::Damaged(format!("the event at {revision} is no gift")).into());
    };
    let mut row = GiftRow {
        sending: it.sending.0,
        revision,
        gift: it.gift.0,
        sender: it.sender.0,
        host: it.host.0,
        call: it.call.map(|call| call.0),
        price_milli: it.price_milli,
        host_milli: 0,
        agency_milli: 0,
        platform_milli: 0,
        sent_at: sent.metadata.recorded_at.to_utc(),
    };
    for later in rest_of_unit(&sent.metadata, revision) {
        if let Event::CommissionSplit(split) = &events.at(later)?.event
            && split.source == SplitSource::Gift(it.sending)
        {
            row.host_milli += split.host_milli;
            row.agency_milli += split.agency_milli;
            row.platform_milli += split.platform_milli;
        }
    }
    Ok(row)
}

/// The revisions that follow `revision` in its unit.
fn rest_of_unit(metadata: &Metadata, revision: i64) -> RangeInclusive<i64> {
    revision + 1..=revision + i64::from(metadata.count) - i64::from(metadata.index) - 1
}

/// All gifts that a host ever received.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct HostGiftTotals {
    pub host: Uuid,
    pub gift_count: i64,
    /// What they cost their senders.
    pub value_milli: i64,
    pub revision: i64,
}

impl ReadModels {
    /// The gifts that `host` received, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres or the journal fails.
    pub async fn gifts_received(
        &self,
        host: PersonId,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<GiftRow>, QueryError> {
        let limit = page_size(limit);
        let found: Vec<(i64,)> = sqlx::query_as(
            "SELECT revision FROM read.gifts_sent WHERE host = $1 AND revision < $2
             ORDER BY revision DESC LIMIT $3",
        )
        .bind(host.0)
        .bind(Cursor::read_or("gifts_received", before, i64::MAX)?)
        .bind(limit + 1)
        .fetch_all(self.pool()?)
        .await?;
        let Page { items, next } = Page::of(found, limit, "gifts_received", |(revision,)| *revision);
        // A gift and its split are a whole unit mostly, so they are read together. What a unit has beyond is read then.
        let mut events =
            self.recorded(items.iter().flat_map(|(revision,)| [*revision, *revision + 1])).await?;
        let mut beyond = Vec::new();
        for (revision,) in &items {
            beyond.extend(rest_of_unit(&events.at(*revision)?.metadata, *revision).skip(1));
        }
        if !beyond.is_empty() {
            events.extend(self.recorded(beyond).await?);
        }
        let items = items.iter().map(|(revision,)| told(&events, *revision));
        Ok(Page { items: items.collect::<Result<_, _>>()?, next })
    }

    /// Count and value of all gifts that `host` received; zeros when there is none.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn gift_totals(&self, host: PersonId) -> Result<HostGiftTotals, QueryError> {
        let row = sqlx::query_as("SELECT * FROM read.host_gift_totals WHERE host = $1")
            .bind(host.0)
            .fetch_optional(self.pool()?)
            .await?;
        Ok(row.unwrap_or(HostGiftTotals { host: host.0, gift_count: 0, value_milli: 0, revision: 0 }))
    }
}
