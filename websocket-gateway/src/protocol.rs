//! What goes over a socket: requests of the client, and what they are answered with. JSON in text frames.
//!
//! Every frame of either direction has a `type`, and no request, reply or push shares one:
//!
//! - a request is in the imperative: `{"type": "call:end", "id": 7, "data": {"call": "...", "key": "..."}}`;
//! - it gets exactly one reply, which names its id: `{"type": "call:end:done", "reply_to": 7, "data": {...}}`, or
//!   `{"type": "refused", "reply_to": 7, "problem": {"code": "...", "detail": "..."}}`;
//! - a push is in the past tense, see [`crate::push`].
//!
//! Requests are done and answered in the order in which they come; the refusal of a frame that cannot be read, or comes
//! too soon, may overtake them.

use crate::push::{RingPush, Standing};
use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, Utc};
use ledger_core::{CallId, GiftId, GiftSendingId, Medium, PersonId, rfc3339};
use platform::identity::Role;
use platform::problem::Problem;
use platform::reading::{self, Misfit};
use platform::receipt::Receipt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest text that a request may have as its id.
const ID_CHARACTERS: usize = 64;

/// An integer or a short text of your choice. The reply names it as `reply_to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Id {
    Number(i64),
    /// 1 to 64 characters.
    Text(#[schemars(length(min = 1, max = 64))] String),
}

/// What a request is answered with when it was done.
pub(crate) trait Answer: Serialize {
    /// The value of `type` of the reply: that of the request, and `:done`.
    const TYPE: &'static str;
}

/// The `type` of the reply to a request that was not done.
pub const REFUSED: &str = "refused";

/// A request and its answer, for the AsyncAPI document.
pub(crate) struct RequestKind {
    pub request_type: &'static str,
    pub reply_type: &'static str,
    /// The name of the request's data, and that of the answer's.
    pub name: &'static str,
    pub answer: &'static str,
    /// The lines of its description.
    pub doc: &'static [&'static str],
    pub data: schemars::Schema,
    pub answer_data: schemars::Schema,
}

