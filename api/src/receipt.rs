//! What an accepted command is answered with.

use crate::extract::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
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

/// The answer to a command. A retry is answered with the status of the first time, and a header says that it was one.
pub struct Answered<T> {
    status: StatusCode,
    replayed: bool,
    body: T,
}

/// On the answer to a retry.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

impl<T> Answered<T> {
    /// Something was made.
    pub fn created(receipt: &Receipt, body: T) -> Answered<T> {
        Answered { status: StatusCode::CREATED, replayed: receipt.duplicate, body }
    }

    pub fn of(status: StatusCode, replayed: bool, body: T) -> Answered<T> {
        Answered { status, replayed, body }
    }

    /// Something was set that is no part of the ledger, and needs no key.
    pub fn stored(body: T) -> Answered<T> {
        Answered { status: StatusCode::OK, replayed: false, body }
    }

    /// Something was done, and recorded if there is a receipt.
    pub fn changed(receipt: Option<&Receipt>, body: T) -> Answered<T> {
        Answered { status: StatusCode::OK, replayed: receipt.is_some_and(|it| it.duplicate), body }
    }
}

impl Answered<Recorded> {
    /// Something was done.
    pub fn done(receipt: Receipt) -> Answered<Recorded> {
        Answered { status: StatusCode::OK, replayed: receipt.duplicate, body: receipt.into() }
    }
}

impl<T: Serialize> IntoResponse for Answered<T> {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// The id of what the command made.
pub fn made(command: CommandId, what: &str) -> Uuid {
    command.derive(what)
}
