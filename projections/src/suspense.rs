//! Money that fits no open case and waits for a person.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{Cursor, Page, Place, ReadModel, ReadModels, code, page_size, put};
use chrono::{DateTime, Utc};
use ledger_core::Event;
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
-- Money in suspense: one row for each event that put it there.
CREATE TABLE read.unmatched_money (
    revision bigint PRIMARY KEY,
    recorded_at timestamptz NOT NULL,
    gateway text NOT NULL,
    payment_ref text NOT NULL,
    purchase uuid,
    cause text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('in', 'out')),
    amount_minor bigint NOT NULL,
    amount_asset text NOT NULL
);";

const WRITE: &str = "
    INSERT INTO read.unmatched_money SELECT * FROM json_populate_recordset(NULL::read.unmatched_money, $1::json)";

/// The cases that a batch of events adds.
#[derive(Default)]
pub(crate) struct Suspense {
    cases: Vec<UnmatchedRow>,
}

impl ReadModel for Suspense {
    const TABLES: &'static str = TABLES;

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        let row = match place.event() {
            Event::UnmatchedMoneyReceived(it) => UnmatchedRow {
                revision: place.revision,
                recorded_at: place.at,
                gateway: it.gateway.name().to_owned(),
                payment_ref: it.payment_ref.clone(),
                purchase: it.purchase.map(|id| id.0),
                cause: code(it.cause),
                direction: code(it.direction),
                amount_minor: it.amount_minor,
                amount_asset: it.amount_asset.to_string(),
            },
            Event::PurchaseRefunded(it) if it.uncovered_minor > 0 => UnmatchedRow {
                revision: place.revision,
                recorded_at: place.at,
                gateway: it.gateway.name().to_owned(),
                payment_ref: it.refund_ref.clone(),
                purchase: Some(it.purchase.0),
                cause: "refund_uncovered".to_owned(),
                direction: "out".to_owned(),
                amount_minor: it.uncovered_minor,
                amount_asset: it.refunded_asset.to_string(),
            },
            _ => return Ok(()),
        };
        self.cases.push(row);
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        put(connection, WRITE, self.cases.iter()).await
    }
}

/// One case in suspense.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct UnmatchedRow {
    pub revision: i64,
    pub recorded_at: DateTime<Utc>,
    pub gateway: String,
    /// The gateway's name of the payment or the refund.
    pub payment_ref: String,
    pub purchase: Option<Uuid>,
    /// `unknown_order`, `second_payment`, `amount_mismatch`, `currency_mismatch`,
    /// `refund_unmatched`, or `refund_uncovered`: the part of a refund whose coins were spent.
    pub cause: String,
    /// `in` or `out`.
    pub direction: String,
    pub amount_minor: i64,
    pub amount_asset: String,
}

impl ReadModels {
    /// The cases, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn suspense_cases(
        &self,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<UnmatchedRow>, QueryError> {
        let limit = page_size(limit);
        let rows: Vec<UnmatchedRow> = sqlx::query_as(
            "SELECT * FROM read.unmatched_money WHERE revision < $1 ORDER BY revision DESC LIMIT $2",
        )
        .bind(Cursor::read_or("suspense", before, i64::MAX)?)
        .bind(limit + 1)
        .fetch_all(self.pool()?)
        .await?;
        Ok(Page::of(rows, limit, "suspense", |row| row.revision))
    }
}
