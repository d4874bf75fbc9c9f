//! Service orders: paid from the wallet, at the gateway or both; each coin is held, earned, or back where it came from.

use crate::booked::Flow;
use crate::identities::Known;
use crate::rejections::Case;
use crate::world::*;
use ledger_core::command::*;
use ledger_core::event::CommissionScope;
use ledger_core::orders::{Order, OrderStatus};
use ledger_core::*;
use proptest::prelude::*;
use uuid::Uuid;

pub const READING: ServiceId = ServiceId(Uuid::from_u128(0x5e1));
pub const REPORT: ServiceId = ServiceId(Uuid::from_u128(0x5e2));
pub const TENTH: CouponId = CouponId(Uuid::from_u128(0xc01));
const OTHER_COUPON: CouponId = CouponId(Uuid::from_u128(0xc02));
const ORDER: OrderId = OrderId(Uuid::from_u128(0x0d1));
const NOBODYS: OrderId = OrderId(Uuid::from_u128(0xdead));
pub const CODE: &str = "TENTH10";
/// For how long an order may be paid, by the policy of the world.
const TO_PAY: i64 = 1_800;

/// A reading by [`HOST`] for 40 coins or 40 rupees.
pub fn reading() -> SetService {
    SetService {
        service: READING,
        provider: Some(HOST),
        price_milli: 40_000,
        price: Some(Price { amount_minor: 4_000, asset: Asset::INR }),
        active: true,
    }
}

/// A report of the platform itself, for 20 coins alone.
pub fn report() -> SetService {
    SetService { service: REPORT, provider: None, price_milli: 20_000, price: None, active: true }
}

/// A tenth off, twice for a person and three times in all, for thirty days.
pub fn tenth() -> SetCoupon {
    SetCoupon {
        coupon: TENTH,
        code: CODE.to_owned(),
        discount: Discount::Percent(PercentOff { bps: 1_000, most_milli: None }),
        least_price_milli: Some(10_000),
        per_person: Some(2),
        in_all: Some(3),
        from: START,
        to: START.plus_ms(30 * DAY_MS),
        active: true,
    }
}

/// An order of [`READING`] for so much, of which the wallet pays a part.
pub fn order(user: PersonId, total_seen_milli: i64, wallet_milli: i64) -> PlaceOrder {
    let gateway = Gateway::Razorpay;
    PlaceOrder { user, service: READING, coupon: None, total_seen_milli, wallet_milli, gateway }
}

/// The same with [`CODE`].
pub fn order_with(user: PersonId, total_seen_milli: i64, wallet_milli: i64) -> PlaceOrder {
    PlaceOrder { coupon: Some(CODE.to_owned()), ..order(user, total_seen_milli, wallet_milli) }
}

pub fn accept(order: OrderId) -> Command {
    AcceptOrder { order, host: Some(HOST) }.into()
}

pub fn complete(order: OrderId) -> Command {
    CompleteOrder { order, host: Some(HOST) }.into()
}

pub fn cancel(order: OrderId) -> Command {
    CancelOrder { order, user: USER }.into()
}

pub fn decline(order: OrderId) -> Command {
    DeclineOrder { order, host: Some(HOST), reason: "fully_booked".to_owned() }.into()
}

pub fn expire(order: OrderId) -> Command {
    ExpireOrder { order }.into()
}

pub fn give_back(order: OrderId, amount_milli: i64) -> Command {
    RefundOrder { order, amount_milli, reason: "not_as_described".to_owned() }.into()
}

/// The order that was placed last.
pub fn last(world: &World) -> OrderId {
    world.last(|event| match event {
        Event::OrderPlaced(it) => Some(it.order),
        _ => None,
    })
}

fn placed(world: &mut World, command: PlaceOrder) -> OrderId {
    world.given(command.into());
    last(world)
}

fn row(world: &World, id: OrderId) -> Order {
    world.state.order(id).expect("an order").clone()
}

/// The gateway pays what it was asked for.
fn pay(world: &World, id: OrderId) -> Command {
    let purchase = row(world, id).purchase.expect("a purchase");
    let price_minor = world.state.purchase(purchase).expect("opened").price_minor;
    capture(Some(purchase), &payment_of(purchase), price_minor)
}

