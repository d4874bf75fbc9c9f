//! Several nodes on one journal in PostgreSQL.

use crate::crash::{Deployment, free_port};
use crate::front::sign_in;
use crate::own_postgres::OwnServer;
use crate::redis_away::OwnRedis;
use crate::world::{Answer, PATIENCE, Person, Socket, World, config, eventually, new_key, new_phone};
use event_store::StoreAddress;
use ledger_core::{JournalId, State};
use ledger_runtime::{Clock, Ledger};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, PgPool};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

/// A voice call costs two coins in two seconds.
const PRICE: i64 = 60_000;

/// Nodes in this process, so that a test can ask their ledgers.
async fn nodes(pool: &PgPool, count: usize) -> Vec<World> {
    let store = pool.connect_options().to_url_lossy().to_string();
    nodes_on(pool, &vec![store; count]).await
}

/// A node for each address of the store.
async fn nodes_on(pool: &PgPool, stores: &[String]) -> Vec<World> {
    let mut nodes: Vec<World> = Vec::new();
    for store in stores {
        let data = TempDir::new().expect("a folder");
        let mut config = config(pool, &data);
        config.store = Some(store.parse().expect("the address of a store"));
        config.database_connections = 8;
        if let Some(first) = nodes.first() {
            config.redis_prefix = first.config.redis_prefix.clone();
            config.jwt_keys = first.config.jwt_keys.clone();
            config.phone_pepper = first.config.phone_pepper.clone();
            config.sealing_key = first.config.sealing_key.clone();
        }
        let config = config.with_secrets().expect("secrets of development");
        nodes.push(World::start_with(pool, config, data, websocket_gateway::Config::default()).await);
    }
    nodes
}

async fn hash(ledger: &Ledger) -> (u64, [u8; 32]) {
    let ask = |state: &State, _| (state.next_revision(), state.hash());
    ledger.query(ask).await.expect("the ledger answers")
}

#[sqlx::test(migrations = false)]
async fn gifts_from_one_wallet_through_all_nodes_never_overdraw_and_all_states_are_one(pool: PgPool) {
    let nodes = nodes(&pool, 3).await;
    let (user, host) = (nodes[0].new_user_with(40_000).await, nodes[0].new_host(PRICE).await);
    let gift = nodes[0].new_gift(1_000).await;
    let body = json!({ "host": host.id, "price_seen_milli": 1_000 });
    let mut gifts = JoinSet::new();
    for number in 0..90 {
        let key = new_key();
        // Each under one key at two nodes.
        for node in [number % 3, (number + 1) % 3] {
            let (base, http, token) =
                (nodes[node].base.clone(), nodes[node].http.clone(), user.token.clone());
            let body = body.clone();
            gifts.spawn(async move {
                let sent = http.post(format!("{base}/v1/gifts/{gift}/send")).bearer_auth(token);
                let answer = sent.header("idempotency-key", key.to_string()).json(&body).send().await;
                let answer = answer.expect("an answer");
                let status = answer.status().as_u16();
                (key, status, answer.json::<Value>().await.expect("JSON"))
            });
        }
    }
    let mut accepted = BTreeSet::new();
    while let Some(gift) = gifts.join_next().await {
        let (key, status, body) = gift.expect("a client ends");
        match status {
            200 | 201 => _ = accepted.insert((key, body["revision"].as_u64().expect("a revision"))),
            _ => assert_eq!((status, &body["code"]), (409, &json!("insufficient_funds")), "{body}"),
        }
    }
    let keys: BTreeSet<Uuid> = accepted.iter().map(|(key, _)| *key).collect();
    assert_eq!((accepted.len(), keys.len()), (40, 40), "as many as the wallet pays, each once");

    let store = nodes[0].app.ledger.store();
    let fresh = Ledger::open(store, Clock::System, nodes[0].app.ledger.journal(), |_, _| {}).await;
    let (fresh, _writer) = fresh.expect("the journal is read");
    let wanted = hash(&fresh).await;
    for node in &nodes {
        assert_eq!(hash(&node.app.ledger).await, wanted);
        let wallet = node.get(Some(&user), &format!("/v1/wallet?min_revision={}", wanted.0 - 1)).await;
        assert_eq!(wallet.expect_ok()["spendable_milli"], 0);
    }
    nodes[2].verify().await;
}

