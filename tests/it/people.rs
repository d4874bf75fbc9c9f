//! Who the other side is, and how admins find people.

use crate::world::{Person, World, new_key};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;

async fn call_me(world: &World, who: &Person, profile: Value) -> Value {
    world.send(Method::PATCH, Some(who), "/v1/me", None, Some(profile)).await.expect_ok()
}

#[sqlx::test(migrations = false)]
async fn rings_calls_gifts_and_statements_say_who_the_other_side_is(pool: PgPool) {
    let world = World::start(&pool).await;
    let (user, host) = (world.new_user_with(200_000).await, world.new_host(60_000).await);
    let host_name =
        world.get(Some(&user), &format!("/v1/hosts/{}", host.id)).await.expect_ok()["display_name"].clone();
    assert!(host_name.is_string());
    call_me(&world, &user, json!({ "name": "Asha", "avatar_url": "https://img.example/asha.webp" })).await;
    let me = call_me(&world, &user, json!({ "name": "Asha R" })).await;
    assert_eq!(me["avatar_url"], "https://img.example/asha.webp", "what is left out stays");
    let of_user =
        json!({ "person": user.id, "name": "Asha R", "avatar_url": "https://img.example/asha.webp" });
    // Other people see a host by their profile, whatever their own name is.
    call_me(&world, &host, json!({ "name": "Private" })).await;
    let of_host = json!({ "person": host.id, "name": host_name, "avatar_url": null });

    let (mut at_user, mut at_host) = (world.connect(&user).await, world.connect(&host).await);
    let asked = json!({
        "host": host.id, "medium": "voice", "price_seen_milli_per_minute": 60_000, "key": new_key(),
    });
    let ring = at_user.request("call:invite", asked).await;
    let call = ring["data"]["call"].as_str().expect("a call").to_owned();
    assert_eq!(at_host.push("call:invited").await["data"]["other"], of_user);
    let second = world.connect(&host).await;
    assert_eq!(second.hello["rings"][0]["other"], of_user, "who connects later hears of it too");
    assert_eq!(
        at_host.request("call:answer", json!({ "call": call, "accept": true })).await["type"],
        "call:answer:done"
    );
    for (side, other) in [(&mut at_user, &of_host), (&mut at_host, &of_user)] {
        assert_eq!(side.push("call:started").await["data"]["other"], *other);
    }
    let back = world.connect(&user).await;
    assert_eq!(back.hello["active_call"]["other"], of_host, "who reconnects hears with whom they talk");
    at_user.request("call:end", json!({ "call": call, "key": new_key() })).await;
    let path = format!("/v1/calls/{call}");
    assert_eq!(world.get(Some(&host), &path).await.expect_ok()["other"], of_user);
    assert_eq!(world.get(Some(&user), &path).await.expect_ok()["other"], of_host);
    assert_eq!(world.get(Some(&user), "/v1/calls").await.expect_ok()["items"][0]["other"], of_host);

    let gift = world.new_gift(10_000).await;
    let sent = json!({ "host": host.id, "price_seen_milli": 10_000 });
    world.post(Some(&user), &format!("/v1/gifts/{gift}/send"), sent).await.expect_ok();
    for (side, other) in [(&mut at_user, &of_host), (&mut at_host, &of_user)] {
        assert_eq!(side.push("gift:sent").await["data"]["other"], *other);
    }
    let received = world.get(Some(&host), "/v1/gifts/received").await.expect_ok();
    assert_eq!(received["items"][0]["other"], of_user);
    let lines = world.get(Some(&user), "/v1/wallet/statement").await.expect_ok();
    let line_of = |kind: &str| {
        let lines = lines["items"].as_array().expect("lines");
        lines.iter().find(|line| line["type"] == kind).unwrap_or_else(|| panic!("a line of {kind}")).clone()
    };
    assert_eq!((&line_of("gift")["other"], &line_of("call")["other"]), (&of_host, &of_host));
    assert_eq!(line_of("bonus")["other"], Value::Null, "nobody is on the other side");
    let earned = world.get(Some(&host), "/v1/wallet/statement").await.expect_ok();
    assert_eq!(earned["items"][0]["other"], of_user);
}

#[sqlx::test(migrations = false)]
async fn admins_find_people_by_phone_name_and_role(pool: PgPool) {
    let world = World::start(&pool).await;
    let (asha, ashok, host) =
        (world.new_person().await, world.new_person().await, world.new_host(60_000).await);
    call_me(&world, &asha, json!({ "name": "Asha_100%" })).await;
    call_me(&world, &ashok, json!({ "name": "ashok" })).await;
    let host_name =
        world.get(Some(&asha), &format!("/v1/hosts/{}", host.id)).await.expect_ok()["display_name"].clone();
    let host_name = host_name.as_str().expect("a name").to_uppercase();
    let found = async |query: &[(&str, &str)]| {
        let url = reqwest::Url::parse_with_params("http://x/v1/admin/people", query).expect("a url");
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let page = world.get(Some(&world.admin), &path).await.expect_ok();
        let items = page["items"].as_array().expect("items").clone();
        let ids: Vec<Value> = items.iter().map(|it| it["person"].clone()).collect();
        (ids, page["next_cursor"].as_str().map(str::to_owned))
    };
    let (asha_id, ashok_id, host_id) = (json!(asha.id), json!(ashok.id), json!(host.id));
    for (query, expected) in [
        (vec![("phone", asha.phone.as_str())], vec![asha_id.clone()]),
        (vec![("phone", "+919999999999")], vec![]),
        (vec![("name", "ASH")], vec![ashok_id.clone(), asha_id.clone()]),
        (vec![("name", "asha_1")], vec![asha_id.clone()]),
        (vec![("name", "ash%")], vec![]),
        (vec![("name", "a_h")], vec![]),
        (vec![("name", &host_name), ("role", "host")], vec![host_id.clone()]),
        (vec![("name", "ash"), ("role", "host")], vec![]),
        (vec![("name", "ash"), ("phone", &ashok.phone)], vec![ashok_id.clone()]),
    ] {
        assert_eq!(found(&query).await.0, expected, "{query:?}");
    }
    let (first, cursor) = found(&[("name", "ash"), ("limit", "1")]).await;
    let cursor = cursor.expect("another page");
    let (second, end) = found(&[("name", "ash"), ("limit", "1"), ("cursor", &cursor)]).await;
    assert_eq!((first, second, end), (vec![ashok_id], vec![asha_id], None), "page by page, the newest first");
    for (path, field) in
        [("?phone=12", "phone"), ("?role=king", "role"), ("?limit=0", "limit"), ("?x=1", "x")]
    {
        let refused = world.get(Some(&world.admin), &format!("/v1/admin/people{path}")).await;
        assert!(refused.status.is_client_error(), "{path}");
        assert_eq!(refused.body["field"], field, "{path}: {}", refused.body);
    }
}

#[sqlx::test(migrations = false)]
async fn a_profile_that_cannot_be_shown_is_refused(pool: PgPool) {
    let world = World::start(&pool).await;
    let user = world.new_person().await;
    for (profile, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "avatar_url": "javascript:alert(1)" }), "avatar_url"),
        (json!({ "avatar_url": "//elsewhere.example/x.png" }), "avatar_url"),
        (json!({ "avatar_url": format!("https://{}", "x".repeat(500)) }), "avatar_url"),
        (json!({ "age": 7 }), "age"),
    ] {
        let refused = world.send(Method::PATCH, Some(&user), "/v1/me", None, Some(profile.clone())).await;
        assert_eq!((refused.status.as_u16(), &refused.body["field"]), (422, &json!(field)), "{profile}");
    }
}
