//! Every adapter does what the port promises.

use std::sync::Arc;

use event_store::conformance::run_all;
use event_store::embedded::Options;
use event_store::{EmbeddedStore, EventStore, MemoryStore};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_in_memory_does_what_the_port_promises() {
    run_all(async || Arc::new(MemoryStore::new()) as Arc<dyn EventStore>).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_does_what_the_port_promises() {
    embedded_with(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_does_so_over_many_segments() {
    embedded_with(Options { segment_bytes: 500 }).await;
}

async fn embedded_with(options: Options) {
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    run_all(async || {
        number.set(number.get() + 1);
        let folder = folder.path().join(number.get().to_string());
        let store = EmbeddedStore::open_with(folder, options, |_, _| {}).unwrap();
        Arc::new(store) as Arc<dyn EventStore>
    })
    .await
    .unwrap();
}
