//! The journal's folder: the names of its files, and how they become durable.

use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile};
use super::error::OpenError;

pub(super) struct Folder {
    pub(super) disk: Disk,
    pub(super) path: PathBuf,
}

impl Folder {
    pub(super) fn new(disk: &Disk, path: &Path) -> Self {
        Self { disk: disk.clone(), path: path.to_owned() }
    }

    pub(super) fn segment(&self, first_revision: u64) -> PathBuf {
        self.path.join(format!("{first_revision:020}.segment"))
    }

    /// Where frames stand in a full segment.
    pub(super) fn index(&self, first_revision: u64) -> PathBuf {
        self.path.join(format!("{first_revision:020}.index"))
    }

    /// The empty file that becomes the next segment.
    pub(super) fn next_segment(&self) -> PathBuf {
        self.path.join("next.segment")
    }

    /// Where a full segment is compressed before it takes the place of the plain one.
    pub(super) fn compressing(&self) -> PathBuf {
        self.path.join("compressing.segment")
    }

    pub(super) fn acknowledged(&self) -> PathBuf {
        self.path.join("acknowledged")
    }

    /// Where the file `acknowledged` is written before it gets its name.
    pub(super) fn new_acknowledged(&self) -> PathBuf {
        self.path.join("acknowledged.new")
    }

    fn lock_file(&self) -> PathBuf {
        self.path.join("writer.lock")
    }

    /// The first revisions of the segments, in order.
    pub(super) fn segments(&self) -> Result<Vec<u64>, OpenError> {
        let names = self.disk.names(&self.path).map_err(OpenError::io("read the folder", &self.path))?;
        let mut segments = names.iter().filter_map(|name| numbered(name, ".segment")).collect::<Vec<_>>();
        segments.sort_unstable();
        Ok(segments)
    }

    /// Makes the folder where it is missing, keeps others out of it, locks it for one writer, and
    /// makes the names in it durable. The lock and a handle to sync the folder with are answered.
    pub(super) fn prepare(&self) -> Result<(DiskFile, DiskFile), OpenError> {
        self.make().map_err(OpenError::io("make the folder", &self.path))?;
        self.disk.restrict(&self.path).map_err(OpenError::io("keep others out of", &self.path))?;
        let path = self.lock_file();
        let lock = self.disk.lock(&path).map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::Locked { folder: self.path.clone() },
            TryLockError::Error(error) => OpenError::io("lock", &path)(error),
        })?;
        self.restrict_files()?;
        // A process that was killed may have left names that are not durable. What is appended to
        // such a file would be lost with its name.
        let sync = || -> io::Result<DiskFile> {
            let handle = self.disk.open(&self.path)?;
            handle.sync_all()?;
            Ok(handle)
        };
        let handle = sync().map_err(OpenError::io("sync the folder", &self.path))?;
        Ok((lock, handle))
    }

    /// As [`Self::prepare`], for a folder in which there is nothing yet.
    pub(super) fn prepare_empty(&self) -> Result<(DiskFile, DiskFile), OpenError> {
        let names = match self.disk.is_folder(&self.path) {
            true => self.disk.names(&self.path).map_err(OpenError::io("read the folder", &self.path))?,
            false => Vec::new(),
        };
        if !names.is_empty() {
            return Err(OpenError::NotEmpty { folder: self.path.clone() });
        }
        self.prepare()
    }

    /// The name of each level is durable before the next one is made in it. After a kill only the
    /// deepest level that exists may have a name that is not durable, so that one is synced first.
    fn make(&self) -> io::Result<()> {
        let levels = self.path.ancestors().filter(|level| !level.as_os_str().is_empty());
        let mut missing = Vec::new();
        for level in levels {
            if self.disk.is_folder(level) {
                self.sync_name_of(level)?;
                break;
            }
            missing.push(level);
        }
        for level in missing.into_iter().rev() {
            self.disk.make_folder(level)?;
            self.sync_name_of(level)?;
        }
        Ok(())
    }

    fn sync_name_of(&self, level: &Path) -> io::Result<()> {
        let Some(above) = level.parent() else { return Ok(()) };
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match self.disk.open(above) {
            Ok(above) => above.sync_all(),
            // If this user cannot read the folder above, somebody else has made this one.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn restrict_files(&self) -> Result<(), OpenError> {
        let names = self.disk.names(&self.path).map_err(OpenError::io("read the folder", &self.path))?;
        for name in names {
            let ours = numbered(&name, ".segment").is_some()
                || numbered(&name, ".index").is_some()
                || ["next.segment", "compressing.segment", "acknowledged", "acknowledged.new", "writer.lock"]
                    .contains(&name.as_str());
            if ours {
                let path = self.path.join(name);
                self.disk.restrict(&path).map_err(OpenError::io("keep others out of", &path))?;
            }
        }
        Ok(())
    }
}

/// The first revision in the name of a segment or an index.
fn numbered(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    let digits = Some(digits).filter(|digits| digits.len() == 20)?;
    digits.parse().ok()
}
