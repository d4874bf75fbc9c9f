//! Copies of a journal beside its writer, and what an operator sees of its folder.

use super::super::inspection::{EndOfLog, Inspection};
use super::*;
use crate::EventsHash;
use crate::NewEvent;

fn hash_of(events: &[RecordedEvent]) -> String {
    let mut hash = EventsHash::default();
    events.iter().for_each(|event| hash.update(event));
    hash.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_while_the_writer_appends_is_the_journal_at_one_moment() {
    let journal = Journal::new(Options { segment_bytes: 4000 });
    let store = Arc::new(journal.open());
    append(&store, &batch(0, 2)).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writing = tokio::spawn({
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        async move {
            for number in 1.. {
                append(&store, &batch(number, 1 + number as usize % 5)).await;
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
            }
        }
    });
    let copies = tempfile::tempdir().unwrap();
    let mut sizes = Vec::new();
    for number in 0..10 {
        let target = copies.path().join(number.to_string());
        store.wait_beyond(store.head().await.unwrap().map(|head| head + 20)).await.unwrap();
        let reader = EmbeddedReader::open(journal.path()).unwrap();
        let (copied, path) = (target.clone(), target.clone());
        let copied = tokio::task::spawn_blocking(move || reader.copy_to(copied, |_, _| {}));
        let copied = copied.await.unwrap().unwrap();
        let copy = EmbeddedReader::open(&path).unwrap();
        let events = copy.read(0, usize::MAX).await.unwrap();
        assert_eq!(copied.events, events.len() as u64);
        assert_eq!(copied.hash, hash_of(&events));
        assert_eq!(events, store.read(0, events.len()).await.unwrap(), "it is how the journal begins");
        sizes.push(events.len());
        // A server goes on from it.
        let copy = EmbeddedStore::open(&path).unwrap();
        append(&copy, &batch(u64::MAX, 1)).await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writing.await.unwrap();
    assert!(sizes.is_sorted() && sizes[0] < sizes[9], "the journal grew meanwhile: {sizes:?}");
    assert!(EmbeddedReader::open(copies.path().join("9")).unwrap().inspect().unwrap().segments.len() > 1);
}

#[tokio::test]
async fn a_copy_needs_an_empty_folder_and_copies_no_damage() {
    let journal = journal_of(SMALL, &(0..30).map(|number| batch(number, 3)).collect::<Vec<_>>()).await;
    let reader = EmbeddedReader::open(journal.path()).unwrap();
    let target = tempfile::tempdir().unwrap();
    fs::write(target.path().join("letter"), "dear").unwrap();
    let error = reader.copy_to(target.path(), |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("is not empty: name a folder"), "{error}");
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 1);

    let segments = journal.segments();
    let damaged = segments[segments.len() / 2];
    change(&journal.segment(damaged), |bytes| bytes[40] ^= 1);
    match reader.copy_to(target.path().join("copy"), |_, _| {}) {
        Err(OpenError::Damaged(damage)) => assert_eq!((damage.at.offset, damage.at.revision), (0, damaged)),
        other => panic!("{other:?}"),
    }
    let error = EmbeddedReader::open(target.path().join("copy")).err().unwrap();
    assert!(
        error.to_string().contains("acknowledged is missing"),
        "what is unfinished is no journal: {error}"
    );
}

/// Its two crcs are right, so only the chain tells it.
#[tokio::test]
async fn a_batch_of_another_journal_is_not_copied() {
    let batches = (0..30).map(|number| batch(number, 3)).collect::<Vec<_>>();
    let mut others = batches.clone();
    others
        .iter_mut()
        .flatten()
        .for_each(|event| event.id = Uuid::from_u64_pair(7, event.id.as_u128() as u64));
    let (journal, other) = (journal_of(SMALL, &batches).await, journal_of(SMALL, &others).await);
    let second = journal.segments()[1];
    let theirs = fs::read(other.segment(second)).unwrap();
    let first = Header::decode(theirs[..HEADER_BYTES].try_into().unwrap()).unwrap().frame_bytes() as usize;
    let next = Header::decode(theirs[first..first + HEADER_BYTES].try_into().unwrap()).unwrap();
    let frame = first..first + next.frame_bytes() as usize;
    change(&journal.segment(second), |bytes| bytes[frame.clone()].copy_from_slice(&theirs[frame]));
    let copy = tempfile::tempdir().unwrap();
    match EmbeddedReader::open(journal.path()).unwrap().copy_to(copy.path(), |_, _| {}) {
        Err(OpenError::Damaged(damage)) => assert_eq!(damage.at.revision, next.first_revision),
        other => panic!("{other:?}"),
    }
}

/// The hash is of the events, however they were put together in batches.
#[tokio::test]
async fn the_hash_of_the_events_is_the_same_in_other_batches_and_another_for_other_events() {
    let hash = async |batches: &[Vec<NewEvent>]| {
        let journal = journal_of(SMALL, batches).await;
        let copy = tempfile::tempdir().unwrap();
        EmbeddedReader::open(journal.path()).unwrap().copy_to(copy.path(), |_, _| {}).unwrap().hash
    };
    let batches = [batch(1, 3), batch(2, 2)];
    let one = hash(&batches).await;
    assert_eq!(one, hash(&[batches.concat()]).await);
    assert_ne!(one, hash(&[batch(2, 2), batch(1, 3)]).await);
    let mut other = batches.clone();
    other[1][1].metadata.push(b' ');
    assert_ne!(one, hash(&other).await);
}

fn inspect(journal: &Journal) -> Inspection {
    EmbeddedReader::open(journal.path()).unwrap().inspect().unwrap()
}

#[tokio::test]
async fn an_inspection_tells_every_segment_and_the_state_of_the_end() {
    let batches = (0..20).map(|number| batch(number, 2)).collect::<Vec<_>>();
    let journal = journal_of(SMALL, &batches).await;
    let found = inspect(&journal);
    assert_eq!(found.segments.iter().map(|it| it.first_revision).collect::<Vec<_>>(), journal.segments());
    assert_eq!(found.events, 40);
    assert_eq!(found.segments.iter().map(|it| it.events).sum::<u64>(), 40);
    assert_eq!(found.segments.iter().map(|it| it.bytes).sum::<u64>(), found.bytes);
    for segment in &found.segments {
        let file = fs::metadata(journal.path().join(&segment.name)).unwrap().len();
        assert!(segment.file_bytes == file && file >= segment.bytes, "{segment:?}");
    }
    let (last, full) = found.segments.split_last().unwrap();
    assert!(full.iter().all(|it| it.indexed) && !last.indexed);
    assert_eq!(found.end, EndOfLog::Acknowledged);

    let before = journal.end();
    append(&journal.open(), &batch(20, 3)).await;
    let after = journal.end();
    journal.forget_acknowledged_after(&before);
    assert_eq!(inspect(&journal).end, EndOfLog::NotAcknowledged { events: 3 });
    let offset = if before.segment == after.segment { before.offset } else { 0 };
    let bytes = frame_bytes(&batch(20, 3)) - 9;
    change(&journal.last_segment(), |segment| segment.truncate((offset + bytes) as usize));
    assert_eq!(inspect(&journal).end, EndOfLog::Torn { offset, bytes });
    assert_eq!(inspect(&journal).events, 40);
}

#[tokio::test]
async fn the_bytes_since_a_revision_are_those_of_the_batches_behind_it() {
    let big = |number| {
        let mut events = batch(number, 1);
        events[0].data = vec![b'x'; 50_000];
        events
    };
    let journal = journal_of(Options { segment_bytes: 200_000 }, &(0..30).map(big).collect::<Vec<_>>()).await;
    let reader = EmbeddedReader::open(journal.path()).unwrap();
    let whole = inspect(&journal).bytes;
    assert_eq!(reader.bytes_since(0).unwrap(), whole);
    assert_eq!(reader.bytes_since(20).unwrap(), whole / 3);
    assert_eq!(reader.bytes_since(30).unwrap(), whole / 30, "within one batch: the last one");
}
