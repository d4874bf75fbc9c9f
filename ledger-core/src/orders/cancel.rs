//! An order comes to nothing: all that was paid goes back, and so does the use of its coupon.

use super::order::{Order, OrderStatus, released};
use crate::calls::ReturnedDraw;
use crate::mechanism::binary::binary_choices;
use crate::mechanism::decide::{Context, Decide, check_reason};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::{CouponId, Event, OrderId, PersonId, Posting, Rejection, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why an order came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelCause {
    /// The buyer does not want it any more.
    Buyer,
    /// The provider or an admin will not do it.
    Declined,
    /// The gateway's part did not come in time.
    Unpaid,
}

binary_choices! { CancelCause as "name" { 0 = Buyer "buyer" 1 = Declined "declined" 2 = Unpaid "unpaid" } }

commands! {
    /// The buyer does not want it any more, and its provider has not begun.
    CancelOrder = "CancelOrder" { order: OrderId, user: PersonId }
    /// The provider will not do it.
    DeclineOrder = "DeclineOrder" {
        order: OrderId,
        /// The host who provides it; absent where an admin acts.
        host: Option<PersonId>,
        reason: String,
    }
    /// Closes an order whose gateway part did not come in time.
    ExpireOrder = "ExpireOrder" { order: OrderId }
}

events! {
    /// An order came to nothing; what was paid is back.
    OrderCancelled = "OrderCancelled" {
        order: OrderId,
        user: PersonId,
        provider: Option<PersonId>,
        cause: CancelCause,
        reason: Option<String>,
        /// The coupon that it used no longer.
        coupon: Option<CouponId>,
        returned_milli: i64,
        /// The lots that the coins go back to.
        draws: Vec<ReturnedDraw>,
        postings: Vec<Posting>,
    }
}

impl Order {
    fn cancelled(&self, order: OrderId, cause: CancelCause, reason: Option<String>) -> Vec<Event> {
        let paid_milli = self.draws.iter().map(|it| it.amount_milli).sum();
        let draws = self.back(paid_milli);
        let cancelled = OrderCancelled {
            order,
            user: self.user,
            provider: self.provider,
            cause,
            reason,
            coupon: self.coupon,
            returned_milli: paid_milli,
            postings: released(order, self.user, &draws),
            draws,
        };
        vec![cancelled.into()]
    }
}

impl Decide for CancelOrder {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &CancelOrder { order, user } = self;
        if context.state.order(order).is_none_or(|row| row.user != user) {
            return Err(Rejection::UnknownOrder);
        }
        let row = context.state.open_order(order)?;
        match row.status {
            OrderStatus::Accepted => Err(Rejection::OrderAlreadyAccepted),
            OrderStatus::Completed => Err(Rejection::OrderAlreadyCompleted),
            _ => Ok(row.cancelled(order, CancelCause::Buyer, None)),
        }
    }
}

impl Decide for DeclineOrder {
    fn decides_on_money_of(&self, state: &State) -> Option<PersonId> {
        state.order(self.order).map(|row| row.user).filter(|_| self.host.is_none())
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &DeclineOrder { order, host, ref reason } = self;
        let reason = check_reason("reason", reason)?;
        let row = context.state.provided_order(order, host)?;
        if row.status == OrderStatus::Completed {
            return Err(Rejection::OrderAlreadyCompleted);
        }
        Ok(row.cancelled(order, CancelCause::Declined, Some(reason)))
    }
}

impl Decide for ExpireOrder {
    const STATE_REFUSES_REPEATS: bool = true;

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let order = self.order;
        let row = context.state.open_order(order)?;
        let unpaid = row.pay_by.filter(|_| row.status == OrderStatus::Unpaid);
        let due = unpaid.ok_or(Rejection::OrderAlreadyPaid)?;
        if context.at < due {
            return Err(Rejection::OrderPaymentNotDue { due });
        }
        Ok(row.cancelled(order, CancelCause::Unpaid, None))
    }
}

impl Happened for OrderCancelled {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        self.draws.iter().map(|it| LotMove::added(it.lot, it.account, it.amount_milli)).collect()
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
        let unpaid = self.cause == CancelCause::Unpaid;
        change.give_back_of_order(self.order, &self.draws);
        change
            .set_order_status(self.order, if unpaid { OrderStatus::Expired } else { OrderStatus::Cancelled });
        if let Some(coupon) = self.coupon {
            change.coupon_given_back(coupon, self.user);
        }
    }
}
