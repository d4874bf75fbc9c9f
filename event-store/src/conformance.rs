//! What every adapter must do, as one suite that runs on any of them, also on a live store.
//!
//! One case is not tested, as the adapters differ in it: appending events whose ids are recorded already
//! at the end of the stream. EventStoreDB does not compare ids there and records the events again. So
//! writers must never use an id twice.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{AppendError, BATCH_LIMIT_BYTES, EventStore, NewEvent, RecordedEvent, follow};

/// Longer than any store needs; a story that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

type Store = Arc<dyn EventStore>;
type Told = Result<(), String>;

/// One thing that a store must do.
pub struct Story {
    pub name: &'static str,
    tell: fn(Store) -> BoxFuture<'static, Told>,
}

impl Story {
    /// Tells the story on a store whose stream is empty. Needs a tokio runtime with time.
    ///
    /// # Errors
    /// What the store did instead.
    pub async fn run(&self, empty: Arc<dyn EventStore>) -> Result<(), String> {
        let told = tokio::time::timeout(PATIENCE, (self.tell)(empty)).await;
        let told = told.unwrap_or_else(|_| Err(format!("not done within {PATIENCE:?}")));
        told.map_err(|what| format!("{}: {what}", self.name))
    }
}

/// All stories; each needs an empty stream of its own.
pub const STORIES: &[Story] = &[
    story!(a_new_stream_is_empty),
    story!(events_are_recorded_as_they_were_given),
    story!(an_append_at_another_revision_than_the_last_is_refused),
    story!(an_append_beyond_the_tail_says_that_the_tail_is_behind),
    story!(a_refused_batch_leaves_nothing_behind),
    story!(the_identical_batch_sent_again_answers_its_first_outcome),
    story!(a_batch_that_only_begins_like_a_recorded_one_is_refused),
    story!(recorded_ids_at_another_revision_are_refused),
    story!(reads_answer_the_window_that_was_asked_for),
    story!(a_wait_ends_when_an_event_is_appended),
    story!(a_follower_sees_what_is_there_and_what_comes),
    story!(of_racing_writers_exactly_one_wins_each_revision),
    story!(racing_writers_who_try_again_all_get_in),
    story!(a_batch_beyond_the_limit_is_refused),
    story!(an_empty_batch_is_refused),
];

/// Runs every story, each on a store that `empty` makes.
///
/// # Errors
/// The first story that failed, and why.
pub async fn run_all(empty: impl AsyncFn() -> Arc<dyn EventStore>) -> Result<(), String> {
    for story in STORIES {
        story.run(empty().await).await?;
    }
    Ok(())
}

macro_rules! story {
    ($name:ident) => {
        Story { name: stringify!($name), tell: |store| Box::pin($name(store)) }
    };
}
use story;

macro_rules! ensure {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(format!($($what)+));
        }
    };
}

async fn a_new_stream_is_empty(store: Store) -> Told {
    expect_head(&store, None).await?;
    expect_stream(&store, &[]).await
}

async fn events_are_recorded_as_they_were_given(store: Store) -> Told {
    let mut batch = batch(1, 3);
    batch[0].data = Vec::new();
    batch[1].data = (0..=255).collect();
    batch[1].metadata = vec![0; 1000];
    batch[2].kind = "Größe".into();
    expect_appended(&store, None, &batch, 2).await?;
    expect_head(&store, Some(2)).await?;
    expect_stream(&store, &batch).await
}

async fn an_append_at_another_revision_than_the_last_is_refused(store: Store) -> Told {
    expect_appended(&store, None, &batch(1, 3), 2).await?;
    for expected in [None, Some(0), Some(1)] {
        expect_wrong(&store, expected, &batch(2, 1), Some(2)).await?;
    }
    expect_appended(&store, Some(2), &batch(2, 1), 3).await
}

