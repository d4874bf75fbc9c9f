//! The front of the server: its headers, its pages, its logs, its first start, and a flood of connections.

use crate::crash::Deployment;
use crate::world::{World, eventually, new_key, new_phone};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;

#[sqlx::test(migrations = false)]
async fn every_answer_binds_browsers_and_the_pages_work_under_a_strict_policy(pool: PgPool) {
    let world = World::start(&pool).await;
    for path in
        ["/health/live", "/v1/wallet", "/nowhere", "/docs/", "/v1/ws", "/dev/otp/1", "/v1/openapi.json"]
    {
        let answer = world.http.get(format!("{}{path}", world.base)).send().await.expect("an answer");
        let headers = answer.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert!(headers.contains_key("x-request-id"), "{path}");
        let policy = headers["content-security-policy"].to_str().expect("text");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    }
    let page = world.http.get(format!("{}/docs/", world.base)).send().await.expect("the page");
    let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
    for allowed in ["script-src 'self'", "style-src 'self'", "connect-src 'self'"] {
        assert!(policy.contains(allowed), "{policy}");
    }
    let page = page.text().await.expect("its text");
    assert!(!page.contains("<style") && !page.contains(" style="), "the policy would not apply it: {page}");
    let mut parts: Vec<&str> = Vec::new();
    for script in page.split("<script").skip(1) {
        let (tag, rest) = script.split_once('>').expect("a tag");
        assert!(rest.trim_start().starts_with("</script>"), "the policy would not run it: {rest}");
        parts.push(tag.split("src=\"").nth(1).and_then(|it| it.split('"').next()).expect("its source"));
    }
    assert!(parts.len() >= 3, "{page}");
    for part in parts {
        let path = part.trim_start_matches("./");
        let answer = world.http.get(format!("{}/docs/{path}", world.base)).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{part}");
    }
}

