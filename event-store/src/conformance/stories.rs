//! The stories, a function each. The name says what is promised.

use super::expect::*;
use super::*;

pub(super) async fn a_new_stream_is_empty(stream: Stream) -> Told {
    let store = stream.open().await?;
    expect_head(&store, None).await?;
    expect_stream(&store, &[]).await
}

pub(super) async fn events_are_recorded_as_they_were_given(stream: Stream) -> Told {
    let store = stream.open().await?;
    let mut batch = batch(1, 6);
    batch[0].data = Vec::new();
    batch[1].data = (0..=255).collect();
    batch[1].metadata = vec![0; 1000];
    batch[2].kind = "Größe".into();
    batch[3].id = Uuid::max();
    batch[4].id = Uuid::from_u128(1);
    // A time is text in the metadata: neither its precision, nor its zone, nor the order of fields changes.
    let times =
        r#"{ "recorded_at":"2026-11-26T23:59:60.123456789+05:30", "at" : 1772409590001,  "at":null }"#;
    batch[5].metadata = times.as_bytes().to_vec();
    expect_appended(&store, None, &batch, 5).await?;
    expect_head(&store, Some(5)).await?;
    expect_stream(&store, &batch).await
}

pub(super) async fn batches_of_one_of_a_thousand_and_of_the_largest_size_are_recorded(
    stream: Stream,
) -> Told {
    let store = stream.open().await?;
    let (one, thousand) = (batch(1, 1), batch(2, 1_000));
    let mut largest = batch(3, 4_000);
    fill(&mut largest, BATCH_LIMIT_BYTES);
    let mut one_large = batch(4, 1);
    fill(&mut one_large, BATCH_LIMIT_BYTES);
    let mut all: Vec<NewEvent> = Vec::new();
    for batch in [one, thousand, largest, one_large] {
        let expected = (all.len() as u64).checked_sub(1);
        all.extend(batch.clone());
        expect_appended(&store, expected, &batch, all.len() as u64 - 1).await?;
    }
    expect_stream(&store, &all).await
}

pub(super) async fn an_append_at_another_revision_than_the_last_is_refused(stream: Stream) -> Told {
    let store = stream.open().await?;
    expect_appended(&store, None, &batch(1, 3), 2).await?;
    for expected in [None, Some(0), Some(1)] {
        expect_wrong(&store, expected, &batch(2, 1), Some(2)).await?;
    }
    expect_appended(&store, Some(2), &batch(2, 1), 3).await
}

