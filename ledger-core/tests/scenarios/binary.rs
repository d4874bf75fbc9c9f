//! Events in their binary form. The reader in [`stranger`] knows `schemas/events/binary.json` and nothing of the code.

use crate::canonical::everything;
use crate::world::*;
use ledger_core::event::DecodeError;
use ledger_core::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The bytes of one event.
struct Stored {
    data: Vec<u8>,
    metadata: Vec<u8>,
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A line for each type of event, of its golden JSON: its name, and the bytes of its data and metadata in hexadecimal digits.
fn golden() -> BTreeMap<String, Stored> {
    let path = project("tests/golden/events/binary.txt");
    if std::env::var_os("MUNEEM_WRITE_GOLDEN").is_some_and(|it| it == "1") {
        write_missing(&path);
    }
    let text = std::fs::read_to_string(path).expect("the golden bytes are there");
    let stored = text.lines().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [kind, data, metadata] = words[..] else { panic!("{line}") };
        (kind.to_owned(), Stored { data: bytes(data), metadata: bytes(metadata) })
    });
    stored.collect()
}

fn write_missing(path: &Path) {
    let mut text = std::fs::read_to_string(path).unwrap_or_default();
    for kind in Event::KINDS {
        if !text.lines().any(|line| line.starts_with(&format!("{kind} "))) {
            let (data, metadata) = golden_json(kind);
            let event = Event::decode(kind, data.to_string().as_bytes()).expect("decodes");
            let metadata = Metadata::from_json(metadata.to_string().as_bytes()).expect("decodes");
            writeln!(text, "{kind} {} {}", hex(&event.encode()), hex(&metadata.encode())).expect("a text");
        }
    }
    std::fs::write(path, text).expect("the file can be written");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("two digits")).collect()
}

/// The golden JSON of a type of event: data and metadata.
fn golden_json(kind: &str) -> (Value, Value) {
    let path = project("tests/golden/events/v1").join(format!("{kind}.json"));
    let text = std::fs::read_to_string(path).expect("a golden event");
    let mut golden: Value = serde_json::from_str(&text).expect("JSON");
    (golden["data"].take(), golden["metadata"].take())
}

#[test]
fn the_golden_bytes_and_the_golden_json_are_the_same_events() {
    let golden = golden();
    assert!(golden.keys().map(String::as_str).eq(sorted(Event::KINDS)), "each type of event has a line");
    for (kind, Stored { data, metadata }) in golden {
        let (json, metadata_json) = golden_json(&kind);
        let event = Event::decode(&kind, &data).unwrap_or_else(|fault| panic!("{kind} decodes: {fault}"));
        assert_eq!(event, Event::decode(&kind, json.to_string().as_bytes()).expect("decodes"));
        assert_eq!(hex(&event.encode()), hex(&data), "{kind}");
        let of_json = Metadata::from_json(metadata_json.to_string().as_bytes()).expect("decodes");
        assert_eq!(hex(&of_json.encode()), hex(&metadata), "{kind}");
    }
}

fn sorted<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}

#[test]
fn a_stranger_reads_the_golden_bytes_by_their_description_alone() {
    let text = std::fs::read_to_string(project("schemas/events/binary.json")).expect("the description");
    let description: Value = serde_json::from_str(&text).expect("JSON");
    for (kind, Stored { data, metadata }) in golden() {
        let (json, metadata_json) = golden_json(&kind);
        let read = stranger::event(&description["data"], &kind, &data);
        assert_eq!(read, json, "{kind}");
        let read = stranger::metadata(&description["metadata"], &metadata);
        for (field, value) in read.as_object().expect("an object") {
            assert_eq!(*value, metadata_json[field], "{kind}: {field}");
        }
    }
}

#[test]
fn bytes_that_decode_are_those_that_the_event_is_written_as() {
    for (kind, Stored { data, .. }) in golden() {
        for place in 0..data.len() {
            assert!(Event::decode(&kind, &data[..place]).is_err(), "{kind} cut at {place}");
            for bit in 0..8 {
                let mut other = data.clone();
                other[place] ^= 1 << bit;
                if let Ok(event) = Event::decode(&kind, &other) {
                    assert_eq!(hex(&event.encode()), hex(&other), "{kind}");
                }
            }
        }
        let longer = [&data[..], &[0]].concat();
        assert!(Event::decode(&kind, &longer).is_err(), "{kind} with a byte more");
        assert_eq!(
            Event::decode("CallTeleported", &data),
            Err(DecodeError::UnknownKind("CallTeleported".to_owned()))
        );
    }
}

