//! Suspensions and bans: an admin keeps somebody from their account, or from acting as a host.
//!
//! A restriction stays until an admin lifts it. A suspension and a ban have the same effect and tell the person
//! different things: a suspension is meant to end, a ban is not.
//!
//! - `account`: all sessions end, and no new one is opened: the person cannot sign in, refresh or pay.
//! - `host`: the person is a user still. The role `host` gives no rights, nobody can ring them or send them gifts,
//!   and they can neither ask for withdrawals nor take them back. Withdrawals that they asked for before stay as
//!   they are, for the admins to decide.

use super::access::{AccessChange, AccessChanges};
use super::people::{PeopleError, Role};
use super::sessions::{EndReason, end_all};
use crate::audit::{self, Author, Change};
use chrono::{DateTime, Utc};
use ledger_core::{PersonId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{PgConnection, PgPool};

/// What a restriction keeps somebody from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Account,
    Host,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestrictionKind {
    Suspended,
    Banned,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    pub scope: Scope,
    pub kind: RestrictionKind,
    /// A code.
    pub reason: String,
    pub since: DateTime<Utc>,
}

#[derive(Clone)]
pub struct Restrictions {
    pool: PgPool,
    access: AccessChanges,
}

impl Restrictions {
    pub fn new(pool: PgPool, access: AccessChanges) -> Self {
        Self { pool, access }
    }

    /// Restricts a person, or changes the kind or reason of the restriction in force. The one in force again
    /// changes nothing. Calls under way are ended by [`crate::calls::Calls::stop_all`].
    ///
    /// # Errors
    /// [`PeopleError::IsAdmin`] for an admin's account: the role is taken away first, so that there is always an
    /// admin who can sign in.
    pub async fn impose(
        &self,
        person: PersonId,
        scope: Scope,
        kind: RestrictionKind,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<Restriction, PeopleError> {
        let reason = author.reason().unwrap_or_default().to_owned();
        let mut tx = self.pool.begin().await?;
        lock_person(&mut tx, person).await?;
        if scope == Scope::Account && is_admin(&mut tx, person).await? {
            return Err(PeopleError::IsAdmin);
        }
        let before = find(&mut tx, person, scope).await?;
        if let Some(before) = before.as_ref().filter(|it| it.kind == kind && it.reason == reason) {
            return Ok(before.clone());
        }
        let restriction = Restriction { scope, kind, reason, since: now };
        sqlx::query(
            "INSERT INTO app.restrictions (person, scope, kind, reason, since) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (person, scope) DO UPDATE
             SET kind = excluded.kind, reason = excluded.reason, since = excluded.since",
        )
        .bind(person.0)
        .bind(scope.as_str())
        .bind(kind.as_str())
        .bind(&restriction.reason)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        let ended = match scope {
            Scope::Account => end_all(&mut tx, person, EndReason::Restricted, now).await?,
            Scope::Host => Vec::new(),
        };
        let change = Change::new(scope.action(kind), "person", person);
        let change = Change { before: before.as_ref().map(Restriction::as_json), ..change };
        audit::record(&mut tx, author, change.after(restriction.as_json()), now).await?;
        tx.commit().await?;
        for session in ended {
            self.access.publish(AccessChange::SessionEnded { person, session });
        }
        self.access.publish(AccessChange::PersonChanged { person });
        Ok(restriction)
    }

    /// Lifts a restriction; lifting it twice is lifting it once. Sessions that ended stay ended.
    pub async fn lift(
        &self,
        person: PersonId,
        scope: Scope,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<(), PeopleError> {
        let mut tx = self.pool.begin().await?;
        lock_person(&mut tx, person).await?;
        let Some(before) = find(&mut tx, person, scope).await? else { return Ok(()) };
        sqlx::query("DELETE FROM app.restrictions WHERE person = $1 AND scope = $2")
            .bind(person.0)
            .bind(scope.as_str())
            .execute(&mut *tx)
            .await?;
        let action = match scope {
            Scope::Account => "account.restored",
            Scope::Host => "host.restored",
        };
        let change = Change::new(action, "person", person).before(before.as_json());
        audit::record(&mut tx, author, change, now).await?;
        tx.commit().await?;
        self.access.publish(AccessChange::PersonChanged { person });
        Ok(())
    }

    /// What the person is kept from at present.
    pub async fn of(&self, person: PersonId) -> Result<Vec<Restriction>, sqlx::Error> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT scope, kind, reason, since FROM app.restrictions WHERE person = $1 ORDER BY scope",
        )
        .bind(person.0)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Restriction::from).collect())
    }

    /// How the person is kept from acting as a host, if they are.
    pub async fn of_host(&self, person: PersonId) -> Result<Option<RestrictionKind>, sqlx::Error> {
        let restrictions = self.of(person).await?;
        Ok(restrictions.into_iter().find(|it| it.scope == Scope::Host).map(|it| it.kind))
    }
}

