//! Premium subscriptions: plans, periods that are paid in coins or money, and what they entitle to.
//!
//! A subscription is paid period by period, each before it begins. Periods are numbered, and a renewal names the number
//! that it is for, so that none is charged twice. A renewal that finds too few coins leaves the plan's grace: the person
//! keeps what they are entitled to, and the first coins that come pay the period, which then began when the last one
//! ended. A renewal after the grace is over begins its period at that moment: time in which nothing was given costs
//! nothing, however late whoever renews was. A subscription that was cancelled ends with its period.

mod plan;
mod renew;
mod subscription;

pub use plan::{SetSubscriptionPlan, SubscriptionPlan, SubscriptionPlanSet};
pub use renew::{LapseCause, RenewSubscription, SubscriptionGraceBegun, SubscriptionLapsed};
pub use subscription::{
    BuySubscription, CancelSubscription, ResumeSubscription, StartSubscription, Subscription,
    SubscriptionCancelled, SubscriptionPaid, SubscriptionResumed,
};

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        subscriptions
        commands {
            SetSubscriptionPlan StartSubscription BuySubscription RenewSubscription CancelSubscription
            ResumeSubscription
        }
        events {
            SubscriptionPlanSet SubscriptionPaid SubscriptionGraceBegun SubscriptionCancelled SubscriptionResumed
            SubscriptionLapsed
        }
        tables {
            subscription_plans: Table<SubscriptionPlanId, subscriptions::SubscriptionPlan>;
            subscriptions: Lookup<SubscriptionId, subscriptions::Subscription>;
            subscriptions_of: Table<(PersonId, SubscriptionPlanId), SubscriptionId>;
        }
        rejections {
            UnknownSubscriptionPlan = "unknown_subscription_plan", "there is no such subscription plan";
            SubscriptionPlanInactive = "subscription_plan_inactive", "this subscription plan is no longer sold";
            SubscriptionPriceChanged { price_milli: i64 } = "subscription_price_changed", "a period of this subscription now costs {price_milli} thousandths of a coin";
            NotSoldForMoney = "not_sold_for_money", "this is paid in coins";
            EntitlementsInvalid = "entitlements_invalid", "a plan has 1 to 16 entitlements, each a code of 1 to 64 small letters, digits and underscores, each once";
            GraceTooLong = "grace_too_long", "the grace is no longer than the period";
            UnknownSubscription = "unknown_subscription", "there is no such subscription, or it has ended";
            AlreadySubscribed = "already_subscribed", "this person has this subscription already";
            RenewalNotDue { due: Timestamp } = "renewal_not_due", "the next period begins at {due}";
            RenewalOutOfOrder { next: u32 } = "renewal_out_of_order", "the next period is number {next}";
        }
    } } };
}
pub(crate) use noun;
