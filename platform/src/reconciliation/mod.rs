//! Reconciliation: the journal beside the books of somebody else, row by row.
//!
//! `theirs` reads their file, `ours` what the journal says of the same things, `matching` compares, `stored` keeps what
//! was found. Nothing is changed by it: a person settles a difference by an adjustment that names it.

mod matching;
mod ours;
mod stored;
mod theirs;

pub use matching::{Comparison, Found, Item, Outcome};
pub use ours::{Ours, Wanted};
pub use stored::{Compared, ItemFilter, Reconciliation, Reconciliations, StoredItem};
pub use theirs::{FileError, Theirs, of_calls, of_razorpay};

/// Whose books are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// What Razorpay settled, against the gateway's account.
    Razorpay,
    /// How long calls lasted for the media server, against how long they were metered.
    Calls,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Razorpay => "razorpay",
            Source::Calls => "calls",
        }
    }
}

/// What is compared: a payment, a refund, a call, under the name that both sides know.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    pub kind: String,
    pub reference: String,
}

impl Subject {
    pub fn new(kind: &str, reference: impl Into<String>) -> Subject {
        Subject { kind: kind.to_owned(), reference: reference.into() }
    }
}
