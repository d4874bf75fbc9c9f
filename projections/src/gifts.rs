//! Gifts that were sent.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{Cursor, Page, Place, ReadModel, ReadModels, Table, page_size};
use chrono::{DateTime, Utc};
use ledger_core::event::SplitSource;
use ledger_core::{Event, PersonId};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE read.gifts_sent (
    sending uuid PRIMARY KEY,
    revision bigint NOT NULL UNIQUE,
    gift uuid NOT NULL,
    sender uuid NOT NULL,
    host uuid NOT NULL,
    call uuid,
    price_milli bigint NOT NULL,
    host_milli bigint NOT NULL,
    agency_milli bigint NOT NULL,
    platform_milli bigint NOT NULL,
    sent_at timestamptz NOT NULL,
    CHECK (price_milli = host_milli + agency_milli + platform_milli)
);
CREATE INDEX gifts_of_host ON read.gifts_sent (host, revision);

CREATE TABLE read.host_gift_totals (
    host uuid PRIMARY KEY,
    gift_count bigint NOT NULL,
    value_milli bigint NOT NULL,
    revision bigint NOT NULL
);";

const WRITE: &str =
    "INSERT INTO read.gifts_sent SELECT * FROM json_populate_recordset(NULL::read.gifts_sent, $1::json)";

const ADD_TOTALS: &str = "
    INSERT INTO read.host_gift_totals AS totals
    SELECT * FROM json_populate_recordset(NULL::read.host_gift_totals, $1::json)
    ON CONFLICT (host) DO UPDATE SET
        gift_count = totals.gift_count + EXCLUDED.gift_count,
        value_milli = totals.value_milli + EXCLUDED.value_milli, revision = EXCLUDED.revision";

/// The gifts that a batch of events sends, and what it adds to the totals of their hosts.
#[derive(Default)]
pub(crate) struct Gifts {
    sent: Table<GiftRow>,
    added: Table<HostGiftTotals>,
}

impl ReadModel for Gifts {
    const TABLES: &'static str = TABLES;

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        match place.event() {
            Event::GiftSent(it) => {
                let row = GiftRow {
                    sending: it.sending.0,
                    revision: place.revision,
                    gift: it.gift.0,
                    sender: it.sender.0,
                    host: it.host.0,
                    call: it.call.map(|id| id.0),
                    price_milli: it.price_milli,
                    // The next event of the unit splits the price.
                    host_milli: 0,
                    agency_milli: 0,
                    platform_milli: 0,
                    sent_at: place.at,
                };
                self.sent.insert(row.sending, row);
                let none = HostGiftTotals { host: it.host.0, gift_count: 0, value_milli: 0, revision: 0 };
                let totals = self.added.entry(it.host.0).or_insert(none);
                totals.gift_count += 1;
                totals.value_milli += it.price_milli;
                totals.revision = place.revision;
            }
            Event::CommissionSplit(it) => {
                if let SplitSource::Gift(sending) = it.source {
                    let row = self.sent.find(sending.0, "gift", place)?;
                    row.host_milli += it.host_milli;
                    row.agency_milli += it.agency_milli;
                    row.platform_milli += it.platform_milli;
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.sent.write(connection, WRITE).await?;
        self.added.write(connection, ADD_TOTALS).await
    }
}

/// One sending of a gift, and who earned how much of it.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
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
    pub sent_at: DateTime<Utc>,
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
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn gifts_received(
        &self,
        host: PersonId,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<GiftRow>, QueryError> {
        let limit = page_size(limit);
        let rows: Vec<GiftRow> = sqlx::query_as(
            "SELECT * FROM read.gifts_sent WHERE host = $1 AND revision < $2
             ORDER BY revision DESC LIMIT $3",
        )
        .bind(host.0)
        .bind(Cursor::read_or("gifts_received", before, i64::MAX)?)
        .bind(limit + 1)
        .fetch_all(self.pool()?)
        .await?;
        Ok(Page::of(rows, limit, "gifts_received", |row| row.revision))
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
