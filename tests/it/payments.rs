//! What a gateway may do to us: late, early, twice, wrong.

use crate::world::{Person, World, captured, payment_event, refund_event, sign};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

/// A plan of a hundred coins for 99 rupees, and an order of it.
pub async fn order(world: &World, user: &Person) -> (Uuid, String) {
    let plan = Uuid::now_v7();
    let offer = json!({
        "coins_milli": 100_000, "bonus_milli": 0, "price_minor": 9_900, "price_asset": "INR/2", "active": true,
    });
    world.put(Some(&world.admin), &format!("/v1/admin/coin-plans/{plan}"), offer).await.expect_ok();
    let checkout = world.post(Some(user), "/v1/purchases", json!({ "plan": plan })).await.expect_ok();
    let purchase = checkout["purchase"].as_str().expect("a purchase").parse().expect("a uuid");
    (purchase, checkout["order_id"].as_str().expect("an order").to_owned())
}

/// What the audit log says of a subject, the oldest first.
pub async fn audited(world: &World, kind: &str, subject: impl std::fmt::Display) -> Vec<Value> {
    let path = format!("/v1/admin/audit?subject_kind={kind}&subject={subject}&limit=100");
    let log = world.get(Some(&world.admin), &path).await.expect_ok();
    log["items"].as_array().expect("items").iter().rev().cloned().collect()
}

pub async fn suspense(world: &World) -> i64 {
    use ledger_core::{Account, Asset, Gateway};
    let ask =
        |state: &ledger_core::State, _| -state.balance(Account::Suspense(Gateway::Razorpay), Asset::INR);
    world.app.ledger.query(ask).await.expect("the ledger answers")
}

