//! What hosts and agencies have earned and no settlement covers yet.

use crate::mechanism::binary::{binary_choices, binary_fields};
use crate::mechanism::event::Change;
use crate::{Account, AgencyId, PersonId, Posting, State, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Cut-offs lie this far apart, so that a day begins with one in nearly every time zone.
pub const CUT_OFF_STEP_MS: i64 = 30 * 60 * 1_000;
/// How long earnings are kept apart by half hours: a month and the next one, in which it is settled.
pub const KEPT_MS: i64 = 62 * 24 * 3_600 * 1_000;

/// Whose earnings are settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Earner {
    Host(PersonId),
    Agency(AgencyId),
}

binary_choices! { Earner as "name" { 0 = Host(host: PersonId) "host" 1 = Agency(agency: AgencyId) "agency" } }

impl Earner {
    /// The account that what is earned stands in.
    pub fn account(self) -> Account {
        match self {
            Earner::Host(host) => Account::HostEarnings(host),
            Earner::Agency(agency) => Account::AgencyEarnings(agency),
        }
    }

    /// Whose account of earnings it is; nobody's where it is another account.
    pub fn of(account: Account) -> Option<Earner> {
        match account {
            Account::HostEarnings(host) => Some(Earner::Host(host)),
            Account::AgencyEarnings(agency) => Some(Earner::Agency(agency)),
            _ => None,
        }
    }

    /// The host. Who owns an agency is not known here.
    pub(super) fn person(self) -> Option<PersonId> {
        match self {
            Earner::Host(host) => Some(host),
            Earner::Agency(_) => None,
        }
    }
}

/// What calls and gifts come to for one earner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// How many charges, charges given back, and other moves.
    pub items: u64,
    /// What was charged, less what was given back.
    pub gross_milli: i64,
    /// The platform's share of it.
    pub platform_milli: i64,
    /// The earner's own share. What is left of the gross is the share of the host, or of the agency, on the other side.
    pub earned_milli: i64,
    /// What else was added (positive) or taken: by admins, and for disputed payments.
    pub adjusted_milli: i64,
}

binary_fields! { Totals {
    items: u64,
    gross_milli: i64,
    platform_milli: i64,
    earned_milli: i64,
    adjusted_milli: i64,
} }

impl Totals {
    /// What it comes to for the earner.
    pub fn net_milli(&self) -> i64 {
        self.earned_milli.saturating_add(self.adjusted_milli)
    }

    /// The share of the host or the agency on the other side.
    pub fn others_milli(&self) -> i64 {
        self.gross_milli.saturating_sub(self.platform_milli).saturating_sub(self.earned_milli)
    }

    /// A sum that is larger than amounts can be is refused when it is settled, so none that matters is ever cut off here.
    pub fn plus(self, other: Totals) -> Totals {
        Totals {
            items: self.items.saturating_add(other.items),
            gross_milli: self.gross_milli.saturating_add(other.gross_milli),
            platform_milli: self.platform_milli.saturating_add(other.platform_milli),
            earned_milli: self.earned_milli.saturating_add(other.earned_milli),
            adjusted_milli: self.adjusted_milli.saturating_add(other.adjusted_milli),
        }
    }
}

/// What was recorded within one half hour, or within several that are too old for a cut-off between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accrued {
    /// When the first of it was recorded, and where the last.
    pub since: Timestamp,
    pub last_revision: u64,
    pub totals: Totals,
}

impl Accrued {
    /// This, and what was recorded later.
    pub fn then(self, later: Accrued) -> Accrued {
        let totals = self.totals.plus(later.totals);
        Accrued { since: self.since, last_revision: later.last_revision, totals }
    }
}

/// The end of the half hour in which `at` lies.
fn step_end(at: Timestamp) -> Timestamp {
    Timestamp(at.0.div_euclid(CUT_OFF_STEP_MS).saturating_add(1).saturating_mul(CUT_OFF_STEP_MS))
}

impl State {
    /// What an earner has earned since the last settlement, by half hours, the earliest first.
    pub(super) fn unsettled_of(&self, of: Earner) -> impl DoubleEndedIterator<Item = (Timestamp, &Accrued)> {
        let keys = (of, Timestamp(i64::MIN))..=(of, Timestamp(i64::MAX));
        self.tables.unsettled.range(keys).map(|((_, end), row)| (*end, row))
    }

    /// What an earner has earned since the last settlement.
    pub fn unsettled(&self, of: Earner) -> Totals {
        self.unsettled_of(of).fold(Totals::default(), |sum, (_, row)| sum.plus(row.totals))
    }
}

impl Change<'_> {
    /// Adds to what the next settlement of an earner covers.
    pub(crate) fn accrue(&mut self, of: Earner, totals: Totals) {
        let (at, revision) = (self.at, self.revision);
        let key = (of, step_end(at));
        let row = Accrued { since: at, last_revision: revision, totals };
        let table = &mut self.state.tables.unsettled;
        if let Some(before) = table.get(&key) {
            let sum = before.then(row);
            table.set(revision, key, Some(sum));
            return;
        }
        table.set(revision, key, Some(row));
        self.join_old(of);
    }

    /// Adds what an event moved in accounts of earnings otherwise than by a charge or a withdrawal.
    pub(crate) fn accrue_moved(&mut self, postings: &[Posting]) {
        let moved = postings.iter().filter_map(|it| Some((Earner::of(it.account)?, -it.amount)));
        let mut earners: Vec<(Earner, i64)> = Vec::new();
        for (of, amount_milli) in moved {
            match earners.iter_mut().find(|(other, _)| *other == of) {
                Some((_, sum)) => *sum = sum.saturating_add(amount_milli),
                None => earners.push((of, amount_milli)),
            }
        }
        for (of, adjusted_milli) in earners {
            self.accrue(of, Totals { items: 1, adjusted_milli, ..Totals::default() });
        }
    }

    /// No cut-off lies between the two oldest half hours any more once both are too old: they become one row. This is done
    /// with each row that is added, so an earner who is never settled has no more rows than half hours are kept apart.
    fn join_old(&mut self, of: Earner) {
        let horizon = self.at.plus_ms(-KEPT_MS);
        let oldest: Vec<_> = self.state.unsettled_of(of).take(2).map(|(end, row)| (end, *row)).collect();
        if let [(first_end, first), (end, row)] = oldest[..]
            && end < horizon
        {
            let table = &mut self.state.tables.unsettled;
            table.set(self.revision, (of, first_end), None);
            table.set(self.revision, (of, end), Some(first.then(row)));
        }
    }
}
