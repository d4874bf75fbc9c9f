//! Commands go in, receipts come out.

use crate::rig::Rig;
use crate::world::*;
use event_store::{EventStore, MemoryStore};
use ledger_core::*;
use ledger_runtime::{Clock, ExecuteError, Ledger, OpenError};
use std::collections::BTreeSet;
use std::sync::Arc;

#[tokio::test]
async fn a_receipt_names_the_journal_the_command_and_its_last_event() {
    for (name, store, _folder) in stores() {
        let world = World::with_coins(store.clone(), 5_000).await;
        let sent = rose();
        let receipt = world.execute(sent.clone()).await.expect("is accepted");
        let last = journal(store.as_ref()).await.pop().expect("is recorded");
        assert_eq!(receipt.journal, JOURNAL, "{name}");
        assert_eq!(receipt.command_id, sent.command_id(START), "{name}");
        assert_eq!((receipt.revision, receipt.duplicate), (last.revision, false), "{name}");
        assert_eq!(last.metadata.command_id, sent.command_id(START), "{name}");
        assert!(last.metadata.closes_unit(), "{name}");
        assert_eq!(world.ledger.durable_revision(), receipt.revision, "{name}");

        let again = world.execute(sent).await.expect("is a duplicate");
        assert_eq!((again.revision, again.duplicate), (receipt.revision, true), "{name}");
        assert_eq!(world.spendable(USER).await, 4_000, "{name}: charged once");
        world.assert_sound().await;
        world.close().await;
    }
}

#[tokio::test]
async fn a_rejection_records_nothing_and_has_its_code() {
    for (name, store, _folder) in stores() {
        let world = World::with_coins(store.clone(), 0).await;
        let before = (store.head().await.expect("is read"), world.hash().await);
        let Err(ExecuteError::Rejected(rejection)) = world.execute(rose()).await else {
            panic!("{name}: a rose without coins is refused");
        };
        assert_eq!(rejection.code(), "insufficient_funds", "{name}");
        assert_eq!((store.head().await.expect("is read"), world.hash().await), before, "{name}");
    }
}

#[tokio::test]
async fn the_same_gift_sent_a_hundred_times_at_once_is_recorded_once() {
    for (name, store, _folder) in stores() {
        let world = World::with_coins(store.clone(), 500_000).await;
        let sent = rose();
        let tasks: Vec<_> = (0..100).map(|_| world.send(sent.clone())).collect();
        let (mut revisions, mut first) = (BTreeSet::new(), 0);
        for task in tasks {
            let receipt = soon(task).await.expect("ends").expect("is accepted");
            revisions.insert(receipt.revision);
            first += usize::from(!receipt.duplicate);
        }
        assert_eq!((revisions.len(), first), (1, 1), "{name}: one revision, one that was the first");
        assert_eq!(recorded(store.as_ref()).await[&sent.command_id(START)], 1, "{name}");
        assert_eq!(world.spendable(USER).await, 499_000, "{name}");
    }
}

#[tokio::test]
async fn of_two_hundred_gifts_at_once_as_many_pass_as_the_balance_pays() {
    for (name, store, _folder) in stores() {
        let world = World::with_coins(store, 50 * ROSE_MILLI).await;
        let tasks: Vec<_> = (0..200).map(|_| world.send(rose())).collect();
        let (mut accepted, mut refused) = (0, 0);
        for task in tasks {
            match soon(task).await.expect("ends") {
                Ok(_) => accepted += 1,
                Err(ExecuteError::Rejected(Rejection::InsufficientFunds { .. })) => refused += 1,
                Err(other) => panic!("{name}: {other}"),
            }
        }
        assert_eq!((accepted, refused), (50, 150), "{name}");
        assert_eq!(world.spendable(USER).await, 0, "{name}");
        // Replays, and checks at each unit that nobody is overdrawn.
        world.assert_sound().await;
    }
}

