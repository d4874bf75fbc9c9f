//! Many gifts in one request.

use crate::world::{Answer, Person, World, hours_ago, key_of, new_key};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use platform::workers::Workers;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use tower::ServiceExt;
use uuid::Uuid;

const PRICE_MILLI: i64 = 10_000;
const BATCH: &str = "/v1/gifts/batch";

fn item(gift: Uuid, host: &Person) -> Value {
    json!({ "gift": gift, "host": host.id, "price_seen_milli": PRICE_MILLI, "key": new_key() })
}

async fn send(world: &World, who: &Person, items: &[Value]) -> Answer {
    world.post(Some(who), BATCH, json!({ "items": items })).await
}

/// Status and code of each outcome.
fn outcomes(answer: &Value) -> Vec<(u64, String)> {
    let code = |it: &Value| it["problem"]["code"].as_str().unwrap_or_default().to_owned();
    let items = answer["items"].as_array().expect("an outcome for each gift");
    items.iter().map(|it| (it["status"].as_u64().expect("a status"), code(it))).collect()
}

/// How many of the gifts were not sent before.
fn new(answer: &Value) -> usize {
    let items = answer["items"].as_array().expect("outcomes");
    items.iter().filter(|it| it["sent"]["duplicate"] == false).count()
}

fn revisions(answer: &Value) -> Vec<u64> {
    let items = answer["items"].as_array().expect("outcomes");
    items.iter().map(|it| it["sent"]["revision"].as_u64().expect("a receipt")).collect()
}

