//! A durable log in a folder: one process writes, any number read beside it.
//!
//! | file | what it holds |
//! |---|---|
//! | `00000000000000000000.segment`, ... | the frames in order; the name is the first revision in it |
//! | `acknowledged` | how far the log is durable, for readers in other processes |
//! | `writer.lock` | locked by the one process that writes |
//!
//! One append is one frame, one write and one flush, and a frame never straddles segments: a batch
//! is there as a whole or not at all. Bytes of a frame that was acknowledged never change.

mod acknowledged;
mod error;
mod frame;
mod log;
mod recovery;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};

use self::log::Log;
use self::writer::{Request, Writer};
use crate::{AppendError, EventStore, NewEvent, ReadError, RecordedEvent};

pub use self::error::{Damage, OpenError};

/// How often a reader looks for a new acknowledged end while it waits.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Settings of the writer; the readers need none.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A new segment is begun before a frame that would make the segment longer than this. A frame
    /// that is longer by itself has a segment to itself.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 * 1024 * 1024 }
    }
}

/// The journal in a folder, as the one process that writes it has it.
///
/// After a failed write or flush every append answers `OutcomeUnknown` until the store is opened
/// again; reads go on. Needs a tokio runtime to read in.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    /// Taken on drop, which ends the thread.
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

/// What the writing thread and those who read have in common.
struct Shared {
    folder: PathBuf,
    log: RwLock<Log>,
    head: watch::Sender<Option<u64>>,
}

impl Shared {
    fn log(&self) -> RwLockReadGuard<'_, Log> {
        self.log.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        let window = self.log().window(from);
        Ok(window.map_or_else(|| Ok(Vec::new()), |window| window.read(from, max))?)
    }
}

impl EmbeddedStore {
    /// Opens the journal in `folder`, or begins one there, and checks every batch in it. Blocks for
    /// as long as it takes to read the whole journal.
    ///
    /// # Errors
    /// Where the folder cannot be used, another process writes to it, or recorded events are damaged.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(folder, Options::default(), |_, _| {})
    }

    /// As [`Self::open`], telling `progress` the bytes checked and the bytes in all.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_progress(
        folder: impl AsRef<Path>,
        progress: impl FnMut(u64, u64),
    ) -> Result<Self, OpenError> {
        Self::open_with(folder, Options::default(), progress)
    }

    /// As [`Self::open_with_progress`], with other settings than the default.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(
        folder: impl AsRef<Path>,
        options: Options,
        progress: impl FnMut(u64, u64),
    ) -> Result<Self, OpenError> {
        let folder = folder.as_ref();
        make_folder(folder).map_err(OpenError::io("make the folder", folder))?;
        let lock = lock(folder)?;
        let (log, has_segment) = recovery::recover(folder, progress)?;
        let (head, _) = watch::channel(log.end.head());
        let shared = Arc::new(Shared { folder: folder.to_owned(), log: RwLock::new(log), head });
        let writer = Writer::new(Arc::clone(&shared), options.segment_bytes, has_segment, lock)?;
        let (requests, received) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("journal-writer".into())
            .spawn(move || writer.run(&received))
            .map_err(OpenError::io("start the thread that writes", folder))?;
        Ok(Self { shared, requests: Some(requests), thread: Some(thread) })
    }
}

impl Drop for EmbeddedStore {
    /// Waits for the appends that were begun, so that the folder can be opened again at once.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened; a second one here would abort.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl EventStore for EmbeddedStore {
    async fn append(&self, expected: Option<u64>, events: &[NewEvent]) -> Result<u64, AppendError> {
        crate::check_batch(events)?;
        let (frame, body_crc) = frame::encode(events);
        let ids = events.iter().map(|event| event.id).collect();
        let (reply, outcome) = oneshot::channel();
        let ended = || AppendError::OutcomeUnknown("the thread that writes has ended".into());
        let requests = self.requests.as_ref().ok_or_else(ended)?;
        let request = Request { expected, ids, frame, body_crc, reply };
        requests.send(request).map_err(|_| ended())?;
        outcome.await.map_err(|_| ended())?
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        let Some(window) = self.shared.log().window(from) else {
            return Ok(Vec::new());
        };
        blocking(move || window.read(from, max)).await
    }