/// The services and the coupon, where [`USER`] has bought so many coins.
fn shop(coins_milli: i64) -> World {
    let mut world = if coins_milli == 0 { World::new() } else { World::with_coins(coins_milli) };
    world.given(reading().into()).given(report().into()).given(tenth().into());
    world
}

/// An order of a reading without a coupon, paid from the wallet.
fn paid() -> (World, OrderId) {
    let mut world = shop(100_000);
    let id = placed(&mut world, order(USER, 40_000, 40_000));
    (world, id)
}

/// An order of a reading with the coupon, by a host with an agency, that was completed.
fn completed() -> (World, OrderId) {
    let mut world = shop(100_000);
    world.given(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }.into());
    world.given(commission(CommissionScope::Agency(AGENCY), 5_000, 1_500));
    let id = placed(&mut world, order_with(USER, 36_000, 36_000));
    world.given(accept(id)).given(complete(id));
    (world, id)
}

fn unpaid() -> (World, OrderId) {
    let mut world = shop(100_000);
    let id = placed(&mut world, order(USER, 40_000, 10_000));
    (world, id)
}

/// Everything that happens with orders, at the end of the story in which everything happens.
pub fn everything(world: &mut World) {
    let user = PersonId(Uuid::from_u128(0x79));
    world.given(reading().into());
    world.given(SetCoupon { from: world.now, to: world.now.plus_ms(DAY_MS), ..tenth() }.into());
    world.given(grant(user, 50_000, Some(86_400)));
    let first = placed(world, order_with(user, 36_000, 16_000));
    let pays = pay(world, first);
    world.given(pays).given(accept(first));
    world.given(give_back(first, 1_000)).given(complete(first)).given(give_back(first, 1_000));
    let second = placed(world, order_with(user, 36_000, 20_000));
    world.given(DeclineOrder { order: second, host: None, reason: "closed".to_owned() }.into());
    let last = placed(world, order_with(user, 36_000, 20_000));
    world.given(CancelOrder { order: last, user }.into());
    placed(world, order_with(user, 36_000, 20_000));
}

