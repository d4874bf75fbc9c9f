//! From an empty state to the journal's end.

use crate::codec::{JournalError, decode};
use crate::published::Published;
use chrono::{DateTime, Utc};
use event_store::{EventStore, ReadError, RecordedEvent};
use ledger_core::{Recorded, State, evolve};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Events that are read at once.
pub(crate) const CHUNK: usize = 2_000;

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the new journal could not be opened: {0}")]
    Begin(String),
    /// Time would have to stand still until the clock has come up.
    #[error("the clock shows {now}, which is before the journal's last event, {last}: set the clock")]
    ClockBehind { last: DateTime<Utc>, now: DateTime<Utc> },
    /// Either the ledger was down for so long, or the clock is wrong.
    #[error("the journal's last event is of {last}, and the clock shows {now}")]
    ClockGap { last: DateTime<Utc>, now: DateTime<Utc> },
}

impl From<ReadError> for OpenError {
    fn from(fault: ReadError) -> Self {
        OpenError::Journal(fault.into())
    }
}

/// Replays the whole journal; `progress` hears how many events of how many are done.
pub(crate) async fn replay(
    store: &dyn EventStore,
    mut progress: impl FnMut(u64, u64),
) -> Result<State, JournalError> {
    let mut state = State::new();
    let total = store.head().await?.map_or(0, |head| head + 1);
    loop {
        let done = catch_up(store, &mut state, CHUNK).await?;
        if done.units.is_empty() {
            return Ok(state);
        }
        progress(state.next_revision(), total.max(state.next_revision()));
    }
}

/// Evolves the whole units among the next `max` events of the store, makes them final, and answers
/// them: none at the end.
///
/// # Errors
/// When the next unit cannot be read, decoded or evolved. What is sound before it is answered first,
/// and the state never stays within a unit.
pub(crate) async fn catch_up(
    store: &dyn EventStore,
    state: &mut State,
    max: usize,
) -> Result<Published, JournalError> {
    let mut page = max;
    loop {
        let events = store.read(state.next_revision(), page).await?;
        let is_whole_page = events.len() == page;
        match take_over(state, &events) {
            // The unit is longer than the page.
            Err(JournalError::Cut { .. }) if is_whole_page => page *= 2,
            outcome => return outcome,
        }
    }
}

fn take_over(state: &mut State, events: &[RecordedEvent]) -> Result<Published, JournalError> {
    let (mut done, mut unit) = (Published::default(), Vec::new());
    let mut fault = None;
    for event in events {
        match decode(event).and_then(|event| evolve_checked(state, &event).map(|()| event)) {
            Ok(event) => {
                let (revision, closes_unit) = (event.revision, event.metadata.closes_unit());
                unit.push(event);
                if closes_unit {
                    state.settle(revision);
                    done.push(unit.drain(..), None);
                }
            }
            Err(found) => {
                state.undo_from(event.revision);
                fault = Some(found);
                break;
            }
        }
    }
    if let Some(first) = unit.first().map(|event| event.revision) {
        state.undo_from(first);
        fault = fault.or(Some(JournalError::Cut { revision: first }));
    }
    match fault {
        Some(fault) if done.units.is_empty() => Err(fault),
        _ => Ok(done),
    }
}

/// Evolves, and turns a broken invariant into an error.
pub(crate) fn evolve_checked(state: &mut State, event: &Recorded) -> Result<(), JournalError> {
    catch_unwind(AssertUnwindSafe(|| evolve(state, event))).map_err(|panic| JournalError::Invariant {
        revision: event.revision,
        fault: panic_text(panic.as_ref()),
    })
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text").to_owned()
}
