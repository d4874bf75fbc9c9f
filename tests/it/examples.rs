//! The examples of the OpenAPI document are sent as they stand.

use crate::world::World;
use reqwest::Method;
use serde_json::Value;
use sqlx::PgPool;

#[sqlx::test(migrations = false)]
async fn every_example_of_a_body_is_read_and_no_value_in_it_is_wrong(pool: PgPool) {
    let world = World::start(&pool).await;
    // One person with every role but that of an agency, which needs one.
    let host = world.new_host(60_000).await;
    let owner = world.new_person().await;
    let agency = serde_json::json!({ "name": "Moon Agency", "code": "MOON-1", "owner": owner.id });
    world.post(Some(&world.admin), "/v1/admin/agencies", agency).await.expect_ok();
    let document = api::openapi();
    let mut sent = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let name = format!("{method} {path}");
            let content = &operation["requestBody"]["content"]["application/json"];
            let Some(example) = content.get("example") else {
                // A gateway's delivery has the form that the gateway gives it.
                assert!(content.is_null() || path.contains("/webhooks/razorpay"), "{name} has no example");
                continue;
            };
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let who = match operation["security"][0]["bearer"][0].as_str() {
                Some("admin") => &world.admin,
                Some("agency") => &owner,
                Some(_) | None => &host,
            };
            let answer = world
                .send(method, Some(who), &filled(path, operation), Some(key()), Some(example.clone()))
                .await;
            let status = answer.status.as_u16();
            // The ids of the examples lead nowhere, so that a thing may be missing or closed; but a value that is wrong
            // in itself is a 400 or a 422. A one-time password cannot be guessed.
            let is_read = ![400, 413, 415, 422, 500].contains(&status) || answer.code() == "otp_invalid";
            assert!(is_read, "{name} answers {status}: {}", answer.body);
            sent += 1;
        }
    }
    assert!(sent > 30, "{sent}");
}

fn key() -> uuid::Uuid {
    crate::world::new_key()
}

/// The path with the examples of its parameters, or the first word that one may be.
fn filled(path: &str, operation: &Value) -> String {
    let mut filled = path.to_owned();
    for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|it| it["in"] == "path")
    {
        let name = parameter["name"].as_str().expect("a name");
        let word = match name {
            "medium" => "video",
            "scope" => "account",
            "role" => "agency",
            // A number.
            _ => parameter["example"].as_str().unwrap_or("7"),
        };
        filled = filled.replace(&format!("{{{name}}}"), word);
    }
    filled
}
