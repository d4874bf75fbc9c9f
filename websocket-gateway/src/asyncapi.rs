//! The AsyncAPI document, made from the types.

use crate::Config;
use crate::examples::{of_type, sequences};
use crate::protocol::{Close, Id, REFUSED, RequestKind, request_kinds};
use crate::push::{PushKind, push_kinds};
use platform::calls::CHARGES;
use platform::problem::Problem;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

const CHANNEL: &str = "#/channels/gateway";

const DESCRIPTION: &str = "\
One WebSocket at `/v1/ws` carries rings, calls, gifts, balances and presence. Being connected is what makes a host \
reachable and a call run.

**Frames** are JSON objects in text frames of at most 16 KiB. Each has a `type`, and no two messages share one:

- You send *requests*, named as commands: `call:invite`. A request has an `id` of your choice and its fields in `data`.
- Each request gets exactly one *reply* with your id as `reply_to`: the request's type and `:done`, as in \
`call:invite:done`, with its answer in `data`; or `refused`, with a `problem`.
- The server sends *pushes* without being asked, named as what has happened: `call:invited`.

Skip a `type` that you do not know, and a field too: newer servers send more.

**Signing in.** Send `auth` as the first frame, within 10 seconds. Never put the token into the address. Requests need \
the same roles as over HTTP, and are refused with the same problem codes. Send `auth` again on the same socket, with a \
fresh token, before `token_expires_at`. Once the token has expired, requests are refused with `token_expired`; 60 seconds \
later the socket is closed. It is closed within 2 seconds when the session ends.

**Missing nothing.** A push that tells of the ledger has an `offset`, the revision of its event. After `auth`, read what \
you show over HTTP with the welcome's `offset` as `min_revision`. Then apply every push with a higher offset, and every \
push without one.

**Order.** You need not wait for a reply before you send the next request. The requests of one socket are done in the \
order in which they were sent, and answered in that order. Two refusals can come earlier: of a frame that cannot be read, \
and `rate_limited`. A reply and the pushes of the same event can come in either order.

**Staying connected.** Answer WebSocket pings; libraries do. When nothing has come from a client for 8 seconds, not even a \
pong, the socket is closed, and a call of that person is paused as if the client had left. Connect again with growing \
pauses and send `auth`: the welcome says where things stand.";

/// The protocol of the gateway as an AsyncAPI 3.0 document: a channel, every request with its reply, every
/// push, their schemas with examples, and sequences of frames.
pub fn asyncapi() -> Value {
    let mut generator = SchemaSettings::draft07()
        .with(|it| it.definitions_path = "/components/schemas".into())
        .into_generator();
    let id = Value::from(generator.subschema_for::<Id>());
    let problem = Value::from(generator.subschema_for::<Problem>());
    let requests = request_kinds(&mut generator);
    let pushes = push_kinds(&mut generator);
    let schemas = generator.take_definitions(true);
    let sequences = sequences();
    let mut it = Document { schemas, sequences, ..Document::default() };
    it.refused(&id, &problem);
    for kind in requests {
        it.request(&id, kind);
    }
    for kind in pushes {
        it.push(kind);
    }
    it.finish()
}

/// What a message is, in one sentence, and whatever else there is to say of it.
struct Words {
    summary: String,
    description: String,
}

impl Words {
    /// The first paragraph is the summary.
    fn of<'a>(lines: impl IntoIterator<Item = &'a str>) -> Words {
        let text = flowing(lines);
        let (summary, description) = text.split_once("\n\n").unwrap_or((&text, ""));
        Words { summary: summary.to_owned(), description: description.to_owned() }
    }
}

/// Paragraphs without the line breaks of the source.
fn flowing<'a>(lines: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for line in lines.into_iter().map(str::trim) {
        match line {
            "" => text.push_str("\n\n"),
            _ if text.is_empty() || text.ends_with('\n') => text.push_str(line),
            _ => text.extend([" ", line]),
        }
    }
    text
}

