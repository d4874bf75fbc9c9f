//! What admins do is written down, bounded, and never for themselves.

use crate::world::{Person, World, new_key};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

#[sqlx::test(migrations = false)]
async fn a_change_of_the_settings_tells_who_when_why_and_what_was_before(pool: PgPool) {
    let world = World::start(&pool).await;
    let admin = Some(&world.admin);
    let payouts = world.get(admin, "/v1/admin/settings/payouts").await.expect_ok();
    let mut wanted = payouts.clone();
    wanted["minimum_withdrawal_milli"] = json!(2_500);
    let mut asked = wanted.clone();
    (asked["reason"], asked["note"]) = (json!("rate_review"), json!("agreed on Monday"));
    let set = world.put(admin, "/v1/admin/settings/payouts", asked.clone()).await.expect_ok();
    assert_eq!(set, wanted, "the reason is no setting");
    world.put(admin, "/v1/admin/settings/payouts", asked).await.expect_ok();
    let log = world.get(admin, "/v1/admin/audit?subject=payout&action=setting.changed").await.expect_ok();
    assert_eq!(log["items"].as_array().map(Vec::len), Some(1), "the second time nothing changed: {log}");
    let entry = &log["items"][0];
    assert_eq!((&entry["before"], &entry["after"]), (&payouts, &wanted));
    assert_eq!((&entry["actor"], &entry["reason"]), (&json!(world.admin.id), &json!("rate_review")));
    assert!(entry["request"].is_string() && entry["at"].is_string(), "{entry}");
    assert_eq!(entry["words"], "agreed on Monday");
    let note = entry["note"].as_str().expect("a note");
    let note = world.get(admin, &format!("/v1/admin/notes/{note}")).await.expect_ok();
    assert_eq!((&note["words"], &note["author"]), (&json!("agreed on Monday"), &json!(world.admin.id)));
    let nobodys = format!("/v1/admin/notes/{}", Uuid::now_v7());
    world.get(admin, &nobodys).await.expect_problem(404, "unknown_note");
    let page = world.get(admin, "/v1/admin/audit?cursor=x").await;
    page.expect_problem(400, "cursor_invalid");
    world.get(admin, "/v1/admin/audit?actor=x").await.expect_problem(400, "invalid_query");
    let mut bad = wanted.clone();
    bad["reason"] = json!("No code");
    world.put(admin, "/v1/admin/settings/payouts", bad).await.expect_problem(422, "field_invalid");
}

/// Makes somebody an admin, and answers them.
pub async fn another_admin(world: &World) -> Person {
    let person = world.new_person().await;
    let path = format!("/v1/admin/people/{}/roles", person.id);
    world.post(Some(&world.admin), &path, json!({ "role": "admin" })).await.expect_ok();
    person
}

async fn actions(world: &World, subject: &str) -> Vec<String> {
    let log = world
        .get(Some(&world.admin), &format!("/v1/admin/audit?subject={subject}&limit=100"))
        .await
        .expect_ok();
    let items = log["items"].as_array().expect("items");
    items.iter().map(|it| it["action"].as_str().expect("an action").to_owned()).collect()
}

