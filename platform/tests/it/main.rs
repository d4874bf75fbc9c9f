//! The platform on a real Postgres (a database per test) and a real Redis (a key prefix per test).
//! Needs DATABASE_URL and REDIS_URL.

mod attendance;
mod audit;
mod duty;
mod hosts;
mod journal_heads;
mod known;
mod limits;
mod otp;
mod people;
mod presence;
mod sessions;
mod settings;

use chrono::{DateTime, TimeDelta, Utc};
use ledger_core::PersonId;
use platform::shared_redis::SharedRedis;
use platform::{
    entropy,
    identity::{AccessChanges, People, PhoneVault},
};
use redis::aio::ConnectionManager;
use sqlx::PgPool;

/// Tests say what time it is: so many seconds after the start of 2026.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap() + TimeDelta::seconds(seconds)
}

async fn redis() -> ConnectionManager {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL names a Redis for tests");
    redis::Client::open(url).unwrap().get_connection_manager().await.expect("the Redis for tests answers")
}

/// Where this test counts, apart from all others.
async fn shared() -> SharedRedis {
    SharedRedis::new(redis().await, &prefix())
}

/// A beginning of keys that no other test has.
fn prefix() -> String {
    format!("test:{}:", entropy::uuid_v7())
}

fn people(pool: &PgPool) -> People {
    People::new(pool.clone(), PhoneVault::new([1; 32], [2; 32]), AccessChanges::default())
}

async fn person(pool: &PgPool, phone: &str) -> PersonId {
    people(pool).ensure(&phone.parse().unwrap(), at(0)).await.unwrap().id
}

/// Opens all connections of the pool, so that tasks which start together also meet in the database.
async fn warm(pool: &PgPool) {
    let mut held = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        held.push(pool.acquire().await.unwrap());
    }
}
