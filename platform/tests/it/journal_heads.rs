//! The journal's tree in Postgres: no leaf is lost or doubled, and no head is signed of what is not durable or not the
//! journal.

use async_trait::async_trait;
use event_store::{AppendError, Batch, EventStore, MemoryStore, NewEvent, ReadError, RecordedEvent};
use integrity::{Head, Leaves, SigningKeys, Tree, VerifierKeys, origin};
use ledger_core::JournalId;
use platform::audit::Author;
use platform::journal_heads::{
    Destination, JournalHeads, Publisher, Settings, SignError, TreeFault, end_history, heads_in,
};
use sqlx::PgPool;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

const JOURNAL: JournalId = JournalId(Uuid::from_u128(0x198));

fn keys() -> SigningKeys {
    SigningKeys::parse(&"a7".repeat(32)).unwrap()
}

fn trusted(history: u32) -> VerifierKeys {
    VerifierKeys::parse(keys().verifier_keys(&origin(JOURNAL, history))).unwrap()
}

fn heads(pool: &PgPool, store: &Arc<dyn EventStore>, to: &[&Path]) -> JournalHeads {
    let to: Vec<Destination> = to.iter().map(|folder| Destination::Folder(folder.to_path_buf())).collect();
    let publisher = Publisher::new(&to).unwrap();
    let settings = Settings { keys: Some(keys()), every: Duration::ZERO, publisher };
    JournalHeads::new(pool.clone(), store.clone(), JOURNAL, settings)
}

/// Events of units of three, the last of which may lack its end.
fn events(from: u64, to: u64) -> Vec<NewEvent> {
    let event = |number: u64| {
        let index = (number % 3) as u8;
        let mut metadata = vec![1, index, 3];
        metadata.extend((index == 0).then_some(number as u8));
        NewEvent {
            id: Uuid::from_u64_pair(7, number),
            kind: "GiftSent".to_owned(),
            data: [&[1][..], &number.to_be_bytes()].concat(),
            metadata,
        }
    };
    (from..to).map(event).collect()
}

async fn append(store: &Arc<dyn EventStore>, from: u64, to: u64) {
    for chunk in events(from, to).chunks(1_000) {
        let at = store.head().await.unwrap();
        store.append(at, chunk).await.unwrap();
    }
}

async fn journal(count: u64) -> Arc<dyn EventStore> {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    append(&store, 0, count).await;
    store
}

async fn root_of(store: &Arc<dyn EventStore>, size: u64) -> Vec<u8> {
    let (mut tree, mut leaves) = (Tree::default(), Leaves::default());
    for event in store.read(0, usize::try_from(size).unwrap()).await.unwrap() {
        tree.push(leaves.hash(&event).unwrap());
    }
    tree.root().0.to_vec()
}

