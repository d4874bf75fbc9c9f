//! A log that the store has written, cut at every byte of its last batches and with bits flipped at random.
//!
//! The rule that each case is held against: a start that succeeds shows every batch up to the first one that is
//! not whole, and at least what the file `acknowledged` names. Any other start is refused, names the place of the
//! first batch that is not whole, and changes no byte.
//!
//! The bytes come from real files. The cases run on the simulated disk, where a flush costs nothing.

use crate::NewEvent;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::simulated_disk::{Random, SimulatedDisk};
use super::*;

const FOLDER: &str = "/data/muneem/journal";
const ACKNOWLEDGED: &str = "acknowledged";

type Files = BTreeMap<String, Vec<u8>>;

/// A log of some batches, and where each of them stands in it.
struct RealLog {
    files: Files,
    batches: Vec<Vec<NewEvent>>,
    /// Where the log ends with the first n batches; the first one is the empty log.
    ends: Vec<End>,
    /// The file `acknowledged` as it was at each of these ends.
    acknowledged: Vec<Vec<u8>>,
}

impl RealLog {
    async fn write(batches: Vec<Vec<NewEvent>>) -> Self {
        let journal = Journal::new(SMALL);
        let store = journal.open();
        let mut ends = vec![journal.end()];
        let mut acknowledged = vec![fs::read(journal.acknowledged()).unwrap()];
        for events in &batches {
            append(&store, events).await;
            ends.push(journal.end());
            acknowledged.push(fs::read(journal.acknowledged()).unwrap());
        }
        // Read while the store is open, as a power cut finds it: with the zeros that it has written ahead.
        let names = journal.segments().into_iter().map(|first| journal.segment(first));
        let files = names.map(|path| (name(&path), fs::read(&path).unwrap())).collect();
        Self { files, batches, ends, acknowledged }
    }

    /// Where batch `number` begins. The first batch of a segment begins at its start.
    fn start(&self, number: usize) -> (String, u64) {
        let (before, after) = (self.ends[number], self.ends[number + 1]);
        let offset = if before.segment == after.segment { before.offset } else { 0 };
        (segment_name(after.segment), offset)
    }

    /// The batch that a byte belongs to; `None` for the zeros behind the last batch of a segment.
    fn batch_at(&self, segment: &str, offset: u64) -> Option<usize> {
        (0..self.batches.len()).find(|number| {
            let (name, start) = self.start(*number);
            name == segment && (start..self.ends[number + 1].offset).contains(&offset)
        })
    }

    /// How many batches are whole when the log ends there.
    fn whole_up_to(&self, segment: u64, offset: u64) -> usize {
        let is_whole = |number: &usize| {
            let (segment_of_it, start) = (self.ends[number + 1].segment, self.start(*number).1);
            (segment_of_it, start + frame_bytes(&self.batches[*number])) <= (segment, offset)
        };
        (0..self.batches.len()).take_while(is_whole).count()
    }

    /// Holds a start on `files`, where the first `acknowledged` batches were acknowledged, against the rule.
    async fn check_writer(&self, files: &Files, acknowledged: usize, expected: &Expected) {
        let files = self.acknowledging(files, acknowledged);
        let (disk, opened) = start(&files);
        match (opened, expected) {
            (Ok(store), Expected::Opens(whole)) => {
                let whole = *whole;
                assert!(whole >= acknowledged, "the case itself loses what was acknowledged");
                self.assert_shows(&store, whole).await;
                // It goes on from there, and the next start agrees.
                append(&store, &batch(99, 2)).await;
                drop(store);
                let store = EmbeddedStore::open_on(&disk, Path::new(FOLDER), SMALL, |_, _| {}).unwrap();
                let mut recorded = ids_of(&self.batches[..whole]);
                recorded.extend(ids_of(&[batch(99, 2)]));
                assert_eq!(ids(&store).await, recorded);
            }
            (Err(error), Expected::Refused(segment, offset, revision)) => {
                let at = place_of(&error);
                assert_eq!(
                    (&name(&at.segment), &at.offset, &at.revision),
                    (segment, offset, revision),
                    "{error}"
                );
                assert!(error.to_string().contains(&name(&at.segment)), "the text names the place: {error}");
                for (name, bytes) in &files {
                    assert_eq!(&contents(&disk, name), bytes, "a refused start changes nothing in {name}");
                }
            }
            (Ok(store), Expected::Refused(..)) => {
                panic!("opened with {} events", ids(&store).await.len())
            }
            (Err(error), Expected::Opens(whole)) => panic!("{whole} batches are whole: {error}"),
        }
    }

