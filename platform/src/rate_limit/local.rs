//! The count of one node alone, for while Redis is away.
//!
//! `governor` does the arithmetic: a limit of ten an hour allows ten at once, and one more every six minutes. It only
//! knows hits that count, so a look ahead is a hit in a store that keeps nothing.

use super::{Limit, RateLimited};
use chrono::{DateTime, Utc};
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Keys that are counted one by one, for each kind of limit. The others share one allowance, so that a flood of new
/// keys neither takes memory without bound nor passes without a limit.
const KEYS: usize = 20_000;
/// What keys without room are counted as; no key of ours is empty.
const OTHERS: &str = "";
/// How often room is looked for while there is none.
const SWEEP_AGAIN_NANOS: u64 = 1_000_000_000;

#[derive(Default)]
pub(super) struct LocalLimits(Mutex<HashMap<Kind, Counter>>);

/// What differs in one of these is counted apart. A limit that is changed begins anew.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Kind {
    bucket: &'static str,
    limit: u32,
    window_seconds: u32,
}

impl LocalLimits {
    /// Counts one hit against every limit, or against none.
    pub fn check_all(&self, limits: &[Limit<'_>], now: DateTime<Utc>) -> Result<(), RateLimited> {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut longest = None;
        for limit in limits {
            let counter = counters.entry(Kind::of(limit)).or_insert_with(|| Counter::new(limit, now));
            longest = longest.max(counter.wait(limit.key, now));
        }
        if let Some(wait) = longest {
            let seconds = wait.as_millis().div_ceil(1_000).max(1);
            return Err(RateLimited { retry_after_seconds: u32::try_from(seconds).unwrap_or(u32::MAX) });
        }
        for limit in limits {
            if let Some(counter) = counters.get(&Kind::of(limit)) {
                counter.hit(limit.key);
            }
        }
        Ok(())
    }
}

impl Kind {
    fn of(limit: &Limit<'_>) -> Kind {
        Kind { bucket: limit.bucket, limit: limit.limit, window_seconds: limit.window_seconds }
    }
}

/// The keys of one kind of limit.
struct Counter {
    looks: RateLimiter<String, Looked, Told, NoOpMiddleware<Nanos>>,
    hits: RateLimiter<String, Kept, Told, NoOpMiddleware<Nanos>>,
    keys: Kept,
    time: Told,
    /// Kept moments are counted from here.
    start: Nanos,
    swept_at: Nanos,
}

impl Counter {
    fn new(limit: &Limit<'_>, now: DateTime<Utc>) -> Counter {
        let burst = NonZeroU32::new(limit.limit).unwrap_or(NonZeroU32::MIN);
        let window = Duration::from_secs(limit.window_seconds.into());
        let quota = Quota::with_period(window / burst.get()).unwrap_or_else(|| Quota::per_second(burst));
        let (keys, time) = (Kept::default(), Told::default());
        time.tell(now);
        let start = time.now();
        Counter {
            looks: RateLimiter::new(quota.allow_burst(burst), Looked(keys.clone()), time.clone()),
            hits: RateLimiter::new(quota.allow_burst(burst), keys.clone(), time.clone()),
            keys,
            time,
            start,
            swept_at: start,
        }
    }

    /// How long this key has to wait, if it has to.
    fn wait(&mut self, key: &str, now: DateTime<Utc>) -> Option<Duration> {
        self.time.tell(now);
        let now = self.time.now();
        if self.keys.lock().len() >= KEYS && now.saturating_sub(self.swept_at).as_u64() >= SWEEP_AGAIN_NANOS {
            self.swept_at = now;
            let passed = now.saturating_sub(self.start);
            self.keys.lock().retain(|_, until| *until > passed);
        }
        let refused = self.looks.check_key(&self.keys.counted_as(key)).err()?;
        Some(refused.wait_time_from(now))
    }

