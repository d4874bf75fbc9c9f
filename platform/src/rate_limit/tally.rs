//! A count that holds nobody up: each node decides by what it knows, and the nodes tell each other in the background.
//!
//! A minute begins at the first hit of a key. A node's own hits count at once; those of the other nodes count as of
//! the last exchange, so a client who spreads requests over nodes gets at most what fits into [`EXCHANGE`] more on
//! each. While Redis is away a limit holds on each node.

use super::{Allowance, RateLimited};
use crate::shared_redis::SharedRedis;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often nodes exchange what they have counted.
pub(super) const EXCHANGE: Duration = Duration::from_millis(250);
const MINUTE_MS: i64 = 60_000;
/// Keys that are counted one by one. The others share one allowance, so that a flood of new keys neither takes memory
/// without bound nor passes without a limit.
const KEYS: usize = 100_000;
/// What keys without room are counted as; no key of ours is empty.
const OTHERS: &str = "";
/// How often room is looked for.
const SWEEP_MS: i64 = 1_000;
/// Keys that are told of in one go.
const AT_ONCE: usize = 1_000;

pub(super) struct Tally {
    name: &'static str,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    keys: HashMap<String, Count>,
    swept_at_ms: i64,
}

/// What was counted of a key since its minute began.
#[derive(Clone, Copy)]
struct Count {
    began_ms: i64,
    /// Hits on this node, and how many of them the others know of.
    here: u64,
    told: u64,
    elsewhere: u64,
}

impl Count {
    fn new(began_ms: i64) -> Count {
        Count { began_ms, here: 0, told: 0, elsewhere: 0 }
    }

    fn is_over(&self, now_ms: i64) -> bool {
        now_ms - self.began_ms >= MINUTE_MS
    }
}

impl Tally {
    pub fn new(name: &'static str) -> Tally {
        Tally { name, counts: Mutex::default() }
    }

    /// Counts so many hits of a minute's `limit` and says what is left of it, or counts none of them and says when to
    /// come back.
    pub fn check(
        &self,
        key: &str,
        hits: u32,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Allowance, RateLimited> {
        let now_ms = now.timestamp_millis();
        let mut counts = self.lock();
        if now_ms - counts.swept_at_ms >= SWEEP_MS {
            counts.swept_at_ms = now_ms;
            counts.keys.retain(|_, count| !count.is_over(now_ms));
        }
        let has_room = counts.keys.len() < KEYS || counts.keys.contains_key(key);
        let key = if has_room { key } else { OTHERS };
        let count = match counts.keys.get_mut(key) {
            // A key that is known costs no copy of it.
            Some(count) => count,
            None => counts.keys.entry(key.to_owned()).or_insert(Count::new(now_ms)),
        };
        if count.is_over(now_ms) {
            *count = Count::new(now_ms);
        }
        let left_ms = count.began_ms + MINUTE_MS - now_ms;
        let seconds = u64::try_from(left_ms).unwrap_or(0).div_ceil(1_000);
        let reset_seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        let counted = count.here + count.elsewhere + u64::from(hits);
        let Some(remaining) = u64::from(limit).checked_sub(counted) else {
            return Err(RateLimited { retry_after_seconds: reset_seconds });
        };
        count.here += u64::from(hits);
        Ok(Allowance { limit, remaining: u32::try_from(remaining).unwrap_or(u32::MAX), reset_seconds })
    }

    /// Tells the other nodes what was counted here, and hears what they have counted of the same keys.
    pub async fn exchange(&self, shared: &SharedRedis) {
        let news: Vec<(String, Count)> = {
            let counts = self.lock();
            let news = counts.keys.iter().filter(|(_, count)| count.here > count.told);
            news.map(|(key, count)| (key.clone(), *count)).collect()
        };
        for part in news.chunks(AT_ONCE) {
            let mut pipe = redis::pipe();
            for (key, count) in part {
                let place = shared.key(&format!("tally:{}:{key}", self.name));
                pipe.incr(&place, count.here - count.told);
                pipe.cmd("PEXPIRE").arg(place).arg(MINUTE_MS).arg("NX").ignore();
            }
            let asked = shared.ask(async |mut redis| pipe.query_async::<Vec<u64>>(&mut redis).await);
            let Some(totals) = asked.await else { return };
            let mut counts = self.lock();
            for ((key, told), total) in part.iter().zip(totals) {
                // A minute that began meanwhile has its own count.
                let same = |count: &&mut Count| count.began_ms == told.began_ms;
                if let Some(count) = counts.keys.get_mut(key).filter(same) {
                    count.told = told.here;
                    count.elsewhere = total.saturating_sub(told.here);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(6_000_000 + seconds)
    }

    #[test]
    fn a_minute_begins_at_the_first_hit_and_has_its_limit() {
        let tally = Tally::new("t");
        let hit =
            |key: &str, seconds| tally.check(key, 1, 2, at(seconds)).err().map(|it| it.retry_after_seconds);
        assert_eq!([hit("k", 10), hit("k", 20), hit("k", 20)], [None, None, Some(50)]);
        assert_eq!(hit("other", 20), None);
        assert_eq!(hit("k", 69), Some(1), "what was refused does not count");
        assert_eq!([hit("k", 70), hit("k", 70), hit("k", 70)], [None, None, Some(60)]);
        assert_eq!(hit("k", 68), Some(62), "a clock that steps back gives nothing anew");
    }

    #[test]
    fn what_is_left_is_told_with_each_hit() {
        let tally = Tally::new("t");
        let left = |hits, seconds| {
            let left = tally.check("k", hits, 5, at(seconds)).ok()?;
            Some((left.limit, left.remaining, left.reset_seconds))
        };
        assert_eq!(left(1, 0), Some((5, 4, 60)));
        assert_eq!(left(3, 20), Some((5, 1, 40)));
        assert_eq!([left(2, 20), left(1, 59), left(1, 59)], [None, Some((5, 0, 1)), None]);
        assert_eq!(left(1, 60), Some((5, 4, 60)), "the next minute");
    }

    #[test]
    fn hits_that_come_together_count_together_or_not_at_all() {
        let tally = Tally::new("t");
        let fits = |hits| tally.check("k", hits, 5, at(0)).is_ok();
        assert_eq!([fits(3), fits(3), fits(2), fits(1)], [true, false, true, false]);
    }

    #[test]
    fn a_flood_of_new_keys_takes_no_room_without_bound_and_shares_one_allowance() {
        let tally = Tally::new("t");
        for key in 0..KEYS {
            assert!(tally.check(&key.to_string(), 1, 2, at(0)).is_ok());
        }
        let late = (0..10).filter(|key| tally.check(&format!("late {key}"), 1, 2, at(1)).is_ok()).count();
        assert_eq!(late, 2);
        assert!(tally.check("7", 1, 2, at(1)).is_ok(), "those that came before keep theirs");
        assert_eq!(tally.lock().keys.len(), KEYS + 1);
        assert!(tally.check("late 3", 1, 2, at(61)).is_ok(), "and a minute later there is room");
        assert!(tally.lock().keys.len() < 10);
    }
}
