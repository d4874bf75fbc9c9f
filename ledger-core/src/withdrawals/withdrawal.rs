//! A withdrawal as the ledger sees it.

use crate::mechanism::event::Change;
use crate::{Asset, PersonId, State, WithdrawalId};
use rust_decimal::Decimal;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalStatus {
    Requested,
    Approved,
    Rejected,
    Cancelled,
    Paid,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Withdrawal {
    pub host: PersonId,
    pub coins_milli: i64,
    pub rate: Decimal,
    pub payout_minor: i64,
    pub payout_asset: Asset,
    pub status: WithdrawalStatus,
}

impl State {
    pub fn withdrawal(&self, withdrawal: WithdrawalId) -> Option<&Withdrawal> {
        self.tables.withdrawals.get(&withdrawal)
    }

    /// The withdrawal that was paid under this reference.
    pub fn withdrawal_of_payout(&self, payout_ref: &str) -> Option<WithdrawalId> {
        self.tables.payout_refs.get(&payout_ref.to_owned()).copied()
    }
}

impl Change<'_> {
    pub(super) fn set_withdrawal_status(&mut self, id: WithdrawalId, status: WithdrawalStatus) {
        self.state.tables.withdrawals.edit(self.revision, &id, |row| row.status = status);
    }
}
