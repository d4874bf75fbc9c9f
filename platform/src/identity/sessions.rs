//! Sessions: a sign-in on one device, kept alive by refresh tokens that are good once.
//!
//! **A lost answer.** A client whose refresh was carried out but whose answer was lost asks again with the
//! same token. Within [`GRACE_SECONDS`], and as long as the successor was not used, it gets *the same
//! successor* again, which is derived from the token and a stored salt. So a retry, or two tabs that refresh
//! at once, end with one live token. Any other second use means that two parties hold the token: the whole
//! session ends. A thief who is quick gets no branch of their own: the next use by the other side ends both.

use super::{
    access::{AccessChange, AccessChanges},
    people::{PeopleError, Role},
    restrictions::{self, RestrictionKind, lock_person},
    tokens::{ACCESS_SECONDS, AccessTokens, SessionId},
};
use crate::audit::{self, Author, Change};
use crate::entropy;
use crate::known::Remembered;
use crate::rate_limit::{RateLimited, RateLimiter};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use ledger_core::PersonId;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use std::collections::HashMap;
use uuid::Uuid;

pub const REFRESH_DAYS: i64 = 30;
pub const GRACE_SECONDS: i64 = 30;
/// An admin is shown so many sessions of a person.
const SHOWN_SESSIONS: i64 = 100;

/// The roles of a session's person, if the session is alive.
const ROLES_OF_SESSION: &str =
    "SELECT ARRAY(SELECT role FROM app.roles_in_force WHERE person = sessions.person)
     FROM app.sessions WHERE id = $1 AND person = $2 AND ended_at IS NULL";

/// What a client holds after a sign-in or a refresh. No `Debug`: both tokens are secrets.
#[derive(Clone)]
pub struct TokenPair {
    pub person: PersonId,
    pub session: SessionId,
    pub access_token: String,
    pub access_expires_in_seconds: i64,
    /// 64 hex characters; good once.
    pub refresh_token: String,
    pub refresh_expires_at: DateTime<Utc>,
}

/// Who is asking, as the database has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub person: PersonId,
    pub session: SessionId,
    /// In the order of [`Role`].
    pub roles: Vec<Role>,
    /// When the access token stops being good.
    pub expires_at: DateTime<Utc>,
}

impl Caller {
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Takes the roles of now; says whether they are others.
    pub fn take_roles(&mut self, roles: &[Role]) -> bool {
        let changed = self.roles != roles;
        if changed {
            self.roles = roles.to_vec();
        }
        changed
    }

    /// The one check of who may do what, over HTTP and sockets alike.
    ///
    /// # Errors
    /// [`AuthError::ForbiddenRole`] when the caller does not have the role.
    pub fn require(&self, role: Role) -> Result<(), AuthError> {
        if self.has(role) { Ok(()) } else { Err(AuthError::ForbiddenRole(role)) }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("sign in first")]
    TokenMissing,
    /// Not a token of ours: forged, of another algorithm or key, or never given out.
    #[error("the token is not valid")]
    TokenInvalid,
    #[error("the token has expired")]
    TokenExpired,
    /// Logged out, ended by an admin, or ended because a refresh token was used twice.
    #[error("the session has ended")]
    SessionEnded,
    /// An admin keeps the person from their account.
    #[error("this account is {}", .0.as_str())]
    Restricted(RestrictionKind),
    #[error("this needs the role {}", .0.as_str())]
    ForbiddenRole(Role),
    #[error("too many refreshes; try again in {retry_after_seconds} s")]
    RateLimited { retry_after_seconds: u32 },
    #[error("the database is unavailable: {0}")]
    Database(#[from] sqlx::Error),
}

impl AuthError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::TokenMissing => "token_missing",
            Self::TokenInvalid => "token_invalid",
            Self::TokenExpired => "token_expired",
            Self::SessionEnded => "session_ended",
            Self::Restricted(RestrictionKind::Suspended) => "account_suspended",
            Self::Restricted(RestrictionKind::Banned) => "account_banned",
            Self::ForbiddenRole(_) => "forbidden_role",
            Self::RateLimited { .. } => "rate_limited",
            Self::Database(_) => "unavailable",
        }
    }
}

