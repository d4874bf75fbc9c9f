//! Limits shared by all nodes: so many per window, the window beginning at the first hit.

use crate::reconnect::Reconnecting;
use chrono::{DateTime, Utc};
use redis::{Script, aio::ConnectionManager};

/// At most `limit` (1 or more) hits of `key` in `window_seconds`. The bucket keeps kinds of keys apart.
#[derive(Clone, Copy, Debug)]
pub struct Limit<'a> {
    pub bucket: &'a str,
    pub key: &'a str,
    pub limit: u32,
    pub window_seconds: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum RateLimitError {
    #[error("too many requests; try again in {retry_after_seconds} s")]
    Limited { retry_after_seconds: u32 },
    #[error("redis is unavailable: {0}")]
    Redis(#[from] redis::RedisError),
}

impl RateLimitError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Limited { .. } => "rate_limited",
            Self::Redis(_) => "unavailable",
        }
    }
}

#[derive(Clone)]
pub struct RateLimiter {
    redis: Reconnecting,
    prefix: String,
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
    /// `prefix` begins every key, so that deployments and tests can share a Redis.
    pub fn new(redis: ConnectionManager, prefix: &str) -> Self {
        Self { redis: Reconnecting::new(redis), prefix: prefix.to_owned() }
    }

    /// Counts one hit, or says when to come back.
    pub async fn check(
        &self,
        bucket: &str,
        key: &str,
        limit: u32,
        window_seconds: u32,
        now: DateTime<Utc>,
    ) -> Result<(), RateLimitError> {
        self.check_all(&[Limit { bucket, key, limit, window_seconds }], now).await
    }

    /// Counts one hit against every limit, or against none.
    pub async fn check_all(&self, limits: &[Limit<'_>], now: DateTime<Utc>) -> Result<(), RateLimitError> {
        let script = Script::new(TAKE);
        let mut call = script.prepare_invoke();
        call.arg(now.timestamp_millis());
        for limit in limits {
            call.key(format!("{}limit:{}:{}", self.prefix, limit.bucket, limit.key));
            call.arg(limit.limit).arg(u64::from(limit.window_seconds) * 1_000);
        }
        let wait_ms: u64 = call.invoke_async(&mut self.redis.clone()).await?;
        if wait_ms == 0 {
            return Ok(());
        }
        let retry_after_seconds = u32::try_from(wait_ms.div_ceil(1_000)).unwrap_or(u32::MAX);
        Err(RateLimitError::Limited { retry_after_seconds })
    }
}
