//! Coins for money.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::*;

#[test]
fn a_user_buys_a_plan_and_gets_its_coins_and_its_bonus() {
    let mut world = World::new();
    world.check(plan(100_000, 20_000, Some(3_600)), "plan 100000+20000 for 10000 INR/2");
    let order = world.order(USER);
    world
        .wallet(USER, [0, 0, 0, 0, 0])
        .check(capture(Some(order), "pay_a", 10_000), "captured 100000 for 10000; bonus 20000 (Plan)")
        .wallet(USER, [100_000, 20_000, 120_000, 0, 0])
        .stands("gateway:razorpay", Asset::INR, 10_000)
        .stands("exchange:coins", Asset::INR, -10_000)
        .stands("exchange:coins", Asset::COIN, 100_000)
        .stands("platform:promotions", Asset::COIN, 20_000);
}

#[test]
fn what_an_order_costs_and_gives_is_fixed_when_it_is_opened() {
    let mut world = World::new();
    let order = world.order(USER);
    world
        .check(plan(1, 0, None), "plan 1+0 for 10000 INR/2")
        .check(capture(Some(order), "pay_a", 10_000), "captured 100000 for 10000");
}

#[test]
fn money_that_fits_no_open_order_stands_in_suspense() {
    let mut world = World::new();
    let paid = world.buy(USER);
    let open = world.order(USER);
    let nobodys = PurchaseId(uuid::Uuid::from_u128(0xdead));
    let dollars = Command::from(CapturePurchase {
        gateway: Gateway::Razorpay,
        purchase: Some(open),
        payment_ref: "pay_usd".to_owned(),
        amount_minor: 10_000,
        asset: Asset::new("USD", 2).expect("an asset"),
    });
    #[rustfmt::skip]
    world
        .check(capture(None, "pay_1", 700), "unmatched in 700 INR/2: UnknownOrder, no purchase")
        .check(capture(Some(nobodys), "pay_2", 700), "unmatched in 700 INR/2: UnknownOrder, no purchase")
        .check(capture(Some(paid), "pay_3", 10_000), "unmatched in 10000 INR/2: SecondPayment")
        .check(capture(Some(open), "pay_4", 9_999), "unmatched in 9999 INR/2: AmountMismatch")
        .check(capture(Some(open), "pay_5", 10_001), "unmatched in 10001 INR/2: AmountMismatch")
        .check(dollars, "unmatched in 10000 USD/2: CurrencyMismatch")
        .wallet(USER, [100_000, 0, 100_000, 0, 0])
        .stands("suspense:razorpay", Asset::INR, -(700 + 700 + 10_000 + 9_999 + 10_001))
        // The order itself is still open for the right amount.
        .check(capture(Some(open), "pay_6", 10_000), "captured 100000 for 10000");
}

#[test]
fn a_capture_after_a_failure_credits() {
    let mut world = World::new();
    let order = world.order(USER);
    world
        .check(fail(order, "pay_a"), "payment failed: bank_declined")
        .check(fail(order, "pay_b"), "payment failed: bank_declined")
        .check(capture(Some(order), "pay_b", 10_000), "captured 100000 for 10000")
        .refuse(fail(order, "pay_c"), Rejection::PurchaseNotOpen);
}

#[test]
fn the_gateways_news_in_any_order_and_more_than_once_credit_once() {
    let mut world = World::new();
    let order = world.order(USER);
    let capture = capture(Some(order), "pay_a", 10_000);
    world.check(capture.clone(), "captured 100000 for 10000");
    let revision = world.state.next_revision() - 1;
    world
        .check(capture.clone(), &format!("duplicate of {revision}"))
        .refuse(fail(order, "pay_a"), Rejection::PurchaseNotOpen)
        // Gateways repeat themselves for days: this key never expires.
        .at_ms(400 * DAY_MS)
        .check(capture, &format!("duplicate of {revision}"))
        .wallet(USER, [100_000, 0, 100_000, 0, 0]);
}

#[test]
fn bonus_coins_go_back_to_the_platform_when_they_expire() {
    let mut world = World::new();
    let lot = world.bonus(4_000, Some(60));
    let expire = Command::from(ExpireBonus { lot });
    world
        .wallet(USER, [0, 4_000, 4_000, 0, 0])
        .at_ms(59_999)
        .refuse(expire.clone(), Rejection::LotNotExpired)
        .at(60)
        // Not spendable from the very moment, whether or not somebody has swept them.
        .wallet(USER, [0, 4_000, 0, 0, 0])
        .check(expire.clone(), "bonus expired 4000")
        .wallet(USER, [0, 0, 0, 0, 0])
        .stands("platform:promotions", Asset::COIN, 0)
        .refuse(expire, Rejection::UnknownLot);
}

