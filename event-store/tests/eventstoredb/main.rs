//! The adapter of EventStoreDB against nodes that misbehave, and against a real one where there is one.

mod conformance;
mod stub;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use event_store::eventstoredb::{EventStoreDbAddress, Options};
use event_store::{AppendError, BATCH_LIMIT_BYTES, EventStore, EventStoreDb, NewEvent, ReadError};
use tokio::time::timeout;
use uuid::Uuid;

use self::stub::Node;
use self::stub::database::{Subscriptions, Trouble};

/// Short enough that a test can wait for them, long enough for a busy machine.
const QUICK: Options = Options {
    connect: Duration::from_secs(5),
    answer: Duration::from_millis(500),
    page: Duration::from_secs(5),
    append: Duration::from_secs(5),
    check_every: Duration::from_millis(100),
};

const WITHIN: Duration = Duration::from_secs(30);

async fn open(url: &str, options: Options) -> Arc<EventStoreDb> {
    let address: EventStoreDbAddress = url.parse().unwrap();
    Arc::new(EventStoreDb::open_with(&address, options).await.unwrap())
}

fn batch(number: u64, events: usize) -> Vec<NewEvent> {
    (0..events)
        .map(|index| NewEvent {
            id: Uuid::from_u64_pair(number, index as u64 + 1),
            kind: "GiftSent".into(),
            data: format!("batch {number}").into_bytes(),
            metadata: vec![0, 255],
        })
        .collect()
}

/// What another writer of the database has appended.
async fn write_as_another(node: &Node, number: u64, events: usize) {
    let other = open(&node.url(), QUICK).await;
    let head = other.head().await.unwrap();
    other.append(head, &batch(number, events)).await.unwrap();
}