/// A story of a day after which no order is open: see [`crate::leaving`].
pub fn day(world: &mut World, user: PersonId, number: u32) {
    let coupon = CouponId(Uuid::from_u128(0xc000 + u128::from(number % 4)));
    let (from, code) = (world.now, format!("DAILY{}", number % 4));
    let coupon = SetCoupon { coupon, code: code.clone(), from, to: START.plus_ms(3_000 * DAY_MS), ..tenth() };
    // Set up once, they stay: coupons are few.
    if world.state.coupon(coupon.coupon).is_none() {
        world.given(SetCoupon { per_person: None, in_all: None, ..coupon }.into());
    }
    let ask = |wallet_milli| PlaceOrder { coupon: Some(code.clone()), ..order(user, 36_000, wallet_milli) };
    world.given(grant(user, 72_000, None));
    let done = placed(world, ask(36_000));
    world.given(complete(done));
    let gone = placed(world, ask(36_000));
    world.given(CancelOrder { order: gone, user }.into());
    let late = placed(world, ask(20_000));
    world.now = world.now.plus_ms(TO_PAY * 1_000);
    world.given(expire(late));
}

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    use Rejection::*;
    vec![
        ("a service for nothing", |_| SetService { price_milli: 0, ..reading() }.into(), AmountNotPositive { field: "price_milli" }),
        ("a service whose money is coins", |_| SetService { price: Some(Price { amount_minor: 1, asset: Asset::COIN }), ..reading() }.into(), PriceInCoins),
        ("a coupon with words as code", |_| SetCoupon { code: "ten off".to_owned(), ..tenth() }.into(), CouponCodeUnfit),
        ("a coupon of more than all", |_| SetCoupon { discount: Discount::Percent(PercentOff { bps: 10_001, most_milli: None }), ..tenth() }.into(), CouponDiscountInvalid),
        ("a coupon of no share", |_| SetCoupon { discount: Discount::Percent(PercentOff { bps: 0, most_milli: None }), ..tenth() }.into(), CouponDiscountInvalid),
        ("a coupon of a share up to nothing", |_| SetCoupon { discount: Discount::Percent(PercentOff { bps: 1, most_milli: Some(0) }), ..tenth() }.into(), CouponDiscountInvalid),
        ("a coupon of no amount", |_| SetCoupon { discount: Discount::Amount(0), ..tenth() }.into(), CouponDiscountInvalid),
        ("a coupon that nobody can use", |_| SetCoupon { in_all: Some(0), ..tenth() }.into(), AmountNotPositive { field: "in_all" }),
        ("a coupon that ends before it begins", |_| SetCoupon { to: START, ..tenth() }.into(), CouponPeriodInvalid),
        ("another code for a coupon", |w| { *w = shop(0); SetCoupon { code: "OTHER10".to_owned(), ..tenth() }.into() }, CouponCodeFixed),
        ("the code of another coupon", |w| { *w = shop(0); SetCoupon { coupon: OTHER_COUPON, ..tenth() }.into() }, CouponCodeTaken),
        ("the change of a coupon that is over", |w| { *w = shop(0); w.now = START.plus_ms(30 * DAY_MS); SetCoupon { to: START.plus_ms(60 * DAY_MS), ..tenth() }.into() }, CouponOver),
        ("an order of nothing", |_| order(USER, 40_000, 0).into(), UnknownService),
        ("an order of what is not sold", |w| { w.given(SetService { active: false, ..reading() }.into()); order(USER, 40_000, 0).into() }, ServiceInactive),
        ("an order of one's own service", |w| { *w = shop(0); order(HOST, 40_000, 0).into() }, SelfPayment),
        ("an order with no such coupon", |w| { *w = shop(0); PlaceOrder { coupon: Some("NOSUCH".to_owned()), ..order(USER, 40_000, 0) }.into() }, UnknownCoupon),
        ("a coupon before its time", |w| { w.given(reading().into()).given(SetCoupon { from: START.plus_ms(1), ..tenth() }.into()); order_with(USER, 36_000, 0).into() }, CouponNotValid),
        ("a coupon after its time", |w| { *w = shop(0); w.now = START.plus_ms(30 * DAY_MS); order_with(USER, 36_000, 0).into() }, CouponNotValid),
        ("a coupon that is switched off", |w| { w.given(reading().into()).given(SetCoupon { active: false, ..tenth() }.into()); order_with(USER, 36_000, 0).into() }, CouponNotValid),
        ("a coupon for dearer things", |w| { w.given(reading().into()).given(SetCoupon { least_price_milli: Some(40_001), ..tenth() }.into()); order_with(USER, 36_000, 0).into() }, CouponPriceTooLow { least_milli: 40_001 }),
        ("a coupon a third time", |w| { *w = shop(0); for _ in 0..2 { w.given(order_with(USER, 36_000, 0).into()); } order_with(USER, 36_000, 0).into() }, CouponPersonFull { most: 2 }),
        ("a coupon beyond all of its uses", |w| { *w = shop(0); for it in [USER, USER, OTHER] { w.given(order_with(it, 36_000, 0).into()); } order_with(OTHER_HOST, 36_000, 0).into() }, CouponUsedUp),
        ("an order at another price", |w| { *w = shop(0); order(USER, 39_999, 0).into() }, OrderTotalChanged { total_milli: 40_000 }),
        ("an order of which the wallet pays more than all", |w| { *w = shop(100_000); order(USER, 40_000, 40_001).into() }, WalletPartUnfit { total_milli: 40_000 }),
        ("an order of which the wallet pays less than nothing", |w| { *w = shop(100_000); order(USER, 40_000, -1).into() }, WalletPartUnfit { total_milli: 40_000 }),
        ("an order without the coins", |w| { *w = shop(0); order(USER, 40_000, 1).into() }, InsufficientFunds { needed_milli: 1, spendable_milli: 0 }),
        ("money for what is sold for coins alone", |w| { *w = shop(100_000); PlaceOrder { service: REPORT, ..order(USER, 20_000, 19_999) }.into() }, NotSoldForMoney),
        ("an order of somebody who owes", |w| { *w = shop(100_000); w.given(gift(USER, HOST, None, 5_000)); let payment = w.last(|it| match it { Event::PurchaseCaptured(it) => Some(it.payment_ref.clone()), _ => None }); w.given(dispute(&payment, "disp_1", lost(10_000))); order(USER, 40_000, 0).into() }, ReceivableOpen { owed_milli: 5_000 }),
        ("the accepting of nothing", |_| accept(NOBODYS), UnknownOrder),
        ("the accepting of another host's", |w| { let order = after(w, paid()); AcceptOrder { order, host: Some(OTHER_HOST) }.into() }, UnknownOrder),
        ("the cancelling of somebody else's", |w| { let order = after(w, paid()); CancelOrder { order, user: OTHER }.into() }, UnknownOrder),
        ("the expiry of nothing", |_| expire(NOBODYS), UnknownOrder),
        ("the expiry of what may still be paid", |w| { let id = after(w, unpaid()); w.at(TO_PAY - 1); expire(id) }, OrderPaymentNotDue { due: START.plus_ms(TO_PAY * 1_000) }),
        ("the accepting of what is not paid", |w| { let id = after(w, unpaid()); accept(id) }, OrderNotPaid),
        ("the expiry of what is paid", |w| { let id = after(w, paid()); expire(id) }, OrderAlreadyPaid),
        ("the cancelling of what has begun", |w| { let id = after(w, paid()); w.given(accept(id)); cancel(id) }, OrderAlreadyAccepted),
        ("the declining of what is done", |w| { let id = after(w, completed()); decline(id) }, OrderAlreadyCompleted),
        ("the completion of what was cancelled", |w| { let id = after(w, paid()); w.given(cancel(id)); complete(id) }, OrderClosed),
        ("declining in words", |w| { let order = after(w, paid()); DeclineOrder { order, host: None, reason: "no time".to_owned() }.into() }, ReasonInvalid { field: "reason" }),
        ("a refund of nothing", |w| { let id = after(w, paid()); give_back(id, 0) }, AmountNotPositive { field: "amount_milli" }),
        ("a refund of more than is left", |w| { let id = after(w, completed()); w.given(give_back(id, 6_000)); give_back(id, 30_001) }, RefundExceedsOrder { refundable_milli: 30_000 }),
        ("an admin's own completion", |w| { *w = shop(100_000); w.given(SetService { provider: Some(ADMIN), ..reading() }.into()); let order = placed(w, order(USER, 40_000, 40_000)); CompleteOrder { order, host: None }.into() }, OwnMoney),
        ("an admin's own refund", |w| { *w = shop(0); let id = placed(w, order(ADMIN, 40_000, 0)); let pays = pay(w, id); w.given(pays); give_back(id, 1) }, OwnMoney),
    ]
}

