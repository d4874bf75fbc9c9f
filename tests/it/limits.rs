//! How many requests one address may make.

use crate::world::World;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode, header};
use platform::workers::Workers;
use sqlx::PgPool;
use std::net::SocketAddr;
use tower::ServiceExt;

const A_MINUTE: u32 = 3;

async fn ask(router: &Router, address: &str, method: &str, path: &str) -> (StatusCode, HeaderMap) {
    let peer: SocketAddr = address.parse().expect("an address");
    let request = Request::builder().method(method).uri(path).extension(ConnectInfo(peer));
    let response = router.clone().oneshot(request.body(Body::empty()).expect("a request")).await;
    let (parts, _) = response.expect("a router never fails").into_parts();
    (parts.status, parts.headers)
}

/// The limit, what is left of it, and in how many seconds it is whole again.
fn allowance(headers: &HeaderMap) -> [u32; 3] {
    ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"].map(|name| {
        let value = headers.get(name).and_then(|it| it.to_str().ok()).and_then(|it| it.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {headers:?}"))
    })
}

#[sqlx::test(migrations = false)]
async fn an_address_that_asks_too_often_waits_and_the_others_do_not(pool: PgPool) {
    let world = World::start(&pool).await;
    let config = api::Config { requests_per_minute: A_MINUTE, ..api::Config::default() };
    let router = api::router(
        api::Api::new(world.app.clone(), world.read.clone(), Workers::default(), None, config),
        api::Beside::default(),
    );
    let plans = async |address: &str| ask(&router, address, "GET", "/v1/coin-plans").await;
    for port in 0..A_MINUTE {
        let (status, headers) = plans(&format!("192.0.2.7:{port}")).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(allowance(&headers)[..2], [A_MINUTE, A_MINUTE - 1 - port], "{headers:?}");
        assert!((1..=60).contains(&allowance(&headers)[2]), "{headers:?}");
    }
    for path in ["/v1/coin-plans", "/v1/wallet", "/v1/nowhere", "/health/live", "/docs/", "/metrics"] {
        let (status, headers) = ask(&router, "192.0.2.7:99", "GET", path).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{path}");
        let wait = headers[header::RETRY_AFTER].to_str().ok().and_then(|it| it.parse().ok());
        assert!(wait.is_some_and(|seconds: u32| (1..=60).contains(&seconds)), "{path}: {headers:?}");
        assert_eq!(allowance(&headers), [A_MINUTE, 0, wait.unwrap_or_default()], "{path}");
    }
    assert_eq!(plans("192.0.2.8:99").await.0, StatusCode::OK, "a neighbour");

    let (status, headers) = ask(&router, "192.0.2.7:99", "POST", "/v1/webhooks/razorpay").await;
    assert!(!headers.contains_key("ratelimit-limit"), "{headers:?}");
    assert_ne!(status, StatusCode::TOO_MANY_REQUESTS, "webhooks are not counted");
    assert_ne!(status, StatusCode::NOT_FOUND, "the route is there");

    for host in 1..=A_MINUTE {
        assert_eq!(plans(&format!("[2001:db8:1:2::{host}]:1")).await.0, StatusCode::OK);
    }
    let (status, _) = plans("[2001:db8:1:2:ffff::]:1").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "one customer's /64 counts as one address");
    assert_eq!(plans("[2001:db8:1:3::1]:1").await.0, StatusCode::OK);
}

/// A router whose trusted proxies are these.
async fn behind(world: &World, proxies: &str) -> Router {
    let config = api::Config {
        requests_per_minute: A_MINUTE,
        trusted_proxies: proxies.parse().expect("networks"),
        ..api::Config::default()
    };
    let api = api::Api::new(world.app.clone(), world.read.clone(), Workers::default(), None, config);
    api::router(api, api::Beside::default())
}

async fn ask_through(router: &Router, peer: &str, forwarded_for: &str) -> StatusCode {
    let peer: SocketAddr = peer.parse().expect("an address");
    let request =
        Request::get("/v1/coin-plans").header("x-forwarded-for", forwarded_for).extension(ConnectInfo(peer));
    let response = router.clone().oneshot(request.body(Body::empty()).expect("a request")).await;
    response.expect("a router never fails").status()
}

#[sqlx::test(migrations = false)]
async fn behind_a_proxy_each_client_has_its_own_limit_and_cannot_make_itself_another(pool: PgPool) {
    let world = World::start(&pool).await;
    let router = behind(&world, "10.0.0.0/8").await;
    for turn in 0..A_MINUTE {
        // What the client wrote itself stands left of what the proxy saw.
        let claimed = format!("192.0.2.{turn}, 203.0.113.7");
        assert_eq!(ask_through(&router, "10.0.0.1:1", &claimed).await, StatusCode::OK);
    }
    let again = ask_through(&router, "10.0.0.2:1", "192.0.2.99, 203.0.113.7").await;
    assert_eq!(again, StatusCode::TOO_MANY_REQUESTS, "through another proxy it is the same client");
    assert_eq!(ask_through(&router, "10.0.0.1:1", "203.0.113.8").await, StatusCode::OK, "another client");

    for turn in 0..A_MINUTE {
        assert_eq!(ask_through(&router, "198.51.100.9:1", &format!("192.0.2.{turn}")).await, StatusCode::OK);
    }
    let again = ask_through(&router, "198.51.100.9:1", "192.0.2.50").await;
    assert_eq!(again, StatusCode::TOO_MANY_REQUESTS, "a peer that is no trusted proxy is not believed");
}
