//! Coins that users earn: once each, whoever asks how often, and never more than their campaign gives.

use crate::payments::{audited, order};
use crate::world::{Person, World, captured, new_key};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

/// A campaign of rewards of two coins each.
async fn campaign(world: &World, kind: &str, budget_milli: i64) -> Uuid {
    let campaign = Uuid::now_v7();
    world
        .put(Some(&world.admin), &format!("/v1/admin/campaigns/{campaign}"), terms(kind, budget_milli))
        .await
        .expect_ok();
    campaign
}

fn terms(kind: &str, budget_milli: i64) -> Value {
    // To the second, so that the same terms are the same.
    let day = |days: i64| (Utc::now() + TimeDelta::days(days)).format("%Y-%m-%dT00:00:00Z").to_string();
    json!({
        "kind": kind, "coins_milli": 2_000, "valid_seconds": 86_400, "per_person_day": 2, "budget_milli": budget_milli,
        "starts_at": day(-1), "ends_at": day(30), "code": (kind == "code").then_some("DIWALI26"),
        "reason": "festival",
    })
}

async fn redeem(world: &World, who: &Person) -> crate::world::Answer {
    world.post(Some(who), "/v1/rewards/codes", json!({ "code": " diwali26 " })).await
}

#[sqlx::test(migrations = false)]
async fn a_day_and_a_code_are_paid_once_and_the_last_of_a_budget_goes_to_one(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, other) = (world.new_person().await, world.new_person().await);
    world.post(Some(&user), "/v1/rewards/daily", json!({})).await.expect_problem(409, "campaign_not_running");
    redeem(&world, &user).await.expect_problem(404, "unknown_code");
    campaign(&world, "daily", 100_000).await;
    let codes = campaign(&world, "code", 2_000).await;

    // The same key again is the same reward; other keys, all at once, are refused.
    let key = new_key();
    let first = world.post_with_key(&user, "/v1/rewards/daily", key, json!({})).await.expect_ok();
    let again = world.post_with_key(&user, "/v1/rewards/daily", key, json!({})).await;
    assert!(again.is_replayed());
    assert_eq!(again.expect_ok()["lot"], first["lot"]);
    let more = (0..5).map(|_| world.post(Some(&user), "/v1/rewards/daily", json!({})));
    for answer in futures_util::future::join_all(more).await {
        answer.expect_problem(409, "reward_already_given");
    }
    assert_eq!(world.wallet(&user).await.bonus_milli, 2_000);

    let (one, two) = futures_util::future::join(redeem(&world, &user), redeem(&world, &other)).await;
    let won = [&one, &two].into_iter().filter(|it| it.status == 201).count();
    let lost = [&one, &two].into_iter().filter(|it| it.code() == "campaign_budget_spent").count();
    assert_eq!((won, lost), (1, 1), "{} {}", one.body, two.body);
    let shown = world.get(Some(&world.admin), "/v1/admin/campaigns").await.expect_ok();
    let row = &shown["items"][0];
    assert_eq!((&row["spent_milli"], &row["reward_count"]), (&json!(2_000), &json!(1)), "{row}");
    let path = format!("/v1/admin/campaigns/{codes}/rewards");
    let given = world.get(Some(&world.admin), &path).await.expect_ok();
    assert_eq!(given["items"].as_array().map(Vec::len), Some(1));
    let mine = world.get(Some(&user), "/v1/rewards").await.expect_ok();
    assert!(mine["items"].as_array().is_some_and(|it| it.iter().any(|row| row["kind"] == "daily")), "{mine}");
    let lines = world.get(Some(&user), "/v1/wallet/statement?type=reward").await.expect_ok();
    assert!(lines["items"].as_array().is_some_and(|it| !it.is_empty()), "{lines}");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn an_ad_is_paid_once_whoever_it_is_told_for_and_an_ended_campaign_pays_nothing(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, other) = (world.new_person().await, world.new_person().await);
    let ads = campaign(&world, "ad", 100_000).await;
    let path = format!("/v1/admin/campaigns/{ads}/ad-views");
    let view = |who: &Person, view: &str| json!({ "user": who.id, "view": view });
    let told = (0..6).map(|number| {
        let who = if number % 2 == 0 { &user } else { &other };
        world.post(Some(&world.admin), &path, view(who, "view_1"))
    });
    let answers = futures_util::future::join_all(told).await;
    assert_eq!(answers.iter().filter(|it| it.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|it| it.code() == "reward_already_given").count(), 5);
    for number in 2..4 {
        world.post(Some(&world.admin), &path, view(&user, &format!("view_{number}"))).await;
    }
    let fourth = world.post(Some(&world.admin), &path, view(&user, "view_4")).await;
    fourth.expect_problem(409, "reward_day_full");
    assert_eq!(fourth.body["most"], 2);
    let own = world.post(Some(&world.admin), &path, view(&world.admin, "view_5")).await;
    own.expect_problem(403, "own_money");

    let end = format!("/v1/admin/campaigns/{ads}/end");
    let why = json!({ "reason": "budget_moved" });
    world.post(Some(&world.admin), &end, why.clone()).await.expect_ok();
    let head = world.events();
    world.post(Some(&world.admin), &end, why).await.expect_ok();
    assert_eq!(world.events(), head, "ended twice is ended once");
    let late = world.post(Some(&world.admin), &path, view(&other, "view_6")).await;
    late.expect_problem(409, "campaign_not_running");
    let set = world.put(Some(&world.admin), &format!("/v1/admin/campaigns/{ads}"), terms("ad", 1_000)).await;
    set.expect_problem(409, "campaign_over");
    let log = audited(&world, "campaign", ads).await;
    let actions: Vec<_> = log.iter().map(|it| &it["action"]).collect();
    assert_eq!(actions, ["campaign.changed", "campaign.ended"]);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn who_was_brought_and_who_brought_them_are_paid_with_the_first_purchase(pool: PgPool) {
    let world = World::start(&pool).await;
    let (inviter, user) = (world.new_person().await, world.new_person().await);
    campaign(&world, "referral", 100_000).await;
    let referral = world.get(Some(&inviter), "/v1/me/referral").await.expect_ok();
    assert_eq!(world.get(Some(&inviter), "/v1/me/referral").await.expect_ok()["code"], referral["code"]);
    let name = |code: Value| world.put(Some(&user), "/v1/me/referral/inviter", json!({ "code": code }));
    name(json!("NOSUCH")).await.expect_problem(404, "unknown_code");
    let own = world.get(Some(&user), "/v1/me/referral").await.expect_ok();
    name(own["code"].clone()).await.expect_problem(422, "inviter_is_oneself");
    name(referral["code"].clone()).await.expect_ok();
    name(referral["code"].clone()).await.expect_ok();
    let other = world.new_person().await;
    let theirs = world.get(Some(&other), "/v1/me/referral").await.expect_ok();
    name(theirs["code"].clone()).await.expect_problem(409, "inviter_already_named");
    let mine = world.get(Some(&user), "/v1/me/referral").await.expect_ok();
    assert_eq!((&mine["inviter"], &mine["may_name_inviter"]), (&json!(inviter.id), &json!(false)));

    let (_, order) = order(&world, &user).await;
    let told = captured("pay_first", &order, 9_900, "INR");
    let deliveries = ["evt_a", "evt_a", "evt_b"].map(|id| world.webhook(id, &told));
    futures_util::future::join_all(deliveries).await;
    world.inbox_done().await;
    for (person, purchased, bonus) in [(&user, 100_000, 2_000), (&inviter, 0, 2_000)] {
        let wallet = world.wallet(person).await;
        assert_eq!((wallet.purchased_milli, wallet.bonus_milli), (purchased, bonus));
    }
    name(theirs["code"].clone()).await.expect_problem(409, "inviter_too_late");
    let mine = world.get(Some(&user), "/v1/me/referral").await.expect_ok();
    assert_eq!(mine["inviter"], json!(inviter.id), "it stays known");
    world.verify().await;
}

