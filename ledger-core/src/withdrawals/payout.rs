//! What admins decide on withdrawals, and what became of payouts.

use super::*;
use crate::mechanism::decide::{Context, Decide, check_reason, check_reference};
use crate::mechanism::envelope::commands;
use crate::{Event, PersonId, Rejection, State, WithdrawalId};

commands! {
    ApproveWithdrawal = "ApproveWithdrawal" { withdrawal: WithdrawalId }
    RejectWithdrawal = "RejectWithdrawal" { withdrawal: WithdrawalId, reason: String }
    /// The payout was handed to the bank or the payout provider, under this key.
    MarkWithdrawalSent = "MarkWithdrawalSent" { withdrawal: WithdrawalId, payout_key: String }
    /// Nobody knows what became of the payout.
    MarkWithdrawalUnknown = "MarkWithdrawalUnknown" { withdrawal: WithdrawalId, reason: String }
    MarkWithdrawalPaid = "MarkWithdrawalPaid" { withdrawal: WithdrawalId, payout_ref: String }
    FailWithdrawal = "FailWithdrawal" { withdrawal: WithdrawalId, reason: String }
    /// The money of a payout that was paid came back.
    ReverseWithdrawal = "ReverseWithdrawal" { withdrawal: WithdrawalId, reason: String }
}

/// Nobody decides on their own withdrawal.
macro_rules! money_of_the_payee {
    () => {
        fn decides_on_money_of(&self, state: &State) -> Option<PersonId> {
            state.withdrawal(self.withdrawal).map(|row| row.payee.person())
        }
    };
}

impl Decide for ApproveWithdrawal {
    money_of_the_payee!();

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let withdrawal = self.withdrawal;
        let row = requested(context, withdrawal)?;
        context.check_owes_nothing(row.payee.person())?;
        Ok(vec![WithdrawalApproved { withdrawal, payee: row.payee }.into()])
    }
}

impl Decide for RejectWithdrawal {
    money_of_the_payee!();

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let withdrawal = self.withdrawal;
        let reason = check_reason("reason", &self.reason)?;
        let row = requested(context, withdrawal)?;
        let (payee, coins_milli, postings) = (row.payee, row.coins_milli, row.returned(withdrawal));
        Ok(vec![WithdrawalRejected { withdrawal, payee, reason, coins_milli, postings }.into()])
    }
}

impl Decide for MarkWithdrawalSent {
    money_of_the_payee!();

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let withdrawal = self.withdrawal;
        let payout_key = check_reference("payout_key", &self.payout_key)?;
        let row = decided(context, withdrawal)?;
        match row.status {
            WithdrawalStatus::Sent => return Err(Rejection::WithdrawalAlreadySent),
            // It may be paid twice.
            WithdrawalStatus::Unknown => return Err(Rejection::PayoutOutcomeUnknown),
            _ => {}
        }
        context.check_owes_nothing(row.payee.person())?;
        check_unused(context, withdrawal, &payout_key)?;
        Ok(vec![WithdrawalSent { withdrawal, payee: row.payee, payout_key }.into()])
    }
}

impl Decide for MarkWithdrawalUnknown {
    money_of_the_payee!();

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let withdrawal = self.withdrawal;
        let reason = check_reason("reason", &self.reason)?;
        let row = decided(context, withdrawal)?;
        match row.status {
            WithdrawalStatus::Approved => Err(Rejection::WithdrawalNotSent),
            WithdrawalStatus::Unknown => Err(Rejection::PayoutOutcomeUnknown),
            _ => Ok(vec![WithdrawalUnknown { withdrawal, payee: row.payee, reason }.into()]),
        }
    }
}

impl Decide for MarkWithdrawalPaid {
    money_of_the_payee!();

    /// By hand after the approval, or after it was sent. What was sent, the world has done: it is recorded whatever the
    /// payee owes by now.
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let withdrawal = self.withdrawal;
        let payout_ref = check_reference("payout_ref", &self.payout_ref)?;
        let row = decided(context, withdrawal)?;
        if row.status == WithdrawalStatus::Approved {
            context.check_owes_nothing(row.payee.person())?;
        }
        check_unused(context, withdrawal, &payout_ref)?;
        let paid = WithdrawalPaid {
            withdrawal,
            payee: row.payee,
            payout_ref,
            coins_milli: row.coins_milli,
            gross_minor: row.gross_minor,
            tax_minor: row.tax_minor,
            payout_minor: row.payout_minor,
            payout_asset: row.payout_asset,
            postings: row.paid_out(withdrawal),
        };
        Ok(vec![paid.into()])
    }
}

impl Decide for FailWithdrawal {
    money_of_the_payee!();

    /// No money left: the payee has the coins back.
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let withdrawal = self.withdrawal;
        let reason = check_reason("reason", &self.reason)?;
        let row = decided(context, withdrawal)?;
        let (payee, coins_milli, postings) = (row.payee, row.coins_milli, row.returned(withdrawal));
        Ok(vec![WithdrawalFailed { withdrawal, payee, reason, coins_milli, postings }.into()])
    }
}

impl Decide for ReverseWithdrawal {
    money_of_the_payee!();

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let withdrawal = self.withdrawal;
        let reason = check_reason("reason", &self.reason)?;
        let row = context.state.withdrawal(withdrawal).ok_or(Rejection::UnknownWithdrawal)?;
        match row.status {
            WithdrawalStatus::Paid => {}
            status if status.is_open() => return Err(Rejection::WithdrawalNotPaid),
            _ => return Err(Rejection::WithdrawalClosed),
        }
        let reversed = WithdrawalReversed {
            withdrawal,
            payee: row.payee,
            reason,
            coins_milli: row.coins_milli,
            gross_minor: row.gross_minor,
            tax_minor: row.tax_minor,
            payout_minor: row.payout_minor,
            payout_asset: row.payout_asset,
            postings: row.come_back(),
        };
        Ok(vec![reversed.into()])
    }
}

/// A withdrawal on which nobody has decided.
pub(super) fn requested<'a>(
    context: &'a Context,
    withdrawal: WithdrawalId,
) -> Result<&'a Withdrawal, Rejection> {
    let row = context.state.withdrawal(withdrawal).ok_or(Rejection::UnknownWithdrawal)?;
    match row.status {
        WithdrawalStatus::Requested => Ok(row),
        status if status.is_open() => Err(Rejection::WithdrawalAlreadyApproved),
        _ => Err(Rejection::WithdrawalClosed),
    }
}

/// A withdrawal that was approved, and whose payout is not known to have ended.
fn decided<'a>(context: &'a Context, withdrawal: WithdrawalId) -> Result<&'a Withdrawal, Rejection> {
    let row = context.state.withdrawal(withdrawal).ok_or(Rejection::UnknownWithdrawal)?;
    match row.status {
        WithdrawalStatus::Requested => Err(Rejection::WithdrawalNotApproved),
        status if status.is_open() => Ok(row),
        _ => Err(Rejection::WithdrawalClosed),
    }
}

/// A key or reference of a payout belongs to one withdrawal for ever.
fn check_unused(context: &Context, of: WithdrawalId, payout_ref: &str) -> Result<(), Rejection> {
    match context.state.withdrawal_of_payout(payout_ref) {
        Some(withdrawal) if withdrawal != of => Err(Rejection::PayoutRefUsed { withdrawal }),
        _ => Ok(()),
    }
}