/// The line from a node to PostgreSQL, which can be cut.
struct Line {
    port: u16,
    cut: watch::Sender<bool>,
}

impl Line {
    async fn to(host: String, port: u16) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let here = listener.local_addr().expect("an address").port();
        let (cut, is_cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (mut is_cut, host) = (is_cut.clone(), host.clone());
                tokio::spawn(async move {
                    if *is_cut.borrow() {
                        return;
                    }
                    let mut far = TcpStream::connect((host, port)).await.expect("PostgreSQL");
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_cut.wait_for(|cut| *cut) => {}
                    }
                });
            }
        });
        Line { port: here, cut }
    }
}

#[sqlx::test(migrations = false)]
async fn a_node_that_is_cut_off_from_the_journal_says_so_and_comes_back(pool: PgPool) {
    let direct = pool.connect_options().to_url_lossy();
    let line = Line::to(direct.host_str().expect("a host").to_owned(), direct.port().unwrap_or(5432)).await;
    let mut through = direct.clone();
    through.set_host(Some("127.0.0.1")).expect("a host");
    through.set_port(Some(line.port)).expect("a port");
    let nodes = nodes_on(&pool, &[direct.to_string(), through.to_string()]).await;
    let (whole, cut_off) = (&nodes[0], &nodes[1]);
    let (user, host) = (whole.new_user_with(10_000).await, whole.new_host(PRICE).await);
    let (path, body) = (
        format!("/v1/gifts/{}/send", whole.new_gift(1_000).await),
        json!({ "host": host.id, "price_seen_milli": 1_000 }),
    );
    line.cut.send_replace(true);
    let first = new_key();
    let unknown = cut_off.post_with_key(&user, &path, first, body.clone()).await;
    assert!(["outcome_unknown", "store_unavailable"].contains(&unknown.code()), "{}", unknown.body);
    cut_off.post(Some(&user), &path, body.clone()).await.expect_problem(503, "store_unavailable");
    let ready = cut_off.http.get(format!("{}/health/ready", cut_off.base)).send().await;
    let ready = Answer::of(ready.expect("an answer")).await;
    assert_eq!((ready.status.as_u16(), &ready.body["ledger"]), (503, &json!("stalled")), "{}", ready.body);
    whole.post(Some(&user), &path, body.clone()).await.expect_ok();

    line.cut.send_replace(false);
    eventually("the node takes commands again", async || {
        let answer = cut_off.post_with_key(&user, &path, first, body.clone()).await;
        answer.status.is_success().then_some(())
    })
    .await;
    assert_eq!(whole.wallet(&user).await.bonus_milli, 8_000, "the first gift was recorded once");
    assert_eq!(hash(&whole.app.ledger).await, hash(&cut_off.app.ledger).await);
    whole.verify().await;
}

/// One that was free a moment ago.
fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// Real processes on one database.
struct Cluster {
    deployments: Vec<Deployment>,
    servers: Vec<Child>,
    data: TempDir,
}

impl Cluster {
    async fn start(pool: &PgPool, count: usize) -> Cluster {
        Cluster::start_with(pool, count, &[]).await
    }

