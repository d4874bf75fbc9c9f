//! Premium subscriptions.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, AnyCaller, IdempotencyKey, Json, Path, Query, UserCaller};
use crate::openapi::words_of;
use crate::page::{COIN, Format, InCoins, Listed, Page, ReadQuery, list_query, one_of};
use crate::receipt::{Answered, Recorded, made};
use crate::routes::purchases::CheckoutView;
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::command::{CancelSubscription, ResumeSubscription, SetSubscriptionPlan, StartSubscription};
use ledger_core::{Asset, PersonId, Price, SubscriptionId, SubscriptionPlanId, rfc3339};
use projections::{PeriodRow, SubscriptionFilter, SubscriptionPlanRow, SubscriptionRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_subscription_plans))
        .routes(routes!(get_my_subscriptions))
        .routes(routes!(start_subscription))
        .routes(routes!(buy_subscription))
        .routes(routes!(list_periods))
        .routes(routes!(cancel_subscription))
        .routes(routes!(resume_subscription))
        .routes(routes!(set_subscription_plan))
        .routes(routes!(list_subscriptions))
}

/// What a subscription costs and gives.
#[derive(Serialize, ToSchema)]
struct SubscriptionPlan {
    plan: Uuid,
    #[schema(example = "COIN/3")]
    asset: &'static str,
    /// What a period costs in coins.
    price_milli: i64,
    /// What a period costs at the payment gateway; null where it is sold for coins alone.
    price_minor: Option<i64>,
    #[schema(example = "INR/2")]
    price_asset: Option<String>,
    period_seconds: i64,
    /// For how long everything goes on when the next period cannot be paid.
    grace_seconds: i64,
    /// What it entitles to, in the codes of the product.
    entitlements: Vec<String>,
}

impl From<SubscriptionPlanRow> for SubscriptionPlan {
    fn from(row: SubscriptionPlanRow) -> SubscriptionPlan {
        SubscriptionPlan {
            plan: row.plan,
            asset: COIN,
            price_milli: row.price_milli,
            price_minor: row.price_minor,
            price_asset: row.price_asset,
            period_seconds: row.period_seconds,
            grace_seconds: row.grace_seconds,
            entitlements: row.entitlements.split(' ').map(str::to_owned).collect(),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct SubscriptionPlans {
    items: Vec<SubscriptionPlan>,
}

/// List subscription plans
///
/// Returns the subscription plans that are sold, the cheapest first. Needs no sign-in.
#[utoipa::path(get, path = "/v1/subscription-plans", tag = "subscriptions", params(ReadQuery),
    responses((status = 200, body = SubscriptionPlans)))]
async fn list_subscription_plans(
    State(api): State<Api>,
    Query(query): Query<ReadQuery>,
) -> Result<Json<SubscriptionPlans>, Error> {
    api.reach(query.min_revision).await?;
    let plans = api.read.subscription_plans().await?;
    let sold = plans.into_iter().filter(|plan| plan.active);
    Ok(Json(SubscriptionPlans { items: sold.map(SubscriptionPlan::from).collect() }))
}

/// A subscription of the caller that has not ended.
#[derive(Serialize, ToSchema)]
struct LiveSubscription {
    subscription: Uuid,
    plan: Uuid,
    /// What the next period costs.
    price_milli: i64,
    /// How many periods were paid.
    periods: u32,
    /// Whether it goes on after the period that is paid.
    renews: bool,
    #[serde(serialize_with = "rfc3339::serialize")]
    paid_until: DateTime<Utc>,
    /// Until when the caller keeps what they are entitled to, if nothing more is paid.
    #[serde(serialize_with = "rfc3339::serialize")]
    kept_until: DateTime<Utc>,
}

#[derive(Serialize, ToSchema)]
struct MySubscriptions {
    #[schema(example = "COIN/3")]
    asset: &'static str,
    /// What the caller is entitled to now, in the codes of the product.
    entitlements: Vec<String>,
    items: Vec<LiveSubscription>,
}

/// Retrieve your subscriptions
///
/// Returns what the caller has subscribed to and is entitled to now. It comes from the ledger itself and is always current.
#[utoipa::path(get, path = "/v1/me/subscriptions", tag = "subscriptions", security(("bearer" = [])),
    responses((status = 200, body = MySubscriptions)))]
