//! Compares two ways to keep a journal in PostgreSQL, in one run: a row for each event, as the adapter does, and a
//! row for each append, with arrays in it.
//! `DATABASE_URL=postgres://... cargo run --release -p event-store --example postgres_rows`
//!
//! Compare within a run only. The tables are in the schema `rows_measured`, which is removed at the end.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

const RUN_FOR: Duration = Duration::from_secs(2);

const TABLES: &str = "
    DROP SCHEMA IF EXISTS rows_measured CASCADE;
    CREATE SCHEMA rows_measured;
    SET search_path = rows_measured;
    SET synchronous_commit = on;
    CREATE TABLE by_event (
        revision bigint PRIMARY KEY, id uuid NOT NULL, kind text NOT NULL, data bytea NOT NULL, metadata bytea NOT NULL
    );
    CREATE TABLE by_append (
        first bigint PRIMARY KEY, last bigint NOT NULL, ids uuid[] NOT NULL, kinds text[] NOT NULL,
        data bytea[] NOT NULL, metadata bytea[] NOT NULL
    );";

const APPEND_EVENTS: &str = "
    INSERT INTO by_event
    SELECT $1 + batch.place, batch.id, batch.kind, batch.data, batch.metadata
    FROM unnest($2::uuid[], $3::text[], $4::bytea[], $5::bytea[])
        WITH ORDINALITY AS batch (id, kind, data, metadata, place)
    WHERE coalesce((SELECT max(revision) FROM by_event), -1) = $1";

const APPEND_ROW: &str = "
    INSERT INTO by_append
    SELECT $1 + 1, $1 + cardinality($2::uuid[]), $2, $3::text[], $4::bytea[], $5::bytea[]
    WHERE coalesce((SELECT last FROM by_append ORDER BY first DESC LIMIT 1), -1) = $1";

const READ_EVENTS: &str =
    "SELECT id, kind, data, metadata FROM by_event WHERE revision >= $1 ORDER BY revision LIMIT 1000";

const READ_ROWS: &str = "
    SELECT event.id, event.kind, event.data, event.metadata
    FROM by_append, unnest(ids, kinds, data, metadata) WITH ORDINALITY AS event (id, kind, data, metadata, place)
    WHERE last >= $1 AND first < $1 + 1000 AND first + place - 1 BETWEEN $1 AND $1 + 999
    ORDER BY first, place";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL")?;
    let mut connection = PgConnection::connect(&url).await?;
    println!(
        "one event has 260 bytes, each line is {RUN_FOR:?} of appends and one read of all, in pages of 1,000"
    );
    println!(
        "{:>6} {:>10} {:>10} {:>10} {:>12} {:>14}",
        "batch", "a row for", "appends/s", "events/s", "bytes/event", "events read/s"
    );
    for batch in [1, 10, 100, 1_000] {
        sqlx::raw_sql(TABLES).execute(&mut connection).await?;
        for (kind, table, append, read) in [
            ("event", "by_event", APPEND_EVENTS, READ_EVENTS),
            ("append", "by_append", APPEND_ROW, READ_ROWS),
        ] {
            let (appends, took) = fill(&mut connection, append, batch).await?;
            let events = appends * batch;
            let size = "SELECT pg_total_relation_size($1::regclass)";
            let bytes: i64 = sqlx::query_scalar(size).bind(table).fetch_one(&mut connection).await?;
            let read = read_all(&mut connection, read, events).await?;
            println!(
                "{batch:>6} {kind:>10} {:>10} {:>10} {:>12} {:>14}",
                per_second(appends, took),
                per_second(events, took),
                bytes / events,
                per_second(events, read)
            );
        }
    }
    sqlx::raw_sql("DROP SCHEMA rows_measured CASCADE").execute(&mut connection).await?;
    Ok(())
}

/// Answers how many batches were appended, one at a time.
async fn fill(
    connection: &mut PgConnection,
    append: &'static str,
    batch: i64,
) -> Result<(i64, Duration), sqlx::Error> {
    let count = usize::try_from(batch).unwrap_or(1);
    let kinds = vec!["GiftSent"; count];
    let (data, metadata) = (texts(count, 200), texts(count, 60));
    let start = now();
    let mut appends = 0_i64;
    while start.elapsed() < RUN_FOR {
        let ids: Vec<Uuid> =
            (0..batch).map(|index| Uuid::from_u64_pair(appends as u64, index as u64)).collect();
        let done = sqlx::query(append)
            .bind(appends * batch - 1)
            .bind(ids)
            .bind(&kinds)
            .bind(&data)
            .bind(&metadata)
            .execute(&mut *connection)
            .await?;
        assert!(done.rows_affected() > 0, "the end is where it was left");
        appends += 1;
    }
    Ok((appends, start.elapsed()))
}

/// Hexadecimal digits as of random ids: PostgreSQL compresses long values, and would make nothing of equal ones.
fn texts(count: usize, bytes: usize) -> Vec<Vec<u8>> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut digit = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        b"0123456789abcdef"[(seed % 16) as usize]
    };
    (0..count).map(|_| (0..bytes).map(|_| digit()).collect()).collect()
}

async fn read_all(
    connection: &mut PgConnection,
    read: &'static str,
    events: i64,
) -> Result<Duration, sqlx::Error> {
    let start = now();
    let mut next = 0_i64;
    while next < events {
        let page: Vec<(Uuid, String, Vec<u8>, Vec<u8>)> =
            sqlx::query_as(read).bind(next).fetch_all(&mut *connection).await?;
        assert!(!page.is_empty(), "no event is missing");
        next += page.len() as i64;
    }
    Ok(start.elapsed())
}

#[expect(clippy::disallowed_methods, reason = "a measurement is about the clock")]
fn now() -> Instant {
    Instant::now()
}

fn per_second(count: i64, took: Duration) -> i64 {
    i64::try_from(i128::from(count) * 1_000 / i128::try_from(took.as_millis().max(1)).unwrap_or(1))
        .unwrap_or(i64::MAX)
}
