//! Who belongs to which agency.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::agencies::AgencyMemberRow;
use ledger_core::{AgencyId, Event, PersonId, State, Timestamp};
use uuid::Uuid;

named!(AgencyMemberRow: "agency_members", |row| row.host.to_string());

struct Member {
    host: Uuid,
    agency: Uuid,
    joined: i64,
    from: Timestamp,
    until: Option<Timestamp>,
    last: i64,
}

impl Member {
    fn is_one_at(&self, moment: Timestamp) -> bool {
        self.from <= moment && self.until.is_none_or(|until| moment < until)
    }
}

#[derive(Default)]
pub(super) struct Agencies {
    members: Vec<Member>,
}

impl Opinion for Agencies {
    fn add(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::AgencyJoined(it) => self.members.push(Member {
                host: it.host.0,
                agency: it.agency.0,
                joined: told.revision,
                from: it.from,
                until: it.until,
                last: told.revision,
            }),
            Event::AgencyLeft(it) => {
                let of_then = |member: &&mut Member| member.host == it.host.0 && member.is_one_at(it.at);
                if let Some(member) = self.members.iter_mut().find(of_then) {
                    (member.until, member.last) = (Some(it.at), told.revision);
                }
            }
            _ => {}
        }
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, state: &State) -> Result<(), Stop> {
        let now = state.last_at();
        for member in self.members.iter().filter(|member| member.is_one_at(now)) {
            let found = state.agency_of(PersonId(member.host), now);
            let is_so = i64::from(found == Some(AgencyId(member.agency)));
            let last = u64::try_from(member.last).unwrap_or(0);
            comparison.same("members of agencies", member.host, last, is_so, 1)?;
        }
        let expected = self.members.iter().map(|member| AgencyMemberRow {
            host: member.host,
            joined_revision: member.joined,
            agency: member.agency,
            joined_at: member.from.to_utc(),
            left_at: member.until.map(Timestamp::to_utc),
            revision: member.last,
        });
        comparison
            .table("SELECT * FROM read.agency_members ORDER BY joined_revision", expected.collect(), |row| {
                (row.host, row.joined_revision)
            })
            .await
    }
}
