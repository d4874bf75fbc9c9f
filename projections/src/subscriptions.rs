//! Subscription plans, subscriptions, and the periods that were paid.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{Cursor, Page, Place, ReadModel, ReadModels, Table, code, page_size, put};
use chrono::{DateTime, Utc};
use ledger_core::event::{SubscriptionPaid, SubscriptionPlanSet};
use ledger_core::{Event, PersonId, SubscriptionId, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE subscription_plans (
    plan uuid PRIMARY KEY,
    price_milli bigint NOT NULL,
    price_minor bigint,
    price_asset text,
    period_seconds bigint NOT NULL,
    grace_seconds bigint NOT NULL,
    -- Codes, with a space between them.
    entitlements text NOT NULL,
    active boolean NOT NULL,
    revision bigint NOT NULL
);

CREATE TABLE subscriptions (
    subscription uuid PRIMARY KEY,
    started_revision bigint NOT NULL UNIQUE,
    \"user\" uuid NOT NULL,
    plan uuid NOT NULL,
    status text NOT NULL CHECK (status IN ('active', 'grace', 'cancelled', 'lapsed')),
    periods bigint NOT NULL,
    price_milli bigint NOT NULL,
    renews boolean NOT NULL,
    started_at timestamptz NOT NULL,
    paid_until timestamptz NOT NULL,
    grace_until timestamptz,
    lapsed_at timestamptz,
    lapse_cause text,
    revision bigint NOT NULL
);
CREATE INDEX subscriptions_of_user ON subscriptions (\"user\", started_revision);
CREATE INDEX subscriptions_by_status ON subscriptions (status, started_revision);

CREATE TABLE subscription_periods (
    revision bigint PRIMARY KEY,
    subscription uuid NOT NULL,
    period bigint NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    price_milli bigint NOT NULL,
    purchase uuid,
    paid_at timestamptz NOT NULL
);
CREATE INDEX periods_of_subscription ON subscription_periods (subscription, revision);";

const WRITE_PLANS: &str = "
    INSERT INTO subscription_plans SELECT * FROM json_populate_recordset(NULL::subscription_plans, $1::json)
    ON CONFLICT (plan) DO UPDATE SET
        price_milli = EXCLUDED.price_milli, price_minor = EXCLUDED.price_minor,
        price_asset = EXCLUDED.price_asset, period_seconds = EXCLUDED.period_seconds,
        grace_seconds = EXCLUDED.grace_seconds, entitlements = EXCLUDED.entitlements,
        active = EXCLUDED.active, revision = EXCLUDED.revision";

const LOAD: &str = "SELECT * FROM subscriptions WHERE subscription = ANY($1)";

const WRITE: &str = "
    INSERT INTO subscriptions SELECT * FROM json_populate_recordset(NULL::subscriptions, $1::json)
    ON CONFLICT (subscription) DO UPDATE SET
        status = EXCLUDED.status, periods = EXCLUDED.periods, price_milli = EXCLUDED.price_milli,
        renews = EXCLUDED.renews, paid_until = EXCLUDED.paid_until, grace_until = EXCLUDED.grace_until,
        lapsed_at = EXCLUDED.lapsed_at, lapse_cause = EXCLUDED.lapse_cause, revision = EXCLUDED.revision";

const WRITE_PERIODS: &str = "
    INSERT INTO subscription_periods
    SELECT * FROM json_populate_recordset(NULL::subscription_periods, $1::json)";

/// The plans that a batch of events sets, and the subscriptions that it changes.
#[derive(Default)]
pub(crate) struct Subscriptions {
    plans: BTreeMap<Uuid, SubscriptionPlanRow>,
    subscriptions: Table<SubscriptionRow>,
    periods: Vec<PeriodRow>,
}

impl ReadModel for Subscriptions {
    const TABLES: &'static str = TABLES;

    fn touch(&mut self, event: &Event) {
        let wanted = match event {
            Event::SubscriptionPaid(it) => it.subscription,
            Event::SubscriptionGraceBegun(it) => it.subscription,
            Event::SubscriptionCancelled(it) => it.subscription,
            Event::SubscriptionResumed(it) => it.subscription,
            Event::SubscriptionLapsed(it) => it.subscription,
            _ => return,
        };
        self.subscriptions.want(wanted.0);
    }

    async fn load(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.subscriptions.load(connection, LOAD, |row| row.subscription).await
    }

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        match place.event() {
            Event::SubscriptionPlanSet(it) => {
                self.plans.insert(it.plan.0, SubscriptionPlanRow::set(it, place.revision));
            }
            Event::SubscriptionPaid(it) => self.paid(it, place),
            Event::SubscriptionGraceBegun(it) => {
                let row = self.changed(it.subscription, place)?;
                row.status = "grace".to_owned();
                row.grace_until = Some(it.until.to_utc());
            }
            Event::SubscriptionCancelled(it) => {
                let row = self.changed(it.subscription, place)?;
                (row.status, row.renews) = ("cancelled".to_owned(), false);
            }
            Event::SubscriptionResumed(it) => {
                let row = self.changed(it.subscription, place)?;
                (row.status, row.renews) = ("active".to_owned(), true);
            }
            Event::SubscriptionLapsed(it) => {
                let row = self.changed(it.subscription, place)?;
                row.status = "lapsed".to_owned();
                row.lapsed_at = Some(place.at);
                row.lapse_cause = Some(code(it.cause));
            }
            _ => {}
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        put(connection, WRITE_PLANS, self.plans.values()).await?;
        self.subscriptions.write(connection, WRITE).await?;
        put(connection, WRITE_PERIODS, self.periods.iter()).await
    }
}

impl Subscriptions {
    fn changed(
        &mut self,
        id: SubscriptionId,
        place: &Place<'_>,
    ) -> Result<&mut SubscriptionRow, ProjectError> {
        let row = self.subscriptions.find(id.0, "subscription", place)?;
        row.revision = place.revision;
        Ok(row)
    }

    fn paid(&mut self, it: &SubscriptionPaid, place: &Place<'_>) {
        let before = self.subscriptions.get(&it.subscription.0);
        let row = SubscriptionRow {
            subscription: it.subscription.0,
            started_revision: before.map_or(place.revision, |row| row.started_revision),
            user: it.user.0,
            plan: it.plan.0,
            status: if it.renews { "active" } else { "cancelled" }.to_owned(),
            periods: it.period.into(),
            price_milli: it.renewal_milli,
            renews: it.renews,
            started_at: before.map_or(place.at, |row| row.started_at),
            paid_until: it.until.to_utc(),
            grace_until: None,
            lapsed_at: None,
            lapse_cause: None,
            revision: place.revision,
        };
        self.subscriptions.insert(row.subscription, row);
        self.periods.push(PeriodRow {
            revision: place.revision,
            subscription: it.subscription.0,
            period: it.period.into(),
            starts_at: it.from.to_utc(),
            ends_at: it.until.to_utc(),
            price_milli: it.price_milli,
            purchase: it.purchase.map(|id| id.0),
            paid_at: place.at,
        });
    }
}

/// What a subscription plan costs and gives now.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct SubscriptionPlanRow {
    pub plan: Uuid,
    pub price_milli: i64,
    /// Absent where it is sold for coins alone.
    pub price_minor: Option<i64>,
    pub price_asset: Option<String>,
    pub period_seconds: i64,
    pub grace_seconds: i64,
    pub entitlements: String,
    pub active: bool,
    pub revision: i64,
}

impl SubscriptionPlanRow {
    fn set(it: &SubscriptionPlanSet, revision: i64) -> SubscriptionPlanRow {
        SubscriptionPlanRow {
            plan: it.plan.0,
            price_milli: it.price_milli,
            price_minor: it.price.map(|price| price.amount_minor),
            price_asset: it.price.map(|price| price.asset.to_string()),
            period_seconds: it.period_seconds.into(),
            grace_seconds: it.grace_seconds.into(),
            entitlements: it.entitlements.join(" "),
            active: it.active,
            revision,
        }
    }
}

/// A subscription and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct SubscriptionRow {
    pub subscription: Uuid,
    pub started_revision: i64,
    pub user: Uuid,
    pub plan: Uuid,
    /// `active`; `grace` while the next period waits for coins; `cancelled` when it ends with its period; `lapsed`.
    pub status: String,
    /// How many periods were paid.
    pub periods: i64,
    pub price_milli: i64,
    /// Whether it goes on after the period that is paid.
    pub renews: bool,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub started_at: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub paid_until: DateTime<Utc>,
    /// Until when the next period may be paid, while it waits for coins.
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub grace_until: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub lapsed_at: Option<DateTime<Utc>>,
    /// `cancelled`, or `unpaid` when the next period was not paid within the grace.
    pub lapse_cause: Option<String>,
    pub revision: i64,
}