/// The data of each event in the node's stream.
fn journal(node: &Node) -> Vec<String> {
    let state = node.database.state();
    let events = state.streams.get("muneem").into_iter().flatten();
    events.map(|event| String::from_utf8(event.data.clone()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_written_once_whatever_happens_to_it() {
    use Trouble::{
        AnswersNonsense, ConnectionIsCut, ConnectionIsCutAfterWriting, IsNotHeard, No, ReplyIsLost,
        SessionEnds, SessionEndsAfterWriting, Told, ToldAfterWriting,
    };
    for troubles in [
        vec![No],
        vec![IsNotHeard],
        vec![ReplyIsLost],
        vec![ConnectionIsCut],
        vec![ConnectionIsCutAfterWriting],
        vec![SessionEnds],
        vec![SessionEndsAfterWriting],
        vec![AnswersNonsense],
        vec![Told(0, "Server Is Busy")],
        vec![Told(0, "Server Is Not Ready"), Told(0, "Server Is Not Ready")],
        vec![Told(4, "Timeout")],
        vec![ToldAfterWriting(4, "Timeout")],
        vec![ToldAfterWriting(2, "Unknown"), ReplyIsLost, ConnectionIsCut, SessionEndsAfterWriting],
        // Somebody else was about to write there, and did not.
        vec![Told(6, "WrongExpectedVersion")],
    ] {
        let node = Node::start().await;
        let store = open(&node.url(), QUICK).await;
        assert_eq!(store.append(None, &batch(1, 2)).await.unwrap(), 1);
        node.database.state().troubles = troubles.clone().into();
        let told = store.append(Some(1), &batch(2, 3)).await;
        assert!(matches!(told, Ok(4)), "{troubles:?}: {told:?}");
        assert_eq!(store.append(Some(4), &batch(3, 1)).await.unwrap(), 5, "{troubles:?}");
        let wanted = ["batch 1", "batch 1", "batch 2", "batch 2", "batch 2", "batch 3"];
        assert_eq!(journal(&node), wanted, "{troubles:?}");
        assert!(node.database.state().troubles.is_empty(), "{troubles:?}: each was met");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_stays_unknown_is_told_in_time_and_learned_later() {
    let node = Node::start().await;
    let store = open(&node.url(), Options { append: Duration::from_millis(700), ..QUICK }).await;
    node.database.state().troubles = vec![Trouble::ReplyIsLost; 100].into();
    let told = timeout(WITHIN, store.append(None, &batch(1, 2))).await.unwrap();
    let Err(AppendError::OutcomeUnknown(text)) = told else { panic!("{told:?}") };
    assert!(text.contains("127.0.0.1") && text.contains("no answer within"), "{text}");
    node.database.state().troubles.clear();
    // Another batch is told that it lost; the identical one that it is durable.
    let told = store.append(None, &batch(2, 1)).await;
    assert!(matches!(told, Err(AppendError::WrongExpectedRevision { current: Some(1), .. })), "{told:?}");
    assert_eq!(store.append(None, &batch(1, 2)).await.unwrap(), 1);
    assert_eq!(journal(&node), ["batch 1", "batch 1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_was_overtaken_while_it_was_cut_off_learns_it() {
    let node = Node::start().await;
    let store = open(&node.url(), QUICK).await;
    assert_eq!(store.append(None, &batch(1, 1)).await.unwrap(), 0);
    node.database.state().troubles = vec![Trouble::IsOvertaken].into();
    let told = store.append(Some(0), &batch(2, 3)).await;
    assert!(
        matches!(told, Err(AppendError::WrongExpectedRevision { expected: Some(0), current: Some(1) })),
        "{told:?}"
    );
    assert_eq!(journal(&node).len(), 2);
}

/// It says so once; then a true leader is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_deposed_makes_nobody_believe_that_events_are_lost() {
    let node = Node::start().await;
    let store = open(&node.url(), QUICK).await;
    assert_eq!(store.append(None, &batch(1, 3)).await.unwrap(), 2);
    {
        let mut state = node.database.state();
        state.troubles = vec![Trouble::Told(6, "WrongExpectedVersion")].into();
        state.stale_reads = 1;
    }
    assert_eq!(store.append(Some(2), &batch(2, 1)).await.unwrap(), 3);
    node.database.state().stale_reads = 1;
    assert_eq!(store.head().await.unwrap(), Some(3));
    assert_eq!(node.database.state().stale_reads, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_events_is_found_out() {
    let node = Node::start().await;
    let store = open(&node.url(), QUICK).await;
    assert_eq!(store.append(None, &batch(1, 5)).await.unwrap(), 4);
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.wait_beyond(Some(4)).await }
    });
    // As a restored older copy has it.
    node.database.state().streams.get_mut("muneem").unwrap().truncate(3);
    let told = store.append(Some(4), &batch(2, 1)).await;
    assert!(matches!(told, Err(AppendError::TailBehind { expected: 4, tail: Some(2) })), "{told:?}");
    let told = store.head().await.unwrap_err();
    assert!(matches!(&told, ReadError::TailBehind(text) if text.contains("ends at revision 2")), "{told:?}");
    let told = timeout(WITHIN, waiting).await.unwrap().unwrap();
    assert!(matches!(told, Err(ReadError::TailBehind(_))), "{told:?}");
    assert_eq!(journal(&node).len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_deleted_or_truncated_is_not_taken_for_a_whole_one() {
    let node = Node::start().await;
    let store = open(&node.url(), QUICK).await;
    assert_eq!(store.append(None, &batch(1, 5)).await.unwrap(), 4);
    node.database.state().truncated.insert("muneem".into(), 2);
    let told = store.read(0, 10).await;
    assert!(matches!(&told, Err(ReadError::Damaged(text)) if text.contains("from revision 0")), "{told:?}");
    assert_eq!(store.read(2, 10).await.unwrap().len(), 3);
    node.database.state().tombs.push("muneem".into());
    let told = store.append(Some(4), &batch(2, 1)).await;
    assert!(matches!(told, Err(AppendError::TailBehind { expected: 4, tail: None })), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_come_after_the_store_was_opened() {
    let mut node = Node::start().await;
    node.stop().await;
    let url = node.url().replace("kurrentdb://", "esdb://admin:abad1dea@");
    let store = open(&url, Options { append: Duration::from_millis(200), ..QUICK }).await;
    let unavailable = store.head().await.unwrap_err().to_string();
    let waited = timeout(WITHIN, store.wait_beyond(None)).await.unwrap();
    assert!(matches!(waited, Err(ReadError::Unavailable(_))), "{waited:?}");
    let unknown = store.append(None, &batch(1, 1)).await.unwrap_err();
    assert!(matches!(unknown, AppendError::OutcomeUnknown(_)), "{unknown:?}");
    for text in [unavailable, unknown.to_string()] {
        let place = format!("kurrentdb://127.0.0.1:{}?", node.port);
        assert!(text.contains(&place) && !text.contains("abad1dea"), "{text}");
    }
    node.go_on().await;
    assert_eq!(store.append(None, &batch(1, 1)).await.unwrap(), 0);
    assert_eq!(store.head().await.unwrap(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_goes_on_when_its_server_was_restarted() {
    let mut node = Node::start().await;
    let store = open(&node.url(), QUICK).await;
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.wait_beyond(Some(2)).await }
    });
    for round in 0..3_u64 {
        let expected = round.checked_sub(1);
        assert_eq!(store.append(expected, &batch(round, 1)).await.unwrap(), round);
        node.stop().await;
        node.go_on().await;
        assert_eq!(store.read(0, 10).await.unwrap().len() as u64, round + 1);
    }
    // Away while somebody waits, and another writes before this store has noticed anything.
    node.stop().await;
    node.go_on().await;
    write_as_another(&node, 9, 1).await;
    assert_eq!(timeout(WITHIN, waiting).await.unwrap().unwrap().unwrap(), 3);
}

/// Whoever waits is told of what another node writes, whatever the server does to subscriptions and reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_hears_of_every_event_from_a_server_that_falls_silent() {
    for subscriptions in [Subscriptions::Mute, Subscriptions::EndWithOk] {
        let node = Node::start().await;
        node.database.state().subscriptions = Some(subscriptions);
        let store = open(&node.url(), QUICK).await;
        for round in 0..3_u64 {
            let seen = round.checked_sub(1);
            let waiting = tokio::spawn({
                let store = Arc::clone(&store);
                async move { store.wait_beyond(seen).await }
            });
            node.database.state().silent_reads = usize::from(round == 1);
            write_as_another(&node, round, 1).await;
            let head = timeout(WITHIN, waiting).await.unwrap().unwrap().unwrap();
            assert_eq!(head, round, "{subscriptions:?}");
            assert_eq!(store.read(round, 10).await.unwrap().len(), 1, "{subscriptions:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_appended_here_wakes_those_who_wait_at_once_and_only_one_of_them_asks() {
    let node = Node::start().await;
    let store = open(&node.url(), QUICK).await;
    assert_eq!(store.append(None, &batch(1, 1)).await.unwrap(), 0);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let store = Arc::clone(&store);
        waiting.spawn(async move { store.wait_beyond(Some(0)).await.unwrap() });
    }
    // Seen from outside: the one that asks has asked a few times.
    timeout(WITHIN, async {
        while node.database.state().reads < 5 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let reads = {
        let mut state = node.database.state();
        state.silent_reads = usize::MAX;
        state.reads
    };
    assert!(reads < 50, "{reads} reads for 200 who wait");
    assert_eq!(store.append(Some(0), &batch(2, 1)).await.unwrap(), 1);
    let woken = timeout(QUICK.answer / 2, waiting.join_all()).await.expect("nobody has to ask the server");
    assert_eq!(woken, vec![1; 200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_leader_of_a_cluster_is_gone_the_next_one_is_found() {
    let mut first = Node::start().await;
    let second = Node::join(Arc::clone(&first.database)).await;
    let url =
        format!("esdb://127.0.0.1:{},127.0.0.1:{}?tls=false&gossipTimeout=500", first.port, second.port);
    let store = open(&url, QUICK).await;
    assert_eq!(store.append(None, &batch(1, 2)).await.unwrap(), 1);
    // Deposed first, which it says; then dead.
    first.database.state().leader = second.port;
    assert_eq!(store.append(Some(1), &batch(2, 1)).await.unwrap(), 2);
    first.database.state().leader = first.port;
    assert_eq!(store.append(Some(2), &batch(3, 1)).await.unwrap(), 3);
    first.stop().await;
    first.database.state().leader = second.port;
    assert_eq!(store.append(Some(3), &batch(4, 1)).await.unwrap(), 4);
    assert_eq!(store.head().await.unwrap(), Some(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_and_password_are_sent_as_they_are_meant() {
    let node = Node::start().await;
    // admin:p@ss/w
    node.database.state().authorization = Some("Basic YWRtaW46cEBzcy93".into());
    for (user, admitted) in [("admin:p%40ss%2Fw@", true), ("admin:abad1dea@", false), ("", false)] {
        let url = node.url().replace("kurrentdb://", &format!("kurrentdb://{user}"));
        let store = open(&url, Options { append: Duration::from_millis(100), ..QUICK }).await;
        let told = store.append(None, &batch(1, 1)).await;
        if admitted {
            assert_eq!(told.unwrap(), 0);
            assert_eq!(store.head().await.unwrap(), Some(0));
        } else {
            let read = store.read(0, 1).await.unwrap_err().to_string();
            for text in [told.unwrap_err().to_string(), read] {
                assert!(text.contains("access is denied") && !text.contains("abad1dea"), "{text}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_batch_fits_and_what_the_server_counts_as_larger_is_refused() {
    let node = Node::start().await;
    let store = open(&node.url(), Options::default()).await;
    // The most overhead for the wire: as many events as fit.
    let mut many: Vec<NewEvent> = batch(1, BATCH_LIMIT_BYTES / 27);
    for event in &mut many {
        (event.kind, event.data, event.metadata) = ("K".into(), Vec::new(), Vec::new());
    }
    let last = many.len() as u64 - 1;
    assert_eq!(store.append(None, &many).await.unwrap(), last);
    // The longest name of a kind for which the port's count is not below the server's, in one event of 1 MiB.
    let mut one = batch(2, 1);
    one[0].kind = "k".repeat(26);
    one[0].data = vec![7; BATCH_LIMIT_BYTES + one[0].data.len() - one[0].stored_bytes()];
    assert_eq!(one[0].stored_bytes(), BATCH_LIMIT_BYTES);
    assert_eq!(store.append(Some(last), &one).await.unwrap(), last + 1);
    one[0].id = Uuid::from_u128(77);
    one[0].kind.push('k');
    one[0].data.pop();
    let told = store.append(Some(last + 1), &one).await;
    assert!(
        matches!(&told, Err(AppendError::Refused(text)) if text.contains("MaximumAppendSizeExceeded")),
        "{told:?}"
    );
    // A refusal does not stand in the way of the next batch.
    assert_eq!(store.append(Some(last + 1), &batch(3, 1)).await.unwrap(), last + 2);
    let tail = store.read(last + 1, 5).await.unwrap();
    assert_eq!((tail.len(), tail[0].data.len()), (2, one[0].data.len() + 1));
}

/// Writers on many nodes meet it often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_costs_no_connection() {
    let node = Node::start().await;
    let store = open(&node.url(), QUICK).await;
    assert_eq!(store.append(None, &batch(1, 2)).await.unwrap(), 1);
    for number in 2..6 {
        let told = store.append(Some(0), &batch(number, 1)).await;
        assert!(matches!(told, Err(AppendError::WrongExpectedRevision { current: Some(1), .. })), "{told:?}");
    }
    assert_eq!(store.append(Some(1), &batch(9, 1)).await.unwrap(), 2);
    assert_eq!((node.accepted(), node.database.state().appends), (1, 6));
}

/// The client cannot close what it has opened; it goes with the runtime that it lives in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_client_that_was_given_up() {
    let node = Node::start().await;
    let store = open(&node.url(), Options { answer: Duration::from_millis(100), ..QUICK }).await;
    node.database.state().troubles = vec![Trouble::IsNotHeard; 6].into();
    assert_eq!(store.append(None, &batch(1, 1)).await.unwrap(), 0);
    assert_eq!(node.database.state().appends, 7);
    let left = async |most: usize| {
        let closed = async {
            while node.connections() > most {
                tokio::task::yield_now().await;
            }
        };
        timeout(WITHIN, closed).await.expect("the connections are closed");
    };
    left(1).await;
    drop(store);
    left(0).await;
}
