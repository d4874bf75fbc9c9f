//! Between the store's bytes and the core's events.

use event_store::{Batch, EventStore, ReadError, RecordedEvent};
use ledger_core::event::DecodeError;
use ledger_core::{Before, Event, JournalId, PlaceInUnit, Recorded};
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

/// Decodes events in their order: what `before` holds of the first of a unit goes for the others.
pub(crate) fn decode_after(
    before: &mut Option<Before>,
    event: &RecordedEvent,
) -> Result<Recorded, JournalError> {
    let RecordedEvent { revision, id, kind, data, metadata } = event;
    Recorded::decode(before, *revision, *id, kind, data, metadata)
        .map_err(|fault| JournalError::Decode { revision: *revision, fault })
}

/// Puts an event into a batch for `store`: as JSON where people look into the store, and as bytes elsewhere.
pub(crate) fn encode(recorded: &Recorded, store: &dyn EventStore, batch: &mut Batch) {
    let Recorded { revision: _, event_id, metadata, event } = recorded;
    if store.is_looked_into() {
        let (data, metadata) = (event.to_json(), metadata.to_json());
        batch.push(*event_id, event.kind(), |out| out.extend(data), |out| out.extend(metadata));
    } else {
        batch.push(*event_id, event.kind(), |out| event.encode_into(out), |out| metadata.encode_into(out));
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
    let events = store.read(from, max).await?;
    let mut before = begin_of_unit(store, events.first()).await?;
    events.iter().map(|event| decode_after(&mut before, event)).collect()
}

/// What the first event of the unit says that `event` is in the middle of, if it is.
async fn begin_of_unit(
    store: &dyn EventStore,
    event: Option<&RecordedEvent>,
) -> Result<Option<Before>, JournalError> {
    let Some(event) = event else { return Ok(None) };
    let revision = event.revision;
    let place = PlaceInUnit::of(&event.metadata).map_err(|fault| JournalError::Decode { revision, fault })?;
    let mut before = None;
    if let Some(first) = revision.checked_sub(place.index.into()).filter(|first| *first < revision) {
        for event in &store.read(first, 1).await? {
            decode_after(&mut before, event)?;
        }
    }
    Ok(before)
}

/// The id that the journal's first event gives it; `None` where there is no event, or another one.
pub(crate) async fn read_journal_id(store: &dyn EventStore) -> Result<Option<JournalId>, ReadError> {
    let first = store.read(0, 1).await?;
    Ok(
        match first
            .first()
            .and_then(|event| decode_after(&mut None, event).ok())
            .map(|recorded| recorded.event)
        {
            Some(Event::JournalOpened(opened)) => Some(opened.journal),
            _ => None,
        },
    )
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
