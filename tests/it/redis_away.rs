//! Limits and bounds that nodes share through Redis, and what becomes of them while Redis is away.

use crate::world::{self, PATIENCE, Person, Socket, World, eventually, new_phone};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use integrations::otp_sender::{OtpChannel, OtpOutbox, OtpSender};
use platform::identity::{Otp, OtpConfig, OtpError, Requester};
use platform::rate_limit::RateLimiter;
use platform::workers::Workers;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::PgPool;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tower::ServiceExt;
use websocket_gateway::{Config, Gateway};

/// A Redis of this test's own, which it can kill and stop.
pub struct OwnRedis {
    port: u16,
    folder: TempDir,
    server: Child,
}

impl OwnRedis {
    pub async fn start() -> OwnRedis {
        let port = crate::crash::free_port();
        let folder = TempDir::new().expect("a folder");
        let server = serve(port, &folder).await;
        OwnRedis { port, folder, server }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub async fn kill(&mut self) {
        self.server.kill().await.expect("kill -9");
    }

    /// Back under the same address, with nothing of what it knew.
    pub async fn come_back(&mut self) {
        self.server = serve(self.port, &self.folder).await;
    }

    fn signal(&self, signal: Signal) {
        let id = self.server.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
        kill_process(Pid::from_raw(id).expect("a process id"), signal).expect("it is told");
    }
}

async fn serve(port: u16, folder: &TempDir) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()]);
    command.arg("--dir").arg(folder.path()).stdout(Stdio::null()).kill_on_drop(true);
    let server = command.spawn().expect("redis-server starts; `make test` sees that it is there");
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/0")).expect("the address");
    eventually("Redis answers", async || client.get_multiplexed_async_connection().await.ok()).await;
    server
}

/// A world on a Redis of its own.
async fn world_on(redis: &OwnRedis, pool: &PgPool, sockets: Config) -> World {
    let data = TempDir::new().expect("a folder for the journal");
    let mut config = world::config(pool, &data);
    config.redis_url = redis.url().into();
    World::start_with(pool, config, data, sockets).await
}

const A_MINUTE: u32 = 3;

/// The API of another node with a limit of requests.
fn limited(world: &World) -> Router {
    let config = api::Config { requests_per_minute: A_MINUTE, ..api::Config::default() };
    let api = api::Api::new(world.app.clone(), world.read.clone(), Workers::default(), None, config);
    api::router(api, api::Beside::default())
}

/// How often this address is served before it is refused.
async fn served(router: &Router, address: &str) -> u32 {
    for served in 0..=A_MINUTE {
        let peer: SocketAddr = format!("{address}:1").parse().expect("an address");
        let request = Request::get("/health/live").extension(ConnectInfo(peer)).body(Body::empty());
        let answer = router.clone().oneshot(request.expect("a request")).await.expect("a router never fails");
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::TOO_MANY_REQUESTS => return served,
            status => panic!("{address} is answered {status}"),
        }
    }
    panic!("{address} was served beyond the limit")
}

async fn counted_locally(world: &World) -> bool {
    let metrics = world.http.get(format!("{}/metrics", world.base)).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    metrics.lines().any(|line| line == "muneem_limits_counted_locally 1")
}

#[sqlx::test(migrations = false)]
async fn while_redis_is_down_each_node_counts_for_itself_and_nobody_is_shut_out(pool: PgPool) {
    let mut redis = OwnRedis::start().await;
    let world = world_on(&redis, &pool, Config::default()).await;
    let router = limited(&world);
    assert_eq!(served(&router, "192.0.2.1").await, A_MINUTE, "counted together");
    assert!(!counted_locally(&world).await);

    redis.kill().await;
    for address in ["192.0.2.2", "192.0.2.3"] {
        assert_eq!(served(&router, address).await, A_MINUTE, "{address} is limited, and by its own count");
    }
    // Signing in asks Redis, and finds it away.
    let user = world.new_person().await;
    assert!(counted_locally(&world).await);
    world
        .post(None, "/v1/auth/refresh", serde_json::json!({ "refresh_token": user.refresh }))
        .await
        .expect_ok();

    redis.come_back().await;
    eventually("the count is shared again", async || {
        // Whoever asks finds out that Redis is back.
        world.new_person().await;
        (!counted_locally(&world).await).then_some(())
    })
    .await;
    assert_eq!(served(&router, "192.0.2.2").await, 0, "what was counted without Redis still counts");
    assert_eq!(served(&router, "192.0.2.4").await, A_MINUTE);
}

