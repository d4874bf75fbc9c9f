//! Stories of the ledger's runtime: on several stores, with faults, with time, with chance.

mod bytes;
mod clock;
mod faults;
mod followers;
mod forwarding;
mod metering;
mod nodes;
mod orders;
mod room;
mod snapshots;
mod stories;

// The store that fails and the ledger with people are those of the simulation.
use simulation::{rig, world};
