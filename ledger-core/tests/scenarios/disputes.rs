//! Payments that are taken back, and what buyers owe then.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::disputes::DisputeNews::{self, Closed, Opened, Won};
use ledger_core::disputes::DisputeStatus;
use ledger_core::purchases::Resolution;
use ledger_core::*;

/// [`USER`] has bought 100 coins for 100 rupees, spent some and has some.
fn with_spent(spent_milli: i64) -> (World, String) {
    let mut world = World::new();
    let payment = payment_of(world.buy(USER));
    spend(&mut world, spent_milli);
    (world, payment)
}

fn spend(world: &mut World, spent_milli: i64) {
    if spent_milli > 0 {
        world.given(SetGiftPrice { gift: ROSE, price_milli: Some(spent_milli) }.into()).given(gift(
            USER,
            HOST,
            None,
            spent_milli,
        ));
    }
}

impl World {
    /// What is frozen of the user's coins, and what the user owes.
    #[track_caller]
    fn disputed(&mut self, frozen_milli: i64, owed_milli: i64) -> &mut World {
        let wallet = self.state.wallet(USER, self.now);
        assert_eq!((wallet.frozen_milli, wallet.owed_milli), (frozen_milli, owed_milli), "frozen, owed");
        self
    }

    /// All that went through the gateway came to nothing but its fees.
    #[track_caller]
    fn money(&mut self, gateway: i64, exchange: i64, suspense: i64) -> &mut World {
        self.stands("gateway:razorpay", Asset::INR, gateway)
            .stands("exchange:coins", Asset::INR, exchange)
            .stands("suspense:razorpay", Asset::INR, suspense)
    }
}

#[test]
fn a_dispute_freezes_what_is_unspent_and_winning_gives_it_back() {
    let (mut world, payment) = with_spent(30_000);
    world
        .check(dispute(&payment, "disp_1", Opened), "disputed 10000, 70000 frozen")
        .wallet(USER, [0, 0, 0, 0, 0])
        .disputed(70_000, 0)
        .refuse(gift(USER, HOST, None, 30_000), short(30_000))
        .check(dispute(&payment, "disp_1", Won), "released 70000 (Won)")
        .wallet(USER, [70_000, 0, 70_000, 0, 0])
        .disputed(0, 0)
        .money(10_000, -10_000, 0)
        .given(gift(USER, HOST, None, 30_000));
}

fn short(needed_milli: i64) -> Rejection {
    Rejection::InsufficientFunds { needed_milli, spendable_milli: 0 }
}

#[test]
fn spending_goes_round_frozen_coins() {
    let (mut world, payment) = with_spent(0);
    world.buy(USER);
    world
        .check(dispute(&payment, "disp_1", Opened), "disputed 10000, 100000 frozen")
        .wallet(USER, [100_000, 0, 100_000, 0, 0])
        .check(rose(), "gift: 5000; split 3000/0/2000")
        .check(dispute(&payment, "disp_1", Closed), "released 100000 (Closed)")
        .wallet(USER, [195_000, 0, 195_000, 0, 0]);
}

#[test]
fn a_lost_dispute_takes_the_purchase_then_other_bought_coins_then_the_rest_is_owed() {
    for (spent_milli, other_milli, outcome, wallet_milli, owed_milli) in [
        (0, 0, "lost 10000 for 100000+0", 0, 0),
        (30_000, 0, "lost 10000 for 70000+0, owes 30000", 0, 30_000),
        (30_000, 20_000, "lost 10000 for 90000+0, owes 10000", 0, 10_000),
        (30_000, 50_000, "lost 10000 for 100000+0", 20_000, 0),
        (100_000, 0, "lost 10000 for 0+0, owes 100000", 0, 100_000),
    ] {
        let (mut world, payment) = with_spent(spent_milli);
        if other_milli > 0 {
            world.given(adjust(Account::UserPurchased(USER), other_milli));
        }
        // Bonus coins were given: they pay for nothing.
        world.given(grant(USER, 7_000, None));
        world
            .check(dispute(&payment, "disp_1", lost(10_000)), &format!("disputed 10000, 0 frozen; {outcome}"))
            .disputed(0, owed_milli)
            .money(0, 0, 0)
            .stands("exchange:coins", Asset::COIN, 0);
        // Nothing as long as anything is owed.
        let spendable = if owed_milli == 0 { wallet_milli + 7_000 } else { 0 };
        world.wallet(USER, [wallet_milli, 7_000, spendable, 0, 0]);
    }
}

