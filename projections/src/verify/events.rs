//! The events themselves, and whom they concern.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::events::{EventPersonRow, EventRow};
use std::collections::BTreeSet;

named!(EventRow: "events", |row| row.event_id.to_string());
named!(EventPersonRow: "event_people", |row| row.person.to_string());

#[derive(Default)]
pub(super) struct Events {
    events: Vec<EventRow>,
    people: Vec<EventPersonRow>,
}

impl Opinion for Events {
    const GROWING: &[(&str, &str)] = &[("events", "event_id"), ("event_people", "person")];

    fn add(&mut self, told: &Told<'_>) {
        let (event, metadata) = (told.event(), &told.recorded.metadata);
        let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_default();
        let people: Vec<_> = event.people().iter().map(|person| person.0).collect();
        self.people.extend(people.iter().collect::<BTreeSet<_>>().into_iter().map(|person| EventPersonRow {
            person: *person,
            revision: told.revision,
            kind: event.kind().to_owned(),
        }));
        self.events.push(EventRow {
            revision: told.revision,
            event_id: told.recorded.event_id,
            kind: event.kind().to_owned(),
            recorded_at: told.at,
            actor: metadata.actor.to_string(),
            payer: metadata.payer.map(|person| person.0),
            correlation: metadata.correlation,
            command_id: metadata.command_id.0,
            closes_unit: metadata.closes_unit(),
            people,
            data: json(&event.encode()),
            metadata: json(&metadata.encode()),
        });
    }

    async fn compare_range(
        &mut self,
        comparison: &mut Comparison<'_>,
        range: (i64, i64),
    ) -> Result<(), Stop> {
        comparison
            .range(
                "SELECT * FROM read.events WHERE revision BETWEEN $1 AND $2 ORDER BY revision",
                range,
                std::mem::take(&mut self.events),
                |row| row.revision,
            )
            .await?;
        comparison
            .range(
                "SELECT * FROM read.event_people WHERE revision BETWEEN $1 AND $2 ORDER BY revision, person",
                range,
                std::mem::take(&mut self.people),
                |row| (row.revision, row.person),
            )
            .await
    }
}
