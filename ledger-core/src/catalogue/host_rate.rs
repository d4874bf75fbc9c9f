//! What a host's minutes cost.

use crate::mechanism::binary::binary_choices;
use crate::mechanism::decide::{Context, Decide, check_amount};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{Event, PersonId, Posting, Rejection, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How host and user talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Medium {
    Chat,
    Voice,
    Video,
}

binary_choices! { Medium as "name" { 0 = Chat "chat" 1 = Voice "voice" 2 = Video "video" } }

commands! {
    SetHostRate = "SetHostRate" { host: PersonId, medium: Medium, price_milli_per_minute: Option<i64> }
}

events! {
    /// A host's price per minute; absent when the medium is not offered.
    HostRateSet = "HostRateSet" { host: PersonId, medium: Medium, price_milli_per_minute: Option<i64> }
}

impl State {
    /// The host's price per minute in thousandths of a coin; `None` when not offered.
    pub fn host_rate(&self, host: PersonId, medium: Medium) -> Option<i64> {
        self.tables.rates.get(&(host, medium)).copied()
    }
}

impl Decide for SetHostRate {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &SetHostRate { host, medium, price_milli_per_minute } = self;
        price_milli_per_minute.map(|price| check_amount("price_milli_per_minute", price)).transpose()?;
        if context.state.host_rate(host, medium) == price_milli_per_minute {
            return Ok(vec![]);
        }
        Ok(vec![HostRateSet { host, medium, price_milli_per_minute }.into()])
    }
}

impl Happened for HostRateSet {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.host]
    }

    fn evolve(&self, change: &mut Change) {
        let key = (self.host, self.medium);
        change.state.tables.rates.set(change.revision, key, self.price_milli_per_minute);
    }
}
