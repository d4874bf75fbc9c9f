//! What every request asks of Postgres is kept in memory, so that a command needs no round trip.
//!
//! The promise: a change is seen at once on the node that makes it, and within 2 s on every other node, however it
//! was made: triggers tell of it on the channels [`PEOPLE`] and [`SETTINGS`]
//! (`migrations/20261126130000_changes_are_told.sql`). What is remembered counts only while [`Known::keep_in_step`]
//! has lately heard from Postgres: a node that is cut off asks the database each time, as a node that has just
//! started does.
//!
//! Only what lets somebody in is remembered. Who was refused is looked up again, so that a right that was given
//! counts at once.

use crate::workers::WorkerFault;
use ledger_core::PersonId;
use moka::sync::Cache;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Tells of a person: roles, host status, restrictions, an ended session. The payload is the person's id.
const PEOPLE: &str = "muneem_people";
/// Tells that some setting has changed.
const SETTINGS: &str = "muneem_settings";

/// How often the changes of other nodes are fetched.
const STEP: Duration = Duration::from_millis(250);
/// How long after such a step what is remembered still counts. Together with the step itself well under 2 s.
const GOOD_FOR: Duration = Duration::from_millis(1_200);
/// Entries of each kind; the least used ones make room. About 20 MB of sessions at most.
const CAPACITY: u64 = 100_000;
/// People share counters of changes, so that the counters need a fixed room. A change of one person makes the others
/// of the same counter be looked up once more.
const COUNTERS: usize = 4_096;

/// Cheap to clone; all clones are one memory.
#[derive(Clone)]
pub struct Known(Arc<Inner>);

struct Inner {
    since: Instant,
    /// Milliseconds after `since` until which what is remembered counts.
    good_until: AtomicU64,
    people: Box<[AtomicU64]>,
    settings: AtomicU64,
}

/// The state of the counter that a thing belongs to, taken before it is read from the database: if the counter
/// has moved by the time that it is used, what was read is no longer known to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

impl Default for Known {
    fn default() -> Known {
        let people = (0..COUNTERS).map(|_| AtomicU64::new(0)).collect();
        Known(Arc::new(Inner {
            since: Instant::now(),
            good_until: AtomicU64::new(0),
            people,
            settings: AtomicU64::new(0),
        }))
    }
}

impl Known {
    /// The mark for something about a person; `None` while nothing may be taken from memory.
    pub fn about(&self, person: PersonId) -> Option<Mark> {
        self.mark(self.counter(person))
    }

    /// The mark for the settings; `None` while nothing may be taken from memory.
    pub fn about_settings(&self) -> Option<Mark> {
        self.mark(&self.0.settings)
    }

    /// What is remembered about the person is forgotten, on this node and at once.
    pub fn person_changed(&self, person: PersonId) {
        self.counter(person).fetch_add(1, Ordering::AcqRel);
    }

    pub fn settings_changed(&self) {
        self.0.settings.fetch_add(1, Ordering::AcqRel);
    }

    /// Hears of the changes that other nodes, the operator's commands and people with SQL make. Runs until
    /// Postgres fails.
    ///
    /// # Errors
    /// When Postgres does not answer, or answers too slowly to be relied on.
    pub async fn keep_in_step(&self, pool: &PgPool) -> Result<(), WorkerFault> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.eager_reconnect(false);
        listener.listen_all([PEOPLE, SETTINGS]).await?;
        // What was said while nobody listened is lost, so nothing from before is relied on.
        self.forget_all();
        let mut steps = interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            steps.tick().await;
            let asked = Instant::now();
            // Whatever was committed before this is told on this connection before it is answered.
            timeout(GOOD_FOR, sqlx::query("SELECT 1").execute(&mut listener)).await??;
            while let Some(told) = listener.next_buffered() {
                self.told(told.channel(), told.payload());
            }
            let good_until = asked + GOOD_FOR;
            self.0.good_until.store(self.millis(good_until), Ordering::Release);
        }
    }

    fn told(&self, channel: &str, payload: &str) {
        match (channel, payload.parse()) {
            (PEOPLE, Ok(person)) => self.person_changed(PersonId(person)),
            (SETTINGS, _) => self.settings_changed(),
            _ => self.forget_all(),
        }
    }

    fn forget_all(&self) {
        for counter in &self.0.people {
            counter.fetch_add(1, Ordering::AcqRel);
        }
        self.settings_changed();
    }

    fn mark(&self, counter: &AtomicU64) -> Option<Mark> {
        let good = self.millis(Instant::now()) < self.0.good_until.load(Ordering::Acquire);
        good.then(|| Mark(counter.load(Ordering::Acquire)))
    }

    fn counter(&self, person: PersonId) -> &AtomicU64 {
        // Ids of version 7 differ in their last bytes.
        let [.., high, low] = *person.0.as_bytes();
        &self.0.people[usize::from(u16::from_be_bytes([high, low])) % COUNTERS]
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.0.since).as_millis()).unwrap_or(u64::MAX)
    }
}

/// Things that were read, each with the mark from before it was read.
#[derive(Clone)]
pub struct Remembered<K, V>(Cache<K, (Mark, V)>);

impl<K: Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Default for Remembered<K, V> {
    fn default() -> Self {
        Remembered(Cache::new(CAPACITY))
    }
}

impl<K: Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Remembered<K, V> {
    /// What is remembered, if nothing has changed since it was read.
    pub fn get(&self, key: &K, mark: Option<Mark>) -> Option<V> {
        let (read_at, value) = self.0.get(key)?;
        (Some(read_at) == mark).then_some(value)
    }

    /// Remembers what was read after `mark` was taken.
    pub fn put(&self, key: K, mark: Option<Mark>, value: V) {
        if let Some(mark) = mark {
            self.0.insert(key, (mark, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[tokio::test(start_paused = true)]
    async fn what_was_read_before_a_change_is_not_believed_after_it() {
        let (known, remembered) = (Known::default(), Remembered::default());
        let (asha, ravi) = (PersonId(Uuid::from_u128(1)), PersonId(Uuid::from_u128(2)));
        assert_eq!(known.about(asha), None, "nothing counts before the first word of Postgres");
        known.0.good_until.store(1_000, Ordering::Release);

        // Read, then changed, and only then remembered.
        let mark = known.about(asha);
        known.person_changed(asha);
        remembered.put(asha, mark, "old");
        assert_eq!(remembered.get(&asha, known.about(asha)), None);

        for person in [asha, ravi] {
            remembered.put(person, known.about(person), "new");
        }
        known.told(PEOPLE, &asha.to_string());
        assert_eq!(remembered.get(&asha, known.about(asha)), None);
        assert_eq!(remembered.get(&ravi, known.about(ravi)), Some("new"), "others are not touched");

        // A word that nobody understands may mean anybody.
        known.told(PEOPLE, "somebody");
        assert_eq!(remembered.get(&ravi, known.about(ravi)), None);

        remembered.put(ravi, known.about(ravi), "newer");
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(remembered.get(&ravi, known.about(ravi)), Some("newer"));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(remembered.get(&ravi, known.about(ravi)), None, "Postgres was silent for too long");
    }
}
