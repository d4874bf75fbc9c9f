//! Who is connected, and what that means for a call: while a side is away no increment begins.
//!
//! A person counts as connected in a role: a payer whose sockets have lost the role `user`, or a host whose
//! sockets have lost the role `host`, is away. Each socket also notes when its client was last heard of, so
//! that a call is never billed beyond the last moment at which both sides were known to be there.
//!
//! Where several nodes serve, the sides of a call may be connected to two of them, and a third one drives the call: see
//! [`elsewhere`].

mod elsewhere;
mod keeper;

use crate::identity::Role;
use crate::shared_redis::SharedRedis;
use elsewhere::{BEAT, Elsewhere, Seen};
use keeper::Keeper;
use ledger_core::{PersonId, Timestamp};
use ledger_runtime::{Connections, ExecuteError, Ledger, Sides, Sightings};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// How many people's calls are looked at in one go. When many leave at once their calls are paused together, so
/// that nobody pays while they wait for their turn.
const AT_ONCE: usize = 1_000;
/// How soon something is tried again that the ledger or the journal could not answer.
const RETRY: Duration = Duration::from_millis(200);
/// How long the last sign of life of somebody who has gone is remembered: longer than any grace, after which
/// nobody asks for it.
const REMEMBERED_MS: i64 = 30 * 60 * 1_000;
/// How often those are forgotten who have been gone for longer.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Counts the sockets of each person, and keeps the calls of those who come and go in step.
#[derive(Clone)]
pub struct Attendance {
    people: Arc<People>,
    changed: mpsc::UnboundedSender<PersonId>,
    /// Whether calls are kept in step here: another node may do it.
    keeping: Arc<AtomicBool>,
    /// Kept here and not by the keeper, so that a keeper that is started again goes on with them.
    changes: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<PersonId>>>,
    ledger: Ledger,
}

struct People {
    here: Mutex<HashMap<PersonId, Sockets>>,
    /// Absent where one node serves alone.
    elsewhere: Option<Elsewhere>,
}

/// The sockets of one person.
#[derive(Default)]
struct Sockets {
    open: Vec<Arc<Socket>>,
    /// The last sign of life over the sockets that are gone.
    gone_seen: Option<Timestamp>,
}

/// What attendance knows of one socket. Written at every frame, so without a lock.
struct Socket {
    opened_at: Timestamp,
    seen_ms: AtomicI64,
    roles: AtomicU8,
}

/// Held by a socket for as long as it lives.
pub struct Attending {
    attendance: Attendance,
    person: PersonId,
    socket: Arc<Socket>,
}

impl Attending {
    /// The client was heard of just now: any frame is a sign of life, a pong too.
    pub fn seen(&self) {
        self.socket.seen_ms.fetch_max(self.attendance.ledger.clock().now().0, Ordering::Relaxed);
    }

    /// The person has these roles from now on.
    pub fn set_roles(&self, roles: &[Role]) {
        let bits = bits(roles);
        if self.socket.roles.swap(bits, Ordering::Relaxed) != bits {
            self.attendance.changed(self.person);
        }
    }
}

impl Drop for Attending {
    fn drop(&mut self) {
        let mut people = self.attendance.people.lock();
        if let Some(sockets) = people.get_mut(&self.person) {
            sockets.open.retain(|socket| !Arc::ptr_eq(socket, &self.socket));
            sockets.gone_seen = sockets.gone_seen.max(Some(self.socket.seen()));
        }
        drop(people);
        self.attendance.changed(self.person);
    }
}

impl Attendance {
    /// The register of a node that serves alone. Calls follow it while [`Self::keep_in_step`] runs.
    pub fn alone(ledger: Ledger) -> Attendance {
        Attendance::new(ledger, None)
    }

    /// The register of one of several nodes, which find one another in Redis while [`Self::keep_exchanging`] runs.
    pub fn shared(ledger: Ledger, redis: SharedRedis) -> Attendance {
        Attendance::new(ledger, Some(Elsewhere::new(redis)))
    }

    fn new(ledger: Ledger, elsewhere: Option<Elsewhere>) -> Attendance {
        let (changed, changes) = mpsc::unbounded_channel();
        Attendance {
            people: Arc::new(People { here: Mutex::default(), elsewhere }),
            keeping: Arc::default(),
            changed,
            changes: Arc::new(tokio::sync::Mutex::new(changes)),
            ledger,
        }
    }

