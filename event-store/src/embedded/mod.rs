//! A durable log in a folder: one process writes, any number read beside it.
//!
//! | file | what it holds |
//! |---|---|
//! | `00000000000000000000.segment`, ... | the frames in order; the name is the first revision in it. Full ones may be compressed |
//! | `00000000000000000000.index`, ... | where frames stand in a full segment; made from it |
//! | `compressing.segment` | a full segment as it is being compressed; it takes the place of the plain one |
//! | `next.segment` | empty or zeros; it gets its name when the last segment is full |
//! | `acknowledged` | the acknowledged position: how far the log is durable |
//! | `acknowledged.new` | left by a crash while `acknowledged` was made |
//! | `writer.lock` | locked by the one process that writes |
//!
//! One append is one frame, one write and one flush, and a frame never straddles segments: a batch
//! is there as a whole or not at all. Bytes of a frame that was acknowledged never change. Only the
//! user that runs the writer can read the folder.

mod acknowledged;
mod ahead;
mod copy;
pub(crate) mod disk;
mod error;
mod folder;
mod frame;
mod index;
mod inspection;
mod keeper;
mod log;
mod reader;
mod recovery;
mod segment;
#[cfg(test)]
mod simulated_disk;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};

use self::disk::Disk;
use self::folder::Folder;
use self::log::Log;
use self::writer::{Request, Writer};
use crate::{AppendError, Batch, EventStore, ReadError, RecordedEvent};

pub use self::copy::Copied;
pub use self::error::{Damage, OpenError, Place};
pub use self::inspection::{EndOfLog, Inspection, SegmentFile};
pub use self::keeper::CompressedSegment;
pub use self::reader::EmbeddedReader;

/// Settings of the writer; the readers need none.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A frame that would make the segment longer than this goes into a new one. A frame that is
    /// longer than this by itself gets a segment of its own.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 * 1024 * 1024 }
    }
}

/// The journal in a folder, as the one process that writes it has it.
///
/// On a full disk, and where no file can be opened for the next segment, appends answer `NoSpace`
/// until there is room. After any other failed write or flush every append answers `OutcomeUnknown`
/// until the store is opened again. Reads go on. Needs a tokio runtime to read in.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    /// `None` only while the store is dropped: the thread ends when the sender is gone.
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

/// What the writing thread and the readers in this process share.
struct Shared {
    folder: Arc<Folder>,
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
    /// Where the folder cannot be used, another process writes to it, or recorded events are damaged
    /// or lost.
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
        Self::open_on(&Disk::System, folder.as_ref(), options, progress)
    }

    fn open_on(
        disk: &Disk,
        path: &Path,
        options: Options,
        progress: impl FnMut(u64, u64),
    ) -> Result<Self, OpenError> {
        let folder = Arc::new(Folder::new(disk, path));
        let (lock, handle) = folder.prepare()?;
        let recovered = recovery::recover(&folder, progress)?;
        let (head, _) = watch::channel(recovered.log.end.head());
        let shared = Arc::new(Shared { folder, log: RwLock::new(recovered.log), head });
        let tail = (recovered.segment, recovered.acknowledged_missing);
        let writer = Writer::new(Arc::clone(&shared), tail, options.segment_bytes, lock, handle)?;
        let (requests, received) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("journal-writer".into())
            .spawn(move || writer.run(&received))
            .map_err(OpenError::io("start the thread that writes", path))?;
        Ok(Self { shared, requests: Some(requests), thread: Some(thread) })
    }
}

impl Drop for EmbeddedStore {
    /// Waits for the appends that were begun, so that the folder can be opened again at once.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // An error means that the thread panicked, which was reported then. A panic in `drop` could
            // abort the process.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl EventStore for EmbeddedStore {
    fn is_shared(&self) -> bool {
        false
    }

    async fn append_batch(&self, expected: Option<u64>, batch: &Arc<Batch>) -> Result<u64, AppendError> {
        batch.check()?;
        let (reply, outcome) = oneshot::channel();
        let ended = || AppendError::OutcomeUnknown("the thread that writes has ended".into());
        let requests = self.requests.as_ref().ok_or_else(ended)?;
        let request = Request { expected, batch: Arc::clone(batch), reply };
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, ReadError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| ReadError::Unavailable(error.to_string()))??)
}
