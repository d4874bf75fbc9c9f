//! From an empty state, or an older one, to the journal's end.

use crate::codec::{JournalError, decode_after};
use crate::published::Published;
use chrono::{DateTime, Utc};
use event_store::{EventStore, ReadError, RecordedEvent};
use ledger_core::{PlaceInUnit, Recorded, State, evolve};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

/// Events that are read at once while the ledger works.
pub(crate) const CHUNK: usize = 2_000;
/// Events that are read at once while the journal is replayed.
const PAGE: usize = 4_096;
/// Pages that are read before their turn comes: some megabytes.
const PAGES_AHEAD: usize = 4;

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

/// Brings `state` to the journal's end; `progress` hears how many events of how many are done.
///
/// Three things go on at once: reading a page, decoding the pages before it, evolving what comes before those.
pub(crate) async fn replay(
    store: &Arc<dyn EventStore>,
    mut state: State,
    mut progress: impl FnMut(u64, u64),
) -> Result<State, JournalError> {
    loop {
        let end = store.head().await?.map_or(0, |head| head + 1);
        if state.next_revision() >= end {
            return Ok(state);
        }
        // Nothing of it is taken back: if one event cannot be evolved there is no state.
        state.settle(end - 1);
        let mut pages = read_ahead(store.clone(), state.next_revision(), end);
        while let Some(page) = pages.recv().await {
            let page = page.await.map_err(lost_page)?;
            state = spawn_blocking(move || evolve_page(state, page, end)).await.map_err(lost_page)??;
            progress(state.next_revision(), end);
        }
    }
}

/// Events that were decoded, and why the one after them was not.
#[derive(Default)]
struct Page {
    events: Vec<Recorded>,
    fault: Option<JournalError>,
}

/// The pages from revision `next` on, up to `end`, in order, each as it is being decoded.
fn read_ahead(store: Arc<dyn EventStore>, mut next: u64, end: u64) -> mpsc::Receiver<JoinHandle<Page>> {
    let (pages, ahead) = mpsc::channel(PAGES_AHEAD);
    tokio::spawn(async move {
        while next < end {
            let read = read_whole_units(store.as_ref(), next, end).await;
            let is_last = read.as_ref().map_or(true, Vec::is_empty);
            next += read.as_ref().map_or(0, Vec::len) as u64;
            let page = match read {
                Ok(events) if events.is_empty() => Err(JournalError::Lost { next, durable: end }),
                read => read.map_err(JournalError::from),
            };
            let page = spawn_blocking(move || decode_page(page));
            // Nobody waits for it where an earlier page has failed.
            if pages.send(page).await.is_err() || is_last {
                return;
            }
        }
    });
    ahead
}

/// The next page, which ends with a unit, so that each page can be decoded by itself; or with the journal.
async fn read_whole_units(
    store: &dyn EventStore,
    next: u64,
    end: u64,
) -> Result<Vec<RecordedEvent>, ReadError> {
    let left = usize::try_from(end - next).unwrap_or(usize::MAX);
    let mut max = PAGE.min(left);
    loop {
        let mut events = store.read(next, max).await?;
        if events.len() < max || max == left {
            return Ok(events);
        }
        // What cannot be read is found when it is decoded.
        let closes =
            |event: &RecordedEvent| PlaceInUnit::of(&event.metadata).map_or(true, |it| it.closes_unit());
        if let Some(last) = events.iter().rposition(closes) {
            events.truncate(last + 1);
            return Ok(events);
        }
        max = max.saturating_mul(2).min(left);
    }
}

fn decode_page(read: Result<Vec<RecordedEvent>, JournalError>) -> Page {
    let (mut page, mut before) = (Page::default(), None);
    match read {
        Ok(events) => {
            page.events.reserve_exact(events.len());
            for event in &events {
                match decode_after(&mut before, event) {
                    Ok(event) => page.events.push(event),
                    Err(fault) => {
                        page.fault = Some(fault);
                        break;
                    }
                }
            }
        }
        Err(fault) => page.fault = Some(fault),
    }
    page
}

fn evolve_page(mut state: State, page: Page, end: u64) -> Result<State, JournalError> {
    let mut open_unit = None;
    for event in &page.events {
        evolve_checked(&mut state, event)?;
        open_unit = (!event.metadata.closes_unit()).then(|| event.revision - u64::from(event.metadata.index));
    }
    if let Some(fault) = page.fault {
        return Err(fault);
    }
    if let Some(revision) = open_unit.filter(|_| state.next_revision() == end) {
        return Err(JournalError::Cut { revision });
    }
    // Lets go of commands that are too old for a retry.
    state.settle(end - 1);
    Ok(state)
}

/// A page was lost to a fault of this program, or to the end of the runtime.
fn lost_page(fault: tokio::task::JoinError) -> JournalError {
    JournalError::Read(ReadError::Unavailable(fault.to_string()))
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
    let (mut fault, mut before) = (None, None);
    for event in events {
        match decode_after(&mut before, event).and_then(|event| evolve_checked(state, &event).map(|()| event))
        {
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
