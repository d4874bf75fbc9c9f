//! The port to a store of events, and its adapters.
//!
//! A store holds **one stream**, in one total order: the event with revision n is the n-th ever
//! appended, from zero. The crate knows bytes, not money: what an event means is the concern of
//! `ledger-core`.

pub mod conformance;
pub mod embedded;
mod follow;
pub mod memory;

use async_trait::async_trait;
use uuid::Uuid;

pub use embedded::{EmbeddedReader, EmbeddedStore, OpenError};
pub use follow::follow;
pub use memory::MemoryStore;

/// The most bytes that one batch may have, as the sum of [`NewEvent::stored_bytes`]. The default
/// limit of EventStoreDB, so that a batch that one adapter takes is taken by all.
pub const BATCH_LIMIT_BYTES: usize = 1024 * 1024;

/// What an event needs beside its kind, data and metadata: its id and three lengths.
const EVENT_OVERHEAD_BYTES: usize = 16 + 2 + 4 + 4;

/// An event that is about to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Unique to the writer (a random epoch and a counter), never a function of the revision: two
    /// writers that race would otherwise both be told that they had won.
    pub id: Uuid,
    /// The name of the event's type, for example `GiftSent`.
    pub kind: String,
    pub data: Vec<u8>,
    pub metadata: Vec<u8>,
}

impl NewEvent {
    /// What the event counts for against [`BATCH_LIMIT_BYTES`].
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        EVENT_OVERHEAD_BYTES
            .saturating_add(self.kind.len())
            .saturating_add(self.data.len())
            .saturating_add(self.metadata.len())
    }
}

/// An event as the store recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    pub revision: u64,
    pub id: Uuid,
    pub kind: String,
    pub data: Vec<u8>,
    pub metadata: Vec<u8>,
}

/// Why an append was not answered with a revision.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another writer came first; nothing was appended. `current` is at or beyond `expected`.
    #[error("expected the stream to end at {expected:?}, it ends at {current:?}")]
    WrongExpectedRevision { expected: Option<u64>, current: Option<u64> },
    /// The stream ends before `expected`; nothing was appended. A caller who learned `expected` from
    /// this store knows that events are lost, for example because an older copy was put in its place.
    #[error("expected the stream to end at {expected}, it ends before that, at {tail:?}: events are lost")]
    TailBehind { expected: u64, tail: Option<u64> },
    /// The batch may or may not be durable. Send the identical batch at the identical revision
    /// again: success says that it is, `WrongExpectedRevision` that another writer won.
    #[error("the outcome of the append is unknown: {0}")]
    OutcomeUnknown(String),
    /// The batch is empty or larger than the store takes; nothing was appended.
    #[error("the store does not take this batch: {0}")]
    Refused(String),
    /// The store has no room at the moment: the disk is full, or no file can be opened for the next
    /// segment. The stream still ends at the expected revision and nothing of the batch is in it.
    /// The same or another batch can be sent at any time, and succeeds as soon as there is room.
    #[error("the store has no room at the moment: {0}")]
    NoSpace(String),
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The recorded bytes do not pass their checks. The text says where.
    #[error("the journal is damaged: {0}")]
    Damaged(String),
    /// The stream ends before a revision that was acknowledged: events are lost. The text says where.
    #[error("the journal ends too early: {0}")]
    TailBehind(String),
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
}

/// A stream of events that can be appended to, read and followed.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Appends all `events` durably and atomically, or none, when the stream ends at `expected`
    /// (`None`: when it is empty), and answers the revision of the last one.
    ///
    /// The identical batch (same event ids, in the same order) at the identical revision, once it
    /// is recorded, answers its first outcome again.
    async fn append(&self, expected: Option<u64>, events: &[NewEvent]) -> Result<u64, AppendError>;

    /// Up to `max` durable events in order, from revision `from` on; empty at the end.
    async fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError>;

    /// The revision of the last durable event; `None` when the stream is empty.
    async fn head(&self) -> Result<Option<u64>, ReadError>;

    /// Returns the head as soon as it is beyond `seen` (at once where it is already).
    async fn wait_beyond(&self, seen: Option<u64>) -> Result<u64, ReadError>;
}

/// The checks that every adapter makes before it looks at revisions.
fn check_batch(events: &[NewEvent]) -> Result<(), AppendError> {
    if events.is_empty() {
        return Err(AppendError::Refused("it has no events".into()));
    }
    if let Some(event) = events.iter().find(|event| event.kind.len() > usize::from(u16::MAX)) {
        let bytes = event.kind.len();
        return Err(AppendError::Refused(format!("the name of a kind has {bytes} bytes")));
    }
    let bytes = events.iter().fold(0_usize, |sum, event| sum.saturating_add(event.stored_bytes()));
    if bytes > BATCH_LIMIT_BYTES {
        return Err(AppendError::Refused(format!("it has {bytes} bytes, the limit is {BATCH_LIMIT_BYTES}")));
    }
    Ok(())
}

/// The revision that the first event of a batch gets, unless the stream ends before `expected`.
fn first_revision(expected: Option<u64>, current: Option<u64>) -> Result<u64, AppendError> {
    match expected {
        Some(expected) if current < Some(expected) => {
            Err(AppendError::TailBehind { expected, tail: current })
        }
        // No stream reaches the largest number, so the sum is exact.
        expected => Ok(expected.map_or(0, |revision| revision.saturating_add(1))),
    }
}
