//! A whole server for one test: its own database, journal folder and keys in Redis, on a free port;
//! real HTTP and real sockets.

pub use crate::socket::Socket;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use muneem::config::{Config, Mode};
use muneem::serve::Server;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::{ConnectOptions, PgPool};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;
use uuid::Uuid;

/// How long anything may take to arrive before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const WEBHOOK_SECRET: &str = "whsec_test_123";

pub fn config(pool: &PgPool, data: &TempDir) -> Config {
    Config {
        mode: Mode::Development,
        listen: ([127, 0, 0, 1], 0).into(),
        database_url: pool.connect_options().to_url_lossy().to_string().into(),
        redis_url: std::env::var("REDIS_URL")
            .expect("REDIS_URL: `make test` starts a Redis and sets it")
            .into(),
        data_dir: data.path().to_path_buf(),
        redis_prefix: format!("test:{}:", Uuid::now_v7()),
        razorpay_webhook_secret: WEBHOOK_SECRET.into(),
        database_connections: 8,
        ..Config::default()
    }
}

pub struct World {
    pub base: String,
    pub http: reqwest::Client,
    pub pool: PgPool,
    pub config: Config,
    pub app: platform::app::App,
    pub read: projections::ReadModels,
    pub dev: muneem::dev::Dev,
    pub admin: Person,
    data: TempDir,
    stop: Option<oneshot::Sender<()>>,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: Uuid,
    pub phone: String,
    pub token: String,
    pub refresh: String,
}

impl World {
    pub async fn start(pool: &PgPool) -> World {
        World::start_bounded(pool, websocket_gateway::Config::default()).await
    }

    /// With other bounds of the gateway.
    pub async fn start_bounded(pool: &PgPool, sockets: websocket_gateway::Config) -> World {
        let data = TempDir::new().expect("a folder for the journal");
        let config = config(pool, &data);
        World::start_with(pool, config, data, sockets).await
    }

