//! Premium subscriptions: each period charged once, and never for time in which nothing was given.

use crate::booked::Flow;
use crate::identities::Known;
use crate::rejections::Case;
use crate::world::*;
use ledger_core::command::*;
use ledger_core::*;
use uuid::Uuid;

pub const PREMIUM: SubscriptionPlanId = SubscriptionPlanId(Uuid::from_u128(0x50a));
const SUBSCRIPTION: SubscriptionId = SubscriptionId(Uuid::from_u128(0x51a));
const NOBODYS: SubscriptionId = SubscriptionId(Uuid::from_u128(0xdead));
const PERIOD: i64 = 30 * DAY_MS / 1_000;
const GRACE: i64 = 3 * DAY_MS / 1_000;

/// 30 coins or 29 rupees for thirty days, with three days of grace.
pub fn set() -> SetSubscriptionPlan {
    SetSubscriptionPlan {
        plan: PREMIUM,
        price_milli: 30_000,
        price: Some(Price { amount_minor: 2_900, asset: Asset::INR }),
        period_seconds: 2_592_000,
        grace_seconds: 259_200,
        entitlements: vec!["no_ads".to_owned(), "see_likes".to_owned()],
        active: true,
    }
}

/// The same for a minute, with 20 seconds of grace.
pub fn short() -> SetSubscriptionPlan {
    SetSubscriptionPlan { period_seconds: 60, grace_seconds: 20, ..set() }
}

pub fn start(user: PersonId) -> Command {
    StartSubscription { user, plan: PREMIUM, price_seen_milli: 30_000 }.into()
}

pub fn buy(user: PersonId) -> Command {
    BuySubscription { user, plan: PREMIUM, gateway: Gateway::Razorpay }.into()
}

pub fn renew(subscription: SubscriptionId, period: u32) -> Command {
    RenewSubscription { subscription, period }.into()
}

pub fn cancel(subscription: SubscriptionId, user: PersonId) -> Command {
    CancelSubscription { subscription, user }.into()
}

pub fn resume(subscription: SubscriptionId, user: PersonId) -> Command {
    ResumeSubscription { subscription, user }.into()
}

/// The subscription of which something happened last.
pub fn last(world: &World) -> SubscriptionId {
    world.last(|event| match event {
        Event::SubscriptionPaid(it) => Some(it.subscription),
        _ => None,
    })
}

/// [`USER`] has so many coins and has begun a subscription with 30 of them.
fn subscriber(coins_milli: i64) -> (World, SubscriptionId) {
    let mut world = World::with_coins(coins_milli);
    world.given(set().into()).given(start(USER));
    let id = last(&world);
    (world, id)
}

/// [`USER`] has opened a purchase of a period.
fn ordered(world: &mut World) -> PurchaseId {
    world.given(buy(USER));
    world.last(|event| match event {
        Event::PurchaseOpened(it) => Some(it.purchase),
        _ => None,
    })
}

fn pay(world: &mut World) {
    let purchase = ordered(world);
    world.given(capture(Some(purchase), &payment_of(purchase), 2_900));
}

