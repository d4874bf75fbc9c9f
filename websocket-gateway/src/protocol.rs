//! What goes over a socket from the client, and what it is answered with. JSON in text frames.
//!
//! The first frame is `{"id": 1, "type": "auth", "token": "..."}`. Every other request has its fields in
//! `data`: `{"id": 7, "type": "call:end", "data": {"call": "...", "key": "..."}}`. It gets exactly one reply,
//! which names its id: `{"reply_to": 7, "ok": true, "data": {...}}` or
//! `{"reply_to": 7, "ok": false, "problem": {"code": "...", "detail": "..."}}`. Requests are done and answered in
//! the order in which they come; the refusal of a frame that cannot be read, or comes too soon, may overtake them.

use crate::push::{RingPush, Standing};
use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, Utc};
use ledger_core::{CallId, GiftId, GiftSendingId, Medium, PersonId};
use platform::identity::Role;
use platform::problem::Problem;
use platform::reading::{self, Misfit};
use platform::receipt::Receipt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest text that a request may have as its id.
const ID_CHARACTERS: usize = 64;

/// Chosen by the client, given back with the reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Id {
    Number(i64),
    /// At most 64 characters.
    Text(#[schemars(length(min = 1, max = 64))] String),
}

macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident = $type:literal, needs $role:expr, answer $answer:ident
        { $($(#[$field_meta:meta])* $field:ident: $kind:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
            #[serde(deny_unknown_fields)]
            pub struct $name { $($(#[$field_meta])* pub $field: $kind),* }

            impl $name {
                /// The value of `type`.
                pub const TYPE: &'static str = $type;
            }
        )*

        /// Everything that a client can ask for.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Request { $($name($name)),* }

        impl Request {
            /// All values of `type`, in the order of this page.
            pub const TYPES: &'static [&'static str] = &[$($type),*];

            /// The value of `type`.
            pub fn name(&self) -> &'static str {
                match self { $(Request::$name(_) => $type),* }
            }

            /// The role that the caller needs; `None` where anybody signed in may ask. The same as over HTTP.
            pub fn role(&self) -> Option<Role> {
                match self { $(Request::$name(_) => $role),* }
            }

            fn read(name: &str, fields: Map<String, Value>) -> Result<Request, Box<Problem>> {
                match name {
                    $($type => reading::from_value(Value::Object(fields))
                        .map(Request::$name)
                        .map_err(|misfit| Box::new(explain(misfit))),)*
                    _ => Err(Box::new(Problem::new(422, "unknown_type", "there is no request of this type"))),
                }
            }
        }

        /// The requests for the AsyncAPI document: type, name and schema of the request, name of the answer.
        pub(crate) fn request_schemas(
            generator: &mut schemars::SchemaGenerator,
        ) -> Vec<(&'static str, &'static str, schemars::Schema, schemars::Schema)> {
            vec![$((
                $type,
                stringify!($name),
                generator.subschema_for::<$name>(),
                generator.subschema_for::<$answer>(),
            )),*]
        }
    };
}

requests! {
    /// Signs the socket in. Must be the first frame. Send it again with a fresh token before the old one expires.
    Auth = "auth", needs None, answer Welcome {
        /// An access token of the HTTP API.
        token: String,
    }

    /// Rings a host. Nothing is charged before the host accepts. Both sides must be connected. Ringing another
    /// host ends the first ring; ringing and cancelling is limited to 20 rings a minute and 500 a day.
    CallInvite = "call:invite", needs Some(Role::User), answer Ringing {
        host: PersonId,
        medium: Medium,
        /// The price that the user was shown.
        price_seen_milli_per_minute: i64,
        /// Idempotency key, at best a UUIDv7. A repeated request with the same key is answered with the same ring.
        key: String,
    }

    /// Takes or declines a call that rings; for its host. Taking it starts the call and charges the first
    /// increment. While both sides are seen, each further increment is charged when the one before is used up; a
    /// `call:tick` tells of each.
    CallAnswer = "call:answer", needs Some(Role::Host), answer Answered {
        call: CallId,
        accept: bool,
    }

    /// Stops ringing; for the payer, before the host has answered.
    CallCancel = "call:cancel", needs Some(Role::User), answer Cancelled {
        call: CallId,
    }

    /// Hangs up; for either side. The increment that has started stays charged in full, and nothing more is charged.
    /// While the call still rings, the payer cancels by this and the host declines.
    CallHangUp = "call:end", needs None, answer HungUp {
        call: CallId,
        /// Idempotency key: 1 to 255 printable ASCII characters, at best a UUIDv7.
        key: String,
    }

    /// Sends a gift to a host, within the running call of both or outside.
    GiftSend = "gift:send", needs Some(Role::User), answer GiftReceipt {
        host: PersonId,
        gift: GiftId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<CallId>,
        /// The price that the sender was shown.
        price_seen_milli: i64,
        /// Idempotency key: 1 to 255 printable ASCII characters, at best a UUIDv7.
        key: String,
    }

    /// Chooses how others see the person while they are connected: online or offline.
    PresenceUpdate = "presence:update", needs None, answer PresenceChosen {
        status: ChosenStatus,
    }

    /// Asks the server for its time, as a sign of life. Ping frames of the WebSocket protocol do as well.
    Ping = "ping", needs None, answer Pong {}
}

/// What a person can choose to be seen as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChosenStatus {
    Online,
    Offline,
}

