//! What a socket may not do.

use crate::world::{Person, World, new_key};
use chrono::{TimeDelta, Utc};
use ledger_core::{CallId, PersonId};
use platform::identity::{AccessTokens, Role, SessionId};
use platform::push::News;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::time::Duration;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use uuid::Uuid;
use websocket_gateway::Config;

#[sqlx::test(migrations = false)]
async fn the_first_frame_says_who_it_is_or_the_socket_is_closed(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    for (case, frame) in [
        ("a request before the sign-in", json!({ "id": 1, "type": "ping" }).to_string()),
        (
            "a forged token",
            json!({ "id": 1, "type": "auth", "data": { "token": forged(&user.token) } }).to_string(),
        ),
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
    socket
        .send_raw(Message::text(
            json!({ "id": 1, "type": "auth", "data": { "token": user.token } }).to_string(),
        ))
        .await;
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
        assert_eq!(reply["type"], "refused", "{case}: {reply}");
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
async fn who_never_says_who_they_are_is_closed(pool: PgPool) {
    let bounds = Config { auth_timeout: Duration::from_millis(200), ..Config::default() };
    let world = World::start_bounded(&pool, bounds).await;
    assert_eq!(world.open_socket().await.closed_with().await, 4408);
}

#[sqlx::test(migrations = false)]
async fn who_says_nothing_is_closed(pool: PgPool) {
    let bounds = Config { ping_interval: Duration::from_secs(2), ..Config::default() };
    let world = World::start_bounded(&pool, bounds).await;
    // A client that answers pings stays; one that no longer reads answers none, and counts as away.
    let (user, other) = (world.new_person().await, world.new_person().await);
    let mut alive = world.connect(&other).await;
    let mut dead = world.connect(&user).await;
    dead.stop_reading();
    let away = async || (!world.app.attendance.is_connected(PersonId(user.id), Role::User)).then_some(());
    crate::world::eventually("the silent one counts as away", away).await;
    assert_eq!(dead.closed_with().await, 4410);
    // The pongs of the one that answers are its signs of life; of the other the last one is remembered.
    let last_seen = |person: &Person| world.app.attendance.last_seen(PersonId(person.id));
    let (dead_seen, before) =
        (last_seen(&user).expect("it was seen"), last_seen(&other).expect("it is seen"));
    let heard_of = async || last_seen(&other).is_some_and(|seen| seen > before).then_some(());
    crate::world::eventually("a pong counts", heard_of).await;
    assert_eq!(last_seen(&user), Some(dead_seen));
    assert!(dead_seen < before);
    assert_eq!(alive.request("ping", json!({})).await["type"], "ping:done");
}

#[sqlx::test(migrations = false)]
async fn a_slow_reader_is_closed_and_nobody_waits_for_it(pool: PgPool) {
    let bounds = Config { queue: 4, close_wait: Duration::from_secs(20), ..Config::default() };
    let world = World::start_bounded(&pool, bounds).await;
    let (user, other) = (world.new_person().await, world.new_person().await);
    let mut at_other = world.connect(&other).await;
    let mut slow = world.connect(&user).await;
    slow.stop_reading();
    // More than any buffer between the two takes.
    let reason: &'static str = "x".repeat(100 << 10).leak();
    for _ in 0..640 {
        let news = News::RingEnded { call: CallId(Uuid::nil()), reason: reason.into() };
        world.app.bus.send(&[PersonId(user.id)], news);
    }
    // Somebody else hears of what comes after it; by then all of it has been handed on.
    world
        .app
        .bus
        .send(&[PersonId(other.id)], News::RingEnded { call: CallId(Uuid::nil()), reason: "missed".into() });
    at_other.push("call:ended").await;
    // Another device of the same person is served as ever.
    let mut quick = world.connect(&user).await;
    assert_eq!(quick.request("ping", json!({})).await["type"], "ping:done");
    assert_eq!(slow.closed_with().await, 4409);
}

#[sqlx::test(migrations = false)]
async fn too_much_nonsense_is_closed(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let mut socket = world.connect(&user).await;
    for frame in [Message::text("{"), Message::binary(vec![1])] {
        socket.send_raw(frame).await;
        let reply = socket.receive().await.expect("a problem");
        assert_eq!((&reply["reply_to"], &reply["type"]), (&Value::Null, &json!("refused")), "{reply}");
    }
    for _ in 0..10 {
        socket.send_raw(Message::text("{")).await;
    }
    assert_eq!(socket.closed_with().await, 4400);
}

#[sqlx::test(migrations = false)]
async fn a_flood_of_requests_is_refused_and_then_closed(pool: PgPool) {
    let world = World::start_bounded(&pool, Config { requests_per_second: 2, ..Config::default() }).await;
    let user = world.new_person().await;
    let mut socket = world.connect(&user).await;
    for id in 0..30 {
        socket.send_raw(Message::text(json!({ "id": id, "type": "ping" }).to_string())).await;
    }
    let mut refused = 0;
    let closed = loop {
        match socket.receive().await {
            Ok(reply) if reply["type"] == "refused" => {
                assert_eq!(reply["problem"]["code"], "rate_limited", "{reply}");
                refused += 1;
            }
            Ok(_) => {}
            Err(closed) => break closed,
        }
    };
    assert_eq!(closed.map(|frame| frame.code.into()), Some(4429_u16));
    assert!(refused > 0, "it was told to slow down first");
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
async fn an_address_has_bounds_before_and_after_sign_in(pool: PgPool) {
    let bounds = Config { max_per_address_before_sign_in: 2, max_per_address: 3, ..Config::default() };
    let world = World::start_bounded(&pool, bounds).await;
    let url = format!("{}/v1/ws", world.base.replacen("http", "ws", 1));
    let refused = async || match tokio_tungstenite::connect_async(&url).await {
        Err(Error::Http(response)) => {
            assert_eq!(response.status(), 429);
            assert_eq!(response.headers()["retry-after"], "5");
        }
        other => panic!("it should have been refused: {other:?}"),
    };
    let user = world.new_person().await;
    let mut strangers = (world.open_socket().await, world.open_socket().await);
    refused().await;
    let auth = json!({ "id": 1, "type": "auth", "data": { "token": user.token } });
    assert_eq!(strangers.0.send_frame(auth.clone()).await["type"], "auth:done");
    // Signing in has made room for another stranger, up to the bound of all.
    let _third = world.open_socket().await;
    assert_eq!(strangers.1.send_frame(auth).await["type"], "auth:done");
    refused().await;
}

#[sqlx::test(migrations = false)]
async fn a_person_s_newest_socket_closes_the_oldest(pool: PgPool) {
    let world = World::start_bounded(&pool, Config { max_per_person: 2, ..Config::default() }).await;
    let (user, other) = (world.new_person().await, world.new_person().await);
    let mut kept = world.connect(&other).await;
    let mut oldest = world.connect(&user).await;
    let mut second = world.connect(&user).await;
    let mut third = world.connect(&user).await;
    assert_eq!(oldest.closed_with().await, 4430);
    for socket in [&mut kept, &mut second, &mut third] {
        assert_eq!(socket.request("ping", json!({})).await["type"], "ping:done");
    }
}

#[sqlx::test(migrations = false)]
async fn a_close_frame_is_answered(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    for (case, mut socket) in
        [("signed in", world.connect(&user).await), ("a stranger", world.open_socket().await)]
    {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "bye".into() };
        socket.send_raw(Message::Close(Some(frame))).await;
        assert_eq!(socket.closed_with().await, 1000, "{case}: the client's own code comes back");
    }
}

#[sqlx::test(migrations = false)]
async fn a_receipt_has_one_form_over_http_and_sockets(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_user_with(1_000_000).await, world.new_host(60_000).await);
    let gifts = world.get(Some(&user), "/v1/gifts").await.expect_ok();
    let (gift, price) = (&gifts["items"][0]["gift"], &gifts["items"][0]["price_milli"]);
    let key = new_key();
    let mut socket = world.connect(&user).await;
    let sending = json!({ "host": host.id, "gift": gift, "price_seen_milli": price, "key": key });
    let over_socket = socket.request("gift:send", sending).await["data"].take();
    let path = format!("/v1/gifts/{}/send", gift.as_str().expect("a gift"));
    let body = json!({ "host": host.id, "price_seen_milli": price });
    let over_http = world.post_with_key(&user, &path, key, body).await.expect_ok();
    assert_eq!(over_http["duplicate"], true, "the same command: {over_http}");
    for field in ["journal", "command_id", "revision", "sending"] {
        assert!(!over_socket[field].is_null(), "{field}: {over_socket}");
        assert_eq!(over_socket[field], over_http[field], "{field}");
    }
    assert_eq!(over_socket["duplicate"], false);
    // A refusal has one form too.
    let wrong = json!({ "host": host.id, "gift": gift, "price_seen_milli": 1, "key": new_key() });
    let over_socket = socket.request("gift:send", wrong).await["problem"].take();
    let body = json!({ "host": host.id, "price_seen_milli": 1 });
    let mut over_http = world.post(Some(&user), &path, body).await.body;
    for field in ["type", "title"] {
        over_http.as_object_mut().expect("a problem").remove(field);
    }
    assert_eq!(over_socket, over_http);
}

/// The ids that replies name.
fn ids(replies: &[Value]) -> Vec<u64> {
    replies.iter().map(|it| it["reply_to"].as_u64().expect("an id of ours")).collect()
}

#[sqlx::test(migrations = false)]
async fn requests_that_do_not_wait_are_answered_in_order_and_their_gifts_recorded_together(pool: PgPool) {
    let world = World::start_bounded(&pool, Config { requests_per_second: 1_000, ..Config::default() }).await;
    let (user, host, gift) =
        (world.new_user_with(500_000).await, world.new_host(60_000).await, world.new_gift(10_000).await);
    let mut socket = world.connect(&user).await;
    let gift_send = || json!({ "host": host.id, "gift": gift, "price_seen_milli": 10_000, "key": new_key() });
    // Fifty gifts can be paid; a ping, a refusal and a repeated gift stand between them.
    let mut requests: Vec<(&str, Value)> = (0..60).map(|_| ("gift:send", gift_send())).collect();
    requests[20] = ("ping", json!({}));
    requests[30].1["price_seen_milli"] = json!(1);
    requests[40] = requests[0].clone();
    let batches = world.ledger_batches().await;
    socket.pipeline(&requests).await;
    let replies = socket.replies(60).await;
    assert_eq!(ids(&replies), (0..60).collect::<Vec<_>>(), "in the order in which they were asked");
    let mut last = 0;
    for (id, reply) in replies.iter().enumerate() {
        let (data, problem) = (&reply["data"], &reply["problem"]["code"]);
        match id {
            20 => assert!(data["at"].is_string(), "{reply}"),
            30 => assert_eq!(problem, "gift_price_changed", "{reply}"),
            40 => {
                assert_eq!(data["revision"], replies[0]["data"]["revision"]);
                assert_eq!(data["duplicate"], true);
            }
            // Three of the first fifty-three were no new gifts.
            53.. => assert_eq!(problem, "insufficient_funds", "{reply}"),
            _ => {
                let revision = data["revision"].as_u64().unwrap_or_else(|| panic!("{reply}"));
                assert!(revision > last, "recorded in the order in which they were asked");
                last = revision;
            }
        }
    }
    let written = world.ledger_batches().await - batches;
    assert!(written < 50, "fifty gifts took {written} writes: each waited for the one before");
    assert_eq!(world.wallet(&user).await.spendable_milli, 0);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn what_is_asked_first_is_done_first(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, gift) =
        (world.new_user_with(1_000_000).await, world.new_host(60_000).await, world.new_gift(10_000).await);
    let (mut at_user, mut at_host) = (world.connect(&user).await, world.connect(&host).await);
    let call = world.start_call(&mut at_user, &mut at_host, host.id, 60_000).await;
    let in_call = || {
        let key = new_key();
        json!({ "host": host.id, "gift": gift, "call": call, "price_seen_milli": 10_000, "key": key })
    };
    let end = json!({ "call": call, "key": new_key() });
    at_user.pipeline(&[("gift:send", in_call()), ("call:end", end), ("gift:send", in_call())]).await;
    let replies = at_user.replies(3).await;
    assert_eq!(ids(&replies), [0, 1, 2]);
    assert_eq!(
        [&replies[0]["type"], &replies[1]["type"]],
        ["gift:send:done", "call:end:done"],
        "{replies:?}"
    );
    assert_eq!(replies[2]["problem"]["code"], "gift_outside_call", "{replies:?}");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn requests_beyond_those_that_may_be_unanswered_are_refused(pool: PgPool) {
    let world = World::start_bounded(&pool, Config { max_unanswered: 4, ..Config::default() }).await;
    let (user, host) = (world.new_user_with(1_000_000).await, world.new_host(60_000).await);
    let (mut socket, _at_host) = (world.connect(&user).await, world.connect(&host).await);
    let mut requests = vec![requests_like_routes(&host)[0].clone()];
    requests.extend((1..8).map(|_| ("ping", "", json!({}))));
    let requests: Vec<_> = requests.into_iter().map(|(kind, _, data)| (kind, data)).collect();
    // The first cannot be done, and those behind it wait for it.
    let mut lock = pool.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE app.rings").execute(&mut *lock).await.expect("the lock");
    socket.pipeline(&requests).await;
    let refused = socket.replies(4).await;
    assert_eq!(ids(&refused), [4, 5, 6, 7]);
    for reply in &refused {
        assert_eq!(reply["problem"]["code"], "rate_limited", "{reply}");
    }
    lock.rollback().await.expect("the lock is given back");
    let answered = socket.replies(4).await;
    assert_eq!(ids(&answered), [0, 1, 2, 3]);
    assert!(answered.iter().all(|it| it["type"] != "refused"), "{answered:?}");
    // Room is there again, and an idle socket's worker begins anew.
    assert_eq!(socket.request("ping", json!({})).await["type"], "ping:done");
}

#[sqlx::test(migrations = false)]
async fn a_token_that_expires_is_renewed_on_the_same_socket(pool: PgPool) {
    let bounds = Config { expiry_grace: Duration::from_secs(4), ..Config::default() };
    let world = World::start_bounded(&pool, bounds).await;
    let user = world.new_person().await;
    let cancel = json!({ "call": Uuid::nil() });
    // Some seconds of its life are left.
    let old = Person { token: token_of_age(&world, &user, 15 * 60 - 6), ..user.clone() };
    let (mut socket, mut never_renewed) = (world.connect(&old).await, world.connect(&old).await);
    socket.push("auth:expired").await;
    let refused = socket.request("call:cancel", cancel.clone()).await;
    assert_eq!(refused["problem"]["code"], "token_expired", "{refused}");
    let fresh =
        socket.send_frame(json!({ "id": "again", "type": "auth", "data": { "token": user.token } })).await;
    assert_eq!(fresh["type"], "auth:done", "{fresh}");
    let taken = socket.request("call:cancel", cancel).await;
    assert_eq!(taken["problem"]["code"], "unknown_call", "{taken}");

    assert_eq!(never_renewed.closed_with().await, 4401, "nothing fresh came within the grace");
    assert_eq!(socket.request("ping", json!({})).await["type"], "ping:done", "the fresh one stays");
}

#[sqlx::test(migrations = false)]
async fn signing_out_closes_the_sockets_of_that_session_alone(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let other_device = world.sign_in(&user.phone).await;
    let (mut here, mut there) = (world.connect(&user).await, world.connect(&other_device).await);
    world.post(Some(&user), "/v1/auth/logout", json!({})).await.expect_ok();
    assert_eq!(here.closed_with().await, 4401);
    assert_eq!(there.request("ping", json!({})).await["type"], "ping:done");
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
    let served = world.get(None, "/v1/asyncapi.json").await.expect_ok();
    assert_eq!(served, websocket_gateway::asyncapi());
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
    assert_eq!(ring["type"], "call:invite:done", "{ring}");
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
    assert_eq!(kept.request("ping", json!({})).await["type"], "ping:done");
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
    assert_eq!(kept.request("ping", json!({})).await["type"], "ping:done");
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