#[sqlx::test(migrations = false)]
async fn a_redis_that_hangs_holds_up_one_request_at_a_time(pool: PgPool) {
    let redis = OwnRedis::start().await;
    let world = world_on(&redis, &pool, Config::default()).await;
    redis.signal(Signal::STOP);
    let all = async {
        for _ in 0..15 {
            world.new_person().await;
        }
    };
    // Each of the 15 sign-ins would wait at least four seconds if it asked.
    tokio::time::timeout(PATIENCE, all).await.expect("they do not wait for Redis one after another");
    redis.signal(Signal::CONT);
}

#[sqlx::test(migrations = false)]
async fn sign_in_stays_limited_while_redis_is_down(pool: PgPool) {
    let mut redis = OwnRedis::start().await;
    let world = world_on(&redis, &pool, Config::default()).await;
    let outbox = OtpOutbox::default();
    let config = OtpConfig {
        resend_seconds: 0,
        per_phone_per_hour: 3,
        strangers_per_phone_per_day: 4,
        wrong_codes_per_day: 2,
        ..OtpConfig::default()
    };
    let limiter = RateLimiter::new(world.app.shared.clone());
    let otp =
        Otp::new(pool.clone(), world.app.people.clone(), limiter, OtpSender::Console(outbox.clone()), config);
    redis.kill().await;
    let (phone, now) = (new_phone(), platform::clock::now());
    let ask = async |address: &str| {
        let requester = Requester { address, device_token: None };
        otp.start(&phone, OtpChannel::Sms, requester, now).await
    };
    let refused = |asked: Result<_, OtpError>| matches!(asked, Err(OtpError::RateLimited { .. }));
    let mut challenges = Vec::new();
    for _ in 0..3 {
        challenges.push(ask("192.0.2.1").await.expect("a code is sent").challenge);
    }
    assert!(refused(ask("192.0.2.1").await), "three an hour for one requester");
    challenges.push(ask("192.0.2.2").await.expect("another requester").challenge);
    // Beyond the strangers' share of the day there is one code an hour: slower, and no wall.
    challenges.push(ask("192.0.2.2").await.expect("the one of this hour").challenge);
    assert!(refused(ask("192.0.2.3").await), "the next one comes later");

    let right = outbox.last_code(&phone).expect("a code was sent");
    let wrong = if right == "000000" { "000001" } else { "000000" };
    let last = *challenges.last().expect("a challenge");
    for challenge in &challenges[..2] {
        let tried = otp.verify(&phone, *challenge, wrong, now).await.map(|it| it.person.id);
        assert!(matches!(tried, Err(OtpError::Invalid)), "{tried:?}");
    }
    // Two wrong ones a day: the third ends its challenge, even for the right code.
    assert!(matches!(otp.verify(&phone, last, wrong, now).await, Err(OtpError::Invalid)));
    assert!(matches!(otp.verify(&phone, last, &right, now).await, Err(OtpError::TooManyTries)));
}

/// Another node of the gateway, on the same people and the same Redis.
struct Node {
    url: String,
    /// Ends with the node; without it the node renews nothing, as if it were dead.
    running: JoinSet<()>,
    _serving: JoinSet<()>,
}

impl Node {
    async fn start(world: &World, config: Config) -> Node {
        let gateway = Gateway::new(world.app.clone(), config);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("ws://{}/v1/ws", listener.local_addr().expect("an address"));
        let routes = websocket_gateway::router(gateway.clone());
        let (mut running, mut serving) = (JoinSet::new(), JoinSet::new());
        serving.spawn(async move {
            let service = routes.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, service).await.expect("it serves");
        });
        running.spawn(gateway.run(std::future::pending()));
        Node { url, running, _serving: serving }
    }

    async fn die(&mut self) {
        self.running.shutdown().await;
    }
}

async fn signed_in(url: &str, who: &Person) -> Result<Socket, u16> {
    let mut socket = Socket::open(url).await?;
    socket.sign_in(who).await;
    Ok(socket)
}

fn url_of(world: &World) -> String {
    format!("{}/v1/ws", world.base.replacen("http", "ws", 1))
}

