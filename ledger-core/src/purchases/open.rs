//! A user chooses a plan.

use super::Purchase;
use super::purchase::UNPAID_STAYS_MS;
use crate::mechanism::binary::{binary_choices, binary_fields};
use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{
    Asset, Event, Gateway, OrderId, PersonId, PlanId, Posting, PurchaseId, Rejection, SubscriptionPlanId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Buys {
    /// The coins of a coin plan.
    Plan(PlanId),
    /// A period of a subscription: its coins are spent for it as they come.
    Subscription(BoughtPeriod),
    /// What the wallet does not pay of an order: its coins are held for it as they come.
    Order(OrderId),
}

/// A period of a subscription plan, as it was offered when it was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BoughtPeriod {
    pub plan: SubscriptionPlanId,
    pub period_seconds: u32,
    pub grace_seconds: u32,
}

binary_fields! { BoughtPeriod { plan: SubscriptionPlanId, period_seconds: u32, grace_seconds: u32 } }

binary_choices! { Buys as "name" {
    0 = Plan(plan: PlanId) "plan"
    1 = Subscription(period: BoughtPeriod) "subscription"
    2 = Order(order: OrderId) "order"
} }

commands! {
    OpenPurchase = "OpenPurchase" { user: PersonId, plan: PlanId, gateway: Gateway }
}

events! {
    /// A user chose what to buy; what it costs and gives is fixed here.
    PurchaseOpened = "PurchaseOpened" {
        purchase: PurchaseId,
        user: PersonId,
        buys: Buys,
        gateway: Gateway,
        coins_milli: i64,
        bonus_milli: i64,
        bonus_valid_seconds: Option<u32>,
        price_minor: i64,
        price_asset: Asset,
    }
}

impl Decide for OpenPurchase {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &OpenPurchase { user, plan, gateway } = self;
        let row = context.state.plan(plan).ok_or(Rejection::UnknownPlan)?;
        if !row.active {
            return Err(Rejection::PlanInactive);
        }
        let opened = PurchaseOpened {
            purchase: context.command_id.derive("purchase"),
            user,
            buys: Buys::Plan(plan),
            gateway,
            coins_milli: row.coins_milli,
            bonus_milli: row.bonus_milli,
            bonus_valid_seconds: row.bonus_valid_seconds,
            price_minor: row.price_minor,
            price_asset: row.price_asset,
        };
        Ok(vec![opened.into()])
    }
}

impl Happened for PurchaseOpened {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.user]
    }

    fn payer(&self) -> Option<PersonId> {
        Some(self.user)
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.purchase.0)
    }

    fn evolve(&self, change: &mut Change) {
        let purchase = Purchase {
            user: self.user,
            buys: self.buys,
            gateway: self.gateway,
            coins_milli: self.coins_milli,
            bonus_milli: self.bonus_milli,
            bonus_valid_seconds: self.bonus_valid_seconds,
            price_minor: self.price_minor,
            price_asset: self.price_asset,
            expired: false,
            captured: None,
            leaves_at: change.at,
        };
        change.forget_settled_purchases();
        change.state.tables.purchases.set(change.revision, self.purchase, Some(purchase));
        change.purchase_leaves_in(self.purchase, UNPAID_STAYS_MS);
    }
}
