//! Settlements, their totals counted again from the postings, and held against the balances of those who earned.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::settlements::{EarningMoveRow, SettlementPayoutRow, SettlementVersionRow};
use chrono::{DateTime, Utc};
use ledger_core::event::{Earner, SettlementClosed};
use ledger_core::{Account, Asset, Event, State};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

named!(SettlementVersionRow: "settlements", |row| row.settlement.to_string());
named!(SettlementPayoutRow: "settlement_payouts", |row| row.withdrawal.to_string());
named!(EarningMoveRow: "earning_moves", |row| row.earner.to_string());

/// A day has so many half hours, and a moment lies in one of them.
const HALF_HOUR_MS: i64 = 1_800_000;

/// What an earner was charged for and got in a half hour.
#[derive(Clone, Copy, Default)]
struct Earned {
    items: i64,
    gross: i64,
    platform: i64,
    own: i64,
    adjusted: i64,
    last: i64,
}

impl Earned {
    fn add(&mut self, other: Earned) {
        self.items += other.items;
        self.gross += other.gross;
        self.platform += other.platform;
        self.own += other.own;
        self.adjusted += other.adjusted;
        self.last = self.last.max(other.last);
    }
}

#[derive(Default)]
pub(super) struct Settlements {
    /// What no settlement covers yet, by the half hour in which it was recorded.
    open: BTreeMap<Earner, BTreeMap<i64, Earned>>,
    /// Where the last settlement of each earner ended.
    ends: BTreeMap<Earner, i64>,
    /// What moved in an account of earnings otherwise: withdrawals.
    withdrawn: BTreeMap<Earner, i64>,
    settled: BTreeMap<Earner, i64>,
    versions: BTreeMap<Uuid, SettlementVersionRow>,
    payouts: Vec<SettlementPayoutRow>,
    moves: Vec<EarningMoveRow>,
}

impl Opinion for Settlements {
    const GROWING: &[(&str, &str)] = &[("settlement_payouts", "revision"), ("earning_moves", "revision")];

    fn add(&mut self, told: &Told<'_>) {
        self.moved(told);
        match told.event() {
            Event::SettlementClosed(it) => self.closed(it, told),
            Event::SettlementCorrected(it) => {
                let Some(before) = self.versions.get_mut(&it.corrects.0) else { return };
                let mut row = before.clone();
                before.corrected_by = Some(it.settlement.0);
                before.revision = told.revision;
                row.revision = told.revision;
                row.settlement = it.settlement.0;
                row.corrects = Some(it.corrects.0);
                row.corrected_by = None;
                row.version += 1;
                // Both follow from what was moved.
                let moved = gained(told.event(), it.of.account());
                row.adjusted_milli += moved;
                row.net_milli += moved;
                row.correction_milli = Some(moved);
                row.reason = Some(it.reason.clone());
                row.note = it.note.map(|note| note.0);
                (row.closed_at, row.closed_revision) = (told.at, told.revision);
                self.versions.insert(row.settlement, row);
            }
            Event::SettlementPayoutRequested(it) => self.payouts.push(SettlementPayoutRow {
                revision: told.revision,
                first: it.first.0,
                settlement: it.settlement.0,
                withdrawal: it.withdrawal.0,
                coins_milli: it.coins_milli,
            }),
            _ => {}
        }
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, state: &State) -> Result<(), Stop> {
        // What was settled, what waits and what was withdrawn is what stands in the account.
        for (of, withdrawn) in &self.withdrawn {
            let waits: i64 =
                self.open.get(of).into_iter().flatten().map(|(_, it)| it.own + it.adjusted).sum();
            let settled = self.settled.get(of).copied().unwrap_or(0);
            let balance = -state.balance(of.account(), Asset::COIN);
            let revision = state.revision().unwrap_or(0);
            comparison.same(
                "settled earnings",
                of.account(),
                revision,
                balance,
                settled + waits + withdrawn,
            )?;
            comparison.same(
                "unsettled earnings",
                of.account(),
                revision,
                state.unsettled(*of).net_milli(),
                waits,
            )?;
        }
        let rows = self.versions.values().cloned().collect();
        comparison
            .table("SELECT * FROM read.settlements ORDER BY closed_revision", rows, |row| row.settlement)
            .await?;
        let order = "SELECT * FROM read.settlement_payouts ORDER BY revision";
        comparison.table(order, self.payouts.clone(), |row| row.revision).await?;
        let order = "SELECT * FROM read.earning_moves ORDER BY revision, earner";
        comparison.table(order, self.moves.clone(), |row| (row.revision, row.earner)).await
    }
}

/// What the owner of an account gained by an event.
fn gained(event: &Event, account: Account) -> i64 {
    event.postings().iter().filter(|it| it.account == account).map(|it| -it.amount).sum()
}

