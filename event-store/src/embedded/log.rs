//! What is known of a log's files: where it ends, and a sparse index to find a revision.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::acknowledged::End;
use super::error::{Damage, OpenError, Place};
use super::folder::Folder;
use super::frame::{self, Frames, Header, Step};
use super::index;
use super::segment::Segment;
use crate::RecordedEvent;

/// The index holds one place for so many bytes of the log: a read skips at most so much before it comes to its
/// first event. At [`MOST_MARKS`] the distance doubles, and the places between are dropped.
const INDEX_EVERY_BYTES: u64 = 32 * 1024;

/// The most places that the index holds, at 32 bytes each: 2 MiB, whatever the journal's length. Up to 2 GiB they
/// are 32 KiB apart, up to 64 GiB 1 MiB.
pub(super) const MOST_MARKS: usize = 64 * 1024;

pub(super) struct Log {
    folder: Arc<Folder>,
    /// In order of revision.
    index: Vec<Mark>,
    /// The distance of two places of the index, at the least.
    index_every: u64,
    /// The segments before the one in `end`, in order: 48 bytes for each 64 MiB.
    sealed: Vec<Sealed>,
    pub(super) end: End,
    /// The chain before the first frame of the segment in `end`.
    chain_before: u32,
    /// Where the last frame of the segment in `end` begins, if it has one.
    pub(super) last_frame: Option<u64>,
    /// The bytes of all frames, without the zeros behind the last one of each segment.
    pub(super) bytes: u64,
    /// Whether the frames of segments that have an index were taken from there.
    pub(super) by_indexes: bool,
}

/// The place of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) revision: u64,
    pub(super) segment: u64,
    pub(super) offset: u64,
    /// The bytes of all frames before it.
    pub(super) bytes_before: u64,
}

impl Mark {
    fn is_far_from(&self, before: Option<&Self>, bytes: u64) -> bool {
        before.is_none_or(|before| self.bytes_before.saturating_sub(before.bytes_before) >= bytes)
    }
}

/// A segment that nothing more is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) first_revision: u64,
    /// After its last frame.
    pub(super) end: End,
    pub(super) chain_before: u32,
    pub(super) last_frame: u64,
}

/// A copy of what a read needs to know of the log, so that it holds no lock while it reads files.
pub(super) struct Window {
    folder: Arc<Folder>,
    start: Mark,
    end: End,
}

impl Log {
    pub(super) fn new(folder: &Arc<Folder>) -> Self {
        Self {
            folder: Arc::clone(folder),
            index: Vec::new(),
            index_every: INDEX_EVERY_BYTES,
            sealed: Vec::new(),
            end: End::default(),
            chain_before: 0,
            last_frame: None,
            bytes: 0,
            by_indexes: false,
        }
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(super) fn sealed(&self) -> &[Sealed] {
        &self.sealed
    }

    /// The segment that the log ends in.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.segment(self.end.segment)
    }

    /// The file of that segment, and its length.
    pub(super) fn open_segment(&self) -> Result<(Segment, u64), OpenError> {
        let file = Segment::open(&self.folder.disk, &self.path()).map_err(|error| self.unread(error))?;
        let bytes = file.len().map_err(|error| self.unread(error))?;
        Ok((file, bytes))
    }

    /// The error for a segment that cannot be read at the end. What was read and cannot be decompressed is damage.
    pub(super) fn unread(&self, error: io::Error) -> OpenError {
        match error.kind() {
            io::ErrorKind::InvalidData => self.damage(error.to_string()),
            _ => OpenError::io("read", &self.path())(error),
        }
    }

    /// Goes on at the start of the segment that begins where the log ends.
    pub(super) fn enter_next_segment(&mut self) {
        if let Some(last_frame) = self.last_frame {
            self.sealed.push(Sealed {
                first_revision: self.end.segment,
                end: self.end,
                chain_before: self.chain_before,
                last_frame,
            });
        }
        self.chain_before = self.end.chain;
        self.end.segment = self.end.next_revision;
        self.end.offset = 0;
        self.last_frame = None;
    }

    /// Moves the end beyond a frame that begins there.
    pub(super) fn push(&mut self, header: &Header) {
        let End { segment, offset, .. } = self.end;
        let revision = header.first_revision;
        self.add_mark(Mark { revision, segment, offset, bytes_before: self.bytes });
        self.last_frame = Some(offset);
        self.bytes = self.bytes.saturating_add(header.frame_bytes());
        self.end.offset = offset.saturating_add(header.frame_bytes());
        self.end.next_revision = header.next_revision();
        self.end.chain = header.crc;
    }

