//! Calls: who may start one, how it ends, what interrupts it.

use crate::world::*;
use ledger_core::command::EndCall;
use ledger_core::*;

#[test]
fn a_call_is_charged_from_its_start_and_ended_by_either_side() {
    for side in [USER, HOST] {
        World::with_coins(100_000)
            .check(start(), "started at 10000 (6000/0); tick 1: 1666 of 1666; split 1000/0/666")
            .at(4)
            .check(hang_up(side), "ended HungUp after 4000 ms, 1 ticks, 1666")
            .wallet(USER, [98_334, 0, 98_334, 0, 0])
            .wallet(HOST, [0, 0, 0, 1_000, 1_000]);
    }
}

#[test]
fn strangers_do_not_end_a_call_and_admins_do() {
    World::in_call(100_000)
        .refuse(hang_up(OTHER), Rejection::NotInCall)
        .refuse(hang_up(ADMIN), Rejection::NotInCall)
        .check(end(Ending::Admin(ADMIN)), "ended Stopped after 0 ms, 1 ticks, 1666");
}

#[test]
fn after_its_end_nothing_happens_in_a_call() {
    let mut world = World::in_call(100_000);
    world.given(hang_up(USER)).at(10);
    for command in
        [tick(2), pause(), outage(), resume(), hang_up(USER), end(Ending::Lost), end(Ending::Admin(ADMIN))]
    {
        world.refuse(command, Rejection::CallEnded);
    }
    world.refuse(start(), Rejection::CallKnown);
}

#[test]
fn before_its_start_nothing_happens_in_a_call() {
    let mut world = World::with_coins(100_000);
    for command in [tick(1), pause(), outage(), resume(), hang_up(USER), end(Ending::Lost)] {
        world.refuse(command, Rejection::UnknownCall);
    }
}

#[test]
fn nobody_is_in_two_calls_at_once_on_either_side() {
    let other = |payer, host| start_as(OTHER_CALL, payer, host, 10_000);
    let mut world = World::in_call(100_000);
    world
        .given(host_rate(USER, Some(10_000)))
        .given(grant(OTHER, 50_000, None))
        .given(grant(HOST, 50_000, None))
        .refuse(other(USER, OTHER_HOST), Rejection::PayerBusy)
        .refuse(other(OTHER, HOST), Rejection::HostBusy)
        .refuse(other(HOST, OTHER_HOST), Rejection::PayerBusy)
        .refuse(other(OTHER, USER), Rejection::HostBusy)
        .refuse(other(USER, HOST), Rejection::PayerBusy)
        .given(pause())
        .refuse(other(OTHER, HOST), Rejection::HostBusy)
        .given(hang_up(USER))
        .given(other(OTHER, HOST));
    assert_eq!(world.state.engaged(HOST), Some(OTHER_CALL));
    assert_eq!(world.state.engaged(USER), None);
    assert_eq!(world.state.active_calls().len(), 1);
}

#[test]
fn a_call_costs_what_the_payer_saw_or_does_not_start() {
    World::with_coins(100_000)
        .given(host_rate(HOST, Some(12_000)))
        .refuse(start(), Rejection::CallPriceChanged { price_milli_per_minute: 12_000 })
        .check(
            start_as(CALL, USER, HOST, 12_000),
            "started at 12000 (6000/0); tick 1: 2000 of 2000; split 1200/0/800",
        )
        // The price of its start is the price of the call.
        .given(host_rate(HOST, Some(60_000)))
        .at(10)
        .check(tick(2), "tick 2: 2000 of 4000; split 1200/0/800")
        .given(host_rate(HOST, None))
        .at(20)
        .check(tick(3), "tick 3: 2000 of 6000; split 1200/0/800");
}

#[test]
fn a_call_whose_first_increment_cannot_be_paid_does_not_start() {
    World::with_coins(1_665)
        .refuse(start(), Rejection::InsufficientFunds { needed_milli: 1_666, spendable_milli: 1_665 });
    World::with_coins(1_666).given(start());
}

