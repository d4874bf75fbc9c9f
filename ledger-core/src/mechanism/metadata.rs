//! What is known of each event beside what happened: who, when, by which command.

use super::account::Gateway;
use super::binary::{BINARY, Binary, Bytes, Unfit, binary_choices, binary_fields, is_binary};
use super::event::{DecodeError, text_of};
use super::ids::{CommandId, PersonId};
use super::text::Text;
use super::time::Timestamp;
use crate::nouns::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
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

binary_choices! { Actor as "text" {
    0 = Person(person: PersonId) "person:{}"
    1 = Gateway(gateway: Gateway) "gateway:{}"
    2 = System "system"
} }

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

impl Binary for RequestHash {
    fn shape(_: &mut Map<String, Value>) -> Value {
        "hash".into()
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn take(from: &mut Bytes) -> Result<Self, Unfit> {
        from.array().map(RequestHash)
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

binary_choices! { RememberedFor as "name" {
    0 = DayFromKey(made_at: Timestamp) "day_from_key"
    1 = Day "day"
    2 = Ever "ever"
    3 = Never "never"
} }

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
    /// The binary form: the first event of a unit has all of it, and the others their places in the unit alone. The
    /// correlation follows from the event.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        self.encode_into(&mut out);
        out
    }

    /// Writes the binary form behind what is there.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.push(BINARY);
        self.index.put(out);
        self.count.put(out);
        if self.index == 0 {
            self.shared().put(out);
        }
    }

    /// The binary form, with what goes for the whole unit beside every event of it.
    pub(super) fn encode_whole(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        out.push(BINARY);
        self.index.put(&mut out);
        self.count.put(&mut out);
        self.shared().put(&mut out);
        out
    }

    /// What the events of a unit have in common.
    fn shared(&self) -> Shared {
        let Metadata {
            schema_version,
            recorded_at,
            command_id,
            request_hash,
            remembered_for,
            actor,
            payer,
            ..
        } = *self;
        Shared { schema_version, recorded_at, command_id, request_hash, remembered_for, actor, payer }
    }

    /// What the binary form is made of.
    pub fn shapes() -> serde_json::Value {
        let mut types = Map::new();
        Shared::shape(&mut types);
        let fields = types.remove("Shared").map(|mut shared| shared["fields"].take());
        json!({ "fields": fields, "types": types })
    }

    /// All of it as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("metadata holds strings and integers only, which JSON always takes")
    }

    pub fn from_json(bytes: &[u8]) -> Result<Metadata, DecodeError> {
        serde_json::from_str(text_of(KIND, bytes)?)
            .map_err(|fault| DecodeError::Malformed(KIND.to_owned(), fault.to_string()))
    }

    pub fn closes_unit(&self) -> bool {
        self.index + 1 == self.count
    }
}

/// The name of metadata in errors.
const KIND: &str = "Metadata";

binary_fields! {
    /// What the events of a unit have in common.
    struct Shared {
        schema_version: u32,
        recorded_at: Timestamp,
        command_id: CommandId,
        request_hash: RequestHash,
        remembered_for: RememberedFor,
        actor: Actor,
        payer: Option<PersonId>,
    }
}

impl Shared {
    /// The metadata of one event of the unit.
    fn at(self, PlaceInUnit { index, count }: PlaceInUnit, correlation: Option<Uuid>) -> Metadata {
        let Shared { schema_version, recorded_at, command_id, request_hash, remembered_for, actor, payer } =
            self;
        Metadata {
            schema_version,
            recorded_at,
            command_id,
            request_hash,
            remembered_for,
            index,
            count,
            actor,
            payer,
            correlation,
        }
    }
}

/// Which event of its unit an event is, and how many the unit has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceInUnit {
    pub index: u32,
    pub count: u32,
}

impl PlaceInUnit {
    /// Read from recorded metadata, in either form.
    pub fn of(metadata: &[u8]) -> Result<PlaceInUnit, DecodeError> {
        if is_binary(metadata) {
            return PlaceInUnit::take(&mut Bytes(&metadata[1..])).map_err(unfit);
        }
        let Metadata { index, count, .. } = Metadata::from_json(metadata)?;
        Ok(PlaceInUnit { index, count })
    }