#[sqlx::test(migrations = false)]
async fn words_that_a_client_makes_up_are_no_labels_and_a_ready_server_names_nothing_down(pool: PgPool) {
    let world = World::start(&pool).await;
    let method = reqwest::Method::from_bytes(b"MADEUP").expect("a method");
    let path = format!("{}/made/up/{}", world.base, new_key());
    world.http.request(method, path).send().await.expect("an answer");
    let metrics = world.get(None, "/metrics").await.expect_ok();
    let metrics = metrics.as_str().expect("text");
    assert!(metrics.contains(r#"method="other",route="none""#), "{metrics}");
    assert!(!metrics.contains("MADEUP") && !metrics.contains("/made/up"), "{metrics}");
    for worker in ["calls", "disk_watch", "fan_out", "projector", "ring_sweep", "snapshots", "webhook_inbox"]
    {
        assert!(
            metrics.contains(&format!("muneem_worker_up{{worker=\"{worker}\"}} 1")),
            "{worker}: {metrics}"
        );
    }
    let ready = world.get(None, "/health/ready").await.expect_ok();
    assert_eq!((&ready["ready"], &ready["down"]), (&json!(true), &json!([])));
}

/// A one-time password of the deployment's own outbox, exchanged for tokens.
pub async fn sign_in(http: &reqwest::Client, url: &str, phone: &str) -> Value {
    let ask = json!({ "phone": phone, "channel": "sms" });
    let asked = http.post(format!("{url}/v1/auth/otp")).json(&ask).send().await.expect("an answer");
    let challenge = asked.json::<Value>().await.expect("JSON")["challenge"].clone();
    let sent =
        http.get(format!("{url}/dev/otp/{}", phone.replace('+', "%2B"))).send().await.expect("an answer");
    let code = sent.json::<Value>().await.expect("JSON")["code"].clone();
    let verify = json!({ "phone": phone, "challenge": challenge, "code": code });
    let answer =
        http.post(format!("{url}/v1/auth/otp/verify")).json(&verify).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.expect("JSON")
}

#[sqlx::test(migrations = false)]
async fn access_tokens_are_in_no_log_line_at_any_level(pool: PgPool) {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    let data = TempDir::new().expect("a folder");
    let mut deployment = Deployment::new(&pool, &data).await;
    deployment.settings.push(("RUST_LOG", "trace,tungstenite=trace,hyper=trace".to_owned()));
    let log = data.path().join("log");
    let file = std::fs::File::create(&log).expect("a log");
    let mut server = deployment.serve_logging_to(Stdio::from(file)).await;
    let (url, http) = (deployment.url(), reqwest::Client::new());
    let signed_in = sign_in(&http, &url, &new_phone()).await;
    let token = signed_in["tokens"]["access_token"].as_str().expect("a token");
    let refresh = signed_in["tokens"]["refresh_token"].as_str().expect("a token");
    let wallet = http.get(format!("{url}/v1/wallet")).bearer_auth(token).send().await.expect("an answer");
    assert_eq!(wallet.status(), StatusCode::OK);
    let (mut socket, _) =
        tokio_tungstenite::connect_async(url.replacen("http", "ws", 1) + "/v1/ws").await.expect("a socket");
    let auth = json!({ "id": 1, "type": "auth", "data": { "token": token } }).to_string();
    socket.send(Message::text(auth)).await.expect("it is sent");
    let welcome = socket.next().await.expect("an answer").expect("a frame").into_text().expect("text");
    assert!(welcome.contains("\"auth:done\""), "{welcome}");
    let again = json!({ "refresh_token": refresh });
    let again = http.post(format!("{url}/v1/auth/refresh")).json(&again).send().await.expect("an answer");
    assert_eq!(again.status(), StatusCode::OK);
    server.kill().await.expect("it ends");
    let log = std::fs::read_to_string(log).expect("the log");
    assert!(log.contains("DEBUG") && log.contains("/v1/wallet"), "the log is as full as it gets");
    for (what, secret) in [("access", token), ("refresh", refresh)] {
        assert!(!log.contains(secret), "the {what} token is in the log");
    }
}

#[sqlx::test(migrations = false)]
async fn a_first_start_that_is_killed_is_completed_by_the_next_one(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let deployment = Deployment::new(&pool, &data).await;
    // Each start is killed a little later than the one before it.
    for line in ["the ledger is open", "making a small demo world", "making a small demo world"] {
        let mut child = deployment.command(&["serve"]);
        child.env("RUST_LOG", "info").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = child.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        while let Some(text) = lines.next_line().await.expect("text") {
            if text.contains(line) {
                break;
            }
        }
        child.kill().await.expect("kill -9");
    }
    let _server = deployment.serve().await;
    assert_world_is_whole(&deployment).await;
}

#[sqlx::test(migrations = false)]
async fn a_demo_world_that_is_half_made_is_completed(pool: PgPool) {
    use ledger_core::command::SetCoinPlan;
    use ledger_core::{Actor, Asset, Command, Envelope, Key, PlanId, Policy};
    let data = TempDir::new().expect("a folder");
    let store = event_store::EmbeddedStore::open(data.path().join("journal")).expect("a store");
    let journal = ledger_core::JournalId(new_key());
    let clock = ledger_runtime::Clock::System;
    let opened = ledger_runtime::Ledger::open(std::sync::Arc::new(store), clock, journal, |_, _| {});
    let (ledger, writer) = opened.await.expect("a ledger");
    // There is a plan, but not the last one of the demo world.
    let command = Command::from(SetCoinPlan {
        plan: PlanId(new_key()),
        coins_milli: 1_000,
        bonus_milli: 0,
        bonus_valid_seconds: None,
        price_minor: 100,
        price_asset: Asset::INR,
        active: false,
    });
    let key = Key::Natural("half a world".to_owned());
    let envelope = Envelope { actor: Actor::System, key, command, policy: Policy::default() };
    ledger.execute(envelope).await.expect("it is recorded");
    drop(ledger);
    writer.await.expect("the writer ends");
    let deployment = Deployment::new(&pool, &data).await;
    let _server = deployment.serve().await;
    assert_world_is_whole(&deployment).await;
}

/// Three plans, four gifts with prices, an admin, and books that agree.
async fn assert_world_is_whole(deployment: &Deployment) {
    let (url, http) = (deployment.url(), reqwest::Client::new());
    let admin = sign_in(&http, &url, muneem::seed::ADMIN_PHONE).await;
    let token = admin["tokens"]["access_token"].as_str().expect("a token");
    let items = async |path: &str| {
        let answer = http.get(format!("{url}{path}")).bearer_auth(token).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json::<Value>().await.expect("JSON")["items"].as_array().expect("items").len()
    };
    let head = http.get(format!("{url}/health/ready")).send().await.expect("an answer");
    let head = head.json::<Value>().await.expect("JSON")["journal_revision"].as_u64().expect("a revision");
    assert_eq!(items(&format!("/v1/coin-plans?min_revision={head}")).await, 3);
    assert_eq!(items("/v1/gifts").await, 4);
    assert!(items("/v1/admin/events?kind=CommissionRateSet").await >= 1);
    let (ok, verified) = deployment.run(&["verify", "--json"]).await;
    assert!(ok, "{verified:#}");
}

/// The admin gives the user a coin, on the connection that the client has open.
async fn give_bonus(http: &reqwest::Client, url: &str, admin: &Value, user: &Value) -> StatusCode {
    let bonus = json!({ "user": user["person"]["person"], "coins_milli": 1_000 });
    let token = admin["tokens"]["access_token"].as_str().expect("a token");
    let request = http.post(format!("{url}/v1/admin/bonuses")).bearer_auth(token).json(&bonus);
    let answer = request.header("idempotency-key", new_key().to_string()).send().await;
    answer.expect("an answer on the open connection").status()
}

#[sqlx::test(migrations = false)]
async fn a_flood_of_connections_meets_a_bound_below_the_limit_of_open_files(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let deployment = Deployment::new(&pool, &data).await;
    // 128 files and 8 connections to the database are kept back: 64 places are left.
    let mut server = deployment.serve_with_open_files(200).await;
    let (url, http) = (deployment.url(), reqwest::Client::new());
    let admin = sign_in(&http, &url, muneem::seed::ADMIN_PHONE).await;
    let user = sign_in(&http, &url, &new_phone()).await;
    let give = async || give_bonus(&http, &url, &admin, &user).await;
    assert!(give().await.is_success());
    let address = url.trim_start_matches("http://").to_owned();
    let mut open = Vec::new();
    let mut closed = 0;
    for _ in 0..150 {
        let mut stream = TcpStream::connect(&address).await.expect("the system accepts it");
        // The server closes what it has no place for, and says nothing to the others.
        let mut byte = [0];
        let quiet = std::time::Duration::from_millis(30);
        match tokio::time::timeout(quiet, stream.read(&mut byte)).await {
            Ok(_) => closed += 1,
            Err(_) => open.push(stream),
        }
    }
    assert!(open.len() <= 64 && closed >= 86, "{} are open, {closed} were closed", open.len());
    // Whoever has a connection goes on, and what is recorded is durable.
    assert!(give().await.is_success());
    drop(open);
    let (ok, verified) = deployment.run(&["verify", "--json"]).await;
    assert!(ok, "{verified:#}");
    assert!(server.try_wait().expect("its state").is_none(), "the server runs");
}

#[sqlx::test(migrations = false)]
async fn a_role_goes_to_nobody_who_never_signed_in_unless_the_account_is_to_be_made(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let deployment = Deployment::new(&pool, &data).await;
    let phone = new_phone();
    let grant = ["grant-role", "--phone", phone.as_str(), "--role", "admin"];
    let (granted, said) = deployment.run(&grant).await;
    assert!(!granted, "{said}");
    let said = said.as_str().expect("text");
    assert!(said.contains("nobody has signed in with") && said.contains("--create"), "{said}");
    let people: i64 =
        sqlx::query_scalar("SELECT count(*) FROM app.people").fetch_one(&pool).await.expect("a count");
    assert_eq!(people, 0, "no account was made");

    let _server = deployment.serve().await;
    let roles = async |phone: &str| {
        let signed_in = sign_in(&reqwest::Client::new(), &deployment.url(), phone).await;
        signed_in["person"]["roles"].as_array().expect("roles").clone()
    };
    assert_eq!(roles(&phone).await, [json!("user")]);
    assert!(deployment.run(&grant).await.0, "somebody has signed in with it by now");
    assert!(roles(&phone).await.contains(&json!("admin")));

    let newcomer = new_phone();
    let create = ["grant-role", "--phone", newcomer.as_str(), "--role", "admin", "--create"];
    assert!(deployment.run(&create).await.0);
    assert!(roles(&newcomer).await.contains(&json!("admin")));
}

#[sqlx::test(migrations = false)]
async fn a_server_without_file_descriptors_goes_on_recording_and_accepts_again_by_itself(pool: PgPool) {
    let data = TempDir::new().expect("a folder");
    let deployment = Deployment::new(&pool, &data).await;
    let log = data.path().join("log");
    let mut server =
        deployment.serve_logging_to(Stdio::from(std::fs::File::create(&log).expect("a log"))).await;
    let (url, http) = (deployment.url(), reqwest::Client::new());
    let admin = sign_in(&http, &url, muneem::seed::ADMIN_PHONE).await;
    let user = sign_in(&http, &url, &new_phone()).await;
    let give = async || give_bonus(&http, &url, &admin, &user).await;
    assert!(give().await.is_success());

    let id = i32::try_from(server.id().expect("it runs")).expect("a process id");
    let open = std::fs::read_dir(format!("/proc/{id}/fd")).expect("its files").count() as u64;
    let bound = |current: u64| {
        let process = rustix::process::Pid::from_raw(id).expect("a process id");
        let maximum = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        let limit = rustix::process::Rlimit { current: Some(current), maximum };
        rustix::process::prlimit(Some(process), rustix::process::Resource::Nofile, limit)
            .expect("it is bounded")
    };
    bound(open + 3);
    let address = url.trim_start_matches("http://").to_owned();
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(TcpStream::connect(&address).await.expect("the system takes it"));
    }
    let alerts = || {
        let log = std::fs::read_to_string(&log).expect("the log");
        log.lines().filter(|line| line.contains("connections_not_accepted")).count()
    };
    eventually("the server says that it cannot accept", async || (alerts() > 0).then_some(())).await;
    for _ in 0..5 {
        assert!(give().await.is_success());
    }
    assert!(alerts() <= 3, "no line for each try: {}", alerts());

    drop(waiting);
    bound(open + 100);
    let live =
        reqwest::Client::new().get(format!("{url}/health/live")).send().await.expect("a new connection");
    assert_eq!(live.status(), StatusCode::OK);
    let (ok, verified) = deployment.run(&["verify", "--json"]).await;
    assert!(ok, "{verified:#}");
    assert!(server.try_wait().expect("its state").is_none(), "the server runs");
}
