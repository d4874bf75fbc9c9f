//! The read models against a real Postgres (`DATABASE_URL`), a database a test.

mod costs;
mod filters;
mod projecting;
mod queries;
mod rebuilding;
mod verifying;
mod world;
