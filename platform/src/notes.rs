//! The words behind a reason code: kept outside the journal, where they can be erased.

use crate::commands::CommandError;
use crate::validation::text;
use chrono::{DateTime, Utc};
use ledger_core::{NoteId, PersonId, Rejection};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// A note as it was written.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Note {
    pub id: Uuid,
    /// Absent for the operator at the command line.
    pub author: Option<Uuid>,
    pub words: String,
    pub created_at: DateTime<Utc>,
}

#[derive(Clone)]
pub struct Notes {
    pool: PgPool,
}

impl Notes {
    pub fn new(pool: PgPool) -> Notes {
        Notes { pool }
    }

    /// Keeps `words` under `note`. The same words again change nothing.
    ///
    /// # Errors
    /// `KeyReused` for other words under a note that is there: a note follows from its command's key, and what
    /// was said first must not pass for what is said now.
    pub async fn keep(
        &self,
        note: NoteId,
        author: PersonId,
        words: &str,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let words = text("note", words, 1..=2_000, true)?;
        let kept = sqlx::query(
            "INSERT INTO app.notes AS note (id, author, words, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE SET words = note.words WHERE note.words = excluded.words",
        )
        .bind(note.0)
        .bind(author.0)
        .bind(words)
        .bind(now)
        .execute(&self.pool)
        .await?;
        if kept.rows_affected() == 1 { Ok(()) } else { Err(Rejection::KeyReused.into()) }
    }

    /// # Errors
    /// `NotFound` for a note that was never written or is erased.
    pub async fn get(&self, note: NoteId) -> Result<Note, CommandError> {
        let found = sqlx::query_as("SELECT id, author, words, created_at FROM app.notes WHERE id = $1")
            .bind(note.0)
            .fetch_optional(&self.pool)
            .await?;
        found.ok_or(CommandError::NotFound("note"))
    }
}

/// Keeps words that were checked, inside the caller's transaction. A note that is there stays as it is.
pub(crate) async fn insert(
    tx: &mut PgConnection,
    note: NoteId,
    author: Option<PersonId>,
    words: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO app.notes (id, author, words, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(note.0)
    .bind(author.map(|author| author.0))
    .bind(words)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}
