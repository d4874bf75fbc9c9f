//! The thread that owns the log's end: the only code that writes frames.
//!
//! A frame is one write, in blocks of its own, past the page cache where the file system can do that. Once the write is
//! back, the system has thrown away the pages that showed what was there before. So whoever reads the file through the page
//! cache sees the frame, and nobody looks for it earlier, as the acknowledged position is written after it.
//!
//! All its files are opened ahead, so that an append needs no new one: a process that has run out of
//! open files still appends, up to the end of the next segment.

use std::io;
use std::sync::{Arc, PoisonError, mpsc};

use tokio::sync::oneshot;

use super::acknowledged::AcknowledgedFile;
use super::ahead::{self, Ahead, Filled, Outcome};
use super::disk::DiskFile;
use super::error::{OpenError, is_full, mend};
use super::folder::Folder;
use super::frame::{BLOCK_BYTES, FrameBuffer};
use super::index;

use super::Shared;
use crate::{AppendError, Batch};

/// Zeros are written behind the end in chunks of this size, when half of the last one is used.
const FILL_BYTES: u64 = 2 * 1024 * 1024;

/// For frames longer than this no zeros are written: that costs more than it saves.
const SMALL_FRAME_BYTES: u64 = 64 * 1024;

pub(super) struct Request {
    pub(super) expected: Option<u64>,
    pub(super) batch: Arc<Batch>,
    pub(super) reply: oneshot::Sender<Result<u64, AppendError>>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    frame: FrameBuffer,
    ahead: Ahead,
    segment: Filled,
    segment_bytes: u64,
    /// No zeros are written ahead before this offset, as the disk was too full for them.
    no_fill_before: u64,
    /// The file that becomes the next segment; `None` where it is being made, or could not be made.
    next: Option<Filled>,
    coming: Option<Outcome<DiskFile>>,
    acknowledged: AcknowledgedFile,
    /// The last full segment has no index yet.
    index_is_due: bool,
    /// To sync the names in the folder with.
    folder: DiskFile,
    name_is_durable: bool,
    /// Why nothing can be appended until the store is opened again.
    failed: Option<String>,
    /// Each of these is logged when it begins and when it ends, not at each try.
    no_space: bool,
    acknowledged_fails: bool,
    _lock: DiskFile,
}

/// Why a batch was not written.
enum Fault {
    /// Nothing of it is in the log, and the log is as it was.
    NoSpace(io::Error),
    /// It may be in the log, or the log may have lost bytes that it shows.
    Unknown(io::Error),
}

impl Writer {
    /// Goes on at the end of a log that was recovered, and acknowledges that end.
    pub(super) fn new(
        shared: Arc<Shared>,
        recovered: (Option<DiskFile>, bool),
        segment_bytes: u64,
        lock: DiskFile,
        folder: DiskFile,
    ) -> Result<Self, OpenError> {
        let (segment, acknowledged_missing) = recovered;
        let end = shared.log().end;
        let acknowledged = AcknowledgedFile::open(&shared.folder, &folder, acknowledged_missing, &end)?;
        let segment = match segment {
            Some(segment) => segment,
            None => first_segment(&shared.folder, &folder)?,
        };
        let mut writer = Self {
            ahead: Ahead::new(&shared.folder)?,
            shared,
            frame: FrameBuffer::new(),
            segment: Filled::new(segment, end.offset),
            segment_bytes: segment_bytes.next_multiple_of(BLOCK_BYTES as u64),
            no_fill_before: 0,
            next: None,
            coming: None,
            acknowledged,
            index_is_due: false,
            folder,
            name_is_durable: true,
            failed: None,
            no_space: false,
            acknowledged_fails: false,
            _lock: lock,
        };
        writer.prepare();
        Ok(writer)
    }

    /// Serves appends in the order in which they come, until the store is dropped.
    pub(super) fn run(mut self, requests: &mpsc::Receiver<Request>) {
        for request in requests {
            let Request { expected, batch, reply } = request;
            let outcome = self.append(expected, &batch);
            let appended = outcome.is_ok();
            // This fails where the caller has gone. The outcome is the same without it.
            let _ = reply.send(outcome);
            if self.prepare() && appended && std::mem::take(&mut self.no_space) {
                tracing::info!("there is room for the journal again");
            }
        }
        // With the position on the disk the next start can tell damage to the last batch from a torn
        // write. It can do without, so an error is ignored.
        let _ = self.acknowledged.sync();
    }

