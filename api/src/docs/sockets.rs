//! The page of the sockets, made from the AsyncAPI document: the sequences, every message, and the close codes.

use super::sequence::{frame, text, told};
use crate::html::{document, escaped, flowing, marked_up};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;

const PREFIX: &str = "#/components/schemas/";

/// The whole page.
pub fn page(asyncapi: &Value) -> String {
    let mut page = Page { asyncapi, linked: BTreeSet::new() };
    let mut body = format!(
        "<p>The AsyncAPI document with the schemas is at <a href=\"/v1/asyncapi.json\"><code>/v1/asyncapi.json</code></a>; \
         the routes over HTTP are at <a href=\"/docs/\">/docs</a>.</p>{}{}",
        contents(),
        flowing(text(&asyncapi["info"]["description"]))
    );
    body.push_str("<h2 id=\"sequences\">Step by step</h2>");
    body.extend(asyncapi["x-sequences"].as_array().into_iter().flatten().map(told));
    body.push_str("<h2 id=\"requests\">Requests and their replies</h2>");
    body.push_str(&page.operations("receive"));
    body.push_str(&page.message("Refused", "h3"));
    body.push_str("<h2 id=\"pushes\">Pushes</h2>");
    body.push_str(&page.operations("send"));
    body.push_str("<h2 id=\"objects\">Objects</h2>");
    body.push_str(&page.objects());
    body.push_str("<h2 id=\"close-codes\">Close codes</h2>");
    body.push_str(&close_codes(asyncapi));
    document("Sockets", &body)
}

fn contents() -> String {
    let parts = [
        ("sequences", "Step by step"),
        ("requests", "Requests and their replies"),
        ("pushes", "Pushes"),
        ("objects", "Objects"),
        ("close-codes", "Close codes"),
    ];
    let links = parts.map(|(id, title)| format!("<li><a href=\"#{id}\">{title}</a></li>"));
    format!("<ul>{}</ul>", links.concat())
}

fn close_codes(asyncapi: &Value) -> String {
    let codes = asyncapi["channels"]["gateway"]["x-close-codes"].as_array();
    let rows: String = codes
        .into_iter()
        .flatten()
        .map(|it| {
            let (code, reason) = (&it["code"], text(&it["reason"]));
            let meaning = marked_up(text(&it["description"]));
            format!("<tr><td>{code}</td><td><code>{reason}</code></td><td>{meaning}</td></tr>")
        })
        .collect();
    format!("<table><tr><th>Code</th><th>Reason</th><th>Meaning</th></tr>{rows}</table>")
}

struct Page<'a> {
    asyncapi: &'a Value,
    /// Objects that fields refer to.
    linked: BTreeSet<String>,
}

impl<'a> Page<'a> {
    /// The messages of all operations of one direction, each with its reply.
    fn operations(&mut self, action: &str) -> String {
        let operations = self.asyncapi["operations"].as_object().into_iter().flatten();
        let mut told = String::new();
        for (name, operation) in operations.filter(|(_, it)| it["action"] == action) {
            told.push_str(&self.message(name, "h3"));
            let replies = operation["reply"]["messages"].as_array().into_iter().flatten();
            for reply in replies.filter_map(|it| text(&it["$ref"]).rsplit('/').next()) {
                if reply != "Refused" {
                    told.push_str(&self.message(reply, "h4"));
                }
            }
        }
        told
    }

    fn message(&mut self, name: &str, heading: &str) -> String {
        let message = &self.asyncapi["components"]["messages"][name];
        let kind = text(&message["name"]);
        let mut told = format!(
            "<{heading} id=\"{kind}\"><code>{kind}</code></{heading}>{}{}",
            flowing(text(&message["summary"])),
            message["description"].as_str().map(flowing).unwrap_or_default(),
        );
        let frame_schema = self.schema_of(text(&message["payload"]["$ref"]));
        for part in ["data", "problem"] {
            let schema = &frame_schema["properties"][part];
            if !schema.is_null() {
                let fields = self.fields(self.resolved(schema));
                let _ = write!(told, "{fields}");
            }
        }
        for example in message["examples"].as_array().into_iter().flatten() {
            told.push_str(&frame(&example["payload"]));
        }
        told
    }

    /// The objects that were linked to, and those that these link to.
    fn objects(&mut self) -> String {
        let (mut told, mut done) = (String::new(), BTreeSet::new());
        while let Some(name) = self.linked.difference(&done).next().cloned() {
            let schema = self.schema_of(&format!("{PREFIX}{name}"));
            let about = schema["description"].as_str().map(flowing).unwrap_or_default();
            let fields = self.fields(schema);
            let _ = write!(told, "<h3 id=\"object-{name}\">{name}</h3>{about}{fields}");
            done.insert(name);
        }
        told
    }

