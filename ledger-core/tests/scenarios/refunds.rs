//! Money back.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::event::UnmatchedCause;
use ledger_core::purchases::Resolution;
use ledger_core::*;

#[test]
fn a_full_refund_takes_the_coins_and_the_plans_bonus_back() {
    let mut world = World::new();
    world.given(plan(100_000, 20_000, None));
    let purchase = world.buy(USER);
    world
        .check(refund(purchase, "rfnd_1", 10_000), "refunded 10000 for 100000+20000")
        .wallet(USER, [0, 0, 0, 0, 0])
        .stands("gateway:razorpay", Asset::INR, 0)
        .stands("exchange:coins", Asset::INR, 0)
        .stands("exchange:coins", Asset::COIN, 0)
        .stands("platform:promotions", Asset::COIN, 0)
        .refuse(refund(purchase, "rfnd_2", 1), Rejection::RefundExceedsCaptured { refundable_minor: 0 });
}

#[test]
fn a_partial_refund_takes_coins_in_proportion() {
    let mut world = World::new();
    world.given(plan(100_000, 20_000, None));
    let purchase = world.buy(USER);
    world
        .check(refund(purchase, "rfnd_1", 2_500), "refunded 2500 for 25000+5000")
        .wallet(USER, [75_000, 15_000, 90_000, 0, 0])
        .refuse(
            refund(purchase, "rfnd_2", 7_501),
            Rejection::RefundExceedsCaptured { refundable_minor: 7_500 },
        )
        .refuse(refund(purchase, "rfnd_1", 100), Rejection::RefundKnown)
        .check(refund(purchase, "rfnd_2", 7_500), "refunded 7500 for 75000+15000");
}

#[test]
fn many_small_refunds_take_what_one_large_one_takes() {
    for coins_milli in [1, 3, 7, 9_999, 10_000, 99_991] {
        let mut world = World::new();
        world.given(plan(coins_milli, 13, None));
        let purchase = world.buy(USER);
        for part in 0..37 {
            world.given(refund(purchase, &format!("rfnd_{part}"), 270));
        }
        world
            .check_refunded(purchase, 37 * 270)
            .given(refund(purchase, "rfnd_last", 10))
            .wallet(USER, [0, 0, 0, 0, 0])
            .stands("exchange:coins", Asset::COIN, 0)
            .stands("exchange:coins", Asset::INR, 0);
    }
}

impl World {
    #[track_caller]
    fn check_refunded(&mut self, purchase: PurchaseId, refunded_minor: i64) -> &mut World {
        let row = self.state.purchase(purchase).expect("a purchase");
        let captured = row.captured.as_ref().expect("captured");
        assert_eq!(captured.refunded_minor, refunded_minor);
        let all_milli = row.coins_milli + row.bonus_milli;
        let left = |lot| self.state.lot(lot).map_or(0, |lot| lot.remaining_milli);
        let left_milli = left(captured.lot) + captured.bonus_lot.map_or(0, left);
        assert_eq!(left_milli, all_milli - all_milli * refunded_minor / row.price_minor);
        self
    }
}

#[test]
fn a_refund_of_spent_coins_is_refused_to_people_and_recorded_for_the_gateway() {
    let mut world = World::new();
    world.given(plan(10_000, 0, None));
    let purchase = world.buy(USER);
    world
        .given(rose())
        .refuse(
            refund(purchase, "rfnd_1", 5_001),
            Rejection::RefundExceedsUnspent { refundable_minor: 5_000 },
        )
        // In the gateway's own panel somebody refunds all: half of it has no coins to take.
        .check(
            refund_reported(Some(purchase), "rfnd_2", 10_000),
            "refunded 10000 for 5000+0, 5000 to suspense",
        )
        .wallet(USER, [0, 0, 0, 0, 0])
        .stands("gateway:razorpay", Asset::INR, 0)
        .stands("suspense:razorpay", Asset::INR, 5_000);
}

