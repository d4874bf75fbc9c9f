//! The adapter does what the port promises.

use std::cell::Cell;
use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use event_store::conformance::{Handles, Subject, run_all};
use event_store::eventstoredb::EventStoreDbAddress;
use event_store::{EventStore, EventStoreDb};
use uuid::Uuid;

use crate::stub::Node;

/// A stream on a stub, whose connections can be cut, or on a real server.
struct Stream {
    address: EventStoreDbAddress,
    node: Option<Arc<Node>>,
}

#[async_trait]
impl Subject for Stream {
    fn handles(&self) -> Handles {
        Handles::Many
    }

    async fn open(&self) -> Result<Arc<dyn EventStore>, String> {
        let opened = EventStoreDb::open(&self.address).await.map_err(|fault| fault.to_string())?;
        Ok(Arc::new(opened))
    }

    async fn cut_connections(&self) -> Result<(), String> {
        if let Some(node) = &self.node {
            node.cut_connections();
        }
        Ok(())
    }
}

/// Tells every story, each on a stream of its own, and answers their names.
async fn every_story(url: &str, prefix: &str, node: Option<Arc<Node>>) -> Vec<EventStoreDbAddress> {
    let all: EventStoreDbAddress = url.parse().unwrap();
    let number = Cell::new(0);
    let streams = std::cell::RefCell::new(Vec::new());
    let told = run_all(async || {
        number.set(number.get() + 1);
        let address = all.with_stream(&format!("{prefix}-{}", number.get())).unwrap();
        streams.borrow_mut().push(address.clone());
        Arc::new(Stream { address, node: node.clone() }) as Arc<dyn Subject>
    });
    assert!(told.await.unwrap().is_empty(), "no story is left out");
    streams.into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_in_eventstoredb_does_what_the_port_promises() {
    let node = Arc::new(Node::start().await);
    every_story(&node.url(), "story", Some(Arc::clone(&node))).await;
    assert_eq!(node.database.state().subscribed, 0, "subscriptions of the client cannot be stopped");
}

/// On a server that `MUNEEM_TEST_EVENTSTOREDB` names. Its streams have new names, and are deleted in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_eventstoredb_does_what_the_port_promises() {
    let Ok(url) = std::env::var("MUNEEM_TEST_EVENTSTOREDB") else {
        // Written past the test's captured output.
        let told = "NOT RUN: the suite against a real EventStoreDB; set MUNEEM_TEST_EVENTSTOREDB to its connection string";
        writeln!(std::io::stderr(), "{told}").unwrap();
        return;
    };
    #[expect(clippy::disallowed_methods, reason = "a live server has the streams of earlier runs")]
    let run = Uuid::new_v4();
    for address in every_story(&url, &format!("muneem-conformance-{run}"), None).await {
        EventStoreDb::remove(&address).await.unwrap();
    }
}