#[test]
fn earnings_do_not_pay_a_call() {
    World::with_earnings(100_000).refuse(
        start_as(CALL, HOST, OTHER_HOST, 10_000),
        Rejection::EarningsNotSpendable { needed_milli: 1_666, spendable_milli: 0 },
    );
}

#[test]
fn a_call_that_cannot_be_paid_any_more_ends_as_exhausted() {
    World::in_call(3_400)
        .at(10)
        .check(tick(2), "tick 2: 1667 of 3333; split 1000/0/667")
        .at(20)
        .check(tick(3), "ended Exhausted after 20000 ms, 2 ticks, 3333")
        .wallet(USER, [67, 0, 67, 0, 0])
        .refuse(tick(3), Rejection::CallEnded);
}

#[test]
fn bonus_that_expires_in_a_call_does_not_pay_its_next_increment() {
    let mut world = World::new();
    world.bonus(50_000, Some(15));
    world
        .given(start())
        .at(10)
        .check(tick(2), "tick 2: 1667 of 3333; split 1000/0/667")
        .at(20)
        .check(tick(3), "ended Exhausted after 20000 ms, 2 ticks, 3333");
}

#[test]
fn coins_that_are_bought_in_a_call_pay_it() {
    let mut world = World::in_call(1_700);
    world.buy(USER);
    world.at(10).check(tick(2), "tick 2: 1667 (34+1633) of 3333; split 1000/0/667");
}

#[test]
fn while_a_side_is_away_no_increment_begins() {
    World::in_call(100_000)
        .at(7)
        .check(pause(), "paused at 7000 ms (Disconnected)")
        .refuse(pause(), Rejection::CallNotRunning)
        .at(10)
        .refuse(tick(2), Rejection::CallNotRunning)
        .refuse(end(Ending::Lost), Rejection::GraceNotOver { lost_at: START.plus_ms(37_000) })
        .at(20)
        .check(resume(), "resumed")
        .refuse(resume(), Rejection::CallNotPaused)
        .refuse(tick(2), Rejection::TickNotDue { due: START.plus_ms(23_000) })
        .at(23)
        .check(tick(2), "tick 2: 1667 of 3333; split 1000/0/667")
        .at(33)
        .check(tick(3), "tick 3: 1667 of 5000; split 1000/0/667")
        .at(36)
        .check(hang_up(HOST), "ended HungUp after 23000 ms, 3 ticks, 5000");
}

#[test]
fn apart_for_longer_than_the_grace_is_lost() {
    World::in_call(100_000)
        .refuse(end(Ending::Lost), Rejection::CallNotPaused)
        .at(3)
        .given(pause())
        .at_ms(32_999)
        .refuse(end(Ending::Lost), Rejection::GraceNotOver { lost_at: START.plus_ms(33_000) })
        .at(33)
        .check(end(Ending::Lost), "ended Lost after 3000 ms, 1 ticks, 1666");
}

#[test]
fn who_comes_back_after_the_grace_finds_the_call_lost() {
    let mut world = World::in_call(100_000);
    world.at(3).given(pause());
    world.clone().at_ms(32_999).check(resume(), "resumed");
    world.at(33).check(resume(), "ended Lost after 3000 ms, 1 ticks, 1666");
}

#[test]
fn a_paused_call_can_be_hung_up() {
    World::in_call(100_000)
        .at(3)
        .given(pause())
        .at(5)
        .check(hang_up(USER), "ended HungUp after 3000 ms, 1 ticks, 1666");
}

#[test]
fn after_an_outage_the_call_goes_on_from_the_last_moment_at_which_both_are_known_to_have_been_there() {
    World::in_call(100_000)
        .at(10)
        .given(tick(2))
        // The server stops at 13 s and is back at 90 s. Both sides were last known to be there at 10 s, so
        // all of the second increment is still to be had.
        .at(90)
        .check(outage(), "paused at 10000 ms (Outage)")
        .at_ms(119_999)
        .check(resume(), "resumed")
        .refuse(tick(3), Rejection::TickNotDue { due: START.plus_ms(129_999) })
        .at_ms(129_999)
        .check(tick(3), "tick 3: 1667 of 5000; split 1000/0/667");
}