    /// On data that are there.
    pub async fn start_with(
        pool: &PgPool,
        config: Config,
        data: TempDir,
        sockets: websocket_gateway::Config,
    ) -> World {
        let server = Server::start(config.clone(), sockets).await.expect("the server starts");
        let base = format!("http://{}", server.address);
        let (app, read) = (server.app.clone(), server.read.clone());
        let dev = server.dev.clone().expect("development mode");
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async move { drop(stopped.await) }));
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        let nobody =
            Person { id: Uuid::nil(), phone: String::new(), token: String::new(), refresh: String::new() };
        let mut world = World {
            base,
            http,
            pool: pool.clone(),
            config,
            app,
            read,
            dev,
            admin: nobody,
            data,
            stop: Some(stop),
            running,
        };
        world.admin = world.sign_in(muneem::seed::ADMIN_PHONE).await;
        world
    }

    /// Stops the server as SIGTERM would and starts another on the same data.
    pub async fn restart(mut self) -> World {
        drop(self.stop.take());
        let World { pool, config, data, running, app, read, .. } = self;
        drop((app, read));
        running.await.expect("the server's task ends").expect("the server stops cleanly");
        World::start_with(&pool, config, data, websocket_gateway::Config::default()).await
    }

    /// Stops the server and leaves the test with what it had open, its settings and its data.
    pub async fn stop(mut self) -> (Config, TempDir) {
        drop(self.stop.take());
        let World { running, app, read, config, data, .. } = self;
        drop((app, read));
        running.await.expect("the server's task ends").expect("the server stops cleanly");
        (config, data)
    }

    /// Signs in by one-time password; a new phone makes a new account.
    pub async fn sign_in(&self, phone: &str) -> Person {
        let asked = self.post(None, "/v1/auth/otp", json!({ "phone": phone, "channel": "sms" })).await;
        assert!(asked.status.is_success(), "{}", asked.body);
        let code = self.dev.outbox.last_code(phone).expect("the code is in the outbox");
        let proof = json!({ "phone": phone, "challenge": asked.body["challenge"], "code": code });
        let verified = self.post(None, "/v1/auth/otp/verify", proof).await;
        assert_eq!(verified.status, StatusCode::OK, "{}", verified.body);
        Person {
            id: verified.body["person"]["person"].as_str().expect("a person").parse().expect("a uuid"),
            phone: phone.to_owned(),
            token: verified.body["tokens"]["access_token"].as_str().expect("a token").to_owned(),
            refresh: verified.body["tokens"]["refresh_token"].as_str().expect("a token").to_owned(),
        }
    }

    pub async fn new_person(&self) -> Person {
        self.sign_in(&new_phone()).await
    }

    /// A host who is approved and sells video at this price.
    pub async fn new_host(&self, price_milli_per_minute: i64) -> Person {
        let host = self.new_person().await;
        let profile = json!({ "display_name": "Meera", "bio": "reads charts", "categories": ["astrology"], "languages": ["hi"] });
        self.post(Some(&host), "/v1/hosts/applications", profile).await.expect_ok();
        let path = format!("/v1/admin/hosts/{}/approve", host.id);
        self.post(Some(&self.admin), &path, json!({})).await.expect_ok();
        let price = json!({ "price_milli_per_minute": price_milli_per_minute });
        for medium in ["chat", "voice", "video"] {
            self.put(Some(&host), &format!("/v1/hosts/me/rates/{medium}"), price.clone()).await.expect_ok();
        }
        host
    }

    /// A user with this many bonus coins.
    pub async fn new_user_with(&self, coins_milli: i64) -> Person {
        let user = self.new_person().await;
        let bonus = json!({ "user": user.id, "coins_milli": coins_milli });
        self.post(Some(&self.admin), "/v1/admin/bonuses", bonus).await.expect_ok();
        user
    }

    /// Sets one limit for all that takes two admins above it.
    pub async fn limit_one_admin(&self, limit: i64) {
        let limits = json!({
            "adjustment_milli": limit, "bonus_milli": limit, "payout_minor": limit, "expires_seconds": 3_600,
        });
        self.put(Some(&self.admin), "/v1/admin/settings/approvals", limits).await.expect_ok();
    }

    /// A gift on offer at a price.
    pub async fn new_gift(&self, price_milli: i64) -> Uuid {
        let gift = Uuid::now_v7();
        let card =
            json!({ "name": "Rose", "image_url": "/rose.webp", "position": 1, "price_milli": price_milli });
        self.put(Some(&self.admin), &format!("/v1/admin/gifts/{gift}"), card).await.expect_ok();
        gift
    }

    /// Sets how calls are metered from now on.
    pub async fn meter(&self, increment_seconds: u32, grace_seconds: u32) {
        let settings = json!({
            "increment_seconds": increment_seconds, "free_seconds": 0, "grace_seconds": grace_seconds,
            "ring_seconds": 30, "warning_seconds": 60,
        });
        self.put(Some(&self.admin), "/v1/admin/settings/metering", settings).await.expect_ok();
    }

    pub async fn get(&self, who: Option<&Person>, path: &str) -> Answer {
        self.send(Method::GET, who, path, None, None).await
    }

    /// Posts under a new idempotency key.
    pub async fn post(&self, who: Option<&Person>, path: &str, body: Value) -> Answer {
        self.send(Method::POST, who, path, Some(new_key()), Some(body)).await
    }

    pub async fn put(&self, who: Option<&Person>, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, who, path, Some(new_key()), Some(body)).await
    }

    pub async fn post_with_key(&self, who: &Person, path: &str, key: Uuid, body: Value) -> Answer {
        self.send(Method::POST, Some(who), path, Some(key), Some(body)).await
    }

    pub async fn send(
        &self,
        method: Method,
        who: Option<&Person>,
        path: &str,
        key: Option<Uuid>,
        body: Option<Value>,
    ) -> Answer {
        if method == Method::GET {
            self.shown().await;
        }
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(who) = who {
            request = request.bearer_auth(&who.token);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key.to_string());
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = Answer::of(request.send().await.expect("an answer")).await;
        crate::documented::assert_documented(&method, path, &answer);
        answer
    }

    /// Waits until the read models show all that is in the journal: no story can read what is still on its
    /// way. Where they are refused there is nothing to wait for.
    pub async fn shown(&self) {
        let head = self.app.ledger.durable_revision();
        match self.read.wait_for(head, PATIENCE).await {
            Ok(()) | Err(projections::QueryError::Refused(_)) => {}
            Err(fault) => panic!("the read models do not come to the journal's end: {fault}"),
        }
    }

    /// Delivers a webhook as Razorpay would, under this delivery id.
    pub async fn webhook(&self, delivery: &str, body: &Value) -> Answer {
        let raw = body.to_string();
        self.raw_webhook(&raw, &sign(WEBHOOK_SECRET, raw.as_bytes()), delivery).await
    }

    pub async fn raw_webhook(&self, raw: &str, signature: &str, delivery: &str) -> Answer {
        let request = self
            .http
            .post(format!("{}/v1/webhooks/razorpay", self.base))
            .header("content-type", "application/json")
            .header("x-razorpay-signature", signature)
            .header("x-razorpay-event-id", delivery)
            .body(raw.to_owned());
        Answer::of(request.send().await.expect("an answer")).await
    }

    /// Waits until every delivery in the inbox is worked through.
    pub async fn inbox_done(&self) {
        eventually("the inbox is worked through", async || {
            let pending: i64 =
                sqlx::query_scalar("SELECT count(*) FROM app.webhook_inbox WHERE status = 'pending'")
                    .fetch_one(&self.pool)
                    .await
                    .expect("the inbox");
            (pending == 0).then_some(())
        })
        .await;
    }

    /// What a person has, as the ledger itself says.
    pub async fn wallet(&self, person: &Person) -> ledger_core::Wallet {
        let id = ledger_core::PersonId(person.id);
        self.app.ledger.query(move |state, at| state.wallet(id, at)).await.expect("the ledger answers")
    }

    /// How many events the journal holds.
    pub fn events(&self) -> u64 {
        self.app.ledger.durable_revision() + 1
    }

    /// How many writes the ledger's events took.
    pub async fn ledger_batches(&self) -> u64 {
        let metrics = self.get(None, "/metrics").await.expect_ok();
        let count = metrics
            .as_str()
            .and_then(|it| it.lines().find_map(|it| it.strip_prefix("muneem_ledger_batches_total ")));
        count.expect("the ledger counts them").parse().expect("a number")
    }

    /// A socket that is signed in.
    pub async fn connect(&self, who: &Person) -> Socket {
        let mut socket = self.open_socket().await;
        socket.sign_in(who).await;
        socket
    }

    /// A socket that has not said who it is.
    pub async fn open_socket(&self) -> Socket {
        self.open_socket_at("/v1/ws").await
    }

    pub async fn open_socket_at(&self, path: &str) -> Socket {
        let url = format!("{}{path}", self.base.replacen("http", "ws", 1));
        Socket::open(&url).await.expect("the socket opens")
    }

    /// Rings and takes the call; both sides are connected by these sockets.
    pub async fn start_call(&self, payer: &mut Socket, host: &mut Socket, host_id: Uuid, price: i64) -> Uuid {
        let ring = payer.request(
            "call:invite",
            json!({
                "host": host_id, "medium": "video", "price_seen_milli_per_minute": price, "key": new_key(),
            }),
        );
        let ring = ring.await;
        assert_eq!(ring["type"], "call:invite:done", "{ring}");
        let call = host.push("call:invited").await["data"]["call"].clone();
        let taken = host.request("call:answer", json!({ "call": call, "accept": true })).await;
        assert_eq!(taken["type"], "call:answer:done", "{taken}");
        call.as_str().expect("a call").parse().expect("a uuid")
    }

    /// Asserts that the read models equal the journal.
    pub async fn verify(&self) {
        self.shown().await;
        let report =
            projections::verify(&self.pool, self.app.ledger.store(), |_, _| {}).await.expect("verify runs");
        assert!(report.difference.is_none(), "{report:?}");
    }
}