#[test]
fn the_frozen_coins_are_taken_first_of_all() {
    let (mut world, payment) = with_spent(30_000);
    world.given(adjust(Account::UserPurchased(USER), 20_000));
    world
        .given(dispute(&payment, "disp_1", Opened))
        .check(
            dispute(&payment, "disp_1", lost(10_000)),
            "released 70000 (Taken); lost 10000 for 90000+0, owes 10000",
        )
        .disputed(0, 10_000)
        .wallet(USER, [0, 0, 0, 0, 0]);
}

#[test]
fn part_of_the_money_takes_part_of_the_coins_and_rounds_down() {
    for (amount_minor, frozen, outcome) in [
        (1, 10, "lost 1 for 10+0"),
        (3_333, 33_330, "lost 3333 for 33330+0"),
        (9_999, 99_990, "lost 9999 for 99990+0"),
        // The gateway may dispute more than was paid; that is nobody's coins.
        (25_000, 100_000, "lost 10000 for 100000+0; unmatched out 15000 INR/2: DisputeUnmatched"),
    ] {
        let (mut world, payment) = with_spent(0);
        let opened = format!("disputed {amount_minor}, {frozen} frozen");
        world.check(dispute_over(amount_minor, &payment, "disp_1", Opened), &opened).check(
            dispute_over(amount_minor, &payment, "disp_1", lost(amount_minor)),
            &format!("released {frozen} (Taken); {outcome}"),
        );
    }
    // Three coins for 10,000 paise: the first thousandth is taken once a third of the money is gone.
    let mut world = World::new();
    world.given(plan(3, 0, None));
    let payment = payment_of(world.buy(USER));
    for (number, taken) in [(0, 0), (1, 1), (2, 0), (3, 1), (4, 0)] {
        let dispute_ref = format!("disp_{number}");
        let outcome = format!("disputed 2000, 0 frozen; lost 2000 for {}+0", taken + i64::from(number == 4));
        world.check(dispute_over(2_000, &payment, &dispute_ref, lost(2_000)), &outcome);
    }
    world.wallet(USER, [0, 0, 0, 0, 0]).money(0, 0, 0);
}

#[test]
fn the_plans_bonus_is_taken_back_too_and_what_expired_is_owed_by_nobody() {
    for (spent_milli, expires, outcome) in [
        (0, false, "lost 10000 for 100000+20000"),
        // Bonus coins are spent first.
        (15_000, false, "lost 10000 for 100000+5000, owes 15000"),
        (30_000, false, "lost 10000 for 90000+0, owes 30000"),
        (0, true, "lost 10000 for 100000+0"),
        (15_000, true, "lost 10000 for 100000+0, owes 15000"),
    ] {
        let mut world = World::new();
        world.given(plan(100_000, 20_000, Some(60)));
        let payment = payment_of(world.buy(USER));
        spend(&mut world, spent_milli);
        if expires {
            world.at(61);
            let (_, lot) = world.state.expiring_lots()[0];
            world.given(ExpireBonus { lot }.into());
        }
        world
            .check(dispute(&payment, "disp_1", lost(10_000)), &format!("disputed 10000, 0 frozen; {outcome}"))
            .wallet(USER, [0, 0, 0, 0, 0]);
    }
}

