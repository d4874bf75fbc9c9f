//! Who may call what. The routes and their roles are read from the OpenAPI document, so a route that is
//! added is walked too.

use crate::world::{Person, World, new_key};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::time::Duration;
use uuid::Uuid;

struct Route {
    method: Method,
    path: String,
    /// Who may call it; `None` for a route that needs no sign-in, empty for one that needs no role.
    roles: Option<Vec<String>>,
}

fn routes(openapi: &Value) -> Vec<Route> {
    let mut routes = Vec::new();
    for (path, operations) in openapi["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let Ok(method) = method.to_uppercase().parse() else { continue };
            let scopes = operation["security"]
                .as_array()
                .filter(|it| !it.is_empty())
                .map(|it| it[0]["bearer"].as_array().expect("scopes").clone());
            let role = |it: &Value| it.as_str().expect("a role").to_owned();
            let roles = scopes.map(|it| it.iter().map(role).collect());
            routes.push(Route { method, path: path.clone(), roles });
        }
    }
    routes
}

/// The path with ids that are nobody's.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| match part {
        "{medium}" => "video".to_owned(),
        "{revision}" => "0".to_owned(),
        "{account}" => "platform:revenue".to_owned(),
        "{scope}" => "account".to_owned(),
        "{role}" => "agency".to_owned(),
        part if part.starts_with('{') => Uuid::now_v7().to_string(),
        part => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Four people who each hold one role and no other, so that a route which is open to a wrong one is seen.
