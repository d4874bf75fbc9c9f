//! The journal as processes beside its writer see it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::acknowledged::{self, End};
use super::blocking;
use super::disk::Disk;
use super::error::OpenError;
use super::folder::Folder;
use super::log::{self, Log};
use crate::{AppendError, Batch, EventStore, ReadError, RecordedEvent};

/// How often a reader looks for a new acknowledged position while it waits.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// The journal in a folder, as other processes see it beside its running writer, or without one:
/// up to the acknowledged position, which moves on by itself. Appends are refused.
///
/// An acknowledged position that is missing, or that has gone back behind events that were read, is an
/// error of its own: showing fewer events would hide that some are lost.
pub struct EmbeddedReader {
    pub(super) reading: Arc<Reading>,
}

pub(super) struct Reading {
    pub(super) folder: Arc<Folder>,
    log: Mutex<Log>,
}

impl EmbeddedReader {
    /// Opens the journal in `folder` up to the acknowledged position. Full segments that have a good index are not
    /// read now: each batch in them is checked when it is read.
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
        progress: impl FnMut(u64, u64),
    ) -> Result<Self, OpenError> {
        Self::open_on(&Disk::System, folder.as_ref(), progress)
    }

    pub(super) fn open_on(
        disk: &Disk,
        path: &Path,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Self, OpenError> {
        let folder = Arc::new(Folder::new(disk, path));
        if !disk.is_folder(path) {
            return Err(OpenError::NoJournal { folder: path.to_owned() });
        }
        let mut acknowledged = acknowledged::read(&folder)?;
        let segments = folder.segments()?;
        if acknowledged.is_none() {
            // The writer may be making its first files at this moment, this one before the segment.
            acknowledged = acknowledged::read(&folder)?;
        }
        if segments.is_empty() && acknowledged.is_none_or(|end| end.next_revision == 0) {
            return Err(OpenError::NoJournal { folder: path.to_owned() });
        }
        let end = acknowledged.ok_or_else(|| no_position(&folder))?;
        if segments.is_empty() {
            return Err(Log::new(&folder).not_at(&end));
        }
        let bytes_total = log::bytes_up_to(&folder, &segments, &end)?;
        let log = read_up_to(&folder, &end, |bytes_done| progress(bytes_done.min(bytes_total), bytes_total))?;
        progress(bytes_total, bytes_total);
        let reading = Reading { folder, log: Mutex::new(log) };
        Ok(Self { reading: Arc::new(reading) })
    }

    /// The head, once all that is acknowledged has been taken in.
    async fn catch_up(&self) -> Result<Option<u64>, ReadError> {
        let reading = Arc::clone(&self.reading);
        blocking(move || Ok(reading.catch_up()?.end.head())).await
    }
}

/// The log up to an acknowledged position, by indexes as far as there are good ones.
fn read_up_to(folder: &Arc<Folder>, end: &End, mut progress: impl FnMut(u64)) -> Result<Log, OpenError> {
    let mut read = |by_indexes| {
        let mut log = Log::new(folder);
        let mut checked = log::BytesChecked::default();
        let outcome = log.extend_to(end, by_indexes, |end| {
            if let Some(bytes_done) = checked.passed(end) {
                progress(bytes_done);
            }
        });
        (log, outcome)
    };
    let (log, outcome) = read(true);
    let (log, outcome) = match outcome {
        // What the segments say counts, and only a scan of all of them tells it.
        Err(OpenError::Damaged(_) | OpenError::TailBehind { .. }) if log.by_indexes => read(false),
        outcome => (log, outcome),
    };
    outcome.map(|()| log)
}

impl Reading {
    fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, OpenError> {
        let (window, by_indexes) = {
            let log = self.catch_up()?;
            (log.window(from), log.by_indexes)
        };
        let outcome = window.map_or_else(|| Ok(Vec::new()), |window| window.read(from, max));
        match outcome {
            Err(OpenError::Damaged(_)) if by_indexes => {
                let window = self.read_without_indexes()?.window(from);
                window.map_or_else(|| Ok(Vec::new()), |window| window.read(from, max))
            }
            outcome => outcome,
        }
    }

    /// Reads every frame again.
    fn read_without_indexes(&self) -> Result<MutexGuard<'_, Log>, OpenError> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let mut whole = Log::new(&self.folder);
        whole.extend_to(&log.end, false, |_| {})?;
        *log = whole;
        Ok(log)
    }

    pub(super) fn catch_up(&self) -> Result<MutexGuard<'_, Log>, OpenError> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that the end never goes back.
        let acknowledged = acknowledged::read(&self.folder)?.ok_or_else(|| no_position(&self.folder))?;
        if acknowledged.next_revision > log.end.next_revision {
            log.extend_to(&acknowledged, true, |_| {})?;
        } else if acknowledged.next_revision < log.end.next_revision || acknowledged.chain != log.end.chain {
            return Err(OpenError::Replaced {
                path: self.folder.acknowledged(),
                names: acknowledged.next_revision,
                seen: log.end.next_revision,
            });
        }
        Ok(log)
    }
}

#[async_trait]
impl EventStore for EmbeddedReader {
    fn is_shared(&self) -> bool {
        true
    }

    async fn append_batch(&self, _: Option<u64>, _: &Arc<Batch>) -> Result<u64, AppendError> {
        Err(AppendError::Refused("the journal was opened for reading only".into()))
    }

    async fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        let reading = Arc::clone(&self.reading);
        blocking(move || reading.read(from, max)).await
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

fn no_position(folder: &Folder) -> OpenError {
    OpenError::NoAcknowledgedPosition { path: folder.acknowledged() }
}
