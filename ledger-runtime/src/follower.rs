//! The durable events, in order and without a gap.

use crate::codec::{JournalError, read_journal};
use crate::replay::CHUNK;
use event_store::EventStore;
use ledger_core::Recorded;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Yields every durable event from a revision on. What a slow follower missed in memory it reads
/// from the store.
pub struct Follower {
    store: Arc<dyn EventStore>,
    live: broadcast::Receiver<Arc<[Recorded]>>,
    ready: VecDeque<Recorded>,
    next: u64,
    /// Whether events are to be read from the store: kept, so that neither a failed read nor one that
    /// was given up loses sight of them.
    behind: bool,
}

impl Follower {
    pub(crate) fn new(
        store: Arc<dyn EventStore>,
        live: broadcast::Receiver<Arc<[Recorded]>>,
        next: u64,
    ) -> Follower {
        Follower { store, live, ready: VecDeque::new(), next, behind: false }
    }

    /// The next event; `None` once the ledger is gone. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When events that were missed in memory cannot be read from the store; the next call tries again.
    pub async fn next(&mut self) -> Result<Option<Recorded>, JournalError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.next = event.revision + 1;
                return Ok(Some(event));
            }
            if self.behind {
                let missed = read_journal(self.store.as_ref(), self.next, CHUNK).await?;
                self.behind = false;
                self.ready.extend(missed);
                continue;
            }
            match self.live.recv().await {
                Ok(batch) if batch.first().is_some_and(|event| event.revision > self.next) => {
                    self.behind = true;
                }
                Ok(batch) => {
                    self.ready.extend(batch.iter().filter(|event| event.revision >= self.next).cloned())
                }
                Err(broadcast::error::RecvError::Lagged(_)) => self.behind = true,
                Err(broadcast::error::RecvError::Closed) => return Ok(None),
            }
        }
    }
}
