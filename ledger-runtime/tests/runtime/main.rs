//! Stories of the ledger's runtime: on several stores, with faults, with time, with chance.

mod faults;
mod followers;
mod metering;
mod nodes;
mod rig;
mod simulation;
mod stories;
mod world;
