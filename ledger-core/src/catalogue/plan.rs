//! Coin plans.

use crate::mechanism::decide::{Context, Decide, check_amount};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{Asset, Event, MAX_AMOUNT, PersonId, PlanId, Posting, Rejection, State};
use serde::{Deserialize, Serialize};

commands! {
    SetCoinPlan = "SetCoinPlan" {
        plan: PlanId,
        coins_milli: i64,
        bonus_milli: i64,
        bonus_valid_seconds: Option<u32>,
        price_minor: i64,
        price_asset: Asset,
        active: bool,
    }
}

events! {
    /// A plan was offered, changed or (inactive) withdrawn.
    CoinPlanSet = "CoinPlanSet" {
        plan: PlanId,
        coins_milli: i64,
        bonus_milli: i64,
        /// How long bonus coins last; for ever when absent.
        bonus_valid_seconds: Option<u32>,
        price_minor: i64,
        price_asset: Asset,
        active: bool,
    }
}

/// What a coin plan gives and costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub coins_milli: i64,
    pub bonus_milli: i64,
    pub bonus_valid_seconds: Option<u32>,
    pub price_minor: i64,
    pub price_asset: Asset,
    pub active: bool,
}

impl State {
    pub fn plan(&self, plan: PlanId) -> Option<&Plan> {
        self.tables.plans.get(&plan)
    }

    /// All coin plans, in the order of their ids.
    pub fn plans(&self) -> Vec<(PlanId, &Plan)> {
        self.tables.plans.iter().map(|(id, plan)| (*id, plan)).collect()
    }
}

impl Decide for SetCoinPlan {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &SetCoinPlan {
            plan,
            coins_milli,
            bonus_milli,
            bonus_valid_seconds,
            price_minor,
            price_asset,
            active,
        } = self;
        check_amount("coins_milli", coins_milli)?;
        check_amount("price_minor", price_minor)?;
        match bonus_milli {
            ..0 => return Err(Rejection::AmountNotPositive { field: "bonus_milli" }),
            bonus if bonus > MAX_AMOUNT => return Err(Rejection::AmountTooLarge { field: "bonus_milli" }),
            _ => {}
        }
        if price_asset == Asset::COIN {
            return Err(Rejection::PriceInCoins);
        }
        context.check_declared(price_asset)?;
        if bonus_valid_seconds == Some(0) {
            return Err(Rejection::AmountNotPositive { field: "bonus_valid_seconds" });
        }
        let set = CoinPlanSet {
            plan,
            coins_milli,
            bonus_milli,
            bonus_valid_seconds,
            price_minor,
            price_asset,
            active,
        };
        if context.state.plan(plan) == Some(&set.terms()) {
            return Ok(vec![]);
        }
        Ok(vec![set.into()])
    }
}

impl CoinPlanSet {
    fn terms(&self) -> Plan {
        Plan {
            coins_milli: self.coins_milli,
            bonus_milli: self.bonus_milli,
            bonus_valid_seconds: self.bonus_valid_seconds,
            price_minor: self.price_minor,
            price_asset: self.price_asset,
            active: self.active,
        }
    }
}

impl Happened for CoinPlanSet {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![]
    }

    fn evolve(&self, change: &mut Change) {
        change.state.tables.plans.set(change.revision, self.plan, Some(self.terms()));
    }
}