    /// Keeps calls in step with who is connected, until the ledger is gone. Begins with the calls that are
    /// under way, so that nothing is missed when it is started again after a fault.
    ///
    /// # Errors
    /// When the ledger cannot be asked which calls are under way.
    pub async fn keep_in_step(&self) -> Result<(), ExecuteError> {
        self.keeping.store(true, Ordering::Relaxed);
        let _keeping = Keeping(self.keeping.clone());
        let started = self.ledger.follow();
        let under_way = self.ledger.query(|state, _| {
            state.active_calls().into_iter().map(|(_, call)| call.payer).collect::<Vec<PersonId>>()
        });
        let under_way = under_way.await?;
        let mut changes = self.changes.lock().await;
        let keeper = Keeper { ledger: self.ledger.clone(), people: self.people.clone() };
        keeper.run(&mut changes, started, under_way).await;
        Ok(())
    }

    /// Exchanges with the other nodes who is connected, for as long as it is polled; ends at once where there are none.
    pub async fn keep_exchanging(&self) {
        let Some(elsewhere) = &self.people.elsewhere else { return };
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut forget = tokio::time::interval(FORGET_EVERY);
        loop {
            tokio::select! {
                _ = beat.tick() => self.exchange().await,
                () = elsewhere.changed.notified() => self.tell(elsewhere).await,
                _ = forget.tick() => self.people.forget(self.ledger.clock().now()),
            }
        }
    }

    /// Exchanges with the other nodes who is connected, once.
    pub async fn exchange(&self) {
        let Some(elsewhere) = &self.people.elsewhere else { return };
        // First of all: a node that says nothing counts as gone, and a ledger may take its time.
        self.tell(elsewhere).await;
        // Where the ledger does not answer, those who were in calls at the last beat count as being in them.
        if let Ok(Ok(engaged)) = tokio::time::timeout(BEAT, self.engaged()).await {
            elsewhere.engage(engaged);
        }
        for person in elsewhere.look(self.ledger.clock().now()).await {
            self.review(person);
        }
    }

    async fn tell(&self, elsewhere: &Elsewhere) {
        let now = self.ledger.clock().now();
        elsewhere.write(now, |person| self.people.here(person), || self.people.all()).await;
    }

    /// Both sides of all calls.
    async fn engaged(&self) -> Result<BTreeSet<PersonId>, ExecuteError> {
        let sides = |state: &ledger_core::State, _| {
            state.active_calls().into_iter().flat_map(|(_, call)| [call.payer, call.host]).collect()
        };
        self.ledger.query(sides).await
    }

    /// Returns once it is known who is connected to the other nodes, or that it cannot be known.
    pub async fn ready(&self) {
        if let Some(elsewhere) = &self.people.elsewhere {
            elsewhere.ready().await;
        }
    }

    /// Tells the other nodes that nobody is connected here any more.
    pub async fn leave(&self) {
        if let Some(elsewhere) = &self.people.elsewhere {
            elsewhere.leave().await;
        }
    }

    /// A socket of `person`, who has these roles, is there until the answer is dropped.
    pub fn attend(&self, person: PersonId, roles: &[Role]) -> Attending {
        let opened_at = self.ledger.clock().now();
        let seen_ms = AtomicI64::new(opened_at.0);
        let socket = Arc::new(Socket { opened_at, seen_ms, roles: AtomicU8::new(bits(roles)) });
        self.people.lock().entry(person).or_default().open.push(socket.clone());
        self.changed(person);
        Attending { attendance: self.clone(), person, socket }
    }

    /// Whether a socket of `person` is here and may act in this role; on any node for somebody who is in a call.
    pub fn is_connected(&self, person: PersonId, role: Role) -> bool {
        self.people.is_connected(person, role)
    }

    /// Whether a socket of `person` is on any node and may act in this role.
    pub async fn is_connected_anywhere(&self, person: PersonId, role: Role) -> bool {
        if self.is_connected(person, role) {
            return true;
        }
        let Some(elsewhere) = &self.people.elsewhere else { return false };
        let found = elsewhere.find(self.ledger.clock().now(), &[person]).await.unwrap_or_default();
        found.get(&person).is_some_and(|seen| seen.roles & bits(&[role]) != 0)
    }

    /// What is known of the connections of a call's two sides.
    pub fn sides(&self, payer: PersonId, host: PersonId) -> Sides {
        let since =
            [(payer, Role::User), (host, Role::Host)].map(|(side, role)| self.people.since(side, role));
        Sides { both: since.iter().all(Option::is_some), since: since.into_iter().flatten().max() }
    }

    /// When `person` was last heard of over any socket, by the ledger's clock. `None` when that was never, or so
    /// long ago that it is forgotten.
    pub fn last_seen(&self, person: PersonId) -> Option<Timestamp> {
        self.people.last_seen(person)
    }

    /// The last moment at which both sides of a call were heard of: what metering goes by.
    pub fn sightings(&self) -> Sightings {
        let people = self.people.clone();
        Arc::new(move |payer, host| people.last_seen_together(payer, host))
    }