#[test]
fn a_refund_never_takes_coins_of_another_purchase() {
    let mut world = World::new();
    world.given(plan(5_000, 0, None));
    let spent = world.buy(USER);
    world.given(rose());
    world.buy(USER);
    world
        .refuse(refund(spent, "rfnd_1", 10_000), Rejection::RefundExceedsUnspent { refundable_minor: 0 })
        .wallet(USER, [5_000, 0, 5_000, 0, 0]);
}

#[test]
fn refunds_too_small_for_a_coin_do_not_refund_what_was_spent() {
    let mut world = World::new();
    // Fewer thousandths of a coin than paise: most paise are worth no thousandth at all.
    world.given(plan(3, 0, None)).given(Command::from(SetGiftPrice { gift: ROSE, price_milli: Some(3) }));
    let purchase = world.buy(USER);
    world
        .given(gift(USER, HOST, None, 3))
        .refuse(refund(purchase, "rfnd_1", 1), Rejection::RefundExceedsUnspent { refundable_minor: 0 })
        .check(refund_reported(Some(purchase), "rfnd_1", 1), "refunded 1 for 0+0, 1 to suspense");
}

#[test]
fn what_is_unspent_of_bought_and_bonus_coins_is_what_can_be_refunded() {
    let mut world = World::new();
    world.given(plan(100_000, 20_000, None));
    let purchase = world.buy(USER);
    world
        .check(rose(), "gift: 5000; split 3000/0/2000")
        // 115 of 120 coins are left of what cost 100 rupees.
        .refuse(
            refund(purchase, "rfnd_1", 9_584),
            Rejection::RefundExceedsUnspent { refundable_minor: 9_583 },
        )
        .check(refund(purchase, "rfnd_1", 9_583), "refunded 9583 for 100000+15000")
        .wallet(USER, [0, 0, 0, 0, 0])
        .refuse(refund(purchase, "rfnd_2", 1), Rejection::RefundExceedsUnspent { refundable_minor: 0 });
}

#[test]
fn a_full_refund_after_the_bonus_is_spent_gives_back_what_the_rest_is_worth() {
    let mut world = World::new();
    world
        .given(plan(2_000_000, 200_000, None))
        .given(Command::from(SetGiftPrice { gift: ROSE, price_milli: Some(200_000) }));
    let purchase = world.buy(USER);
    world
        .given(gift(USER, HOST, None, 200_000))
        .wallet(USER, [2_000_000, 0, 2_000_000, 0, 0])
        .refuse(
            refund(purchase, "rfnd_1", 10_000),
            Rejection::RefundExceedsUnspent { refundable_minor: 9_090 },
        )
        // The gateway's panel knows no such limit: the rest waits for a person.
        .check(
            refund_reported(Some(purchase), "rfnd_1", 10_000),
            "refunded 10000 for 2000000+0, 910 to suspense",
        )
        .wallet(USER, [0, 0, 0, 0, 0])
        .stands("suspense:razorpay", Asset::INR, 910);
}

#[test]
fn a_refund_before_its_capture_waits_for_it_and_both_come_to_nothing() {
    for days in [0, 1, 400] {
        let mut world = World::new();
        world.given(plan(100_000, 20_000, None));
        let order = world.order(USER);
        world
            .check(
                refund_of("pay_1", "rfnd_1", 10_000),
                "unmatched out 10000 INR/2: RefundBeforeCapture, no purchase",
            )
            .stands("suspense:razorpay", Asset::INR, 10_000)
            .at_ms(days * DAY_MS)
            .check(
                capture(Some(order), "pay_1", 10_000),
                "captured 100000 for 10000; bonus 20000 (Plan); refunded 10000 for 100000+20000",
            )
            .wallet(USER, [0, 0, 0, 0, 0])
            .stands("suspense:razorpay", Asset::INR, 0)
            .stands("gateway:razorpay", Asset::INR, 0)
            .stands("exchange:coins", Asset::INR, 0)
            .stands("platform:promotions", Asset::COIN, 0);
    }
}

