//! Nodes that give their commands to one of them, over a line that a test can break.

use crate::rig::Rig;
use crate::world::*;
use event_store::{EventStore, MemoryStore};
use ledger_core::*;
use ledger_runtime::{Door, ExecuteError, Kinship, Ledger, Receipt, Status};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

const KEY: [u8; 32] = [7; 32];
/// What a preferred node that is gone, stands still or cannot write may cost a command.
const BOUND: Duration = Duration::from_secs(2);

/// What a line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Carry,
    /// Nothing arrives, and nobody is told.
    Hold,
    /// What is answered does not arrive.
    SwallowAnswers,
    /// Connections break.
    Cut,
}

/// A line to a node.
struct Line {
    address: String,
    does: watch::Sender<Does>,
    lays: AbortHandle,
}

impl Line {
    async fn to(far: String) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (does, doing) = watch::channel(Does::Carry);
        let lays = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let (far, doing) = (far.clone(), doing.clone());
                connections.spawn(async move {
                    let far = TcpStream::connect(far).await.expect("the node is there");
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    let mut cut = doing.clone();
                    tokio::select! {
                        () = carry(near_in, far_out, doing.clone(), &[Does::Carry, Does::SwallowAnswers]) => {}
                        () = carry(far_in, near_out, doing, &[Does::Carry]) => {}
                        _ = cut.wait_for(|does| *does == Does::Cut) => {}
                    }
                });
            }
        });
        Line { address, does, lays: lays.abort_handle() }
    }

    fn does(&self, does: Does) {
        self.does.send_replace(does);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.lays.abort();
    }
}

/// Carries bytes while the line does one of `when`. Those that come while answers are swallowed are gone.
async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut doing: watch::Receiver<Does>,
    when: &[Does],
) {
    let mut bytes = [0; 4_096];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if *doing.borrow() == Does::SwallowAnswers && !when.contains(&Does::SwallowAnswers) {
            continue;
        }
        if doing.wait_for(|does| when.contains(does)).await.is_err()
            || to.write_all(&bytes[..count]).await.is_err()
        {
            return;
        }
    }
}

/// Three nodes on one journal. The first is preferred; lines lead to it from the others.
struct Nodes {
    nodes: Vec<World>,
    rigs: Vec<Arc<Rig>>,
    lines: Vec<Line>,
    tasks: JoinSet<()>,
}

impl Nodes {
    async fn with_coins(coins_milli: i64) -> Nodes {
        let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
        let rigs: Vec<Arc<Rig>> = (0..3).map(|_| Rig::before(store.clone())).collect();
        let mut nodes = vec![World::with_coins(rigs[0].clone(), coins_milli).await];
        for rig in &rigs[1..] {
            nodes.push(World::open(rig.clone()).await);
        }
        let mut tasks = JoinSet::new();
        let address = open_door(&nodes[0].ledger, KEY, &mut tasks).await;
        let mut lines = vec![];
        for node in &nodes[1..] {
            let line = Line::to(address.clone()).await;
            tasks.spawn(keep_forwarding(node.ledger.clone(), line.address.clone()));
            lines.push(line);
        }
        let nodes = Nodes { nodes, rigs, lines, tasks };
        nodes.forward(true).await;
        nodes
    }

    /// Returns once the others forward, or do not.
    async fn forward(&self, wanted: bool) {
        for node in &self.nodes[1..] {
            soon(async {
                while node.ledger.is_forwarding() != wanted {
                    sleep(Duration::from_millis(1)).await;
                }
            })
            .await;
        }
    }

    fn lines_do(&self, does: Does) {
        self.lines.iter().for_each(|line| line.does(does));
    }

