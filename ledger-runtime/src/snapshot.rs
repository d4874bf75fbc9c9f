//! Snapshots: the state at one revision in a file, so that a start replays only what came after it.
//!
//! A snapshot follows from the journal and is never believed over it. One that is damaged, of another journal, of
//! another version of the state, beyond the journal's end, or at a revision where the journal has another event, is
//! passed over, and an older one or the whole journal is replayed instead.
//!
//! Each is made of the one before it and of the events since then, on a copy of the state that exists only meanwhile:
//! the writer never waits, and nothing holds the state twice between two snapshots.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | magic `mjs1`, the file's version in it |
//! | 4 | 4 | the state's version, little-endian like all numbers |
//! | 8 | 8 | revision of the last event in the state |
//! | 16 | 16 | id of that event |
//! | 32 | 16 | id of the journal |
//! | 48 | 32 | hash of the state: the SHA-256 of the rest |
//! | 80 | | the state |

use crate::codec::{JournalError, read_journal_id};
use crate::ledger::Ledger;
use crate::replay::replay;
use event_store::{EventStore, ReadError};
use ledger_core::{JournalId, NotAState, STATE_VERSION, State};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::spawn_blocking;
use tracing::warn;
use uuid::Uuid;

const MAGIC: [u8; 4] = *b"mjs1";
const HEADER_BYTES: usize = 80;
const EXTENSION: &str = "snapshot";
/// The one file that a snapshot is written to before it gets its name, so that crashes leave no more than one.
const UNFINISHED: &str = "unfinished";
/// Bytes that stay free on the disk.
const ROOM_LEFT: u64 = 256 * 1024 * 1024;
/// Bytes that are written at once.
const BUFFER: usize = 1024 * 1024;

/// Where snapshots are, and how often one is made.
#[derive(Clone, Debug)]
pub struct Snapshots {
    folder: PathBuf,
    every: u64,
}

/// Why a file is passed over.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is no snapshot")]
    NotASnapshot,
    #[error("it is of version {0} of the state, and this program's is {STATE_VERSION}")]
    OtherVersion(u32),
    #[error("it is of the journal {0}")]
    OtherJournal(JournalId),
    #[error("its revision {0} is beyond the journal's end")]
    BeyondTheEnd(u64),
    #[error("the journal has another event at its revision {0}")]
    OtherEvent(u64),
    #[error("its bytes do not have the hash of its state")]
    OtherHash,
    #[error(transparent)]
    NotAState(#[from] NotAState),
    #[error("its state is that at another revision than it says")]
    OtherState,
}

/// Why no snapshot was made.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the snapshot cannot be written to {}: {fault}", folder.display())]
    Io { folder: PathBuf, fault: io::Error },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    version: u32,
    revision: u64,
    event: Uuid,
    journal: JournalId,
    hash: [u8; 32],
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.version.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.revision.to_le_bytes());
        bytes[16..32].copy_from_slice(self.event.as_bytes());
        bytes[32..48].copy_from_slice(self.journal.0.as_bytes());
        bytes[48..80].copy_from_slice(&self.hash);
        bytes
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Header> {
        fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
            std::array::from_fn(|place| bytes[at + place])
        }
        (bytes[0..4] == MAGIC).then(|| Header {
            version: u32::from_le_bytes(part(bytes, 4)),
            revision: u64::from_le_bytes(part(bytes, 8)),
            event: Uuid::from_bytes(part(bytes, 16)),
            journal: JournalId(Uuid::from_bytes(part(bytes, 32))),
            hash: part(bytes, 48),
        })
    }
}

impl Snapshots {
    /// Snapshots in `folder`, one for each `every` events.
    pub fn new(folder: impl Into<PathBuf>, every: u64) -> Snapshots {
        Snapshots { folder: folder.into(), every: every.max(1) }
    }

