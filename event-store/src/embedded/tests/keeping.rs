//! Full segments that are compressed and read again beside the writer.

use super::super::segment::Segment;
use super::super::simulated_disk::{Plan, SimulatedDisk};
use super::*;
use crate::EventsHash;

fn some_batches() -> Vec<Vec<NewEvent>> {
    (0..40).map(|number| batch(number, 1 + number as usize % 4)).collect()
}

/// A segment of several blocks.
const LARGE: Options = Options { segment_bytes: 700_000 };

fn large_batches() -> Vec<Vec<NewEvent>> {
    (0..400).map(|number| batch(number, 60)).collect()
}

fn keep_all(reader: &EmbeddedReader) -> usize {
    let full = reader.full_segments().unwrap();
    full.iter().filter(|first| reader.compress(**first, |_| {}).unwrap().is_some()).count()
}

fn is_compressed(path: &Path) -> bool {
    Segment::open(&Disk::System, path).unwrap().is_compressed()
}

#[tokio::test]
async fn a_journal_with_compressed_segments_reads_as_before_for_everybody() {
    for (options, batches) in [(SMALL, some_batches()), (LARGE, large_batches())] {
        let journal = journal_of(options, &batches).await;
        let plain: Vec<_> =
            journal.segments().iter().map(|first| fs::read(journal.segment(*first)).unwrap()).collect();
        let store = journal.open();
        let before = store.read(0, usize::MAX).await.unwrap();
        let early = EmbeddedReader::open(journal.path()).unwrap();

        let full = early.full_segments().unwrap();
        assert_eq!(full.len() + 1, journal.segments().len(), "all but the last");
        assert_eq!(keep_all(&early), full.len());
        assert_eq!(keep_all(&early), 0, "once is enough");
        for (first, plain) in full.iter().zip(&plain) {
            let bytes = fs::read(journal.segment(*first)).unwrap();
            let whole = zstd::stream::decode_all(&bytes[..]).unwrap();
            assert!(plain.starts_with(&whole), "any program for Zstandard makes the segment of it");
            assert!(plain[whole.len()..].iter().all(|byte| *byte == 0));
            early.check(*first, |_| {}).unwrap();
        }
        assert!(!is_compressed(&journal.last_segment()));

        let late = EmbeddedReader::open(journal.path()).unwrap();
        let readers: [&dyn EventStore; 3] = [&store, &early, &late];
        for reader in readers {
            assert_eq!(reader.read(0, usize::MAX).await.unwrap(), before);
            for from in (0..before.len()).step_by(7) {
                let events = reader.read(from as u64, 5).await.unwrap();
                assert_eq!(events, before[from..before.len().min(from + 5)]);
            }
        }
        let followed: Vec<_> = follow(Arc::new(EmbeddedReader::open(journal.path()).unwrap()), 0, 9)
            .try_take_while(|events| {
                let more = events.last().unwrap().revision + 1 < before.len() as u64;
                std::future::ready(Ok(more))
            })
            .try_collect()
            .await
            .unwrap();
        assert!(followed.concat().iter().eq(&before[..followed.concat().len()]));
        // A batch that is sent again is known in a compressed segment too.
        assert_eq!(store.append(None, &batches[0]).await.unwrap(), batches[0].len() as u64 - 1);
        append(&store, &batch(99, 3)).await;
        drop(store);
        let store = journal.open();
        assert_eq!(store.read(0, before.len()).await.unwrap(), before);
        assert_eq!(store.head().await.unwrap(), Some(before.len() as u64 + 2));

        let copy = tempfile::tempdir().unwrap();
        let copied = late.copy_to(copy.path(), |_, _| {}).unwrap();
        let events = store.read(0, usize::MAX).await.unwrap();
        let mut hash = EventsHash::default();
        events.iter().for_each(|event| hash.update(event));
        assert_eq!(copied.hash, hash.finish());
        assert!(is_compressed(&copy.path().join(journal.segment(0).file_name().unwrap())));
        let copy = EmbeddedStore::open(copy.path()).unwrap();
        assert_eq!(copy.read(0, usize::MAX).await.unwrap(), events);
    }
}

#[tokio::test]
async fn an_inspection_tells_what_is_compressed_and_indexes_are_made_of_it() {
    let journal = journal_of(LARGE, &large_batches()).await;
    let reader = EmbeddedReader::open(journal.path()).unwrap();
    let before = reader.inspect().unwrap();
    keep_all(&reader);
    let after = reader.inspect().unwrap();
    let (last, full) = after.segments.split_last().unwrap();
    assert!(full.iter().all(|it| it.compressed && it.indexed && it.file_bytes < it.bytes / 2), "{full:?}");
    assert!(!last.compressed);
    assert_eq!((before.events, before.bytes, before.end), (after.events, after.bytes, after.end));
    for first in reader.full_segments().unwrap() {
        fs::remove_file(journal.names().index(first)).unwrap();
    }
    drop(journal.open());
    assert_eq!(reader.inspect().unwrap(), after, "the writer's start has made them again");
}

