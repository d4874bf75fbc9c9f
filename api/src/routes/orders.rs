//! Service orders, for those who order and those who provide.

use crate::Api;
use crate::error::Error;
use crate::extract::{AnyCaller, HostCaller, IdempotencyKey, Json, Path, Query, UserCaller};
use crate::openapi::words_of;
use crate::page::{COIN, Format, InCoins, Page, ReadQuery, WithOther, list_query, one_of};
use crate::receipt::{Answered, Recorded, made};
use crate::routes::purchases::CheckoutView;
use axum::extract::State;
use ledger_core::command::{AcceptOrder, CancelOrder, CompleteOrder, DeclineOrder, PlaceOrder};
use ledger_core::orders::Quote;
use ledger_core::{Gateway, OrderId, PersonId, ServiceId};
use platform::commands::CommandError;
use projections::{OrderFilter, OrderRow, ServiceRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_services))
        .routes(routes!(quote_order))
        .routes(routes!(place_order))
        .routes(routes!(list_my_orders))
        .routes(routes!(get_order))
        .routes(routes!(cancel_order))
        .routes(routes!(list_received_orders))
        .routes(routes!(accept_order))
        .routes(routes!(complete_order))
        .routes(routes!(decline_order))
}

list_query! { ServicesQuery {} }

/// List services
///
/// Returns the services that are sold, in the order of their ids. Needs no sign-in.
#[utoipa::path(get, path = "/v1/services", tag = "orders", params(ServicesQuery),
    responses((status = 200, body = Page<InCoins<ServiceRow>>)))]
async fn list_services(
    State(api): State<Api>,
    Query(query): Query<ServicesQuery>,
) -> Result<Json<Page<InCoins<ServiceRow>>>, Error> {
    let limit = query.ready(Format::Json, &api).await?;
    let page = api.read.services(true, query.cursor.as_deref(), limit).await?;
    Ok(Json(Page::from(page).map(InCoins::from)))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct QuoteQuery {
    /// The code of a coupon, in any case.
    coupon: Option<String>,
}

/// What an order would cost the caller now.
#[derive(Serialize, ToSchema)]
struct QuoteView {
    service: Uuid,
    /// The host who provides it; null where the platform does.
    provider: Option<Uuid>,
    #[schema(example = "COIN/3")]
    asset: &'static str,
    price_milli: i64,
    /// What the coupon takes off.
    discount_milli: i64,
    /// What the order costs: pass it as `total_seen_milli`.
    total_milli: i64,
    /// What the gateway is asked for where it pays all of it; null where the service is sold for coins alone.
    price_minor: Option<i64>,
    #[schema(example = "INR/2")]
    price_asset: Option<String>,
}

/// Preview an order
///
/// Returns what an order of the service would cost the caller, with the discount of a coupon. Nothing is reserved: the
/// coupon may be used up by the time the order is placed.
#[utoipa::path(get, path = "/v1/services/{service}/quote", tag = "orders", security(("bearer" = ["user"])),
    params(("service" = Uuid, Path), QuoteQuery), responses((status = 200, body = QuoteView)))]
async fn quote_order(
    State(api): State<Api>,
    user: UserCaller,
    Path(service): Path<Uuid>,
    Query(query): Query<QuoteQuery>,
) -> Result<Json<QuoteView>, Error> {
    let (user, id, coupon) = (user.person(), ServiceId(service), normal(query.coupon));
    let quote = api.app.ledger.query(move |state, at| state.quote(user, id, coupon.as_ref(), at)).await?;
    let quote: Quote = quote.map_err(CommandError::from)?;
    let price = Some(quote.total_milli).filter(|it| *it > 0).and_then(|total| quote.at_gateway(total));
    Ok(Json(QuoteView {
        service,
        provider: quote.provider.map(|id| id.0),
        asset: COIN,
        price_milli: quote.price_milli,
        discount_milli: quote.discount_milli,
        total_milli: quote.total_milli,
        price_minor: price.map(|it| it.amount_minor),
        price_asset: price.map(|it| it.asset.to_string()),
    }))
}

