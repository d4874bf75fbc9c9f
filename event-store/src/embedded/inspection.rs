//! What stands in a journal's folder, for those who look after it.

use super::EmbeddedReader;
use super::disk::DiskFile;
use super::error::OpenError;
use super::folder::Folder;
use super::frame::Step;
use super::index;
use super::log::{Log, Sealed};
use super::recovery::Tail;
use super::segment::Segment;

/// The files of a journal up to its acknowledged position, and what stands behind that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// In order of revision.
    pub segments: Vec<SegmentFile>,
    /// How many events are acknowledged; the revision after the last one.
    pub events: u64,
    /// The bytes of their batches.
    pub bytes: u64,
    pub end: EndOfLog,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    pub name: String,
    pub first_revision: u64,
    pub events: u64,
    /// The bytes of its batches.
    pub bytes: u64,
    /// With the zeros behind the last batch, or fewer where it is compressed.
    pub file_bytes: u64,
    pub compressed: bool,
    /// Whether a good index stands beside it. The last segment has none.
    pub indexed: bool,
}

/// What stands behind the acknowledged position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOfLog {
    /// Nothing: the last batch is whole and acknowledged.
    Acknowledged,
    /// So many whole events. The writer is about to acknowledge them, or a power cut has taken back the file
    /// `acknowledged`; the next start of the writer finds them.
    NotAcknowledged { events: u64 },
    /// Bytes of a batch that is not whole. It is being written, or a crash left it; the next start of the writer cuts it.
    Torn { offset: u64, bytes: u64 },
}

impl EmbeddedReader {
    /// Looks at every file. Blocks.
    ///
    /// # Errors
    /// Where a file cannot be read, or the journal is damaged.
    pub fn inspect(&self) -> Result<Inspection, OpenError> {
        let (folder, sealed, end, last, bytes) = {
            let log = self.reading.catch_up()?;
            let last = Sealed {
                first_revision: log.end.segment,
                end: log.end,
                chain_before: 0,
                last_frame: log.last_frame.unwrap_or(0),
            };
            (std::sync::Arc::clone(&self.reading.folder), log.sealed().to_vec(), log.end, last, log.bytes)
        };
        let segment = |sealed: &Sealed| segment_file(&folder, sealed);
        let mut segments = sealed.iter().map(segment).collect::<Result<Vec<_>, _>>()?;
        segments.push(segment(&last)?);

        let mut behind = Log::new(&folder);
        behind.end = end;
        let mut step = behind.scan_segment(None, |_| {})?;
        let later = folder.segments()?;
        while step == Step::Blank
            && behind.end.segment < behind.end.next_revision
            && later.contains(&behind.end.next_revision)
            && Tail::find(&folder, &behind)?.is_none()
        {
            behind.enter_next_segment();
            step = behind.scan_segment(None, |_| {})?;
        }
        let events = behind.end.next_revision.saturating_sub(end.next_revision);
        let end_of_log = match (Tail::find(&folder, &behind)?, events) {
            (Some(tail), _) => EndOfLog::Torn { offset: tail.start, bytes: tail.end - tail.start },
            (None, 0) => EndOfLog::Acknowledged,
            (None, events) => EndOfLog::NotAcknowledged { events },
        };
        Ok(Inspection { segments, events: end.next_revision, bytes, end: end_of_log })
    }

    /// How many bytes of the log follow the batch of a revision, within the distance of two places of the index.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub fn bytes_since(&self, revision: u64) -> Result<u64, OpenError> {
        Ok(self.reading.catch_up()?.bytes_since(revision))
    }
}

fn segment_file(folder: &Folder, sealed: &Sealed) -> Result<SegmentFile, OpenError> {
    let path = folder.segment(sealed.first_revision);
    let reading = || OpenError::io("read", &path);
    let length = folder.disk.open(&path).and_then(|file: DiskFile| file.len());
    let segment = Segment::open(&folder.disk, &path).map_err(reading())?;
    Ok(SegmentFile {
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        first_revision: sealed.first_revision,
        events: sealed.end.next_revision.saturating_sub(sealed.first_revision),
        bytes: sealed.end.offset,
        file_bytes: length.map_err(reading())?,
        compressed: segment.is_compressed(),
        indexed: index::read(folder, sealed.first_revision).is_some_and(|(found, _)| found == *sealed),
    })
}