/// Brings `world` to where an order stands.
fn after(world: &mut World, (made, id): (World, OrderId)) -> OrderId {
    *world = made;
    id
}

#[rustfmt::skip]
pub fn commands() -> Vec<Known> {
    let amount = SetCoupon { discount: Discount::Amount(5_000), least_price_milli: None, per_person: None, in_all: None, ..tenth() };
    vec![
        (reading().into(), "60df19bc-2499-5233-966c-5bd59672eeef", "a08f254762494cb34f16f8fc6a0eef68"),
        (report().into(), "60df19bc-2499-5233-966c-5bd59672eeef", "ad74e02350051b9852e03a3a6cc41218"),
        (tenth().into(), "cb9edc82-ee0a-5fe8-8e79-4bcde99979ae", "c448495bb3a9d7aefbde8e79de175fd7"),
        (amount.into(), "cb9edc82-ee0a-5fe8-8e79-4bcde99979ae", "8e892752c92224756ea446f9f484c721"),
        (order(USER, 40_000, 40_000).into(), "b85b15c5-943a-5456-ae99-de24783f0fc4", "1ad1e5197d9fdd3217b825e5f582a13a"),
        (order_with(USER, 36_000, 0).into(), "b85b15c5-943a-5456-ae99-de24783f0fc4", "623650189a4d8fa98b63822ced898132"),
        (accept(ORDER), "6898221f-6b3c-5f25-a0e6-4c4723c1263b", "b85790c403a6a11cf0e5ce53159dc16c"),
        (AcceptOrder { order: ORDER, host: None }.into(), "6898221f-6b3c-5f25-a0e6-4c4723c1263b", "bae4b2accd353f21ac3da732ac14c1e3"),
        (complete(ORDER), "f7f1fc6e-07c8-5ed3-b518-cec4773e04a3", "e1d7e8f4622d0c20e1e66a6208d12ef4"),
        (cancel(ORDER), "31e9085c-bfbe-5d97-8b00-a8bbd97e8bd9", "72e8eb10b77cad3d3e362544df39dd91"),
        (decline(ORDER), "e688506d-b869-5cfe-a19e-df55ac9a5afa", "03b444294574f9f5e9d011eefc6a10c0"),
        (expire(ORDER), "a23b1c8b-98eb-5828-b513-82515f8eb203", "413c4f437962f0abd729cadd6fb4c325"),
        (give_back(ORDER, 1_000), "1d29d08a-f3d5-5c0c-83d6-aa6e309db5e7", "3a93b1ffe62ac91d6c52cd6a2263fbd1"),
    ]
}

