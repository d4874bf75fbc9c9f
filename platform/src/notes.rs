//! The words behind a reason code: kept outside the journal, where they can be erased.

use crate::commands::CommandError;
use crate::validation::text;
use chrono::{DateTime, Utc};
use ledger_core::{NoteId, PersonId};
use sqlx::PgPool;

#[derive(Clone)]
pub struct Notes {
    pool: PgPool,
}

impl Notes {
    pub fn new(pool: PgPool) -> Notes {
        Notes { pool }
    }

    /// Keeps `words` under `note`; the same note again keeps the first words.
    pub async fn keep(
        &self,
        note: NoteId,
        author: PersonId,
        words: &str,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let words = text("note", words, 1..=2_000, true)?;
        sqlx::query(
            "INSERT INTO app.notes (id, author, words, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(note.0)
        .bind(author.0)
        .bind(words)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
