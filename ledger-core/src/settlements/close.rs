//! The statement of a period: drafted, and closed.

use super::period::SettledPeriod;
use super::{CUT_OFF_STEP_MS, Earner, KEPT_MS, Settled, Totals};
use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{Event, MAX_AMOUNT, PersonId, Posting, Rejection, SettlementId, State, Timestamp};
use uuid::Uuid;

commands! {
    /// Settles what an earner has earned before a cut-off and no settlement covers.
    CloseSettlement = "CloseSettlement" {
        of: Earner,
        /// Where the last settlement ends when absent.
        from: Option<Timestamp>,
        /// The cut-off, which is not part of the period; when absent the present moment.
        to: Option<Timestamp>,
    }
}

events! {
    /// The statement of a period, which never changes again.
    SettlementClosed = "SettlementClosed" {
        settlement: SettlementId,
        of: Earner,
        from: Timestamp,
        /// The cut-off: what was recorded at this moment or later belongs to the next settlement.
        to: Timestamp,
        /// The items are those from this revision on and before `end_revision`.
        first_revision: u64,
        end_revision: u64,
        totals: Totals,
        /// What it comes to for the earner.
        net_milli: i64,
    }
}

/// What a settlement would say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    pub from: Timestamp,
    pub to: Timestamp,
    pub first_revision: u64,
    pub end_revision: u64,
    pub totals: Totals,
}

impl State {
    /// The statement that [`CloseSettlement`] would close at the moment `at`.
    ///
    /// # Errors
    /// Why it would be refused.
    pub fn statement_draft(&self, draft: &CloseSettlement, at: Timestamp) -> Result<Statement, Rejection> {
        let &CloseSettlement { of, from, to } = draft;
        let cut_off = to.unwrap_or(at);
        if cut_off > at {
            return Err(Rejection::CutOffInFuture { latest: at });
        }
        if to.is_some() && cut_off.0.rem_euclid(CUT_OFF_STEP_MS) != 0 {
            return Err(Rejection::CutOffUneven);
        }
        let earliest = at.plus_ms(-KEPT_MS);
        if cut_off < earliest {
            return Err(Rejection::CutOffTooOld { earliest });
        }
        if from.is_some_and(|from| from >= cut_off) {
            return Err(Rejection::SettlementPeriodEmpty);
        }
        let last = self.settled(of);
        if let Some(until) = last.map(|last| last.until)
            && (cut_off <= until || from.is_some_and(|from| from < until))
        {
            return Err(Rejection::AlreadySettled { until });
        }
        // Only the present moment can lie within a half hour. Up to it is all that is recorded.
        let is_within = cut_off.0.rem_euclid(CUT_OFF_STEP_MS) != 0;
        let covered = self.unsettled_of(of).filter(|(end, _)| is_within || *end <= cut_off);
        let covered = covered.map(|(_, row)| *row).reduce(|before, row| before.then(row));
        let covered = covered.ok_or(Rejection::NothingToSettle)?;
        let Totals { gross_milli, platform_milli, earned_milli, adjusted_milli, .. } = covered.totals;
        let largest = [gross_milli, platform_milli, earned_milli, adjusted_milli, covered.totals.net_milli()];
        if largest.iter().any(|amount| amount.unsigned_abs() > MAX_AMOUNT.unsigned_abs()) {
            return Err(Rejection::AmountTooLarge { field: "gross_milli" });
        }
        Ok(Statement {
            from: from.or(last.map(|last| last.until)).unwrap_or(covered.since),
            to: cut_off,
            first_revision: last.map_or(0, |last| last.end_revision),
            end_revision: covered.last_revision + 1,
            totals: covered.totals,
        })
    }

    /// Until when an earner is settled.
    pub fn settled_until(&self, of: Earner) -> Option<Timestamp> {
        self.settled(of).map(|last| last.until)
    }

    fn settled(&self, of: Earner) -> Option<Settled> {
        self.tables.settled.get(&of).copied()
    }
}

impl Decide for CloseSettlement {
    fn decides_on_money_of(&self, _: &State) -> Option<PersonId> {
        self.of.person()
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let Statement { from, to, first_revision, end_revision, totals } =
            context.state.statement_draft(self, context.at)?;
        let closed = SettlementClosed {
            settlement: context.command_id.derive("settlement"),
            of: self.of,
            from,
            to,
            first_revision,
            end_revision,
            totals,
            net_milli: totals.net_milli(),
        };
        Ok(vec![closed.into()])
    }
}

impl Happened for SettlementClosed {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        self.of.person().into_iter().collect()
    }

    fn correlation(&self) -> Option<Uuid> {
        Some(self.settlement.0)
    }

    fn evolve(&self, change: &mut Change) {
        change.forget_old_settlements();
        let covered = change.state.unsettled_of(self.of);
        let covered = covered.take_while(|(_, row)| row.last_revision < self.end_revision);
        let covered: Vec<Timestamp> = covered.map(|(end, _)| end).collect();
        let tables = &mut change.state.tables;
        for end in covered {
            tables.unsettled.set(change.revision, (self.of, end), None);
        }
        let last = Settled { until: self.to, end_revision: self.end_revision };
        tables.settled.set(change.revision, self.of, Some(last));
        let row = SettledPeriod {
            of: self.of,
            from: self.from,
            to: self.to,
            totals: self.totals,
            versions: vec![self.settlement],
            paid_milli: 0,
            leaves_at: change.at,
        };
        change.keep_settlement(self.settlement, self.settlement, row);
    }
}