    fn append(&mut self, expected: Option<u64>, batch: &Batch) -> Result<u64, AppendError> {
        if let Some(failure) = &self.failed {
            return Err(AppendError::OutcomeUnknown(format!(
                "open the store again, as an earlier write failed: {failure}"
            )));
        }
        let current = self.shared.log().end.head();
        let first = crate::first_revision(expected, current)?;
        if expected != current {
            return if self.is_recorded(first, batch)? {
                Ok(first.saturating_add(batch.len() as u64 - 1))
            } else {
                Err(AppendError::WrongExpectedRevision { expected, current })
            };
        }
        match self.write(first, batch) {
            Ok(last) => Ok(last),
            Err(Fault::NoSpace(error)) => Err(AppendError::NoSpace(self.note_no_space(&error))),
            Err(Fault::Unknown(error)) => Err(AppendError::OutcomeUnknown(self.fail(&error))),
        }
    }

    fn is_recorded(&self, first: u64, batch: &Batch) -> Result<bool, AppendError> {
        let events = self.shared.read(first, batch.len());
        let events = events.map_err(|error| AppendError::OutcomeUnknown(error.to_string()))?;
        Ok(events.iter().map(|event| event.id).eq(batch.events().map(|event| event.id)))
    }

    fn write(&mut self, first: u64, batch: &Batch) -> Result<u64, Fault> {
        let end = self.shared.log().end;
        let header = self.frame.encode(batch, first, end.chain);
        if end.offset > 0 && end.offset.saturating_add(header.frame_bytes()) > self.segment_bytes {
            self.begin_segment(first)?;
        }
        self.make_name_durable()?;
        let offset = self.shared.log().end.offset;
        if let Err(error) = self.segment.write(self.frame.bytes(), offset) {
            return Err(self.take_back(error));
        }

        // The batch is durable. Readers in other processes see it first, then readers in this one, and
        // the caller has its answer last.
        let end = {
            let mut log = self.shared.log.write().unwrap_or_else(PoisonError::into_inner);
            log.push(&header);
            log.end
        };
        let acknowledged = self.acknowledged.write(&end);
        if let (Err(error), false) = (&acknowledged, self.acknowledged_fails) {
            tracing::warn!(%error, "readers in other processes will not see the newest events");
        }
        self.acknowledged_fails = acknowledged.is_err();
        self.shared.head.send_replace(end.head());
        Ok(header.next_revision().saturating_sub(1))
    }

    /// After a write or flush that failed on a full disk: removes what it has left behind the last
    /// frame, and makes that durable. After any other error it is not known what is on the disk. A
    /// failed flush may have dropped the pages that it could not write, and another flush would then
    /// succeed without having written them.
    fn take_back(&mut self, error: io::Error) -> Fault {
        if !is_full(&error) {
            return Fault::Unknown(error);
        }
        let offset = self.shared.log().end.offset;
        match self.segment.cut(offset) {
            Ok(()) => Fault::NoSpace(error),
            Err(error) => Fault::Unknown(error),
        }
    }

    /// Goes on in a new segment, which begins with revision `first`.
    fn begin_segment(&mut self, first: u64) -> Result<(), Fault> {
        let folder = Arc::clone(&self.shared.folder);
        let next = match self.next.take() {
            Some(next) => next,
            None => {
                let coming = self.coming.take().unwrap_or_else(|| self.ahead.make_next(&folder));
                Filled::new(ahead::wait(&coming).map_err(Fault::NoSpace)?, 0)
            }
        };
        // If this fails nothing has changed, and the next append tries again.
        if let Err(error) = folder.disk.rename(&folder.next_segment(), &folder.segment(first)) {
            self.next = Some(next);
            return Err(space_or_unknown(error));
        }
        self.segment = next;
        (self.name_is_durable, self.index_is_due) = (false, true);
        self.no_fill_before = 0;
        self.shared.log.write().unwrap_or_else(PoisonError::into_inner).enter_next_segment();
        Ok(())
    }

