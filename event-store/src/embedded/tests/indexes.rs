//! Readers go by the indexes of full segments, and believe them nothing.

use super::super::frame::HEADER_BYTES;
use super::super::index;
use super::super::log::{Log, MOST_MARKS};
use super::*;
use crate::NewEvent;

/// A journal of many small segments, each with its index.
async fn long_journal() -> (Journal, Vec<Uuid>) {
    let batches = (0..60).map(|number| batch(number, 1 + number as usize % 7)).collect::<Vec<_>>();
    let journal = journal_of(SMALL, &batches).await;
    assert!(journal.segments().len() > 10);
    (journal, ids_of(&batches))
}

fn indexes(journal: &Journal) -> Vec<PathBuf> {
    let (_, full) = journal.segments().split_last().map(|(last, full)| (*last, full.to_vec())).unwrap();
    full.iter().map(|first| journal.names().index(*first)).collect()
}

async fn assert_reads_everything(journal: &Journal, all: &[Uuid], case: &str) {
    let reader = EmbeddedReader::open(journal.path()).unwrap();
    assert_eq!(ids(&reader).await, all, "{case}");
    let reader = EmbeddedReader::open(journal.path()).unwrap();
    for revision in (0..all.len()).rev() {
        let read = reader.read(revision as u64, 1).await.unwrap();
        assert_eq!((read[0].revision, read[0].id), (revision as u64, all[revision]), "{case}");
    }
}

