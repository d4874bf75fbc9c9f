//! A subscription of a person: begun, paid for, cancelled, resumed.

use crate::account::add_legs;
use crate::lots::{Charge, Draw};
use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::purchases::{BoughtPeriod, Buys, Purchase, PurchaseOpened, Refundable};
use crate::{
    Account, Asset, Event, Gateway, PersonId, Posting, PurchaseId, Rejection, State, SubscriptionId,
    SubscriptionPlanId, Timestamp,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

commands! {
    /// Begins a subscription whose periods are paid in coins, the first one now.
    StartSubscription = "StartSubscription" {
        user: PersonId,
        plan: SubscriptionPlanId,
        /// The price that the person saw.
        price_seen_milli: i64,
    }
    /// Opens a purchase at a gateway: once it is paid, a period begins, or the one that runs is followed by another.
    BuySubscription = "BuySubscription" { user: PersonId, plan: SubscriptionPlanId, gateway: Gateway }
    /// It ends with the period that is paid.
    CancelSubscription = "CancelSubscription" { subscription: SubscriptionId, user: PersonId }
    /// It goes on after the period that is paid, in coins.
    ResumeSubscription = "ResumeSubscription" { subscription: SubscriptionId, user: PersonId }
}

events! {
    /// A period of a subscription was paid for.
    SubscriptionPaid = "SubscriptionPaid" {
        subscription: SubscriptionId,
        user: PersonId,
        plan: SubscriptionPlanId,
        /// Periods count from 1.
        period: u32,
        from: Timestamp,
        until: Timestamp,
        price_milli: i64,
        /// What the next period costs, unless the person agrees to another price.
        renewal_milli: i64,
        period_seconds: u32,
        grace_seconds: u32,
        /// Whether it goes on after this period.
        renews: bool,
        /// The purchase whose coins paid for it, where it was paid at a gateway.
        purchase: Option<PurchaseId>,
        draws: Vec<Draw>,
        postings: Vec<Posting>,
    }
    /// A person does not want it to go on.
    SubscriptionCancelled = "SubscriptionCancelled" {
        subscription: SubscriptionId,
        user: PersonId,
        ends_at: Timestamp,
    }
    /// A person wants it to go on after all.
    SubscriptionResumed = "SubscriptionResumed" { subscription: SubscriptionId, user: PersonId }
}

/// A subscription that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    pub user: PersonId,
    pub plan: SubscriptionPlanId,
    /// Of a renewal.
    pub price_milli: i64,
    pub period_seconds: u32,
    pub grace_seconds: u32,
    /// The last period that is paid, and when it ends.
    pub period: u32,
    pub until: Timestamp,
    pub renews: bool,
    /// Whether it is recorded that the next period could not be paid.
    pub in_grace: bool,
}

impl Subscription {
    /// Until when the person keeps what they are entitled to, if nothing more is paid.
    pub fn kept_until(&self) -> Timestamp {
        if self.renews { self.until.plus_seconds(self.grace_seconds) } else { self.until }
    }

    pub fn entitles(&self, at: Timestamp) -> bool {
        at < self.kept_until()
    }

    /// When a period that is paid at the moment `at` begins: right after the last one, unless nothing was given
    /// meanwhile.
    pub(super) fn next_from(&self, at: Timestamp) -> Timestamp {
        if at <= self.kept_until() { self.until } else { at }
    }
}

impl State {
    pub fn subscription(&self, subscription: SubscriptionId) -> Option<&Subscription> {
        self.tables.subscriptions.get(&subscription)
    }

    /// All that have not ended, in the order of their ids.
    pub fn subscriptions(&self) -> Vec<SubscriptionId> {
        self.tables.subscriptions.iter().map(|(id, _)| *id).collect()
    }

    pub fn subscriptions_of(
        &self,
        person: PersonId,
    ) -> impl Iterator<Item = (SubscriptionId, &Subscription)> {
        let (first, last) = (SubscriptionPlanId(Uuid::nil()), SubscriptionPlanId(Uuid::max()));
        let ids = self.tables.subscriptions_of.range((person, first)..=(person, last));
        ids.filter_map(|(_, id)| Some((*id, self.subscription(*id)?)))
    }

    pub(super) fn own_subscription(
        &self,
        subscription: SubscriptionId,
        user: PersonId,
    ) -> Result<&Subscription, Rejection> {
        let row = self.subscription(subscription).filter(|row| row.user == user);
        row.ok_or(Rejection::UnknownSubscription)
    }
}

/// What a period is paid with.
pub(super) struct Paid {
    pub charge: Charge,
    pub price_milli: i64,
    pub purchase: Option<PurchaseId>,
}

impl Subscription {
    /// The event by which the next period is paid.
    pub(super) fn paid(&self, id: SubscriptionId, at: Timestamp, paid: Paid) -> Event {
        let Paid { charge: Charge { draws, mut postings }, price_milli, purchase } = paid;
        let (clearing, revenue) = (Account::ClearingCharges, Account::PlatformRevenue);
        add_legs(&mut postings, Asset::COIN, clearing, revenue, price_milli);
        let from = self.next_from(at);
        SubscriptionPaid {
            subscription: id,
            user: self.user,
            plan: self.plan,
            period: self.period + 1,
            from,
            until: from.plus_seconds(self.period_seconds),
            price_milli,
            renewal_milli: self.price_milli,
            period_seconds: self.period_seconds,
            grace_seconds: self.grace_seconds,
            renews: self.renews,
            purchase,
            draws,
            postings,
        }
        .into()
    }
}

