//! Every adapter does what the port promises.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use event_store::conformance::{Handles, Subject, run_all};
use event_store::embedded::Options;
use event_store::{EmbeddedStore, EventStore, StoreAddress};
use sqlx::{ConnectOptions, PgPool};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_in_memory_does_what_the_port_promises() {
    let not_told = run_all(async || StoreAddress::Memory.subject()).await.unwrap();
    // Its events are gone with it, so those two have no meaning there.
    assert_eq!(
        not_told,
        [
            "what_was_acknowledged_is_there_when_the_stream_is_opened_again",
            "a_follower_sees_everything_once_and_in_order_over_lost_connections_and_restarts",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_does_what_the_port_promises() {
    let folder = tempfile::tempdir().unwrap();
    let all = StoreAddress::Embedded(folder.path().join("journal"));
    every_story(async |name| all.with_stream(name).subject()).await;
}

/// Segments so short that nearly every append begins a new one.
struct ManySegments(PathBuf);

#[async_trait]
impl Subject for ManySegments {
    fn handles(&self) -> Handles {
        Handles::One
    }

    async fn open(&self) -> Result<Arc<dyn EventStore>, String> {
        let options = Options { segment_bytes: 512 };
        let store =
            EmbeddedStore::open_with(&self.0, options, |_, _| {}).map_err(|fault| fault.to_string())?;
        Ok(Arc::new(store))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_does_so_over_many_segments() {
    let folder = tempfile::tempdir().unwrap();
    every_story(async |name| Arc::new(ManySegments(folder.path().join(name))) as Arc<dyn Subject>).await;
}

#[sqlx::test(migrations = false)]
async fn the_store_in_postgres_does_what_the_port_promises(pool: PgPool) {
    let url = pool.connect_options().to_url_lossy().to_string();
    let all: StoreAddress = url.parse().unwrap();
    every_story(async |name| all.with_stream(name).subject()).await;
}

/// Tells all stories, each on the stream of another name.
async fn every_story(stream: impl AsyncFn(&str) -> Arc<dyn Subject>) {
    let number = Cell::new(0);
    let told = run_all(async || {
        number.set(number.get() + 1);
        stream(&format!("story-{}", number.get())).await
    });
    assert!(told.await.unwrap().is_empty(), "no story is left out");
}
