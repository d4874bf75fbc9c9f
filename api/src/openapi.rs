//! The OpenAPI document: what the handlers do not say of themselves.

use crate::Api;
use crate::error::Problem;
use ledger_core::Rejection;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, Content, Info, OpenApi, Ref, Response};
use utoipa::openapi::{PathItem, path::Operation};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

const DESCRIPTION: &str = "\
Amounts are integers in the smallest unit that their name says (`_milli`: thousandths of a coin, `_minor`: \
minor units of the asset beside them). Errors are problems (RFC 9457) with a stable `code`. Commands carry an \
`Idempotency-Key`; after a timeout or an unknown outcome send the same request with the same key. A receipt's \
`revision` given as `min_revision` makes a read show what was just written.

A route's security names the role that may call it: an empty list means anybody who has signed in.";

/// Adds what holds for every route: the head, how to sign in, and that anything may answer a problem.
pub fn complete(mut routes: OpenApiRouter<Api>) -> OpenApiRouter<Api> {
    let document: &mut OpenApi = routes.get_openapi_mut();
    document.info = Info::builder()
        .title("Muneem")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(format!("{DESCRIPTION}\n\nThe ledger refuses with one of: {}.", codes())))
        .build();
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The access token of a sign-in; good for 15 minutes."))
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        operation.responses.responses.insert("default".to_owned(), problem().into());
    }
    routes
}

/// The codes of the ledger's refusals, as a list in words.
fn codes() -> String {
    Rejection::CODES.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ")
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

fn problem() -> Response {
    let schema = Ref::from_schema_name(Problem::name());
    Response::builder()
        .description("A problem: see its `code`")
        .content("application/problem+json", Content::new(Some(schema)))
        .build()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// Routes that everybody may call: signing in, what coins cost, the gateway's signed webhook, and the
    /// operator's.
    const OPEN: [&str; 8] = [
        "/v1/auth/otp",
        "/v1/auth/otp/verify",
        "/v1/auth/refresh",
        "/v1/coin-plans",
        "/v1/webhooks/razorpay",
        "/health/live",
        "/health/ready",
        "/metrics",
    ];

    fn operations() -> Vec<(String, String, Value)> {
        let document = serde_json::to_value(crate::openapi()).expect("the document is JSON");
        let paths = document["paths"].as_object().expect("paths").clone();
        let of_path = |(path, item): (String, Value)| {
            let item = item.as_object().expect("operations").clone();
            item.into_iter().map(move |(method, operation)| (method, path.clone(), operation))
        };
        paths.into_iter().flat_map(of_path).collect()
    }

    #[test]
    fn every_route_says_who_may_call_it() {
        for (method, path, operation) in operations() {
            let security = operation["security"].as_array().cloned().unwrap_or_default();
            let roles: Vec<&Value> = security.iter().filter_map(|it| it.get("bearer")).collect();
            if OPEN.contains(&path.as_str()) {
                assert!(security.is_empty(), "{method} {path} is open");
            } else if path.starts_with("/v1/admin/") {
                assert_eq!(roles, [&serde_json::json!(["admin"])], "{method} {path}");
            } else {
                assert_eq!(roles.len(), 1, "{method} {path}");
            }
        }
    }

    #[test]
    fn operations_have_names_of_their_own_and_may_answer_a_problem() {
        let all = operations();
        let names: BTreeSet<&str> = all.iter().filter_map(|(_, _, it)| it["operationId"].as_str()).collect();
        assert_eq!(names.len(), all.len());
        for (method, path, operation) in &all {
            let problem = &operation["responses"]["default"]["content"]["application/problem+json"];
            assert_eq!(problem["schema"]["$ref"], "#/components/schemas/Problem", "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path} has a summary");
        }
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = serde_json::to_value(crate::openapi()).expect("the document is JSON");
        let mut rest = vec![&document];
        while let Some(value) = rest.pop() {
            match value {
                Value::Object(object) => rest.extend(object.values()),
                Value::Array(items) => rest.extend(items),
                Value::String(text) if text.starts_with("#/") => {
                    assert!(document.pointer(&text[1..]).is_some(), "{text}");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn every_path_parameter_is_described_once() {
        for (method, path, operation) in operations() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let described: Vec<&str> = parameters
                .iter()
                .filter(|it| it["in"] == "path")
                .filter_map(|it| it["name"].as_str())
                .collect();
            let named: Vec<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(described, named, "{method} {path}");
            let unique: BTreeSet<String> =
                parameters.iter().map(|it| format!("{} {}", it["in"], it["name"])).collect();
            assert_eq!(unique.len(), parameters.len(), "{method} {path}");
        }
    }
}