    fn take(from: &mut Bytes) -> Result<PlaceInUnit, Unfit> {
        let place = PlaceInUnit { index: u32::take(from)?, count: u32::take(from)? };
        if place.index < place.count { Ok(place) } else { Err(Unfit("an event is beyond its unit")) }
    }

    pub fn closes_unit(self) -> bool {
        self.index + 1 == self.count
    }
}

fn unfit(Unfit(what): Unfit) -> DecodeError {
    DecodeError::Malformed(KIND.to_owned(), what.to_owned())
}

/// Not what this program writes.
pub(super) fn malformed(what: &'static str) -> DecodeError {
    unfit(Unfit(what))
}

/// Metadata in the binary form as the bytes of the place, its index, and the bytes behind it.
pub(super) fn split_place(bytes: &[u8]) -> Result<(&[u8], u32, &[u8]), DecodeError> {
    let mut from = Bytes(&bytes[1..]);
    let place = PlaceInUnit::take(&mut from).map_err(unfit)?;
    let rest = from.0;
    Ok((&bytes[..bytes.len() - rest.len()], place.index, rest))
}

/// Reads metadata in the binary form that say all of their unit, whichever event of it they belong to.
pub(super) fn decode_whole(bytes: &[u8], correlation: Option<Uuid>) -> Result<Metadata, DecodeError> {
    if !is_binary(bytes) {
        return Err(malformed("they are not in the binary form"));
    }
    let (_, index, rest) = split_place(bytes)?;
    let PlaceInUnit { count, .. } = PlaceInUnit::of(bytes)?;
    let mut from = Bytes(rest);
    let shared = Shared::take(&mut from).and_then(|shared| from.end().map(|()| shared)).map_err(unfit)?;
    Ok(shared.at(PlaceInUnit { index, count }, correlation))
}

/// What was read of a unit of which more events follow.
#[derive(Clone, Debug)]
pub struct Before {
    /// The revision of the unit's first event.
    first: u64,
    metadata: Metadata,
}

/// Metadata in the binary form, of the event at `revision` which comes after `before`.
fn decode_binary(
    before: &mut Option<Before>,
    revision: u64,
    bytes: &[u8],
    correlation: Option<Uuid>,
) -> Result<Metadata, DecodeError> {
    let mut from = Bytes(&bytes[1..]);
    let PlaceInUnit { index, count } = PlaceInUnit::take(&mut from).map_err(unfit)?;
    if index > 0 {
        from.end().map_err(unfit)?;
        let first = revision.checked_sub(index.into());
        let first = first.ok_or_else(|| unfit(Unfit("a unit begins before the journal")))?;
        let unit = before.as_ref().filter(|it| it.first == first && it.metadata.count == count);
        let metadata = unit.ok_or(DecodeError::Headless { first })?.metadata.clone();
        return Ok(Metadata { index, correlation, ..metadata });
    }
    let shared = Shared::take(&mut from).and_then(|shared| from.end().map(|()| shared)).map_err(unfit)?;
    let metadata = shared.at(PlaceInUnit { index, count }, correlation);
    *before = (count > 1).then(|| Before { first: revision, metadata: metadata.clone() });
    Ok(metadata)
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
    /// Reads what a store holds under `revision`, in either form, for events in their order: `before` keeps what the
    /// first of a unit says of all of them. It is empty before the first.
    pub fn decode(
        before: &mut Option<Before>,
        revision: u64,
        event_id: Uuid,
        kind: &str,
        data: &[u8],
        metadata: &[u8],
    ) -> Result<Recorded, DecodeError> {
        let event = Event::decode(kind, data)?;
        let correlation = event.correlation();
        let metadata = if is_binary(metadata) {
            decode_binary(before, revision, metadata, correlation)?
        } else {
            Metadata::from_json(metadata)?
        };
        if metadata.correlation != correlation {
            let reason = "its correlation is not that of the event";
            return Err(DecodeError::Malformed(KIND.to_owned(), reason.to_owned()));
        }
        Ok(Recorded { revision, event_id, metadata, event })
    }
}
