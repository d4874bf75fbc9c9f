//! Revenue by day and source.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::revenue::RevenueRow;
use chrono::NaiveDate;
use ledger_core::event::{CallChargeReturned, CommissionSplit, OrderCompleted, SplitSource};
use ledger_core::{Event, State};
use std::collections::BTreeMap;

named!(RevenueRow: "revenue_by_day", |row| format!("{} {}", row.day, row.source));

#[derive(Default)]
struct Day {
    gross_milli: i64,
    host_milli: i64,
    agency_milli: i64,
    platform_milli: i64,
    count: i64,
    last: i64,
}

impl Day {
    fn add(&mut self, it: &CommissionSplit) {
        self.gross_milli += it.gross_milli;
        self.host_milli += it.host_milli;
        self.agency_milli += it.agency_milli;
        self.platform_milli += it.platform_milli;
        self.count += 1;
    }

    fn take_off(&mut self, it: &CallChargeReturned) {
        self.gross_milli -= it.returned_milli;
        self.host_milli -= it.host_milli;
        self.agency_milli -= it.agency_milli;
        self.platform_milli -= it.platform_milli;
    }
}

#[derive(Default)]
pub(super) struct Revenue {
    /// By day and source.
    days: BTreeMap<(NaiveDate, String), Day>,
}

impl Opinion for Revenue {
    fn add(&mut self, told: &Told<'_>) {
        let gift = matches!(
            told.event(),
            Event::CommissionSplit(CommissionSplit { source: SplitSource::Gift(_), .. })
        );
        let medium = told.medium.as_ref().filter(|_| !gift);
        let source = match told.event() {
            Event::SubscriptionPaid(_) => "subscription".to_owned(),
            Event::OrderCompleted(_) | Event::OrderRefunded(_) => "service".to_owned(),
            Event::CommissionSplit(CommissionSplit { source: SplitSource::Order(_), .. }) => "service".to_owned(),
            _ => medium.map_or_else(|| "gift".to_owned(), |medium| format!("call_{medium}")),
        };
        let key = (told.at.date_naive(), source);
        let day = match told.event() {
            Event::CommissionSplit(it) => {
                let day = self.days.entry(key).or_default();
                day.add(it);
                day
            }
            Event::SubscriptionPaid(it) => {
                let day = self.days.entry(key).or_default();
                day.gross_milli += it.price_milli;
                day.platform_milli += it.price_milli;
                day.count += 1;
                day
            }
            Event::OrderCompleted(OrderCompleted { provider: None, gross_milli, .. }) => {
                let day = self.days.entry(key).or_default();
                day.gross_milli += gross_milli;
                day.platform_milli += gross_milli;
                day.count += 1;
                day
            }
            Event::OrderRefunded(it) if it.completed => {
                let day = self.days.entry(key).or_default();
                day.gross_milli -= it.amount_milli + it.discount_milli;
                day.host_milli -= it.host_milli;
                day.agency_milli -= it.agency_milli;
                day.platform_milli -= it.platform_milli;
                day
            }
            Event::CallChargeReturned(it) => {
                let day = self.days.entry(key).or_default();
                day.take_off(it);
                day
            }
            _ => return,
        };
        day.last = told.revision;
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, _: &State) -> Result<(), Stop> {
        let expected = self.days.iter().map(|((day, source), split)| RevenueRow {
            day: *day,
            source: source.clone(),
            gross_milli: split.gross_milli,
            host_milli: split.host_milli,
            agency_milli: split.agency_milli,
            platform_milli: split.platform_milli,
            charge_count: split.count,
            revision: split.last,
        });
        comparison
            .table("SELECT * FROM read.revenue_by_day ORDER BY day, source", expected.collect(), |row| {
                (row.day, row.source.clone())
            })
            .await
    }
}
