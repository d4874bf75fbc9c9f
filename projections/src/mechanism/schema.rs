//! The read schema: created where it is missing, dropped and created again where its format differs.

use super::{Kind, checkpoint};
use crate::Batch;
use ledger_core::Event;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

/// The format of the read models that this program writes. Raise it with each change of a table and
/// with each change of what a projector writes: a database of another format is rebuilt.
pub const FORMAT: i32 = 8;

/// The advisory lock that keeps two openers from creating the schema at once.
const OPENER_LOCK: i64 = 0x6d75_6e65_656d;

/// Creates the schema where it is missing and recreates it where its format differs.
pub(super) async fn ensure(pool: &PgPool) -> Result<(), sqlx::Error> {
    within_lock(pool, async |connection| match format(connection).await? {
        Some(FORMAT) => Ok(()),
        None => create(connection).await,
        Some(other) => {
            tracing::warn!(
                found = other,
                wanted = FORMAT,
                "the read models have another format and are rebuilt"
            );
            create(connection).await
        }
    })
    .await
}

/// Drops what is there and creates the schema.
pub(super) async fn recreate(pool: &PgPool) -> Result<(), sqlx::Error> {
    within_lock(pool, create).await
}

async fn within_lock(
    pool: &PgPool,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<(), sqlx::Error>,
) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let mut tx = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(OPENER_LOCK).execute(&mut *tx).await?;
    work(&mut tx).await?;
    tx.commit().await
}

/// The format of the schema that is there; `None` where there is none. A schema without a checkpoint
/// was not made by this program and is replaced.
async fn format(connection: &mut PgConnection) -> Result<Option<i32>, sqlx::Error> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('read.checkpoint') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        return Ok(None);
    }
    // A program that knows other types of event has another format, whatever its number.
    let kinds: Vec<String> = sqlx::query_scalar(
        "SELECT enumlabel::text FROM pg_enum WHERE enumtypid = to_regtype('read.event_kind')
         ORDER BY enumsortorder",
    )
    .fetch_all(&mut *connection)
    .await?;
    let format = sqlx::query_scalar("SELECT format FROM read.checkpoint").fetch_optional(connection).await?;
    Ok(format.filter(|_| kinds == Event::KINDS))
}

async fn create(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("DROP SCHEMA IF EXISTS read CASCADE; CREATE SCHEMA read").execute(&mut *connection).await?;
    sqlx::raw_sql(AssertSqlSafe(Kind::create())).execute(&mut *connection).await?;
    for tables in std::iter::once(&checkpoint::TABLE).chain(Batch::TABLES) {
        sqlx::raw_sql(*tables).execute(&mut *connection).await?;
    }
    sqlx::query("INSERT INTO read.checkpoint (format) VALUES ($1)").bind(FORMAT).execute(connection).await?;
    Ok(())
}
