//! Why a command was refused. A refused command records nothing.
//!
//! Each noun lists its own rejections; those that no single noun owns stand here.

use super::binary::{Binary, Bytes, Unfit, put_unsigned};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Makes the enum of the rejections here and those of all nouns.
macro_rules! rejections {
    ($($of_nouns:tt)*) => { $crate::mechanism::rejection::rejection_enum! {
        KeyReused = "idempotency_key_reused", "this idempotency key was used for another request";
        KeyInvalid = "idempotency_key_invalid", "an idempotency key has 1 to 255 printable ASCII characters";
        KeyExpired = "idempotency_key_expired", "this idempotency key is older than 24 hours; look at the history before you try again under a new one";
        KeyInFuture = "idempotency_key_in_future", "this idempotency key lies in the future; check the clock of the device";

        AmountNotPositive { field: &'static str } = "amount_not_positive", "{field} must be greater than zero";
        AmountTooLarge { field: &'static str } = "amount_too_large", "{field} or the balance that it leads to is larger than 2^53-1";
        ReasonInvalid { field: &'static str } = "reason_invalid", "{field} is a code of 1 to 64 small letters, digits and underscores; words belong in a note";
        ReferenceInvalid { field: &'static str } = "reference_invalid", "{field} is 1 to 64 visible ASCII characters";
        SelfPayment = "self_payment", "nobody can pay themselves";
        OwnMoney = "own_money", "nobody decides on their own money: another admin has to";

        $($of_nouns)*
    } };
}
pub(crate) use rejections;

macro_rules! rejection_enum {
    ($($(#[$doc:meta])* $name:ident $({ $($field:ident: $kind:ty),* $(,)? })? = $code:literal, $text:literal;)*) => {
        /// A refused command: the reason, comparable, with a stable code.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum Rejection {
            $($(#[$doc])* #[error($text)] $name $({ $($field: $kind),* })?),*
        }

        impl Rejection {
            /// Writes it for another node that runs the same program. The bytes are never kept.
            pub fn carry(&self) -> Vec<u8> {
                let mut out = vec![];
                self.code().put(&mut out);
                match self {
                    $(Rejection::$name $({ $($field),* })? => { $($($field.put(&mut out);)*)? })*
                }
                out
            }

            /// Reads what [`Self::carry`] wrote.
            ///
            /// # Errors
            /// When it is not what a node with the same program wrote.
            pub fn carried(bytes: &[u8]) -> Result<Rejection, NotCarried> {
                let mut from = Form(bytes);
                let mut take = || {
                    let code = String::take(&mut from)?;
                    Ok(match code.as_str() {
                        $($code => Rejection::$name $({ $($field: <$kind>::take(&mut from)?),* })?,)*
                        _ => return Err(Unfit("no rejection has this code")),
                    })
                };
                let rejection = take().map_err(|_| NotCarried)?;
                from.end().map(|()| rejection).map_err(|_| NotCarried)
            }

            /// All codes.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// The stable code that clients and tests go by.
            pub fn code(&self) -> &'static str {
                match self { $(Rejection::$name { .. } => $code),* }
            }
        }
    };
}
pub(crate) use rejection_enum;

/// The names of fields of which a rejection that another node sent has spoken. A program has a few dozen of them.
static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
const MOST_NAMES: usize = 1_000;

/// A number of things.
impl Binary for usize {
    fn shape(types: &mut Map<String, Value>) -> Value {
        u64::shape(types)
    }

    fn put(&self, out: &mut Vec<u8>) {
        (*self as u64).put(out);
    }

    fn take(from: &mut Bytes) -> Result<Self, Unfit> {
        u64::take(from)?.try_into().map_err(|_| Unfit("a number is too large"))
    }
}

/// The name of a field.
impl Binary for &'static str {
    fn shape(types: &mut Map<String, Value>) -> Value {
        String::shape(types)
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_unsigned(self.len() as u64, out);
        out.extend_from_slice(self.as_bytes());
    }

    fn take(from: &mut Bytes) -> Result<Self, Unfit> {
        let name = String::take(from)?;
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        match names.get(name.as_str()) {
            Some(name) => Ok(name),
            None if names.len() < MOST_NAMES => {
                let name: &'static str = name.leak();
                names.insert(name);
                Ok(name)
            }
            None => Err(Unfit("no program has so many fields")),
        }
    }
}
