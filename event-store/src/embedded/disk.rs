//! What the store asks of the operating system, and nothing else.
//!
//! Tests put a simulated disk below the store. It loses what was not synced, as a power loss does.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Once;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

#[cfg(test)]
use super::simulated_disk::{SimulatedDisk, SimulatedFile};

/// Only the user that runs the server may read the journal.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// The rights of the group and of everybody else.
const OTHERS: u32 = 0o077;

#[derive(Clone)]
pub(super) enum Disk {
    System,
    #[cfg(test)]
    Simulated(SimulatedDisk),
}

/// An open file, or an open folder whose names are to be synced.
pub(super) enum DiskFile {
    System(File),
    #[cfg(test)]
    Simulated(SimulatedFile),
}

impl Disk {
    pub(super) fn is_folder(&self, path: &Path) -> bool {
        match self {
            Self::System => path.is_dir(),
            #[cfg(test)]
            Self::Simulated(disk) => disk.is_folder(path),
        }
    }

    /// Makes one folder. The folder above it must exist.
    pub(super) fn make_folder(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::System => DirBuilder::new().mode(FOLDER_MODE).create(path),
            #[cfg(test)]
            Self::Simulated(disk) => disk.make_folder(path),
        }
    }

    /// The names in a folder, in any order. Names that are no text are left out.
    pub(super) fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        match self {
            Self::System => {
                let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
                Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
            }
            #[cfg(test)]
            Self::Simulated(disk) => disk.names(folder),
        }
    }

    /// Removes the rights of the group and of everybody else.
    pub(super) fn restrict(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::System => {
                let metadata = fs::metadata(path)?;
                let mode = metadata.permissions().mode();
                if mode & OTHERS == 0 {
                    return Ok(());
                }
                let mode = if metadata.is_dir() { FOLDER_MODE } else { FILE_MODE };
                fs::set_permissions(path, PermissionsExt::from_mode(mode))
            }
            #[cfg(test)]
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Opens a file to read, or a folder to sync.
    pub(super) fn open(&self, path: &Path) -> io::Result<DiskFile> {
        match self {
            Self::System => open_plain(path).map(DiskFile::System),
            #[cfg(test)]
            Self::Simulated(disk) => disk.open(path).map(DiskFile::Simulated),
        }
    }

    /// Opens a file that exists to read and write.
    pub(super) fn open_to_write(&self, path: &Path) -> io::Result<DiskFile> {
        match self {
            Self::System => OpenOptions::new().read(true).write(true).open(path).map(DiskFile::System),
            #[cfg(test)]
            Self::Simulated(disk) => disk.open_to_write(path).map(DiskFile::Simulated),
        }
    }

    /// Makes an empty file, or empties the one that is there.
    pub(super) fn create(&self, path: &Path) -> io::Result<DiskFile> {
        match self {
            Self::System => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(true).mode(FILE_MODE);
                options.open(path).map(DiskFile::System)
            }
            #[cfg(test)]
            Self::Simulated(disk) => disk.create(path).map(DiskFile::Simulated),
        }
    }

    /// Makes an empty file for [`DiskFile::write_through_at`], or empties the one that is there.
    pub(super) fn create_log(&self, path: &Path) -> io::Result<DiskFile> {
        match self {
            Self::System => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(true).mode(FILE_MODE);
                open_direct(&mut options, path).map(DiskFile::System)
            }
            #[cfg(test)]
            Self::Simulated(disk) => disk.create(path).map(DiskFile::Simulated),
        }
    }

    /// Opens a file that exists for [`DiskFile::write_through_at`].
    pub(super) fn open_log(&self, path: &Path) -> io::Result<DiskFile> {
        match self {
            Self::System => {
                open_direct(OpenOptions::new().read(true).write(true), path).map(DiskFile::System)
            }
            #[cfg(test)]
            Self::Simulated(disk) => disk.open_to_write(path).map(DiskFile::Simulated),
        }
    }

    /// Whether background work may be done at any moment, which a simulated disk could not repeat.
    pub(super) fn is_real(&self) -> bool {
        matches!(self, Self::System)
    }

    /// Locks a file, which is made where it is missing. The lock lasts as long as the file is open,
    /// so it ends with the process however that ends.
    pub(super) fn lock(&self, path: &Path) -> Result<DiskFile, TryLockError> {
        match self {
            Self::System => {
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(false).mode(FILE_MODE);
                let file = options.open(path).map_err(TryLockError::Error)?;
                file.try_lock()?;
                Ok(DiskFile::System(file))
            }
            #[cfg(test)]
            Self::Simulated(disk) => disk.create(path).map(DiskFile::Simulated).map_err(TryLockError::Error),
        }
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self {
            Self::System => fs::rename(from, to),
            #[cfg(test)]
            Self::Simulated(disk) => disk.rename(from, to),
        }
    }
}