async fn an_append_beyond_the_tail_says_that_the_tail_is_behind(store: Store) -> Told {
    for expected in [0, 7, u64::MAX] {
        expect_behind(&store, expected, &batch(1, 1), None).await?;
    }
    expect_appended(&store, None, &batch(1, 3), 2).await?;
    for expected in [3, 4, u64::MAX] {
        expect_behind(&store, expected, &batch(2, 1), Some(2)).await?;
        // Not even for events that are recorded elsewhere in the stream.
        expect_behind(&store, expected, &batch(1, 3), Some(2)).await?;
    }
    expect_head(&store, Some(2)).await?;
    expect_appended(&store, Some(2), &batch(2, 1), 3).await
}

async fn a_refused_batch_leaves_nothing_behind(store: Store) -> Told {
    let recorded = batch(1, 3);
    expect_appended(&store, None, &recorded, 2).await?;
    expect_wrong(&store, Some(1), &batch(2, 5), Some(2)).await?;
    let mut too_big = batch(3, 5);
    too_big[4].data = vec![1; BATCH_LIMIT_BYTES];
    expect_refused(&store, Some(2), &too_big).await?;
    expect_head(&store, Some(2)).await?;
    expect_stream(&store, &recorded).await
}

async fn the_identical_batch_sent_again_answers_its_first_outcome(store: Store) -> Told {
    let (first, second, third) = (batch(1, 3), batch(2, 2), batch(3, 1));
    expect_appended(&store, None, &first, 2).await?;
    expect_appended(&store, None, &first, 2).await?;
    expect_appended(&store, Some(2), &second, 4).await?;
    expect_appended(&store, Some(4), &third, 5).await?;
    expect_appended(&store, None, &first, 2).await?;
    expect_appended(&store, Some(2), &second, 4).await?;
    expect_appended(&store, Some(4), &third, 5).await?;
    expect_stream(&store, &[first, second, third].concat()).await
}

async fn a_batch_that_only_begins_like_a_recorded_one_is_refused(store: Store) -> Told {
    let recorded = batch(1, 3);
    expect_appended(&store, None, &recorded, 2).await?;
    let other_rest = [&recorded[..2], &batch(2, 1)].concat();
    let longer = [&recorded[..], &batch(2, 1)].concat();
    let mut other_order = recorded.clone();
    other_order.swap(0, 2);
    for other in [other_rest, longer, other_order] {
        expect_wrong(&store, None, &other, Some(2)).await?;
    }
    expect_stream(&store, &recorded).await
}

async fn recorded_ids_at_another_revision_are_refused(store: Store) -> Told {
    let recorded = batch(1, 3);
    expect_appended(&store, None, &recorded, 2).await?;
    for expected in [Some(0), Some(1)] {
        expect_wrong(&store, expected, &recorded, Some(2)).await?;
    }
    expect_stream(&store, &recorded).await
}

async fn reads_answer_the_window_that_was_asked_for(store: Store) -> Told {
    let mut all = Vec::new();
    for number in 0..10 {
        let batch = batch(number, 1 + number as usize % 4);
        let expected = (all.len() as u64).checked_sub(1);
        all.extend(batch.clone());
        expect_appended(&store, expected, &batch, all.len() as u64 - 1).await?;
    }
    for from in 0..=all.len() + 2 {
        for max in [0, 1, 2, 5, all.len(), usize::MAX] {
            let start = from.min(all.len());
            let wanted = &all[start..start.saturating_add(max).min(all.len())];
            let events = store.read(from as u64, max).await.map_err(|error| error.to_string())?;
            same(&events, wanted, from as u64).map_err(|what| format!("read({from}, {max}): {what}"))?;
        }
    }
    let beyond = store.read(u64::MAX, 1).await.map_err(|error| error.to_string())?;
    ensure!(beyond.is_empty(), "read(u64::MAX, 1) answered {beyond:?}");
    Ok(())
}

