//! Whole stories on real parts: Postgres, Redis, files, sockets. `make test` starts what they need.

#![allow(
    clippy::disallowed_methods,
    reason = "a test is the world outside: it reads the clock and makes up ids"
)]

mod agencies;
mod backup;
mod bad_input;
mod calls;
mod crash;
mod disputes;
mod documented;
mod examples;
mod front;
mod gift_batches;
mod governance;
mod idempotency;
mod limits;
mod lists;
mod main_job;
mod nodes;
mod orders;
#[allow(dead_code, reason = "the store's own tests do more with it")]
#[path = "../../event-store/tests/postgres/own_server.rs"]
mod own_postgres;
mod payments;
mod payouts;
mod people;
mod postgres_store;
mod read_models;
mod reconciliation;
mod redis_away;
mod retries;
mod rewards;
mod roles;
mod sequences;
mod settlements;
mod socket;
mod sockets;
mod subscriptions;
mod suspense;
mod tamper;
mod telemetry;
mod world;