pub const FLOWS: &[Flow] = &[
    ("An order is paid from the wallet", || (shop(100_000), order_with(USER, 36_000, 36_000).into())),
    ("The gateway's part of an order comes", || {
        let (world, id) = unpaid();
        let pays = pay(&world, id);
        (world, pays)
    }),
    ("An order of a host is completed", || {
        let mut world = shop(100_000);
        world.given(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }.into());
        world.given(commission(CommissionScope::Agency(AGENCY), 5_000, 1_500));
        let id = placed(&mut world, order_with(USER, 36_000, 36_000));
        world.given(accept(id));
        (world, complete(id))
    }),
    ("An order of the platform is completed", || {
        let mut world = shop(100_000);
        let report = PlaceOrder { service: REPORT, ..order_with(USER, 18_000, 18_000) };
        let order = placed(&mut world, report);
        (world, CompleteOrder { order, host: None }.into())
    }),
    ("An order is cancelled", || {
        let (world, id) = paid();
        (world, cancel(id))
    }),
    ("An order is refunded in part before it is completed", || {
        let (world, id) = paid();
        (world, give_back(id, 10_000))
    }),
    ("An order is refunded in part after it was completed", || {
        let (world, id) = completed();
        (world, give_back(id, 9_000))
    }),
];

type Make = fn(OrderId) -> Command;

/// The commands, in the order of the columns below.
const COMMANDS: [(&str, Make); 6] = [
    ("accept", accept),
    ("complete", complete),
    ("cancel", cancel),
    ("decline", decline),
    ("expire", expire),
    ("refund all", |id| give_back(id, 40_000)),
];

/// A state, what leads to it from an order that is paid, and for each command the state that it leads to or its refusal.
type State = (OrderStatus, &'static [Make], [&'static str; 6]);

#[rustfmt::skip]
const STATES: &[State] = {
    const CLOSED: &str = "order_closed";
    const PAID: &str = "order_already_paid";
    const ACCEPTED: &str = "order_already_accepted";
    const DONE: &str = "order_already_completed";
    const UNPAID: &str = "order_not_paid";
    &[
        //                                                  accept      complete     cancel       decline      expire     refund all
        (OrderStatus::Unpaid,    &[],                      [UNPAID,     UNPAID,      "Cancelled", "Cancelled", "Expired", UNPAID]),
        (OrderStatus::Paid,      &[],                      ["Accepted", "Completed", "Cancelled", "Cancelled", PAID,      "Refunded"]),
        (OrderStatus::Accepted,  &[accept],                [ACCEPTED,   "Completed", ACCEPTED,    "Cancelled", PAID,      "Refunded"]),
        (OrderStatus::Completed, &[complete],              [DONE,       DONE,        DONE,        DONE,        PAID,      "Refunded"]),
        (OrderStatus::Completed, &[accept, complete],      [DONE,       DONE,        DONE,        DONE,        PAID,      "Refunded"]),
        (OrderStatus::Refunded,  &[|id| give_back(id, 40_000)], [CLOSED; 6]),
        (OrderStatus::Refunded,  &[complete, |id| give_back(id, 40_000)], [CLOSED; 6]),
        (OrderStatus::Cancelled, &[cancel],                [CLOSED; 6]),
        (OrderStatus::Cancelled, &[accept, decline],       [CLOSED; 6]),
        (OrderStatus::Expired,   &[expire],                [CLOSED; 6]),
    ]
};

