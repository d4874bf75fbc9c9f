//! The core's tests: each line of a story is a command and its expected outcome.
//!
//! [`world::World`] is the one helper. It keeps a state and its journal, and checks at every
//! accepted command what must always hold: canonical bytes, balanced books, empty clearing.

mod adjustments;
mod between_journals;
mod binary;
mod booked;
mod calls;
mod canonical;
mod catalogue;
mod clawback;
mod commission;
mod disputes;
mod generator;
mod gifts;
mod golden;
mod idempotency;
mod identities;
mod leaves;
mod leaving;
mod lots;
mod metering;
mod orders;
mod outcome;
mod properties;
mod purchases;
mod refunds;
mod rejections;
mod returned;
mod rewards;
mod settlements;
mod snapshots;
mod subscriptions;
mod units;
mod withdrawal_states;
mod withdrawals;
mod world;