fn refusal(outcome: Result<platform::journal_heads::SignedHead, SignError>) -> String {
    match outcome {
        Err(SignError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_head_has_every_whole_unit_that_was_durable_and_is_signed_once(pool: PgPool) {
    let store = journal(1_000).await;
    let heads = heads(&pool, &store, &[]);
    let first = heads.sign_now().await.unwrap();
    assert_eq!((first.size, &first.root), (999, &root_of(&store, 999).await), "the last unit has no end yet");
    assert_eq!(Head::open(&first.note, &trusted(0)).unwrap().size, 999);
    assert_eq!(heads.sign_now().await.unwrap(), first, "nothing is new");
    append(&store, 1_000, 20_001).await;
    let second = heads.sign_now().await.unwrap();
    assert_eq!((second.size, second.root), (20_001, root_of(&store, 20_001).await));
    let (_, listed) = heads.keys().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].first_used.is_some());
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn killed_anywhere_and_done_by_two_at_once_no_leaf_is_lost_or_doubled(pool: PgPool) {
    let store = journal(30_000).await;
    let (one, other) = (heads(&pool, &store, &[]), heads(&pool, &store, &[]));
    for micros in (0..120_u64).map(|step| step * step * 4) {
        let patience = Duration::from_micros(micros);
        let killed = tokio::time::timeout(patience, one.catch_up(|_| ()));
        let also = tokio::time::timeout(patience / 2, other.catch_up(|_| ()));
        let (killed, also) = tokio::join!(killed, also);
        for outcome in [killed, also].into_iter().flatten() {
            outcome.unwrap();
        }
    }
    let (size, _) = tokio::join!(one.catch_up(|_| ()), other.catch_up(|_| ()));
    assert_eq!(size.unwrap(), 30_000);
    assert_eq!(one.sign_now().await.unwrap().root, root_of(&store, 30_000).await);
    // The stored hashes are those of the leaves, to the last one.
    let bytes: i64 =
        sqlx::query_scalar("SELECT sum(octet_length(hashes))::bigint FROM app.journal_tiles WHERE level = 0")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(bytes, 30_000 * 32);
}

/// A store that answers reads beyond what it says is durable.
struct TooFast {
    store: Arc<dyn EventStore>,
    durable: AtomicU64,
}

#[async_trait]
impl EventStore for TooFast {
    async fn append_batch(&self, expected: Option<u64>, batch: &Arc<Batch>) -> Result<u64, AppendError> {
        self.store.append_batch(expected, batch).await
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        self.store.read(from, max).await
    }

    async fn head(&self) -> Result<Option<u64>, ReadError> {
        Ok(self.durable.load(Ordering::SeqCst).checked_sub(1))
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn wait_beyond(&self, seen: Option<u64>) -> Result<u64, ReadError> {
        self.store.wait_beyond(seen).await
    }
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn no_head_is_signed_beyond_what_is_durable(pool: PgPool) {
    let fast = Arc::new(TooFast { store: journal(30).await, durable: AtomicU64::new(29) });
    let store: Arc<dyn EventStore> = fast.clone();
    let heads = heads(&pool, &store, &[]);
    assert!(refusal(heads.sign_now().await).contains("there are 29 events"));
    fast.durable.store(30, Ordering::SeqCst);
    assert_eq!(heads.sign_now().await.unwrap().size, 30);
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_journal_that_is_shorter_or_went_another_way_is_refused(pool: PgPool) {
    let store = journal(300).await;
    heads(&pool, &store, &[]).sign_now().await.unwrap();
    let older = journal(150).await;
    assert!(refusal(heads(&pool, &older, &[]).sign_now().await).contains("events are lost"));
    // It went on from there, and is longer than before.
    older.append(Some(149), &events(900, 1_200)).await.unwrap();
    let other_way = heads(&pool, &older, &[]);
    assert!(refusal(other_way.sign_now().await).contains("another event"));
    assert!(matches!(other_way.catch_up(|_| ()).await, Err(TreeFault::Refused(_))));
    // An operator who knows that the events are lost for good begins again, and the log has another name.
    let author = Author::operator().because(Some("restored_from_backup"), None).unwrap();
    let tree = end_history(&pool, JOURNAL, &author, crate::at(0)).await.unwrap();
    assert_eq!(tree.origin, origin(JOURNAL, 1));
    let head = other_way.sign_now().await.unwrap();
    assert_eq!(Head::open(&head.note, &trusted(1)).unwrap().origin, tree.origin);
    assert!(Head::open(&head.note, &trusted(0)).is_err());
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM app.journal_heads").fetch_one(&pool).await.unwrap();
    assert_eq!(kept, 2, "the heads of the history that ended stay");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_head_that_is_kept_elsewhere_refuses_a_shorter_tree_where_the_database_is_older_too(pool: PgPool) {
    let folder = TempDir::new().unwrap();
    let store = journal(300).await;
    let signed = heads(&pool, &store, &[folder.path()]).sign_now().await.unwrap();
    assert!(signed.published_at.is_some());
    let kept = heads_in(folder.path()).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].note, signed.note);
    // Database and journal are put back from before the head.
    sqlx::raw_sql(
        "ALTER TABLE app.journal_heads DISABLE TRIGGER ALL; DELETE FROM app.journal_heads;
         DELETE FROM app.journal_tiles; UPDATE app.journal_tree SET size = 0, last_event = NULL",
    )
    .execute(&pool)
    .await
    .unwrap();
    let older = journal(150).await;
    let restored = heads(&pool, &older, &[folder.path()]);
    assert!(refusal(restored.sign_now().await).contains("events are lost"));
    older.append(Some(149), &events(900, 1_200)).await.unwrap();
    assert!(refusal(restored.sign_now().await).contains("does not go on from"));
    let none: i64 =
        sqlx::query_scalar("SELECT count(*) FROM app.journal_heads").fetch_one(&pool).await.unwrap();
    assert_eq!(none, 0);
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_stored_tree_whose_edge_was_changed_is_not_signed_on(pool: PgPool) {
    let store = journal(300).await;
    let heads = heads(&pool, &store, &[]);
    heads.sign_now().await.unwrap();
    sqlx::query(
        "UPDATE app.journal_tiles SET hashes = set_byte(hashes, 40, 7) WHERE level = 0 AND number = 1",
    )
    .execute(&pool)
    .await
    .unwrap();
    append(&store, 300, 330).await;
    assert!(refusal(heads.sign_now().await).contains("does not go on from the last signed head"));
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_place_that_takes_nothing_keeps_no_head_from_the_others(pool: PgPool) {
    let store = journal(30).await;
    let place = TempDir::new().unwrap();
    let (full, good) = (place.path().join("full"), place.path().join("good"));
    let heads = heads(&pool, &store, &[&full, &good]);
    heads.sign_now().await.unwrap();
    let day = |folder: &Path| {
        let mut days = std::fs::read_dir(folder.join(origin(JOURNAL, 0))).unwrap();
        days.next().unwrap().unwrap().path()
    };
    // It has another file where the next head belongs, and so takes none.
    std::fs::write(day(&full).join(format!("{:020}.checkpoint", 60)), "another").unwrap();
    for size in [60, 90] {
        append(&store, size - 30, size).await;
        // An error here says that it is not published everywhere.
        drop(heads.sign_now().await);
    }
    assert_eq!(std::fs::read_dir(day(&good)).unwrap().count(), 3, "each head is in the good place");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_file_that_is_no_head_keeps_none_from_being_signed(pool: PgPool) {
    let store = journal(30).await;
    let place = TempDir::new().unwrap();
    let heads = heads(&pool, &store, &[place.path()]);
    heads.sign_now().await.unwrap();
    let day =
        std::fs::read_dir(place.path().join(origin(JOURNAL, 0))).unwrap().next().unwrap().unwrap().path();
    std::fs::write(day.join("99999999999999999999.checkpoint"), [0xff, 0xfe]).unwrap();
    std::fs::write(day.join("99999999999999999998.checkpoint"), "no head").unwrap();
    append(&store, 30, 60).await;
    let head = heads.sign_now().await.unwrap();
    assert!(head.published_at.is_some() && head.size > 30, "{head:?}");
}

#[sqlx::test(migrator = "platform::MIGRATOR")]
async fn a_head_that_was_not_published_is_published_by_the_worker_later(pool: PgPool) {
    let store = journal(30).await;
    let place = TempDir::new().unwrap();
    let folder = place.path().join("disk");
    // The disk is not there: a file stands in its place.
    std::fs::write(&folder, "").unwrap();
    let heads = heads(&pool, &store, &[&folder]);
    assert!(
        matches!(heads.sign_now().await, Err(SignError::Outage(_))),
        "it cannot be seen what is kept there"
    );
    std::fs::remove_file(&folder).unwrap();
    let head = heads.sign_now().await.unwrap();
    assert!(head.published_at.is_some());
    // One that was signed and not published, as if the server had been killed in between.
    sqlx::query("UPDATE app.journal_heads SET published_at = NULL").execute(&pool).await.unwrap();
    let working = tokio::spawn(async move { heads.work().await });
    let published = async {
        loop {
            let left: i64 =
                sqlx::query_scalar("SELECT count(*) FROM app.journal_heads WHERE published_at IS NULL")
                    .fetch_one(&pool)
                    .await
                    .unwrap();
            if left == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), published).await.unwrap();
    working.abort();
    assert_eq!(heads_in(&folder).unwrap().len(), 1, "it is the same file");
}

#[test]
fn a_place_is_a_folder_or_an_https_address_and_is_never_printed_with_its_token() {
    for (text, shown) in [
        ("/mnt/heads", "the folder /mnt/heads"),
        ("heads", "the folder heads"),
        ("https://keeper.example/abad1dea", "the webhook"),
        ("http://127.0.0.1:9/abad1dea", "the webhook"),
    ] {
        let place: Destination = text.parse().unwrap();
        assert_eq!(format!("{place} {place:?}"), format!("{shown} {shown}"));
    }
    for text in ["", "http://keeper.example/abad1dea", "ftp://keeper.example", "https://"] {
        let refused = text.parse::<Destination>().unwrap_err();
        assert!(!refused.contains("abad1dea"), "{refused}");
    }
}
