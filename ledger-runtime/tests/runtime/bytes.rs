//! What is stored.

use crate::world::*;
use async_trait::async_trait;
use event_store::{AppendError, Batch, EventStore, MemoryStore, NewEvent, ReadError, RecordedEvent};
use std::sync::Arc;

#[tokio::test]
async fn a_gift_takes_few_bytes() {
    let store = Arc::new(MemoryStore::new());
    let world = World::with_coins(store.clone(), 5 * ROSE_MILLI).await;
    let before = world.ledger.durable_revision();
    let receipt = world.execute(rose()).await.expect("is accepted");
    let events = store.read(before + 1, usize::MAX).await.expect("is read");
    assert_eq!((receipt.revision, events.len()), (before + 2, 2), "a gift and its split");
    let stored = events
        .into_iter()
        .map(|it| NewEvent { id: it.id, kind: it.kind, data: it.data, metadata: it.metadata }.stored_bytes());
    let bytes: usize = stored.sum();
    assert!(bytes < 420, "{bytes} bytes");
    println!("a gift takes {bytes} bytes");
}

/// A store whose users read events there, as EventStoreDB's do.
struct LookedInto(MemoryStore);

#[async_trait]
impl EventStore for LookedInto {
    fn is_shared(&self) -> bool {
        self.0.is_shared()
    }

    fn is_looked_into(&self) -> bool {
        true
    }

    async fn append_batch(&self, expected: Option<u64>, batch: &Arc<Batch>) -> Result<u64, AppendError> {
        self.0.append_batch(expected, batch).await
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        self.0.read(from, max).await
    }

    async fn head(&self) -> Result<Option<u64>, ReadError> {
        self.0.head().await
    }

    async fn wait_beyond(&self, seen: Option<u64>) -> Result<u64, ReadError> {
        self.0.wait_beyond(seen).await
    }
}

#[tokio::test]
async fn a_store_that_people_look_into_holds_json_and_the_ledger_goes_on_from_either_form() {
    let memory = MemoryStore::new();
    let bytes = World::with_coins(Arc::new(memory.clone()), 5 * ROSE_MILLI).await;
    bytes.execute(rose()).await.expect("is accepted");
    let (hash, first) = (bytes.hash().await, bytes.ledger.durable_revision() + 1);
    bytes.close().await;

    let json = World::open(Arc::new(LookedInto(memory.clone()))).await;
    assert_eq!(json.hash().await, hash);
    json.execute(rose()).await.expect("is accepted");
    let hash = json.hash().await;
    for event in memory.read(first, usize::MAX).await.expect("is read") {
        assert!(event.data.starts_with(b"{") && event.metadata.starts_with(b"{"), "{event:?}");
    }
    json.close().await;

    let bytes = World::open(Arc::new(memory)).await;
    assert_eq!(bytes.hash().await, hash);
    bytes.assert_sound().await;
}
