//! What a socket may not do.

use crate::world::{Person, World, new_key};
use chrono::{TimeDelta, Utc};
use ledger_core::PersonId;
use platform::identity::{AccessTokens, Role, SessionId};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::time::Duration;
use tokio_tungstenite::tungstenite::{Error, Message};
use uuid::Uuid;
use websocket_gateway::Config;

#[sqlx::test(migrations = false)]
async fn the_first_frame_says_who_it_is_or_the_socket_is_closed(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    for (case, frame) in [
        ("a request before the sign-in", json!({ "id": 1, "type": "ping" }).to_string()),
        ("a forged token", json!({ "id": 1, "type": "auth", "token": forged(&user.token) }).to_string()),
        ("no JSON", "hello".to_owned()),
    ] {
        let mut socket = world.open_socket().await;
        socket.send_raw(Message::text(frame)).await;
        let code = socket.closed_with().await;
        assert!((4400..4410).contains(&code), "{case}: closed with {code}");
    }
    // A token in the URL is not looked at.
    let mut socket = world.open_socket_at(&format!("/v1/ws?token={}", user.token)).await;
    socket.send_raw(Message::text(json!({ "id": 1, "type": "ping" }).to_string())).await;
    assert_eq!(socket.closed_with().await, 4401, "it is signed in as nobody");
}

#[sqlx::test(migrations = false)]
async fn a_session_that_ended_opens_no_socket(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    world.post(Some(&user), "/v1/auth/logout", json!({})).await.expect_ok();
    let mut socket = world.open_socket().await;
    socket.send_raw(Message::text(json!({ "id": 1, "type": "auth", "token": user.token }).to_string())).await;
    assert_eq!(socket.closed_with().await, 4401);
}

#[sqlx::test(migrations = false)]
async fn bad_frames_get_a_clear_problem_and_change_nothing(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_user_with(100_000).await, world.new_host(60_000).await);
    let mut socket = world.connect(&user).await;
    let before = world.events();
    let good = json!({ "host": host.id, "medium": "video", "price_seen_milli_per_minute": 60_000, "key": new_key() });
    let with = |field: &str, value: serde_json::Value| {
        let mut data = good.clone();
        data[field] = value;
        data
    };
    for (case, kind, data) in [
        ("an unknown request", "call:fly", json!({})),
        ("an unknown field", "call:invite", with("colour", json!("red"))),
        ("a wrong type", "call:invite", with("price_seen_milli_per_minute", json!("60000"))),
        ("a float for money", "call:invite", with("price_seen_milli_per_minute", json!(60_000.5))),
        ("a host that is no uuid", "call:invite", with("host", json!("meera"))),
        ("an unknown medium", "call:invite", with("medium", json!("smoke"))),
        ("a missing field", "call:end", json!({ "key": new_key() })),
        ("a key that is none", "call:invite", with("key", json!("abc"))),
    ] {
        let reply = socket.request(kind, data).await;
        assert_eq!(reply["ok"], false, "{case}: {reply}");
        assert!(reply["problem"]["code"].is_string(), "{case}: {reply}");
    }
    assert_eq!(world.events(), before, "nothing was recorded");
}

#[sqlx::test(migrations = false)]
async fn an_oversized_frame_closes_the_socket(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let mut socket = world.connect(&user).await;
    socket.send_raw(Message::text("x".repeat(64 * 1024))).await;
    let code = socket.closed_with().await;
    assert!([1009, 0].contains(&code), "closed with {code}");
    world.get(Some(&user), "/v1/me").await.expect_ok();
}

#[sqlx::test(migrations = false)]
async fn who_says_nothing_is_closed(pool: PgPool) {
    let bounds = Config {
        auth_timeout: Duration::from_millis(200),
        ping_interval: Duration::from_millis(200),
        ..Config::default()
    };
    let world = World::start_bounded(&pool, bounds).await;
    assert_eq!(world.open_socket().await.closed_with().await, 4408, "it never said who it is");

    // A client that answers pings stays; one that no longer reads answers none, and counts as away.
    let (user, other) = (world.new_person().await, world.new_person().await);
    let mut alive = world.connect(&other).await;
    let mut dead = world.connect(&user).await;
    let away = async || (!world.app.attendance.is_connected(PersonId(user.id), Role::User)).then_some(());
    tokio::select! {
        () = crate::world::eventually("the silent one counts as away", away) => {}
        closed = alive.receive() => panic!("the one that answers was closed: {closed:?}"),
    }
    assert_eq!(dead.closed_with().await, 4410);
    assert_eq!(alive.request("ping", json!({})).await["ok"], true);
}