#[test]
fn a_bonus_that_expires_while_it_is_frozen_expires_once_it_is_released() {
    let mut world = World::new();
    world.given(plan(100_000, 20_000, Some(60)));
    let payment = payment_of(world.buy(USER));
    world
        .check(dispute(&payment, "disp_1", Opened), "disputed 10000, 120000 frozen")
        .at(61)
        .check(dispute(&payment, "disp_1", Won), "released 120000 (Won)")
        .wallet(USER, [100_000, 20_000, 100_000, 0, 0]);
    let (_, lot) = world.state.expiring_lots()[0];
    world.check(ExpireBonus { lot }.into(), "bonus expired 20000").check(
        dispute(&payment, "disp_2", lost(10_000)),
        "disputed 10000, 0 frozen; lost 10000 for 100000+0",
    );
}

#[test]
fn who_owes_can_pay_nothing_and_the_next_purchase_recovers_it() {
    let (mut world, payment) = with_spent(30_000);
    let owes = |owed_milli| Rejection::ReceivableOpen { owed_milli };
    world
        .given(dispute(&payment, "disp_1", lost(10_000)))
        .given(grant(USER, 50_000, None))
        .refuse(gift(USER, HOST, None, 30_000), owes(30_000))
        .refuse(start(), owes(30_000))
        .refuse(withdraw(USER, 5_000), owes(30_000))
        .given(plan(20_000, 4_000, None));
    let order = world.order(USER);
    world
        .check(
            capture(Some(order), "pay_2", 10_000),
            "captured 20000 for 10000; bonus 4000 (Plan); recovered 24000, owes 6000",
        )
        .disputed(0, 6_000)
        .refuse(gift(USER, HOST, None, 30_000), owes(6_000));
    let order = world.order(USER);
    world
        .check(
            capture(Some(order), "pay_3", 10_000),
            "captured 20000 for 10000; bonus 4000 (Plan); recovered 6000, owes 0",
        )
        .disputed(0, 0)
        .wallet(USER, [14_000, 54_000, 68_000, 0, 0])
        .given(gift(USER, HOST, None, 30_000));
}

#[test]
fn a_call_of_who_owes_ends_at_its_next_tick() {
    let (mut world, payment) = with_spent(0);
    world.given(start()).given(dispute(&payment, "disp_1", lost(10_000)));
    world.at(10).check(tick(2), "ended Exhausted after 10000 ms, 1 ticks, 1666");
}

#[test]
fn the_oldest_is_recovered_first() {
    let mut world = World::new();
    let payments = [(); 2].map(|()| payment_of(world.buy(USER)));
    spend(&mut world, 200_000);
    for (payment, dispute_ref) in payments.iter().zip(["disp_1", "disp_2"]) {
        world.given(dispute_over(1_000, payment, dispute_ref, lost(1_000)));
    }
    world.disputed(0, 20_000).given(plan(15_000, 0, None));
    let order = world.order(USER);
    world.check(
        capture(Some(order), "pay_3", 10_000),
        "captured 15000 for 10000; recovered 10000, owes 0; recovered 5000, owes 5000",
    );
}

#[test]
fn an_admin_writes_off_what_is_owed_in_whole_or_in_part() {
    let (mut world, payment) = with_spent(30_000);
    world
        .given(dispute(&payment, "disp_1", lost(10_000)))
        .check(write_off("disp_1", 10_000), "written off 10000, owes 20000")
        .refuse(write_off("disp_1", 20_001), Rejection::WriteOffTooLarge { owed_milli: 20_000 })
        .check(write_off("disp_1", 20_000), "written off 20000, owes 0")
        .refuse(write_off("disp_1", 1), Rejection::UnknownReceivable)
        .stands("platform:losses", Asset::COIN, 30_000)
        .disputed(0, 0)
        .given(adjust(Account::UserPurchased(USER), 5_000))
        .given(SetGiftPrice { gift: ROSE, price_milli: Some(5_000) }.into())
        .given(rose());
    // Nobody writes off what they owe themselves.
    let mut own = world.envelope(write_off("disp_1", 1));
    own.actor = Actor::Person(USER);
    world.refuse_sent(&own, Rejection::OwnMoney);
}

