//! Payout rates and taxes.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::payout_rates::{PayoutRateRow, TaxRateRow};
use ledger_core::{Event, State};

named!(PayoutRateRow: "payout_rates", |row| row.asset.clone());
named!(TaxRateRow: "tax_rates", |row| row.asset.clone());

/// They are few: all of them are compared at the end.
#[derive(Default)]
pub(super) struct PayoutRates {
    rates: Vec<PayoutRateRow>,
    taxes: Vec<TaxRateRow>,
}

impl Opinion for PayoutRates {
    fn add(&mut self, told: &Told<'_>) {
        let actor = told.recorded.metadata.actor.to_string();
        let (revision, recorded_at) = (told.revision, told.at);
        match told.event() {
            Event::PayoutRateSet(it) => {
                let (asset, rate) = (it.asset.to_string(), it.rate.to_string());
                let effective_from = it.effective_from.to_utc();
                self.rates.push(PayoutRateRow { revision, asset, rate, effective_from, recorded_at, actor });
            }
            Event::TaxRateSet(it) => {
                let (asset, tax_bps) = (it.asset.to_string(), i32::try_from(it.tax_bps).unwrap_or(-1));
                let effective_from = it.effective_from.to_utc();
                self.taxes.push(TaxRateRow { revision, asset, tax_bps, effective_from, recorded_at, actor });
            }
            _ => {}
        }
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, _: &State) -> Result<(), Stop> {
        let rates = "SELECT * FROM read.payout_rates ORDER BY revision";
        comparison.table(rates, self.rates.clone(), |row| row.revision).await?;
        let taxes = "SELECT * FROM read.tax_rates ORDER BY revision";
        comparison.table(taxes, self.taxes.clone(), |row| row.revision).await
    }
}
