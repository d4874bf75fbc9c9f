//! What is on offer: the last word on each plan, gift and host's price.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::catalogue::{CoinPlanRow, GiftPriceRow, HostRateRow};
use crate::mechanism::code;
use ledger_core::event::{CoinPlanSet, GiftPriceSet, HostRateSet};
use ledger_core::{Event, Medium, State};
use std::collections::BTreeMap;
use uuid::Uuid;

named!(CoinPlanRow: "coin_plans", |row| row.plan.to_string());
named!(GiftPriceRow: "gift_prices", |row| row.gift.to_string());
named!(HostRateRow: "host_rates", |row| format!("{} {}", row.host, row.medium));

#[derive(Default)]
pub(super) struct Catalogue {
    plans: BTreeMap<Uuid, (CoinPlanSet, i64)>,
    gift_prices: BTreeMap<Uuid, (GiftPriceSet, i64)>,
    host_rates: BTreeMap<(Uuid, Medium), (HostRateSet, i64)>,
}

impl Opinion for Catalogue {
    fn add(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::CoinPlanSet(it) => _ = self.plans.insert(it.plan.0, (it.clone(), told.revision)),
            Event::GiftPriceSet(it) => _ = self.gift_prices.insert(it.gift.0, (it.clone(), told.revision)),
            Event::HostRateSet(it) => {
                self.host_rates.insert((it.host.0, it.medium), (it.clone(), told.revision));
            }
            _ => {}
        }
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, _: &State) -> Result<(), Stop> {
        let plans = self.plans.values().map(|(plan, revision)| CoinPlanRow {
            plan: plan.plan.0,
            coins_milli: plan.coins_milli,
            bonus_milli: plan.bonus_milli,
            bonus_valid_seconds: plan.bonus_valid_seconds.map(i64::from),
            price_minor: plan.price_minor,
            price_asset: plan.price_asset.to_string(),
            active: plan.active,
            revision: *revision,
        });
        comparison
            .table("SELECT * FROM read.coin_plans ORDER BY plan", plans.collect(), |row| row.plan)
            .await?;
        let prices = self.gift_prices.values().map(|(set, revision)| GiftPriceRow {
            gift: set.gift.0,
            price_milli: set.price_milli,
            revision: *revision,
        });
        comparison
            .table("SELECT * FROM read.gift_prices ORDER BY gift", prices.collect(), |row| row.gift)
            .await?;
        let rates = self.host_rates.values().map(|(set, revision)| HostRateRow {
            host: set.host.0,
            medium: code(set.medium),
            price_milli_per_minute: set.price_milli_per_minute,
            revision: *revision,
        });
        comparison
            .table("SELECT * FROM read.host_rates ORDER BY host, medium", rates.collect(), |row| {
                (row.host, row.medium.clone())
            })
            .await
    }
}
