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
    let nothing = Rejection::PayoutRoundsToNothing;
    let large = Rejection::AmountTooLarge { field: "coins_milli" };
    for (rate, expected) in [
        (Decimal::ZERO, &nothing),
        (Decimal::NEGATIVE_ONE, &nothing),
        (Decimal::MIN, &large),
        (Decimal::MAX, &large),
        (Decimal::from(1_000_000), &large),
    ] {
        world.policy.payout_rate = rate;
        world.refuse(withdraw(HOST, MAX_AMOUNT), expected.clone());
    }
}

#[test]
fn a_withdrawal_is_of_one_smallest_unit_of_money_at_least() {
    for (coins_milli, rate, expected) in [
        (1_999, "0.005", "rejected: PayoutRoundsToNothing"),
        (2_000, "0.005", "held 2000 for 1"),
        (1_000, "0.009999", "rejected: PayoutRoundsToNothing"),
        (1_000, "0.01", "held 1000 for 1"),
        (999, "0.005", "rejected: WithdrawalTooSmall { minimum_milli: 1000 }"),
    ] {
        let mut world = World::with_earnings(50_000);
        world.policy.payout_rate = rate.parse().expect("a rate");
        world.check(withdraw(HOST, coins_milli), expected);
    }
}

#[test]
fn a_payout_reference_belongs_to_one_withdrawal_for_ever() {
    let mut world = World::with_earnings(50_000);
    let [first, second] = [(); 2].map(|()| world.request_withdrawal(10_000));
    world.given(approve(first)).given(approve(second));
    let sent = world.envelope(paid_as(first, "UTR7"));
    world.send(&sent).expect("accepted");
    let used = || Rejection::PayoutRefUsed { withdrawal: first };
    // The same request again is a duplicate; under another key the withdrawal is closed.
    assert!(matches!(world.decide(&sent), Ok(Decision::Duplicate { .. })));
    world
        .refuse(paid_as(first, "UTR7"), Rejection::WithdrawalClosed)
        .refuse(paid_as(second, "UTR7"), used())
        .refuse(paid_as(second, "UTR7"), used())
        .check(payout_failed(first), "failed after payout, 10000 back")
        .refuse(paid_as(second, "UTR7"), used())
        .at_ms(400 * DAY_MS)
        .refuse(paid_as(second, "UTR7"), used())
        .check(paid_as(second, "UTR8"), "paid 1000 for 10000");
    let third = world.request_withdrawal(10_000);
    world
        .refuse(paid_as(third, "UTR7"), Rejection::WithdrawalNotApproved)
        .given(approve(third))
        .refuse(paid_as(third, "UTR8"), Rejection::PayoutRefUsed { withdrawal: second })
        .refuse(paid_as(third, ""), Rejection::ReferenceInvalid { field: "payout_ref" })
        .check(paid_as(third, "UTR9"), "paid 1000 for 10000");
}

#[test]
fn earnings_wait_for_their_hold_and_hardly_longer() {
    let mut world = World::with_coins(100_000);
    world.policy.earnings_hold_seconds = 7_200;
    // A thousandth of two hours is 7.2 s: the first multiple of that after the hold is 6.4 s later.
    let due = START.plus_ms(2 * HOUR_MS + 6_400);
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
fn a_hold_of_a_second_is_one_to_two_seconds() {
    let mut world = World::with_coins(100_000);
    world.policy.earnings_hold_seconds = 1;
    world
        .at_ms(1)
        .given(rose())
        .at_ms(1_001)
        .wallet(HOST, [0, 0, 0, 3_000, 0])
        .at_ms(2_000)
        .wallet(HOST, [0, 0, 0, 3_000, 3_000]);
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