#[tokio::test]
async fn damage_in_a_compressed_segment_is_told_by_its_place_and_refuses_the_start() {
    let journal = journal_of(LARGE, &large_batches()).await;
    let reader = EmbeddedReader::open(journal.path()).unwrap();
    keep_all(&reader);
    let second = reader.full_segments().unwrap()[1];
    let path = journal.segment(second);
    let whole = fs::read(&path).unwrap();
    let before = journal.open().read(0, usize::MAX).await.unwrap();
    let mut told = 0;
    for place in (0..whole.len()).step_by(whole.len() / 150).chain(whole.len() - 40..whole.len()) {
        change(&path, |bytes| bytes[place] ^= 0x11);
        match reader.check(second, |_| {}) {
            Err(OpenError::Damaged(damage)) => {
                told += 1;
                assert_eq!(damage.at.segment, path, "byte {place}");
                let start = journal.try_open().err().expect("refused");
                assert!(matches!(&start, OpenError::Damaged(damage) if damage.at.segment == path), "{start}");
                for first in reader.full_segments().unwrap().into_iter().filter(|first| *first != second) {
                    reader.check(first, |_| {}).unwrap();
                }
            }
            // Bits that mean nothing to a decompressor.
            Ok(()) => assert_eq!(journal.open().read(0, usize::MAX).await.unwrap(), before, "byte {place}"),
            Err(other) => panic!("{other}"),
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(told > 150, "{told} were told");
    for cut in [0, 3, 4, 100, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(matches!(reader.check(second, |_| {}), Err(OpenError::Damaged(_))), "cut at {cut}");
    }
    fs::write(&path, &whole).unwrap();
    reader.check(second, |_| {}).unwrap();
}

#[tokio::test]
async fn what_is_damaged_is_not_compressed_and_stays_as_it_is() {
    let journal = journal_of(SMALL, &some_batches()).await;
    let reader = EmbeddedReader::open(journal.path()).unwrap();
    let second = reader.full_segments().unwrap()[1];
    change(&journal.segment(second), |bytes| bytes[40] ^= 1);
    let damaged = fs::read(journal.segment(second)).unwrap();
    match reader.compress(second, |_| {}) {
        Err(OpenError::Damaged(damage)) => assert_eq!((damage.at.revision, damage.at.offset), (second, 0)),
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read(journal.segment(second)).unwrap(), damaged);
    assert!(matches!(reader.check(second, |_| {}), Err(OpenError::Damaged(_))));
}

#[tokio::test]
async fn a_compressed_segment_at_the_end_says_that_what_came_after_it_is_missing() {
    let journal = journal_of(SMALL, &some_batches()).await;
    let reader = EmbeddedReader::open(journal.path()).unwrap();
    keep_all(&reader);
    let end = journal.end();
    fs::remove_file(journal.last_segment()).unwrap();
    assert!(matches!(journal.try_open(), Err(OpenError::TailBehind { .. })));
    fs::remove_file(journal.acknowledged()).unwrap();
    let damage = journal.damage();
    assert!(damage.what.contains("another one came after it"), "{damage}");
    assert_eq!(damage.at.revision, end.segment);
}

/// The process is killed in each step of a compression, and then the power goes.
#[tokio::test]
async fn a_crash_at_any_moment_of_a_compression_leaves_one_good_copy() {
    let folder = Path::new("/data/muneem/journal");
    let batches = some_batches();
    let mut done = 0;
    for seed in 0..40 {
        for step in 1.. {
            let simulated = SimulatedDisk::new(seed << 8 | step);
            let disk = Disk::Simulated(simulated.clone());
            let store = EmbeddedStore::open_on(&disk, folder, SMALL, |_, _| {}).unwrap();
            for events in &batches {
                append(&store, events).await;
            }
            let reader = EmbeddedReader::open_on(&disk, folder, |_, _| {}).unwrap();
            let full = reader.full_segments().unwrap();
            simulated.plan(Plan { killed_at: Some(step), ..Plan::default() });
            let compressed: Vec<_> = full[..2].iter().map(|first| reader.compress(*first, |_| {})).collect();
            let killed = simulated.killed();
            assert_eq!(compressed.iter().any(Result::is_err), killed);
            drop(store);
            simulated.lose_power();

            let store = EmbeddedStore::open_on(&disk, folder, SMALL, |_, _| {}).unwrap();
            assert_eq!(ids(&store).await, ids_of(&batches), "seed {seed}, step {step}");
            let reader = EmbeddedReader::open_on(&disk, folder, |_, _| {}).unwrap();
            keep_all(&reader);
            for first in reader.full_segments().unwrap() {
                assert!(Segment::open(&disk, &reader.reading.folder.segment(first)).unwrap().is_compressed());
                reader.check(first, |_| {}).unwrap();
            }
            append(&store, &batch(99, 1)).await;
            assert_eq!(ids(&store).await.len(), ids_of(&batches).len() + 1);
            done += usize::from(killed);
            if !killed {
                break;
            }
        }
    }
    assert!(done > 400, "{done} crashes");
}

#[tokio::test]
async fn a_full_disk_leaves_the_plain_segment_and_a_later_try_compresses_it() {
    let folder = Path::new("/data/muneem/journal");
    let batches = some_batches();
    for step in 0..12 {
        let simulated = SimulatedDisk::new(step);
        let disk = Disk::Simulated(simulated.clone());
        let store = EmbeddedStore::open_on(&disk, folder, SMALL, |_, _| {}).unwrap();
        for events in &batches {
            append(&store, events).await;
        }
        let reader = EmbeddedReader::open_on(&disk, folder, |_, _| {}).unwrap();
        simulated.plan(Plan { full: step..step + 3, ..Plan::default() });
        let first = reader.full_segments().unwrap()[0];
        drop(reader.compress(first, |_| {}));
        simulated.plan(Plan::default());
        assert_eq!(ids(&store).await, ids_of(&batches), "step {step}");
        keep_all(&reader);
        assert_eq!(ids(&reader).await, ids_of(&batches), "step {step}");
        append(&store, &batch(99, 1)).await;
    }
}
