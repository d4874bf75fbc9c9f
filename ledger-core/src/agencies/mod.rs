//! Agencies that hosts belong to.

use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{AgencyId, Event, PersonId, Posting, Rejection, State};

macro_rules! noun {
    ($next:ident $so_far:tt) => {
        $crate::nouns::$next! { $so_far {
            agencies
            commands { JoinAgency LeaveAgency }
            events { AgencyJoined AgencyLeft }
            tables {
                agency_of: Lookup<PersonId, AgencyId>;
            }
            rejections {
                AlreadyInAgency = "already_in_agency", "the host belongs to another agency: they leave it first";
                NotInAgency = "not_in_agency", "the host belongs to no agency";
            }
        } }
    };
}
pub(crate) use noun;

commands! {
    JoinAgency = "JoinAgency" { host: PersonId, agency: AgencyId }
    LeaveAgency = "LeaveAgency" { host: PersonId }
}

events! {
    AgencyJoined = "AgencyJoined" { host: PersonId, agency: AgencyId }
    AgencyLeft = "AgencyLeft" { host: PersonId, agency: AgencyId }
}

impl State {
    pub fn agency_of(&self, host: PersonId) -> Option<AgencyId> {
        self.tables.agency_of.get(&host).copied()
    }
}

impl Decide for JoinAgency {
    fn decides_on_money_of(&self, _: &State) -> Option<PersonId> {
        Some(self.host)
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &JoinAgency { host, agency } = self;
        match context.state.agency_of(host) {
            Some(current) if current == agency => Ok(vec![]),
            Some(_) => Err(Rejection::AlreadyInAgency),
            None => Ok(vec![AgencyJoined { host, agency }.into()]),
        }
    }
}

impl Decide for LeaveAgency {
    fn decides_on_money_of(&self, _: &State) -> Option<PersonId> {
        Some(self.host)
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let host = self.host;
        let agency = context.state.agency_of(host).ok_or(Rejection::NotInAgency)?;
        Ok(vec![AgencyLeft { host, agency }.into()])
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
        change.state.tables.agency_of.set(change.revision, self.host, Some(self.agency));
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
        change.state.tables.agency_of.set(change.revision, self.host, None);
    }
}