/// What a campaign may give away is given like any other bonus: above the limit by two admins.
#[sqlx::test(migrations = false)]
async fn a_large_budget_needs_another_admin(pool: PgPool) {
    let world = World::start(&pool).await;
    world.limit_one_admin(50_000).await;
    let id = campaign(&world, "daily", 50_000).await;
    let path = format!("/v1/admin/campaigns/{id}");
    // Each raise by itself is within the limit or not; what is lowered is.
    for (budget_milli, status) in [(90_000, 200), (40_000, 200), (90_001, 202)] {
        let answer = world.put(Some(&world.admin), &path, terms("daily", budget_milli)).await;
        assert_eq!(answer.status, status, "{budget_milli}: {}", answer.body);
    }
    let key = new_key();
    let body = Some(terms("daily", 1_000_000));
    let proposed = world.send(reqwest::Method::PUT, Some(&world.admin), &path, Some(key), body.clone()).await;
    assert_eq!(
        (proposed.status.as_u16(), &proposed.body["proposal"]["kind"]),
        (202, &json!("campaign")),
        "{}",
        proposed.body
    );
    let again = world.send(reqwest::Method::PUT, Some(&world.admin), &path, Some(key), body).await;
    assert!(again.is_replayed());
    let approval = proposed.body["approval"].as_str().expect("an approval");
    let approve = format!("/v1/admin/approvals/{approval}/approve");
    world
        .post(Some(&world.admin), &approve, json!({}))
        .await
        .expect_problem(409, "approval_needs_another_admin");
    let second = crate::governance::another_admin(&world).await;
    for _ in 0..2 {
        let done = world.post(Some(&second), &approve, json!({})).await.expect_ok();
        assert_eq!(done["state"], "executed", "{done}");
    }
    world.shown().await;
    let rows = world.get(Some(&world.admin), "/v1/admin/campaigns").await.expect_ok();
    assert_eq!(rows["items"][0]["budget_milli"], 1_000_000, "{rows}");
}
