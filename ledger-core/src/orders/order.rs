//! An order as the ledger sees it.

use crate::calls::ReturnedDraw;
use crate::commission::CommissionRule;
use crate::mechanism::event::Change;
use crate::money::share;
use crate::{
    Account, Asset, CouponId, OrderId, PersonId, Posting, PurchaseId, Rejection, ServiceId, State, Timestamp,
};
use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// How long one that came to an end is known, so that what is asked of it is answered rightly.
const CLOSED_STAYS_MS: i64 = DAY_MS;
/// How long one that was completed can be refunded.
const COMPLETED_STAYS_MS: i64 = 180 * DAY_MS;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderStatus {
    /// Part of it is to be paid at the gateway.
    Unpaid,
    Paid,
    /// Its provider has begun: the buyer cannot cancel it any more.
    Accepted,
    Completed,
    /// All that was paid has gone back.
    Refunded,
    Cancelled,
    Expired,
}

impl OrderStatus {
    fn is_closed(self) -> bool {
        matches!(self, OrderStatus::Refunded | OrderStatus::Cancelled | OrderStatus::Expired)
    }
}

/// An order that anything can still be done to, or lately could.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub user: PersonId,
    pub service: ServiceId,
    pub provider: Option<PersonId>,
    /// What was in force when it was placed, of a service of a host.
    pub commission: Option<CommissionRule>,
    pub coupon: Option<CouponId>,
    pub price_milli: i64,
    pub discount_milli: i64,
    pub gateway_milli: i64,
    /// By which the gateway's part is paid, and until when.
    pub purchase: Option<PurchaseId>,
    pub pay_by: Option<Timestamp>,
    pub status: OrderStatus,
    /// What was paid and has not gone back, in the order in which it was drawn.
    pub draws: Vec<ReturnedDraw>,
    pub refunded_milli: i64,
    /// For how long its earnings wait.
    pub earnings_hold_seconds: u32,
    /// When it leaves the state.
    pub leaves_at: Option<Timestamp>,
}

impl Order {
    /// What it costs its buyer.
    pub fn total_milli(&self) -> i64 {
        self.price_milli - self.discount_milli
    }

    /// How much of the discount has gone back with refunds of so much in all.
    pub(super) fn discount_back_milli(&self, refunded_milli: i64) -> i64 {
        if refunded_milli == 0 {
            return 0;
        }
        share(self.discount_milli, refunded_milli, self.total_milli())
            .expect("a share of a discount is an amount")
    }

    /// What its provider is paid by, after refunds of so much in all.
    pub(super) fn gross_milli(&self, refunded_milli: i64) -> i64 {
        self.price_milli - refunded_milli - self.discount_back_milli(refunded_milli)
    }

    /// Where so much of what was paid goes back to: what was drawn last goes back first.
    pub(super) fn back(&self, amount_milli: i64) -> Vec<ReturnedDraw> {
        let mut open_milli = amount_milli;
        let mut back = vec![];
        for draw in self.draws.iter().rev() {
            if open_milli == 0 {
                break;
            }
            let amount_milli = open_milli.min(draw.amount_milli);
            open_milli -= amount_milli;
            back.push(ReturnedDraw { amount_milli, ..*draw });
        }
        back
    }
}

/// The legs that give coins back to the accounts of `user`.
pub(super) fn credits(user: PersonId, draws: &[ReturnedDraw]) -> impl Iterator<Item = Posting> {
    [Account::UserBonus(user), Account::UserPurchased(user)].into_iter().filter_map(move |account| {
        let parts = draws.iter().filter(|it| it.account == account).map(|it| it.amount_milli);
        let amount = -parts.sum::<i64>();
        (amount != 0).then_some(Posting { account, asset: Asset::COIN, amount })
    })
}

