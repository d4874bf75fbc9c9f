//! A command with who gives it, and under which key.

use super::ids::{CommandId, uuid_v5};
use super::metadata::{Actor, RequestHash};
use super::money::Asset;
use super::state::KEY_LIFE_MS;
use super::time::Timestamp;
use crate::nouns::{Command, Rejection};
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// By what a retry is known to be the same command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Key {
    /// Chosen by a client; good for 24 hours of event time.
    Client(ClientKey),
    /// Given by the world (a gateway's payment id): remembered for ever.
    Natural(String),
    /// The state itself refuses a repeat (a tick has a number): nothing needs to be remembered.
    State(String),
}

/// An idempotency key that a client chose: 1 to 255 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientKey {
    /// Says when it was made, so that an old one is refused, and little is kept to know it again.
    V7(Uuid),
    /// Anything else.
    Text(String),
}

impl ClientKey {
    pub const MAX_LENGTH: usize = 255;

    /// The moment in the key, in whole milliseconds.
    pub fn made_at(&self) -> Option<Timestamp> {
        let ClientKey::V7(key) = self else { return None };
        let (seconds, nanos) = key.get_timestamp()?.to_unix();
        let millis = i64::try_from(seconds).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000);
        Some(Timestamp(millis + i64::from(nanos / 1_000_000)))
    }
}

impl From<Uuid> for ClientKey {
    fn from(key: Uuid) -> ClientKey {
        match key.get_version_num() {
            7 => ClientKey::V7(key),
            _ => ClientKey::Text(key.to_string()),
        }
    }
}

impl FromStr for ClientKey {
    type Err = Rejection;

    /// Any spelling of a UUID is the same key; spaces around a key are no part of it.
    fn from_str(text: &str) -> Result<ClientKey, Rejection> {
        let text = text.trim_matches(' ');
        if let Ok(key) = Uuid::try_parse(text) {
            return Ok(key.into());
        }
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        match (1..=ClientKey::MAX_LENGTH).contains(&text.len()) && printable {
            true => Ok(ClientKey::Text(text.to_owned())),
            false => Err(Rejection::KeyInvalid),
        }
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientKey::V7(key) => key.fmt(out),
            ClientKey::Text(text) => text.fmt(out),
        }
    }
}

/// A command with all that deciding it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    pub actor: Actor,
    pub key: Key,
    pub command: Command,
    pub policy: Policy,
}

impl Envelope {
    /// The id that the command gets if it is new at the moment `at`.
    pub fn command_id(&self, at: Timestamp) -> CommandId {
        command_ids(self.actor, self.command.operation(), &self.key, at)[0]
    }

    pub fn request_hash(&self) -> RequestHash {
        RequestHash::of(&self.command.encode())
    }

    /// Writes it behind what is there, for another node that runs the same program. The bytes are never kept.
    pub fn carry(&self, out: Vec<u8>) -> Vec<u8> {
        postcard::to_extend(self, out)
            .expect("commands hold texts, numbers and lists only, which postcard always takes")
    }

    /// Reads what [`Self::carry`] wrote at the beginning of `bytes`, and answers what follows.
    ///
    /// # Errors
    /// When it is not what a node with the same program wrote.
    pub fn carried(bytes: &[u8]) -> Result<(Envelope, &[u8]), NotCarried> {
        postcard::take_from_bytes(bytes).map_err(|_| NotCarried)
    }
}

/// Bytes that no node with the same program has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these are not the bytes of a command or an answer of this program")]
pub struct NotCarried;

/// A command with what it is known by. That takes a while to work out and needs nothing of the state, so whoever has
/// commands decided one after the other prepares them before it is their turn.
#[derive(Clone, Debug)]
pub struct Prepared {
    envelope: Envelope,
    request_hash: RequestHash,
    /// `None` where it depends on the day.
    command_id: Option<CommandId>,
}

impl Prepared {
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    pub(crate) fn request_hash(&self) -> RequestHash {
        self.request_hash
    }

