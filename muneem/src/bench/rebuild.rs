//! Rebuilding the read models, beside a plain `COPY` of the same rows into the same tables with the same indexes.

use super::books::{Books, JournalOptions};
use super::load::now;
use super::table;
use super::world::{apart, until_interrupted};
use crate::config::Config;
use crate::progress::say;
use futures_util::TryStreamExt;
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

#[derive(Serialize)]
struct Row {
    what: &'static str,
    events: u64,
    rows: i64,
    seconds: f64,
    events_per_second: f64,
    /// Of the events a second of the plain copy.
    of_copy: f64,
    /// Tables and indexes together.
    bytes_per_event: f64,
}

/// # Errors
/// When something that is measured fails.
pub async fn run(config: Config, options: &JournalOptions) -> anyhow::Result<()> {
    let rows = apart(&config, async |place| {
        until_interrupted(async {
            let books = Books::new(place, options.events()).await?;
            measure(&books).await
        })
        .await
    })
    .await?;
    let head = ["", "events", "rows", "seconds", "events/s", "of COPY", "bytes an event"];
    table::print(options.json, &head, &rows, |row| {
        vec![
            row.what.to_owned(),
            row.events.to_string(),
            row.rows.to_string(),
            format!("{:.2}", row.seconds),
            format!("{:.0}", row.events_per_second),
            format!("{:.2}", row.of_copy),
            format!("{:.0}", row.bytes_per_event),
        ]
    })
}

async fn measure(books: &Books) -> anyhow::Result<Vec<Row>> {
    let begun = now();
    books.rebuild().await?;
    let rebuilt = begun.elapsed().as_secs_f64();
    let rebuilt_bytes = bytes(&books.pool, "read").await?;
    say("copying the same rows");
    let (rows, copied) = copy_all(&books.pool).await?;
    let copied_bytes = bytes(&books.pool, "copied").await?;
    let row = |what, seconds: f64, bytes: i64| Row {
        what,
        events: books.events,
        rows,
        seconds,
        events_per_second: books.events as f64 / seconds,
        of_copy: copied / seconds,
        bytes_per_event: bytes as f64 / books.events as f64,
    };
    Ok(vec![row("plain COPY", copied, copied_bytes), row("rebuild", rebuilt, rebuilt_bytes)])
}

async fn bytes(pool: &PgPool, schema: &'static str) -> anyhow::Result<i64> {
    let sum = sqlx::query_scalar(
        "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
         WHERE relnamespace = $1::regnamespace AND relkind = 'r'",
    )
    .bind(schema)
    .fetch_one(pool)
    .await?;
    Ok(sum)
}

/// Copies each table into one like it, and answers how many rows there were and how many seconds it took.
async fn copy_all(pool: &PgPool) -> anyhow::Result<(i64, f64)> {
    let mut connection = pool.acquire().await?;
    sqlx::raw_sql("CREATE SCHEMA copied; SET synchronous_commit = off").execute(&mut *connection).await?;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'read' ORDER BY 1")
            .fetch_all(&mut *connection)
            .await?;
    let (mut rows, mut seconds) = (0, 0.0);
    for table in tables {
        let like = format!("CREATE TABLE copied.{table} (LIKE read.{table} INCLUDING ALL)");
        sqlx::raw_sql(AssertSqlSafe(like)).execute(&mut *connection).await?;
        let pieces = copy_out(&mut connection, &table).await?;
        let begun = now();
        let mut copy =
            connection.copy_in_raw(&format!("COPY copied.{table} FROM STDIN (FORMAT binary)")).await?;
        for piece in pieces.chunks(1 << 20) {
            copy.send(piece).await?;
        }
        rows += i64::try_from(copy.finish().await?)?;
        seconds += begun.elapsed().as_secs_f64();
    }
    Ok((rows, seconds))
}

async fn copy_out(connection: &mut PgConnection, table: &str) -> anyhow::Result<Vec<u8>> {
    let rows = connection.copy_out_raw(&format!("COPY read.{table} TO STDOUT (FORMAT binary)")).await?;
    let all = rows.try_fold(Vec::new(), |mut all, piece| {
        all.extend_from_slice(&piece);
        std::future::ready(Ok(all))
    });
    Ok(all.await?)
}
