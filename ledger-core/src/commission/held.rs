//! Which held earnings came out of which lots: what a lost dispute may take back from those who earned them.
//!
//! A charge notes it where the platform's policy says so and its earnings wait. Earnings that wait no longer belong to
//! whoever earned them, and their notes leave.

use super::split::CommissionSplit;
use crate::lots::Draw;
use crate::mechanism::binary::binary_fields;
use crate::mechanism::decide::Context;
use crate::mechanism::event::Change;
use crate::money::share;
use crate::{Account, Asset, LotId, State, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// So many notes are taken back by one dispute, those that wait longest first.
const MOST: usize = 1_000;

/// What was earned by coins of a lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldShare {
    pub lot: LotId,
    pub host_milli: i64,
    pub agency_milli: i64,
}

binary_fields! { HeldShare { lot: LotId, host_milli: i64, agency_milli: i64 } }

/// Held earnings that a lost dispute takes from whoever earned them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClawedShare {
    /// The earnings of a host or an agency.
    pub account: Account,
    /// The lot whose coins they were earned by, and until when they would have waited.
    pub lot: LotId,
    pub available_from: Timestamp,
    pub amount_milli: i64,
}

binary_fields! {
    ClawedShare { account: Account, lot: LotId, available_from: Timestamp, amount_milli: i64 }
}

impl Context<'_> {
    /// Divides what host and agency earn by a charge among the lots that paid for it. Lots that no purchase refers to are
    /// not noted: nobody disputes them.
    pub(super) fn held_shares(&self, draws: &[Draw], host_milli: i64, agency_milli: i64) -> Vec<HeldShare> {
        let gross_milli: i64 = draws.iter().map(|it| it.amount_milli).sum();
        let part = |earned_milli: i64, so_far: i64| {
            share(earned_milli, so_far, gross_milli).expect("a part of a charge is an amount")
        };
        let mut so_far = 0;
        let mut shares = Vec::new();
        for it in draws {
            let before = so_far;
            so_far += it.amount_milli;
            let of = |earned_milli| part(earned_milli, so_far) - part(earned_milli, before);
            let held = HeldShare { lot: it.lot, host_milli: of(host_milli), agency_milli: of(agency_milli) };
            let is_noted = self.state.lot(it.lot).is_some_and(|lot| !lot.loose);
            if is_noted && held.host_milli + held.agency_milli > 0 {
                shares.push(held);
            }
        }
        shares
    }

    /// Up to `most_milli` of what was earned by coins of these lots and still waits: what waits longest first, and never
    /// more than an account has.
    pub fn clawed(&self, lots: impl IntoIterator<Item = LotId>, most_milli: i64) -> Vec<ClawedShare> {
        let mut waiting: Vec<ClawedShare> = Vec::new();
        for lot in lots {
            waiting.extend(self.state.held_of(lot, self.at));
        }
        waiting.sort_by_key(|it| (std::cmp::Reverse(it.available_from), it.lot, it.account));
        let (mut open_milli, mut left) = (most_milli, BTreeMap::new());
        let mut clawed = Vec::new();
        for it in waiting {
            let has = || (-self.state.balance(it.account, Asset::COIN)).max(0);
            let left = left.entry(it.account).or_insert_with(has);
            let amount_milli = it.amount_milli.min(open_milli).min(*left);
            if amount_milli > 0 {
                open_milli -= amount_milli;
                *left -= amount_milli;
                clawed.push(ClawedShare { amount_milli, ..it });
            }
            if open_milli == 0 || clawed.len() == MOST {
                break;
            }
        }
        clawed
    }
}

impl State {
    /// What was earned by coins of a lot and waits at the moment `at`.
    pub fn held_of(&self, lot: LotId, at: Timestamp) -> impl Iterator<Item = ClawedShare> {
        let waiting = (lot, at.plus_ms(1))..=(lot, Timestamp(i64::MAX));
        let rows = self.tables.held_shares.range(waiting);
        rows.flat_map(|((lot, available_from), shares)| {
            shares.iter().map(|(account, amount_milli)| ClawedShare {
                account: *account,
                lot: *lot,
                available_from: *available_from,
                amount_milli: *amount_milli,
            })
        })
    }
}

impl Change<'_> {
    /// Notes what waits until when, and lets go of notes of what waits no longer.
    pub(super) fn note_held(&mut self, split: &CommissionSplit) {
        for (from, lot) in self.state.tables.held_due.due_before(self.at) {
            self.set_held((lot, from), vec![]);
        }
        let agency = split.commission.agency.map(Account::AgencyEarnings);
        for held in &split.held {
            let host = (Account::HostEarnings(split.host), held.host_milli);
            let agency = agency.map(|account| (account, held.agency_milli));
            for (account, amount_milli) in std::iter::once(host).chain(agency) {
                self.change_held(held.lot, split.available_from, account, amount_milli);
            }
        }
    }

    /// What a lost dispute took waits no longer.
    pub fn claw(&mut self, clawed: &[ClawedShare]) {
        for it in clawed {
            self.change_held(it.lot, it.available_from, it.account, -it.amount_milli);
            self.waits_less(it.account, it.available_from, it.amount_milli);
        }
    }

    /// A charge was given back: what was earned by these lots is less by its part of `amount_milli`, the latest first.
    pub fn unheld(&mut self, lots: &[(LotId, i64)], account: Account, amount_milli: i64, latest: Timestamp) {
        let all: i64 = lots.iter().map(|(_, part)| part).sum();
        let (mut so_far, mut given) = (0, 0);
        for (lot, part) in lots {
            so_far += part;
            let due = share(amount_milli, so_far, all).expect("a part of a charge is an amount");
            let mut open = due - given;
            given = due;
            let waiting = (*lot, Timestamp(i64::MIN))..=(*lot, latest);
            let rows = self.state.tables.held_shares.range(waiting).rev();
            let own = rows.filter_map(|((_, from), shares)| {
                Some((*from, shares.iter().find(|(of, _)| *of == account)?.1))
            });
            let mut less = Vec::new();
            for (from, held) in own {
                let taken = open.min(held);
                open -= taken;
                less.push((from, taken));
                if open == 0 {
                    break;
                }
            }
            for (from, taken) in less {
                self.change_held(*lot, from, account, -taken);
            }
        }
    }

    fn change_held(&mut self, lot: LotId, from: Timestamp, account: Account, by_milli: i64) {
        if by_milli == 0 {
            return;
        }
        let mut shares = self.state.tables.held_shares.get(&(lot, from)).cloned().unwrap_or_default();
        match shares.iter_mut().find(|(of, _)| *of == account) {
            Some((_, amount_milli)) => *amount_milli = (*amount_milli + by_milli).max(0),
            None => shares.push((account, by_milli.max(0))),
        }
        shares.retain(|(_, amount_milli)| *amount_milli > 0);
        self.set_held((lot, from), shares);
    }

    fn set_held(&mut self, key: (LotId, Timestamp), shares: Vec<(Account, i64)>) {
        let (tables, revision) = (&mut self.state.tables, self.revision);
        let due = (!shares.is_empty()).then_some(());
        let row = (!shares.is_empty()).then_some(shares);
        if row.is_none() && tables.held_shares.get(&key).is_none() {
            return;
        }
        tables.held_shares.set(revision, key, row);
        let calendar = (key.1, key.0);
        if tables.held_due.get(&calendar).is_some() != due.is_some() {
            tables.held_due.set(revision, calendar, due);
        }
    }
}
