//! Withdrawals, by the moments of their events.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::withdrawals::WithdrawalRow;
use chrono::{DateTime, Utc};
use ledger_core::event::WithdrawalRequested;
use ledger_core::{Event, State, WithdrawalId};
use std::collections::BTreeMap;
use uuid::Uuid;

named!(WithdrawalRow: "withdrawals", |row| row.withdrawal.to_string());

struct Withdrawal {
    opening: WithdrawalRequested,
    opened: (i64, DateTime<Utc>),
    /// The states that it came to, and when it last did.
    moments: BTreeMap<&'static str, DateTime<Utc>>,
    status: &'static str,
    payout_key: Option<String>,
    payout_ref: Option<String>,
    reason: Option<String>,
    last: i64,
}

#[derive(Default)]
pub(super) struct Withdrawals {
    withdrawals: BTreeMap<Uuid, Withdrawal>,
}

impl Opinion for Withdrawals {
    fn add(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::WithdrawalRequested(it) => {
                let withdrawal = Withdrawal {
                    opening: it.clone(),
                    opened: (told.revision, told.at),
                    moments: BTreeMap::new(),
                    status: "requested",
                    payout_key: None,
                    payout_ref: None,
                    reason: None,
                    last: told.revision,
                };
                self.withdrawals.insert(it.withdrawal.0, withdrawal);
            }
            Event::WithdrawalApproved(it) => self.moved(it.withdrawal, "approved", told, |_| ()),
            Event::WithdrawalRejected(it) => {
                self.moved(it.withdrawal, "rejected", told, |row| row.reason = Some(it.reason.clone()));
            }
            Event::WithdrawalCancelled(it) => self.moved(it.withdrawal, "cancelled", told, |_| ()),
            Event::WithdrawalSent(it) => {
                self.moved(it.withdrawal, "sent", told, |row| row.payout_key = Some(it.payout_key.clone()));
            }
            Event::WithdrawalUnknown(it) => {
                self.moved(it.withdrawal, "unknown", told, |row| row.reason = Some(it.reason.clone()));
            }
            Event::WithdrawalReversed(it) => {
                self.moved(it.withdrawal, "reversed", told, |row| row.reason = Some(it.reason.clone()));
            }
            Event::WithdrawalPaid(it) => {
                self.moved(it.withdrawal, "paid", told, |row| row.payout_ref = Some(it.payout_ref.clone()));
            }
            Event::WithdrawalFailed(it) => {
                self.moved(it.withdrawal, "failed", told, |row| row.reason = Some(it.reason.clone()));
            }
            _ => {}
        }
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, _: &State) -> Result<(), Stop> {
        let expected = self.withdrawals.values().map(Withdrawal::row).collect();
        comparison
            .table("SELECT * FROM read.withdrawals ORDER BY requested_revision", expected, |row| {
                row.withdrawal
            })
            .await
    }
}

impl Withdrawals {
    fn moved(
        &mut self,
        id: WithdrawalId,
        status: &'static str,
        told: &Told<'_>,
        change: impl FnOnce(&mut Withdrawal),
    ) {
        if let Some(withdrawal) = self.withdrawals.get_mut(&id.0) {
            change(withdrawal);
            withdrawal.status = status;
            withdrawal.moments.insert(status, told.at);
            withdrawal.last = told.revision;
        }
    }
}

impl Withdrawal {
    fn row(&self) -> WithdrawalRow {
        let it = &self.opening;
        let at = |status: &str| self.moments.get(status).copied();
        WithdrawalRow {
            withdrawal: it.withdrawal.0,
            requested_revision: self.opened.0,
            person: it.payee.person().0,
            agency: it.payee.agency().map(|agency| agency.0),
            coins_milli: it.coins_milli,
            rate: it.terms.rate.to_string(),
            tax_bps: i32::try_from(it.terms.tax_bps).unwrap_or(i32::MAX),
            gross_minor: it.gross_minor,
            // What is not paid out is withheld.
            tax_minor: it.gross_minor - it.payout_minor,
            payout_minor: it.payout_minor,
            payout_asset: it.payout_asset.to_string(),
            status: self.status.to_owned(),
            payout_key: self.payout_key.clone(),
            payout_ref: self.payout_ref.clone(),
            reason: self.reason.clone(),
            requested_at: self.opened.1,
            approved_at: at("approved"),
            rejected_at: at("rejected"),
            cancelled_at: at("cancelled"),
            sent_at: at("sent"),
            unknown_at: at("unknown"),
            paid_at: at("paid"),
            failed_at: at("failed"),
            reversed_at: at("reversed"),
            revision: self.last,
        }
    }
}
