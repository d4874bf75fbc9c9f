//! A journal as compressed files, to be kept or carried to another store.
//!
//! The files of an archive are named by the first revision in them, `00000000000000000000.events.zst`, and follow each
//! other without a gap. Decompressed (any program for Zstandard does that) each is a sequence of events: id (16), the
//! lengths, little-endian, of kind (2), data (4) and metadata (4), and these three. A file gets its name when it is whole
//! and durable.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::embedded::disk::open_plain;
use crate::{BATCH_LIMIT_BYTES, RecordedEvent};

const ENDING: &str = ".events.zst";
/// Fast, and the journal of the demo becomes a seventh.
const LEVEL: i32 = 3;
const EVENT_HEADER_BYTES: usize = 26;

/// A whole file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveFile {
    pub first_revision: u64,
    pub path: PathBuf,
}

/// The files of the archive in `folder`, in order.
///
/// # Errors
/// Where the folder cannot be read.
pub fn files(folder: &Path) -> io::Result<Vec<ArchiveFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let revision = name.strip_suffix(ENDING).filter(|digits| digits.len() == 20);
        if let Some(first_revision) = revision.and_then(|digits| digits.parse().ok()) {
            files.push(ArchiveFile { first_revision, path });
        }
    }
    files.sort_unstable_by_key(|file| file.first_revision);
    Ok(files)
}

/// Writes one file of an archive.
pub struct ArchiveWriter {
    file: zstd::Encoder<'static, BufWriter<File>>,
    folder: PathBuf,
    path: PathBuf,
    new: PathBuf,
    bytes: u64,
}

impl ArchiveWriter {
    /// Only the user that runs this may read the file.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn create(folder: &Path, first_revision: u64) -> io::Result<Self> {
        let new = folder.join("new.events.zst.part");
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        let mut file = zstd::Encoder::new(BufWriter::new(file), LEVEL)?;
        file.include_checksum(true)?;
        let path = folder.join(format!("{first_revision:020}{ENDING}"));
        Ok(Self { file, folder: folder.to_owned(), path, new, bytes: 0 })
    }

    /// # Errors
    /// Where it cannot be written.
    pub fn add(&mut self, event: &RecordedEvent) -> io::Result<()> {
        let mut header = [0; EVENT_HEADER_BYTES];
        header[0..16].copy_from_slice(event.id.as_bytes());
        header[16..18].copy_from_slice(&(event.kind.len() as u16).to_le_bytes());
        header[18..22].copy_from_slice(&(event.data.len() as u32).to_le_bytes());
        header[22..26].copy_from_slice(&(event.metadata.len() as u32).to_le_bytes());
        for part in [&header[..], event.kind.as_bytes(), &event.data, &event.metadata] {
            self.file.write_all(part)?;
            self.bytes = self.bytes.saturating_add(part.len() as u64);
        }
        Ok(())
    }

    /// The bytes of its events, before they are compressed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the file durable and gives it its name.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(self) -> io::Result<()> {
        let file = self.file.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&self.new, &self.path)?;
        File::open(&self.folder)?.sync_all()
    }
}

/// Reads the events of one file of an archive.
pub struct ArchiveReader {
    file: BufReader<zstd::Decoder<'static, BufReader<File>>>,
    next_revision: u64,
}

impl ArchiveReader {
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(file: &ArchiveFile) -> io::Result<Self> {
        let decoder = zstd::Decoder::new(open_plain(&file.path)?)?;
        Ok(Self { file: BufReader::new(decoder), next_revision: file.first_revision })
    }

    fn event(&mut self) -> io::Result<Option<RecordedEvent>> {
        let mut header = [0; EVENT_HEADER_BYTES];
        // The end of the file is an end only where an event could begin.
        let first = loop {
            match self.file.read(&mut header) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if first == 0 {
            return Ok(None);
        }
        self.file.read_exact(&mut header[first..])?;
        let id = Uuid::from_slice(&header[..16]).map_err(io::Error::other)?;
        let kind_bytes = u16::from_le_bytes([header[16], header[17]]);
        let data_bytes = u32::from_le_bytes([header[18], header[19], header[20], header[21]]);
        let metadata_bytes = u32::from_le_bytes([header[22], header[23], header[24], header[25]]);
        let kind = self.bytes(kind_bytes.into())?;
        let kind =
            String::from_utf8(kind).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let (data, metadata) = (self.bytes(data_bytes)?, self.bytes(metadata_bytes)?);
        let revision = self.next_revision;
        self.next_revision = revision.saturating_add(1);
        Ok(Some(RecordedEvent { revision, id, kind, data, metadata }))
    }

    /// Longer than any event can be is refused before it is allocated.
    fn bytes(&mut self, count: u32) -> io::Result<Vec<u8>> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > BATCH_LIMIT_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "an event in it is longer than any can be",
            ));
        }
        let mut bytes = vec![0; count];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Iterator for ArchiveReader {
    type Item = io::Result<RecordedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        self.event().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(first: u64, count: u64) -> Vec<RecordedEvent> {
        let event = |revision: u64| RecordedEvent {
            revision,
            id: Uuid::from_u64_pair(7, revision),
            kind: "GiftSent".into(),
            data: format!("{{\"number\":{revision}}}").repeat(revision as usize % 4).into_bytes(),
            metadata: vec![0, 255, revision as u8],
        };
        (first..first + count).map(event).collect()
    }

    fn write(folder: &Path, events: &[RecordedEvent]) {
        let mut writer = ArchiveWriter::create(folder, events[0].revision).unwrap();
        events.iter().for_each(|event| writer.add(event).unwrap());
        writer.finish().unwrap();
    }

    fn read(folder: &Path) -> io::Result<Vec<RecordedEvent>> {
        let files = files(folder)?;
        files.iter().try_fold(Vec::new(), |mut all, file| {
            all.extend(ArchiveReader::open(file)?.collect::<io::Result<Vec<_>>>()?);
            Ok(all)
        })
    }

    #[test]
    fn an_archive_reads_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let all = events(0, 300);
        // In another order than that of their revisions.
        write(folder.path(), &all[200..]);
        write(folder.path(), &all[..200]);
        assert_eq!(read(folder.path()).unwrap(), all);
        let mode = fs::metadata(&files(folder.path()).unwrap()[0].path).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_not_finished_has_no_name_yet() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = ArchiveWriter::create(folder.path(), 0).unwrap();
        writer.add(&events(0, 1)[0]).unwrap();
        drop(writer);
        assert!(files(folder.path()).unwrap().is_empty());
        write(folder.path(), &events(0, 2));
        assert_eq!(read(folder.path()).unwrap(), events(0, 2));
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00000000000000000000.events.zst");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let refused = ArchiveReader::open(&ArchiveFile { path, first_revision: 0 }).map(drop).unwrap_err();
        assert!(refused.to_string().contains("neither a file nor a folder"), "{refused}");
    }

    #[test]
    fn a_cut_at_any_byte_and_any_flipped_bit_is_an_error_or_harmless() {
        let folder = tempfile::tempdir().unwrap();
        let all = events(0, 40);
        write(folder.path(), &all);
        let path = files(folder.path()).unwrap()[0].path.clone();
        let good = fs::read(&path).unwrap();
        for length in 1..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            assert!(read(folder.path()).is_err(), "cut at {length} of {}", good.len());
        }
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bytes).unwrap();
            // Some bits mean nothing, such as how much memory a reader needs.
            assert!(read(folder.path()).map_or(true, |read| read == all), "bit {bit}");
        }
    }
}
