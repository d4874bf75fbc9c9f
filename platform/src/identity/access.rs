//! Tells this node that somebody's access has changed, so that what is open or remembered in their name learns
//! of it at once.
//!
//! A message is a hint to look again, not the truth: the database decides. Changes made elsewhere (another
//! node, SQL by hand, `muneem grant-role`) send no message here, so listeners also look at intervals. What is
//! remembered about people is forgotten with the message, see [`crate::known`].

use super::tokens::SessionId;
use crate::known::Known;
use ledger_core::PersonId;
use tokio::sync::broadcast;

/// Changes that a slow listener may lag behind. One that lagged further has to look at everybody.
const CAPACITY: usize = 4_096;

/// What changed. Sent after the change is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessChange {
    /// This session gives no access any more.
    SessionEnded { person: PersonId, session: SessionId },
    /// What this person may do has changed: roles, host status, a suspension, a ban.
    PersonChanged { person: PersonId },
}

impl AccessChange {
    pub fn person(&self) -> PersonId {
        match *self {
            AccessChange::SessionEnded { person, .. } | AccessChange::PersonChanged { person } => person,
        }
    }
}

/// Carries changes from whoever makes them to whoever keeps something open; cheap to clone.
#[derive(Clone)]
pub struct AccessChanges {
    listeners: broadcast::Sender<AccessChange>,
    known: Known,
}

impl Default for AccessChanges {
    fn default() -> Self {
        AccessChanges::new(Known::default())
    }
}

impl AccessChanges {
    pub fn new(known: Known) -> Self {
        AccessChanges { listeners: broadcast::channel(CAPACITY).0, known }
    }

    /// Where what was read about people is remembered.
    pub fn known(&self) -> &Known {
        &self.known
    }

    pub fn publish(&self, change: AccessChange) {
        self.known.person_changed(change.person());
        // Nobody listens where nothing is kept open, as in the operator's commands.
        drop(self.listeners.send(change));
    }

    /// Hears of every change from now on.
    pub fn listen(&self) -> broadcast::Receiver<AccessChange> {
        self.listeners.subscribe()
    }
}