impl Settlements {
    /// Notes what an event moved in accounts of earnings.
    fn moved(&mut self, told: &Told<'_>) {
        let event = told.event();
        let earns = |sign: i64, gross: i64, platform: i64| Earned {
            items: 1,
            gross: sign * gross,
            platform: sign * platform,
            last: told.revision,
            ..Earned::default()
        };
        match event {
            Event::CommissionSplit(it) => {
                let earned = earns(1, it.gross_milli, it.platform_milli);
                let agency = it.commission.agency.map(Earner::Agency);
                for of in [Some(Earner::Host(it.host)), agency].into_iter().flatten() {
                    self.earned(of, told, Earned { own: gained(event, of.account()), ..earned });
                }
            }
            Event::CallChargeReturned(it) => {
                let earned = earns(-1, it.returned_milli, it.platform_milli);
                let agency = it.commission.agency.map(Earner::Agency);
                for of in [Some(Earner::Host(it.host)), agency].into_iter().flatten() {
                    self.earned(of, told, Earned { own: gained(event, of.account()), ..earned });
                }
            }
            Event::OrderRefunded(it) => {
                // Before it is completed nobody has earned by it.
                let Some((host, rule)) = it.provider.zip(it.commission).filter(|_| it.completed) else { return };
                let earned = earns(-1, it.amount_milli + it.discount_milli, it.platform_milli);
                let agency = rule.agency.map(Earner::Agency);
                for of in [Some(Earner::Host(host)), agency].into_iter().flatten() {
                    self.earned(of, told, Earned { own: gained(event, of.account()), ..earned });
                }
            }
            Event::SettlementCorrected(it) => {
                *self.settled.entry(it.of).or_default() += gained(event, it.of.account());
            }
            other if other.kind().starts_with("Withdrawal") => {
                for posting in other.postings() {
                    if let Some(of) = Earner::of(posting.account) {
                        *self.withdrawn.entry(of).or_default() -= posting.amount;
                    }
                }
            }
            other => {
                let moved: BTreeSet<Earner> =
                    other.postings().iter().filter_map(|it| Earner::of(it.account)).collect();
                for of in moved {
                    let earner = match of {
                        Earner::Host(host) => host.0,
                        Earner::Agency(agency) => agency.0,
                    };
                    self.moves.push(EarningMoveRow { earner, revision: told.revision });
                    let adjusted = gained(event, of.account());
                    self.earned(of, told, Earned { adjusted, ..earns(1, 0, 0) });
                }
            }
        }
    }

    fn earned(&mut self, of: Earner, told: &Told<'_>, earned: Earned) {
        self.withdrawn.entry(of).or_default();
        let half_hour = told.at.timestamp_millis().div_euclid(HALF_HOUR_MS);
        self.open.entry(of).or_default().entry(half_hour).or_default().add(earned);
    }

    /// The half hours before the cut-off are covered. Where it lies within one, it is the moment of closing, and
    /// everything is.
    fn closed(&mut self, it: &SettlementClosed, told: &Told<'_>) {
        let open = self.open.entry(it.of).or_default();
        let later = match it.to.0.rem_euclid(HALF_HOUR_MS) {
            0 => open.split_off(&it.to.0.div_euclid(HALF_HOUR_MS)),
            _ => BTreeMap::new(),
        };
        let mut sum = Earned::default();
        std::mem::replace(open, later).into_values().for_each(|earned| sum.add(earned));
        *self.settled.entry(it.of).or_default() += sum.own + sum.adjusted;
        let end = sum.last + 1;
        let first = self.ends.insert(it.of, end).unwrap_or(0);
        let (host, agency) = match it.of {
            Earner::Host(host) => (Some(host.0), None),
            Earner::Agency(agency) => (None, Some(agency.0)),
        };
        let closed_at: DateTime<Utc> = told.at;
        let row = SettlementVersionRow {
            settlement: it.settlement.0,
            closed_revision: told.revision,
            first: it.settlement.0,
            version: 1,
            corrects: None,
            corrected_by: None,
            host,
            agency,
            starts_at: it.from.to_utc(),
            ends_at: it.to.to_utc(),
            first_revision: first,
            end_revision: end,
            items: sum.items,
            gross_milli: sum.gross,
            platform_milli: sum.platform,
            others_milli: sum.gross - sum.platform - sum.own,
            earned_milli: sum.own,
            adjusted_milli: sum.adjusted,
            net_milli: sum.own + sum.adjusted,
            correction_milli: None,
            reason: None,
            note: None,
            closed_at,
            revision: told.revision,
        };
        self.versions.insert(row.settlement, row);
    }
}