impl From<RateLimited> for AuthError {
    fn from(RateLimited { retry_after_seconds }: RateLimited) -> Self {
        Self::RateLimited { retry_after_seconds }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    Logout,
    LogoutEverywhere,
    RefreshReused,
    EndedByAdmin,
    /// The account was suspended or banned.
    Restricted,
}

/// A session that gives access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSession {
    pub session: SessionId,
    pub created_at: DateTime<Utc>,
}

#[derive(Clone)]
pub struct Sessions {
    pool: PgPool,
    tokens: AccessTokens,
    access: AccessChanges,
    /// Sessions that give access, each with the roles of its person.
    alive: Remembered<(PersonId, SessionId), Vec<Role>>,
    limiter: RateLimiter,
    refreshes_per_hour: u32,
}

impl Sessions {
    /// `refreshes_per_hour` are those of one person, over all their devices.
    pub fn new(
        pool: PgPool,
        tokens: AccessTokens,
        access: AccessChanges,
        limiter: RateLimiter,
        refreshes_per_hour: u32,
    ) -> Self {
        Self { pool, tokens, access, alive: Remembered::default(), limiter, refreshes_per_hour }
    }

    /// A new session beside those that the person may have on other devices.
    ///
    /// # Errors
    /// [`AuthError::Restricted`] for a suspended or banned account.
    pub async fn open(&self, person: PersonId, now: DateTime<Utc>) -> Result<TokenPair, AuthError> {
        let session = SessionId(entropy::uuid_v7());
        let refresh_token = hex::encode(entropy::bytes::<32>());
        let mut tx = self.pool.begin().await?;
        // A suspension at the same moment either comes first and is seen here, or ends this session too.
        lock_person(&mut tx, person).await.map_err(unknown_person_is_no_session)?;
        if let Some(kind) = restrictions::of_account(&mut tx, person).await? {
            return Err(AuthError::Restricted(kind));
        }
        sqlx::query("INSERT INTO app.sessions (id, person, created_at) VALUES ($1, $2, $3)")
            .bind(session.0)
            .bind(person.0)
            .bind(now)
            .execute(&mut *tx)
            .await?;
        let refresh_expires_at = add_token(&mut tx, session, &refresh_token, now).await?;
        tx.commit().await?;
        Ok(self.pair(person, session, refresh_token, refresh_expires_at, now))
    }

    /// Exchanges a refresh token for a new pair. See the head of this file for a token that comes twice.
    pub async fn refresh(&self, refresh_token: &str, now: DateTime<Utc>) -> Result<TokenPair, AuthError> {
        self.limit_refresh(refresh_token, now).await?;
        let mut tx = self.pool.begin().await?;
        let (person, session) = lock_session(&mut tx, refresh_token).await?;
        let token = read_token(&mut tx, refresh_token).await?;
        if now >= token.expires_at {
            return Err(AuthError::TokenExpired);
        }
        let (successor, expires_at) = match (token.rotated_at, token.successor_salt) {
            (None, _) => rotate(&mut tx, session, refresh_token, now).await?,
            (Some(rotated_at), Some(salt)) if now < rotated_at + TimeDelta::seconds(GRACE_SECONDS) => {
                let successor = derive_successor(refresh_token, &salt);
                let expires_at = read_token(&mut tx, &successor).await?.expires_at;
                (successor, expires_at)
            }
            (Some(_), _) => {
                tracing::warn!(%person, %session, "a refresh token was used twice: the session ends");
                end(&mut tx, session, EndReason::RefreshReused, now).await?;
                tx.commit().await?;
                self.access.publish(AccessChange::SessionEnded { person, session });
                return Err(AuthError::SessionEnded);
            }
        };
        tx.commit().await?;
        Ok(self.pair(person, session, successor, expires_at, now))
    }

