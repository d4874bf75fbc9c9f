//! Those who follow the journal.

use crate::world::*;
use ledger_core::command::{EndCall, PauseCall, StartCall};
use ledger_core::*;

/// More batches than a follower is kept in memory for.
const MORE_THAN_KEPT: u64 = 300;

async fn follows(world: &World, follower: &mut ledger_runtime::Follower, from: u64, to: u64) {
    let recorded = journal(world.ledger.store().as_ref()).await;
    let mut revision = from;
    while revision <= to {
        let unit = soon(follower.next()).await.expect("is read").expect("is there");
        for event in unit.events() {
            assert_eq!(event.revision, revision, "in order and without a gap");
            assert_eq!(Some(event), recorded.get(revision as usize));
            revision += 1;
        }
        assert!(unit.events().last().expect("at least one").metadata.closes_unit());
    }
    assert_eq!(revision, to + 1);
}

#[tokio::test]
async fn a_follower_sees_every_event_from_its_start_on() {
    for (_name, store, _folder) in stores() {
        let world = World::with_coins(store, 100_000).await;
        let from = world.ledger.durable_revision() + 1;
        let mut follower = world.ledger.follow();
        for _ in 0..5 {
            world.execute(rose()).await.expect("is accepted");
        }
        let mut late = world.ledger.follow();
        let tasks: Vec<_> = (0..20).map(|_| world.send(rose())).collect();
        for task in tasks {
            soon(task).await.expect("ends").expect("is accepted");
        }
        follows(&world, &mut follower, from, from + 49).await;
        follows(&world, &mut late, from + 10, from + 49).await;
        world.close().await;
        assert!(soon(follower.next()).await.expect("is read").is_none(), "the end of the ledger is seen");
    }
}

#[tokio::test]
async fn a_follower_that_has_slept_reads_what_it_missed() {
    for (_name, store, _folder) in stores() {
        let world = World::with_coins(store, 10_000_000).await;
        let from = world.ledger.durable_revision() + 1;
        let mut follower = world.ledger.follow();
        world.execute(rose()).await.expect("is accepted");
        follows(&world, &mut follower, from, from + 1).await;
        // One batch each, more than are kept.
        for _ in 0..MORE_THAN_KEPT {
            world.execute(rose()).await.expect("is accepted");
        }
        let to = world.ledger.durable_revision();
        assert_eq!(to, from + 1 + 2 * MORE_THAN_KEPT);
        follows(&world, &mut follower, from + 2, to).await;
        world.execute(rose()).await.expect("is accepted");
        follows(&world, &mut follower, to + 1, to + 2).await;
    }
}

#[tokio::test]
async fn a_follower_that_is_dropped_while_it_reads_what_it_missed_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = event_store::EmbeddedStore::open(folder.path()).expect("opens");
    let world = World::with_coins(std::sync::Arc::new(store), 10_000_000).await;
    let from = world.ledger.durable_revision() + 1;
    let mut follower = world.ledger.follow();
    for _ in 0..MORE_THAN_KEPT {
        world.execute(rose()).await.expect("is accepted");
    }
    let to = world.ledger.durable_revision();
    // As in a select whose other branch is ready first: each call gets one poll.
    for _ in 0..MORE_THAN_KEPT {
        tokio::select! {
            biased;
            event = follower.next() => {
                let unit = event.expect("is read").expect("is there");
                assert_eq!(unit.events()[0].revision, from);
                follows(&world, &mut follower, unit.last_revision() + 1, to).await;
                return;
            }
            () = std::future::ready(()) => {}
        }
    }
    follows(&world, &mut follower, from, to).await;
}

#[tokio::test]
async fn a_follower_whose_reading_fails_goes_on_without_a_gap() {
    let store = memory();
    let rig = crate::rig::Rig::before(store.clone());
    let world = World::with_coins(rig.clone(), 10_000_000).await;
    let from = world.ledger.durable_revision() + 1;
    let mut follower = world.ledger.follow();
    for _ in 0..MORE_THAN_KEPT {
        world.execute(rose()).await.expect("is accepted");
    }
    rig.read_fails(true);
    assert!(soon(follower.next()).await.is_err(), "what was missed cannot be read now");
    rig.read_fails(false);
    follows(&world, &mut follower, from, world.ledger.durable_revision()).await;
}