#[test]
fn metadata_stand_once_in_a_unit_and_are_read_with_the_first_of_its_events() {
    let journal = everything().journal;
    let unit: Vec<&Recorded> = journal.iter().filter(|it| it.metadata.count > 2).take(3).collect();
    let [first, second, third] = unit[..] else { panic!("a unit of three") };
    let read = |before: &mut Option<Before>, it: &Recorded, metadata: &[u8]| {
        read_back(before, it, &it.event.encode(), metadata)
    };
    let mut before = None;
    assert_eq!(read(&mut before, first, &first.metadata.encode()).as_ref(), Ok(first));
    let short = third.metadata.encode();
    assert_eq!(short.len(), 3, "the form, its place, and how many the unit has");
    assert_eq!(read(&mut before.clone(), third, &short).as_ref(), Ok(third));
    assert_eq!(read(&mut before.clone(), second, &second.metadata.encode()).as_ref(), Ok(second));
    // Without it, or after that of another unit.
    let headless = Err(DecodeError::Headless { first: first.revision });
    assert_eq!(read(&mut None, second, &second.metadata.encode()), headless);
    let mut of_another = None;
    let other =
        journal.iter().find(|it| it.metadata.count == 2 && it.metadata.index == 0).expect("a unit of two");
    read(&mut of_another, other, &other.metadata.encode()).expect("decodes");
    assert_eq!(read(&mut of_another, second, &second.metadata.encode()), headless);
    for bad in [&[1][..], &[1, 1], &[1, 2, 2], &[1, 1, 3, 0], &[1, 0x81, 0, 3], &[2, 1, 3], &[]] {
        assert!(read(&mut before.clone(), second, bad).is_err(), "{bad:?}");
    }
    let mut of_another_event = first.metadata.clone();
    of_another_event.correlation = Some(uuid::Uuid::from_u128(0xbad));
    assert!(read(&mut None, first, &of_another_event.to_json()).is_err(), "it follows from the event");
}

#[test]
fn where_an_event_stands_in_its_unit_is_told_by_its_metadata_alone() {
    for Recorded { metadata, .. } in everything().journal {
        let expected = PlaceInUnit { index: metadata.index, count: metadata.count };
        assert_eq!(PlaceInUnit::of(&metadata.encode()), Ok(expected));
        assert_eq!(PlaceInUnit::of(&metadata.to_json()), Ok(expected));
    }
}

/// A reader of the binary form made from its page in the docs.
mod stranger {
    use serde_json::{Map, Value};

    pub fn event(description: &Value, kind: &str, bytes: &[u8]) -> Value {
        let mut reader = Reader { types: &description["types"], bytes };
        assert_eq!(reader.byte(), 1, "the version of the form");
        let event = reader.fields(&description["events"][kind]);
        assert!(reader.bytes.is_empty());
        Value::Object(event)
    }

    pub fn metadata(description: &Value, bytes: &[u8]) -> Value {
        let mut reader = Reader { types: &description["types"], bytes };
        assert_eq!(reader.byte(), 1, "the version of the form");
        let (index, count) = (reader.number(), reader.number());
        let mut metadata = match index {
            0 => reader.fields(&description["fields"]),
            _ => Map::new(),
        };
        metadata.insert("index".into(), index.into());
        metadata.insert("count".into(), count.into());
        assert!(reader.bytes.is_empty());
        Value::Object(metadata)
    }

    struct Reader<'a> {
        types: &'a Value,
        bytes: &'a [u8],
    }

    impl Reader<'_> {
        fn byte(&mut self) -> u8 {
            let (byte, rest) = self.bytes.split_first().expect("a byte");
            self.bytes = rest;
            *byte
        }

        fn number(&mut self) -> u64 {
            let (mut number, mut shift) = (0, 0);
            loop {
                let byte = self.byte();
                number |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    return number;
                }
            }
        }

        fn hex(&mut self, count: usize) -> String {
            (0..count).map(|_| format!("{:02x}", self.byte())).collect()
        }

        fn fields(&mut self, fields: &Value) -> Map<String, Value> {
            let fields = fields.as_array().expect("fields");
            fields
                .iter()
                .map(|field| (field[0].as_str().expect("a name").to_owned(), self.value(&field[1])))
                .collect()
        }

        fn value(&mut self, shape: &Value) -> Value {
            if let Some(of) = shape.get("optional") {
                return if self.byte() == 1 { self.value(of) } else { Value::Null };
            }
            if let Some(of) = shape.get("list") {
                return (0..self.number()).map(|_| self.value(of)).collect();
            }
            match shape.as_str().expect("a name") {
                "unsigned" => self.number().into(),
                "signed" => {
                    let number = i64::try_from(self.number()).expect("a small one");
                    (if number % 2 == 0 { number / 2 } else { -(number + 1) / 2 }).into()
                }
                "flag" => (self.byte() == 1).into(),
                "text" => {
                    let count = usize::try_from(self.number()).expect("a length");
                    let (text, rest) = self.bytes.split_at(count);
                    self.bytes = rest;
                    std::str::from_utf8(text).expect("UTF-8").into()
                }
                "id" => [4, 2, 2, 2, 6].map(|count| self.hex(count)).join("-").into(),
                "hash" => self.hex(16).into(),
                name => self.of_type(&self.types[name]),
            }
        }

        fn of_type(&mut self, of: &Value) -> Value {
            if of.get("fields").is_some() {
                return Value::Object(self.fields(&of["fields"]));
            }
            let (number, choices) = (self.byte(), of["choices"].as_array().expect("choices"));
            let choice = choices.iter().find(|choice| choice["number"] == number).expect("a choice");
            let word = choice["word"].as_str().expect("a word");
            let mut held = self.fields(&choice["holds"]);
            match of["json"].as_str().expect("how JSON has it") {
                "text" => {
                    let texts =
                        held.values().map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned));
                    texts.fold(word.to_owned(), |text, held| text.replacen("{}", &held, 1)).into()
                }
                "name" => match held.into_iter().next() {
                    None => word.into(),
                    Some((_, held)) => Value::Object(Map::from_iter([(word.to_owned(), held)])),
                },
                field => {
                    held.insert(field.to_owned(), word.into());
                    Value::Object(held)
                }
            }
        }
    }
}