async fn a_wait_ends_when_an_event_is_appended(store: Store) -> Told {
    let wait = |seen| {
        let store = Arc::clone(&store);
        async move { store.wait_beyond(seen).await.map_err(|error| error.to_string()) }
    };
    let mut waiting = Box::pin(wait(None));
    let early = waiting.as_mut().now_or_never();
    ensure!(early.is_none(), "wait_beyond(None) on an empty stream answered {early:?}");
    let first = batch(1, 2);
    let ((), head) = tokio::try_join!(expect_appended(&store, None, &first, 1), waiting)?;
    ensure!(head == 1, "wait_beyond(None) answered {head}, not 1");

    let head = wait(Some(0)).await?;
    ensure!(head == 1, "wait_beyond(Some(0)) answered {head}, not 1");
    // Waits for two events: the first of them must not end it.
    let mut waiting = Box::pin(wait(Some(2)));
    expect_appended(&store, Some(1), &batch(2, 1), 2).await?;
    let early = waiting.as_mut().now_or_never();
    ensure!(early.is_none(), "wait_beyond(Some(2)) answered {early:?} at head 2");
    expect_appended(&store, Some(2), &batch(3, 1), 3).await?;
    let head = waiting.await?;
    ensure!(head == 3, "wait_beyond(Some(2)) answered {head}, not 3");
    Ok(())
}

async fn a_follower_sees_what_is_there_and_what_comes(store: Store) -> Told {
    let all = batch(1, 25);
    expect_appended(&store, None, &all[..10], 9).await?;
    let mut follower = Box::pin(follow(Arc::clone(&store), 3, 4));
    let mut seen: Vec<RecordedEvent> = Vec::new();
    for (expected, upto) in [(9, 10), (9, 11), (10, 25)] {
        if upto > 10 {
            let batch = &all[expected as usize + 1..upto];
            expect_appended(&store, Some(expected), batch, upto as u64 - 1).await?;
        }
        while seen.len() + 3 < upto {
            let batch = follower.try_next().await.map_err(|error| error.to_string())?;
            let batch = batch.ok_or("the follower ended")?;
            ensure!((1..=4).contains(&batch.len()), "a batch of {} events, not 1 to 4", batch.len());
            seen.extend(batch);
        }
    }
    same(&seen, &all[3..], 3)
}

async fn of_racing_writers_exactly_one_wins_each_revision(store: Store) -> Told {
    let mut recorded = Vec::new();
    for round in 0..25_u64 {
        let expected = round.checked_sub(1);
        let mut racing = JoinSet::new();
        for writer in 0..8 {
            let (store, batch) = (Arc::clone(&store), batch(round * 8 + writer, 1));
            racing.spawn(async move { (store.append(expected, &batch).await, batch) });
        }
        let mut winners = Vec::new();
        while let Some(joined) = racing.join_next().await {
            match joined.map_err(|error| error.to_string())? {
                (Ok(revision), batch) if revision == round => winners.extend(batch),
                (Err(AppendError::WrongExpectedRevision { .. }), _) => {}
                (other, _) => return Err(format!("a writer at {expected:?} got {other:?}")),
            }
        }
        ensure!(winners.len() == 1, "{} writers won revision {round}", winners.len());
        recorded.extend(winners);
    }
    expect_stream(&store, &recorded).await
}

async fn racing_writers_who_try_again_all_get_in(store: Store) -> Told {
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for number in 0..10 {
                let batch = batch(writer * 10 + number, 2);
                loop {
                    let head = store.head().await.map_err(|error| error.to_string())?;
                    match store.append(head, &batch).await {
                        Ok(_) => break,
                        Err(AppendError::WrongExpectedRevision { .. }) => {}
                        Err(error) => return Err(error.to_string()),
                    }
                }
            }
            Ok(())
        });
    }
    while let Some(joined) = writers.join_next().await {
        joined.map_err(|error| error.to_string())??;
    }
    let events = store.read(0, usize::MAX).await.map_err(|error| error.to_string())?;
    let whole = events.chunks(2).all(|pair| pair.len() == 2 && pair[0].data == pair[1].data);
    ensure!(whole, "the batches of different writers are mixed");
    let mut ids = events.iter().map(|event| event.id).collect::<Vec<_>>();
    ids.sort_unstable();
    ids.dedup();
    ensure!(events.len() == 80 && ids.len() == 80, "{} events, {} ids", events.len(), ids.len());
    Ok(())
}

