//! What the server tells people without being asked, beside the ledger's own events.

use crate::calls::SeenRing;
use ledger_core::{CallId, PersonId};
use tokio::sync::broadcast;

/// Pushes that a slow gateway may lag behind before it loses some.
const CAPACITY: usize = 4_096;

/// One message to everybody in `to`, on all their devices.
#[derive(Clone, Debug)]
pub struct Push {
    pub to: Vec<PersonId>,
    pub news: News,
}

/// What is told.
#[derive(Clone, Debug)]
pub enum News {
    /// A user calls.
    Rings(SeenRing),
    /// The host took the call or declined.
    Answered { call: CallId, accepted: bool },
    /// A ring ended before it became a call: `cancelled`, `missed`, `busy`, or the code of the problem for which
    /// it failed.
    RingEnded { call: CallId, reason: &'static str },
}

/// Carries pushes from whoever has news to the gateway. News are hints: what they tell can always be
/// asked for, so a lost one costs a moment, never money.
#[derive(Clone)]
pub struct Bus(broadcast::Sender<Push>);

impl Default for Bus {
    fn default() -> Self {
        Bus(broadcast::channel(CAPACITY).0)
    }
}

impl Bus {
    pub fn send(&self, to: &[PersonId], news: News) {
        // Nobody listens where no gateway runs.
        drop(self.0.send(Push { to: to.to_vec(), news }));
    }

    pub fn listen(&self) -> broadcast::Receiver<Push> {
        self.0.subscribe()
    }
}
