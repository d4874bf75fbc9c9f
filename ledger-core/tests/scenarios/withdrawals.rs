//! Earnings that leave, and earnings that wait.

use crate::world::*;
use ledger_core::command::{CancelWithdrawal, JoinAgency};
use ledger_core::event::CommissionScope;
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

/// [`World::new`], where [`AGENCY`] has earned by a gift to its host.
fn agency_with_earnings() -> World {
    let mut world = World::with_coins(1_000_000);
    world.given(Command::from(JoinAgency { host: HOST, agency: AGENCY })).given(commission(
        CommissionScope::Global,
        5_000,
        2_000,
    ));
    for _ in 0..10 {
        world.given(rose());
    }
    world
}

#[test]
fn an_agency_withdraws_what_it_earned() {
    let mut world = agency_with_earnings();
    world
        .stands(&Account::AgencyEarnings(AGENCY).to_string(), Asset::COIN, -10_000)
        .refuse(agency_withdraws(10_001), Rejection::InsufficientEarnings { available_milli: 10_000 })
        .refuse(agency_withdraws(999), Rejection::WithdrawalTooSmall { minimum_milli: 1_000 });
    let sent = world.envelope(agency_withdraws(6_000));
    world.send(&sent).expect("accepted");
    assert!(matches!(world.decide(&sent), Ok(Decision::Duplicate { .. })), "twice is once");
    let first = sent_withdrawal(&world);
    world.check(agency_withdraws(4_000), "held 4000 for 400");
    let second = sent_withdrawal(&world);
    let cancel_as = |payee| Command::from(CancelWithdrawal { withdrawal: second, payee });
    world
        .refuse(agency_withdraws(1_000), Rejection::InsufficientEarnings { available_milli: 0 })
        .check(approve(first), "approved")
        .check(paid_as(first, "utr_agency"), "paid 600 for 6000")
        .stands("platform:bank", Asset::INR, -600)
        // Neither its host, nor its owner as a host, nor the owner for another agency.
        .refuse(cancel(second, HOST), Rejection::UnknownWithdrawal)
        .refuse(cancel(second, OTHER), Rejection::UnknownWithdrawal)
        .refuse(
            cancel_as(Payee::Agency { agency: AgencyId(uuid::Uuid::nil()), owner: OTHER }),
            Rejection::UnknownWithdrawal,
        )
        .check(cancel_as(AGENCY_PAYEE), "cancelled, 4000 back")
        .refuse(cancel_as(AGENCY_PAYEE), Rejection::WithdrawalClosed)
        .check(payout_failed(first), "failed after payout, 6000 back")
        .stands("platform:bank", Asset::INR, 0)
        .stands(&Account::AgencyEarnings(AGENCY).to_string(), Asset::COIN, -10_000);
}

#[test]
fn an_agencys_earnings_wait_as_its_hosts_do() {
    let mut world = World::with_coins(100_000);
    world.policy.earnings_hold_seconds = 1;
    world
        .given(Command::from(JoinAgency { host: HOST, agency: AGENCY }))
        .given(commission(CommissionScope::Global, 2_000, 6_000))
        .given(rose())
        .refuse(agency_withdraws(3_000), Rejection::EarningsNotAvailable { available_milli: 0 })
        .at_ms(2_000)
        .refuse(agency_withdraws(3_001), Rejection::InsufficientEarnings { available_milli: 3_000 })
        .check(agency_withdraws(3_000), "held 3000 for 300");
}

#[test]
fn nobody_decides_on_the_withdrawal_of_their_own_agency() {
    let mut world = agency_with_earnings();
    world.given(agency_withdraws(2_000));
    let id = sent_withdrawal(&world);
    let own = |world: &mut World, command| {
        let mut envelope = world.envelope(command);
        envelope.actor = Actor::Person(OTHER);
        world.refuse_sent(&envelope, Rejection::OwnMoney);
    };
    own(&mut world, approve(id));
    own(&mut world, reject(id));
    world.check(approve(id), "approved");
    own(&mut world, paid(id));
    own(&mut world, payout_failed(id));
    world.given(paid(id));
    own(&mut world, payout_failed(id));
}

#[test]
fn a_payout_reference_stays_used_after_its_withdrawal_has_left() {
    let mut world = World::with_earnings(50_000);
    let [first, second] = [(); 2].map(|()| world.request_withdrawal(10_000));
    world.given(approve(first)).given(paid_as(first, "UTR7")).given(approve(second)).at_ms(181 * DAY_MS);
    // It is the next request that makes room.
    world.given(withdraw(HOST, 1_000));
    assert!(world.state.withdrawal(first).is_none());
    world.refuse(paid_as(second, "UTR7"), Rejection::PayoutRefUsed { withdrawal: first });
}

#[test]
fn a_payout_that_comes_back_late_stays_a_day_from_then() {
    let mut world = World::with_earnings(50_000);
    let id = world.request_withdrawal(10_000);
    let failed_at = 180 * DAY_MS - HOUR_MS;
    world.given(approve(id)).given(paid(id)).at_ms(failed_at).given(payout_failed(id));
    world.at_ms(failed_at + DAY_MS).given(withdraw(HOST, 1_000));
    world.refuse(approve(id), Rejection::WithdrawalClosed);
    world.at_ms(failed_at + DAY_MS + 1).given(withdraw(HOST, 1_000));
    world.refuse(approve(id), Rejection::UnknownWithdrawal);
}

#[test]
fn a_finished_withdrawal_leaves_when_nothing_can_happen_to_it() {
    let mut world = World::with_earnings(100_000);
    let [rejected, cancelled, failed, paid_out, back] = [(); 5].map(|()| world.request_withdrawal(10_000));
    world
        .given(reject(rejected))
        .given(cancel(cancelled, HOST))
        .given(approve(failed))
        .given(payout_failed(failed));
    for (id, payout_ref) in [(paid_out, "utr_1"), (back, "utr_2")] {
        world.given(approve(id)).given(paid_as(id, payout_ref));
    }
    let open = world.request_withdrawal(1_000);
    let there = |world: &mut World| {
        // It is the next request that makes room.
        world.given(withdraw(HOST, 1_000));
        [rejected, cancelled, failed, paid_out, back, open].map(|id| world.state.withdrawal(id).is_some())
    };
    world.at_ms(DAY_MS);
    assert_eq!(there(&mut world), [true; 6]);
    world.refuse(approve(rejected), Rejection::WithdrawalClosed).at_ms(DAY_MS + 1);
    assert_eq!(there(&mut world), [false, false, false, true, true, true]);
    world.refuse(approve(rejected), Rejection::UnknownWithdrawal);

    // A payout can come back for half a year; then its coins are the host's, and it leaves a day later.
    world
        .at_ms(179 * DAY_MS)
        .check(payout_failed(back), "failed after payout, 10000 back")
        .at_ms(180 * DAY_MS + 1);
    assert_eq!(there(&mut world), [false, false, false, false, false, true]);
    world.refuse(payout_failed(paid_out), Rejection::UnknownWithdrawal).check(approve(open), "approved");
}

fn sent_withdrawal(world: &World) -> WithdrawalId {
    world.last(|event| match event {
        Event::WithdrawalRequested(it) => Some(it.withdrawal),
        _ => None,
    })
}