macro_rules! requests {
    ($($(#[doc = $doc:literal])* $name:ident = $type:literal, needs $role:expr, answer $answer:ident
        { $($(#[$field_meta:meta])* $field:ident: $kind:ty),* $(,)? })*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
            #[serde(deny_unknown_fields)]
            pub struct $name { $($(#[$field_meta])* pub $field: $kind),* }

            impl Answer for $answer {
                const TYPE: &'static str = concat!($type, ":done");
            }

            impl From<$name> for Request {
                fn from(asked: $name) -> Request {
                    Request::$name(asked)
                }
            }
        )*

        /// Everything that a client can ask for.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(tag = "type", content = "data")]
        pub enum Request { $(#[serde(rename = $type)] $name($name)),* }

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

        /// All values of `type` of the replies to requests that were done.
        pub const REPLY_TYPES: &[&str] = &[$(<$answer as Answer>::TYPE),*];

        /// The requests for the AsyncAPI document.
        pub(crate) fn request_kinds(generator: &mut schemars::SchemaGenerator) -> Vec<RequestKind> {
            vec![$(RequestKind {
                request_type: $type,
                reply_type: <$answer as Answer>::TYPE,
                name: stringify!($name),
                answer: stringify!($answer),
                doc: &[$($doc),*],
                data: generator.subschema_for::<$name>(),
                answer_data: generator.subschema_for::<$answer>(),
            }),*]
        }
    };
}

requests! {
    /// Signs in this socket. It must be the first frame.
    ///
    /// Send it within 10 seconds of opening the socket, or the server closes the socket with 4408. The reply holds the
    /// call that you are in and the rings that are open, so that an app that reconnects can continue where it was.
    /// Send `auth` again on the same socket, with a fresh access token, before `token_expires_at`. If the token is
    /// refused on the first frame, the socket is closed with 4401.
    Auth = "auth", needs None, answer Welcome {
        /// An access token of the HTTP API.
        token: String,
    }

    /// Rings a host. For users.
    ///
    /// Both sides must be connected, and the user must be able to pay for the first increment. Nothing is charged until
    /// the host accepts. The host gets `call:invited`; wait for `call:answered` or `call:ended`. A user has one ring at a
    /// time: ringing another host ends the first ring. A user can ring 20 times a minute and 500 times a day.
    CallInvite = "call:invite", needs Some(Role::User), answer Ringing {
        /// The host to ring.
        host: PersonId,
        medium: Medium,
        /// The price that you showed to the user, in thousandths of a coin a minute. If it is no longer the host's
        /// price, the request is refused with `call_price_changed`.
        price_seen_milli_per_minute: i64,
        /// The idempotency key of this ring, at best a UUIDv7. If you send the request again with the same key, you get
        /// the same ring, and the host's phone rings once.
        key: String,
    }

    /// Accepts or declines a call that rings. For the host that is rung.
    ///
    /// Accepting starts the call and charges the first increment. Each further increment is charged when the one before
    /// is used up, while both sides are connected; both get `call:ticked` for each of them. The first answer counts: if the
    /// ring is over, or another device of the host has declined, the request is refused with `ring_over`.
    CallAnswer = "call:answer", needs Some(Role::Host), answer Answered {
        call: CallId,
        /// `true` to accept, `false` to decline.
        accept: bool,
    }

    /// Cancels a ring before the host has answered. For the user that rings.
    ///
    /// Both sides get `call:ended` with the reason `cancelled`. If the host has answered meanwhile, the request is refused
    /// with `ring_over`; send `call:end` instead.
    CallCancel = "call:cancel", needs Some(Role::User), answer Cancelled {
        call: CallId,
    }

    /// Hangs up. For either side of a call.
    ///
    /// The increment that has begun stays charged in full; nothing more is charged. Both sides get `call:ended`. While the
    /// call still rings, the same request cancels it for the user and declines it for the host.
    CallEnd = "call:end", needs None, answer HungUp {
        call: CallId,
        /// Idempotency key: 1 to 255 printable ASCII characters, at best a UUIDv7.
        key: String,
    }

    /// Sends a gift to a host, in a call or outside of one. For users.
    ///
    /// The price of the gift is charged at once. Both sides get `gift:sent`. You need not wait for the reply before you
    /// send the next gift: gifts that follow each other are recorded together.
    GiftSend = "gift:send", needs Some(Role::User), answer GiftReceipt {
        /// The host who gets it.
        host: PersonId,
        /// Which gift of the catalogue.
        gift: GiftId,
        /// The running call with this host, if the gift is sent in a call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<CallId>,
        /// The price that you showed to the sender, in thousandths of a coin. If it is no longer the gift's price, the
        /// request is refused with `gift_price_changed`.
        price_seen_milli: i64,
        /// Idempotency key: 1 to 255 printable ASCII characters, at best a UUIDv7.
        key: String,
    }

    /// Chooses whether others see you as online while you are connected. For hosts.
    ///
    /// A host who is shown as offline cannot be rung. The choice lasts until it is changed, over all of the person's
    /// devices, which get `presence:updated`.
    PresenceUpdate = "presence:update", needs Some(Role::Host), answer PresenceChosen {
        status: ChosenStatus,
    }

    /// Asks the server for its time, to find out whether the connection still works.
    ///
    /// For clients that cannot see or send WebSocket pings, such as browsers. The server itself sends a WebSocket ping
    /// every 4 seconds and closes a socket from which nothing comes for 8 seconds; WebSocket libraries answer pings by
    /// themselves.
    Ping = "ping", needs None, answer Pong {}
}

/// What a person can choose to be seen as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChosenStatus {
    Online,
    Offline,
}

/// You are signed in. Says where things stand, so that nothing is missed.
///
/// Read what you show over HTTP with `offset` as `min_revision`. Then apply every push with a higher offset, and every
/// push without one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Welcome {
    /// Whom the socket speaks for.
    pub person: PersonId,
    /// What you may act as.
    #[schemars(extend("items" = { "type": "string", "enum": ["user", "host", "agency", "admin"] }))]
    pub roles: Vec<String>,
    /// The revision of the journal that this welcome is as of. Each later event that concerns you is pushed.
    pub offset: u64,
    /// Send `auth` again on this socket before this moment. The socket is closed 60 seconds after it.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub token_expires_at: DateTime<Utc>,
    /// The call that you are in. Absent when you are in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_call: Option<Standing>,
    /// Calls that ring at this moment: those that you made and those that wait for your answer.
    pub rings: Vec<RingPush>,
}

/// The host's devices ring.
///
/// Wait for `call:answered` or `call:ended`. A request that is sent again with the same key is answered with what became
/// of the ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ringing {
    pub call: CallId,
    pub host: PersonId,
    #[schemars(with = "Medium")]
    pub medium: String,
    pub price_milli_per_minute: i64,
    /// `ringing`, or what became of the ring if the request is a retry.
    #[schemars(extend("enum" = ["ringing", "accepted", "rejected", "cancelled", "missed", "busy", "failed"]))]
    pub status: String,
    /// When the ring ends as missed unless the host answers.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub expires_at: DateTime<Utc>,
}

/// The ring is answered.
///
/// If it was accepted, the call runs and the reply holds the receipt of its first charge. `call:started` and the first
/// `call:ticked` are pushed as well, before or after this reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answered {
    pub call: CallId,
    pub accepted: bool,
    /// Absent when the call was declined: nothing is recorded then.
    #[serde(flatten)]
    pub receipt: Option<Receipt>,
}

/// The ring is cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancelled {
    pub call: CallId,
}

/// The call is over, or the ring if the call was not answered yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HungUp {
    pub call: CallId,
    /// Absent when the call still rang: nothing is recorded then.
    #[serde(flatten)]
    pub receipt: Option<Receipt>,
}

/// The gift is paid and recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GiftReceipt {
    /// The id of this gift, the same as in `gift:sent` and over HTTP.
    pub sending: GiftSendingId,
    #[serde(flatten)]
    pub receipt: Receipt,
}

/// Others see you as you chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PresenceChosen {
    pub status: ChosenStatus,
}

/// The connection works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pong {
    /// The server's time.
    #[serde(serialize_with = "rfc3339::serialize")]
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

/// The frame of a request, as a client sends it.
pub(crate) fn asked(id: &Id, request: &Request) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Asked<'a> {
        id: &'a Id,
        #[serde(flatten)]
        request: &'a Request,
    }
    frame(&Asked { id, request })
}

