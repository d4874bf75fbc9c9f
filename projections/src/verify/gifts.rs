//! Gifts, and the totals of those who received them.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::gifts::{GiftRow, HostGiftTotals};
use ledger_core::event::SplitSource;
use ledger_core::{Event, State};
use std::collections::BTreeMap;
use uuid::Uuid;

named!(GiftRow: "gifts_sent", |row| row.sending.to_string());
named!(HostGiftTotals: "host_gift_totals", |row| row.host.to_string());

#[derive(Default)]
pub(super) struct Gifts {
    sent: Vec<GiftRow>,
    /// Of the gifts' splits: host, agency, platform.
    shares: BTreeMap<Uuid, (i64, i64, i64)>,
    received: BTreeMap<Uuid, HostGiftTotals>,
}

impl Opinion for Gifts {
    const GROWING: &[(&str, &str)] = &[("gifts_sent", "sending")];

    fn add(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::GiftSent(it) => {
                self.sent.push(GiftRow {
                    sending: it.sending.0,
                    revision: told.revision,
                    gift: it.gift.0,
                    sender: it.sender.0,
                    host: it.host.0,
                    call: it.call.map(|call| call.0),
                    price_milli: it.price_milli,
                    host_milli: 0,
                    agency_milli: 0,
                    platform_milli: 0,
                    sent_at: told.at,
                });
                let before = self.received.get(&it.host.0);
                let totals = HostGiftTotals {
                    host: it.host.0,
                    gift_count: before.map_or(0, |it| it.gift_count) + 1,
                    value_milli: before.map_or(0, |it| it.value_milli) + it.price_milli,
                    revision: told.revision,
                };
                self.received.insert(it.host.0, totals);
            }
            Event::CommissionSplit(it) => {
                if let SplitSource::Gift(sending) = it.source {
                    self.shares.insert(sending.0, (it.host_milli, it.agency_milli, it.platform_milli));
                }
            }
            _ => {}
        }
    }

    async fn compare_range(
        &mut self,
        comparison: &mut Comparison<'_>,
        range: (i64, i64),
    ) -> Result<(), Stop> {
        let shares = std::mem::take(&mut self.shares);
        let sent = std::mem::take(&mut self.sent).into_iter().map(|row| {
            let (host_milli, agency_milli, platform_milli) =
                shares.get(&row.sending).copied().unwrap_or_default();
            GiftRow { host_milli, agency_milli, platform_milli, ..row }
        });
        comparison
            .range(
                "SELECT * FROM read.gifts_sent WHERE revision BETWEEN $1 AND $2 ORDER BY revision",
                range,
                sent.collect(),
                |row| row.revision,
            )
            .await
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, _: &State) -> Result<(), Stop> {
        let totals = self.received.values().cloned().collect();
        comparison.table("SELECT * FROM read.host_gift_totals ORDER BY host", totals, |row| row.host).await
    }
}
