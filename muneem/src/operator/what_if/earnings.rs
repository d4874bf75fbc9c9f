//! What a host or an agency has, and how much of it waits, by the ledger's rules.

use ledger_core::Timestamp;
use ledger_core::commission::available_from;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Earnings {
    pub(super) balance_milli: i64,
    /// By the moment until which it waits.
    waiting: BTreeMap<Timestamp, i64>,
}

impl Earnings {
    pub(super) fn earn(&mut self, at: Timestamp, amount_milli: i64, from: Timestamp) {
        self.balance_milli += amount_milli;
        self.waiting = self.waiting.split_off(&at.plus_ms(1));
        if from > at && amount_milli > 0 {
            *self.waiting.entry(from).or_default() += amount_milli;
        }
    }

    /// What a call gives back leaves what waits too: the latest first.
    pub(super) fn unearn(&mut self, at: Timestamp, amount_milli: i64, hold_seconds: u32) {
        self.balance_milli -= amount_milli;
        let mut open = amount_milli;
        for waiting in self.waiting.range_mut(..=available_from(at, hold_seconds)).rev().map(|it| it.1) {
            let part = open.min(*waiting);
            *waiting -= part;
            open -= part;
        }
    }

    pub(super) fn withdrawable_milli(&self, at: Timestamp) -> i64 {
        let waiting: i64 = self.waiting.range(at.plus_ms(1)..).map(|it| it.1).sum();
        (self.balance_milli - waiting).max(0)
    }
}
