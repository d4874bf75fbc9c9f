//! What the document of the sockets draws step by step, held against what really comes.

use crate::world::{Person, Socket, World, new_key};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::collections::BTreeSet;
use tokio_tungstenite::tungstenite::Message;

const PRICE: i64 = 60_000;

/// A side of the story, with all that it was sent.
struct Side {
    socket: Socket,
    heard: Vec<Value>,
    asked: u64,
}

impl Side {
    async fn open(world: &World, who: &Person) -> Side {
        let mut side = Side { socket: world.open_socket().await, heard: Vec::new(), asked: 0 };
        side.ask("auth", json!({ "token": who.token })).await;
        side
    }

    /// Comes back after a loss, on a socket of its own.
    async fn again(&mut self, world: &World, who: &Person) -> Value {
        self.socket = world.open_socket().await;
        self.ask("auth", json!({ "token": who.token })).await
    }

    /// The reply to a request.
    async fn ask(&mut self, kind: &str, data: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        let frame = json!({ "type": kind, "id": id, "data": data });
        self.socket.send_raw(Message::text(frame.to_string())).await;
        self.until(|frame| frame["reply_to"] == id).await
    }

    async fn push(&mut self, kind: &str) -> Value {
        self.until(|frame| frame["type"] == kind).await
    }

    async fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let frame = self.socket.receive().await.expect("the socket stays open");
            self.heard.push(frame.clone());
            if fits(&frame) {
                return frame;
            }
        }
    }

    /// Holds what came against the steps that lead to this side: replies and pushes of the journal in their order (there
    /// may be more of them, as time goes on), and the same kinds of other pushes.
    fn heard_as_drawn(&self, name: &str, sequence: &Value) {
        let drawn: Vec<&Value> = sequence["steps"]
            .as_array()
            .expect("steps")
            .iter()
            .filter(|step| step["to"] == name)
            .map(|step| &step["frame"])
            .collect();
        let heard: Vec<&Value> = self.heard.iter().collect();
        let types = |frames: &[&Value], fits: &dyn Fn(&Value) -> bool| -> Vec<String> {
            let fitting = frames.iter().filter(|frame| fits(frame));
            fitting.map(|frame| frame["type"].as_str().expect("a type").to_owned()).collect()
        };
        let is_reply = |frame: &Value| frame.get("reply_to").is_some();
        let is_event = |frame: &Value| frame.get("offset").is_some();
        let is_news = |frame: &Value| !is_reply(frame) && !is_event(frame);
        assert_eq!(types(&heard, &is_reply), types(&drawn, &is_reply), "replies to the {name}");
        let events = types(&heard, &is_event);
        let mut rest = events.iter();
        for kind in types(&drawn, &is_event) {
            assert!(
                rest.any(|it| *it == kind),
                "{kind} is drawn for the {name}, and not in its place in {events:?}"
            );
        }
        let kinds = |frames: &[&Value], fits: &dyn Fn(&Value) -> bool| -> BTreeSet<String> {
            types(frames, fits).into_iter().collect()
        };
        assert_eq!(kinds(&heard, &is_event), kinds(&drawn, &is_event), "events told to the {name}");
        assert_eq!(kinds(&heard, &is_news), kinds(&drawn, &is_news), "other pushes to the {name}");
    }
}

fn sequence(name: &str) -> Value {
    let document = websocket_gateway::asyncapi();
    let sequences = document["x-sequences"].as_array().expect("sequences").clone();
    sequences.into_iter().find(|it| it["name"] == name).expect("is drawn")
}

fn invitation(host: &Person) -> Value {
    json!({ "host": host.id, "medium": "video", "price_seen_milli_per_minute": PRICE, "key": new_key() })
}

