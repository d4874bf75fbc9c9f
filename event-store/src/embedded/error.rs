use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::ReadError;

/// Why a journal's folder was not opened. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder has its one writing process already.
    #[error(
        "another process is writing to the journal in {}: stop it first, or use what only reads",
        .folder.display()
    )]
    Locked { folder: PathBuf },
    /// A copy was to be made where something is already.
    #[error("{} is not empty: name a folder that does not exist or is empty", .folder.display())]
    NotEmpty { folder: PathBuf },
    /// A reader was pointed to a folder without a journal.
    #[error(
        "there is no journal in {}: check the path, or start the writer once to make it",
        .folder.display()
    )]
    NoJournal { folder: PathBuf },
    /// A reader cannot tell which events are durable.
    #[error(
        "{} is missing or not readable, so it is not known how far the journal is durable: start the \
         server once, which checks the journal and writes the file again, or restore it from a backup",
        .path.display()
    )]
    NoAcknowledgedPosition { path: PathBuf },
    /// The log ends before the acknowledged position: events that callers were told of are gone.
    /// Nothing was changed.
    #[error(
        "the journal ends at {at}, but events before revision {acknowledged} were acknowledged, so \
         events are lost; restore its folder from a backup"
    )]
    TailBehind { at: Place, acknowledged: u64 },
    /// The acknowledged position has gone back, or belongs to other events, while it was followed.
    #[error(
        "{} names revision {names} as the next one, but events before revision {seen} were read \
         already: another journal, or an older copy, was put in its place",
        .path.display()
    )]
    Replaced { path: PathBuf, names: u64, seen: u64 },
    /// Recorded events are damaged. Nothing was changed.
    #[error("the journal is damaged at {0}; restore its folder from a backup")]
    Damaged(Damage),
    #[error("cannot {doing} {}: {source}{}", .path.display(), mend(.source))]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

/// A place in a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub segment: PathBuf,
    /// In bytes from the start of the segment.
    pub offset: u64,
    /// The revision that the batch there should begin with.
    pub revision: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, offset, revision } = self;
        write!(f, "segment {}, offset {offset}, revision {revision}", segment.display())
    }
}

/// The first place of a journal that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub at: Place,
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
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
            OpenError::TailBehind { .. } | OpenError::Replaced { .. } => Self::TailBehind(error.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// What Linux answers where a process, or the whole system, has too many open files.
const TOO_MANY_OPEN_FILES: [i32; 2] = [24, 23];

/// Whether the error says that the disk, or the user's share of it, is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What to do about an error, to be put behind its text.
pub(super) fn mend(error: &io::Error) -> &'static str {
    if error.raw_os_error().is_some_and(|code| TOO_MANY_OPEN_FILES.contains(&code)) {
        return "; raise the limit of open files (ulimit -n)";
    }
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; the disk is full: free some space",
        io::ErrorKind::PermissionDenied => "; give this user the right to read and write there",
        io::ErrorKind::ReadOnlyFilesystem => "; mount the file system for writing",
        io::ErrorKind::NotADirectory | io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists => {
            "; check the path"
        }
        _ => "",
    }
}
