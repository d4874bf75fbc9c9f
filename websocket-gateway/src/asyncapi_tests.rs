use super::*;
use crate::protocol::{REPLY_TYPES, Request, parse};
use crate::push::Push;
use std::collections::{BTreeMap, BTreeSet};

fn messages(document: &Value) -> &Map<String, Value> {
    document["components"]["messages"].as_object().expect("messages")
}

#[test]
fn a_type_is_that_of_one_request_or_one_reply_or_one_push() {
    let of_replies = REPLY_TYPES.iter().copied().chain([REFUSED]);
    let all: Vec<&str> = Request::TYPES.iter().chain(Push::TYPES).copied().chain(of_replies).collect();
    let unique: BTreeSet<&str> = all.iter().copied().collect();
    assert_eq!(unique.len(), all.len(), "{all:?}");
    let document = asyncapi();
    let documented: Vec<&str> = messages(&document).values().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(documented.iter().copied().collect::<BTreeSet<_>>(), unique);
    assert_eq!(documented.len(), unique.len());
}

#[test]
fn a_request_is_in_the_imperative_and_a_push_in_the_past_tense() {
    let is_past = |name: &&&str| name.ends_with("ed") || name.ends_with(":sent");
    assert_eq!(Push::TYPES.iter().filter(is_past).count(), Push::TYPES.len(), "{:?}", Push::TYPES);
    assert_eq!(Request::TYPES.iter().find(is_past), None);
}

#[test]
fn every_request_and_every_push_is_an_operation() {
    let document = asyncapi();
    let operations = document["operations"].as_object().expect("operations");
    assert_eq!(operations.len(), Request::TYPES.len() + Push::TYPES.len());
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
fn the_frame_of_a_message_has_a_schema_with_its_type() {
    let document = asyncapi();
    for (name, message) in messages(&document) {
        let frame = frame_of(&document, message);
        assert_eq!(frame["properties"]["type"]["const"], message["name"], "{name}");
        assert!(frame["required"].as_array().expect("required").contains(&json!("type")), "{name}");
    }
    let frame = |name: &str| frame_of(&document, &messages(&document)[name]).clone();
    assert_eq!(frame("CallInvite")["required"], json!(["type", "id", "data"]));
    assert_eq!(frame("Auth")["required"], json!(["type", "id", "data"]));
    assert_eq!(frame("Ping")["required"], json!(["type", "id"]));
    let data = frame("CallInvite")["properties"]["data"]["$ref"].as_str().expect("a reference").to_owned();
    let data = document.pointer(&data[1..]).expect("its schema");
    assert_eq!(data["additionalProperties"], false);
    let required = data["required"].as_array().expect("required fields");
    for field in ["host", "medium", "price_seen_milli_per_minute", "key"] {
        assert!(required.contains(&json!(field)), "{field}");
    }
}

fn frame_of<'a>(document: &'a Value, message: &Value) -> &'a Value {
    let reference = message["payload"]["$ref"].as_str().expect("a named schema");
    document.pointer(&reference[1..]).expect("its schema")
}

#[test]
fn every_message_says_what_it_is_in_whole_sentences() {
    let document = asyncapi();
    for (name, message) in messages(&document) {
        let summary = message["summary"].as_str().expect("a summary");
        assert!(summary.ends_with('.') && !summary.contains('\n'), "{name}: {summary}");
        let description = message.get("description").map_or(".", |it| it.as_str().expect("a text"));
        assert!(description.ends_with('.'), "{name}: {description}");
    }
    let schemas = document["components"]["schemas"].to_string();
    assert!(!schemas.contains("\"description\":\"\""), "an empty description says nothing");
}

#[test]
fn every_message_has_an_example_that_fits_its_schema_and_every_field_is_in_one() {
    let document = asyncapi();
    for (name, message) in messages(&document) {
        let mut whole = json!({ "components": document["components"] });
        whole["allOf"] = json!([message["payload"]]);
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft7);
        let validator = options.should_validate_formats(true).build(&whole).expect("a schema");
        let examples = message["examples"].as_array().expect("examples");
        assert!(!examples.is_empty(), "{name}");
        let mut shown = BTreeSet::new();
        for example in examples {
            let frame = &example["payload"];
            let faults: Vec<String> = validator.iter_errors(frame).map(|it| it.to_string()).collect();
            assert!(faults.is_empty(), "{name}: {faults:?}\n{frame:#}");
            assert_eq!(frame["type"], message["name"]);
            shown.extend(frame["data"].as_object().into_iter().flat_map(Map::keys).cloned());
        }
        let frame = frame_of(&document, message);
        let Some(data) = frame["properties"]["data"]["$ref"].as_str() else { continue };
        let data = document.pointer(&data[1..]).expect("its schema");
        for field in data["properties"].as_object().into_iter().flat_map(Map::keys) {
            assert!(shown.contains(field), "no example of {name} has {field}");
        }
    }
}

#[test]
fn the_requests_of_the_examples_are_read_as_what_they_are() {
    let document = asyncapi();
    let mut read = BTreeSet::new();
    for (name, message) in messages(&document) {
        let Some(kind) = message["name"].as_str().filter(|it| Request::TYPES.contains(it)) else { continue };
        for example in message["examples"].as_array().expect("examples") {
            let frame = example["payload"].to_string();
            let (id, request) = parse(&frame).unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
            assert_eq!(request.name(), kind);
            let again: Value = serde_json::from_str(&crate::protocol::asked(&id, &request)).expect("JSON");
            assert_eq!(again, example["payload"]);
            read.insert(kind);
        }
    }
    assert_eq!(read, Request::TYPES.iter().copied().collect());
}

#[test]
fn each_request_of_a_sequence_is_answered_once_under_its_id_and_offsets_never_go_down() {
    for sequence in crate::examples::sequences() {
        let name = sequence["name"].as_str().expect("a name");
        let mut waiting: BTreeMap<(String, String), String> = BTreeMap::new();
        let mut reached: BTreeMap<String, u64> = BTreeMap::new();
        for step in sequence["steps"].as_array().expect("steps").iter().filter(|it| it.get("frame").is_some())
        {
            let frame = &step["frame"];
            let kind = frame["type"].as_str().expect("a type").to_owned();
            let side = if step["to"] == "server" { &step["from"] } else { &step["to"] };
            let side = side.as_str().expect("a side").to_owned();
            if step["to"] == "server" {
                let before = waiting.insert((side, frame["id"].to_string()), kind);
                assert_eq!(before, None, "{name}: {frame}");
            } else if frame.get("reply_to").is_some() {
                let asked = waiting.remove(&(side, frame["reply_to"].to_string()));
                let asked = asked.unwrap_or_else(|| panic!("{name}: nobody asked for {frame}"));
                assert!(kind == REFUSED || kind == format!("{asked}:done"), "{name}: {asked} and {frame}");
            } else if let Some(offset) = frame["offset"].as_u64() {
                let before = reached.insert(side, offset).unwrap_or(0);
                assert!(before <= offset, "{name}: {frame} after {before}");
            }
        }
        assert_eq!(waiting, BTreeMap::new(), "{name}");
    }
}

#[test]
fn it_is_the_same_each_time() {
    assert_eq!(asyncapi().to_string(), asyncapi().to_string());
}
