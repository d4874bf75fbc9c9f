//! Who belongs to which agency.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::agencies::AgencyMemberRow;
use chrono::{DateTime, Utc};
use ledger_core::{Event, State};
use uuid::Uuid;

named!(AgencyMemberRow: "agency_members", |row| row.host.to_string());

struct Member {
    host: Uuid,
    agency: Uuid,
    joined: (i64, DateTime<Utc>),
    left: Option<(i64, DateTime<Utc>)>,
}

#[derive(Default)]
pub(super) struct Agencies {
    members: Vec<Member>,
}

impl Opinion for Agencies {
    fn add(&mut self, told: &Told<'_>) {
        let when = (told.revision, told.at);
        match told.event() {
            Event::AgencyJoined(it) => {
                let (host, agency) = (it.host.0, it.agency.0);
                self.members.push(Member { host, agency, joined: when, left: None });
            }
            Event::AgencyLeft(it) => {
                let open = self.members.iter_mut().rfind(|member| member.host == it.host.0);
                if let Some(member) = open {
                    member.left = Some(when);
                }
            }
            _ => {}
        }
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, _: &State) -> Result<(), Stop> {
        let expected = self.members.iter().map(|member| AgencyMemberRow {
            host: member.host,
            joined_revision: member.joined.0,
            agency: member.agency,
            joined_at: member.joined.1,
            left_at: member.left.map(|(_, at)| at),
            revision: member.left.unwrap_or(member.joined).0,
        });
        comparison
            .table(
                "SELECT * FROM read.agency_members ORDER BY joined_revision",
                expected.collect(),
                |row| (row.host, row.joined_revision),
            )
            .await
    }
}
