//! What the events of all nouns have in common.
//!
//! A recorded event decodes for ever. Amounts in coins are thousandths (`_milli`), in fiat minor
//! units (`_minor`) beside their asset. Events hold ids and codes only, never personal data.

use super::account::{Account, Posting};
use super::binary::{Binary, Bytes, Unfit};
use super::ids::{LotId, PersonId};
use super::state::State;
use super::time::Timestamp;
use crate::lots::Draw;
use smallvec::{SmallVec, smallvec};
use uuid::Uuid;

/// Declares events: a struct each, beside the text by which the journal knows its type. The text is
/// recorded for ever: a struct may be renamed, the text never.
macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $kind:literal {
        $($(#[$field_meta:meta])* $field:ident: $type:ty),* $(,)?
    })*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type),* }

        impl $name {
            /// The name of the event's type, as the store records it.
            pub const KIND: &'static str = $kind;
        }

        $crate::mechanism::binary::binary_fields! { $name { $($field: $type),* } }

        impl From<$name> for $crate::Event {
            fn from(event: $name) -> $crate::Event {
                $crate::Event::$name(event)
            }
        }
    )*};
}
pub(crate) use events;

/// What an event says of itself, and what follows from it.
pub(crate) trait Happened {
    /// The entry of the event: its postings, none when no value moves.
    fn postings(&self) -> &[Posting];

    /// What the event takes from lots and adds to them: for each account as much as its postings move.
    fn lots(&self) -> LotMoves {
        smallvec![]
    }

    /// The people whom the event concerns: they may see it.
    fn people(&self) -> Vec<PersonId>;

    /// Who pays for what happened.
    fn payer(&self) -> Option<PersonId> {
        None
    }

    /// What the event is about, by which its neighbours are found: a call, a purchase, a withdrawal.
    fn correlation(&self) -> Option<Uuid> {
        None
    }

    /// Changes the noun's rows. Amounts are taken as they stand, never computed again; the balances
    /// have been moved by the postings already.
    fn evolve(&self, change: &mut Change);
}

/// Coins that come into a lot (positive) or leave it (negative).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LotMove {
    pub lot: LotId,
    pub account: Account,
    pub amount_milli: i64,
}

/// The moves of one event: nearly always one or two.
pub type LotMoves = SmallVec<[LotMove; 2]>;

impl LotMove {
    pub(crate) fn added(lot: LotId, account: Account, amount_milli: i64) -> LotMove {
        LotMove { lot, account, amount_milli }
    }

    pub(crate) fn taken(lot: LotId, account: Account, amount_milli: i64) -> LotMove {
        LotMove { lot, account, amount_milli: -amount_milli }
    }

    pub(crate) fn drawn(draw: &Draw) -> LotMove {
        LotMove::taken(draw.lot, draw.account, draw.amount_milli)
    }
}

/// The change that one recorded event makes.
pub(crate) struct Change<'a> {
    pub state: &'a mut State,
    pub revision: u64,
    pub at: Timestamp,
}

/// Recorded bytes as text: checked once as a whole, which is faster than string by string.
pub(crate) fn text_of<'a>(kind: &str, bytes: &'a [u8]) -> Result<&'a str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|fault| DecodeError::Malformed(kind.to_owned(), fault.to_string()))
}

/// Reads what is in the binary form behind its first byte.
pub(crate) fn read_binary<T: Binary>(kind: &str, bytes: &[u8]) -> Result<T, DecodeError> {
    let mut from = Bytes(bytes.get(1..).unwrap_or_default());
    let read = T::take(&mut from).and_then(|value| from.end().map(|()| value));
    read.map_err(|Unfit(what)| {
        let at = bytes.len() - from.0.len();
        DecodeError::Malformed(kind.to_owned(), format!("before byte {at}: {what}"))
    })
}

/// Why recorded bytes are not an event that this program knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A newer program wrote it; this node must not go on.
    #[error("the journal holds an event of the unknown type {0}: a newer program wrote it")]
    UnknownKind(String),
    #[error("the journal holds a malformed {0}: {1}")]
    Malformed(String, String),
    /// What is known of all events of a unit stands beside the first of them, which was not read before this one.
    #[error("the event is read without the first of its unit, which stands at revision {first}")]
    Headless { first: u64 },
}
