//! Money back.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::event::UnmatchedCause;
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
        let taken = row.coins_milli * refunded_minor / row.price_minor;
        let left = self.state.lot(captured.lot).map_or(0, |lot| lot.remaining_milli);
        assert_eq!(left, row.coins_milli - taken);
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
        .refuse(refund(purchase, "rfnd_1", 5_001), Rejection::RefundExceedsUnspent { unspent_milli: 5_000 })
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
        .refuse(refund(spent, "rfnd_1", 10_000), Rejection::RefundExceedsUnspent { unspent_milli: 0 })
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
        .refuse(refund(purchase, "rfnd_1", 1), Rejection::RefundExceedsUnspent { unspent_milli: 0 })
        .check(refund_reported(Some(purchase), "rfnd_1", 1), "refunded 1 for 0+0, 1 to suspense");
}

#[test]
fn bonus_that_is_spent_is_not_asked_back() {
    let mut world = World::new();
    world.given(plan(100_000, 20_000, None));
    let purchase = world.buy(USER);
    world
        .check(rose(), "gift: 5000; split 3000/0/2000")
        .check(refund(purchase, "rfnd_1", 10_000), "refunded 10000 for 100000+15000")
        .wallet(USER, [0, 0, 0, 0, 0]);
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
        purchase: Some(bought),
        refund_ref: "rfnd_4".to_owned(),
        amount_minor: 100,
        asset: Asset::new("EUR", 2).expect("an asset"),
    });
    #[rustfmt::skip]
    world
        .check(refund_reported(None, "rfnd_1", 100), "unmatched out 100 INR/2: RefundUnmatched, no purchase")
        .check(refund_reported(Some(open), "rfnd_2", 100), "unmatched out 100 INR/2: RefundUnmatched")
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
