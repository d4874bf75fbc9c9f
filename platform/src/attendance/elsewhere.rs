//! Who is connected to the other nodes. Each node keeps its own people in Redis and looks at those of the others once a
//! second, as far as they are in calls.
//!
//! | key | what |
//! |---|---|
//! | `attendance:nodes` | a sorted set of nodes by the millisecond at which they count as gone; each moves its own |
//! | `attendance:of:<node>` | a hash of the node's people: their roles as bits, and when they were last heard of |
//!
//! The state is whole in Redis at any time, so a message that is lost loses nobody: a Redis that has forgotten
//! everything is filled again within a second. While it does not answer, what was known holds for [`GOOD_FOR`]; after
//! that nobody counts as connected elsewhere. Money is safe either way: no increment is charged that begins after both
//! sides were last seen.

use crate::shared_redis::SharedRedis;
use ledger_core::{PersonId, Timestamp};
use redis::RedisResult;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How often nodes say that they are there, and look at one another's people.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// A node that has said nothing for so long is gone, and its people with it.
const NODE_LAPSES: Duration = Duration::from_secs(5);
/// How long what was known of other nodes holds while Redis is away.
const GOOD_FOR: Duration = Duration::from_secs(10);
/// When Redis forgets the people of a node that was killed.
const FORGOTTEN_SECONDS: i64 = 60;
/// People who are written at once where all of a node have to be.
const AT_ONCE: usize = 1_000;

/// What is known of somebody's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The roles of open sockets, as bits; none for somebody who has gone.
    pub roles: u8,
    pub at: Timestamp,
    /// The same as the other node tells it, by its own clock.
    told: Timestamp,
    /// Since when a socket has been open.
    pub since: Timestamp,
    /// Whether it was the node that went away, and not the person.
    pub with_node: bool,
}

impl Seen {
    /// What this node's own sockets say.
    pub fn here(roles: u8, at: Timestamp, since: Timestamp) -> Seen {
        Seen { roles, at, told: at, since, with_node: false }
    }

    fn text(self) -> String {
        format!("{}:{}:{}", self.roles, self.at.0, self.since.0)
    }

    fn parse(text: &str) -> Option<Seen> {
        let mut parts = text.split(':');
        let roles = parts.next()?.parse().ok()?;
        let at = Timestamp(parts.next()?.parse().ok()?);
        let since = Timestamp(parts.next()?.parse().ok()?);
        parts.next().is_none().then_some(Seen { roles, at, told: at, since, with_node: false })
    }

    /// The sockets of one person on two nodes.
    fn and(self, other: Seen) -> Seen {
        let since = match (self.roles, other.roles) {
            (0, _) => other.since,
            (_, 0) => self.since,
            _ => self.since.min(other.since),
        };
        let (roles, told) = (self.roles | other.roles, self.told.max(other.told));
        Seen { roles, at: told, told, since, with_node: false }
    }
}

/// What this node knows of the others, and what it has to tell them.
pub(super) struct Elsewhere {
    redis: SharedRedis,
    node: String,
    people: Mutex<HashMap<PersonId, Seen>>,
    /// Those who are in calls.
    engaged: Mutex<BTreeSet<PersonId>>,
    untold: Mutex<Untold>,
    pub changed: Notify,
    heard: watch::Sender<Option<Instant>>,
}

/// Of whom the other nodes do not know yet.
#[derive(Default)]
struct Untold {
    people: HashSet<PersonId>,
    /// Whether Redis may lack anybody.
    all: bool,
}

impl Elsewhere {
    pub fn new(redis: SharedRedis) -> Elsewhere {
        Elsewhere {
            redis,
            node: crate::entropy::uuid_v7().to_string(),
            people: Mutex::default(),
            engaged: Mutex::default(),
            untold: Mutex::new(Untold { people: HashSet::new(), all: true }),
            changed: Notify::new(),
            heard: watch::Sender::new(None),
        }
    }

    pub fn of(&self, person: PersonId) -> Option<Seen> {
        lock(&self.people).get(&person).copied()
    }

    /// These are in calls from now on, and nobody else.
    pub fn engage(&self, engaged: BTreeSet<PersonId>) {
        *lock(&self.engaged) = engaged;
    }

