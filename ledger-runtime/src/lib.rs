//! Runs the pure core on a store: one writer with group commit, replay at the start, followers of
//! the durable events, and the driver that keeps the time of calls.

mod batch;
mod clock;
mod codec;
mod follower;
mod forwarding;
mod health;
mod ledger;
mod metering;
mod published;
mod questions;
mod replay;
mod snapshot;
mod storing;
mod writer;

pub use clock::{Clock, Leap};
pub use codec::{JournalError, read_journal};
pub use follower::Follower;
pub use forwarding::{Door, Kinship};
pub use ledger::{ExecuteError, Ledger, Opening, Receipt, Status, Submitted};
pub use metering::{Connections, Metering, Sides, Sightings};
pub use published::{DurableUnit, Facts, PersonFacts};
pub use replay::OpenError;
pub use snapshot::{SnapshotError, Snapshots};
