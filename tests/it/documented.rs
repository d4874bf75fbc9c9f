//! Holds every answer of every story against the OpenAPI document: its status, its code and those of its headers that
//! clients go by are listed for the operation, and its body fits the schema. And every frame against the AsyncAPI
//! document.

use crate::world::Answer;
use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

static DOCUMENT: LazyLock<Value> = LazyLock::new(api::openapi);
static SOCKETS: LazyLock<Value> = LazyLock::new(websocket_gateway::asyncapi);
/// Headers that clients go by, as the document spells them.
const HEADERS: [&str; 5] =
    ["Idempotent-Replayed", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After"];
/// To make one takes longer than to use it.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

pub fn assert_documented(method: &Method, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap_or_default();
    // What no route takes is answered by none.
    let Some((template, operation)) = operation(method, path) else { return };
    let name = format!("{method} {template}");
    let status = answer.status.as_u16().to_string();
    let mut response = &operation["responses"][&status];
    if let Some(shared) = response["$ref"].as_str() {
        response = DOCUMENT.pointer(&shared[1..]).expect("a response that is shared");
    }
    assert!(
        response.is_object(),
        "{name} answers {status}, which its document does not list: {}",
        answer.body
    );
    assert_times(&name, &answer.body);
    for header in HEADERS.into_iter().filter(|header| answer.headers.contains_key(*header)) {
        let documented = response["headers"].get(header);
        assert!(
            documented.is_some(),
            "{name} answers {status} with {header}, which its document does not list"
        );
    }
    let content = &response["content"];
    if let Some(codes) = response["x-problem-codes"].as_array() {
        let code = &answer.body["code"];
        assert!(codes.contains(code), "{name} answers {status} {code}, which its document does not list");
    }
    for (kind, content) in content.as_object().into_iter().flatten() {
        if answer.content_type.starts_with(kind) {
            assert_fits(&DOCUMENT, &format!("{name} {status} {kind}"), &content["schema"], &answer.body);
        }
    }
}

/// Every time is written alike: RFC 3339 in UTC with milliseconds.
fn assert_times(name: &str, value: &Value) {
    match value {
        Value::Object(members) => members.values().for_each(|it| assert_times(name, it)),
        Value::Array(items) => items.iter().for_each(|it| assert_times(name, it)),
        Value::String(text) if chrono::DateTime::parse_from_rfc3339(text).is_ok() => {
            assert!(text.len() == 24 && text.ends_with('Z'), "{name} answers the time {text}");
        }
        _ => {}
    }
}

/// Holds a frame of the server against the message of its type.
pub fn assert_frame_documented(frame: &Value) {
    let messages = SOCKETS["components"]["messages"].as_object().expect("messages");
    let message = messages.values().find(|message| message["name"] == frame["type"]);
    let message = message.unwrap_or_else(|| panic!("the document knows no message like {frame}"));
    assert_fits(&SOCKETS, &frame["type"].to_string(), &message["payload"], frame);
    assert_times(&frame["type"].to_string(), frame);
}

/// The operation whose path has this form; one that spells a part out goes before one that leaves it open.
fn operation(method: &Method, path: &str) -> Option<(&'static str, &'static Value)> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &&str| {
        let named: Vec<&str> = template.split('/').collect();
        named.len() == parts.len()
            && named.iter().zip(&parts).all(|(name, part)| name.starts_with('{') || name == part)
    };
    let paths = DOCUMENT["paths"].as_object()?;
    let template = paths.keys().map(String::as_str).filter(fits).min_by_key(|it| it.matches('{').count())?;
    Some((template, paths[template].get(method.as_str().to_lowercase())?))
}

fn assert_fits(document: &Value, name: &str, schema: &Value, body: &Value) {
    let mut validators = VALIDATORS.lock().expect("no story panics while it holds them");
    let validator = validators.entry(name.to_owned()).or_insert_with(|| {
        let mut whole = json!({ "components": document["components"] });
        whole["allOf"] = json!([schema]);
        Arc::new(jsonschema::options().should_validate_formats(true).build(&whole).expect("a schema"))
    });
    let validator = validator.clone();
    drop(validators);
    let faults: Vec<String> =
        validator.iter_errors(body).map(|fault| format!("{} at {}", fault, fault.instance_path())).collect();
    assert!(faults.is_empty(), "{name} does not fit its schema: {faults:#?}\n{body:#}");
}
