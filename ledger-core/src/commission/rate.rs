//! Commission rates: set for a host, an agency or everybody, never backdated.

use crate::mechanism::binary::{binary_choices, binary_fields};
use crate::mechanism::dated::{Dated, not_backdated};
use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{AgencyId, Event, PersonId, Posting, Rejection, State, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whom a commission rate is for. The most specific in force wins: host, then agency, then global.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommissionScope {
    Global,
    Agency(AgencyId),
    Host(PersonId),
}

/// The rate that a charge is split by: fixed when the charge, or the call that it is part of, begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommissionRule {
    /// Where the rate was set.
    pub scope: CommissionScope,
    /// The host's share, in basis points.
    pub host_bps: u32,
    /// The agency's share, in basis points; zero without an agency.
    pub agency_bps: u32,
    pub agency: Option<AgencyId>,
}

binary_choices! { CommissionScope as "name" {
    0 = Global "global"
    1 = Agency(agency: AgencyId) "agency"
    2 = Host(host: PersonId) "host"
} }

binary_fields! { CommissionRule { scope: CommissionScope, host_bps: u32, agency_bps: u32, agency: Option<AgencyId> } }

/// The shares of host and agency in basis points, or (`None`) the end of a rate.
pub(crate) type RateInForce = Option<(u32, u32)>;

commands! {
    SetCommissionRate = "SetCommissionRate" {
        scope: CommissionScope,
        host_bps: u32,
        agency_bps: u32,
        /// At once when absent.
        effective_from: Option<Timestamp>,
    }
    ClearCommissionRate = "ClearCommissionRate" {
        scope: CommissionScope,
        effective_from: Option<Timestamp>,
    }
}

events! {
    CommissionRateSet = "CommissionRateSet" {
        scope: CommissionScope,
        host_bps: u32,
        agency_bps: u32,
        effective_from: Timestamp,
    }
    CommissionRateCleared = "CommissionRateCleared" { scope: CommissionScope, effective_from: Timestamp }
}

impl State {
    /// The most specific commission rate in force for `host` at `at`: host, agency, global, and
    /// where none is set half for the host.
    pub fn commission_rule(&self, host: PersonId, at: Timestamp) -> CommissionRule {
        let agency = self.agency_of(host, at);
        let scopes = [
            Some(CommissionScope::Host(host)),
            agency.map(CommissionScope::Agency),
            Some(CommissionScope::Global),
        ];
        let set = scopes.into_iter().flatten().find_map(|scope| {
            let (host_bps, agency_bps) = self.rate_in_force(scope, at)?;
            Some((scope, host_bps, agency_bps))
        });
        let (scope, host_bps, agency_bps) = set.unwrap_or((CommissionScope::Global, 5_000, 0));
        CommissionRule { scope, host_bps, agency_bps: if agency.is_some() { agency_bps } else { 0 }, agency }
    }

    /// How many changes of a scope's rate are kept: the one in force, and those to come.
    pub fn commission_changes(&self, scope: CommissionScope) -> usize {
        self.tables.commissions.get(&scope).map_or(0, Dated::len)
    }

    /// The shares of host and agency that are set for a scope and hold at `at`.
    pub fn rate_in_force(&self, scope: CommissionScope, at: Timestamp) -> Option<(u32, u32)> {
        *self.tables.commissions.get(&scope)?.in_force(at)?
    }
}

impl CommissionScope {
    /// The host whose share it is. Who owns an agency is not known here.
    fn host(self) -> Option<PersonId> {
        match self {
            CommissionScope::Host(host) => Some(host),
            CommissionScope::Global | CommissionScope::Agency(_) => None,
        }
    }
}

impl Decide for SetCommissionRate {
    fn decides_on_money_of(&self, _: &State) -> Option<PersonId> {
        self.scope.host()
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &SetCommissionRate { scope, host_bps, agency_bps, effective_from } = self;
        if u64::from(host_bps) + u64::from(agency_bps) > 10_000 {
            return Err(Rejection::CommissionTooLarge);
        }
        let effective_from = not_backdated(effective_from, context.at)?;
        if context.state.rate_in_force(scope, effective_from) == Some((host_bps, agency_bps)) {
            return Ok(vec![]);
        }
        Ok(vec![CommissionRateSet { scope, host_bps, agency_bps, effective_from }.into()])
    }
}

impl Decide for ClearCommissionRate {
    fn decides_on_money_of(&self, _: &State) -> Option<PersonId> {
        self.scope.host()
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let scope = self.scope;
        let effective_from = not_backdated(self.effective_from, context.at)?;
        if context.state.rate_in_force(scope, effective_from).is_none() {
            return Err(Rejection::CommissionNotSet);
        }
        Ok(vec![CommissionRateCleared { scope, effective_from }.into()])
    }
}

impl Happened for CommissionRateSet {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![]
    }

    fn evolve(&self, change: &mut Change) {
        change_rate(change, self.scope, self.effective_from, Some((self.host_bps, self.agency_bps)));
    }
}

impl Happened for CommissionRateCleared {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![]
    }

    fn evolve(&self, change: &mut Change) {
        change_rate(change, self.scope, self.effective_from, None);
    }
}

fn change_rate(change: &mut Change, scope: CommissionScope, effective_from: Timestamp, bps: RateInForce) {
    let rates = &mut change.state.tables.commissions;
    // A call keeps the rate that it started with.
    let mut changes = rates.get(&scope).cloned().unwrap_or_default();
    changes.set(change.at, effective_from, bps);
    rates.set(change.revision, scope, Some(changes));
}