    /// Something has changed about a person here that the others have to know.
    pub fn tell(&self, person: PersonId) {
        lock(&self.untold).people.insert(person);
        self.changed.notify_one();
    }

    /// Returns once the other nodes were looked at, or cannot be.
    pub async fn ready(&self) {
        let mut heard = self.heard.subscribe();
        // The sender lives as long as this does.
        drop(tokio::time::timeout(2 * BEAT, heard.wait_for(Option::is_some)).await);
    }

    /// Tells what has changed here, and when those in calls were heard of last; all that is here where Redis may lack
    /// some of it. `here` is what is known of a person here, `all` everybody of whom something is.
    pub async fn write(
        &self,
        now: Timestamp,
        here: impl Fn(PersonId) -> Option<Seen>,
        all: impl Fn() -> Vec<PersonId>,
    ) {
        let untold = std::mem::take(&mut *lock(&self.untold));
        let is_known = self.say_that_we_are_here(now).await;
        let everybody = (untold.all || is_known != Some(true)).then(&all);
        let mut lacks = is_known.is_none();
        let people: Vec<PersonId> = match everybody {
            Some(everybody) => everybody,
            None => {
                let engaged = lock(&self.engaged).clone();
                let engaged = engaged.into_iter().filter(|person| here(*person).is_some());
                untold.people.into_iter().chain(engaged).collect()
            }
        };
        for some in people.chunks(AT_ONCE) {
            lacks |= !self.write_some(some, &here).await;
        }
        if lacks {
            lock(&self.untold).all = true;
        }
    }

    /// Whether Redis knows this node's people; `None` where it does not answer.
    async fn say_that_we_are_here(&self, now: Timestamp) -> Option<bool> {
        let lapses = now.plus_ms(millis(NODE_LAPSES)).0;
        let (nodes, key) = (self.nodes(), self.key(&self.node));
        self.redis
            .ask(async |mut redis| -> RedisResult<bool> {
                let mut pipe = redis::pipe();
                pipe.zadd(&nodes, &self.node, lapses).ignore();
                pipe.zrembyscore(&nodes, "-inf", now.plus_ms(-millis(GOOD_FOR)).0).ignore();
                pipe.expire(&key, FORGOTTEN_SECONDS);
                let (known,): (bool,) = pipe.query_async(&mut redis).await?;
                Ok(known)
            })
            .await
    }

    async fn write_some(&self, people: &[PersonId], here: &impl Fn(PersonId) -> Option<Seen>) -> bool {
        let key = self.key(&self.node);
        let mut pipe = redis::pipe();
        for person in people {
            match here(*person) {
                Some(seen) => pipe.hset(&key, person.to_string(), seen.text()).ignore(),
                None => pipe.hdel(&key, person.to_string()).ignore(),
            };
        }
        pipe.expire(&key, FORGOTTEN_SECONDS).ignore();
        let written = self.redis.ask(async |mut redis| pipe.query_async::<()>(&mut redis).await).await;
        written.is_some()
    }

    /// Looks at those in calls on the other nodes; answers those of whom something has changed.
    pub async fn look(&self, now: Timestamp) -> Vec<PersonId> {
        let wanted: Vec<PersonId> = lock(&self.engaged).iter().copied().collect();
        let found = self.find(now, &wanted).await;
        let heard_at = *self.heard.borrow();
        if found.is_none() && heard_at.is_some_and(|at| at.elapsed() < GOOD_FOR) {
            return Vec::new();
        }
        if found.is_some() {
            self.heard.send_replace(Some(Instant::now()));
        }
        let found = found.unwrap_or_default();
        let mut people = lock(&self.people);
        let mut changed = Vec::new();
        let mut known = HashMap::new();
        for person in wanted {
            let before = people.get(&person).copied();
            let Some(seen) = now_known(now, found.get(&person).copied(), before) else { continue };
            if before.is_none_or(|before| before.roles != seen.roles) {
                changed.push(person);
            }
            known.insert(person, seen);
        }
        *people = known;
        changed
    }

    /// Looks at some people before they are judged: one who has come to another node a moment ago is not known yet.
    pub async fn look_at(&self, now: Timestamp, people: &[PersonId]) {
        let Some(found) = self.find(now, people).await else { return };
        let mut known = lock(&self.people);
        for person in people {
            if let Some(seen) = now_known(now, found.get(person).copied(), known.get(person).copied()) {
                known.insert(*person, seen);
            }
        }
    }

