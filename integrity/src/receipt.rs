//! A receipt: an event, and the proof that it is in the signed history. The file is a proof as c2sp.org/tlog-proof
//! describes it; its extra data are the bytes of the event's leaf.

use crate::head::{Head, HeadError};
use crate::key::VerifierKeys;
use crate::tree::inclusion;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ledger_core::event::DecodeError;
use ledger_core::{Recorded, read_leaf};
use std::fmt;
use tlog_tiles::{Hash, record_hash};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// No event is larger: a batch has a mebibyte.
const LARGEST_BYTES: usize = 4 << 20;
/// No tree is higher.
const MOST_HASHES: usize = 64;

#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The revision of the event, which is the place of its leaf.
    pub revision: u64,
    /// The bytes of the leaf.
    pub leaf: Vec<u8>,
    /// The hashes beside the way from the leaf to the root.
    pub proof: Vec<Hash>,
    /// The signed head.
    pub note: String,
}

/// What a receipt proves.
#[derive(Clone, Debug)]
pub struct Proven {
    pub head: Head,
    pub recorded: Recorded,
}

/// Why a receipt proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    #[error("this is no receipt: {0}")]
    Malformed(&'static str),
    #[error("the head in the receipt is not believed: {0}")]
    Head(#[from] HeadError),
    #[error("the event is not in the history that was signed at its place")]
    NotIncluded,
    #[error("the event is in the signed history, and this program does not know it: {0}")]
    Unreadable(DecodeError),
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}\nextra {}\nindex {}", BASE64_STANDARD.encode(&self.leaf), self.revision)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.note)
    }
}

impl Receipt {
    /// Reads the text of a receipt; what it says is not checked yet.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Receipt, ReceiptError> {
        let bad = ReceiptError::Malformed;
        if text.len() > LARGEST_BYTES {
            return Err(bad("it is too long"));
        }
        let (proof, note) = text.split_once("\n\n").ok_or(bad("it holds no head"))?;
        let mut lines = proof.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(bad("it does not begin with c2sp.org/tlog-proof@v1"));
        }
        let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
        let leaf =
            extra.and_then(|extra| BASE64_STANDARD.decode(extra).ok()).ok_or(bad("it holds no event"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let revision =
            index.and_then(|index| index.parse().ok().filter(|number: &u64| number.to_string() == index));
        let revision = revision.ok_or(bad("it names no place"))?;
        let hashes =
            lines.map(|line| Hash::parse_hash(line).map_err(|_| bad("a line of the proof is no hash")));
        let proof: Vec<Hash> = hashes.take(MOST_HASHES + 1).collect::<Result<_, _>>()?;
        if proof.len() > MOST_HASHES {
            return Err(bad("its proof is longer than that of any tree"));
        }
        Ok(Receipt { revision, leaf, proof, note: note.to_owned() })
    }

    /// Checks everything with the public keys alone.
    ///
    /// # Errors
    /// When the event is not shown to be in a history that one of the keys has signed.
    pub fn check(&self, keys: &VerifierKeys) -> Result<Proven, ReceiptError> {
        let head = Head::open(&self.note, keys)?;
        inclusion::check(&self.proof, head.size, head.root, self.revision, record_hash(&self.leaf))
            .map_err(|_| ReceiptError::NotIncluded)?;
        let recorded = read_leaf(self.revision, &self.leaf).map_err(ReceiptError::Unreadable)?;
        Ok(Proven { head, recorded })
    }
}
