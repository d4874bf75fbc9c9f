//! What happens to withdrawals.

use super::withdrawal::day_of;
use super::{Payee, Withdrawal, WithdrawalStatus};
use crate::mechanism::binary::binary_fields;
use crate::mechanism::event::{Change, Happened, events};
use crate::{Asset, PersonId, Posting, WithdrawalId};
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The rules that held when a withdrawal was requested. They decide on it to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WithdrawalTerms {
    pub minimum_milli: i64,
    /// What one payee may withdraw in a day (UTC); anything when absent.
    pub daily_limit_milli: Option<i64>,
    pub earnings_hold_seconds: u32,
    /// Whether an admin had verified where the payee is paid.
    pub payee_verified: bool,
    /// Units of the payout asset for one coin, as a decimal text.
    #[schemars(with = "String")]
    pub rate: Decimal,
    /// The part that is withheld as tax, in basis points.
    pub tax_bps: u32,
}

binary_fields! { WithdrawalTerms {
    minimum_milli: i64,
    daily_limit_milli: Option<i64>,
    earnings_hold_seconds: u32,
    payee_verified: bool,
    rate: Decimal,
    tax_bps: u32,
} }

events! {
    WithdrawalRequested = "WithdrawalRequested" {
        withdrawal: WithdrawalId,
        payee: Payee,
        coins_milli: i64,
        terms: WithdrawalTerms,
        /// What the coins are worth, rounded down; the tax of it, rounded down; and what is paid out.
        gross_minor: i64,
        tax_minor: i64,
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
    /// The payout was handed to the bank or the payout provider.
    WithdrawalSent = "WithdrawalSent" {
        withdrawal: WithdrawalId,
        payee: Payee,
        /// By what the bank or the payout provider knows it.
        payout_key: String,
    }
    /// Nobody knows what became of the payout. It is not sent again.
    WithdrawalUnknown = "WithdrawalUnknown" { withdrawal: WithdrawalId, payee: Payee, reason: String }
    WithdrawalPaid = "WithdrawalPaid" {
        withdrawal: WithdrawalId,
        payee: Payee,
        /// What the bank or gateway calls the payout.
        payout_ref: String,
        coins_milli: i64,
        gross_minor: i64,
        tax_minor: i64,
        payout_minor: i64,
        payout_asset: Asset,
        postings: Vec<Posting>,
    }
    /// No money left: the coins are the payee's again.
    WithdrawalFailed = "WithdrawalFailed" {
        withdrawal: WithdrawalId,
        payee: Payee,
        reason: String,
        coins_milli: i64,
        postings: Vec<Posting>,
    }
    /// The money of a payout came back: the coins are the payee's again, and no tax is owed for it.
    WithdrawalReversed = "WithdrawalReversed" {
        withdrawal: WithdrawalId,
        payee: Payee,
        reason: String,
        coins_milli: i64,
        gross_minor: i64,
        tax_minor: i64,
        payout_minor: i64,
        payout_asset: Asset,
        postings: Vec<Posting>,
    }
}

/// What all of these events say of themselves.
macro_rules! of_the_withdrawal {
    () => {
        fn people(&self) -> Vec<PersonId> {
            vec![self.payee.person()]
        }

        fn correlation(&self) -> Option<uuid::Uuid> {
            Some(self.withdrawal.0)
        }
    };
}

impl Happened for WithdrawalRequested {
    of_the_withdrawal!();

    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn evolve(&self, change: &mut Change) {
        let withdrawal = Withdrawal {
            payee: self.payee,
            coins_milli: self.coins_milli,
            gross_minor: self.gross_minor,
            tax_minor: self.tax_minor,
            payout_minor: self.payout_minor,
            payout_asset: self.payout_asset,
            status: WithdrawalStatus::Requested,
            day: day_of(change.at),
            leaves_at: None,
        };
        change.forget_finished_withdrawals();
        change.count_withdrawn(withdrawal.day, self.payee.earnings(), self.coins_milli);
        change.state.tables.withdrawals.set(change.revision, self.withdrawal, Some(withdrawal));
    }
}

impl Happened for WithdrawalApproved {
    of_the_withdrawal!();

    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn evolve(&self, change: &mut Change) {
        change.set_withdrawal_status(self.withdrawal, WithdrawalStatus::Approved);
    }
}

impl Happened for WithdrawalSent {
    of_the_withdrawal!();

    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn evolve(&self, change: &mut Change) {
        change.set_withdrawal_status(self.withdrawal, WithdrawalStatus::Sent);
        change.take_payout_ref(&self.payout_key, self.withdrawal);
    }
}

impl Happened for WithdrawalUnknown {
    of_the_withdrawal!();

    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn evolve(&self, change: &mut Change) {
        change.set_withdrawal_status(self.withdrawal, WithdrawalStatus::Unknown);
    }
}

impl Happened for WithdrawalPaid {
    of_the_withdrawal!();

    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn evolve(&self, change: &mut Change) {
        change.set_withdrawal_status(self.withdrawal, WithdrawalStatus::Paid);
        change.take_payout_ref(&self.payout_ref, self.withdrawal);
    }
}

impl Happened for WithdrawalReversed {
    of_the_withdrawal!();

    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn evolve(&self, change: &mut Change) {
        change.set_withdrawal_status(self.withdrawal, WithdrawalStatus::Reversed);
        change.settlement_unpaid(self.withdrawal, self.coins_milli);
    }
}

/// The events by which held coins are the payee's again, each with the status that it leads to.
macro_rules! gives_back {
    ($($event:ident => $status:ident;)*) => {$(
        impl Happened for $event {
            of_the_withdrawal!();

            fn postings(&self) -> &[Posting] {
                &self.postings
            }

            fn evolve(&self, change: &mut Change) {
                change.set_withdrawal_status(self.withdrawal, WithdrawalStatus::$status);
                change.settlement_unpaid(self.withdrawal, self.coins_milli);
                if let Some(day) = change.state.withdrawal(self.withdrawal).map(|row| row.day) {
                    change.count_withdrawn(day, self.payee.earnings(), -self.coins_milli);
                }
            }
        }
    )*};
}

gives_back! {
    WithdrawalRejected => Rejected;
    WithdrawalCancelled => Cancelled;
    WithdrawalFailed => Failed;
}