/// Everything that happens with subscriptions, at the end of the story in which everything happens.
pub fn everything(world: &mut World) {
    let user = PersonId(Uuid::from_u128(0x78));
    world.given(set().into());
    world.given(grant(user, 40_000, None)).given(start(user));
    let id = last(world);
    world.given(cancel(id, user)).given(resume(id, user));
    world.now = world.now.plus_ms(PERIOD * 1_000);
    world.given(renew(id, 2));
    world.now = world.now.plus_ms(GRACE * 1_000);
    world.given(renew(id, 2));
    world.given(buy(user));
}

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    use Rejection::*;
    vec![
        ("a plan with a grace longer than its period", |_| SetSubscriptionPlan { grace_seconds: 2_592_001, ..set() }.into(), GraceTooLong),
        ("a plan that entitles to nothing", |_| SetSubscriptionPlan { entitlements: vec![], ..set() }.into(), EntitlementsInvalid),
        ("an entitlement in words", |_| SetSubscriptionPlan { entitlements: vec!["No ads".to_owned()], ..set() }.into(), EntitlementsInvalid),
        ("an entitlement twice", |_| SetSubscriptionPlan { entitlements: vec!["no_ads".to_owned(); 2], ..set() }.into(), EntitlementsInvalid),
        ("a plan sold for coins as for money", |_| SetSubscriptionPlan { price: Some(Price { amount_minor: 1, asset: Asset::COIN }), ..set() }.into(), PriceInCoins),
        ("a period of no time", |_| SetSubscriptionPlan { period_seconds: 0, ..set() }.into(), AmountNotPositive { field: "period_seconds" }),
        ("subscribing to no plan", |_| start(USER), UnknownSubscriptionPlan),
        ("subscribing to a plan that is not sold", |w| { w.given(SetSubscriptionPlan { active: false, ..set() }.into()); start(USER) }, SubscriptionPlanInactive),
        ("subscribing at another price", |w| { w.given(SetSubscriptionPlan { price_milli: 31_000, ..set() }.into()); start(USER) }, SubscriptionPriceChanged { price_milli: 31_000 }),
        ("subscribing without coins", |w| { w.given(set().into()); start(USER) }, InsufficientFunds { needed_milli: 30_000, spendable_milli: 0 }),
        ("subscribing twice", |w| { *w = subscriber(100_000).0; start(USER) }, AlreadySubscribed),
        ("paying for what is sold for coins alone", |w| { w.given(SetSubscriptionPlan { price: None, ..set() }.into()); buy(USER) }, NotSoldForMoney),
        ("the renewal of nothing", |_| renew(NOBODYS, 1), UnknownSubscription),
        ("the cancelling of somebody else's", |w| { let (world, id) = subscriber(100_000); *w = world; cancel(id, OTHER) }, UnknownSubscription),
        ("a renewal too early", |w| { let (world, id) = subscriber(100_000); *w = world; w.at(PERIOD - 1); renew(id, 2) }, RenewalNotDue { due: START.plus_ms(PERIOD * 1_000) }),
        ("a renewal of a period that is paid", |w| { let (world, id) = subscriber(100_000); *w = world; w.at(PERIOD); renew(id, 1) }, RenewalOutOfOrder { next: 2 }),
        ("a renewal that skips one", |w| { let (world, id) = subscriber(100_000); *w = world; w.at(PERIOD); renew(id, 3) }, RenewalOutOfOrder { next: 2 }),
        ("a renewal without coins, once more", |w| { let (world, id) = subscriber(30_000); *w = world; w.at(PERIOD).given(renew(id, 2)); renew(id, 2) }, InsufficientFunds { needed_milli: 30_000, spendable_milli: 0 }),
        ("resuming what has ended", |w| { let (world, id) = subscriber(30_000); *w = world; w.given(cancel(id, USER)).at(PERIOD); resume(id, USER) }, UnknownSubscription),
    ]
}

#[rustfmt::skip]
pub fn commands() -> Vec<Known> {
    vec![
        (set().into(), "b984b400-40fc-5c82-a495-e2a3ed383649", "18411d6db7a1aca8cf5cf95262eef1ca"),
        (SetSubscriptionPlan { price: None, active: false, ..set() }.into(), "b984b400-40fc-5c82-a495-e2a3ed383649", "06946c09330a511401d6a54c8def1530"),
        (start(USER), "91d02707-2af4-5a60-8f46-49bb6245e4aa", "3c015248985d99df816d0941a9d3aa55"),
        (buy(USER), "c9dc7859-c1d1-599f-bc2a-f10c36a79d44", "eebe65cc1f6f7779c49190f64c27f678"),
        (renew(SUBSCRIPTION, 2), "5ed77293-3272-501d-8868-4c6be719dbc3", "991b1c1280eebf65fc6e60a69796c440"),
        (cancel(SUBSCRIPTION, USER), "ecf075d9-09e6-586a-8dae-747e07dc5776", "fc97f1218c65e3c6262c72a347fae5ab"),
        (resume(SUBSCRIPTION, USER), "105b1753-dff9-556d-84e4-a267197978d4", "de1761a5b2a18acc4b27803fd3a9d2b7"),
    ]
}