/// Answers `auth`. To miss nothing, read what you show over HTTP with `offset` as `min_revision`, then apply every
/// push with a higher offset and every push without one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Welcome {
    pub person: PersonId,
    /// user, host, agency, admin
    pub roles: Vec<String>,
    /// The revision that `active_call` is as of. Every later event that concerns the person is pushed.
    pub offset: u64,
    /// Authenticate again on this socket before this moment; 60 seconds later it is closed.
    pub token_expires_at: DateTime<Utc>,
    /// The call that the person is in, to go on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_call: Option<Standing>,
    /// Calls that ring now, those that the person made and those that wait for their answer.
    pub rings: Vec<RingPush>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ringing {
    pub call: CallId,
    pub host: PersonId,
    pub medium: String,
    pub price_milli_per_minute: i64,
    /// `ringing`; for a repeated request what became of the ring.
    pub status: String,
    pub expires_at: DateTime<Utc>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answered {
    pub call: CallId,
    pub accepted: bool,
    /// Absent when the call was declined: nothing is recorded then.
    #[serde(flatten)]
    pub receipt: Option<Receipt>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancelled {
    pub call: CallId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HungUp {
    pub call: CallId,
    /// Absent when the call still rang: nothing is recorded then.
    #[serde(flatten)]
    pub receipt: Option<Receipt>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GiftReceipt {
    pub sending: GiftSendingId,
    #[serde(flatten)]
    pub receipt: Receipt,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PresenceChosen {
    pub status: ChosenStatus,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pong {
    /// The server's time.
    pub at: DateTime<Utc>,
}

/// A text frame that cannot be read as a request. The refusal names its id, if that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub id: Option<Id>,
    pub problem: Box<Problem>,
}

/// Reads a text frame. Nothing of a frame that has a fault is done.
pub fn parse(text: &str) -> Result<(Id, Request), Unreadable> {
    let nameless = |problem| Unreadable { id: None, problem: Box::new(problem) };
    let frame: Value = serde_json::from_str(text)
        .map_err(|fault| nameless(Problem::new(400, "malformed_json", fault.to_string())))?;
    let Value::Object(mut frame) = frame else {
        return Err(nameless(Problem::new(422, "wrong_type", "a request must be a JSON object")));
    };
    let id = match frame.remove("id").map(read_id) {
        Some(Some(id)) => id,
        Some(None) => {
            let detail = "id must be an integer, or a text of 1 to 64 characters";
            return Err(nameless(Problem::new(422, "wrong_type", detail).field("id")));
        }
        None => return Err(nameless(missing("id"))),
    };
    match read_request(frame) {
        Ok(request) => Ok((id, request)),
        Err(problem) => Err(Unreadable { id: Some(id), problem }),
    }
}

fn read_request(mut frame: Map<String, Value>) -> Result<Request, Box<Problem>> {
    let name = match frame.remove("type") {
        Some(Value::String(name)) => name,
        Some(_) => {
            return Err(Box::new(Problem::new(422, "wrong_type", "type must be a text").field("type")));
        }
        None => return Err(Box::new(missing("type"))),
    };
    if name == Auth::TYPE {
        return Request::read(&name, frame);
    }
    let data = frame.remove("data").unwrap_or_else(|| Value::Object(Map::new()));
    if let Some(other) = frame.keys().next() {
        let detail = "a request may have no field beside id, type and data";
        let other: String = other.chars().take(ID_CHARACTERS).collect();
        return Err(Box::new(Problem::new(422, "unknown_field", detail).field(other)));
    }
    match data {
        Value::Object(fields) => Request::read(&name, fields),
        _ => Err(Box::new(Problem::new(422, "wrong_type", "data must be an object").field("data"))),
    }
}

fn missing(field: &'static str) -> Problem {
    Problem::new(422, "missing_field", format!("the request lacks the field {field}")).field(field)
}

fn explain(misfit: Misfit) -> Problem {
    let words = misfit.to_string();
    match misfit {
        Misfit::Malformed(_) => Problem::new(422, "malformed_json", words),
        Misfit::Unknown { field } => Problem::new(422, "unknown_field", words).field(field),
        Misfit::Missing { field } => Problem::new(422, "missing_field", words).field(field),
        Misfit::WrongType { field, .. } => {
            Problem::new(422, "wrong_type", words).field(field.unwrap_or_default())
        }
    }
}

fn read_id(value: Value) -> Option<Id> {
    match value {
        Value::Number(number) => number.as_i64().map(Id::Number),
        Value::String(text) if (1..=ID_CHARACTERS).contains(&text.chars().count()) => Some(Id::Text(text)),
        _ => None,
    }
}

/// The frame that says that the request was done.
pub(crate) fn done(id: &Id, data: &impl Serialize) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Done<'a, T> {
        reply_to: &'a Id,
        ok: bool,
        data: &'a T,
    }
    frame(&Done { reply_to: id, ok: true, data })
}

/// The frame that says why it was not; `id` is missing where none could be read.
pub(crate) fn refused(id: Option<&Id>, problem: &Problem) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Refused<'a> {
        reply_to: Option<&'a Id>,
        ok: bool,
        problem: &'a Problem,
    }
    frame(&Refused { reply_to: id, ok: false, problem })
}

pub(crate) fn frame(message: &impl Serialize) -> Utf8Bytes {
    serde_json::to_string(message).expect("messages have text keys and no other fault that JSON knows").into()
}

/// Why the server closes a socket: the code and the reason of the close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    pub code: u16,
    pub reason: &'static str,
}