    /// Sees that the name of the segment survives a crash before anything is written to it.
    fn make_name_durable(&mut self) -> Result<(), Fault> {
        if !self.name_is_durable {
            self.folder.sync_all().map_err(space_or_unknown)?;
            self.name_is_durable = true;
        }
        Ok(())
    }

    /// Has the next segment made and zeros written ahead, so that no append waits for either. Answers whether there is
    /// room for both.
    fn prepare(&mut self) -> bool {
        if self.failed.is_some() {
            return false;
        }
        if std::mem::take(&mut self.index_is_due) {
            let log = self.shared.log();
            if let Some(sealed) = log.sealed().last() {
                index::write(&log, sealed);
            }
        }
        if let Err(error) = self.fill_segment() {
            match self.take_back(error) {
                Fault::NoSpace(error) => drop(self.note_no_space(&error)),
                Fault::Unknown(error) => drop(self.fail(&error)),
            }
            self.no_fill_before = self.shared.log().end.offset.saturating_add(FILL_BYTES);
            return false;
        }
        if let Err(error) = self.prepare_next() {
            // Made anew after the next append, or when the segment is full.
            self.next = None;
            drop(self.note_no_space(&error));
        }
        self.next.is_some()
    }

    /// Has another chunk of zeros written when half of the last one is used and frames are small.
    fn fill_segment(&mut self) -> io::Result<()> {
        let offset = self.shared.log().end.offset;
        let used = self.segment.filled.saturating_sub(offset) < FILL_BYTES / 2;
        let full = self.segment.filled >= self.segment_bytes || offset < self.no_fill_before;
        if self.segment.is_filling()? || !used || full || !self.frames_are_small() {
            return Ok(());
        }
        let to = self.segment.filled.saturating_add(FILL_BYTES).min(self.segment_bytes);
        self.segment.fill(&self.ahead, to);
        Ok(())
    }

    /// Has the file of the next segment made, and filled while the second half of this one is used.
    fn prepare_next(&mut self) -> io::Result<()> {
        let frames_are_small = self.frames_are_small();
        let Some(next) = &mut self.next else {
            let coming = self.coming.take().unwrap_or_else(|| self.ahead.make_next(&self.shared.folder));
            match ahead::look(&coming) {
                Some(made) => self.next = Some(Filled::new(made?, 0)),
                None => self.coming = Some(coming),
            }
            return Ok(());
        };
        let offset = self.shared.log().end.offset;
        let due = offset.saturating_mul(2).saturating_sub(self.segment_bytes).min(self.segment_bytes);
        if !next.is_filling()? && next.filled < due && frames_are_small {
            let to = next.filled.saturating_add(FILL_BYTES).min(self.segment_bytes);
            next.fill(&self.ahead, to);
        }
        Ok(())
    }

    fn frames_are_small(&self) -> bool {
        let log = self.shared.log();
        log.end.offset.saturating_sub(log.last_frame.unwrap_or(log.end.offset)) <= SMALL_FRAME_BYTES
    }

    /// Logs that there is no room, once until there is room again.
    fn note_no_space(&mut self, error: &io::Error) -> String {
        let path = self.shared.log().path();
        let reason = format!("cannot go on in {}: {error}{}", path.display(), mend(error));
        if !std::mem::replace(&mut self.no_space, true) {
            tracing::warn!("{reason}; what fits is appended, and all of it once there is room");
        }
        reason
    }

    fn fail(&mut self, error: &io::Error) -> String {
        let path = self.shared.log().path();
        let failure = format!("cannot write {}: {error}{}", path.display(), mend(error));
        tracing::error!("{failure}; nothing more is appended until the store is opened again");
        self.failed = Some(failure.clone());
        failure
    }
}

fn first_segment(folder: &Folder, handle: &DiskFile) -> Result<DiskFile, OpenError> {
    let path = folder.segment(0);
    let make = || -> io::Result<DiskFile> {
        let segment = ahead::next_segment(folder)?;
        folder.disk.rename(&folder.next_segment(), &path)?;
        handle.sync_all()?;
        Ok(segment)
    };
    make().map_err(OpenError::io("make", &path))
}

fn space_or_unknown(error: io::Error) -> Fault {
    if is_full(&error) { Fault::NoSpace(error) } else { Fault::Unknown(error) }
}
