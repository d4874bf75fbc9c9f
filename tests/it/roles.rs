//! Who may call what. The routes and their roles are read from the OpenAPI document, so a route that is
//! added is walked too.

use crate::world::{Person, World, new_key};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
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
        part if part.starts_with('{') => Uuid::now_v7().to_string(),
        part => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

#[sqlx::test(migrations = false)]
async fn every_route_is_open_to_its_roles_and_to_no_other(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_person().await, world.new_host(60_000).await);
    let owner = world.new_person().await;
    let agency = json!({ "name": "Stars", "code": "STARS1", "owner": owner.id });
    world.post(Some(&world.admin), "/v1/admin/agencies", agency).await.expect_ok();
    let openapi = world.get(None, "/v1/openapi.json").await.expect_ok();
    let routes = routes(&openapi);
    assert!(routes.len() > 45, "the document lists the routes: {}", routes.len());
    let people: [(&str, &Person, &[&str]); 4] = [
        ("user", &user, &["user"]),
        ("host", &host, &["user", "host"]),
        ("agency", &owner, &["user", "agency"]),
        ("admin", &world.admin, &["user", "admin"]),
    ];
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
        for (role, person, roles) in &people {
            let answer = call(Some(person)).await;
            let refused = (answer.status.as_u16(), answer.code()) == (403, "forbidden_role");
            let may = allowed.is_empty() || allowed.iter().any(|it| roles.contains(&it.as_str()));
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
    let plans = world.get(None, "/v1/coin-plans").await.expect_ok();
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
