//! Keeps open sockets in step with what their people may do: sessions that end, roles that come and go.
//!
//! Changes made on this node are heard of at once. Those made elsewhere are found by looking at all open
//! sockets every [`crate::Config::access_check`].

use crate::protocol::Close;
use crate::registry::Registry;
use ledger_core::PersonId;
use platform::identity::{AccessChange, Sessions};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{Duration, MissedTickBehavior, interval};
use tracing::warn;

/// Sessions that are asked about in one query.
const SESSIONS_AT_ONCE: usize = 2_000;

pub(crate) struct AccessWatch<'a> {
    pub sessions: Sessions,
    pub registry: Arc<Registry>,
    pub changes: &'a mut broadcast::Receiver<AccessChange>,
    pub every: Duration,
}

/// Whose sockets have to be looked at.
enum Concerned {
    People(BTreeSet<PersonId>),
    Everybody,
}

impl AccessWatch<'_> {
    /// Watches for ever.
    pub async fn run(mut self) {
        let mut again = interval(self.every);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let concerned = tokio::select! {
                change = self.changes.recv() => self.hear(change),
                _ = again.tick() => Some(Concerned::Everybody),
            };
            if let Some(concerned) = concerned {
                self.look(&concerned).await;
            }
        }
    }

    /// Acts on what needs no look, and says who needs one.
    fn hear(&mut self, change: Result<AccessChange, RecvError>) -> Option<Concerned> {
        let mut people = BTreeSet::new();
        let mut next = change;
        loop {
            match next {
                Ok(AccessChange::SessionEnded { person, session }) => {
                    self.registry.close_session(person, session, Close::SESSION_ENDED);
                }
                Ok(AccessChange::PersonChanged { person }) => _ = people.insert(person),
                // Nobody knows whose changes were missed.
                Err(RecvError::Lagged(_)) => return Some(Concerned::Everybody),
                // The app holds the sending side for as long as it lives; without it the looks go on.
                Err(RecvError::Closed) => break,
            }
            next = match self.changes.try_recv() {
                Ok(change) => Ok(change),
                Err(broadcast::error::TryRecvError::Lagged(lost)) => Err(RecvError::Lagged(lost)),
                Err(_) => break,
            };
        }
        (!people.is_empty()).then_some(Concerned::People(people))
    }

    async fn look(&self, concerned: &Concerned) {
        let sessions = match concerned {
            Concerned::Everybody => self.registry.sessions(None),
            Concerned::People(people) => self.registry.sessions(Some(people)),
        };
        let mut alive = HashMap::new();
        for asked in sessions.chunks(SESSIONS_AT_ONCE) {
            match self.sessions.alive(asked).await {
                Ok(found) => alive.extend(found),
                // Requests are refused while the database is away; the next look comes soon.
                Err(fault) => return warn!(%fault, "the access of open sockets cannot be checked"),
            }
        }
        self.registry.set_access(&sessions, &alive);
    }
}
