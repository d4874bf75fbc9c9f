//! A start that begins with a snapshot, and the snapshots that it must not begin with.

use crate::world::*;
use event_store::{EventStore, MemoryStore, NewEvent};
use ledger_core::command::{RequestWithdrawal, SendGift, StartCall};
use ledger_core::*;
use ledger_runtime::{Clock, Ledger, Opening, SnapshotError, Snapshots};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// A folder for snapshots, and one made each five events.
fn empty() -> (TempDir, Snapshots) {
    let folder = tempfile::tempdir().expect("a folder");
    let snapshots = Snapshots::new(folder.path(), 5);
    (folder, snapshots)
}

async fn open(store: Arc<dyn EventStore>, snapshots: &Snapshots) -> World {
    let (hand, clock) = Clock::manual(START);
    let opening =
        Opening { new_journal: JOURNAL, clock_is_confirmed: true, snapshots: Some(snapshots.clone()) };
    let (ledger, task) = Ledger::open_with(store, clock, opening, |_, _| {}).await.expect("opens");
    World { ledger, hand, running: None, task }
}

/// What a start begins with; what it ends with is always what the whole journal says.
async fn begins_with(store: &Arc<dyn EventStore>, snapshots: &Snapshots) -> Option<u64> {
    let world = open(store.clone(), snapshots).await;
    let from = world.ledger.opened_from();
    world.assert_sound().await;
    world.close().await;
    from
}

/// The first events of a store in one of their own.
async fn first(store: &dyn EventStore, count: u64) -> Arc<dyn EventStore> {
    let events = store.read(0, usize::try_from(count).expect("a count")).await.expect("is read");
    let events = events.into_iter().map(|it| NewEvent {
        id: it.id,
        kind: it.kind,
        data: it.data,
        metadata: it.metadata,
    });
    let copy = MemoryStore::new();
    copy.append(None, &events.collect::<Vec<_>>()).await.expect("is appended");
    Arc::new(copy)
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().expect("a name")).collect();
    names.sort();
    names
}

fn file(folder: &Path, revision: u64) -> PathBuf {
    folder.join(format!("{revision:020}.snapshot"))
}

/// A journal of a few people with coins.
async fn roses(count: usize) -> (Arc<dyn EventStore>, World) {
    let store = memory();
    let world = World::with_coins(store.clone(), 100_000).await;
    for _ in 0..count {
        world.execute(rose()).await.expect("is accepted");
    }
    (store, world)
}

/// What a random story consists of.
fn envelope_of((what, amount): (u8, i64)) -> Envelope {
    let person = if what % 2 == 0 { USER } else { OTHER };
    let call = CallId(uuid::Uuid::from_u128(u128::from(what) << 64 | amount.unsigned_abs() as u128));
    let price_seen_milli_per_minute = 6_000;
    match what / 2 % 6 {
        0 => admin(coins(person, amount)),
        1 => admin(coins(person, -amount)),
        2 => admin(commission(u32::try_from(amount).expect("an amount"))),
        3 => envelope(
            HOST,
            StartCall { call, payer: person, host: HOST, medium: Medium::Video, price_seen_milli_per_minute }
                .into(),
        ),
        4 => envelope(
            HOST,
            RequestWithdrawal { payee: Payee::Host { person: HOST }, coins_milli: amount }.into(),
        ),
        _ => {
            let (host, gift, price_seen_milli) = (HOST, ROSE, ROSE_MILLI);
            envelope(person, SendGift { sender: person, host, gift, call: None, price_seen_milli }.into())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_and_the_rest_lead_to_what_the_whole_journal_leads_to_at_every_cut(
        story in prop::collection::vec((any::<u8>(), 1..5_000_i64), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let store = memory();
            let world = World::with_coins(store.clone(), 20_000).await;
            for step in story {
                let _ = world.execute(envelope_of(step)).await;
            }
            for end in journal(store.as_ref()).await.iter().filter(|it| it.metadata.closes_unit()) {
                let (_folder, snapshots) = empty();
                let made = snapshots.make(&first(store.as_ref(), end.revision + 1).await).await;
                assert_eq!(made.expect("is made"), end.revision);
                assert_eq!(begins_with(&store, &snapshots).await, Some(end.revision));
            }
        });
    }
}

#[tokio::test]
async fn snapshots_are_made_while_the_ledger_works_and_two_are_kept() {
    let (folder, snapshots) = empty();
    let (store, _) = roses(0).await;
    let world = open(store.clone(), &snapshots).await;
    let (say, mut made) = mpsc::unbounded_channel();
    let (keep, ledger) = (snapshots.clone(), world.ledger.clone());
    let tell = move |revision| say.send(revision).expect("the test listens");
    let keeping = tokio::spawn(async move { keep.keep(ledger, tell).await });
    let mut revisions = Vec::new();
    for _ in 0..4 {
        for _ in 0..3 {
            world.execute(rose()).await.expect("is accepted");
        }
        revisions.push(soon(made.recv()).await.expect("is made"));
    }
    world.close().await;
    soon(keeping).await.expect("ends with the ledger");
    revisions.extend(std::iter::from_fn(|| made.try_recv().ok()));
    assert!(revisions.windows(2).all(|pair| pair[0] + 5 <= pair[1]), "{revisions:?}");
    let kept = revisions[revisions.len() - 2..].iter().map(|revision| format!("{revision:020}.snapshot"));
    assert_eq!(files(folder.path()), kept.collect::<Vec<_>>());
    assert_eq!(begins_with(&store, &snapshots).await, revisions.last().copied());
}

#[tokio::test]
async fn a_byte_that_is_flipped_anywhere_is_noticed() {
    let (folder, snapshots) = empty();
    let (store, _world) = roses(1).await;
    let revision = snapshots.make(&store).await.expect("is made");
    let (path, whole) =
        (file(folder.path(), revision), fs::read(file(folder.path(), revision)).expect("is read"));
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        fs::write(&path, bytes).expect("is written");
        assert_eq!(begins_with(&store, &snapshots).await, None, "byte {place} of {}", whole.len());
    }
    fs::write(&path, [&whole[..], &[0]].concat()).expect("is written");
    assert_eq!(begins_with(&store, &snapshots).await, None, "a byte too many");
    fs::write(&path, whole).expect("is written");
    assert_eq!(begins_with(&store, &snapshots).await, Some(revision));
}