#[test]
fn capture_and_refunds_come_to_the_same_in_any_order() {
    let payment = |order| capture(Some(order), "pay_1", 10_000);
    let refunds = [refund_of("pay_1", "rfnd_1", 2_500), refund_of("pay_1", "rfnd_2", 3_333)];
    let mut ends = Vec::new();
    for place in 0..=2 {
        for turned in [false, true] {
            let mut world = World::new();
            world.given(plan(100_000, 20_000, None));
            let order = world.order(USER);
            let mut steps: Vec<Command> = refunds.to_vec();
            if turned {
                steps.reverse();
            }
            steps.insert(place, payment(order));
            for step in steps {
                world.given(step.clone());
                // The gateway says everything twice.
                let envelope = world.envelope(step);
                assert!(matches!(world.send(&envelope), Ok((events, _)) if events.is_empty()));
            }
            ends.push((world.state.wallet(USER, world.now), world.state.balances()));
        }
    }
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:#?}");
}

#[test]
fn a_payment_in_suspense_and_its_refund_close_each_other() {
    let mut world = World::new();
    world
        .check(capture(None, "pay_1", 700), "unmatched in 700 INR/2: UnknownOrder, no purchase")
        .check(refund_of("pay_1", "rfnd_1", 700), "unmatched out 700 INR/2: RefundUnmatched, no purchase")
        .stands("suspense:razorpay", Asset::INR, 0);
    assert!((0..world.state.next_revision()).all(|case| world.state.suspense_case(case).is_none()));
    world
        .check(refund_of("pay_2", "rfnd_2", 700), "unmatched out 700 INR/2: RefundBeforeCapture, no purchase")
        .check(capture(None, "pay_2", 700), "unmatched in 700 INR/2: UnknownOrder, no purchase")
        .stands("suspense:razorpay", Asset::INR, 0);
    assert!((0..world.state.next_revision()).all(|case| world.state.suspense_case(case).is_none()));
}

#[test]
fn a_payment_is_recorded_once_whatever_its_key() {
    let mut world = World::new();
    let (first, second) = (world.order(USER), world.order(USER));
    world.given(capture(Some(first), "pay_1", 10_000));
    let again = capture(Some(second), "pay_1", 10_000);
    let envelope = Envelope { key: Key::Natural("another".to_owned()), ..world.envelope(again) };
    world.refuse_sent(&envelope, Rejection::PaymentKnown);
}

#[test]
fn a_capture_that_nobody_can_hold_stands_in_suspense() {
    let mut world = World::new();
    world.given(adjust(Account::UserPurchased(USER), MAX_AMOUNT));
    let order = world.order(USER);
    world.check(capture(Some(order), "pay_1", 10_000), "unmatched in 10000 INR/2: BalanceFull").stands(
        "suspense:razorpay",
        Asset::INR,
        -10_000,
    );
}

/// Opens a case in suspense; answers its number.
fn case_of(world: &mut World, command: Command) -> u64 {
    world.given(command);
    world.state.next_revision() - 1
}

fn resolve(case: u64, resolution: Resolution) -> Command {
    Command::from(ResolveSuspense { case, resolution, reason: "checked_with_bank".to_owned() })
}

