//! Service orders: paid from the wallet, at the gateway and by both; cancelled, declined, refunded in part; coupons.

use crate::world::{Person, World, captured, eventually, new_key};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

/// A service of 40 coins or 40 rupees.
async fn service(world: &World, provider: Option<&Person>) -> Uuid {
    let service = Uuid::now_v7();
    let offer = json!({
        "provider": provider.map(|it| it.id), "price_milli": 40_000, "price_minor": 4_000, "price_asset": "INR/2",
        "active": true,
    });
    world.put(Some(&world.admin), &format!("/v1/admin/services/{service}"), offer).await.expect_ok();
    service
}

/// A coupon of a tenth.
async fn coupon(world: &World, code: &str, more: Value) -> Uuid {
    let (coupon, now) = (Uuid::now_v7(), Utc::now());
    let mut offer = json!({
        "code": code, "percent_bps": 1_000, "starts_at": now - TimeDelta::hours(1),
        "ends_at": now + TimeDelta::days(1), "active": true,
    });
    for (field, value) in more.as_object().expect("fields") {
        offer[field] = value.clone();
    }
    world.put(Some(&world.admin), &format!("/v1/admin/coupons/{coupon}"), offer).await.expect_ok();
    coupon
}

fn ask(service: Uuid, coupon: Option<&str>, total: i64, wallet: i64) -> Value {
    json!({ "service": service, "coupon": coupon, "total_seen_milli": total, "wallet_milli": wallet })
}

async fn place(world: &World, user: &Person, ask: Value) -> Value {
    world.post(Some(user), "/v1/orders", ask).await.expect_ok()
}

fn id(placed: &Value) -> &str {
    placed["order"].as_str().expect("an order")
}

async fn row(world: &World, who: &Person, placed: &Value) -> Value {
    world.shown().await;
    world.get(Some(who), &format!("/v1/orders/{}", id(placed))).await.expect_ok()
}

async fn on(world: &World, who: &Person, placed: &Value, what: &str) -> crate::world::Answer {
    let body = if what == "decline" { json!({ "reason": "fully_booked" }) } else { json!({}) };
    world.post(Some(who), &format!("/v1/orders/{}/{what}", id(placed)), body).await
}

async fn refund(world: &World, placed: &Value, amount_milli: i64) -> crate::world::Answer {
    let body = json!({ "amount_milli": amount_milli, "reason": "delivered_late", "note": "a day late" });
    world.post(Some(&world.admin), &format!("/v1/admin/orders/{}/refund", id(placed)), body).await
}

/// The gateway tells of the payment, twice under one delivery and once under another.
async fn pay(world: &World, placed: &Value, payment: &str) {
    let checkout = &placed["checkout"];
    let (order, price) = (checkout["order_id"].as_str().expect("an order"), checkout["price_minor"].as_i64());
    let told = captured(payment, order, price.expect("a price"), "INR");
    let deliveries = ["a", "a", "b"].map(|it| format!("evt_{payment}_{it}"));
    futures_util::future::join_all(deliveries.iter().map(|it| world.webhook(it, &told))).await;
    world.inbox_done().await;
}