    /// Another process sees what was acknowledged, all of it and nothing else, or is refused.
    async fn check_reader(&self, files: &Files, acknowledged: usize, expected: &Expected) {
        let files = self.acknowledging(files, acknowledged);
        let opened = EmbeddedReader::open_on(&disk_with(&files), Path::new(FOLDER), |_, _| {});
        let next = self.ends[acknowledged].next_revision;
        match (opened, expected) {
            (Ok(reader), _) => self.assert_shows(&reader, acknowledged).await,
            (Err(OpenError::NoJournal { .. }), _) => assert_eq!(acknowledged, 0),
            (Err(error), Expected::Refused(segment, offset, revision)) => {
                let at = place_of(&error);
                assert_eq!((&name(&at.segment), at.offset, at.revision), (segment, *offset, *revision));
                assert!(*revision < next, "what was acknowledged is whole, and yet: {error}");
            }
            (Err(error), Expected::Opens(_)) => panic!("what was acknowledged is whole, and yet: {error}"),
        }
    }

    fn acknowledging(&self, files: &Files, batches: usize) -> Files {
        let mut files = files.clone();
        files.insert(ACKNOWLEDGED.to_owned(), self.acknowledged[batches].clone());
        files
    }

    async fn assert_shows(&self, store: &dyn EventStore, batches: usize) {
        let events = store.read(0, usize::MAX).await.unwrap();
        let recorded = self.batches[..batches].iter().flatten();
        assert_eq!(events.len(), self.ends[batches].next_revision as usize, "events");
        for (revision, (found, given)) in (0..).zip(events.iter().zip(recorded)) {
            let NewEvent { id, kind, data, metadata } = given.clone();
            assert_eq!(*found, RecordedEvent { revision, id, kind, data, metadata });
        }
    }
}