    /// As [`command_ids`].
    pub(crate) fn command_ids(&self, at: Timestamp) -> SmallVec<[CommandId; 2]> {
        let Envelope { actor, key, command, .. } = &self.envelope;
        let of_day = || SmallVec::from_vec(command_ids(*actor, command.operation(), key, at));
        self.command_id.map_or_else(of_day, |id| smallvec![id])
    }
}

impl From<Envelope> for Prepared {
    fn from(envelope: Envelope) -> Prepared {
        let Envelope { actor, key, command, .. } = &envelope;
        let command_id = match key {
            Key::Client(ClientKey::Text(_)) => None,
            _ => Some(command_ids(*actor, command.operation(), key, Timestamp::default())[0]),
        };
        Prepared { request_hash: envelope.request_hash(), command_id, envelope }
    }
}

/// The ids that a command may have which `actor` gives as `operation` under `key` at the moment `at`: first the one
/// that it gets if it is new, then others that it may have got when it was first given.
///
/// A key that says no time is as good as new after 24 hours, and what its command makes then needs ids of its own. So
/// the day is part of the id, and a retry looks at the day before too.
pub fn command_ids(actor: Actor, operation: &str, key: &Key, at: Timestamp) -> Vec<CommandId> {
    let id = |key: &str| command_id(actor, operation, key);
    match key {
        Key::Natural(key) | Key::State(key) => vec![id(key)],
        Key::Client(ClientKey::V7(key)) => vec![id(&key.to_string())],
        Key::Client(ClientKey::Text(key)) => {
            let day = at.0.div_euclid(KEY_LIFE_MS);
            [day, day - 1].map(|day| id(&format!("{day}|{key}"))).to_vec()
        }
    }
}

/// The id of the command that `actor` gives as `operation` under `key`.
pub fn command_id(actor: Actor, operation: &str, key: &str) -> CommandId {
    // A namespace of our own, so that no other use of UUIDv5 meets these ids.
    const NAMESPACE: Uuid = Uuid::from_u128(0x6d75_6e65_656d_4c9e_9f0b_5c0a_11ed_6e72);
    CommandId(uuid_v5(NAMESPACE, format!("{actor}|{operation}|{key}").as_bytes()))
}

/// Settings of the platform at the moment of the command. They are no part of what the client
/// asked, so a retry after a change of settings is still the same request; what matters of them is
/// recorded in the events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub increment_seconds: u32,
    pub free_seconds: u32,
    pub grace_seconds: u32,
    /// For how long earnings wait before they can be withdrawn.
    pub earnings_hold_seconds: u32,
    /// Whether a lost dispute takes back what hosts and agencies earned by its coins, while that waits.
    pub claw_back_held_earnings: bool,
    pub payout_asset: Asset,
    pub minimum_withdrawal_milli: i64,
    /// What one payee may withdraw in a day (UTC); anything when absent.
    pub daily_withdrawal_milli: Option<i64>,
    pub require_verified_payee: bool,
    /// Whether an admin has verified where the payee of this withdrawal is paid.
    pub payee_verified: bool,
    /// For how long an order may be paid at the gateway.
    pub order_payment_seconds: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            increment_seconds: 10,
            free_seconds: 0,
            grace_seconds: 30,
            earnings_hold_seconds: 0,
            claw_back_held_earnings: false,
            payout_asset: Asset::INR,
            minimum_withdrawal_milli: 1_000,
            daily_withdrawal_milli: None,
            require_verified_payee: false,
            payee_verified: false,
            order_payment_seconds: 1_800,
        }
    }
}

/// Declares commands: a struct each, beside the text that is part of each command's id and request hash.
/// A struct may be renamed; a text never, or retries across a deployment would be taken for new commands.
macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident = $operation:literal {
        $($(#[$field_meta:meta])* $field:ident: $kind:ty),* $(,)?
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $name { $($(#[$field_meta])* pub $field: $kind),* }

        impl $name {
            /// The command's name: part of its id.
            pub const OPERATION: &'static str = $operation;
        }

        impl From<$name> for $crate::Command {
            fn from(command: $name) -> $crate::Command {
                $crate::Command::$name(command)
            }
        }
    )*};
}
pub(crate) use commands;
