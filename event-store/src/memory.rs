//! A store in memory, for tests and trials. Its events are gone when its last clone is dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{AppendError, Batch, EventStore, ReadError, RecordedEvent};

/// A stream of events in memory; clones share it.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    stream: Arc<Stream>,
}

#[derive(Debug)]
struct Stream {
    events: Mutex<Vec<RecordedEvent>>,
    head: watch::Sender<Option<u64>>,
}

impl MemoryStore {
    #[must_use]
    pub fn new() -> Self {
        let (head, _) = watch::channel(None);
        Self { stream: Arc::new(Stream { events: Mutex::default(), head }) }
    }

    /// Where another thread has panicked the lock is taken all the same: a batch is added by one
    /// `extend`, so the events are never half changed.
    fn events(&self) -> MutexGuard<'_, Vec<RecordedEvent>> {
        self.stream.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    fn is_shared(&self) -> bool {
        true
    }

    async fn append_batch(&self, expected: Option<u64>, batch: &Arc<Batch>) -> Result<u64, AppendError> {
        batch.check()?;
        let mut recorded = self.events();
        let current = recorded.last().map(|event| event.revision);
        let wrong = AppendError::WrongExpectedRevision { expected, current };
        let first = crate::first_revision(expected, current)?;
        let last = first.saturating_add(batch.len() as u64 - 1);

        if expected != current {
            let there = window(&recorded, first, batch.len());
            let same = there.iter().map(|event| event.id).eq(batch.events().map(|event| event.id));
            return if same { Ok(last) } else { Err(wrong) };
        }
        recorded.extend((first..).zip(batch.events()).map(|(revision, event)| RecordedEvent {
            revision,
            id: event.id,
            kind: event.kind.to_owned(),
            data: event.data.to_owned(),
            metadata: event.metadata.to_owned(),
        }));
        // Sent under the lock, so that the head never goes back.
        self.stream.head.send_replace(Some(last));
        Ok(last)
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        Ok(window(&self.events(), from, max).to_vec())
    }

    async fn head(&self) -> Result<Option<u64>, ReadError> {
        Ok(*self.stream.head.borrow())
    }

    async fn wait_beyond(&self, seen: Option<u64>) -> Result<u64, ReadError> {
        crate::follow::wait_for_head(self.stream.head.subscribe(), seen).await
    }
}

fn window(events: &[RecordedEvent], from: u64, max: usize) -> &[RecordedEvent] {
    let from = usize::try_from(from).unwrap_or(usize::MAX).min(events.len());
    let to = from.saturating_add(max).min(events.len());
    &events[from..to]
}
