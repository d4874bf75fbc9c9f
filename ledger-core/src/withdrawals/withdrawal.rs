//! A withdrawal as the ledger sees it.

use super::Payee;
use crate::mechanism::event::Change;
use crate::state::KEY_LIFE_MS;
use crate::{Asset, State, Timestamp, WithdrawalId};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalStatus {
    Requested,
    Approved,
    Rejected,
    Cancelled,
    Paid,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    #[serde(with = "super::payee::Stored")]
    pub payee: Payee,
    pub coins_milli: i64,
    #[serde(with = "rust_decimal::serde::str")]
    pub rate: Decimal,
    pub payout_minor: i64,
    pub payout_asset: Asset,
    pub status: WithdrawalStatus,
    /// When it leaves the state; absent while a decision or a payout is still to come.
    pub leaves_at: Option<Timestamp>,
}

/// Nothing can happen to a rejected, cancelled or failed withdrawal. It stays as long as a client's key lives, so
/// that a late command about it is answered `withdrawal_closed`.
const CLOSED_STAYS_MS: i64 = KEY_LIFE_MS;
/// A payout can come back from the bank for as long as this.
const PAID_STAYS_MS: i64 = 180 * 24 * 3_600 * 1_000;

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
        let stays_ms = match status {
            WithdrawalStatus::Requested | WithdrawalStatus::Approved => None,
            WithdrawalStatus::Paid => Some(PAID_STAYS_MS),
            WithdrawalStatus::Rejected | WithdrawalStatus::Cancelled | WithdrawalStatus::Failed => {
                Some(CLOSED_STAYS_MS)
            }
        };
        let leaves_at = stays_ms.map(|stays_ms| self.at.plus_ms(stays_ms));
        let tables = &mut self.state.tables;
        let before = tables.withdrawals.get(&id).and_then(|row| row.leaves_at);
        if let Some(before) = before {
            tables.leaving_withdrawals.set(self.revision, (before, id), None);
        }
        if let Some(leaves_at) = leaves_at {
            tables.leaving_withdrawals.set(self.revision, (leaves_at, id), Some(()));
        }
        tables.withdrawals.edit(self.revision, &id, |row| (row.status, row.leaves_at) = (status, leaves_at));
    }

    /// Lets go of withdrawals to which nothing can happen any more. A few at each request, so that requests stay
    /// cheap and the state shrinks as fast as it grows.
    pub(super) fn forget_finished_withdrawals(&mut self) {
        let tables = &mut self.state.tables;
        for key in tables.leaving_withdrawals.due_before(self.at) {
            tables.leaving_withdrawals.set(self.revision, key, None);
            tables.withdrawals.set(self.revision, key.1, None);
        }
    }
}
