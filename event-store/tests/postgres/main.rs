//! What the store in PostgreSQL does when its server goes away, comes back, or is another one.

mod own_server;

use std::sync::Arc;
use std::time::Duration;

use event_store::postgres::{OpenError, Options, PostgresAddress};
use event_store::{AppendError, EventStore, NewEvent, PostgresStore, ReadError, RecordedEvent, follow};
use futures_util::{FutureExt, TryStreamExt};
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use own_server::OwnServer;

/// How long anything may take to happen before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn address(pool: &PgPool) -> PostgresAddress {
    pool.connect_options().to_url_lossy().to_string().parse().expect("an address")
}

async fn open(address: &PostgresAddress) -> Arc<dyn EventStore> {
    Arc::new(PostgresStore::open(address).await.expect("it opens"))
}

async fn open_with(address: &PostgresAddress, options: Options) -> Arc<dyn EventStore> {
    Arc::new(PostgresStore::open_with(address, options).await.expect("it opens"))
}

/// Events whose ids differ from those of every other number.
fn batch(number: u64, count: u64) -> Vec<NewEvent> {
    let event = |index| NewEvent {
        id: Uuid::from_u64_pair(number + 1, index),
        kind: "GiftSent".into(),
        data: format!("{{\"batch\":{number}}}").into_bytes(),
        metadata: Vec::new(),
    };
    (0..count).map(event).collect()
}

fn ids(events: &[RecordedEvent]) -> Vec<Uuid> {
    events.iter().map(|event| event.id).collect()
}

async fn run(pool: &PgPool, statement: &str) {
    sqlx::query(AssertSqlSafe(statement)).execute(pool).await.expect(statement);
}

/// A trigger that lets no event in, for this reason.
async fn refuse_inserts(pool: &PgPool, state: &str) {
    let function = format!(
        "CREATE OR REPLACE FUNCTION journal.refuse() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"
    );
    run(pool, &function).await;
    run(
        pool,
        "CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON journal.muneem EXECUTE FUNCTION journal.refuse()",
    )
    .await;
}

/// Neither a flush that the server puts off, nor what was under way when it died, nor connections that are cut
/// while a statement runs: each batch is there once, and followers see it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kills_of_the_server_and_cut_connections_under_load() {
    // Without the setting of the append itself, this server would lose the last ten seconds.
    let server = OwnServer::start(&["synchronous_commit=off", "wal_writer_delay=10s"]);
    let address = server.address();
    let store = open(&address).await;
    let (acknowledged, mut progress) = watch::channel(0_u64);
    let (stop, stopped) = watch::channel(false);
    let (end, ended) = watch::channel(None);
    let writer = tokio::spawn(write_until(Arc::clone(&store), acknowledged, stopped));
    // One on the writer's own store, and one of another process.
    let followers = [Arc::clone(&store), open(&address).await]
        .map(|store| tokio::spawn(follow_until(store, ended.clone())));

    for blow in ["kill", "cut", "kill", "cut", "kill", "none"] {
        let before = *progress.borrow_and_update();
        let more = progress.wait_for(|now| *now >= before + 150);
        drop(timeout(PATIENCE, more).await.expect("appends go on").expect("the writer lives"));
        match blow {
            "kill" => {
                server.kill();
                server.start_again();
            }
            "cut" => PostgresStore::cut_connections(&address).await.expect("they are cut"),
            _ => drop(stop.send_replace(true)),
        }
    }
    let written = timeout(PATIENCE, writer).await.expect("in time").expect("the writer ends well");
    let recorded = store.read(0, usize::MAX).await.expect("it reads");
    assert_eq!(ids(&recorded), written, "each acknowledged batch once, in order, and nothing else");
    end.send_replace(Some(written.len()));
    for follower in followers {
        let seen = timeout(PATIENCE, follower).await.expect("in time").expect("the follower ends well");
        assert_eq!(seen, written, "each event once, in order");
    }
}

