//! Campaigns: what is rewarded, and how much at the most.

use crate::mechanism::binary::binary_choices;
use crate::mechanism::decide::{Context, Decide, check_amount};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{CampaignId, Event, PersonId, Posting, Rejection, State, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a campaign rewards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RewardKind {
    /// An ad that was watched.
    Ad,
    /// Coming by, once a day.
    Daily,
    /// A promotion code, once a person.
    Code,
    /// The first purchase of somebody who was brought: both get coins.
    Referral,
}

binary_choices! { RewardKind as "name" { 0 = Ad "ad" 1 = Daily "daily" 2 = Code "code" 3 = Referral "referral" } }

commands! {
    /// Sets up a campaign, or changes one that is not over.
    SetCampaign = "SetCampaign" {
        campaign: CampaignId,
        kind: RewardKind,
        coins_milli: i64,
        valid_seconds: Option<u32>,
        per_person_day: u32,
        per_person: Option<u32>,
        budget_milli: i64,
        from: Timestamp,
        to: Timestamp,
        code: Option<String>,
    }
    /// Nothing more is rewarded.
    EndCampaign = "EndCampaign" { campaign: CampaignId }
}

events! {
    /// A campaign was set up or changed.
    CampaignSet = "CampaignSet" {
        campaign: CampaignId,
        kind: RewardKind,
        /// What one reward is; of a referral each of the two gets it.
        coins_milli: i64,
        /// How long the coins last; for ever when absent.
        valid_seconds: Option<u32>,
        /// How often a person is rewarded on one day (UTC) at the most.
        per_person_day: u32,
        /// How often a person is rewarded in all; without a limit when absent.
        per_person: Option<u32>,
        /// What everybody together is given at the most.
        budget_milli: i64,
        from: Timestamp,
        /// Exclusive.
        to: Timestamp,
        code: Option<String>,
    }
    /// A campaign was ended before its time.
    CampaignEnded = "CampaignEnded" { campaign: CampaignId, spent_milli: i64 }
}

/// A campaign and what it has given so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    pub terms: CampaignTerms,
    pub spent_milli: i64,
    pub ended: bool,
}

/// What a campaign rewards, and how much at the most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignTerms {
    pub kind: RewardKind,
    pub coins_milli: i64,
    pub valid_seconds: Option<u32>,
    pub per_person_day: u32,
    pub per_person: Option<u32>,
    pub budget_milli: i64,
    pub from: Timestamp,
    pub to: Timestamp,
    pub code: Option<String>,
}

impl Campaign {
    /// Whether nothing more can be rewarded, now or later.
    pub fn is_over(&self, at: Timestamp) -> bool {
        self.ended || at >= self.terms.to
    }

    pub fn is_running(&self, at: Timestamp) -> bool {
        !self.is_over(at) && at >= self.terms.from
    }
}

impl State {
    pub fn campaign(&self, campaign: CampaignId) -> Option<&Campaign> {
        self.tables.campaigns.get(&campaign)
    }

    /// The campaign of a kind that runs at `at`: the first in the order of their ids.
    pub fn running_campaign(&self, kind: RewardKind, at: Timestamp) -> Option<(CampaignId, &Campaign)> {
        let of_kind = self.tables.campaigns.iter().filter(|(_, row)| row.terms.kind == kind);
        of_kind.map(|(id, row)| (*id, row)).find(|(_, row)| row.is_running(at))
    }
}

