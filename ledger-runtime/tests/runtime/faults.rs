//! Stores that fail, and journals that another node has spoilt.

use crate::rig::{Fault, Rig};
use crate::world::*;
use event_store::NewEvent;
use ledger_core::command::CapturePurchase;
use ledger_core::event::{
    Buys, CommissionRule, CommissionScope, CommissionSplit, Draw, GiftSent, PurchaseOpened, SplitSource,
};
use ledger_core::*;
use ledger_runtime::{ExecuteError, Status};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

#[tokio::test]
async fn an_outcome_that_stays_unknown_for_a_while_is_recorded_exactly_once() {
    let cases = [
        vec![Fault::UnknownBefore],
        vec![Fault::UnknownAfter],
        vec![Fault::UnknownBefore, Fault::UnknownAfter],
        vec![Fault::UnknownAfter, Fault::UnknownBefore, Fault::UnknownAfter],
    ];
    for faults in cases {
        for (name, store, _folder) in stores() {
            let rig = Rig::before(store.clone());
            let world = World::with_coins(rig.clone(), 5_000).await;
            faults.iter().for_each(|fault| rig.plan(*fault));
            let sent = rose();
            let receipt = world.execute(sent.clone()).await.expect("is accepted");
            let case = format!("{name}, {faults:?}");
            assert_eq!(rig.struck(), faults.len(), "{case}");
            assert_eq!(recorded(store.as_ref()).await[&sent.command_id(START)], 1, "{case}");
            assert_eq!(store.head().await.expect("is read"), Some(receipt.revision), "{case}");
            assert_eq!(world.spendable(USER).await, 4_000, "{case}");
            assert_eq!(world.ledger.status(), Status::Running, "{case}");
            world.assert_sound().await;
        }
    }
}

#[tokio::test]
async fn an_unknown_outcome_behind_which_another_node_wrote_is_still_known_in_the_end() {
    for fault in [Fault::UnknownBefore, Fault::UnknownAfter] {
        let store = memory();
        let other = World::with_coins(store.clone(), 5_000).await;
        let rig = Rig::before(store.clone());
        let world = World::open(rig.clone()).await;
        rig.plan(fault);
        let sent = rose();
        let asked = world.send(sent.clone());
        soon(rig.until_struck(1)).await;
        other.execute(rose()).await.expect("is accepted");
        let receipt = soon(asked).await.expect("ends").expect("is accepted");
        assert!(!receipt.duplicate, "{fault:?}");
        assert_eq!(recorded(store.as_ref()).await[&sent.command_id(START)], 1, "{fault:?}");
        assert_eq!(world.spendable(USER).await, 3_000, "{fault:?}");
        assert_eq!(world.hash().await, other.hash().await, "{fault:?}");
    }
}

#[tokio::test]
async fn a_batch_that_the_store_refuses_fails_its_commands_and_no_others() {
    let rig = Rig::before(memory());
    let world = World::with_coins(rig.clone(), 2_000).await;
    let earlier = rose();
    let receipt = world.execute(earlier.clone()).await.expect("is accepted");
    let hash = world.hash().await;
    let came = rig.arrived();
    rig.hold();
    let in_flight = world.send(rose());
    soon(rig.until_arrived(came + 1)).await;
    let tasks = [world.send(earlier), world.send(rose())];
    let query = world.asked().await;
    rig.plan(Fault::Refused);
    rig.release();
    let refused = ExecuteError::NotStorable("it does not like it".to_owned());
    assert_eq!(soon(in_flight).await.expect("ends"), Err(refused));
    let [duplicate, next] = tasks;
    let duplicate = soon(duplicate).await.expect("ends").expect("is a duplicate");
    assert_eq!((duplicate.revision, duplicate.duplicate), (receipt.revision, true));
    soon(next).await.expect("ends").expect("has the coin that the refused gift had");
    assert_ne!(soon(query).await.expect("ends"), Ok(0));
    assert_eq!(world.ledger.status(), Status::Running);
    assert_ne!(world.hash().await, hash);
    world.assert_sound().await;
}

