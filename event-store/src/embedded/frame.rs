//! The bytes of one batch. All numbers are little-endian.
//!
//! | offset | bytes | header |
//! |---|---|---|
//! | 0 | 4 | magic `mjf2`, the format's version in it |
//! | 4 | 4 | length of the body |
//! | 8 | 8 | revision of the first event |
//! | 16 | 4 | number of events, at least one |
//! | 20 | 4 | crc32 of the body |
//! | 24 | 4 | the chain: the header's crc of the frame before, 0 in the first frame |
//! | 28 | 4 | crc32 of bytes 0 to 27 |
//!
//! The body has for each event: id (16), length of kind (2), of data (4), of metadata (4), kind,
//! data, metadata. Behind it are zeros up to the next multiple of [`BLOCK_BYTES`], where the next frame begins. As a header's crc covers the body's crc and the chain, a frame that is replaced,
//! dropped or put elsewhere breaks the chain at the frame after it.

use std::io::{self, BufReader, Read};

use uuid::Uuid;

use super::segment::{ReadFrom, Segment};
use crate::{BATCH_LIMIT_BYTES, Batch, EVENT_OVERHEAD_BYTES, RecordedEvent};

pub(super) const HEADER_BYTES: usize = 32;
/// The longest frame. A header with a greater length is damaged; it is refused before that length is
/// allocated.
pub(super) const FRAME_LIMIT_BYTES: usize = (HEADER_BYTES + BATCH_LIMIT_BYTES).next_multiple_of(BLOCK_BYTES);
const MAGIC: [u8; 4] = *b"mjf2";
/// Of the version in which frames followed each other without a gap.
const OLD_MAGIC: [u8; 4] = *b"mjf1";

/// The disk writes whole blocks. As no block holds bytes of two frames, no write touches a frame that was acknowledged.
pub(super) const BLOCK_BYTES: usize = 512;
/// Direct writes are made from memory that is aligned to this.
const MEMORY_ALIGNMENT: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) body_bytes: u32,
    pub(super) first_revision: u64,
    pub(super) events: u32,
    pub(super) body_crc: u32,
    /// The crc of the header before.
    pub(super) previous: u32,
    pub(super) crc: u32,
}

impl Header {
    /// The header of a body with this crc.
    pub(super) fn new(body_bytes: u32, body_crc: u32, first: u64, events: u32, previous: u32) -> Self {
        let mut header = Self { body_bytes, first_revision: first, events, body_crc, previous, crc: 0 };
        header.crc = crc32fast::hash(&header.encode()[..28]);
        header
    }

    /// `None` where these are not the bytes of any [`Self::new`].
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        let magic = cursor.take(4)?;
        let header = Self {
            body_bytes: cursor.u32()?,
            first_revision: cursor.u64()?,
            events: cursor.u32()?,
            body_crc: cursor.u32()?,
            previous: cursor.u32()?,
            crc: cursor.u32()?,
        };
        let most_events = header.body_bytes as usize / EVENT_OVERHEAD_BYTES;
        (magic == MAGIC
            && header.crc == crc32fast::hash(&bytes[..28])
            && header.body_bytes as usize <= BATCH_LIMIT_BYTES
            && (1..=most_events).contains(&(header.events as usize))
            && header.first_revision.checked_add(u64::from(header.events)).is_some())
        .then_some(header)
    }

    /// The bytes that [`Self::decode`] has read.
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let Self { body_bytes, first_revision, events, body_crc, previous, crc } = self;
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&body_bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&first_revision.to_le_bytes());
        bytes[16..20].copy_from_slice(&events.to_le_bytes());
        bytes[20..24].copy_from_slice(&body_crc.to_le_bytes());
        bytes[24..28].copy_from_slice(&previous.to_le_bytes());
        bytes[28..32].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// How far after this frame the next one begins.
    pub(super) fn frame_bytes(&self) -> u64 {
        self.bytes().next_multiple_of(BLOCK_BYTES as u64)
    }

    /// Of header and body.
    fn bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.body_bytes)
    }

    /// The revision after the last event; `decode` has seen that it exists.
    pub(super) fn next_revision(&self) -> u64 {
        self.first_revision.saturating_add(u64::from(self.events))
    }
}

/// A frame in memory from which it can be written directly. It is used for one frame after the other.
pub(super) struct FrameBuffer {
    bytes: Vec<u8>,
    /// Where the frame begins, so that it is aligned.
    start: usize,
}

