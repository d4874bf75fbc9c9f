//! The same request again: at once, later, elsewhere, with another body.

use crate::world::{Person, World, hours_ago, key_of, new_key};
use chrono::{TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

#[sqlx::test(migrations = false)]
async fn one_key_sent_twenty_times_at_once_pays_once(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, gift) =
        (world.new_user_with(100_000).await, world.new_host(60_000).await, world.new_gift(10_000).await);
    let path = format!("/v1/gifts/{gift}/send");
    let body = json!({ "host": host.id, "price_seen_milli": 10_000 });
    let key = new_key();
    let sent = (0..20).map(|_| world.post_with_key(&user, &path, key, body.clone()));
    let answers = futures_util::future::join_all(sent).await;
    let revisions: Vec<_> = answers.into_iter().map(|it| it.expect_ok()["revision"].clone()).collect();
    assert!(revisions.iter().all(|it| *it == revisions[0]), "one receipt for all: {revisions:?}");
    assert_eq!(world.wallet(&user).await.spendable_milli, 90_000);

    // The same key with another body, and the same key of another person.
    let other = json!({ "host": host.id, "price_seen_milli": 10_001 });
    world.post_with_key(&user, &path, key, other).await.expect_problem(409, "idempotency_key_reused");
    let stranger = world.new_user_with(10_000).await;
    world.post_with_key(&stranger, &path, key, body.clone()).await.expect_ok();
    // After a restart the journal still knows it.
    let world = world.restart().await;
    let again = world.post_with_key(&user, &path, key, body).await.expect_ok();
    assert_eq!((&again["revision"], &again["duplicate"]), (&revisions[0], &json!(true)));
    assert_eq!(world.wallet(&user).await.spendable_milli, 90_000);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn fifty_gifts_at_once_never_overdraw(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, gift) =
        (world.new_user_with(125_000).await, world.new_host(60_000).await, world.new_gift(10_000).await);
    let path = format!("/v1/gifts/{gift}/send");
    let body = json!({ "host": host.id, "price_seen_milli": 10_000 });
    let sent = (0..50).map(|_| world.post(Some(&user), &path, body.clone()));
    let answers = futures_util::future::join_all(sent).await;
    let taken = answers.iter().filter(|it| it.status.is_success()).count();
    assert_eq!(taken, 12, "twelve of fifty can be paid");
    for refused in answers.iter().filter(|it| !it.status.is_success()) {
        refused.expect_problem(409, "insufficient_funds");
    }
    assert_eq!(world.wallet(&user).await.spendable_milli, 5_000);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_key_that_says_when_it_was_made_is_fresh(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, gift) =
        (world.new_user_with(100_000).await, world.new_host(60_000).await, world.new_gift(10_000).await);
    let path = format!("/v1/gifts/{gift}/send");
    let body = json!({ "host": host.id, "price_seen_milli": 10_000 });
    let before = world.events();
    for (key, status, code) in [
        (None, 400, "idempotency_key_missing"),
        (Some(key_of(hours_ago(25))), 422, "idempotency_key_expired"),
        (Some(key_of(Utc::now() + TimeDelta::hours(1))), 422, "idempotency_key_in_future"),
    ] {
        let answer = world.send(Method::POST, Some(&user), &path, key, Some(body.clone())).await;
        answer.expect_problem(status, code);
    }
    assert_eq!(world.events(), before, "nothing was recorded");
    let old = key_of(hours_ago(23));
    world.post_with_key(&user, &path, old, body).await.expect_ok();
}

