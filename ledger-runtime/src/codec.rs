//! Between the store's bytes and the core's events.

use event_store::{EventStore, NewEvent, ReadError, RecordedEvent};
use ledger_core::event::DecodeError;
use ledger_core::{Before, Event, JournalId, Recorded};
use uuid::Uuid;

/// Why the journal cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A newer program wrote it, or the bytes are not what this program wrote.
    #[error("at revision {revision}: {fault}")]
    Decode { revision: u64, fault: DecodeError },
    /// The event breaks an invariant of the ledger.
    #[error("the event at revision {revision} breaks an invariant: {fault}")]
    Invariant { revision: u64, fault: String },
    #[error("the unit that begins at revision {revision} has no end")]
    Cut { revision: u64 },
    /// The store has lost events that it said were durable.
    #[error("the store ends before revision {next}, and {durable} events were durable")]
    Lost { next: u64, durable: u64 },
}

pub(crate) fn decode(event: &RecordedEvent) -> Result<Recorded, JournalError> {
    decode_after(&mut None, event)
}

/// The same, for events in their order: what `before` holds of one makes the next of its unit cheap.
pub(crate) fn decode_after(
    before: &mut Option<Before>,
    event: &RecordedEvent,
) -> Result<Recorded, JournalError> {
    let RecordedEvent { revision, id, kind, data, metadata } = event;
    Recorded::decode_after(before, *revision, *id, kind, data, metadata)
        .map_err(|fault| JournalError::Decode { revision: *revision, fault })
}

pub(crate) fn encode(recorded: &Recorded) -> NewEvent {
    NewEvent {
        id: recorded.event_id,
        kind: recorded.event.kind().to_owned(),
        data: recorded.event.encode(),
        metadata: recorded.metadata.encode(),
    }
}

/// Up to `max` events of the journal in order, from revision `from` on.
///
/// # Errors
/// When the store cannot be read, or holds what this program does not know.
pub async fn read_journal(
    store: &dyn EventStore,
    from: u64,
    max: usize,
) -> Result<Vec<Recorded>, JournalError> {
    store.read(from, max).await?.iter().map(decode).collect()
}

/// The id that the journal's first event gives it; `None` where there is no event, or another one.
pub(crate) async fn read_journal_id(store: &dyn EventStore) -> Result<Option<JournalId>, ReadError> {
    let first = store.read(0, 1).await?;
    Ok(match first.first().and_then(|event| decode(event).ok()).map(|recorded| recorded.event) {
        Some(Event::JournalOpened(opened)) => Some(opened.journal),
        _ => None,
    })
}

/// Ids for events: a random epoch of this writer and a counter, so that two writers never give the
/// same one and a retried batch keeps its ids.
pub(crate) struct EventIds {
    epoch: u64,
    counter: u64,
}

impl EventIds {
    #[expect(clippy::disallowed_methods, reason = "the epoch must differ from every other writer's")]
    pub fn new() -> EventIds {
        EventIds { epoch: rand::random(), counter: 0 }
    }

    pub fn next(&mut self) -> Uuid {
        self.counter += 1;
        Uuid::new_v8((u128::from(self.epoch) << 64 | u128::from(self.counter)).to_be_bytes())
    }
}
