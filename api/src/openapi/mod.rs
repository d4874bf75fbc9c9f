//! The OpenAPI document: what the handlers do not say of themselves.

mod examples;
mod headers;
mod refusals;
mod schemas;
mod tables;

pub use schemas::words_of;

use ledger_core::Rejection;
use platform::calls::CHARGES;
use serde_json::{Map, Value, json};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, Info, OpenApi, Server};

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
answer is 429 with the code `rate_limited`; try again after `retry_after_seconds`, which the header `Retry-After` says too. \
The headers `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` of every answer say how many requests your \
address may make in a minute, how many are left, and in how many seconds they are all there again.

**Sockets.** Rings, calls, gifts, balances and presence are pushed over one WebSocket at `/v1/ws`, which also takes \
requests. Being connected is what makes a host reachable and a call run. [The page of the sockets](/docs/sockets) draws a \
call step by step and describes every frame, as does the AsyncAPI document at `/v1/asyncapi.json`.

**Lists** return a page of `items` and a `next_cursor`. Pass it as `cursor` to get the next page. Lists of admins are \
tables too: with `Accept: text/csv` the answer has a line of names and a line for each row, up to 10,000 of them, and \
the header `Next-Cursor` when there are more.

**Times** are in UTC and have milliseconds: `2026-11-26T09:30:00.000Z`.

**Errors** are problems (RFC 9457) with a stable `code`, which has a page at `/problems/<code>`. A 5xx status, `rate_limited` and every problem with \
`retry_after_seconds` may be tried again after a pause; other 4xx problems will not go away by retrying.";

/// What the tags of the routes stand for, in the order of the page.
const TAGS: &[(&str, &str)] = &[
    ("auth", "Sign in, refresh tokens, sign out."),
    ("me", "Your own account."),
    ("wallet", "What you have, and how it came and went."),
    ("subscriptions", "Subscribe, and see what that entitles to."),
    ("orders", "Order services, and provide them."),
    ("rewards", "Coins that the caller earns: each day, by a code, by bringing others."),
    ("purchases", "Buy coins."),
    ("hosts", "Find hosts, or become one."),
    ("calls", "Ring, answer and end calls."),
    ("gifts", "Send gifts, and see those that you received."),
    ("withdrawals", "Take out what you earned."),
    ("agencies", "The agencies that you own."),
    ("admin: hosts", "Applications of hosts, and agencies."),
    ("admin: people", "People, their roles, restrictions and sessions."),
    ("admin: catalogue", "Coin plans and gifts."),
    ("admin: commission", "Who earns how much of a charge."),
    ("admin: purchases", "Refunds, and money that fits no purchase."),
    ("admin: withdrawals", "Decide and pay withdrawals."),
    ("admin: settlements", "Close, correct and pay what hosts and agencies have earned in a period."),
    ("admin: rewards", "Campaigns: what users are rewarded for, and how much at the most."),
    ("admin: books", "Accounts, balances, adjustments and revenue."),
    ("admin: journal", "The events themselves, and the signed heads of their tree."),
    ("admin: approvals", "What takes two admins."),
    ("admin: settings", "How calls, payouts and limits are set."),
    ("admin: audit", "Who did what, and why."),
    ("admin: calls", "End a call."),
    ("admin: webhooks", "What payment gateways delivered, and what became of it."),
    ("webhooks", "For payment gateways."),
    ("journal", "For whoever checks receipts and signed heads."),
    ("health", "For operators: whether it runs, and its metrics."),
];

/// The document as it is served: what the handlers say, completed by what holds for every route.
pub fn complete(mut document: OpenApi) -> Value {
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
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The access token from signing in. It is good for 15 minutes."))
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));

    let mut document = serde_json::to_value(document).unwrap_or_default();
    schemas::tidy(&mut document);
    for operation in operations_of(&mut document) {
        let keyed = parameters_of(operation).any(|it| it["name"] == "Idempotency-Key");
        for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
            if response.get("description").and_then(Value::as_str).is_none_or(str::is_empty) {
                response["description"] = meaning(status, keyed).into();
            }
        }
        if operation.get("security").is_none() {
            operation["security"] = json!([]);
        }
        say_who_may_call(operation);
        say_what_a_key_is(operation);
    }
    tables::add(&mut document);
    tables::add_files(&mut document);
    refusals::add(&mut document);
    headers::add(&mut document);
    refusals::share(&mut document);
    examples::add(&mut document);
    schemas::drop_unused(&mut document);
    document["info"]["license"] = json!({ "name": "Apache-2.0", "identifier": "Apache-2.0" });
    document["tags"] =
        TAGS.iter().map(|(name, description)| json!({ "name": name, "description": description })).collect();
    document
}

