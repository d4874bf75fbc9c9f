//! Buying coins, refunds, and money that fits no purchase.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, AnyCaller, IdempotencyKey, Json, Path, Query, UserCaller};
use crate::openapi::words_of;
use crate::page::{COIN, Format, InCoins, Listed, Page, ReadQuery, amounts, list_query, one_of, period};
use crate::receipt::{Answered, Recorded};
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::command::{RefundPurchase, ResolveSuspense};
use ledger_core::purchases::Resolution;
use ledger_core::{Asset, Command, PersonId, PlanId, PurchaseId};
use platform::purchases::Checkout;
use projections::{PurchaseRow, SuspenseCaseRow, SuspenseFilter};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(open_purchase, list_purchases))
        .routes(routes!(get_purchase))
        .routes(routes!(refund_purchase))
        .routes(routes!(list_suspense))
        .routes(routes!(resolve_suspense))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OpenPurchase {
    /// The plan to buy, from the list of coin plans.
    plan: Uuid,
}

/// An open purchase, with what the client needs to pay for it at the gateway.
#[derive(Serialize, ToSchema)]
pub struct CheckoutView {
    #[serde(flatten)]
    recorded: Recorded,
    purchase: Uuid,
    #[schema(example = "razorpay")]
    gateway: &'static str,
    /// The order at the gateway, for its checkout.
    order_id: String,
    /// The public part of the gateway's key, for its checkout.
    key_id: String,
    price_minor: i64,
    #[schema(example = "INR/2")]
    price_asset: String,
    #[schema(example = "COIN/3")]
    asset: &'static str,
    coins_milli: i64,
    bonus_milli: i64,
}

impl From<Checkout> for CheckoutView {
    fn from(checkout: Checkout) -> CheckoutView {
        CheckoutView {
            recorded: checkout.receipt.into(),
            purchase: checkout.purchase.0,
            gateway: ledger_core::Gateway::Razorpay.name(),
            order_id: checkout.order_id,
            key_id: checkout.key_id,
            price_minor: checkout.price_minor,
            price_asset: checkout.price_asset.to_string(),
            asset: COIN,
            coins_milli: checkout.coins_milli,
            bonus_milli: checkout.bonus_milli,
        }
    }
}

/// Buy a coin plan
///
/// Opens a purchase and creates the order for it at the payment gateway. Pass `order_id` and `key_id` to the
/// gateway's checkout in your app. The coins arrive when the gateway confirms the payment to Muneem, usually within
/// seconds; watch the wallet, or the purchase's `status`.
///
/// Fails with `unknown_plan` or `plan_inactive` if the plan cannot be bought, and with `gateway_unavailable` if the
/// gateway does not answer: send the request again with the same key then.
#[utoipa::path(post, path = "/v1/purchases", tag = "purchases", security(("bearer" = ["user"])),
    params(IdempotencyKey), responses((status = 201, body = CheckoutView)))]
async fn open_purchase(
    State(api): State<Api>,
    user: UserCaller,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<OpenPurchase>,
) -> Result<Answered<CheckoutView>, Error> {
    let checkout = api.app.purchases.open(user.person(), key, PlanId(asked.plan), api.now()).await?;
    let receipt = checkout.receipt;
    Ok(Answered::created(&receipt, checkout.into()))
}

list_query! { PurchasesQuery {} }

/// List your purchases
///
/// Returns the caller's purchases, the newest first, whatever became of them.
#[utoipa::path(get, path = "/v1/purchases", tag = "purchases", security(("bearer" = [])),
    params(PurchasesQuery), responses((status = 200, body = Page<InCoins<PurchaseRow>>)))]
async fn list_purchases(
    State(api): State<Api>,
    caller: AnyCaller,
    Query(query): Query<PurchasesQuery>,
) -> Result<Json<Page<InCoins<PurchaseRow>>>, Error> {
    let limit = query.ready(Format::Json, &api).await?;
    let page = api.read.purchases_of(caller.person(), query.cursor.as_deref(), limit).await?;
    Ok(Json(Page::from(page).map(InCoins::from)))
}

/// Retrieve a purchase
///
/// Returns one purchase of the caller. Use it to see whether a payment has arrived.
#[utoipa::path(get, path = "/v1/purchases/{purchase}", tag = "purchases", security(("bearer" = [])),
    params(ReadQuery), responses((status = 200, body = InCoins<PurchaseRow>)))]
async fn get_purchase(
    State(api): State<Api>,
    caller: AnyCaller,
    Path(purchase): Path<Uuid>,
    Query(query): Query<ReadQuery>,
) -> Result<Json<InCoins<PurchaseRow>>, Error> {
    api.reach(query.min_revision).await?;
    let row = api.read.purchase(PurchaseId(purchase)).await?;
    let own = row.filter(|row| row.user == caller.person().0);
    own.map(|row| Json(row.into())).ok_or_else(|| Error::not_found("purchase"))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Refund {
    /// What the gateway calls the refund: 1 to 64 visible ASCII characters.
    refund_ref: String,
    amount_minor: i64,
    #[schema(value_type = String, example = "INR/2")]
    asset: Asset,
    /// Why: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Record a refund
///
/// Records that the gateway has paid money of a purchase back, and takes the coins for it out of the buyer's wallet.
/// It does not ask the gateway for the refund: make it in the gateway's panel. Only what the buyer has not spent can be
/// refunded. Refunds that the gateway reports by webhook are recorded by themselves; `refund_ref` makes sure that the
/// same refund is recorded once. The audit log keeps who recorded it and why. An admin cannot refund their own purchase
/// (`own_money`).
#[utoipa::path(post, path = "/v1/admin/purchases/{purchase}/refunds", tag = "admin: purchases",
    security(("bearer" = ["admin"])), params(("purchase" = Uuid, Path), IdempotencyKey),
    responses((status = 201, body = Recorded)))]
