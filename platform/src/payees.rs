//! Hosts and agencies whose payout details an admin has checked. A setting says whether others can withdraw.

use crate::audit::{self, Author, Change};
use crate::commands::CommandError;
use chrono::{DateTime, Utc};
use ledger_core::{AgencyId, Payee, PersonId};
use serde_json::json;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

/// Who is paid, whoever acts for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayeeId {
    Host(PersonId),
    Agency(AgencyId),
}

impl From<Payee> for PayeeId {
    fn from(payee: Payee) -> PayeeId {
        match payee {
            Payee::Host { person } => PayeeId::Host(person),
            Payee::Agency { agency, .. } => PayeeId::Agency(agency),
        }
    }
}

impl PayeeId {
    fn kind(self) -> &'static str {
        match self {
            PayeeId::Host(_) => "host",
            PayeeId::Agency(_) => "agency",
        }
    }

    fn id(self) -> Uuid {
        match self {
            PayeeId::Host(person) => person.0,
            PayeeId::Agency(agency) => agency.0,
        }
    }
}

/// Who has verified a payee, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Verified {
    pub verified_by: Uuid,
    pub verified_at: DateTime<Utc>,
}

#[derive(Clone)]
pub struct Payees {
    pool: PgPool,
}

impl Payees {
    pub fn new(pool: PgPool) -> Payees {
        Payees { pool }
    }

    /// # Errors
    /// When Postgres fails.
    pub async fn verified(&self, payee: PayeeId) -> Result<Option<Verified>, sqlx::Error> {
        verified(&self.pool, payee).await
    }

    /// Marks a payee as verified, or takes that back. What is so already changes nothing.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn set(
        &self,
        payee: PayeeId,
        to: bool,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<Option<Verified>, CommandError> {
        let admin = author.admin()?;
        let mut tx = self.pool.begin().await?;
        let changed = match to {
            true => sqlx::query(
                "INSERT INTO app.verified_payees (kind, payee, verified_by, verified_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (kind, payee) DO NOTHING",
            )
            .bind(payee.kind())
            .bind(payee.id())
            .bind(admin.0)
            .bind(now),
            false => sqlx::query("DELETE FROM app.verified_payees WHERE kind = $1 AND payee = $2")
                .bind(payee.kind())
                .bind(payee.id()),
        };
        if changed.execute(&mut *tx).await?.rows_affected() > 0 {
            let change = Change::new("payee.verification_changed", payee.kind(), payee.id())
                .before(json!({ "verified": !to }))
                .after(json!({ "verified": to }));
            audit::record(&mut tx, author, change, now).await?;
        }
        let verified = verified(&mut *tx, payee).await?;
        tx.commit().await?;
        Ok(verified)
    }
}

pub(crate) async fn verified(
    postgres: impl PgExecutor<'_>,
    payee: PayeeId,
) -> Result<Option<Verified>, sqlx::Error> {
    sqlx::query_as("SELECT verified_by, verified_at FROM app.verified_payees WHERE kind = $1 AND payee = $2")
        .bind(payee.kind())
        .bind(payee.id())
        .fetch_optional(postgres)
        .await
}
