//! The read schema: created where it is missing, dropped and created again where its format differs, and changed for
//! another one that was built beside it.
//!
//! What a projector writes does not name the schema: the transaction of a batch sets it (`search_path`). What is asked
//! names `read`.

use super::{Kind, checkpoint};
use crate::error::ProjectError;
use crate::{Batch, Journal};
use ledger_core::Event;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

/// The format of the read models that this program writes. Raise it with each change of a table and
/// with each change of what a projector writes: a database of another format is rebuilt.
pub const FORMAT: i32 = 15;

/// The advisory lock that keeps two openers from creating the schema at once.
const OPENER_LOCK: i64 = 0x6d75_6e65_656d;

/// One of two sets of read models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// The one that is asked.
    Served,
    /// The one that a rebuild makes beside it.
    Next,
}

impl Schema {
    pub fn name(self) -> &'static str {
        match self {
            Schema::Served => "read",
            Schema::Next => "read_next",
        }
    }
}

/// Creates the schema where it is missing and recreates it where its format differs.
pub(super) async fn ensure(pool: &PgPool) -> Result<(), sqlx::Error> {
    within_lock(pool, async |connection| match format(connection).await? {
        Some(FORMAT) => Ok(()),
        None => create(connection, Schema::Served).await,
        Some(other) => {
            tracing::warn!(
                found = other,
                wanted = FORMAT,
                "the read models have another format and are rebuilt"
            );
            create(connection, Schema::Served).await
        }
    })
    .await
}

/// Creates the schema of a rebuild, and drops what an interrupted one has left.
pub(super) async fn begin_next(pool: &PgPool) -> Result<(), sqlx::Error> {
    within_lock(pool, async |connection| create(connection, Schema::Next).await).await
}

/// Lets the schema of a rebuild take the place of the one that is asked, unless that one has come further meanwhile:
/// then it answers no, and nothing has changed. Whoever asks at that moment is answered from the old one.
pub(super) async fn change_over(pool: &PgPool, store: &Journal) -> Result<bool, ProjectError> {
    let mut tx = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(OPENER_LOCK).execute(&mut *tx).await?;
    if format(&mut tx).await? == Some(FORMAT) {
        // No projector goes on from here until the change is made.
        let (served, next): (Option<i64>, Option<i64>) = sqlx::query_as(
            "SELECT served.revision, next.revision
             FROM read.checkpoint AS served LEFT JOIN read_next.checkpoint AS next USING (journal_id)
             FOR UPDATE OF served",
        )
        .fetch_one(&mut *tx)
        .await?;
        let head = store.head().await?.and_then(|head| i64::try_from(head).ok());
        // Read models that are ahead of the journal itself are what a rebuild mends.
        if next.is_some() && served > next && head > next {
            return Ok(false);
        }
        // A projector that waits for the lock gets it in the old schema, whose checkpoint must be no place to go on from.
        sqlx::query("UPDATE read.checkpoint SET journal_id = NULL, revision = NULL, event_id = NULL")
            .execute(&mut *tx)
            .await?;
    }
    let there: bool =
        sqlx::query_scalar("SELECT to_regnamespace('read') IS NOT NULL").fetch_one(&mut *tx).await?;
    let rename = match there {
        true => "DROP SCHEMA IF EXISTS read_left CASCADE; ALTER SCHEMA read RENAME TO read_left;",
        false => "",
    };
    sqlx::raw_sql(AssertSqlSafe(format!("{rename} ALTER SCHEMA read_next RENAME TO read")))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    // Not in the same transaction: this waits for those who still ask the old one.
    if let Err(fault) = sqlx::raw_sql("DROP SCHEMA IF EXISTS read_left CASCADE").execute(pool).await {
        tracing::warn!(%fault, "the old read models are left in the schema read_left until the next rebuild");
    }
    Ok(true)
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

async fn create(connection: &mut PgConnection, schema: Schema) -> Result<(), sqlx::Error> {
    let name = schema.name();
    sqlx::raw_sql(AssertSqlSafe(format!(
        "DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}; SET LOCAL search_path TO {name}"
    )))
    .execute(&mut *connection)
    .await?;
    sqlx::raw_sql(AssertSqlSafe(Kind::create())).execute(&mut *connection).await?;
    for tables in std::iter::once(&checkpoint::TABLE).chain(Batch::TABLES) {
        sqlx::raw_sql(*tables).execute(&mut *connection).await?;
    }
    sqlx::query("INSERT INTO checkpoint (format) VALUES ($1)").bind(FORMAT).execute(connection).await?;
    Ok(())
}
