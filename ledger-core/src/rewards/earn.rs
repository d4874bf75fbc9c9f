//! A reward is given.

use super::{CampaignTerms, RewardKind};
use crate::bonuses::{Bonus, BonusOrigin};
use crate::mechanism::decide::{Context, Decide, check_reference};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::mechanism::ids::uuid_v5;
use crate::{Account, CampaignId, Event, LotId, PersonId, Posting, Rejection, RewardId, State, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a reward is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claim {
    /// The ad network's name of an ad's showing.
    AdView {
        campaign: CampaignId,
        view: String,
    },
    /// Coming by today.
    Daily,
    Code(String),
}

commands! {
    EarnReward = "EarnReward" { user: PersonId, claim: Claim }
}

events! {
    /// Somebody has earned a reward. Its coins come with the `BonusGranted` that follows.
    RewardEarned = "RewardEarned" {
        /// Made of what the reward is for, so that it is given once.
        reward: RewardId,
        campaign: CampaignId,
        kind: RewardKind,
        user: PersonId,
        /// The person who was brought, of a referral.
        invited: Option<PersonId>,
        lot: LotId,
        coins_milli: i64,
    }
}

/// The day (UTC) of a moment, counted from 1970.
pub fn day_of(at: Timestamp) -> i64 {
    at.0.div_euclid(24 * 60 * 60 * 1_000)
}

/// The id of a reward for this.
pub(super) fn reward_id(what: &str) -> RewardId {
    const NAMESPACE: Uuid = Uuid::from_u128(0x6d75_6e65_656d_4c9e_9f0b_4e3a_9d00_0001);
    RewardId(uuid_v5(NAMESPACE, what.as_bytes()))
}

impl State {
    /// How often a person was paid for their daily visit on a day.
    fn daily_given(&self, user: PersonId, day: i64) -> bool {
        let (first, last) = (CampaignId(Uuid::nil()), CampaignId(Uuid::max()));
        let mut today = self.tables.reward_days.range((day, user, first)..=(day, user, last));
        today.any(|((_, _, campaign), _)| {
            self.campaign(*campaign).is_some_and(|row| row.terms.kind == RewardKind::Daily)
        })
    }

    /// How often a campaign that is not over has paid a person.
    pub fn rewarded(&self, campaign: CampaignId, user: PersonId) -> u32 {
        self.tables.reward_people.get(&(campaign, user)).copied().unwrap_or(0)
    }
}

impl Decide for EarnReward {
    fn decides_on_money_of(&self, _: &State) -> Option<PersonId> {
        // Of an ad's showing somebody else tells; the others are asked for by the person.
        matches!(self.claim, Claim::AdView { .. }).then_some(self.user)
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let (state, at, user) = (context.state, context.at, self.user);
        let (campaign, reward) = match &self.claim {
            Claim::AdView { campaign, view } => {
                let reward = reward_id(&format!("ad:{}", check_reference("view", view)?));
                let row = state.campaign(*campaign).ok_or(Rejection::UnknownCampaign)?;
                if row.terms.kind != RewardKind::Ad {
                    return Err(Rejection::RewardKindMismatch);
                }
                if state.tables.ad_views.get(&reward).is_some() {
                    return Err(Rejection::RewardKnown);
                }
                (*campaign, reward)
            }
            Claim::Daily => {
                let day = day_of(at);
                if state.daily_given(user, day) {
                    return Err(Rejection::RewardKnown);
                }
                let (campaign, _) =
                    state.running_campaign(RewardKind::Daily, at).ok_or(Rejection::CampaignNotRunning)?;
                (campaign, reward_id(&format!("daily:{user}:{day}")))
            }
            Claim::Code(code) => {
                let campaign = *state.tables.campaign_codes.get(code).ok_or(Rejection::UnknownCode)?;
                if state.rewarded(campaign, user) > 0 {
                    return Err(Rejection::RewardKnown);
                }
                (campaign, reward_id(&format!("code:{campaign}:{user}")))
            }
        };
        let reward = Reward { reward, campaign, user, invited: None, word: "bonus" };
        reward.events(context, 0)
    }
}

/// A reward that a command gives.
pub(super) struct Reward {
    pub reward: RewardId,
    pub campaign: CampaignId,
    pub user: PersonId,
    pub invited: Option<PersonId>,
    /// What the lot's id is derived by.
    pub word: &'static str,
}

impl Reward {
    /// The events, unless a limit of the campaign is reached. `before_milli` is what the same unit gives already.
    pub fn events(self, context: &Context, before_milli: i64) -> Result<Vec<Event>, Rejection> {
        let Reward { reward, campaign, user, invited, word } = self;
        let state = context.state;
        let row = state.campaign(campaign).ok_or(Rejection::UnknownCampaign)?;
        if !row.is_running(context.at) {
            return Err(Rejection::CampaignNotRunning);
        }
        let &CampaignTerms { kind, coins_milli, valid_seconds, per_person_day, per_person, .. } = &row.terms;
        // Who was brought is rewarded once in their life.
        if invited != Some(user) {
            let today = state.tables.reward_days.get(&(day_of(context.at), user, campaign));
            if today.copied().unwrap_or(0) >= per_person_day {
                return Err(Rejection::RewardDayFull { most: per_person_day });
            }
            if let Some(most) = per_person.filter(|most| state.rewarded(campaign, user) >= *most) {
                return Err(Rejection::RewardPersonFull { most });
            }
        }
        // Amounts are 2^53-1 at the most, so that no sum of three overflows.
        if row.spent_milli + before_milli + coins_milli > row.terms.budget_milli {
            return Err(Rejection::CampaignBudgetSpent);
        }
        let origin = match kind {
            RewardKind::Ad => BonusOrigin::Ad,
            RewardKind::Daily => BonusOrigin::Daily,
            RewardKind::Code => BonusOrigin::Code,
            RewardKind::Referral => BonusOrigin::Referral,
        };
        let bonus = Bonus { user, origin, purchase: None, coins_milli, valid_seconds };
        let lot = context.command_id.derive(word);
        let earned = RewardEarned { reward, campaign, kind, user, invited, lot, coins_milli };
        let merges = context.merges(Account::UserBonus(user));
        Ok([vec![earned.into(), bonus.in_lot(context, word)], merges].concat())
    }
}

impl Happened for RewardEarned {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.user]
    }

    fn correlation(&self) -> Option<Uuid> {
        Some(self.campaign.0)
    }

    fn evolve(&self, change: &mut Change) {
        let (day, revision) = (day_of(change.at), change.revision);
        let tables = &mut change.state.tables;
        tables.campaigns.edit(revision, &self.campaign, |row| row.spent_milli += self.coins_milli);
        if self.kind == RewardKind::Ad {
            tables.ad_views.set(revision, self.reward, Some(()));
        }
        if self.invited != Some(self.user) {
            let key = (day, self.user, self.campaign);
            let today = tables.reward_days.get(&key).copied().unwrap_or(0);
            tables.reward_days.set(revision, key, Some(today + 1));
            let key = (self.campaign, self.user);
            let so_far = tables.reward_people.get(&key).copied().unwrap_or(0);
            tables.reward_people.set(revision, key, Some(so_far + 1));
        }
        change.forget_counters();
    }
}