impl DiskFile {
    pub(super) fn len(&self) -> io::Result<u64> {
        match self {
            Self::System(file) => Ok(file.metadata()?.len()),
            #[cfg(test)]
            Self::Simulated(file) => file.len(),
        }
    }

    /// Reads into `buffer`, maybe not all of it, and answers how many bytes; 0 at the end of the file.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::System(file) => file.read_at(buffer, offset),
            #[cfg(test)]
            Self::Simulated(file) => file.read_at(buffer, offset),
        }
    }

    pub(super) fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
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

    pub(super) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::System(file) => file.write_all_at(bytes, offset),
            #[cfg(test)]
            Self::Simulated(file) => file.write_all_at(bytes, offset),
        }
    }

    /// Writes whole blocks from aligned memory, which are durable when this returns: past the page cache where the file
    /// system can, and through it where it refuses that.
    pub(super) fn write_through_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::System(file) => {
                let written = match file.write_all_at(bytes, offset) {
                    Err(error) if is_direct_refused(&error) && turn_direct_off(file)? => {
                        file.write_all_at(bytes, offset)
                    }
                    written => written,
                };
                written.and_then(|()| file.sync_data())
            }
            #[cfg(test)]
            Self::Simulated(file) => file.write_through_at(bytes, offset),
        }
    }

    pub(super) fn set_len(&self, bytes: u64) -> io::Result<()> {
        match self {
            Self::System(file) => file.set_len(bytes),
            #[cfg(test)]
            Self::Simulated(file) => file.set_len(bytes),
        }
    }

    /// Makes the contents durable, and the length where it changed.
    pub(super) fn sync_data(&self) -> io::Result<()> {
        match self {
            Self::System(file) => file.sync_data(),
            #[cfg(test)]
            Self::Simulated(file) => file.sync(),
        }
    }

    /// Makes contents, length and attributes of a file durable, or the names in a folder.
    pub(super) fn sync_all(&self) -> io::Result<()> {
        match self {
            Self::System(file) => file.sync_all(),
            #[cfg(test)]
            Self::Simulated(file) => file.sync(),
        }
    }
}

/// Opens a file whose writes go past the page cache where the file system can.
fn open_direct(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    match options.custom_flags(OFlags::DIRECT.bits().cast_signed()).open(path) {
        Err(error) if is_direct_refused(&error) => {
            tell_no_direct_writes();
            options.custom_flags(0).open(path)
        }
        opened => opened,
    }
}

fn is_direct_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

/// Answers whether it was on.
fn turn_direct_off(file: &File) -> io::Result<bool> {
    let flags = fcntl_getfl(file)?;
    if flags.contains(OFlags::DIRECT) {
        tell_no_direct_writes();
        fcntl_setfl(file, flags - OFlags::DIRECT)?;
    }
    Ok(flags.contains(OFlags::DIRECT))
}

fn tell_no_direct_writes() {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::info!("the file system takes no direct writes, so the journal goes through the page cache");
    });
}

/// Opens a file to read, or a folder to sync. Anything else, such as a pipe, would keep whoever opens it waiting for ever.
pub(crate) fn open_plain(path: &Path) -> io::Result<File> {
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_file() || kind.is_dir() {
        return File::open(path);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it is neither a file nor a folder"))
}
