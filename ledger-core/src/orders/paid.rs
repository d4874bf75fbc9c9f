//! The gateway's part of an order has come.

use super::order::OrderStatus;
use crate::account::legs;
use crate::calls::ReturnedDraw;
use crate::lots::Draw;
use crate::mechanism::decide::Context;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::purchases::Refundable;
use crate::{Account, Asset, Event, OrderId, PersonId, Posting, PurchaseId};
use uuid::Uuid;

events! {
    /// The coins that were bought at the gateway for an order are held for it: it is paid.
    OrderPaid = "OrderPaid" {
        order: OrderId,
        user: PersonId,
        provider: Option<PersonId>,
        purchase: PurchaseId,
        coins_milli: i64,
        draws: Vec<Draw>,
        postings: Vec<Posting>,
    }
}

impl Context<'_> {
    /// The payment of an order by a captured purchase. Coins that went elsewhere, for what the buyer owed or with a
    /// refund that came first, pay for nothing, and neither do those of an order that waits no longer: they stay in the
    /// wallet. An order whose time is over is paid as long as its expiry is not recorded.
    pub fn order_bought(&self, order: OrderId, purchase: PurchaseId, open: &Refundable<'_>) -> Vec<Event> {
        let unpaid = self.state.order(order).filter(|row| row.status == OrderStatus::Unpaid);
        let Some(row) = unpaid.filter(|row| open.coins_left_milli >= row.gateway_milli) else {
            return vec![];
        };
        let (user, coins_milli) = (row.user, row.gateway_milli);
        let account = Account::UserPurchased(user);
        let paid = OrderPaid {
            order,
            user,
            provider: row.provider,
            purchase,
            coins_milli,
            draws: vec![Draw { lot: open.captured.lot, account, amount_milli: coins_milli }],
            postings: legs(Asset::COIN, account, Account::OrderHeld(order), coins_milli),
        };
        vec![paid.into()]
    }
}

impl Happened for OrderPaid {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        self.draws.iter().map(LotMove::drawn).collect()
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
        let drawn: Vec<_> = self.draws.iter().map(|it| ReturnedDraw::of(change, it)).collect();
        change.edit_order(self.order, |row| row.draws.extend(drawn));
        change.set_order_status(self.order, OrderStatus::Paid);
        change.spend(&self.draws);
    }
}
