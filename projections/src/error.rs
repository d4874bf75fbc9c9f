//! What can go wrong, by who can mend it.

use crate::mechanism::BadCursor;
use event_store::ReadError;
use ledger_core::JournalId;
use ledger_core::event::DecodeError;
use std::sync::Arc;
use uuid::Uuid;

/// Why a projector stopped or a batch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("the read models cannot be written: {0}")]
    Postgres(#[from] sqlx::Error),
    #[error(transparent)]
    Journal(#[from] ReadError),
    /// The projector never skips an event: a newer program has to go on from here.
    #[error("the event at revision {revision} cannot be read: {fault}")]
    Undecodable { revision: u64, fault: DecodeError },
    /// An old read model beside a fresh journal, or the other way round.
    #[error(
        "the read models follow the journal {read_models}, but the store holds the journal {journal}; \
         set MUNEEM_DATA_DIR to the folder of the journal {read_models}, or rebuild the read models from \
         this one: muneem rebuild"
    )]
    OtherJournal { read_models: JournalId, journal: JournalId },
    /// The journal was restored from an older copy, or cut.
    #[error(
        "the read models stand at revision {projected}, but the journal ends {}; restore the journal that \
         was projected, or rebuild the read models from this one: muneem rebuild", ends_at(*head)
    )]
    AheadOfJournal { projected: u64, head: Option<u64> },
    /// The journal was restored from an older copy and has gone another way since.
    #[error(
        "the read models were projected from another history: at revision {revision} they have the event \
         {read_models}, and the journal has {journal}; restore the journal that was projected, or rebuild \
         the read models from this one: muneem rebuild"
    )]
    OtherHistory { revision: u64, read_models: Uuid, journal: Uuid },
    #[error("the journal does not begin with JournalOpened")]
    NotAJournal,
    /// An event speaks of something that the read models should have and have not.
    #[error(
        "the event at revision {revision} needs {missing}, which the read models lack; run: muneem rebuild"
    )]
    Incomplete { revision: u64, missing: String },
    #[error("the read models are being rebuilt already; wait for that, or end it")]
    RebuildUnderWay,
    #[error("the read models have no checkpoint of this program's format; run: muneem rebuild")]
    NoCheckpoint,
}

fn ends_at(head: Option<u64>) -> String {
    head.map_or_else(|| "before it".to_owned(), |head| format!("at {head}"))
}

impl ProjectError {
    /// Whether the same attempt may succeed later without anybody's help.
    pub fn is_outage(&self) -> bool {
        match self {
            ProjectError::Postgres(fault) => is_postgres_outage(fault),
            ProjectError::Journal(fault) => matches!(fault, ReadError::Unavailable(_)),
            _ => false,
        }
    }
}

fn is_postgres_outage(fault: &sqlx::Error) -> bool {
    match fault {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        // Connection, transaction rollback, resources, operator intervention; and a plan or a table
        // that a rebuild elsewhere has just replaced.
        sqlx::Error::Database(fault) => fault.code().is_some_and(|code| {
            ["08", "40", "53", "57", "55"].iter().any(|class| code.starts_with(class))
                || ["0A000", "42P01", "3F000", "XX000"].contains(&code.as_ref())
        }),
        _ => false,
    }
}

/// A query's `min_revision` was not reached in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the read models stand at {projected:?}, revision {wanted} was asked for")]
pub struct Behind {
    pub wanted: u64,
    pub projected: Option<u64>,
}

/// Why a query was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// Not a cursor that an earlier page of the list gave.
    #[error("this is not a cursor that an earlier page gave")]
    BadCursor,
    /// The journal does not have the revision that was asked for.
    #[error("revision {wanted} was asked for, and the journal ends at {head:?}")]
    BeyondJournal { wanted: u64, head: Option<u64> },
    /// The read models do not belong to the journal; the text says why, and the mend.
    #[error("{0}")]
    Refused(Arc<str>),
    #[error(transparent)]
    Behind(#[from] Behind),
    #[error("the read models cannot be read: {0}")]
    Postgres(#[from] sqlx::Error),
    /// The events that a page shows are read from the journal itself.
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] ReadError),
}

impl From<BadCursor> for QueryError {
    fn from(_: BadCursor) -> QueryError {
        QueryError::BadCursor
    }
}
