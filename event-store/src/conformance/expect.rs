//! What stories append, and what they expect.

use super::*;

/// Makes the metadata of the last event as long as it takes for a batch of so many bytes.
pub(super) fn fill(batch: &mut [NewEvent], bytes: usize) {
    let rest = bytes - batch.iter().map(NewEvent::stored_bytes).sum::<usize>();
    let metadata = &mut batch.last_mut().expect("a batch has events").metadata;
    metadata.extend((0..rest).map(|index| (index % 251) as u8));
}

/// Events whose ids differ from those of every other number.
pub(super) fn batch(number: u64, events: usize) -> Vec<NewEvent> {
    (0..events)
        .map(|index| NewEvent {
            id: Uuid::from_u64_pair(number + 1, index as u64),
            kind: "ConformanceChecked".into(),
            data: format!("{{\"batch\":{number}}}").into_bytes(),
            metadata: format!("{{\"index\":{index}}}").into_bytes(),
        })
        .collect()
}

pub(super) async fn expect_appended(
    store: &Store,
    expected: Option<u64>,
    events: &[NewEvent],
    revision: u64,
) -> Told {
    let outcome = store.append(expected, events).await;
    let right = matches!(outcome, Ok(last) if last == revision);
    ensure!(right, "append at {expected:?} answered {outcome:?}, not revision {revision}");
    Ok(())
}

pub(super) async fn expect_wrong(
    store: &Store,
    at: Option<u64>,
    events: &[NewEvent],
    ends_at: Option<u64>,
) -> Told {
    let outcome = store.append(at, events).await;
    let right = matches!(
        outcome,
        Err(AppendError::WrongExpectedRevision { expected, current }) if expected == at && current == ends_at
    );
    ensure!(right, "append at {at:?} answered {outcome:?}, but the stream ends at {ends_at:?}");
    Ok(())
}

pub(super) async fn expect_behind(store: &Store, at: u64, events: &[NewEvent], ends_at: Option<u64>) -> Told {
    let outcome = store.append(Some(at), events).await;
    let right = matches!(
        outcome,
        Err(AppendError::TailBehind { expected, tail }) if expected == at && tail == ends_at
    );
    ensure!(right, "append at {at} answered {outcome:?}, but the stream ends before that, at {ends_at:?}");
    Ok(())
}

pub(super) async fn expect_refused(store: &Store, expected: Option<u64>, events: &[NewEvent]) -> Told {
    let outcome = store.append(expected, events).await;
    let right = matches!(outcome, Err(AppendError::Refused(_)));
    ensure!(right, "append of {} events answered {outcome:?}, not a refusal", events.len());
    Ok(())
}

pub(super) async fn expect_head(store: &Store, head: Option<u64>) -> Told {
    let answer = store.head().await.map_err(|error| error.to_string())?;
    ensure!(answer == head, "the head is {answer:?}, not {head:?}");
    Ok(())
}

pub(super) async fn expect_stream(store: &Store, events: &[NewEvent]) -> Told {
    let recorded = store.read(0, usize::MAX).await.map_err(|error| error.to_string())?;
    same(&recorded, events, 0)
}

pub(super) fn same(recorded: &[RecordedEvent], given: &[NewEvent], first: u64) -> Told {
    ensure!(recorded.len() == given.len(), "{} events, not {}", recorded.len(), given.len());
    for (revision, (recorded, given)) in (first..).zip(recorded.iter().zip(given)) {
        let NewEvent { id, kind, data, metadata } = given.clone();
        let wanted = RecordedEvent { revision, id, kind, data, metadata };
        ensure!(*recorded == wanted, "revision {revision} is not the event that was appended");
    }
    Ok(())
}
