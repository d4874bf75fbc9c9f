//! Which journal the database belongs to, and which keys.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use ledger_core::JournalId;
use sha2::Sha256;
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

/// Whether this is the key of that name which the database was first served with; notes it if there was none.
///
/// # Errors
/// When Postgres fails.
pub async fn is_same_key(
    pool: &PgPool,
    name: &str,
    key: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("an HMAC takes keys of any length");
    mac.update(b"muneem key mark\0");
    mac.update(name.as_bytes());
    let mark = mac.finalize().into_bytes().to_vec();
    sqlx::query("INSERT INTO app.key_marks (name, mark, made_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(name)
        .bind(&mark)
        .bind(now)
        .execute(pool)
        .await?;
    sqlx::query_scalar("SELECT mark = $2 FROM app.key_marks WHERE name = $1")
        .bind(name)
        .bind(&mark)
        .fetch_one(pool)
        .await
}
