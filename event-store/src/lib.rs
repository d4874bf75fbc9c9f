//! The port to a store of events, and its adapters.
//!
//! A store holds **one stream**, in one total order: the event with revision n is the n-th ever
//! appended, from zero. The crate knows bytes, not money: what an event means is the concern of
//! `ledger-core`.

mod address;
pub mod archive;
mod batch;
pub mod conformance;
pub mod embedded;
pub mod eventstoredb;
mod follow;
mod hash;
pub mod measure;
pub mod memory;
pub mod postgres;

use async_trait::async_trait;
use std::sync::Arc;
use uuid::Uuid;

pub use address::{CannotOpen, StoreAddress};
pub use batch::{Batch, EventRef};
pub use embedded::{EmbeddedReader, EmbeddedStore, OpenError};
pub use eventstoredb::EventStoreDb;
pub use follow::follow;
pub use hash::EventsHash;
pub use memory::MemoryStore;
pub use postgres::PostgresStore;

/// The most bytes that one batch may have, as the sum of [`NewEvent::stored_bytes`]. This is the
/// default limit of EventStoreDB, so that every adapter takes the same batches.
pub const BATCH_LIMIT_BYTES: usize = 1024 * 1024;

/// The bytes of an event's id and of the lengths of its kind, data and metadata.
const EVENT_OVERHEAD_BYTES: usize = 16 + 2 + 4 + 4;

/// An event that is about to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Unique: a random number of the writer and a counter. It must not follow from the revision. Two
    /// writers that race for one revision would then send equal ids, and both would be told that
    /// their batch was appended.
    pub id: Uuid,
    /// The name of the event's type, for example `GiftSent`.
    pub kind: String,
    pub data: Vec<u8>,
    pub metadata: Vec<u8>,
}

impl NewEvent {
    /// How many bytes of [`BATCH_LIMIT_BYTES`] the event uses.
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
    /// The batch may or may not be durable. Retry with the identical batch at the identical revision:
    /// success means that it is durable, `WrongExpectedRevision` that another writer came first.
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
    /// Appends all events of `batch` durably and atomically, or none, when the stream ends at `expected`
    /// (`None`: when it is empty), and answers the revision of the last one.
    ///
    /// A retry of a recorded batch (the same event ids in the same order, at the same revision)
    /// appends nothing and answers what the first append answered.
    async fn append_batch(&self, expected: Option<u64>, batch: &Arc<Batch>) -> Result<u64, AppendError>;

    /// The same of events that are no batch yet.
    async fn append(&self, expected: Option<u64>, events: &[NewEvent]) -> Result<u64, AppendError> {
        self.append_batch(expected, &Arc::new(events.iter().collect())).await
    }

    /// Up to `max` durable events in order, from revision `from` on; empty at the end.
    async fn read(&self, from: u64, max: usize) -> Result<Vec<RecordedEvent>, ReadError>;

    /// The revision of the last durable event; `None` when the stream is empty.
    async fn head(&self) -> Result<Option<u64>, ReadError>;

    /// Whether others than this handle can append, from this process or another one.
    fn is_shared(&self) -> bool;

    /// Whether people and other programs look into the store itself, so that what it holds should be JSON.
    fn is_looked_into(&self) -> bool {
        false
    }

    /// Waits until the head is beyond `seen` and answers it; at once where it is beyond already.
    async fn wait_beyond(&self, seen: Option<u64>) -> Result<u64, ReadError>;
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