    /// Adds a place to the index where the last one is far enough.
    fn add_mark(&mut self, mark: Mark) {
        if !mark.is_far_from(self.index.last(), self.index_every) {
            return;
        }
        self.index.push(mark);
        while self.index.len() >= MOST_MARKS {
            self.index_every = self.index_every.saturating_mul(2);
            let mut last = None;
            self.index.retain(|mark| {
                let far = mark.is_far_from(last.as_ref(), self.index_every);
                if far {
                    last = Some(*mark);
                }
                far
            });
        }
    }

    #[cfg(test)]
    pub(super) fn marks(&self) -> usize {
        self.index.len()
    }

    /// The places of a segment that the index holds.
    pub(super) fn marks_in(&self, segment: u64) -> &[Mark] {
        let from = self.index.partition_point(|mark| mark.segment < segment);
        let to = self.index.partition_point(|mark| mark.segment <= segment);
        &self.index[from..to]
    }

    /// Moves the end beyond the segment that begins there, without having read it.
    pub(super) fn pass(&mut self, sealed: &Sealed, marks: &[Mark]) {
        for mark in marks {
            let bytes_before = self.bytes.saturating_add(mark.offset);
            self.add_mark(Mark { bytes_before, ..*mark });
        }
        self.bytes = self.bytes.saturating_add(sealed.end.offset);
        (self.end, self.last_frame) = (sealed.end, Some(sealed.last_frame));
        self.by_indexes = true;
    }

    /// How many bytes of the log follow the batch of a revision, but for the distance of two places of the index.
    pub(super) fn bytes_since(&self, revision: u64) -> u64 {
        let mark = self.mark_before(revision);
        self.bytes.saturating_sub(mark.map_or(0, |mark| mark.bytes_before))
    }

    fn mark_before(&self, revision: u64) -> Option<Mark> {
        let after = self.index.partition_point(|mark| mark.revision <= revision);
        self.index.get(after.checked_sub(1)?).copied()
    }

    /// Checks the frames from the end on and moves the end beyond them, within one segment and up to
    /// the offset `limit`. Answers why it stopped. `passed` is called with each end on the way.
    pub(super) fn scan_segment(
        &mut self,
        limit: Option<u64>,
        mut passed: impl FnMut(&End),
    ) -> Result<Step, OpenError> {
        let (file, bytes) = self.open_segment()?;
        let limit = limit.unwrap_or(bytes).min(bytes);
        let mut frames = Frames::new(file, self.end.offset, limit);
        passed(&self.end);
        loop {
            let step = frames.step().map_err(|error| self.unread(error))?;
            if let Step::Frame(header) | Step::BadBody(header) = &step {
                self.check_chain(header)?;
            }
            let Step::Frame(header) = step else {
                return Ok(step);
            };
            self.push(&header);
            passed(&self.end);
        }
    }

    pub(super) fn check_chain(&self, header: &Header) -> Result<(), OpenError> {
        if header.first_revision != self.end.next_revision {
            let found = header.first_revision;
            return Err(self.damage(format!("the batch there begins with revision {found}")));
        }
        if header.previous != self.end.chain {
            return Err(self.damage("the batch there does not belong to the batch before it"));
        }
        Ok(())
    }