#[test]
fn every_command_in_every_state_leads_where_the_table_says_and_twice_is_once() {
    for (status, steps, outcomes) in STATES {
        for ((name, make), expected) in COMMANDS.iter().zip(outcomes) {
            let wait = matches!(status, OrderStatus::Unpaid | OrderStatus::Expired);
            let (mut world, id) = if wait { unpaid() } else { paid() };
            if wait {
                world.at(TO_PAY);
            }
            steps.iter().for_each(|step| {
                world.given(step(id));
            });
            let case = format!("{name} of one that is {status:?}");
            assert_eq!(row(&world, id).status, *status, "{case}");
            let [first, twin] = [(); 2].map(|()| world.envelope(make(id)));
            match world.send(&first) {
                Ok((_, revision)) => {
                    assert_eq!(format!("{:?}", row(&world, id).status), *expected, "{case}");
                    let hash = world.state.hash();
                    if !matches!(first.key, Key::State(_)) {
                        assert_eq!(world.send(&first), Ok((vec![], revision)), "{case}: the same key again");
                    }
                    assert!(world.send(&twin).is_err(), "{case}: another key");
                    assert_eq!(world.state.hash(), hash, "{case}: once");
                }
                Err(refusal) => {
                    assert_eq!(refusal.code(), *expected, "{case}");
                    world.refuse_sent(&first, refusal.clone()).refuse_sent(&twin, refusal);
                    assert_eq!(row(&world, id).status, *status, "{case}");
                }
            }
            // What is held is what was paid and is neither earned nor back.
            let row = row(&world, id);
            let held = -world.state.balance(Account::OrderHeld(id), Asset::COIN);
            let waits = matches!(row.status, OrderStatus::Unpaid | OrderStatus::Paid | OrderStatus::Accepted);
            let there: i64 = row.draws.iter().map(|it| it.amount_milli).sum();
            assert_eq!(held, if waits { there } else { 0 }, "{case}");
        }
    }
}

#[test]
fn paid_from_the_wallet_it_is_held_and_then_earned_by_the_rate_of_its_beginning() {
    let (mut world, id) = paid();
    world.wallet(USER, [60_000, 0, 60_000, 0, 0]);
    world.given(commission(CommissionScope::Global, 1_000, 0));
    world.check(accept(id), "order accepted");
    world.check(complete(id), "order completed 40000 (40000+0); split 24000/0/16000");
    world.wallet(HOST, [0, 0, 0, 24_000, 24_000]).stands("platform:revenue", Asset::COIN, -16_000);
}

#[test]
fn paid_by_both_it_begins_with_the_capture_however_often_that_is_told() {
    let mut world = shop(100_000);
    world.check(
        order_with(USER, 36_000, 10_000).into(),
        "order for 36000 (-4000): 10000 of the wallet, 26000 at the gateway; order 26000+0 for 2600",
    );
    let id = last(&world);
    world.wallet(USER, [90_000, 0, 90_000, 0, 0]).refuse(complete(id), Rejection::OrderNotPaid);
    let pays = pay(&world, id);
    world.check(pays.clone(), "captured 26000 for 2600; order paid 26000");
    world.check(pays, "duplicate of 14");
    world.check(complete(id), "order completed 40000 (36000+4000); split 24000/0/16000");
    world.stands("platform:promotions", Asset::COIN, 4_000);
    // Nothing of the purchase is unspent.
    let purchase = row(&world, id).purchase.expect("a purchase");
    world.refuse(refund(purchase, "rfnd_1", 1), Rejection::RefundExceedsUnspent { refundable_minor: 0 });
    // Given back, its coins are in their lot again, and can be refunded as money.
    world.check(give_back(id, 36_000), "order refunded 36000 of 36000 in full: 24000/0/16000, 4000 saved");
    world.wallet(USER, [126_000, 0, 126_000, 0, 0]).wallet(HOST, [0; 5]);
    world.stands("platform:promotions", Asset::COIN, 0).stands("platform:revenue", Asset::COIN, 0);
    world.check(refund(purchase, "rfnd_2", 2_600), "refunded 2600 for 26000+0");
}