#[tokio::test]
async fn nothing_is_answered_before_what_it_was_decided_on_is_durable() {
    let rig = Rig::before(memory());
    let world = World::with_coins(rig.clone(), ROSE_MILLI).await;
    let durable = world.ledger.durable_revision();
    let came = rig.arrived();
    rig.hold();

    let gift = rose();
    let accepted = world.send(gift.clone());
    soon(rig.until_arrived(came + 1)).await;
    // The coin is spent in memory only: each of these is decided on that.
    let refused = world.send(rose());
    let duplicate = world.send(gift);
    let query = world.asked().await;
    everyone_has_run().await;
    for (what, answered) in [
        ("the gift", accepted.is_finished()),
        ("the rejection", refused.is_finished()),
        ("the duplicate", duplicate.is_finished()),
        ("the query", query.is_finished()),
    ] {
        assert!(!answered, "{what} is answered before it is durable");
    }
    assert_eq!(world.ledger.durable_revision(), durable, "what is not durable is not shown");

    rig.release();
    let receipt = soon(accepted).await.expect("ends").expect("is accepted");
    let refusal = soon(refused).await.expect("ends").expect_err("is refused");
    assert!(matches!(refusal, ExecuteError::Rejected(Rejection::InsufficientFunds { .. })), "{refusal}");
    let again = soon(duplicate).await.expect("ends").expect("is a duplicate");
    assert_eq!((again.revision, again.duplicate), (receipt.revision, true));
    assert_eq!(soon(query).await.expect("ends"), Ok(receipt.revision + 1));
}

#[tokio::test]
async fn what_piles_up_behind_an_append_goes_out_as_one_batch() {
    let rig = Rig::before(memory());
    let world = World::with_coins(rig.clone(), 1_000_000).await;
    rig.take_batches();
    let came = rig.arrived();
    rig.hold();
    let mut tasks = vec![world.send(rose())];
    soon(rig.until_arrived(came + 1)).await;
    tasks.extend((0..60).map(|_| world.send(rose())));
    let query = world.asked().await;
    rig.release();
    for task in tasks {
        soon(task).await.expect("ends").expect("is accepted");
    }
    soon(query).await.expect("ends").expect("is answered");
    assert_eq!(rig.take_batches(), [2, 120], "a gift and its split are two events");
}

#[tokio::test]
async fn commands_put_in_line_together_are_one_batch_and_each_has_its_own_answer() {
    let rig = Rig::before(memory());
    let world = World::with_coins(rig.clone(), 2 * ROSE_MILLI).await;
    rig.take_batches();
    // The third is the first once more; the last has no coins left.
    let first = rose();
    let commands = vec![first.clone(), rose(), first, rose()];
    let mut outcomes = Vec::new();
    for submitted in soon(world.ledger.submit_together(commands)).await.expect("in line") {
        outcomes.push(soon(submitted.outcome()).await);
    }
    assert_eq!(rig.take_batches(), [4], "two gifts of two events, in one write");
    let [Ok(first), Ok(second), Ok(again), Err(refused)] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!((first.duplicate, second.duplicate, again.duplicate), (false, false, true));
    assert_eq!(second.revision, first.revision + 2, "in the order in which they were put");
    assert_eq!(again.revision, first.revision);
    assert!(matches!(refused, ExecuteError::Rejected(Rejection::InsufficientFunds { .. })), "{refused}");
    world.assert_sound().await;
}

#[tokio::test]
async fn of_commands_put_in_line_together_as_many_go_in_a_batch_as_it_takes() {
    let rig = Rig::before(memory());
    let world = World::with_coins(rig.clone(), 4_000 * ROSE_MILLI).await;
    rig.take_batches();
    let begin = world.ledger.durable_revision();
    let mut expected = begin;
    for submitted in
        soon(world.ledger.submit_together((0..3_500).map(|_| rose()).collect())).await.expect("in line")
    {
        expected += 2;
        assert_eq!(submitted.outcome().await.expect("is accepted").revision, expected, "in their order");
    }
    let batches = rig.take_batches();
    assert_eq!(batches.iter().sum::<usize>(), 7_000);
    assert!((2..=4).contains(&batches.len()), "{batches:?}");
    world.assert_sound().await;
}

#[tokio::test]
async fn a_command_in_line_is_decided_before_those_behind_it_and_needs_nobody_who_waits() {
    let world = World::with_coins(memory(), ROSE_MILLI).await;
    let (unwatched, behind) = (rose(), rose());
    drop(soon(world.ledger.submit(unwatched.clone())).await.expect("in line"));
    let refused = world.execute(behind).await.expect_err("the coin is spent");
    assert!(matches!(refused, ExecuteError::Rejected(Rejection::InsufficientFunds { .. })), "{refused}");
    assert!(world.execute(unwatched).await.expect("is accepted").duplicate);
}