#[derive(Default)]
struct Document {
    messages: Map<String, Value>,
    operations: Map<String, Value>,
    schemas: Map<String, Value>,
    sequences: Vec<Value>,
    /// The frames of either side.
    from_client: Vec<Value>,
    from_server: Vec<Value>,
}

impl Document {
    fn refused(&mut self, id: &Value, problem: &Value) {
        let words = Words {
            summary: "The request was not done.".to_owned(),
            description:
                "Decide by `code`, which never changes its meaning and has a page at `/problems/<code>`. \
                `reply_to` is null when the frame had no id that could be read."
                    .to_owned(),
        };
        let to = json!({ "anyOf": [id, { "type": "null" }] });
        let fields = [("reply_to", to), ("problem", problem.clone())];
        self.message("Refused", REFUSED, words, fields, &["reply_to", "problem"]);
        self.from_server.push(frame_ref("Refused"));
    }

    fn request(&mut self, id: &Value, kind: RequestKind) {
        let RequestKind { request_type, reply_type, name, answer, doc, data, answer_data } = kind;
        let (data, answer_data) = (Value::from(data), Value::from(answer_data));
        // Without a required field the data can be left out.
        let needs_data = self.schemas.get(name).is_some_and(|it| it.get("required").is_some());
        let required: &[&str] = if needs_data { &["id", "data"] } else { &["id"] };
        let fields = [("id", id.clone()), ("data", data)];
        self.message(name, request_type, Words::of(doc.iter().copied()), fields, required);
        // A misspelt field is refused, so a schema that let it pass would mislead.
        self.schemas[&frame_name(name)]["additionalProperties"] = false.into();
        self.from_client.push(frame_ref(name));

        let reply = format!("{name}Done");
        let said = self.schemas.get(answer).and_then(|it| it["description"].as_str()).unwrap_or_default();
        let words = Words::of(said.to_owned().lines());
        let fields = [("reply_to", id.clone()), ("data", answer_data)];
        self.message(&reply, reply_type, words, fields, &["reply_to", "data"]);
        self.from_server.push(frame_ref(&reply));
        self.operation("receive", name, Some(&[&reply, "Refused"]));
    }

    fn push(&mut self, kind: PushKind) {
        let PushKind { push_type, name, doc, data } = kind;
        let offset = json!({
            "type": "integer",
            "minimum": 0,
            "description": "The revision of the event that it tells of. Absent when it tells of none.",
        });
        let fields = [("offset", offset), ("data", data.into())];
        self.message(name, push_type, Words::of(doc.iter().copied()), fields, &["data"]);
        self.from_server.push(frame_ref(name));
        self.operation("send", name, None);
    }

    /// A message, whose frame has a schema of its own.
    fn message<const N: usize>(
        &mut self,
        name: &str,
        kind: &str,
        words: Words,
        fields: [(&str, Value); N],
        required: &[&str],
    ) {
        let mut properties = json!({ "type": { "type": "string", "const": kind } });
        for (field, schema) in fields {
            properties[field] = schema;
        }
        let required: Vec<&str> = ["type"].into_iter().chain(required.iter().copied()).collect();
        self.schemas.insert(
            frame_name(name),
            json!({
                "type": "object",
                "description": words.summary,
                "properties": properties,
                "required": required,
            }),
        );
        let mut message = json!({
            "name": kind,
            "title": kind,
            "summary": words.summary,
            "payload": frame_ref(name),
            "examples": of_type(&self.sequences, kind),
        });
        if !words.description.is_empty() {
            message["description"] = words.description.into();
        }
        self.messages.insert(name.to_owned(), message);
    }

