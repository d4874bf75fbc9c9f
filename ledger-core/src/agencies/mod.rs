//! Agencies that hosts belong to, each for a time.

use crate::mechanism::dated::{Dated, not_backdated};
use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{AgencyId, Event, PersonId, Posting, Rejection, State, Timestamp};

macro_rules! noun {
    ($next:ident $so_far:tt) => {
        $crate::nouns::$next! { $so_far {
            agencies
            commands { JoinAgency LeaveAgency }
            events { AgencyJoined AgencyLeft }
            tables {
                agency_of: Lookup<PersonId, mechanism::dated::Dated<Option<AgencyId>>>;
            }
            rejections {
                AlreadyInAgency = "already_in_agency", "the host belongs to an agency then, or will: they leave it first";
                NotInAgency = "not_in_agency", "the host belongs to no agency then";
                MembershipEmpty = "membership_empty", "a membership ends after it begins";
            }
        } }
    };
}
pub(crate) use noun;

commands! {
    JoinAgency = "JoinAgency" {
        host: PersonId,
        agency: AgencyId,
        /// At once when absent.
        from: Option<Timestamp>,
        /// Until the host leaves when absent.
        until: Option<Timestamp>,
    }
    LeaveAgency = "LeaveAgency" {
        host: PersonId,
        /// At once when absent.
        at: Option<Timestamp>,
    }
}

events! {
    /// What a host is charged for from that moment on is shared with the agency.
    AgencyJoined = "AgencyJoined" {
        host: PersonId,
        agency: AgencyId,
        from: Timestamp,
        /// The moment from which on the host belongs to it no more.
        until: Option<Timestamp>,
    }
    AgencyLeft = "AgencyLeft" {
        host: PersonId,
        agency: AgencyId,
        /// The moment from which on the host belongs to it no more.
        at: Timestamp,
    }
}

impl State {
    /// The agency that a host belongs to at the moment `at`.
    pub fn agency_of(&self, host: PersonId, at: Timestamp) -> Option<AgencyId> {
        *self.tables.agency_of.get(&host)?.in_force(at)?
    }

    /// The next change of a host's membership after a moment: the agency that they belong to from then on, or none.
    pub fn next_agency(&self, host: PersonId, after: Timestamp) -> Option<(Timestamp, Option<AgencyId>)> {
        let (from, agency) = self.tables.agency_of.get(&host)?.next_after(after)?;
        Some((from, *agency))
    }
}

impl Decide for JoinAgency {
    fn decides_on_money_of(&self, _: &State) -> Option<PersonId> {
        Some(self.host)
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &JoinAgency { host, agency, from, until } = self;
        let from = not_backdated(from, context.at)?;
        if until.is_some_and(|until| until <= from) {
            return Err(Rejection::MembershipEmpty);
        }
        let (current, next) = (context.state.agency_of(host, from), context.state.next_agency(host, from));
        if current == Some(agency) && next.map(|(moment, _)| moment) == until {
            return Ok(vec![]);
        }
        if current.is_some() || next.is_some() {
            return Err(Rejection::AlreadyInAgency);
        }
        Ok(vec![AgencyJoined { host, agency, from, until }.into()])
    }
}

impl Decide for LeaveAgency {
    fn decides_on_money_of(&self, _: &State) -> Option<PersonId> {
        Some(self.host)
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &LeaveAgency { host, at } = self;
        let at = not_backdated(at, context.at)?;
        let agency = context.state.agency_of(host, at).ok_or(Rejection::NotInAgency)?;
        Ok(vec![AgencyLeft { host, agency, at }.into()])
    }
}

impl Happened for AgencyJoined {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.host]
    }

    fn evolve(&self, change: &mut Change) {
        change_agency(change, self.host, |memberships, now| {
            memberships.set(now, self.from, Some(self.agency));
            if let Some(until) = self.until {
                memberships.set(now, until, None);
            }
        });
    }
}

impl Happened for AgencyLeft {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.host]
    }

    fn evolve(&self, change: &mut Change) {
        // A later membership stays; the end that this one was to have goes.
        change_agency(change, self.host, |memberships, now| memberships.set_until_other(now, self.at, None));
    }
}

fn change_agency(
    change: &mut Change,
    host: PersonId,
    edit: impl FnOnce(&mut Dated<Option<AgencyId>>, Timestamp),
) {
    let table = &mut change.state.tables.agency_of;
    let mut memberships = table.get(&host).cloned().unwrap_or_default();
    edit(&mut memberships, change.at);
    // Who has left and joins no other one has no row.
    let none_now = memberships.in_force(change.at).is_none_or(Option::is_none);
    let is_over = none_now && memberships.next_after(change.at).is_none();
    table.set(change.revision, host, (!is_over).then_some(memberships));
}