    /// What the other nodes know of these people; `None` where Redis does not answer.
    pub async fn find(&self, now: Timestamp, people: &[PersonId]) -> Option<HashMap<PersonId, Seen>> {
        let fields: Vec<String> = people.iter().map(PersonId::to_string).collect();
        self.redis
            .ask(async |mut redis| {
                let mut nodes: Vec<String> =
                    redis::Cmd::zrangebyscore(self.nodes(), now.0, "+inf").query_async(&mut redis).await?;
                nodes.retain(|node| *node != self.node);
                let mut found = HashMap::new();
                if nodes.is_empty() || fields.is_empty() {
                    return Ok(found);
                }
                let mut pipe = redis::pipe();
                for node in &nodes {
                    pipe.cmd("HMGET").arg(self.key(node)).arg(&fields);
                }
                let told: Vec<Vec<Option<String>>> = pipe.query_async(&mut redis).await?;
                for of_node in told {
                    for (person, text) in people.iter().zip(of_node) {
                        let Some(seen) = text.and_then(|text| Seen::parse(&text)) else { continue };
                        found.entry(*person).and_modify(|it: &mut Seen| *it = it.and(seen)).or_insert(seen);
                    }
                }
                Ok(found)
            })
            .await
    }

    /// Nobody is connected here any more.
    pub async fn leave(&self) {
        let (nodes, key) = (self.nodes(), self.key(&self.node));
        let left = self.redis.ask(async |mut redis| {
            redis::pipe()
                .zrem(&nodes, &self.node)
                .ignore()
                .del(&key)
                .ignore()
                .query_async::<()>(&mut redis)
                .await
        });
        _ = left.await;
    }

    fn nodes(&self) -> String {
        self.redis.key("attendance:nodes")
    }

    fn key(&self, node: &str) -> String {
        self.redis.key(&format!("attendance:of:{node}"))
    }
}

/// What is known of somebody, from what was found and what was known before.
///
/// Another node's clock may go ahead: nobody was heard of later than when it was told, and a word that is not new tells
/// nothing new.
fn now_known(now: Timestamp, found: Option<Seen>, before: Option<Seen>) -> Option<Seen> {
    let found = found.map(|seen| Seen { at: seen.told.min(now), ..seen });
    match (found, before) {
        (Some(seen), Some(before)) if seen.told == before.told => Some(Seen { at: before.at, ..seen }),
        (Some(seen), Some(before)) => Some(Seen { at: seen.at.max(before.at), ..seen }),
        (Some(seen), None) => Some(seen),
        // When they were last heard of is known all the same.
        (None, Some(before)) => {
            Some(Seen { roles: 0, with_node: before.roles != 0 || before.with_node, ..before })
        }
        (None, None) => None,
    }
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_whose_clock_goes_ahead_makes_nobody_seen_later_than_it_told() {
        let at = |second: i64| Timestamp(1_767_225_600_000 + second * 1_000);
        let ahead = Seen::parse(&format!("3:{}:{}", at(8).0, at(0).0)).expect("it is told");
        let seen = now_known(at(1), Some(ahead), None).expect("known");
        assert_eq!(seen.at, at(1), "not before it was told");
        let later = now_known(at(5), Some(ahead), Some(seen)).expect("known");
        assert_eq!(later.at, at(1), "the same word again is no sign of life");
        let gone = now_known(at(9), None, Some(later)).expect("known");
        assert_eq!((gone.at, gone.roles, gone.with_node), (at(1), 0, true));
    }

    #[test]
    fn what_is_written_of_somebody_is_read_again() {
        let (at, since) = (Timestamp(1_767_225_600_123), Timestamp(1_767_225_500_000));
        let seen = Seen { roles: 3, at, told: at, since, with_node: false };
        assert_eq!(Seen::parse(&seen.text()), Some(seen));
        for odd in ["", "3", "3:1", "x:1:1", "3:y:1", "300:1:1", "3:1:1:1"] {
            assert_eq!(Seen::parse(odd), None, "{odd}");
        }
    }
}
