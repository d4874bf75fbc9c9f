//! The journal, as the read models need it: decoded, in whole units, and checked to be the one that the
//! checkpoint speaks of.

use super::{BATCH_EVENTS, Checkpoint};
use crate::Journal;
use crate::error::ProjectError;
use event_store::{ReadError, RecordedEvent};
use ledger_core::event::DecodeError;
use ledger_core::{Before, Event, JournalId, PlaceInUnit, Recorded};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::timeout;

/// How long a reader of another process's store may take to see what was projected from it.
const READER_LAG: Duration = Duration::from_secs(1);

/// Decodes events in their order: what `before` holds of the first of a unit goes for the others.
pub(crate) fn decode_after(
    before: &mut Option<Before>,
    event: &RecordedEvent,
) -> Result<Recorded, ProjectError> {
    let RecordedEvent { revision, id, kind, data, metadata } = event;
    Recorded::decode(before, *revision, *id, kind, data, metadata)
        .map_err(|fault| ProjectError::Undecodable { revision: *revision, fault })
}

/// How many events may lie between two that are read at once.
const NEAR: u64 = 16;
/// How many events most units have at the most: what is known of all of them stands beside the first.
const UNIT: u64 = 8;

/// The events at these revisions, as far as the journal has them, read from the store in as few pieces as they lie in.
pub(super) async fn events_at(
    store: &Journal,
    revisions: &BTreeSet<u64>,
) -> Result<BTreeMap<u64, Recorded>, ReadError> {
    let mut events = BTreeMap::new();
    let mut wanted = revisions.iter().copied().peekable();
    while let Some(first) = wanted.next() {
        let mut last = first;
        while let Some(next) = wanted.next_if(|next| *next - last <= NEAR) {
            last = next;
        }
        let mut from = first.saturating_sub(UNIT);
        loop {
            let max = usize::try_from(last - from).unwrap_or(usize::MAX).saturating_add(1);
            match decode_some(&store.read(from, max).await?, revisions) {
                Ok(some) => break events.extend(some),
                Err(DecodeError::Headless { first }) if first < from => from = first,
                Err(fault) => return Err(ReadError::Damaged(fault.to_string())),
            }
        }
    }
    Ok(events)
}

/// Those of the events that stand at `revisions`.
fn decode_some(
    events: &[RecordedEvent],
    revisions: &BTreeSet<u64>,
) -> Result<Vec<(u64, Recorded)>, DecodeError> {
    let (mut before, mut some) = (None, Vec::new());
    for RecordedEvent { revision, id, kind, data, metadata } in events {
        let is_wanted = revisions.contains(revision);
        if is_wanted || PlaceInUnit::of(metadata)?.index == 0 {
            let recorded = Recorded::decode(&mut before, *revision, *id, kind, data, metadata)?;
            some.extend(is_wanted.then_some((*revision, recorded)));
        }
    }
    Ok(some)
}

/// The journal's id, from its first event.
pub(super) async fn journal_id(store: &Journal) -> Result<Option<JournalId>, ProjectError> {
    let first = store.read(0, 1).await?;
    match first
        .first()
        .map(|event| decode_after(&mut None, event))
        .transpose()?
        .map(|recorded| recorded.event)
    {
        Some(Event::JournalOpened(opened)) => Ok(Some(opened.journal)),
        Some(_) => Err(ProjectError::NotAJournal),
        None => Ok(None),
    }
}

/// Refuses read models of another journal, or of a history that the journal does not have: it is shorter,
/// or it has another event where the checkpoint stands.
pub(crate) async fn belong_together(
    checkpoint: &Checkpoint,
    store: &Journal,
) -> Result<Option<JournalId>, ProjectError> {
    let journal = journal_id(store).await?;
    same_journal(checkpoint, journal)?;
    if let Some(projected) = checkpoint.revision {
        reaches(store, projected).await?;
        let event = store.read(projected, 1).await?;
        same_event(checkpoint, event.first())?;
    }
    Ok(journal)
}

pub(super) fn same_journal(checkpoint: &Checkpoint, journal: Option<JournalId>) -> Result<(), ProjectError> {
    match (checkpoint.journal, journal) {
        (Some(read_models), Some(journal)) if read_models != journal => {
            Err(ProjectError::OtherJournal { read_models, journal })
        }
        _ => Ok(()),
    }
}

/// Refuses read models that are beyond the journal's end. A reader of another process's store may see
/// the newest events a moment after they were projected there, so they are waited for.
async fn reaches(store: &Journal, projected: u64) -> Result<(), ProjectError> {
    let beyond = store.wait_beyond(projected.checked_sub(1));
    match timeout(READER_LAG, beyond).await {
        Ok(head) => head.map(|_| ()).map_err(ProjectError::from),
        Err(_) => Err(ProjectError::AheadOfJournal { projected, head: store.head().await? }),
    }
}

fn same_event(checkpoint: &Checkpoint, found: Option<&RecordedEvent>) -> Result<(), ProjectError> {
    match (checkpoint.revision, checkpoint.event_id, found) {
        (Some(revision), Some(projected), Some(found)) if found.revision == revision => {
            if found.id == projected {
                return Ok(());
            }
            Err(ProjectError::OtherHistory { revision, read_models: projected, journal: found.id })
        }
        (Some(projected), _, _) => Err(ProjectError::AheadOfJournal { projected, head: None }),
        (None, _, _) => Ok(()),
    }
}

/// Whole units, and the last revision that was seen when they were read.
pub(super) type Units = (Vec<Recorded>, Option<u64>);

/// The next whole units after the checkpoint.
pub(super) async fn units_after(store: &Journal, checkpoint: &Checkpoint) -> Result<Units, ProjectError> {
    // The event at the checkpoint is read again: it shows that the history is still the one that was
    // projected.
    let from = checkpoint.revision.unwrap_or(0);
    let known = usize::from(checkpoint.revision.is_some());
    let mut max = BATCH_EVENTS + known;
    loop {
        let stored = store.read(from, max).await?;
        if known == 1 && stored.is_empty() {
            reaches(store, from).await?;
            continue;
        }
        same_event(checkpoint, stored.first())?;
        let full = stored.len() >= max;
        let seen = stored.last().map(|event| event.revision);
        let (mut fault, mut before) = (None, None);
        let mut events = Vec::with_capacity(stored.len());
        for event in stored.iter().skip(known) {
            match decode_after(&mut before, event) {
                Ok(recorded) => events.push(recorded),
                Err(broken) => {
                    fault = Some(broken);
                    break;
                }
            }
        }
        let whole = events.iter().rposition(|recorded| recorded.metadata.closes_unit());
        events.truncate(whole.map_or(0, |last| last + 1));
        // What stands before the event that cannot be read is applied first.
        match fault {
            Some(fault) if events.is_empty() => return Err(fault),
            None if events.is_empty() && full => max = max.saturating_mul(2),
            _ => return Ok((events, seen)),
        }
    }
}
