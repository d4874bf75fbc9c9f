//! From sign-in to payout, through the front door.

use crate::world::{World, captured, new_key};
use muneem::config::{Config, Mode};
use muneem::serve::Server;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

#[sqlx::test(migrations = false)]
async fn from_sign_in_to_payout_and_the_books_balance(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_person().await, world.new_host(60_000).await);
    world.meter(1, 30).await;
    let scope = json!({ "kind": "host", "id": host.id });
    let rate = json!({ "scope": scope, "host_bps": 6_000, "agency_bps": 0 });
    world.put(Some(&world.admin), "/v1/admin/commission-rates", rate).await.expect_ok();

    // Twelve coins and three as a bonus.
    let plan = Uuid::now_v7();
    let offer = json!({
        "coins_milli": 12_000, "bonus_milli": 3_000, "bonus_valid_seconds": 86_400,
        "price_minor": 1_200, "price_asset": "INR/2", "active": true,
    });
    world.put(Some(&world.admin), &format!("/v1/admin/coin-plans/{plan}"), offer).await.expect_ok();
    let checkout = world.post(Some(&user), "/v1/purchases", json!({ "plan": plan })).await.expect_ok();
    let order = checkout["order_id"].as_str().expect("an order");
    world.webhook("evt_1", &captured("pay_main", order, 1_200, "INR")).await.expect_ok();
    world.inbox_done().await;
    let wallet = world.wallet(&user).await;
    assert_eq!((wallet.purchased_milli, wallet.bonus_milli), (12_000, 3_000));

    // A gift of ten coins in the call: five ticks of one coin are left.
    let gift = world.new_gift(10_000).await;
    let (mut at_user, mut at_host) = (world.connect(&user).await, world.connect(&host).await);
    let call = world.start_call(&mut at_user, &mut at_host, host.id, 60_000).await;
    assert_eq!(at_user.push("call:ticked").await["data"]["number"], 1);
    let sent =
        json!({ "host": host.id, "gift": gift, "call": call, "price_seen_milli": 10_000, "key": new_key() });
    assert_eq!(at_user.request("gift:send", sent).await["type"], "gift:send:done");
    assert_eq!(at_host.push("gift:sent").await["data"]["price_milli"], 10_000);
    at_user.push("call:warned").await;
    let ended = at_user.push("call:ended").await["data"].clone();
    assert_eq!((&ended["reason"], &ended["charged_total_milli"]), (&json!("exhausted"), &json!(5_000)));
    assert_eq!(at_host.push("call:ended").await["data"]["reason"], "exhausted");

    // Fifteen coins at 60 %: nine for the host.
    assert_eq!(world.wallet(&user).await.spendable_milli, 0);
    assert_eq!(world.wallet(&host).await.withdrawable_milli, 9_000);
    let asked = world.post(Some(&host), "/v1/withdrawals", json!({ "coins_milli": 9_000 })).await.expect_ok();
    let path = format!("/v1/admin/withdrawals/{}", asked["withdrawal"].as_str().expect("a withdrawal"));
    world.post(Some(&world.admin), &format!("{path}/approve"), json!({})).await.expect_ok();
    let paid = json!({ "payout_ref": "UTR431234567890" });
    let paid = world.post(Some(&world.admin), &format!("{path}/paid"), paid).await.expect_ok();

    let revision = paid["revision"].as_u64().expect("a revision");
    let mine = world.get(Some(&host), &format!("/v1/withdrawals?min_revision={revision}")).await.expect_ok();
    assert_eq!(
        (&mine["items"][0]["status"], &mine["items"][0]["payout_minor"]),
        (&json!("paid"), &json!(900))
    );
    let statement = world.get(Some(&user), "/v1/wallet/statement?limit=100").await.expect_ok();
    assert_eq!(sum_of(&statement["items"], "amount_minor"), 0, "in is out: {statement}");
    let trial = world.get(Some(&world.admin), "/v1/admin/trial-balance").await.expect_ok();
    assert!(trial.to_string().contains("platform:revenue"), "{trial}");
    // All coins are spent, so all that was paid for them is earned, and the gateway has it.
    let deferred = world.get(Some(&world.admin), "/v1/admin/deferred-revenue").await.expect_ok();
    let rupees = &deferred["items"][0];
    assert_eq!(
        (&rupees["asset"], &rupees["deferred_minor"], &rupees["difference_minor"]),
        (&json!("INR/2"), &json!(0), &json!(0)),
        "{deferred}"
    );
    assert_eq!(rupees["recognised_minor"], rupees["received_minor"], "{deferred}");
    let path = format!("/v1/admin/people/{}/lots", user.id);
    let lots = world.get(Some(&world.admin), &path).await.expect_ok();
    assert_eq!(
        (sum_of(&lots["items"], "remaining_milli"), lots["items"].as_array().map(Vec::len)),
        (0, Some(1))
    );
    world.verify().await;

    // The same again from files and tables alone.
    let world = world.restart().await;
    assert_eq!(world.wallet(&host).await.earnings_milli, 0);
    world.verify().await;
}

fn sum_of(rows: &Value, field: &str) -> i64 {
    rows.as_array().expect("rows").iter().map(|row| row[field].as_i64().expect("an amount")).sum()
}

