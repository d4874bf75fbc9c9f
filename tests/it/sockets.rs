//! What a socket may not do.

use crate::world::{World, new_key};
use serde_json::json;
use sqlx::PgPool;
use tokio_tungstenite::tungstenite::Message;

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
    let url = format!("{}/v1/ws?token={}", world.base.replacen("http", "ws", 1), user.token);
    let (_, _) = tokio_tungstenite::connect_async(&url).await.expect("it opens, signed in as nobody");
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

fn forged(token: &str) -> String {
    let (head, _) = token.rsplit_once('.').expect("a JWT");
    format!("{head}.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
}