#[test]
fn what_is_won_after_it_was_lost_comes_back_and_what_was_paid_meanwhile_too() {
    let (mut world, payment) = with_spent(60_000);
    world
        .given(dispute(&payment, "disp_1", lost(10_000)))
        .disputed(0, 60_000)
        .given(write_off("disp_1", 10_000))
        .given(plan(20_000, 0, None));
    let order = world.order(USER);
    world
        .given(capture(Some(order), "pay_2", 10_000))
        .disputed(0, 30_000)
        .check(
            dispute(&payment, "disp_1", Won),
            "reversed 10000 for 60000+0, 30000 cancelled, 10000 restored",
        )
        .disputed(0, 0)
        // 40 coins were unspent, and 20 the buyer paid again.
        .wallet(USER, [60_000, 0, 60_000, 0, 0])
        .stands("platform:losses", Asset::COIN, 0)
        .money(20_000, -20_000, 0)
        // The bank has the last word again.
        .check(
            dispute(&payment, "disp_1", DisputeNews::Lost { taken_minor: 10_000, fee_minor: 1 }),
            "lost 10000 for 60000+0, owes 40000, fee 1",
        )
        .stands("platform:losses", Asset::INR, 1);
}

#[test]
fn spent_coins_are_not_refunded_for_having_been_disputed() {
    // All coins of the payment are spent. The dispute took others, and these come back, but not as coins of the payment.
    let (mut world, payment) = with_spent(100_000);
    let purchase = world.state.purchase_of_payment(&payment).expect("a purchase");
    world
        .given(adjust(Account::UserPurchased(USER), 100_000))
        .check(dispute(&payment, "disp_1", lost(10_000)), "disputed 10000, 0 frozen; lost 10000 for 100000+0")
        .check(dispute(&payment, "disp_1", Won), "reversed 10000 for 100000+0, 0 cancelled")
        .wallet(USER, [100_000, 0, 100_000, 0, 0])
        .refuse(refund(purchase, "rfnd_1", 100), Rejection::RefundExceedsUnspent { refundable_minor: 0 });
}

#[test]
fn a_dispute_may_come_before_its_payment() {
    let mut world = World::new();
    let order = world.order(USER);
    world
        .check(dispute("pay_1", "disp_1", Opened), "disputed 10000, 0 frozen, no purchase")
        .check(capture(Some(order), "pay_1", 10_000), "captured 100000 for 10000; matched, 100000 frozen")
        .refuse(rose(), short(5_000))
        .check(dispute("pay_1", "disp_1", Won), "released 100000 (Won)")
        .wallet(USER, [100_000, 0, 100_000, 0, 0]);
}

#[test]
fn one_that_is_lost_before_its_payment_waits_for_it_in_suspense() {
    let mut world = World::new();
    let order = world.order(USER);
    world
        .check(
            dispute("pay_1", "disp_1", lost(10_000)),
            "disputed 10000, 0 frozen, no purchase; lost 0 for 0+0; \
             unmatched out 10000 INR/2: DisputeBeforeCapture, no purchase",
        )
        .money(-10_000, 0, 10_000)
        .check(
            capture(Some(order), "pay_1", 10_000),
            "captured 100000 for 10000; refunded 10000 for 100000+0",
        )
        .money(0, 0, 0)
        .disputed(0, 0)
        .wallet(USER, [0, 0, 0, 0, 0]);
}

#[test]
fn one_that_is_lost_and_won_before_its_payment_leaves_nothing() {
    let mut world = World::new();
    let order = world.order(USER);
    world
        .given(dispute("pay_1", "disp_1", lost(10_000)))
        .check(
            dispute("pay_1", "disp_1", Won),
            "reversed 0 for 0+0, 0 cancelled; unmatched in 10000 INR/2: DisputeReversed, no purchase",
        )
        .money(0, 0, 0)
        .check(capture(Some(order), "pay_1", 10_000), "captured 100000 for 10000")
        .wallet(USER, [100_000, 0, 100_000, 0, 0]);
}

