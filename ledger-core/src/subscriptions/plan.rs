//! What a subscription costs, and what it entitles to.

use crate::mechanism::decide::{Context, Decide, check_amount, check_reason};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{Asset, Event, PersonId, Posting, Price, Rejection, State, SubscriptionPlanId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const MOST_ENTITLEMENTS: usize = 16;

commands! {
    SetSubscriptionPlan = "SetSubscriptionPlan" {
        plan: SubscriptionPlanId,
        price_milli: i64,
        price: Option<Price>,
        period_seconds: u32,
        grace_seconds: u32,
        entitlements: Vec<String>,
        active: bool,
    }
}

events! {
    /// A subscription plan was offered, changed or (inactive) withdrawn.
    SubscriptionPlanSet = "SubscriptionPlanSet" {
        plan: SubscriptionPlanId,
        /// What a period costs in coins.
        price_milli: i64,
        /// What a period costs at a gateway; absent where it is sold for coins alone.
        price: Option<Price>,
        period_seconds: u32,
        /// How long a person keeps what they are entitled to when the next period cannot be paid.
        grace_seconds: u32,
        /// What it entitles to, in the codes of the product.
        entitlements: Vec<String>,
        active: bool,
    }
}

/// What a subscription plan costs and gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionPlan {
    pub price_milli: i64,
    pub price: Option<Price>,
    pub period_seconds: u32,
    pub grace_seconds: u32,
    pub entitlements: Vec<String>,
    pub active: bool,
}

impl State {
    pub fn subscription_plan(&self, plan: SubscriptionPlanId) -> Option<&SubscriptionPlan> {
        self.tables.subscription_plans.get(&plan)
    }

    /// What `person` is entitled to at the moment `at`, by all of their subscriptions.
    pub fn entitlements(&self, person: PersonId, at: Timestamp) -> BTreeSet<&str> {
        let live = self.subscriptions_of(person).filter(|(_, row)| row.entitles(at));
        let plans = live.filter_map(|(_, row)| self.subscription_plan(row.plan));
        plans.flat_map(|plan| plan.entitlements.iter().map(String::as_str)).collect()
    }
}

impl Context<'_> {
    /// A plan that is sold.
    pub(super) fn sold(&self, plan: SubscriptionPlanId) -> Result<&SubscriptionPlan, Rejection> {
        let row = self.state.subscription_plan(plan).ok_or(Rejection::UnknownSubscriptionPlan)?;
        if row.active { Ok(row) } else { Err(Rejection::SubscriptionPlanInactive) }
    }

    /// A price that is asked for at a gateway.
    pub fn check_price(&self, field: &'static str, price: Price) -> Result<(), Rejection> {
        check_amount(field, price.amount_minor)?;
        if price.asset == Asset::COIN {
            return Err(Rejection::PriceInCoins);
        }
        self.check_declared(price.asset)
    }
}

impl Decide for SetSubscriptionPlan {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &SetSubscriptionPlan { plan, price_milli, price, period_seconds, grace_seconds, active, .. } =
            self;
        check_amount("price_milli", price_milli)?;
        price.map(|price| context.check_price("price", price)).transpose()?;
        check_amount("period_seconds", period_seconds.into())?;
        if grace_seconds > period_seconds {
            return Err(Rejection::GraceTooLong);
        }
        let entitlements = self.entitlements.clone();
        let distinct: BTreeSet<&String> = entitlements.iter().collect();
        let are_codes = entitlements.iter().all(|it| check_reason("entitlements", it).is_ok());
        if !are_codes
            || distinct.len() != entitlements.len()
            || !(1..=MOST_ENTITLEMENTS).contains(&distinct.len())
        {
            return Err(Rejection::EntitlementsInvalid);
        }
        let set = SubscriptionPlanSet {
            plan,
            price_milli,
            price,
            period_seconds,
            grace_seconds,
            entitlements,
            active,
        };
        if context.state.subscription_plan(plan) == Some(&set.terms()) {
            return Ok(vec![]);
        }
        Ok(vec![set.into()])
    }
}

impl SubscriptionPlanSet {
    fn terms(&self) -> SubscriptionPlan {
        SubscriptionPlan {
            price_milli: self.price_milli,
            price: self.price,
            period_seconds: self.period_seconds,
            grace_seconds: self.grace_seconds,
            entitlements: self.entitlements.clone(),
            active: self.active,
        }
    }
}

impl Happened for SubscriptionPlanSet {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![]
    }

    fn evolve(&self, change: &mut Change) {
        change.state.tables.subscription_plans.set(change.revision, self.plan, Some(self.terms()));
    }
}