/// An answer with its body as JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub content_type: String,
    pub body: Value,
}

impl Answer {
    pub async fn of(response: reqwest::Response) -> Answer {
        let status = response.status();
        let headers = response.headers().clone();
        let content_type = headers.get("content-type").and_then(|it| it.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, headers, content_type, body }
    }

    #[track_caller]
    pub fn expect_ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.body);
        self.body
    }

    /// Asserts a problem with this status and code.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{}", self.body);
        assert_eq!(self.content_type, "application/problem+json");
    }

    /// Whether it says that it is the answer to a retry.
    pub fn is_replayed(&self) -> bool {
        self.headers.get("idempotent-replayed").is_some_and(|it| it == "true")
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// Asks until there is an answer, and fails when none comes in time.
pub async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Hex HMAC-SHA256 over the raw body.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// What Razorpay says when it has taken money.
pub fn captured(payment: &str, order: &str, amount_minor: i64, currency: &str) -> Value {
    payment_event("payment.captured", payment, order, amount_minor, currency)
}

pub fn payment_event(event: &str, payment: &str, order: &str, amount_minor: i64, currency: &str) -> Value {
    let entity = json!({
        "id": payment, "entity": "payment", "amount": amount_minor, "currency": currency, "order_id": order,
        "status": event.rsplit('.').next(), "method": "upi", "notes": [], "error_reason": "payment_cancelled",
    });
    json!({ "entity": "event", "event": event, "contains": ["payment"], "payload": { "payment": { "entity": entity } }, "created_at": 1 })
}

pub fn refund_event(refund: &str, payment: &str, amount_minor: i64) -> Value {
    let entity = json!({
        "id": refund, "entity": "refund", "amount": amount_minor, "currency": "INR", "payment_id": payment,
        "status": "processed", "notes": [],
    });
    json!({ "entity": "event", "event": "refund.processed", "contains": ["refund"], "payload": { "refund": { "entity": entity } }, "created_at": 1 })
}

/// What the gateway tells of a dispute at a moment; `deducted` is zero unless it is lost.
pub fn dispute_event(
    name: &str,
    dispute: &str,
    payment: &str,
    (amount, deducted): (i64, i64),
    at: i64,
) -> Value {
    let entity = json!({
        "id": dispute, "entity": "dispute", "payment_id": payment, "amount": amount, "currency": "INR",
        "amount_deducted": deducted, "reason_code": "chargeback", "phase": "chargeback", "created_at": 1,
    });
    json!({
        "entity": "event", "event": format!("payment.dispute.{name}"), "contains": ["payment", "dispute"],
        "payload": { "dispute": { "entity": entity } }, "created_at": at,
    })
}

pub fn new_key() -> Uuid {
    Uuid::now_v7()
}

/// A key that a client would have made at another time.
pub fn key_of(moment: DateTime<Utc>) -> Uuid {
    let millis = moment.timestamp_millis().unsigned_abs();
    let random: [u8; 10] = *Uuid::now_v7().as_bytes().last_chunk().expect("sixteen bytes");
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

pub fn hours_ago(hours: i64) -> DateTime<Utc> {
    Utc::now() - TimeDelta::hours(hours)
}

pub fn new_phone() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("+9198{:08}", NEXT.fetch_add(1, Ordering::Relaxed))
}
