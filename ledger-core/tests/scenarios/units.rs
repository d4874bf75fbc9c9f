//! Units stand in a journal whole, one after the other.

use crate::canonical::everything;
use ledger_core::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

type Change = fn(&mut Vec<Recorded>);

/// Evolves the journal up to a unit of three events, then these in its place.
fn with_unit(change: Change) -> Result<(), String> {
    let journal = everything().journal;
    let first = journal.iter().position(|it| it.metadata.count == 3).expect("a unit of three");
    let mut state = State::new();
    journal[..first].iter().for_each(|it| evolve(&mut state, it));
    let mut events = journal[first..first + 4].to_vec();
    change(&mut events);
    for (event, revision) in events.iter_mut().zip(journal[first].revision..) {
        event.revision = revision;
    }
    let evolved = catch_unwind(AssertUnwindSafe(|| events.iter().for_each(|it| evolve(&mut state, it))));
    evolved.map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

#[test]
fn an_event_that_is_not_the_next_of_its_unit_is_never_evolved() {
    assert_eq!(with_unit(|_| ()), Ok(()));
    let refused: [(&str, Change); 7] = [
        ("a unit that is said to be longer", |unit| {
            unit[..3].iter_mut().for_each(|it| it.metadata.count = 4)
        }),
        ("a unit that is said to be shorter", |unit| {
            unit[..3].iter_mut().for_each(|it| it.metadata.count = 2)
        }),
        ("a unit without its end", |unit| drop(unit.remove(2))),
        ("a unit without its beginning", |unit| drop(unit.remove(0))),
        ("two of its events in each other's place", |unit| unit.swap(1, 2)),
        ("an event of another command", |unit| unit[1].metadata.command_id = CommandId(uuid::Uuid::max())),
        ("a unit of no events", |unit| unit[3].metadata.count = 0),
    ];
    for (what, change) in refused {
        let fault = with_unit(change).expect_err(what);
        // Where a unit ends too early, its books may show it first.
        let told = ["a unit is not whole", "clearing:charges is empty at the end"];
        assert!(told.iter().any(|text| fault.contains(text)), "{what}: {fault}");
    }
}
