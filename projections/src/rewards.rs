//! Campaigns, and what users have earned by them.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{Cursor, Page, Place, ReadModel, ReadModels, Table, code, page_size, put};
use chrono::{DateTime, Utc};
use ledger_core::event::CampaignSet;
use ledger_core::{CampaignId, Event, PersonId, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE campaigns (
    campaign uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('ad', 'daily', 'code', 'referral')),
    coins_milli bigint NOT NULL,
    valid_seconds bigint,
    per_person_day bigint NOT NULL,
    per_person bigint,
    budget_milli bigint NOT NULL,
    spent_milli bigint NOT NULL CHECK (spent_milli >= 0),
    reward_count bigint NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    code text,
    ended_at timestamptz,
    set_revision bigint NOT NULL,
    revision bigint NOT NULL
);
CREATE INDEX campaigns_by_beginning ON campaigns (set_revision);

CREATE TABLE rewards_earned (
    revision bigint PRIMARY KEY,
    reward uuid NOT NULL,
    campaign uuid NOT NULL,
    kind text NOT NULL,
    \"user\" uuid NOT NULL,
    invited uuid,
    lot uuid NOT NULL,
    coins_milli bigint NOT NULL,
    earned_at timestamptz NOT NULL
);
CREATE INDEX rewards_of_user ON rewards_earned (\"user\", revision);
CREATE INDEX rewards_of_campaign ON rewards_earned (campaign, revision);

CREATE TABLE inviters (
    person uuid PRIMARY KEY,
    inviter uuid NOT NULL,
    named_at timestamptz NOT NULL,
    revision bigint NOT NULL
);";

const LOAD: &str = "SELECT * FROM campaigns WHERE campaign = ANY($1)";

const WRITE: &str = "
    INSERT INTO campaigns SELECT * FROM json_populate_recordset(NULL::campaigns, $1::json)
    ON CONFLICT (campaign) DO UPDATE SET
        coins_milli = EXCLUDED.coins_milli, valid_seconds = EXCLUDED.valid_seconds,
        per_person_day = EXCLUDED.per_person_day, per_person = EXCLUDED.per_person,
        budget_milli = EXCLUDED.budget_milli, spent_milli = EXCLUDED.spent_milli,
        reward_count = EXCLUDED.reward_count, starts_at = EXCLUDED.starts_at, ends_at = EXCLUDED.ends_at,
        ended_at = EXCLUDED.ended_at, revision = EXCLUDED.revision";

const WRITE_EARNED: &str = "
    INSERT INTO rewards_earned SELECT * FROM json_populate_recordset(NULL::rewards_earned, $1::json)";

const WRITE_INVITERS: &str = "
    INSERT INTO inviters SELECT * FROM json_populate_recordset(NULL::inviters, $1::json)";

/// The campaigns that a batch of events changes, and what it gives.
#[derive(Default)]
pub(crate) struct Rewards {
    campaigns: Table<CampaignRow>,
    earned: Vec<RewardRow>,
    inviters: BTreeMap<Uuid, InviterRow>,
}

impl ReadModel for Rewards {
    const TABLES: &'static str = TABLES;

    fn touch(&mut self, event: &Event) {
        match event {
            Event::CampaignSet(it) => self.campaigns.want(it.campaign.0),
            Event::CampaignEnded(it) => self.campaigns.want(it.campaign.0),
            Event::RewardEarned(it) => self.campaigns.want(it.campaign.0),
            _ => {}
        }
    }

    async fn load(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.campaigns.load(connection, LOAD, |row| row.campaign).await
    }

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        match place.event() {
            Event::CampaignSet(it) => {
                let row = CampaignRow::set(it, self.campaigns.get(&it.campaign.0), place);
                self.campaigns.insert(row.campaign, row);
            }
            Event::CampaignEnded(it) => {
                let row = self.campaigns.find(it.campaign.0, "campaign", place)?;
                row.ended_at = Some(place.at);
                row.revision = place.revision;
            }
            Event::RewardEarned(it) => {
                let row = self.campaigns.find(it.campaign.0, "campaign", place)?;
                row.spent_milli += it.coins_milli;
                row.reward_count += 1;
                row.revision = place.revision;
                self.earned.push(RewardRow {
                    revision: place.revision,
                    reward: it.reward.0,
                    campaign: it.campaign.0,
                    kind: code(it.kind),
                    user: it.user.0,
                    invited: it.invited.map(|person| person.0),
                    lot: it.lot.0,
                    coins_milli: it.coins_milli,
                    earned_at: place.at,
                });
            }
            Event::InviterNamed(it) => {
                let (person, inviter) = (it.user.0, it.inviter.0);
                let row = InviterRow { person, inviter, named_at: place.at, revision: place.revision };
                self.inviters.insert(person, row);
            }
            _ => {}
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.campaigns.write(connection, WRITE).await?;
        put(connection, WRITE_EARNED, self.earned.iter()).await?;
        put(connection, WRITE_INVITERS, self.inviters.values()).await
    }
}

/// What is rewarded, how much at the most, and how much so far.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct CampaignRow {
    pub campaign: Uuid,
    /// `ad`, `daily`, `code` or `referral`.
    pub kind: String,
    pub coins_milli: i64,
    /// How long the coins last; for ever when null.
    pub valid_seconds: Option<i64>,
    /// How often a person is rewarded on one day (UTC) at the most.
    pub per_person_day: i64,
    /// How often a person is rewarded in all; without a limit when null.
    pub per_person: Option<i64>,
    pub budget_milli: i64,
    pub spent_milli: i64,
    pub reward_count: i64,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub starts_at: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub ends_at: DateTime<Utc>,
    pub code: Option<String>,
    /// When an admin ended it before its time.
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub ended_at: Option<DateTime<Utc>>,
    /// The event that set it up.
    pub set_revision: i64,
    pub revision: i64,
}

