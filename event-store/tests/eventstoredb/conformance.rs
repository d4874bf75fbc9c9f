//! The adapter does what the port promises.

use std::io::Write;
use std::sync::Arc;

use async_trait::async_trait;
use event_store::conformance::{Handles, Outcome, STORIES, Story, Subject};
use event_store::eventstoredb::EventStoreDbAddress;
use event_store::{EventStore, EventStoreDb};
use tokio::task::JoinSet;
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

/// A new stream on a node of its own, so that nobody else's connections are cut.
async fn on_a_stub(story: &Story) -> Result<Outcome, String> {
    let node = Arc::new(Node::start().await);
    let address = node.url().parse().unwrap();
    let told = story.run(Arc::new(Stream { address, node: Some(Arc::clone(&node)) })).await;
    match node.database.state().subscribed {
        0 => told,
        _ => Err("it subscribed, and the client's subscriptions cannot be stopped".into()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_in_eventstoredb_does_what_the_port_promises() {
    // At once: most of a story is waiting, as the client sends a request in two packets.
    let mut stories: JoinSet<_> = STORIES.iter().map(on_a_stub).collect();
    while let Some(told) = stories.join_next().await {
        assert_eq!(told.unwrap(), Ok(Outcome::Passed));
    }
}

/// On the server that `MUNEEM_TEST_EVENTSTOREDB` names. The streams have new names, and are deleted in the end.
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
    let all: EventStoreDbAddress = url.parse().unwrap();
    for story in STORIES {
        let address = all.with_stream(&format!("muneem-conformance-{run}-{}", story.name));
        let told = story.run(Arc::new(Stream { address: address.clone(), node: None })).await;
        EventStoreDb::remove(&address).await.unwrap();
        assert_eq!(told, Ok(Outcome::Passed));
        writeln!(std::io::stderr(), "{}: passed on {address}", story.name).unwrap();
    }
}
