//! The journal as admins audit it.

use super::{Cursor, Page, ReadModels, page_size, pg_revision};
use crate::error::QueryError;
use chrono::{DateTime, Utc};
use ledger_core::PersonId;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

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
            .fetch_optional(&self.pool)
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
        let after = match after {
            Some(text) => text.parse::<Cursor>()?.revision,
            None => -1,
        };
        let from = filter.from.map_or(0, pg_revision);
        let rows: Vec<EventRow> = sqlx::query_as(
            "SELECT * FROM read.events
             WHERE revision > $1 AND revision >= $2 AND ($3::text IS NULL OR kind = $3)
               AND ($4::uuid[] IS NULL OR people @> $4) AND ($5::uuid IS NULL OR correlation = $5)
             ORDER BY revision LIMIT $6",
        )
        .bind(after)
        .bind(from)
        .bind(filter.kind.as_deref())
        .bind(filter.person.map(|person| vec![person.0]))
        .bind(filter.correlation)
        .bind(limit + 1)
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::of(rows, limit, |row| Cursor::at(row.revision)))
    }
}