/// Appends batches of one to four events, each until its outcome is known.
async fn write_until(
    store: Arc<dyn EventStore>,
    acknowledged: watch::Sender<u64>,
    stopped: watch::Receiver<bool>,
) -> Vec<Uuid> {
    let mut written: Vec<Uuid> = Vec::new();
    let mut number = 0;
    while !*stopped.borrow() {
        let batch = batch(number, 1 + number % 4);
        let expected = (written.len() as u64).checked_sub(1);
        let last = loop {
            match store.append(expected, &batch).await {
                Ok(last) => break last,
                Err(AppendError::OutcomeUnknown(_)) => sleep(Duration::from_millis(5)).await,
                Err(fault) => panic!("batch {number} at {expected:?}: {fault}"),
            }
        };
        written.extend(batch.iter().map(|event| event.id));
        assert_eq!(last + 1, written.len() as u64);
        number += 1;
        acknowledged.send_replace(number);
    }
    written
}

/// Follows over all faults, until so many events were seen.
async fn follow_until(store: Arc<dyn EventStore>, mut end: watch::Receiver<Option<usize>>) -> Vec<Uuid> {
    let mut seen: Vec<Uuid> = Vec::new();
    let mut follower = Box::pin(follow(Arc::clone(&store), 0, 50));
    loop {
        let count = seen.len();
        tokio::select! {
            next = follower.try_next() => match next {
                Ok(events) => seen.extend(ids(&events.expect("it follows for ever"))),
                Err(ReadError::Unavailable(_)) => {
                    sleep(Duration::from_millis(5)).await;
                    follower = Box::pin(follow(Arc::clone(&store), count as u64, 50));
                }
                Err(fault) => panic!("after {count} events: {fault}"),
            },
            () = async { drop(end.wait_for(|end| end.is_some_and(|end| count >= end)).await) } => return seen,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_is_told_that_the_server_is_away_and_can_wait_again_once_it_is_back() {
    let server = OwnServer::start(&[]);
    let store = open(&server.address()).await;
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.wait_beyond(None).await }
    });
    server.kill();
    let told = timeout(PATIENCE, waiting).await.expect("it is told").expect("the wait ends");
    assert!(matches!(told, Err(ReadError::Unavailable(_))), "{told:?}");
    server.start_again();
    let appended = async {
        while let Err(fault) = store.append(None, &batch(1, 1)).await {
            assert!(matches!(fault, AppendError::OutcomeUnknown(_)), "{fault}");
            sleep(Duration::from_millis(5)).await;
        }
        while store.wait_beyond(None).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
        // It waits, and is not told of a trouble that is over.
        let early = timeout(Duration::from_millis(50), store.wait_beyond(Some(0))).await;
        assert!(early.is_err(), "{early:?}");
    };
    timeout(PATIENCE, appended).await.expect("the server is back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_no_events_and_once_it_is_promoted_the_same_batch_goes_in() {
    let server = OwnServer::start(&[]);
    let address = server.address();
    let store = open(&address).await;
    assert_eq!(store.append(None, &batch(1, 2)).await.expect("it is taken"), 1);
    // A fail-over that has put a standby under the primary's address, and has not promoted it yet.
    server.kill();
    server.will_be_standby();
    server.start_again();
    let refused = loop {
        match store.append(Some(1), &batch(2, 2)).await {
            Err(AppendError::OutcomeUnknown(text)) if text.contains("read-only") => break text,
            // The connection to the server before.
            Err(AppendError::OutcomeUnknown(_)) => {}
            other => panic!("a standby answered {other:?}"),
        }
    };
    assert!(refused.contains("read-only"), "{refused}");
    let opened = PostgresStore::open(&address).await.err();
    assert!(matches!(opened, Some(OpenError::Standby { .. })), "{opened:?}");
    let reader = PostgresStore::open_to_read(&address).await.expect("it can be read");
    assert_eq!(ids(&reader.read(0, 10).await.expect("it reads")), ids_of(&batch(1, 2)));

    let mut connection = server.connect().await;
    sqlx::query("SELECT pg_promote()").execute(&mut connection).await.expect("it is promoted");
    assert_eq!(store.append(Some(1), &batch(2, 2)).await.expect("it is taken"), 3);
    assert_eq!(store.append(Some(1), &batch(2, 2)).await.expect("it is known"), 3);
    assert_eq!(store.head().await.expect("the end"), Some(3));
}

#[sqlx::test(migrations = false)]
async fn an_older_copy_of_the_journal_is_told_by_appends_reads_and_waits(pool: PgPool) {
    let address = address(&pool);
    let options = Options { look_every: Duration::from_millis(10), ..Options::default() };
    let (store, reader) = (open_with(&address, options).await, open_with(&address, options).await);
    for number in 0..4 {
        let expected = (number * 3_u64).checked_sub(1);
        store.append(expected, &batch(number, 3)).await.expect("it is taken");
    }
    assert_eq!(reader.wait_beyond(Some(10)).await.expect("it is there"), 11);
    // What a backup of this database from a while ago looks like.
    run(&pool, "DELETE FROM journal.muneem WHERE revision > 5").await;

    let appended = store.append(Some(11), &batch(9, 1)).await;
    let behind = matches!(appended, Err(AppendError::TailBehind { expected: 11, tail: Some(5) }));
    assert!(behind, "{appended:?}");
    for store in [store, reader] {
        let head = store.head().await;
        assert!(matches!(head, Err(ReadError::TailBehind(_))), "{head:?}");
        for (from, max) in [(3, 10), (6, 10), (8, 1)] {
            let read = store.read(from, max).await;
            assert!(matches!(read, Err(ReadError::TailBehind(_))), "read({from}, {max}): {read:?}");
        }
        let waited = timeout(PATIENCE, store.wait_beyond(Some(11))).await.expect("a wait does not hang");
        assert!(matches!(waited, Err(ReadError::TailBehind(_))), "{waited:?}");
        assert_eq!(store.read(0, 6).await.expect("what is there").len(), 6);
    }
}

#[sqlx::test(migrations = false)]
async fn a_missing_event_is_damage_and_is_named(pool: PgPool) {
    let store = open(&address(&pool)).await;
    store.append(None, &batch(1, 5)).await.expect("it is taken");
    run(&pool, "DELETE FROM journal.muneem WHERE revision = 2").await;
    let read = store.read(0, 10).await;
    assert!(matches!(&read, Err(ReadError::Damaged(text)) if text.contains("revision 2 ")), "{read:?}");
}

#[sqlx::test(migrations = false)]
async fn a_wait_is_ended_by_the_notification_of_another_store(pool: PgPool) {
    let address = address(&pool);
    let never_looks = Options { look_every: Duration::from_secs(3_600), ..Options::default() };
    let (writer, reader) = (open(&address).await, open_with(&address, never_looks).await);
    // Its only look comes when it begins to listen, which can end the first of these waits alone.
    for revision in 0..20_u64 {
        let mut waiting = Box::pin(reader.wait_beyond(revision.checked_sub(1)));
        assert!(waiting.as_mut().now_or_never().is_none(), "nothing is there");
        writer.append(revision.checked_sub(1), &batch(revision, 1)).await.expect("it is taken");
        let head = timeout(PATIENCE, waiting).await.expect("it is notified").expect("it is there");
        assert_eq!(head, revision);
    }
}

#[sqlx::test(migrations = false)]
async fn a_wait_is_ended_by_a_look_where_the_notification_got_lost(pool: PgPool) {
    let options = Options { look_every: Duration::from_millis(10), ..Options::default() };
    let store = open_with(&address(&pool), options).await;
    let mut waiting = Box::pin(store.wait_beyond(None));
    assert!(waiting.as_mut().now_or_never().is_none(), "nothing is there");
    run(&pool, "INSERT INTO journal.muneem VALUES (0, gen_random_uuid(), 'GiftSent', '', '')").await;
    assert_eq!(timeout(PATIENCE, waiting).await.expect("it is found").expect("it is there"), 0);
}

#[sqlx::test(migrations = false)]
async fn an_append_that_hangs_has_an_unknown_outcome_and_the_same_batch_goes_in_once(pool: PgPool) {
    let options = Options { patience: Duration::from_millis(300), ..Options::default() };
    let store = open_with(&address(&pool), options).await;
    store.append(None, &batch(1, 2)).await.expect("it is taken");
    let mut lock = pool.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE journal.muneem IN SHARE MODE").execute(&mut *lock).await.expect("the lock");
    let second = batch(2, 2);
    let appended = timeout(PATIENCE, store.append(Some(1), &second)).await.expect("it does not hang");
    assert!(matches!(appended, Err(AppendError::OutcomeUnknown(_))), "{appended:?}");
    // The statement of the first try now goes on, on a connection that nobody reads any more.
    lock.rollback().await.expect("the lock is free");
    let last = loop {
        match store.append(Some(1), &batch(2, 2)).await {
            Ok(last) => break last,
            Err(AppendError::OutcomeUnknown(_)) => {}
            Err(fault) => panic!("{fault}"),
        }
    };
    assert_eq!(last, 3);
    assert_eq!(store.read(0, 10).await.expect("it reads").len(), 4);
}

#[sqlx::test(migrations = false)]
async fn a_full_disk_is_told_unless_an_earlier_try_may_have_been_written(pool: PgPool) {
    let store = open(&address(&pool)).await;
    let no_space = async || refuse_inserts(&pool, "53100").await;
    no_space().await;
    let appended = store.append(None, &batch(1, 2)).await;
    assert!(matches!(appended, Err(AppendError::NoSpace(_))), "{appended:?}");
    // Any other fault may have come after the commit, as far as a client can tell.
    refuse_inserts(&pool, "57014").await;
    let appended = store.append(None, &batch(1, 2)).await;
    assert!(matches!(appended, Err(AppendError::OutcomeUnknown(_))), "{appended:?}");
    no_space().await;
    let appended = store.append(None, &batch(1, 2)).await;
    assert!(matches!(appended, Err(AppendError::OutcomeUnknown(_))), "{appended:?}");
    run(&pool, "DROP TRIGGER refuse ON journal.muneem").await;
    assert_eq!(store.append(None, &batch(1, 2)).await.expect("there is room"), 1);
    no_space().await;
    let appended = store.append(Some(1), &batch(2, 2)).await;
    assert!(matches!(appended, Err(AppendError::NoSpace(_))), "{appended:?}");
}

#[sqlx::test(migrations = false)]
async fn nodes_that_start_at_once_make_one_table_and_a_reader_makes_none(pool: PgPool) {
    let address = address(&pool);
    let opened = PostgresStore::open_to_read(&address).await.err();
    assert!(matches!(opened, Some(OpenError::NoJournal { .. })), "{opened:?}");
    // All of them find no table, and are held up where they make one.
    let mut lock = pool.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE pg_namespace IN SHARE MODE").execute(&mut *lock).await.expect("the lock");
    let release = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        // Not in the transaction: it would see the same sessions each time.
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.expect("the sessions") < 8 {
            sleep(Duration::from_millis(5)).await;
        }
        lock.rollback().await.expect("they go on");
    };
    let opening = futures_util::future::join_all((0..8).map(|_| open(&address)));
    let (opened, ()) =
        timeout(PATIENCE, futures_util::future::join(opening, release)).await.expect("in time");
    assert_eq!(opened[0].append(None, &batch(1, 1)).await.expect("it is taken"), 0);
    for store in &opened {
        assert_eq!(store.head().await.expect("the end"), Some(0));
    }
    let reader = PostgresStore::open_to_read(&address).await.expect("it is there");
    let appended = reader.append(Some(0), &batch(2, 1)).await;
    assert!(matches!(appended, Err(AppendError::Refused(_))), "{appended:?}");
}