impl Decide for SetCampaign {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &SetCampaign { campaign, kind, coins_milli, valid_seconds, budget_milli, from, to, .. } = self;
        check_amount("coins_milli", coins_milli)?;
        check_amount("budget_milli", budget_milli)?;
        check_amount("per_person_day", self.per_person_day.into())?;
        self.per_person.map(|most| check_amount("per_person", most.into())).transpose()?;
        valid_seconds.map(|seconds| check_amount("valid_seconds", seconds.into())).transpose()?;
        let fits = |code: &String| {
            (4..=32).contains(&code.len())
                && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        if self.code.is_some() != (kind == RewardKind::Code) || !self.code.iter().all(fits) {
            return Err(Rejection::CampaignCodeUnfit);
        }
        if let Some(row) = context.state.campaign(campaign) {
            if (row.terms.kind, &row.terms.code) != (kind, &self.code) {
                return Err(Rejection::CampaignKindFixed);
            }
            // What is set already stays so, whenever it is asked for.
            if row.terms == self.terms() && !row.ended {
                return Ok(vec![]);
            }
            if row.is_over(context.at) {
                return Err(Rejection::CampaignOver);
            }
        } else if self.code.as_ref().is_some_and(|it| context.state.tables.campaign_codes.get(it).is_some()) {
            return Err(Rejection::CampaignCodeTaken);
        }
        if to <= from || to <= context.at {
            return Err(Rejection::CampaignPeriodInvalid);
        }
        let CampaignTerms { per_person_day, per_person, code, .. } = self.terms();
        let set = CampaignSet {
            campaign,
            kind,
            coins_milli,
            valid_seconds,
            per_person_day,
            per_person,
            budget_milli,
            from,
            to,
            code,
        };
        Ok(vec![set.into()])
    }
}

impl SetCampaign {
    fn terms(&self) -> CampaignTerms {
        CampaignTerms {
            kind: self.kind,
            coins_milli: self.coins_milli,
            valid_seconds: self.valid_seconds,
            per_person_day: self.per_person_day,
            per_person: self.per_person,
            budget_milli: self.budget_milli,
            from: self.from,
            to: self.to,
            code: self.code.clone(),
        }
    }
}

impl CampaignSet {
    fn terms(&self) -> CampaignTerms {
        CampaignTerms {
            kind: self.kind,
            coins_milli: self.coins_milli,
            valid_seconds: self.valid_seconds,
            per_person_day: self.per_person_day,
            per_person: self.per_person,
            budget_milli: self.budget_milli,
            from: self.from,
            to: self.to,
            code: self.code.clone(),
        }
    }
}

impl Decide for EndCampaign {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let campaign = self.campaign;
        let row = context.state.campaign(campaign).ok_or(Rejection::UnknownCampaign)?;
        if row.ended {
            return Ok(vec![]);
        }
        if row.is_over(context.at) {
            return Err(Rejection::CampaignOver);
        }
        Ok(vec![CampaignEnded { campaign, spent_milli: row.spent_milli }.into()])
    }
}

impl Happened for CampaignSet {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.campaign.0)
    }

    fn evolve(&self, change: &mut Change) {
        let (tables, revision, campaign) = (&mut change.state.tables, change.revision, self.campaign);
        let before = tables.campaigns.get(&campaign).cloned();
        if let Some(row) = &before {
            tables.campaign_ends.set(revision, (row.terms.to, campaign), None);
        } else if let Some(code) = &self.code {
            tables.campaign_codes.set(revision, code.clone(), Some(campaign));
        }
        tables.campaign_ends.set(revision, (self.to, campaign), Some(()));
        let spent_milli = before.map_or(0, |row| row.spent_milli);
        let row = Campaign { terms: self.terms(), spent_milli, ended: false };
        tables.campaigns.set(revision, campaign, Some(row));
        change.forget_counters();
    }
}

impl Happened for CampaignEnded {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.campaign.0)
    }

    fn evolve(&self, change: &mut Change) {
        let (at, revision, campaign) = (change.at, change.revision, self.campaign);
        let tables = &mut change.state.tables;
        let row = tables.campaigns.get(&campaign).expect("a campaign that ends was set");
        let key = (row.terms.to, campaign);
        tables.campaign_ends.set(revision, key, None);
        tables.campaign_ends.set(revision, (at, campaign), Some(()));
        tables.campaigns.edit(revision, &campaign, |row| row.ended = true);
        change.forget_counters();
    }
}