#[test]
fn a_payment_in_suspense_may_be_disputed() {
    let mut world = World::new();
    // Lost, its money is gone and its case with it.
    world
        .check(capture(None, "pay_1", 10_000), "unmatched in 10000 INR/2: UnknownOrder, no purchase")
        .check(dispute("pay_1", "disp_1", Opened), "disputed 10000, 0 frozen, no purchase");
    let case = world.state.next_revision() - 2;
    assert!(world.state.suspense_case(case).is_some());
    world
        .check(
            dispute("pay_1", "disp_1", lost(10_000)),
            "lost 0 for 0+0; unmatched out 10000 INR/2: DisputeUnmatched, no purchase",
        )
        .money(0, 0, 0);
    assert!(world.state.suspense_case(case).is_none(), "both together come to nothing");
    // Disputed and found to pay a purchase, its coins are frozen.
    let order = world.order(USER);
    world.given(capture(None, "pay_2", 10_000));
    let case = world.state.next_revision() - 1;
    let (resolution, reason) = (Resolution::Purchase(order), "found".to_owned());
    world
        .given(dispute("pay_2", "disp_2", Opened))
        .check(
            ResolveSuspense { case, resolution, reason }.into(),
            "resolved 10000; captured 100000 for 10000; matched, 100000 frozen",
        )
        .disputed(100_000, 0);
}

#[test]
fn a_dispute_in_another_currency_touches_no_coins() {
    let (mut world, payment) = with_spent(0);
    let dollars = |news| {
        let Command::RecordDispute(it) = dispute(&payment, "disp_1", news) else { unreachable!() };
        Command::from(RecordDispute { asset: Asset::new("USD", 2).expect("an asset"), ..it })
    };
    world
        .check(dollars(Opened), "disputed 10000, 0 frozen")
        .check(dollars(lost(10_000)), "lost 0 for 0+0; unmatched out 10000 USD/2: DisputeUnmatched")
        .wallet(USER, [100_000, 0, 100_000, 0, 0]);
}

#[test]
fn a_refund_after_a_dispute_and_a_dispute_after_a_refund() {
    // An admin waits for the decision; the gateway's panel does not, and takes the frozen coins.
    let (mut world, payment) = with_spent(20_000);
    let purchase = world.state.purchase_of_payment(&payment).expect("a purchase");
    world
        .given(dispute(&payment, "disp_1", Opened))
        .refuse(refund(purchase, "rfnd_0", 1), Rejection::PurchaseDisputed)
        .check(refund_of(&payment, "rfnd_1", 5_000), "released 50000 (Taken); refunded 5000 for 50000+0")
        .disputed(30_000, 0)
        // Half of the price went back by the refund: the dispute takes the other half, and its rest is nobody's.
        .check(
            dispute(&payment, "disp_1", lost(10_000)),
            "released 30000 (Taken); lost 5000 for 30000+0, owes 20000; unmatched out 5000 INR/2: DisputeUnmatched",
        )
        .money(-5_000, 0, 5_000)
        // All of the price is back: what the gateway sends back more is nobody's either.
        .check(refund_of(&payment, "rfnd_2", 1), "unmatched out 1 INR/2: RefundUnmatched")
        .refuse(refund(purchase, "rfnd_3", 1), Rejection::RefundExceedsCaptured { refundable_minor: 0 });
    let (mut world, payment) = with_spent(0);
    world
        .given(refund_of(&payment, "rfnd_1", 10_000))
        .check(dispute(&payment, "disp_1", Opened), "disputed 10000, 0 frozen")
        .check(
            dispute(&payment, "disp_1", lost(10_000)),
            "lost 0 for 0+0; unmatched out 10000 INR/2: DisputeUnmatched",
        );
}

