//! Premium subscriptions: paid in coins or at the gateway, renewed by the server itself.

use crate::world::{Person, World, captured, eventually, new_key};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

/// A plan of 30 coins or 29 rupees for a period of so many seconds, with as much grace.
async fn plan(world: &World, seconds: u32) -> Uuid {
    let plan = Uuid::now_v7();
    let offer = json!({
        "price_milli": 30_000, "price_minor": 2_900, "price_asset": "INR/2", "period_seconds": seconds,
        "grace_seconds": seconds, "entitlements": ["no_ads", "see_likes"], "active": true,
    });
    world.put(Some(&world.admin), &format!("/v1/admin/subscription-plans/{plan}"), offer).await.expect_ok();
    plan
}

async fn mine(world: &World, who: &Person) -> Value {
    world.get(Some(who), "/v1/me/subscriptions").await.expect_ok()
}

async fn row(world: &World, who: &Person) -> Value {
    let path = format!("/v1/admin/subscriptions?user={}", who.id);
    world.get(Some(&world.admin), &path).await.expect_ok()["items"][0].take()
}

#[sqlx::test(migrations = false)]
async fn it_is_renewed_when_due_waits_for_coins_and_is_charged_once_for_each_period(pool: PgPool) {
    let world = World::start(&pool).await;
    let plan = plan(&world, 3).await;
    let user = world.new_user_with(70_000).await;
    let ask = json!({ "plan": plan, "price_seen_milli": 30_000 });
    let key = new_key();
    let started = (0..4).map(|_| world.post_with_key(&user, "/v1/me/subscriptions", key, ask.clone()));
    let answers = futures_util::future::join_all(started).await;
    let ids: Vec<Value> = answers.into_iter().map(|it| it.expect_ok()["subscription"].take()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let again = world.post(Some(&user), "/v1/me/subscriptions", ask).await;
    again.expect_problem(409, "already_subscribed");
    assert_eq!(mine(&world, &user).await["entitlements"], json!(["no_ads", "see_likes"]));

    // The second period is paid by itself; for the third there are too few coins.
    eventually("it waits for coins", async || (row(&world, &user).await["status"] == "grace").then_some(()))
        .await;
    assert_eq!(world.wallet(&user).await.spendable_milli, 10_000);
    assert_eq!(mine(&world, &user).await["entitlements"], json!(["no_ads", "see_likes"]), "in the grace too");
    let bonus = json!({ "user": user.id, "coins_milli": 20_000 });
    world.post(Some(&world.admin), "/v1/admin/bonuses", bonus).await.expect_ok();
    eventually("the coins pay the period", async || (row(&world, &user).await["periods"] == 3).then_some(()))
        .await;
    assert_eq!(world.wallet(&user).await.spendable_milli, 0);
    eventually("it lapses", async || (row(&world, &user).await["status"] == "lapsed").then_some(())).await;
    let ended = row(&world, &user).await;
    assert_eq!((&ended["lapse_cause"], &ended["periods"]), (&json!("unpaid"), &json!(3)), "{ended}");
    assert_eq!(mine(&world, &user).await["entitlements"], json!([]));
    let id = ids[0].as_str().expect("an id");
    let path = format!("/v1/me/subscriptions/{id}/periods");
    let periods = world.get(Some(&user), &path).await.expect_ok();
    let numbers: Vec<_> =
        periods["items"].as_array().expect("items").iter().map(|it| &it["period"]).collect();
    assert_eq!(numbers, [3, 2, 1]);
    let other = world.new_person().await;
    world.get(Some(&other), &path).await.expect_problem(404, "unknown_subscription");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn paid_at_the_gateway_it_begins_follows_and_ends_unless_resumed(pool: PgPool) {
    let world = World::start(&pool).await;
    let plan = plan(&world, 3_600).await;
    let user = world.new_person().await;
    let open = json!({ "plan": plan });
    for number in 1..=2 {
        let checkout =
            world.post(Some(&user), "/v1/me/subscriptions/purchases", open.clone()).await.expect_ok();
        let order = checkout["order_id"].as_str().expect("an order").to_owned();
        let payment = format!("pay_{number}");
        let told = captured(&payment, &order, 2_900, "INR");
        let sent = ["a", "a", "b"].map(|it| format!("evt_{number}_{it}"));
        let sent: Vec<_> = sent.iter().map(|id| world.webhook(id, &told)).collect();
        futures_util::future::join_all(sent).await;
        world.inbox_done().await;
        let seen = mine(&world, &user).await;
        assert_eq!(
            (&seen["items"][0]["periods"], &seen["items"][0]["renews"]),
            (&json!(number), &json!(false))
        );
    }
    assert_eq!(world.wallet(&user).await.purchased_milli, 0, "the coins are spent as they come");
    let id = mine(&world, &user).await["items"][0]["subscription"].as_str().expect("an id").to_owned();
    let path = |what: &str| format!("/v1/me/subscriptions/{id}/{what}");
    for (what, renews) in [("resume", true), ("resume", true), ("cancel", false), ("cancel", false)] {
        world.post(Some(&user), &path(what), json!({})).await.expect_ok();
        assert_eq!(mine(&world, &user).await["items"][0]["renews"], json!(renews), "{what}");
    }
    let other = world.new_person().await;
    world.post(Some(&other), &path("cancel"), json!({})).await.expect_problem(404, "unknown_subscription");
    let today = chrono::Utc::now().date_naive();
    let days = format!("/v1/admin/revenue?from={}&to={today}", today - chrono::TimeDelta::days(1));
    let revenue = world.get(Some(&world.admin), &days).await;
    assert!(revenue.body.to_string().contains("\"subscription\""), "{}", revenue.body);
    let offers = world.get(None, "/v1/subscription-plans").await.expect_ok();
    assert_eq!(offers["items"][0]["price_minor"], 2_900);
    world.verify().await;
}
