//! The start of the writer: every frame is checked, and what a crash left at the tail is cut.
//!
//! The writer flushes a frame before it writes the next one. So a crash leaves at most one frame that
//! is not whole, it is the last one in the log, and nobody was told that it was recorded. Anything
//! else that is not as it was written is damage to recorded events: the start is refused and no byte
//! is changed.

use std::io;
use std::sync::Arc;

use super::acknowledged::{self, End};
use super::disk::DiskFile;
use super::error::OpenError;
use super::folder::Folder;
use super::frame::{FRAME_LIMIT_BYTES, HEADER_BYTES, Header, Step};
use super::index;
use super::log::{self, BytesChecked, Log};
use super::segment::Segment;

/// A position beyond every segment.
const EVERYTHING: End = End { segment: u64::MAX, offset: 0, next_revision: u64::MAX, chain: 0 };

/// What the start has found in the folder.
pub(super) struct Recovered {
    pub(super) log: Log,
    /// The segment that the log ends in; a new journal has none.
    pub(super) segment: Option<DiskFile>,
    /// There is no file `acknowledged`, or it is not readable as one.
    pub(super) acknowledged_missing: bool,
}

/// Checks the log in `folder` and makes its tail durable.
pub(super) fn recover(
    folder: &Arc<Folder>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Recovered, OpenError> {
    let segments = folder.segments()?;
    let bytes_total = log::bytes_up_to(folder, &segments, &EVERYTHING)?;
    let acknowledged = acknowledged::read(folder)?;
    let mut log = Log::new(folder);
    let mut checked = BytesChecked::default();
    // Whether the scan has come to the acknowledged position. That of an empty journal is its start.
    let mut met = acknowledged == Some(End::default());
    let mut torn = None;

    for (position, first) in segments.iter().enumerate() {
        if position > 0 {
            log.enter_next_segment();
        }
        if *first != log.end.segment {
            return Err(log.damage(format!("the next segment begins with revision {first}")));
        }
        let step = log.scan_segment(None, |end| {
            met |= acknowledged == Some(*end);
            if let Some(bytes_done) = checked.passed(end) {
                progress(bytes_done.min(bytes_total), bytes_total);
            }
        })?;
        let Some(mut tail) = Tail::find(folder, &log)? else { continue };
        if position + 1 < segments.len() {
            return Err(log.damage(log::describe(&step)));
        }
        if acknowledged.is_none() {
            let what = log::describe(&step);
            return Err(log.damage(format!(
                "{what}, and as the file `acknowledged` is missing or not readable, it is not known \
                 whether that batch had been acknowledged"
            )));
        }
        if !met || !tail.may_be_one_torn_batch(&log, &step)? {
            return Err(log.damage(log::describe(&step)));
        }
        torn = Some(tail);
    }
    progress(bytes_total, bytes_total);
    match acknowledged {
        Some(acknowledged) if !met => return Err(log.not_at(&acknowledged)),
        None if log.end.next_revision > 0 => tracing::warn!(
            path = %folder.acknowledged().display(),
            next_revision = log.end.next_revision,
            "the file is missing or not readable; every batch in the journal is whole, so it is written again"
        ),
        _ => {}
    }
    if let Some(tail) = torn {
        tracing::warn!(
            segment = %log.path().display(),
            offset = tail.start,
            revision = log.end.next_revision,
            bytes = tail.end - tail.start,
            "cutting a batch that a crash left half written; it was never acknowledged"
        );
    }
    index::write_missing(&log);
    let segment = if segments.is_empty() { None } else { Some(make_tail_durable(folder, &log)?) };
    Ok(Recovered { log, segment, acknowledged_missing: acknowledged.is_none() })
}

/// Bytes behind the last frame that are not all zero.
pub(super) struct Tail {
    file: Segment,
    pub(super) start: u64,
    /// After the last byte that is not zero.
    pub(super) end: u64,
}

impl Tail {
    /// The tail of the segment that the log ends in.
    pub(super) fn find(folder: &Folder, log: &Log) -> Result<Option<Self>, OpenError> {
        let find = || -> io::Result<Option<Self>> {
            let mut file = Segment::open(&folder.disk, &log.path())?;
            let end = last_written(&mut file, log.end.offset)?;
            Ok(end.map(|end| Self { file, start: log.end.offset, end }))
        };
        find().map_err(|error| log.unread(error))
    }

    fn may_be_one_torn_batch(&mut self, log: &Log, step: &Step) -> Result<bool, OpenError> {
        let bytes = self.end - self.start;
        if let Step::BadBody(header) = step {
            return Ok(bytes <= header.frame_bytes());
        }
        if bytes > FRAME_LIMIT_BYTES as u64 {
            return Ok(false);
        }
        let mut tail = vec![0; bytes as usize];
        let read = self.file.read_exact_at(&mut tail, self.start);
        read.map_err(|error| log.unread(error))?;
        Ok(!has_later_frame(&tail, log.end.next_revision))
    }
}

/// Whether `tail` has the header of a later batch. Then the frame before that one had been flushed, so
/// the damage is to recorded events and not a torn write.
fn has_later_frame(tail: &[u8], next_revision: u64) -> bool {
    tail.windows(HEADER_BYTES).skip(1).any(|bytes| {
        let header = <&[u8; HEADER_BYTES]>::try_from(bytes).ok().and_then(Header::decode);
        header.is_some_and(|header| header.first_revision > next_revision)
    })
}

/// Makes the end of the last segment durable: its last frame, its length, and that nothing follows.
///
/// After a failed flush the system may keep the frame in memory and take it for written, so that another
/// flush alone would write nothing. So the frame is written again with the same bytes, and the length is
/// set again, before the flush.
fn make_tail_durable(folder: &Folder, log: &Log) -> Result<DiskFile, OpenError> {
    let path = log.path();
    if log.open_segment()?.0.is_compressed() {
        return Err(log.damage("the segment is compressed, so another one came after it, which is missing"));
    }
    let write = || -> io::Result<DiskFile> {
        let file = folder.disk.open_to_write(&path)?;
        file.set_len(log.end.offset)?;
        if let Some(start) = log.last_frame {
            let mut frame = vec![0; FRAME_LIMIT_BYTES.min((log.end.offset - start) as usize)];
            file.read_exact_at(&mut frame, start)?;
            file.write_all_at(&frame, start)?;
        }
        file.sync_all()?;
        folder.disk.open_log(&path)
    };
    write().map_err(OpenError::io("flush", &path))
}

/// The place after the last byte from `start` on that is not zero.
fn last_written(file: &mut Segment, start: u64) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; 64 * 1024];
    let (mut offset, mut last) = (start, None);
    loop {
        let read = file.read_at(&mut buffer, offset)?;
        if read == 0 {
            return Ok(last);
        }
        if let Some(position) = buffer[..read].iter().rposition(|byte| *byte != 0) {
            last = Some(offset + position as u64 + 1);
        }
        offset += read as u64;
    }
}