    /// Every node has the state that the journal adds up to, and each command stands there once.
    async fn end_as_one(mut self) {
        self.tasks.shutdown().await;
        for node in &self.nodes {
            node.assert_sound().await;
        }
        let twice: Vec<_> =
            recorded(self.rigs[0].as_ref()).await.into_iter().filter(|it| it.1 != 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}

async fn open_door(ledger: &Ledger, key: [u8; 32], tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let kinship = Kinship::new(key).expect("this program is read");
    let door = Door::new(listener, kinship, ledger.clone());
    let address = door.address().expect("an address").to_string();
    tasks.spawn(async move { door.keep_open().await });
    address
}

async fn keep_forwarding(ledger: Ledger, address: String) {
    let kinship = Kinship::new(KEY).expect("this program is read");
    loop {
        let Err(_) = ledger.forward(&address, &kinship).await;
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_preferred_node_decides_for_all_and_answers_as_each_would() {
    let nodes = Nodes::with_coins(5 * ROSE_MILLI).await;
    let other = &nodes.nodes[1];
    // What this node appended itself would never end.
    nodes.rigs[1].hold();
    let sent = rose();
    let receipt = other.execute(sent.clone()).await.expect("is accepted");
    assert!(receipt.recorded && !receipt.duplicate);
    assert_eq!(other.spendable(USER).await, 4 * ROSE_MILLI, "it is seen here at once");
    assert_eq!(other.execute(sent).await, Ok(Receipt { duplicate: true, recorded: false, ..receipt }));
    let together = soon(other.ledger.submit_together((0..6).map(|_| rose()).collect())).await;
    let mut accepted = vec![];
    for submitted in together.expect("gets in line") {
        accepted.push(soon(submitted.outcome()).await);
    }
    let needed = Rejection::InsufficientFunds { needed_milli: ROSE_MILLI, spendable_milli: 0 };
    assert!(accepted[..4].iter().all(Result::is_ok), "{accepted:?}");
    assert_eq!(accepted[4..], [Err(ExecuteError::Rejected(needed.clone())), Err(needed.into())]);
    assert_eq!((nodes.rigs[1].arrived(), nodes.rigs[2].arrived()), (0, 0));
    nodes.rigs[1].release();
    nodes.end_as_one().await;
}

#[tokio::test]
async fn commands_stay_in_the_order_in_which_they_were_given() {
    let nodes = Nodes::with_coins(200 * ROSE_MILLI).await;
    let mut submitted = vec![];
    for number in 0..200 {
        if number == 100 {
            nodes.lines[0].does(Does::Cut);
        }
        submitted.push(nodes.nodes[1].ledger.submit(rose()).await.expect("gets in line"));
        sleep(Duration::from_micros(50)).await;
    }
    let mut last = 0;
    for submitted in submitted {
        let receipt = soon(submitted.outcome()).await.expect("is accepted");
        assert!(receipt.revision > last, "each is behind the one before");
        last = receipt.revision;
    }
    nodes.end_as_one().await;
}

#[tokio::test]
async fn a_preferred_node_that_is_silent_costs_less_than_two_seconds_and_nothing_else() {
    let nodes = Nodes::with_coins(1_000 * ROSE_MILLI).await;
    for does in [Does::Hold, Does::SwallowAnswers, Does::Cut] {
        nodes.forward(true).await;
        nodes.lines_do(does);
        let begun = Instant::now();
        let sent: Vec<_> = (0..30).map(|number| nodes.nodes[1 + number % 2].send(rose())).collect();
        for sent in sent {
            soon(sent).await.expect("ends").expect("is accepted");
        }
        assert!(begun.elapsed() < BOUND, "{does:?}: {:?}", begun.elapsed());
        nodes.forward(false).await;
        nodes.lines_do(Does::Carry);
    }
    nodes.forward(true).await;
    assert_eq!(nodes.nodes[0].spendable(USER).await, (1_000 - 90) * ROSE_MILLI);
    nodes.end_as_one().await;
}

#[tokio::test]
async fn a_command_whose_answer_was_lost_is_told_the_receipt_of_the_one_time_it_was_recorded() {
    let nodes = Nodes::with_coins(3 * ROSE_MILLI).await;
    let mut units = nodes.nodes[0].ledger.follow();
    nodes.lines[0].does(Does::SwallowAnswers);
    let sent = nodes.nodes[1].send(rose());
    let unit = soon(units.next()).await.expect("is read").expect("is recorded");
    let receipt = soon(sent).await.expect("ends").expect("is accepted");
    assert_eq!((receipt.revision, receipt.duplicate), (unit.last_revision(), true));
    nodes.end_as_one().await;
}

#[tokio::test]
async fn a_preferred_node_that_cannot_write_gives_the_commands_back() {
    let nodes = Nodes::with_coins(10 * ROSE_MILLI).await;
    nodes.rigs[0].reachable(false);
    let begun = Instant::now();
    let sent: Vec<_> = (0..4).map(|_| nodes.nodes[2].send(rose())).collect();
    for sent in sent {
        soon(sent).await.expect("ends").expect("is accepted");
    }
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    nodes.rigs[0].reachable(true);
    nodes.nodes[0].until_status(|status| *status == Status::Running).await;
    nodes.forward(true).await;
    nodes.end_as_one().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_answered_while_the_preferred_node_writes_all_the_time() {
    let nodes = Nodes::with_coins(1_000_000 * ROSE_MILLI).await;
    let mut writing = JoinSet::new();
    for _ in 0..16 {
        let ledger = nodes.nodes[0].ledger.clone();
        writing.spawn(async move { while ledger.execute(rose()).await.is_ok() {} });
    }
    let mut before = nodes.nodes[1].spendable(USER).await;
    for _ in 0..200 {
        let receipt = nodes.nodes[1].execute(rose()).await.expect("is accepted");
        let seen = nodes.nodes[1].query(|state, at| (state.next_revision(), state.spendable(USER, at))).await;
        let (next, after) = seen.expect("is answered");
        assert!(next > receipt.revision && after < before, "a question sees what came before it");
        before = after;
    }
    writing.shutdown().await;
    nodes.end_as_one().await;
}

#[tokio::test]
async fn strangers_are_not_heard_and_a_node_of_another_journal_is_not_either() {
    let nodes = Nodes::with_coins(ROSE_MILLI).await;
    let mut tasks = JoinSet::new();
    let address = open_door(&nodes.nodes[0].ledger, KEY, &mut tasks).await;
    let before = nodes.nodes[0].hash().await;

    let stranger = Kinship::new([8; 32]).expect("this program is read");
    let refused = soon(nodes.nodes[1].ledger.forward(&address, &stranger)).await;
    assert!(refused.is_err(), "another key");

    let elsewhere = {
        let (_hand, clock) = ledger_runtime::Clock::manual(START);
        let journal = JournalId(uuid::Uuid::from_u128(99));
        Ledger::open(memory(), clock, journal, |_, _| {}).await.expect("opens").0
    };
    let kinship = Kinship::new(KEY).expect("this program is read");
    let refused = soon(elsewhere.forward(&address, &kinship)).await.map(|never| match never {});
    assert_eq!(refused.unwrap_err().to_string(), "it has another journal");

    let nonsense: [&[u8]; 4] =
        [b"GET / HTTP/1.1\r\n\r\n", &[0; 200], &[&b"muneem 1"[..], &[1; 400]].concat(), b"muneem 1"];
    for bytes in nonsense {
        let mut stream = TcpStream::connect(&address).await.expect("connects");
        stream.write_all(bytes).await.expect("is written");
        let mut answer = vec![];
        // It is closed, at once or after the time that a node may take.
        drop(timeout(BOUND, stream.read_to_end(&mut answer)).await.expect("it is closed"));
        assert!(answer.len() <= 32, "nothing is told but what each connection begins with");
    }
    // Connections that say nothing take all places for a second at the most.
    let mut silent = vec![];
    for _ in 0..200 {
        silent.push(TcpStream::connect(&address).await.expect("connects"));
    }
    nodes.lines_do(Does::Cut);
    nodes.forward(false).await;
    let again = soon(async {
        loop {
            let forwarding = nodes.nodes[1].ledger.forward(&address, &kinship);
            let begun = async {
                while !nodes.nodes[1].ledger.is_forwarding() {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::select! { _ = forwarding => {} () = begun => return }
        }
    });
    again.await;
    assert_eq!(nodes.nodes[0].hash().await, before);
    nodes.end_as_one().await;
}

/// Commands from clients who try again until they have an answer, at nodes whose lines do what chance will.
#[test]
fn whatever_the_lines_do_each_command_is_recorded_once() {
    let seeds: Vec<_> = (0..8).map(|seed| (seed, std::thread::spawn(move || run(seed)))).collect();
    let failed: Vec<u64> =
        seeds.into_iter().filter_map(|(seed, run)| run.join().is_err().then_some(seed)).collect();
    assert!(failed.is_empty(), "failed with the seeds {failed:?}");
}

fn run(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut chance = StdRng::seed_from_u64(seed);
        let nodes = Nodes::with_coins(100_000 * ROSE_MILLI).await;
        let mut clients = JoinSet::new();
        for _ in 0..8 {
            let ledgers: Vec<Ledger> = nodes.nodes.iter().map(|node| node.ledger.clone()).collect();
            let mut chance = StdRng::seed_from_u64(chance.random());
            clients.spawn(async move {
                for _ in 0..60 {
                    let sent = rose();
                    while ledgers[chance.random_range(0..3)].execute(sent.clone()).await.is_err() {}
                    sleep(Duration::from_millis(chance.random_range(0..40))).await;
                }
            });
        }
        let lines_change = async {
            loop {
                let line = &nodes.lines[chance.random_range(0..2)];
                let faults = [Does::Hold, Does::SwallowAnswers, Does::Cut, Does::Carry];
                line.does(faults[chance.random_range(0..4)]);
                sleep(Duration::from_millis(chance.random_range(0..300))).await;
                line.does(Does::Carry);
                sleep(Duration::from_millis(chance.random_range(0..200))).await;
            }
        };
        let all_sent = async { while clients.join_next().await.is_some() {} };
        tokio::select! { () = all_sent => {} () = lines_change => {} }
        nodes.lines_do(Does::Carry);
        assert_eq!(nodes.nodes[2].spendable(USER).await, (100_000 - 8 * 60) * ROSE_MILLI);
        nodes.end_as_one().await;
    });
}
