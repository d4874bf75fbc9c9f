//! A retry is answered as the first time, whatever has changed since then.

use crate::world::{Answer, Person, World, hours_ago, key_of, new_key};
use futures_util::future::join_all;
use ledger_core::{Actor, Key, PersonId, command, command_ids};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

async fn put_with_key(world: &World, who: &Person, path: &str, key: Uuid, body: Value) -> Answer {
    world.send(Method::PUT, Some(who), path, Some(key), Some(body)).await
}

async fn set_limits(world: &World, fields: &[(&str, i64)]) {
    let admin = Some(&world.admin);
    let mut limits = world.get(admin, "/v1/admin/settings/limits").await.expect_ok();
    fields.iter().for_each(|(field, limit)| limits[*field] = json!(limit));
    world.put(admin, "/v1/admin/settings/limits", limits).await.expect_ok();
}

#[sqlx::test(migrations = false)]
async fn a_gift_that_was_charged_is_answered_after_its_host_has_gone(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host, gift) =
        (world.new_user_with(100_000).await, world.new_host(60_000).await, world.new_gift(10_000).await);
    let path = format!("/v1/gifts/{gift}/send");
    let body = json!({ "host": host.id, "price_seen_milli": 10_000 });
    let item = |key: Uuid| json!({ "key": key, "gift": gift, "host": host.id, "price_seen_milli": 10_000 });
    let (key, new) = (new_key(), new_key());
    let first = world.post_with_key(&user, &path, key, body.clone()).await.expect_ok();

    let restriction = format!("/v1/admin/people/{}/restrictions/host", host.id);
    let why = json!({ "kind": "suspended", "reason": "fraud_report" });
    world.put(Some(&world.admin), &restriction, why).await.expect_ok();
    world.post_with_key(&user, &path, new, body.clone()).await.expect_problem(404, "unknown_host");

    let again = world.post_with_key(&user, &path, key, body.clone()).await;
    assert!(again.is_replayed());
    assert_eq!(again.expect_ok()["sending"], first["sending"]);
    let items = json!({ "items": [item(new), item(key), item(new)] });
    let batch = world.post(Some(&user), "/v1/gifts/batch", items).await.expect_ok();
    let statuses: Vec<&Value> =
        batch["items"].as_array().expect("items").iter().map(|it| &it["status"]).collect();
    assert_eq!(statuses, [404, 201, 404]);
    assert_eq!(batch["items"][1]["sent"]["sending"], first["sending"]);
    let mut socket = world.connect(&user).await;
    let mut asked = body;
    (asked["gift"], asked["key"]) = (json!(gift), json!(key));
    let told = socket.request("gift:send", asked).await;
    assert_eq!(told["data"]["sending"], first["sending"], "{told}");
    assert_eq!(world.wallet(&user).await.spendable_milli, 90_000);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_retry_does_not_count_as_one_more(pool: PgPool) {
    let world = World::start(&pool).await;
    let host = world.new_host(60_000).await;
    let credit =
        json!({ "account": format!("host:{}:earnings", host.id), "amount_milli": 50_000, "reason": "test" });
    world.post(Some(&world.admin), "/v1/admin/adjustments", credit).await.expect_ok();
    // Three prices were set when the host was made.
    set_limits(&world, &[("withdrawals_per_day", 1), ("price_changes_per_day", 4)]).await;
    let (asked, asked_key) = (json!({ "coins_milli": 1_000 }), new_key());
    let (rate, rate_key) = (json!({ "price_milli_per_minute": 61_000 }), new_key());
    for turn in 0..3 {
        let withdrawal = world.post_with_key(&host, "/v1/withdrawals", asked_key, asked.clone()).await;
        let price = put_with_key(&world, &host, "/v1/hosts/me/rates/chat", rate_key, rate.clone()).await;
        assert_eq!([withdrawal.is_replayed(), price.is_replayed()], [turn > 0; 2], "{turn}");
        withdrawal.expect_ok();
        price.expect_ok();
    }
    world.post(Some(&host), "/v1/withdrawals", asked).await.expect_problem(429, "rate_limited");
    let other = json!({ "price_milli_per_minute": 62_000 });
    world.put(Some(&host), "/v1/hosts/me/rates/chat", other).await.expect_problem(429, "rate_limited");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn copies_of_a_ring_are_one_ring_and_count_once(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_user_with(1_000_000).await, world.new_host(60_000).await);
    let (_at_user, _at_host) = (world.connect(&user).await, world.connect(&host).await);
    let asked = json!({ "host": host.id, "medium": "voice", "price_seen_milli_per_minute": 60_000 });
    let key = new_key();
    // More copies than rings may begin in a minute.
    let copies = join_all((0..30).map(|_| world.post_with_key(&user, "/v1/calls", key, asked.clone()))).await;
    assert_eq!(copies.iter().filter(|it| !it.is_replayed()).count(), 1, "one of them is new");
    let calls: Vec<Value> = copies.into_iter().map(|it| it.expect_ok()["call"].clone()).collect();
    assert!(calls.iter().all(|call| *call == calls[0]), "{calls:?}");
    let other = json!({ "host": host.id, "medium": "chat", "price_seen_milli_per_minute": 60_000 });
    world.post_with_key(&user, "/v1/calls", key, other).await.expect_problem(409, "idempotency_key_reused");
    let end = format!("/v1/calls/{}/cancel", calls[0].as_str().expect("a call"));
    world.post(Some(&user), &end, json!({})).await.expect_ok();
    world.post(Some(&user), "/v1/calls", asked).await.expect_ok();
}