    /// Somebody has come or gone here.
    fn changed(&self, person: PersonId) {
        self.review(person);
        if let Some(elsewhere) = &self.people.elsewhere {
            elsewhere.tell(person);
        }
    }

    /// As [`Self::sides`], for metering.
    pub fn connections(&self) -> Connections {
        let attendance = self.clone();
        Arc::new(move |payer, host| attendance.sides(payer, host))
    }

    /// Brings the call that `person` is in, if any, in step with who is connected. Where another node does so, nothing
    /// is kept: it sees the change in Redis, and a keeper that starts looks at all calls.
    fn review(&self, person: PersonId) {
        if self.keeping.load(Ordering::Relaxed) {
            let _ = self.changed.send(person);
        }
    }
}

impl People {
    fn lock(&self) -> MutexGuard<'_, HashMap<PersonId, Sockets>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<PersonId> {
        self.lock().keys().copied().collect()
    }

    /// What the sockets of this node say of somebody.
    fn here(&self, person: PersonId) -> Option<Seen> {
        let people = self.lock();
        let sockets = people.get(&person)?;
        let roles = sockets.open.iter().fold(0, |bits, socket| bits | socket.roles.load(Ordering::Relaxed));
        let since = sockets.open.iter().map(|socket| socket.opened_at).min();
        let at = sockets.last_seen()?;
        Some(Seen::here(roles, at, since.unwrap_or(at)))
    }

    /// Looks for those on the other nodes who are not here.
    async fn look_at(&self, now: Timestamp, people: impl Iterator<Item = PersonId>) {
        let Some(elsewhere) = &self.elsewhere else { return };
        let is_here = |person: &PersonId| self.here(*person).is_some_and(|seen| seen.roles != 0);
        let absent: Vec<PersonId> = people.filter(|person| !is_here(person)).collect();
        if !absent.is_empty() {
            elsewhere.look_at(now, &absent).await;
        }
    }

    /// Whether somebody's node has gone, and not they: whoever came back to this one since and left it, has left.
    fn went_with_node(&self, person: PersonId) -> bool {
        let here = self.here(person).map(|seen| seen.at);
        self.elsewhere(person).is_some_and(|seen| seen.with_node && here.is_none_or(|here| here <= seen.at))
    }

    fn elsewhere(&self, person: PersonId) -> Option<Seen> {
        self.elsewhere.as_ref()?.of(person)
    }

    fn both_connected(&self, payer: PersonId, host: PersonId) -> bool {
        self.is_connected(payer, Role::User) && self.is_connected(host, Role::Host)
    }

    fn is_connected(&self, person: PersonId, role: Role) -> bool {
        self.since(person, role).is_some()
    }

    /// Since when a person has been connected in this role, if they are.
    fn since(&self, person: PersonId, role: Role) -> Option<Timestamp> {
        let connected = [self.here(person), self.elsewhere(person)].into_iter().flatten();
        connected.filter(|seen| seen.roles & bits(&[role]) != 0).map(|seen| seen.since).min()
    }

    fn last_seen(&self, person: PersonId) -> Option<Timestamp> {
        [self.here(person), self.elsewhere(person)].iter().flatten().map(|seen| seen.at).max()
    }

    fn last_seen_together(&self, payer: PersonId, host: PersonId) -> Option<Timestamp> {
        Some(self.last_seen(payer)?.min(self.last_seen(host)?))
    }

    /// Forgets those who have been gone for long.
    fn forget(&self, now: Timestamp) {
        let remembered = |seen: Option<Timestamp>| seen.is_some_and(|seen| now.since(seen) < REMEMBERED_MS);
        let stays = |sockets: &Sockets| !sockets.open.is_empty() || remembered(sockets.gone_seen);
        let gone: Vec<PersonId> =
            self.lock().extract_if(|_, sockets| !stays(sockets)).map(|(id, _)| id).collect();
        if let Some(elsewhere) = &self.elsewhere {
            gone.into_iter().for_each(|person| elsewhere.tell(person));
        }
    }
}

impl Sockets {
    fn last_seen(&self) -> Option<Timestamp> {
        self.open.iter().map(|socket| socket.seen()).max().max(self.gone_seen)
    }
}

impl Socket {
    fn seen(&self) -> Timestamp {
        Timestamp(self.seen_ms.load(Ordering::Relaxed))
    }
}

fn bits(roles: &[Role]) -> u8 {
    roles.iter().fold(0, |bits, role| bits | 1 << *role as u8)
}

/// For as long as calls are kept in step here.
struct Keeping(Arc<AtomicBool>);

impl Drop for Keeping {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
