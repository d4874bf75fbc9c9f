//! The bytes of one batch. All numbers are little-endian.
//!
//! | offset | bytes | header |
//! |---|---|---|
//! | 0 | 4 | magic `mjf1`, the format's version in it |
//! | 4 | 4 | length of the body |
//! | 8 | 8 | revision of the first event |
//! | 16 | 4 | number of events, at least one |
//! | 20 | 4 | crc32 of the body |
//! | 24 | 4 | the chain: the header's crc of the frame before, 0 in the first frame |
//! | 28 | 4 | crc32 of bytes 0 to 27 |
//!
//! The body has for each event: id (16), length of kind (2), of data (4), of metadata (4), kind,
//! data, metadata. As a header's crc covers the body's crc and the chain, a frame that is replaced,
//! dropped or put elsewhere breaks the chain at the frame after it.

use std::io::{self, BufReader, Read};

use uuid::Uuid;

use super::segment::{ReadFrom, Segment};
use crate::{BATCH_LIMIT_BYTES, Batch, EVENT_OVERHEAD_BYTES, RecordedEvent};

pub(super) const HEADER_BYTES: usize = 32;
/// The longest frame. A header with a greater length is damaged; it is refused before that length is
/// allocated.
pub(super) const FRAME_LIMIT_BYTES: usize = HEADER_BYTES + BATCH_LIMIT_BYTES;
pub(super) const MAGIC: [u8; 4] = *b"mjf1";

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
    /// Writes the header of `frame`, which [`encode`] has left room for, and answers its crc.
    pub(super) fn seal(frame: &mut [u8], body_crc: u32, first: u64, events: u32, previous: u32) -> u32 {
        let body_bytes = frame.len().saturating_sub(HEADER_BYTES) as u32;
        let mut header = Self { body_bytes, first_revision: first, events, body_crc, previous, crc: 0 };
        header.crc = crc32fast::hash(&header.encode()[..28]);
        frame[..HEADER_BYTES].copy_from_slice(&header.encode());
        header.crc
    }

    /// `None` where [`Self::seal`] cannot have written these bytes.
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

    pub(super) fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.body_bytes)
    }

    /// The revision after the last event; `decode` has seen that it exists.
    pub(super) fn next_revision(&self) -> u64 {
        self.first_revision.saturating_add(u64::from(self.events))
    }
}

/// The frame of a batch that passed its check, with room for its header, and the body's crc.
pub(super) fn encode(batch: &Batch) -> (Vec<u8>, u32) {
    let mut frame = Vec::with_capacity(HEADER_BYTES + batch.body().len());
    frame.resize(HEADER_BYTES, 0);
    frame.extend_from_slice(batch.body());
    let crc = crc32fast::hash(&frame[HEADER_BYTES..]);
    (frame, crc)
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

/// What is found at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A frame whose two crcs are right; its body is in [`Frames::body`].
    Frame(Header),
    /// No frame begins here: the limit, or zeros in the place of a header.
    Blank,
    BadHeader,
    /// A good header, and a body that is cut or whose crc is wrong.
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
            return Ok(Step::BadHeader);
        };
        if header.frame_bytes() > self.remaining {
            return Ok(Step::BadBody(header));
        }
        self.body.resize(header.body_bytes as usize, 0);
        self.file.read_exact(&mut self.body)?;
        if crc32fast::hash(&self.body) != header.body_crc {
            return Ok(Step::BadBody(header));
        }
        self.remaining -= header.frame_bytes();
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
