//! What is stored.

use crate::world::*;
use event_store::{EventStore, MemoryStore, NewEvent};
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
