//! Services, coupons and orders, by the events that each of them saw; what is held for orders by the ledger's own balances
//! too.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::orders::{CouponRow, OrderRow, ServiceRow};
use chrono::{DateTime, Utc};
use ledger_core::event::{
    CancelCause, CouponSet, Discount, OrderCancelled, OrderPlaced, OrderRefunded, ServiceSet,
};
use ledger_core::{Account, Asset, Event, OrderId, State};
use std::collections::BTreeMap;
use uuid::Uuid;

named!(ServiceRow: "services", |row| row.service.to_string());
named!(CouponRow: "coupons", |row| row.coupon.to_string());
named!(OrderRow: "orders", |row| row.order.to_string());

type At = DateTime<Utc>;

struct Order {
    placed: (OrderPlaced, i64, At),
    came_milli: i64,
    accepted: Option<At>,
    completed: Option<At>,
    cancelled: Option<(OrderCancelled, At)>,
    refunded: Option<(OrderRefunded, At)>,
    last: i64,
}

#[derive(Default)]
pub(super) struct Orders {
    services: BTreeMap<Uuid, (ServiceSet, i64)>,
    /// With the last event that said something of it.
    coupons: BTreeMap<Uuid, (CouponSet, i64)>,
    orders: BTreeMap<Uuid, Order>,
}

impl Opinion for Orders {
    fn add(&mut self, told: &Told<'_>) {
        let coupon = match told.event() {
            Event::OrderPlaced(it) => it.coupon,
            Event::OrderCancelled(it) => it.coupon,
            _ => None,
        };
        if let Some((_, last)) = coupon.and_then(|id| self.coupons.get_mut(&id.0)) {
            *last = told.revision;
        }
        match told.event() {
            Event::ServiceSet(it) => {
                self.services.insert(it.service.0, (it.clone(), told.revision));
            }
            Event::CouponSet(it) => {
                self.coupons.insert(it.coupon.0, (it.clone(), told.revision));
            }
            Event::OrderPlaced(it) => {
                let row = Order {
                    placed: (it.clone(), told.revision, told.at),
                    came_milli: 0,
                    accepted: None,
                    completed: None,
                    cancelled: None,
                    refunded: None,
                    last: told.revision,
                };
                self.orders.insert(it.order.0, row);
            }
            Event::OrderPaid(it) => self.touch(it.order, told, |row| row.came_milli += it.coins_milli),
            Event::OrderAccepted(it) => self.touch(it.order, told, |row| row.accepted = Some(told.at)),
            Event::OrderCompleted(it) => self.touch(it.order, told, |row| row.completed = Some(told.at)),
            Event::OrderCancelled(it) => {
                self.touch(it.order, told, |row| row.cancelled = Some((it.clone(), told.at)));
            }
            Event::OrderRefunded(it) => {
                self.touch(it.order, told, |row| row.refunded = Some((it.clone(), told.at)));
            }
            _ => {}
        }
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, state: &State) -> Result<(), Stop> {
        for (id, row) in &self.orders {
            let ledger = -state.balance(Account::OrderHeld(OrderId(*id)), Asset::COIN);
            let last = u64::try_from(row.last).unwrap_or(0);
            comparison.same("coins held for an order", id, last, ledger, row.held_milli())?;
        }
        let services = self.services.values().map(|(it, revision)| ServiceRow {
            service: it.service.0,
            provider: it.provider.map(|id| id.0),
            price_milli: it.price_milli,
            price_minor: it.price.map(|price| price.amount_minor),
            price_asset: it.price.map(|price| price.asset.to_string()),
            active: it.active,
            revision: *revision,
        });
        comparison
            .table("SELECT * FROM read.services ORDER BY service", services.collect(), |row| row.service)
            .await?;
        let mut used: BTreeMap<Uuid, i64> = BTreeMap::new();
        for row in self.orders.values().filter(|row| row.cancelled.is_none()) {
            if let Some(coupon) = row.placed.0.coupon {
                *used.entry(coupon.0).or_default() += 1;
            }
        }
        let coupons = self.coupons.iter().map(|(id, (it, last))| {
            coupon(it, used.get(id).copied().unwrap_or(0), *last)
        });
        comparison
            .table("SELECT * FROM read.coupons ORDER BY coupon", coupons.collect(), |row| row.coupon)
            .await?;
        let rows = self.orders.values().map(Order::row).collect();
        comparison.table("SELECT * FROM read.orders ORDER BY placed_revision", rows, |row| row.order).await
    }
}

