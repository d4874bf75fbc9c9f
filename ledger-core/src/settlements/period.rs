//! A period that is settled, with all versions of its statement.

use super::{Earner, Totals};
use crate::mechanism::event::Change;
use crate::{Rejection, SettlementId, State, Timestamp, WithdrawalId};
use serde::{Deserialize, Serialize};

/// A settlement can be corrected and paid for as long as this after it was closed or last corrected: a year, and a month
/// in which the year is looked at.
const STAYS_MS: i64 = 400 * 24 * 3_600 * 1_000;

/// Where the last settlement of an earner ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settled {
    pub until: Timestamp,
    pub end_revision: u64,
}

/// A settled period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledPeriod {
    pub of: Earner,
    pub from: Timestamp,
    pub to: Timestamp,
    /// Those of the last version.
    pub totals: Totals,
    /// The statement as it was closed, and its corrections.
    pub versions: Vec<SettlementId>,
    /// What was asked for by withdrawals and did not come back.
    pub paid_milli: i64,
    pub leaves_at: Timestamp,
}

impl SettledPeriod {
    /// What is left to pay; negative where too much was paid.
    pub fn open_milli(&self) -> i64 {
        self.totals.net_milli().saturating_sub(self.paid_milli)
    }
}

impl State {
    /// The period of a version of a settlement, and the id of its first version.
    pub fn settlement(&self, version: SettlementId) -> Option<(SettlementId, &SettledPeriod)> {
        let first = self.tables.settlement_versions.get(&version)?;
        Some((*first, self.tables.settlements.get(first)?))
    }

    /// The same of a version that no later one corrects.
    pub(super) fn last_version(
        &self,
        version: SettlementId,
    ) -> Result<(SettlementId, &SettledPeriod), Rejection> {
        let (first, row) = self.settlement(version).ok_or(Rejection::UnknownSettlement)?;
        match row.versions.last() {
            Some(last) if *last != version => Err(Rejection::SettlementCorrectedAlready { by: *last }),
            _ => Ok((first, row)),
        }
    }
}

impl Change<'_> {
    /// Writes a period of which `version` is the last version; it stays for a time from now on.
    pub(super) fn keep_settlement(&mut self, first: SettlementId, version: SettlementId, row: SettledPeriod) {
        let (tables, revision) = (&mut self.state.tables, self.revision);
        let leaves_at = self.at.plus_ms(STAYS_MS);
        tables.leaving_settlements.set(revision, (row.leaves_at, first), None);
        tables.leaving_settlements.set(revision, (leaves_at, first), Some(()));
        tables.settlement_versions.set(revision, version, Some(first));
        tables.settlements.set(revision, first, Some(SettledPeriod { leaves_at, ..row }));
    }

    /// Lets go of what was closed long ago, a few with each one that is closed.
    pub(super) fn forget_old_settlements(&mut self) {
        let (tables, revision) = (&mut self.state.tables, self.revision);
        for (leaves_at, first) in tables.leaving_settlements.due_before(self.at) {
            tables.leaving_settlements.set(revision, (leaves_at, first), None);
            let versions = tables.settlements.get(&first).map(|row| row.versions.clone()).unwrap_or_default();
            for version in versions {
                tables.settlement_versions.set(revision, version, None);
            }
            tables.settlements.set(revision, first, None);
        }
    }

    /// Coins of a withdrawal are the payee's again: where it was for a settlement, that is to be paid again.
    pub(crate) fn settlement_unpaid(&mut self, withdrawal: WithdrawalId, coins_milli: i64) {
        let (tables, revision) = (&mut self.state.tables, self.revision);
        let Some(first) = tables.settlement_payouts.get(&withdrawal).copied() else { return };
        tables.settlement_payouts.set(revision, withdrawal, None);
        if tables.settlements.get(&first).is_some() {
            tables.settlements.edit(revision, &first, |row| row.paid_milli -= coins_milli);
        }
    }

    /// A withdrawal leaves the state: nothing can come back of it any more.
    pub(crate) fn forget_settlement_payout(&mut self, withdrawal: WithdrawalId) {
        let table = &mut self.state.tables.settlement_payouts;
        if table.get(&withdrawal).is_some() {
            table.set(self.revision, withdrawal, None);
        }
    }
}
