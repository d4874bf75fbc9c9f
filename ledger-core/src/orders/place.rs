//! A user orders a service.

use super::order::{Order, OrderStatus};
use super::service::{Service, gateway_minor};
use crate::calls::ReturnedDraw;
use crate::commission::CommissionRule;
use crate::lots::{Charge, Draw};
use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::purchases::{Buys, PurchaseOpened};
use crate::{
    Account, CouponId, Event, Gateway, OrderId, PersonId, Posting, Price, PurchaseId, Rejection, ServiceId,
    State, Timestamp,
};
use uuid::Uuid;

commands! {
    /// Orders a service. What the wallet does not pay is paid at the gateway.
    PlaceOrder = "PlaceOrder" {
        user: PersonId,
        service: ServiceId,
        coupon: Option<String>,
        /// What the buyer saw that the order costs, with the discount.
        total_seen_milli: i64,
        wallet_milli: i64,
        gateway: Gateway,
    }
}

events! {
    /// A service was ordered. What the wallet pays is held for the order; where that is all of it, the order is paid.
    OrderPlaced = "OrderPlaced" {
        order: OrderId,
        user: PersonId,
        service: ServiceId,
        /// The host who provides it; the platform itself when absent.
        provider: Option<PersonId>,
        /// By which the price will be split, of a service of a host.
        commission: Option<CommissionRule>,
        coupon: Option<CouponId>,
        price_milli: i64,
        discount_milli: i64,
        wallet_milli: i64,
        /// The coins that are bought at the gateway for it.
        gateway_milli: i64,
        purchase: Option<PurchaseId>,
        /// Until when the purchase may be paid; then the order expires.
        pay_by: Option<Timestamp>,
        draws: Vec<Draw>,
        postings: Vec<Posting>,
    }
}

/// What an order of a service would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    pub provider: Option<PersonId>,
    pub coupon: Option<CouponId>,
    pub price_milli: i64,
    pub discount_milli: i64,
    pub total_milli: i64,
    /// What the service costs at the gateway without a discount; absent where it is sold for coins alone.
    pub price: Option<Price>,
}

impl Quote {
    /// What the gateway is asked for where it pays so much of the total; `None` where it is sold for coins alone.
    pub fn at_gateway(&self, part_milli: i64) -> Option<Price> {
        let price = self.price?;
        Some(Price { amount_minor: gateway_minor(price, self.price_milli, part_milli), ..price })
    }
}

impl State {
    /// What an order costs `user` at the moment `at`.
    ///
    /// # Errors
    /// Why it cannot be placed, or not with this coupon.
    pub fn quote(
        &self,
        user: PersonId,
        service: ServiceId,
        coupon: Option<&String>,
        at: Timestamp,
    ) -> Result<Quote, Rejection> {
        let row = self.service(service).ok_or(Rejection::UnknownService)?;
        let &Service { provider, price_milli, price, active } = row;
        if !active {
            return Err(Rejection::ServiceInactive);
        }
        if provider == Some(user) {
            return Err(Rejection::SelfPayment);
        }
        let taken_off = coupon.map(|code| self.discount(code, user, price_milli, at)).transpose()?;
        let discount_milli = taken_off.map_or(0, |(_, discount_milli)| discount_milli);
        Ok(Quote {
            provider,
            coupon: taken_off.map(|(coupon, _)| coupon),
            price_milli,
            discount_milli,
            total_milli: price_milli - discount_milli,
            price,
        })
    }
}

impl Decide for PlaceOrder {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &PlaceOrder { user, service, total_seen_milli, wallet_milli, gateway, .. } = self;
        let quote = context.state.quote(user, service, self.coupon.as_ref(), context.at)?;
        let Quote { provider, coupon, price_milli, discount_milli, total_milli, .. } = quote;
        if total_seen_milli != total_milli {
            return Err(Rejection::OrderTotalChanged { total_milli });
        }
        if !(0..=total_milli).contains(&wallet_milli) {
            return Err(Rejection::WalletPartUnfit { total_milli });
        }
        // Coins bought at the gateway would go to what the buyer owes, and the order would stay unpaid.
        context.check_owes_nothing(user)?;
        let gateway_milli = total_milli - wallet_milli;
        let order = context.command_id.derive("order");
        let opened = if gateway_milli > 0 {
            let price = quote.at_gateway(gateway_milli).ok_or(Rejection::NotSoldForMoney)?;
            Some(PurchaseOpened {
                purchase: context.command_id.derive("purchase"),
                user,
                buys: Buys::Order(order),
                gateway,
                coins_milli: gateway_milli,
                bonus_milli: 0,
                bonus_valid_seconds: None,
                price_minor: price.amount_minor,
                price_asset: price.asset,
            })
        } else {
            None
        };
        let Charge { draws, postings } = match wallet_milli {
            0 => Charge { draws: vec![], postings: vec![] },
            _ => context.charge_into(Account::OrderHeld(order), user, wallet_milli)?,
        };
        let placed = OrderPlaced {
            order,
            user,
            service,
            provider,
            commission: provider.map(|host| context.state.commission_rule(host, context.at)),
            coupon,
            price_milli,
            discount_milli,
            wallet_milli,
            gateway_milli,
            purchase: opened.as_ref().map(|it| it.purchase),
            pay_by: opened.as_ref().map(|_| context.at.plus_seconds(context.policy.order_payment_seconds)),
            draws,
            postings,
        };
        Ok([Some(placed.into()), opened.map(Event::from)].into_iter().flatten().collect())
    }
}

impl Happened for OrderPlaced {
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
        change.forget_orders();
        let row = Order {
            user: self.user,
            service: self.service,
            provider: self.provider,
            commission: self.commission,
            coupon: self.coupon,
            price_milli: self.price_milli,
            discount_milli: self.discount_milli,
            gateway_milli: self.gateway_milli,
            purchase: self.purchase,
            pay_by: self.pay_by,
            status: if self.gateway_milli == 0 { OrderStatus::Paid } else { OrderStatus::Unpaid },
            draws: self.draws.iter().map(|it| ReturnedDraw::of(change, it)).collect(),
            refunded_milli: 0,
            earnings_hold_seconds: 0,
            leaves_at: None,
        };
        let (tables, revision) = (&mut change.state.tables, change.revision);
        tables.orders.set(revision, self.order, Some(row));
        if let Some(pay_by) = self.pay_by {
            tables.unpaid_orders.set(revision, (pay_by, self.order), Some(()));
        }
        change.spend(&self.draws);
        if let Some(coupon) = self.coupon {
            change.coupon_taken(coupon, self.user);
        }
        change.forget_coupon_counters();
    }
}
