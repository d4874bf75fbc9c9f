//! What all read models share: how a batch of events becomes rows, how far that has come, and how
//! lists are paged. What each read model holds stands in its own file beside this folder.
//!
//! A batch is applied within the transaction that holds the checkpoint's lock. A table that a batch
//! does not concern costs no round trip.
//!
//! | phase | round trips |
//! |---|---|
//! | lock and read the checkpoint ([`projector`]) | 2, with BEGIN |
//! | [`ReadModel::touch`]: which rows the events change, in memory | 0 |
//! | [`ReadModel::load`]: those rows, as they stand before the batch | 1 a table, at most 8 |
//! | [`ReadModel::apply`]: the events in order, in memory | 0 |
//! | [`ReadModel::write`]: append the rows by `COPY` (2), or insert and replace them (1) | at most 25; a batch of calls and gifts has 15 |
//! | move the checkpoint, commit ([`projector`]) | 2 |
//!
//! So a batch costs two dozen round trips, whether it has one event or thousands. The next batch is read from the
//! journal and decoded meanwhile.

mod checkpoint;
mod codes;
mod copy;
mod journal;
mod page;
mod progress;
mod projector;
mod reading;
mod schema;
mod table;

pub use checkpoint::Checkpoint;
pub(crate) use codes::{Kind, bps, code, scope};
pub(crate) use copy::{CopyRow, Fields, append, between, encode};
pub(crate) use journal::{belong_together, decode_after};
pub use page::{BadCursor, Cursor, PAGE_LIMIT, Page};
pub(crate) use page::{page_size, push_amounts};
pub use progress::{Condition, Progress};
pub use projector::{BATCH_EVENTS, Projector, rebuild};
pub(crate) use reading::Events;
pub use reading::ReadModels;
pub use schema::FORMAT;
pub(crate) use table::{Table, put};

use crate::error::ProjectError;
use chrono::{DateTime, Utc};
use ledger_core::{Event, Recorded};
use sqlx::PgConnection;
use std::fmt;

/// One noun's tables, and what a batch of events makes of them. A value lives for one batch.
pub(crate) trait ReadModel: Default {
    /// The statements that create its tables and indexes.
    const TABLES: &'static str;

    /// Notes which rows `event` changes that may have been written by an earlier batch.
    fn touch(&mut self, _event: &Event) {}

    /// Reads the rows that were noted: one query a table.
    async fn load(&mut self, _connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        Ok(())
    }

    /// Applies one event to the rows in memory.
    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError>;

    /// Writes the rows that the batch has changed: one statement a table.
    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error>;
}

/// An event and its place in the journal.
pub(crate) struct Place<'a> {
    pub recorded: &'a Recorded,
    pub revision: i64,
    pub at: DateTime<Utc>,
    /// The medium of the call that the event is part of.
    pub medium: Option<String>,
}

impl<'a> Place<'a> {
    pub fn new(recorded: &'a Recorded, medium: Option<String>) -> Place<'a> {
        let at = recorded.metadata.recorded_at.to_utc();
        Place { recorded, revision: pg_revision(recorded.revision), at, medium }
    }

    pub fn event(&self) -> &'a Event {
        &self.recorded.event
    }

    /// The event speaks of a row that the read models should have.
    pub fn lacks(&self, what: &str, id: impl fmt::Display) -> ProjectError {
        ProjectError::Incomplete { revision: self.recorded.revision, missing: format!("{what} {id}") }
    }
}

/// A revision as Postgres has it. No journal comes near the end of 63 bits.
pub(crate) fn pg_revision(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// Declares the modules of the read models, and the batch that applies events to all of them.
///
/// `calls` has to be among them: the other read models are told the medium of an event's call.
macro_rules! read_models {
    ($($noun:ident: $model:ident,)*) => {
        $(mod $noun; pub use $noun::*;)*

        /// What a batch of events makes of the rows of all read models.
        #[derive(Default)]
        struct Batch { $($noun: $noun::$model),* }

        impl Batch {
            const TABLES: &[&str] = &[$(<$noun::$model as ReadModel>::TABLES),*];

            fn touch(&mut self, event: &ledger_core::Event) {
                $(self.$noun.touch(event);)*
            }

            async fn load(&mut self, connection: &mut sqlx::PgConnection) -> Result<(), sqlx::Error> {
                $(self.$noun.load(connection).await?;)*
                Ok(())
            }

            fn apply(&mut self, recorded: &ledger_core::Recorded) -> Result<(), ProjectError> {
                let medium = self.calls.medium_of(recorded.metadata.correlation);
                let place = Place::new(recorded, medium);
                $(self.$noun.apply(&place)?;)*
                Ok(())
            }

            async fn write(&self, connection: &mut sqlx::PgConnection) -> Result<(), sqlx::Error> {
                $(self.$noun.write(connection).await?;)*
                Ok(())
            }
        }
    };
}
pub(crate) use read_models;
