//! What followers get: durable units, with what the people concerned have after each of them.

use ledger_core::calls::Call;
use ledger_core::{CallId, PersonId, Recorded, State, Timestamp, Wallet};
use std::sync::Arc;

/// What one person has, and the call that they are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonFacts {
    pub wallet: Wallet,
    pub call: Option<(CallId, Call)>,
}

/// The facts about some people at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub at: Timestamp,
    /// In the order of the ids.
    people: Vec<(PersonId, PersonFacts)>,
}

impl Facts {
    /// What `state` says about `people` at the moment `at`.
    pub fn look_up(state: &State, at: Timestamp, people: &[PersonId]) -> Facts {
        let mut people = people.to_vec();
        people.sort_unstable();
        people.dedup();
        let facts = |person: PersonId| {
            let call = state.engaged(person).and_then(|id| Some((id, state.call(id)?.clone())));
            (person, PersonFacts { wallet: state.wallet(person, at), call })
        };
        Facts { at, people: people.into_iter().map(facts).collect() }
    }

    /// The facts about all whom the events of a unit name or post to, once `state` has evolved them.
    pub(crate) fn after(state: &State, unit: &[Recorded]) -> Facts {
        let people: Vec<PersonId> = unit
            .iter()
            .flat_map(|recorded| {
                let postings = recorded.event.postings().iter();
                postings.filter_map(|posting| posting.account.person()).chain(recorded.event.people())
            })
            .collect();
        Facts::look_up(state, state.last_at(), &people)
    }

    pub fn of(&self, person: PersonId) -> Option<&PersonFacts> {
        let place = self.people.binary_search_by_key(&person, |(person, _)| *person).ok()?;
        Some(&self.people[place].1)
    }
}

/// Whole units that became durable together, in order.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub events: Vec<Recorded>,
    pub units: Vec<UnitEnd>,
}

/// Where a unit ends among the events of its batch, and the facts after it where they are known.
#[derive(Debug)]
pub(crate) struct UnitEnd {
    pub end: usize,
    pub facts: Option<Facts>,
}

impl Published {
    /// The whole units among `events`; what lies behind the last of them is left out.
    pub fn whole_units_of(mut events: Vec<Recorded>) -> Published {
        let closing = |(index, recorded): (usize, &Recorded)| {
            recorded.metadata.closes_unit().then_some(UnitEnd { end: index + 1, facts: None })
        };
        let units: Vec<UnitEnd> = events.iter().enumerate().filter_map(closing).collect();
        events.truncate(units.last().map_or(0, |unit| unit.end));
        Published { events, units }
    }

    /// Adds a unit whose events are `unit`.
    pub fn push(&mut self, unit: impl IntoIterator<Item = Recorded>, facts: Option<Facts>) {
        self.events.extend(unit);
        self.units.push(UnitEnd { end: self.events.len(), facts });
    }

    pub fn last_revision(&self) -> Option<u64> {
        self.events.last().map(|recorded| recorded.revision)
    }
}

/// The events of one command, durable. Cheap to clone: followers share what it holds.
#[derive(Clone, Debug)]
pub struct DurableUnit {
    batch: Arc<Published>,
    index: usize,
}

impl DurableUnit {
    /// The unit at place `index` of `batch`, if it has so many.
    pub(crate) fn at(batch: &Arc<Published>, index: usize) -> Option<DurableUnit> {
        (index < batch.units.len()).then(|| DurableUnit { batch: Arc::clone(batch), index })
    }

    /// At least one.
    pub fn events(&self) -> &[Recorded] {
        let start = self.index.checked_sub(1).map_or(0, |before| self.batch.units[before].end);
        &self.batch.events[start..self.batch.units[self.index].end]
    }

    /// The facts, right after this unit, about all whom its events name or post to. `None` where the
    /// unit was read from the store: ask the ledger then.
    pub fn facts(&self) -> Option<&Facts> {
        self.batch.units[self.index].facts.as_ref()
    }

    pub fn last_revision(&self) -> u64 {
        self.events().last().map_or(0, |recorded| recorded.revision)
    }
}
