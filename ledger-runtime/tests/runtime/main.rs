//! Stories of the ledger's runtime: on several stores, with faults, with time, with chance.

mod bytes;
mod clock;
mod faults;
mod followers;
mod forwarding;
mod metering;
mod nodes;
mod rig;
mod room;
mod simulation;
mod snapshots;
mod stories;
mod world;