    /// Checks the frames up to an acknowledged position and moves the end there. Where `by_indexes` is asked for, full
    /// segments that have a good index are passed without being read.
    pub(super) fn extend_to(
        &mut self,
        to: &End,
        by_indexes: bool,
        mut passed: impl FnMut(&End),
    ) -> Result<(), OpenError> {
        while self.end != *to {
            let limit = (self.end.segment == to.segment).then_some(to.offset);
            if by_indexes && limit.is_none() && index::pass_segment(self)? {
                passed(&self.end);
                self.enter_next_segment();
                continue;
            }
            let step = match self.scan_segment(limit, &mut passed) {
                // A segment that is missing is events that are lost, and the log ends with the one before.
                Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    if let (0, Some(last)) = (self.end.offset, self.sealed.last()) {
                        self.end = last.end;
                    }
                    return Err(self.not_at(to));
                }
                step => step?,
            };
            if self.end == *to {
                break;
            }
            if step != Step::Blank {
                return Err(self.damage(describe(&step)));
            }
            // Without the second condition an empty segment would be entered again and again.
            if limit.is_some() || self.end.segment == self.end.next_revision {
                return Err(self.not_at(to));
            }
            self.enter_next_segment();
        }
        Ok(())
    }

    /// The error for a log that ends without having come to its acknowledged position.
    pub(super) fn not_at(&self, acknowledged: &End) -> OpenError {
        let acknowledged = acknowledged.next_revision;
        if acknowledged > self.end.next_revision {
            return OpenError::TailBehind { at: self.place(), acknowledged };
        }
        self.damage(format!(
            "the file `acknowledged` names revision {acknowledged} as the next one, at a place where no \
             batch of this journal ends"
        ))
    }

    /// The error for damage at the end.
    pub(super) fn damage(&self, what: impl Into<String>) -> OpenError {
        OpenError::Damaged(Damage { at: self.place(), what: what.into() })
    }

    fn place(&self) -> Place {
        Place { segment: self.path(), offset: self.end.offset, revision: self.end.next_revision }
    }

    /// `None` where nothing is recorded from `from` on.
    pub(super) fn window(&self, from: u64) -> Option<Window> {
        if from >= self.end.next_revision {
            return None;
        }
        let start = self.mark_before(from)?;
        Some(Window { folder: Arc::clone(&self.folder), start, end: self.end })
    }
}

impl Window {
    pub(super) fn read(self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, OpenError> {
        let Self { folder, start, end } = self;
        let mut reading = Log::new(&folder);
        reading.end = end;
        reading.end.segment = start.segment;
        reading.end.offset = start.offset;
        reading.end.next_revision = start.revision;

        let mut events = Vec::new();
        while reading.end.next_revision < end.next_revision && events.len() < max {
            let in_last = reading.end.segment == end.segment;
            let (file, bytes) = reading.open_segment()?;
            let limit = if in_last { end.offset.min(bytes) } else { bytes };
            let mut frames = Frames::new(file, reading.end.offset, limit);
            while events.len() < max {
                match frames.step().map_err(|error| reading.unread(error))? {
                    Step::Frame(header) if header.first_revision == reading.end.next_revision => {
                        if header.next_revision() > from {
                            let Some(batch) = frame::decode_body(&header, frames.body()) else {
                                return Err(reading.damage("the batch there is not readable"));
                            };
                            let room = max - events.len();
                            let wanted = batch.into_iter().filter(|event| event.revision >= from);
                            events.extend(wanted.take(room));
                        }
                        reading.push(&header);
                    }
                    Step::Frame(_) => return Err(reading.damage("another batch stands there")),
                    Step::Blank if !in_last && reading.end.offset > 0 => {
                        reading.enter_next_segment();
                        break;
                    }
                    Step::Blank if reading.end.next_revision == end.next_revision => break,
                    step => return Err(reading.damage(describe(&step))),
                }
            }
        }
        Ok(events)
    }
}

pub(super) fn describe(step: &Step) -> &'static str {
    match step {
        Step::Frame(_) => "a batch stands there that should not",
        Step::Blank => "a batch is missing there",
        Step::BadHeader => "the header of the batch there is damaged",
        Step::BadBody(_) => "the contents of the batch there are cut or damaged",
    }
}

/// The length of the segments up to `end`, including the zeros behind the last frame of each.
pub(super) fn bytes_up_to(folder: &Folder, segments: &[u64], end: &End) -> Result<u64, OpenError> {
    let mut bytes = end.offset;
    for first in segments.iter().filter(|first| **first < end.segment) {
        let path = folder.segment(*first);
        let length = Segment::open(&folder.disk, &path).and_then(|file| file.len());
        bytes = bytes.saturating_add(match length {
            Ok(length) => length,
            // Where it is damaged is told by whoever reads it.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => 0,
            Err(error) => return Err(OpenError::io("read", &path)(error)),
        });
    }
    Ok(bytes)
}

/// Counts the bytes that a scan has checked, and reports the count once a MiB.
#[derive(Default)]
pub(super) struct BytesChecked {
    bytes: u64,
    reported: u64,
    last_offset: u64,
}

impl BytesChecked {
    pub(super) fn passed(&mut self, end: &End) -> Option<u64> {
        // An offset smaller than the last one belongs to the next segment.
        let before = if end.offset < self.last_offset { 0 } else { self.last_offset };
        self.bytes += end.offset - before;
        self.last_offset = end.offset;
        let due = self.bytes - self.reported >= 1024 * 1024;
        if due {
            self.reported = self.bytes;
        }
        due.then_some(self.bytes)
    }
}
