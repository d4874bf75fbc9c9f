//! Nobody pays for what was not seen: increments that began after the last sign of life are given back.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::event::CommissionScope;
use ledger_core::*;

/// A call in increments of so many seconds, at ten coins a minute.
fn call_of(increment_seconds: u32, coins_milli: i64) -> World {
    let mut world = World::with_coins(coins_milli);
    world.policy.increment_seconds = increment_seconds;
    world.given(start());
    world
}

#[test]
fn a_side_that_goes_without_a_word_pays_until_it_was_last_seen() {
    let mut world = call_of(1, 100_000);
    for number in 2..=5 {
        world.at(i64::from(number - 1)).given(tick(number));
    }
    // From here on nobody hears of the host; the loss is noticed ten seconds later.
    for number in 6..=14 {
        world.at(i64::from(number - 1)).given(tick_seen(number, 4));
    }
    world
        .wallet(USER, [97_667, 0, 97_667, 0, 0])
        .check(lost_since(4), "paused at 4000 ms (Disconnected); 6..14 returned: 1500 of 833, 900/0/600 back")
        .wallet(USER, [99_167, 0, 99_167, 0, 0])
        .wallet(HOST, [0, 0, 0, 500, 500])
        .stands("platform:revenue", Asset::COIN, -333)
        // The rest of the fifth increment is used after the resume, and the sixth is charged once.
        .at(20)
        .given(resume())
        .refuse(tick(6), Rejection::TickNotDue { due: START.plus_ms(21_000) })
        .at(21)
        .check(tick(6), "tick 6: 167 of 1000; split 100/0/67");
}

#[test]
fn what_was_given_back_is_not_given_back_again() {
    let mut world = call_of(1, 100_000);
    for number in 2..=4 {
        world.at(i64::from(number - 1)).given(tick_seen(number, 1));
    }
    world
        .check(lost_since(1), "paused at 1000 ms (Disconnected); 3..4 returned: 333 of 333, 200/0/133 back")
        .wallet(USER, [99_667, 0, 99_667, 0, 0])
        // The loss is told again, and then the server was gone too: nothing is left to give back.
        .refuse(lost_since(1), Rejection::CallNotRunning)
        .check(outage(), "paused at 1000 ms (Outage)")
        .check(outage(), "paused at 1000 ms (Outage)")
        .at(10)
        .given(resume())
        // The third increment begins once more, and is lost once more.
        .at(11)
        .given(tick_seen(3, 10))
        .check(lost_since(10), "paused at 1000 ms (Disconnected); 3..3 returned: 167 of 333, 100/0/67 back")
        .check(outage(), "paused at 1000 ms (Outage)")
        .wallet(USER, [99_667, 0, 99_667, 0, 0])
        .wallet(HOST, [0, 0, 0, 200, 200]);
}

#[test]
fn three_crashes_cost_one_increment() {
    let mut world = call_of(10, 100_000);
    for crash in 0..3 {
        // Two seconds of call, a crash, eight seconds until everybody is back.
        let begun = crash * 10;
        world
            .at(begun + 8)
            .check(outage(), "paused at 0 ms (Outage)")
            .at(begun + 10)
            .check(resume(), "resumed")
            .refuse(tick(2), Rejection::TickNotDue { due: START.plus_ms((begun + 20) * 1_000) });
    }
    world
        .check(hang_up(USER), "ended HungUp after 0 ms, 1 ticks, 1666")
        .wallet(USER, [98_334, 0, 98_334, 0, 0]);
}

#[test]
fn a_crash_in_the_first_second_bills_no_second_increment() {
    call_of(30, 100_000)
        .at(5)
        .check(outage(), "paused at 0 ms (Outage)")
        .at(6)
        .given(resume())
        .at(35)
        .refuse(tick(2), Rejection::TickNotDue { due: START.plus_ms(36_000) });
}

#[test]
fn a_crash_gives_back_what_began_after_the_last_recorded_sign_of_life() {
    let mut world = call_of(1, 100_000);
    world.at(1).given(tick(2)).at(2).given(tick_seen(3, 1)).at(3).given(tick_seen(4, 1));
    world
        .at(60)
        .check(outage(), "paused at 1000 ms (Outage); 3..4 returned: 333 of 333, 200/0/133 back")
        .wallet(USER, [99_667, 0, 99_667, 0, 0]);
}

#[test]
fn who_hangs_up_keeps_the_increment_that_has_begun() {
    let mut world = call_of(10, 100_000);
    world
        .at(10)
        .given(tick_seen(2, 9))
        .at(11)
        .check(hang_up(USER), "ended HungUp after 11000 ms, 2 ticks, 3333")
        .wallet(USER, [96_667, 0, 96_667, 0, 0]);
}

#[test]
fn a_call_that_nobody_has_seen_for_half_a_minute_is_paused_instead_of_charged() {
    let mut world = call_of(10, 100_000);
    world
        .at(10)
        .given(tick_seen(2, 0))
        .at(20)
        .given(tick_seen(3, 0))
        .at(30)
        .check(
            tick_seen(4, 0),
            "paused at 0 ms (Disconnected); 2..3 returned: 3334 of 1666, 2000/0/1334 back",
        )
        .wallet(USER, [98_334, 0, 98_334, 0, 0]);
}