    /// Each refresh writes a row that stays for a month.
    async fn limit_refresh(&self, token: &str, now: DateTime<Utc>) -> Result<(), AuthError> {
        let owner: Option<Uuid> = sqlx::query_scalar(
            "SELECT person FROM app.sessions WHERE id =
                 (SELECT session FROM app.refresh_tokens WHERE token_hash = $1)",
        )
        .bind(hash(token))
        .fetch_optional(&self.pool)
        .await?;
        let owner = owner.ok_or(AuthError::TokenInvalid)?.to_string();
        Ok(self.limiter.check("refresh", &owner, self.refreshes_per_hour, 3_600, now).await?)
    }

    /// Ends this session of the person; ending it twice is ending it once.
    pub async fn logout(
        &self,
        person: PersonId,
        session: SessionId,
        now: DateTime<Utc>,
    ) -> Result<(), AuthError> {
        let mut connection = self.pool.acquire().await?;
        end(&mut connection, session, EndReason::Logout, now).await?;
        self.access.publish(AccessChange::SessionEnded { person, session });
        Ok(())
    }

    /// Ends all sessions of a person and names those that were alive.
    pub async fn logout_everywhere(
        &self,
        person: PersonId,
        now: DateTime<Utc>,
    ) -> Result<Vec<SessionId>, AuthError> {
        let mut connection = self.pool.acquire().await?;
        let ended = end_all(&mut connection, person, EndReason::LogoutEverywhere, now).await?;
        self.tell_ended(person, &ended);
        Ok(ended)
    }

