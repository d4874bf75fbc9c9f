//! Where the events stand, and whom they concern.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::events::{EventPerson, EventPlace, PersonNumber};
use crate::mechanism::Kind;
use std::collections::BTreeMap;
use uuid::Uuid;

named!(EventPlace: |row| row.revision.to_string());
named!(PersonNumber: |row| row.person.to_string());
named!(EventPerson: |row| row.person.to_string());

#[derive(Default)]
pub(super) struct Events {
    events: Vec<EventPlace>,
    /// Everybody, with their place by their first event.
    numbers: BTreeMap<Uuid, i32>,
    new_people: Vec<PersonNumber>,
    concerned: Vec<EventPerson>,
}

/// The id of the person that a row has the number of.
const PERSON: &str = "(SELECT person FROM read.people WHERE number = event_people.person)";


impl Opinion for Events {
    const GROWING: &[(&str, &str)] = &[("events", "revision"), ("people", "person"), ("event_people", PERSON)];

    fn add(&mut self, told: &Told<'_>) {
        let (event, metadata) = (told.event(), &told.recorded.metadata);
        let mut concerned: Vec<Uuid> = event.people().iter().map(|person| person.0).collect();
        concerned.sort_unstable();
        concerned.dedup();
        for person in concerned {
            let next = i32::try_from(self.numbers.len()).unwrap_or(i32::MAX).saturating_add(1);
            let number = *self.numbers.entry(person).or_insert(next);
            if number == next {
                self.new_people.push(PersonNumber { person, number, revision: told.revision });
            }
            let kind = Kind(event.kind());
            self.concerned.push(EventPerson { person: number, kind, revision: told.revision });
        }
        self.events.push(EventPlace {
            revision: told.revision,
            recorded_at: told.at,
            correlation: metadata.correlation,
            kind: Kind(event.kind()),
            closes_unit: metadata.closes_unit(),
        });
    }

    async fn compare_range(
        &mut self,
        comparison: &mut Comparison<'_>,
        range: (i64, i64),
    ) -> Result<(), Stop> {
        comparison.grown(&mut self.events, range, "revision", |row| row.revision).await?;
        comparison.grown(&mut self.new_people, range, "number", |row| row.number).await?;
        self.concerned.sort_unstable_by_key(|row| (row.revision, row.person));
        let order = "revision, person";
        let outcome =
            comparison.grown(&mut self.concerned, range, order, |row| (row.revision, row.person)).await;
        outcome.map_err(|stop| self.naming_the_person(stop))
    }
}

impl Events {
    /// A row knows its person by number; people are known by their ids.
    fn naming_the_person(&self, stop: Stop) -> Stop {
        let Stop::Difference(mut difference) = stop else { return stop };
        if let Some((id, _)) = self.numbers.iter().find(|(_, number)| number.to_string() == difference.id) {
            difference.id = id.to_string();
        }
        Stop::Difference(difference)
    }
}