#[sqlx::test(migrations = false)]
async fn a_slow_reader_is_closed_and_nobody_waits_for_it(pool: PgPool) {
    let bounds = Config { queue: 4, close_wait: Duration::from_secs(10), ..Config::default() };
    let world = World::start_bounded(&pool, bounds).await;
    let user = world.new_person().await;
    let mut slow = world.connect(&user).await;
    // More than any buffer between the two takes.
    let bulk = json!({ "bulk": "x".repeat(1 << 20) });
    for _ in 0..64 {
        world.app.bus.send(&[PersonId(user.id)], "call:invite", bulk.clone());
    }
    // Another device of the same person gets what the slow one would have had to wait for.
    let mut quick = world.connect(&user).await;
    assert_eq!(quick.request("ping", json!({})).await["ok"], true);
    assert_eq!(slow.closed_with().await, 4409);
}

#[sqlx::test(migrations = false)]
async fn nonsense_and_floods_are_closed(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let mut socket = world.connect(&user).await;
    for frame in [Message::text("{"), Message::binary(vec![1])] {
        socket.send_raw(frame).await;
        let reply = socket.receive().await.expect("a problem");
        assert_eq!((&reply["reply_to"], &reply["ok"]), (&Value::Null, &json!(false)), "{reply}");
    }
    for _ in 0..10 {
        socket.send_raw(Message::text("{")).await;
    }
    assert_eq!(socket.closed_with().await, 4400);

    let mut socket = world.connect(&user).await;
    for id in 0..300 {
        socket.send_raw(Message::text(json!({ "id": id, "type": "ping" }).to_string())).await;
    }
    assert_eq!(socket.closed_with().await, 4429);
}

#[sqlx::test(migrations = false)]
async fn a_stop_closes_every_socket_and_says_so(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let (mut signed_in, mut nobody) = (world.connect(&user).await, world.open_socket().await);
    let stop = tokio::spawn(world.stop());
    assert_eq!(signed_in.closed_with().await, 1001);
    assert_eq!(nobody.closed_with().await, 1001);
    drop((signed_in, nobody));
    stop.await.expect("the server stops");
}

#[sqlx::test(migrations = false)]
async fn a_gateway_that_is_full_says_so(pool: PgPool) {
    let world = World::start_bounded(&pool, Config { max_connections: 1, ..Config::default() }).await;
    let _first = world.open_socket().await;
    let url = format!("{}/v1/ws", world.base.replacen("http", "ws", 1));
    match tokio_tungstenite::connect_async(&url).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 503),
        other => panic!("it should have been refused: {other:?}"),
    }
}

#[sqlx::test(migrations = false)]
async fn a_token_that_expires_is_renewed_on_the_same_socket(pool: PgPool) {
    let bounds = Config { expiry_grace: Duration::from_secs(1), ..Config::default() };
    let world = World::start_bounded(&pool, bounds).await;
    let user = world.new_person().await;
    let cancel = json!({ "call": Uuid::nil() });
    // One second of its life is left.
    let old = Person { token: token_of_age(&world, &user, 15 * 60 - 1), ..user.clone() };
    let mut socket = world.connect(&old).await;
    socket.push("auth:expired").await;
    let refused = socket.request("call:cancel", cancel.clone()).await;
    assert_eq!(refused["problem"]["code"], "token_expired", "{refused}");
    let fresh = socket.send_frame(json!({ "id": "again", "type": "auth", "token": user.token })).await;
    assert_eq!(fresh["ok"], true, "{fresh}");
    let taken = socket.request("call:cancel", cancel).await;
    assert_eq!(taken["problem"]["code"], "unknown_call", "{taken}");

    let mut socket = world.connect(&Person { token: token_of_age(&world, &user, 15 * 60 - 1), ..user }).await;
    assert_eq!(socket.closed_with().await, 4401, "nothing fresh came within the grace");
}

#[sqlx::test(migrations = false)]
async fn signing_out_closes_the_sockets_of_that_session_alone(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let other_device = world.sign_in(&user.phone).await;
    let (mut here, mut there) = (world.connect(&user).await, world.connect(&other_device).await);
    world.post(Some(&user), "/v1/auth/logout", json!({})).await.expect_ok();
    assert_eq!(here.closed_with().await, 4401);
    assert_eq!(there.request("ping", json!({})).await["ok"], true);
    world.post(Some(&other_device), "/v1/auth/logout-everywhere", json!({})).await.expect_ok();
    assert_eq!(there.closed_with().await, 4401);
}

/// Each request over a socket that has its like over HTTP, with data that is well formed.
fn requests_like_routes(host: &Person) -> [(&'static str, &'static str, Value); 5] {
    let call = Uuid::now_v7();
    let invitation = json!({
        "host": host.id, "medium": "video", "price_seen_milli_per_minute": 60_000, "key": new_key(),
    });
    let gift =
        json!({ "host": host.id, "gift": Uuid::now_v7(), "price_seen_milli": 1_000, "key": new_key() });
    [
        ("call:invite", "/v1/calls", invitation),
        ("call:answer", "/v1/calls/{call}/answer", json!({ "call": call, "accept": false })),
        ("call:cancel", "/v1/calls/{call}/cancel", json!({ "call": call })),
        ("call:end", "/v1/calls/{call}/end", json!({ "call": call, "key": new_key() })),
        ("gift:send", "/v1/gifts/{gift}/send", gift),
    ]
}