async fn one_of_each(world: &World) -> [(&'static str, Person); 4] {
    let (user, host) = (world.new_person().await, world.new_host(60_000).await);
    let (owner, admin) = (world.new_person().await, world.new_person().await);
    let agency = json!({ "name": "Stars", "code": "STARS1", "owner": owner.id });
    world.post(Some(&world.admin), "/v1/admin/agencies", agency).await.expect_ok();
    let grant = json!({ "role": "admin", "reason": "new_colleague" });
    world.post(Some(&world.admin), &format!("/v1/admin/people/{}/roles", admin.id), grant).await.expect_ok();
    for person in [&host, &owner, &admin] {
        revoke(world, person, "user").await;
    }
    [("user", user), ("host", host), ("agency", owner), ("admin", admin)]
}

async fn revoke(world: &World, person: &Person, role: &str) {
    let path = format!("/v1/admin/people/{}/roles/{role}?reason=test", person.id);
    world.send(Method::DELETE, Some(&world.admin), &path, None, None).await.expect_ok();
}

#[sqlx::test(migrations = false)]
async fn every_route_is_open_to_its_roles_and_to_no_other(pool: PgPool) {
    let world = World::start(&pool).await;
    let people = one_of_each(&world).await;
    for (role, person) in &people {
        let me = world.get(Some(person), "/v1/me").await.expect_ok();
        assert_eq!(me["roles"], json!([role]), "one role and no other");
    }
    let openapi = world.get(None, "/v1/openapi.json").await.expect_ok();
    let routes = routes(&openapi);
    assert!(routes.len() > 45, "the document lists the routes: {}", routes.len());
    let mut guarded = 0;
    for route in &routes {
        let name = format!("{} {}", route.method, route.path);
        // Signing out ends the session that the walk itself needs.
        if route.path.starts_with("/v1/auth/logout") {
            continue;
        }
        let call = async |who: Option<&Person>| {
            let body = (route.method != Method::GET).then(|| json!({}));
            world.send(route.method.clone(), who, &filled(&route.path), Some(new_key()), body).await
        };
        let nobody = call(None).await;
        let Some(allowed) = &route.roles else {
            assert_ne!(nobody.code(), "token_missing", "{name} is open");
            continue;
        };
        guarded += 1;
        assert_eq!(
            (nobody.status.as_u16(), nobody.code()),
            (401, "token_missing"),
            "{name}: {}",
            nobody.body
        );
        for (role, person) in &people {
            let answer = call(Some(person)).await;
            let refused = (answer.status.as_u16(), answer.code()) == (403, "forbidden_role");
            let may = allowed.is_empty() || allowed.iter().any(|it| it == role);
            assert_eq!(refused, !may, "{name} as {role}: {} {}", answer.status, answer.body);
        }
    }
    assert!(guarded > 40, "most routes are guarded: {guarded}");
    let admin_only = |it: &&Route| it.path.starts_with("/v1/admin");
    assert!(
        routes.iter().filter(admin_only).all(|it| it.roles.as_deref() == Some(&["admin".to_owned()])),
        "admin routes are for admins"
    );
}

/// What an admin restricts a person by, and lifts it again.
async fn restrict(world: &World, person: &Person, scope: &str, kind: &str) -> Value {
    let path = format!("/v1/admin/people/{}/restrictions/{scope}", person.id);
    let why = json!({ "kind": kind, "reason": "fraud_report", "note": "two users wrote to us" });
    world.put(Some(&world.admin), &path, why).await.expect_ok()
}

async fn lift(world: &World, person: &Person, scope: &str) {
    let path = format!("/v1/admin/people/{}/restrictions/{scope}/lift", person.id);
    world.post(Some(&world.admin), &path, json!({ "reason": "appeal" })).await.expect_ok();
}

/// The actions that the audit log holds about somebody or something, the newest first.
async fn logged(world: &World, subject: impl std::fmt::Display) -> Vec<(String, String)> {
    let log = world.get(Some(&world.admin), &format!("/v1/admin/audit?subject={subject}")).await.expect_ok();
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    log["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|it| (text(&it["action"]), text(&it["reason"])))
        .collect()
}

fn action(action: &str, reason: &str) -> (String, String) {
    (action.to_owned(), reason.to_owned())
}

#[sqlx::test(migrations = false)]
async fn a_suspended_person_is_out_at_once_and_comes_back_when_it_is_lifted(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_user_with(1_000_000).await, world.new_host(60_000).await);
    let (mut at_user, mut at_host) = (world.connect(&user).await, world.connect(&host).await);
    let call = world.start_call(&mut at_user, &mut at_host, host.id, 60_000).await;

    let seen = restrict(&world, &user, "account", "suspended").await;
    assert_eq!((&seen["sessions"], &seen["restrictions"][0]["kind"]), (&json!([]), &json!("suspended")));
    world.get(Some(&user), "/v1/wallet").await.expect_problem(403, "account_suspended");
    let refresh = json!({ "refresh_token": user.refresh });
    world.post(None, "/v1/auth/refresh", refresh).await.expect_problem(403, "account_suspended");
    assert_eq!(at_user.closed_with().await, 4401);
    assert_eq!(at_host.push("call:ended").await["data"]["reason"], "stopped");
    let asked = json!({ "phone": user.phone, "channel": "sms" });
    let challenge = world.post(None, "/v1/auth/otp", asked.clone()).await.expect_ok()["challenge"].clone();
    let code = world.dev.outbox.last_code(&user.phone).expect("a code");
    let proof = json!({ "phone": user.phone, "challenge": challenge, "code": code });
    world.post(None, "/v1/auth/otp/verify", proof).await.expect_problem(403, "account_suspended");
    let head = world.events();
    restrict(&world, &user, "account", "suspended").await;
    assert_eq!(world.events(), head, "suspending twice is suspending once");

    lift(&world, &user, "account").await;
    world.get(Some(&user), "/v1/wallet").await.expect_problem(401, "session_ended");
    let user = world.sign_in(&user.phone).await;
    world.get(Some(&user), "/v1/wallet").await.expect_ok();
    let log = logged(&world, user.id).await;
    assert_eq!(log[..2], [action("account.restored", "appeal"), action("account.suspended", "fraud_report")]);
    assert_eq!(logged(&world, call).await, [action("call.stopped", "fraud_report")]);
    let path = format!("/v1/admin/people/{}/restrictions/account", world.admin.id);
    let why = json!({ "kind": "banned", "reason": "test" });
    world.put(Some(&world.admin), &path, why).await.expect_problem(409, "person_is_admin");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_banned_host_is_not_rung_or_paid_and_their_withdrawals_stay_for_the_admins(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_user_with(1_000_000).await, world.new_host(60_000).await);
    let grant = json!({ "account": format!("host:{}:earnings", host.id), "amount_milli": 50_000, "reason": "credit" });
    world.post(Some(&world.admin), "/v1/admin/adjustments", grant).await.expect_ok();
    let asked = json!({ "coins_milli": 10_000 });
    let open = world.post(Some(&host), "/v1/withdrawals", asked.clone()).await.expect_ok();
    let open = open["withdrawal"].as_str().expect("a withdrawal").to_owned();
    let (mut at_user, mut at_host) = (world.connect(&user).await, world.connect(&host).await);
    let call = world.start_call(&mut at_user, &mut at_host, host.id, 60_000).await;

    restrict(&world, &host, "host", "banned").await;
    assert_eq!(at_user.push("call:ended").await["data"]["reason"], "stopped");
    let price = json!({ "price_milli_per_minute": 1_000 });
    world.put(Some(&host), "/v1/hosts/me/rates/video", price).await.expect_problem(403, "forbidden_role");
    let me = world.get(Some(&host), "/v1/me").await.expect_ok();
    assert_eq!((&me["roles"], &me["restrictions"][0]["kind"]), (&json!(["user"]), &json!("banned")));
    world.get(Some(&user), &format!("/v1/hosts/{}", host.id)).await.expect_problem(404, "unknown_host");
    let hosts = world.get(Some(&user), "/v1/hosts").await.expect_ok();
    assert_eq!(hosts["items"], json!([]), "not in the list");
    let invitation = json!({ "host": host.id, "medium": "video", "price_seen_milli_per_minute": 60_000 });
    world.post(Some(&user), "/v1/calls", invitation.clone()).await.expect_problem(404, "unknown_host");
    world.post(Some(&host), "/v1/withdrawals", asked.clone()).await.expect_problem(403, "host_banned");
    let cancel = format!("/v1/withdrawals/{open}/cancel");
    world.post(Some(&host), &cancel, json!({})).await.expect_problem(403, "host_banned");
    let approve = format!("/v1/admin/withdrawals/{open}/approve");
    world.post(Some(&world.admin), &approve, json!({})).await.expect_ok();

    lift(&world, &host, "host").await;
    world.post(Some(&host), "/v1/withdrawals", asked).await.expect_ok();
    world.post(Some(&user), "/v1/calls", invitation).await.expect_ok();
    let log = logged(&world, host.id).await;
    assert_eq!(log[..2], [action("host.restored", "appeal"), action("host.banned", "fraud_report")]);
    assert_eq!(logged(&world, call).await, [action("call.stopped", "fraud_report")]);
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_ring_of_a_suspended_host_ends_and_cannot_be_taken(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_user_with(1_000_000).await, world.new_host(60_000).await);
    let (mut at_user, mut at_host) = (world.connect(&user).await, world.connect(&host).await);
    let invitation = json!({ "host": host.id, "medium": "video", "price_seen_milli_per_minute": 60_000 });
    let call = world.post(Some(&user), "/v1/calls", invitation).await.expect_ok()["call"].clone();
    at_host.push("call:invited").await;
    let before = world.events();
    restrict(&world, &host, "host", "suspended").await;
    assert_eq!(at_user.push("call:ended").await["data"]["reason"], "restricted");
    let reply = at_host.request("call:answer", json!({ "call": call, "accept": true })).await;
    assert_eq!(reply["problem"]["code"], "forbidden_role", "{reply}");
    let path = format!("/v1/calls/{}/answer", call.as_str().expect("a call"));
    world.post(Some(&host), &path, json!({ "accept": true })).await.expect_problem(403, "forbidden_role");
    assert_eq!(world.events(), before, "nothing was recorded");
}

#[sqlx::test(migrations = false)]
async fn an_admin_ends_sessions_and_their_sockets_close_within_two_seconds(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    let tablet = world.sign_in(&user.phone).await;
    let (mut at_phone, mut at_tablet) = (world.connect(&user).await, world.connect(&tablet).await);
    let path = format!("/v1/admin/people/{}", user.id);
    let seen = world.get(Some(&world.admin), &path).await.expect_ok();
    let sessions = seen["sessions"].as_array().expect("sessions");
    assert_eq!(sessions.len(), 2, "{seen}");
    let newest = sessions[0]["session"].clone();
    let end = async |body: Value| {
        world.post(Some(&world.admin), &format!("{path}/sessions/end"), body).await.expect_ok()["ended"]
            .clone()
    };
    assert_eq!(end(json!({ "session": newest, "reason": "stolen_phone" })).await, json!([newest]));
    let closed = tokio::time::timeout(Duration::from_secs(2), at_tablet.closed_with()).await;
    assert_eq!(closed.expect("within two seconds"), 4401);
    world.get(Some(&tablet), "/v1/me").await.expect_problem(401, "session_ended");
    world.get(Some(&user), "/v1/me").await.expect_ok();
    assert_eq!(at_phone.request("ping", json!({})).await["type"], "ping:done", "the other device goes on");
    assert_eq!(end(json!({ "reason": "stolen_phone" })).await.as_array().map(Vec::len), Some(1));
    let closed = tokio::time::timeout(Duration::from_secs(2), at_phone.closed_with()).await;
    assert_eq!(closed.expect("within two seconds"), 4401);
    assert_eq!(end(json!({ "reason": "stolen_phone" })).await, json!([]));
    let ended = action("sessions.ended", "stolen_phone");
    assert_eq!(logged(&world, user.id).await, [ended.clone(), ended]);
    for bad in [json!({}), json!({ "reason": "No code" }), json!({ "reason": "" })] {
        let answer = world.post(Some(&world.admin), &format!("{path}/sessions/end"), bad).await;
        assert_eq!(answer.status, 422, "{}", answer.body);
    }
}

#[sqlx::test(migrations = false)]
async fn an_admin_ends_a_call_and_it_costs_no_more(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_user_with(1_000_000).await, world.new_host(60_000).await);
    let (mut at_user, mut at_host) = (world.connect(&user).await, world.connect(&host).await);
    let call = world.start_call(&mut at_user, &mut at_host, host.id, 60_000).await;
    let path = format!("/v1/admin/calls/{call}/end");
    let why = json!({ "reason": "complaint", "note": "the user wrote to us" });
    let first = world.post(Some(&world.admin), &path, why.clone()).await.expect_ok();
    assert!(first["revision"].is_u64(), "{first}");
    assert_eq!(at_user.push("call:ended").await["data"]["reason"], "stopped");
    assert_eq!(at_host.push("call:ended").await["data"]["reason"], "stopped");
    let head = world.events();
    let again = world.post(Some(&world.admin), &path, why.clone()).await.expect_ok();
    assert_eq!((&again["revision"], &again["duplicate"]), (&first["revision"], &json!(true)));
    assert_eq!(world.events(), head);
    assert_eq!(logged(&world, call).await, [action("call.stopped", "complaint")]);
    let nobodys = format!("/v1/admin/calls/{}/end", Uuid::now_v7());
    world.post(Some(&world.admin), &nobodys, why.clone()).await.expect_problem(404, "unknown_call");

    let invitation = json!({ "host": host.id, "medium": "video", "price_seen_milli_per_minute": 60_000 });
    let ring = world.post(Some(&user), "/v1/calls", invitation).await.expect_ok()["call"].clone();
    let path = format!("/v1/admin/calls/{}/end", ring.as_str().expect("a call"));
    for _ in 0..2 {
        let stopped = world.post(Some(&world.admin), &path, why.clone()).await.expect_ok();
        assert!(stopped["revision"].is_null(), "nothing was recorded: {stopped}");
    }
    assert_eq!(at_user.push("call:ended").await["data"]["reason"], "stopped");
    world.verify().await;
}

