//! The file `acknowledged`: how far the log is durable.
//!
//! The writer writes it in place after each flush of the log, and flushes it only when it is opened
//! and closed. A power loss may so take back its newest contents. Readers then stop earlier, and the
//! next start of the writer finds the rest of the log by itself. The file is never ahead of the log:
//! a log that ends before it has lost events.
//!
//! It is made before the first segment. Where there is a segment and no such file, the file was lost.
//!
//! Layout, little-endian: magic `mja1`, segment (8), offset (8), next revision (8), chain (4), crc32
//! of what stands before (4). As this fits into one sector, a write of it is never half done.

use std::io;
use std::sync::Arc;

use super::disk::DiskFile;
use super::error::OpenError;
use super::folder::Folder;
use super::frame::Cursor;

const MAGIC: [u8; 4] = *b"mja1";
const BYTES: usize = 36;

/// The place after a frame, where the next one goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    /// The first revision of the segment, which is its name.
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) next_revision: u64,
    /// The crc of the last header.
    pub(super) chain: u32,
}

impl End {
    pub(super) fn head(&self) -> Option<u64> {
        self.next_revision.checked_sub(1)
    }
}

pub(super) struct AcknowledgedFile {
    file: DiskFile,
}

impl AcknowledgedFile {
    /// Opens the file and makes `end` durable in it. Where the file is `missing`, or not readable as
    /// one, it appears with its contents or not at all.
    pub(super) fn open(
        folder: &Arc<Folder>,
        handle: &DiskFile,
        missing: bool,
        end: &End,
    ) -> Result<Self, OpenError> {
        let path = folder.acknowledged();
        let open = || -> io::Result<Self> {
            let file = match missing {
                true => folder.disk.create(&folder.new_acknowledged())?,
                false => folder.disk.open_to_write(&path)?,
            };
            let acknowledged = Self { file };
            acknowledged.write(end)?;
            acknowledged.sync()?;
            if missing {
                folder.disk.rename(&folder.new_acknowledged(), &path)?;
                handle.sync_all()?;
            }
            Ok(acknowledged)
        };
        open().map_err(OpenError::io("write", &path))
    }

    pub(super) fn write(&self, end: &End) -> io::Result<()> {
        self.file.write_all_at(&encode(end), 0)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// The acknowledged position; `None` where the file is missing or not readable as one.
pub(super) fn read(folder: &Folder) -> Result<Option<End>, OpenError> {
    let path = folder.acknowledged();
    // A read beside a write may see half of each, which the crc shows and the next try mends.
    for _ in 0..100 {
        let mut bytes = [0; BYTES];
        let read = folder.disk.open(&path).and_then(|file| file.read_exact_at(&mut bytes, 0));
        match read {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(OpenError::io("read", &path)(error)),
        }
        if let Some(end) = decode(&bytes) {
            return Ok(Some(end));
        }
        std::thread::yield_now();
    }
    Ok(None)
}

fn encode(end: &End) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[0..4].copy_from_slice(&MAGIC);
    bytes[4..12].copy_from_slice(&end.segment.to_le_bytes());
    bytes[12..20].copy_from_slice(&end.offset.to_le_bytes());
    bytes[20..28].copy_from_slice(&end.next_revision.to_le_bytes());
    bytes[28..32].copy_from_slice(&end.chain.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..32]);
    bytes[32..36].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; BYTES]) -> Option<End> {
    let mut cursor = Cursor(bytes);
    let magic = cursor.take(4)?;
    let end = End {
        segment: cursor.u64()?,
        offset: cursor.u64()?,
        next_revision: cursor.u64()?,
        chain: cursor.u32()?,
    };
    (magic == MAGIC && cursor.u32()? == crc32fast::hash(&bytes[..32])).then_some(end)
}
