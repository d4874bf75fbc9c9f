//! Referral codes: by which the ledger is told who brought a person.

use crate::commands::{CommandError, Commands};
use crate::entropy;
use chrono::{DateTime, Utc};
use ledger_core::command::NameInviter;
use ledger_core::{ClientKey, PersonId};
use ledger_runtime::Receipt;
use sqlx::PgPool;
use uuid::Uuid;

/// Letters and digits that nobody takes for another one.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

#[derive(Clone)]
pub struct Referrals {
    pool: PgPool,
    commands: Commands,
}

impl Referrals {
    pub fn new(pool: PgPool, commands: Commands) -> Referrals {
        Referrals { pool, commands }
    }

    /// The code of `person`, which stays theirs.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn code_of(&self, person: PersonId, now: DateTime<Utc>) -> Result<String, sqlx::Error> {
        let known = "SELECT code FROM app.referral_codes WHERE person = $1";
        loop {
            if let Some(code) = sqlx::query_scalar(known).bind(person.0).fetch_optional(&self.pool).await? {
                return Ok(code);
            }
            // A code that somebody else has by chance, or a second request at once, leads to another look.
            sqlx::query(
                "INSERT INTO app.referral_codes (person, code, created_at) VALUES ($1, $2, $3)
                 ON CONFLICT DO NOTHING",
            )
            .bind(person.0)
            .bind(new_code())
            .bind(now)
            .execute(&self.pool)
            .await?;
        }
    }

    /// Says who brought `user`, by the code of that person.
    ///
    /// # Errors
    /// `unknown_code`, or the ledger's answer.
    pub async fn name_inviter(
        &self,
        user: PersonId,
        key: ClientKey,
        code: &str,
    ) -> Result<Receipt, CommandError> {
        let code = code.trim().to_ascii_uppercase();
        let inviter: Option<Uuid> =
            sqlx::query_scalar("SELECT person FROM app.referral_codes WHERE code = $1")
                .bind(&code)
                .fetch_optional(&self.pool)
                .await?;
        let inviter = PersonId(inviter.ok_or(CommandError::NotFound("code"))?);
        self.commands.give(user, key, NameInviter { user, inviter }.into()).await
    }
}

fn new_code() -> String {
    entropy::bytes::<8>().iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}