pub(super) async fn an_append_beyond_the_tail_says_that_the_tail_is_behind(stream: Stream) -> Told {
    let store = stream.open().await?;
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

pub(super) async fn a_refused_batch_leaves_nothing_behind(stream: Stream) -> Told {
    let store = stream.open().await?;
    let recorded = batch(1, 3);
    expect_appended(&store, None, &recorded, 2).await?;
    expect_wrong(&store, Some(1), &batch(2, 5), Some(2)).await?;
    let mut too_big = batch(3, 5);
    too_big[4].data = vec![1; BATCH_LIMIT_BYTES];
    expect_refused(&store, Some(2), &too_big).await?;
    expect_head(&store, Some(2)).await?;
    expect_stream(&store, &recorded).await
}

pub(super) async fn the_identical_batch_sent_again_answers_its_first_outcome(stream: Stream) -> Told {
    let store = stream.open().await?;
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

/// The caller gives up after a while that grows from nothing, so that the batch is still to be sent, on its
/// way, or written.
pub(super) async fn a_batch_whose_reply_was_lost_is_written_once(stream: Stream) -> Told {
    let store = stream.open().await?;
    let mut recorded: Vec<NewEvent> = Vec::new();
    for number in 0..24_u64 {
        let batch = batch(number, 3);
        let expected = (recorded.len() as u64).checked_sub(1);
        let lost = timeout(Duration::from_micros(number * number * 20), store.append(expected, &batch)).await;
        recorded.extend(batch.clone());
        let last = recorded.len() as u64 - 1;
        if let Ok(outcome) = lost {
            ensure!(matches!(outcome, Ok(revision) if revision == last), "{outcome:?}, not {last}");
        }
        append_until_known(&store, expected, &batch, last).await?;
        expect_wrong(&store, expected, &self::batch(1_000, 3), Some(last)).await?;
    }
    expect_stream(&store, &recorded).await
}

pub(super) async fn a_batch_that_only_begins_like_a_recorded_one_is_refused(stream: Stream) -> Told {
    let store = stream.open().await?;
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

pub(super) async fn recorded_ids_at_another_revision_are_refused(stream: Stream) -> Told {
    let store = stream.open().await?;
    let recorded = batch(1, 3);
    expect_appended(&store, None, &recorded, 2).await?;
    for expected in [Some(0), Some(1)] {
        expect_wrong(&store, expected, &recorded, Some(2)).await?;
    }
    expect_stream(&store, &recorded).await
}

pub(super) async fn reads_answer_the_window_that_was_asked_for(stream: Stream) -> Told {
    let store = stream.open().await?;
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

pub(super) async fn pages_from_any_revision_join_without_a_gap(stream: Stream) -> Told {
    let store = stream.open().await?;
    let all = batch(1, 2_500);
    for (part, expected) in all.chunks(500).zip([None, Some(499), Some(999), Some(1_499), Some(1_999)]) {
        let last = expected.map_or(499, |expected| expected + 500);
        expect_appended(&store, expected, part, last).await?;
    }
    for from in [0, 1, 499, 500, 1_777, 2_499, 2_500] {
        for page in [97, 500, 1_000, 4_000] {
            let mut events: Vec<RecordedEvent> = Vec::new();
            loop {
                let next = from + events.len();
                let read = store.read(next as u64, page).await.map_err(|error| error.to_string())?;
                let wanted = page.min(all.len() - next);
                ensure!(read.len() == wanted, "read({next}, {page}) answered {} events", read.len());
                if read.is_empty() {
                    break;
                }
                events.extend(read);
            }
            same(&events, &all[from..], from as u64)
                .map_err(|what| format!("in pages of {page} from {from}: {what}"))?;
        }
    }
    Ok(())
}

pub(super) async fn a_wait_ends_when_an_event_is_appended(stream: Stream) -> Told {
    let store = stream.open().await?;
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

pub(super) async fn a_follower_sees_what_is_there_and_what_comes(stream: Stream) -> Told {
    let store = stream.open().await?;
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

/// Each follower reads where the stream ends and follows from there, while another writes.
pub(super) async fn a_follower_that_starts_at_the_end_misses_nothing(stream: Stream) -> Told {
    let store = stream.open().await?;
    let all = batch(1, 120);
    let writer = {
        let (store, all) = (Arc::clone(&store), all.clone());
        tokio::spawn(async move {
            for (revision, event) in (0..).zip(&all) {
                let expected = u64::checked_sub(revision, 1);
                expect_appended(&store, expected, std::slice::from_ref(event), revision).await?;
                tokio::task::yield_now().await;
            }
            Ok::<(), String>(())
        })
    };
    let mut followers = JoinSet::new();
    loop {
        let head = store.head().await.map_err(|error| error.to_string())?;
        let from = head.map_or(0, |head| head as usize + 1);
        let (followed, wanted) = (Arc::clone(&store), all[from..].to_vec());
        followers.spawn(async move {
            let mut seen = Vec::new();
            follow_until(&followed, from, &mut seen, from + wanted.len()).await?;
            same(&seen, &wanted, from as u64).map_err(|what| format!("from {from}: {what}"))
        });
        if from >= all.len() {
            break;
        }
        store.wait_beyond(head).await.map_err(|error| error.to_string())?;
    }
    writer.await.map_err(|error| error.to_string())??;
    while let Some(joined) = followers.join_next().await {
        joined.map_err(|error| error.to_string())??;
    }
    Ok(())
}

pub(super) async fn what_was_acknowledged_is_there_when_the_stream_is_opened_again(stream: Stream) -> Told {
    let (first, second) = (batch(1, 3), batch(2, 2));
    let store = stream.open().await?;
    expect_appended(&store, None, &first, 2).await?;
    drop(store);
    let store = stream.open().await?;
    expect_head(&store, Some(2)).await?;
    expect_stream(&store, &first).await?;
    // A writer that died before it was answered sends its batch again, and may have lost a race meanwhile.
    expect_appended(&store, None, &first, 2).await?;
    expect_wrong(&store, None, &second, Some(2)).await?;
    expect_appended(&store, Some(2), &second, 4).await?;
    expect_stream(&store, &[first, second].concat()).await
}

pub(super) async fn a_follower_sees_everything_once_and_in_order_over_lost_connections_and_restarts(
    stream: Stream,
) -> Told {
    let mut seen: Vec<RecordedEvent> = Vec::new();
    let mut all: Vec<NewEvent> = Vec::new();
    for round in 0..4_u64 {
        let store = stream.open().await?;
        let batches: Vec<Vec<NewEvent>> =
            (0..30).map(|it| batch(round * 30 + it, 1 + it as usize % 3)).collect();
        let mut expected = (all.len() as u64).checked_sub(1);
        all.extend(batches.concat());
        let write = async {
            for (number, batch) in batches.iter().enumerate() {
                if number % 10 == 5 {
                    stream.cut_connections().await?;
                }
                let last = expected.map_or(0, |revision| revision + 1) + batch.len() as u64 - 1;
                append_until_known(&store, expected, batch, last).await?;
                expected = Some(last);
            }
            Ok(())
        };
        tokio::try_join!(write, follow_until(&store, 0, &mut seen, all.len()))?;
    }
    same(&seen, &all, 0)
}

/// Follows from the first event that was not seen yet, again and again while the store does not answer.
pub(super) async fn follow_until(
    store: &Store,
    first: usize,
    seen: &mut Vec<RecordedEvent>,
    end: usize,
) -> Told {
    while first + seen.len() < end {
        let mut follower = Box::pin(follow(Arc::clone(store), (first + seen.len()) as u64, 7));
        while first + seen.len() < end {
            match follower.try_next().await {
                Ok(Some(events)) => seen.extend(events),
                Ok(None) => return Err("the follower ended".into()),
                Err(ReadError::Unavailable(_)) => {
                    sleep(PAUSE).await;
                    break;
                }
                Err(fault) => return Err(fault.to_string()),
            }
        }
    }
    Ok(())
}

/// Sends the identical batch until its outcome is known, as the ledger does.
pub(super) async fn append_until_known(
    store: &Store,
    expected: Option<u64>,
    events: &[NewEvent],
    revision: u64,
) -> Told {
    loop {
        match store.append(expected, events).await {
            Ok(last) if last == revision => return Ok(()),
            Err(AppendError::OutcomeUnknown(_)) => sleep(PAUSE).await,
            other => {
                return Err(format!("append at {expected:?} answered {other:?}, not revision {revision}"));
            }
        }
    }
}

pub(super) async fn of_racing_writers_exactly_one_wins_each_revision(stream: Stream) -> Told {
    let writers = writers(&stream, 8).await?;
    let mut recorded: Vec<NewEvent> = Vec::new();
    for round in 0..25_u64 {
        let expected = (recorded.len() as u64).checked_sub(1);
        let mut racing = JoinSet::new();
        for (number, store) in (0..).zip(&writers) {
            // Of different lengths: nothing of a longer one may stand behind a shorter one that wins.
            let batch = batch(round * 8 + number, 1 + number as usize % 3);
            let store = Arc::clone(store);
            racing.spawn(async move { (store.append(expected, &batch).await, batch) });
        }
        let (mut won, mut learned) = (Vec::new(), Vec::new());
        while let Some(joined) = racing.join_next().await {
            match joined.map_err(|error| error.to_string())? {
                (Ok(revision), batch) => won.push((revision, batch)),
                (Err(AppendError::WrongExpectedRevision { current, .. }), _) => learned.push(current),
                (other, _) => return Err(format!("a writer at {expected:?} got {other:?}")),
            }
        }
        ensure!(won.len() == 1, "{} writers won at {expected:?}", won.len());
        for (revision, batch) in won {
            recorded.extend(batch);
            let last = recorded.len() as u64 - 1;
            ensure!(revision == last, "the winner was told {revision}, and the stream ends at {last}");
            let know = learned.iter().all(|current| *current == Some(last));
            ensure!(know, "the losers were told {learned:?}, and the stream ends at {last}");
        }
    }
    expect_stream(&writers[0], &recorded).await
}

/// Each with a handle of its own, where there can be so many.
pub(super) async fn writers(stream: &Stream, count: usize) -> Result<Vec<Store>, String> {
    let mut writers = vec![stream.open().await?];
    while writers.len() < count {
        let next = match stream.handles() {
            Handles::Many => stream.open().await?,
            Handles::One | Handles::Shared => Arc::clone(&writers[0]),
        };
        writers.push(next);
    }
    Ok(writers)
}

pub(super) async fn racing_writers_who_try_again_all_get_in(stream: Stream) -> Told {
    let handles = writers(&stream, 4).await?;
    let mut writers = JoinSet::new();
    for (writer, store) in (0..).zip(handles.clone()) {
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
    let events = handles[0].read(0, usize::MAX).await.map_err(|error| error.to_string())?;
    let whole = events.chunks(2).all(|pair| pair.len() == 2 && pair[0].data == pair[1].data);
    ensure!(whole, "the batches of different writers are mixed");
    let mut ids = events.iter().map(|event| event.id).collect::<Vec<_>>();
    ids.sort_unstable();
    ids.dedup();
    ensure!(events.len() == 80 && ids.len() == 80, "{} events, {} ids", events.len(), ids.len());
    Ok(())
}

pub(super) async fn a_batch_beyond_the_limit_is_refused(stream: Stream) -> Told {
    let store = stream.open().await?;
    let mut too_large = batch(1, 2);
    fill(&mut too_large, BATCH_LIMIT_BYTES + 1);
    let refused = store.append(None, &too_large).await;
    // Whoever reads it knows what was too large, and what the limit is.
    let text = refused.as_ref().map_or_else(ToString::to_string, |_| String::new());
    let clear = matches!(refused, Err(AppendError::Refused(_)))
        && [BATCH_LIMIT_BYTES, BATCH_LIMIT_BYTES + 1].iter().all(|bytes| text.contains(&bytes.to_string()));
    ensure!(clear, "{} bytes answered {refused:?}", BATCH_LIMIT_BYTES + 1);
    too_large[1].metadata.pop();
    expect_appended(&store, None, &too_large, 1).await?;
    expect_stream(&store, &too_large).await
}

pub(super) async fn an_empty_batch_is_refused(stream: Stream) -> Told {
    let store = stream.open().await?;
    expect_refused(&store, None, &[]).await?;
    expect_appended(&store, None, &batch(1, 1), 0).await?;
    expect_refused(&store, Some(0), &[]).await?;
    expect_refused(&store, Some(5), &[]).await
}