impl Orders {
    fn touch(&mut self, id: OrderId, told: &Told<'_>, change: impl FnOnce(&mut Order)) {
        if let Some(row) = self.orders.get_mut(&id.0) {
            change(row);
            row.last = told.revision;
        }
    }
}

fn coupon(it: &CouponSet, used: i64, revision: i64) -> CouponRow {
    let percent = if let Discount::Percent(percent) = it.discount { Some(percent) } else { None };
    CouponRow {
        coupon: it.coupon.0,
        code: it.code.clone(),
        percent_bps: percent.map(|it| it.bps.into()),
        most_milli: percent.and_then(|it| it.most_milli),
        amount_milli: if let Discount::Amount(amount) = it.discount { Some(amount) } else { None },
        least_price_milli: it.least_price_milli,
        per_person: it.per_person.map(i64::from),
        in_all: it.in_all.map(i64::from),
        starts_at: it.from.to_utc(),
        ends_at: it.to.to_utc(),
        active: it.active,
        used,
        revision,
    }
}

impl Order {
    fn refunded_milli(&self) -> i64 {
        self.refunded.as_ref().map_or(0, |(it, _)| it.refunded_total_milli)
    }

    /// What was paid and is neither earned nor back.
    fn held_milli(&self) -> i64 {
        if self.completed.is_some() || self.cancelled.is_some() {
            return 0;
        }
        self.placed.0.wallet_milli + self.came_milli - self.refunded_milli()
    }

    fn row(&self) -> OrderRow {
        let (placed, revision, at) = &self.placed;
        let full = self.refunded.as_ref().filter(|(it, _)| it.in_full);
        let status = match &self.cancelled {
            Some((it, _)) if it.cause == CancelCause::Unpaid => "expired",
            Some(_) => "cancelled",
            None if full.is_some() => "refunded",
            None if self.completed.is_some() => "completed",
            None if self.accepted.is_some() => "accepted",
            None if placed.gateway_milli > self.came_milli => "unpaid",
            None => "paid",
        };
        let cause = |cause| match cause {
            CancelCause::Buyer => "buyer".to_owned(),
            CancelCause::Declined => "declined".to_owned(),
            CancelCause::Unpaid => "unpaid".to_owned(),
        };
        let ended = self.cancelled.as_ref().map(|(_, at)| *at).or(full.map(|(_, at)| *at));
        let declined = self.cancelled.as_ref().map(|(it, _)| it.reason.clone());
        OrderRow {
            order: placed.order.0,
            placed_revision: *revision,
            user: placed.user.0,
            service: placed.service.0,
            provider: placed.provider.map(|id| id.0),
            status: status.to_owned(),
            coupon: placed.coupon.map(|id| id.0),
            price_milli: placed.price_milli,
            discount_milli: placed.discount_milli,
            wallet_milli: placed.wallet_milli,
            gateway_milli: placed.gateway_milli,
            purchase: placed.purchase.map(|id| id.0),
            refunded_milli: self.refunded_milli(),
            placed_at: *at,
            pay_by: placed.pay_by.map(|at| at.to_utc()),
            accepted_at: self.accepted,
            completed_at: self.completed,
            closed_at: ended,
            cancel_cause: self.cancelled.as_ref().map(|(it, _)| cause(it.cause)),
            reason: declined.unwrap_or_else(|| self.refunded.as_ref().map(|(it, _)| it.reason.clone())),
            revision: self.last,
        }
    }
}