#[sqlx::test(migrations = false)]
async fn a_role_given_and_taken_is_in_the_audit_log(pool: PgPool) {
    let world = World::start(&pool).await;
    let person = world.new_person().await;
    let path = format!("/v1/admin/people/{}/roles", person.id);
    for _ in 0..2 {
        let grant = json!({ "role": "admin", "reason": "new_colleague" });
        world.post(Some(&world.admin), &path, grant).await.expect_ok();
    }
    for _ in 0..2 {
        revoke(&world, &person, "admin").await;
    }
    let log = logged(&world, person.id).await;
    assert_eq!(log, [action("role.revoked", "test"), action("role.granted", "new_colleague")]);
}

#[sqlx::test(migrations = false)]
async fn the_last_admin_cannot_give_up_the_role(pool: PgPool) {
    let world = World::start(&pool).await;
    let other = world.new_person().await;
    let roles = |person: &Person| format!("/v1/admin/people/{}/roles", person.id);
    let give_up = async || {
        let path = format!("{}/admin", roles(&world.admin));
        world.send(Method::DELETE, Some(&world.admin), &path, None, None).await
    };
    give_up().await.expect_problem(409, "last_admin");
    world.post(Some(&world.admin), &roles(&other), json!({ "role": "admin" })).await.expect_ok();
    assert_eq!(give_up().await.expect_ok()["roles"], json!(["user"]));
    give_up().await.expect_problem(403, "forbidden_role");
}

