//! The same request again: at once, later, elsewhere, with another body.

use crate::world::{World, hours_ago, key_of, new_key};
use chrono::{TimeDelta, Utc};
use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

/// A gift of ten coins on offer.
async fn a_gift(world: &World) -> Uuid {
    let gift = Uuid::now_v7();
    let card = json!({ "name": "Rose", "image_url": "/rose.webp", "position": 1, "price_milli": 10_000 });
    world.put(Some(&world.admin), &format!("/v1/admin/gifts/{gift}"), card).await.expect_ok();
    gift
}

#[sqlx::test(migrations = false)]
async fn one_key_sent_twenty_times_at_once_pays_once(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, gift) =
        (world.new_user_with(100_000).await, world.new_host(60_000).await, a_gift(&world).await);
    let path = format!("/v1/gifts/{gift}/send");
    let body = json!({ "host": host.id, "price_seen_milli": 10_000 });
    let key = new_key();
    let sent = (0..20).map(|_| world.post_with_key(&user, &path, key, body.clone()));
    let answers = futures_util::future::join_all(sent).await;
    let revisions: Vec<_> = answers.into_iter().map(|it| it.expect_ok()["revision"].clone()).collect();
    assert!(revisions.iter().all(|it| *it == revisions[0]), "one receipt for all: {revisions:?}");
    assert_eq!(world.wallet(&user).await.spendable_milli, 90_000);

    // The same key with another body, and the same key of another person.
    let other = json!({ "host": host.id, "price_seen_milli": 10_001 });
    world.post_with_key(&user, &path, key, other).await.expect_problem(409, "idempotency_key_reused");
    let stranger = world.new_user_with(10_000).await;
    world.post_with_key(&stranger, &path, key, body.clone()).await.expect_ok();
    // After a restart the journal still knows it.
    let world = world.restart().await;
    let again = world.post_with_key(&user, &path, key, body).await.expect_ok();
    assert_eq!((&again["revision"], &again["duplicate"]), (&revisions[0], &json!(true)));
    assert_eq!(world.wallet(&user).await.spendable_milli, 90_000);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn fifty_gifts_at_once_never_overdraw(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, gift) =
        (world.new_user_with(125_000).await, world.new_host(60_000).await, a_gift(&world).await);
    let path = format!("/v1/gifts/{gift}/send");
    let body = json!({ "host": host.id, "price_seen_milli": 10_000 });
    let sent = (0..50).map(|_| world.post(Some(&user), &path, body.clone()));
    let answers = futures_util::future::join_all(sent).await;
    let taken = answers.iter().filter(|it| it.status.is_success()).count();
    assert_eq!(taken, 12, "twelve of fifty can be paid");
    for refused in answers.iter().filter(|it| !it.status.is_success()) {
        refused.expect_problem(409, "insufficient_funds");
    }
    assert_eq!(world.wallet(&user).await.spendable_milli, 5_000);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_key_is_a_fresh_uuid_of_version_7(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, gift) =
        (world.new_user_with(100_000).await, world.new_host(60_000).await, a_gift(&world).await);
    let path = format!("/v1/gifts/{gift}/send");
    let body = json!({ "host": host.id, "price_seen_milli": 10_000 });
    let before = world.events();
    for (key, status, code) in [
        (None, 400, "idempotency_key_missing"),
        (Some(Uuid::nil()), 422, "idempotency_key_invalid"),
        (Some(Uuid::from_u128(0x1234_5678_1234_4234_9234_1234_5678_1234)), 422, "idempotency_key_invalid"),
        (Some(key_of(hours_ago(25))), 422, "idempotency_key_expired"),
        (Some(key_of(Utc::now() + TimeDelta::hours(1))), 422, "idempotency_key_in_future"),
    ] {
        let answer = world.send(Method::POST, Some(&user), &path, key, Some(body.clone())).await;
        answer.expect_problem(status, code);
    }
    assert_eq!(world.events(), before, "nothing was recorded");
    let old = key_of(hours_ago(23));
    world.post_with_key(&user, &path, old, body).await.expect_ok();
}