#[sqlx::test(migrations = false)]
async fn any_text_is_a_key_over_http_and_sockets_and_a_retry_is_told_so(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, gift) =
        (world.new_user_with(100_000).await, world.new_host(60_000).await, world.new_gift(10_000).await);
    let url = format!("{}/v1/gifts/{gift}/send", world.base);
    let body = json!({ "host": host.id, "price_seen_milli": 10_000 });
    let send = async |key: &str| {
        let request =
            world.http.post(&url).bearer_auth(&user.token).header("idempotency-key", key).json(&body);
        let answer = request.send().await.expect("an answer");
        let replayed = answer.headers().get("idempotent-replayed").is_some_and(|it| it == "true");
        (answer.status().as_u16(), replayed, answer.json::<Value>().await.expect("JSON")["revision"].clone())
    };
    let mut socket = world.connect(&user).await;
    for key in ["order 4711", "B6A0C1A2-1111-4222-8333-944455556666", &"k".repeat(255)] {
        let copies = futures_util::future::join_all((0..4).map(|_| send(key))).await;
        let first = copies.iter().filter(|(_, replayed, _)| !replayed).count();
        assert_eq!(first, 1, "{key}: one of four is new: {copies:?}");
        for (status, _, revision) in &copies {
            assert_eq!((*status, revision), (201, &copies[0].2), "{key}: each is answered as the first was");
        }
        // On a socket, and in another spelling of a UUID, it is the same key.
        let key = key.to_lowercase();
        let asked = json!({ "host": host.id, "gift": gift, "price_seen_milli": 10_000, "key": key });
        let receipt = socket.request("gift:send", asked).await["data"].take();
        assert_eq!((&receipt["duplicate"], &receipt["revision"]), (&json!(true), &copies[0].2), "{key}");
    }
    assert_eq!(world.wallet(&user).await.spendable_milli, 70_000);
    for key in ["", "tab\there", &"k".repeat(256)] {
        let asked = json!({ "host": host.id, "gift": gift, "price_seen_milli": 10_000, "key": key });
        let problem = socket.request("gift:send", asked).await["problem"].take();
        assert_eq!((&problem["code"], &problem["field"]), (&json!("idempotency_key_invalid"), &json!("key")));
    }
    world.verify().await;
}

/// Sends one request eight times at once under one key, and answers the one receipt.
async fn at_once(world: &World, who: &Person, path: &str, body: &Value) -> Value {
    let key = new_key();
    let sent = (0..8).map(|_| world.post_with_key(who, path, key, body.clone()));
    let answers = futures_util::future::join_all(sent).await;
    for answer in &answers {
        let says_so = answer.headers.get("idempotent-replayed").is_some_and(|it| it == "true");
        assert_eq!(json!(says_so), answer.body["duplicate"], "{path}: a retry says that it is one");
    }
    let receipts: Vec<Value> = answers.into_iter().map(crate::world::Answer::expect_ok).collect();
    let new = receipts.iter().filter(|it| it["duplicate"] == false).count();
    assert_eq!(new, 1, "{path}: one of eight is new");
    assert!(
        receipts.iter().all(|it| it["revision"] == receipts[0]["revision"]),
        "{path}: one receipt for all"
    );
    receipts[0].clone()
}

/// Sends one request eight times at once under eight keys: one is taken, the others hear this code.
async fn once_only(world: &World, who: &Person, path: &str, body: &Value, code: &str) {
    let sent = (0..8).map(|_| world.post(Some(who), path, body.clone()));
    let answers = futures_util::future::join_all(sent).await;
    assert_eq!(
        answers.iter().filter(|it| it.status.is_success()).count(),
        1,
        "{path}: one of eight is taken"
    );
    for refused in answers.iter().filter(|it| !it.status.is_success()) {
        refused.expect_problem(409, code);
    }
}