/// The legs that give coins back which are held for an order.
pub(super) fn released(order: OrderId, user: PersonId, draws: &[ReturnedDraw]) -> Vec<Posting> {
    let amount: i64 = draws.iter().map(|it| it.amount_milli).sum();
    let held = Posting { account: Account::OrderHeld(order), asset: Asset::COIN, amount };
    let held = Some(held).filter(|_| amount != 0);
    held.into_iter().chain(credits(user, draws)).collect()
}

impl State {
    pub fn order(&self, order: OrderId) -> Option<&Order> {
        self.tables.orders.get(&order)
    }

    /// Orders that wait to be paid, with the moments until which they may be, soonest first.
    pub fn unpaid_orders(&self) -> Vec<(Timestamp, OrderId)> {
        self.tables.unpaid_orders.iter().map(|(key, ())| *key).collect()
    }

    /// An order that has not come to an end.
    pub(super) fn open_order(&self, order: OrderId) -> Result<&Order, Rejection> {
        let row = self.order(order).ok_or(Rejection::UnknownOrder)?;
        if row.status.is_closed() { Err(Rejection::OrderClosed) } else { Ok(row) }
    }

    /// An order that `host` provides, or any where an admin acts.
    pub(super) fn provided_order(&self, order: OrderId, host: Option<PersonId>) -> Result<&Order, Rejection> {
        let row = self.order(order).ok_or(Rejection::UnknownOrder)?;
        if host.is_some() && row.provider != host {
            return Err(Rejection::UnknownOrder);
        }
        self.open_order(order)
    }
}

impl Change<'_> {
    pub(super) fn edit_order(&mut self, id: OrderId, edit: impl FnOnce(&mut Order)) {
        self.state.tables.orders.edit(self.revision, &id, edit);
    }

    pub(super) fn set_order_status(&mut self, id: OrderId, status: OrderStatus) {
        let stays_ms = match status {
            OrderStatus::Unpaid | OrderStatus::Paid | OrderStatus::Accepted => None,
            OrderStatus::Completed => Some(COMPLETED_STAYS_MS),
            OrderStatus::Refunded | OrderStatus::Cancelled | OrderStatus::Expired => Some(CLOSED_STAYS_MS),
        };
        let leaves_at = stays_ms.map(|stays_ms| self.at.plus_ms(stays_ms));
        let (tables, revision) = (&mut self.state.tables, self.revision);
        let row = tables.orders.get(&id).expect("an order that changes was placed");
        let (left_at, pay_by) = (row.leaves_at, row.pay_by.filter(|_| row.status == OrderStatus::Unpaid));
        if let Some(pay_by) = pay_by.filter(|_| status != OrderStatus::Unpaid) {
            tables.unpaid_orders.set(revision, (pay_by, id), None);
        }
        if let Some(left_at) = left_at {
            tables.leaving_orders.set(revision, (left_at, id), None);
        }
        if let Some(leaves_at) = leaves_at {
            tables.leaving_orders.set(revision, (leaves_at, id), Some(()));
        }
        self.edit_order(id, |row| (row.status, row.leaves_at) = (status, leaves_at));
    }

    /// Coins of an order go back to their lots.
    pub(super) fn give_back_of_order(&mut self, id: OrderId, draws: &[ReturnedDraw]) {
        self.edit_order(id, |row| {
            for back in draws {
                let kept = row.draws.iter_mut().find(|it| it.lot == back.lot);
                kept.expect("coins go back to lots that they came from").amount_milli -= back.amount_milli;
            }
            row.draws.retain(|it| it.amount_milli > 0);
        });
        for it in draws {
            self.give_back(it.lot, it.account, it.amount_milli, it.expires_at);
        }
    }

    /// Lets go of orders that stayed as long as they may: a few whenever one is placed.
    pub(super) fn forget_orders(&mut self) {
        let tables = &mut self.state.tables;
        for key in tables.leaving_orders.due_before(self.at) {
            tables.leaving_orders.set(self.revision, key, None);
            tables.orders.set(self.revision, key.1, None);
        }
    }
}