impl Decide for StartSubscription {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &StartSubscription { user, plan, price_seen_milli } = self;
        let row = context.sold(plan)?;
        if row.price_milli != price_seen_milli {
            return Err(Rejection::SubscriptionPriceChanged { price_milli: row.price_milli });
        }
        if context.state.tables.subscriptions_of.get(&(user, plan)).is_some() {
            return Err(Rejection::AlreadySubscribed);
        }
        let fresh = Subscription {
            user,
            plan,
            price_milli: row.price_milli,
            period_seconds: row.period_seconds,
            grace_seconds: row.grace_seconds,
            period: 0,
            until: context.at,
            renews: true,
            in_grace: false,
        };
        let charge = context.charge(user, row.price_milli)?;
        let paid = Paid { charge, price_milli: row.price_milli, purchase: None };
        Ok(vec![fresh.paid(context.command_id.derive("subscription"), context.at, paid)])
    }
}

impl Decide for BuySubscription {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &BuySubscription { user, plan, gateway } = self;
        let row = context.sold(plan)?;
        let price = row.price.ok_or(Rejection::NotSoldForMoney)?;
        let opened = PurchaseOpened {
            purchase: context.command_id.derive("purchase"),
            user,
            buys: Buys::Subscription(BoughtPeriod {
                plan,
                period_seconds: row.period_seconds,
                grace_seconds: row.grace_seconds,
            }),
            gateway,
            coins_milli: row.price_milli,
            bonus_milli: 0,
            bonus_valid_seconds: None,
            price_minor: price.amount_minor,
            price_asset: price.asset,
        };
        Ok(vec![opened.into()])
    }
}

impl Context<'_> {
    /// The period that a captured purchase pays for. Coins that went elsewhere, for what the buyer owed or with a refund
    /// that came first, pay for none: what is left of them stays in the wallet.
    pub fn period_bought(
        &self,
        BoughtPeriod { plan, period_seconds, grace_seconds }: BoughtPeriod,
        purchase: PurchaseId,
        open: &Refundable<'_>,
    ) -> Vec<Event> {
        let &Purchase { user, coins_milli: price_milli, .. } = open.row;
        if open.coins_left_milli < price_milli {
            return vec![];
        }
        let account = Account::UserPurchased(user);
        let mut postings = Vec::with_capacity(4);
        add_legs(&mut postings, Asset::COIN, account, Account::ClearingCharges, price_milli);
        let draws = vec![Draw { lot: open.captured.lot, account, amount_milli: price_milli }];
        let known = self.state.tables.subscriptions_of.get(&(user, plan)).copied();
        let id = known.unwrap_or_else(|| self.command_id.derive("subscription"));
        let before = self.state.subscription(id);
        let row = Subscription {
            user,
            plan,
            // Who has agreed to renewals has agreed to a price, whatever a period costs at the gateway now.
            price_milli: before.filter(|row| row.renews).map_or(price_milli, |row| row.price_milli),
            period_seconds,
            grace_seconds,
            period: before.map_or(0, |row| row.period),
            until: before.map_or(self.at, |row| row.next_from(self.at)),
            renews: before.is_some_and(|row| row.renews),
            in_grace: false,
        };
        let paid = Paid { charge: Charge { draws, postings }, price_milli, purchase: Some(purchase) };
        // Where it begins has been worked out by the terms of the period before.
        vec![row.paid(id, row.until, paid)]
    }
}

impl Decide for CancelSubscription {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &CancelSubscription { subscription, user } = self;
        let row = context.state.own_subscription(subscription, user)?;
        if !row.renews {
            return Ok(vec![]);
        }
        Ok(vec![SubscriptionCancelled { subscription, user, ends_at: row.until.max(context.at) }.into()])
    }
}

impl Decide for ResumeSubscription {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &ResumeSubscription { subscription, user } = self;
        let row = context.state.own_subscription(subscription, user)?;
        if row.renews {
            return Ok(vec![]);
        }
        // It has ended, though that is not recorded yet.
        if context.at >= row.until {
            return Err(Rejection::UnknownSubscription);
        }
        Ok(vec![SubscriptionResumed { subscription, user }.into()])
    }
}

impl Happened for SubscriptionPaid {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        self.draws.iter().map(LotMove::drawn).collect()
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.user]
    }

    fn payer(&self) -> Option<PersonId> {
        Some(self.user)
    }

    fn correlation(&self) -> Option<Uuid> {
        Some(self.subscription.0)
    }

    fn evolve(&self, change: &mut Change) {
        let row = Subscription {
            user: self.user,
            plan: self.plan,
            price_milli: self.renewal_milli,
            period_seconds: self.period_seconds,
            grace_seconds: self.grace_seconds,
            period: self.period,
            until: self.until,
            renews: self.renews,
            in_grace: false,
        };
        let (tables, revision) = (&mut change.state.tables, change.revision);
        tables.subscriptions.set(revision, self.subscription, Some(row));
        if self.period == 1 {
            tables.subscriptions_of.set(revision, (self.user, self.plan), Some(self.subscription));
        }
        change.spend(&self.draws);
    }
}

impl Happened for SubscriptionCancelled {
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
        change.state.tables.subscriptions.edit(change.revision, &self.subscription, |row| row.renews = false);
    }
}

impl Happened for SubscriptionResumed {
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
        change.state.tables.subscriptions.edit(change.revision, &self.subscription, |row| row.renews = true);
    }
}
