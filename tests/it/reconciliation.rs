//! The journal beside a gateway's settlement report and a media server's durations.

use crate::crash::Deployment;
use crate::payments::order;
use crate::world::{Person, World, captured, new_key};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::io::Write;
use tempfile::NamedTempFile;
use uuid::Uuid;

/// Runs `muneem reconcile` beside the server and answers whether both sides agree, and what it found.
async fn reconcile(world: &World, source: &str, file: &str, more: &[&str]) -> (bool, Value) {
    let mut kept = NamedTempFile::new().expect("a file");
    kept.write_all(file.as_bytes()).expect("it is written");
    let config = &world.config;
    let settings = vec![
        ("MUNEEM_MODE", "development".to_owned()),
        ("MUNEEM_DATA_DIR", config.data_dir.display().to_string()),
        ("DATABASE_URL", config.database_url.expose_secret().to_owned()),
        ("REDIS_URL", config.redis_url.expose_secret().to_owned()),
    ];
    let path = kept.path().display().to_string();
    let arguments = [&["reconcile", source, "--json", "--file", &path], more].concat();
    Deployment { settings }.run(&arguments).await
}

async fn pay(world: &World, user: &Person, payment: &str) {
    let (_, order) = order(world, user).await;
    let news = captured(payment, &order, 9_900, "INR");
    world.webhook(&format!("evt_{payment}"), &news).await.expect_ok();
    world.inbox_done().await;
}

fn payment(name: &str, amount: i64, fee: i64) -> Value {
    json!({
        "entity_id": name, "type": "payment", "debit": 0, "credit": amount - fee, "amount": amount, "currency": "INR",
        "fee": fee, "tax": fee / 10, "created_at": 1_767_225_600, "settlement_id": "setl_1",
    })
}

async fn items(world: &World, id: &Value, outcome: &str) -> Vec<Value> {
    let id = id.as_str().expect("an id");
    let path = format!("/v1/admin/reconciliations/{id}/items?outcome={outcome}");
    let page = world.get(Some(&world.admin), &path).await.expect_ok();
    page["items"].as_array().expect("items").clone()
}

const ALWAYS: [&str; 4] = ["--from", "2020-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z"];

#[sqlx::test(migrations = false)]
async fn a_settlement_report_is_compared_and_its_differences_are_settled_once(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    for name in ["pay_same", "pay_less", "pay_kept"] {
        pay(&world, &user, name).await;
    }
    let report = json!({ "entity": "collection", "items": [
        payment("pay_same", 9_900, 234), payment("pay_less", 9_000, 2), payment("pay_unknown", 500, 0),
        payment("pay_same", 9_900, 0),
    ] });
    let (agrees, found) = reconcile(&world, "razorpay", &report.to_string(), &ALWAYS).await;
    assert!(!agrees, "{found:#}");
    let counts = ["matched", "missing_here", "missing_there", "amount_differs"].map(|count| &found[count]);
    // The payment that is told twice was paid once.
    assert_eq!(counts, [&json!(1), &json!(2), &json!(1), &json!(1)], "{found:#}");
    assert_eq!(found["fees"][0]["theirs"], -236, "{found:#}");

    let id = &found["reconciliation"];
    let lines = items(&world, id, "amount_differs").await;
    let figures = ["reference", "ours", "theirs", "asset"].map(|field| &lines[0][field]);
    assert_eq!(figures, [&json!("pay_less"), &json!(9_900), &json!(9_000), &json!("INR/2")]);
    assert_eq!(items(&world, id, "missing_there").await[0]["reference"], "pay_kept");
    let fees = items(&world, id, "fees").await;
    assert_eq!(
        (&fees[0]["reference"], &fees[0]["fee"], &fees[0]["tax"]),
        (&json!("setl_1"), &json!(236), &json!(23))
    );

    // The fees are booked by an adjustment that names them: once, whoever does it, and however often it is sent.
    let difference = &fees[0]["difference"];
    let booking = json!({
        "gateway": "razorpay", "amount_minor": -236, "asset": "INR/2", "reason": "gateway_fee", "settles": difference,
    });
    let book =
        |key: Uuid| world.post_with_key(&world.admin, "/v1/admin/gateway-adjustments", key, booking.clone());
    let key = new_key();
    let sent = [key, key, key, new_key(), new_key()].map(book);
    let sent = futures_util::future::join_all(sent).await;
    let done = sent.iter().filter(|answer| answer.status == 201).count();
    assert!((1..=3).contains(&done), "one adjustment, and its retries");
    for refused in sent.iter().filter(|answer| answer.status != 201) {
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (409, "difference_settled"),
            "{}",
            refused.body
        );
    }
    world.shown().await;
    let losses =
        world.get(Some(&world.admin), "/v1/admin/accounts/platform:losses/balance?asset=INR/2").await;
    assert_eq!(losses.expect_ok()["balance_minor"], 236);
    let settled = &items(&world, id, "fees").await[0];
    assert!(settled["settled_by"].is_string() && settled["settled_at"].is_string(), "{settled}");

    // Found again, it is the same difference, and settled.
    let (_, again) = reconcile(&world, "razorpay", &report.to_string(), &ALWAYS).await;
    let again = &items(&world, &again["reconciliation"], "fees").await[0];
    assert_eq!((&again["difference"], &again["settled_by"]), (difference, &settled["settled_by"]));
    let list = world.get(Some(&world.admin), "/v1/admin/reconciliations?source=razorpay").await.expect_ok();
    assert_eq!(list["items"].as_array().expect("items").len(), 2);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn what_is_no_file_of_theirs_keeps_nothing(pool: PgPool) {
    let world = World::start(&pool).await;
    for (source, file, more, says) in [
        ("razorpay", "", &ALWAYS[..], "neither JSON"),
        ("razorpay", "[]", &[][..], "give --from and --to"),
        (
            "razorpay",
            "entity_id,type,debit,credit,amount,currency,fee,tax,created_at\np,payment,0,1.00,1.00,INR,0,0,1\n",
            &[],
            "row 1",
        ),
        ("calls", "[{}]", &ALWAYS, "row 1"),
        (
            "calls",
            "call,duration_ms\n",
            &["--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"],
            "before --to",
        ),
    ] {
        let (ok, told) = reconcile(&world, source, file, more).await;
        assert!(!ok && told.to_string().contains(says), "{source} {file}: {told}");
    }
    let list = world.get(Some(&world.admin), "/v1/admin/reconciliations").await.expect_ok();
    assert_eq!(list["items"], json!([]));

    let unknown = json!({
        "gateway": "razorpay", "amount_minor": -1, "asset": "INR/2", "reason": "gateway_fee", "settles": Uuid::now_v7(),
    });
    let refused = world.post(Some(&world.admin), "/v1/admin/gateway-adjustments", unknown).await;
    assert_eq!(
        (refused.code(), &refused.body["field"]),
        ("field_invalid", &json!("settles")),
        "{}",
        refused.body
    );
    let coins =
        json!({ "gateway": "razorpay", "amount_minor": -1, "asset": "COIN/3", "reason": "gateway_fee" });
    let refused = world.post(Some(&world.admin), "/v1/admin/gateway-adjustments", coins).await;
    assert_eq!(
        (refused.code(), &refused.body["field"]),
        ("gateway_holds_money", &json!("asset")),
        "{}",
        refused.body
    );
}
