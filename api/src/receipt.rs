//! What an accepted command is answered with.

use crate::extract::Json;
use axum::http::StatusCode;
use ledger_core::CommandId;
use ledger_runtime::Receipt;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// The receipt of a command that the ledger has recorded. It is durable: it survives a crash of the server.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Recorded {
    /// The journal in which the command was recorded.
    pub journal: Uuid,
    /// The command's own id: the same for every retry under its key.
    pub command_id: Uuid,
    /// The revision of the command's last event. Pass it as `min_revision` to a read that must include the command.
    pub revision: u64,
    /// True if the command had been recorded before, that is, if this request was a retry.
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
