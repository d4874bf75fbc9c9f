//! A later version of a statement.

use super::{Earner, SettledPeriod, Totals};
use crate::account::legs;
use crate::mechanism::decide::{Context, Decide, check_amount, check_reason};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{
    Account, Asset, Event, MAX_AMOUNT, NoteId, PersonId, Posting, Rejection, SettlementId, State, Timestamp,
};
use uuid::Uuid;

commands! {
    /// Corrects what was settled by a difference.
    CorrectSettlement = "CorrectSettlement" {
        /// The last version.
        settlement: SettlementId,
        /// What the earner gains (positive) or loses (negative).
        amount_milli: i64,
        reason: String,
        note: Option<NoteId>,
    }
}

events! {
    /// A later version of a statement, by which an account is corrected. It belongs to the period that it corrects, and to
    /// no later one.
    SettlementCorrected = "SettlementCorrected" {
        settlement: SettlementId,
        /// The version that it corrects, and the first one.
        corrects: SettlementId,
        first: SettlementId,
        /// Versions count from 1.
        version: u32,
        of: Earner,
        from: Timestamp,
        to: Timestamp,
        amount_milli: i64,
        reason: String,
        note: Option<NoteId>,
        /// The new totals of the period.
        totals: Totals,
        net_milli: i64,
        postings: Vec<Posting>,
    }
}

impl Decide for CorrectSettlement {
    fn decides_on_money_of(&self, state: &State) -> Option<PersonId> {
        state.settlement(self.settlement).and_then(|(_, row)| row.of.person())
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &CorrectSettlement { settlement, amount_milli, ref reason, note } = self;
        let field = "amount_milli";
        let too_large = Rejection::AmountTooLarge { field };
        check_amount(field, amount_milli.checked_abs().ok_or(too_large.clone())?)?;
        let reason = check_reason("reason", reason)?;
        let (first, row) = context.state.last_version(settlement)?;
        let account = row.of.account();
        let balance_milli = -context.state.balance(account, Asset::COIN);
        if balance_milli + amount_milli < 0 {
            return Err(Rejection::AdjustmentOverdraws { balance_milli });
        }
        let totals = row.totals.plus(Totals { adjusted_milli: amount_milli, ..Totals::default() });
        let net_milli = totals.net_milli();
        if [totals.adjusted_milli, net_milli].iter().any(|it| it.unsigned_abs() > MAX_AMOUNT.unsigned_abs()) {
            return Err(too_large);
        }
        let other = Account::PlatformAdjustments;
        let (debit, credit) = if amount_milli > 0 { (other, account) } else { (account, other) };
        let corrected = SettlementCorrected {
            settlement: context.command_id.derive("settlement"),
            corrects: settlement,
            first,
            version: u32::try_from(row.versions.len()).unwrap_or(u32::MAX).saturating_add(1),
            of: row.of,
            from: row.from,
            to: row.to,
            amount_milli,
            reason,
            note,
            totals,
            net_milli,
            postings: legs(Asset::COIN, debit, credit, amount_milli.abs()),
        };
        Ok(vec![corrected.into()])
    }
}

impl Happened for SettlementCorrected {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn people(&self) -> Vec<PersonId> {
        self.of.person().into_iter().collect()
    }

    fn correlation(&self) -> Option<Uuid> {
        Some(self.first.0)
    }

    fn evolve(&self, change: &mut Change) {
        let row = change.state.tables.settlements.get(&self.first).cloned();
        let before = row.expect("an event corrects only what an earlier event closed");
        let versions = before.versions.iter().copied().chain([self.settlement]).collect();
        let row = SettledPeriod { totals: self.totals, versions, ..before };
        change.keep_settlement(self.first, self.settlement, row);
    }
}