#[sqlx::test(migrations = false)]
async fn somebody_elses_things_are_not_there(pool: PgPool) {
    let world = World::start(&pool).await;
    let (owner, host) = (world.new_user_with(1_000_000).await, world.new_host(60_000).await);
    let (other, other_host) = (world.new_user_with(1_000_000).await, world.new_host(60_000).await);
    let (mut at_owner, mut at_host) = (world.connect(&owner).await, world.connect(&host).await);
    let call = world.start_call(&mut at_owner, &mut at_host, host.id, 60_000).await;
    let shown = world.events() - 1;
    let plans = world.get(None, &format!("/v1/coin-plans?min_revision={shown}")).await.expect_ok();
    let plan = &plans["items"][0]["plan"];
    assert!(plan.is_string(), "{plans}");
    let checkout = world.post(Some(&owner), "/v1/purchases", json!({ "plan": plan })).await.expect_ok();
    let purchase = checkout["purchase"].as_str().expect("a purchase").to_owned();
    let grant = json!({
        "account": format!("host:{}:earnings", host.id), "amount_milli": 50_000, "reason": "test_credit",
    });
    world.post(Some(&world.admin), "/v1/admin/adjustments", grant).await.expect_ok();
    let asked =
        world.post(Some(&host), "/v1/withdrawals", json!({ "coins_milli": 10_000 })).await.expect_ok();
    let withdrawal = asked["withdrawal"].as_str().expect("a withdrawal").to_owned();
    let head = world.events() - 1;
    let before = world.events();
    for (case, who, method, path, body) in [
        ("a call", &other, Method::GET, format!("/v1/calls/{call}"), None),
        ("ending a call", &other, Method::POST, format!("/v1/calls/{call}/end"), Some(json!({}))),
        ("cancelling a ring", &other, Method::POST, format!("/v1/calls/{call}/cancel"), Some(json!({}))),
        (
            "taking a call",
            &other_host,
            Method::POST,
            format!("/v1/calls/{call}/answer"),
            Some(json!({ "accept": true })),
        ),
        ("a purchase", &other, Method::GET, format!("/v1/purchases/{purchase}?min_revision={head}"), None),
        (
            "a withdrawal",
            &other_host,
            Method::POST,
            format!("/v1/withdrawals/{withdrawal}/cancel"),
            Some(json!({})),
        ),
    ] {
        let answer = world.send(method, Some(who), &path, Some(new_key()), body).await;
        assert_eq!(answer.status, 404, "{case}: {}", answer.body);
    }
    let ticks = world.events() - before;
    assert!(ticks <= 4, "nothing but ticks of the running call was recorded: {ticks}");
    let mine = world.get(Some(&other), &format!("/v1/purchases?min_revision={head}")).await.expect_ok();
    assert_eq!(mine["items"], json!([]));
    let theirs =
        world.get(Some(&other_host), &format!("/v1/withdrawals?min_revision={head}")).await.expect_ok();
    assert_eq!(theirs["items"], json!([]));
}