#[test]
fn an_outage_gives_a_fresh_grace_to_a_paused_call_too() {
    World::in_call(100_000)
        .at(7)
        .given(pause())
        .at(90)
        .check(outage(), "paused at 7000 ms (Outage)")
        .at(119)
        .refuse(end(Ending::Lost), Rejection::GraceNotOver { lost_at: START.plus_ms(120_000) })
        .check(resume(), "resumed")
        .refuse(tick(2), Rejection::TickNotDue { due: START.plus_ms(122_000) });
}

#[test]
fn a_call_that_nobody_comes_back_to_after_an_outage_is_lost() {
    World::in_call(100_000)
        .at(90)
        .given(outage())
        .at(120)
        .check(end(Ending::Lost), "ended Lost after 0 ms, 1 ticks, 1666");
}

#[test]
fn terms_that_cannot_meter_a_call_are_refused() {
    let mut world = World::with_coins(100_000);
    type Setting = (&'static str, fn(&mut Policy, u32), u32);
    let settings: [Setting; 3] = [
        ("increment_seconds", |policy, seconds| policy.increment_seconds = seconds, 1),
        ("free_seconds", |policy, seconds| policy.free_seconds = seconds, 0),
        ("grace_seconds", |policy, seconds| policy.grace_seconds = seconds, 0),
    ];
    for (field, set, least) in settings {
        let mut bad = vec![86_401, u32::MAX];
        bad.extend(least.checked_sub(1));
        for seconds in bad {
            set(&mut world.policy, seconds);
            world.refuse(start(), Rejection::TermsInvalid { field });
        }
        world.policy = Policy::default();
    }
    world.policy.grace_seconds = 0;
    world.given(start()).at(1).given(pause()).check(resume(), "ended Lost after 1000 ms, 1 ticks, 1666");
}

#[test]
fn an_ended_call_leaves_a_day_later_when_another_one_starts() {
    let mut world = World::in_call(1_000_000);
    world.check(hang_up(USER), "ended HungUp after 0 ms, 1 ticks, 1666");
    let mut number = 0x6000;
    let mut another = |world: &mut World| {
        number += 1;
        let call = CallId(uuid::Uuid::from_u128(number));
        world.given(start_as(call, OTHER, OTHER_HOST, 10_000));
        world.given(EndCall { call, by: Ending::Participant(OTHER) }.into());
    };
    world.given(adjust(Account::UserPurchased(OTHER), 1_000_000)).at_ms(DAY_MS);
    another(&mut world);
    world.refuse(hang_up(USER), Rejection::CallEnded).at_ms(DAY_MS + 1);
    assert!(world.state.call(CALL).is_some(), "only the next start makes room");
    another(&mut world);
    assert!(world.state.call(CALL).is_none());
    world.refuse(hang_up(USER), Rejection::UnknownCall);
}

#[test]
fn what_calls_leave_in_the_state_is_what_a_day_makes() {
    let mut world = World::with_coins(1_000_000);
    world.policy.free_seconds = 60;
    let mut most = 0;
    for day in 0..20_u32 {
        for number in 0..5_u32 {
            world.at_ms(i64::from(day) * DAY_MS + i64::from(number) * HOUR_MS);
            let call = CallId(uuid::Uuid::from_u128(u128::from(0x7000 + day * 10 + number)));
            let payer = PersonId(uuid::Uuid::from_u128(u128::from(0x8000 + day * 10 + number)));
            world.given(start_as(call, payer, HOST, 10_000));
            world.given(EndCall { call, by: Ending::Participant(payer) }.into());
        }
        let rows = world.state.rows();
        let of = |table: &str| rows.iter().find(|(name, _)| *name == table).expect("a table").1;
        most = most.max(of("calls") + of("ended_calls") + of("free_used") + of("engaged"));
    }
    // Two days of calls, each with its end and its free seconds.
    assert!(most <= 30, "{most} rows");
}