async fn refund_purchase(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(purchase): Path<Uuid>,
    Json(asked): Json<Refund>,
) -> Result<Answered<Recorded>, Error> {
    let Refund { refund_ref, amount_minor, asset, reason, note } = asked;
    let author = admin.because(reason.as_deref(), note.as_deref())?;
    let command =
        Command::from(RefundPurchase { purchase: PurchaseId(purchase), refund_ref, amount_minor, asset });
    let receipt = api.app.commands.give_audited(&author, key, command, api.now()).await?;
    Ok(Answered::created(&receipt, receipt.into()))
}

list_query! {
    SuspenseQuery {
        /// Only cases that are still open.
        open: bool,
        /// Only money that is here for this cause.
        cause: Option<String>,
        /// Only money that came (`in`) or went (`out`).
        direction: Option<String>,
        /// Only money that speaks of this purchase.
        purchase: Option<Uuid>,
        /// Only money that speaks of a purchase of this person.
        person: Option<Uuid>,
        /// Only money recorded at this time or later (RFC 3339).
        from: Option<DateTime<Utc>>,
        /// Only money recorded before this time.
        to: Option<DateTime<Utc>>,
        /// Only amounts of this or more.
        min_amount_minor: Option<i64>,
        /// Only amounts of this or less.
        max_amount_minor: Option<i64>,
    }
}

/// List money in suspense
///
/// Money that a gateway moved and that fits no open purchase, newest first. A case is named by its `revision`.
/// It stays open until you resolve it, or until money arrives that undoes it.
#[utoipa::path(get, path = "/v1/admin/suspense", tag = "admin: purchases", security(("bearer" = ["admin"])),
    params(SuspenseQuery), responses((status = 200, body = Page<SuspenseCaseRow>)))]
async fn list_suspense(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<SuspenseQuery>,
    format: Format,
) -> Result<Listed<SuspenseCaseRow>, Error> {
    let limit = query.ready(format, &api).await?;
    one_of("cause", query.cause.as_deref(), words_of("SuspenseCause"))?;
    one_of("direction", query.direction.as_deref(), &["in", "out"])?;
    let filter = SuspenseFilter {
        open: query.open,
        cause: query.cause,
        direction: query.direction,
        purchase: query.purchase.map(PurchaseId),
        person: query.person.map(PersonId),
        period: period(query.from, query.to)?,
        amount_minor: amounts(query.min_amount_minor, query.max_amount_minor)?,
    };
    Ok(format.of(api.read.suspense_cases(&filter, query.cursor.as_deref(), limit).await?.into()))
}

/// What money in suspense turned out to be. Give one of the three.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum SuspenseIs {
    /// It pays this open purchase, whose price it must be. The buyer gets the coins.
    Purchase(Uuid),
    /// It was sent back: what the gateway calls the refund, 1 to 64 visible ASCII characters.
    Refund(String),
    /// The platform keeps it, or bears it where the money went out.
    Income(Kept),
}

/// An empty object.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Kept {}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResolvedCase {
    resolution: SuspenseIs,
    /// Why: a code of 1 to 64 small letters, digits and underscores.
    #[schema(example = "checked_with_bank")]
    reason: String,
}

/// Resolve money in suspense
///
/// Use it when you know what a case is. The resolution is recorded in the journal and the audit log with your name and
/// the reason, and the money leaves suspense in the same entry. A case is resolved once: a second resolution is refused with
/// `unknown_case`. Money that is no such thing is refused with `resolution_unfit`.
#[utoipa::path(post, path = "/v1/admin/suspense/{revision}/resolve", tag = "admin: purchases",
    security(("bearer" = ["admin"])), params(("revision" = u64, Path), IdempotencyKey),
    responses((status = 201, body = Recorded)))]
async fn resolve_suspense(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(case): Path<u64>,
    Json(asked): Json<ResolvedCase>,
) -> Result<Answered<Recorded>, Error> {
    let resolution = match asked.resolution {
        SuspenseIs::Purchase(purchase) => Resolution::Purchase(PurchaseId(purchase)),
        SuspenseIs::Refund(refund_ref) => Resolution::Refund(refund_ref),
        SuspenseIs::Income(Kept {}) => Resolution::Income,
    };
    let author = admin.author.with_note(Some(asked.reason.clone()), None);
    let command = Command::from(ResolveSuspense { case, resolution, reason: asked.reason });
    let receipt = api.app.commands.give_audited(&author, key, command, api.now()).await?;
    Ok(Answered::created(&receipt, receipt.into()))
}