/// Shown by taking away what is in the segments between their first and last batches: who opens the journal does not
/// see it, and who reads there does.
#[tokio::test]
async fn a_reader_opens_by_the_indexes_and_checks_each_batch_when_it_is_read() {
    let (journal, all) = long_journal().await;
    assert!(
        indexes(&journal).iter().all(|path| path.exists()),
        "each full segment has one, without a restart"
    );
    assert_reads_everything(&journal, &all, "untouched").await;

    let full = journal.segments()[3];
    let second = Header::decode(fs::read(journal.segment(full)).unwrap()[..HEADER_BYTES].try_into().unwrap());
    let second = second.unwrap();
    change(&journal.segment(full), |bytes| bytes[second.frame_bytes() as usize + 40] ^= 1);
    let reader = EmbeddedReader::open(journal.path()).expect("it reads no full segment");
    assert_eq!(reader.head().await.unwrap(), Some(all.len() as u64 - 1));
    assert_eq!(reader.read(0, 1).await.unwrap()[0].id, all[0]);
    let error = reader.read(second.next_revision(), 1).await.unwrap_err();
    assert!(matches!(error, ReadError::Damaged(_)), "{error:?}");
    let place = format!("offset {}, revision {}", second.frame_bytes(), second.next_revision());
    assert!(error.to_string().contains(&place), "it says where: {error}");
    // The writer reads everything at its start.
    assert_eq!(journal.damage().at.revision, second.next_revision());
    // Where a reader comes to damage at its start, it reads everything as well: the first place is what counts.
    change(&journal.last_segment(), |bytes| bytes[40] ^= 1);
    match EmbeddedReader::open(journal.path()).err() {
        Some(OpenError::Damaged(damage)) => assert_eq!(damage.at.revision, second.next_revision()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_index_that_is_missing_or_damaged_is_made_up_for_by_the_log_and_by_the_next_start() {
    let (journal, all) = long_journal().await;
    let path = indexes(&journal)[4].clone();
    let good = fs::read(&path).unwrap();
    let mut cases = vec![("missing", None), ("empty", Some(Vec::new())), ("huge", Some(vec![7; 3 << 20]))];
    for length in 1..good.len() {
        cases.push(("cut", Some(good[..length].to_vec())));
    }
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        cases.push(("flipped", Some(bytes)));
    }
    for (number, (case, bytes)) in cases.into_iter().enumerate() {
        let _ = fs::remove_file(&path);
        if let Some(bytes) = bytes {
            fs::write(&path, bytes).unwrap();
        }
        assert!(index::read(&journal.names(), journal.segments()[4]).is_none(), "{case}: it is not readable");
        // The store's start flushes files, so not each case has one.
        if number % 40 == 0 {
            assert_reads_everything(&journal, &all, case).await;
            drop(journal.open());
            assert_eq!(fs::read(&path).unwrap(), good, "{case}: it is made again");
        } else {
            let reader = EmbeddedReader::open(journal.path()).unwrap();
            assert_eq!(ids(&reader).await, all, "{case}");
        }
    }
}

/// An index that is whole and says what is not so: of another journal, of another segment, or with places where no
/// batch begins.
#[tokio::test]
async fn an_index_that_lies_is_not_believed() {
    let (journal, all) = long_journal().await;
    let batches = (100..160).map(|number| batch(number, 1 + number as usize % 7)).collect::<Vec<_>>();
    let other = journal_of(SMALL, &batches).await;
    for (mine, theirs) in indexes(&journal).iter().zip(indexes(&other)) {
        fs::copy(theirs, mine).unwrap();
    }
    assert_reads_everything(&journal, &all, "those of another journal").await;
    drop(journal.open());

    // One of a log that has the same segments, with a place moved.
    let batches = (0..150).map(big_batch).collect::<Vec<_>>();
    let journal = journal_of(Options { segment_bytes: 100_000 }, &batches).await;
    let (names, all) = (journal.names(), ids_of(&batches));
    let first = journal.segments()[1];
    let (sealed, good) = index::read(&names, first).unwrap();
    assert!(good.len() >= 2, "{good:?}");
    for (case, offset, revision) in [("offset", 1, 0), ("revision", 0, 1)] {
        let mut marks = good.clone();
        marks[1].offset += offset;
        marks[1].revision += revision;
        let mut log = Log::new(&names);
        log.pass(&sealed, &marks);
        index::write(&log, &sealed);
        let (_, written) = index::read(&names, first).expect("it is readable as an index");
        assert_ne!(written, good);
        assert_reads_everything(&journal, &all, case).await;
    }
}

fn big_batch(number: u64) -> Vec<NewEvent> {
    let mut events = batch(number, 2);
    events[0].data = vec![b'x'; 2000];
    events
}

/// A reader that has opened by the indexes follows the writer over the ends of segments.
#[tokio::test]
async fn a_reader_that_follows_takes_in_what_becomes_full() {
    let (journal, mut all) = long_journal().await;
    let reader = EmbeddedReader::open(journal.path()).unwrap();
    let store = journal.open();
    for number in 200..240 {
        let events = batch(number, 3);
        append(&store, &events).await;
        all.extend(ids_of(&[events]));
        assert_eq!(reader.head().await.unwrap(), Some(all.len() as u64 - 1));
    }
    assert_eq!(ids(&reader).await, all);
    drop(store);
    assert_reads_everything(&journal, &all, "afterwards").await;
}

/// 2 TiB of log: the memory stays the same, and a place is never further before a revision than the density allows.
#[test]
fn the_index_in_memory_is_bounded_and_its_places_stay_dense() {
    let names = Arc::new(Folder::new(&Disk::System, Path::new("/nowhere")));
    let mut log = Log::new(&names);
    let mut frames = Vec::new();
    for number in 0..4_000_000_u64 {
        if log.end.offset >= 64 << 20 {
            log.enter_next_segment();
        }
        let header = Header {
            body_bytes: 500_224 - HEADER_BYTES as u32,
            first_revision: log.end.next_revision,
            events: 3,
            body_crc: 0,
            previous: log.end.chain,
            crc: number as u32,
        };
        if number % 1009 == 0 {
            frames.push((log.end.next_revision, log.bytes));
        }
        log.push(&header);
        assert!(log.marks() <= MOST_MARKS);
    }
    assert_eq!(log.bytes, 4_000_000 * 500_224);
    assert!(log.marks() >= MOST_MARKS / 2 - 1, "{}", log.marks());
    let farthest =
        frames.iter().map(|(revision, before)| log.bytes_since(*revision) - (log.bytes - before)).max();
    assert!(farthest.unwrap() <= 2 * log.bytes / (MOST_MARKS as u64 / 2), "{farthest:?}");
}
