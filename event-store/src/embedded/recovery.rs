//! The start of the writer: every frame is checked, and what a crash left at the tail is cut.
//!
//! The writer flushes a frame before it writes the next one. So a crash leaves at most one frame that
//! is not whole, it is the last thing in the log, and nobody was told that it was recorded. Anything
//! else that is not as it was written is damage to recorded events: the start is refused and no byte
//! is changed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::acknowledged::{self, End};
use super::error::OpenError;
use super::frame::{FRAME_LIMIT_BYTES, HEADER_BYTES, Header, Step};
use super::log::{self, BytesChecked, Log};

/// An end beyond all that can be recorded.
const EVERYTHING: End = End { segment: u64::MAX, offset: 0, next_revision: u64::MAX, chain: 0 };

/// Checks and mends the log in `folder`. The bool says whether the folder has a segment at all.
pub(super) fn recover(folder: &Path, mut progress: impl FnMut(u64, u64)) -> Result<(Log, bool), OpenError> {
    let segments = log::list_segments(folder)?;
    let bytes_total = log::bytes_up_to(folder, &EVERYTHING)?;
    let acknowledged = acknowledged::read(folder)?.unwrap_or_default();
    let mut log = Log::new(folder);
    let mut checked = BytesChecked::default();
    let mut met = false;

    for (position, first) in segments.iter().enumerate() {
        if position > 0 {
            log.enter_next_segment();
        }
        if *first != log.end.segment {
            return Err(log.damage(format!("the next segment begins with revision {first}")));
        }
        let step = log.scan_segment(None, |end| {
            met |= *end == acknowledged;
            if let Some(bytes_done) = checked.passed(end) {
                progress(bytes_done.min(bytes_total), bytes_total);
            }
        })?;
        let last = position + 1 == segments.len();
        mend_tail(&log, &step, last && met)?;
    }
    progress(bytes_total, bytes_total);
    if !met && acknowledged != End::default() {
        let end = acknowledged.next_revision;
        return Err(log.damage(format!("the log ends here, but is acknowledged up to revision {end}")));
    }
    if log.last_frame.is_some() && log.end != acknowledged {
        write_last_frame_again(&log)?;
    }
    Ok((log, !segments.is_empty()))
}

/// Sees that only zeros follow the last frame of a segment, or makes it so where `may_cut`.
fn mend_tail(log: &Log, step: &Step, may_cut: bool) -> Result<(), OpenError> {
    let path = log.path();
    let start = log.end.offset;
    let Some(end) = last_written(&path, start).map_err(OpenError::io("read", &path))? else {
        return Ok(());
    };
    let bytes = end - start;
    let one_batch = match step {
        Step::BadBody(header) => bytes <= header.frame_bytes(),
        _ if bytes > FRAME_LIMIT_BYTES as u64 => false,
        _ => {
            let mut tail = vec![0; bytes as usize];
            let read = File::open(&path).and_then(|file| file.read_exact_at(&mut tail, start));
            read.map_err(OpenError::io("read", &path))?;
            !has_later_frame(&tail, log.end.next_revision)
        }
    };
    if !may_cut || !one_batch {
        return Err(log.damage(log::describe(step)));
    }

    tracing::warn!(
        segment = %path.display(),
        offset = start,
        revision = log.end.next_revision,
        bytes,
        "cutting a batch that a crash left half written; it was never acknowledged"
    );
    let cut = || -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&path)?;
        write_zeros(&file, start, end)?;
        file.sync_data()
    };
    cut().map_err(OpenError::io("cut the torn tail of", &path))
}

/// Whether the header of a later batch stands in `tail`. Then the frame before it had been flushed,
/// and it is recorded events that are damaged.
fn has_later_frame(tail: &[u8], next_revision: u64) -> bool {
    tail.windows(HEADER_BYTES).skip(1).any(|bytes| {
        let header = <&[u8; HEADER_BYTES]>::try_from(bytes).ok().and_then(Header::decode);
        header.is_some_and(|header| header.first_revision > next_revision)
    })
}

/// Makes the last frame durable for certain. After a flush that failed the system may hold the
/// frame in memory as if it were on the disk, and a new flush would then write nothing; written
/// again, with the same bytes, it is flushed.
fn write_last_frame_again(log: &Log) -> Result<(), OpenError> {
    let path = log.path();
    let write = || -> io::Result<()> {
        let start = log.last_frame.unwrap_or(log.end.offset);
        let mut frame = vec![0; FRAME_LIMIT_BYTES.min((log.end.offset - start) as usize)];
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        file.read_exact_at(&mut frame, start)?;
        file.write_all_at(&frame, start)?;
        file.sync_all()
    };
    write().map_err(OpenError::io("flush", &path))
}

/// The place after the last byte from `start` on that is not zero.
fn last_written(path: &Path, start: u64) -> io::Result<Option<u64>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut file = file.take(size.saturating_sub(start));
    file.get_mut().seek(SeekFrom::Start(start))?;
    let mut buffer = vec![0; 64 * 1024];
    let (mut offset, mut last) = (start, None);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(last);
        }
        if let Some(position) = buffer[..read].iter().rposition(|byte| *byte != 0) {
            last = Some(offset + position as u64 + 1);
        }
        offset += read as u64;
    }
}

pub(super) fn write_zeros(file: &File, mut from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; 256 * 1024];
    while from < to {
        let bytes = (to - from).min(zeros.len() as u64);
        file.write_all_at(&zeros[..bytes as usize], from)?;
        from += bytes;
    }
    Ok(())
}
