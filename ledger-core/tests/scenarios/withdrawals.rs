//! Earnings that leave, and earnings that wait.

use crate::world::*;
use ledger_core::*;
use rust_decimal::Decimal;

#[test]
fn a_withdrawal_goes_from_request_to_payout() {
    let mut world = World::with_earnings(50_000);
    let id = world.request_withdrawal(20_000);
    world
        .wallet(HOST, [0, 0, 0, 30_000, 30_000])
        .refuse(paid(id), Rejection::WithdrawalNotApproved)
        .refuse(payout_failed(id), Rejection::WithdrawalNotApproved)
        .check(approve(id), "approved")
        .refuse(approve(id), Rejection::WithdrawalAlreadyApproved)
        .refuse(cancel(id, HOST), Rejection::WithdrawalAlreadyApproved)
        .refuse(reject(id), Rejection::WithdrawalAlreadyApproved)
        .stands(&Account::WithdrawalHeld(id).to_string(), Asset::COIN, -20_000)
        .check(paid(id), "paid 2000 for 20000")
        .stands(&Account::WithdrawalHeld(id).to_string(), Asset::COIN, 0)
        .stands("exchange:coins", Asset::COIN, -20_000)
        .stands("exchange:coins", Asset::INR, 2_000)
        .stands("platform:bank", Asset::INR, -2_000)
        .wallet(HOST, [0, 0, 0, 30_000, 30_000]);
    for command in [approve(id), reject(id), cancel(id, HOST), paid(id)] {
        world.refuse(command, Rejection::WithdrawalClosed);
    }
}

#[test]
fn what_is_not_paid_out_is_the_hosts_again() {
    let mut world = World::with_earnings(50_000);
    let (first, second, third) = (
        world.request_withdrawal(10_000),
        world.request_withdrawal(10_000),
        world.request_withdrawal(10_000),
    );
    world
        .wallet(HOST, [0, 0, 0, 20_000, 20_000])
        .check(reject(first), "rejected, 10000 back")
        .refuse(cancel(second, OTHER_HOST), Rejection::UnknownWithdrawal)
        .check(cancel(second, HOST), "cancelled, 10000 back")
        .given(approve(third))
        .check(payout_failed(third), "failed before payout, 10000 back")
        .wallet(HOST, [0, 0, 0, 50_000, 50_000]);
    for id in [first, second, third] {
        for command in [approve(id), reject(id), cancel(id, HOST), paid(id), payout_failed(id)] {
            world.refuse(command, Rejection::WithdrawalClosed);
        }
    }
}

#[test]
fn a_payout_that_comes_back_brings_both_legs_back() {
    let mut world = World::with_earnings(50_000);
    let id = world.request_withdrawal(50_000);
    world
        .given(approve(id))
        .given(paid(id))
        .check(payout_failed(id), "failed after payout, 50000 back")
        .wallet(HOST, [0, 0, 0, 50_000, 50_000])
        .stands("platform:bank", Asset::INR, 0)
        .stands("exchange:coins", Asset::INR, 0)
        .stands("exchange:coins", Asset::COIN, 0)
        .refuse(payout_failed(id), Rejection::WithdrawalClosed);
}

#[test]
fn only_earnings_are_withdrawn() {
    let mut world = World::with_earnings(5_000);
    world
        .given(grant(HOST, 2_000, None))
        .given(adjust(Account::UserPurchased(HOST), 2_000))
        .wallet(HOST, [2_000, 2_000, 4_000, 5_000, 5_000])
        .refuse(withdraw(HOST, 5_001), Rejection::PurchasedNotWithdrawable { available_milli: 5_000 })
        .refuse(withdraw(HOST, 9_000), Rejection::PurchasedNotWithdrawable { available_milli: 5_000 })
        .refuse(withdraw(HOST, 9_001), Rejection::InsufficientEarnings { available_milli: 5_000 })
        .refuse(withdraw(USER, 1_000), Rejection::InsufficientEarnings { available_milli: 0 })
        .refuse(withdraw(HOST, 999), Rejection::WithdrawalTooSmall { minimum_milli: 1_000 })
        .check(withdraw(HOST, 5_000), "held 5000 for 500");
}

#[test]
fn the_rate_is_fixed_at_the_request_and_rounded_down() {
    for (coins_milli, rate, payout) in [
        (1_000, "1", 100),
        (1_999, "1", 199),
        (10_000, "0.333", 333),
        (10_000, "0.3339", 333),
        (1_001, "0.01", 1),
    ] {
        let mut world = World::with_earnings(50_000);
        world.policy.payout_rate = rate.parse().expect("a rate");
        world.check(withdraw(HOST, coins_milli), &format!("held {coins_milli} for {payout}"));
    }
}

#[test]
fn a_payout_of_nothing_or_of_more_than_an_amount_is_refused() {
    let mut world = World::with_earnings(MAX_AMOUNT);
    let small = Rejection::WithdrawalTooSmall { minimum_milli: 1_000 };
    let large = Rejection::AmountTooLarge { field: "coins_milli" };
    for (rate, expected) in [
        (Decimal::ZERO, &small),
        (Decimal::NEGATIVE_ONE, &small),
        (Decimal::MIN, &large),
        (Decimal::MAX, &large),
        (Decimal::from(1_000_000), &large),
    ] {
        world.policy.payout_rate = rate;
        world.refuse(withdraw(HOST, MAX_AMOUNT), expected.clone());
    }
}

#[test]
fn earnings_wait_for_their_hold_to_the_full_hour() {
    let mut world = World::with_coins(100_000);
    world.policy.earnings_hold_seconds = 7_200;
    // The story begins at 22:13:20: two hours on, the next full hour is 01:00 (a wait of 2:46:40).
    let due = Timestamp((START.0 + 2 * HOUR_MS) / HOUR_MS * HOUR_MS + HOUR_MS);
    world
        .given(rose())
        .wallet(HOST, [0, 0, 0, 3_000, 0])
        .refuse(withdraw(HOST, 3_000), Rejection::EarningsNotAvailable { available_milli: 0 })
        .at_ms(due.since(START) - 1)
        .refuse(withdraw(HOST, 3_000), Rejection::EarningsNotAvailable { available_milli: 0 })
        .at_ms(due.since(START))
        .wallet(HOST, [0, 0, 0, 3_000, 3_000])
        .check(withdraw(HOST, 3_000), "held 3000 for 300");
}

#[test]
fn what_waits_is_counted_beside_what_does_not() {
    let mut world = World::with_coins(100_000);
    world.given(rose());
    world.policy.earnings_hold_seconds = 1;
    world
        .given(rose())
        .given(rose())
        .wallet(HOST, [0, 0, 0, 9_000, 3_000])
        .refuse(withdraw(HOST, 3_001), Rejection::EarningsNotAvailable { available_milli: 3_000 })
        // A correction takes what waits too; nothing below zero is offered.
        .given(adjust(Account::HostEarnings(HOST), -5_000))
        .wallet(HOST, [0, 0, 0, 4_000, 0])
        .at_ms(DAY_MS)
        .wallet(HOST, [0, 0, 0, 4_000, 4_000]);
}

#[test]
fn a_held_withdrawal_keeps_its_coins_out_of_the_next() {
    let mut world = World::with_earnings(10_000);
    world
        .check(withdraw(HOST, 6_000), "held 6000 for 600")
        .refuse(withdraw(HOST, 6_000), Rejection::InsufficientEarnings { available_milli: 4_000 });
}
