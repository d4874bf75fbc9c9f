//! What is done for a journal of years, beside its writer: full segments are compressed, and old ones are read again so
//! that damage shows long before a start finds it.

use std::io;
use std::time::{Duration, Instant};

use super::EmbeddedReader;
use super::acknowledged::End;
use super::error::{OpenError, is_full};
use super::folder::Folder;
use super::frame::{Frames, HEADER_BYTES, Header, Step};
use super::log::{Log, Sealed, describe};
use super::segment::{BLOCK_BYTES, BlockWriter, Segment};
use std::sync::Arc;

/// So many bytes are worked on between two pauses.
const PIECE_BYTES: u64 = 1024 * 1024;

/// A segment whose file is compressed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressedSegment {
    pub first_revision: u64,
    /// The bytes of its batches.
    pub bytes: u64,
    pub file_bytes: u64,
}

impl EmbeddedReader {
    /// The first revisions of the full segments, in order: those to which nothing is added any more.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub fn full_segments(&self) -> Result<Vec<u64>, OpenError> {
        Ok(self.sealed()?.iter().map(|sealed| sealed.first_revision).collect())
    }

    /// Compresses a full segment, unless it is compressed already. Its file is replaced at once by one that was written
    /// beside it, made durable and compared with it; a crash at any moment leaves one of the two. `pause` is told how long
    /// each piece of work took. Blocks.
    ///
    /// Call it in one process at a time, such as the one that writes.
    ///
    /// # Errors
    /// Where a batch of it is damaged, or a file cannot be read or written. The segment is as it was then.
    pub fn compress(
        &self,
        first_revision: u64,
        mut pause: impl FnMut(Duration),
    ) -> Result<Option<CompressedSegment>, OpenError> {
        let Some(sealed) = self.full_segment(first_revision)? else { return Ok(None) };
        let folder = &self.reading.folder;
        let path = folder.segment(first_revision);
        if open(folder, &path)?.is_compressed() {
            return Ok(None);
        }
        let new = folder.compressing();
        let made = compress(folder, &sealed, &mut pause).inspect_err(|error| {
            if matches!(error, OpenError::Io { source, .. } if is_full(source)) {
                // What is there of it must not keep the writer from going on.
                drop(folder.disk.create(&new));
            }
        });
        let file_bytes = made?;
        let replace = || -> io::Result<()> {
            folder.disk.rename(&new, &path)?;
            folder.disk.open(&folder.path)?.sync_all()
        };
        replace().map_err(OpenError::io("replace", &path))?;
        Ok(Some(CompressedSegment { first_revision, bytes: sealed.end.offset, file_bytes }))
    }

    /// Reads a full segment and checks each batch in it. `pause` is told how long each piece of work took. Blocks.
    ///
    /// # Errors
    /// Where a batch of it is damaged, which the error names, or it cannot be read.
    pub fn check(&self, first_revision: u64, mut pause: impl FnMut(Duration)) -> Result<(), OpenError> {
        match self.full_segment(first_revision)? {
            Some(sealed) => each_frame(&self.reading.folder, &sealed, &mut pause, |_, _| Ok(())),
            None => Ok(()),
        }
    }

    fn sealed(&self) -> Result<Vec<Sealed>, OpenError> {
        Ok(self.reading.catch_up()?.sealed().to_vec())
    }

    fn full_segment(&self, first_revision: u64) -> Result<Option<Sealed>, OpenError> {
        Ok(self.sealed()?.into_iter().find(|sealed| sealed.first_revision == first_revision))
    }
}

fn compress(
    folder: &Arc<Folder>,
    sealed: &Sealed,
    pause: &mut impl FnMut(Duration),
) -> Result<u64, OpenError> {
    let (path, new) = (folder.segment(sealed.first_revision), folder.compressing());
    let writing = || OpenError::io("write", &new);
    let mut blocks = folder.disk.create(&new).and_then(BlockWriter::new).map_err(writing())?;
    each_frame(folder, sealed, pause, |header, body| {
        let behind = vec![0; header.frame_bytes() as usize - HEADER_BYTES - body.len()];
        [&header.encode()[..], body, &behind]
            .into_iter()
            .try_for_each(|part| blocks.write(part))
            .map_err(writing())
    })?;
    let file_bytes = blocks.finish().map_err(writing())?;

    let (mut before, mut after) = (open(folder, &path)?, open(folder, &new)?);
    let (mut one, mut other) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    let (mut offset, bytes) = (0, sealed.end.offset);
    let length = after.len().map_err(OpenError::io("read", &new))?;
    let mut is_same = length == bytes && after.is_compressed();
    while is_same && offset < bytes {
        let begun = now();
        let count = ((bytes - offset) as usize).min(BLOCK_BYTES);
        before.read_exact_at(&mut one[..count], offset).map_err(OpenError::io("read", &path))?;
        after.read_exact_at(&mut other[..count], offset).map_err(OpenError::io("read", &new))?;
        is_same = one[..count] == other[..count];
        offset += count as u64;
        pause(begun.elapsed());
    }
    if is_same {
        return Ok(file_bytes);
    }
    let other = io::Error::new(io::ErrorKind::InvalidData, "it does not hold what it was made of");
    Err(OpenError::io("use", &new)(other))
}

/// Hands out the frames of a full segment, each of which is as it was written and belongs to the one before it.
fn each_frame(
    folder: &Arc<Folder>,
    sealed: &Sealed,
    pause: &mut impl FnMut(Duration),
    mut frame: impl FnMut(&Header, &[u8]) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let mut log = Log::new(folder);
    let Sealed { first_revision, chain_before, .. } = *sealed;
    log.end = End { segment: first_revision, offset: 0, next_revision: first_revision, chain: chain_before };
    let (file, length) = log.open_segment()?;
    let mut frames = Frames::new(file, 0, sealed.end.offset.min(length));
    let (mut begun, mut piece) = (now(), PIECE_BYTES);
    loop {
        match frames.step().map_err(|error| log.unread(error))? {
            Step::Frame(header) => {
                log.check_chain(&header)?;
                frame(&header, frames.body())?;
                log.push(&header);
            }
            Step::Blank if log.end == sealed.end => return Ok(()),
            step => return Err(log.damage(describe(&step))),
        }
        if log.end.offset >= piece {
            pause(begun.elapsed());
            (begun, piece) = (now(), log.end.offset + PIECE_BYTES);
        }
    }
}

fn open(folder: &Folder, path: &std::path::Path) -> Result<Segment, OpenError> {
    Segment::open(&folder.disk, path).map_err(OpenError::io("read", path))
}

#[expect(clippy::disallowed_methods, reason = "it decides nothing but how long to rest")]
fn now() -> Instant {
    Instant::now()
}
