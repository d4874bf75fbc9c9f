//! Services, coupons, and orders.

use crate::error::{ProjectError, QueryError};
use crate::mechanism::{Cursor, Page, Place, ReadModel, ReadModels, Table, code, page_size, put};
use chrono::{DateTime, Utc};
use ledger_core::event::{CancelCause, CouponSet, Discount, OrderPlaced, ServiceSet};
use ledger_core::{CouponId, Event, OrderId, PersonId, ServiceId, Timestamp, rfc3339};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

const TABLES: &str = "
CREATE TABLE services (
    service uuid PRIMARY KEY,
    provider uuid,
    price_milli bigint NOT NULL,
    price_minor bigint,
    price_asset text,
    active boolean NOT NULL,
    revision bigint NOT NULL
);

CREATE TABLE coupons (
    coupon uuid PRIMARY KEY,
    code text NOT NULL UNIQUE,
    -- A share of the price, or an amount.
    percent_bps bigint,
    most_milli bigint,
    amount_milli bigint,
    least_price_milli bigint,
    per_person bigint,
    in_all bigint,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    active boolean NOT NULL,
    used bigint NOT NULL CHECK (used >= 0),
    revision bigint NOT NULL,
    CHECK ((percent_bps IS NULL) <> (amount_milli IS NULL))
);

