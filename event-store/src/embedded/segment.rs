//! A segment's bytes, however its file has them.
//!
//! The file of a full segment may be compressed. Then it is a sequence of frames of Zstandard, one for each
//! [`BLOCK_BYTES`] of the segment, and behind them a table of their lengths, as the seekable format of Zstandard has it.
//! Any program for Zstandard makes the segment of it. Offsets are those in the segment, so that indexes, the acknowledged
//! position and whoever reads need not know.

use std::io;
use std::path::Path;

use zstd::bulk::{Compressor, Decompressor};

use super::disk::{Disk, DiskFile};

/// What one frame holds; the last one may hold less. A read decompresses as much.
pub(super) const BLOCK_BYTES: usize = 128 * 1024;
/// Fast.
const LEVEL: i32 = 3;

const FRAME_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
const TABLE_MAGIC: [u8; 4] = 0x184D_2A5E_u32.to_le_bytes();
const SEEKABLE_MAGIC: [u8; 4] = 0x8F92_EAB1_u32.to_le_bytes();
const ENTRY_BYTES: usize = 8;
/// The magic and the length before the entries.
const TABLE_HEAD_BYTES: usize = 8;
/// The number of frames, a byte of flags, the other magic.
const TABLE_FOOT_BYTES: usize = 9;
/// More frames than a segment can have.
const MOST_BLOCKS: usize = 1 << 20;

pub(super) enum Segment {
    Plain(DiskFile),
    Compressed(Blocks),
}

impl Segment {
    pub(super) fn open(disk: &Disk, path: &Path) -> io::Result<Self> {
        let file = disk.open(path)?;
        let mut magic = [0; 4];
        let begins = match file.read_exact_at(&mut magic, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            read => read.map(|()| magic == FRAME_MAGIC)?,
        };
        if begins { Blocks::open(file).map(Self::Compressed) } else { Ok(Self::Plain(file)) }
    }

    pub(super) fn is_compressed(&self) -> bool {
        matches!(self, Self::Compressed(_))
    }

    /// The length of the segment.
    pub(super) fn len(&self) -> io::Result<u64> {
        match self {
            Self::Plain(file) => file.len(),
            Self::Compressed(blocks) => Ok(blocks.bytes),
        }
    }

