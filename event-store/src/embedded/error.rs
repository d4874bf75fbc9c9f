use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::ReadError;

/// Why a journal's folder was not opened. Each text says the mend.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder has its one writing process already.
    #[error(
        "another process is writing to the journal in {}: stop it first, or use what only reads",
        .folder.display()
    )]
    Locked { folder: PathBuf },
    /// A reader was pointed to a folder without a journal.
    #[error(
        "there is no journal in {}: check the path, or start the writer once to make it",
        .folder.display()
    )]
    NoJournal { folder: PathBuf },
    /// Acknowledged events are damaged or gone. Nothing was changed.
    #[error("the journal is damaged at {0}; restore its folder from a backup")]
    Damaged(Damage),
    #[error("cannot {doing} {}: {source}{}", .path.display(), mend(.source))]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

/// The first place of a journal that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub segment: PathBuf,
    /// Where the bad frame begins in the segment, in bytes.
    pub offset: u64,
    /// The revision that the frame there should begin with.
    pub revision: u64,
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, offset, revision, what } = self;
        write!(f, "segment {}, offset {offset}, revision {revision}: {what}", segment.display())
    }
}

impl OpenError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}

impl From<OpenError> for ReadError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Damaged(damage) => Self::Damaged(damage.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// What to do about an error, to be put behind its text.
pub(super) fn mend(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; the disk is full: free some space and start again"
        }
        io::ErrorKind::PermissionDenied => "; give this user the right to read and write there",
        io::ErrorKind::ReadOnlyFilesystem => "; mount the file system for writing",
        io::ErrorKind::NotADirectory | io::ErrorKind::NotFound => "; check the path",
        _ => "",
    }
}
