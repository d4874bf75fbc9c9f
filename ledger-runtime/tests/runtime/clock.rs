//! A wall clock that leaps.

use crate::world::*;
use event_store::EventStore;
use ledger_core::command::SetGiftPrice;
use ledger_core::*;
use ledger_runtime::{Clock, ExecuteError, Leap, Ledger, OpenError, Opening, Receipt, Status};
use std::sync::Arc;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Sets both clocks, in milliseconds since the start.
fn set(world: &World, wall_ms: i64, running_ms: i64) {
    world.running.as_ref().expect("it leaps").send_replace(START.plus_ms(running_ms));
    world.hand.send_replace(START.plus_ms(wall_ms));
}

async fn leaping() -> World {
    let world = World::open_leaping(memory(), START).await;
    world.given(Command::from(SetGiftPrice { gift: ROSE, price_milli: Some(ROSE_MILLI) })).await;
    world.given(coins(USER, 100 * ROSE_MILLI)).await;
    world
}

async fn last_at(world: &World) -> i64 {
    let last = journal(world.ledger.store().as_ref()).await.pop().expect("is not empty");
    last.metadata.recorded_at.since(START)
}

#[tokio::test]
async fn a_clock_that_leaps_ahead_is_not_followed_and_commands_wait_until_it_is_back() {
    let world = leaping().await;
    let earlier = rose();
    let receipt = world.execute(earlier.clone()).await.expect("is accepted");
    let head = world.ledger.durable_revision();
    set(&world, 2 * DAY_MS, 1_000);
    let leap = Leap::Ahead { ahead_ms: 2 * DAY_MS - 1_000 };
    let refused = rose();
    assert_eq!(world.execute(refused.clone()).await, Err(ExecuteError::ClockLeap(leap)));
    assert_eq!(world.ledger.status(), Status::ClockLeap(leap));
    // A key that the false time makes too old is not said to have expired.
    assert_eq!(world.execute(rose_of(OTHER)).await, Err(ExecuteError::ClockLeap(leap)));
    assert_eq!(world.execute(earlier).await, Ok(Receipt { duplicate: true, recorded: false, ..receipt }));
    let at = world.query(|_, at| at.since(START)).await;
    assert_eq!(at, Ok(1_000), "reads go by the time that has passed");
    assert_eq!(world.ledger.durable_revision(), head);

    set(&world, 2_000, 2_000);
    world.execute(refused).await.expect("is accepted under the key that was refused");
    assert_eq!(last_at(&world).await, 2_000);
    assert_eq!(world.ledger.status(), Status::Running);
    world.assert_sound().await;
}

#[tokio::test]
async fn the_end_of_a_leap_is_seen_without_a_command() {
    let world = leaping().await;
    set(&world, DAY_MS, 0);
    assert!(world.execute(rose()).await.is_err());
    set(&world, 0, 0);
    world.until_status(|status| *status == Status::Running).await;
}

#[tokio::test]
async fn a_leap_within_the_bound_is_followed_and_time_that_passes_is_no_leap() {
    let world = leaping().await;
    set(&world, 5 * MINUTE_MS, 0);
    world.execute(rose()).await.expect("is accepted");
    assert_eq!(last_at(&world).await, 5 * MINUTE_MS);
    set(&world, 5 * MINUTE_MS + 1, 0);
    let refused = world.execute(rose()).await;
    assert!(matches!(refused, Err(ExecuteError::ClockLeap(_))), "{refused:?}");
    // A month in which nobody asked anything.
    set(&world, 30 * DAY_MS, 30 * DAY_MS);
    let sent = Envelope { key: key(START.plus_ms(30 * DAY_MS), 1), ..rose() };
    world.execute(sent).await.expect("is accepted");
    assert_eq!(last_at(&world).await, 30 * DAY_MS);
}

#[tokio::test]
async fn small_leaps_do_not_add_up_within_a_day() {
    let world = leaping().await;
    set(&world, 4 * MINUTE_MS, 0);
    world.execute(rose()).await.expect("is accepted");
    set(&world, 8 * MINUTE_MS, 0);
    let refused = world.execute(rose()).await;
    assert!(matches!(refused, Err(ExecuteError::ClockLeap(_))), "{refused:?}");
    // A day later the first is forgiven, and the second is one within the bound.
    set(&world, DAY_MS + 4 * MINUTE_MS + 1, DAY_MS + 1);
    let sent = |number| Envelope { key: key(START.plus_ms(DAY_MS), number), ..rose() };
    world.execute(sent(1)).await.expect("is accepted");
    set(&world, DAY_MS + 8 * MINUTE_MS, DAY_MS + 1);
    world.execute(sent(2)).await.expect("is accepted");
}

#[tokio::test]
async fn time_stands_still_for_a_small_step_back_and_a_large_one_is_told() {
    let world = leaping().await;
    set(&world, 10 * MINUTE_MS, 10 * MINUTE_MS);
    world.execute(rose()).await.expect("is accepted");
    set(&world, 5 * MINUTE_MS, 10 * MINUTE_MS);
    world.execute(rose()).await.expect("is accepted");
    assert_eq!(last_at(&world).await, 10 * MINUTE_MS, "time stood still");
    set(&world, 5 * MINUTE_MS - 1, 10 * MINUTE_MS);
    let leap = Leap::Behind { behind_ms: 5 * MINUTE_MS + 1 };
    assert_eq!(world.execute(rose()).await, Err(ExecuteError::ClockLeap(leap)));
    set(&world, 11 * MINUTE_MS, 11 * MINUTE_MS);
    world.execute(rose()).await.expect("is accepted");
    assert_eq!(last_at(&world).await, 11 * MINUTE_MS);
}

async fn open_at(store: Arc<dyn EventStore>, ms: i64, confirmed: bool) -> Result<(), OpenError> {
    let (_hand, clock) = Clock::manual(START.plus_ms(ms));
    let opening = Opening { new_journal: JOURNAL, clock_is_confirmed: confirmed, snapshots: None };
    let (ledger, task) = Ledger::open_with(store, clock, opening, |_, _| {}).await?;
    drop(ledger);
    soon(task).await.expect("ends");
    Ok(())
}

#[tokio::test]
async fn a_start_long_after_the_last_event_has_to_be_confirmed() {
    let store = memory();
    World::with_coins(store.clone(), 1_000).await.close().await;
    let head = store.head().await.expect("is read");
    open_at(store.clone(), 7 * DAY_MS, false).await.expect("a week without an event happens");
    let gap = open_at(store.clone(), 7 * DAY_MS + 1, false).await;
    assert!(matches!(gap, Err(OpenError::ClockGap { .. })), "{gap:?}");
    open_at(store.clone(), 400 * DAY_MS, true).await.expect("somebody vouches for it");
    // Behind the last event there is nothing to confirm: the clock is wrong.
    open_at(store.clone(), -5 * MINUTE_MS, false).await.expect("time stands still for a while");
    for confirmed in [false, true] {
        let behind = open_at(store.clone(), -5 * MINUTE_MS - 1, confirmed).await;
        assert!(matches!(behind, Err(OpenError::ClockBehind { .. })), "{behind:?}");
    }
    assert_eq!(store.head().await.expect("is read"), head, "nothing was recorded");
}
