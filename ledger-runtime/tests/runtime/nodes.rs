//! Several ledgers on one journal.

use crate::rig::Rig;
use crate::world::*;
use async_trait::async_trait;
use event_store::{AppendError, Batch, EventStore, MemoryStore, ReadError, RecordedEvent};
use ledger_core::*;
use ledger_runtime::{ExecuteError, Receipt, Status};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

#[tokio::test]
async fn a_retry_at_a_node_that_lags_is_a_duplicate_not_a_lack_of_coins() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let one = World::with_coins(store.clone(), ROSE_MILLI).await;
    let two = World::open(store.clone()).await;
    let sent = rose();
    let receipt = one.execute(sent.clone()).await.expect("is accepted");
    let again = two.execute(sent).await;
    assert_eq!(again, Ok(Receipt { duplicate: true, recorded: false, ..receipt }));
}

#[tokio::test]
async fn a_node_that_lags_answers_queries_and_rejections_on_the_end_of_the_journal() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let one = World::with_coins(store.clone(), 0).await;
    let two = World::open(store.clone()).await;
    one.given(coins(USER, 2 * ROSE_MILLI)).await;
    assert_eq!(two.spendable(USER).await, 2 * ROSE_MILLI);
    two.execute(rose()).await.expect("has the coins that came at the other node");
    one.execute(rose()).await.expect("has one left");
    let refused = two.execute(rose()).await;
    assert!(
        matches!(refused, Err(ExecuteError::Rejected(Rejection::InsufficientFunds { .. }))),
        "{refused:?}"
    );
    assert_eq!(one.hash().await, two.hash().await);
}

#[tokio::test]
async fn a_node_at_which_nothing_happens_sees_what_others_write() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let one = World::with_coins(store.clone(), 2 * ROSE_MILLI).await;
    let idle = World::open(store.clone()).await;
    let mut follower = idle.ledger.follow();
    let receipt = one.execute(rose()).await.expect("is accepted");
    let unit = soon(follower.next()).await.expect("is read").expect("comes");
    assert_eq!(unit.last_revision(), receipt.revision);
    assert_eq!(idle.ledger.durable_revision(), receipt.revision);
}

/// A store behind a network: an append takes its time, so that a node that writes without a pause always has one under way.
struct Distant {
    store: MemoryStore,
    append_ms: AtomicU64,
}

#[async_trait]
impl EventStore for Distant {
    fn is_shared(&self) -> bool {
        true
    }

    async fn append_batch(&self, expected: Option<u64>, batch: &Arc<Batch>) -> Result<u64, AppendError> {
        tokio::time::sleep(Duration::from_millis(self.append_ms.load(Ordering::Relaxed))).await;
        self.store.append_batch(expected, batch).await
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        self.store.read(from, max).await
    }

    async fn head(&self) -> Result<Option<u64>, ReadError> {
        self.store.head().await
    }

    async fn wait_beyond(&self, seen: Option<u64>) -> Result<u64, ReadError> {
        self.store.wait_beyond(seen).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_wrote_slowly_get_their_turns_while_another_writes_all_the_time() {
    let distant = Arc::new(Distant { store: MemoryStore::new(), append_ms: AtomicU64::new(10) });
    let store: Arc<dyn EventStore> = distant.clone();
    let busy = World::with_coins(store.clone(), 5_000_000 * ROSE_MILLI).await;
    // They take appends to be slow, and listen for as long as those take before they write.
    let mut slow = Vec::new();
    for _ in 0..8 {
        let node = World::open(store.clone()).await;
        node.execute(rose()).await.expect("is accepted");
        slow.push(node);
    }
    distant.append_ms.store(2, Ordering::Relaxed);
    let stop = Arc::new(AtomicBool::new(false));
    let mut writing = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (ledger, stop) = (busy.ledger.clone(), stop.clone());
        writing.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                ledger.execute(rose()).await.expect("is accepted");
            }
        });
    }
    let mut seen = slow[0].ledger.follow();
    for _ in 0..300 {
        soon(seen.next()).await.expect("is read").expect("comes");
    }
    for node in &slow {
        soon(node.send(rose())).await.expect("ends").expect("is accepted");
        assert!(node.spendable(USER).await > 0);
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = writing.join_next().await {
        ended.expect("ends");
    }
    busy.assert_sound().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_says_so_and_comes_back() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let other = World::with_coins(store.clone(), 3 * ROSE_MILLI).await;
    let rig = Rig::before(store.clone());
    let world = World::open(rig.clone()).await;
    rig.reachable(false);
    let first = world.send(rose());
    world.until_status(|status| matches!(status, Status::Stalled(_))).await;
    // Those who come later are not kept waiting for something that may take long.
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(world.execute(rose()).await, Err(ExecuteError::StoreAway));
    other.execute(rose()).await.expect("the other node goes on");
    rig.reachable(true);
    soon(first).await.expect("ends").expect("is decided on what the other node wrote");
    world.execute(rose()).await.expect("is accepted again");
    world.assert_sound().await;
}

