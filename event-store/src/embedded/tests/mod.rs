//! The embedded store on real files.

mod copies;
mod crashes;
mod damage;
mod direct;
mod indexes;
mod keeping;
mod power_cuts;

use crate::NewEvent;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use futures_util::{FutureExt, TryStreamExt};
use tempfile::TempDir;
use uuid::Uuid;

use super::acknowledged::{AcknowledgedFile, End};
use super::frame::{HEADER_BYTES, Header};
use super::*;
use crate::follow;

const SMALL: Options = Options { segment_bytes: 2560 };

struct Journal {
    folder: TempDir,
    options: Options,
}

impl Journal {
    fn new(options: Options) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), options }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn try_open(&self) -> Result<EmbeddedStore, OpenError> {
        EmbeddedStore::open_with(self.path(), self.options, |_, _| {})
    }

    fn open(&self) -> EmbeddedStore {
        self.try_open().unwrap()
    }

    fn names(&self) -> Arc<Folder> {
        Arc::new(Folder::new(&Disk::System, self.path()))
    }

    fn segment(&self, first_revision: u64) -> PathBuf {
        self.names().segment(first_revision)
    }

    fn segments(&self) -> Vec<u64> {
        self.names().segments().unwrap()
    }

    fn last_segment(&self) -> PathBuf {
        self.segment(*self.segments().last().unwrap())
    }

    fn acknowledged(&self) -> PathBuf {
        self.names().acknowledged()
    }

    fn end(&self) -> End {
        acknowledged::read(&self.names()).unwrap().unwrap()
    }

    /// Puts `acknowledged` back to what it was, as a crash right before it was written leaves it.
    fn forget_acknowledged_after(&self, end: &End) {
        let handle = Disk::System.open(self.path()).unwrap();
        AcknowledgedFile::open(&self.names(), &handle, false, end).unwrap();
    }

    fn damage(&self) -> Damage {
        match self.try_open() {
            Err(OpenError::Damaged(damage)) => damage,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("opened"),
        }
    }
}

fn batch(number: u64, events: usize) -> Vec<NewEvent> {
    (0..events)
        .map(|index| NewEvent {
            id: Uuid::from_u64_pair(number, index as u64),
            kind: "GiftSent".into(),
            data: format!("{{\"number\":{number}}}").repeat(1 + index % 3).into_bytes(),
            metadata: b"{}".to_vec(),
        })
        .collect()
}

/// What a batch takes of the log without the zeros behind it, which may as well be missing.
fn frame_bytes(events: &[NewEvent]) -> u64 {
    (HEADER_BYTES + events.iter().map(NewEvent::stored_bytes).sum::<usize>()) as u64
}

/// Appends `events` at the end, whatever that is.
async fn append(store: &EmbeddedStore, events: &[NewEvent]) {
    let head = store.head().await.unwrap();
    store.append(head, events).await.unwrap();
}

async fn ids(store: &dyn EventStore) -> Vec<Uuid> {
    let events = store.read(0, usize::MAX).await.unwrap();
    assert!(events.iter().map(|event| event.revision).eq(0..events.len() as u64));
    events.iter().map(|event| event.id).collect()
}

fn ids_of(batches: &[Vec<NewEvent>]) -> Vec<Uuid> {
    batches.iter().flatten().map(|event| event.id).collect()
}