/// The pages show no roles of a bearer token, so the description says them.
fn say_who_may_call(operation: &mut Value) {
    let callers = match roles_of(operation) {
        None => "anybody, signed in or not".to_owned(),
        Some(roles) if roles.is_empty() => "anybody who has signed in".to_owned(),
        Some(roles) => {
            let roles: Vec<String> =
                roles.iter().filter_map(Value::as_str).map(|role| format!("`{role}`")).collect();
            format!("whoever has the role {}", roles.join(" or "))
        }
    };
    let before = operation
        .get("description")
        .and_then(Value::as_str)
        .map(|text| format!("{text}\n\n"))
        .unwrap_or_default();
    operation["description"] = format!("{before}For {callers}.").into();
}

fn say_what_a_key_is(operation: &mut Value) {
    for parameter in parameters_of(operation) {
        if parameter["name"] == "Idempotency-Key" {
            parameter["description"] = "Tells a retry from a new request: 1 to 255 printable ASCII characters of your \
                choice. Use a new key for each new request, and send the same one with each retry; a key is good for 24 \
                hours. A UUID of version 7 is recommended: it says when it was made, so that one older than 24 hours is \
                refused, while another key would then count as new."
                .into();
        }
    }
}

/// The codes of the ledger's refusals, as a list in words.
fn codes() -> String {
    Rejection::CODES.iter().map(|code| format!("`{code}`")).collect::<Vec<_>>().join(", ")
}

/// All operations of the document.
fn operations_of(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let items = document["paths"].as_object_mut().into_iter().flatten();
    items.flat_map(|(_, item)| item.as_object_mut().into_iter().flatten().map(|(_, operation)| operation))
}

/// Indexing a value that is changed would put a null where nothing is.
fn parameters_of(operation: &mut Value) -> impl Iterator<Item = &mut Value> {
    operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten()
}

/// The roles that may call it: an empty list for anybody who has signed in, `None` for everybody.
fn roles_of(operation: &Value) -> Option<&Vec<Value>> {
    operation.pointer("/security/0/bearer")?.as_array()
}

/// Visits every object of a document, the outer ones first.
fn walk(value: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(object);
            object.values_mut().for_each(|it| walk(it, visit));
        }
        Value::Array(items) => items.iter_mut().for_each(|it| walk(it, visit)),
        _ => {}
    }
}

/// What a status means where the route does not say it better.
fn meaning(status: &str, keyed: bool) -> &'static str {
    match status {
        "201" if keyed => "Done. A retry is answered the same, with the header `Idempotent-Replayed: true`.",
        "201" => "Done: it is there now.",
        "202" if keyed => "Proposed. Nothing happens until another admin approves it.",
        "202" => "Taken; it is on its way.",
        "204" => "Done. There is nothing to return.",
        _ => "Done, or found.",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// Routes that everybody may call: signing in, what coins cost, the gateway's signed webhook, and the
    /// operator's.
    const OPEN: [&str; 11] = [
        "/v1/auth/otp",
        "/v1/auth/otp/verify",
        "/v1/auth/refresh",
        "/v1/coin-plans",
        "/v1/journal-keys",
        "/v1/services",
        "/v1/subscription-plans",
        "/v1/webhooks/razorpay",
        "/health/live",
        "/health/ready",
        "/metrics",
    ];

    fn operations() -> Vec<(String, String, Value)> {
        let document = crate::openapi();
        let paths = document["paths"].as_object().expect("paths").clone();
        let of_path = |(path, item): (String, Value)| {
            let item = item.as_object().expect("operations").clone();
            item.into_iter().map(move |(method, operation)| (method, path.clone(), operation))
        };
        paths.into_iter().flat_map(of_path).collect()
    }

    /// The response that is meant, where a shared one is named.
    fn resolved<'a>(document: &'a Value, response: &'a Value) -> &'a Value {
        let shared = response["$ref"].as_str().map(|target| document.pointer(&target[1..]));
        shared.map_or(response, |it| it.expect("a shared response"))
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
        let (document, all) = (crate::openapi(), operations());
        let names: BTreeSet<&str> = all.iter().filter_map(|(_, _, it)| it["operationId"].as_str()).collect();
        assert_eq!(names.len(), all.len());
        for (method, path, operation) in &all {
            let problem = resolved(&document, &operation["responses"]["default"]);
            let schema = &problem["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{method} {path}");
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(
                !summary.is_empty() && !summary.ends_with('.'),
                "{method} {path}: {summary:?} is a heading"
            );
        }
    }

    #[test]
    fn ids_are_named_by_what_they_are_of() {
        let document = crate::openapi();
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let with_id: Vec<&String> = schemas
            .iter()
            .filter(|(_, schema)| schema.to_string().contains("\"id\":{"))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(with_id, ["Scope"], "there it is of an agency or of a host");
    }

    #[test]
    fn every_answer_is_described() {
        let document = crate::openapi();
        for (method, path, operation) in operations() {
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let described =
                    resolved(&document, response)["description"].as_str().is_some_and(|it| !it.is_empty());
                assert!(described, "{method} {path} {status}");
            }
        }
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = crate::openapi();
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
