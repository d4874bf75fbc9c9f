//! The files `<first revision>.index`: where frames stand in a full segment, so that a reader opens a journal of years
//! without reading all of it.
//!
//! An index follows from its segment and is never believed over it. One that is missing, damaged or does not fit its
//! segment is not used: the segment is read instead. The writer makes each when its segment is full, and at its start
//! those that are not there. Where something is amiss behind an index, everything is read without any, and what is
//! found then is what counts. The writer itself reads every frame at its start.
//!
//! Layout, little-endian: magic `mji1`, first revision (8), offset after the last frame (8), next revision (8), chain
//! before the first frame (4), chain after the last (4), offset of the last frame (8), then for some frames in order
//! their first revision (8) and offset (8), at last the crc32 of what stands before (4).

use std::io;

use super::acknowledged::End;
use super::error::OpenError;
use super::folder::Folder;
use super::frame::{Cursor, HEADER_BYTES, Header};
use super::log::{Log, MOST_MARKS, Mark, Sealed};
use super::segment::Segment;

const MAGIC: [u8; 4] = *b"mji1";
const MARK_BYTES: usize = 16;
/// What stands around the places.
const FIXED_BYTES: usize = 48;
/// A longer file is none of ours.
const MOST_BYTES: usize = FIXED_BYTES + MOST_MARKS * MARK_BYTES;

/// Moves the end of `log`, which stands at the start of a segment, behind it by the segment's index. Answers `false`
/// where that cannot be.
pub(super) fn pass_segment(log: &mut Log) -> Result<bool, OpenError> {
    if log.end.offset > 0 {
        return Ok(false);
    }
    let Some((sealed, marks)) = read(log.folder(), log.end.segment) else {
        return Ok(false);
    };
    let path = log.folder().segment(log.end.segment);
    let segment = Segment::open(&log.folder().disk, &path);
    let fits = segment.and_then(|mut file| fits(&mut file, &sealed, &log.end));
    match fits {
        Ok(true) => log.pass(&sealed, &marks),
        Ok(false) => return Ok(false),
        // A missing segment is told as the scan tells it.
        Err(_) => return Ok(false),
    }
    Ok(true)
}

/// Holds an index against what the log shows: where it stands, the first frame and the last one.
fn fits(file: &mut Segment, sealed: &Sealed, at: &End) -> io::Result<bool> {
    if sealed.first_revision != at.next_revision || sealed.chain_before != at.chain {
        return Ok(false);
    }
    let mut header = |offset| -> io::Result<Option<Header>> {
        let mut bytes = [0; HEADER_BYTES];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(Header::decode(&bytes))
    };
    let (Some(first), Some(last)) = (header(0)?, header(sealed.last_frame)?) else {
        return Ok(false);
    };
    Ok(first.first_revision == sealed.first_revision
        && first.previous == sealed.chain_before
        && last.crc == sealed.end.chain
        && last.next_revision() == sealed.end.next_revision
        && sealed.last_frame.checked_add(last.frame_bytes()) == Some(sealed.end.offset)
        && file.len()? >= sealed.end.offset)
}

/// Makes the index of a segment that is full. It is not flushed: what a crash leaves of it shows as damaged.
pub(super) fn write(log: &Log, sealed: &Sealed) {
    let path = log.folder().index(sealed.first_revision);
    let bytes = encode(sealed, log.marks_in(sealed.first_revision));
    let written = log.folder().disk.create(&path).and_then(|file| file.write_all_at(&bytes, 0));
    if let Err(error) = written {
        tracing::debug!(path = %path.display(), %error, "the index was not written; the next start tries again");
    }
}

/// Makes the indexes that are missing or not as they should be.
pub(super) fn write_missing(log: &Log) {
    for sealed in log.sealed() {
        if read(log.folder(), sealed.first_revision).is_none_or(|(found, _)| found != *sealed) {
            write(log, sealed);
        }
    }
}

/// `None` where the file is missing or not readable as an index.
pub(super) fn read(folder: &Folder, first_revision: u64) -> Option<(Sealed, Vec<Mark>)> {
    let file = folder.disk.open(&folder.index(first_revision)).ok()?;
    let length = usize::try_from(file.len().ok()?).ok()?;
    if !(FIXED_BYTES..=MOST_BYTES).contains(&length) {
        return None;
    }
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0).ok()?;
    decode(&bytes).filter(|(sealed, _)| sealed.first_revision == first_revision)
}

fn encode(sealed: &Sealed, marks: &[Mark]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FIXED_BYTES + marks.len() * MARK_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(sealed.first_revision.to_le_bytes());
    bytes.extend(sealed.end.offset.to_le_bytes());
    bytes.extend(sealed.end.next_revision.to_le_bytes());
    bytes.extend(sealed.chain_before.to_le_bytes());
    bytes.extend(sealed.end.chain.to_le_bytes());
    bytes.extend(sealed.last_frame.to_le_bytes());
    for mark in marks {
        bytes.extend(mark.revision.to_le_bytes());
        bytes.extend(mark.offset.to_le_bytes());
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<(Sealed, Vec<Mark>)> {
    let (bytes, crc) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(bytes) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut cursor = Cursor(bytes);
    if cursor.take(4)? != MAGIC {
        return None;
    }
    let segment = cursor.u64()?;
    let (offset, next_revision) = (cursor.u64()?, cursor.u64()?);
    let (chain_before, chain) = (cursor.u32()?, cursor.u32()?);
    let end = End { segment, offset, next_revision, chain };
    let sealed = Sealed { first_revision: segment, end, chain_before, last_frame: cursor.u64()? };
    let mut marks = Vec::new();
    while !cursor.0.is_empty() {
        let (revision, offset) = (cursor.u64()?, cursor.u64()?);
        marks.push(Mark { revision, segment, offset, bytes_before: 0 });
    }
    // A search in places that are out of order would find nothing.
    let in_order = marks.is_sorted_by(|one, next| one.revision < next.revision && one.offset < next.offset);
    let inside =
        marks.iter().all(|mark| (segment..next_revision).contains(&mark.revision) && mark.offset < offset);
    (in_order && inside).then_some((sealed, marks))
}