enum Expected {
    /// With so many batches.
    Opens(usize),
    /// At this segment and offset, where a batch with this revision should begin.
    Refused(String, u64, u64),
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn segment_name(first_revision: u64) -> String {
    format!("{first_revision:020}.segment")
}

fn place_of(error: &OpenError) -> Place {
    match error {
        OpenError::Damaged(damage) => damage.at.clone(),
        OpenError::TailBehind { at, .. } => at.clone(),
        other => panic!("it says no place: {other}"),
    }
}

fn disk_with(files: &Files) -> Disk {
    let disk = Disk::Simulated(SimulatedDisk::new(0));
    for level in ["/data", "/data/muneem", FOLDER] {
        disk.make_folder(Path::new(level)).unwrap();
    }
    for (name, bytes) in files {
        disk.create(&Path::new(FOLDER).join(name)).unwrap().write_all_at(bytes, 0).unwrap();
    }
    disk
}

fn start(files: &Files) -> (Disk, Result<EmbeddedStore, OpenError>) {
    let disk = disk_with(files);
    let opened = EmbeddedStore::open_on(&disk, Path::new(FOLDER), SMALL, |_, _| {});
    (disk, opened)
}

fn contents(disk: &Disk, name: &str) -> Vec<u8> {
    let file = disk.open(&Path::new(FOLDER).join(name)).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

async fn some_log() -> RealLog {
    let log = RealLog::write((0..11).map(|number| batch(number, 1 + number as usize % 4)).collect()).await;
    assert!(log.files.len() >= 2, "the last batches are in two segments");
    log
}

/// Every cut in the last batches, with every acknowledged position that is possible there: the one before the cut,
/// as a power cut leaves it, and those beyond it, as lost bytes or an older copy of the folder leave them.
#[tokio::test]
async fn a_log_cut_at_any_byte_holds_what_was_acknowledged_or_names_where_it_ends() {
    let log = some_log().await;
    let (last, first_cut) = (log.batches.len(), log.batches.len() - 6);
    assert_ne!(log.ends[first_cut].segment, log.ends[last].segment, "a boundary of segments is among them");
    let mut cuts = 0;
    for number in first_cut..last {
        let (segment, begin) = log.start(number);
        let first_revision = log.ends[number + 1].segment;
        let (frame_end, end) = (begin + frame_bytes(&log.batches[number]), log.ends[number + 1].offset);
        for offset in (begin..=frame_end).chain((frame_end..=end).skip(1).step_by(50)).chain([end]) {
            for zeros in [false, true] {
                // What follows the cut was not on the disk yet, in the next segments neither.
                let mut files = log.files.clone();
                files.retain(|name, _| *name <= segment);
                let bytes = files.get_mut(&segment).unwrap();
                let length = bytes.len();
                bytes.truncate(offset as usize);
                if zeros {
                    bytes.resize(length, 0);
                }
                let whole = log.whole_up_to(first_revision, offset);
                // At the start of a segment the log has left the one before it.
                let in_segment = log.ends[whole].segment == first_revision;
                let at = if in_segment { log.ends[whole].offset } else { 0 };
                for acknowledged in first_cut..=last {
                    let expected = match acknowledged <= whole {
                        true => Expected::Opens(whole),
                        false => Expected::Refused(segment.clone(), at, log.ends[whole].next_revision),
                    };
                    log.check_writer(&files, acknowledged, &expected).await;
                    log.check_reader(&files, acknowledged, &expected).await;
                }
                cuts += 1;
            }
        }
    }
    assert!(cuts > 1000, "{cuts}");
}

/// One bit of the log flips. Inside the very last batch that looks like a torn write, so what decides is whether that
/// batch is known to have been acknowledged.
#[test]
fn a_flipped_bit_refuses_the_start_and_names_its_batch_unless_it_looks_like_a_torn_write() {
    for_seeds(async |log, random| {
        let (segment, offset, files) = flip(log, random);
        let last = log.batches.len() - 1;
        let acknowledged = random.below(log.batches.len() as u64 + 1) as usize;
        let expected = match log.batch_at(&segment, offset) {
            Some(number) if number < last || acknowledged > last => {
                let (segment, start) = log.start(number);
                Expected::Refused(segment, start, log.ends[number].next_revision)
            }
            Some(_) => Expected::Opens(last),
            // Behind the last batch of a full segment there are zeros that nothing was written over.
            None if segment != segment_name(log.ends[last + 1].segment) => {
                let number = (0..last).rfind(|number| log.start(*number).0 == segment).unwrap();
                let end = log.ends[number + 1];
                Expected::Refused(segment.clone(), end.offset, end.next_revision)
            }
            None => Expected::Opens(last + 1),
        };
        log.check_writer(&files, acknowledged, &expected).await;
        // Readers do not look at what is behind the last batch of a segment.
        if log.batch_at(&segment, offset).is_some() {
            log.check_reader(&files, acknowledged, &expected).await;
        }
    });
}

/// Up to eight bits flip, anywhere. Whatever they hit, no event is shown that was not written, and none is missing
/// that `acknowledged` names.
#[test]
fn however_many_bits_flip_nothing_is_made_up_and_nothing_acknowledged_is_missing() {
    for_seeds(async |log, random| {
        let acknowledged = random.below(log.batches.len() as u64 + 1) as usize;
        let mut files = log.acknowledging(&log.files, acknowledged);
        for _ in 0..2 + random.below(7) {
            let (segment, offset, _) = flip(log, random);
            files.get_mut(&segment).unwrap()[offset as usize] ^= 1 << random.below(8);
        }
        match start(&files).1 {
            Ok(store) => {
                let shown = ids(&store).await.len() as u64;
                let batches =
                    log.ends.iter().position(|end| end.next_revision == shown).expect("whole batches");
                assert!(batches >= acknowledged, "{batches} of {acknowledged}");
                log.assert_shows(&store, batches).await;
            }
            Err(error) => drop(place_of(&error)),
        }
    });
}

/// The position itself is damaged: it is never believed, and as every batch is whole it is written again.
#[tokio::test]
async fn a_flipped_bit_in_the_acknowledged_position_is_noticed() {
    let log = some_log().await;
    let last = log.batches.len();
    for bit in 0..log.acknowledged[last].len() * 8 {
        let mut files = log.files.clone();
        let mut position = log.acknowledged[last].clone();
        position[bit / 8] ^= 1 << (bit % 8);
        files.insert(ACKNOWLEDGED.to_owned(), position);
        let reader = EmbeddedReader::open_on(&disk_with(&files), Path::new(FOLDER), |_, _| {});
        assert!(matches!(reader, Err(OpenError::NoAcknowledgedPosition { .. })), "bit {bit}");
        let (disk, opened) = start(&files);
        log.assert_shows(&opened.unwrap(), last).await;
        assert_eq!(contents(&disk, ACKNOWLEDGED), log.acknowledged[last], "bit {bit}");
    }
}

/// A random bit of the log: the segment and the offset of its byte, and the files with it flipped.
fn flip(log: &RealLog, random: &mut Random) -> (String, u64, Files) {
    let mut files = log.files.clone();
    let number = random.below(files.len() as u64) as usize;
    let (segment, bytes) = files.iter_mut().nth(number).unwrap();
    let offset = random.below(bytes.len() as u64);
    bytes[offset as usize] ^= 1 << random.below(8);
    (segment.clone(), offset, files)
}

/// Runs a case for each seed on one log; `MUNEEM_DISK_SEED=7` runs the one that a failure has named.
fn for_seeds(case: impl AsyncFn(&RealLog, &mut Random)) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let log = runtime.block_on(some_log());
    for seed in super::crashes::seeds(2_000) {
        let told = catch_unwind(AssertUnwindSafe(|| runtime.block_on(case(&log, &mut Random(seed)))));
        assert!(told.is_ok(), "failed with MUNEEM_DISK_SEED={seed}");
    }
}