#[sqlx::test(migrations = false)]
async fn a_call_is_told_as_it_is_drawn(pool: PgPool) {
    let world = World::start(&pool).await;
    world.meter(1, 30).await;
    let (user, host) = (world.new_user_with(1_000_000).await, world.new_host(PRICE).await);
    let gift = world.new_gift(10_000).await;

    let (mut at_host, mut at_user) = (Side::open(&world, &host).await, Side::open(&world, &user).await);
    let call = at_user.ask("call:invite", invitation(&host)).await["data"]["call"].clone();
    at_host.push("call:invited").await;
    at_host.ask("call:answer", json!({ "call": call, "accept": true })).await;
    for side in [&mut at_user, &mut at_host] {
        side.push("call:ticked").await;
        side.push("call:ticked").await;
    }
    let sent = json!({
        "host": host.id, "gift": gift, "call": call, "price_seen_milli": 10_000, "key": new_key(),
    });
    at_user.ask("gift:send", sent).await;
    // The last of them is of the wallet that the gift has left.
    for side in [&mut at_user, &mut at_host] {
        side.push("wallet:updated").await;
    }
    at_user.ask("ping", json!({})).await;
    drop(std::mem::replace(&mut at_user.socket, world.open_socket().await));
    at_host.push("call:paused").await;
    let welcome = at_user.again(&world, &user).await;
    assert_eq!(welcome["data"]["active_call"]["call"], call, "{welcome}");
    for side in [&mut at_user, &mut at_host] {
        side.push("call:resumed").await;
        side.push("call:ticked").await;
        side.push("call:ticked").await;
    }
    let warn_now = json!({
        "increment_seconds": 1, "free_seconds": 0, "grace_seconds": 30, "ring_seconds": 30, "warning_seconds": 3_600,
    });
    world.put(Some(&world.admin), "/v1/admin/settings/metering", warn_now).await.expect_ok();
    at_user.push("call:warned").await;
    at_user.ask("call:end", json!({ "call": call, "key": new_key() })).await;
    for side in [&mut at_user, &mut at_host] {
        if !side.heard.iter().any(|it| it["type"] == "call:ended") {
            side.push("call:ended").await;
        }
        side.push("presence:updated").await;
    }
    let drawn = sequence("call");
    at_user.heard_as_drawn("user", &drawn);
    at_host.heard_as_drawn("host", &drawn);
}

#[sqlx::test(migrations = false)]
async fn a_ring_that_becomes_no_call_is_told_as_it_is_drawn(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_user_with(100_000).await, world.new_host(PRICE).await);
    let (mut at_host, mut at_user) = (Side::open(&world, &host).await, Side::open(&world, &user).await);
    // The sequence begins where both are signed in.
    at_host.heard.clear();
    at_user.heard.clear();
    let call = at_user.ask("call:invite", invitation(&host)).await["data"]["call"].clone();
    at_host.push("call:invited").await;
    at_user.ask("call:cancel", json!({ "call": call })).await;
    at_host.push("call:ended").await;
    if !at_user.heard.iter().any(|it| it["type"] == "call:ended") {
        at_user.push("call:ended").await;
    }
    at_host.ask("call:answer", json!({ "call": call, "accept": true })).await;
    let drawn = sequence("ring");
    at_user.heard_as_drawn("user", &drawn);
    at_host.heard_as_drawn("host", &drawn);
}

#[sqlx::test(migrations = false)]
async fn the_page_of_the_sockets_shows_every_message_and_loads_nothing_from_elsewhere(pool: PgPool) {
    let world = World::start(&pool).await;
    let answer = world.http.get(format!("{}/docs/sockets", world.base)).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("style-src 'self';"), "{policy}");
    let page = answer.text().await.expect("a page");
    let document = websocket_gateway::asyncapi();
    for message in document["components"]["messages"].as_object().expect("messages").values() {
        let kind = message["name"].as_str().expect("a name");
        assert!(page.contains(&format!("id=\"{kind}\"")), "{kind}");
    }
    // A browser would load, or run, none of these.
    for refused in ["<script", "style=\"", "<style", "src=\"http", "href=\"http", "onclick"] {
        assert!(!page.contains(refused), "{refused}");
    }
    let ids: BTreeSet<&str> = page.split("id=\"").skip(1).filter_map(|it| it.split('"').next()).collect();
    let links = page.split("href=\"").skip(1).filter_map(|it| it.split('"').next());
    let links = links.filter(|link| !link.starts_with("data:"));
    for link in links {
        match link.strip_prefix('#') {
            Some(id) => assert!(ids.contains(id), "{link} leads nowhere"),
            None => {
                let found = world.http.get(format!("{}{link}", world.base)).send().await.expect("an answer");
                assert_eq!(found.status(), 200, "{link}");
            }
        }
    }
    let openapi = world.send(Method::GET, None, "/v1/openapi.json", None, None).await.expect_ok();
    assert!(openapi["info"]["description"].as_str().is_some_and(|it| it.contains("](/docs/sockets)")));
}