#[test]
fn what_is_not_paid_in_time_expires_and_money_that_comes_later_stays_in_the_wallet() {
    let (mut world, id) = unpaid();
    let pays = pay(&world, id);
    world.at(TO_PAY).check(expire(id), "order cancelled (Unpaid), 10000 back");
    world.wallet(USER, [100_000, 0, 100_000, 0, 0]);
    world.check(pays, "captured 30000 for 3000").wallet(USER, [130_000, 0, 130_000, 0, 0]);
    world.refuse(complete(id), Rejection::OrderClosed);
}

#[test]
fn an_order_whose_time_is_over_is_paid_as_long_as_nobody_has_said_so() {
    let (mut world, id) = unpaid();
    let pays = pay(&world, id);
    world.at(TO_PAY + 60).check(pays, "captured 30000 for 3000; order paid 30000");
    world.refuse(expire(id), Rejection::OrderAlreadyPaid);
}

#[test]
fn coins_that_went_elsewhere_pay_for_no_order() {
    let (mut world, id) = unpaid();
    let purchase = row(&world, id).purchase.expect("a purchase");
    world.given(refund_of("pay_1", "rfnd_1", 1_500));
    world
        .check(capture(Some(purchase), "pay_1", 3_000), "captured 30000 for 3000; refunded 1500 for 15000+0");
    assert_eq!(row(&world, id).status, OrderStatus::Unpaid);
    world.wallet(USER, [105_000, 0, 105_000, 0, 0]);
    world.at(TO_PAY).check(expire(id), "order cancelled (Unpaid), 10000 back");
}

#[test]
fn coins_go_back_to_the_lots_they_came_from_the_last_drawn_first() {
    let mut world = shop(100_000);
    let lot = world.bonus(15_000, Some(600));
    let id = placed(&mut world, order(USER, 40_000, 40_000));
    world.wallet(USER, [75_000, 0, 75_000, 0, 0]);
    world.check(give_back(id, 30_000), "order refunded 30000 of 30000: 0/0/0, 0 saved");
    world.wallet(USER, [100_000, 5_000, 105_000, 0, 0]);
    // Bonus coins whose time is over are back, and expire.
    world.at(601).check(cancel(id), "order cancelled (Buyer), 10000 back");
    world.wallet(USER, [100_000, 15_000, 100_000, 0, 0]);
    world.check(ExpireBonus { lot }.into(), "bonus expired 15000").wallet(USER, [100_000, 0, 100_000, 0, 0]);
}

#[test]
fn the_use_of_a_coupon_comes_back_with_an_order_that_came_to_nothing() {
    let mut world = shop(100_000);
    let first = placed(&mut world, order_with(USER, 36_000, 0));
    let second = placed(&mut world, order_with(USER, 36_000, 36_000));
    let used =
        |world: &World| (world.state.coupon_used(TENTH, USER), world.state.coupon(TENTH).expect("set").used);
    assert_eq!(used(&world), (2, 2));
    world.at(TO_PAY).given(expire(first));
    assert_eq!(used(&world), (1, 1));
    world.given(cancel(second));
    assert_eq!(used(&world), (0, 0));
    // A refund gives none back: the service was given.
    let third = placed(&mut world, order_with(USER, 36_000, 36_000));
    world.given(complete(third)).given(give_back(third, 36_000));
    assert_eq!(used(&world), (1, 1));
}

#[test]
fn an_order_of_nothing_but_a_discount_is_paid_and_the_platform_pays_its_provider() {
    let mut world = shop(0);
    world.given(SetCoupon { discount: Discount::Amount(90_000), ..tenth() }.into());
    let id = placed(&mut world, order_with(USER, 0, 0));
    world.refuse(give_back(id, 1), Rejection::RefundExceedsOrder { refundable_milli: 0 });
    world.check(complete(id), "order completed 40000 (0+40000); split 24000/0/16000");
    world.stands("platform:promotions", Asset::COIN, 40_000).wallet(HOST, [0, 0, 0, 24_000, 24_000]);
}

#[test]
fn what_its_provider_has_withdrawn_the_platform_bears() {
    let (mut world, id) = paid();
    world.given(complete(id)).given(withdraw(HOST, 20_000));
    world.check(give_back(id, 40_000), "order refunded 40000 of 40000 in full: 4000/0/36000, 0 saved");
    world.wallet(HOST, [0; 5]).stands("platform:revenue", Asset::COIN, 20_000);
}

