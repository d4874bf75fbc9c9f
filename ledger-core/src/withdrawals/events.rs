//! What happens to withdrawals.

use super::{Payee, Withdrawal, WithdrawalStatus};
use crate::mechanism::event::{Change, Happened, events};
use crate::{Asset, PersonId, Posting, WithdrawalId};
use rust_decimal::Decimal;

events! {
    WithdrawalRequested = "WithdrawalRequested" {
        withdrawal: WithdrawalId,
        payee: Payee,
        coins_milli: i64,
        /// Units of the payout asset for one coin, as a decimal text.
        #[schemars(with = "String")]
        rate: Decimal,
        payout_minor: i64,
        payout_asset: Asset,
        postings: Vec<Posting>,
    }
    WithdrawalApproved = "WithdrawalApproved" { withdrawal: WithdrawalId, payee: Payee }
    WithdrawalRejected = "WithdrawalRejected" {
        withdrawal: WithdrawalId,
        payee: Payee,
        reason: String,
        coins_milli: i64,
        postings: Vec<Posting>,
    }
    WithdrawalCancelled = "WithdrawalCancelled" {
        withdrawal: WithdrawalId,
        payee: Payee,
        coins_milli: i64,
        postings: Vec<Posting>,
    }
    WithdrawalPaid = "WithdrawalPaid" {
        withdrawal: WithdrawalId,
        payee: Payee,
        /// What the bank or gateway calls the payout.
        payout_ref: String,
        coins_milli: i64,
        payout_minor: i64,
        payout_asset: Asset,
        postings: Vec<Posting>,
    }
    /// The payout did not arrive: the coins are the payee's again.
    WithdrawalFailed = "WithdrawalFailed" {
        withdrawal: WithdrawalId,
        payee: Payee,
        reason: String,
        /// Whether it had been marked as paid: then the fiat came back too.
        was_paid: bool,
        coins_milli: i64,
        payout_minor: i64,
        payout_asset: Asset,
        postings: Vec<Posting>,
    }
}

impl Happened for WithdrawalRequested {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.payee.person()]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.withdrawal.0)
    }

    fn evolve(&self, change: &mut Change) {
        let withdrawal = Withdrawal {
            payee: self.payee,
            coins_milli: self.coins_milli,
            rate: self.rate,
            payout_minor: self.payout_minor,
            payout_asset: self.payout_asset,
            status: WithdrawalStatus::Requested,
            leaves_at: None,
        };
        change.forget_finished_withdrawals();
        change.state.tables.withdrawals.set(change.revision, self.withdrawal, Some(withdrawal));
    }
}

impl Happened for WithdrawalApproved {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.payee.person()]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.withdrawal.0)
    }

    fn evolve(&self, change: &mut Change) {
        change.set_withdrawal_status(self.withdrawal, WithdrawalStatus::Approved);
    }
}

impl Happened for WithdrawalPaid {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.payee.person()]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.withdrawal.0)
    }

    fn evolve(&self, change: &mut Change) {
        change.set_withdrawal_status(self.withdrawal, WithdrawalStatus::Paid);
        // The bank has used the reference: it stays taken when the payout comes back.
        let payout_refs = &mut change.state.tables.payout_refs;
        payout_refs.set(change.revision, self.payout_ref.clone(), Some(self.withdrawal));
    }
}

/// The events that give the coins back to the payee, each with the status that it leads to.
macro_rules! gives_back {
    ($($event:ident => $status:ident;)*) => {$(
        impl Happened for $event {
            fn postings(&self) -> &[Posting] {
                &self.postings
            }

            fn people(&self) -> Vec<PersonId> {
                vec![self.payee.person()]
            }

            fn correlation(&self) -> Option<uuid::Uuid> {
                Some(self.withdrawal.0)
            }

            fn evolve(&self, change: &mut Change) {
                change.set_withdrawal_status(self.withdrawal, WithdrawalStatus::$status);
            }
        }
    )*};
}

gives_back! {
    WithdrawalRejected => Rejected;
    WithdrawalCancelled => Cancelled;
    WithdrawalFailed => Failed;
}
