//! How a charge is divided between host, agency and platform, and what hosts have earned by it.

mod earnings;
mod held;
mod rate;
mod split;

pub use earnings::available_from;
pub use held::{ClawedShare, HeldShare};
pub use rate::{
    ClearCommissionRate, CommissionRateCleared, CommissionRateSet, CommissionRule, CommissionScope,
    SetCommissionRate,
};
pub(crate) use split::Split;
pub use split::{CommissionSplit, Shares, SplitSource, shares, shares_between};

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        commission
        commands { SetCommissionRate ClearCommissionRate }
        events { CommissionRateSet CommissionRateCleared CommissionSplit }
        tables {
            commissions: Lookup<commission::CommissionScope, mechanism::dated::Dated<commission::RateInForce>>;
            // By account of earnings and the moment until which they wait.
            pending_earnings: Table<(Account, Timestamp), i64>;
            // The same by moment: who waits for it.
            earnings_due: Table<(Timestamp, Account), ()>;
            // Of earnings that wait: by the lot whose coins they were earned by, until when, and whose they are.
            held_shares: Table<(LotId, Timestamp), Vec<(Account, i64)>>;
            held_due: Table<(Timestamp, LotId), ()>;
        }
        rejections {
            CommissionTooLarge = "commission_too_large", "host and agency together get at most 10000 basis points";
            EffectiveInPast { earliest: Timestamp } = "effective_from_in_past", "nothing is backdated; the earliest moment is {earliest}";
            CommissionNotSet = "commission_not_set", "no rate is set for this scope";
        }
    } } };
}
pub(crate) use noun;
pub(crate) use rate::RateInForce;