#[tokio::test]
async fn a_follower_that_comes_to_damaged_bytes_is_told_and_goes_on_once_they_are_restored() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = event_store::EmbeddedStore::open(folder.path()).expect("opens");
    let world = World::with_coins(std::sync::Arc::new(store), 10_000_000).await;
    let from = world.ledger.durable_revision() + 1;
    let mut follower = world.ledger.follow();
    for _ in 0..MORE_THAN_KEPT {
        world.execute(rose()).await.expect("is accepted");
    }
    // Of the last batch, so that what comes before it could be handed out.
    let flip = || {
        let files = std::fs::read_dir(folder.path()).expect("the folder");
        let files = files.map(|file| file.expect("a file").path());
        let segment = files.max_by_key(|path| path.metadata().expect("its size").len()).expect("a segment");
        let mut bytes = std::fs::read(&segment).expect("is read");
        let last = bytes.iter().rposition(|byte| *byte != 0).expect("there is something in it");
        bytes[last - 20] ^= 1;
        std::fs::write(&segment, bytes).expect("is written");
    };
    flip();
    for _ in 0..2 {
        let told = soon(follower.next()).await;
        let damaged =
            matches!(told, Err(ledger_runtime::JournalError::Read(event_store::ReadError::Damaged(_))));
        assert!(damaged, "{:?}", told.err());
    }
    flip();
    follows(&world, &mut follower, from, world.ledger.durable_revision()).await;
}

#[tokio::test]
async fn a_follower_sees_what_another_node_wrote_in_its_place() {
    let store = memory();
    let other = World::with_coins(store.clone(), 100_000).await;
    let world = World::open(store.clone()).await;
    let from = world.ledger.durable_revision() + 1;
    let mut follower = world.ledger.follow();
    for _ in 0..3 {
        other.execute(rose()).await.expect("is accepted");
        world.execute(rose()).await.expect("is accepted");
    }
    let head = store.head().await.expect("is read").expect("is not empty");
    assert_eq!(head, from + 11);
    follows(&world, &mut follower, from, head).await;
    let gifts = journal(store.as_ref()).await;
    assert_eq!(gifts.iter().filter(|it| matches!(it.event, Event::GiftSent(_))).count(), 6);
}

#[tokio::test]
async fn what_people_have_after_each_unit_comes_with_it() {
    let rig = crate::rig::Rig::before(memory());
    let world = World::with_coins(rig.clone(), 5 * ROSE_MILLI).await;
    let mut follower = world.ledger.follow();
    // The first by itself, the others in one batch behind it.
    let came = rig.arrived();
    rig.hold();
    let mut tasks = vec![world.send(rose())];
    soon(rig.until_arrived(came + 1)).await;
    tasks.extend((0..3).map(|_| world.send(rose())));
    everyone_has_run().await;
    rig.release();
    for task in tasks {
        soon(task).await.expect("ends").expect("is accepted");
    }
    for sent in 1..=4 {
        let unit = soon(follower.next()).await.expect("is read").expect("is there");
        let facts = unit.facts().expect("it comes from the writer itself");
        assert_eq!(facts.at, START);
        assert_eq!(facts.of(USER).expect("paid").wallet.spendable_milli, (5 - sent) * ROSE_MILLI);
        assert_eq!(facts.of(HOST).expect("earned").wallet.earnings_milli, sent * 600);
        assert_eq!(facts.of(OTHER), None, "nobody else is concerned");
    }
}

#[tokio::test]
async fn the_call_that_people_are_in_comes_with_a_unit_even_where_nothing_was_posted() {
    let world = World::with_coins(memory(), 5_000).await;
    let mut follower = world.ledger.follow();
    let (medium, price_seen_milli_per_minute) = (Medium::Video, 6_000);
    let start =
        Command::from(StartCall { call: CALL, payer: USER, host: HOST, medium, price_seen_milli_per_minute });
    world.execute(envelope(HOST, start)).await.expect("is accepted");
    let cause = ledger_core::event::PauseCause::Disconnected;
    world.given(Command::from(PauseCall { call: CALL, cause, last_seen: None })).await;
    let by = Ending::Participant(USER);
    world.execute(envelope(USER, Command::from(EndCall { call: CALL, by }))).await.expect("is accepted");
    for (running, in_call) in [(true, true), (false, true), (false, false)] {
        let unit = soon(follower.next()).await.expect("is read").expect("is there");
        for person in [USER, HOST] {
            let facts = unit.facts().and_then(|facts| facts.of(person)).expect("is concerned");
            let call = facts.call.as_ref();
            assert_eq!(call.map(|(id, _)| *id), in_call.then_some(CALL));
            let is_running = |call: &ledger_core::calls::Call| call.next_tick_at().is_some();
            assert_eq!(call.is_some_and(|(_, call)| is_running(call)), running);
        }
    }
}

#[tokio::test]
async fn a_unit_that_was_read_from_the_store_comes_without_facts() {
    let world = World::with_coins(memory(), 10_000_000).await;
    let mut follower = world.ledger.follow();
    for _ in 0..MORE_THAN_KEPT {
        world.execute(rose()).await.expect("is accepted");
    }
    let unit = soon(follower.next()).await.expect("is read").expect("is there");
    assert!(unit.facts().is_none(), "what it was is not known any more");
}
