//! Earnings that leave, and earnings that wait.

use crate::world::*;
use ledger_core::command::{CancelWithdrawal, JoinAgency};
use ledger_core::event::CommissionScope;
use ledger_core::*;

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
        .check(payout_failed(third), "failed, 10000 back")
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
        .check(reversed(id), "reversed 5000, 50000 back")
        .wallet(HOST, [0, 0, 0, 50_000, 50_000])
        .stands("platform:bank", Asset::INR, 0)
        .stands("exchange:coins", Asset::INR, 0)
        .stands("exchange:coins", Asset::COIN, 0)
        .refuse(reversed(id), Rejection::WithdrawalClosed);
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
        if rate != "1" {
            world.given(payout_rate(rate));
        }
        world.check(withdraw(HOST, coins_milli), &format!("held {coins_milli} for {payout}"));
    }
}

#[test]
fn a_payout_of_more_than_an_amount_is_refused() {
    let mut world = World::with_earnings(MAX_AMOUNT);
    world
        .given(payout_rate("1000000"))
        .refuse(withdraw(HOST, MAX_AMOUNT), Rejection::AmountTooLarge { field: "coins_milli" });
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
        if rate != "1" {
            world.given(payout_rate(rate));
        }
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
        .check(reversed(first), "reversed 1000, 10000 back")
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
    world
        .given(Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }))
        .given(commission(CommissionScope::Global, 5_000, 2_000));
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
        .check(reversed(first), "reversed 600, 6000 back")
        .stands("platform:bank", Asset::INR, 0)
        .stands(&Account::AgencyEarnings(AGENCY).to_string(), Asset::COIN, -10_000);
}

#[test]
fn an_agencys_earnings_wait_as_its_hosts_do() {
    let mut world = World::with_coins(100_000);
    world.policy.earnings_hold_seconds = 1;
    world
        .given(Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }))
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
    own(&mut world, sent(id));
    world.given(sent(id));
    own(&mut world, outcome_unknown(id));
    world.given(paid(id));
    own(&mut world, reversed(id));
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
    world.given(approve(id)).given(paid(id)).at_ms(failed_at).given(reversed(id));
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
    world.at_ms(179 * DAY_MS).check(reversed(back), "reversed 1000, 10000 back").at_ms(180 * DAY_MS + 1);
    assert_eq!(there(&mut world), [false, false, false, false, false, true]);
    world.refuse(reversed(paid_out), Rejection::UnknownWithdrawal).check(approve(open), "approved");
}

fn sent_withdrawal(world: &World) -> WithdrawalId {
    world.last(|event| match event {
        Event::WithdrawalRequested(it) => Some(it.withdrawal),
        _ => None,
    })
}

#[test]
fn a_payout_key_is_taken_as_a_reference_is() {
    let mut world = World::with_earnings(50_000);
    let [first, second] = [(); 2].map(|()| world.request_withdrawal(10_000));
    let used = || Rejection::PayoutRefUsed { withdrawal: first };
    world
        .given(approve(first))
        .given(approve(second))
        .refuse(sent_as(first, ""), Rejection::ReferenceInvalid { field: "payout_key" })
        .check(sent_as(first, "payout_7"), "sent as payout_7")
        .refuse(sent_as(second, "payout_7"), used())
        .refuse(paid_as(second, "payout_7"), used())
        .check(outcome_unknown(first), "outcome unknown")
        // A bank that knows it by our own key.
        .check(paid_as(first, "payout_7"), "paid 1000 for 10000")
        .check(sent_as(second, "payout_8"), "sent as payout_8")
        .check(payout_failed(second), "failed, 10000 back")
        .refuse(sent_as(second, "payout_9"), Rejection::WithdrawalClosed);
}

