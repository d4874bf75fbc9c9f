//! Purchases of coin plans.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{Cursor, Page, Place, ReadModel, ReadModels, Table, page_size};
use chrono::{DateTime, Utc};
use ledger_core::event::{Buys, PurchaseOpened};
use ledger_core::{Event, PersonId, PurchaseId, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE purchases (
    purchase uuid PRIMARY KEY,
    opened_revision bigint NOT NULL UNIQUE,
    \"user\" uuid NOT NULL,
    -- What is bought: the coins of a plan, a period of a subscription, or what the wallet does not pay of an order.
    plan uuid,
    subscription_plan uuid,
    service_order uuid,
    gateway text NOT NULL,
    coins_milli bigint NOT NULL,
    bonus_milli bigint NOT NULL,
    price_minor bigint NOT NULL,
    price_asset text NOT NULL,
    status text NOT NULL CHECK (status IN ('opened', 'failed', 'expired', 'captured', 'partly_refunded', 'refunded', 'charged_back')),
    payment_ref text,
    fail_reason text,
    paid_minor bigint NOT NULL,
    refunded_minor bigint NOT NULL,
    refunded_coins_milli bigint NOT NULL,
    charged_back_minor bigint NOT NULL CHECK (refunded_minor + charged_back_minor <= paid_minor),
    opened_at timestamptz NOT NULL,
    captured_at timestamptz,
    failed_at timestamptz,
    expired_at timestamptz,
    refunded_at timestamptz,
    revision bigint NOT NULL
);
CREATE INDEX purchases_of_user ON purchases (\"user\", opened_revision);";

const LOAD: &str = "SELECT * FROM purchases WHERE purchase = ANY($1)";

const WRITE: &str = "
    INSERT INTO purchases SELECT * FROM json_populate_recordset(NULL::purchases, $1::json)
    ON CONFLICT (purchase) DO UPDATE SET
        status = EXCLUDED.status, payment_ref = EXCLUDED.payment_ref, fail_reason = EXCLUDED.fail_reason,
        paid_minor = EXCLUDED.paid_minor, refunded_minor = EXCLUDED.refunded_minor,
        refunded_coins_milli = EXCLUDED.refunded_coins_milli,
        charged_back_minor = EXCLUDED.charged_back_minor, captured_at = EXCLUDED.captured_at,
        failed_at = EXCLUDED.failed_at, expired_at = EXCLUDED.expired_at,
        refunded_at = EXCLUDED.refunded_at, revision = EXCLUDED.revision";

/// The purchases that a batch of events opens or changes.
#[derive(Default)]
pub(crate) struct Purchases {
    purchases: Table<PurchaseRow>,
}

impl ReadModel for Purchases {
    const TABLES: &'static str = TABLES;

    fn touch(&mut self, event: &Event) {
        match event {
            Event::PurchaseCaptured(it) => self.purchases.want(it.purchase.0),
            Event::PurchaseFailed(it) => self.purchases.want(it.purchase.0),
            Event::PurchaseExpired(it) => self.purchases.want(it.purchase.0),
            Event::PurchaseRefunded(it) => self.purchases.want(it.purchase.0),
            Event::DisputeLost(it) => it.purchase.iter().for_each(|id| self.purchases.want(id.0)),
            Event::DisputeReversed(it) => it.purchase.iter().for_each(|id| self.purchases.want(id.0)),
            _ => {}
        }
    }

    async fn load(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.purchases.load(connection, LOAD, |row| row.purchase).await
    }

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        match place.event() {
            Event::PurchaseOpened(it) => self.purchases.insert(it.purchase.0, opened(it, place)),
            Event::PurchaseCaptured(it) => {
                let row = self.changed(it.purchase, place)?;
                row.status = "captured".to_owned();
                row.payment_ref = Some(it.payment_ref.clone());
                row.paid_minor = it.paid_minor;
                row.captured_at = Some(place.at);
            }
            Event::PurchaseFailed(it) => {
                let row = self.changed(it.purchase, place)?;
                // Of an expired purchase a failed payment changes nothing.
                if row.expired_at.is_none() {
                    row.status = "failed".to_owned();
                }
                row.payment_ref = Some(it.payment_ref.clone());
                row.fail_reason = Some(it.reason.clone());
                row.failed_at = Some(place.at);
            }
            Event::PurchaseExpired(it) => {
                let row = self.changed(it.purchase, place)?;
                row.status = "expired".to_owned();
                row.expired_at = Some(place.at);
            }
            Event::PurchaseRefunded(it) => {
                let row = self.changed(it.purchase, place)?;
                row.refunded_minor += it.refunded_minor;
                row.refunded_coins_milli += it.coins_milli;
                row.refunded_at = Some(place.at);
                row.settle_status();
            }
            Event::DisputeLost(it) => self.charge_back(it.purchase, it.matched_minor, place)?,
            Event::DisputeReversed(it) => self.charge_back(it.purchase, -it.returned_minor, place)?,
            _ => {}
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.purchases.write(connection, WRITE).await
    }
}

impl Purchases {
    fn changed(&mut self, id: PurchaseId, place: &Place<'_>) -> Result<&mut PurchaseRow, ProjectError> {
        let row = self.purchases.find(id.0, "purchase", place)?;
        row.revision = place.revision;
        Ok(row)
    }

    /// A lost dispute took money of a purchase back, or (negative) gave it back again.
    fn charge_back(
        &mut self,
        purchase: Option<PurchaseId>,
        amount_minor: i64,
        place: &Place<'_>,
    ) -> Result<(), ProjectError> {
        if let Some(id) = purchase.filter(|_| amount_minor != 0) {
            let row = self.changed(id, place)?;
            row.charged_back_minor += amount_minor;
            row.settle_status();
        }
        Ok(())
    }
}

impl PurchaseRow {
    /// The status of a captured purchase, by the money that went back.
    fn settle_status(&mut self) {
        let status = match (self.charged_back_minor, self.refunded_minor) {
            (0, 0) => "captured",
            (0, whole) if whole == self.paid_minor => "refunded",
            (0, _) => "partly_refunded",
            _ => "charged_back",
        };
        self.status = status.to_owned();
    }
}

fn opened(it: &PurchaseOpened, place: &Place<'_>) -> PurchaseRow {
    let (plan, subscription_plan, service_order) = match it.buys {
        Buys::Plan(plan) => (Some(plan), None, None),
        Buys::Subscription(period) => (None, Some(period.plan), None),
        Buys::Order(order) => (None, None, Some(order)),
    };
    PurchaseRow {
        purchase: it.purchase.0,
        opened_revision: place.revision,
        user: it.user.0,
        plan: plan.map(|id| id.0),
        subscription_plan: subscription_plan.map(|id| id.0),
        service_order: service_order.map(|id| id.0),
        gateway: it.gateway.name().to_owned(),
        coins_milli: it.coins_milli,
        bonus_milli: it.bonus_milli,
        price_minor: it.price_minor,
        price_asset: it.price_asset.to_string(),
        status: "opened".to_owned(),
        payment_ref: None,
        fail_reason: None,
        paid_minor: 0,
        refunded_minor: 0,
        refunded_coins_milli: 0,
        charged_back_minor: 0,
        opened_at: place.at,
        captured_at: None,
        failed_at: None,
        expired_at: None,
        refunded_at: None,
        revision: place.revision,
    }
}

/// A purchase and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct PurchaseRow {
    pub purchase: Uuid,
    pub opened_revision: i64,
    pub user: Uuid,
    /// The coin plan, of a purchase of coins.
    pub plan: Option<Uuid>,
    /// The subscription plan, of a purchase of a period.
    pub subscription_plan: Option<Uuid>,
    /// The order, of a purchase that pays for one.
    pub service_order: Option<Uuid>,
    pub gateway: String,
    pub coins_milli: i64,
    pub bonus_milli: i64,
    pub price_minor: i64,
    pub price_asset: String,
    /// `opened`, `failed`, `expired`, `captured`, `partly_refunded`, `refunded`, or `charged_back` when a lost dispute took
    /// money of it back.
    pub status: String,
    /// The gateway's name of the last payment.
    pub payment_ref: Option<String>,
    /// Why the last payment failed.
    pub fail_reason: Option<String>,
    pub paid_minor: i64,
    pub refunded_minor: i64,
    pub refunded_coins_milli: i64,
    /// What lost disputes took back.
    pub charged_back_minor: i64,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub opened_at: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub captured_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub failed_at: Option<DateTime<Utc>>,
    /// When it was closed because nobody had paid. A payment that comes later still credits.
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub expired_at: Option<DateTime<Utc>>,
    /// The last refund.
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub refunded_at: Option<DateTime<Utc>>,
    pub revision: i64,
}

impl ReadModels {
    /// # Errors
    /// When Postgres fails.
    pub async fn purchase(&self, purchase: PurchaseId) -> Result<Option<PurchaseRow>, QueryError> {
        let row = sqlx::query_as("SELECT * FROM read.purchases WHERE purchase = $1")
            .bind(purchase.0)
            .fetch_optional(self.pool()?)
            .await?;
        Ok(row)
    }

    /// The purchases of `user`, newest first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn purchases_of(
        &self,
        user: PersonId,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<PurchaseRow>, QueryError> {
        let limit = page_size(limit);
        let rows: Vec<PurchaseRow> = sqlx::query_as(
            "SELECT * FROM read.purchases WHERE \"user\" = $1 AND opened_revision < $2
             ORDER BY opened_revision DESC LIMIT $3",
        )
        .bind(user.0)
        .bind(Cursor::read_or("purchases", before, i64::MAX)?)
        .bind(limit + 1)
        .fetch_all(self.pool()?)
        .await?;
        Ok(Page::of(rows, limit, "purchases", |row| row.opened_revision))
    }
}
