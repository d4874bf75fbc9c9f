//! Increments: when they begin and what they cost.

use crate::world::*;
use ledger_core::calls::total_milli;
use ledger_core::*;

#[test]
fn six_increments_of_ten_seconds_cost_a_minute_to_the_thousandth() {
    let mut world = World::in_call(100_000);
    #[rustfmt::skip]
    let minute = [
        (10, "tick 2: 1667 of 3333; split 1000/0/667"),
        (20, "tick 3: 1667 of 5000; split 1000/0/667"),
        (30, "tick 4: 1666 of 6666; split 1000/0/666"),
        (40, "tick 5: 1667 of 8333; split 1000/0/667"),
        (50, "tick 6: 1667 of 10000; split 1000/0/667"),
        (60, "tick 7: 1666 of 11666; split 1000/0/666"),
    ];
    for (number, (seconds, expected)) in (2..).zip(minute) {
        world.at(seconds).check(tick(number), expected);
    }
    world.wallet(HOST, [0, 0, 0, 7_000, 7_000]);
}

#[test]
fn an_increment_begins_when_those_before_it_have_run() {
    World::in_call(100_000)
        .at_ms(9_999)
        .refuse(tick(2), Rejection::TickNotDue { due: START.plus_ms(10_000) })
        .at_ms(10_000)
        .refuse(tick(1), Rejection::TickOutOfOrder { next: 2 })
        .refuse(tick(3), Rejection::TickOutOfOrder { next: 2 })
        .refuse(tick(0), Rejection::TickOutOfOrder { next: 2 })
        .refuse(tick(u32::MAX), Rejection::TickOutOfOrder { next: 2 })
        .check(tick(2), "tick 2: 1667 of 3333; split 1000/0/667")
        .refuse(tick(2), Rejection::TickOutOfOrder { next: 3 });
}

#[test]
fn a_tick_that_is_a_little_late_moves_nothing() {
    World::in_call(100_000)
        .at_ms(10_750)
        .given(tick(2))
        .at_ms(19_999)
        .refuse(tick(3), Rejection::TickNotDue { due: START.plus_ms(20_000) })
        .at_ms(29_999)
        .given(tick(3))
        .at(30)
        .check(tick(4), "tick 4: 1666 of 6666; split 1000/0/666");
}

#[test]
fn a_tick_late_by_an_increment_does_not_bill_the_time_that_nobody_watched() {
    World::in_call(100_000)
        .at(20)
        .check(tick(2), "tick 2: 1667 of 3333; split 1000/0/667")
        .refuse(tick(3), Rejection::TickNotDue { due: START.plus_ms(30_000) })
        .at(500)
        .check(tick(3), "tick 3: 1667 of 5000; split 1000/0/667")
        .refuse(tick(4), Rejection::TickNotDue { due: START.plus_ms(510_000) });
}

#[test]
fn connected_time_ends_with_the_last_increment_that_began() {
    World::in_call(100_000).at(25).check(hang_up(USER), "ended HungUp after 10000 ms, 1 ticks, 1666");
    World::in_call(100_000).at(25).check(pause(), "paused at 10000 ms (Disconnected)");
}

#[test]
fn free_seconds_come_first_and_cost_nothing() {
    let mut world = World::with_coins(10_000);
    world.policy.free_seconds = 25;
    world
        .check(start(), "started at 10000 (6000/0); tick 1: 0 of 0")
        .at(10)
        .check(tick(2), "tick 2: 0 of 0")
        .at(20)
        .check(tick(3), "tick 3: 833 of 833; split 500/0/333")
        .at(30)
        .check(tick(4), "tick 4: 1667 of 2500; split 1000/0/667");
}

#[test]
fn a_call_may_begin_without_coins_in_its_free_seconds() {
    let mut world = World::new();
    world.policy.free_seconds = 10;
    world
        .check(start(), "started at 10000 (6000/0); tick 1: 0 of 0")
        .at(10)
        .check(tick(2), "ended Exhausted after 10000 ms, 1 ticks, 0");
}

