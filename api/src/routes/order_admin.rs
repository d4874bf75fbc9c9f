//! Services, coupons and orders, for admins.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, IdempotencyKey, Json, Path, Query};
use crate::openapi::words_of;
use crate::page::{Format, InCoins, Listed, Page, common_era, list_query, one_of};
use crate::receipt::{Answered, Recorded};
use crate::routes::orders::normal;
use crate::routes::subscriptions::gateway_price;
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::command::{
    AcceptOrder, CompleteOrder, DeclineOrder, Discount, PercentOff, RefundOrder, SetCoupon, SetService,
};
use ledger_core::{Asset, Command, CouponId, OrderId, PersonId, ServiceId};
use projections::{CouponRow, OrderFilter, OrderRow, ServiceRow};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(set_service))
        .routes(routes!(list_all_services))
        .routes(routes!(set_coupon))
        .routes(routes!(list_coupons))
        .routes(routes!(list_orders))
        .routes(routes!(accept_any_order))
        .routes(routes!(complete_any_order))
        .routes(routes!(decline_any_order))
        .routes(routes!(refund_order))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetServiceBody {
    /// The host who provides it; absent where the platform does.
    provider: Option<Uuid>,
    price_milli: i64,
    /// What it costs at the gateway; both absent where it is sold for coins alone.
    price_minor: Option<i64>,
    #[schema(value_type = Option<String>, example = "INR/2")]
    price_asset: Option<Asset>,
    /// Whether it is sold. Orders that were placed go on.
    active: bool,
    /// Why it is changed: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Create or change a service
///
/// Orders that were placed keep their price and their provider. Setting what is set already changes nothing.
#[utoipa::path(put, path = "/v1/admin/services/{service}", tag = "admin: catalogue",
    security(("bearer" = ["admin"])), params(("service" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn set_service(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(service): Path<Uuid>,
    Json(asked): Json<SetServiceBody>,
) -> Result<Answered<Recorded>, Error> {
    let author = admin.because(asked.reason.as_deref(), asked.note.as_deref())?;
    let provider = match asked.provider {
        // Earnings of anybody else could not be withdrawn.
        Some(host) => Some(api.app.hosts.approved(PersonId(host)).await?.person),
        None => None,
    };
    let command = SetService {
        service: ServiceId(service),
        provider,
        price_milli: asked.price_milli,
        price: gateway_price(asked.price_minor, asked.price_asset)?,
        active: asked.active,
    };
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command.into(), api.now()).await?))
}

list_query! { AllServicesQuery {} }

/// List all services
///
/// Returns services that are not sold at present too, in the order of their ids.
#[utoipa::path(get, path = "/v1/admin/services", tag = "admin: catalogue", security(("bearer" = ["admin"])),
    params(AllServicesQuery), responses((status = 200, body = Page<InCoins<ServiceRow>>)))]
async fn list_all_services(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<AllServicesQuery>,
    format: Format,
) -> Result<Listed<InCoins<ServiceRow>>, Error> {
    let limit = query.ready(format, &api).await?;
    let page = api.read.services(false, query.cursor.as_deref(), limit).await?;
    Ok(format.of(Page::from(page).map(InCoins::from)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetCouponBody {
    /// 4 to 32 letters and digits, in any case. It cannot be changed later, and no other coupon ever gets it.
    code: String,
    /// The share of the price that it takes off, in basis points (10000 is all of it), rounded down. Either this or
    /// `amount_milli`.
    percent_bps: Option<u32>,
    /// What a share takes off at the most.
    most_milli: Option<i64>,
    /// What it takes off any price, down to nothing.
    amount_milli: Option<i64>,
    /// The lowest price that it can be used for; any when absent.
    least_price_milli: Option<i64>,
    /// How often a person can use it; without a limit when absent.
    per_person: Option<u32>,
    /// How often everybody together can use it; without a limit when absent.
    in_all: Option<u32>,
    starts_at: DateTime<Utc>,
    /// From then on it cannot be used any more.
    ends_at: DateTime<Utc>,
    active: bool,
    /// Why: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Set up or change a coupon
///
/// The platform bears what a coupon takes off: who provides a service earns by its whole price. Orders that were placed
/// keep their discount. Limits below what is used already only stop further uses. A coupon that is over cannot be changed.
#[utoipa::path(put, path = "/v1/admin/coupons/{coupon}", tag = "admin: catalogue",
    security(("bearer" = ["admin"])), params(("coupon" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn set_coupon(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(coupon): Path<Uuid>,
    Json(asked): Json<SetCouponBody>,
) -> Result<Answered<Recorded>, Error> {
    let author = admin.because(asked.reason.as_deref(), asked.note.as_deref())?;
    let discount = match (asked.percent_bps, asked.amount_milli) {
        (Some(bps), None) => Discount::Percent(PercentOff { bps, most_milli: asked.most_milli }),
        (None, Some(_)) if asked.most_milli.is_some() => {
            return Err(Error::field("most_milli", "must stand beside `percent_bps`"));
        }
        (None, Some(amount_milli)) => Discount::Amount(amount_milli),
        _ => return Err(Error::field("percent_bps", "must stand here, or `amount_milli`, and not both")),
    };
    let command = SetCoupon {
        coupon: CouponId(coupon),
        code: normal(Some(asked.code)).unwrap_or_default(),
        discount,
        least_price_milli: asked.least_price_milli,
        per_person: asked.per_person,
        in_all: asked.in_all,
        from: common_era("starts_at", asked.starts_at)?.into(),
        to: common_era("ends_at", asked.ends_at)?.into(),
        active: asked.active,
    };
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command.into(), api.now()).await?))
}

list_query! { CouponsQuery {} }

/// List coupons
///
/// Returns all coupons with how often each is used, in the order of their ids.
#[utoipa::path(get, path = "/v1/admin/coupons", tag = "admin: catalogue", security(("bearer" = ["admin"])),
    params(CouponsQuery), responses((status = 200, body = Page<InCoins<CouponRow>>)))]
async fn list_coupons(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<CouponsQuery>,
    format: Format,
) -> Result<Listed<InCoins<CouponRow>>, Error> {
    let limit = query.ready(format, &api).await?;
    let page = api.read.coupons(query.cursor.as_deref(), limit).await?;
    Ok(format.of(Page::from(page).map(InCoins::from)))
}

list_query! {
    OrdersQuery {
        /// Only orders of this person.
        user: Option<Uuid>,
        /// Only orders that this host provides.
        provider: Option<Uuid>,
        /// Only orders of this service.
        service: Option<Uuid>,
        /// Only orders that use this coupon, or did.
        coupon: Option<Uuid>,
        /// Only orders in this state.
        status: Option<String>,
    }
}

/// List orders
///
/// Returns all orders that ever were, the newest first.
#[utoipa::path(get, path = "/v1/admin/orders", tag = "admin: books", security(("bearer" = ["admin"])),
    params(OrdersQuery), responses((status = 200, body = Page<InCoins<OrderRow>>)))]
