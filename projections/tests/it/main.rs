//! The read models against a real Postgres (`DATABASE_URL`), a database a test.

mod projecting;
mod queries;
mod verifying;
mod world;
