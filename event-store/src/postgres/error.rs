//! What goes wrong, and what it means for an append.

use sqlx::{ConnectOptions, PgConnection};
use tokio::time::timeout;
use tracing::warn;

use super::{PATIENCE, PostgresAddress};

/// Why a stream in PostgreSQL was not opened. Each text says what to do, and none holds a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("PostgreSQL cannot be reached at {place}: {reason}")]
    Unreachable { place: String, reason: String },
    #[error("{place} is a standby, which takes no events: name the primary")]
    Standby { place: String },
    #[error(
        "the database of {place} has the encoding {encoding}, which cannot hold every event: make one with UTF8"
    )]
    Encoding { place: String, encoding: String },
    #[error("there is no journal at {place}: check the address, or start the server once to make it")]
    NoJournal { place: String },
    #[error(
        "the table of {place} cannot be made: {source}; let the account make schemas \
         (GRANT CREATE ON DATABASE), or make the table for it"
    )]
    Make { place: String, source: sqlx::Error },
    #[error("{place} does not answer as it should: {reason}")]
    Asking { place: String, reason: String },
}

impl OpenError {
    pub(super) fn asking(address: &PostgresAddress, reason: impl ToString) -> Self {
        Self::Asking { place: address.to_string(), reason: reason.to_string() }
    }
}

pub(super) async fn connect(address: &PostgresAddress) -> Result<PgConnection, OpenError> {
    let unreachable = |reason| OpenError::Unreachable { place: address.to_string(), reason };
    match timeout(PATIENCE, address.options.connect()).await {
        Ok(connected) => connected.map_err(|fault| unreachable(fault.to_string())),
        Err(_) => Err(unreachable(format!("no answer within {PATIENCE:?}"))),
    }
}

/// Whether the server can take events.
pub(super) async fn check_server(
    connection: &mut PgConnection,
    address: &PostgresAddress,
) -> Result<(), OpenError> {
    let asked = sqlx::query_as(
        "SELECT pg_is_in_recovery(), current_setting('server_encoding'), current_setting('fsync')",
    );
    let (standby, encoding, fsync): (bool, String, String) =
        asked.fetch_one(connection).await.map_err(|fault| OpenError::asking(address, fault))?;
    let place = || address.to_string();
    if standby {
        return Err(OpenError::Standby { place: place() });
    }
    if encoding != "UTF8" {
        return Err(OpenError::Encoding { place: place(), encoding });
    }
    if fsync != "on" {
        warn!(store = place(), "fsync is off on this server: events are lost when its machine loses power");
    }
    Ok(())
}

/// A fault during an append.
pub(super) struct Fault {
    pub(super) failure: Failure,
    pub(super) text: String,
}

pub(super) enum Failure {
    /// The batch may be durable.
    Unknown,
    /// Another writer's events stand at the batch's place.
    Race,
    /// The server has no room, and has taken back what the statement did.
    NoSpace,
    /// The server does not take such an event.
    Unstorable,
}

impl Fault {
    pub(super) fn unknown(text: String) -> Self {
        Self { failure: Failure::Unknown, text }
    }
}

/// An error that the server reports for a statement means that nothing of it was done. But an earlier try may
/// be durable, and most errors pass: so only what will not pass by itself is told as a failure.
impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        let failure = match &error {
            sqlx::Error::Database(told) => match told.code().as_deref() {
                Some("23505") => Failure::Race,
                Some("53100") => Failure::NoSpace,
                // A text that the server cannot hold, or a value that is too long for it.
                Some("22021" | "22P05" | "54000") => Failure::Unstorable,
                _ => Failure::Unknown,
            },
            _ => Failure::Unknown,
        };
        Self { failure, text: error.to_string() }
    }
}
