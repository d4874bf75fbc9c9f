//! Subscriptions, by the events that each of them saw; those that live, by the ledger's own state too.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::subscriptions::{PeriodRow, SubscriptionPlanRow, SubscriptionRow};
use chrono::{DateTime, Utc};
use ledger_core::event::{LapseCause, SubscriptionLapsed, SubscriptionPaid, SubscriptionPlanSet};
use ledger_core::{Event, State, SubscriptionId};
use std::collections::BTreeMap;
use uuid::Uuid;

named!(SubscriptionPlanRow: "subscription_plans", |row| row.plan.to_string());
named!(SubscriptionRow: "subscriptions", |row| row.subscription.to_string());
named!(PeriodRow: "subscription_periods", |row| row.revision.to_string());

type At = DateTime<Utc>;

struct Subscription {
    started: (i64, At),
    /// The last period that was paid.
    paid: SubscriptionPaid,
    /// What was said since then of whether it goes on.
    renews: bool,
    grace_until: Option<At>,
    lapsed: Option<(SubscriptionLapsed, At)>,
    last: i64,
}

#[derive(Default)]
pub(super) struct Subscriptions {
    plans: BTreeMap<Uuid, (SubscriptionPlanSet, i64)>,
    subscriptions: BTreeMap<Uuid, Subscription>,
    periods: Vec<PeriodRow>,
}

impl Opinion for Subscriptions {
    const GROWING: &[(&str, &str)] = &[("subscription_periods", "revision")];

    fn add(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::SubscriptionPlanSet(it) => {
                self.plans.insert(it.plan.0, (it.clone(), told.revision));
            }
            Event::SubscriptionPaid(it) => {
                let before = self.subscriptions.remove(&it.subscription.0);
                let row = Subscription {
                    started: before.map_or((told.revision, told.at), |row| row.started),
                    paid: it.clone(),
                    renews: it.renews,
                    grace_until: None,
                    lapsed: None,
                    last: told.revision,
                };
                self.subscriptions.insert(it.subscription.0, row);
                self.periods.push(PeriodRow {
                    revision: told.revision,
                    subscription: it.subscription.0,
                    period: it.period.into(),
                    starts_at: it.from.to_utc(),
                    ends_at: it.until.to_utc(),
                    price_milli: it.price_milli,
                    purchase: it.purchase.map(|id| id.0),
                    paid_at: told.at,
                });
            }
            Event::SubscriptionGraceBegun(it) => {
                self.touch(it.subscription, told, |row| row.grace_until = Some(it.until.to_utc()));
            }
            Event::SubscriptionCancelled(it) => self.touch(it.subscription, told, |row| row.renews = false),
            Event::SubscriptionResumed(it) => self.touch(it.subscription, told, |row| row.renews = true),
            Event::SubscriptionLapsed(it) => {
                self.touch(it.subscription, told, |row| row.lapsed = Some((it.clone(), told.at)));
            }
            _ => {}
        }
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, state: &State) -> Result<(), Stop> {
        let living = self.subscriptions.iter().filter(|(_, row)| row.lapsed.is_none());
        for (id, row) in living {
            let ledger = state.subscription(SubscriptionId(*id)).map_or(0, |row| i64::from(row.period));
            let last = u64::try_from(row.last).unwrap_or(0);
            comparison.same("periods of subscriptions", id, last, ledger, i64::from(row.paid.period))?;
        }
        let plans = self.plans.values().map(|(it, revision)| SubscriptionPlanRow {
            plan: it.plan.0,
            price_milli: it.price_milli,
            price_minor: it.price.map(|price| price.amount_minor),
            price_asset: it.price.map(|price| price.asset.to_string()),
            period_seconds: it.period_seconds.into(),
            grace_seconds: it.grace_seconds.into(),
            entitlements: it.entitlements.join(" "),
            active: it.active,
            revision: *revision,
        });
        comparison
            .table("SELECT * FROM read.subscription_plans ORDER BY plan", plans.collect(), |row| row.plan)
            .await?;
        let rows = self.subscriptions.values().map(Subscription::row).collect();
        comparison
            .table("SELECT * FROM read.subscriptions ORDER BY started_revision", rows, |row| row.subscription)
            .await?;
        comparison
            .table(
                "SELECT * FROM read.subscription_periods ORDER BY revision",
                self.periods.clone(),
                |row| row.revision,
            )
            .await
    }
}

impl Subscriptions {
    fn touch(&mut self, id: SubscriptionId, told: &Told<'_>, change: impl FnOnce(&mut Subscription)) {
        if let Some(row) = self.subscriptions.get_mut(&id.0) {
            change(row);
            row.last = told.revision;
        }
    }
}

impl Subscription {
    fn row(&self) -> SubscriptionRow {
        let status = match (&self.lapsed, self.renews, self.grace_until) {
            (Some(_), ..) => "lapsed",
            (None, false, _) => "cancelled",
            (None, true, Some(_)) => "grace",
            (None, true, None) => "active",
        };
        let cause = |cause| match cause {
            LapseCause::Cancelled => "cancelled".to_owned(),
            LapseCause::Unpaid => "unpaid".to_owned(),
        };
        SubscriptionRow {
            subscription: self.paid.subscription.0,
            started_revision: self.started.0,
            user: self.paid.user.0,
            plan: self.paid.plan.0,
            status: status.to_owned(),
            periods: self.paid.period.into(),
            price_milli: self.paid.renewal_milli,
            renews: self.renews,
            started_at: self.started.1,
            paid_until: self.paid.until.to_utc(),
            grace_until: self.grace_until,
            lapsed_at: self.lapsed.as_ref().map(|(_, at)| *at),
            lapse_cause: self.lapsed.as_ref().map(|(it, _)| cause(it.cause)),
            revision: self.last,
        }
    }
}