/// A journal of `batches`, closed.
async fn journal_of(options: Options, batches: &[Vec<NewEvent>]) -> Journal {
    let journal = Journal::new(options);
    let store = journal.open();
    for events in batches {
        append(&store, events).await;
    }
    journal
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_journal_reads_the_same_after_it_was_opened_again() {
    let batches = (0..40).map(|number| batch(number, 1 + number as usize % 5)).collect::<Vec<_>>();
    let journal = journal_of(Options::default(), &batches).await;
    let before = journal.open().read(0, usize::MAX).await.unwrap();
    let store = journal.open();
    assert_eq!(store.read(0, usize::MAX).await.unwrap(), before);
    assert_eq!(ids(&store).await, ids_of(&batches));
    assert_eq!(store.head().await.unwrap(), Some(before.len() as u64 - 1));
    append(&store, &batch(99, 2)).await;
    drop(store);
    assert_eq!(journal.open().head().await.unwrap(), Some(before.len() as u64 + 1));
}

#[tokio::test]
async fn a_batch_sent_again_after_a_restart_answers_its_first_outcome() {
    let batches = [batch(1, 3), batch(2, 2)];
    let journal = journal_of(SMALL, &batches).await;
    let store = journal.open();
    assert_eq!(store.append(None, &batches[0]).await.unwrap(), 2);
    assert_eq!(store.append(Some(2), &batches[1]).await.unwrap(), 4);
    assert_eq!(ids(&store).await, ids_of(&batches));
}

#[tokio::test]
async fn segments_roll_over_and_no_frame_straddles_two() {
    let mut batches = (0..60).map(|number| batch(number, 1 + number as usize % 7)).collect::<Vec<_>>();
    batches.push(batch(60, 200));
    batches.push(batch(61, 1));
    let journal = journal_of(SMALL, &batches).await;

    let segments = journal.segments();
    assert!(segments.len() > 10, "{segments:?}");
    for first in &segments {
        let bytes = fs::read(journal.segment(*first)).unwrap();
        let header = Header::decode(bytes[..HEADER_BYTES].try_into().unwrap()).unwrap();
        assert_eq!(header.first_revision, *first);
        assert!(bytes.len() <= 2560 || header.events == 200, "{}", bytes.len());
    }
    let store = journal.open();
    let all = ids_of(&batches);
    assert_eq!(ids(&store).await, all);
    for from in (0..all.len()).step_by(13) {
        let read = store.read(from as u64, 30).await.unwrap();
        let wanted = &all[from..all.len().min(from + 30)];
        assert!(read.iter().map(|event| event.id).eq(wanted.iter().copied()), "from {from}");
    }
}

#[tokio::test]
async fn the_sparse_index_finds_every_revision_of_a_long_segment() {
    let batches = (0..300)
        .map(|number| {
            let mut events = batch(number, 2);
            events[0].data = vec![b'x'; 1000];
            events
        })
        .collect::<Vec<_>>();
    let journal = journal_of(Options::default(), &batches).await;
    let (store, all) = (journal.open(), ids_of(&batches));
    for (revision, id) in all.iter().enumerate() {
        let read = store.read(revision as u64, 1).await.unwrap();
        assert_eq!((read[0].revision, read[0].id), (revision as u64, *id));
    }
}

#[tokio::test]
async fn progress_of_the_start_grows_up_to_the_whole() {
    let big = (0..8)
        .map(|number| {
            let mut events = batch(number, 1);
            events[0].data = vec![b'x'; 900_000];
            events
        })
        .collect::<Vec<_>>();
    let journal = journal_of(Options { segment_bytes: 3_000_000 }, &big).await;
    let mut writer = Vec::new();
    EmbeddedStore::open_with_progress(journal.path(), |done, total| writer.push((done, total))).unwrap();
    let mut reader = Vec::new();
    EmbeddedReader::open_with_progress(journal.path(), |done, total| reader.push((done, total))).unwrap();
    // A reader passes each full segment at once.
    for (reports, least) in [(writer, 4), (reader, 3)] {
        assert!(reports.len() >= least, "{reports:?}");
        assert!(reports.is_sorted(), "{reports:?}");
        let (done, total) = *reports.last().unwrap();
        assert!(done == total && total >= 7_200_000, "{reports:?}");
    }
}

#[tokio::test]
async fn a_second_writer_is_refused_until_the_first_has_gone() {
    let journal = Journal::new(SMALL);
    let first = journal.open();
    let error = journal.try_open().err().unwrap();
    assert!(matches!(error, OpenError::Locked { .. }));
    assert!(error.to_string().contains("another process is writing"), "{error}");
    drop(first);
    journal.open();
}

#[test]
fn a_folder_that_cannot_be_used_is_told_with_its_mend() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = EmbeddedStore::open(file.join("journal")).err().unwrap().to_string();
    assert!(error.contains("make the folder") && error.contains("check the path"), "{error}");
    let error = EmbeddedReader::open(folder.path().join("nowhere")).err().unwrap().to_string();
    assert!(error.contains("there is no journal in"), "{error}");

    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    // A superuser is not stopped by permissions.
    if let Err(error) = EmbeddedStore::open(&closed) {
        assert!(error.to_string().contains("give this user the right"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_beside_a_writer_follows_the_acknowledged_end() {
    let journal = Journal::new(SMALL);
    let store = journal.open();
    let reader = Arc::new(EmbeddedReader::open(journal.path()).unwrap());
    assert_eq!(reader.head().await.unwrap(), None);
    let refused = reader.append(None, &batch(1, 1)).await;
    assert!(matches!(refused, Err(AppendError::Refused(_))));

    let mut follower = Box::pin(follow(Arc::clone(&reader) as Arc<dyn EventStore>, 0, 5));
    let mut seen = Vec::new();
    for number in 0..30 {
        append(&store, &batch(number, 1 + number as usize % 4)).await;
        assert_eq!(reader.head().await.unwrap(), store.head().await.unwrap());
        let head = store.head().await.unwrap().unwrap();
        while seen.len() as u64 <= head {
            seen.extend(follower.try_next().await.unwrap().unwrap());
        }
    }
    assert_eq!(seen, store.read(0, usize::MAX).await.unwrap());
    let (head, _) = tokio::join!(reader.wait_beyond(Some(seen.len() as u64 - 1)), async {
        append(&store, &batch(30, 2)).await;
    });
    assert_eq!(head.unwrap(), seen.len() as u64 + 1);
}

#[tokio::test]
async fn a_reader_stops_at_the_acknowledged_end_though_more_is_in_the_file() {
    let journal = journal_of(SMALL, &[batch(1, 2)]).await;
    let before = journal.end();
    append(&journal.open(), &batch(2, 3)).await;
    let after = journal.end();
    journal.forget_acknowledged_after(&before);
    let reader = EmbeddedReader::open(journal.path()).unwrap();
    assert_eq!(ids(&reader).await, ids_of(&[batch(1, 2)]));
    assert!(reader.wait_beyond(Some(1)).now_or_never().is_none());
    journal.forget_acknowledged_after(&after);
    assert_eq!(reader.wait_beyond(Some(1)).await.unwrap(), 4);
    assert_eq!(ids(&reader).await, ids_of(&[batch(1, 2), batch(2, 3)]));
}

/// A bad sector under a batch that a follower has yet to come to.
#[tokio::test]
async fn a_follower_that_comes_to_damaged_bytes_says_where_and_goes_on_once_they_are_restored() {
    let journal = journal_of(SMALL, &[batch(1, 2)]).await;
    let before = journal.end();
    append(&journal.open(), &batch(2, 3)).await;
    let after = journal.end();
    journal.forget_acknowledged_after(&before);
    let reader: Arc<dyn EventStore> = Arc::new(EmbeddedReader::open(journal.path()).unwrap());
    let mut follower = Box::pin(follow(Arc::clone(&reader), 0, 5));
    assert_eq!(follower.try_next().await.unwrap().unwrap().len(), 2);

    let flip = || change(&journal.last_segment(), |bytes| bytes[before.offset as usize + 50] ^= 1);
    flip();
    journal.forget_acknowledged_after(&after);
    let error = follower.try_next().await.unwrap_err();
    assert!(matches!(error, ReadError::Damaged(_)), "{error:?}");
    assert!(error.to_string().contains("revision 2"), "it says where: {error}");
    assert!(follower.try_next().await.unwrap().is_none(), "the stream ends with the error");
    for error in [reader.head().await.unwrap_err(), reader.read(0, 9).await.unwrap_err()] {
        assert!(matches!(error, ReadError::Damaged(_)), "no shorter journal is shown: {error:?}");
    }

    flip();
    let mut follower = Box::pin(follow(reader, 2, 5));
    let rest = follower.try_next().await.unwrap().unwrap();
    assert_eq!(rest.iter().map(|event| event.id).collect::<Vec<_>>(), ids_of(&[batch(2, 3)]));
}

/// A bad sector under a batch that was whole when the writer opened the journal.
#[tokio::test]
async fn a_store_that_reads_damaged_bytes_says_where() {
    let journal = journal_of(SMALL, &[batch(1, 2)]).await;
    let store: Arc<dyn EventStore> = Arc::new(journal.open());
    change(&journal.last_segment(), |bytes| {
        let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[last - 20] ^= 1;
    });
    let error = store.read(0, 9).await.unwrap_err();
    assert!(matches!(error, ReadError::Damaged(_)), "{error:?}");
    let error = Box::pin(follow(store, 0, 5)).try_next().await.unwrap_err();
    assert!(matches!(error, ReadError::Damaged(_)), "{error:?}");
}

/// An older copy of the folder, or another journal, is put in place while a reader follows.
#[tokio::test]
async fn a_reader_refuses_a_position_that_has_gone_back_or_is_another_journals() {
    let journal = journal_of(SMALL, &[batch(1, 2)]).await;
    let before = journal.end();
    append(&journal.open(), &batch(2, 3)).await;
    let after = journal.end();
    let reader = EmbeddedReader::open(journal.path()).unwrap();
    assert_eq!(reader.head().await.unwrap(), Some(4));
    for stale in [End::default(), before, End { chain: after.chain ^ 1, ..after }] {
        journal.forget_acknowledged_after(&stale);
        for error in [reader.head().await.unwrap_err(), reader.read(0, 9).await.unwrap_err()] {
            assert!(error.to_string().contains("put in its place"), "{error}");
            assert!(matches!(error, ReadError::TailBehind(_)), "{error:?}");
        }
        assert!(reader.wait_beyond(Some(4)).await.is_err());
    }
    journal.forget_acknowledged_after(&after);
    assert_eq!(reader.head().await.unwrap(), Some(4));
}

#[tokio::test]
async fn nobody_else_can_read_the_journal() {
    let journal = Journal::new(SMALL);
    let folder = journal.path().join("data/journal");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let check = || {
        let mut files = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            files += 1;
        }
        assert_eq!((mode(&folder), mode(folder.parent().unwrap())), (0o700, 0o700));
        files
    };
    let open = || EmbeddedStore::open_with(&folder, SMALL, |_, _| {}).unwrap();
    let store = open();
    for number in 0..9 {
        append(&store, &batch(number, 5)).await;
    }
    assert!(check() >= 6);
    drop(store);
    // What an older copy or another program has left open to others is closed at the next start.
    for entry in fs::read_dir(&folder).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    open();
    check();
}