    /// To be called for a key that need not wait, under the same lock.
    fn hit(&self, key: &str) {
        let _ = self.hits.check_key(&self.keys.counted_as(key));
    }
}

/// The keys, each with the moment at which its allowance is whole again.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<HashMap<String, Nanos>>>);

impl Kept {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Nanos>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted_as(&self, key: &str) -> String {
        let keys = self.lock();
        let has_room = keys.len() < KEYS || keys.contains_key(key);
        if has_room { key } else { OTHERS }.to_owned()
    }
}

impl StateStore for Kept {
    type Key = String;

    fn measure_and_replace<T, F, E>(&self, key: &String, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut keys = self.lock();
        let (measured, until) = measure(keys.get(key).copied())?;
        keys.insert(key.clone(), until);
        Ok(measured)
    }
}

/// The same keys for who only looks.
struct Looked(Kept);

impl StateStore for Looked {
    type Key = String;

    fn measure_and_replace<T, F, E>(&self, key: &String, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        measure(self.0.lock().get(key).copied()).map(|(measured, _)| measured)
    }
}

/// The time as callers tell it. It never goes back.
#[derive(Clone, Default)]
struct Told(Arc<AtomicU64>);

impl Told {
    fn tell(&self, now: DateTime<Utc>) {
        let nanos = now.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(0);
        self.0.fetch_max(nanos, Ordering::Relaxed);
    }
}

impl Clock for Told {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(1_000_000 + seconds)
    }

    fn limit<'a>(bucket: &'static str, key: &'a str, limit: u32, window_seconds: u32) -> Limit<'a> {
        Limit { bucket, key, limit, window_seconds }
    }

    #[test]
    fn as_many_as_the_limit_at_once_and_then_one_for_each_part_of_the_window() {
        let local = LocalLimits::default();
        let hit = |key, seconds| local.check_all(&[limit("b", key, 3, 60)], at(seconds)).err();
        let wait = |seconds| Some(RateLimited { retry_after_seconds: seconds });
        assert_eq!([hit("k", 0), hit("k", 0), hit("k", 0)], [None, None, None]);
        assert_eq!(hit("k", 0), wait(20));
        assert_eq!(hit("other", 0), None);
        assert_eq!(hit("k", 19), wait(1));
        assert_eq!([hit("k", 20), hit("k", 20)], [None, wait(20)]);
        assert_eq!(
            [hit("k", 200), hit("k", 200), hit("k", 200), hit("k", 200)],
            [None, None, None, wait(20)]
        );
    }

    #[test]
    fn a_hit_that_one_limit_refuses_counts_against_none() {
        let local = LocalLimits::default();
        let (tight, wide) = (limit("tight", "k", 1, 10), limit("wide", "k", 2, 100));
        let hit = |limits: &[Limit<'_>], seconds| local.check_all(limits, at(seconds)).is_ok();
        assert!(hit(&[wide, tight], 0));
        assert!((1..10).all(|second| !hit(&[wide, tight], second)), "one in ten seconds");
        assert!(hit(&[wide], 9), "the wide one was spared");
    }

    #[test]
    fn a_flood_of_new_keys_shares_one_allowance_until_there_is_room_again() {
        let local = LocalLimits::default();
        let hit = |key: &str, seconds| local.check_all(&[limit("b", key, 2, 60)], at(seconds)).is_ok();
        assert!((0..KEYS).all(|key| hit(&format!("early {key}"), 0)));
        let late = (0..10).filter(|key| hit(&format!("late {key}"), 1)).count();
        assert_eq!(late, 2, "ten that come too late share the allowance of one");
        assert!(hit("early 7", 1), "and take nothing from those that came before");
        let kinds = local.0.lock().expect("no panic");
        let kept = kinds.values().map(|counter| counter.keys.lock().len()).sum::<usize>();
        assert_eq!(kept, KEYS + 1);
        drop(kinds);
        assert!((0..10).all(|key| hit(&format!("late {key}"), 120)), "the early ones have lapsed");
    }
}