#[test]
fn rate_and_tax_are_those_of_the_moment_of_the_request() {
    let mut world = World::with_earnings(50_000);
    let from = |seconds: i64| Some(START.plus_ms(seconds * 1_000));
    let rate = |rate: &str, seconds| {
        let rate = rate.parse().expect("a rate");
        Command::from(ledger_core::command::SetPayoutRate {
            asset: Asset::INR,
            rate,
            effective_from: from(seconds),
        })
    };
    let tax_from = |tax_bps, seconds| {
        Command::from(ledger_core::command::SetTaxRate {
            asset: Asset::INR,
            tax_bps,
            effective_from: from(seconds),
        })
    };
    world
        .given(rate("0.50", 60))
        .given(tax_from(333, 120))
        .check(withdraw(HOST, 9_999), "held 9999 for 999")
        .at(59)
        .check(withdraw(HOST, 1_000), "held 1000 for 100")
        .at(60)
        .check(withdraw(HOST, 9_999), "held 9999 for 499")
        .at(120)
        // 3.33 % of 499 is 16.6, rounded down.
        .check(withdraw(HOST, 9_999), "held 9999 for 483, tax 16");
    let id = sent_withdrawal(&world);
    world
        .given(rate("2", 120))
        .given(tax_from(10_000, 120))
        .refuse(withdraw(HOST, 1_000), Rejection::PayoutRoundsToNothing)
        .given(approve(id))
        .check(paid(id), "paid 483 for 9999")
        .stands("platform:tax", Asset::INR, -16)
        .stands("exchange:coins", Asset::INR, 499)
        .check(reversed(id), "reversed 483, 9999 back")
        .stands("platform:tax", Asset::INR, 0);
}

#[test]
fn rates_are_never_backdated_and_what_is_in_force_records_nothing() {
    use ledger_core::command::{SetPayoutRate, SetTaxRate};
    let mut world = World::new();
    let early = Some(START.plus_ms(-1));
    let refusal = || Rejection::EffectiveInPast { earliest: START };
    let rate = |text: &str| text.parse().expect("a number");
    let at_rate = |text: &str, effective_from| {
        Command::from(SetPayoutRate { asset: Asset::INR, rate: rate(text), effective_from })
    };
    world
        .refuse(at_rate("2", early), refusal())
        .refuse(SetTaxRate { asset: Asset::INR, tax_bps: 1, effective_from: early }.into(), refusal())
        .refuse(
            SetTaxRate { asset: Asset::COIN, tax_bps: 1, effective_from: None }.into(),
            Rejection::PayoutInCoins,
        );
    for bad in ["0", "-1", "1000000.1", "0.0000001"] {
        world.refuse(at_rate(bad, None), Rejection::PayoutRateInvalid);
    }
    let (end, dollars) = (world.state.next_revision() - 1, Asset::new("USD", 2).expect("an asset"));
    let undeclared = SetPayoutRate { asset: dollars, rate: rate("1"), effective_from: None };
    world
        .refuse(undeclared.into(), Rejection::AssetNotDeclared { asset: dollars })
        .check(at_rate("1.000", None), &format!("duplicate of {end}"))
        .check(tax(0), &format!("duplicate of {end}"))
        .check(at_rate("0.500000", None), "0.5 a coin")
        .check(tax(10_000), "tax 10000");
}

#[test]
fn a_day_has_a_limit_and_what_comes_back_on_it_may_be_asked_for_again() {
    let mut world = World::with_earnings(100_000);
    world.policy.daily_withdrawal_milli = Some(10_000);
    let reached = |left_milli| Rejection::WithdrawalLimitReached { limit_milli: 10_000, left_milli };
    let [first, second] = [6_000, 4_000].map(|coins| world.request_withdrawal(coins));
    world
        .refuse(withdraw(HOST, 1_000), reached(0))
        .given(cancel(second, HOST))
        .refuse(withdraw(HOST, 4_001), reached(4_000));
    let third = world.request_withdrawal(1_000);
    world
        .given(reject(third))
        .given(approve(first))
        .given(sent(first))
        .refuse(withdraw(HOST, 4_001), reached(4_000))
        .given(payout_failed(first))
        .check(withdraw(HOST, 10_000), "held 10000 for 1000");
    let all = sent_withdrawal(&world);
    // Another payee has a limit of its own.
    world.given(adjust(Account::HostEarnings(OTHER_HOST), 5_000)).given(withdraw(OTHER_HOST, 5_000));
    // The next day (UTC) everything may be asked for again, and what comes back then is of yesterday.
    let midnight = DAY_MS - START.0 % DAY_MS;
    world.at_ms(midnight - 1).refuse(withdraw(HOST, 1_000), reached(0)).at_ms(midnight);
    world.given(withdraw(HOST, 9_000)).given(approve(all)).given(paid(all)).given(reversed(all));
    world.refuse(withdraw(HOST, 1_001), reached(1_000));
    let rejected = sent_withdrawal(&world);
    world.at_ms(midnight + DAY_MS).given(withdraw(HOST, 10_000)).given(reject(rejected));
    world.refuse(withdraw(HOST, 1_000), reached(0));
    // A limit that is lowered below what was asked for leaves nothing.
    world.policy.daily_withdrawal_milli = Some(1_000);
    world.refuse(
        withdraw(HOST, 1_000),
        Rejection::WithdrawalLimitReached { limit_milli: 1_000, left_milli: 0 },
    );
    world.policy.daily_withdrawal_milli = None;
    world.given(withdraw(HOST, 20_000));
}