#[test]
fn a_refund_of_earnings_that_wait_takes_them_out_of_what_waits() {
    let (mut world, id) = paid();
    world.policy.earnings_hold_seconds = 3_600;
    world.given(complete(id)).wallet(HOST, [0, 0, 0, 24_000, 0]);
    world.given(give_back(id, 20_000)).wallet(HOST, [0, 0, 0, 12_000, 0]);
    world.at(3_700).wallet(HOST, [0, 0, 0, 12_000, 12_000]);
}

#[test]
fn earnings_of_an_order_that_wait_cover_a_lost_dispute_and_those_that_went_back_do_not() {
    let (mut world, id) = paid();
    (world.policy.earnings_hold_seconds, world.policy.claw_back_held_earnings) = (3_600, true);
    world.given(complete(id)).given(give_back(id, 20_000)).wallet(HOST, [0, 0, 0, 12_000, 0]);
    let payment = world.last(|event| match event {
        Event::PurchaseCaptured(it) => Some(it.payment_ref.clone()),
        _ => None,
    });
    world.given(dispute(&payment, "disp_1", lost(10_000)));
    world.wallet(HOST, [0; 5]).stands("platform:losses", Asset::COIN, -12_000);
}

#[test]
fn an_order_leaves_once_nothing_can_be_done_to_it_and_its_coins_stay_earned() {
    let (mut world, id) = paid();
    world.given(complete(id));
    world.now = START.plus_ms(179 * DAY_MS);
    placed(&mut world, PlaceOrder { service: REPORT, ..order(USER, 20_000, 20_000) });
    world.given(give_back(id, 1));
    world.now = START.plus_ms(181 * DAY_MS);
    placed(&mut world, PlaceOrder { service: REPORT, ..order(USER, 20_000, 20_000) });
    world.refuse(give_back(id, 1), Rejection::UnknownOrder).stands("platform:revenue", Asset::COIN, -15_999);
}

/// Refunds in these parts, with the completion at the given place. Answers what everybody has in the end.
fn refunded(price_milli: i64, bps: u32, rates: (u32, u32), parts: &[i64], completed_at: usize) -> [i64; 5] {
    let mut world = World::with_coins(MAX_AMOUNT / 2);
    world
        .given(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }.into())
        .given(commission(CommissionScope::Agency(AGENCY), rates.0, rates.1))
        .given(SetService { price_milli, ..reading() }.into());
    let discount = Discount::Percent(PercentOff { bps, most_milli: None });
    world.given(SetCoupon { discount, least_price_milli: None, ..tenth() }.into());
    let total_milli = price_milli - discount.of(price_milli);
    let id = placed(&mut world, order_with(USER, total_milli, total_milli));
    for (place, part) in parts.iter().enumerate() {
        if place == completed_at {
            world.given(complete(id));
        }
        world.given(give_back(id, *part));
    }
    if completed_at >= parts.len() {
        world.given(complete(id));
    }
    [
        Account::UserPurchased(USER),
        Account::HostEarnings(HOST),
        Account::AgencyEarnings(AGENCY),
        Account::PlatformRevenue,
        Account::PlatformPromotions,
    ]
    .map(|account| world.state.balance(account, Asset::COIN))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn refunds_in_any_parts_before_or_after_the_completion_lead_to_the_same(
        price in 100..1_000_000_i64, bps in 1..5_000_u32, host in 0..=7_000_u32, agency in 0..=3_000_u32,
        shares in prop::collection::vec(1..20_i64, 1..6), places in (0..8_usize, 0..8_usize),
    ) {
        let least = price - price * i64::from(bps) / 10_000;
        let parts: Vec<i64> = shares.iter().map(|share| (least * share / 101).max(1)).collect();
        let whole = [parts.iter().sum()];
        prop_assume!(whole[0] < least);
        let expected = refunded(price, bps, (host, agency), &whole, 1);
        prop_assert_eq!(refunded(price, bps, (host, agency), &parts, places.0), expected);
        prop_assert_eq!(refunded(price, bps, (host, agency), &parts, places.1), expected);
    }
}