    fn schema_of(&self, reference: &str) -> &'a Value {
        reference.strip_prefix('#').and_then(|it| self.asyncapi.pointer(it)).unwrap_or(&Value::Null)
    }

    fn resolved(&self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(reference) => self.schema_of(reference),
            None => schema,
        }
    }

    fn fields(&mut self, object: &'a Value) -> String {
        let required: Vec<&str> =
            object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut rows = String::new();
        for (name, schema) in object["properties"].as_object().into_iter().flatten() {
            let kind = self.kind(schema);
            let optional = if required.contains(&name.as_str()) { "" } else { ", optional" };
            // A field that needs no words of its own is what its schema says.
            let said = schema["description"].as_str().or(self.resolved(schema)["description"].as_str());
            let about = said.map(marked_up).unwrap_or_default();
            let _ = write!(
                rows,
                "<tr><td><code>{name}</code></td><td>{kind}{optional}</td><td>{about}</td></tr>"
            );
        }
        if rows.is_empty() {
            return String::new();
        }
        format!("<table><tr><th>Field</th><th>Type</th><th>Meaning</th></tr>{rows}</table>")
    }

    /// What a field holds, in a few words.
    fn kind(&mut self, schema: &'a Value) -> String {
        if let Some(reference) = schema["$ref"].as_str() {
            let target = self.schema_of(reference);
            return match reference.strip_prefix(PREFIX) {
                Some(name) if target.get("properties").is_some() => {
                    self.linked.insert(name.to_owned());
                    format!("<a href=\"#object-{name}\">{name}</a>")
                }
                _ => self.kind(target),
            };
        }
        for several in ["allOf", "anyOf", "oneOf"] {
            if let Some(parts) = schema[several].as_array() {
                let parts: BTreeSet<String> = parts.iter().map(|it| self.kind(it)).collect();
                return parts.into_iter().collect::<Vec<_>>().join(" or ");
            }
        }
        if let Some(words) = schema["enum"].as_array() {
            let words = words.iter().map(|it| format!("<code>{}</code>", escaped(text(it))));
            return words.collect::<Vec<_>>().join(" or ");
        }
        if let Some(word) = schema["const"].as_str() {
            return format!("<code>{}</code>", escaped(word));
        }
        match &schema["type"] {
            Value::Array(types) => types.iter().map(text).collect::<Vec<_>>().join(" or "),
            kind if kind == "array" => format!("list of {}", self.kind(&schema["items"])),
            kind if kind == "string" => match text(&schema["format"]) {
                "uuid" => "UUID".to_owned(),
                "date-time" => "time (RFC 3339)".to_owned(),
                _ => "string".to_owned(),
            },
            kind => text(kind).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_message_is_shown_with_its_fields_its_example_and_the_objects_in_it() {
        let data = json!({
            "required": ["other", "status"],
            "properties": {
                "other": { "$ref": "#/components/schemas/Card", "description": "The `other` side." },
                "status": { "type": "string", "enum": ["on", "off"] },
                "at": { "type": ["string", "null"] },
            },
        });
        let asyncapi = json!({
            "info": { "description": "All of it." },
            "channels": { "gateway": { "x-close-codes": [{ "code": 4401, "reason": "gone", "description": "Over." }] } },
            "operations": { "Seen": { "action": "send" } },
            "components": {
                "messages": { "Seen": {
                    "name": "person:seen", "summary": "Somebody was seen.",
                    "payload": { "$ref": "#/components/schemas/SeenFrame" },
                    "examples": [{ "payload": { "type": "person:seen", "data": { "status": "on" } } }],
                } },
                "schemas": {
                    "SeenFrame": { "properties": { "data": { "$ref": "#/components/schemas/Data" } } },
                    "Data": data,
                    "Card": { "description": "Who it is.", "properties": { "id": { "type": "string", "format": "uuid" } } },
                },
            },
        });
        let page = page(&asyncapi);
        for part in [
            "<p>All of it.</p>",
            "<h3 id=\"person:seen\"><code>person:seen</code></h3><p>Somebody was seen.</p>",
            "<td><code>other</code></td><td><a href=\"#object-Card\">Card</a></td><td>The <code>other</code> side.</td>",
            "<td><code>status</code></td><td><code>on</code> or <code>off</code></td>",
            "<td>string or null, optional</td>",
            "&quot;status&quot;: &quot;on&quot;",
            "<h3 id=\"object-Card\">Card</h3><p>Who it is.</p>",
            "<td>UUID, optional</td>",
            "<td>4401</td><td><code>gone</code></td><td>Over.</td>",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains("style=") && !page.contains("<script"), "the policy lets neither pass");
    }
}