async fn a_batch_beyond_the_limit_is_refused(store: Store) -> Told {
    let mut batch = batch(1, 2);
    let rest = BATCH_LIMIT_BYTES - batch.iter().map(NewEvent::stored_bytes).sum::<usize>();
    batch[1].metadata.extend(vec![b'x'; rest + 1]);
    expect_refused(&store, None, &batch).await?;
    batch[1].metadata.pop();
    expect_appended(&store, None, &batch, 1).await?;
    expect_stream(&store, &batch).await
}

async fn an_empty_batch_is_refused(store: Store) -> Told {
    expect_refused(&store, None, &[]).await?;
    expect_appended(&store, None, &batch(1, 1), 0).await?;
    expect_refused(&store, Some(0), &[]).await?;
    expect_refused(&store, Some(5), &[]).await
}

/// Events whose ids differ from those of every other number.
fn batch(number: u64, events: usize) -> Vec<NewEvent> {
    (0..events)
        .map(|index| NewEvent {
            id: Uuid::from_u64_pair(number + 1, index as u64),
            kind: "ConformanceChecked".into(),
            data: format!("{{\"batch\":{number}}}").into_bytes(),
            metadata: format!("{{\"index\":{index}}}").into_bytes(),
        })
        .collect()
}

async fn expect_appended(store: &Store, expected: Option<u64>, events: &[NewEvent], revision: u64) -> Told {
    let outcome = store.append(expected, events).await;
    let right = matches!(outcome, Ok(last) if last == revision);
    ensure!(right, "append at {expected:?} answered {outcome:?}, not revision {revision}");
    Ok(())
}

async fn expect_wrong(store: &Store, at: Option<u64>, events: &[NewEvent], ends_at: Option<u64>) -> Told {
    let outcome = store.append(at, events).await;
    let right = matches!(
        outcome,
        Err(AppendError::WrongExpectedRevision { expected, current }) if expected == at && current == ends_at
    );
    ensure!(right, "append at {at:?} answered {outcome:?}, but the stream ends at {ends_at:?}");
    Ok(())
}

async fn expect_behind(store: &Store, at: u64, events: &[NewEvent], ends_at: Option<u64>) -> Told {
    let outcome = store.append(Some(at), events).await;
    let right = matches!(
        outcome,
        Err(AppendError::TailBehind { expected, tail }) if expected == at && tail == ends_at
    );
    ensure!(right, "append at {at} answered {outcome:?}, but the stream ends before that, at {ends_at:?}");
    Ok(())
}

async fn expect_refused(store: &Store, expected: Option<u64>, events: &[NewEvent]) -> Told {
    let outcome = store.append(expected, events).await;
    let right = matches!(outcome, Err(AppendError::Refused(_)));
    ensure!(right, "append of {} events answered {outcome:?}, not a refusal", events.len());
    Ok(())
}

async fn expect_head(store: &Store, head: Option<u64>) -> Told {
    let answer = store.head().await.map_err(|error| error.to_string())?;
    ensure!(answer == head, "the head is {answer:?}, not {head:?}");
    Ok(())
}

async fn expect_stream(store: &Store, events: &[NewEvent]) -> Told {
    let recorded = store.read(0, usize::MAX).await.map_err(|error| error.to_string())?;
    same(&recorded, events, 0)
}

fn same(recorded: &[RecordedEvent], given: &[NewEvent], first: u64) -> Told {
    ensure!(recorded.len() == given.len(), "{} events, not {}", recorded.len(), given.len());
    for (revision, (recorded, given)) in (first..).zip(recorded.iter().zip(given)) {
        let NewEvent { id, kind, data, metadata } = given.clone();
        let wanted = RecordedEvent { revision, id, kind, data, metadata };
        ensure!(*recorded == wanted, "revision {revision} is not the event that was appended");
    }
    Ok(())
}