    /// With these settings beside those of all deployments.
    async fn start_with(pool: &PgPool, count: usize, settings: &[(&'static str, String)]) -> Cluster {
        let data = TempDir::new().expect("a folder");
        let first = Deployment::new(pool, &data).await;
        let prefix = first.settings.iter().find(|(name, _)| *name == "MUNEEM_REDIS_PREFIX").cloned();
        let mut deployments = Vec::new();
        for _ in 0..count {
            // The data folder holds the secrets of development, which the nodes share.
            let mut deployment = Deployment::new(pool, &data).await;
            deployment.settings.extend(prefix.clone());
            let store = pool.connect_options().to_url_lossy().to_string();
            deployment.settings.push(("MUNEEM_STORE", store));
            deployment.settings.push(("MUNEEM_NODE_ADDRESS", free_address()));
            // Its last line is the state's hash.
            deployment.settings.push(("RUST_LOG", "info,muneem::serve=debug".to_owned()));
            deployment.settings.extend_from_slice(settings);
            deployments.push(deployment);
        }
        let mut cluster = Cluster { deployments, servers: Vec::new(), data };
        for node in 0..count {
            let server = cluster.serve(node).await;
            cluster.servers.push(server);
        }
        cluster
    }

    fn log(&self, node: usize) -> PathBuf {
        self.data.path().join(format!("node-{node}.log"))
    }

    async fn serve(&self, node: usize) -> Child {
        let log = File::create(self.log(node)).expect("a log");
        self.deployments[node].serve_logging_to(log.into()).await
    }

    /// Ends the nodes, and answers the revision and the hash of the state that each of them had at its end.
    async fn states(&mut self) -> Vec<(u64, String)> {
        let mut states = Vec::new();
        for node in 0..self.servers.len() {
            let pid =
                self.servers[node].id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it runs");
            kill_process(pid, Signal::TERM).expect("it is told to end");
            self.servers[node].wait().await.expect("it ends");
            let log = fs::read_to_string(self.log(node)).expect("its log");
            let field = |name: &str| {
                let line = log.lines().rfind(|line| line.contains("the ledger's state at the end"))?;
                let value = line.split_once(&format!("{name}="))?.1.split_whitespace().next()?;
                Some(value.trim_matches('"').to_owned())
            };
            let state = field("revision").zip(field("state")).unwrap_or_else(|| panic!("no state in {log}"));
            states.push((state.0.parse().expect("a number"), state.1));
        }
        states
    }

    fn url(&self, node: usize) -> String {
        self.deployments[node].url()
    }

    async fn kill(&mut self, node: usize) {
        self.servers[node].kill().await.expect("kill -9");
    }

    async fn start_again(&mut self, node: usize) {
        self.servers[node] = self.serve(node).await;
    }

    async fn person(&self, node: usize, phone: &str) -> Person {
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        let signed_in = sign_in(&http, &self.url(node), phone).await;
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        Person {
            id: text(&signed_in["person"]["person"]).parse().expect("a uuid"),
            phone: phone.to_owned(),
            token: text(&signed_in["tokens"]["access_token"]),
            refresh: text(&signed_in["tokens"]["refresh_token"]),
        }
    }

    /// A figure of a node, by its name and labels.
    async fn figure(&self, node: usize, name: &str) -> u64 {
        let metrics = reqwest::get(format!("{}/metrics", self.url(node))).await.expect("an answer");
        let metrics = metrics.text().await.expect("text");
        let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_else(|| panic!("{name} is missing"))
    }

    async fn socket(&self, node: usize, who: &Person) -> Socket {
        let url = format!("{}/v1/ws", self.url(node).replacen("http", "ws", 1));
        let mut socket = Socket::open(&url).await.expect("a socket");
        socket.sign_in(who).await;
        socket
    }

    async fn ask(&self, node: usize, method: &str, path: &str, who: &Person, body: Value) -> Value {
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        let method = method.parse().expect("a method");
        let request = http.request(method, format!("{}{path}", self.url(node))).bearer_auth(&who.token);
        let answer = request.header("idempotency-key", new_key().to_string()).json(&body).send().await;
        let answer = answer.expect("an answer");
        let status = answer.status();
        let body = answer.json().await.unwrap_or(Value::Null);
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    /// A host at a price and a payer with coins.
    async fn pair(&self, admin: &Person) -> (Person, Person) {
        let (user, host) = (self.person(0, &new_phone()).await, self.person(0, &new_phone()).await);
        let profile =
            json!({ "display_name": "Meera", "bio": "", "categories": ["astrology"], "languages": ["hi"] });
        self.ask(0, "POST", "/v1/hosts/applications", &host, profile).await;
        self.ask(0, "POST", &format!("/v1/admin/hosts/{}/approve", host.id), admin, json!({})).await;
        let price = json!({ "price_milli_per_minute": PRICE });
        self.ask(0, "PUT", "/v1/hosts/me/rates/voice", &host, price).await;
        let bonus = json!({ "user": user.id, "coins_milli": 1_000_000 });
        self.ask(0, "POST", "/v1/admin/bonuses", admin, bonus).await;
        (user, host)
    }
}

#[sqlx::test(migrations = false)]
async fn nodes_that_are_killed_in_turn_under_load_lose_nothing_and_double_nothing(pool: PgPool) {
    let mut cluster = Cluster::start(&pool, 3).await;
    let admin = cluster.person(0, muneem::seed::ADMIN_PHONE).await;
    let user = cluster.person(0, &new_phone()).await;
    let urls: Vec<String> = (0..3).map(|node| cluster.url(node)).collect();
    let told = Arc::new(Mutex::new(BTreeSet::new()));
    let mut clients = JoinSet::new();
    for client in 0..6 {
        let (urls, admin, user, told) = (urls.clone(), admin.token.clone(), user.id, told.clone());
        clients.spawn(async move {
            let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
            for _ in 0..60 {
                let key = new_key();
                // Until one of the nodes says that it is recorded: always under the same key.
                for attempt in client.. {
                    let url = format!("{}/v1/admin/bonuses", urls[attempt % 3]);
                    let bonus = json!({ "user": user, "coins_milli": 1_000 });
                    let asked = http.post(url).bearer_auth(&admin).header("idempotency-key", key.to_string());
                    match asked.json(&bonus).send().await {
                        Ok(answer) if answer.status().is_success() => break,
                        Ok(answer) => assert!(answer.status().is_server_error(), "{}", answer.status()),
                        // It is down: the next one is asked.
                        Err(_) => tokio::task::yield_now().await,
                    }
                }
                told.lock().expect("not poisoned").insert(key);
            }
        });
    }
    for node in 0..3 {
        let so_far = told.lock().expect("not poisoned").len();
        eventually("bonuses are acknowledged", async || {
            (told.lock().expect("not poisoned").len() >= so_far + 30).then_some(())
        })
        .await;
        cluster.kill(node).await;
        cluster.start_again(node).await;
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client ends");
    }
    assert_eq!(told.lock().expect("not poisoned").len(), 360);
    for node in 0..3 {
        let wallet = cluster.ask(node, "GET", "/v1/wallet", &user, Value::Null).await;
        assert_eq!(wallet["bonus_milli"], 360 * 1_000, "each bonus once, at every node: {wallet}");
    }
    let (ok, verified) = cluster.deployments[1].run(&["verify", "--json"]).await;
    assert!(ok, "{verified:#}");

    let states = cluster.states().await;
    let store: StoreAddress = pool.connect_options().to_url_lossy().to_string().parse().expect("an address");
    let fresh = store.open(|_, _| ()).await.expect("opens");
    let journal = JournalId(Uuid::nil());
    let (fresh, _writer) = Ledger::open(fresh, Clock::System, journal, |_, _| {}).await.expect("opens");
    let (next, replayed) = hash(&fresh).await;
    let wanted = (next - 1, hex::encode(replayed));
    assert_eq!(states, vec![wanted; 3], "all nodes and a fresh replay end in the same state");
}

/// Which nodes have the duty to decide.
async fn deciding(cluster: &Cluster) -> Vec<usize> {
    let mut deciding = vec![];
    for node in 0..cluster.servers.len() {
        if cluster.figure(node, r#"muneem_duty{duty="deciding"}"#).await == 1 {
            deciding.push(node);
        }
    }
    deciding
}

#[sqlx::test(migrations = false)]
async fn one_node_decides_for_all_and_the_next_takes_over_when_it_stands_still(pool: PgPool) {
    let cluster = Cluster::start(&pool, 3).await;
    let admin = cluster.person(0, muneem::seed::ADMIN_PHONE).await;
    let first = eventually("one node decides", async || deciding(&cluster).await.first().copied()).await;
    let other = (first + 1) % 3;
    let forwarded = r#"muneem_ledger_forwarded_total{outcome="answered"}"#;
    let user = cluster.person(other, &new_phone()).await;
    let bonus = || json!({ "user": user.id, "coins_milli": 1_000 });
    let before = cluster.figure(other, forwarded).await;
    eventually("the others forward to it", async || {
        cluster.ask(other, "POST", "/v1/admin/bonuses", &admin, bonus()).await;
        (cluster.figure(other, forwarded).await > before).then_some(())
    })
    .await;

    let stop = |signal| {
        let id = cluster.servers[first].id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
        kill_process(Pid::from_raw(id).expect("a process id"), signal).expect("it is told");
    };
    stop(Signal::STOP);
    let begun = Instant::now();
    let mut wallet = cluster.ask(other, "POST", "/v1/admin/bonuses", &admin, bonus()).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}: {wallet}", begun.elapsed());
    eventually("another node decides", async || {
        cluster.ask(other, "POST", "/v1/admin/bonuses", &admin, bonus()).await;
        let figures = [other, (first + 2) % 3].map(|node| (node, r#"muneem_duty{duty="deciding"}"#));
        for (node, name) in figures {
            if cluster.figure(node, name).await == 1 {
                return Some(());
            }
        }
        None
    })
    .await;
    stop(Signal::CONT);
    // What it was given while it stood still, it does now: each of that is there already.
    eventually("it has given the duty up", async || {
        (deciding(&cluster).await.len() == 1 && !deciding(&cluster).await.contains(&first)).then_some(())
    })
    .await;
    for node in 0..3 {
        wallet = cluster.ask(node, "GET", "/v1/wallet", &user, Value::Null).await;
    }
    assert!(wallet["bonus_milli"].as_i64().expect("an amount") >= 3_000, "{wallet}");
    let (ok, verified) = cluster.deployments[other].run(&["verify", "--json"]).await;
    assert!(ok, "{verified:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gifts_go_on_over_restarts_of_postgres_and_redis_and_each_is_there_once() {
    let (postgres, mut redis) = (OwnServer::start(&["max_connections=200"]), OwnRedis::start().await);
    let pool = PgPool::connect(&postgres.url()).await.expect("PostgreSQL");
    let cluster = Cluster::start_with(&pool, 3, &[("REDIS_URL", redis.url())]).await;
    let admin = cluster.person(0, muneem::seed::ADMIN_PHONE).await;
    let (user, host) = cluster.pair(&admin).await;
    let gift = cluster.ask(0, "GET", "/v1/gifts", &user, Value::Null).await["items"][0].clone();
    let (gift, price) = (gift["gift"].clone(), gift["price_milli"].as_i64().expect("a price"));
    let gift = gift.as_str().expect("an id").to_owned();
    let coins = json!({ "user": user.id, "coins_milli": 90_000_000 });
    cluster.ask(0, "POST", "/v1/admin/bonuses", &admin, coins).await;
    let before = cluster.ask(0, "GET", "/v1/wallet", &user, Value::Null).await;
    // A ledger of this process, which lives through it too.
    let store: StoreAddress = postgres.url().parse().expect("an address");
    let beside = store.open(|_, _| ()).await.expect("opens");
    let journal = JournalId(Uuid::nil());
    let (beside, _writer) = Ledger::open(beside, Clock::System, journal, |_, _| {}).await.expect("opens");

    let told = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for client in 0..6 {
        let urls: Vec<String> = (0..3).map(|node| cluster.url(node)).collect();
        let (gift, token, told, stop) = (gift.clone(), user.token.clone(), told.clone(), stop.clone());
        let body = json!({ "host": host.id, "price_seen_milli": price });
        clients.spawn(async move {
            let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
            while !stop.load(Ordering::Relaxed) {
                let key = new_key().to_string();
                for attempt in client.. {
                    let url = format!("{}/v1/gifts/{gift}/send", urls[attempt % 3]);
                    let asked = http.post(url).bearer_auth(&token).header("idempotency-key", &key);
                    match asked.json(&body).send().await {
                        Ok(answer) if answer.status().is_success() => break,
                        Ok(answer) => assert!(answer.status().is_server_error(), "{}", answer.status()),
                        Err(_) => tokio::task::yield_now().await,
                    }
                }
                told.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let more_are_sent = async |count: u64| {
        let so_far = told.load(Ordering::Relaxed);
        eventually("gifts are sent", async || (told.load(Ordering::Relaxed) >= so_far + count).then_some(()))
            .await;
    };
    for blow in ["postgres", "redis", "both"] {
        more_are_sent(60).await;
        if blow != "redis" {
            postgres.kill();
        }
        if blow != "postgres" {
            redis.kill().await;
            redis.come_back().await;
        }
        if blow != "redis" {
            postgres.start_again();
        }
    }
    more_are_sent(60).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client ends");
    }

    let spent = i64::try_from(told.load(Ordering::Relaxed)).expect("a number") * price;
    for node in 0..3 {
        eventually("every node is ready", async || {
            let ready = reqwest::get(format!("{}/health/ready", cluster.url(node))).await;
            ready.is_ok_and(|answer| answer.status().is_success()).then_some(())
        })
        .await;
        let wallet = cluster.ask(node, "GET", "/v1/wallet", &user, Value::Null).await;
        let had = before["spendable_milli"].as_i64().expect("an amount");
        assert_eq!(wallet["spendable_milli"], had - spent, "each gift once, at node {node}: {wallet}");
    }
    let fresh = store.open(|_, _| ()).await.expect("opens");
    let (fresh, _writer) = Ledger::open(fresh, Clock::System, journal, |_, _| {}).await.expect("opens");
    let wanted = hash(&fresh).await;
    assert_eq!(hash(&beside).await, wanted);
    for node in 0..3 {
        let revision = cluster.figure(node, "muneem_ledger_revision").await;
        assert_eq!(revision + 1, wanted.0, "node {node} has come to the end");
    }
    let (ok, verified) = cluster.deployments[1].run(&["verify", "--json"]).await;
    assert!(ok, "{verified:#}");
}

#[sqlx::test(migrations = false)]
async fn a_call_goes_on_when_the_node_that_drives_it_dies(pool: PgPool) {
    let mut cluster = Cluster::start(&pool, 3).await;
    let admin = cluster.person(0, muneem::seed::ADMIN_PHONE).await;
    let settings = json!({
        "increment_seconds": 2, "free_seconds": 0, "grace_seconds": 30, "ring_seconds": 30, "warning_seconds": 60,
    });
    cluster.ask(0, "PUT", "/v1/admin/settings/metering", &admin, settings).await;
    let (user, host) = cluster.pair(&admin).await;
    // The first node drives calls; the two sides are at the others.
    let (mut at_user, mut at_host) = (cluster.socket(1, &user).await, cluster.socket(2, &host).await);
    let invited = at_user
        .request(
            "call:invite",
            json!({ "host": host.id, "medium": "voice", "price_seen_milli_per_minute": PRICE, "key": new_key() }),
        )
        .await;
    assert_eq!(invited["type"], "call:invite:done", "{invited}");
    let rung = at_host.push("call:invited").await;
    let call = rung["data"]["call"].clone();
    let answered = at_host.request("call:answer", json!({ "call": call, "accept": true })).await;
    assert_eq!(answered["type"], "call:answer:done", "{answered}");
    at_user.push("call:answered").await;
    at_user.push("call:ticked").await;
    cluster.kill(0).await;
    let before = at_user.push("call:ticked").await["data"]["charged_total_milli"].clone();
    let after = at_user.push("call:ticked").await;
    assert_eq!(after["data"]["charged_total_milli"].as_i64(), before.as_i64().map(|it| it + 2_000));
    let ended = at_user.request("call:end", json!({ "call": call, "key": new_key() })).await;
    assert_eq!(ended["type"], "call:end:done", "{ended}");
    let ended = at_host.push("call:ended").await["data"].clone();
    // Every two seconds that began were charged once, and none twice.
    let connected_ms = ended["connected_ms"].as_i64().expect("a time");
    let charged = ended["charged_total_milli"].as_i64().expect("an amount");
    assert_eq!(charged, (connected_ms / 2_000 + 1) * 2_000, "{ended}");
    let (ok, verified) = cluster.deployments[1].run(&["verify", "--json"]).await;
    assert!(ok, "{verified:#}");
}

#[sqlx::test(migrations = false)]
async fn one_request_that_reaches_two_nodes_at_once_rings_and_proposes_once(pool: PgPool) {
    let nodes = nodes(&pool, 2).await;
    let (user, host) = (nodes[0].new_user_with(1_000_000).await, nodes[0].new_host(PRICE).await);
    let (_at_user, mut at_host) = (nodes[0].connect(&user).await, nodes[1].connect(&host).await);
    let ring = json!({ "host": host.id, "medium": "voice", "price_seen_milli_per_minute": PRICE });
    let key = new_key();
    let (one, two) = tokio::join!(
        nodes[0].post_with_key(&user, "/v1/calls", key, ring.clone()),
        nodes[1].post_with_key(&user, "/v1/calls", key, ring)
    );
    assert_eq!(one.expect_ok()["call"], two.expect_ok()["call"]);
    at_host.push("call:invited").await;

    nodes[0].limit_one_admin(100).await;
    // Another node goes by a new limit within 2 s.
    eventually("the other node knows the limit", async || {
        let limits = nodes[1].app.settings.approvals().await.expect("settings");
        (limits.bonus_milli == 100).then_some(())
    })
    .await;
    let admin = nodes[0].admin.clone();
    for _ in 0..10 {
        let bonus = json!({ "user": user.id, "coins_milli": 5_000, "reason": "campaign" });
        let key = new_key();
        let (one, two) = tokio::join!(
            nodes[0].post_with_key(&admin, "/v1/admin/bonuses", key, bonus.clone()),
            nodes[1].post_with_key(&admin, "/v1/admin/bonuses", key, bonus)
        );
        assert_eq!((one.status.as_u16(), two.status.as_u16()), (202, 202), "{} {}", one.body, two.body);
        assert!(one.is_replayed() != two.is_replayed(), "one of them is the retry");
        assert_eq!(one.body["approval"], two.body["approval"]);
    }
    let waiting =
        nodes[0].get(Some(&admin), "/v1/admin/approvals?state=proposed&limit=100").await.expect_ok();
    assert_eq!(waiting["items"].as_array().expect("items").len(), 10);
    assert_eq!(
        nodes[0].wallet(&user).await.bonus_milli,
        1_000_000,
        "nothing is given before another admin agrees"
    );
}

#[sqlx::test(migrations = false)]
async fn who_signs_out_or_is_banned_at_one_node_is_out_at_every_node(pool: PgPool) {
    let nodes = nodes(&pool, 2).await;
    let (leaver, banned) = (nodes[0].new_person().await, nodes[0].new_person().await);
    let (mut left, mut out) = (nodes[1].connect(&leaver).await, nodes[1].connect(&banned).await);
    nodes[0].post(Some(&leaver), "/v1/auth/logout", json!({})).await.expect_ok();
    let ban = json!({ "kind": "banned", "reason": "test" });
    let path = format!("/v1/admin/people/{}/restrictions/account", banned.id);
    nodes[0].put(Some(&nodes[0].admin), &path, ban).await.expect_ok();
    for socket in [&mut left, &mut out] {
        let closed = tokio::time::timeout(std::time::Duration::from_secs(2), socket.closed_with()).await;
        assert!((4_000..5_000).contains(&closed.expect("within 2 s")));
    }
    let answer = nodes[1].get(Some(&banned), "/v1/me").await;
    assert!([401, 403].contains(&answer.status.as_u16()), "{}", answer.body);
}
