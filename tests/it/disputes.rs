//! Payments that payers take back: the gateway's webhooks, what the buyer and the admins see, and what is owed.

use crate::governance::another_admin;
use crate::payments::{audited, order, suspense};
use crate::world::{Person, World, captured, dispute_event, refund_event};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

const WHOLE: (i64, i64) = (9_900, 0);

/// Somebody who has bought a hundred coins with this payment, and sent some of them to a host.
async fn buyer(world: &World, payment: &str, spent_milli: i64) -> (Person, Uuid) {
    let user = world.new_person().await;
    let (purchase, order) = order(world, &user).await;
    told(world, payment, &captured(payment, &order, 9_900, "INR")).await;
    if spent_milli > 0 {
        gift(world, &user, spent_milli).await.expect_ok();
    }
    (user, purchase)
}

async fn gift(world: &World, user: &Person, price_milli: i64) -> crate::world::Answer {
    let (gift, host) = (world.new_gift(price_milli).await, world.new_host(60_000).await);
    let body = json!({ "host": host.id, "price_seen_milli": price_milli });
    world.post(Some(user), &format!("/v1/gifts/{gift}/send"), body).await
}

async fn told(world: &World, delivery: &str, body: &Value) {
    world.webhook(delivery, body).await.expect_ok();
    world.inbox_done().await;
}

async fn dispute(world: &World, dispute_ref: &str) -> Value {
    world.shown().await;
    world.get(Some(&world.admin), &format!("/v1/admin/disputes/{dispute_ref}")).await.expect_ok()
}

async fn outcome(pool: &PgPool, delivery: &str) -> String {
    let sql = "SELECT outcome FROM app.webhook_inbox WHERE delivery = $1";
    sqlx::query_scalar(sql).bind(delivery).fetch_one(pool).await.expect("a delivery")
}