    /// Reads into `buffer`, maybe not all of it, and answers how many bytes; 0 at the end of the segment.
    pub(super) fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read_at(buffer, offset),
            Self::Compressed(blocks) => blocks.read_at(buffer, offset),
        }
    }

    pub(super) fn read_exact_at(&mut self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    buffer = buffer.split_at_mut(read).1;
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A segment that is read from a place on.
pub(super) struct ReadFrom {
    pub(super) file: Segment,
    pub(super) offset: u64,
}

impl io::Read for ReadFrom {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// A compressed file, with the block that was read last.
pub(super) struct Blocks {
    file: DiskFile,
    /// Where each begins in the file, and where the last one ends.
    starts: Vec<u64>,
    /// Of the segment.
    bytes: u64,
    decompressor: Decompressor<'static>,
    last: Option<(usize, Vec<u8>)>,
}

impl Blocks {
    fn open(file: DiskFile) -> io::Result<Self> {
        let length = file.len()?;
        let table = || damaged("the table of its blocks is damaged");
        let foot_at = length.checked_sub(TABLE_FOOT_BYTES as u64).ok_or_else(table)?;
        let mut foot = [0; TABLE_FOOT_BYTES];
        file.read_exact_at(&mut foot, foot_at)?;
        let count = u32::from_le_bytes([foot[0], foot[1], foot[2], foot[3]]) as usize;
        if foot[4] != 0 || foot[5..] != SEEKABLE_MAGIC || count > MOST_BLOCKS {
            return Err(table());
        }
        let mut head_and_entries = vec![0; TABLE_HEAD_BYTES + count * ENTRY_BYTES];
        let table_at = foot_at.checked_sub(head_and_entries.len() as u64).ok_or_else(table)?;
        file.read_exact_at(&mut head_and_entries, table_at)?;
        let (head, entries) = head_and_entries.split_at(TABLE_HEAD_BYTES);
        if head != table_head(count) {
            return Err(table());
        }
        let (mut starts, mut bytes) = (vec![0], 0);
        let mut entries = entries.chunks_exact(ENTRY_BYTES).peekable();
        while let Some(entry) = entries.next() {
            let [compressed, whole] = [0, 4].map(|at| {
                u64::from(u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]))
            });
            let is_full = whole == BLOCK_BYTES as u64;
            let is_last = entries.peek().is_none();
            let fits = is_full || (is_last && (1..BLOCK_BYTES as u64).contains(&whole));
            if !fits || compressed > 2 * BLOCK_BYTES as u64 {
                return Err(table());
            }
            starts.push(starts[starts.len() - 1] + compressed);
            bytes += whole;
        }
        if starts[starts.len() - 1] != table_at {
            return Err(table());
        }
        Ok(Self { file, starts, bytes, decompressor: Decompressor::new()?, last: None })
    }

    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.bytes {
            return Ok(0);
        }
        let (block, within) =
            ((offset / BLOCK_BYTES as u64) as usize, (offset % BLOCK_BYTES as u64) as usize);
        let bytes = &self.block(block)?[within..];
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn block(&mut self, number: usize) -> io::Result<&[u8]> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != number) {
            let (start, end) = (self.starts[number], self.starts[number + 1]);
            let mut compressed = vec![0; (end - start) as usize];
            self.file.read_exact_at(&mut compressed, start)?;
            let offset = number as u64 * BLOCK_BYTES as u64;
            let wanted = (self.bytes - offset).min(BLOCK_BYTES as u64) as usize;
            let block = self.decompressor.decompress(&compressed, BLOCK_BYTES);
            let block = block.ok().filter(|block| block.len() == wanted).ok_or_else(|| {
                damaged(&format!(
                    "the block of the compressed file that begins there, at offset {start}, is damaged"
                ))
            })?;
            self.last = Some((number, block));
        }
        Ok(self.last.as_ref().map_or(&[], |(_, block)| block))
    }
}

/// The frames of a compressed file, as it is being written.
pub(super) struct BlockWriter {
    compressor: Compressor<'static>,
    file: DiskFile,
    at: u64,
    entries: Vec<u8>,
    block: Vec<u8>,
}

impl BlockWriter {
    pub(super) fn new(file: DiskFile) -> io::Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        Ok(Self { compressor, file, at: 0, entries: Vec::new(), block: Vec::with_capacity(BLOCK_BYTES) })
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = (BLOCK_BYTES - self.block.len()).min(bytes.len());
            let (taken, rest) = bytes.split_at(room);
            self.block.extend_from_slice(taken);
            bytes = rest;
            if self.block.len() == BLOCK_BYTES {
                self.end_block()?;
            }
        }
        Ok(())
    }

    fn end_block(&mut self) -> io::Result<()> {
        let compressed = self.compressor.compress(&self.block)?;
        self.file.write_all_at(&compressed, self.at)?;
        self.at += compressed.len() as u64;
        self.entries.extend((compressed.len() as u32).to_le_bytes());
        self.entries.extend((self.block.len() as u32).to_le_bytes());
        self.block.clear();
        Ok(())
    }

    /// Makes the file durable, and answers its length.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let count = self.entries.len() / ENTRY_BYTES;
        let mut table = table_head(count).to_vec();
        table.extend(&self.entries);
        table.extend((count as u32).to_le_bytes());
        table.push(0);
        table.extend(SEEKABLE_MAGIC);
        self.file.write_all_at(&table, self.at)?;
        self.file.sync_all()?;
        Ok(self.at + table.len() as u64)
    }
}

fn table_head(count: usize) -> [u8; TABLE_HEAD_BYTES] {
    let mut head = [0; TABLE_HEAD_BYTES];
    head[..4].copy_from_slice(&TABLE_MAGIC);
    head[4..].copy_from_slice(&((count * ENTRY_BYTES + TABLE_FOOT_BYTES) as u32).to_le_bytes());
    head
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
