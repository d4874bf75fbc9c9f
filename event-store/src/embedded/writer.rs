//! The thread that owns the log's end: the only code that writes frames.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, mpsc};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::acknowledged::AcknowledgedFile;
use super::error::{OpenError, mend};
use super::frame::{HEADER_BYTES, Header};
use super::{Shared, log, recovery};
use crate::AppendError;

/// Zeros are written ahead of the end in chunks of this size, between two appends. Small frames over
/// zeros whose pages are cached become durable a third faster than in a file that grows.
const FILL_BYTES: u64 = 2 * 1024 * 1024;

/// While frames are longer than this the file just grows: writing as many zeros again costs more
/// than it saves.
const SMALL_FRAME_BYTES: u64 = 64 * 1024;

pub(super) struct Request {
    pub(super) expected: Option<u64>,
    pub(super) ids: Vec<Uuid>,
    /// With room for the header.
    pub(super) frame: Vec<u8>,
    pub(super) body_crc: u32,
    pub(super) reply: oneshot::Sender<Result<u64, AppendError>>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    segment: File,
    segment_bytes: u64,
    /// Up to here the segment has been written, with frames and then zeros.
    filled: u64,
    acknowledged: AcknowledgedFile,
    /// Why nothing can be appended until the store is opened again.
    failed: Option<String>,
    _lock: File,
}

impl Writer {
    /// Goes on at the end of a log that was recovered, and acknowledges that end.
    pub(super) fn new(
        shared: Arc<Shared>,
        segment_bytes: u64,
        has_segment: bool,
        lock: File,
    ) -> Result<Self, OpenError> {
        let path = shared.log().path();
        let segment =
            if has_segment { OpenOptions::new().write(true).open(&path) } else { create_segment(&path) };
        let segment = segment.map_err(OpenError::io("write", &path))?;
        let filled = segment.metadata().map_err(OpenError::io("read", &path))?.len();
        let acknowledged = AcknowledgedFile::open(&shared.folder)?;
        let end = shared.log().end;
        let written = acknowledged.write(&end).and_then(|()| acknowledged.sync());
        let path = super::acknowledged::path(&shared.folder);
        written.map_err(OpenError::io("write", &path))?;
        let mut writer =
            Self { shared, segment, segment_bytes, filled, acknowledged, failed: None, _lock: lock };
        writer.fill_ahead();
        Ok(writer)
    }

    /// Serves appends in the order in which they come, until the store is dropped.
    pub(super) fn run(mut self, requests: &mpsc::Receiver<Request>) {
        for request in requests {
            let Request { expected, ids, frame, body_crc, reply } = request;
            let outcome = self.append(expected, &ids, frame, body_crc);
            // Nobody hears the outcome of an append whose caller has gone; it stands all the same.
            let _ = reply.send(outcome);
            self.fill_ahead();
        }
        // The next start is quicker to see damage when it knows the true end; it does not need it.
        let _ = self.acknowledged.sync();
    }

    fn append(
        &mut self,
        expected: Option<u64>,
        ids: &[Uuid],
        frame: Vec<u8>,
        body_crc: u32,
    ) -> Result<u64, AppendError> {
        if let Some(failure) = &self.failed {
            return Err(AppendError::OutcomeUnknown(format!(
                "open the store again, as an earlier write failed: {failure}"
            )));
        }
        let current = self.shared.log().end.head();
        let wrong = AppendError::WrongExpectedRevision { expected, current };
        let first = crate::first_revision(expected, current)?;
        if expected != current {
            return if self.is_recorded(first, ids)? {
                Ok(first.saturating_add(ids.len() as u64 - 1))
            } else {
                Err(wrong)
            };
        }
        self.write(first, ids.len() as u32, frame, body_crc).map_err(|error| {
            // A flush that failed may have dropped the pages that it could not write, and a second
            // flush then succeeds without having written them. So the outcome stays unknown, to
            // this caller and all after it, until the log is read from the start.
            let path = self.shared.log().path();
            let failure = format!("cannot write {}: {error}{}", path.display(), mend(&error));
            tracing::error!("{failure}; nothing more is appended until the store is opened again");
            self.failed = Some(failure.clone());
            AppendError::OutcomeUnknown(failure)
        })
    }

    fn is_recorded(&self, first: u64, ids: &[Uuid]) -> Result<bool, AppendError> {
        let events = self.shared.read(first, ids.len());
        let events = events.map_err(|error| AppendError::OutcomeUnknown(error.to_string()))?;
        Ok(events.iter().map(|event| &event.id).eq(ids))
    }

    fn write(&mut self, first: u64, events: u32, mut frame: Vec<u8>, body_crc: u32) -> io::Result<u64> {
        let mut end = self.shared.log().end;
        let bytes = frame.len() as u64;
        let roll = end.offset > 0 && end.offset.saturating_add(bytes) > self.segment_bytes;
        if roll {
            self.segment = create_segment(&log::segment_path(&self.shared.folder, first))?;
            self.filled = 0;
            end.offset = 0;
        }
        let crc = Header::seal(&mut frame, body_crc, first, events, end.chain);
        self.segment.write_all_at(&frame, end.offset)?;
        self.filled = self.filled.max(end.offset.saturating_add(bytes));
        self.segment.sync_data()?;

        // Durable from here on. First those who read the files may see it, then those who ask the
        // store, and then the caller.
        let header = Header {
            body_bytes: (frame.len() - HEADER_BYTES) as u32,
            first_revision: first,
            events,
            body_crc,
            previous: end.chain,
            crc,
        };
        let end = {
            let mut log = self.shared.log.write().unwrap_or_else(PoisonError::into_inner);
            if roll {
                log.enter_next_segment();
            }
            log.push(&header);
            log.end
        };
        if let Err(error) = self.acknowledged.write(&end) {
            tracing::warn!(%error, "readers in other processes will not see the newest events");
        }
        self.shared.head.send_replace(end.head());
        Ok(header.next_revision().saturating_sub(1))
    }

    /// Writes the next chunk of zeros when the last one is half used and frames are small.
    fn fill_ahead(&mut self) {
        let (offset, last_frame) = {
            let log = self.shared.log();
            (log.end.offset, log.last_frame.unwrap_or(log.end.offset))
        };
        if offset.saturating_sub(last_frame) > SMALL_FRAME_BYTES {
            return;
        }
        let full = self.filled >= self.segment_bytes;
        if full || self.failed.is_some() || self.filled.saturating_sub(offset) >= FILL_BYTES / 2 {
            return;
        }
        let to = self.filled.saturating_add(FILL_BYTES).min(self.segment_bytes);
        if let Err(error) = recovery::write_zeros(&self.segment, self.filled, to) {
            // Appends may still fit, and will say so themselves if not.
            tracing::warn!(%error, "cannot write ahead of the end of the journal");
            return;
        }
        self.filled = to;
        if let Err(error) = self.segment.sync_data() {
            self.failed = Some(format!("cannot flush the journal: {error}"));
        }
    }
}

/// Makes an empty segment whose name survives a crash.
fn create_segment(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.sync_all()?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}
