//! The AsyncAPI document, made from the types.

use crate::Config;
use crate::protocol::{Auth, Close, Id, request_schemas};
use crate::push::push_schemas;
use platform::calls::CHARGES;
use platform::problem::Problem;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

const CHANNEL: &str = "#/channels/gateway";

/// The protocol of the gateway as an AsyncAPI 3.0 document: a channel, every request with its reply, every
/// push, and their schemas.
pub fn asyncapi() -> Value {
    let mut generator = SchemaSettings::draft07()
        .with(|it| it.definitions_path = "/components/schemas".into())
        .into_generator();
    let (id, problem) = (generator.subschema_for::<Id>(), generator.subschema_for::<Problem>());
    let requests = request_schemas(&mut generator);
    let pushes = push_schemas(&mut generator);
    let mut schemas = generator.take_definitions(true);
    let (mut messages, mut operations) = (Map::new(), Map::new());

    let refusal =
        reply_payload(false, json!({ "anyOf": [id, { "type": "null" }] }), "problem", problem.into());
    messages.insert("Problem".into(), message("Problem", "The request was not done.", refusal));
    for (kind, name, request, answer) in requests {
        let (request, id) = (Value::from(request), Value::from(id.clone()));
        let payload = request_payload(kind, &request, &schemas, name, &id);
        let described = schemas.get(name).unwrap_or(&request);
        let summary = described["description"].as_str().unwrap_or_default().to_owned();
        let answered = reply_payload(true, id, "data", answer.into());
        let reply = format!("{name}Reply");
        messages.insert(name.into(), message(kind, &summary, payload));
        messages.insert(reply.clone(), message(&reply, &format!("Answers {kind}."), answered));
        operations.insert(name.into(), operation("receive", name, &summary, Some(&[&reply, "Problem"])));
    }
    for (push, name, summary, data) in pushes {
        let key = format!("{name}Push");
        messages.insert(key.clone(), message(push, summary, push_payload(push, data.into())));
        operations.insert(key.clone(), operation("send", &key, summary, None));
    }
    // Its fields stand in the frame itself.
    schemas.remove("Auth");
    document(messages, operations, schemas)
}

fn document(
    messages: Map<String, Value>,
    operations: Map<String, Value>,
    schemas: Map<String, Value>,
) -> Value {
    let in_channel: Map<String, Value> = messages
        .keys()
        .map(|name| (name.clone(), json!({ "$ref": format!("#/components/messages/{name}") })))
        .collect();
    let bounds = Config::default();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Muneem gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!("All frames are JSON text of at most 16 KiB. Send `auth` as the first frame, within ten \
                seconds of opening the socket; never put the token into the address. Every request has an id of \
                your choice and gets exactly one reply with that id. Requests need the same roles as over HTTP, \
                and are refused with the same problem codes.\n\n\
                You need not wait for a reply before you send the next request. The requests of one socket are done in \
                the order in which they were sent, and answered in that order; gifts that follow each other are \
                recorded together. Two refusals can come earlier: of a frame that cannot be read, and `rate_limited`. \
                At most {unanswered} requests of a socket may be unanswered, and a socket may send {requests} frames \
                a second, unless the server is set to allow more; a request beyond that is refused with \
                `rate_limited` and not done. Send it again after `retry_after_seconds`. A socket that goes on \
                regardless is closed with 4429.\n\n\
                The server sends pushes without being asked. A push that tells of the ledger has an `offset`, the \
                revision of the event. After `auth`, read what you show over HTTP with the welcome's `offset` as \
                `min_revision`, then apply every push with a higher offset and every push without one: nothing is \
                missed.\n\n\
                Send `auth` again on the same socket before `token_expires_at`. Once the token has expired, \
                requests are refused with `token_expired`; sixty seconds later the socket is closed. It is closed \
                within two seconds when the session ends.\n\n\
                Answer pings (WebSocket libraries do): when nothing has come from a client for eight seconds, not \
                even a pong, the socket is closed, and a call of that person is paused as if the client had left. \
                One person may have eight sockets, over all servers; the next one closes the oldest with 4430. \
                One network address may have 1,000, of which 100 may not have signed in yet; further ones are \
                answered 429.\n\n{CHARGES}", requests = bounds.requests_per_second,
                unanswered = bounds.max_unanswered),
        },
        "defaultContentType": "application/json",
        "channels": {
            "gateway": {
                "address": "/v1/ws",
                "messages": in_channel,
                "bindings": { "ws": { "method": "GET", "bindingVersion": "0.1.0" } },
                "x-close-codes": Close::ALL
                    .iter()
                    .map(|close| json!({ "code": close.code, "reason": close.reason }))
                    .collect::<Vec<_>>(),
            },
        },
        "operations": operations,
        "components": { "messages": messages, "schemas": schemas },
    })
}

