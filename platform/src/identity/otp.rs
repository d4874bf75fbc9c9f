//! Sign-in by one-time password. The answers are the same whether the phone has an account or not.
//!
//! Each code belongs to a challenge, which only its requester knows, so nobody can use up the tries of somebody else's
//! code. Who asks for codes in the name of somebody else's phone can slow down sign-ins on devices that the owner has
//! never used, and nothing more: a device on which the owner signed in before has an allowance of its own.

use super::{
    people::{People, PeopleError, Person},
    phone::{Phone, PhoneInvalid},
};
use crate::{
    entropy,
    rate_limit::{Limit, RateLimited, RateLimiter},
};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use integrations::otp_sender::{OtpChannel, OtpSendError, OtpSender};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// How many codes are sent, and how often one may guess. Settings of the deployment.
#[derive(Clone, Debug)]
pub struct OtpConfig {
    /// How long a code is good.
    pub code_seconds: u32,
    /// Wrong codes before a challenge is dead, even for the right one.
    pub max_tries: u32,
    /// Wrong codes for one phone in a day, over all challenges. Beyond them each wrong code kills its challenge.
    pub wrong_codes_per_day: u32,
    /// The least time between two codes that one requester asks for.
    pub resend_seconds: u32,
    /// Codes for one phone that one requester may ask for.
    pub per_phone_per_hour: u32,
    pub per_phone_per_day: u32,
    /// Codes for one phone over all requesters without a device of its owner. Beyond them there is one code in
    /// [`Self::slow_seconds`].
    pub strangers_per_phone_per_day: u32,
    pub slow_seconds: u32,
    /// Codes that one network address may ask for, over all phones.
    pub per_address_per_hour: u32,
}

impl Default for OtpConfig {
    fn default() -> Self {
        Self {
            code_seconds: 300,
            max_tries: 5,
            wrong_codes_per_day: 30,
            resend_seconds: 30,
            per_phone_per_hour: 5,
            per_phone_per_day: 10,
            strangers_per_phone_per_day: 20,
            slow_seconds: 3_600,
            per_address_per_hour: 20,
        }
    }
}

/// Who asks for a code.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'a> {
    /// The client's network address, as limits count it.
    pub address: &'a str,
    /// What a device got when somebody signed in on it.
    pub device_token: Option<&'a str>,
}

/// What the client may show while the person waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtpStarted {
    /// Comes back with the code.
    pub challenge: Uuid,
    pub expires_in_seconds: u32,
    pub resend_after_seconds: u32,
}

/// Who has proved a phone number.
#[derive(Clone)]
pub struct Verified {
    pub person: Person,
    /// 64 hex characters, for a device that the person signs in on for the first time.
    pub device_token: Option<String>,
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
            Self::Database(_) => "unavailable",
            Self::People(error) => error.code(),
        }
    }
}

