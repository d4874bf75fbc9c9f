//! The headers of answers: each is described once, and named by the operations that send it.

use super::parameters_of;
use crate::{allowance, receipt};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, StatusCode};
use serde_json::{Value, json};

/// Give a command under a key that the server makes of what is asked.
const KEYED_BY_THE_THING: [&str; 1] = ["answer_call"];
/// Payment gateways send from few addresses, and are not limited.
const UNLIMITED: &str = "/v1/webhooks/";

/// What a header is called in the document, and what it says.
fn described() -> [(HeaderName, &'static str, Value); 5] {
    let seconds = |description: &str| json!({ "description": description, "schema": { "type": "integer", "format": "int32", "minimum": 0 } });
    [
        (
            receipt::REPLAYED,
            "IdempotentReplayed",
            json!({
                "description": "`true` if this answers a retry: the request had been carried out before under the same key, \
                    and nothing was done this time. Absent otherwise.",
                "schema": { "type": "string", "enum": ["true"] },
            }),
        ),
        (
            allowance::LIMIT,
            "RateLimitLimit",
            seconds(
                "How many requests your network address may make in a minute. Absent, as the other two, where the server \
                 sets no such limit.",
            ),
        ),
        (
            allowance::REMAINING,
            "RateLimitRemaining",
            seconds("How many requests are left of the running minute. A batch counts as one for each item."),
        ),
        (
            allowance::RESET,
            "RateLimitReset",
            seconds("In how many seconds the running minute ends and all requests are there again."),
        ),
        (
            RETRY_AFTER,
            "RetryAfter",
            seconds("In how many seconds to ask again, the same as `retry_after_seconds` of the problem."),
        ),
    ]
}

pub fn add(document: &mut Value) {
    let described = described();
    for (_, name, header) in &described {
        document["components"]["headers"][name] = header.clone();
    }
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        let is_limited = !path.starts_with(UNLIMITED);
        for (_, operation) in item.as_object_mut().into_iter().flatten() {
            let is_replayed = is_replayed(operation);
            for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
                for (header, name, _) in &described {
                    let is_sent = match header {
                        it if *it == receipt::REPLAYED => {
                            is_replayed && ["200", "201", "202"].contains(&&**status)
                        }
                        it if *it == RETRY_AFTER => waits(status),
                        // A request that runs into a fault of ours, or out of time, is answered by an outer layer.
                        _ => is_limited && !["500", "504"].contains(&&**status),
                    };
                    if is_sent {
                        response["headers"][spelt(header)] =
                            json!({ "$ref": format!("#/components/headers/{name}") });
                    }
                }
            }
        }
    }
}

/// Whether a retry is told that it is one.
fn is_replayed(operation: &mut Value) -> bool {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let takes_key = parameters_of(operation).any(|it| it["name"] == "Idempotency-Key");
    takes_key || KEYED_BY_THE_THING.contains(&id.as_str())
}

/// Whether answers of this status can say when to ask again.
fn waits(status: &str) -> bool {
    [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
        StatusCode::INSUFFICIENT_STORAGE,
    ]
    .iter()
    .any(|it| it.as_str() == status)
}

/// The name as people write it: `RateLimit-Limit`.
fn spelt(header: &HeaderName) -> String {
    let capital = |word: &str| match word {
        "ratelimit" => "RateLimit".to_owned(),
        word => word[..1].to_uppercase() + &word[1..],
    };
    header.as_str().split('-').map(capital).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use crate::openapi::operations_of;
    use std::collections::BTreeMap;

    /// Of each header the operations that name it in some answer.
    fn named() -> BTreeMap<String, Vec<String>> {
        let document = crate::openapi();
        let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for operation in operations_of(&mut document.clone()) {
            let id = operation["operationId"].as_str().expect("a name").to_owned();
            for response in operation["responses"].as_object().expect("responses").values() {
                let shared =
                    response["$ref"].as_str().map(|it| document.pointer(&it[1..]).expect("is there"));
                for header in shared.unwrap_or(response)["headers"].as_object().into_iter().flatten() {
                    let ids = named.entry(header.0.clone()).or_default();
                    if ids.last() != Some(&id) {
                        ids.push(id.clone());
                    }
                }
            }
        }
        named
    }

    #[test]
    fn each_header_is_named_by_the_operations_that_send_it() {
        let named = named();
        let names: Vec<&str> = named.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "Idempotent-Replayed",
                "Next-Cursor",
                "RateLimit-Limit",
                "RateLimit-Remaining",
                "RateLimit-Reset",
                "Retry-After"
            ]
        );
        let has = |header: &str, id: &str| named[header].iter().any(|it| it == id);
        for (header, id, expected) in [
            ("Idempotent-Replayed", "send_gift", true),
            ("Idempotent-Replayed", "end_call", true),
            ("Idempotent-Replayed", "answer_call", true),
            ("Idempotent-Replayed", "invite", true),
            ("Idempotent-Replayed", "get_wallet", false),
            ("RateLimit-Limit", "get_wallet", true),
            ("RateLimit-Remaining", "take_razorpay_webhook", false),
            ("Retry-After", "get_wallet", true),
        ] {
            assert_eq!(has(header, id), expected, "{id} and {header}");
        }
    }
}
