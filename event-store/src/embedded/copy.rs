//! A copy of a journal beside its running writer.
//!
//! What is acknowledged never changes. So the copy is what was acknowledged at one moment: full segments as a whole and
//! the last one up to there. Each batch is checked on its way, so no damage is copied.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::EmbeddedReader;
use super::acknowledged::AcknowledgedFile;
use super::disk::{Disk, DiskFile};
use super::error::OpenError;
use super::folder::Folder;
use super::frame::{Frames, Step};
use super::log::{Log, describe};
use crate::EventsHash;

/// So many bytes are written at once.
const CHUNK_BYTES: usize = 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    pub events: u64,
    /// The bytes of the batches.
    pub bytes: u64,
    /// The [`EventsHash`] of all events.
    pub hash: String,
}

impl EmbeddedReader {
    /// Copies the journal into `target`, which must not exist or be empty, and tells `progress` the bytes copied and the
    /// bytes in all. The copy is durable when this returns. It can be opened as a journal. Blocks.
    ///
    /// # Errors
    /// Where `target` has something in it or cannot be written, or a batch is damaged.
    pub fn copy_to(
        &self,
        target: impl AsRef<Path>,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Copied, OpenError> {
        let (source, end, bytes) = {
            let log = self.reading.catch_up()?;
            (Arc::clone(&self.reading.folder), log.end, log.bytes)
        };
        let target = Arc::new(Folder::new(&Disk::System, target.as_ref()));
        let (_lock, handle) = target.prepare_empty()?;
        let mut hash = EventsHash::default();
        // By itself, so that the chain and the revisions are checked again.
        let mut log = Log::new(&source);
        while log.end != end {
            let limit = (log.end.segment == end.segment).then_some(end.offset);
            copy_segment(&mut log, limit, &target, &mut hash)?;
            progress(log.bytes.min(bytes), bytes);
            if log.end != end {
                if limit.is_some() || log.end.offset == 0 {
                    return Err(log.not_at(&end));
                }
                log.enter_next_segment();
            }
        }
        // Names are durable before the position that speaks of what they hold.
        handle.sync_all().map_err(OpenError::io("sync the folder", &target.path))?;
        AcknowledgedFile::open(&target, &handle, true, &end)?;
        Ok(Copied { events: end.next_revision, bytes, hash: hash.finish() })
    }
}

fn copy_segment(
    log: &mut Log,
    limit: Option<u64>,
    target: &Folder,
    hash: &mut EventsHash,
) -> Result<(), OpenError> {
    let path = target.segment(log.end.segment);
    let file = target.disk.create(&path).map_err(OpenError::io("make", &path))?;
    let (from, length) = log.open_segment()?;
    // The last one is cut, so it is copied as it was before it was compressed.
    let is_compressed = from.is_compressed() && limit.is_none();
    let mut frames = Frames::new(from, 0, limit.unwrap_or(length).min(length));
    let (mut chunk, mut written) = (Vec::with_capacity(CHUNK_BYTES), 0);
    loop {
        let step = frames.step().map_err(|error| log.unread(error))?;
        if let Step::Frame(header) = &step {
            log.check_chain(header)?;
            if !is_compressed {
                let end = chunk.len() + header.frame_bytes() as usize;
                chunk.extend(header.encode());
                chunk.extend(frames.body());
                chunk.resize(end, 0);
            }
            hash.update_body(frames.body());
            log.push(header);
        }
        let last = !matches!(step, Step::Frame(_));
        if last || chunk.len() >= CHUNK_BYTES {
            file.write_all_at(&chunk, written).map_err(OpenError::io("write", &path))?;
            written += chunk.len() as u64;
            chunk.clear();
        }
        match step {
            Step::Frame(_) => {}
            Step::Blank => break,
            step => return Err(log.damage(describe(&step))),
        }
    }
    if is_compressed {
        // Its batches are checked, and so is what it is compressed to.
        copy_file(log, &file).map_err(OpenError::io("copy", &path))?;
    }
    file.sync_all().map_err(OpenError::io("flush", &path))
}

fn copy_file(log: &Log, to: &DiskFile) -> io::Result<()> {
    let from = log.folder().disk.open(&log.path())?;
    let (mut chunk, mut offset) = (vec![0; CHUNK_BYTES], 0);
    loop {
        match from.read_at(&mut chunk, offset)? {
            0 => return Ok(()),
            read => {
                to.write_all_at(&chunk[..read], offset)?;
                offset += read as u64;
            }
        }
    }
}
