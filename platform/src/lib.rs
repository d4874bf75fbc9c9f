//! What is not money: who people are and may do, hosts, presence, limits and settings. SQL in schema `app`,
//! Redis for what may be forgotten. Amounts and prices that decide a charge are in the ledger, not here.
//!
//! Functions take the time as `now`; the edge reads it from [`clock`].

pub mod app;
pub mod approvals;
pub mod attendance;
pub mod audit;
pub mod bounds;
pub mod calls;
pub mod client_address;
pub mod clock;
pub mod commands;
pub mod disk;
pub mod duty;
pub mod entropy;
pub mod gifts;
pub mod hosts;
pub mod identity;
mod invisible;
pub mod journal;
pub mod journal_heads;
pub mod known;
pub mod notes;
pub mod orders;
pub mod page;
pub mod payees;
pub mod preferred;
pub mod presence;
pub mod problem;
pub mod purchases;
pub mod push;
pub mod rate_limit;
pub mod reading;
pub mod receipt;
pub mod reconciliation;
mod reconnect;
pub mod referrals;
pub mod seal;
pub mod settings;
pub mod shared_redis;
pub mod socket_leases;
pub mod validation;
pub mod webhooks;
pub mod workers;

/// The tables of schema `app`. The read models are not among them: they are made by the projector.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");