    /// Makes a snapshot whenever the ledger has come so many events further than the last, until the ledger is gone.
    /// `made` hears the revision of each. One that cannot be made is told in the log, and tried again so many events
    /// later: the ledger works without.
    pub async fn keep(&self, ledger: Ledger, made: impl Fn(u64)) {
        let (store, mut durable) = (ledger.store(), ledger.durable());
        let mut from = ledger.opened_from().map_or(0, |revision| revision + 1);
        // The ledger ends with its last handle.
        drop(ledger);
        loop {
            let next = from.saturating_add(self.every);
            let Ok(events) = durable.wait_for(|events| *events >= next).await.map(|events| *events) else {
                return;
            };
            from = match self.make(&store).await {
                Ok(revision) => {
                    made(revision);
                    revision + 1
                }
                Err(fault) => {
                    warn!(%fault, "no snapshot was made; the next start replays more");
                    events
                }
            };
        }
    }

    /// Makes a snapshot of the journal's end out of the newest one and what came after it, and answers its revision.
    ///
    /// # Errors
    /// When the journal cannot be replayed or the file cannot be written. Those that were there stay.
    pub async fn make(&self, store: &Arc<dyn EventStore>) -> Result<u64, SnapshotError> {
        let before = self.load(store.as_ref()).await.map_err(JournalError::from)?;
        let state = replay(store, before.unwrap_or_default(), |_, _| {}).await?;
        let (Some(journal), Some(revision)) = (state.journal(), state.revision()) else {
            return Err(JournalError::Lost { next: 0, durable: 1 }.into());
        };
        let events = store.read(revision, 1).await.map_err(JournalError::from)?;
        let event = events.first().ok_or(JournalError::Lost { next: revision, durable: revision + 1 })?.id;
        let header = Header { version: STATE_VERSION, revision, event, journal, hash: [0; 32] };
        let snapshots = self.clone();
        let written = spawn_blocking(move || snapshots.write(header, &state)).await;
        let written = written.unwrap_or_else(|fault| Err(io::Error::other(fault)));
        written.map_err(|fault| SnapshotError::Io { folder: self.folder.clone(), fault })?;
        Ok(revision)
    }

    fn write(&self, header: Header, state: &State) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(UNFINISHED);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
        // Another server may have the same folder.
        file.try_lock()?;
        file.set_len(0)?;
        self.check_room()?;
        let written = write_to(&file, header, state);
        let named = written.and_then(|()| {
            std::fs::rename(&path, self.path(header.revision))?;
            File::open(&self.folder)?.sync_all()
        });
        if named.is_err() {
            // It may be for want of room: none is kept from the journal.
            let _ = std::fs::remove_file(&path);
        }
        named?;
        self.keep_two(header.revision)
    }

    /// Leaves the journal its room, where it is on the same disk.
    fn check_room(&self) -> io::Result<()> {
        let disk = rustix::fs::statvfs(&self.folder)?;
        let newest =
            newest_first(&self.folder)?.first().map(|revision| std::fs::metadata(self.path(*revision)));
        let needed = newest.transpose()?.map_or(0, |newest| newest.len()).saturating_mul(2);
        if disk.f_bavail.saturating_mul(disk.f_frsize) < needed.saturating_add(ROOM_LEFT) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is nearly full"));
        }
        Ok(())
    }

    /// Removes all but the one at `revision` and the one before it. One that lies beyond belongs to another journal.
    fn keep_two(&self, revision: u64) -> io::Result<()> {
        let others: Vec<u64> =
            newest_first(&self.folder)?.into_iter().filter(|other| *other != revision).collect();
        let before = others.iter().copied().find(|other| *other < revision);
        for other in others.into_iter().filter(|other| Some(*other) != before) {
            std::fs::remove_file(self.path(other))?;
        }
        Ok(())
    }

    /// The state of the newest snapshot that fits the journal in `store`; `None` where there is none.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) async fn load(&self, store: &dyn EventStore) -> Result<Option<State>, ReadError> {
        let Some(journal) = read_journal_id(store).await? else { return Ok(None) };
        for revision in newest_first(&self.folder).unwrap_or_default() {
            let path = self.path(revision);
            let found =
                match open(&path).and_then(|(header, file)| header.fits(journal).map(|()| (header, file))) {
                    Ok((header, file)) => load_one(header, file, store).await?,
                    Err(reason) => Err(reason),
                };
            match found {
                Ok(state) => return Ok(Some(state)),
                Err(reason) => warn!(snapshot = %path.display(), %reason, "a snapshot is passed over"),
            }
        }
        Ok(None)
    }

    fn path(&self, revision: u64) -> PathBuf {
        self.folder.join(format!("{revision:020}.{EXTENSION}"))
    }
}