impl Close {
    /// The client has gone without a word. Never sent.
    pub(crate) const GONE: Close = Close { code: 1006, reason: "gone" };
}

macro_rules! closes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $reason:literal;)*) => {
        impl Close {
            $($(#[$doc])* pub const $name: Close = Close { code: $code, reason: $reason };)*

            /// All of them, for the AsyncAPI document.
            pub(crate) const ALL: &'static [Close] = &[$(Close::$name),*];
        }
    };
}

closes! {
    SHUTTING_DOWN = 1001, "server_shutting_down";
    PROTOCOL = 1002, "protocol_error";
    NOT_UTF8 = 1007, "not_utf8";
    FRAME_TOO_LARGE = 1009, "frame_too_large";
    /// Sign-in could not be checked: try again.
    UNAVAILABLE = 1013, "unavailable";
    /// Too many frames that are no requests.
    MALFORMED = 4400, "too_many_malformed_frames";
    /// The first frame was another.
    NOT_AUTHENTICATED = 4401, "authenticate_first";
    TOKEN_MISSING = 4401, "token_missing";
    TOKEN_INVALID = 4401, "token_invalid";
    TOKEN_EXPIRED = 4401, "token_expired";
    SESSION_ENDED = 4401, "session_ended";
    AUTH_TIMEOUT = 4408, "auth_timeout";
    /// The client does not read what it is sent. Connect again: what was missed can be asked for.
    SLOW_READER = 4409, "slow_reader";
    /// Nothing came from the client for two ping intervals, not even a pong.
    SILENT = 4410, "silent";
    RATE_LIMITED = 4429, "rate_limited";
    /// The person has opened a newer socket, and has as many as one may have.
    TOO_MANY_SOCKETS = 4430, "too_many_sockets";
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
