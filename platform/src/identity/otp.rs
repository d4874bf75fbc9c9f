//! Sign-in by one-time password. The answers are the same whether the phone has an account or not.

use super::{
    people::{People, PeopleError, Person},
    phone::{Phone, PhoneInvalid},
};
use crate::{
    entropy,
    rate_limit::{Limit, RateLimitError, RateLimiter},
};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::Mac;
use integrations::otp_sender::{OtpChannel, OtpSendError, OtpSender};
use sqlx::PgPool;

#[derive(Clone, Debug)]
pub struct OtpConfig {
    /// How long a code is good.
    pub code_seconds: u32,
    /// Wrong codes before the code is dead, even for the right one.
    pub max_tries: u32,
    /// The least time between two codes to one phone.
    pub resend_seconds: u32,
    pub per_phone_per_hour: u32,
    /// Over all phones that one network address asks for.
    pub per_address_per_hour: u32,
}

impl Default for OtpConfig {
    fn default() -> Self {
        Self {
            code_seconds: 300,
            max_tries: 5,
            resend_seconds: 30,
            per_phone_per_hour: 5,
            per_address_per_hour: 20,
        }
    }
}

/// What the client may show while the person waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtpStarted {
    pub expires_in_seconds: u32,
    pub resend_after_seconds: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum OtpError {
    #[error(transparent)]
    PhoneInvalid(#[from] PhoneInvalid),
    /// Wrong, used already, or never sent.
    #[error("the code is not right")]
    Invalid,
    #[error("the code has expired")]
    Expired,
    #[error("too many wrong codes; ask for a new one")]
    TooManyTries,
    #[error("too many requests; try again in {retry_after_seconds} s")]
    RateLimited { retry_after_seconds: u32 },
    #[error("the code could not be sent")]
    NotSent(#[from] OtpSendError),
    #[error("redis is unavailable: {0}")]
    Redis(redis::RedisError),
    #[error("the database is unavailable: {0}")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    People(#[from] PeopleError),
}

impl OtpError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::PhoneInvalid(_) => "phone_invalid",
            Self::Invalid => "otp_invalid",
            Self::Expired => "otp_expired",
            Self::TooManyTries => "otp_too_many_tries",
            Self::RateLimited { .. } => "rate_limited",
            Self::NotSent(_) => "otp_not_sent",
            Self::Redis(_) | Self::Database(_) => "unavailable",
            Self::People(error) => error.code(),
        }
    }
}

impl From<RateLimitError> for OtpError {
    fn from(error: RateLimitError) -> Self {
        match error {
            RateLimitError::Limited { retry_after_seconds } => Self::RateLimited { retry_after_seconds },
            RateLimitError::Redis(error) => Self::Redis(error),
        }
    }
}

#[derive(Clone)]
pub struct Otp {
    pool: PgPool,
    people: People,
    limiter: RateLimiter,
    sender: OtpSender,
    config: OtpConfig,
}

const HOUR: u32 = 3_600;

impl Otp {
    pub fn new(
        pool: PgPool,
        people: People,
        limiter: RateLimiter,
        sender: OtpSender,
        config: OtpConfig,
    ) -> Self {
        Self { pool, people, limiter, sender, config }
    }

    /// Sends a new code, which replaces the last one. `address` is the client's network address.
    pub async fn start(
        &self,
        phone: &str,
        channel: OtpChannel,
        address: &str,
        now: DateTime<Utc>,
    ) -> Result<OtpStarted, OtpError> {
        let phone: Phone = phone.parse()?;
        let hash = self.people.vault().hash(&phone);
        self.limit(&hex::encode(hash), address, now).await?;

        let code = entropy::six_digits();
        let code_mac: [u8; 32] = self.people.vault().code_mac(&phone, &code).finalize().into_bytes().into();
        self.store(&hash, &code_mac, now).await?;
        if let Err(error) = self.sender.send(channel, phone.as_str(), &code).await {
            // Nobody has seen this code; the next one starts afresh.
            sqlx::query("DELETE FROM app.otp_codes WHERE phone_hash = $1 AND code_mac = $2")
                .bind(hash)
                .bind(code_mac)
                .execute(&self.pool)
                .await?;
            return Err(error.into());
        }
        Ok(OtpStarted {
            expires_in_seconds: self.config.code_seconds,
            resend_after_seconds: self.config.resend_seconds,
        })
    }

    /// Uses the code up and gives the person, whose account is made at the first time. Of two that verify the
    /// same code at once, one wins and the other gets [`OtpError::Invalid`].
    pub async fn verify(&self, phone: &str, code: &str, now: DateTime<Utc>) -> Result<Person, OtpError> {
        let phone: Phone = phone.parse()?;
        let hash = self.people.vault().hash(&phone);
        let mut tx = self.pool.begin().await?;
        // The row lock makes those who try at once come one by one.
        let live: Option<(Vec<u8>, i32, DateTime<Utc>)> = sqlx::query_as(
            "SELECT code_mac, tries, expires_at FROM app.otp_codes WHERE phone_hash = $1 FOR UPDATE",
        )
        .bind(hash)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((code_mac, tries, expires_at)) = live else {
            return Err(OtpError::Invalid);
        };
        if now >= expires_at {
            return Err(OtpError::Expired);
        }
        if i64::from(tries) >= i64::from(self.config.max_tries) {
            return Err(OtpError::TooManyTries);
        }
        if self.people.vault().code_mac(&phone, code).verify_slice(&code_mac).is_err() {
            sqlx::query("UPDATE app.otp_codes SET tries = tries + 1 WHERE phone_hash = $1")
                .bind(hash)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            return Err(OtpError::Invalid);
        }
        sqlx::query("DELETE FROM app.otp_codes WHERE phone_hash = $1").bind(hash).execute(&mut *tx).await?;
        let person = self.people.ensure_in(&mut tx, &phone, now).await?;
        tx.commit().await?;
        Ok(person)
    }

    async fn limit(&self, phone_hash: &str, address: &str, now: DateTime<Utc>) -> Result<(), OtpError> {
        let OtpConfig { resend_seconds, per_phone_per_hour, per_address_per_hour, .. } = self.config;
        let limit = |bucket, key, limit, window_seconds| Limit { bucket, key, limit, window_seconds };
        let mut limits = vec![
            limit("otp-phone", phone_hash, per_phone_per_hour, HOUR),
            limit("otp-address", address, per_address_per_hour, HOUR),
        ];
        if resend_seconds > 0 {
            limits.push(limit("otp-resend", phone_hash, 1, resend_seconds));
        }
        Ok(self.limiter.check_all(&limits, now).await?)
    }

    async fn store(&self, hash: &[u8; 32], code_mac: &[u8; 32], now: DateTime<Utc>) -> Result<(), OtpError> {
        sqlx::query("DELETE FROM app.otp_codes WHERE expires_at < $1")
            .bind(now - TimeDelta::days(1))
            .execute(&self.pool)
            .await?;
        sqlx::query(
            "INSERT INTO app.otp_codes (phone_hash, code_mac, expires_at) VALUES ($1, $2, $3)
             ON CONFLICT (phone_hash) DO UPDATE
             SET code_mac = excluded.code_mac, expires_at = excluded.expires_at, tries = 0",
        )
        .bind(hash)
        .bind(code_mac)
        .bind(now + TimeDelta::seconds(i64::from(self.config.code_seconds)))
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