/// A period of a subscription that was paid.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct PeriodRow {
    pub revision: i64,
    pub subscription: Uuid,
    /// Periods count from 1.
    pub period: i64,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub starts_at: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub ends_at: DateTime<Utc>,
    pub price_milli: i64,
    /// The purchase that paid for it, where it was paid at a gateway.
    pub purchase: Option<Uuid>,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub paid_at: DateTime<Utc>,
}

/// Which subscriptions; all that is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionFilter {
    pub user: Option<PersonId>,
    pub status: Option<String>,
}

impl ReadModels {
    /// All plans, the cheapest first; those that are no longer sold too.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn subscription_plans(&self) -> Result<Vec<SubscriptionPlanRow>, QueryError> {
        let rows = sqlx::query_as("SELECT * FROM read.subscription_plans ORDER BY price_milli, plan");
        Ok(rows.fetch_all(self.pool()?).await?)
    }

    /// Subscriptions, those that began last first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn subscriptions(
        &self,
        filter: &SubscriptionFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<SubscriptionRow>, QueryError> {
        let limit = page_size(limit);
        let before = Cursor::read_or("subscriptions", before, i64::MAX)?;
        let mut query =
            QueryBuilder::<Postgres>::new("SELECT * FROM read.subscriptions WHERE started_revision < ");
        query.push_bind(before);
        if let Some(user) = filter.user {
            query.push(" AND \"user\" = ").push_bind(user.0);
        }
        if let Some(status) = &filter.status {
            query.push(" AND status = ").push_bind(status);
        }
        query.push(" ORDER BY started_revision DESC LIMIT ").push_bind(limit + 1);
        let rows: Vec<SubscriptionRow> = query.build_query_as().fetch_all(self.pool()?).await?;
        Ok(Page::of(rows, limit, "subscriptions", |row| row.started_revision))
    }

    /// The periods of a subscription, the last first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn periods_of(
        &self,
        subscription: SubscriptionId,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<PeriodRow>, QueryError> {
        let limit = page_size(limit);
        let rows: Vec<PeriodRow> = sqlx::query_as(
            "SELECT * FROM read.subscription_periods WHERE subscription = $1 AND revision < $2
             ORDER BY revision DESC LIMIT $3",
        )
        .bind(subscription.0)
        .bind(Cursor::read_or("periods", before, i64::MAX)?)
        .bind(limit + 1)
        .fetch_all(self.pool()?)
        .await?;
        Ok(Page::of(rows, limit, "periods", |row| row.revision))
    }

    /// # Errors
    /// When Postgres fails.
    pub async fn subscription(&self, id: SubscriptionId) -> Result<Option<SubscriptionRow>, QueryError> {
        let row = sqlx::query_as("SELECT * FROM read.subscriptions WHERE subscription = $1").bind(id.0);
        Ok(row.fetch_optional(self.pool()?).await?)
    }
}