#[sqlx::test(migrations = false)]
async fn a_request_over_a_socket_needs_the_same_role_as_over_http(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, nobody) =
        (world.new_person().await, world.new_host(60_000).await, world.new_person().await);
    revoke(&world, &nobody, "user").await;
    let openapi = world.get(None, "/v1/openapi.json").await.expect_ok();
    for (name, who, roles) in
        [("user", &user, vec!["user"]), ("host", &host, vec!["user", "host"]), ("nobody", &nobody, vec![])]
    {
        let mut socket = world.connect(who).await;
        for (kind, path, data) in requests_like_routes(&host) {
            let needed = &openapi["paths"][path]["post"]["security"][0]["bearer"];
            let needed = needed.as_array().unwrap_or_else(|| panic!("POST {path} is in the document"));
            let may =
                needed.is_empty() || needed.iter().any(|it| roles.contains(&it.as_str().expect("a role")));
            let reply = socket.request(kind, data).await;
            let refused = reply["problem"]["code"] == "forbidden_role";
            assert_eq!(refused, !may, "{kind} as {name}: {reply}");
        }
    }
}

#[sqlx::test(migrations = false)]
async fn a_role_that_is_taken_away_counts_at_the_next_request_of_an_open_socket(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_user_with(1_000_000).await, world.new_host(60_000).await);
    let (mut at_user, mut at_host) = (world.connect(&user).await, world.connect(&host).await);
    let invitation = requests_like_routes(&host)[0].2.clone();
    let ring = at_user.request("call:invite", invitation).await;
    assert_eq!(ring["ok"], true, "{ring}");
    let before = world.events();
    revoke(&world, &host, "host").await;
    let answer = json!({ "call": ring["data"]["call"], "accept": true });
    let reply = at_host.request("call:answer", answer).await;
    assert_eq!(reply["problem"]["code"], "forbidden_role", "{reply}");
    assert_eq!(world.events(), before, "no call began");
}

#[sqlx::test(migrations = false)]
async fn a_session_that_ends_in_whatever_way_closes_its_sockets(pool: PgPool) {
    // What happens on this node is heard of without any look at the database.
    let never = Config { access_check: Duration::from_secs(3_600), ..Config::default() };
    let world = World::start_bounded(&pool, never).await;
    let (user, other) = (world.new_person().await, world.new_person().await);
    let (mut socket, mut kept) = (world.connect(&user).await, world.connect(&other).await);
    let refresh =
        async |token: &Value| world.post(None, "/v1/auth/refresh", json!({ "refresh_token": token })).await;
    let second = refresh(&json!(user.refresh)).await.expect_ok()["refresh_token"].clone();
    refresh(&second).await.expect_ok();
    refresh(&json!(user.refresh)).await.expect_problem(401, "session_ended");
    assert_eq!(socket.closed_with().await, 4401, "a refresh token was used twice");
    assert_eq!(kept.request("ping", json!({})).await["ok"], true);
}

#[sqlx::test(migrations = false)]
async fn a_change_made_elsewhere_is_found_by_looking(pool: PgPool) {
    assert!(Config::default().access_check < Duration::from_secs(2));
    let world = World::start(&pool).await;
    let (user, other) = (world.new_person().await, world.new_person().await);
    let (mut socket, mut kept) = (world.connect(&user).await, world.connect(&other).await);
    sqlx::query("UPDATE app.sessions SET ended_at = now(), end_reason = 'logout' WHERE person = $1")
        .bind(user.id)
        .execute(&pool)
        .await
        .expect("the sessions end");
    assert_eq!(socket.closed_with().await, 4401, "ended by hand");
    assert_eq!(kept.request("ping", json!({})).await["ok"], true);
}

async fn revoke(world: &World, person: &Person, role: &str) {
    let path = format!("/v1/admin/people/{}/roles/{role}", person.id);
    world.send(Method::DELETE, Some(&world.admin), &path, None, None).await.expect_ok();
}

/// A token of this person's session, as it was made some seconds ago.
fn token_of_age(world: &World, person: &Person, seconds: i64) -> String {
    let keys = world.config.clone().with_secrets().and_then(|config| config.jwt_keys()).expect("the keys");
    let tokens = AccessTokens::new(&keys).expect("keys that sign");
    let session = tokens.verify(&person.token, Utc::now()).expect("a good token").sid;
    tokens.issue(PersonId(person.id), SessionId(session.0), Utc::now() - TimeDelta::seconds(seconds))
}

fn forged(token: &str) -> String {
    let (head, _) = token.rsplit_once('.').expect("a JWT");
    format!("{head}.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
}
