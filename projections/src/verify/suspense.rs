//! Money that fits no open case.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::mechanism::code;
use crate::suspense::{ResolutionRow, UnmatchedRow};
use ledger_core::Event;
use ledger_core::event::MoneyDirection;
use ledger_core::purchases::Resolution;

named!(ResolutionRow: "suspense_resolutions", |row| row.case_revision.to_string());
named!(UnmatchedRow: "unmatched_money", |row| row.payment_ref.clone());

#[derive(Default)]
pub(super) struct Suspense {
    cases: Vec<UnmatchedRow>,
    closed: Vec<ResolutionRow>,
}

impl Opinion for Suspense {
    const GROWING: &[(&str, &str)] = &[("unmatched_money", "payment_ref"), ("suspense_resolutions", "case_revision::text")];

    fn add(&mut self, told: &Told<'_>) {
        self.add_closed(told);
        let (gateway, payment_ref, purchase, cause, direction, amount_minor, asset) = match told.event() {
            Event::UnmatchedMoneyReceived(it) => {
                let (cause, payment_ref) = (code(it.cause), &it.payment_ref);
                (it.gateway, payment_ref, it.purchase, cause, it.direction, it.amount_minor, it.amount_asset)
            }
            Event::PurchaseRefunded(it) if it.uncovered_minor > 0 => {
                let (cause, purchase) = ("refund_uncovered".to_owned(), Some(it.purchase));
                let (out, amount) = (MoneyDirection::Out, it.uncovered_minor);
                (it.gateway, &it.refund_ref, purchase, cause, out, amount, it.refunded_asset)
            }
            _ => return,
        };
        self.cases.push(UnmatchedRow {
            revision: told.revision,
            recorded_at: told.at,
            gateway: gateway.name().to_owned(),
            payment_ref: payment_ref.clone(),
            purchase: purchase.map(|purchase| purchase.0),
            cause,
            direction: code(direction),
            amount_minor,
            amount_asset: asset.to_string(),
        });
    }

    async fn compare_range(
        &mut self,
        comparison: &mut Comparison<'_>,
        range: (i64, i64),
    ) -> Result<(), Stop> {
        comparison
            .range(
                "SELECT * FROM read.unmatched_money WHERE revision BETWEEN $1 AND $2 ORDER BY revision",
                range,
                std::mem::take(&mut self.cases),
                |row| row.revision,
            )
            .await?;
        comparison
            .range(
                "SELECT * FROM read.suspense_resolutions WHERE revision BETWEEN $1 AND $2
                 ORDER BY revision, case_revision",
                range,
                std::mem::take(&mut self.closed),
                |row| (row.revision, row.case_revision),
            )
            .await
    }
}

impl Suspense {
    fn add_closed(&mut self, told: &Told<'_>) {
        let mut close = |case: i64, resolution: &str, purchase, refund_ref, reason| {
            self.closed.push(ResolutionRow {
                case_revision: case,
                revision: told.revision,
                recorded_at: told.at,
                resolution: resolution.to_owned(),
                purchase,
                refund_ref,
                reason,
                actor: told.recorded.metadata.actor.to_string(),
            });
        };
        match told.event() {
            Event::UnmatchedMoneyReceived(it) => {
                for case in it.settles.into_iter().flat_map(|case| [case as i64, told.revision]) {
                    close(case, "settled", None, None, None);
                }
            }
            Event::PurchaseRefunded(it) => {
                if let Some(case) = it.settles {
                    close(case as i64, "settled", Some(it.purchase.0), None, None);
                }
            }
            Event::SuspenseResolved(it) => {
                let (case, reason) = (it.case as i64, Some(it.reason.clone()));
                match &it.resolution {
                    Resolution::Purchase(id) => close(case, "purchase", Some(id.0), None, reason),
                    Resolution::Refund(name) => close(case, "refund", None, Some(name.clone()), reason),
                    Resolution::Income => close(case, "income", None, None, reason),
                }
            }
            _ => {}
        }
    }
}
