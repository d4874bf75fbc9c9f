//! Purchases, by the story that their events tell.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::purchases::PurchaseRow;
use chrono::{DateTime, Utc};
use ledger_core::event::{Buys, PurchaseCaptured, PurchaseFailed, PurchaseOpened, PurchaseRefunded};
use ledger_core::{Event, PurchaseId, State};
use std::collections::BTreeMap;
use uuid::Uuid;

named!(PurchaseRow: "purchases", |row| row.purchase.to_string());

type At = DateTime<Utc>;

struct Purchase {
    opening: PurchaseOpened,
    opened: (i64, At),
    captured: Option<(PurchaseCaptured, At)>,
    failed: Option<(PurchaseFailed, At)>,
    expired: Option<At>,
    refunds: Vec<(PurchaseRefunded, At)>,
    charged_back: Vec<i64>,
    payment_ref: Option<String>,
    last: i64,
}

#[derive(Default)]
pub(super) struct Purchases {
    purchases: BTreeMap<Uuid, Purchase>,
}

impl Opinion for Purchases {
    fn add(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::PurchaseOpened(it) => {
                let purchase = Purchase {
                    opening: it.clone(),
                    opened: (told.revision, told.at),
                    captured: None,
                    failed: None,
                    expired: None,
                    refunds: Vec::new(),
                    charged_back: Vec::new(),
                    payment_ref: None,
                    last: told.revision,
                };
                self.purchases.insert(it.purchase.0, purchase);
            }
            Event::PurchaseCaptured(it) => self.touch(it.purchase, told, |purchase| {
                purchase.payment_ref = Some(it.payment_ref.clone());
                purchase.captured = Some((it.clone(), told.at));
            }),
            Event::PurchaseFailed(it) => self.touch(it.purchase, told, |purchase| {
                purchase.payment_ref = Some(it.payment_ref.clone());
                purchase.failed = Some((it.clone(), told.at));
            }),
            Event::PurchaseExpired(it) => {
                self.touch(it.purchase, told, |purchase| purchase.expired = Some(told.at));
            }
            Event::PurchaseRefunded(it) => {
                self.touch(it.purchase, told, |purchase| purchase.refunds.push((it.clone(), told.at)));
            }
            Event::DisputeLost(it) => self.charged_back(it.purchase, it.matched_minor, told),
            Event::DisputeReversed(it) => self.charged_back(it.purchase, -it.returned_minor, told),
            _ => {}
        }
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, _: &State) -> Result<(), Stop> {
        let expected = self.purchases.values().map(Purchase::row).collect();
        comparison
            .table("SELECT * FROM read.purchases ORDER BY opened_revision", expected, |row| row.purchase)
            .await
    }
}

impl Purchases {
    fn charged_back(&mut self, id: Option<PurchaseId>, amount_minor: i64, told: &Told<'_>) {
        if let Some(id) = id.filter(|_| amount_minor != 0) {
            self.touch(id, told, |purchase| purchase.charged_back.push(amount_minor));
        }
    }

    fn touch(&mut self, id: PurchaseId, told: &Told<'_>, change: impl FnOnce(&mut Purchase)) {
        if let Some(purchase) = self.purchases.get_mut(&id.0) {
            change(purchase);
            purchase.last = told.revision;
        }
    }
}

impl Purchase {
    fn row(&self) -> PurchaseRow {
        let it = &self.opening;
        let refunded: i64 = self.refunds.iter().map(|(refund, _)| refund.refunded_minor).sum();
        let charged_back: i64 = self.charged_back.iter().sum();
        let status = match (&self.captured, refunded) {
            (None, _) if self.expired.is_some() => "expired",
            (None, _) if self.failed.is_some() => "failed",
            (None, _) => "opened",
            (Some(_), _) if charged_back > 0 => "charged_back",
            (Some(_), 0) => "captured",
            (Some((captured, _)), whole) if whole == captured.paid_minor => "refunded",
            (Some(_), _) => "partly_refunded",
        };
        PurchaseRow {
            purchase: it.purchase.0,
            opened_revision: self.opened.0,
            user: it.user.0,
            plan: if let Buys::Plan(plan) = it.buys { Some(plan.0) } else { None },
            subscription_plan: if let Buys::Subscription(it) = it.buys { Some(it.plan.0) } else { None },
            service_order: if let Buys::Order(order) = it.buys { Some(order.0) } else { None },
            gateway: it.gateway.name().to_owned(),
            coins_milli: it.coins_milli,
            bonus_milli: it.bonus_milli,
            price_minor: it.price_minor,
            price_asset: it.price_asset.to_string(),
            status: status.to_owned(),
            payment_ref: self.payment_ref.clone(),
            fail_reason: self.failed.as_ref().map(|(it, _)| it.reason.clone()),
            paid_minor: self.captured.as_ref().map_or(0, |(it, _)| it.paid_minor),
            refunded_minor: refunded,
            charged_back_minor: charged_back,
            refunded_coins_milli: self.refunds.iter().map(|(refund, _)| refund.coins_milli).sum(),
            opened_at: self.opened.1,
            captured_at: self.captured.as_ref().map(|(_, at)| *at),
            failed_at: self.failed.as_ref().map(|(_, at)| *at),
            expired_at: self.expired,
            refunded_at: self.refunds.last().map(|(_, at)| *at),
            revision: self.last,
        }
    }
}