#[sqlx::test(migrations = false)]
async fn sockets_of_an_address_are_counted_over_all_nodes(pool: PgPool) {
    let bounds = Config { max_per_address: 3, max_per_address_before_sign_in: 2, ..Config::default() };
    let world = World::start_bounded(&pool, bounds.clone()).await;
    let other = Node::start(&world, bounds).await;
    let (here, there) = (url_of(&world), other.url.clone());
    let user = world.new_person().await;
    let mut first = Socket::open(&here).await.expect("room");
    let mut second = Socket::open(&there).await.expect("room");
    for url in [&here, &there] {
        assert_eq!(Socket::open(url).await.err(), Some(429), "one here and one there have not signed in");
    }
    first.sign_in(&user).await;
    let third = Socket::open(&there).await.expect("room for one more that has not");
    second.sign_in(&user).await;
    for url in [&here, &there] {
        assert_eq!(Socket::open(url).await.err(), Some(429), "three in all");
    }
    drop(third);
    eventually("a socket that has closed makes room", async || Socket::open(&here).await.ok()).await;
}

#[sqlx::test(migrations = false)]
async fn a_person_s_newest_socket_closes_the_oldest_on_whichever_node(pool: PgPool) {
    let bounds = Config { max_per_person: 2, ..Config::default() };
    let world = World::start_bounded(&pool, bounds.clone()).await;
    let other = Node::start(&world, bounds).await;
    let (user, neighbour) = (world.new_person().await, world.new_person().await);
    let mut spared = world.connect(&neighbour).await;
    let mut oldest = world.connect(&user).await;
    let mut second = signed_in(&other.url, &user).await.expect("room");
    let mut third = signed_in(&other.url, &user).await.expect("room");
    assert_eq!(oldest.closed_with().await, 4430);
    for socket in [&mut spared, &mut second, &mut third] {
        assert_eq!(socket.request("ping", serde_json::json!({})).await["type"], "ping:done");
    }
    let mut fourth = world.connect(&user).await;
    assert_eq!(second.closed_with().await, 4430, "the oldest of those that are left, on the other node");
    for socket in [&mut third, &mut fourth] {
        assert_eq!(socket.request("ping", serde_json::json!({})).await["type"], "ping:done");
    }
}

#[sqlx::test(migrations = false)]
async fn the_sockets_of_a_dead_node_stop_counting_and_those_of_a_living_one_go_on(pool: PgPool) {
    let lease = Duration::from_secs(2);
    let bounds = Config { max_per_address: 3, lease, ..Config::default() };
    let world = World::start_bounded(&pool, bounds.clone()).await;
    let mut dying = Node::start(&world, bounds.clone()).await;
    let third = Node::start(&world, bounds).await;
    let user = world.new_person().await;
    let _living = world.connect(&user).await;
    let _dead = (signed_in(&dying.url, &user).await, signed_in(&dying.url, &user).await);
    assert_eq!(Socket::open(&third.url).await.err(), Some(429), "three in all");
    dying.die().await;
    let room = async || signed_in(&third.url, &user).await.ok();
    let _second = eventually("the leases of the dead node lapse", room).await;
    let _third = eventually("both of them", room).await;
    // For longer than a lease, so that the one of the living socket has to be renewed.
    let end = tokio::time::Instant::now() + lease + Duration::from_millis(500);
    while tokio::time::Instant::now() < end {
        assert_eq!(
            Socket::open(&third.url).await.err(),
            Some(429),
            "the living one counts on another node too"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[sqlx::test(migrations = false)]
async fn while_redis_is_down_each_node_bounds_its_sockets_and_then_all_count_again(pool: PgPool) {
    let mut redis = OwnRedis::start().await;
    let lease = Duration::from_secs(4);
    let bounds = Config { max_per_address: 3, max_per_person: 2, lease, ..Config::default() };
    let world = world_on(&redis, &pool, bounds.clone()).await;
    let other = Node::start(&world, bounds).await;
    let (here, there) = (url_of(&world), other.url.clone());
    let (user, second, third) =
        (world.new_person().await, world.new_person().await, world.new_person().await);
    let mut oldest = signed_in(&here, &user).await.expect("room");
    redis.kill().await;
    let mut kept =
        (signed_in(&here, &user).await.expect("room"), signed_in(&here, &second).await.expect("room"));
    assert_eq!(Socket::open(&here).await.err(), Some(429), "three on this node");
    let elsewhere = signed_in(&there, &third).await.expect("each node counts for itself");
    let mut newest = signed_in(&there, &user).await.expect("room");
    drop(elsewhere);

    redis.come_back().await;
    eventually("the sockets of both nodes count together again", async || match Socket::open(&there).await {
        Err(status) => (status == 429).then_some(()),
        Ok(_) => None,
    })
    .await;
    // Nobody was put out by the outage itself.
    for socket in [&mut oldest, &mut kept.0, &mut kept.1, &mut newest] {
        assert_eq!(socket.request("ping", serde_json::json!({})).await["type"], "ping:done");
    }
}