#[sqlx::test(migrations = false)]
async fn health_and_metrics_say_how_it_goes(pool: PgPool) {
    let world = World::start(&pool).await;
    world.get(None, "/health/live").await.expect_ok();
    let head = world.events() - 1;
    world.get(Some(&world.admin), &format!("/v1/wallet?min_revision={head}")).await.expect_ok();
    let ready = world.get(None, "/health/ready").await.expect_ok();
    assert_eq!((&ready["ready"], &ready["journal_revision"]), (&json!(true), &json!(head)), "{ready}");
    world.get(None, "/v1/nowhere").await;
    let metrics = world.get(None, "/metrics").await.expect_ok();
    let metrics = metrics.as_str().expect("text");
    for line in [
        "muneem_http_requests_total{method=\"GET\",route=\"/v1/wallet\",status=\"200\"}",
        "muneem_http_request_duration_seconds_bucket{method=\"GET\",route=\"/v1/wallet\"",
        "muneem_ledger_events_total",
    ] {
        assert!(metrics.contains(line), "{line} is missing: {metrics}");
    }
}

#[sqlx::test(migrations = false)]
async fn a_journal_that_is_not_the_databases_is_refused(pool: PgPool) {
    let world = World::start(&pool).await;
    let before = world.events();
    let (config, data) = world.stop().await;
    let elsewhere = tempfile::TempDir::new().expect("a folder");
    let start = async |data_dir: &std::path::Path| {
        let config = Config { data_dir: data_dir.to_path_buf(), ..config.clone() };
        Server::start(config, websocket_gateway::Config::default()).await.err().map(|fault| fault.to_string())
    };
    let refused = start(elsewhere.path()).await.expect("an empty folder is refused");
    assert!(refused.contains("MUNEEM_DATA_DIR"), "{refused}");
    assert!(!elsewhere.path().join("journal").exists(), "none is begun where a backup may be restored");
    // The folder of another deployment.
    let store = event_store::EmbeddedStore::open(elsewhere.path().join("journal")).expect("a store");
    let journal = ledger_core::JournalId(Uuid::now_v7());
    let opened = ledger_runtime::Ledger::open(
        std::sync::Arc::new(store),
        ledger_runtime::Clock::System,
        journal,
        |_, _| {},
    );
    let (ledger, writer) = opened.await.expect("a ledger");
    drop(ledger);
    writer.await.expect("the writer ends");
    let refused = start(elsewhere.path()).await.expect("another journal is refused");
    assert!(refused.contains("another journal"), "{refused}");
    // Its own is served again, as it was.
    let sockets = websocket_gateway::Config::default();
    let world = World::start_with(&pool, config.clone(), data, sockets).await;
    assert_eq!(world.events(), before);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn production_makes_up_nothing_and_shows_no_codes(pool: PgPool) {
    let data = tempfile::TempDir::new().expect("a folder");
    let secret = |seed: u8| hex::encode((seed..).step_by(3).take(32).collect::<Vec<u8>>());
    let whole = Config {
        mode: Mode::Production,
        jwt_keys: format!("k1:{}", secret(11)).into(),
        phone_pepper: secret(22).into(),
        sealing_key: secret(33).into(),
        razorpay_key_id: "rzp_live_x".to_owned(),
        razorpay_key_secret: "the gateway told it".into(),
        otp_sender: "console".to_owned(),
        ..crate::world::config(&pool, &data)
    };
    let start = async |config: Config| Server::start(config, websocket_gateway::Config::default()).await;
    type Leave = fn(&mut Config);
    let without: [(&str, Leave); 7] = [
        ("MUNEEM_JWT_KEYS", |it| it.jwt_keys = "".into()),
        ("MUNEEM_PHONE_PEPPER", |it| it.phone_pepper = "".into()),
        ("MUNEEM_SEALING_KEY", |it| it.sealing_key = "".into()),
        ("MUNEEM_RAZORPAY_KEY_ID", |it| it.razorpay_key_id.clear()),
        ("MUNEEM_RAZORPAY_KEY_SECRET", |it| it.razorpay_key_secret = "".into()),
        ("MUNEEM_RAZORPAY_WEBHOOK_SECRET", |it| it.razorpay_webhook_secret = "".into()),
        ("MUNEEM_OTP_SENDER", |it| it.otp_sender.clear()),
    ];
    for (name, setting) in without {
        let mut config = whole.clone();
        setting(&mut config);
        let refused = start(config).await.err().expect("it does not start");
        assert!(refused.to_string().contains(name), "{name}: {refused:#}");
    }
    let server = start(whole).await.expect("it starts");
    assert!(server.dev.is_none());
    let base = format!("http://{}", server.address);
    let running = tokio::spawn(server.run(std::future::pending()));
    let http = reqwest::Client::new();
    assert_eq!(http.get(format!("{base}/health/live")).send().await.expect("an answer").status(), 200);
    let code = http.get(format!("{base}/dev/otp/%2B919000000001")).send().await.expect("an answer");
    assert_eq!(code.status(), 404);
    let paid = http.post(format!("{base}/dev/razorpay/pay")).json(&json!({ "order_id": "x" })).send().await;
    assert_eq!(paid.expect("an answer").status(), 404);
    running.abort();
}