impl From<RateLimited> for OtpError {
    fn from(RateLimited { retry_after_seconds }: RateLimited) -> Self {
        Self::RateLimited { retry_after_seconds }
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
const DAY: u32 = 86_400;
/// A person's devices: beyond them the one that was used least lately is forgotten.
const DEVICES: i64 = 20;

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

    /// Sends a code for a new challenge; those sent before stay good until they expire.
    pub async fn start(
        &self,
        phone: &str,
        channel: OtpChannel,
        requester: Requester<'_>,
        now: DateTime<Utc>,
    ) -> Result<OtpStarted, OtpError> {
        let phone: Phone = phone.parse()?;
        let hash = self.people.vault().hash(&phone);
        let device = match requester.device_token {
            Some(token) => self.device_of(&hash, token).await?,
            None => None,
        };
        self.limit(&hex::encode(hash), requester.address, device, now).await?;

        let (challenge, code) = (entropy::uuid_v7(), entropy::six_digits());
        let code_mac: [u8; 32] = self.code_mac(&phone, challenge, &code).finalize().into_bytes().into();
        sqlx::query(
            "INSERT INTO app.otp_challenges (id, phone_hash, device, code_mac, expires_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(challenge)
        .bind(hash)
        .bind(device)
        .bind(code_mac)
        .bind(now + TimeDelta::seconds(i64::from(self.config.code_seconds)))
        .execute(&self.pool)
        .await?;
        if let Err(error) = self.sender.send(channel, phone.as_str(), &code).await {
            // Nobody has seen this code.
            let forget = "DELETE FROM app.otp_challenges WHERE id = $1";
            sqlx::query(forget).bind(challenge).execute(&self.pool).await?;
            return Err(error.into());
        }
        Ok(OtpStarted {
            challenge,
            expires_in_seconds: self.config.code_seconds,
            resend_after_seconds: self.config.resend_seconds,
        })
    }

    /// Uses the code up and gives the person, whose account is made at the first time. Of two that verify the
    /// same code at once, one wins and the other gets [`OtpError::Invalid`].
    pub async fn verify(
        &self,
        phone: &str,
        challenge: Uuid,
        code: &str,
        now: DateTime<Utc>,
    ) -> Result<Verified, OtpError> {
        let phone: Phone = phone.parse()?;
        let hash = self.people.vault().hash(&phone);
        let mut tx = self.pool.begin().await?;
        // The row lock makes those who try at once come one by one.
        let live: Option<Challenge> = sqlx::query_as(
            "SELECT device, code_mac, tries, expires_at FROM app.otp_challenges
             WHERE id = $1 AND phone_hash = $2 FOR UPDATE",
        )
        .bind(challenge)
        .bind(hash)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(live) = live else {
            return Err(OtpError::Invalid);
        };
        if now >= live.expires_at {
            return Err(OtpError::Expired);
        }
        if i64::from(live.tries) >= i64::from(self.config.max_tries) {
            return Err(OtpError::TooManyTries);
        }
        if self.code_mac(&phone, challenge, code).verify_slice(&live.code_mac).is_err() {
            let dead = !self.may_guess_on(&hash, live.device, now).await;
            let tries = if dead { self.config.max_tries } else { live.tries.unsigned_abs() + 1 };
            sqlx::query("UPDATE app.otp_challenges SET tries = $2 WHERE id = $1")
                .bind(challenge)
                .bind(i32::try_from(tries).unwrap_or(i32::MAX))
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            return Err(OtpError::Invalid);
        }
        sqlx::query("DELETE FROM app.otp_challenges WHERE id = $1").bind(challenge).execute(&mut *tx).await?;
        let person = self.people.ensure_in(&mut tx, &phone, now).await?;
        let device_token = remember_device(&mut tx, &person, live.device, now).await?;
        tx.commit().await?;
        Ok(Verified { person, device_token })
    }

    /// The device of this token, if the owner of the phone has signed in on it.
    async fn device_of(&self, phone_hash: &[u8; 32], token: &str) -> Result<Option<Uuid>, OtpError> {
        let device = sqlx::query_scalar(
            "SELECT devices.id FROM app.devices JOIN app.people ON people.id = devices.person
             WHERE devices.token_hash = $1 AND people.phone_hash = $2",
        )
        .bind(token_hash(token))
        .bind(phone_hash)
        .fetch_optional(&self.pool)
        .await?;
        Ok(device)
    }

    /// A device of the owner has an allowance of its own, which nobody else can use up. All others share one for
    /// the phone, in which each network address has a part.
    async fn limit(
        &self,
        phone: &str,
        address: &str,
        device: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> Result<(), OtpError> {
        let config = &self.config;
        let limit = |bucket, key, limit, window_seconds| Limit { bucket, key, limit, window_seconds };
        let requester = device.map_or_else(|| format!("{phone}:{address}"), |id| format!("device:{id}"));
        let mut own = vec![
            limit("otp-hour", requester.as_str(), config.per_phone_per_hour, HOUR),
            limit("otp-day", requester.as_str(), config.per_phone_per_day, DAY),
        ];
        if config.resend_seconds > 0 {
            own.push(limit("otp-resend", requester.as_str(), 1, config.resend_seconds));
        }
        if device.is_some() {
            return Ok(self.limiter.check_all(&own, now).await?);
        }
        own.push(limit("otp-address", address, config.per_address_per_hour, HOUR));
        let mut normal = own.clone();
        normal.push(limit("otp-phone", phone, config.strangers_per_phone_per_day, DAY));
        match self.limiter.check_all(&normal, now).await {
            // Not a wall: whoever has the phone in their hands gets a code sooner or later.
            Err(RateLimited { .. }) => {
                own.push(limit("otp-slow", phone, 1, config.slow_seconds));
                Ok(self.limiter.check_all(&own, now).await?)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Counts a wrong code for the phone, or for the owner's device. Whether the challenge may be tried again.
    async fn may_guess_on(&self, phone_hash: &[u8; 32], device: Option<Uuid>, now: DateTime<Utc>) -> bool {
        let key = device.map_or_else(|| hex::encode(phone_hash), |id| format!("device:{id}"));
        self.limiter.check("otp-wrong", &key, self.config.wrong_codes_per_day, DAY, now).await.is_ok()
    }

    /// What is stored of a code: keyed, and bound to the phone and the challenge.
    fn code_mac(&self, phone: &Phone, challenge: Uuid, code: &str) -> Hmac<Sha256> {
        self.people.vault().code_mac(phone, &challenge.to_string(), code)
    }
}

/// Gives a device its token at the first sign-in; at later ones it keeps the one that it has.
async fn remember_device(
    tx: &mut PgConnection,
    person: &Person,
    device: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<Option<String>, OtpError> {
    if let Some(device) = device {
        let used = sqlx::query("UPDATE app.devices SET used_at = $2 WHERE id = $1").bind(device).bind(now);
        if used.execute(&mut *tx).await?.rows_affected() == 1 {
            return Ok(None);
        }
    }
    let token = hex::encode(entropy::bytes::<32>());
    sqlx::query(
        "INSERT INTO app.devices (id, person, token_hash, created_at, used_at) VALUES ($1, $2, $3, $4, $4)",
    )
    .bind(entropy::uuid_v7())
    .bind(person.id.0)
    .bind(token_hash(&token))
    .bind(now)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "DELETE FROM app.devices WHERE person = $1 AND id NOT IN
             (SELECT id FROM app.devices WHERE person = $1 ORDER BY used_at DESC, id DESC LIMIT $2)",
    )
    .bind(person.id.0)
    .bind(DEVICES)
    .execute(&mut *tx)
    .await?;
    Ok(Some(token))
}

fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[derive(sqlx::FromRow)]
struct Challenge {
    device: Option<Uuid>,
    code_mac: Vec<u8>,
    tries: i32,
    expires_at: DateTime<Utc>,
}