/// How many counters leave with each reward: more than come in with one.
const AT_ONCE: usize = 4;

impl Change<'_> {
    /// Lets go of counters that nobody asks about any more: of days that are past, and of campaigns that are over.
    pub(super) fn forget_counters(&mut self) {
        let (tables, revision, day) = (&mut self.state.tables, self.revision, day_of(self.at));
        let (nobody, nothing) = (PersonId(Uuid::nil()), CampaignId(Uuid::nil()));
        let past = tables.reward_days.range((i64::MIN, nobody, nothing)..=(day, nobody, nothing));
        let past: Vec<_> = past.map(|(key, _)| *key).filter(|(of, ..)| *of < day).take(AT_ONCE).collect();
        for key in past {
            tables.reward_days.set(revision, key, None);
        }
        let due = tables.campaign_ends.due_before(self.at.plus_ms(1)).first().copied();
        let Some((ended_at, campaign)) = due else { return };
        let of_campaign = (campaign, nobody)..=(campaign, PersonId(Uuid::max()));
        let rows: Vec<_> =
            tables.reward_people.range(of_campaign).map(|(key, _)| *key).take(AT_ONCE).collect();
        if rows.len() < AT_ONCE {
            tables.campaign_ends.set(revision, (ended_at, campaign), None);
        }
        for key in rows {
            tables.reward_people.set(revision, key, None);
        }
    }
}
