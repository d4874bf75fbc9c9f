//! The read schema: made where it is missing, made anew where its format is another.

use sqlx::{Connection, PgConnection, PgPool};

/// The format of the read models that this program writes. It goes up with each change of
/// `sql/schema.sql` and with each change of what a projector writes into it.
pub const FORMAT: i32 = 2;

const SCHEMA: &str = include_str!("../sql/schema.sql");

/// The advisory lock that keeps two openers from creating the schema at once.
const OPENER_LOCK: i64 = 0x6d75_6e65_656d;

/// Creates the schema where it is missing and makes it anew where its format differs.
pub(crate) async fn ensure(pool: &PgPool) -> Result<(), sqlx::Error> {
    within_lock(pool, async |connection| match format(connection).await? {
        Some(FORMAT) => Ok(()),
        None => create(connection).await,
        Some(other) => {
            tracing::warn!(found = other, wanted = FORMAT, "the read models have another format: made anew");
            create(connection).await
        }
    })
    .await
}

/// Makes the schema anew, whatever stands there.
pub(crate) async fn recreate(pool: &PgPool) -> Result<(), sqlx::Error> {
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

/// The format of the schema that is there; `None` where there is none. A schema without a
/// checkpoint is none of ours to keep.
async fn format(connection: &mut PgConnection) -> Result<Option<i32>, sqlx::Error> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('read.checkpoint') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        return Ok(None);
    }
    let format = sqlx::query_scalar("SELECT format FROM read.checkpoint").fetch_optional(connection).await?;
    Ok(format)
}

async fn create(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("DROP SCHEMA IF EXISTS read CASCADE").execute(&mut *connection).await?;
    sqlx::raw_sql(SCHEMA).execute(&mut *connection).await?;
    sqlx::query("INSERT INTO read.checkpoint (format) VALUES ($1)").bind(FORMAT).execute(connection).await?;
    Ok(())
}
