//! What the server tells people without being asked, beside the ledger's own events.

use ledger_core::PersonId;
use tokio::sync::broadcast;

/// Pushes that a slow gateway may lag behind before it loses some.
const CAPACITY: usize = 4_096;

/// One message to everybody in `to`, on all their devices.
#[derive(Clone, Debug)]
pub struct Push {
    pub to: Vec<PersonId>,
    /// The name of the message, such as `call:invite`.
    pub name: &'static str,
    pub data: serde_json::Value,
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
    pub fn send(&self, to: &[PersonId], name: &'static str, data: serde_json::Value) {
        // Nobody listens where no gateway runs.
        drop(self.0.send(Push { to: to.to_vec(), name, data }));
    }

    pub fn listen(&self) -> broadcast::Receiver<Push> {
        self.0.subscribe()
    }
}
