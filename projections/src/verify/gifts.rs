//! Gifts, and the totals of those who received them.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::gifts::{GiftPlace, HostGiftTotals};
use ledger_core::{Event, State};
use std::collections::BTreeMap;
use uuid::Uuid;

named!(GiftPlace: |row| row.revision.to_string());
named!(HostGiftTotals: "host_gift_totals", |row| row.host.to_string());

#[derive(Default)]
pub(super) struct Gifts {
    sent: Vec<GiftPlace>,
    received: BTreeMap<Uuid, HostGiftTotals>,
}

impl Opinion for Gifts {
    const GROWING: &[(&str, &str)] = &[("gifts_sent", "revision")];

    fn add(&mut self, told: &Told<'_>) {
        let Event::GiftSent(it) = told.event() else { return };
        self.sent.push(GiftPlace { host: it.host.0, revision: told.revision });
        let before = self.received.get(&it.host.0);
        let totals = HostGiftTotals {
            host: it.host.0,
            gift_count: before.map_or(0, |it| it.gift_count) + 1,
            value_milli: before.map_or(0, |it| it.value_milli) + it.price_milli,
            revision: told.revision,
        };
        self.received.insert(it.host.0, totals);
    }

    async fn compare_range(
        &mut self,
        comparison: &mut Comparison<'_>,
        range: (i64, i64),
    ) -> Result<(), Stop> {
        comparison.grown(&mut self.sent, range, "revision", |row| row.revision).await
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, _: &State) -> Result<(), Stop> {
        let totals = self.received.values().cloned().collect();
        comparison.table("SELECT * FROM read.host_gift_totals ORDER BY host", totals, |row| row.host).await
    }
}