CREATE TABLE orders (
    \"order\" uuid PRIMARY KEY,
    placed_revision bigint NOT NULL UNIQUE,
    \"user\" uuid NOT NULL,
    service uuid NOT NULL,
    provider uuid,
    status text NOT NULL CHECK (status IN
        ('unpaid', 'paid', 'accepted', 'completed', 'refunded', 'cancelled', 'expired')),
    coupon uuid,
    price_milli bigint NOT NULL,
    discount_milli bigint NOT NULL,
    wallet_milli bigint NOT NULL,
    gateway_milli bigint NOT NULL,
    purchase uuid,
    refunded_milli bigint NOT NULL,
    placed_at timestamptz NOT NULL,
    pay_by timestamptz,
    accepted_at timestamptz,
    completed_at timestamptz,
    closed_at timestamptz,
    cancel_cause text,
    reason text,
    revision bigint NOT NULL
);
CREATE INDEX orders_of_user ON orders (\"user\", placed_revision);
CREATE INDEX orders_of_provider ON orders (provider, placed_revision);
CREATE INDEX orders_of_service ON orders (service, placed_revision);
CREATE INDEX orders_of_status ON orders (status, placed_revision);
CREATE INDEX orders_of_coupon ON orders (coupon, placed_revision) WHERE coupon IS NOT NULL;";

const WRITE_SERVICES: &str = "
    INSERT INTO services SELECT * FROM json_populate_recordset(NULL::services, $1::json)
    ON CONFLICT (service) DO UPDATE SET
        provider = EXCLUDED.provider, price_milli = EXCLUDED.price_milli, price_minor = EXCLUDED.price_minor,
        price_asset = EXCLUDED.price_asset, active = EXCLUDED.active, revision = EXCLUDED.revision";

const LOAD_COUPONS: &str = "SELECT * FROM coupons WHERE coupon = ANY($1)";

const WRITE_COUPONS: &str = "
    INSERT INTO coupons SELECT * FROM json_populate_recordset(NULL::coupons, $1::json)
    ON CONFLICT (coupon) DO UPDATE SET
        percent_bps = EXCLUDED.percent_bps, most_milli = EXCLUDED.most_milli,
        amount_milli = EXCLUDED.amount_milli, least_price_milli = EXCLUDED.least_price_milli,
        per_person = EXCLUDED.per_person, in_all = EXCLUDED.in_all, starts_at = EXCLUDED.starts_at,
        ends_at = EXCLUDED.ends_at, active = EXCLUDED.active, used = EXCLUDED.used, revision = EXCLUDED.revision";

const LOAD: &str = "SELECT * FROM orders WHERE \"order\" = ANY($1)";

const WRITE: &str = "
    INSERT INTO orders SELECT * FROM json_populate_recordset(NULL::orders, $1::json)
    ON CONFLICT (\"order\") DO UPDATE SET
        status = EXCLUDED.status, refunded_milli = EXCLUDED.refunded_milli, accepted_at = EXCLUDED.accepted_at,
        completed_at = EXCLUDED.completed_at, closed_at = EXCLUDED.closed_at,
        cancel_cause = EXCLUDED.cancel_cause, reason = EXCLUDED.reason, revision = EXCLUDED.revision";

/// The services that a batch of events sets, and the coupons and orders that it changes.
#[derive(Default)]
pub(crate) struct Orders {
    services: BTreeMap<Uuid, ServiceRow>,
    coupons: Table<CouponRow>,
    orders: Table<OrderRow>,
}

impl ReadModel for Orders {
    const TABLES: &'static str = TABLES;

    fn touch(&mut self, event: &Event) {
        let order = match event {
            Event::CouponSet(it) => return self.coupons.want(it.coupon.0),
            Event::OrderPlaced(it) => {
                it.coupon.into_iter().for_each(|coupon| self.coupons.want(coupon.0));
                return;
            }
            Event::OrderCancelled(it) => {
                it.coupon.into_iter().for_each(|coupon| self.coupons.want(coupon.0));
                it.order
            }
            Event::OrderPaid(it) => it.order,
            Event::OrderAccepted(it) => it.order,
            Event::OrderCompleted(it) => it.order,
            Event::OrderRefunded(it) => it.order,
            _ => return,
        };
        self.orders.want(order.0);
    }

    async fn load(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.coupons.load(connection, LOAD_COUPONS, |row| row.coupon).await?;
        self.orders.load(connection, LOAD, |row| row.order).await
    }

    fn apply(&mut self, place: &Place<'_>) -> Result<(), ProjectError> {
        match place.event() {
            Event::ServiceSet(it) => {
                self.services.insert(it.service.0, ServiceRow::set(it, place.revision));
            }
            Event::CouponSet(it) => {
                let used = self.coupons.get(&it.coupon.0).map_or(0, |row| row.used);
                self.coupons.insert(it.coupon.0, CouponRow::set(it, used, place.revision));
            }
            Event::OrderPlaced(it) => {
                self.orders.insert(it.order.0, OrderRow::placed(it, place));
                self.uses(it.coupon, 1, place)?;
            }
            Event::OrderPaid(it) => self.changed(it.order, place)?.status = "paid".to_owned(),
            Event::OrderAccepted(it) => {
                let row = self.changed(it.order, place)?;
                (row.status, row.accepted_at) = ("accepted".to_owned(), Some(place.at));
            }
            Event::OrderCompleted(it) => {
                let row = self.changed(it.order, place)?;
                (row.status, row.completed_at) = ("completed".to_owned(), Some(place.at));
            }
            Event::OrderCancelled(it) => {
                let unpaid = it.cause == CancelCause::Unpaid;
                let row = self.changed(it.order, place)?;
                row.status = if unpaid { "expired" } else { "cancelled" }.to_owned();
                row.closed_at = Some(place.at);
                row.cancel_cause = Some(code(it.cause));
                row.reason.clone_from(&it.reason);
                self.uses(it.coupon, -1, place)?;
            }
            Event::OrderRefunded(it) => {
                let row = self.changed(it.order, place)?;
                row.refunded_milli = it.refunded_total_milli;
                row.reason = Some(it.reason.clone());
                if it.in_full {
                    (row.status, row.closed_at) = ("refunded".to_owned(), Some(place.at));
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn write(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        put(connection, WRITE_SERVICES, self.services.values()).await?;
        self.coupons.write(connection, WRITE_COUPONS).await?;
        self.orders.write(connection, WRITE).await
    }
}

impl Orders {
    fn changed(&mut self, id: OrderId, place: &Place<'_>) -> Result<&mut OrderRow, ProjectError> {
        let row = self.orders.find(id.0, "order", place)?;
        row.revision = place.revision;
        Ok(row)
    }

    fn uses(&mut self, coupon: Option<CouponId>, more: i64, place: &Place<'_>) -> Result<(), ProjectError> {
        if let Some(coupon) = coupon {
            let row = self.coupons.find(coupon.0, "coupon", place)?;
            row.used += more;
            row.revision = place.revision;
        }
        Ok(())
    }
}

/// What a service costs now.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct ServiceRow {
    pub service: Uuid,
    /// The host who provides it; null where the platform does.
    pub provider: Option<Uuid>,
    pub price_milli: i64,
    /// What it costs at the payment gateway; null where it is sold for coins alone.
    pub price_minor: Option<i64>,
    #[schema(example = "INR/2")]
    pub price_asset: Option<String>,
    /// Whether it is sold.
    pub active: bool,
    pub revision: i64,
}

impl ServiceRow {
    fn set(it: &ServiceSet, revision: i64) -> ServiceRow {
        ServiceRow {
            service: it.service.0,
            provider: it.provider.map(|id| id.0),
            price_milli: it.price_milli,
            price_minor: it.price.map(|price| price.amount_minor),
            price_asset: it.price.map(|price| price.asset.to_string()),
            active: it.active,
            revision,
        }
    }
}

/// A coupon, and how often it is used.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct CouponRow {
    pub coupon: Uuid,
    pub code: String,
    /// The share of the price that it takes off, in basis points; null where it takes off an amount.
    pub percent_bps: Option<i64>,
    /// What a share takes off at the most.
    pub most_milli: Option<i64>,
    pub amount_milli: Option<i64>,
    /// The lowest price that it can be used for.
    pub least_price_milli: Option<i64>,
    pub per_person: Option<i64>,
    pub in_all: Option<i64>,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub starts_at: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub ends_at: DateTime<Utc>,
    pub active: bool,
    /// In how many orders it is used that were neither cancelled nor have expired.
    pub used: i64,
    pub revision: i64,
}

impl CouponRow {
    fn set(it: &CouponSet, used: i64, revision: i64) -> CouponRow {
        let (percent, amount_milli) = match it.discount {
            Discount::Percent(percent) => (Some(percent), None),
            Discount::Amount(amount_milli) => (None, Some(amount_milli)),
        };
        CouponRow {
            coupon: it.coupon.0,
            code: it.code.clone(),
            percent_bps: percent.map(|it| it.bps.into()),
            most_milli: percent.and_then(|it| it.most_milli),
            amount_milli,
            least_price_milli: it.least_price_milli,
            per_person: it.per_person.map(i64::from),
            in_all: it.in_all.map(i64::from),
            starts_at: it.from.to_utc(),
            ends_at: it.to.to_utc(),
            active: it.active,
            used,
            revision,
        }
    }
}

/// An order and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow, ToSchema)]
pub struct OrderRow {
    pub order: Uuid,
    pub placed_revision: i64,
    pub user: Uuid,
    pub service: Uuid,
    /// The host who provides it; null where the platform does.
    pub provider: Option<Uuid>,
    /// `unpaid` while the gateway's part has not come; `paid`, `accepted`, `completed`; `refunded` when all is back;
    /// `cancelled`; `expired` when the gateway's part did not come in time.
    pub status: String,
    pub coupon: Option<Uuid>,
    /// What the service cost, of which the discount is taken off.
    pub price_milli: i64,
    pub discount_milli: i64,
    /// What the wallet has paid.
    pub wallet_milli: i64,
    /// The coins that are bought at the gateway for it.
    pub gateway_milli: i64,
    /// The purchase of those coins.
    pub purchase: Option<Uuid>,
    /// What of it has gone back by refunds.
    pub refunded_milli: i64,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub placed_at: DateTime<Utc>,
    /// Until when the purchase may be paid.
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub pay_by: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub accepted_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub completed_at: Option<DateTime<Utc>>,
    /// When it was cancelled, expired, or was refunded in full.
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub closed_at: Option<DateTime<Utc>>,
    /// `buyer`, `declined` or `unpaid`.
    pub cancel_cause: Option<String>,
    /// Why it was declined, or refunded last.
    pub reason: Option<String>,
    pub revision: i64,
}

impl OrderRow {
    fn placed(it: &OrderPlaced, place: &Place<'_>) -> OrderRow {
        OrderRow {
            order: it.order.0,
            placed_revision: place.revision,
            user: it.user.0,
            service: it.service.0,
            provider: it.provider.map(|id| id.0),
            status: if it.gateway_milli == 0 { "paid" } else { "unpaid" }.to_owned(),
            coupon: it.coupon.map(|id| id.0),
            price_milli: it.price_milli,
            discount_milli: it.discount_milli,
            wallet_milli: it.wallet_milli,
            gateway_milli: it.gateway_milli,
            purchase: it.purchase.map(|id| id.0),
            refunded_milli: 0,
            placed_at: place.at,
            pay_by: it.pay_by.map(Timestamp::to_utc),
            accepted_at: None,
            completed_at: None,
            closed_at: None,
            cancel_cause: None,
            reason: None,
            revision: place.revision,
        }
    }
}

/// Which orders; all that is absent matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderFilter {
    pub user: Option<PersonId>,
    pub provider: Option<PersonId>,
    pub service: Option<ServiceId>,
    pub coupon: Option<CouponId>,
    pub status: Option<String>,
}

impl ReadModels {
    /// Services, in the order of their ids; `sold` leaves out those that are not sold at present.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn services(
        &self,
        sold: bool,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<ServiceRow>, QueryError> {
        let limit = page_size(limit);
        let rows: Vec<ServiceRow> = sqlx::query_as(
            "SELECT * FROM read.services WHERE service > $1 AND (active OR NOT $2) ORDER BY service LIMIT $3",
        )
        .bind(Cursor::read_or("services", after, Uuid::nil())?)
        .bind(sold)
        .bind(limit + 1)
        .fetch_all(self.pool()?)
        .await?;
        Ok(Page::of(rows, limit, "services", |row| row.service))
    }

    /// Coupons, in the order of their ids.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn coupons(&self, after: Option<&str>, limit: u32) -> Result<Page<CouponRow>, QueryError> {
        let limit = page_size(limit);
        let rows: Vec<CouponRow> =
            sqlx::query_as("SELECT * FROM read.coupons WHERE coupon > $1 ORDER BY coupon LIMIT $2")
                .bind(Cursor::read_or("coupons", after, Uuid::nil())?)
                .bind(limit + 1)
                .fetch_all(self.pool()?)
                .await?;
        Ok(Page::of(rows, limit, "coupons", |row| row.coupon))
    }

    /// Orders, those that were placed last first.
    ///
    /// # Errors
    /// [`QueryError::BadCursor`], or when Postgres fails.
    pub async fn orders(
        &self,
        filter: &OrderFilter,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Page<OrderRow>, QueryError> {
        let limit = page_size(limit);
        let before = Cursor::read_or("orders", before, i64::MAX)?;
        let mut query = QueryBuilder::<Postgres>::new("SELECT * FROM read.orders WHERE placed_revision < ");
        query.push_bind(before);
        let ids = [
            ("\"user\"", filter.user.map(|id| id.0)),
            ("provider", filter.provider.map(|id| id.0)),
            ("service", filter.service.map(|id| id.0)),
            ("coupon", filter.coupon.map(|id| id.0)),
        ];
        for (column, id) in ids {
            if let Some(id) = id {
                query.push(" AND ").push(column).push(" = ").push_bind(id);
            }
        }
        if let Some(status) = &filter.status {
            query.push(" AND status = ").push_bind(status);
        }
        query.push(" ORDER BY placed_revision DESC LIMIT ").push_bind(limit + 1);
        let rows: Vec<OrderRow> = query.build_query_as().fetch_all(self.pool()?).await?;
        Ok(Page::of(rows, limit, "orders", |row| row.placed_revision))
    }

    /// # Errors
    /// When Postgres fails.
    pub async fn order(&self, id: OrderId) -> Result<Option<OrderRow>, QueryError> {
        let row = sqlx::query_as("SELECT * FROM read.orders WHERE \"order\" = $1").bind(id.0);
        Ok(row.fetch_optional(self.pool()?).await?)
    }
}
