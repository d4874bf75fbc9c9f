//! The next period: paid, waited for, or not to come.

use super::subscription::Paid;
use crate::mechanism::binary::binary_choices;
use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::{Policy, commands};
use crate::mechanism::event::{Change, Happened, events};
use crate::{
    CommandId, Event, PersonId, Posting, Rejection, State, SubscriptionId, SubscriptionPlanId, Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a subscription has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LapseCause {
    /// It was not to go on.
    Cancelled,
    /// The next period was not paid within the grace.
    Unpaid,
}

binary_choices! { LapseCause as "name" { 0 = Cancelled "cancelled" 1 = Unpaid "unpaid" } }

commands! {
    /// Charges the next period, or ends the subscription.
    RenewSubscription = "RenewSubscription" {
        subscription: SubscriptionId,
        /// The period that is to be paid.
        period: u32,
    }
}

events! {
    /// The next period could not be paid. Until then it may be.
    SubscriptionGraceBegun = "SubscriptionGraceBegun" {
        subscription: SubscriptionId,
        user: PersonId,
        plan: SubscriptionPlanId,
        /// The period that waits to be paid.
        period: u32,
        until: Timestamp,
    }
    /// A subscription has ended.
    SubscriptionLapsed = "SubscriptionLapsed" {
        subscription: SubscriptionId,
        user: PersonId,
        plan: SubscriptionPlanId,
        /// How many periods were paid.
        periods: u32,
        cause: LapseCause,
    }
}

impl Decide for RenewSubscription {
    const STATE_REFUSES_REPEATS: bool = true;

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &RenewSubscription { subscription, period } = self;
        let row = context.state.subscription(subscription).ok_or(Rejection::UnknownSubscription)?;
        let next = row.period + 1;
        if period != next {
            return Err(Rejection::RenewalOutOfOrder { next });
        }
        if context.at < row.until {
            return Err(Rejection::RenewalNotDue { due: row.until });
        }
        let (user, plan, price_milli) = (row.user, row.plan, row.price_milli);
        let lapsed = |cause| SubscriptionLapsed { subscription, user, plan, periods: row.period, cause };
        if !row.renews {
            return Ok(vec![lapsed(LapseCause::Cancelled).into()]);
        }
        let until = row.kept_until();
        match context.charge(user, price_milli) {
            Ok(charge) => {
                let paid = Paid { charge, price_milli, purchase: None };
                Ok(vec![row.paid(subscription, context.at, paid)])
            }
            Err(_) if context.at >= until => Ok(vec![lapsed(LapseCause::Unpaid).into()]),
            Err(_) if !row.in_grace => {
                Ok(vec![SubscriptionGraceBegun { subscription, user, plan, period, until }.into()])
            }
            Err(rejection) => Err(rejection),
        }
    }
}

impl State {
    /// When something is due about a subscription, if nothing more happens until then, and what.
    pub fn renewal_due(
        &self,
        subscription: SubscriptionId,
        at: Timestamp,
    ) -> Option<(Timestamp, RenewSubscription)> {
        let row = self.subscription(subscription)?;
        let renewal = RenewSubscription { subscription, period: row.period + 1 };
        let waits = row.in_grace && row.renews && !self.can_pay(row.user, row.price_milli, at);
        Some((if waits { row.kept_until() } else { row.until }, renewal))
    }

    /// Whether a charge would be taken at that moment.
    fn can_pay(&self, person: PersonId, amount_milli: i64, at: Timestamp) -> bool {
        let (command_id, policy) = (CommandId(Uuid::nil()), &Policy::default());
        Context { state: self, at, command_id, policy }.charge(person, amount_milli).is_ok()
    }
}

impl Happened for SubscriptionGraceBegun {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.user]
    }

    fn correlation(&self) -> Option<Uuid> {
        Some(self.subscription.0)
    }

    fn evolve(&self, change: &mut Change) {
        change.state.tables.subscriptions.edit(change.revision, &self.subscription, |row| {
            row.in_grace = true;
        });
    }
}

impl Happened for SubscriptionLapsed {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.user]
    }

    fn correlation(&self) -> Option<Uuid> {
        Some(self.subscription.0)
    }

    fn evolve(&self, change: &mut Change) {
        let tables = &mut change.state.tables;
        tables.subscriptions.set(change.revision, self.subscription, None);
        tables.subscriptions_of.set(change.revision, (self.user, self.plan), None);
    }
}
