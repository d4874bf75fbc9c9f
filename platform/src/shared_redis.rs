//! Redis as the place where all nodes count together, for as long as it answers.
//!
//! Whoever counts here can also count alone. So a Redis that is down or slow holds nobody up: after a request that was
//! not answered in time, nothing is asked for a moment, and everybody counts for themselves meanwhile.

use crate::reconnect::Reconnecting;
use redis::RedisResult;
use redis::aio::ConnectionManager;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tracing::{error, info};

/// How long a count may hold a request up: longer than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long nothing is asked after a request that was not answered.
const PAUSE: Duration = Duration::from_secs(1);
/// A Redis that comes and goes is alerted of once in this time.
const ALERT_AGAIN: Duration = Duration::from_secs(60);

/// The connection, the names of the keys, and what is known of Redis' state. Cheap to clone; clones share the state.
#[derive(Clone)]
pub struct SharedRedis {
    redis: Reconnecting,
    prefix: String,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// When Redis may be asked again; `None` while it answers.
    away_until: Option<Instant>,
    alerted_at: Option<Instant>,
}

impl SharedRedis {
    /// `prefix` begins every key, so that deployments and tests can share a Redis.
    pub fn new(redis: ConnectionManager, prefix: &str) -> SharedRedis {
        metrics::gauge!("muneem_limits_counted_locally").set(0.0);
        SharedRedis { redis: Reconnecting::new(redis), prefix: prefix.to_owned(), known: Arc::default() }
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What Redis answers; `None` when it does not, or did not a moment ago.
    pub(crate) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(Reconnecting) -> RedisResult<T>,
    ) -> Option<T> {
        if !self.may_ask() {
            return None;
        }
        match timeout(PATIENCE, question(self.redis.clone())).await {
            Ok(Ok(answer)) => {
                self.answers();
                Some(answer)
            }
            Ok(Err(fault)) => self.is_away(&fault.to_string()),
            Err(_) => self.is_away("it did not answer in time"),
        }
    }

    /// While Redis is away one request at a time finds out whether it is back.
    fn may_ask(&self) -> bool {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.away_until {
            Some(until) if now < until => false,
            Some(_) => {
                known.away_until = Some(now + PATIENCE + PAUSE);
                true
            }
            None => true,
        }
    }

    fn answers(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.away_until.take().is_some() {
            metrics::gauge!("muneem_limits_counted_locally").set(0.0);
            info!("Redis answers again: limits are shared by all nodes");
        }
    }

    fn is_away<T>(&self, fault: &str) -> Option<T> {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.away_until = Some(now + PAUSE);
        metrics::gauge!("muneem_limits_counted_locally").set(1.0);
        if known.alerted_at.is_none_or(|at| now.duration_since(at) >= ALERT_AGAIN) {
            known.alerted_at = Some(now);
            error!(
                alert = "limits_not_shared",
                fault, "Redis does not answer: each node counts limits for itself"
            );
        }
        None
    }
}