#[tokio::test]
async fn a_ledger_that_is_opened_again_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || Arc::new(event_store::EmbeddedStore::open(folder.path()).expect("opens"));
    let world = World::with_coins(open(), 10_000).await;
    let sent = rose();
    let receipt = world.execute(sent.clone()).await.expect("is accepted");
    for _ in 0..5 {
        world.execute(rose()).await.expect("is accepted");
    }
    let hash = world.hash().await;
    world.close().await;

    let store = open();
    let (_hand, clock) = Clock::manual(START);
    let mut heard = Vec::new();
    let other = JournalId(uuid::Uuid::from_u128(0x99));
    let (ledger, task) = Ledger::open(store.clone(), clock, other, |done, total| heard.push((done, total)))
        .await
        .expect("opens");
    let events = store.head().await.expect("is read").expect("is not empty") + 1;
    assert_eq!(heard.last(), Some(&(events, events)), "progress is shown to the end");
    assert_eq!(ledger.journal(), JOURNAL, "a journal keeps its name");
    assert_eq!(soon(ledger.query(|state, _| state.hash())).await, Ok(hash), "replay equals live");
    let again = soon(ledger.execute(sent)).await.expect("is a duplicate");
    assert_eq!((again.revision, again.duplicate), (receipt.revision, true));
    drop(ledger);
    soon(task).await.expect("ends");
}

#[tokio::test]
async fn a_journal_is_replayed_whole_wherever_its_pages_end() {
    // Gifts have two events, so that in one of the two a page would end in the middle of one.
    for events_before in 0..2 {
        let store = memory();
        let world = World::with_coins(store.clone(), 3_000 * ROSE_MILLI).await;
        for _ in 0..events_before {
            world.given(coins(OTHER, ROSE_MILLI)).await;
        }
        for submitted in
            soon(world.ledger.submit_together((0..2_500).map(|_| rose()).collect())).await.expect("in line")
        {
            submitted.outcome().await.expect("is accepted");
        }
        let hash = world.hash().await;
        world.close().await;
        let again = World::open(store).await;
        assert_eq!(again.hash().await, hash, "with {events_before} more before them");
    }
}

#[tokio::test]
async fn a_journal_of_a_newer_program_does_not_open() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
    let world = World::with_coins(store.clone(), 1_000).await;
    world.close().await;
    let head = store.head().await.expect("is read");
    let mut event = foreign_coins(OTHER, 7, 1_000, coin_legs(OTHER, 1_000));
    event.kind = "MoonLanded".to_owned();
    store.append(head, &[event]).await.expect("is appended");
    let (_hand, clock) = Clock::manual(START);
    let fault = match Ledger::open(store, clock, JOURNAL, |_, _| {}).await {
        Err(OpenError::Journal(fault)) => fault.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opens"),
    };
    let revision = head.expect("is not empty") + 1;
    assert!(fault.contains("MoonLanded") && fault.contains(&format!("revision {revision}")), "{fault}");
}

#[tokio::test]
async fn the_writer_ends_with_the_last_handle_and_answers_what_was_asked() {
    let rig = Rig::before(memory());
    let World { ledger, task, hand: _hand, running: _ } = World::with_coins(rig.clone(), 5_000).await;
    let came = rig.arrived();
    rig.hold();
    let asked = tokio::spawn(async move { ledger.execute(rose()).await });
    soon(rig.until_arrived(came + 1)).await;
    everyone_has_run().await;
    assert!(!task.is_finished(), "a writer with a batch under way stays");
    rig.release();
    soon(asked).await.expect("ends").expect("is accepted");
    soon(task).await.expect("ends");
}

#[tokio::test]
async fn what_is_durable_cannot_be_taken_back() {
    for (name, store, _folder) in stores() {
        let world = World::with_coins(store.clone(), 100_000).await;
        let tasks: Vec<_> = (0..50).map(|_| world.send(rose())).collect();
        for task in tasks {
            soon(task).await.expect("ends").expect("is accepted");
        }
        assert!(is_final(&world).await, "{name}");
        let other = World::open(store).await;
        other.execute(rose()).await.expect("is accepted");
        world.execute(rose()).await.expect("is accepted behind the other node's");
        for node in [world, other] {
            assert!(is_final(&node).await, "{name}");
        }
    }
}

/// Whether nothing is kept of what stood in the state before, so that undo changes nothing.
async fn is_final(world: &World) -> bool {
    let undone = world.query(|state, _| {
        let mut undone = state.clone();
        undone.undo_from(0);
        undone.hash() == state.hash()
    });
    undone.await.expect("is answered")
}
