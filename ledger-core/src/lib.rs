//! The ledger's pure core: what may happen, and what follows from what happened.
//!
//! [`decide`] turns a command into events or a rejection, [`evolve`] applies recorded events to the
//! [`State`]. Both are synchronous and deterministic: no I/O, no clock, no randomness, no iteration
//! in hash order. Time and ids come in with the command.

pub mod account;
pub mod call;
pub mod command;
mod decide;
pub mod event;
mod evolve;
pub mod ids;
pub mod metadata;
pub mod money;
pub mod rejection;
pub mod state;
mod table;
pub mod time;

pub use account::{Account, Gateway, NormalSide, Posting};
pub use command::{Command, Ending, Envelope, Key, Policy, command_id};
pub use decide::{Decision, Unit, check_key, decide};
pub use event::{Event, Medium};
pub use evolve::evolve;
pub use ids::*;
pub use metadata::{Actor, Metadata, Recorded, RequestHash};
pub use money::{Asset, MAX_AMOUNT};
pub use rejection::Rejection;
pub use state::{State, Wallet};
pub use time::Timestamp;

/// The version of the events' schema that this program writes.
pub const SCHEMA_VERSION: u32 = 1;
