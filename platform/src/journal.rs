//! Which journal the database belongs to.

use chrono::{DateTime, Utc};
use ledger_core::JournalId;
use sqlx::PgPool;
use uuid::Uuid;

/// The journal that the database was first served with; `None` before that.
///
/// # Errors
/// When Postgres fails.
pub async fn adopted(pool: &PgPool) -> Result<Option<JournalId>, sqlx::Error> {
    let id: Option<Uuid> = sqlx::query_scalar("SELECT id FROM app.journal").fetch_optional(pool).await?;
    Ok(id.map(JournalId))
}

/// Binds the database to `journal`, unless it is bound already.
///
/// # Errors
/// When Postgres fails.
pub async fn adopt(pool: &PgPool, journal: JournalId, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    let adopt = "INSERT INTO app.journal (id, adopted_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    sqlx::query(adopt).bind(journal.0).bind(now).execute(pool).await?;
    Ok(())
}
