//! Tamper evidence: a Merkle tree over the events of the journal, signed heads of it, and proofs that stand by themselves.
//!
//! The tree is the one of RFC 6962; leaf *n* is made of the event with revision *n* ([`Leaves`]). A [`Head`] is a checkpoint
//! (c2sp.org/tlog-checkpoint) in a signed note (c2sp.org/signed-note), a [`Receipt`] a proof (c2sp.org/tlog-proof), and
//! the tree is kept in tiles of 256 hashes, as c2sp.org/tlog-tiles cuts them. So tools of other people check all three.
//!
//! The mathematics are those of the crates `tlog_tiles` and `signed_note`. This crate knows the ledger's events and the port to
//! their store; where tiles and heads are kept is the concern of its callers.

mod check;
mod head;
mod key;
mod leaf;
mod receipt;
mod tree;

pub use check::{Check, Difference, Found, KeptHead, Refused, Report, WINDOW};
pub use head::{Head, HeadError, origin};
pub use key::{BadKey, SigningKeys, VerifierKeys};
pub use leaf::Leaves;
pub use receipt::{Proven, Receipt, ReceiptError};
pub use tlog_tiles::{Error as TreeError, Hash};
pub use tree::{TILE_HASHES, TileId, Tiles, Tree, consistency, inclusion, root};
