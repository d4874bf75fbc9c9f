//! What hosts and agencies earned by coins whose payment is lost, and what still waits for them.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::event::{ClawedShare, HeldShare};
use ledger_core::*;

const HOLD_SECONDS: u32 = 86_400;

/// [`USER`] has bought 100 coins for 100 rupees and gives a part of them to [`HOST`], whose earnings wait for a day.
fn after_gift_of(spent_milli: i64) -> (World, String) {
    let mut world = World::new();
    world.policy.earnings_hold_seconds = HOLD_SECONDS;
    world.policy.claw_back_held_earnings = true;
    let payment = payment_of(world.buy(USER));
    give(&mut world, HOST, spent_milli);
    (world, payment)
}

fn give(world: &mut World, host: PersonId, spent_milli: i64) {
    if world.state.gift_price(ROSE) != Some(spent_milli) {
        world.given(SetGiftPrice { gift: ROSE, price_milli: Some(spent_milli) }.into());
    }
    world.given(gift(USER, host, None, spent_milli));
}

fn earnings(person: PersonId) -> String {
    Account::HostEarnings(person).to_string()
}

fn clawed(world: &World) -> Vec<i64> {
    world.last(|event| match event {
        Event::DisputeLost(it) => Some(it.clawed.iter().map(|it: &ClawedShare| it.amount_milli).collect()),
        _ => None,
    })
}

#[test]
fn a_lost_dispute_takes_what_still_waits_and_paying_gives_it_back_in_proportion() {
    let (mut world, payment) = after_gift_of(100_000);
    world
        .stands(&earnings(HOST), Asset::COIN, -60_000)
        .check(
            dispute(&payment, "disp_1", lost(10_000)),
            "disputed 10000, 0 frozen; lost 10000 for 0+0, owes 100000, 60000 clawed back",
        )
        .stands(&earnings(HOST), Asset::COIN, 0)
        .stands("platform:losses", Asset::COIN, -60_000)
        .refuse(withdraw(HOST, 1_000), Rejection::InsufficientEarnings { available_milli: 0 });
    // The next purchase pays a hundred coins of what is owed: all of it.
    let purchase = world.order(USER);
    world
        .given(capture(Some(purchase), "pay_2", 10_000))
        .stands(&earnings(HOST), Asset::COIN, -60_000)
        .stands("platform:losses", Asset::COIN, 0)
        .wallet(USER, [0, 0, 0, 0, 0]);
    // It waits no longer.
    assert_eq!(world.state.withdrawable(Account::HostEarnings(HOST), world.now), 60_000);
}

/// Two thirds of what is owed are paid, and then the money comes back after all.
#[test]
fn what_was_taken_comes_back_in_parts_that_sum_to_it() {
    let (mut world, payment) = after_gift_of(100_000);
    world.given(dispute(&payment, "disp_1", lost(10_000)));
    world.given(plan(33_333, 0, None));
    let purchase = world.order(USER);
    world
        .given(capture(Some(purchase), "pay_2", 10_000))
        .stands(&earnings(HOST), Asset::COIN, -19_999)
        .stands("platform:losses", Asset::COIN, -40_001)
        .given(write_off("disp_1", 50_000))
        .stands("platform:losses", Asset::COIN, 9_999)
        .given(dispute(&payment, "disp_1", disputes::DisputeNews::Won))
        .stands(&earnings(HOST), Asset::COIN, -60_000)
        .stands("platform:losses", Asset::COIN, 0);
}

#[test]
fn what_waits_no_longer_is_the_hosts() {
    let (mut world, payment) = after_gift_of(40_000);
    world.at(i64::from(HOLD_SECONDS) * 2);
    give(&mut world, HOST, 60_000);
    world.given(dispute(&payment, "disp_1", lost(10_000)));
    assert_eq!(clawed(&world), [36_000]);
    world.stands(&earnings(HOST), Asset::COIN, -24_000);
    assert_eq!(world.state.withdrawable(Account::HostEarnings(HOST), world.now), 24_000);
}

/// Coins of other purchases cover what was spent of this one, so that the buyer owes less; no more is taken from hosts.
#[test]
fn no_more_is_taken_than_the_buyer_owes() {
    let (mut world, payment) = after_gift_of(100_000);
    world.given(adjust(Account::UserPurchased(USER), 70_000));
    world.given(dispute(&payment, "disp_1", lost(10_000)));
    assert_eq!(clawed(&world), [30_000]);
    world.disputed_and_earned(30_000, 30_000);
}

impl World {
    #[track_caller]
    fn disputed_and_earned(&mut self, owed_milli: i64, earned_milli: i64) {
        assert_eq!(self.state.owed(USER), owed_milli);
        self.stands(&earnings(HOST), Asset::COIN, -earned_milli);
    }
}

