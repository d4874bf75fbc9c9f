//! The state as bytes, and what its version stands for.
//!
//! `MUNEEM_WRITE_GOLDEN=1 cargo test -p ledger-core snapshots` writes the golden hash of a version that has none yet,
//! and the golden journal if there is none. It never changes one that is there.

use crate::canonical::everything;
use crate::generator::steps;
use crate::properties::{play, replay};
use crate::world::*;
use ledger_core::*;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use uuid::Uuid;

fn bytes(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes).expect("a list takes all bytes");
    bytes
}

fn read_back(state: &State) -> State {
    State::decode(&bytes(state)).expect("what was written is read")
}

/// Everything that can be asked from outside of the state as a whole.
type Told = ([u8; 32], Option<u64>, Vec<(&'static str, usize)>, Vec<(Account, Asset, i64)>);

fn told(state: &State) -> Told {
    (state.hash(), state.revision(), state.rows(), state.balances())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_state_read_back_at_any_cut_goes_on_as_the_one_that_was_written(steps in steps(60)) {
        let world = play(&steps);
        let mut live = State::new();
        for it in &world.journal {
            evolve(&mut live, it);
            let mut state = read_back(&live);
            prop_assert_eq!(told(&state), told(&live), "at {}", it.revision);
            prop_assert_eq!(state.undo_bytes(), 0, "nothing of it can be taken back");
            for later in &world.journal[it.revision as usize + 1..] {
                evolve(&mut state, later);
            }
            prop_assert_eq!(told(&state), told(&world.state), "from {} on", it.revision);
        }
    }
}

#[test]
fn what_was_read_back_answers_retries_and_forgets_them_after_a_day() {
    let mut world = World::with_coins(100_000);
    let sent = world.envelope(gift(USER, HOST, None, 5_000));
    let (_, revision) = world.send(&sent).expect("is accepted");
    world.state = read_back(&world.state);
    assert_eq!(world.send(&sent), Ok((vec![], revision)), "the retry is known");
    let remembered = world.state.command_memory_bytes();
    world.now = world.now.plus_ms(2 * DAY_MS);
    world.given(host_rate(HOST, Some(11_000)));
    world.state.settle(world.state.next_revision() - 1);
    assert!(world.state.command_memory_bytes() < remembered, "the day is over");
}

#[test]
fn every_table_is_in_the_bytes() {
    let world = everything();
    let (mut state, mut filled) = (State::new(), BTreeSet::new());
    for it in &world.journal {
        evolve(&mut state, it);
        let rows = read_back(&state).rows();
        assert_eq!(rows, state.rows());
        filled.extend(rows.into_iter().filter(|(_, count)| *count > 0).map(|(name, _)| name));
    }
    let all: BTreeSet<_> = state.rows().into_iter().map(|(name, _)| name).collect();
    assert_eq!(filled, all, "each table has rows at some point of the story");
}

#[test]
fn bytes_that_are_cut_or_go_on_are_no_state() {
    let whole = bytes(&World::in_call(100_000).state);
    for end in 0..whole.len() {
        assert!(State::decode(&whole[..end]).is_err(), "cut at {end} of {}", whole.len());
    }
    assert_eq!(State::decode(&[&whole[..], &[0]].concat()).err(), Some(NotAState::Surplus(1)));
}

#[derive(Serialize, Deserialize)]
struct Line {
    id: Uuid,
    kind: String,
    data: Box<RawValue>,
    metadata: Box<RawValue>,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/state").join(name)
}

fn write_if_missing(name: &str, text: &str) {
    let path = golden(name);
    if std::env::var_os("MUNEEM_WRITE_GOLDEN").is_some_and(|it| it == "1") && !path.exists() {
        std::fs::create_dir_all(golden("")).expect("the folder can be made");
        std::fs::write(path, text).expect("the file can be written");
    }
}

fn line(it: &Recorded) -> String {
    let raw = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).expect("JSON is text");
        RawValue::from_string(text).expect("JSON")
    };
    let kind = it.event.kind().to_owned();
    let line =
        Line { id: it.event_id, kind, data: raw(it.event.to_json()), metadata: raw(it.metadata.to_json()) };
    to_raw_value(&line).expect("JSON").get().to_owned() + "\n"
}

#[test]
fn a_change_of_what_the_golden_journal_leads_to_is_a_new_version_of_the_state() {
    write_if_missing("journal.jsonl", &everything().journal.iter().map(line).collect::<String>());
    let journal = std::fs::read_to_string(golden("journal.jsonl")).expect("the golden journal is there");
    let (mut state, mut all) = (State::new(), Sha256::new());
    for (line, revision) in journal.lines().zip(0..) {
        let Line { id, kind, data, metadata } = serde_json::from_str(line).expect("a golden event");
        let (data, metadata) = (data.get().as_bytes(), metadata.get().as_bytes());
        let recorded =
            Recorded::decode(&mut None, revision, id, &kind, data, metadata).expect("a golden event decodes");
        evolve(&mut state, &recorded);
        all.update(state.hash());
    }
    let mut found = String::new();
    for byte in all.finalize() {
        write!(found, "{byte:02x}").expect("a text takes all");
    }
    found.push('\n');
    let name = format!("v{STATE_VERSION}.sha256");
    write_if_missing(&name, &found);
    let expected = std::fs::read_to_string(golden(&name)).expect("the version has a golden hash");
    assert_eq!(
        found, expected,
        "the golden journal leads to other states than version {STATE_VERSION} did: raise STATE_VERSION, and write \
         its golden hash with MUNEEM_WRITE_GOLDEN=1; snapshots of the old version are then passed over"
    );
    let same = replay(&everything().journal);
    assert_eq!(same.rows(), state.rows(), "the golden journal is the story in which everything happens");
}
