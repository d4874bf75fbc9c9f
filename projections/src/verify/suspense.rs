//! Money that fits no open case.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::mechanism::code;
use crate::suspense::UnmatchedRow;
use ledger_core::Event;
use ledger_core::event::MoneyDirection;

named!(UnmatchedRow: "unmatched_money", |row| row.payment_ref.clone());

#[derive(Default)]
pub(super) struct Suspense {
    cases: Vec<UnmatchedRow>,
}

impl Opinion for Suspense {
    const GROWING: &[(&str, &str)] = &[("unmatched_money", "payment_ref")];

    fn add(&mut self, told: &Told<'_>) {
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
            .await
    }
}