#[test]
fn terms_are_those_of_the_start() {
    let mut world = World::in_call(100_000);
    world.policy.increment_seconds = 1;
    world.policy.free_seconds = 1_000;
    world.policy.grace_seconds = 1;
    world.policy.earnings_hold_seconds = 1_000;
    world
        .at(1)
        .refuse(tick(2), Rejection::TickNotDue { due: START.plus_ms(10_000) })
        .at(10)
        .check(tick(2), "tick 2: 1667 of 3333; split 1000/0/667")
        .wallet(HOST, [0, 0, 0, 2_000, 2_000])
        .given(pause())
        .at(20)
        .check(resume(), "resumed");
}

#[test]
fn a_price_too_small_for_an_increment_adds_up_all_the_same() {
    let mut world = World::with_coins(10_000);
    world
        .given(host_rate(HOST, Some(1)))
        .check(start_as(CALL, USER, HOST, 1), "started at 1 (6000/0); tick 1: 0 of 0");
    for number in 2..=5 {
        world.at(i64::from(number - 1) * 10).check(tick(number), &format!("tick {number}: 0 of 0"));
    }
    world.at(50).check(tick(6), "tick 6: 1 of 1; split 1/0/0");
}

#[test]
fn the_largest_prices_end_a_call_rather_than_overflow() {
    let mut world = World::new();
    world.given(host_rate(HOST, Some(MAX_AMOUNT))).given(grant(USER, MAX_AMOUNT, None));
    world.policy.increment_seconds = 60;
    let most = MAX_AMOUNT;
    let (host, platform) = (most - most * 2 / 5, most * 2 / 5);
    world
        .check(
            start_as(CALL, USER, HOST, most),
            &format!("started at {most} (6000/0); tick 1: {most} of {most}; split {host}/0/{platform}"),
        )
        .at(60)
        .check(tick(2), &format!("ended Exhausted after 60000 ms, 1 ticks, {most}"));
    let mut world = World::new();
    world.given(host_rate(HOST, Some(MAX_AMOUNT)));
    world.policy.increment_seconds = 86_400;
    world.refuse(
        start_as(CALL, USER, HOST, MAX_AMOUNT),
        Rejection::AmountTooLarge { field: "price_milli_per_minute" },
    );
}

#[test]
fn a_host_who_can_hold_no_more_ends_the_call() {
    World::with_coins(100_000)
        .given(adjust(Account::HostEarnings(HOST), MAX_AMOUNT - 1_500))
        .check(start(), "started at 10000 (6000/0); tick 1: 1666 of 1666; split 1000/0/666")
        .at(10)
        .check(tick(2), "ended Exhausted after 10000 ms, 1 ticks, 1666");
}

#[test]
fn one_formula_gives_the_total() {
    for (price, increment, free, ticks, expected) in [
        (10_000, 10, 0, 0, Some(0)),
        (10_000, 10, 0, 1, Some(1_666)),
        (10_000, 10, 0, 360, Some(600_000)),
        (10_000, 60, 61, 1, Some(0)),
        (10_000, 60, 61, 2, Some(9_833)),
        (MAX_AMOUNT, 60, 0, 1, Some(MAX_AMOUNT)),
        (MAX_AMOUNT, 61, 0, 1, None),
        (i64::MAX, u32::MAX, 0, u32::MAX, None),
        (0, u32::MAX, 0, u32::MAX, Some(0)),
        (-1, 10, 0, 1, None),
    ] {
        assert_eq!(
            total_milli(price, increment, free, ticks),
            expected,
            "{price} {increment} {free} {ticks}"
        );
    }
}

#[test]
fn a_call_says_what_it_needs_next() {
    let due = |world: &World| world.state.call(CALL).expect("a call").next_due(CALL);
    let second = Command::from(command::TickCall { call: CALL, number: 2, last_seen: None });
    let mut world = World::in_call(100_000);
    assert_eq!(due(&world), Some((START.plus_ms(10_000), second.clone())));
    world.at(4).given(pause());
    assert_eq!(due(&world), Some((START.plus_ms(34_000), end(Ending::Lost))));
    world.at(10).given(resume());
    assert_eq!(due(&world), Some((START.plus_ms(16_000), second)));
    world.given(hang_up(USER));
    assert_eq!(due(&world), None);
}