#[test]
fn bonus_goes_before_bought_and_what_expires_first_goes_first() {
    let mut world = World::with_coins(10_000);
    world.bonus(1_000, None);
    world.bonus(1_000, Some(3_600));
    world.bonus(1_000, Some(60));
    world.bonus(1_000, Some(1_800));
    let order = |world: &World| {
        world.last(|event| match event {
            Event::GiftSent(it) => {
                Some(it.draws.iter().map(|it| world.state.lot(it.lot).is_some()).collect::<Vec<_>>())
            }
            _ => None,
        })
    };
    let expiries = world.state.expiring_lots().iter().map(|(at, _)| at.since(START)).collect::<Vec<_>>();
    assert_eq!(expiries.len(), 3, "lots with an expiry");
    // The first of them has expired at 61 s: 1800 s, 3600 s, without end, bought.
    world
        .at(61)
        .wallet(USER, [10_000, 4_000, 13_000, 0, 0])
        .check(rose(), "gift: 5000 (1000+1000+1000+2000); split 3000/0/2000")
        .wallet(USER, [8_000, 1_000, 8_000, 0, 0]);
    assert_eq!(order(&world), [false, false, false, true], "only the bought lot has coins left");
    let drawn = world.last(|event| match event {
        Event::GiftSent(it) => Some(it.draws.iter().map(|it| it.lot).collect::<Vec<_>>()),
        _ => None,
    });
    let granted: Vec<(Option<i64>, LotId)> = world
        .journal
        .iter()
        .filter_map(|it| match &it.event {
            Event::BonusGranted(it) => Some((it.expires_at.map(|at| at.since(START) / 1_000), it.lot)),
            _ => None,
        })
        .collect();
    let lot = |expiry| granted.iter().find(|(it, _)| *it == expiry).expect("a lot").1;
    assert_eq!(drawn[..3], [lot(Some(1_800)), lot(Some(3_600)), lot(None)]);
}

#[test]
fn bought_coins_go_by_age() {
    let mut world = World::with_coins(3_000);
    world.buy(USER);
    world.check(rose(), "gift: 5000 (3000+2000); split 3000/0/2000");
}

#[test]
fn a_purchase_that_nobody_pays_expires_and_a_late_payment_still_credits() {
    let mut world = World::new();
    let [late, paid, failed] = [(); 3].map(|()| world.order(USER));
    world
        .check(expire(late), "order expired")
        .check(fail(failed, "pay_f"), "payment failed: bank_declined")
        .check(expire(failed), "order expired")
        .given(capture(Some(paid), "pay_1", 10_000))
        .refuse(expire(paid), Rejection::PurchaseNotOpen)
        .refuse(expire(PurchaseId(uuid::Uuid::nil())), Rejection::UnknownPurchase)
        .wallet(USER, [100_000, 0, 100_000, 0, 0]);
    let again = world.envelope(expire(late));
    assert!(matches!(world.send(&again), Ok((events, _)) if events.is_empty()), "it has expired already");
    world
        .check(capture(Some(late), "pay_2", 10_000), "captured 100000 for 10000")
        .refuse(expire(late), Rejection::PurchaseNotOpen)
        .check(refund_of("pay_2", "rfnd_2", 10_000), "refunded 10000 for 100000+0")
        .wallet(USER, [100_000, 0, 100_000, 0, 0]);
}

#[test]
fn a_purchase_leaves_when_no_gateway_speaks_of_it_any_more() {
    let mut world = World::new();
    let [unpaid, expired, paid] = [(); 3].map(|()| world.order(USER));
    world.given(expire(expired)).given(capture(Some(paid), "pay_1", 10_000));
    let there = |world: &mut World| {
        // It is the next purchase that makes room.
        world.order(OTHER);
        [unpaid, expired, paid].map(|id| world.state.purchase(id).is_some())
    };
    world.at_ms(45 * DAY_MS);
    assert_eq!(there(&mut world), [true, true, true]);
    world.at_ms(45 * DAY_MS + 1);
    assert_eq!(there(&mut world), [false, false, true]);
    // Money that comes all the same is kept for a person to look at, once.
    world
        .check(capture(Some(unpaid), "pay_2", 10_000), "unmatched in 10000 INR/2: UnknownOrder, no purchase")
        .refuse(fail(unpaid, "pay_3"), Rejection::UnknownPurchase)
        .at_ms(549 * DAY_MS)
        .check(refund_of("pay_1", "rfnd_1", 2_500), "refunded 2500 for 25000+0")
        .at_ms(550 * DAY_MS + 1);
    assert_eq!(there(&mut world), [false, false, false]);
    world
        .check(refund_of("pay_1", "rfnd_2", 2_500), "unmatched out 2500 INR/2: RefundUnmatched")
        .wallet(USER, [75_000, 0, 75_000, 0, 0]);
    for (command, known) in [
        (capture(Some(paid), "pay_1", 10_000), Rejection::PaymentKnown),
        (refund_of("pay_1", "rfnd_1", 2_500), Rejection::RefundKnown),
        (refund_of("pay_1", "rfnd_2", 2_500), Rejection::RefundKnown),
    ] {
        let mut again = world.envelope(command);
        again.key = world.fresh_key();
        world.refuse_sent(&again, known);
    }
}