#[sqlx::test(migrations = false)]
async fn a_lost_dispute_is_paid_by_the_next_purchase(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, purchase) = buyer(&world, "pay_1", 30_000).await;
    let mut socket = world.connect(&user).await;
    // The same news under several deliveries, at once.
    let opened = dispute_event("created", "disp_1", "pay_1", WHOLE, 1);
    let deliveries = ["evt_a", "evt_a", "evt_b", "evt_c"].map(|id| world.webhook(id, &opened));
    for answer in futures_util::future::join_all(deliveries).await {
        answer.expect_ok();
    }
    world.inbox_done().await;
    told(&world, "evt_review", &dispute_event("under_review", "disp_1", "pay_1", WHOLE, 2)).await;
    let mine = world.get(Some(&user), "/v1/wallet").await.expect_ok();
    assert_eq!((&mine["spendable_milli"], &mine["frozen_milli"]), (&json!(0), &json!(70_000)));
    let refund = json!({ "refund_ref": "rfnd_1", "amount_minor": 100, "asset": "INR/2", "reason": "asked" });
    let path = format!("/v1/admin/purchases/{purchase}/refunds");
    world.post(Some(&world.admin), &path, refund).await.expect_problem(409, "purchase_disputed");

    // Lost, with a fee; told again by itself and under another delivery.
    let lost = dispute_event("lost", "disp_1", "pay_1", (9_900, 10_400), 3);
    for delivery in ["evt_lost", "evt_lost", "evt_lost2"] {
        told(&world, delivery, &lost).await;
    }
    let mine = world.get(Some(&user), "/v1/wallet").await.expect_ok();
    assert_eq!((&mine["frozen_milli"], &mine["owed_milli"]), (&json!(0), &json!(30_000)));
    for told in [(70_000, 0), (0, 30_000)] {
        let pushed = socket.push("wallet:updated").await["data"].take();
        assert_eq!((&pushed["frozen_milli"], &pushed["owed_milli"]), (&json!(told.0), &json!(told.1)));
    }
    let row = dispute(&world, "disp_1").await;
    let figures =
        ["matched_minor", "fee_minor", "taken_milli", "owed_milli", "frozen_milli"].map(|it| &row[it]);
    assert_eq!(figures, [&json!(9_900), &json!(500), &json!(70_000), &json!(30_000), &json!(0)], "{row}");
    let kinds: Vec<_> = row["events"].as_array().expect("events").iter().map(|it| &it["kind"]).collect();
    assert_eq!(kinds, ["DisputeOpened", "DisputeReleased", "DisputeLost"], "{row}");
    assert!(row["events"][2]["data"]["postings"].as_array().is_some_and(|it| it.len() == 8), "{row}");
    let bought = world.get(Some(&user), &format!("/v1/purchases/{purchase}")).await.expect_ok();
    assert_eq!((&bought["status"], &bought["charged_back_minor"]), (&json!("charged_back"), &json!(9_900)));

    // Nothing can be paid, but coins can be bought.
    let refused = gift(&world, &user, 1_000).await;
    assert_eq!(refused.body["owed_milli"], 30_000, "{}", refused.body);
    refused.expect_problem(409, "receivable_open");
    let owing = world.get(Some(&world.admin), "/v1/admin/receivables").await.expect_ok();
    assert_eq!(owing["items"][0]["user"], json!(user.id), "{owing}");
    let (_, again) = order(&world, &user).await;
    told(&world, "pay_2", &captured("pay_2", &again, 9_900, "INR")).await;
    let mine = world.get(Some(&user), "/v1/wallet").await.expect_ok();
    assert_eq!((&mine["spendable_milli"], &mine["owed_milli"]), (&json!(70_000), &json!(0)));
    gift(&world, &user, 1_000).await.expect_ok();
    world.shown().await;
    let owing = world.get(Some(&world.admin), "/v1/admin/receivables").await.expect_ok();
    assert_eq!(owing["items"], json!([]));
    let lines = world.get(Some(&user), "/v1/wallet/statement?type=receivable").await.expect_ok();
    assert_eq!(lines["items"].as_array().map(Vec::len), Some(3), "owed, and two sides of recovered: {lines}");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn winning_releases_everything_and_what_comes_late_changes_nothing(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, _) = buyer(&world, "pay_1", 0).await;
    // Won before it is opened, and closed after.
    told(&world, "evt_won", &dispute_event("won", "disp_1", "pay_1", WHOLE, 2)).await;
    told(&world, "evt_open", &dispute_event("created", "disp_1", "pay_1", WHOLE, 1)).await;
    told(&world, "evt_closed", &dispute_event("closed", "disp_1", "pay_1", WHOLE, 3)).await;
    assert_eq!(outcome(&pool, "evt_open").await, "dispute_already_recorded");
    assert_eq!(outcome(&pool, "evt_closed").await, "dispute_already_decided");
    assert_eq!(world.wallet(&user).await.spendable_milli, 100_000);
    // One in the middle: frozen, then released.
    told(&world, "evt_open2", &dispute_event("created", "disp_2", "pay_1", (4_950, 0), 4)).await;
    assert_eq!(world.wallet(&user).await.frozen_milli, 50_000);
    told(&world, "evt_closed2", &dispute_event("closed", "disp_2", "pay_1", (4_950, 0), 5)).await;
    assert_eq!(world.wallet(&user).await.spendable_milli, 100_000);
    // The bank thinks again after it was won, and again.
    told(&world, "evt_lost", &dispute_event("lost", "disp_1", "pay_1", (9_900, 9_900), 6)).await;
    assert_eq!(world.wallet(&user).await.spendable_milli, 0);
    told(&world, "evt_won2", &dispute_event("won", "disp_1", "pay_1", WHOLE, 7)).await;
    assert_eq!(world.wallet(&user).await.spendable_milli, 100_000);
    told(&world, "evt_lost2", &dispute_event("lost", "disp_1", "pay_1", (9_900, 9_900), 8)).await;
    assert_eq!(world.wallet(&user).await.spendable_milli, 0);
    let all = world.get(Some(&world.admin), "/v1/admin/disputes?status=lost").await.expect_ok();
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1), "{all}");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn disputes_that_fit_nothing_stand_in_suspense_or_wait_for_a_person(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, _) = buyer(&world, "pay_1", 0).await;
    for (delivery, body, outcome_is, adds) in [
        ("evt_unknown", dispute_event("lost", "disp_1", "pay_never", (500, 500), 1), "recorded", -500),
        ("evt_more", dispute_event("lost", "disp_2", "pay_1", (10_000, 10_000), 1), "recorded", -100),
        ("evt_other", dispute_event("won", "disp_2", "pay_never", (1, 0), 1), "dispute_mismatch", 0),
        ("evt_zero", dispute_event("lost", "disp_3", "pay_1", (0, 0), 1), "amount_invalid", 0),
        ("evt_less", dispute_event("lost", "disp_3", "pay_1", (100, -1), 1), "amount_invalid", 0),
        ("evt_name", dispute_event("lost", "disp\u{0}", "pay_1", WHOLE, 1), "reference_invalid", 0),
    ] {
        let before = suspense(&world).await;
        told(&world, delivery, &body).await;
        assert_eq!(outcome(&pool, delivery).await, outcome_is, "{delivery}");
        assert_eq!(suspense(&world).await - before, adds, "{delivery}");
    }
    assert_eq!(world.wallet(&user).await.spendable_milli, 0);
    // The refund of money that is back already.
    told(&world, "evt_refund", &refund_event("rfnd_1", "pay_1", 100)).await;
    assert_eq!(suspense(&world).await, -700);
    let cases = world.get(Some(&world.admin), "/v1/admin/suspense?cause=dispute_unmatched").await.expect_ok();
    assert_eq!(cases["items"].as_array().map(Vec::len), Some(1), "{cases}");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_receivable_is_written_off_once_by_two_admins_above_the_limit(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, _) = buyer(&world, "pay_1", 30_000).await;
    told(&world, "evt_lost", &dispute_event("lost", "disp_1", "pay_1", (9_900, 9_900), 1)).await;
    let path = "/v1/admin/disputes/disp_1/write-off";
    let asked = json!({ "amount_milli": 10_000, "reason": "uncollectable", "note": "left the country" });
    let key = crate::world::new_key();
    // One key at once is once.
    let at_once = (0..4).map(|_| world.post_with_key(&world.admin, path, key, asked.clone()));
    for answer in futures_util::future::join_all(at_once).await {
        answer.expect_ok();
    }
    assert_eq!(world.wallet(&user).await.owed_milli, 20_000);
    let log = audited(&world, "dispute", "disp_1").await;
    assert_eq!((log.len(), &log[0]["words"]), (1, &json!("left the country")), "{log:?}");
    assert_eq!(
        (&log[0]["before"]["owed_milli"], &log[0]["after"]["owed_milli"]),
        (&json!(30_000), &json!(20_000))
    );
    let refused = |amount: i64| json!({ "amount_milli": amount, "reason": "uncollectable" });
    world.post(Some(&world.admin), path, refused(20_001)).await.expect_problem(409, "write_off_too_large");
    world.post(Some(&world.admin), path, refused(0)).await.expect_problem(422, "amount_not_positive");
    let nobodys = "/v1/admin/disputes/disp_9/write-off";
    world.post(Some(&world.admin), nobodys, refused(1)).await.expect_problem(404, "unknown_receivable");
    // Above the limit another admin has to approve, twice is once. What is not owed nobody has to look at.
    world.limit_one_admin(100).await;
    world.post(Some(&world.admin), path, refused(20_001)).await.expect_problem(409, "write_off_too_large");
    world.post(Some(&world.admin), nobodys, refused(1_000)).await.expect_problem(404, "unknown_receivable");
    let proposed = world.post(Some(&world.admin), path, refused(20_000)).await;
    assert_eq!(proposed.status, 202, "{}", proposed.body);
    let approve =
        format!("/v1/admin/approvals/{}/approve", proposed.body["approval"].as_str().expect("an id"));
    let other = another_admin(&world).await;
    world.post(Some(&other), &approve, json!({})).await.expect_ok();
    assert_eq!(world.wallet(&user).await.owed_milli, 0);
    world.post(Some(&world.admin), path, refused(1)).await.expect_problem(404, "unknown_receivable");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn held_earnings_cover_what_a_buyer_owes_until_it_is_paid(pool: PgPool) {
    let world = World::start(&pool).await;
    let admin = Some(&world.admin);
    let settings = "/v1/admin/settings/payouts";
    let mut payouts = world.get(admin, settings).await.expect_ok();
    (payouts["earnings_hold_seconds"], payouts["claw_back_held_earnings"]) = (json!(86_400), json!(true));
    world.put(admin, settings, payouts).await.expect_ok();

    let (user, _) = buyer(&world, "pay_1", 0).await;
    let (gift, host) = (world.new_gift(50_000).await, world.new_host(60_000).await);
    let body = json!({ "host": host.id, "price_seen_milli": 50_000 });
    world.post(Some(&user), &format!("/v1/gifts/{gift}/send"), body).await.expect_ok();
    let earned = async || {
        world.shown().await;
        let path = format!("/v1/admin/accounts/host:{}:earnings/balance", host.id);
        world.get(admin, &path).await.expect_ok()["balance_minor"].as_i64().expect("a balance")
    };
    let at_first = earned().await;
    assert!(at_first > 0);

    // The same news twice, and under another delivery, at once.
    let lost = dispute_event("lost", "disp_1", "pay_1", WHOLE, 1);
    let deliveries = ["evt_a", "evt_a", "evt_b"].map(|id| world.webhook(id, &lost));
    for answer in futures_util::future::join_all(deliveries).await {
        answer.expect_ok();
    }
    world.inbox_done().await;
    let row = dispute(&world, "disp_1").await;
    assert_eq!((&row["owed_milli"], &row["clawed_milli"]), (&json!(50_000), &json!(at_first)), "{row}");
    assert_eq!(earned().await, 0);
    let statement = world.get(Some(&host), "/v1/wallet/statement").await.expect_ok();
    assert_eq!(statement["items"][0]["type"], "clawback", "{statement}");

    // The next purchase pays for it.
    let (_, order) = order(&world, &user).await;
    told(&world, "evt_paid", &captured("pay_2", &order, 9_900, "INR")).await;
    assert_eq!(earned().await, at_first);
    let row = dispute(&world, "disp_1").await;
    assert_eq!((&row["owed_milli"], &row["clawed_milli"]), (&json!(0), &json!(0)), "{row}");
    world.verify().await;
}