/// A code as coupons have it: people type it in any case, with spaces around it.
pub fn normal(code: Option<String>) -> Option<String> {
    code.map(|code| code.trim().to_ascii_uppercase())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlaceOrderBody {
    service: Uuid,
    /// The code of a coupon, in any case.
    coupon: Option<String>,
    /// What the caller saw that the order costs, with the discount: a change in the meantime charges nothing.
    total_seen_milli: i64,
    /// How much of it the wallet pays. The rest is paid at the gateway.
    wallet_milli: i64,
}

/// An order that was placed.
#[derive(Serialize, ToSchema)]
struct OrderPlacedView {
    #[serde(flatten)]
    recorded: Recorded,
    order: Uuid,
    /// What is to be paid at the gateway; null where the wallet has paid all of it.
    checkout: Option<CheckoutView>,
}

/// Order a service
///
/// Orders a service and pays it from the wallet, at the payment gateway, or both. What the wallet pays is taken at once
/// and held for the order. Where that is all of it, the order is paid. Otherwise a purchase is opened for the rest: pass
/// `checkout` to the gateway's checkout, and the order is paid when the gateway confirms the payment. If that does not come
/// in time (`pay_by` of the order), the order expires and the coins go back; money that comes later is credited to the
/// wallet. The use of a coupon is counted at once, and comes back when the order is cancelled or expires.
#[utoipa::path(post, path = "/v1/orders", tag = "orders", security(("bearer" = ["user"])),
    params(IdempotencyKey), responses((status = 201, body = OrderPlacedView)))]
async fn place_order(
    State(api): State<Api>,
    user: UserCaller,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<PlaceOrderBody>,
) -> Result<Answered<OrderPlacedView>, Error> {
    let command = PlaceOrder {
        user: user.person(),
        service: ServiceId(asked.service),
        coupon: normal(asked.coupon),
        total_seen_milli: asked.total_seen_milli,
        wallet_milli: asked.wallet_milli,
        gateway: Gateway::Razorpay,
    };
    let (receipt, checkout) = api.app.orders.place(key, command, api.now()).await?;
    let order = made(receipt.command_id, "order");
    let checkout = checkout.map(CheckoutView::from);
    Ok(Answered::created(&receipt, OrderPlacedView { recorded: receipt.into(), order, checkout }))
}

list_query! {
    MyOrdersQuery {
        /// Only orders in this state.
        status: Option<String>,
    }
}

/// List your orders
///
/// Returns the orders that the caller has placed, the newest first.
#[utoipa::path(get, path = "/v1/orders", tag = "orders", security(("bearer" = [])),
    params(MyOrdersQuery), responses((status = 200, body = Page<WithOther<InCoins<OrderRow>>>)))]
async fn list_my_orders(
    State(api): State<Api>,
    caller: AnyCaller,
    Query(query): Query<MyOrdersQuery>,
) -> Result<Json<Page<WithOther<InCoins<OrderRow>>>>, Error> {
    let limit = query.ready(Format::Json, &api).await?;
    one_of("status", query.status.as_deref(), words_of("OrderStatus"))?;
    let user = Some(caller.person());
    let filter = OrderFilter { user, status: query.status, ..OrderFilter::default() };
    let page = api.read.orders(&filter, query.cursor.as_deref(), limit).await?;
    let page = Page::from(page).map(InCoins::from);
    Ok(Json(page.with_others(&api, |it| it.row.provider).await?))
}

list_query! {
    ReceivedOrdersQuery {
        /// Only orders in this state.
        status: Option<String>,
    }
}

/// List the orders that you received
///
/// Returns the orders of the caller's own services, the newest first. One that is `unpaid` may never be paid: begin with
/// those that are `paid`.
#[utoipa::path(get, path = "/v1/orders/received", tag = "orders", security(("bearer" = ["host"])),
    params(ReceivedOrdersQuery), responses((status = 200, body = Page<WithOther<InCoins<OrderRow>>>)))]
async fn list_received_orders(
    State(api): State<Api>,
    host: HostCaller,
    Query(query): Query<ReceivedOrdersQuery>,
) -> Result<Json<Page<WithOther<InCoins<OrderRow>>>>, Error> {
    let limit = query.ready(Format::Json, &api).await?;
    one_of("status", query.status.as_deref(), words_of("OrderStatus"))?;
    let provider = Some(host.person());
    let filter = OrderFilter { provider, status: query.status, ..OrderFilter::default() };
    let page = api.read.orders(&filter, query.cursor.as_deref(), limit).await?;
    let page = Page::from(page).map(InCoins::from);
    Ok(Json(page.with_others(&api, |it| Some(it.row.user)).await?))
}

