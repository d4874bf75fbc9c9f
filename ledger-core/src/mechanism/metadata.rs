//! What is known of each event beside what happened: who, when, by which command.

use super::account::Gateway;
use super::event::{DecodeError, text_of};
use super::ids::{CommandId, PersonId};
use super::text::Text;
use super::time::Timestamp;
use crate::nouns::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// Who gave a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Actor {
    Person(PersonId),
    /// A gateway, through its signed webhook.
    Gateway(Gateway),
    /// The server itself: metering, recovery, expiry, opening the journal.
    System,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Person(id) => write!(f, "person:{id}"),
            Actor::Gateway(gateway) => write!(f, "gateway:{}", gateway.name()),
            Actor::System => f.write_str("system"),
        }
    }
}

impl FromStr for Actor {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "system" => Ok(Actor::System),
            Some(("gateway", "razorpay")) => Ok(Actor::Gateway(Gateway::Razorpay)),
            Some(("person", id)) => {
                id.parse().map(Actor::Person).map_err(|_| format!("not an actor: {text:?}"))
            }
            _ => Err(format!("not an actor: {text:?}")),
        }
    }
}

impl Serialize for Actor {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Text::new("an actor such as person:<uuid>", |text| text.parse().ok()))
    }
}

/// The content of a command in 128 bits: tells a retry from another request under the same key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestHash(pub [u8; 16]);

impl RequestHash {
    /// The hash of a command's canonical bytes.
    pub(crate) fn of(command: &[u8]) -> RequestHash {
        let digest = Sha256::digest(command);
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        RequestHash(half)
    }
}

impl fmt::Debug for RequestHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Serialize for RequestHash {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&format_args!("{self:?}"))
    }
}

impl<'de> Deserialize<'de> for RequestHash {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let hash = |text: &str| {
            // As long as a UUID without hyphens, and read like one.
            let bytes = Uuid::try_parse(text).ok().filter(|_| text.len() == 32)?;
            Some(RequestHash(bytes.into_bytes()))
        };
        from.deserialize_str(Text::new("a request hash", hash))
    }
}

/// For how long the ledger knows a retry of the command by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RememberedFor {
    /// For 24 hours from the moment that the client's key says it was made at. After that the key is refused.
    DayFromKey(Timestamp),
    /// For 24 hours from when it was recorded: the client's key says no time.
    Day,
    /// The world chose the key.
    Ever,
    /// The state alone refuses a repeat.
    Never,
}

/// Recorded beside each event. The revision and the event's own id stand in the store's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    pub schema_version: u32,
    pub recorded_at: Timestamp,
    pub command_id: CommandId,
    #[schemars(with = "String")]
    pub request_hash: RequestHash,
    pub remembered_for: RememberedFor,
    /// The place of the event in its unit, from zero.
    pub index: u32,
    /// How many events the unit has.
    pub count: u32,
    #[schemars(with = "String")]
    pub actor: Actor,
    /// Who pays, where it is not the actor.
    pub payer: Option<PersonId>,
    pub correlation: Option<Uuid>,
}

impl Metadata {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("metadata holds strings and integers only, which JSON always takes")
    }

    pub fn decode(bytes: &[u8]) -> Result<Metadata, DecodeError> {
        const KIND: &str = "Metadata";
        serde_json::from_str(text_of(KIND, bytes)?)
            .map_err(|fault| DecodeError::Malformed(KIND.to_owned(), fault.to_string()))
    }

    /// As [`Metadata::decode`], where `before` holds the metadata of the event before: those of one unit differ in the
    /// index alone, so the rest need not be read again.
    pub fn decode_after(before: &mut Option<Before>, bytes: &[u8]) -> Result<Metadata, DecodeError> {
        if let Some(metadata) = before.as_ref().and_then(|before| before.next(bytes)) {
            return Ok(metadata);
        }
        let metadata = Metadata::decode(bytes)?;
        *before = Before::of(&metadata, bytes);
        Ok(metadata)
    }

    pub fn closes_unit(&self) -> bool {
        self.index + 1 == self.count
    }
}

/// The metadata of an event that others of its unit follow, and its bytes around the index.
#[derive(Clone, Debug)]
pub struct Before {
    metadata: Metadata,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Before {
    /// `None` where no event of the unit follows, or the bytes are written in another way than ours.
    fn of(metadata: &Metadata, bytes: &[u8]) -> Option<Before> {
        const NAME: &[u8] = b"\"index\":";
        if metadata.closes_unit() {
            return None;
        }
        let mut places = bytes.windows(NAME.len()).enumerate().filter(|(_, part)| *part == NAME);
        let ((place, _), None) = (places.next()?, places.next()) else { return None };
        let (head, rest) = bytes.split_at(place + NAME.len());
        let tail = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        Some(Before { metadata: metadata.clone(), head: head.to_vec(), tail: rest[tail..].to_vec() })
    }

    fn next(&self, bytes: &[u8]) -> Option<Metadata> {
        let index = bytes.strip_prefix(&self.head[..])?.strip_suffix(&self.tail[..])?;
        // JSON has no other way to write these; all else is read as a whole.
        let is_number =
            index.iter().all(u8::is_ascii_digit) && (index.len() == 1 || index.first() != Some(&b'0'));
        let index = std::str::from_utf8(index).ok().filter(|_| is_number)?.parse().ok()?;
        Some(Metadata { index, ..self.metadata.clone() })
    }
}

/// An event of the journal, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub revision: u64,
    pub event_id: Uuid,
    pub metadata: Metadata,
    pub event: Event,
}

impl Recorded {
    /// Reads what a store holds under `revision`.
    pub fn decode(
        revision: u64,
        event_id: Uuid,
        kind: &str,
        data: &[u8],
        metadata: &[u8],
    ) -> Result<Recorded, DecodeError> {
        Recorded::decode_after(&mut None, revision, event_id, kind, data, metadata)
    }

    /// As [`Recorded::decode`], for events in their order: see [`Metadata::decode_after`].
    pub fn decode_after(
        before: &mut Option<Before>,
        revision: u64,
        event_id: Uuid,
        kind: &str,
        data: &[u8],
        metadata: &[u8],
    ) -> Result<Recorded, DecodeError> {
        Ok(Recorded {
            revision,
            event_id,
            metadata: Metadata::decode_after(before, metadata)?,
            event: Event::decode(kind, data)?,
        })
    }
}
