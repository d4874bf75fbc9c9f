//! One recorded event of each type, as version 1 wrote it. They must decode for ever.
//!
//! `MUNEEM_WRITE_GOLDEN=1 cargo test -p ledger-core golden` writes the files of types that have
//! none yet. It never changes one that is there.

use crate::canonical::every_event;
use ledger_core::{Event, Metadata};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden<'a> {
    kind: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    metadata: &'a RawValue,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/events/v1")
}

fn write_missing() {
    std::fs::create_dir_all(folder()).expect("the folder can be made");
    for recorded in every_event() {
        let kind = recorded.event.kind();
        let path = folder().join(format!("{kind}.json"));
        if path.exists() {
            continue;
        }
        let text = |bytes| String::from_utf8(bytes).expect("JSON is text");
        let (data, metadata) = (text(recorded.event.to_json()), text(recorded.metadata.to_json()));
        let line = format!("{{\"kind\":\"{kind}\",\"data\":{data},\"metadata\":{metadata}}}\n");
        std::fs::write(path, line).expect("the file can be written");
    }
}

#[test]
fn every_golden_event_decodes_and_is_the_same_json_again() {
    if std::env::var_os("MUNEEM_WRITE_GOLDEN").is_some_and(|it| it == "1") {
        write_missing();
    }
    let mut kinds = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).expect("the golden events are there") {
        let path = entry.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        let golden: Golden = serde_json::from_str(&text).expect("a golden event");
        assert_eq!(path.file_name().and_then(|it| it.to_str()), Some(&*format!("{}.json", golden.kind)));
        let event = Event::decode(golden.kind, golden.data.get().as_bytes())
            .unwrap_or_else(|fault| panic!("{} decodes: {fault}", path.display()));
        assert_eq!(String::from_utf8(event.to_json()).as_deref(), Ok(golden.data.get()), "{}", golden.kind);
        let metadata = Metadata::from_json(golden.metadata.get().as_bytes()).expect("metadata decode");
        assert_eq!(String::from_utf8(metadata.to_json()).as_deref(), Ok(golden.metadata.get()));
        kinds.insert(golden.kind.to_owned());
    }
    let all: BTreeSet<String> = Event::KINDS.iter().map(|kind| (*kind).to_owned()).collect();
    assert_eq!(kinds, all, "each type of event has a golden file");
}