/// Retrieve an order
///
/// Returns an order that the caller has placed or provides.
#[utoipa::path(get, path = "/v1/orders/{order}", tag = "orders", security(("bearer" = [])),
    params(("order" = Uuid, Path), ReadQuery), responses((status = 200, body = InCoins<OrderRow>)))]
async fn get_order(
    State(api): State<Api>,
    caller: AnyCaller,
    Path(order): Path<Uuid>,
    Query(query): Query<ReadQuery>,
) -> Result<Json<InCoins<OrderRow>>, Error> {
    api.reach(query.min_revision).await?;
    let PersonId(me) = caller.person();
    let row = api.read.order(OrderId(order)).await?;
    let own = row.filter(|row| row.user == me || row.provider == Some(me));
    Ok(Json(own.ok_or_else(|| Error::not_found("order"))?.into()))
}

/// Cancel an order
///
/// Possible until its provider has accepted it. All that was paid goes back to the wallet, also what was paid at the
/// gateway, and the coupon can be used again.
#[utoipa::path(post, path = "/v1/orders/{order}/cancel", tag = "orders", security(("bearer" = ["user"])),
    params(("order" = Uuid, Path), IdempotencyKey), responses((status = 200, body = Recorded)))]
async fn cancel_order(
    State(api): State<Api>,
    user: UserCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(order): Path<Uuid>,
) -> Result<Answered<Recorded>, Error> {
    let user = user.person();
    let command = CancelOrder { order: OrderId(order), user };
    Ok(Answered::done(api.app.commands.give(user, key, command.into()).await?))
}

/// Accept an order
///
/// The caller begins with an order of their own service: from now on the buyer cannot cancel it.
#[utoipa::path(post, path = "/v1/orders/{order}/accept", tag = "orders", security(("bearer" = ["host"])),
    params(("order" = Uuid, Path), IdempotencyKey), responses((status = 200, body = Recorded)))]
async fn accept_order(
    State(api): State<Api>,
    host: HostCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(order): Path<Uuid>,
) -> Result<Answered<Recorded>, Error> {
    let host = host.person();
    let command = AcceptOrder { order: OrderId(order), host: Some(host) };
    Ok(Answered::done(api.app.commands.give(host, key, command.into()).await?))
}

/// Complete an order
///
/// The caller has done what was ordered. What is held for the order is split by the commission that was in force when it
/// was placed. An order need not be accepted first.
#[utoipa::path(post, path = "/v1/orders/{order}/complete", tag = "orders", security(("bearer" = ["host"])),
    params(("order" = Uuid, Path), IdempotencyKey), responses((status = 200, body = Recorded)))]
async fn complete_order(
    State(api): State<Api>,
    host: HostCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(order): Path<Uuid>,
) -> Result<Answered<Recorded>, Error> {
    let host = host.person();
    let command = CompleteOrder { order: OrderId(order), host: Some(host) };
    Ok(Answered::done(api.app.commands.give(host, key, command.into()).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DeclineOrderBody {
    /// Why: a code of 1 to 64 small letters, digits and underscores. The buyer sees it.
    reason: String,
}

/// Decline an order
///
/// The caller will not do what was ordered, accepted or not. All that was paid goes back to the buyer.
#[utoipa::path(post, path = "/v1/orders/{order}/decline", tag = "orders", security(("bearer" = ["host"])),
    params(("order" = Uuid, Path), IdempotencyKey), responses((status = 200, body = Recorded)))]
async fn decline_order(
    State(api): State<Api>,
    host: HostCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(order): Path<Uuid>,
    Json(asked): Json<DeclineOrderBody>,
) -> Result<Answered<Recorded>, Error> {
    let host = host.person();
    let command = DeclineOrder { order: OrderId(order), host: Some(host), reason: asked.reason };
    Ok(Answered::done(api.app.commands.give(host, key, command.into()).await?))
}