    /// An admin ends one session of a person, or all of them when none is named. Names those that ended.
    ///
    /// # Errors
    /// [`PeopleError::NotFound`] for an unknown person.
    pub async fn end_by_admin(
        &self,
        person: PersonId,
        session: Option<SessionId>,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<Vec<SessionId>, PeopleError> {
        let mut tx = self.pool.begin().await?;
        lock_person(&mut tx, person).await?;
        let ended = match session {
            None => end_all(&mut tx, person, EndReason::EndedByAdmin, now).await?,
            Some(session) => {
                let ended = end_of(&mut tx, person, session, EndReason::EndedByAdmin, now).await?;
                ended.then_some(session).into_iter().collect()
            }
        };
        if !ended.is_empty() {
            let change = Change::new("sessions.ended", "person", person).before(serde_json::json!(ended));
            audit::record(&mut tx, author, change, now).await?;
        }
        tx.commit().await?;
        self.tell_ended(person, &ended);
        Ok(ended)
    }

    /// The sessions of a person that give access at present, the newest first.
    pub async fn of(&self, person: PersonId) -> Result<Vec<OpenSession>, sqlx::Error> {
        let rows: Vec<(Uuid, DateTime<Utc>)> = sqlx::query_as(
            "SELECT id, created_at FROM app.sessions WHERE person = $1 AND ended_at IS NULL
             ORDER BY created_at DESC, id LIMIT $2",
        )
        .bind(person.0)
        .bind(SHOWN_SESSIONS)
        .fetch_all(&self.pool)
        .await?;
        let open = |(id, created_at)| OpenSession { session: SessionId(id), created_at };
        Ok(rows.into_iter().map(open).collect())
    }

    fn tell_ended(&self, person: PersonId, sessions: &[SessionId]) {
        for session in sessions {
            self.access.publish(AccessChange::SessionEnded { person, session: *session });
        }
    }

    /// Who holds this access token, if it is ours, still good, and its session lives.
    pub async fn authenticate(&self, token: &str, now: DateTime<Utc>) -> Result<Caller, AuthError> {
        if token.is_empty() {
            return Err(AuthError::TokenMissing);
        }
        let claims = self.tokens.verify(token, now)?;
        let expires_at = DateTime::from_timestamp(claims.exp, 0).ok_or(AuthError::TokenInvalid)?;
        let roles = self.roles(claims.sub, claims.sid).await?;
        Ok(Caller { person: claims.sub, session: claims.sid, roles, expires_at })
    }

    /// The roles of one who was authenticated before and is still there, such as a socket, if the session
    /// lives.
    pub async fn roles(&self, person: PersonId, session: SessionId) -> Result<Vec<Role>, AuthError> {
        let mark = self.access.known().about(person);
        if let Some(roles) = self.alive.get(&(person, session), mark) {
            return Ok(roles);
        }
        let alive: Option<Vec<String>> = sqlx::query_scalar(ROLES_OF_SESSION)
            .bind(session.0)
            .bind(person.0)
            .fetch_optional(&self.pool)
            .await?;
        match alive {
            Some(roles) => {
                let roles = Role::known(&roles);
                self.alive.put((person, session), mark, roles.clone());
                Ok(roles)
            }
            None => Err(why_ended(&mut *self.pool.acquire().await?, person).await?),
        }
    }

    /// Those of these sessions that still give access, each with the roles of its person now. One query.
    pub async fn alive(&self, sessions: &[SessionId]) -> Result<HashMap<SessionId, Vec<Role>>, AuthError> {
        let ids: Vec<Uuid> = sessions.iter().map(|session| session.0).collect();
        let alive: Vec<(Uuid, Vec<String>)> = sqlx::query_as(
            "SELECT id, ARRAY(SELECT role FROM app.roles_in_force WHERE person = sessions.person)
             FROM app.sessions WHERE id = ANY($1) AND ended_at IS NULL",
        )
        .bind(ids)
        .fetch_all(&self.pool)
        .await?;
        Ok(alive.into_iter().map(|(id, roles)| (SessionId(id), Role::known(&roles))).collect())
    }

    fn pair(
        &self,
        person: PersonId,
        session: SessionId,
        refresh_token: String,
        refresh_expires_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> TokenPair {
        TokenPair {
            person,
            session,
            access_token: self.tokens.issue(person, session, now),
            access_expires_in_seconds: ACCESS_SECONDS,
            refresh_token,
            refresh_expires_at,
        }
    }
}

impl EndReason {
    fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::LogoutEverywhere => "logout_everywhere",
            Self::RefreshReused => "refresh_reused",
            Self::EndedByAdmin => "ended_by_admin",
            Self::Restricted => "restricted",
        }
    }
}

/// Whoever changes the tokens of a session holds its row first, so refreshes of one session come one by one.
async fn lock_session(tx: &mut PgConnection, token: &str) -> Result<(PersonId, SessionId), AuthError> {
    let found: Option<(Uuid, Uuid, bool)> = sqlx::query_as(
        "SELECT person, id, ended_at IS NULL FROM app.sessions
         WHERE id = (SELECT session FROM app.refresh_tokens WHERE token_hash = $1) FOR UPDATE",
    )
    .bind(hash(token))
    .fetch_optional(&mut *tx)
    .await?;
    match found {
        None => Err(AuthError::TokenInvalid),
        Some((person, _, false)) => Err(why_ended(tx, PersonId(person)).await?),
        Some((person, session, true)) => Ok((PersonId(person), SessionId(session))),
    }
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    expires_at: DateTime<Utc>,
    rotated_at: Option<DateTime<Utc>>,
    successor_salt: Option<Vec<u8>>,
}

async fn read_token(tx: &mut PgConnection, token: &str) -> Result<TokenRow, AuthError> {
    let row = sqlx::query_as(
        "SELECT expires_at, rotated_at, successor_salt FROM app.refresh_tokens WHERE token_hash = $1",
    )
    .bind(hash(token))
    .fetch_optional(tx)
    .await?;
    // Swept by another refresh between the lock and the look.
    row.ok_or(AuthError::TokenInvalid)
}