async fn get_my_subscriptions(
    State(api): State<Api>,
    caller: AnyCaller,
) -> Result<Json<MySubscriptions>, Error> {
    let person = caller.person();
    let asked = api.app.ledger.query(move |state, at| {
        let live = state.subscriptions_of(person).filter(|(_, row)| row.entitles(at));
        let items = live.map(|(id, row)| LiveSubscription {
            subscription: id.0,
            plan: row.plan.0,
            price_milli: row.price_milli,
            periods: row.period,
            renews: row.renews,
            paid_until: row.until.to_utc(),
            kept_until: row.kept_until().to_utc(),
        });
        let entitlements = state.entitlements(person, at).into_iter().map(str::to_owned).collect();
        MySubscriptions { asset: COIN, entitlements, items: items.collect() }
    });
    Ok(Json(asked.await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StartSubscriptionBody {
    plan: Uuid,
    /// The price that the caller saw: a change of price in the meantime charges nothing.
    price_seen_milli: i64,
}

/// A subscription that has begun.
#[derive(Serialize, ToSchema)]
struct SubscriptionStarted {
    #[serde(flatten)]
    recorded: Recorded,
    subscription: Uuid,
}

/// Subscribe with coins
///
/// Begins a subscription and pays its first period from the caller's wallet. The next periods are paid by themselves when
/// they begin. When there are too few coins then, the plan's grace begins: everything goes on, and the first coins that come
/// pay the period. The price is that of the beginning for as long as the subscription lasts.
#[utoipa::path(post, path = "/v1/me/subscriptions", tag = "subscriptions", security(("bearer" = ["user"])),
    params(IdempotencyKey), responses((status = 201, body = SubscriptionStarted)))]
async fn start_subscription(
    State(api): State<Api>,
    user: UserCaller,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<StartSubscriptionBody>,
) -> Result<Answered<SubscriptionStarted>, Error> {
    let (user, plan) = (user.person(), SubscriptionPlanId(asked.plan));
    let command = StartSubscription { user, plan, price_seen_milli: asked.price_seen_milli };
    let receipt = api.app.commands.give(user, key, command.into()).await?;
    let subscription = made(receipt.command_id, "subscription");
    Ok(Answered::created(&receipt, SubscriptionStarted { recorded: receipt.into(), subscription }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BuySubscriptionBody {
    plan: Uuid,
}

/// Subscribe at the gateway
///
/// Opens a purchase and the order for it at the payment gateway, as for a coin plan. Once it is paid, a period of the
/// subscription begins, or follows the one that runs. A subscription that was begun this way ends with its period unless it
/// is bought again or resumed, which goes on in coins. Where the caller owes coins, the purchase settles that first, and
/// what is left stays in the wallet.
#[utoipa::path(post, path = "/v1/me/subscriptions/purchases", tag = "subscriptions",
    security(("bearer" = ["user"])), params(IdempotencyKey), responses((status = 201, body = CheckoutView)))]
async fn buy_subscription(
    State(api): State<Api>,
    user: UserCaller,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<BuySubscriptionBody>,
) -> Result<Answered<CheckoutView>, Error> {
    let plan = SubscriptionPlanId(asked.plan);
    let checkout = api.app.purchases.open_subscription(user.person(), key, plan, api.now()).await?;
    let receipt = checkout.receipt;
    Ok(Answered::created(&receipt, checkout.into()))
}

list_query! { PeriodsQuery {} }

/// List the periods of a subscription
///
/// Returns the periods of one of the caller's subscriptions that were paid, the last first.
#[utoipa::path(get, path = "/v1/me/subscriptions/{subscription}/periods", tag = "subscriptions",
    security(("bearer" = [])), params(PeriodsQuery), responses((status = 200, body = Page<InCoins<PeriodRow>>)))]
async fn list_periods(
    State(api): State<Api>,
    caller: AnyCaller,
    Path(subscription): Path<Uuid>,
    Query(query): Query<PeriodsQuery>,
) -> Result<Json<Page<InCoins<PeriodRow>>>, Error> {
    let limit = query.ready(Format::Json, &api).await?;
    let id = SubscriptionId(subscription);
    let row = api.read.subscription(id).await?;
    if row.is_none_or(|row| row.user != caller.person().0) {
        return Err(Error::not_found("subscription"));
    }
    let page = api.read.periods_of(id, query.cursor.as_deref(), limit).await?;
    Ok(Json(Page::from(page).map(InCoins::from)))
}

