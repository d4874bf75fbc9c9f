//! The ledger's pure core: what may happen, and what follows from what happened.
//!
//! [`decide`] turns a command into events or a rejection, [`evolve`] applies recorded events to the
//! [`State`]. Both are synchronous and deterministic: no I/O, no clock, no randomness, no iteration
//! in hash order. Time and ids come in with the command.
//!
//! A folder for each noun, which holds all that is said of it: commands, events, rows, rejections, what is
//! decided and what evolves. What the nouns stand on is in [`mechanism`]; [`nouns`] puts them together.

mod mechanism;
mod nouns;

pub mod adjustments;
pub mod agencies;
pub mod bonuses;
pub mod calls;
pub mod catalogue;
pub mod commission;
pub mod disputes;
pub mod gifts;
pub mod journal;
pub mod lots;
pub mod orders;
pub mod purchases;
pub mod rewards;
pub mod settlements;
pub mod subscriptions;
pub mod withdrawals;

pub use calls::Ending;
pub use catalogue::Medium;
pub use lots::Wallet;
pub use mechanism::account::{self, Account, Gateway, NormalSide, Posting};
pub use mechanism::amounts::Amounts;
pub use mechanism::decide::{Decision, Unit, check_key, decide, decide_prepared};
pub use mechanism::envelope::{
    ClientKey, Envelope, Key, NotCarried, Policy, Prepared, command_id, command_ids,
};
pub use mechanism::evolve::evolve;
pub use mechanism::ids::*;
pub use mechanism::leaf::{LeafWriter, read_leaf};
pub use mechanism::metadata::{Actor, Before, Metadata, PlaceInUnit, Recorded, RememberedFor, RequestHash};
pub use mechanism::money::{self, Asset, MAX_AMOUNT, Price};
pub use mechanism::state::{self, State};
pub use mechanism::stored::{NotAState, STATE_VERSION};
pub use mechanism::time::{Period, Timestamp, rfc3339};
pub use nouns::{Command, Event, Rejection};
pub use withdrawals::Payee;

/// The version of the events' schema that this program writes.
pub const SCHEMA_VERSION: u32 = 1;

/// The commands of all nouns.
pub mod command {
    pub use crate::calls::Ending;
    pub use crate::nouns::Command;
    pub use crate::nouns::commands::*;
    pub use crate::orders::{Discount, PercentOff};
    pub use crate::rewards::Claim;
}

/// The events of all nouns, and what they are made of.
pub mod event {
    pub use crate::bonuses::BonusOrigin;
    pub use crate::calls::ReturnedDraw;
    pub use crate::calls::{EndReason, PauseCause};
    pub use crate::catalogue::Medium;
    pub use crate::commission::{ClawedShare, CommissionRule, CommissionScope, HeldShare, SplitSource};
    pub use crate::disputes::{GivenBack, ReleaseCause};
    pub use crate::lots::Draw;
    pub use crate::mechanism::event::{DecodeError, LotMove, LotMoves};
    pub use crate::nouns::Event;
    pub use crate::nouns::events::*;
    pub use crate::orders::{CancelCause, Discount, PercentOff};
    pub use crate::purchases::{BoughtPeriod, Buys, MoneyDirection, UnmatchedCause};
    pub use crate::rewards::RewardKind;
    pub use crate::settlements::{Earner, Totals};
    pub use crate::subscriptions::LapseCause;
    pub use crate::withdrawals::WithdrawalTerms;
}