#[sqlx::test(migrations = false)]
async fn streams_of_one_database_do_not_meet(pool: PgPool) {
    let (one, other) = (address(&pool).with_stream("one"), address(&pool).with_stream("other"));
    let (first, second) = (open(&one).await, open(&other).await);
    first.append(None, &batch(1, 2)).await.expect("it is taken");
    second.append(None, &batch(2, 3)).await.expect("it is taken");
    assert_eq!(ids(&first.read(0, 10).await.expect("it reads")), ids_of(&batch(1, 2)));
    assert_eq!(ids(&second.read(0, 10).await.expect("it reads")), ids_of(&batch(2, 3)));
    drop(first);
    PostgresStore::remove(&one).await.expect("it is removed");
    let opened = PostgresStore::open_to_read(&one).await.err();
    assert!(matches!(opened, Some(OpenError::NoJournal { .. })), "{opened:?}");
    assert_eq!(second.head().await.expect("the end"), Some(2));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    let address: PostgresAddress =
        "postgres://muneem:abad1dea@127.0.0.1:1/muneem".parse().expect("an address");
    let text = PostgresStore::open(&address).await.err().expect("nobody is there").to_string();
    assert!(text.contains("muneem@127.0.0.1:1/muneem") && !text.contains("abad1dea"), "{text}");
}

fn ids_of(events: &[NewEvent]) -> Vec<Uuid> {
    events.iter().map(|event| event.id).collect()
}