/// How the person is kept from their account, if they are.
pub(super) async fn of_account(
    tx: &mut PgConnection,
    person: PersonId,
) -> Result<Option<RestrictionKind>, sqlx::Error> {
    Ok(find(tx, person, Scope::Account).await?.map(|it| it.kind))
}

/// Holds the person until the transaction ends: a restriction and a new session, or a restriction and the role
/// `admin`, come one after the other.
pub(super) async fn lock_person(tx: &mut PgConnection, person: PersonId) -> Result<(), PeopleError> {
    let found: Option<i32> = sqlx::query_scalar("SELECT 1 FROM app.people WHERE id = $1 FOR UPDATE")
        .bind(person.0)
        .fetch_optional(tx)
        .await?;
    found.map(drop).ok_or(PeopleError::NotFound)
}

async fn is_admin(tx: &mut PgConnection, person: PersonId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM app.person_roles WHERE person = $1 AND role = $2)")
        .bind(person.0)
        .bind(Role::Admin.as_str())
        .fetch_one(tx)
        .await
}

async fn find(
    tx: &mut PgConnection,
    person: PersonId,
    scope: Scope,
) -> Result<Option<Restriction>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT scope, kind, reason, since FROM app.restrictions WHERE person = $1 AND scope = $2",
    )
    .bind(person.0)
    .bind(scope.as_str())
    .fetch_optional(tx)
    .await?;
    Ok(row.map(Restriction::from))
}

impl Scope {
    fn as_str(self) -> &'static str {
        match self {
            Scope::Account => "account",
            Scope::Host => "host",
        }
    }

    fn action(self, kind: RestrictionKind) -> &'static str {
        match (self, kind) {
            (Scope::Account, RestrictionKind::Suspended) => "account.suspended",
            (Scope::Account, RestrictionKind::Banned) => "account.banned",
            (Scope::Host, RestrictionKind::Suspended) => "host.suspended",
            (Scope::Host, RestrictionKind::Banned) => "host.banned",
        }
    }
}

impl RestrictionKind {
    pub fn as_str(self) -> &'static str {
        match self {
            RestrictionKind::Suspended => "suspended",
            RestrictionKind::Banned => "banned",
        }
    }
}

impl Restriction {
    fn as_json(&self) -> serde_json::Value {
        json!({ "scope": self.scope, "kind": self.kind, "reason": self.reason, "since": Timestamp::from(self.since).to_string() })
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    scope: String,
    kind: String,
    reason: String,
    since: DateTime<Utc>,
}

impl From<Row> for Restriction {
    fn from(row: Row) -> Restriction {
        Restriction {
            // The table allows these two scopes and kinds alone.
            scope: if row.scope == "account" { Scope::Account } else { Scope::Host },
            kind: match row.kind.as_str() {
                "suspended" => RestrictionKind::Suspended,
                _ => RestrictionKind::Banned,
            },
            reason: row.reason,
            since: row.since,
        }
    }
}