    fn operation(&mut self, action: &str, name: &str, replies: Option<&[&str]>) {
        let in_channel = |name: &str| json!({ "$ref": format!("{CHANNEL}/messages/{name}") });
        let said = |field: &str| self.messages[name].get(field).and_then(Value::as_str).unwrap_or_default();
        let (summary, more) = (said("summary"), said("description"));
        let mut operation = json!({
            "action": action,
            "title": self.messages[name]["name"],
            "summary": summary,
            "description": if more.is_empty() { summary.to_owned() } else { format!("{summary}\n\n{more}") },
            "channel": { "$ref": CHANNEL },
            "messages": [in_channel(name)],
        });
        if let Some(replies) = replies {
            let messages: Vec<Value> = replies.iter().map(|name| in_channel(name)).collect();
            operation["reply"] = json!({ "channel": { "$ref": CHANNEL }, "messages": messages });
        }
        self.operations.insert(name.to_owned(), operation);
    }

    fn finish(self) -> Value {
        let Document { messages, operations, mut schemas, sequences, from_client, from_server } = self;
        // By `type` alone a frame is known for what it is.
        for (name, frames, description) in [
            ("ClientFrame", from_client, "Any frame that a client sends."),
            ("ServerFrame", from_server, "Any frame that the server sends."),
        ] {
            schemas.insert(
                name.to_owned(),
                json!({
                    "description": description,
                    "type": "object",
                    "properties": { "type": { "type": "string" } },
                    "required": ["type"],
                    "discriminator": "type",
                    "oneOf": frames,
                }),
            );
        }
        let in_channel: Map<String, Value> = messages
            .keys()
            .map(|name| (name.clone(), json!({ "$ref": format!("#/components/messages/{name}") })))
            .collect();
        let close = |(close, meaning): &(Close, &str)| json!({ "code": close.code, "reason": close.reason, "description": meaning.trim() });
        let mut document = json!({
            "asyncapi": "3.0.0",
            "info": {
                "title": "Muneem gateway",
                "version": env!("CARGO_PKG_VERSION"),
                "description": format!("{DESCRIPTION}\n\n{}\n\n{CHARGES}", limits()),
            },
            "defaultContentType": "application/json",
            "channels": {
                "gateway": {
                    "address": "/v1/ws",
                    "title": "The socket",
                    "messages": in_channel,
                    "bindings": { "ws": { "method": "GET", "bindingVersion": "0.1.0" } },
                    "x-client-frame": { "$ref": "#/components/schemas/ClientFrame" },
                    "x-server-frame": { "$ref": "#/components/schemas/ServerFrame" },
                    "x-close-codes": Close::ALL.iter().map(close).collect::<Vec<_>>(),
                },
            },
            "operations": operations,
            "components": { "messages": messages, "schemas": schemas },
            "x-sequences": sequences,
        });
        flow(&mut document["components"]["schemas"]);
        document
    }
}

fn limits() -> String {
    let bounds = Config::default();
    format!(
        "**Limits.** A socket may send {requests} frames a second, and have {unanswered} requests unanswered, unless the \
         server is set to allow more. A request beyond that is refused with `rate_limited` and not done: send it again \
         after `retry_after_seconds`. A socket that goes on regardless is closed with 4429. One person may have {sockets} \
         sockets, over all servers; the next one closes the oldest with 4430. One network address may have {address}, of \
         which {unsigned} may not have signed in yet; further ones are answered 429.",
        requests = bounds.requests_per_second,
        unanswered = bounds.max_unanswered,
        sockets = bounds.max_per_person,
        address = bounds.max_per_address,
        unsigned = bounds.max_per_address_before_sign_in,
    )
}

fn frame_name(name: &str) -> String {
    format!("{name}Frame")
}

fn frame_ref(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{}", frame_name(name)) })
}

/// Descriptions come with the line breaks of the source.
fn flow(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = flowing(text.lines());
            }
            fields.values_mut().for_each(flow);
        }
        Value::Array(items) => items.iter_mut().for_each(flow),
        _ => {}
    }
}

#[cfg(test)]
#[path = "asyncapi_tests.rs"]
mod tests;