/// The frame of a request: its fields stand in `data`, only those of `auth` beside `id` and `type`.
fn request_payload(
    kind: &str,
    fields: &Value,
    schemas: &Map<String, Value>,
    name: &str,
    id: &Value,
) -> Value {
    let frame = json!({ "id": id, "type": { "const": kind } });
    let mut frame = json!({
        "type": "object", "properties": frame, "required": ["id", "type"], "additionalProperties": false,
    });
    let defined = schemas.get(name).unwrap_or(fields);
    let required = defined["required"].as_array().cloned().unwrap_or_default();
    if kind == Auth::TYPE {
        for (field, schema) in defined["properties"].as_object().into_iter().flatten() {
            frame["properties"][field] = schema.clone();
        }
        frame["required"].as_array_mut().into_iter().for_each(|it| it.extend(required.clone()));
    } else {
        frame["properties"]["data"] = fields.clone();
        if !required.is_empty() {
            frame["required"].as_array_mut().into_iter().for_each(|it| it.push("data".into()));
        }
    }
    frame
}

fn reply_payload(ok: bool, reply_to: Value, field: &str, content: Value) -> Value {
    json!({
        "type": "object",
        "properties": { "reply_to": reply_to, "ok": { "const": ok }, field: content },
        "required": ["reply_to", "ok", field],
    })
}

fn push_payload(push: &str, data: Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            "push": { "const": push },
            "offset": { "type": "integer", "minimum": 0 },
            "data": data,
        },
        "required": ["push", "data"],
    })
}

fn message(name: &str, summary: &str, payload: Value) -> Value {
    let mut message = json!({ "name": name, "payload": payload });
    if !summary.is_empty() {
        message["summary"] = summary.into();
    }
    message
}

fn operation(action: &str, name: &str, description: &str, replies: Option<&[&str]>) -> Value {
    let in_channel = |name: &str| json!({ "$ref": format!("{CHANNEL}/messages/{name}") });
    let mut operation = json!({
        "action": action,
        "description": description,
        "channel": { "$ref": CHANNEL },
        "messages": [in_channel(name)],
    });
    if let Some(replies) = replies {
        let messages: Vec<Value> = replies.iter().map(|name| in_channel(name)).collect();
        operation["reply"] = json!({ "channel": { "$ref": CHANNEL }, "messages": messages });
    }
    operation
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Request;
    use crate::push::Push;

    #[test]
    fn every_request_and_every_push_is_described() {
        let document = asyncapi();
        let messages = document["components"]["messages"].as_object().expect("messages");
        let named: Vec<&str> = messages.values().filter_map(|it| it["name"].as_str()).collect();
        for name in Request::TYPES.iter().chain(Push::NAMES) {
            assert!(named.contains(name), "{name}");
        }
        assert_eq!(
            document["operations"].as_object().map(Map::len),
            Some(Request::TYPES.len() + Push::NAMES.len())
        );
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    fields.values().for_each(|it| references(it, found));
                }
                Value::Array(items) => items.iter().for_each(|it| references(it, found)),
                _ => {}
            }
        }
        let document = asyncapi();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50, "{}", found.len());
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("a reference within the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn the_fields_of_a_request_stand_in_its_data() {
        let document = asyncapi();
        let payload = |name: &str| document["components"]["messages"][name]["payload"].clone();
        let invite = payload("CallInvite");
        assert_eq!(invite["properties"]["type"]["const"], "call:invite");
        assert_eq!(invite["required"], json!(["id", "type", "data"]));
        let data = invite["properties"]["data"]["$ref"].as_str().expect("a reference");
        let data = document.pointer(&data[1..]).expect("its schema");
        assert_eq!(data["additionalProperties"], false);
        let required = data["required"].as_array().expect("required fields");
        for field in ["host", "medium", "price_seen_milli_per_minute", "key"] {
            assert!(required.contains(&json!(field)), "{field}");
        }
        assert_eq!(payload("Auth")["required"], json!(["id", "type", "token"]));
        assert_eq!(payload("Auth")["properties"]["token"]["type"], "string");
        assert_eq!(payload("Ping")["required"], json!(["id", "type"]));
    }

    #[test]
    fn it_is_the_same_each_time() {
        assert_eq!(asyncapi().to_string(), asyncapi().to_string());
    }
}