#[sqlx::test(migrations = false)]
async fn paid_from_the_wallet_it_is_held_done_and_refunded_in_part(pool: PgPool) {
    let world = World::start(&pool).await;
    let (host, user) = (world.new_host(60_000).await, world.new_user_with(100_000).await);
    let service = service(&world, Some(&host)).await;
    let tenth = coupon(&world, "Tenth10", json!({})).await;
    let offers = world.get(None, "/v1/services").await.expect_ok();
    assert_eq!(offers["items"][0]["service"], json!(service));
    let quote = format!("/v1/services/{service}/quote?coupon=tenth10");
    let quoted = world.get(Some(&user), &quote).await.expect_ok();
    assert_eq!((&quoted["total_milli"], &quoted["price_minor"]), (&json!(36_000), &json!(3_600)));
    world.get(Some(&user), &format!("{quote}0")).await.expect_problem(404, "unknown_coupon");

    let key = new_key();
    let body = ask(service, Some(" tenth10"), 36_000, 36_000);
    let sent = (0..4).map(|_| world.post_with_key(&user, "/v1/orders", key, body.clone()));
    let answers = futures_util::future::join_all(sent).await;
    let placed: Vec<Value> = answers.into_iter().map(|it| it.expect_ok()).collect();
    assert!(placed.iter().all(|it| it["order"] == placed[0]["order"] && it["checkout"].is_null()));
    let order = &placed[0];
    assert_eq!(world.wallet(&user).await.spendable_milli, 64_000, "once");
    let stale = ask(service, None, 36_000, 36_000);
    world.post(Some(&user), "/v1/orders", stale).await.expect_problem(409, "order_total_changed");
    let too_much = ask(service, None, 40_000, 40_001);
    world.post(Some(&user), "/v1/orders", too_much).await.expect_problem(422, "wallet_part_unfit");

    world.shown().await;
    let received = world.get(Some(&host), "/v1/orders/received?status=paid").await.expect_ok();
    assert_eq!(received["items"].as_array().map(Vec::len), Some(1));
    let stranger = world.new_person().await;
    on(&world, &stranger, order, "cancel").await.expect_problem(404, "unknown_order");
    on(&world, &host, order, "accept").await.expect_ok();
    on(&world, &user, order, "cancel").await.expect_problem(409, "order_already_accepted");
    world
        .get(Some(&stranger), &format!("/v1/orders/{}", id(order)))
        .await
        .expect_problem(404, "unknown_order");
    refund(&world, order, 6_000).await.expect_ok();
    on(&world, &host, order, "complete").await.expect_ok();
    on(&world, &host, order, "complete").await.expect_problem(409, "order_already_completed");
    // Of 36 coins 6 are back: the host earns by five sixths of the price.
    let price_milli = 40_000 - 6_000 - 666;
    let log = format!("/v1/admin/commission-log?source=order&person={}", user.id);
    world.shown().await;
    let split = world.get(Some(&world.admin), &log).await.expect_ok()["items"][0].take();
    assert_eq!(split["gross_milli"], json!(price_milli), "{split}");
    assert_eq!(json!(world.wallet(&host).await.earnings_milli), split["host_milli"]);
    refund(&world, order, 30_001).await.expect_problem(409, "refund_exceeds_order");
    refund(&world, order, 30_000).await.expect_ok();
    refund(&world, order, 1).await.expect_problem(409, "order_closed");
    let seen = row(&world, &user, order).await;
    assert_eq!((&seen["status"], &seen["refunded_milli"]), (&json!("refunded"), &json!(36_000)), "{seen}");
    assert_eq!(world.wallet(&user).await.spendable_milli, 100_000);
    assert_eq!(world.wallet(&host).await.earnings_milli, 0);
    let uses = world.get(Some(&world.admin), "/v1/admin/coupons").await.expect_ok();
    assert_eq!((&uses["items"][0]["coupon"], &uses["items"][0]["used"]), (&json!(tenth), &json!(1)));
    let log =
        world.get(Some(&world.admin), &format!("/v1/admin/audit?subject={}", id(order))).await.expect_ok();
    assert_eq!(log["items"].as_array().map(Vec::len), Some(2), "{log}");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn paid_at_the_gateway_or_by_both_it_begins_with_the_first_word_of_the_payment(pool: PgPool) {
    let world = World::start(&pool).await;
    let (host, user) = (world.new_host(60_000).await, world.new_user_with(50_000).await);
    let service = service(&world, Some(&host)).await;
    for (number, wallet) in [(1, 0), (2, 15_001)] {
        let before = world.wallet(&user).await.spendable_milli;
        let order = place(&world, &user, ask(service, None, 40_000, wallet)).await;
        // 24.999 of 40 coins for 40 rupees are 24.999 rupees: rounded up.
        let price = if wallet == 0 { 4_000 } else { 2_500 };
        assert_eq!(order["checkout"]["price_minor"], json!(price));
        assert_eq!(world.wallet(&user).await.spendable_milli, before - wallet);
        assert_eq!(row(&world, &user, &order).await["status"], "unpaid");
        on(&world, &host, &order, "complete").await.expect_problem(409, "order_not_paid");
        pay(&world, &order, &format!("pay_order_{number}")).await;
        let seen = row(&world, &host, &order).await;
        assert_eq!(seen["status"], "paid", "{seen}");
        assert_eq!(
            world.wallet(&user).await.spendable_milli,
            before - wallet,
            "the coins are held as they come"
        );
        // Declined, all is back: what came from the gateway as coins, which the purchase can be refunded by.
        on(&world, &host, &order, "decline").await.expect_ok();
        assert_eq!(world.wallet(&user).await.spendable_milli, before + 40_000 - wallet);
        let purchase = seen["purchase"].as_str().expect("a purchase");
        let money = json!({
            "refund_ref": format!("rfnd_order_{number}"), "amount_minor": price, "asset": "INR/2", "reason": "declined",
        });
        let path = format!("/v1/admin/purchases/{purchase}/refunds");
        world.post(Some(&world.admin), &path, money).await.expect_ok();
        assert_eq!(world.wallet(&user).await.spendable_milli, before);
    }
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn what_is_not_paid_in_time_expires_and_money_that_comes_later_is_credited(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_user_with(50_000).await;
    let service = service(&world, None).await;
    let once = coupon(&world, "ONCEONLY", json!({ "in_all": 1 })).await;
    let limits = "/v1/admin/settings/limits";
    let mut asked = world.get(Some(&world.admin), limits).await.expect_ok();
    asked["order_payment_seconds"] = json!(5);
    world.put(Some(&world.admin), limits, asked).await.expect_ok();
    let order = place(&world, &user, ask(service, Some("ONCEONLY"), 36_000, 6_000)).await;
    let again = ask(service, Some("ONCEONLY"), 36_000, 36_000);
    world.post(Some(&user), "/v1/orders", again.clone()).await.expect_problem(409, "coupon_used_up");
    eventually("it expires", async || {
        (row(&world, &user, &order).await["status"] == "expired").then_some(())
    })
    .await;
    assert_eq!(world.wallet(&user).await.spendable_milli, 50_000);
    pay(&world, &order, "pay_late").await;
    assert_eq!(world.wallet(&user).await.spendable_milli, 80_000, "as coins");
    // The coupon can be used again; a service of the platform is done by an admin.
    let order = place(&world, &user, again).await;
    let done = json!({ "reason": "delivered" });
    let path = format!("/v1/admin/orders/{}/complete", id(&order));
    world.post(Some(&world.admin), &path, done).await.expect_ok();
    let listed = format!("/v1/admin/orders?coupon={once}&status=completed");
    world.shown().await;
    let listed = world.get(Some(&world.admin), &listed).await.expect_ok();
    assert_eq!(listed["items"][0]["order"], order["order"]);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn of_twenty_who_use_a_coupon_at_once_as_many_get_it_as_it_has_uses(pool: PgPool) {
    let world = World::start(&pool).await;
    let service = service(&world, None).await;
    let uses = json!({ "in_all": 5, "per_person": 2 });
    let five = coupon(&world, "FIVEONLY", uses).await;
    let (rich, other) = (world.new_user_with(1_000_000).await, world.new_user_with(1_000_000).await);
    // Of one person twice, however many requests come at once.
    let order = |who| world.post(Some(who), "/v1/orders", ask(service, Some("FIVEONLY"), 36_000, 36_000));
    let answers = futures_util::future::join_all((0..20).map(|_| order(&rich))).await;
    let refused = answers.iter().filter(|it| it.code() == "coupon_person_full").count();
    assert_eq!((answers.iter().filter(|it| it.status.is_success()).count(), refused), (2, 18));
    let third = world.new_user_with(1_000_000).await;
    let both = (0..20).map(|number| order(if number % 2 == 0 { &other } else { &third }));
    let answers = futures_util::future::join_all(both).await;
    assert_eq!(answers.iter().filter(|it| it.status.is_success()).count(), 3, "five in all");
    world.shown().await;
    let listed = world.get(Some(&world.admin), &format!("/v1/admin/orders?coupon={five}")).await.expect_ok();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(5));
    world.verify().await;
}