    async fn head(&self) -> Result<Option<u64>, ReadError> {
        Ok(*self.shared.head.borrow())
    }

    async fn wait_beyond(&self, seen: Option<u64>) -> Result<u64, ReadError> {
        crate::follow::wait_for_head(self.shared.head.subscribe(), seen).await
    }
}

/// The journal in a folder, as other processes see it beside its running writer, or without one:
/// up to the acknowledged end, which moves on by itself. Appends are refused.
pub struct EmbeddedReader {
    reading: Arc<Reading>,
}

struct Reading {
    folder: PathBuf,
    log: Mutex<Log>,
}

impl EmbeddedReader {
    /// Opens the journal in `folder` and checks every batch up to the acknowledged end.
    ///
    /// # Errors
    /// Where there is no journal, it cannot be read, or recorded events are damaged.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with_progress(folder, |_, _| {})
    }

    /// As [`Self::open`], telling `progress` the bytes checked and the bytes in all.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_progress(
        folder: impl AsRef<Path>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Self, OpenError> {
        let folder = folder.as_ref();
        if !folder.is_dir() {
            return Err(OpenError::NoJournal { folder: folder.to_owned() });
        }
        if log::list_segments(folder)?.is_empty() {
            return Err(OpenError::NoJournal { folder: folder.to_owned() });
        }
        let end = acknowledged::read(folder)?.unwrap_or_default();
        let bytes_total = log::bytes_up_to(folder, &end)?;
        let mut checked = log::BytesChecked::default();
        let mut log = Log::new(folder);
        log.extend_to(&end, |end| {
            if let Some(bytes_done) = checked.passed(end) {
                progress(bytes_done.min(bytes_total), bytes_total);
            }
        })?;
        progress(bytes_total, bytes_total);
        let reading = Reading { folder: folder.to_owned(), log: Mutex::new(log) };
        Ok(Self { reading: Arc::new(reading) })
    }

    /// The head, once all that is acknowledged has been taken in.
    async fn catch_up(&self) -> Result<Option<u64>, ReadError> {
        let reading = Arc::clone(&self.reading);
        blocking(move || Ok(reading.catch_up()?.end.head())).await
    }
}

impl Reading {
    fn catch_up(&self) -> Result<MutexGuard<'_, Log>, OpenError> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that the end never goes back.
        let acknowledged = acknowledged::read(&self.folder)?.unwrap_or_default();
        if acknowledged.next_revision > log.end.next_revision {
            log.extend_to(&acknowledged, |_| {})?;
        }
        Ok(log)
    }
}

#[async_trait]
impl EventStore for EmbeddedReader {
    async fn append(&self, _: Option<u64>, _: &[NewEvent]) -> Result<u64, AppendError> {
        Err(AppendError::Refused("the journal was opened for reading only".into()))
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        let reading = Arc::clone(&self.reading);
        blocking(move || {
            let window = reading.catch_up()?.window(from);
            window.map_or_else(|| Ok(Vec::new()), |window| window.read(from, max))
        })
        .await
    }

    async fn head(&self) -> Result<Option<u64>, ReadError> {
        self.catch_up().await
    }

    async fn wait_beyond(&self, seen: Option<u64>) -> Result<u64, ReadError> {
        loop {
            let head = self.catch_up().await?;
            if let Some(head) = head.filter(|_| head > seen) {
                return Ok(head);
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, ReadError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| ReadError::Unavailable(error.to_string()))??)
}

/// Makes the folder such that its name, and those of the folders above it, survive a crash.
fn make_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<_> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    std::fs::create_dir_all(folder)?;
    for made in missing {
        let Some(above) = made.parent() else { continue };
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        File::open(above)?.sync_all()?;
    }
    Ok(())
}

/// The lock lasts as long as the file is open, so it ends with the process however that ends.
fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("writer.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(OpenError::io("write", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { folder: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(OpenError::io("lock", &path)(error)),
    }
}