#[test]
fn coins_go_back_to_the_lots_they_came_from_with_their_expiry() {
    let mut world = World::new();
    world.policy.increment_seconds = 1;
    let bonus = world.bonus(400, Some(600));
    world.buy(USER);
    world
        .given(start())
        .at(1)
        .given(tick_seen(2, 0))
        .at(2)
        .given(tick_seen(3, 0))
        .at(3)
        .given(tick_seen(4, 0));
    let bought = world.state.wallet(USER, world.now).purchased_milli;
    assert_eq!(world.state.lot(bonus), None, "the bonus is spent");
    world.given(lost_since(0));
    let lot = world.state.lot(bonus).expect("the lot is there again");
    assert_eq!((lot.remaining_milli, lot.expires_at()), (400 - 166, Some(START.plus_ms(600_000))));
    let wallet = world.state.wallet(USER, world.now);
    assert_eq!(wallet.purchased_milli, bought + 666 - 400);
}

#[test]
fn what_was_withdrawn_meanwhile_the_platform_bears() {
    let mut world = call_of(1, 100_000);
    world.given(Command::from(JoinAgency { host: OTHER_HOST, agency: AGENCY, from: None, until: None }));
    for number in 2..=11 {
        world.at(i64::from(number - 1)).given(tick_seen(number, 0));
    }
    world.policy.minimum_withdrawal_milli = 1;
    world
        .wallet(HOST, [0, 0, 0, 1_100, 1_100])
        .given(withdraw(HOST, 1_050))
        .check(lost_since(0), "paused at 0 ms (Disconnected); 2..11 returned: 1667 of 166, 50/0/1617 back")
        .wallet(USER, [99_834, 0, 99_834, 0, 0])
        .wallet(HOST, [0, 0, 0, 0, 0]);
}

#[test]
fn the_agency_gives_back_its_share_too() {
    let mut world = World::with_coins(100_000);
    world
        .given(Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }))
        .given(commission(CommissionScope::Agency(AGENCY), 5_000, 1_000));
    world.policy.increment_seconds = 6;
    world
        .given(start())
        .at(6)
        .given(tick_seen(2, 0))
        .check(lost_since(0), "paused at 0 ms (Disconnected); 2..2 returned: 1000 of 1000, 500/100/400 back")
        .stands(&Account::AgencyEarnings(AGENCY).to_string(), Asset::COIN, -100);
}

#[test]
fn earnings_that_wait_are_given_back_out_of_what_waits() {
    let mut world = World::with_coins(100_000);
    world.policy.increment_seconds = 6;
    world.policy.earnings_hold_seconds = 3_600;
    world.given(start()).at(6).given(tick_seen(2, 0)).given(lost_since(0)).wallet(HOST, [0, 0, 0, 600, 0]);
    world.at(3 * 3_600).wallet(HOST, [0, 0, 0, 600, 600]);
}

#[test]
fn an_agency_gives_back_out_of_what_waits_too() {
    let mut world = World::with_coins(100_000);
    world.policy.increment_seconds = 6;
    world
        .given(Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }))
        .given(commission(CommissionScope::Agency(AGENCY), 5_000, 1_000));
    // Earned before there was a hold: free to be withdrawn.
    world.given(rose());
    let free = |world: &World| world.state.withdrawable(Account::AgencyEarnings(AGENCY), world.now);
    let earned = free(&world);
    world.policy.earnings_hold_seconds = 3_600;
    world.given(start()).at(6).given(tick_seen(2, 0));
    assert_eq!(free(&world), earned);
    world.given(lost_since(0));
    assert_eq!(free(&world), earned, "what waited was given back, not what was free");
}

#[test]
fn what_a_call_gives_back_does_not_release_what_was_earned_under_a_longer_hold() {
    let mut world = World::with_coins(100_000);
    world.policy.increment_seconds = 6;
    world.given(start());
    world.policy.earnings_hold_seconds = 3_600;
    world
        .given(rose())
        .at(6)
        .given(tick_seen(2, 0))
        .wallet(HOST, [0, 0, 0, 4_200, 1_200])
        .given(lost_since(0))
        .wallet(HOST, [0, 0, 0, 3_600, 600]);
}

#[test]
fn a_grace_is_not_renewed_without_limit() {
    let mut world = call_of(10, 100_000);
    // Away for 29 of 30 seconds, back for one, again and again: five graces in all, then it is over.
    for round in 0..5 {
        world.at(round * 30).given(pause()).at(round * 30 + 29).check(resume(), "resumed");
    }
    world
        .at(150)
        .given(pause())
        .at(154)
        .refuse(end(Ending::Lost), Rejection::GraceNotOver { lost_at: START.plus_ms(155_000) });
    world.at(155).check(end(Ending::Lost), "ended Lost after 5000 ms, 1 ticks, 1666");
}

#[test]
fn free_seconds_are_given_once_per_pair_and_day() {
    let call = |number: u128| CallId(uuid::Uuid::from_u128(0xca11_0000 + number));
    let mut world = World::with_coins(1_000_000);
    world.policy.free_seconds = 30;
    let free = |world: &World| {
        world.last(|event| match event {
            Event::CallStarted(it) => Some(it.free_seconds),
            _ => None,
        })
    };
    let talk = |world: &mut World, number, host, begun: i64, seconds: i64| {
        world.at(begun).given(start_as(call(number), USER, host, 10_000));
        let given = free(world);
        world
            .at(begun + seconds)
            .given(Command::from(EndCall { call: call(number), by: Ending::Participant(USER) }));
        given
    };
    const DAY: i64 = 24 * 3_600;
    assert_eq!(talk(&mut world, 1, HOST, 0, 4), 30);
    assert_eq!(talk(&mut world, 2, HOST, 100, 4), 25, "what is left of the pair's day");
    assert_eq!(talk(&mut world, 3, OTHER_HOST, 200, 4), 30, "another host");
    assert_eq!(talk(&mut world, 4, HOST, DAY, 4), 30, "another day");
    assert_eq!(talk(&mut world, 5, HOST, DAY + 100, 4), 25);
}