pub const FLOWS: &[Flow] = &[
    ("A period of a subscription is paid in coins", || {
        let mut world = World::with_coins(100_000);
        world.given(set().into());
        (world, start(USER))
    }),
    ("A period of a subscription is paid at the gateway", || {
        let mut world = World::new();
        world.given(set().into());
        let purchase = ordered(&mut world);
        (world, capture(Some(purchase), "pay_1", 2_900))
    }),
];

fn entitled(world: &World) -> bool {
    world.state.entitlements(USER, world.now).contains("no_ads")
}

#[test]
fn each_period_is_charged_once_however_often_and_late_the_driver_comes() {
    let (mut world, id) = subscriber(200_000);
    assert!(entitled(&world));
    // On time, twice.
    world.at(PERIOD).check(renew(id, 2), "period 2 paid 30000");
    world.refuse(renew(id, 2), Rejection::RenewalOutOfOrder { next: 3 });
    // Late within the grace, in which everything went on: the period began when the last one ended.
    world.at(2 * PERIOD + GRACE - 1);
    assert!(entitled(&world));
    world.check(renew(id, 3), "period 3 paid 30000");
    assert_eq!(world.state.subscription(id).expect("lives").until, START.plus_ms(3 * PERIOD * 1_000));
    // Three periods late: nothing was given after the grace, so one period is charged, which begins now.
    world.at(6 * PERIOD);
    assert!(!entitled(&world));
    world.check(renew(id, 4), "period 4 paid 30000");
    world.refuse(renew(id, 4), Rejection::RenewalOutOfOrder { next: 5 });
    let due = START.plus_ms(7 * PERIOD * 1_000);
    world.refuse(renew(id, 5), Rejection::RenewalNotDue { due });
    world.wallet(USER, [80_000, 0, 80_000, 0, 0]).stands("platform:revenue", Asset::COIN, -120_000);
}

#[test]
fn a_period_that_cannot_be_paid_waits_for_coins_within_the_grace() {
    let (mut world, id) = subscriber(40_000);
    world.at(PERIOD).check(renew(id, 2), "grace of period 2");
    let ends = START.plus_ms((PERIOD + GRACE) * 1_000);
    let renewal = RenewSubscription { subscription: id, period: 2 };
    assert_eq!(world.state.renewal_due(id, world.now), Some((ends, renewal.clone())), "nothing before");
    assert!(entitled(&world));
    // Coins come: it is due at once, and paid from when the last period ended.
    world.at(PERIOD + 3_600).given(grant(USER, 30_000, None));
    let due = world.state.renewal_due(id, world.now);
    assert_eq!(due, Some((START.plus_ms(PERIOD * 1_000), renewal)));
    world.check(renew(id, 2), "period 2 paid 30000");
    assert_eq!(world.state.subscription(id).expect("lives").until, START.plus_ms(2 * PERIOD * 1_000));
    // Cancelled in the grace, it ends at once, as nothing is paid any more.
    world.at(2 * PERIOD).check(renew(id, 3), "grace of period 3");
    world.given(cancel(id, USER)).refuse(resume(id, USER), Rejection::UnknownSubscription);
    world.check(renew(id, 3), "lapsed after 2 (Cancelled)");
    assert!(!entitled(&world));
    world.refuse(renew(id, 3), Rejection::UnknownSubscription);
    world.wallet(USER, [10_000, 0, 10_000, 0, 0]);
}

