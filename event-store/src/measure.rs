//! How fast a store appends for many callers, as the ledger uses it: one append at a time, and all that
//! wait meanwhile are in the next batch.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{AppendError, EventStore, NewEvent};

/// An event of the size that a gift has in a journal.
const DATA_BYTES: usize = 200;
const METADATA_BYTES: usize = 60;
/// The ledger stops filling a batch here.
const BATCH_EVENTS: usize = 2_000;

/// What was measured. A caller waits until its event is durable and then appends the next.
#[derive(Clone, Copy, Debug)]
pub struct AppendRate {
    pub callers: usize,
    pub events_per_second: u64,
    pub batches_per_second: u64,
    /// How long a caller waited, in microseconds.
    pub p50_us: u64,
    pub p99_us: u64,
}

type Done = oneshot::Sender<()>;

/// Appends for so many callers at once, for so long. Nobody else may append to the stream.
///
/// # Errors
/// When the store does not take a batch.
pub async fn append_rate(
    store: Arc<dyn EventStore>,
    callers: usize,
    run_for: Duration,
) -> Result<AppendRate, AppendError> {
    let (queue, waiting) = mpsc::channel::<Done>(callers.max(1));
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let queue = queue.clone();
        running.spawn(async move {
            let mut waits = Vec::new();
            while begun.elapsed() < run_for {
                let (done, durable) = oneshot::channel();
                let asked = Instant::now();
                if queue.send(done).await.is_err() || durable.await.is_err() {
                    break;
                }
                waits.push(u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
            waits
        });
    }
    drop(queue);
    let batches = append_all(store, waiting).await?;
    let took = begun.elapsed();
    let mut waits: Vec<u64> = running.join_all().await.concat();
    waits.sort_unstable();
    // Of n sorted waits the one below which p of a hundred lie.
    let percentile = |p: usize| waits.get(waits.len() * p / 100).copied().unwrap_or(0);
    Ok(AppendRate {
        callers,
        events_per_second: per_second(waits.len() as u64, took),
        batches_per_second: per_second(batches, took),
        p50_us: percentile(50),
        p99_us: percentile(99),
    })
}

/// Answers how many batches there were, once no caller is left.
async fn append_all(
    store: Arc<dyn EventStore>,
    mut waiting: mpsc::Receiver<Done>,
) -> Result<u64, AppendError> {
    let mut expected = store.head().await.map_err(|fault| AppendError::OutcomeUnknown(fault.to_string()))?;
    let mut batches = 0;
    let mut callers = Vec::new();
    while waiting.recv_many(&mut callers, BATCH_EVENTS).await > 0 {
        let first = expected.map_or(0, |revision| revision + 1);
        let events: Vec<NewEvent> = (first..).take(callers.len()).map(event).collect();
        expected = Some(store.append(expected, &events).await?);
        batches += 1;
        for done in callers.drain(..) {
            // A caller that has gone wants no answer.
            let _ = done.send(());
        }
    }
    Ok(batches)
}

/// The one writer of a stream of its own may derive ids from the revision.
fn event(revision: u64) -> NewEvent {
    NewEvent {
        id: Uuid::from_u64_pair(u64::MAX, revision),
        kind: "GiftSent".into(),
        data: vec![b'x'; DATA_BYTES],
        metadata: vec![b'y'; METADATA_BYTES],
    }
}

fn per_second(count: u64, took: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1_000 / took.as_millis().max(1)).unwrap_or(u64::MAX)
}