impl FrameBuffer {
    pub(super) fn new() -> Self {
        // It never grows beyond this, so it is never moved.
        let mut bytes = Vec::<u8>::with_capacity(MEMORY_ALIGNMENT + FRAME_LIMIT_BYTES);
        let start = bytes.as_ptr().align_offset(MEMORY_ALIGNMENT);
        bytes.resize(start, 0);
        Self { bytes, start }
    }

    /// Puts the frame of a batch that passed its check in.
    pub(super) fn encode(&mut self, batch: &Batch, first: u64, previous: u32) -> Header {
        let body = batch.body();
        let header =
            Header::new(body.len() as u32, crc32fast::hash(body), first, batch.len() as u32, previous);
        self.bytes.truncate(self.start);
        self.bytes.extend_from_slice(&header.encode());
        self.bytes.extend_from_slice(body);
        self.bytes.resize(self.start + header.frame_bytes() as usize, 0);
        header
    }

    /// So many zeros, or as many as a frame may have.
    pub(super) fn zeros(bytes: u64) -> Self {
        let mut zeros = Self::new();
        zeros.bytes.resize(zeros.start + bytes.min(FRAME_LIMIT_BYTES as u64) as usize, 0);
        zeros
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// The events of a body whose crc was right; `None` where they do not fill it exactly.
pub(super) fn decode_body(header: &Header, body: &[u8]) -> Option<Vec<RecordedEvent>> {
    let mut cursor = Cursor(body);
    let events = (header.first_revision..header.next_revision())
        .map(|revision| {
            let id = Uuid::from_slice(cursor.take(16)?).ok()?;
            let kind_bytes = usize::from(u16::from_le_bytes(cursor.take(2)?.try_into().ok()?));
            let data_bytes = cursor.u32()? as usize;
            let metadata_bytes = cursor.u32()? as usize;
            let kind = String::from_utf8(cursor.take(kind_bytes)?.to_vec()).ok()?;
            let data = cursor.take(data_bytes)?.to_vec();
            let metadata = cursor.take(metadata_bytes)?.to_vec();
            Some(RecordedEvent { revision, id, kind, data, metadata })
        })
        .collect::<Option<Vec<_>>>()?;
    cursor.0.is_empty().then_some(events)
}

const WRITTEN_BEFORE: &str = "it is in the form of an earlier version, which this one does not read: export the journal with the \
     program that wrote it, and import it with this one";

/// What is found at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A frame whose two crcs are right; its body is in [`Frames::body`].
    Frame(Header),
    /// No frame begins here: the limit, or zeros in the place of a header.
    Blank,
    BadHeader,
    /// A good header, and a body that is cut, whose crc is wrong, or that is not followed by zeros.
    BadBody(Header),
}

/// Reads the frames of one segment in order.
pub(super) struct Frames {
    file: BufReader<ReadFrom>,
    remaining: u64,
    body: Vec<u8>,
}

impl Frames {
    /// Reads `file` from `offset` up to, not including, `limit`.
    pub(super) fn new(file: Segment, offset: u64, limit: u64) -> Self {
        let file = BufReader::with_capacity(64 * 1024, ReadFrom { file, offset });
        Self { file, remaining: limit.saturating_sub(offset), body: Vec::new() }
    }

    /// The next frame. After any other answer the segment has no more frames.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        let mut bytes = [0; HEADER_BYTES];
        let there = self.remaining.min(HEADER_BYTES as u64) as usize;
        self.file.read_exact(&mut bytes[..there])?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(Step::Blank);
        }
        let Some(header) = Header::decode(&bytes) else {
            if bytes.starts_with(&OLD_MAGIC) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, WRITTEN_BEFORE));
            }
            return Ok(Step::BadHeader);
        };
        if header.bytes() > self.remaining {
            return Ok(Step::BadBody(header));
        }
        // The file may end behind the body.
        let frame_bytes = header.frame_bytes().min(self.remaining);
        self.body.resize(frame_bytes as usize - HEADER_BYTES, 0);
        self.file.read_exact(&mut self.body)?;
        let (body, behind) = self.body.split_at(header.body_bytes as usize);
        if crc32fast::hash(body) != header.body_crc || behind.iter().any(|byte| *byte != 0) {
            return Ok(Step::BadBody(header));
        }
        self.body.truncate(header.body_bytes as usize);
        self.remaining -= frame_bytes;
        Ok(Step::Frame(header))
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }
}

pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
}