#[sqlx::test(migrations = false)]
async fn hanging_up_twice_is_told_as_a_retry(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_user_with(1_000_000).await, world.new_host(60_000).await);
    let (mut at_user, mut at_host) = (world.connect(&user).await, world.connect(&host).await);
    let call = world.start_call(&mut at_user, &mut at_host, host.id, 60_000).await;
    let (path, key) = (format!("/v1/calls/{call}/end"), new_key());
    let first = world.post_with_key(&user, &path, key, json!({})).await;
    let again = world.post_with_key(&user, &path, key, json!({})).await;
    assert_eq!([first.is_replayed(), again.is_replayed()], [false, true]);
    assert_eq!(first.expect_ok()["revision"], again.expect_ok()["revision"]);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn what_is_so_already_is_no_retry(pool: PgPool) {
    let world = World::start(&pool).await;
    let gift = world.new_gift(10_000).await;
    let (admin, path) = (&world.admin, format!("/v1/admin/gifts/{gift}"));
    let card = |name: &str, price: i64| json!({ "name": name, "image_url": "/rose.webp", "position": 1, "price_milli": price });
    // The price is what it was: the ledger has nothing to record, and the name is another one.
    let renamed = put_with_key(&world, admin, &path, new_key(), card("Red rose", 10_000)).await;
    assert!(!renamed.is_replayed());
    assert_eq!(renamed.expect_ok()["duplicate"], false);

    let key = new_key();
    let dearer = put_with_key(&world, admin, &path, key, card("Red rose", 11_000)).await;
    assert!(!dearer.is_replayed());
    let again = put_with_key(&world, admin, &path, key, card("Red rose", 11_000)).await;
    assert!(again.is_replayed());
    assert_eq!(again.expect_ok()["duplicate"], true);
    // Another name under the same key is another request.
    let other = put_with_key(&world, admin, &path, key, card("White rose", 11_000)).await;
    other.expect_problem(409, "idempotency_key_reused");
    let gifts = world.get(Some(admin), "/v1/gifts").await.expect_ok();
    let shown = gifts["items"].as_array().expect("gifts").iter().find(|it| it["gift"] == json!(gift));
    assert_eq!(shown.expect("the gift")["name"], "Red rose");
}

#[sqlx::test(migrations = false)]
async fn a_proposal_is_made_once_whatever_the_clock_says(pool: PgPool) {
    let world = World::start(&pool).await;
    world.limit_one_admin(100).await;
    let (admin, user) = (&world.admin, world.new_person().await);
    let bonus = json!({ "user": user.id, "coins_milli": 1_000, "reason": "campaign" });

    // As it stands when it was made after midnight, and the server has started again on a clock before midnight.
    let key = Uuid::new_v4();
    let proposed = world.post_with_key(admin, "/v1/admin/bonuses", key, bonus.clone()).await;
    assert_eq!((proposed.status.as_u16(), proposed.is_replayed()), (202, false));
    let actor = Actor::Person(PersonId(admin.id));
    let tomorrow = platform::clock::now() + chrono::TimeDelta::days(1);
    let ids = command_ids(actor, command::GrantBonus::OPERATION, &Key::Client(key.into()), tomorrow.into());
    let id_of_tomorrow: Uuid = ids[0].derive("approval");
    sqlx::query("UPDATE app.approvals SET id = $1, proposed_at = proposed_at + interval '5 minutes'")
        .bind(id_of_tomorrow)
        .execute(&pool)
        .await
        .expect("the row");
    let again = world.post_with_key(admin, "/v1/admin/bonuses", key, bonus.clone()).await;
    assert_eq!((again.status.as_u16(), again.is_replayed()), (202, true));
    assert_eq!(again.body["approval"], json!(id_of_tomorrow));

    // A key that says when it was made is good for a day from then, not from the proposal.
    let key = key_of(hours_ago(23));
    let proposed = world.post_with_key(admin, "/v1/admin/bonuses", key, bonus.clone()).await.expect_ok();
    sqlx::query("UPDATE app.approvals SET proposed_at = proposed_at - interval '25 hours' WHERE id = $1")
        .bind(proposed["approval"].as_str().expect("an approval").parse::<Uuid>().expect("a uuid"))
        .execute(&pool)
        .await
        .expect("the row");
    let again = world.post_with_key(admin, "/v1/admin/bonuses", key, bonus.clone()).await;
    assert_eq!(again.body["approval"], proposed["approval"]);
    let old = world.post_with_key(admin, "/v1/admin/bonuses", key_of(hours_ago(25)), bonus).await;
    old.expect_problem(422, "idempotency_key_expired");
    assert_eq!(world.wallet(&user).await.bonus_milli, 0);
}