#[test]
fn the_rules_of_a_withdrawal_stand_in_its_request() {
    let mut world = World::with_earnings(50_000);
    world.given(payout_rate("0.5")).given(tax(100));
    world.policy.daily_withdrawal_milli = Some(20_000);
    world.policy.earnings_hold_seconds = 7;
    world.policy.require_verified_payee = true;
    world.refuse(withdraw(HOST, 10_000), Rejection::PayeeNotVerified);
    world.policy.payee_verified = true;
    world.given(withdraw(HOST, 10_000));
    let requested = world.last(|event| match event {
        Event::WithdrawalRequested(it) => Some(it.clone()),
        _ => None,
    });
    let terms = ledger_core::event::WithdrawalTerms {
        minimum_milli: 1_000,
        daily_limit_milli: Some(20_000),
        earnings_hold_seconds: 7,
        payee_verified: true,
        rate: "0.5".parse().expect("a rate"),
        tax_bps: 100,
    };
    assert_eq!(requested.terms, terms);
    assert_eq!((requested.gross_minor, requested.tax_minor, requested.payout_minor), (500, 5, 495));
}

/// [`HOST`] buys coins, spends some of them and has the payment taken back.
fn owe(world: &mut World) -> i64 {
    let purchase = world.buy(HOST);
    world.given(gift(HOST, OTHER_HOST, None, 5_000)).given(dispute(
        &payment_of(purchase),
        "disp_1",
        lost(10_000),
    ));
    world.state.owed(HOST)
}

#[test]
fn nothing_is_paid_to_who_owes_but_what_the_world_did_is_recorded() {
    let mut world = World::with_earnings(80_000);
    let [waiting, approved, by_hand, sent_out, lost_sight, refused] =
        [(); 6].map(|()| world.request_withdrawal(10_000));
    for id in [approved, by_hand, sent_out, lost_sight] {
        world.given(approve(id));
    }
    world.given(sent_as(sent_out, "payout_a")).given(sent_as(lost_sight, "payout_b"));
    world.given(outcome_unknown(lost_sight));
    let owed_milli = owe(&mut world);
    let owes = || Rejection::ReceivableOpen { owed_milli };
    world
        .wallet(HOST, [0, 0, 0, 20_000, 0])
        .refuse(withdraw(HOST, 1_000), owes())
        .refuse(approve(waiting), owes())
        .refuse(sent(approved), owes())
        .refuse(paid_as(by_hand, "utr_a"), owes())
        .given(paid_as(sent_out, "utr_b"))
        .given(paid_as(lost_sight, "utr_c"))
        .given(reject(refused))
        .given(payout_failed(approved))
        .given(write_off("disp_1", owed_milli))
        .given(approve(waiting))
        .given(paid_as(by_hand, "utr_a"))
        .wallet(HOST, [0, 0, 0, 40_000, 40_000]);
}

#[test]
fn who_owes_withdraws_nothing_for_their_agency_either() {
    let mut world = agency_with_earnings();
    world.given(agency_withdraws(2_000));
    let id = sent_withdrawal(&world);
    let purchase = world.buy(OTHER);
    world.given(gift(OTHER, HOST, None, 5_000)).given(dispute(&payment_of(purchase), "disp_1", lost(10_000)));
    let owes = || Rejection::ReceivableOpen { owed_milli: 5_000 };
    world
        .refuse(agency_withdraws(1_000), owes())
        .refuse(approve(id), owes())
        .given(write_off("disp_1", 5_000))
        .given(approve(id));
}
