//! A provider begins with an order, and is paid for it once it is done.

use super::order::{Order, OrderStatus};
use crate::account::add_legs;
use crate::calls::ReturnedDraw;
use crate::commission::{Split, SplitSource};
use crate::lots::Draw;
use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{Account, Asset, Event, OrderId, PersonId, Posting, Rejection, State};
use uuid::Uuid;

commands! {
    /// The provider begins: the buyer cannot cancel any more.
    AcceptOrder = "AcceptOrder" {
        order: OrderId,
        /// The host who provides it; absent where an admin acts.
        host: Option<PersonId>,
    }
    /// It is done, and what is held for it is paid out to those who earned it.
    CompleteOrder = "CompleteOrder" {
        order: OrderId,
        /// The host who provides it; absent where an admin acts.
        host: Option<PersonId>,
    }
}

events! {
    /// The provider of an order has begun.
    OrderAccepted = "OrderAccepted" { order: OrderId, user: PersonId, provider: Option<PersonId> }
    /// An order is done. Of a service of a host, a `CommissionSplit` follows.
    OrderCompleted = "OrderCompleted" {
        order: OrderId,
        user: PersonId,
        provider: Option<PersonId>,
        /// What is earned: what the buyer has paid and the platform adds.
        gross_milli: i64,
        paid_milli: i64,
        /// What the platform adds for the coupon.
        discount_milli: i64,
        earnings_hold_seconds: u32,
        /// The coins that were held, by the lots that they came from: they are spent now.
        spent: Vec<Draw>,
        postings: Vec<Posting>,
    }
}

impl Order {
    fn check_paid(&self) -> Result<(), Rejection> {
        match self.status {
            OrderStatus::Unpaid => Err(Rejection::OrderNotPaid),
            OrderStatus::Completed => Err(Rejection::OrderAlreadyCompleted),
            _ => Ok(()),
        }
    }
}

impl Decide for AcceptOrder {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &AcceptOrder { order, host } = self;
        let row = context.state.provided_order(order, host)?;
        row.check_paid()?;
        if row.status == OrderStatus::Accepted {
            return Err(Rejection::OrderAlreadyAccepted);
        }
        Ok(vec![OrderAccepted { order, user: row.user, provider: row.provider }.into()])
    }
}

impl Decide for CompleteOrder {
    fn decides_on_money_of(&self, state: &State) -> Option<PersonId> {
        // A host says so of their own orders; an admin says so of somebody else's.
        state.order(self.order).and_then(|row| row.provider).filter(|_| self.host.is_none())
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &CompleteOrder { order, host } = self;
        let row = context.state.provided_order(order, host)?;
        row.check_paid()?;
        let gross_milli = row.gross_milli(row.refunded_milli);
        let paid_milli = row.total_milli() - row.refunded_milli;
        let discount_milli = gross_milli - paid_milli;
        let earnings_hold_seconds = context.policy.earnings_hold_seconds;
        let to = row.provider.map_or(Account::PlatformRevenue, |_| Account::ClearingCharges);
        let mut postings = Vec::with_capacity(4);
        add_legs(&mut postings, Asset::COIN, Account::OrderHeld(order), to, paid_milli);
        add_legs(&mut postings, Asset::COIN, Account::PlatformPromotions, to, discount_milli);
        let coins =
            |it: &ReturnedDraw| Draw { lot: it.lot, account: it.account, amount_milli: it.amount_milli };
        let spent: Vec<Draw> = row.draws.iter().map(coins).collect();
        let split = row.provider.zip(row.commission).and_then(|(host, commission)| {
            let split = Split {
                source: SplitSource::Order(order),
                payer: row.user,
                host,
                commission,
                before_milli: 0,
                after_milli: gross_milli,
                hold_seconds: earnings_hold_seconds,
                claws_back: context.policy.claw_back_held_earnings,
                draws: &spent,
            };
            split.event(context)
        });
        let completed = OrderCompleted {
            order,
            user: row.user,
            provider: row.provider,
            gross_milli,
            paid_milli,
            discount_milli,
            earnings_hold_seconds,
            spent,
            postings,
        };
        Ok([Some(completed.into()), split].into_iter().flatten().collect())
    }
}

impl Happened for OrderAccepted {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        [Some(self.user), self.provider].into_iter().flatten().collect()
    }

    fn correlation(&self) -> Option<Uuid> {
        Some(self.order.0)
    }

    fn evolve(&self, change: &mut Change) {
        change.set_order_status(self.order, OrderStatus::Accepted);
    }
}

impl Happened for OrderCompleted {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn people(&self) -> Vec<PersonId> {
        [Some(self.user), self.provider].into_iter().flatten().collect()
    }

    fn payer(&self) -> Option<PersonId> {
        Some(self.user)
    }

    fn correlation(&self) -> Option<Uuid> {
        Some(self.order.0)
    }

    fn evolve(&self, change: &mut Change) {
        change.edit_order(self.order, |row| row.earnings_hold_seconds = self.earnings_hold_seconds);
        change.set_order_status(self.order, OrderStatus::Completed);
    }
}