#[test]
fn what_is_not_paid_within_the_grace_lapses() {
    let (mut world, id) = subscriber(30_000);
    world.at(PERIOD).given(renew(id, 2)).at(PERIOD + GRACE).check(renew(id, 2), "lapsed after 1 (Unpaid)");
    // A driver that comes after all of it ends it too, and charges nothing.
    let (mut world, id) = subscriber(30_000);
    world.at(5 * PERIOD).check(renew(id, 2), "lapsed after 1 (Unpaid)");
    // Somebody who owes coins pays nothing, and so keeps nothing beyond the grace.
    world.given(grant(USER, 30_000, None)).check(start(USER), "period 1 paid 30000");
}

#[test]
fn cancelled_it_ends_with_its_period_and_resumed_it_goes_on() {
    let (mut world, id) = subscriber(100_000);
    world.check(cancel(id, USER), "cancelled").check(cancel(id, USER), "duplicate of 10");
    world.check(resume(id, USER), "resumed").check(resume(id, USER), "duplicate of 11");
    world.given(cancel(id, USER)).at(PERIOD - 1);
    assert!(entitled(&world));
    world.at(PERIOD);
    assert!(!entitled(&world), "no grace for what was not to go on");
    world.check(renew(id, 2), "lapsed after 1 (Cancelled)").wallet(USER, [70_000, 0, 70_000, 0, 0]);
}

#[test]
fn paid_at_the_gateway_it_begins_and_goes_on_without_a_gap() {
    let mut world = World::new();
    world.given(set().into());
    let purchase = ordered(&mut world);
    let paid = capture(Some(purchase), "pay_1", 2_900);
    world.check(paid.clone(), "captured 30000 for 2900; period 1 paid 30000").check(paid, "duplicate of 9");
    let id = last(&world);
    let row = world.state.subscription(id).expect("lives").clone();
    assert!(!row.renews && entitled(&world));
    // Bought again before it ends, it follows; nothing of it can be refunded as unspent coins.
    world.at(PERIOD - 60);
    pay(&mut world);
    assert_eq!(world.state.subscription(id).expect("lives").until, START.plus_ms(2 * PERIOD * 1_000));
    world.refuse(refund(purchase, "rfnd_1", 1), Rejection::RefundExceedsUnspent { refundable_minor: 0 });
    world.wallet(USER, [0; 5]).stands("platform:revenue", Asset::COIN, -60_000);
    // Resumed, it goes on in coins.
    world.given(resume(id, USER)).given(grant(USER, 30_000, None));
    world.at(2 * PERIOD).check(renew(id, 3), "period 3 paid 30000");
}

#[test]
fn coins_that_went_elsewhere_begin_no_period_and_what_is_left_stays() {
    let mut world = World::new();
    world.given(set().into());
    let purchase = ordered(&mut world);
    world.given(refund_of("pay_1", "rfnd_1", 1_450));
    world
        .check(capture(Some(purchase), "pay_1", 2_900), "captured 30000 for 2900; refunded 1450 for 15000+0");
    world.wallet(USER, [15_000, 0, 15_000, 0, 0]);
    assert!(!entitled(&world));
}

/// What was ordered is given, though the plan has changed until the payment came; and who renews in coins goes on at the
/// price that was agreed.
#[test]
fn a_period_bought_at_the_gateway_is_the_one_that_was_offered_and_raises_no_price() {
    let (mut world, id) = subscriber(100_000);
    let purchase = ordered(&mut world);
    let dearer = SetSubscriptionPlan { price_milli: 300_000, period_seconds: 60, grace_seconds: 20, ..set() };
    world.given(dearer.into()).given(capture(Some(purchase), "pay_1", 2_900));
    let row = world.state.subscription(id).expect("it runs").clone();
    assert_eq!((row.period, row.price_milli), (2, 30_000));
    assert_eq!(row.until, START.plus_ms(2 * PERIOD * 1_000));
    world.at(2 * PERIOD).given(renew(id, 3));
    world.wallet(USER, [40_000, 0, 40_000, 0, 0]);
}