#[tokio::test]
async fn in_a_refused_batch_a_duplicate_is_still_a_duplicate() {
    let rig = Rig::before(memory());
    let world = World::with_coins(rig.clone(), 5_000).await;
    let earlier = rose();
    let receipt = world.execute(earlier.clone()).await.expect("is accepted");
    let came = rig.arrived();
    rig.hold();
    let first = world.send(rose());
    soon(rig.until_arrived(came + 1)).await;
    let (refused, duplicate) = (world.send(rose()), world.send(earlier));
    let query = world.asked().await;
    rig.plan(Fault::Passes);
    rig.plan(Fault::Refused);
    rig.release();
    soon(first).await.expect("ends").expect("is accepted");
    let fault = ExecuteError::NotStorable("it does not like it".to_owned());
    assert_eq!(soon(refused).await.expect("ends"), Err(fault));
    let duplicate = soon(duplicate).await.expect("ends").expect("is a duplicate");
    assert_eq!((duplicate.revision, duplicate.duplicate), (receipt.revision, true));
    soon(query).await.expect("ends").expect("is answered");
    world.assert_sound().await;
}

#[tokio::test]
async fn of_a_batch_that_the_store_refuses_the_guilty_command_alone_fails() {
    let rig = Rig::before(memory());
    let world = World::with_coins(rig.clone(), 4 * ROSE_MILLI).await;
    world.given(coins(OTHER, 5 * ROSE_MILLI)).await;
    let earlier = rose();
    let receipt = world.execute(earlier.clone()).await.expect("is accepted");
    rig.refuse_what_holds(OTHER.0.as_bytes());
    let came = rig.arrived();
    rig.hold();
    let first = world.send(rose());
    soon(rig.until_arrived(came + 1)).await;
    // All of these are decided together, on top of one another.
    let sent = [rose(), rose_of(OTHER), rose()];
    let [before, guilty, behind] = sent.clone().map(|envelope| world.send(envelope));
    let (duplicate, rejected) = (world.send(earlier), world.send(rose()));
    let query = world.asked().await;
    rig.release();
    let first = soon(first).await.expect("ends").expect("is accepted");
    let fault = ExecuteError::NotStorable("it does not like it".to_owned());
    assert_eq!(soon(guilty).await.expect("ends"), Err(fault.clone()));
    let before = soon(before).await.expect("ends").expect("is accepted");
    let behind = soon(behind).await.expect("ends").expect("is accepted");
    assert_eq!([before.revision, behind.revision], [first.revision + 2, first.revision + 4], "in order");
    let duplicate = soon(duplicate).await.expect("ends").expect("is a duplicate");
    assert_eq!((duplicate.revision, duplicate.duplicate), (receipt.revision, true));
    let rejected = soon(rejected).await.expect("ends");
    assert!(
        matches!(rejected, Err(ExecuteError::Rejected(_))),
        "the coins went to those before: {rejected:?}"
    );
    assert_eq!(soon(query).await.expect("ends"), Ok(behind.revision + 1));

    // Sent again under their keys they are what they were.
    let again = [&sent[0], &sent[1], &sent[2]].map(|envelope| world.execute(envelope.clone()));
    let [before_again, guilty_again, behind_again] = again;
    assert_eq!(
        before_again.await,
        Ok(ledger_runtime::Receipt { duplicate: true, recorded: false, ..before })
    );
    assert_eq!(guilty_again.await, Err(fault));
    assert_eq!(
        behind_again.await,
        Ok(ledger_runtime::Receipt { duplicate: true, recorded: false, ..behind })
    );
    assert_eq!(world.spendable(OTHER).await, 5 * ROSE_MILLI);
    assert_eq!(world.ledger.status(), Status::Running);
    world.assert_sound().await;
}

/// A store with the first `count` events of `store`.
async fn older_copy(store: &dyn event_store::EventStore, count: usize) -> Arc<dyn event_store::EventStore> {
    let copy = memory();
    let mut expected = None;
    for event in store.read(0, count).await.expect("is read") {
        let event_store::RecordedEvent { id, kind, data, metadata, .. } = event;
        let event = NewEvent { id, kind, data, metadata };
        expected = Some(copy.append(expected, &[event]).await.expect("is appended"));
    }
    copy
}

#[tokio::test]
async fn a_store_that_has_lost_durable_events_stops_the_ledger() {
    for behind_a_query in [false, true] {
        let store = memory();
        let rig = Rig::before(store.clone());
        let world = World::with_coins(rig.clone(), 5_000).await;
        let receipt = world.execute(rose()).await.expect("is accepted");
        let hash = world.hash().await;
        let older = older_copy(store.as_ref(), 4).await;
        rig.replace(older.clone());
        if behind_a_query {
            world.query(|_, _| ()).await.expect("is answered");
        }
        let refused = world.execute(rose()).await;
        assert!(matches!(refused, Err(ExecuteError::Stopped(_))), "{behind_a_query}: {refused:?}");
        assert!(matches!(world.ledger.status(), Status::Stopped(_)), "{behind_a_query}");
        // Nothing was written over what is gone, nothing of it was taken over, and reads go on.
        assert_eq!(older.head().await.expect("is read"), Some(3), "{behind_a_query}");
        assert_eq!(world.ledger.durable_revision(), receipt.revision, "{behind_a_query}");
        assert_eq!(world.hash().await, hash, "{behind_a_query}");
        world.close().await;
    }
}