/// The frame that says that the request was done.
pub(crate) fn done<A: Answer>(id: &Id, data: &A) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Done<'a, T> {
        r#type: &'static str,
        reply_to: &'a Id,
        data: &'a T,
    }
    frame(&Done { r#type: A::TYPE, reply_to: id, data })
}

/// The frame that says why it was not; `id` is missing where none could be read.
pub(crate) fn refused(id: Option<&Id>, problem: &Problem) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Refused<'a> {
        r#type: &'static str,
        reply_to: Option<&'a Id>,
        problem: &'a Problem,
    }
    frame(&Refused { r#type: REFUSED, reply_to: id, problem })
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
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $reason:literal;)*) => {
        impl Close {
            $($(#[doc = $doc])* pub const $name: Close = Close { code: $code, reason: $reason };)*

            /// All of them, for the AsyncAPI document, each with what to make of it.
            pub(crate) const ALL: &'static [(Close, &'static str)] =
                &[$((Close::$name, concat!($($doc),*))),*];
        }
    };
}

closes! {
    /// The server stops. Connect again after a short pause.
    SHUTTING_DOWN = 1001, "server_shutting_down";
    /// A frame broke the WebSocket protocol.
    PROTOCOL = 1002, "protocol_error";
    /// A text frame was no UTF-8.
    NOT_UTF8 = 1007, "not_utf8";
    /// A frame was longer than 16 KiB.
    FRAME_TOO_LARGE = 1009, "frame_too_large";
    /// The server cannot answer at present. Connect again after a pause.
    UNAVAILABLE = 1013, "unavailable";
    /// Too many frames could not be read as requests.
    MALFORMED = 4400, "too_many_malformed_frames";
    /// The first frame was not `auth`.
    NOT_AUTHENTICATED = 4401, "authenticate_first";
    /// The first frame held no token.
    TOKEN_MISSING = 4401, "token_missing";
    /// The token is none of this server's.
    TOKEN_INVALID = 4401, "token_invalid";
    /// The token has expired. Refresh it over HTTP and connect again.
    TOKEN_EXPIRED = 4401, "token_expired";
    /// The session has ended, or the person was suspended or banned. Sign in again.
    SESSION_ENDED = 4401, "session_ended";
    /// No `auth` came within 10 seconds.
    AUTH_TIMEOUT = 4408, "auth_timeout";
    /// The client did not read what it was sent. Connect again; the welcome says what was missed.
    SLOW_READER = 4409, "slow_reader";
    /// Nothing came from the client for 8 seconds, not even a pong. Connect again.
    SILENT = 4410, "silent";
    /// The client went on sending after it was told to slow down.
    RATE_LIMITED = 4429, "rate_limited";
    /// The person has opened a newer socket and has as many as one may have. Do not connect again by yourself.
    TOO_MANY_SOCKETS = 4430, "too_many_sockets";
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
