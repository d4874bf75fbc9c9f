//! Limits shared by all nodes: so many per window, the window beginning at the first hit. While Redis is away each
//! node counts for itself: a limit then holds on each node, instead of not at all or for everybody at once.

mod local;
mod tally;

use crate::shared_redis::SharedRedis;
use chrono::{DateTime, Utc};
use local::LocalLimits;
use redis::Script;
use std::sync::Arc;
use tally::Tally;

/// At most `limit` (1 or more) hits of `key` in `window_seconds`. The bucket keeps kinds of keys apart.
#[derive(Clone, Copy, Debug)]
pub struct Limit<'a> {
    pub bucket: &'static str,
    pub key: &'a str,
    pub limit: u32,
    pub window_seconds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests; try again in {retry_after_seconds} s")]
pub struct RateLimited {
    pub retry_after_seconds: u32,
}

/// What is left of a limit once something was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub limit: u32,
    pub remaining: u32,
    /// When all of it is there again.
    pub reset_seconds: u32,
}

#[derive(Clone)]
pub struct RateLimiter {
    shared: SharedRedis,
    local: Arc<LocalLimits>,
    requests: Arc<Tally>,
}

// One step for all nodes at once. All limits are looked at before any is counted, so that a hit refused by one
// uses up nothing of another. The time comes in from the caller; the expiry only sweeps.
const TAKE: &str = r"
local now = tonumber(ARGV[1])
local function window(i)
    local start, count = unpack(redis.call('HMGET', KEYS[i], 'start', 'count'))
    local length = tonumber(ARGV[2 * i + 1])
    if start and now - tonumber(start) < length then
        return tonumber(start) + length, tonumber(count)
    end
    return nil, 0
end
local wait = 0
for i = 1, #KEYS do
    local till, count = window(i)
    if till and count >= tonumber(ARGV[2 * i]) then
        wait = math.max(wait, till - now)
    end
end
if wait > 0 then
    return wait
end
for i = 1, #KEYS do
    if window(i) then
        redis.call('HINCRBY', KEYS[i], 'count', 1)
    else
        redis.call('HSET', KEYS[i], 'start', ARGV[1], 'count', 1)
        redis.call('PEXPIRE', KEYS[i], ARGV[2 * i + 1])
    end
end
return 0
";

impl RateLimiter {
    pub fn new(shared: SharedRedis) -> Self {
        Self { shared, local: Arc::default(), requests: Arc::new(Tally::new("requests")) }
    }

    /// Counts so many of the requests that an address may make in a minute and says how many are left, or counts none of
    /// them and says when to come back. Waits for nobody: the nodes exchange their counts in the background.
    ///
    /// # Errors
    /// When fewer were left in this minute.
    pub fn count_requests(
        &self,
        address: &str,
        count: u32,
        per_minute: u32,
        now: DateTime<Utc>,
    ) -> Result<Allowance, RateLimited> {
        self.requests.check(address, count, per_minute, now)
    }

    /// Exchanges the counts of requests with the other nodes, once.
    pub async fn exchange(&self) {
        self.requests.exchange(&self.shared).await;
    }

    /// Exchanges the counts of requests with the other nodes, for as long as it is polled.
    pub async fn keep_exchanging(&self) {
        loop {
            tokio::time::sleep(tally::EXCHANGE).await;
            self.exchange().await;
        }
    }

    /// Counts one hit, or says when to come back.
    pub async fn check(
        &self,
        bucket: &'static str,
        key: &str,
        limit: u32,
        window_seconds: u32,
        now: DateTime<Utc>,
    ) -> Result<(), RateLimited> {
        self.check_all(&[Limit { bucket, key, limit, window_seconds }], now).await
    }

    /// Counts one hit against every limit, or against none.
    pub async fn check_all(&self, limits: &[Limit<'_>], now: DateTime<Utc>) -> Result<(), RateLimited> {
        let script = Script::new(TAKE);
        let mut call = script.prepare_invoke();
        call.arg(now.timestamp_millis());
        for limit in limits {
            call.key(self.shared.key(&format!("limit:{}:{}", limit.bucket, limit.key)));
            call.arg(limit.limit).arg(u64::from(limit.window_seconds) * 1_000);
        }
        let wait_ms: Option<u64> =
            self.shared.ask(async |mut redis| call.invoke_async(&mut redis).await).await;
        match wait_ms {
            None => self.local.check_all(limits, now),
            Some(0) => Ok(()),
            Some(wait_ms) => {
                let retry_after_seconds = u32::try_from(wait_ms.div_ceil(1_000)).unwrap_or(u32::MAX);
                Err(RateLimited { retry_after_seconds })
            }
        }
    }
}