#[tokio::test]
async fn a_store_that_contradicts_itself_is_asked_again_and_takes_nobody_s_time() {
    let rig = Rig::before(memory());
    let world = World::with_coins(rig.clone(), 5_000).await;
    (0..3).for_each(|_| rig.plan(Fault::Contradicts));
    let asked = world.send(rose());
    // This task runs in the same thread as the writer, between two attempts.
    for attempt in 1..=3 {
        soon(rig.until_struck(attempt)).await;
        assert_eq!(rig.struck(), attempt);
    }
    soon(asked).await.expect("ends").expect("is accepted");
    world.assert_sound().await;
}

#[tokio::test]
async fn a_writer_that_dies_leaves_a_stopped_ledger() {
    for panics in [true, false] {
        let rig = Rig::before(memory());
        let world = World::with_coins(rig.clone(), 5_000).await;
        let mut follower = world.ledger.follow();
        let came = rig.arrived();
        if panics {
            rig.plan(Fault::Panics);
        } else {
            rig.hold();
        }
        let asked = world.send(rose());
        soon(rig.until_arrived(came + 1)).await;
        if !panics {
            world.task.abort();
        }
        assert_eq!(soon(asked).await.expect("ends"), Err(ExecuteError::OutcomeUnknown), "{panics}");
        assert!(matches!(world.ledger.status(), Status::Stopped(_)), "{panics}");
        soon(world.ledger.stopped()).await;
        let refused = world.execute(rose()).await;
        assert!(matches!(refused, Err(ExecuteError::Stopped(_))), "{panics}: {refused:?}");
        assert!(soon(follower.next()).await.expect("is read").is_none(), "{panics}");
        let mut late = world.ledger.follow();
        assert!(soon(late.next()).await.expect("is read").is_none(), "{panics}");
    }
}

#[tokio::test]
async fn when_too_many_commands_wait_more_hear_it_at_once_and_the_others_are_recorded() {
    let rig = Rig::before(memory());
    let world = World::with_coins(rig.clone(), 50_000 * ROSE_MILLI).await;
    let came = rig.arrived();
    rig.hold();
    let first = world.send(rose());
    soon(rig.until_arrived(came + 1)).await;
    // More than the next batch and the queue take together.
    let tasks: Vec<_> = (0..37_000).map(|_| world.send(rose())).collect();
    assert_eq!(
        soon(world.send(rose())).await.expect("ends"),
        Err(ExecuteError::Busy),
        "while the store is at work"
    );
    let together = world.ledger.submit_together((0..2_000).map(|_| rose()).collect()).await;
    assert_eq!(together.err(), Some(ExecuteError::Busy), "each of them takes a place");
    // What the server itself has to do finds a place.
    let own = world.send(Envelope { actor: Actor::System, ..rose() });
    rig.release();
    soon(own).await.expect("ends").expect("is accepted");
    soon(first).await.expect("ends").expect("is accepted");
    let mut accepted = 2;
    for task in tasks {
        match soon(task).await.expect("ends") {
            Ok(_) => accepted += 1,
            Err(fault) => assert_eq!(fault, ExecuteError::Busy),
        }
    }
    assert_eq!(world.spendable(USER).await, (50_000 - accepted) * ROSE_MILLI);
    assert!(accepted > 30_000, "those in line were taken: {accepted}");
}