#[tokio::test]
async fn a_snapshot_that_does_not_fit_the_journal_is_passed_over() {
    let (store, _world) = roses(2).await;
    let head = store.head().await.expect("is known").expect("events");
    // The same commands on a journal of the same id, and all events have other ids.
    let (fork, _forked) = roses(2).await;
    let other = memory();
    let (_hand, clock) = Clock::manual(START);
    let other_id = JournalId(uuid::Uuid::from_u128(0x99));
    let (_ledger, _task) = Ledger::open(other.clone(), clock, other_id, |_, _| {}).await.expect("opens");
    for (name, made_of, journal, expected) in [
        ("its own", store.clone(), store.clone(), Some(head)),
        ("of another history under the same id", fork, store.clone(), None),
        ("of another journal", other, store.clone(), None),
        ("beyond the end", store.clone(), first(store.as_ref(), 3).await, None),
        ("older", first(store.as_ref(), 3).await, store.clone(), Some(2)),
    ] {
        let (_folder, snapshots) = empty();
        snapshots.make(&made_of).await.expect("is made");
        assert_eq!(begins_with(&journal, &snapshots).await, expected, "{name}");
    }
    // The newest does not fit, and is no longer there when another has been made.
    let (folder, snapshots) = empty();
    snapshots.make(&store).await.expect("is made");
    let short = first(store.as_ref(), head - 1).await;
    let revision = snapshots.make(&short).await.expect("is made");
    assert_eq!(begins_with(&short, &snapshots).await, Some(revision));
    assert_eq!(files(folder.path()).len(), 1);
}

#[tokio::test]
async fn a_crash_while_a_snapshot_is_written_leaves_the_older_one() {
    let (folder, snapshots) = empty();
    let (store, world) = roses(1).await;
    let older = snapshots.make(&store).await.expect("is made");
    world.execute(rose()).await.expect("is accepted");
    let newer = snapshots.make(&store).await.expect("is made");
    let whole = fs::read(file(folder.path(), newer)).expect("is read");
    for end in 0..whole.len() {
        // Before it had its name, and on a disk that lost the end of it after that.
        fs::remove_file(file(folder.path(), newer)).expect("is removed");
        fs::write(folder.path().join("unfinished"), &whole[..end]).expect("is written");
        assert_eq!(begins_with(&store, &snapshots).await, Some(older), "unfinished at {end}");
        fs::write(file(folder.path(), newer), &whole[..end]).expect("is written");
        assert_eq!(begins_with(&store, &snapshots).await, Some(older), "cut at {end}");
    }
    assert_eq!(snapshots.make(&store).await.expect("is made"), newer);
    assert_eq!(fs::read(file(folder.path(), newer)).expect("is read"), whole);
    assert_eq!(files(folder.path()).len(), 2, "nothing unfinished is left");
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_costs_the_snapshot_only() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("taken"), b"a file").expect("is written");
    let snapshots = Snapshots::new(folder.path().join("taken"), 1);
    let (store, _world) = roses(1).await;
    let made = snapshots.make(&store).await;
    assert!(matches!(made, Err(SnapshotError::Io { .. })), "{made:?}");
    assert_eq!(begins_with(&store, &snapshots).await, None);
}