#[test]
fn only_what_was_earned_by_coins_of_the_disputed_purchase_is_taken() {
    let (mut world, payment) = after_gift_of(100_000);
    // Bonus coins and other bought coins that went to other hosts.
    world.given(grant(USER, 10_000, None));
    give(&mut world, OTHER_HOST, 10_000);
    let other = payment_of(world.buy(USER));
    give(&mut world, OTHER_HOST, 100_000);
    world.given(dispute(&payment, "disp_1", lost(10_000)));
    world
        .stands(&earnings(HOST), Asset::COIN, 0)
        .stands(&earnings(OTHER_HOST), Asset::COIN, -66_000)
        .given(dispute(&other, "disp_2", lost(10_000)))
        .stands(&earnings(OTHER_HOST), Asset::COIN, -6_000);
}

#[test]
fn an_account_that_was_corrected_is_never_overdrawn() {
    let (mut world, payment) = after_gift_of(100_000);
    world.given(adjust(Account::HostEarnings(HOST), -50_000));
    world.given(dispute(&payment, "disp_1", lost(10_000)));
    assert_eq!(clawed(&world), [10_000]);
    world.stands(&earnings(HOST), Asset::COIN, 0);
}

#[test]
fn shares_of_agencies_are_taken_too() {
    let mut world = World::new();
    world.policy.earnings_hold_seconds = HOLD_SECONDS;
    world.policy.claw_back_held_earnings = true;
    world.given(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }.into());
    world.given(commission(event::CommissionScope::Global, 5_000, 1_000));
    let payment = payment_of(world.buy(USER));
    give(&mut world, HOST, 100_000);
    let agency = Account::AgencyEarnings(AGENCY).to_string();
    world
        .stands(&agency, Asset::COIN, -10_000)
        .given(dispute(&payment, "disp_1", lost(10_000)))
        .stands(&agency, Asset::COIN, 0)
        .stands(&earnings(HOST), Asset::COIN, 0)
        .stands("platform:losses", Asset::COIN, -60_000);
}

/// Time that nobody was there for is given back, and is no longer the host's to lose.
#[test]
fn a_charge_that_was_given_back_is_not_taken_again() {
    let mut world = World::new();
    world.policy.earnings_hold_seconds = HOLD_SECONDS;
    world.policy.claw_back_held_earnings = true;
    let payment = payment_of(world.buy(USER));
    world.given(host_rate(HOST, Some(60_000))).given(start_as(CALL, USER, HOST, 60_000));
    world.at(10).given(tick_seen(2, 10)).at(20).given(tick_seen(3, 10)).at(30).given(lost_since(11));
    let earned_milli = -world.state.balance(Account::HostEarnings(HOST), Asset::COIN);
    let held_milli: i64 = {
        let lot = world.state.lots_of(Account::UserPurchased(USER)).next().expect("the lot").0;
        world.state.held_of(lot, world.now).map(|it| it.amount_milli).sum()
    };
    assert_eq!(held_milli, earned_milli);
    world.given(hang_up(USER)).given(dispute(&payment, "disp_1", lost(10_000)));
    assert_eq!(clawed(&world).iter().sum::<i64>(), earned_milli);
    world.stands(&earnings(HOST), Asset::COIN, 0);
}

#[test]
fn nothing_is_noted_without_the_policy_or_without_a_hold() {
    for (claws, hold_seconds) in [(false, HOLD_SECONDS), (true, 0), (false, 0)] {
        let mut world = World::new();
        world.policy.earnings_hold_seconds = hold_seconds;
        world.policy.claw_back_held_earnings = claws;
        let payment = payment_of(world.buy(USER));
        give(&mut world, HOST, 100_000);
        let held: Vec<HeldShare> = world.last(|event| match event {
            Event::CommissionSplit(it) => Some(it.held.clone()),
            _ => None,
        });
        assert_eq!(held, [], "claws back: {claws}, held for {hold_seconds} s");
        world.given(dispute(&payment, "disp_1", lost(10_000)));
        assert_eq!(clawed(&world), [0_i64; 0]);
        world.stands(&earnings(HOST), Asset::COIN, -60_000);
    }
}

/// Notes leave with what they are about.
#[test]
fn notes_leave_when_earnings_wait_no_longer() {
    let (mut world, _) = after_gift_of(1_000);
    for day in 1..=20 {
        world.at(day * 2 * i64::from(HOLD_SECONDS));
        give(&mut world, HOST, 1_000);
    }
    let lot = world.state.lots_of(Account::UserPurchased(USER)).next().expect("the lot").0;
    assert_eq!(world.state.held_of(lot, Timestamp(0)).count(), 1);
}
