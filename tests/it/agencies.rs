//! An agency earns with its hosts, and its owner takes the earnings out.

use crate::world::{Person, World, new_key};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

/// An agency with a host, and its owner signed in. Of each charge the host gets half and the agency a fifth.
pub async fn agency(world: &World, code: &str) -> (Uuid, Person, Person) {
    let (owner, host) = (world.new_person().await, world.new_host(60_000).await);
    let admin = Some(&world.admin);
    let made = json!({ "name": "Night Sky", "code": code, "owner": owner.id });
    let made = world.post(admin, "/v1/admin/agencies", made).await.expect_ok();
    let agency: Uuid = made["agency"].as_str().expect("an id").parse().expect("a uuid");
    let joined = format!("/v1/admin/hosts/{}/agency", host.id);
    world.put(admin, &joined, json!({ "agency": agency })).await.expect_ok();
    let rate = json!({ "scope": { "kind": "agency", "id": agency }, "host_bps": 5_000, "agency_bps": 2_000 });
    world.put(admin, "/v1/admin/commission-rates", rate).await.expect_ok();
    (agency, owner, host)
}

pub async fn earns(world: &World, host: &Person, coins_milli: i64) {
    let (user, gift) = (world.new_user_with(coins_milli).await, Uuid::now_v7());
    let card = json!({ "name": "Rose", "image_url": "/r.webp", "position": 1, "price_milli": coins_milli });
    world.put(Some(&world.admin), &format!("/v1/admin/gifts/{gift}"), card).await.expect_ok();
    let sent = json!({ "host": host.id, "price_seen_milli": coins_milli });
    world.post(Some(&user), &format!("/v1/gifts/{gift}/send"), sent).await.expect_ok();
}

async fn balances(world: &World, owner: &Person) -> (Value, Value) {
    let own = world.get(Some(owner), "/v1/agencies").await.expect_ok();
    (own["items"][0]["earnings_milli"].clone(), own["items"][0]["withdrawable_milli"].clone())
}

