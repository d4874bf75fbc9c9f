//! The durable units, in order and without a gap.

use crate::codec::{JournalError, read_journal};
use crate::published::{DurableUnit, Published};
use crate::replay::CHUNK;
use event_store::EventStore;
use std::sync::Arc;
use tokio::sync::{broadcast, watch};

/// Yields every durable unit from a revision on. What a slow follower missed in memory it reads
/// from the store.
pub struct Follower {
    store: Arc<dyn EventStore>,
    /// `None` where the writer had ended before.
    live: Option<broadcast::Receiver<Arc<Published>>>,
    /// The number of durable events.
    durable: watch::Receiver<u64>,
    /// The batch that is being handed out, and its unit that comes next.
    batch: Arc<Published>,
    unit: usize,
    /// The revision that comes next.
    next: u64,
    /// Whether units are to be read from the store: until a read has reached the durable end, so that
    /// neither a short page, nor a failed read, nor one that was given up loses sight of them.
    behind: bool,
}

impl Follower {
    pub(crate) fn new(
        store: Arc<dyn EventStore>,
        live: Option<broadcast::Receiver<Arc<Published>>>,
        durable: watch::Receiver<u64>,
        next: u64,
    ) -> Follower {
        Follower { store, live, durable, batch: Arc::default(), unit: 0, next, behind: false }
    }

    /// The next unit; `None` once the ledger is gone. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When units that were missed in memory cannot be read from the store; the next call tries again.
    pub async fn next(&mut self) -> Result<Option<DurableUnit>, JournalError> {
        loop {
            while let Some(unit) = DurableUnit::at(&self.batch, self.unit) {
                self.unit += 1;
                if unit.last_revision() >= self.next {
                    self.next = unit.last_revision() + 1;
                    return Ok(Some(unit));
                }
            }
            self.behind = self.behind && self.next < *self.durable.borrow();
            if self.behind {
                let missed = read_units(self.store.as_ref(), self.next, &self.durable).await?;
                self.hand_out(Arc::new(missed));
                continue;
            }
            let Some(live) = &mut self.live else { return Ok(None) };
            match live.recv().await {
                Ok(batch) if batch.events.first().is_some_and(|event| event.revision > self.next) => {
                    self.behind = true;
                }
                Ok(batch) => self.hand_out(batch),
                // The next batch shows the gap.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                // What was missed before the end is still read.
                Err(broadcast::error::RecvError::Closed) if self.next < *self.durable.borrow() => {
                    self.behind = true;
                }
                Err(broadcast::error::RecvError::Closed) => return Ok(None),
            }
        }
    }

    fn hand_out(&mut self, batch: Arc<Published>) {
        (self.batch, self.unit) = (batch, 0);
    }
}

/// A page of whole units from revision `next` on: at least one, as there are durable events.
async fn read_units(
    store: &dyn EventStore,
    next: u64,
    durable: &watch::Receiver<u64>,
) -> Result<Published, JournalError> {
    let mut page = CHUNK;
    loop {
        let events = read_journal(store, next, page).await?;
        let read = events.len();
        let units = Published::whole_units_of(events);
        if !units.units.is_empty() {
            return Ok(units);
        }
        if read < page {
            return Err(JournalError::Lost { next: next + read as u64, durable: *durable.borrow() });
        }
        // A unit that is longer than the page.
        page *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode;
    use event_store::MemoryStore;
    use ledger_core::event::GiftPriceSet;
    use ledger_core::*;
    use uuid::Uuid;

    fn unit(revision: u64) -> Recorded {
        let id = Uuid::from_u128(u128::from(revision));
        Recorded {
            revision,
            event_id: id,
            metadata: Metadata {
                schema_version: SCHEMA_VERSION,
                recorded_at: Timestamp(0),
                command_id: CommandId(id),
                request_hash: RequestHash([0; 16]),
                remembered_for: RememberedFor::Ever,
                index: 0,
                count: 1,
                actor: Actor::System,
                payer: None,
                correlation: None,
            },
            event: GiftPriceSet { gift: GiftId(id), price_milli: Some(1) }.into(),
        }
    }

    #[tokio::test]
    async fn who_lags_by_more_than_the_live_window_and_a_page_still_gets_everything() {
        let events: Vec<Recorded> = (0..2 * CHUNK as u64 + 500).map(unit).collect();
        let store = Arc::new(MemoryStore::new());
        let mut expected = None;
        for some in events.chunks(1_000) {
            let mut batch = event_store::Batch::default();
            some.iter().for_each(|event| encode(event, store.as_ref(), &mut batch));
            expected = Some(store.append_batch(expected, &Arc::new(batch)).await.expect("is appended"));
        }
        // The window holds one batch: the last event alone, and nothing comes after it.
        let (live, receiver) = broadcast::channel(1);
        let (durable_in, durable) = watch::channel(0);
        let mut follower = Follower::new(store, Some(receiver), durable, 0);
        for event in &events {
            durable_in.send_replace(event.revision + 1);
            live.send(Arc::new(Published::whole_units_of(vec![event.clone()]))).expect("somebody follows");
        }
        for event in &events {
            let next = tokio::time::timeout(std::time::Duration::from_secs(20), follower.next()).await;
            let unit = next.expect("comes").expect("is read").expect("is there");
            assert_eq!(unit.events(), std::slice::from_ref(event));
        }
    }

    #[tokio::test]
    async fn a_store_that_has_lost_what_was_durable_is_told_of() {
        let (live, receiver) = broadcast::channel::<Arc<Published>>(1);
        let (_durable_in, durable) = watch::channel(7);
        let mut follower = Follower::new(Arc::new(MemoryStore::new()), Some(receiver), durable, 3);
        drop(live);
        let lost = follower.next().await;
        assert!(matches!(lost, Err(JournalError::Lost { next: 3, durable: 7 })), "{lost:?}");
    }
}