#[sqlx::test(migrations = false)]
async fn what_is_above_the_limit_takes_a_second_admin_and_happens_once(pool: PgPool) {
    let world = World::start(&pool).await;
    let (first, second, third) =
        (world.admin.clone(), another_admin(&world).await, another_admin(&world).await);
    world.limit_one_admin(1_000).await;
    let user = world.new_person().await;
    let bonus = |coins: i64| json!({ "user": user.id, "coins_milli": coins, "reason": "campaign" });
    // Up to the limit one is enough.
    let alone = world.post(Some(&first), "/v1/admin/bonuses", bonus(1_000)).await;
    assert_eq!(alone.status, 201, "{}", alone.body);
    // What was done alone is not proposed when it is sent again under a limit that was lowered meanwhile.
    let done = new_key();
    let given = world.post_with_key(&first, "/v1/admin/bonuses", done, bonus(900)).await.expect_ok();
    world.limit_one_admin(500).await;
    let again = world.post_with_key(&first, "/v1/admin/bonuses", done, bonus(900)).await;
    assert_eq!((again.status.as_u16(), &again.body["revision"]), (201, &given["revision"]));
    let changed = world.post_with_key(&first, "/v1/admin/bonuses", done, bonus(901)).await;
    changed.expect_problem(409, "idempotency_key_reused");
    let key = new_key();
    let before = world.events();
    let proposed = world.post_with_key(&first, "/v1/admin/bonuses", key, bonus(1_001)).await;
    assert_eq!((proposed.status.as_u16(), &proposed.body["state"]), (202, &json!("proposed")));
    let again = world.post_with_key(&first, "/v1/admin/bonuses", key, bonus(1_001)).await;
    assert_eq!((again.status.as_u16(), &again.body["approval"]), (202, &proposed.body["approval"]));
    let other = world.post_with_key(&first, "/v1/admin/bonuses", key, bonus(1_002)).await;
    other.expect_problem(409, "idempotency_key_reused");
    assert_eq!(world.events(), before, "nothing is given yet");

    let id = proposed.body["approval"].as_str().expect("an approval");
    let (path, approve) = (format!("/v1/admin/approvals/{id}"), format!("/v1/admin/approvals/{id}/approve"));
    let waiting = world.get(Some(&second), "/v1/admin/approvals?state=proposed").await.expect_ok();
    assert_eq!(waiting["items"], json!([proposed.body]), "it is listed as it was answered");
    world.post(Some(&first), &approve, json!({})).await.expect_problem(409, "approval_needs_another_admin");
    // Two others approve, each four times, all at once.
    let at_once = (0..8).map(|turn| {
        let admin = if turn % 2 == 0 { &second } else { &third };
        world.post(Some(admin), &approve, json!({}))
    });
    for answer in futures_util::future::join_all(at_once).await {
        let answer = answer.expect_ok();
        assert!(answer["state"] == "executed" || answer["state"] == "approved", "{answer}");
    }
    assert_eq!(world.wallet(&user).await.bonus_milli, 2_901, "given once");
    assert_eq!(world.events(), before + 1);
    let done = world.get(Some(&first), &path).await.expect_ok();
    assert_eq!((&done["state"], &done["proposed_by"]), (&json!("executed"), &json!(first.id)));
    assert_eq!(done["revision"], world.events() - 1);
    assert_eq!(actions(&world, id).await, ["approval.approved", "approval.proposed"]);
    let given = actions(&world, &user.id.to_string()).await;
    assert_eq!(given, ["bonus.granted"; 3], "two by one admin, and one by two");
    let decline = world.post(Some(&second), &format!("{path}/decline"), json!({})).await;
    decline.expect_problem(409, "approval_closed");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn payouts_and_adjustments_wait_for_a_second_admin_who_may_decline(pool: PgPool) {
    let world = World::start(&pool).await;
    let second = another_admin(&world).await;
    let host = world.new_host(60_000).await;
    let account = format!("host:{}:earnings", host.id);
    let credit =
        json!({ "account": account, "amount_milli": 50_000, "reason": "goodwill", "note": "a lost call" });
    world.post(Some(&world.admin), "/v1/admin/adjustments", credit.clone()).await.expect_ok();
    let asked =
        world.post(Some(&host), "/v1/withdrawals", json!({ "coins_milli": 20_000 })).await.expect_ok();
    let withdrawal = asked["withdrawal"].as_str().expect("a withdrawal").to_owned();
    world.limit_one_admin(100).await;

    let approve = format!("/v1/admin/withdrawals/{withdrawal}/approve");
    let payout = world.post(Some(&world.admin), &approve, json!({})).await;
    assert_eq!((payout.status.as_u16(), &payout.body["proposal"]["kind"]), (202, &json!("payout")));
    let paid = format!("/v1/admin/withdrawals/{withdrawal}/paid");
    let early = world.post(Some(&world.admin), &paid, json!({ "payout_ref": "UTR1" })).await;
    early.expect_problem(409, "withdrawal_not_approved");
    let id = payout.body["approval"].as_str().expect("an approval");
    let done =
        world.post(Some(&second), &format!("/v1/admin/approvals/{id}/approve"), json!({})).await.expect_ok();
    assert_eq!(done["state"], "executed", "{done}");
    world.post(Some(&world.admin), &paid, json!({ "payout_ref": "UTR1" })).await.expect_ok();

    // What the ledger refuses by then is told, and nothing is recorded.
    let debit = |amount: i64| json!({ "account": account, "amount_milli": amount, "reason": "correction" });
    let adjust = "/v1/admin/adjustments";
    let too_much = world.post(Some(&world.admin), adjust, debit(-50_000)).await;
    let id = too_much.body["approval"].as_str().expect("an approval");
    let refused =
        world.post(Some(&second), &format!("/v1/admin/approvals/{id}/approve"), json!({})).await.expect_ok();
    assert_eq!((&refused["state"], &refused["failure"]), (&json!("refused"), &json!("adjustment_overdraws")));
    // Declined is declined.
    let proposed = world.post(Some(&world.admin), adjust, debit(-10_000)).await;
    let id = proposed.body["approval"].as_str().expect("an approval");
    let why = json!({ "reason": "wrong_host", "note": "the other Meera" });
    let declined =
        world.post(Some(&second), &format!("/v1/admin/approvals/{id}/decline"), why).await.expect_ok();
    assert_eq!(declined["state"], "declined");
    let late = world.post(Some(&second), &format!("/v1/admin/approvals/{id}/approve"), json!({})).await;
    late.expect_problem(409, "approval_closed");
    assert_eq!(world.wallet(&host).await.earnings_milli, 30_000);

    // One that ran out cannot be approved.
    let old = world.post(Some(&world.admin), adjust, debit(-10_000)).await;
    let id: Uuid = old.body["approval"].as_str().expect("an approval").parse().expect("a uuid");
    sqlx::query("UPDATE app.approvals SET expires_at = now() - interval '1 second' WHERE id = $1")
        .bind(id)
        .execute(&pool)
        .await
        .expect("the row");
    let late = world.post(Some(&second), &format!("/v1/admin/approvals/{id}/approve"), json!({})).await;
    late.expect_problem(409, "approval_closed");
    // A higher limit takes two as well; a lower one does not.
    let raised =
        json!({ "adjustment_milli": 101, "bonus_milli": 100, "payout_minor": 100, "expires_seconds": 3_600 });
    let raised = world.put(Some(&world.admin), "/v1/admin/settings/approvals", raised).await;
    assert_eq!((raised.status.as_u16(), &raised.body["proposal"]["kind"]), (202, &json!("limits")));
    let id = raised.body["approval"].as_str().expect("an approval");
    world.post(Some(&second), &format!("/v1/admin/approvals/{id}/approve"), json!({})).await.expect_ok();
    let limits = world.get(Some(&world.admin), "/v1/admin/settings/approvals").await.expect_ok();
    assert_eq!(limits["adjustment_milli"], 101);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn no_route_lets_an_admin_decide_on_their_own_money(pool: PgPool) {
    let world = World::start(&pool).await;
    let host = world.new_host(60_000).await;
    let roles = format!("/v1/admin/people/{}/roles", host.id);
    let credit =
        json!({ "account": format!("host:{}:earnings", host.id), "amount_milli": 50_000, "reason": "test" });
    world.post(Some(&world.admin), "/v1/admin/adjustments", credit.clone()).await.expect_ok();
    let ask = async || {
        let asked =
            world.post(Some(&host), "/v1/withdrawals", json!({ "coins_milli": 10_000 })).await.expect_ok();
        asked["withdrawal"].as_str().expect("a withdrawal").to_owned()
    };
    let (open, approved) = (ask().await, ask().await);
    let admins = |id: &str, step: &str| format!("/v1/admin/withdrawals/{id}/{step}");
    world.post(Some(&world.admin), &admins(&approved, "approve"), json!({})).await.expect_ok();
    let agency = json!({ "name": "Stars", "code": "STARS1", "owner": host.id });
    let agency = world.post(Some(&world.admin), "/v1/admin/agencies", agency).await.expect_ok();
    let agency = agency["agency"].as_str().expect("an agency").to_owned();
    let member = world.new_host(60_000).await.id.to_string();
    let joins = format!("/v1/admin/hosts/{member}/agency");
    world.put(Some(&world.admin), &joins, json!({ "agency": agency })).await.expect_ok();
    world.post(Some(&world.admin), &roles, json!({ "role": "admin" })).await.expect_ok();
    let before = world.events();
    let adjust = |account: String| json!({ "account": account, "amount_milli": 1_000, "reason": "test" });
    let rate = |kind: &str, id: &str| json!({ "scope": { "kind": kind, "id": id }, "host_bps": 9_000, "agency_bps": 500 });
    let me = host.id.to_string();
    for (case, put, path, body) in [
        ("coins", false, "/v1/admin/adjustments".to_owned(), adjust(format!("user:{me}:purchased"))),
        ("earnings", false, "/v1/admin/adjustments".to_owned(), adjust(format!("host:{me}:earnings"))),
        (
            "the agency",
            false,
            "/v1/admin/adjustments".to_owned(),
            adjust(format!("agency:{agency}:earnings")),
        ),
        ("a bonus", false, "/v1/admin/bonuses".to_owned(), json!({ "user": me, "coins_milli": 1_000 })),
        ("approving", false, admins(&open, "approve"), json!({})),
        ("rejecting", false, admins(&open, "reject"), json!({ "reason": "test" })),
        ("paying", false, admins(&approved, "paid"), json!({ "payout_ref": "UTR1" })),
        ("sending", false, admins(&approved, "sent"), json!({ "payout_key": "KEY1" })),
        ("losing sight", false, admins(&approved, "unknown"), json!({ "reason": "test" })),
        ("failing", false, admins(&approved, "failed"), json!({ "reason": "test" })),
        ("reversing", false, admins(&approved, "reversed"), json!({ "reason": "test" })),
        (
            "verifying oneself",
            true,
            format!("/v1/admin/hosts/{me}/payout-verification"),
            json!({ "verified": true }),
        ),
        (
            "verifying the own agency",
            true,
            format!("/v1/admin/agencies/{agency}/payout-verification"),
            json!({ "verified": true }),
        ),
        ("commission", true, "/v1/admin/commission-rates".to_owned(), rate("host", &me)),
        ("the agency's commission", true, "/v1/admin/commission-rates".to_owned(), rate("agency", &agency)),
        ("a member's commission", true, "/v1/admin/commission-rates".to_owned(), rate("host", &member)),
        (
            "clearing a member's commission",
            false,
            "/v1/admin/commission-rates/clear".to_owned(),
            json!({ "scope": { "kind": "host", "id": member } }),
        ),
        ("joining", true, format!("/v1/admin/hosts/{me}/agency"), json!({ "agency": agency })),
    ] {
        let answer = if put {
            world.put(Some(&host), &path, body).await
        } else {
            world.post(Some(&host), &path, body).await
        };
        assert_eq!((answer.status.as_u16(), answer.code()), (403, "own_money"), "{case}: {}", answer.body);
    }
    assert_eq!(world.events(), before, "nothing was recorded");
    // Above the limit neither the proposer nor the one whose money it is can approve.
    world.limit_one_admin(0).await;
    let proposed = world.post(Some(&world.admin), "/v1/admin/adjustments", credit).await;
    let id = proposed.body["approval"].as_str().expect("an approval");
    let own = world.post(Some(&host), &format!("/v1/admin/approvals/{id}/approve"), json!({})).await;
    own.expect_problem(403, "own_money");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn six_admins_who_set_one_gift_at_once_leave_one_name_with_its_own_price(pool: PgPool) {
    let world = World::start(&pool).await;
    let mut admins = vec![world.admin.clone()];
    for _ in 0..5 {
        admins.push(another_admin(&world).await);
    }
    let gift = Uuid::now_v7();
    let path = format!("/v1/admin/gifts/{gift}");
    for round in 0..5_i64 {
        let at_once = (1..).zip(&admins).map(|(number, admin)| {
            let price = round * 100_000 + number * 1_000;
            let card = json!({
                "name": format!("Gift {price}"), "image_url": format!("/{price}.webp"), "position": 1, "price_milli": price,
            });
            world.put(Some(admin), &path, card)
        });
        for answer in futures_util::future::join_all(at_once).await {
            answer.expect_ok();
        }
        let head = world.events() - 1;
        let gifts =
            world.get(Some(&world.admin), &format!("/v1/gifts?min_revision={head}")).await.expect_ok();
        let shown = gifts["items"].as_array().expect("items").iter().find(|it| it["gift"] == json!(gift));
        let shown = shown.expect("the gift");
        let price = &shown["price_milli"];
        assert_eq!(shown["name"], format!("Gift {price}"), "{shown}");
        assert_eq!(shown["image_url"], format!("/{price}.webp"), "{shown}");
    }
    assert_eq!(actions(&world, &gift.to_string()).await.len(), 30, "each change is in the audit log");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn what_is_so_already_is_answered_and_records_nothing(pool: PgPool) {
    let world = World::start(&pool).await;
    let host = world.new_host(60_000).await;
    let admin = &world.admin;
    let owner = world.new_person().await;
    let agency = json!({ "name": "Stars", "code": "STARS1", "owner": owner.id });
    let agency = world.post(Some(admin), "/v1/admin/agencies", agency).await.expect_ok();
    let (gift, plan) = (Uuid::now_v7(), Uuid::now_v7());
    let rate = json!({ "scope": { "kind": "global" }, "host_bps": 5_500, "agency_bps": 100 });
    let offer = json!({
        "coins_milli": 100_000, "bonus_milli": 0, "price_minor": 9_900, "price_asset": "INR/2", "active": true,
    });
    let card = json!({ "name": "Rose", "image_url": "/rose.webp", "position": 1, "price_milli": 5_000 });
    for (who, path, body) in [
        (&host, "/v1/hosts/me/rates/video".to_owned(), json!({ "price_milli_per_minute": 60_000 })),
        (admin, format!("/v1/admin/gifts/{gift}"), card),
        (admin, format!("/v1/admin/coin-plans/{plan}"), offer),
        (admin, "/v1/admin/commission-rates".to_owned(), rate),
        (admin, format!("/v1/admin/hosts/{}/agency", host.id), json!({ "agency": agency["agency"] })),
    ] {
        world.put(Some(who), &path, body.clone()).await.expect_ok();
        let (events, rows) = (world.events(), audit_rows(&pool).await);
        for _ in 0..3 {
            let answer = world.put(Some(who), &path, body.clone()).await.expect_ok();
            assert_eq!(answer["revision"], events - 1, "{path}: the revision that shows it");
        }
        assert_eq!((world.events(), audit_rows(&pool).await), (events, rows), "{path}");
    }
}

async fn audit_rows(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM app.audit_log").fetch_one(pool).await.expect("the log")
}

#[sqlx::test(migrations = false)]
async fn a_plan_is_priced_as_the_gateway_counts(pool: PgPool) {
    let world = World::start(&pool).await;
    for (asset, status, code) in [
        ("INR/3", 422, "field_invalid"),
        ("JPY/2", 422, "field_invalid"),
        ("XXXX/9", 422, "field_invalid"),
        ("ABC/2", 422, "field_invalid"),
        ("COIN/3", 422, "price_in_coins"),
        ("INR/2", 200, ""),
    ] {
        let offer = json!({ "coins_milli": 1_000, "price_minor": 100, "price_asset": asset, "active": true });
        let path = format!("/v1/admin/coin-plans/{}", Uuid::now_v7());
        let answer = world.put(Some(&world.admin), &path, offer).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{asset}: {}", answer.body);
    }
}

#[sqlx::test(migrations = false)]
async fn what_costs_nothing_is_bounded_for_each_person(pool: PgPool) {
    let world = World::start(&pool).await;
    let admin = Some(&world.admin);
    let mut limits = world.get(admin, "/v1/admin/settings/limits").await.expect_ok();
    for field in ["withdrawals_per_day", "price_changes_per_day", "applications_per_day"] {
        limits[field] = json!(2);
    }
    (limits["open_purchases"], limits["purchases_per_day"]) = (json!(2), json!(4));
    let host = world.new_host(60_000).await;
    world.put(admin, "/v1/admin/settings/limits", limits).await.expect_ok();
    let other = world.new_person().await;
    let profile = json!({ "display_name": "Asha", "categories": ["tarot"], "languages": ["hi"] });
    let credit =
        json!({ "account": format!("host:{}:earnings", host.id), "amount_milli": 50_000, "reason": "test" });
    world.post(admin, "/v1/admin/adjustments", credit).await.expect_ok();
    for turn in 0..3 {
        let rate = json!({ "price_milli_per_minute": 61_000 + turn });
        let answers = [
            world.post(Some(&other), "/v1/hosts/applications", profile.clone()).await,
            world.post(Some(&host), "/v1/withdrawals", json!({ "coins_milli": 1_000 })).await,
        ];
        for answer in answers {
            assert_eq!(answer.code(), if turn < 2 { "" } else { "rate_limited" }, "{turn}: {}", answer.body);
        }
        // Three prices of one host were set when the host was made: before the limit fell to two.
        world.put(Some(&host), "/v1/hosts/me/rates/chat", rate).await.expect_problem(429, "rate_limited");
    }

    let plans = world.get(None, "/v1/coin-plans").await.expect_ok();
    let buy = json!({ "plan": plans["items"][0]["plan"] });
    let key = new_key();
    for _ in 0..3 {
        world.post_with_key(&other, "/v1/purchases", key, buy.clone()).await.expect_ok();
    }
    let bad = json!({ "plan": Uuid::now_v7() });
    world.post(Some(&other), "/v1/purchases", bad).await.expect_problem(404, "unknown_plan");
    world.post(Some(&other), "/v1/purchases", buy.clone()).await.expect_ok();
    let events = world.events();
    let third = world.post(Some(&other), "/v1/purchases", buy.clone()).await;
    third.expect_problem(409, "too_many_open_purchases");
    assert_eq!(world.events(), events);
    world.post(Some(&host), "/v1/purchases", buy.clone()).await.expect_ok();
    // They close by themselves, and the day has a limit of its own.
    sqlx::query("UPDATE app.open_purchases SET closes_at = now()").execute(&pool).await.expect("the rows");
    world.app.purchases.sweep_once(platform::clock::now()).await.expect("the sweep");
    world.post(Some(&other), "/v1/purchases", buy.clone()).await.expect_ok();
    world.post(Some(&other), "/v1/purchases", buy).await.expect_problem(429, "rate_limited");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn the_first_request_after_redis_cut_every_connection_is_served(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let address = std::env::var("REDIS_URL").expect("REDIS_URL names a Redis for tests");
    let client = redis::Client::open(address).expect("the address");
    let mut operator = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let ours = world.app.redis.clone();
    let id: i64 =
        redis::cmd("CLIENT").arg("ID").query_async(&mut ours.clone()).await.expect("our connection");
    let killed: i64 = redis::cmd("CLIENT")
        .arg("KILL")
        .arg("ID")
        .arg(id)
        .query_async(&mut operator)
        .await
        .expect("it is cut");
    assert_eq!(killed, 1);
    // Signing in counts in Redis, and a list of those online is read from it.
    world.get(Some(&user), "/v1/hosts?online=true").await.expect_ok();
    world.new_person().await;
}