async fn list_orders(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<OrdersQuery>,
    format: Format,
) -> Result<Listed<InCoins<OrderRow>>, Error> {
    let limit = query.ready(format, &api).await?;
    one_of("status", query.status.as_deref(), words_of("OrderStatus"))?;
    let filter = OrderFilter {
        user: query.user.map(PersonId),
        provider: query.provider.map(PersonId),
        service: query.service.map(ServiceId),
        coupon: query.coupon.map(CouponId),
        status: query.status,
    };
    let page = api.read.orders(&filter, query.cursor.as_deref(), limit).await?;
    Ok(format.of(Page::from(page).map(InCoins::from)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DecideOrderBody {
    /// Why: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    reason: String,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

async fn decide(
    api: &Api,
    admin: &AdminAuthor,
    key: ledger_core::ClientKey,
    asked: &DecideOrderBody,
    command: Command,
) -> Result<Answered<Recorded>, Error> {
    let author = admin.because(Some(&asked.reason), asked.note.as_deref())?;
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command, api.now()).await?))
}

/// Accept an order for its provider
///
/// For services of the platform itself, or where a host cannot. The buyer cannot cancel the order any more.
#[utoipa::path(post, path = "/v1/admin/orders/{order}/accept", tag = "admin: books",
    security(("bearer" = ["admin"])), params(("order" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn accept_any_order(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(order): Path<Uuid>,
    Json(asked): Json<DecideOrderBody>,
) -> Result<Answered<Recorded>, Error> {
    let command = AcceptOrder { order: OrderId(order), host: None };
    decide(&api, &admin, key, &asked, command.into()).await
}

/// Complete an order for its provider
///
/// For services of the platform itself, or where a host cannot. What is held for the order is paid out to those who earned
/// it. Nobody completes an order that they earn by themselves (`own_money`).
#[utoipa::path(post, path = "/v1/admin/orders/{order}/complete", tag = "admin: books",
    security(("bearer" = ["admin"])), params(("order" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn complete_any_order(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(order): Path<Uuid>,
    Json(asked): Json<DecideOrderBody>,
) -> Result<Answered<Recorded>, Error> {
    let command = CompleteOrder { order: OrderId(order), host: None };
    decide(&api, &admin, key, &asked, command.into()).await
}

/// Decline an order for its provider
///
/// All that was paid goes back to the buyer, who sees the reason. An order that was completed is refunded instead.
#[utoipa::path(post, path = "/v1/admin/orders/{order}/decline", tag = "admin: books",
    security(("bearer" = ["admin"])), params(("order" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn decline_any_order(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(order): Path<Uuid>,
    Json(asked): Json<DecideOrderBody>,
) -> Result<Answered<Recorded>, Error> {
    let command = DeclineOrder { order: OrderId(order), host: None, reason: asked.reason.clone() };
    decide(&api, &admin, key, &asked, command.into()).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefundOrderBody {
    /// At most what was paid for the order and has not gone back yet.
    amount_milli: i64,
    /// Why: a code of 1 to 64 small letters, digits and underscores. The buyer sees it.
    reason: String,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Refund an order
///
/// Gives back all or part of what was paid for an order, as coins in the buyer's wallet, also what was paid at the gateway:
/// refund the purchase afterwards to give it back as money. Of an order that was completed, host, agency and platform give
/// back their shares in proportion; what a host has withdrawn since, the platform bears. Possible for 180 days after the
/// completion.
#[utoipa::path(post, path = "/v1/admin/orders/{order}/refund", tag = "admin: books",
    security(("bearer" = ["admin"])), params(("order" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn refund_order(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(order): Path<Uuid>,
    Json(asked): Json<RefundOrderBody>,
) -> Result<Answered<Recorded>, Error> {
    let author = admin.because(Some(&asked.reason), asked.note.as_deref())?;
    let command =
        RefundOrder { order: OrderId(order), amount_milli: asked.amount_milli, reason: asked.reason };
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command.into(), api.now()).await?))
}