#[sqlx::test(migrations = false)]
async fn a_batch_that_is_sent_twice_is_charged_once_and_answered_alike(pool: PgPool) {
    let world = World::start(&pool).await;
    let (gift, user) = (world.new_gift(PRICE_MILLI).await, world.new_user_with(2_000_000).await);
    let hosts = [world.new_host(60_000).await, world.new_host(60_000).await];
    let items: Vec<Value> = (0..100).map(|number| item(gift, &hosts[number % 2])).collect();
    let batches = world.ledger_batches().await;
    let first = send(&world, &user, &items).await.expect_ok();
    assert_eq!(outcomes(&first), vec![(201, String::new()); 100]);
    assert!(revisions(&first).is_sorted_by(|one, next| one < next), "in the order of the request: {first}");
    assert_eq!(world.ledger_batches().await - batches, 1, "a hundred gifts are recorded in one go");
    assert_eq!(world.wallet(&user).await.spendable_milli, 1_000_000);

    let again = send(&world, &user, &items).await.expect_ok();
    assert_eq!(outcomes(&again), vec![(201, String::new()); 100]);
    assert_eq!(revisions(&again), revisions(&first));
    assert_eq!([new(&first), new(&again)], [100, 0]);
    // By itself a gift has the same key.
    let body = json!({ "host": items[7]["host"], "price_seen_milli": PRICE_MILLI });
    let key = items[7]["key"].as_str().expect("a key").parse().expect("a uuid");
    let alone = world.post_with_key(&user, &format!("/v1/gifts/{gift}/send"), key, body).await.expect_ok();
    assert_eq!(alone["sending"], first["items"][7]["sent"]["sending"]);
    assert_eq!(world.wallet(&user).await.spendable_milli, 1_000_000, "nothing was charged again");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_batch_that_is_sent_many_times_at_once_is_charged_once(pool: PgPool) {
    let world = World::start(&pool).await;
    let (gift, user, host) = (
        world.new_gift(PRICE_MILLI).await,
        world.new_user_with(1_000_000).await,
        world.new_host(60_000).await,
    );
    let items: Vec<Value> = (0..20).map(|_| item(gift, &host)).collect();
    let sent = (0..8).map(|_| send(&world, &user, &items));
    let answers = futures_util::future::join_all(sent).await;
    let answers: Vec<Value> = answers.into_iter().map(Answer::expect_ok).collect();
    let different: BTreeSet<Vec<u64>> = answers.iter().map(revisions).collect();
    assert_eq!(different.len(), 1, "one receipt for each gift");
    let all_new: usize = answers.iter().map(new).sum();
    assert_eq!(all_new, 20, "each gift is new in one of the answers");
    assert_eq!(world.wallet(&user).await.spendable_milli, 800_000);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_gift_that_is_refused_keeps_no_other_from_being_sent(pool: PgPool) {
    let world = World::start(&pool).await;
    let (gift, user, host) =
        (world.new_gift(PRICE_MILLI).await, world.new_user_with(30_000).await, world.new_host(60_000).await);
    let with = |field: &str, value: Value| {
        let mut changed = item(gift, &host);
        changed[field] = value;
        changed
    };
    let first = item(gift, &host);
    let same_key = with("key", first["key"].clone());
    let mut other_gift = same_key.clone();
    other_gift["price_seen_milli"] = json!(1);
    let stranger = world.new_person().await;
    let story = [
        (first, 201, "", None),
        (same_key, 201, "", None),
        (other_gift, 409, "idempotency_key_reused", Some("items[2].key")),
        (with("key", json!(key_of(hours_ago(25)))), 422, "idempotency_key_expired", Some("items[3].key")),
        (with("key", json!("order 17, gift 3")), 201, "", None),
        (with("price_seen_milli", json!(1)), 409, "gift_price_changed", Some("items[5]")),
        (with("host", json!(stranger.id)), 404, "unknown_host", Some("items[6]")),
        (with("host", json!(user.id)), 404, "unknown_host", Some("items[7]")),
        (with("call", json!(Uuid::now_v7())), 404, "unknown_call", Some("items[8]")),
        (item(gift, &host), 201, "", None),
        (item(gift, &host), 409, "insufficient_funds", Some("items[10]")),
    ];
    let items: Vec<Value> = story.iter().map(|(item, ..)| item.clone()).collect();
    let answer = send(&world, &user, &items).await.expect_ok();
    for (index, (_, status, code, field)) in story.iter().enumerate() {
        let outcome = &answer["items"][index];
        let (problem, sent) = (&outcome["problem"], &outcome["sent"]);
        let met = (
            outcome["status"].as_i64(),
            problem["code"].as_str().unwrap_or_default(),
            problem["field"].as_str(),
        );
        assert_eq!(met, (Some(*status), *code, *field), "item {index}: {outcome}");
        assert_eq!(sent.is_null(), *status >= 400, "item {index}: {outcome}");
    }
    assert_eq!(answer["items"][1]["sent"]["revision"], answer["items"][0]["sent"]["revision"]);
    assert_eq!(world.wallet(&user).await.spendable_milli, 0, "three gifts are paid");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_batch_that_cannot_be_read_sends_nothing_and_names_the_gift(pool: PgPool) {
    let world = World::start(&pool).await;
    let (gift, user, host) = (
        world.new_gift(PRICE_MILLI).await,
        world.new_user_with(2_000_000).await,
        world.new_host(60_000).await,
    );
    let spoilt = |spoil: &dyn Fn(&mut Value)| {
        let mut items: Vec<Value> = (0..5).map(|_| item(gift, &host)).collect();
        spoil(&mut items[3]);
        json!({ "items": items })
    };
    let many = |count: usize| json!({ "items": (0..count).map(|_| item(gift, &host)).collect::<Vec<_>>() });
    let before = world.events();
    for (case, body, code, field) in [
        ("a host that is no uuid", spoilt(&|it| it["host"] = json!("meera")), "wrong_type", "items[3].host"),
        (
            "a float for money",
            spoilt(&|it| it["price_seen_milli"] = json!(1.5)),
            "wrong_type",
            "items[3].price_seen_milli",
        ),
        (
            "a key that cannot be printed",
            spoilt(&|it| it["key"] = json!("one\ntwo")),
            "wrong_type",
            "items[3].key",
        ),
        (
            "no key",
            spoilt(&|it| drop(it.as_object_mut().expect("an object").remove("key"))),
            "missing_field",
            "items[3].key",
        ),
        ("an unknown field", spoilt(&|it| it["colour"] = json!("red")), "unknown_field", "items[3].colour"),
        ("a gift that is no object", spoilt(&|it| *it = json!(7)), "wrong_type", "items[3]"),
        ("too many", many(101), "field_invalid", "items"),
        ("none", many(0), "field_invalid", "items"),
        ("no list", json!({ "items": {} }), "wrong_type", "items"),
        ("nothing", json!({}), "missing_field", "items"),
    ] {
        let answer = world.post(Some(&user), BATCH, body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, code), "{case}: {}", answer.body);
        assert_eq!(answer.body["field"], field, "{case}: {}", answer.body);
    }
    assert_eq!(world.events(), before, "nothing was recorded");
}

#[sqlx::test(migrations = false)]
async fn each_gift_of_a_batch_counts_as_a_request(pool: PgPool) {
    let world = World::start(&pool).await;
    let (gift, user, host) = (
        world.new_gift(PRICE_MILLI).await,
        world.new_user_with(1_000_000).await,
        world.new_host(60_000).await,
    );
    let config = api::Config { requests_per_minute: 10, ..api::Config::default() };
    let api = api::Api::new(world.app.clone(), world.read.clone(), Workers::default(), None, config);
    let router = api::router(api, api::Beside::default());
    let send = async |count: usize| {
        let items: Vec<Value> = (0..count).map(|_| item(gift, &host)).collect();
        let peer: SocketAddr = "192.0.2.7:1".parse().expect("an address");
        let request = Request::post(BATCH)
            .header("authorization", format!("Bearer {}", user.token))
            .header("content-type", "application/json")
            .extension(ConnectInfo(peer))
            .body(Body::from(json!({ "items": items }).to_string()));
        let answer = router.clone().oneshot(request.expect("a request")).await;
        let answer = answer.expect("a router never fails");
        let left = answer.headers()["ratelimit-remaining"].to_str().expect("text").to_owned();
        (answer.status(), left)
    };
    let (taken, refused) = (StatusCode::OK, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(send(6).await, (taken, "4".to_owned()));
    assert_eq!(send(6).await, (refused, "3".to_owned()), "four were left");
    assert_eq!(world.wallet(&user).await.spendable_milli, 940_000, "six gifts were sent");
    // What was refused has cost the request itself.
    assert_eq!(send(3).await, (taken, "0".to_owned()));
    assert_eq!(send(1).await, (refused, "0".to_owned()), "ten were counted");
}
