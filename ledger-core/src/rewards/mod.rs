//! Coins that users earn: for a watched ad, each day, by a promotion code, and for bringing somebody who pays.
//!
//! A campaign says what is earned, and how much at the most: by a person in a day (UTC) and in all, and by everybody
//! together. What is earned is known by a reward's id, which is made of what it is for: the ad network's name of the
//! view, the person and the day, the campaign and the person, the person who was brought. None is given twice.

mod campaign;
mod earn;
mod referral;

pub use campaign::{
    Campaign, CampaignEnded, CampaignSet, CampaignTerms, EndCampaign, RewardKind, SetCampaign,
};
pub use earn::{Claim, EarnReward, RewardEarned, day_of};
pub use referral::{InviterNamed, NameInviter, Referral};

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        rewards
        commands { SetCampaign EndCampaign EarnReward NameInviter }
        events { CampaignSet CampaignEnded RewardEarned InviterNamed }
        tables {
            campaigns: Table<CampaignId, rewards::Campaign>;
            // Each code belongs to one campaign for ever.
            campaign_codes: Lookup<String, CampaignId>;
            // When the counters of which campaign leave.
            campaign_ends: Table<(Timestamp, CampaignId), ()>;
            // The ad views that were paid for.
            ad_views: Lookup<RewardId, ()>;
            // How often a person was paid on a day.
            reward_days: Table<(i64, PersonId, CampaignId), u32>;
            // How often a person was paid by a campaign that is not over.
            reward_people: Table<(CampaignId, PersonId), u32>;
            // Who was brought by whom, and who has paid before.
            referrals: Lookup<PersonId, rewards::Referral>;
        }
        rejections {
            UnknownCampaign = "unknown_campaign", "there is no such campaign";
            CampaignOver = "campaign_over", "this campaign is over; set up another one";
            CampaignNotRunning = "campaign_not_running", "no such campaign runs at present";
            CampaignKindFixed = "campaign_kind_fixed", "what a campaign rewards, and its code, stay as they were at first";
            CampaignCodeUnfit = "campaign_code_unfit", "a campaign for codes has a code of 4 to 32 capital letters and digits, and no other one has any";
            CampaignCodeTaken = "campaign_code_taken", "this code belongs to another campaign";
            CampaignPeriodInvalid = "campaign_period_invalid", "a campaign ends after it begins, and after now";
            RewardKindMismatch = "reward_kind_mismatch", "this campaign rewards something else";
            RewardKnown = "reward_already_given", "this has been rewarded already";
            RewardDayFull { most: u32 } = "reward_day_full", "a person is rewarded {most} times a day at the most; come back tomorrow";
            RewardPersonFull { most: u32 } = "reward_person_full", "this campaign rewards a person {most} times at the most";
            CampaignBudgetSpent = "campaign_budget_spent", "all that this campaign gives has been given";
            UnknownCode = "unknown_code", "there is no such code";
            InviterKnown = "inviter_already_named", "it has been said already who brought this person";
            InviterTooLate = "inviter_too_late", "who brought a person is said before their first purchase";
            InviterIsOneself = "inviter_is_oneself", "nobody brings themselves";
        }
    } } };
}
pub(crate) use noun;