#[sqlx::test(migrations = false)]
async fn an_agency_earns_and_its_owner_takes_it_out(pool: PgPool) {
    let world = World::start(&pool).await;
    let (agency, owner, host) = agency(&world, "NIGHT-SKY").await;
    earns(&world, &host, 100_000).await;
    assert_eq!(balances(&world, &owner).await, (json!(20_000), json!(20_000)));
    let mut socket = world.connect(&owner).await;

    let path = format!("/v1/agencies/{agency}/withdrawals");
    let too_much = world.post(Some(&owner), &path, json!({ "coins_milli": 20_001 })).await;
    too_much.expect_problem(409, "insufficient_earnings");
    // The same request eight times at once holds the coins once.
    let key = new_key();
    let ask = || world.post_with_key(&owner, &path, key, json!({ "coins_milli": 15_000 }));
    let answers = futures_util::future::join_all((0..8).map(|_| ask())).await;
    let ids: Vec<Value> = answers.into_iter().map(|it| it.expect_ok()["withdrawal"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(balances(&world, &owner).await, (json!(5_000), json!(5_000)));
    let push = &socket.push("withdrawal:updated").await["data"];
    assert_eq!((&push["agency"], &push["status"]), (&json!(agency), &json!("requested")));

    // One is approved and paid, another one is cancelled.
    let admin = Some(&world.admin);
    let decide = |id: &Value, what: &str| {
        format!("/v1/admin/withdrawals/{}/{what}", id.as_str().expect("a withdrawal"))
    };
    world.post(admin, &decide(&ids[0], "approve"), json!({})).await.expect_ok();
    world.post(admin, &decide(&ids[0], "paid"), json!({ "payout_ref": "utr_1" })).await.expect_ok();
    let second = world.post(Some(&owner), &path, json!({ "coins_milli": 5_000 })).await.expect_ok();
    let cancel = format!("{path}/{}/cancel", second["withdrawal"].as_str().expect("a withdrawal"));
    world.post(Some(&owner), &cancel, json!({})).await.expect_ok();
    world.post(Some(&owner), &cancel, json!({})).await.expect_problem(409, "withdrawal_closed");
    assert_eq!(balances(&world, &owner).await, (json!(5_000), json!(5_000)));

    let listed = world.get(Some(&owner), &path).await.expect_ok();
    let shown: Vec<_> =
        listed["items"].as_array().expect("items").iter().map(|it| (&it["status"], &it["agency"])).collect();
    assert_eq!(shown, [(&json!("cancelled"), &json!(agency)), (&json!("paid"), &json!(agency))]);
    let own = world.get(Some(&owner), "/v1/withdrawals").await.expect_ok();
    assert_eq!(own["items"], json!([]), "they are the agency's, not the owner's own");
    let all = world.get(admin, "/v1/admin/withdrawals?status=paid").await.expect_ok();
    assert_eq!((&all["items"][0]["agency"], &all["items"][0]["person"]), (&json!(agency), &json!(owner.id)));
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn nobody_else_takes_out_what_an_agency_earned(pool: PgPool) {
    let world = World::start(&pool).await;
    let (agency_id, owner, host) = agency(&world, "NIGHT-SKY").await;
    let (_, other_owner, _) = agency(&world, "DAY-SKY").await;
    earns(&world, &host, 100_000).await;
    let path = format!("/v1/agencies/{agency_id}/withdrawals");
    let body = json!({ "coins_milli": 5_000 });
    let asked = world.post(Some(&owner), &path, body.clone()).await.expect_ok();
    let id = asked["withdrawal"].as_str().expect("a withdrawal");
    let events = world.events();

    // The host and a stranger have not the role; another owner is answered as if there were no such agency.
    for person in [&host, &world.new_person().await, &world.admin] {
        world.post(Some(person), &path, body.clone()).await.expect_problem(403, "forbidden_role");
        world.get(Some(person), &path).await.expect_problem(403, "forbidden_role");
    }
    world.post(Some(&other_owner), &path, body.clone()).await.expect_problem(404, "unknown_agency");
    world.get(Some(&other_owner), &path).await.expect_problem(404, "unknown_agency");
    let cancel = format!("{path}/{id}/cancel");
    world.post(Some(&other_owner), &cancel, json!({})).await.expect_problem(404, "unknown_agency");
    // Nor by the route for hosts, by the owner as a person.
    let as_host = format!("/v1/withdrawals/{id}/cancel");
    for person in [&owner, &host] {
        world.post(Some(person), &as_host, json!({})).await.expect_problem(404, "unknown_withdrawal");
    }

    // An admin who owns the agency does not decide on it.
    let roles = format!("/v1/admin/people/{}/roles", owner.id);
    world.post(Some(&world.admin), &roles, json!({ "role": "admin" })).await.expect_ok();
    for (what, body) in [("approve", json!({})), ("reject", json!({ "reason": "fraud" }))] {
        let path = format!("/v1/admin/withdrawals/{id}/{what}");
        world.post(Some(&owner), &path, body).await.expect_problem(403, "own_money");
    }
    assert_eq!(world.events(), events, "nothing was recorded");
    assert_eq!(balances(&world, &owner).await, (json!(15_000), json!(15_000)));
}

#[sqlx::test(migrations = false)]
async fn requests_at_once_never_hold_more_than_an_agency_earned(pool: PgPool) {
    let world = World::start(&pool).await;
    let (agency, owner, host) = agency(&world, "NIGHT-SKY").await;
    earns(&world, &host, 100_000).await;
    let path = format!("/v1/agencies/{agency}/withdrawals");
    // Eight requests with a key each, for earnings that are enough for two.
    let ask = || world.post(Some(&owner), &path, json!({ "coins_milli": 8_000 }));
    let answers = futures_util::future::join_all((0..8).map(|_| ask())).await;
    let (held, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|it| it.status == 201);
    assert_eq!(held.len(), 2);
    refused.into_iter().for_each(|it| it.expect_problem(409, "insufficient_earnings"));
    assert_eq!(balances(&world, &owner).await, (json!(4_000), json!(4_000)));
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_large_payout_to_an_agency_takes_a_second_admin_who_does_not_own_it(pool: PgPool) {
    let world = World::start(&pool).await;
    let (agency, owner, host) = agency(&world, "NIGHT-SKY").await;
    earns(&world, &host, 100_000).await;
    let second = world.new_person().await;
    for person in [&owner, &second] {
        let roles = format!("/v1/admin/people/{}/roles", person.id);
        world.post(Some(&world.admin), &roles, json!({ "role": "admin" })).await.expect_ok();
    }
    let limits =
        json!({ "adjustment_milli": 100, "bonus_milli": 100, "payout_minor": 100, "expires_seconds": 3_600 });
    world.put(Some(&world.admin), "/v1/admin/settings/approvals", limits).await.expect_ok();
    let path = format!("/v1/agencies/{agency}/withdrawals");
    let asked = world.post(Some(&owner), &path, json!({ "coins_milli": 20_000 })).await.expect_ok();
    let id = asked["withdrawal"].as_str().expect("a withdrawal");
    let approve = format!("/v1/admin/withdrawals/{id}/approve");
    let proposed = world.post(Some(&world.admin), &approve, json!({})).await;
    assert_eq!((proposed.status.as_u16(), &proposed.body["proposal"]["kind"]), (202, &json!("payout")));
    let consent =
        format!("/v1/admin/approvals/{}/approve", proposed.body["approval"].as_str().expect("an id"));

    // The owner is an admin too, and neither proposes nor consents.
    world.post(Some(&owner), &approve, json!({})).await.expect_problem(403, "own_money");
    world.post(Some(&owner), &consent, json!({})).await.expect_problem(403, "own_money");
    world.post(Some(&second), &consent, json!({})).await.expect_ok();
    let shown = world.get(Some(&owner), &path).await.expect_ok();
    assert_eq!(shown["items"][0]["status"], "approved");

    let paid = format!("/v1/admin/withdrawals/{id}/paid");
    let utr = json!({ "payout_ref": "utr_1" });
    world.post(Some(&owner), &paid, utr.clone()).await.expect_problem(403, "own_money");
    world.post(Some(&second), &paid, utr).await.expect_ok();
    world.verify().await;
}
