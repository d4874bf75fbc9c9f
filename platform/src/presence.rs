//! Who is there now. In Redis and lapsing by itself: a node that dies leaves nobody online for ever.

use crate::reconnect::Reconnecting;
use chrono::{DateTime, Utc};
use ledger_core::PersonId;
use redis::{AsyncCommands, aio::ConnectionManager};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// How long a heartbeat, or a call's word that its people are busy, holds.
pub const LAPSE_SECONDS: i64 = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PresenceStatus {
    Online,
    Busy,
    Offline,
}

#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    #[error("redis is unavailable: {0}")]
    Redis(#[from] redis::RedisError),
}

impl PresenceError {
    pub fn code(&self) -> &'static str {
        "unavailable"
    }
}

/// Three sorted sets of person by the millisecond at which their entry lapses (`seen`, `hosts`, `busy`), and a
/// set of those who chose to be `hidden`, which does not lapse.
#[derive(Clone)]
pub struct Presence {
    redis: Reconnecting,
    prefix: String,
}

impl Presence {
    /// `prefix` begins every key, so that deployments and tests can share a Redis.
    pub fn new(redis: ConnectionManager, prefix: &str) -> Self {
        Self { redis: Reconnecting::new(redis), prefix: format!("{prefix}presence:") }
    }

    /// A heartbeat: the person is there for the next [`LAPSE_SECONDS`]. Says whether they were away before.
    pub async fn touch(
        &self,
        person: PersonId,
        is_host: bool,
        now: DateTime<Utc>,
    ) -> Result<bool, PresenceError> {
        let (member, now_ms, lapses) = (person.to_string(), now.timestamp_millis(), lapse(now));
        let mut pipe = redis::pipe();
        pipe.atomic().zscore(self.key("seen"), &member).zadd(self.key("seen"), &member, lapses).ignore();
        if is_host {
            pipe.zadd(self.key("hosts"), &member, lapses).ignore();
        }
        for set in ["seen", "hosts", "busy"] {
            pipe.zrembyscore(self.key(set), "-inf", now_ms).ignore();
        }
        let (before,): (Option<f64>,) = pipe.query_async(&mut self.redis.clone()).await?;
        Ok(!holds(before, now))
    }

    /// Says that the person is in a call. Lapses like a heartbeat and is not renewed by one, so whoever drives
    /// the call says it again at least every [`LAPSE_SECONDS`]; a call that died with its node frees them.
    pub async fn set_busy(&self, person: PersonId, now: DateTime<Utc>) -> Result<(), PresenceError> {
        Ok(self.redis.clone().zadd(self.key("busy"), person.to_string(), lapse(now)).await?)
    }

    /// The call is over.
    pub async fn clear_busy(&self, person: PersonId) -> Result<(), PresenceError> {
        Ok(self.redis.clone().zrem(self.key("busy"), person.to_string()).await?)
    }

    /// A host chooses to be seen as offline while connected, or takes the choice back. Holds until changed.
    pub async fn set_hidden(&self, person: PersonId, hidden: bool) -> Result<(), PresenceError> {
        let (key, member) = (self.key("hidden"), person.to_string());
        let mut redis = self.redis.clone();
        match hidden {
            true => Ok(redis.sadd(key, member).await?),
            false => Ok(redis.srem(key, member).await?),
        }
    }

    /// The person's last socket of this node closed. If another node still has one, its next heartbeat brings
    /// them back.
    pub async fn clear(&self, person: PersonId) -> Result<(), PresenceError> {
        let member = person.to_string();
        let mut pipe = redis::pipe();
        pipe.atomic().zrem(self.key("seen"), &member).ignore().zrem(self.key("hosts"), &member).ignore();
        Ok(pipe.query_async(&mut self.redis.clone()).await?)
    }

    pub async fn get(&self, person: PersonId, now: DateTime<Utc>) -> Result<PresenceStatus, PresenceError> {
        let found = self.get_many(&[person], now).await?;
        Ok(found.first().map_or(PresenceStatus::Offline, |(_, status)| *status))
    }

    /// The status of each, in the order asked.
    pub async fn get_many(
        &self,
        people: &[PersonId],
        now: DateTime<Utc>,
    ) -> Result<Vec<(PersonId, PresenceStatus)>, PresenceError> {
        if people.is_empty() {
            return Ok(Vec::new());
        }
        let members: Vec<String> = people.iter().map(PersonId::to_string).collect();
        let mut pipe = redis::pipe();
        pipe.atomic()
            .zscore_multiple(self.key("seen"), &members)
            .zscore_multiple(self.key("busy"), &members)
            .smismember(self.key("hidden"), &members);
        let (seen, busy, hidden): (Vec<Option<f64>>, Vec<Option<f64>>, Vec<bool>) =
            pipe.query_async(&mut self.redis.clone()).await?;
        let status =
            |((seen, busy), hidden): ((_, _), bool)| match (holds(seen, now) && !hidden, holds(busy, now)) {
                (false, _) => PresenceStatus::Offline,
                (true, true) => PresenceStatus::Busy,
                (true, false) => PresenceStatus::Online,
            };
        let statuses = seen.into_iter().zip(busy).zip(hidden).map(status);
        Ok(people.iter().copied().zip(statuses).collect())
    }

    /// Hosts who are there, online or busy, those heard of last first; at most about `limit`, since hidden ones
    /// are left out after counting.
    pub async fn online_hosts(
        &self,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Vec<(PersonId, PresenceStatus)>, PresenceError> {
        let after = format!("({}", now.timestamp_millis());
        let members: Vec<String> = self
            .redis
            .clone()
            .zrevrangebyscore_limit(self.key("hosts"), "+inf", after, 0, limit as isize)
            .await?;
        // Only ids were ever put in.
        let people: Vec<PersonId> = members.iter().filter_map(|id| PersonId::from_str(id).ok()).collect();
        let mut found = self.get_many(&people, now).await?;
        found.retain(|(_, status)| *status != PresenceStatus::Offline);
        Ok(found)
    }

    fn key(&self, set: &str) -> String {
        format!("{}{set}", self.prefix)
    }
}

fn lapse(now: DateTime<Utc>) -> i64 {
    now.timestamp_millis() + LAPSE_SECONDS * 1_000
}

/// Redis keeps scores as floats, exact for milliseconds of any year to come.
fn holds(lapses: Option<f64>, now: DateTime<Utc>) -> bool {
    lapses.is_some_and(|lapses| lapses > now.timestamp_millis() as f64)
}