/// Cancel a subscription
///
/// It ends with the period that is paid, and the caller keeps what they are entitled to until then. Cancelling again
/// changes nothing.
#[utoipa::path(post, path = "/v1/me/subscriptions/{subscription}/cancel", tag = "subscriptions",
    security(("bearer" = ["user"])), params(("subscription" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn cancel_subscription(
    State(api): State<Api>,
    user: UserCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(subscription): Path<Uuid>,
) -> Result<Answered<Recorded>, Error> {
    let user = user.person();
    let command = CancelSubscription { subscription: SubscriptionId(subscription), user };
    Ok(Answered::done(api.app.commands.give(user, key, command.into()).await?))
}

/// Resume a subscription
///
/// A subscription that was to end with its period goes on in coins. One that has ended cannot be resumed: subscribe again.
#[utoipa::path(post, path = "/v1/me/subscriptions/{subscription}/resume", tag = "subscriptions",
    security(("bearer" = ["user"])), params(("subscription" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn resume_subscription(
    State(api): State<Api>,
    user: UserCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(subscription): Path<Uuid>,
) -> Result<Answered<Recorded>, Error> {
    let user = user.person();
    let command = ResumeSubscription { subscription: SubscriptionId(subscription), user };
    Ok(Answered::done(api.app.commands.give(user, key, command.into()).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetSubscriptionPlanBody {
    /// What a period costs in coins. Paid at the gateway, this many coins are bought and used at once.
    price_milli: i64,
    /// What a period costs at the gateway; both absent where it is sold for coins alone.
    price_minor: Option<i64>,
    #[schema(value_type = Option<String>, example = "INR/2")]
    price_asset: Option<Asset>,
    period_seconds: u32,
    /// For how long everything goes on when the next period cannot be paid; no longer than the period.
    grace_seconds: u32,
    /// What it entitles to: 1 to 16 codes of small letters, digits and underscores.
    entitlements: Vec<String>,
    /// Whether it is sold. Subscriptions that run go on.
    active: bool,
    /// Why it is changed: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Create or change a subscription plan
///
/// Subscriptions that run keep the price, the period and the grace that they began with, until they are bought again; what
/// they entitle to is what the plan says now. Setting what is set already changes nothing.
#[utoipa::path(put, path = "/v1/admin/subscription-plans/{plan}", tag = "admin: catalogue",
    security(("bearer" = ["admin"])), params(("plan" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn set_subscription_plan(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(plan): Path<Uuid>,
    Json(asked): Json<SetSubscriptionPlanBody>,
) -> Result<Answered<Recorded>, Error> {
    let author = admin.because(asked.reason.as_deref(), asked.note.as_deref())?;
    let command = SetSubscriptionPlan {
        plan: SubscriptionPlanId(plan),
        price_milli: asked.price_milli,
        price: gateway_price(asked.price_minor, asked.price_asset)?,
        period_seconds: asked.period_seconds,
        grace_seconds: asked.grace_seconds,
        entitlements: asked.entitlements,
        active: asked.active,
    };
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command.into(), api.now()).await?))
}

/// A price at the gateway: amount and asset, or neither.
pub fn gateway_price(price_minor: Option<i64>, price_asset: Option<Asset>) -> Result<Option<Price>, Error> {
    match (price_minor, price_asset) {
        (None, None) => Ok(None),
        (Some(amount_minor), Some(asset)) => {
            // Coins are refused by the ledger, with a code of their own.
            if asset != Asset::COIN && !platform::purchases::is_sold_in(asset) {
                return Err(Error::field(
                    "price_asset",
                    "must be a currency with its decimals, such as INR/2 or JPY/0",
                ));
            }
            Ok(Some(Price { amount_minor, asset }))
        }
        _ => Err(Error::field("price_asset", "must stand beside `price_minor`, or neither of them")),
    }
}

list_query! {
    SubscriptionsQuery {
        /// Only subscriptions of this person.
        user: Option<Uuid>,
        /// Only those in this state.
        status: Option<String>,
    }
}

/// List subscriptions
///
/// Returns all subscriptions that ever were, those that began last first.
#[utoipa::path(get, path = "/v1/admin/subscriptions", tag = "admin: books", security(("bearer" = ["admin"])),
    params(SubscriptionsQuery), responses((status = 200, body = Page<InCoins<SubscriptionRow>>)))]
async fn list_subscriptions(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<SubscriptionsQuery>,
    format: Format,
) -> Result<Listed<InCoins<SubscriptionRow>>, Error> {
    let limit = query.ready(format, &api).await?;
    one_of("status", query.status.as_deref(), words_of("SubscriptionStatus"))?;
    let filter = SubscriptionFilter { user: query.user.map(PersonId), status: query.status };
    let page = api.read.subscriptions(&filter, query.cursor.as_deref(), limit).await?;
    Ok(format.of(Page::from(page).map(InCoins::from)))
}