#[test]
fn two_disputes_over_one_payment_freeze_and_take_it_once() {
    let (mut world, payment) = with_spent(0);
    world
        .check(dispute(&payment, "disp_1", Opened), "disputed 10000, 100000 frozen")
        .check(dispute(&payment, "disp_2", Opened), "disputed 10000, 0 frozen")
        .check(
            dispute_over(10_000, &payment, "disp_2", lost(4_000)),
            "released 40000 (Taken); lost 4000 for 40000+0",
        )
        .disputed(60_000, 0)
        .check(
            dispute(&payment, "disp_1", lost(10_000)),
            "released 60000 (Taken); lost 6000 for 60000+0; unmatched out 4000 INR/2: DisputeUnmatched",
        )
        .disputed(0, 0)
        .money(-4_000, 0, 4_000);
}

/// Every state of a dispute, what may be told of it there, and what comes of it.
#[rustfmt::skip]
const TABLE: &[(&str, &[&str], [&str; 4])] = &[
    //                              opened                            won                                                  closed                                                  lost
    ("unknown", &[],                ["disputed 10000, 100000 frozen", "disputed 10000, 0 frozen; released 0 (Won)",        "disputed 10000, 0 frozen; released 0 (Closed)",        "disputed 10000, 0 frozen; lost 10000 for 100000+0"]),
    ("open",    &["opened"],        ["dispute_already_recorded",      "released 100000 (Won)",                             "released 100000 (Closed)",                             "released 100000 (Taken); lost 10000 for 100000+0"]),
    ("won",     &["opened", "won"], ["dispute_already_recorded",      "dispute_already_decided",                           "dispute_already_decided",                              "lost 10000 for 100000+0"]),
    ("closed",  &["closed"],        ["dispute_already_recorded",      "dispute_already_decided",                           "dispute_already_decided",                              "lost 10000 for 100000+0"]),
    ("lost",    &["lost"],          ["dispute_already_recorded",      "reversed 10000 for 100000+0, 0 cancelled",          "dispute_already_decided",                              "dispute_already_decided"]),
    ("reversed", &["lost", "won"],  ["dispute_already_recorded",      "dispute_already_decided",                           "dispute_already_decided",                              "lost 10000 for 100000+0"]),
];

#[test]
fn each_state_takes_what_can_follow_and_refuses_the_rest_each_told_twice() {
    let news = |name: &str| match name {
        "opened" => Opened,
        "won" => Won,
        "closed" => Closed,
        _ => lost(10_000),
    };
    for (state, story, outcomes) in TABLE {
        for (name, expected) in ["opened", "won", "closed", "lost"].iter().zip(outcomes) {
            let (mut world, payment) = with_spent(0);
            for told in *story {
                world.given(dispute(&payment, "disp_1", news(told)));
            }
            let case = format!("{name} of a dispute that is {state}");
            // The gateway's own moment is part of the key: another delivery of the same thing has the same one.
            let mut told = world.envelope(dispute(&payment, "disp_1", news(name)));
            told.key = Key::Natural(format!("disp_1:{name}:later"));
            let sent = world.send(&told);
            let found = match &sent {
                Ok((events, _)) => crate::outcome::brief(events),
                Err(rejection) => rejection.code().to_owned(),
            };
            assert_eq!(found, *expected, "{case}");
            let (before, hash) = (world.journal.len(), world.state.hash());
            let again = world.send(&told).map(|(events, _)| events);
            assert_eq!(again, sent.map(|_| vec![]), "{case}, again");
            // The same told under another name is known by the dispute itself, unless it undoes what came between.
            told.key = Key::Natural(format!("disp_1:{name}:once more"));
            assert!(world.send(&told).is_err(), "{case}, under another key");
            assert_eq!(
                (world.journal.len(), world.state.hash()),
                (before, hash),
                "{case} changes nothing twice"
            );
        }
    }
}

#[test]
fn a_purchase_stays_as_long_as_it_is_disputed() {
    let (mut world, payment) = with_spent(0);
    world.at(500 * 86_400).given(dispute(&payment, "disp_1", Opened)).at(1_000 * 86_400);
    world.order(OTHER);
    world
        .check(dispute(&payment, "disp_1", lost(10_000)), "released 100000 (Taken); lost 10000 for 100000+0");
    let row = world.state.dispute("disp_1").expect("a dispute");
    assert_eq!(row.status, DisputeStatus::Lost);
}