#[sqlx::test(migrations = false)]
async fn a_capture_told_many_times_and_ways_credits_once(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let (_, order) = order(&world, &user).await;
    let told = captured("pay_once", &order, 9_900, "INR");
    let paid = payment_event("order.paid", "pay_once", &order, 9_900, "INR");
    // The same delivery, the same news under other deliveries and names, all at once.
    let deliveries = [
        ("evt_a", &told),
        ("evt_a", &told),
        ("evt_b", &told),
        ("evt_c", &paid),
        ("evt_d", &paid),
        ("evt_a", &told),
    ];
    let sent = futures_util::future::join_all(deliveries.map(|(id, body)| world.webhook(id, body))).await;
    for answer in sent {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    world.inbox_done().await;
    assert_eq!(world.wallet(&user).await.purchased_milli, 100_000);
    assert_eq!(suspense(&world).await, 0);
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM app.webhook_inbox").fetch_one(&pool).await.expect("rows");
    assert_eq!(rows, 4, "a repeated delivery meets its first row");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn money_that_fits_no_open_purchase_stands_in_suspense(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let (_, paid) = order(&world, &user).await;
    let (_, open) = order(&world, &user).await;
    world.webhook("evt_0", &captured("pay_0", &paid, 9_900, "INR")).await.expect_ok();
    world.inbox_done().await;
    for (case, event, adds) in [
        ("an order that is none of ours", captured("pay_1", "order_unknown", 5_000, "INR"), 5_000),
        ("a second payment of one order", captured("pay_2", &paid, 9_900, "INR"), 9_900),
        ("another amount", captured("pay_3", &open, 9_800, "INR"), 9_800),
        ("another currency", captured("pay_4", &open, 9_900, "USD"), 0),
        ("a refund of a payment never heard of", refund_event("rfnd_1", "pay_never", 100), -100),
    ] {
        let before = suspense(&world).await;
        let answer = world.webhook(&format!("evt_{case}"), &event).await;
        assert_eq!(answer.status, 200, "{case}: {}", answer.body);
        world.inbox_done().await;
        assert_eq!(suspense(&world).await - before, adds, "{case}");
    }
    assert_eq!(world.wallet(&user).await.purchased_milli, 100_000, "only what fitted was credited");
    let cases = world
        .get(Some(&world.admin), &format!("/v1/admin/suspense?min_revision={}", world.events() - 1))
        .await
        .expect_ok();
    assert_eq!(cases["items"].as_array().map(Vec::len), Some(5), "{cases}");
    // The purchase that was paid wrongly is still open, and a right payment credits it.
    world.webhook("evt_right", &captured("pay_right", &open, 9_900, "INR")).await.expect_ok();
    crate::world::eventually("the right payment credits", async || {
        (world.wallet(&user).await.purchased_milli == 200_000).then_some(())
    })
    .await;
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_failure_before_the_capture_and_a_refund_before_it_are_put_in_order(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let (purchase, order) = order(&world, &user).await;
    // The refund comes first: it waits for the capture.
    world.webhook("evt_refund", &refund_event("rfnd_early", "pay_late", 4_950)).await.expect_ok();
    world
        .webhook("evt_fail", &payment_event("payment.failed", "pay_late", &order, 9_900, "INR"))
        .await
        .expect_ok();
    world.webhook("evt_capture", &captured("pay_late", &order, 9_900, "INR")).await.expect_ok();
    world.inbox_done().await;
    assert_eq!(world.wallet(&user).await.purchased_milli, 50_000, "half of it went back");
    assert_eq!(suspense(&world).await, 0);
    // A failure that is told after the capture changes nothing.
    world
        .webhook("evt_fail2", &payment_event("payment.failed", "pay_other", &order, 9_900, "INR"))
        .await
        .expect_ok();
    world.inbox_done().await;
    let row = world.get(Some(&user), &format!("/v1/purchases/{purchase}")).await.expect_ok();
    assert_eq!(row["refunded_minor"], 4_950, "{row}");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn an_admins_refund_fits_the_purchase_or_is_refused(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let (purchase, order) = order(&world, &user).await;
    let path = format!("/v1/admin/purchases/{purchase}/refunds");
    let refund = |reference: &str, amount_minor: i64, asset: &str| -> Value {
        json!({ "refund_ref": reference, "amount_minor": amount_minor, "asset": asset })
    };
    let admin = Some(&world.admin);
    world.post(admin, &path, refund("r1", 100, "INR/2")).await.expect_problem(409, "purchase_not_captured");
    world.webhook("evt_1", &captured("pay_1", &order, 9_900, "INR")).await.expect_ok();
    world.inbox_done().await;
    world
        .post(admin, &path, refund("r1", 9_901, "INR/2"))
        .await
        .expect_problem(409, "refund_exceeds_captured");
    world
        .post(admin, &path, refund("r1", 100, "USD/2"))
        .await
        .expect_problem(422, "refund_currency_mismatch");
    world.post(admin, &path, refund("r1", 9_900, "INR/2")).await.expect_ok();
    // The gateway's own word of the same refund is not a second one.
    world.webhook("evt_2", &refund_event("r1", "pay_1", 9_900)).await.expect_ok();
    world.inbox_done().await;
    assert_eq!((world.wallet(&user).await.purchased_milli, suspense(&world).await), (0, 0));
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_delivery_that_is_not_signed_is_refused_and_one_that_is_odd_is_kept(pool: PgPool) {
    let world = World::start(&pool).await;
    let raw = captured("pay_forged", "order_x", 100, "INR").to_string();
    let before = world.events();
    for (case, signature) in [
        ("another secret", sign("not the secret", raw.as_bytes())),
        ("another body", sign(crate::world::WEBHOOK_SECRET, b"{}")),
        ("no hex", "zz".to_owned()),
        ("empty", String::new()),
    ] {
        let answer = world.raw_webhook(&raw, &signature, case).await;
        answer.expect_problem(400, "webhook_signature_invalid");
    }
    assert_eq!(world.events(), before, "nothing was recorded");
    for odd in
        ["not json", "[]", "{\"event\":\"payment.captured\"}", "{\"event\":\"something.new\",\"payload\":{}}"]
    {
        let signature = sign(crate::world::WEBHOOK_SECRET, odd.as_bytes());
        assert_eq!(world.raw_webhook(odd, &signature, odd).await.status, 200, "{odd}");
    }
    world.inbox_done().await;
    let unreadable: i64 =
        sqlx::query_scalar("SELECT count(*) FROM app.webhook_inbox WHERE status = 'unreadable'")
            .fetch_one(&pool)
            .await
            .expect("rows");
    assert_eq!(unreadable, 3);
    assert_eq!(world.events(), before, "nothing was recorded");
}

#[sqlx::test(migrations = false)]
async fn the_refund_of_a_payment_in_suspense_takes_no_coins_that_another_payment_bought(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let (_, order) = order(&world, &user).await;
    world.webhook("evt_wrong", &captured("pay_wrong", &order, 9_800, "INR")).await.expect_ok();
    world.webhook("evt_first", &captured("pay_first", &order, 9_900, "INR")).await.expect_ok();
    world.webhook("evt_second", &captured("pay_second", &order, 9_900, "INR")).await.expect_ok();
    world.inbox_done().await;
    assert_eq!((world.wallet(&user).await.purchased_milli, suspense(&world).await), (100_000, 19_700));
    // A person gives both payments that bought nothing back, in the gateway's panel.
    world.webhook("evt_back_1", &refund_event("rfnd_second", "pay_second", 9_900)).await.expect_ok();
    world.webhook("evt_back_2", &refund_event("rfnd_wrong", "pay_wrong", 9_800)).await.expect_ok();
    world.inbox_done().await;
    assert_eq!(world.wallet(&user).await.purchased_milli, 100_000, "what the first payment bought stays");
    assert_eq!(suspense(&world).await, 0, "nothing waits any more");
    // The payment that did buy them takes them along.
    world.webhook("evt_back_3", &refund_event("rfnd_first", "pay_first", 9_900)).await.expect_ok();
    world.inbox_done().await;
    assert_eq!((world.wallet(&user).await.purchased_milli, suspense(&world).await), (0, 0));
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_capture_that_a_crash_left_half_done_is_known_to_its_refund(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let (_, order) = order(&world, &user).await;
    world.webhook("evt_1", &captured("pay_1", &order, 9_900, "INR")).await.expect_ok();
    world.inbox_done().await;
    // The ledger has it; the outcome in the inbox is missing.
    sqlx::query("UPDATE app.webhook_inbox SET status = 'pending', outcome = NULL")
        .execute(&pool)
        .await
        .expect("the inbox");
    let world = world.restart().await;
    world.inbox_done().await;
    assert_eq!(world.wallet(&user).await.purchased_milli, 100_000, "credited once");
    world.webhook("evt_2", &refund_event("rfnd_1", "pay_1", 9_900)).await.expect_ok();
    world.inbox_done().await;
    assert_eq!((world.wallet(&user).await.purchased_milli, suspense(&world).await), (0, 0));
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn money_is_taken_in_whatever_letters_its_currency_is_written(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let (_, order) = order(&world, &user).await;
    world.webhook("evt_1", &captured("pay_1", &order, 9_900, "inr")).await.expect_ok();
    world.inbox_done().await;
    assert_eq!(world.wallet(&user).await.purchased_milli, 100_000);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn another_body_under_a_known_delivery_id_is_not_lost(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let (_, first) = order(&world, &user).await;
    let (_, second) = order(&world, &user).await;
    for _ in 0..2 {
        world.webhook("evt_same", &captured("pay_1", &first, 9_900, "INR")).await.expect_ok();
        world.webhook("evt_same", &captured("pay_2", &second, 9_900, "INR")).await.expect_ok();
    }
    world.inbox_done().await;
    assert_eq!(world.wallet(&user).await.purchased_milli, 200_000);
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM app.webhook_inbox").fetch_one(&pool).await.expect("rows");
    assert_eq!(rows, 2);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn odd_amounts_are_kept_and_credit_nothing(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let (_, order) = order(&world, &user).await;
    let before = world.events();
    for (case, amount) in [("zero", 0), ("negative", -9_900), ("huge", i64::MAX), ("smallest", i64::MIN)] {
        world.webhook(case, &captured(&format!("pay_{case}"), &order, amount, "INR")).await.expect_ok();
        let refund = refund_event(&format!("rfnd_{case}"), &format!("pay_{case}"), amount);
        world.webhook(&format!("{case}_back"), &refund).await.expect_ok();
    }
    let mut beyond = captured("pay_beyond", &order, 1, "INR").to_string();
    beyond = beyond.replace("\"amount\":1", "\"amount\":99999999999999999999");
    let signature = sign(crate::world::WEBHOOK_SECRET, beyond.as_bytes());
    world.raw_webhook(&beyond, &signature, "beyond").await.expect_ok();
    world.webhook("nameless", &captured(&"x".repeat(65), &order, 9_900, "INR")).await.expect_ok();
    world.inbox_done().await;
    assert_eq!(world.events(), before, "nothing was recorded");
    world.webhook("right", &captured("pay_right", &order, 9_900, "INR")).await.expect_ok();
    world.inbox_done().await;
    assert_eq!(world.wallet(&user).await.purchased_milli, 100_000, "the inbox goes on");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_double_tap_opens_one_purchase_and_one_order(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let plan = Uuid::now_v7();
    let offer = json!({
        "coins_milli": 100_000, "bonus_milli": 0, "price_minor": 9_900, "price_asset": "INR/2", "active": true,
    });
    world.put(Some(&world.admin), &format!("/v1/admin/coin-plans/{plan}"), offer).await.expect_ok();
    let key = crate::world::new_key();
    let taps = (0..8).map(|_| world.post_with_key(&user, "/v1/purchases", key, json!({ "plan": plan })));
    let answers = futures_util::future::join_all(taps).await;
    let orders: Vec<_> = answers.into_iter().map(|it| it.expect_ok()["order_id"].clone()).collect();
    assert!(orders.iter().all(|it| *it == orders[0]), "{orders:?}");
}

#[sqlx::test(migrations = false)]
async fn other_words_under_one_key_are_refused_and_the_first_stay(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let key = crate::world::new_key();
    let adjust = |note: &str| {
        json!({
            "account": format!("user:{}:purchased", user.id), "amount_milli": 1_000, "reason": "goodwill", "note": note,
        })
    };
    let path = "/v1/admin/adjustments";
    let first = world.post_with_key(&world.admin, path, key, adjust("was cut off")).await.expect_ok();
    let again = world.post_with_key(&world.admin, path, key, adjust("was cut off")).await.expect_ok();
    assert_eq!((&first["note"], &again["duplicate"]), (&again["note"], &json!(true)));
    let other = world.post_with_key(&world.admin, path, key, adjust("something else")).await;
    other.expect_problem(409, "idempotency_key_reused");
    let words: Vec<String> =
        sqlx::query_scalar("SELECT words FROM app.notes").fetch_all(&pool).await.expect("notes");
    assert_eq!(words, ["was cut off"]);
    assert_eq!(world.wallet(&user).await.purchased_milli, 1_000);
}

/// The deliveries in a state, as admins see them.
async fn deliveries(world: &World, state: &str) -> Vec<Value> {
    let page = world.get(Some(&world.admin), &format!("/v1/admin/webhooks?state={state}")).await.expect_ok();
    page["items"].as_array().expect("items").clone()
}

#[sqlx::test(migrations = false)]
async fn money_that_cannot_be_recorded_waits_for_a_person_and_is_never_tried_for_ever(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let (_, order) = order(&world, &user).await;
    let before = world.events();
    let pay = |payment: &str, amount: i64, currency: &str| captured(payment, &order, amount, currency);
    let cases = [
        ("evt_zero", pay("pay_zero", 0, "INR"), "amount_invalid"),
        ("evt_negative", pay("pay_negative", -9_900, "INR"), "amount_invalid"),
        ("evt_huge", pay("pay_huge", 1 << 53, "INR"), "amount_invalid"),
        ("evt_long", pay(&"x".repeat(65), 9_900, "INR"), "reference_invalid"),
        ("evt_nul", pay("pay\u{0}nul", 9_900, "INR"), "reference_invalid"),
        ("evt_space", pay("pay space", 9_900, "INR"), "reference_invalid"),
        ("evt_coins", pay("pay_coins", 9_900, "XXXX"), "unknown_currency"),
        ("evt_refund", refund_event("rfnd\u{0}", "pay_never", 100), "reference_invalid"),
        ("evt_dispute", json!({ "event": "payment.dispute.arbitrated", "payload": {} }), "disputed"),
    ];
    for (delivery, body, _) in &cases {
        world.webhook(delivery, body).await.expect_ok();
    }
    // A strange order is none of ours: the money is in suspense.
    world.webhook("evt_order", &captured("pay_order", "order\u{0}", 700, "INR")).await.expect_ok();
    world.inbox_done().await;
    assert_eq!((world.events(), suspense(&world).await), (before + 1, 700));
    let waiting = deliveries(&world, "needs_person").await;
    let told: Vec<_> =
        waiting.iter().rev().map(|it| (it["delivery"].clone(), it["outcome"].clone())).collect();
    let expected: Vec<_> =
        cases.iter().map(|(delivery, _, outcome)| (json!(delivery), json!(outcome))).collect();
    assert_eq!(told, expected);
    assert!(waiting.iter().all(|it| it["attempts"] == 1), "{waiting:?}");

    // A person reads what came, deals with it, and says so once.
    let id = waiting[0]["webhook"].as_i64().expect("an id");
    let path = format!("/v1/admin/webhooks/{id}");
    let read = world.get(Some(&world.admin), &path).await.expect_ok();
    assert!(read["body"].as_str().expect("a body").contains("payment.dispute.arbitrated"), "{read}");
    let done = json!({ "reason": "answered_in_panel", "note": "with the invoice" });
    let handled = world.post(Some(&world.admin), &format!("{path}/handled"), done.clone()).await.expect_ok();
    assert_eq!((&handled["state"], &handled["handled_by"]), (&json!("handled"), &json!(world.admin.id)));
    let again = world.post(Some(&world.admin), &format!("{path}/handled"), done).await;
    again.expect_problem(409, "webhook_needs_nobody");
    let log =
        world.get(Some(&world.admin), &format!("/v1/admin/audit?subject_kind=webhook&subject={id}")).await;
    let log = log.expect_ok();
    let actions: Vec<_> =
        log["items"].as_array().expect("items").iter().map(|it| it["action"].clone()).collect();
    assert_eq!(actions, [json!("webhook.handled"), json!("webhook.read")]);
    assert_eq!(log["items"][0]["words"], "with the invoice");
    // Another try of one that cannot be recorded ends where it was.
    let id = waiting[1]["webhook"].as_i64().expect("an id");
    let retried = world.post(Some(&world.admin), &format!("/v1/admin/webhooks/{id}/retry"), json!({})).await;
    assert_eq!(retried.expect_ok()["state"], "pending");
    world.inbox_done().await;
    assert_eq!(deliveries(&world, "needs_person").await.len(), cases.len() - 1);
    world.get(Some(&world.admin), "/v1/admin/webhooks/999999").await.expect_problem(404, "unknown_webhook");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_delivery_lies_sealed_and_its_bytes_are_gone_after_ninety_days(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let (_, order) = order(&world, &user).await;
    let mut paid = captured("pay_1", &order, 9_900, "INR");
    paid["payload"]["payment"]["entity"]["email"] = json!("asha@example.com");
    world.webhook("evt_done", &paid).await.expect_ok();
    paid["payload"]["payment"]["entity"]["amount"] = json!(0);
    world.webhook("evt_waits", &paid).await.expect_ok();
    world.inbox_done().await;
    let stored: Vec<Vec<u8>> = sqlx::query_scalar("SELECT body_sealed FROM app.webhook_inbox ORDER BY id")
        .fetch_all(&pool)
        .await
        .expect("rows");
    assert_eq!(stored.len(), 2);
    assert!(!stored.iter().any(|body| body.windows(4).any(|part| part == b"asha")), "nothing lies open");
    let sweep = async |days: i64| {
        let now = platform::clock::now() + chrono::TimeDelta::days(days);
        world.app.purchases.sweep_once(now).await.expect("the sweep");
    };
    sweep(89).await;
    let count = "SELECT count(*) FROM app.webhook_inbox WHERE body_sealed IS NOT NULL";
    let kept: i64 = sqlx::query_scalar(count).fetch_one(&pool).await.expect("rows");
    assert_eq!(kept, 2);
    sweep(91).await;
    let kept: i64 = sqlx::query_scalar(count).fetch_one(&pool).await.expect("rows");
    assert_eq!(kept, 0);
    // What is done with is gone; what waits for a person still waits, without its bytes.
    let waiting = deliveries(&world, "needs_person").await;
    assert_eq!((waiting.len(), &waiting[0]["delivery"]), (1, &json!("evt_waits")));
    let path = format!("/v1/admin/webhooks/{}", waiting[0]["webhook"]);
    assert_eq!(world.get(Some(&world.admin), &path).await.expect_ok()["body"], Value::Null);
    assert_eq!(deliveries(&world, "done").await.len(), 0);
}

#[sqlx::test(migrations = false)]
async fn a_purchase_that_nobody_pays_expires_and_a_late_payment_still_credits(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let (purchase, order_id) = order(&world, &user).await;
    let (paid, paid_order) = order(&world, &user).await;
    world.webhook("evt_paid", &captured("pay_paid", &paid_order, 9_900, "INR")).await.expect_ok();
    world.inbox_done().await;
    // The row of the paid one is there again, as after a crash between capture and clean-up.
    sqlx::query(
        "INSERT INTO app.open_purchases (purchase, person, opened_at, closes_at) VALUES ($1, $2, now(), now())",
    )
    .bind(paid)
    .bind(user.id)
    .execute(&pool)
    .await
    .expect("the row");
    let status = async |purchase: Uuid| {
        let path = format!("/v1/purchases/{purchase}");
        world.get(Some(&user), &path).await.expect_ok()["status"].clone()
    };
    assert_eq!(status(purchase).await, "opened");
    let mut socket = world.connect(&user).await;
    let later = platform::clock::now() + chrono::TimeDelta::days(2);
    // Several nodes sweep at once, and again.
    let before = world.events();
    let sweeps = (0..4).map(|_| world.app.purchases.sweep_once(later));
    for swept in futures_util::future::join_all(sweeps).await {
        swept.expect("the sweep");
    }
    world.app.purchases.sweep_once(later).await.expect("the sweep");
    assert_eq!(world.events(), before + 1, "it expires once");
    assert_eq!((status(purchase).await, status(paid).await), (json!("expired"), json!("captured")));
    assert_eq!(socket.push("purchase:updated").await["data"]["status"], "expired");

    let late = captured("pay_late", &order_id, 9_900, "INR");
    let told = futures_util::future::join_all(["evt_1", "evt_2"].map(|id| world.webhook(id, &late))).await;
    told.into_iter().for_each(|answer| drop(answer.expect_ok()));
    world.inbox_done().await;
    assert_eq!(status(purchase).await, "captured");
    assert_eq!(world.wallet(&user).await.purchased_milli, 200_000);
    assert_eq!(suspense(&world).await, 0);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_refund_by_an_admin_is_in_the_audit_log_once_with_what_was_before(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let (purchase, order) = order(&world, &user).await;
    let path = format!("/v1/admin/purchases/{purchase}/refunds");
    let refund = |reference: &str, amount_minor: i64| -> Value {
        json!({
            "refund_ref": reference, "amount_minor": amount_minor, "asset": "INR/2", "reason": "double_booking",
            "note": "asked for by phone",
        })
    };
    let admin = &world.admin;
    // What is refused leaves no trace: the purchase is not paid, or the reason is no code.
    world.post(Some(admin), &path, refund("r1", 900)).await.expect_problem(409, "purchase_not_captured");
    world.webhook("evt_1", &captured("pay_1", &order, 9_900, "INR")).await.expect_ok();
    world.inbox_done().await;
    let mut unfit = refund("r1", 900);
    unfit["reason"] = json!("Double booking!");
    let refused = world.post(Some(admin), &path, unfit).await;
    refused.expect_problem(422, "field_invalid");
    assert_eq!(refused.body["field"], "reason");
    assert_eq!(audited(&world, "purchase", purchase).await, [] as [Value; 0]);

    // Eight times at once under one key, beside three other refunds.
    let key = crate::world::new_key();
    let same = (0..8).map(|_| world.post_with_key(admin, &path, key, refund("r1", 900)));
    let others = ["r2", "r3", "r4"].map(|reference| world.post(Some(admin), &path, refund(reference, 1_000)));
    let (same, others) =
        tokio::join!(futures_util::future::join_all(same), futures_util::future::join_all(others));
    same.into_iter().chain(others).for_each(|answer| drop(answer.expect_ok()));
    world.post_with_key(admin, &path, key, refund("r1", 900)).await.expect_ok();
    let rows = audited(&world, "purchase", purchase).await;
    let mut refunded = 0;
    for row in &rows {
        assert_eq!((&row["action"], &row["actor"]), (&json!("purchase.refunded"), &json!(admin.id)));
        assert_eq!((&row["reason"], &row["words"]), (&json!("double_booking"), &json!("asked for by phone")));
        assert!(row["request"].is_string() && row["revision"].is_u64(), "{row}");
        assert_eq!(row["before"], json!({ "refunded_minor": refunded }), "{row}");
        refunded += row["after"]["amount_minor"].as_i64().expect("an amount");
        assert_eq!(row["after"]["refunded_minor"], refunded, "{row}");
    }
    let mut references: Vec<_> = rows.iter().map(|row| row["after"]["refund_ref"].clone()).collect();
    references.sort_by_key(Value::to_string);
    assert_eq!((references, refunded), (vec![json!("r1"), json!("r2"), json!("r3"), json!("r4")], 3_900));
    world.verify().await;
}