impl Header {
    fn fits(&self, journal: JournalId) -> Result<(), Unusable> {
        if self.version != STATE_VERSION {
            return Err(Unusable::OtherVersion(self.version));
        }
        if self.journal != journal {
            return Err(Unusable::OtherJournal(self.journal));
        }
        Ok(())
    }

    /// Whether the journal has the snapshot's event at its revision.
    async fn stands_in(&self, store: &dyn EventStore) -> Result<Result<(), Unusable>, ReadError> {
        let found = store.read(self.revision, 1).await?;
        Ok(match found.first() {
            None => Err(Unusable::BeyondTheEnd(self.revision)),
            Some(event) if event.id != self.event => Err(Unusable::OtherEvent(self.revision)),
            Some(_) => Ok(()),
        })
    }
}

/// The revisions by which the snapshots in a folder are named.
fn newest_first(folder: &Path) -> io::Result<Vec<u64>> {
    let mut revisions = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(EXTENSION)?.strip_suffix('.'));
        revisions.extend(stem.filter(|stem| stem.len() == 20).and_then(|stem| stem.parse::<u64>().ok()));
    }
    revisions.sort_unstable_by(|one, other| other.cmp(one));
    Ok(revisions)
}

fn open(path: &Path) -> Result<(Header, File), Unusable> {
    let mut file = File::open(path)?;
    let mut bytes = [0; HEADER_BYTES];
    file.read_exact(&mut bytes)?;
    Ok((Header::decode(&bytes).ok_or(Unusable::NotASnapshot)?, file))
}

async fn load_one(
    header: Header,
    file: File,
    store: &dyn EventStore,
) -> Result<Result<State, Unusable>, ReadError> {
    if let Err(reason) = header.stands_in(store).await? {
        return Ok(Err(reason));
    }
    let read = spawn_blocking(move || read_state(&header, file)).await;
    Ok(read.unwrap_or_else(|fault| Err(io::Error::other(fault).into())))
}

/// Reads what follows the header. Bytes that do not have the right hash are not looked at.
fn read_state(header: &Header, mut file: File) -> Result<State, Unusable> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    if Sha256::digest(&bytes) != header.hash {
        return Err(Unusable::OtherHash);
    }
    let state = State::decode(&bytes)?;
    if state.journal() != Some(header.journal) || state.revision() != Some(header.revision) {
        return Err(Unusable::OtherState);
    }
    Ok(state)
}

fn write_to(file: &File, header: Header, state: &State) -> io::Result<()> {
    let mut body = Hashed { to: BufWriter::with_capacity(BUFFER, file), digest: Sha256::new() };
    body.to.write_all(&[0; HEADER_BYTES])?;
    state.encode(&mut body)?;
    let Hashed { to, digest } = body;
    let mut file = to.into_inner().map_err(io::IntoInnerError::into_error)?;
    // Without its header the file is no snapshot.
    file.seek(io::SeekFrom::Start(0))?;
    file.write_all(&Header { hash: digest.finalize().into(), ..header }.encode())?;
    file.sync_all()
}

/// Hashes what is written.
struct Hashed<W> {
    to: W,
    digest: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.digest.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