#[tokio::test]
async fn a_lost_race_is_undone_and_decided_again() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let other = World::with_coins(store.clone(), 3 * ROSE_MILLI).await;
    let rig = Rig::before(store.clone());
    let world = World::open(rig.clone()).await;
    rig.hold();
    // Two gifts under way here, one of them decided on the other; then two at the other node.
    let first = world.send(rose());
    soon(rig.until_arrived(1)).await;
    let second = world.send(rose());
    let query = world.asked().await;
    other.execute(rose()).await.expect("is accepted");
    other.execute(rose()).await.expect("is accepted");
    rig.release();
    soon(first).await.expect("ends").expect("has the last coin");
    let refused = soon(second).await.expect("ends");
    assert!(
        matches!(refused, Err(ExecuteError::Rejected(Rejection::InsufficientFunds { .. }))),
        "{refused:?}"
    );
    let head = store.head().await.expect("is read").expect("is not empty");
    assert_eq!(soon(query).await.expect("ends"), Ok(head + 1));
    world.assert_sound().await;
}

#[tokio::test]
async fn a_race_that_is_lost_under_full_load_refuses_nothing() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let other = World::with_coins(store.clone(), 2_000 * ROSE_MILLI).await;
    let rig = Rig::before(store.clone());
    let world = World::open(rig.clone()).await;
    rig.hold();
    // More than two full batches: what is decided again must be cut into batches again.
    let tasks: Vec<_> = (0..1_500).map(|_| world.send(rose())).collect();
    soon(rig.until_arrived(1)).await;
    everyone_has_run().await;
    other.given(coins(OTHER, 1)).await;
    rig.release();
    for task in tasks {
        soon(task).await.expect("ends").expect("is accepted");
    }
    assert_eq!(world.spendable(USER).await, 500 * ROSE_MILLI);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_race_keep_the_books_and_accept_no_key_twice() {
    for (name, store, _folder) in stores() {
        let nodes =
            [World::with_coins(store.clone(), 100 * ROSE_MILLI).await, World::open(store.clone()).await];
        let mut tasks = Vec::new();
        for number in 0..150 {
            let sent = rose();
            // Each command goes to both nodes, to one of them first.
            for node in [number % 2, (number + 1) % 2] {
                tasks.push((sent.command_id(START), nodes[node].send(sent.clone())));
            }
        }
        let mut receipts: BTreeMap<CommandId, Vec<Receipt>> = BTreeMap::new();
        for (command, task) in tasks {
            match soon(task).await.expect("ends") {
                Ok(receipt) => receipts.entry(command).or_default().push(receipt),
                Err(ExecuteError::Rejected(Rejection::InsufficientFunds { .. })) => {}
                Err(other) => panic!("{name}: {other}"),
            }
        }
        assert_eq!(receipts.len(), 100, "{name}: as many as the balance pays");
        let recorded = recorded(store.as_ref()).await;
        for (command, receipts) in receipts {
            assert_eq!(recorded[&command], 1, "{name}");
            assert_eq!(receipts.iter().filter(|receipt| !receipt.duplicate).count(), 1, "{name}");
            assert!(receipts.iter().all(|receipt| receipt.revision == receipts[0].revision), "{name}");
        }
        assert_eq!(nodes[0].hash().await, nodes[1].hash().await, "{name}");
        nodes[1].assert_sound().await;
    }
}
