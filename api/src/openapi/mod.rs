//! The OpenAPI document: what the handlers do not say of themselves.

use crate::Api;
use crate::error::Problem;
use ledger_core::Rejection;
use platform::calls::CHARGES;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, Content, Info, OpenApi, Ref, RefOr, Response, Server};
use utoipa::openapi::{PathItem, path::Operation};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

const DESCRIPTION: &str = "\
Muneem is the backend of apps that sell minutes: users buy coins, call hosts or send them gifts, and hosts withdraw what \
they earn.

**Amounts** are integers. Their names say the unit: `_milli` counts thousandths of a coin, `_minor` counts the smallest \
unit of the asset named beside it (`INR/2` counts paise).

**Signing in.** Ask for a one-time password, exchange it for an access token, and send the token as \
`Authorization: Bearer <token>`. A token is good for 15 minutes; a refresh token gets the next one. The security of \
each route names the role that the caller needs. An empty list means that anybody who has signed in may call it.

**Retries.** Requests that move money need an `Idempotency-Key` header: 1 to 255 printable ASCII characters, new for \
each new request. A UUID of version 7 is best. If you do not hear back, or hear `timeout` or `outcome_unknown`, send the same request with the same key: it \
is carried out once, and you get the answer of the first time with the header `Idempotent-Replayed: true`. A key is good for 24 hours. A request that is refused, or \
that changes nothing because all is so already, leaves no trace: sent again, it is decided anew.

**Reading what you have just written.** A command returns a receipt with a `revision`. Lists and views are updated a \
moment later. Pass the revision as `min_revision` to make a read wait for it.

**Limits.** Requests of one network address, sign-ins, and some actions of one person are limited. Beyond a limit the \
answer is 429 with the code `rate_limited`; try again after `retry_after_seconds`.

**Sockets.** Rings, calls, gifts, balances and presence are pushed over one WebSocket at `/v1/ws`, which also takes \
requests. Being connected is what makes a host reachable and a call run. The AsyncAPI document at `/v1/asyncapi.json` \
describes every frame.

**Lists** return a page of `items` and a `next_cursor`. Pass it as `cursor` to get the next page.

**Errors** are problems (RFC 9457) with a stable `code`, which has a page at `/problems/<code>`. A 5xx status, `rate_limited` and every problem with \
`retry_after_seconds` may be tried again after a pause; other 4xx problems will not go away by retrying.";

/// Adds what holds for every route: the head, how to sign in, and that anything may answer a problem.
pub fn complete(mut routes: OpenApiRouter<Api>) -> OpenApiRouter<Api> {
    let document: &mut OpenApi = routes.get_openapi_mut();
    document.info = Info::builder()
        .title("Muneem")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(format!(
            "{DESCRIPTION}\n\n{CHARGES}\n\nThe ledger refuses a command with one of these codes: {}.",
            codes()
        )))
        .build();
    document.servers = Some(vec![Server::new("/")]);
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The access token from signing in. It is good for 15 minutes."))
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        for (status, response) in &mut operation.responses.responses {
            if let RefOr::T(response) = response
                && response.description.is_empty()
            {
                response.description = meaning(status).to_owned();
            }
        }
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

/// What a status means where the route does not say it better.
fn meaning(status: &str) -> &'static str {
    match status {
        "201" => "Done. A retry is answered the same, with the header `Idempotent-Replayed: true`.",
        "202" => "Proposed. Nothing happens until another admin approves it.",
        "204" => "Done. There is nothing to return.",
        _ => "Done, or found.",
    }
}

fn problem() -> Response {
    let schema = Ref::from_schema_name(Problem::name());
    Response::builder()
        .description("An error: decide by its `code`")
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
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(
                !summary.is_empty() && !summary.ends_with('.'),
                "{method} {path}: {summary:?} is a heading"
            );
        }
    }

    #[test]
    fn every_answer_is_described() {
        for (method, path, operation) in operations() {
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let described = response["description"].as_str().is_some_and(|it| !it.is_empty());
                assert!(described, "{method} {path} {status}");
            }
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