#[tokio::test]
async fn a_store_that_is_down_stalls_the_ledger_until_it_is_back() {
    let rig = Rig::before(memory());
    let world = World::with_coins(rig.clone(), 5_000).await;
    rig.reachable(false);
    let sent = world.send(rose());
    let status = world.until_status(|status| *status != Status::Running).await;
    assert!(
        matches!(&status, Status::Stalled(why) if why.ends_with("the store cannot be reached: the line is cut")),
        "{status:?}"
    );
    let query = world.asked().await;
    assert!(!sent.is_finished() && !query.is_finished(), "nothing is answered meanwhile");
    rig.reachable(true);
    soon(sent).await.expect("ends").expect("is accepted");
    soon(query).await.expect("ends").expect("is answered");
    assert_eq!(world.ledger.status(), Status::Running);

    // The same where nothing is to be appended.
    rig.reachable(false);
    let query = world.asked().await;
    world.until_status(|status| matches!(status, Status::Stalled(_))).await;
    rig.reachable(true);
    soon(query).await.expect("ends").expect("is answered");
    assert_eq!(world.ledger.status(), Status::Running);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_silent_is_told_of_after_a_second_and_keeps_nobody_waiting_for_longer() {
    let store = memory();
    World::with_coins(store.clone(), 5_000).await;
    let rig = Rig::before(store);
    let world = World::open(rig.clone()).await;
    // The line is open, and nothing comes over it.
    rig.hold();
    let sent = world.send(rose());
    soon(rig.until_arrived(1)).await;
    assert_eq!(world.ledger.status(), Status::Running, "an append may take a moment");
    tokio::time::advance(Duration::from_millis(1_001)).await;
    world.until_status(|status| matches!(status, Status::Stalled(_))).await;
    tokio::time::advance(Duration::from_millis(501)).await;
    assert_eq!(world.execute(rose()).await, Err(ExecuteError::StoreAway));
    rig.release();
    soon(sent).await.expect("ends").expect("is accepted");
    world.execute(rose()).await.expect("is taken again");
    world.assert_sound().await;
}

#[tokio::test]
async fn an_idle_ledger_stops_when_the_store_comes_back_without_events_that_were_durable() {
    let store = memory();
    let whole = World::with_coins(store.clone(), 5_000).await;
    let rig = Rig::before(store);
    let idle = World::open(rig.clone()).await;
    rig.reachable(false);
    idle.until_status(|status| matches!(status, Status::Stalled(_))).await;
    // As after a fail-over to a standby that lacked the last events.
    rig.replace(memory());
    rig.reachable(true);
    let status = idle.until_status(|status| matches!(status, Status::Stopped(_))).await;
    assert!(format!("{status:?}").contains("lost durable events"), "{status:?}");
    drop(whole);
}

#[tokio::test]
async fn a_store_that_cannot_be_read_after_a_lost_race_stalls_the_ledger_too() {
    let store = memory();
    let other = World::with_coins(store.clone(), 5_000).await;
    let rig = Rig::before(store.clone());
    let world = World::open(rig.clone()).await;
    rig.read_fails(true);
    other.execute(rose()).await.expect("is accepted");
    let sent = world.send(rose());
    world.until_status(|status| matches!(status, Status::Stalled(_))).await;
    rig.read_fails(false);
    soon(sent).await.expect("ends").expect("is accepted");
    world.until_status(|status| *status == Status::Running).await;
    world.assert_sound().await;
}

/// A purchase of so many coins for one paisa, as another node has opened it.
fn foreign_purchase(user: PersonId, number: u128, coins_milli: i64) -> NewEvent {
    let event: Event = PurchaseOpened {
        purchase: PurchaseId(Uuid::from_u128(number)),
        user,
        buys: Buys::Plan(PlanId(Uuid::from_u128(number))),
        gateway: Gateway::Razorpay,
        coins_milli,
        bonus_milli: 0,
        bonus_valid_seconds: None,
        price_minor: 1,
        price_asset: Asset::INR,
    }
    .into();
    foreign(&event, number, (0, 1))
}

/// The payment of that purchase.
fn capture_of(number: u128) -> Envelope {
    let command = Command::from(CapturePurchase {
        gateway: Gateway::Razorpay,
        purchase: Some(PurchaseId(Uuid::from_u128(number))),
        payment_ref: format!("pay_{number}"),
        amount_minor: 1,
        asset: Asset::INR,
    });
    let actor = Actor::Gateway(Gateway::Razorpay);
    Envelope { actor, key: Key::Natural(format!("pay_{number}")), command, policy: Policy::default() }
}

#[tokio::test]
async fn a_fault_in_deciding_fails_that_command_alone() {
    let store = memory();
    let world = World::with_coins(store.clone(), 5_000).await;
    // Another node writes a purchase that gives less than nothing: crediting it is a fault.
    let head = store.head().await.expect("is read");
    store.append(head, &[foreign_purchase(OTHER, 7, -5)]).await.expect("is appended");
    assert_eq!(world.spendable(OTHER).await, 0);
    let before = world.hash().await;
    let tasks = [world.send(capture_of(7)), world.send(rose())];
    let [faulty, sound] = tasks;
    assert_eq!(soon(faulty).await.expect("ends"), Err(ExecuteError::Fault));
    soon(sound).await.expect("ends").expect("is accepted");
    assert_eq!(world.execute(capture_of(7)).await, Err(ExecuteError::Fault));
    assert_eq!(world.ledger.status(), Status::Running);
    assert_ne!(world.hash().await, before);
    world.assert_sound().await;
}

#[tokio::test]
async fn a_fault_in_a_query_fails_that_query_alone() {
    let world = World::with_coins(memory(), 5_000).await;
    let faulty = world.query(|state, _| assert_eq!(state.next_revision(), 0, "a fault")).await;
    assert_eq!(faulty, Err(ExecuteError::Fault));
    world.execute(rose()).await.expect("is accepted");
}

/// What another node may have written that this program cannot explain.
fn spoilt() -> Vec<(&'static str, Vec<NewEvent>)> {
    let good = |number| foreign_coins(OTHER, number, 1_000, coin_legs(OTHER, 1_000));
    let unbalanced = foreign_coins(OTHER, 9, 1_000, vec![leg(Account::UserPurchased(OTHER), -1_000)]);
    // The first leg can be posted, the second cannot.
    let overdrawing = foreign_coins(
        OTHER,
        9,
        -1_000,
        vec![leg(Account::PlatformAdjustments, -1_000), leg(Account::UserPurchased(OTHER), 1_000)],
    );
    let mut unknown = good(9);
    unknown.kind = "MoonLanded".to_owned();
    let gift: Event = GiftSent {
        sending: GiftSendingId(Uuid::from_u128(9)),
        gift: ROSE,
        sender: OTHER,
        host: HOST,
        call: None,
        price_milli: 1_000,
        draws: vec![Draw {
            lot: LotId(Uuid::from_u128(7)),
            account: Account::UserPurchased(OTHER),
            amount_milli: 1_000,
        }],
        postings: vec![leg(Account::UserPurchased(OTHER), 1_000), leg(Account::ClearingCharges, -1_000)],
    }
    .into();
    let scope = CommissionScope::Global;
    let split: Event = CommissionSplit {
        source: SplitSource::Gift(GiftSendingId(Uuid::from_u128(9))),
        payer: OTHER,
        host: HOST,
        commission: CommissionRule { scope, host_bps: 6_000, agency_bps: 0, agency: None },
        gross_milli: 1_000,
        host_milli: 600,
        agency_milli: 0,
        platform_milli: 400,
        available_from: START,
        held: vec![],
        postings: vec![leg(Account::ClearingCharges, 999), leg(Account::PlatformRevenue, -999)],
    }
    .into();
    let gift = foreign(&gift, 9, (0, 2));
    vec![
        ("an entry that does not balance", vec![unbalanced.clone()]),
        ("the same behind an event that is sound", vec![good(7), unbalanced]),
        ("an entry that overdraws an account", vec![overdrawing]),
        ("an event of a newer program", vec![unknown.clone()]),
        ("the same behind an event that is sound", vec![good(7), unknown]),
        ("a unit whose second event is bad", vec![good(7), gift.clone(), foreign(&split, 9, (1, 2))]),
        ("half a unit", vec![good(7), gift]),
    ]
}

#[tokio::test]
async fn a_journal_that_cannot_be_explained_stops_commands_and_leaves_queries() {
    for (name, events) in spoilt() {
        for behind_a_query in [false, true] {
            let store = memory();
            let world = World::with_coins(store.clone(), 5_000).await;
            let mut follower = world.ledger.follow();
            let sound = u64::from(events.len() > 1);
            let head = store.head().await.expect("is read");
            store.append(head, &events).await.expect("is appended");
            let case = format!("{name}, behind a query: {behind_a_query}");
            if behind_a_query {
                world.query(|_, _| ()).await.expect(&case);
            }
            let refused = world.execute(rose()).await;
            assert!(matches!(refused, Err(ExecuteError::Stopped(_))), "{case}: {refused:?}");
            assert!(matches!(world.ledger.status(), Status::Stopped(_)), "{case}");
            // Reads go on, at the last unit that is sound, and so do the followers of it.
            let next = head.expect("is not empty") + 1 + sound;
            let seen = world.query(|state, _| state.clone()).await.expect(&case);
            assert_eq!(seen.next_revision(), next, "{case}");
            assert_balanced(&seen, next);
            assert_eq!(world.ledger.durable_revision(), next - 1, "{case}");
            if sound > 0 {
                let unit = soon(follower.next()).await.expect("is read").expect("is there");
                assert_eq!(unit.last_revision() + 1, next, "{case}");
            }
            // It does not spin, and it ends.
            let again = world.execute(rose()).await;
            assert!(matches!(again, Err(ExecuteError::Stopped(_))), "{case}: {again:?}");
            world.close().await;
        }
    }
}
