//! Campaigns by the sums of what they gave, the rewards themselves, and who brought whom.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::rewards::{CampaignRow, InviterRow, RewardRow};
use chrono::{DateTime, Utc};
use ledger_core::event::CampaignSet;
use ledger_core::{CampaignId, Event, State, Timestamp};
use std::collections::BTreeMap;
use uuid::Uuid;

named!(CampaignRow: "campaigns", |row| row.campaign.to_string());
named!(RewardRow: "rewards_earned", |row| row.revision.to_string());
named!(InviterRow: "inviters", |row| row.person.to_string());

struct Campaign {
    terms: CampaignSet,
    first: i64,
    last: i64,
    given: Vec<i64>,
    ended_at: Option<DateTime<Utc>>,
}

#[derive(Default)]
pub(super) struct Rewards {
    campaigns: BTreeMap<Uuid, Campaign>,
    earned: Vec<RewardRow>,
    inviters: Vec<InviterRow>,
}

impl Opinion for Rewards {
    const GROWING: &[(&str, &str)] = &[("rewards_earned", "revision"), ("inviters", "person")];

    fn add(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::CampaignSet(it) => {
                let fresh = |first| Campaign {
                    terms: it.clone(),
                    first,
                    last: told.revision,
                    given: vec![],
                    ended_at: None,
                };
                let row = self.campaigns.entry(it.campaign.0).or_insert_with(|| fresh(told.revision));
                row.terms = it.clone();
                row.last = told.revision;
            }
            Event::CampaignEnded(it) => {
                if let Some(row) = self.campaigns.get_mut(&it.campaign.0) {
                    (row.ended_at, row.last) = (Some(told.at), told.revision);
                }
            }
            Event::RewardEarned(it) => {
                if let Some(row) = self.campaigns.get_mut(&it.campaign.0) {
                    row.given.push(it.coins_milli);
                    row.last = told.revision;
                }
                self.earned.push(RewardRow {
                    revision: told.revision,
                    reward: it.reward.0,
                    campaign: it.campaign.0,
                    kind: format!("{:?}", it.kind).to_lowercase(),
                    user: it.user.0,
                    invited: it.invited.map(|person| person.0),
                    lot: it.lot.0,
                    coins_milli: it.coins_milli,
                    earned_at: told.at,
                });
            }
            Event::InviterNamed(it) => self.inviters.push(InviterRow {
                person: it.user.0,
                inviter: it.inviter.0,
                named_at: told.at,
                revision: told.revision,
            }),
            _ => {}
        }
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, state: &State) -> Result<(), Stop> {
        for (id, row) in &self.campaigns {
            let (spent, last) = (row.given.iter().sum::<i64>(), u64::try_from(row.last).unwrap_or(0));
            let ledger = state.campaign(CampaignId(*id)).map_or(0, |row| row.spent_milli);
            comparison.same("what campaigns gave", id, last, ledger, spent)?;
        }
        let campaigns = self.campaigns.iter().map(|(id, row)| CampaignRow {
            campaign: *id,
            kind: format!("{:?}", row.terms.kind).to_lowercase(),
            coins_milli: row.terms.coins_milli,
            valid_seconds: row.terms.valid_seconds.map(i64::from),
            per_person_day: row.terms.per_person_day.into(),
            per_person: row.terms.per_person.map(i64::from),
            budget_milli: row.terms.budget_milli,
            spent_milli: row.given.iter().sum(),
            reward_count: i64::try_from(row.given.len()).unwrap_or(i64::MAX),
            starts_at: Timestamp::to_utc(row.terms.from),
            ends_at: Timestamp::to_utc(row.terms.to),
            code: row.terms.code.clone(),
            ended_at: row.ended_at,
            set_revision: row.first,
            revision: row.last,
        });
        comparison
            .table("SELECT * FROM read.campaigns ORDER BY campaign", campaigns.collect(), |row| row.campaign)
            .await?;
        comparison
            .table("SELECT * FROM read.rewards_earned ORDER BY revision", self.earned.clone(), |row| row.revision)
            .await?;
        comparison
            .table("SELECT * FROM read.inviters ORDER BY person", self.inviters.clone(), |row| row.person)
            .await
    }
}
