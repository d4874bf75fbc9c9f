//! What is sold and for how much: coin plans, gifts, hosts' minutes.

mod gift_price;
mod host_rate;
mod plan;

pub use gift_price::{GiftPriceSet, SetGiftPrice};
pub use host_rate::{HostRateSet, Medium, SetHostRate};
pub use plan::{CoinPlanSet, Plan, SetCoinPlan};

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        catalogue
        commands { SetCoinPlan SetHostRate SetGiftPrice }
        events { CoinPlanSet HostRateSet GiftPriceSet }
        tables {
            plans: Table<PlanId, crate::catalogue::Plan>;
            rates: Lookup<(PersonId, Medium), i64>;
            gifts: Lookup<GiftId, i64>;
        }
        rejections {
            UnknownPlan = "unknown_plan", "there is no such coin plan";
            PlanInactive = "plan_inactive", "this coin plan is no longer sold";
            PriceInCoins = "price_in_coins", "coins are sold for money";
            UnknownGift = "unknown_gift", "there is no such gift in the catalogue";
            GiftPriceChanged { price_milli: i64 } = "gift_price_changed", "the gift now costs {price_milli} thousandths of a coin";
            MediumNotOffered { medium: Medium } = "medium_not_offered", "the host does not offer this medium";
        }
    } } };
}
pub(crate) use noun;