#[sqlx::test(migrations = false)]
async fn what_admins_and_hosts_ask_for_happens_once_however_often_it_is_sent(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_person().await, world.new_host(60_000).await);
    let admin = &world.admin;
    let bonus = json!({ "user": user.id, "coins_milli": 7_000 });
    at_once(&world, admin, "/v1/admin/bonuses", &bonus).await;
    assert_eq!(world.wallet(&user).await.bonus_milli, 7_000);
    let earnings = format!("host:{}:earnings", host.id);
    let credit =
        json!({ "account": earnings, "amount_milli": 50_000, "reason": "goodwill", "note": "by hand" });
    let credited = at_once(&world, admin, "/v1/admin/adjustments", &credit).await;
    assert_eq!(world.wallet(&host).await.earnings_milli, 50_000);

    let ask = json!({ "coins_milli": 10_000 });
    let request = async || {
        let asked = at_once(&world, &host, "/v1/withdrawals", &ask).await;
        asked["withdrawal"].as_str().expect("a withdrawal").to_owned()
    };
    let admins = |id: &str, step: &str| format!("/v1/admin/withdrawals/{id}/{step}");
    let (none, reason) = (json!({}), json!({ "reason": "account_closed" }));
    let paid = json!({ "payout_ref": "UTR1" });

    // Out of order first: nothing can be paid or fail before it is approved.
    let first = request().await;
    assert_eq!(world.wallet(&host).await.earnings_milli, 40_000, "held once");
    for (step, body) in [("paid", &paid), ("failed", &reason)] {
        world
            .post(Some(admin), &admins(&first, step), body.clone())
            .await
            .expect_problem(409, "withdrawal_not_approved");
    }
    once_only(&world, admin, &admins(&first, "approve"), &none, "withdrawal_already_approved").await;
    once_only(&world, admin, &admins(&first, "paid"), &paid, "withdrawal_closed").await;
    assert_eq!(world.wallet(&host).await.earnings_milli, 40_000, "paid out once");
    // The bank returns it, and says so many times.
    at_once(&world, admin, &admins(&first, "reversed"), &reason).await;
    assert_eq!(world.wallet(&host).await.earnings_milli, 50_000, "and back once");

    // Cancelled and rejected at the same moment: one of them, and the coins come back once.
    let second = request().await;
    let (cancel, reject) = (format!("/v1/withdrawals/{second}/cancel"), admins(&second, "reject"));
    let (cancelled, rejected) = tokio::join!(
        world.post(Some(&host), &cancel, none.clone()),
        world.post(Some(admin), &reject, reason.clone()),
    );
    assert!(cancelled.status.is_success() != rejected.status.is_success(), "{cancelled:?} {rejected:?}");
    assert_eq!(world.wallet(&host).await.earnings_milli, 50_000);

    // Two at once for more than there is: one of them.
    let most = json!({ "coins_milli": 30_000 });
    let sent = (0..2).map(|_| world.post(Some(&host), "/v1/withdrawals", most.clone()));
    let answers = futures_util::future::join_all(sent).await;
    assert_eq!(answers.iter().filter(|it| it.status.is_success()).count(), 1);
    assert_eq!(world.wallet(&host).await.withdrawable_milli, 20_000);

    // What the account held when it was credited, whatever came after.
    let then = credited["revision"].as_u64().expect("a revision");
    for (at, balance) in [(then - 1, 0), (then, 50_000), (world.events() - 1, 20_000)] {
        let head = world.events() - 1;
        let path = format!("/v1/admin/accounts/{earnings}/balance?revision={at}&min_revision={head}");
        let found = world.get(Some(admin), &path).await.expect_ok();
        assert_eq!(found["balance_minor"], balance, "as of {at}: {found}");
    }
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_purchase_and_its_refund_happen_once_however_often_they_are_sent(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let plans = world.get(None, "/v1/coin-plans").await.expect_ok();
    let plan = plans["items"][0].clone();
    let checkout = at_once(&world, &user, "/v1/purchases", &json!({ "plan": plan["plan"] })).await;
    let (order, price) = (
        checkout["order_id"].as_str().expect("an order"),
        checkout["price_minor"].as_i64().expect("a price"),
    );
    let told = crate::world::captured("pay_1", order, price, "INR");
    world.webhook("evt_1", &told).await.expect_ok();
    world.inbox_done().await;
    let path = format!("/v1/admin/purchases/{}/refunds", checkout["purchase"].as_str().expect("a purchase"));
    let refund =
        |reference: &str| json!({ "refund_ref": reference, "amount_minor": price, "asset": "INR/2" });
    // Under one key, then the same refund under other keys, then another that finds nothing left.
    at_once(&world, &world.admin, &path, &refund("r1")).await;
    let sent = (0..8).map(|_| world.post(Some(&world.admin), &path, refund("r1")));
    for refused in futures_util::future::join_all(sent).await {
        refused.expect_problem(409, "refund_already_recorded");
    }
    world.post(Some(&world.admin), &path, refund("r2")).await.expect_problem(409, "refund_exceeds_captured");
    let wallet = world.wallet(&user).await;
    assert_eq!((wallet.purchased_milli, wallet.bonus_milli), (0, 0));
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_request_with_two_keys_is_refused(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, gift) =
        (world.new_user_with(100_000).await, world.new_host(60_000).await, world.new_gift(10_000).await);
    let events = world.events();
    for keys in [[new_key(), new_key()], [new_key(); 2]] {
        let mut request =
            world.http.post(format!("{}/v1/gifts/{gift}/send", world.base)).bearer_auth(&user.token);
        for key in keys {
            request = request.header("idempotency-key", key.to_string());
        }
        let body = json!({ "host": host.id, "price_seen_milli": 10_000 });
        let answer = request.json(&body).send().await.expect("an answer");
        assert_eq!(answer.status(), 400);
        let problem: Value = answer.json().await.expect("a problem");
        assert_eq!(problem["code"], "idempotency_key_repeated", "{problem}");
    }
    assert_eq!(world.events(), events);
    assert_eq!(world.wallet(&user).await.spendable_milli, 100_000);
}