async fn rotate(
    tx: &mut PgConnection,
    session: SessionId,
    token: &str,
    now: DateTime<Utc>,
) -> Result<(String, DateTime<Utc>), AuthError> {
    // Using this token proves that its answer arrived: nothing before it can be asked for again. Tokens past
    // their expiry are refused without a row just as well.
    sqlx::query(
        "UPDATE app.refresh_tokens SET successor_salt = NULL WHERE session = $1 AND successor_salt IS NOT NULL",
    )
    .bind(session.0)
    .execute(&mut *tx)
    .await?;
    sqlx::query("DELETE FROM app.refresh_tokens WHERE session = $1 AND expires_at <= $2")
        .bind(session.0)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    let salt = entropy::bytes::<32>();
    sqlx::query("UPDATE app.refresh_tokens SET rotated_at = $2, successor_salt = $3 WHERE token_hash = $1")
        .bind(hash(token))
        .bind(now)
        .bind(salt)
        .execute(&mut *tx)
        .await?;
    let successor = derive_successor(token, &salt);
    let expires_at = add_token(tx, session, &successor, now).await?;
    Ok((successor, expires_at))
}

async fn add_token(
    tx: &mut PgConnection,
    session: SessionId,
    token: &str,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO app.refresh_tokens (token_hash, session, expires_at) VALUES ($1, $2, $3)
         RETURNING expires_at",
    )
    .bind(hash(token))
    .bind(session.0)
    .bind(now + TimeDelta::days(REFRESH_DAYS))
    .fetch_one(tx)
    .await
}

/// A session that gives no access any more may have ended with the account.
async fn why_ended(tx: &mut PgConnection, person: PersonId) -> Result<AuthError, AuthError> {
    let restricted = restrictions::of_account(tx, person).await?;
    Ok(restricted.map_or(AuthError::SessionEnded, AuthError::Restricted))
}

/// Whoever has just proved a phone number has an account; without one nothing was signed in to.
fn unknown_person_is_no_session(fault: PeopleError) -> AuthError {
    match fault {
        PeopleError::Database(fault) => AuthError::Database(fault),
        _ => AuthError::SessionEnded,
    }
}

/// Ends all sessions of a person and names those that were alive.
pub(super) async fn end_all(
    tx: &mut PgConnection,
    person: PersonId,
    reason: EndReason,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>, sqlx::Error> {
    let ended: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE app.sessions SET ended_at = $2, end_reason = $3 WHERE person = $1 AND ended_at IS NULL
         RETURNING id",
    )
    .bind(person.0)
    .bind(now)
    .bind(reason.as_str())
    .fetch_all(tx)
    .await?;
    Ok(ended.into_iter().map(SessionId).collect())
}

/// Whether the session was alive and is one of this person.
async fn end_of(
    tx: &mut PgConnection,
    person: PersonId,
    session: SessionId,
    reason: EndReason,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let ended = sqlx::query(
        "UPDATE app.sessions SET ended_at = $3, end_reason = $4
         WHERE id = $1 AND person = $2 AND ended_at IS NULL",
    )
    .bind(session.0)
    .bind(person.0)
    .bind(now)
    .bind(reason.as_str())
    .execute(tx)
    .await?;
    Ok(ended.rows_affected() == 1)
}

async fn end(
    tx: &mut PgConnection,
    session: SessionId,
    reason: EndReason,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE app.sessions SET ended_at = $2, end_reason = $3 WHERE id = $1 AND ended_at IS NULL")
        .bind(session.0)
        .bind(now)
        .bind(reason.as_str())
        .execute(tx)
        .await?;
    Ok(())
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The token is the key and the salt is fresh: neither alone tells anything of the successor.
fn derive_successor(token: &str, salt: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(salt);
    hex::encode(mac.finalize().into_bytes())
}
