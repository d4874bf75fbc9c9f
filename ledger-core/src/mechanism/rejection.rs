//! Why a command was refused. A refused command records nothing.
//!
//! Each noun lists its own rejections; those that no single noun owns stand here.

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
