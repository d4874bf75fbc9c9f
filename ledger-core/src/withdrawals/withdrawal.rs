//! A withdrawal as the ledger sees it.

use super::Payee;
use crate::account::{add_legs, legs};
use crate::mechanism::event::Change;
use crate::state::KEY_LIFE_MS;
use crate::{Account, Asset, Posting, State, Timestamp, WithdrawalId};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalStatus {
    Requested,
    Approved,
    Rejected,
    Cancelled,
    /// The payout was handed to the bank or the payout provider.
    Sent,
    /// It was sent, and nobody knows what became of it. It is never sent again.
    Unknown,
    Paid,
    Failed,
    /// It was paid, and the money came back.
    Reversed,
}

impl WithdrawalStatus {
    /// Whether its coins are still held.
    pub fn is_open(self) -> bool {
        use WithdrawalStatus::*;
        match self {
            Requested | Approved | Sent | Unknown => true,
            Rejected | Cancelled | Paid | Failed | Reversed => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    #[serde(with = "super::payee::Stored")]
    pub payee: Payee,
    pub coins_milli: i64,
    /// What the coins are worth, the tax that is withheld of it, and what is paid out.
    pub gross_minor: i64,
    pub tax_minor: i64,
    pub payout_minor: i64,
    pub payout_asset: Asset,
    pub status: WithdrawalStatus,
    /// The day (UTC) of the request, since 1970.
    pub day: i64,
    /// When it leaves the state; absent while a decision or a payout is still to come.
    pub leaves_at: Option<Timestamp>,
}

/// Nothing can happen to a rejected, cancelled, failed or reversed withdrawal. It stays as long as a client's key lives,
/// so that a late command about it is answered `withdrawal_closed`.
const CLOSED_STAYS_MS: i64 = KEY_LIFE_MS;
/// A payout can come back from the bank for as long as this.
const PAID_STAYS_MS: i64 = 180 * DAY_MS;
const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// The day (UTC) of a moment, since 1970.
pub(super) fn day_of(at: Timestamp) -> i64 {
    at.0.div_euclid(DAY_MS)
}

impl Withdrawal {
    /// The held coins are the payee's again.
    pub(super) fn returned(&self, id: WithdrawalId) -> Vec<Posting> {
        legs(Asset::COIN, Account::WithdrawalHeld(id), self.payee.earnings(), self.coins_milli)
    }

    /// The held coins become money: what is paid out leaves the bank, the tax is owed to the state.
    pub(super) fn paid_out(&self, id: WithdrawalId) -> Vec<Posting> {
        let exchange = Account::ExchangeCoins;
        let mut postings = legs(Asset::COIN, Account::WithdrawalHeld(id), exchange, self.coins_milli);
        add_legs(&mut postings, self.payout_asset, exchange, Account::PlatformBank, self.payout_minor);
        add_legs(&mut postings, self.payout_asset, exchange, Account::PlatformTax, self.tax_minor);
        postings
    }

    /// The money is back, no tax is owed for it, and the coins are the payee's again.
    pub(super) fn come_back(&self) -> Vec<Posting> {
        let exchange = Account::ExchangeCoins;
        let mut postings = legs(Asset::COIN, exchange, self.payee.earnings(), self.coins_milli);
        add_legs(&mut postings, self.payout_asset, Account::PlatformBank, exchange, self.payout_minor);
        add_legs(&mut postings, self.payout_asset, Account::PlatformTax, exchange, self.tax_minor);
        postings
    }
}

impl State {
    pub fn withdrawal(&self, withdrawal: WithdrawalId) -> Option<&Withdrawal> {
        self.tables.withdrawals.get(&withdrawal)
    }

    /// The withdrawal that was sent or paid under this key or reference.
    pub fn withdrawal_of_payout(&self, payout_ref: &str) -> Option<WithdrawalId> {
        self.tables.payout_refs.get(&payout_ref.to_owned()).copied()
    }

    /// What was asked for on a day and did not come back on it.
    pub(super) fn withdrawn_on(&self, day: i64, earnings: Account) -> i64 {
        self.tables.withdrawn.get(&(day, earnings)).copied().unwrap_or(0)
    }
}

impl Change<'_> {
    pub(super) fn set_withdrawal_status(&mut self, id: WithdrawalId, status: WithdrawalStatus) {
        let stays_ms = match status {
            status if status.is_open() => None,
            WithdrawalStatus::Paid => Some(PAID_STAYS_MS),
            _ => Some(CLOSED_STAYS_MS),
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

    /// The key or reference stays taken, whatever becomes of the payout.
    pub(super) fn take_payout_ref(&mut self, payout_ref: &str, id: WithdrawalId) {
        self.state.tables.payout_refs.set(self.revision, payout_ref.to_owned(), Some(id));
    }

    /// Counts what is asked for on a day, or (negative) comes back. What came back on a later day is not counted: that
    /// day is over.
    pub(super) fn count_withdrawn(&mut self, day: i64, earnings: Account, coins_milli: i64) {
        if day == day_of(self.at) {
            let left_milli = self.state.withdrawn_on(day, earnings) + coins_milli;
            let row = (left_milli > 0).then_some(left_milli);
            self.state.tables.withdrawn.set(self.revision, (day, earnings), row);
        }
    }

    /// Lets go of withdrawals to which nothing can happen any more, and of what was withdrawn on days that are over. A
    /// few at each request, so that requests stay cheap and the state shrinks as fast as it grows.
    pub(super) fn forget_finished_withdrawals(&mut self) {
        const AT_ONCE: usize = 4;
        let today = day_of(self.at);
        for key in self.state.tables.leaving_withdrawals.due_before(self.at) {
            self.forget_settlement_payout(key.1);
            let tables = &mut self.state.tables;
            tables.leaving_withdrawals.set(self.revision, key, None);
            tables.withdrawals.set(self.revision, key.1, None);
        }
        let tables = &mut self.state.tables;
        let earliest = tables.withdrawn.iter().take(AT_ONCE).map(|(key, _)| *key);
        let over: Vec<_> = earliest.take_while(|(day, _)| *day < today).collect();
        for key in over {
            tables.withdrawn.set(self.revision, key, None);
        }
    }
}