impl CampaignRow {
    fn set(it: &CampaignSet, before: Option<&CampaignRow>, place: &Place<'_>) -> CampaignRow {
        CampaignRow {
            campaign: it.campaign.0,
            kind: code(it.kind),
            coins_milli: it.coins_milli,
            valid_seconds: it.valid_seconds.map(i64::from),
            per_person_day: it.per_person_day.into(),
            per_person: it.per_person.map(i64::from),
            budget_milli: it.budget_milli,
            spent_milli: before.map_or(0, |row| row.spent_milli),
            reward_count: before.map_or(0, |row| row.reward_count),
            starts_at: it.from.to_utc(),
            ends_at: it.to.to_utc(),
            code: it.code.clone(),
            ended_at: None,
            set_revision: before.map_or(place.revision, |row| row.set_revision),
            revision: place.revision,
        }
    }
}

/// Coins that a person earned.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct RewardRow {
    pub revision: i64,
    pub reward: Uuid,
    pub campaign: Uuid,
    /// `ad`, `daily`, `code` or `referral`.
    pub kind: String,
    pub user: Uuid,
    /// The person who was brought, of a referral.
    pub invited: Option<Uuid>,
    /// The lot of bonus coins.
    pub lot: Uuid,
    pub coins_milli: i64,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub earned_at: DateTime<Utc>,
}

/// Who brought a person.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct InviterRow {
    pub person: Uuid,
    pub inviter: Uuid,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub named_at: DateTime<Utc>,
    pub revision: i64,
}

/// Which rewards; all that is absent matches everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RewardFilter {
    pub user: Option<PersonId>,
    pub campaign: Option<CampaignId>,
}

impl ReadModels {
    /// The campaigns, the newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn campaigns(
        &self,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<CampaignRow>, QueryError> {
        let limit = page_size(limit);
        let rows: Vec<CampaignRow> = sqlx::query_as(
            "SELECT * FROM read.campaigns WHERE set_revision < $1 ORDER BY set_revision DESC LIMIT $2",
        )
        .bind(Cursor::read_or("campaigns", before, i64::MAX)?)
        .bind(limit + 1)
        .fetch_all(self.pool()?)
        .await?;
        Ok(Page::of(rows, limit, "campaigns", |row| row.set_revision))
    }

    /// What was earned, the newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn rewards(
        &self,
        filter: RewardFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<RewardRow>, QueryError> {
        let limit = page_size(limit);
        let before = Cursor::read_or("rewards", before, i64::MAX)?;
        let mut query = QueryBuilder::<Postgres>::new("SELECT * FROM read.rewards_earned WHERE revision < ");
        query.push_bind(before);
        if let Some(user) = filter.user {
            query.push(" AND \"user\" = ").push_bind(user.0);
        }
        if let Some(campaign) = filter.campaign {
            query.push(" AND campaign = ").push_bind(campaign.0);
        }
        query.push(" ORDER BY revision DESC LIMIT ").push_bind(limit + 1);
        let rows: Vec<RewardRow> = query.build_query_as().fetch_all(self.pool()?).await?;
        Ok(Page::of(rows, limit, "rewards", |row| row.revision))
    }

    /// Who brought `person`, if they said so.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn inviter_of(&self, person: PersonId) -> Result<Option<InviterRow>, QueryError> {
        let row = sqlx::query_as("SELECT * FROM read.inviters WHERE person = $1").bind(person.0);
        Ok(row.fetch_optional(self.pool()?).await?)
    }
}
