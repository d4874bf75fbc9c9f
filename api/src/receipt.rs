//! What an accepted command is answered with.

use crate::extract::Json;
use axum::http::StatusCode;
use ledger_core::CommandId;
use ledger_runtime::Receipt;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// That the ledger has recorded a command, durably.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Recorded {
    /// The journal that it was recorded in.
    pub journal: Uuid,
    /// The command's own id: the same for every retry under its key.
    pub command_id: Uuid,
    /// The command's last event. As `min_revision` of a read it makes sure that the read shows it.
    pub revision: u64,
    /// Whether this is the answer to a retry: the command had been recorded before.
    pub duplicate: bool,
}

impl From<Receipt> for Recorded {
    fn from(receipt: Receipt) -> Recorded {
        let platform::receipt::Receipt { journal, command_id, revision, duplicate } = receipt.into();
        Recorded { journal: journal.0, command_id: command_id.0, revision, duplicate }
    }
}

/// 201 with the body for a new thing, 200 for the answer to a retry.
pub type Created<T> = (StatusCode, Json<T>);

pub fn created<T>(receipt: &Receipt, body: T) -> Created<T> {
    (status_of(receipt), Json(body))
}

/// 201 for a new thing, 200 for the answer to a retry.
pub fn status_of(receipt: &Receipt) -> StatusCode {
    if receipt.duplicate { StatusCode::OK } else { StatusCode::CREATED }
}

/// The id of what the command made.
pub fn made(command: CommandId, what: &str) -> Uuid {
    command.derive(what)
}
