//! Heads: how large the tree was and what its root was, signed.

use crate::key::{SigningKeys, VerifierKeys};
use ledger_core::JournalId;
use signed_note::{Note, NoteError};
use tlog_tiles::{Checkpoint, Hash};

/// The name of the log that the journal is, which is the name of its keys too. A journal that was put back from an older
/// copy is another log from then on, whose number goes up.
pub fn origin(journal: JournalId, history: u32) -> String {
    match history {
        0 => format!("muneem/{journal}"),
        later => format!("muneem/{journal}/{later}"),
    }
}

/// A signed head.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    pub origin: String,
    /// How many events the tree has.
    pub size: u64,
    pub root: Hash,
    /// The signed note: a checkpoint, and the signatures under it.
    pub note: String,
}

/// Why a note is no head that is believed.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    #[error("it is no signed checkpoint")]
    Malformed,
    #[error("no key that is trusted has signed it")]
    Unsigned,
    #[error("a signature on it is false")]
    FalseSignature,
    #[error("it cannot be signed")]
    CannotSign,
}

impl Head {
    /// # Errors
    /// When the origin is no name.
    pub fn sign(origin: &str, size: u64, root: Hash, keys: &SigningKeys) -> Result<Head, HeadError> {
        let checkpoint = Checkpoint::new(origin, size, root, "").map_err(|_| HeadError::CannotSign)?;
        let note = keys.sign(origin, &checkpoint.to_bytes()).map_err(|_| HeadError::CannotSign)?;
        let note = String::from_utf8(note.to_bytes()).map_err(|_| HeadError::CannotSign)?;
        Ok(Head { origin: origin.to_owned(), size, root, note })
    }

    /// Reads a note that a trusted key has signed in the name of its origin.
    ///
    /// # Errors
    /// When it is none.
    pub fn open(note: &str, keys: &VerifierKeys) -> Result<Head, HeadError> {
        let head = Head::read(note)?;
        let note = Note::from_bytes(note.as_bytes()).map_err(|_| HeadError::Malformed)?;
        let (signatures, _) = note.verify(&keys.list()).map_err(|fault| match fault {
            NoteError::InvalidSignature { .. } => HeadError::FalseSignature,
            _ => HeadError::Unsigned,
        })?;
        if !signatures.iter().any(|signature| signature.name() == head.origin) {
            return Err(HeadError::Unsigned);
        }
        Ok(head)
    }

    /// Reads a note and believes it.
    ///
    /// # Errors
    /// When it is no checkpoint.
    pub fn read(note: &str) -> Result<Head, HeadError> {
        let text = Note::from_bytes(note.as_bytes()).map_err(|_| HeadError::Malformed)?;
        let checkpoint = Checkpoint::from_bytes(text.text()).map_err(|_| HeadError::Malformed)?;
        Ok(Head {
            origin: checkpoint.origin().to_owned(),
            size: checkpoint.size(),
            root: *checkpoint.hash(),
            note: note.to_owned(),
        })
    }
}