#[test]
fn a_person_resolves_what_stands_in_suspense_once() {
    let mut world = World::new();
    let order = world.order(USER);
    let paid = case_of(&mut world, capture(None, "pay_1", 10_000));
    let kept = case_of(&mut world, capture(None, "pay_2", 700));
    let sent_back = case_of(&mut world, capture(None, "pay_3", 800));
    let borne = case_of(&mut world, refund_of("pay_old", "rfnd_old", 900));
    world
        .refuse(resolve(kept, Resolution::Purchase(order)), Rejection::ResolutionUnfit)
        .refuse(resolve(borne, Resolution::Refund("rfnd_9".to_owned())), Rejection::ResolutionUnfit)
        .refuse(resolve(sent_back, Resolution::Refund("rfnd_old".to_owned())), Rejection::RefundKnown)
        .refuse(resolve(999, Resolution::Income), Rejection::UnknownCase)
        .check(resolve(paid, Resolution::Purchase(order)), "resolved 10000; captured 100000 for 10000")
        .wallet(USER, [100_000, 0, 100_000, 0, 0])
        .refuse(resolve(paid, Resolution::Income), Rejection::UnknownCase)
        .check(resolve(kept, Resolution::Income), "resolved 700")
        .check(resolve(sent_back, Resolution::Refund("rfnd_3".to_owned())), "resolved 800")
        // The gateway's own word of that refund moves nothing again.
        .refuse(refund_of("pay_3", "rfnd_3", 800), Rejection::RefundKnown)
        .check(resolve(borne, Resolution::Income), "resolved 900")
        .stands("suspense:razorpay", Asset::INR, 0)
        .stands("gateway:razorpay", Asset::INR, 10_000 + 700 - 900)
        .stands("platform:revenue", Asset::INR, 900 - 700)
        // The payment has bought coins now: its refund takes them back.
        .check(refund_of("pay_1", "rfnd_1", 10_000), "refunded 10000 for 100000+0");
}

#[test]
fn a_capture_after_its_refund_was_borne_gives_the_platform_its_money_back() {
    let mut world = World::new();
    let order = world.order(USER);
    let borne = case_of(&mut world, refund_of("pay_1", "rfnd_1", 10_000));
    world
        .given(resolve(borne, Resolution::Income))
        .check(
            capture(Some(order), "pay_1", 10_000),
            "captured 100000 for 10000; refunded 10000 for 100000+0",
        )
        .wallet(USER, [0, 0, 0, 0, 0])
        .stands("platform:revenue", Asset::INR, 0)
        .stands("suspense:razorpay", Asset::INR, 0);
}

#[test]
fn bonus_from_elsewhere_stays() {
    let mut world = World::new();
    world.given(plan(100_000, 20_000, None));
    let purchase = world.buy(USER);
    world.bonus(7_000, None);
    world
        .check(refund(purchase, "rfnd_1", 10_000), "refunded 10000 for 100000+20000")
        .wallet(USER, [0, 7_000, 7_000, 0, 0]);
}

#[test]
fn a_refund_that_fits_no_purchase_stands_in_suspense() {
    let mut world = World::new();
    let (bought, open) = (world.buy(USER), world.order(USER));
    let euros = Command::from(RecordRefund {
        gateway: Gateway::Razorpay,
        payment_ref: payment_of(bought),
        refund_ref: "rfnd_4".to_owned(),
        amount_minor: 100,
        asset: Asset::new("EUR", 2).expect("an asset"),
    });
    #[rustfmt::skip]
    world
        .check(refund_reported(None, "rfnd_1", 100), "unmatched out 100 INR/2: RefundBeforeCapture, no purchase")
        .check(refund_reported(Some(open), "rfnd_2", 100), "unmatched out 100 INR/2: RefundBeforeCapture, no purchase")
        .check(refund_reported(Some(bought), "rfnd_3", 10_001), "unmatched out 10001 INR/2: RefundUnmatched")
        .check(euros, "unmatched out 100 EUR/2: RefundUnmatched")
        .stands("suspense:razorpay", Asset::INR, 100 + 100 + 10_001)
        .refuse(refund(open, "rfnd_5", 1), Rejection::PurchaseNotCaptured)
        // What stands in suspense under a reference is not refunded under it again.
        .refuse(refund(bought, "rfnd_3", 1), Rejection::RefundKnown);
    let cause = world.last(|event| match event {
        Event::UnmatchedMoneyReceived(it) => Some(it.cause),
        _ => None,
    });
    assert_eq!(cause, UnmatchedCause::RefundUnmatched);
}

#[test]
fn the_gateways_word_of_our_own_refund_changes_nothing() {
    let mut world = World::new();
    let purchase = world.buy(USER);
    world
        .check(refund(purchase, "rfnd_1", 10_000), "refunded 10000 for 100000+0")
        .refuse(refund_reported(Some(purchase), "rfnd_1", 10_000), Rejection::RefundKnown);
}
