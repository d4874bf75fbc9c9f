//! What coins cost.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, IdempotencyKey, Json, Path, Query};
use crate::page::{COIN, ReadQuery};
use crate::receipt::{Answered, Recorded};
use axum::extract::State;
use ledger_core::{Asset, PlanId, command};
use projections::CoinPlanRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_coin_plans)).routes(routes!(set_coin_plan))
}

/// What a coin plan gives and costs.
#[derive(Serialize, ToSchema)]
struct CoinPlan {
    plan: Uuid,
    #[schema(example = "COIN/3")]
    asset: &'static str,
    coins_milli: i64,
    /// Bonus coins that come with it.
    bonus_milli: i64,
    /// How long the bonus coins last; for ever when null.
    bonus_valid_seconds: Option<i64>,
    price_minor: i64,
    #[schema(example = "INR/2")]
    price_asset: String,
}

impl From<CoinPlanRow> for CoinPlan {
    fn from(row: CoinPlanRow) -> CoinPlan {
        CoinPlan {
            plan: row.plan,
            asset: COIN,
            coins_milli: row.coins_milli,
            bonus_milli: row.bonus_milli,
            bonus_valid_seconds: row.bonus_valid_seconds,
            price_minor: row.price_minor,
            price_asset: row.price_asset,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct CoinPlans {
    items: Vec<CoinPlan>,
}

/// List coin plans
///
/// Returns the coin plans that are sold, the cheapest first. Needs no sign-in.
#[utoipa::path(get, path = "/v1/coin-plans", tag = "purchases", params(ReadQuery),
    responses((status = 200, body = CoinPlans)))]
async fn list_coin_plans(
    State(api): State<Api>,
    Query(query): Query<ReadQuery>,
) -> Result<Json<CoinPlans>, Error> {
    api.reach(query.min_revision).await?;
    let plans = api.read.coin_plans().await?;
    Ok(Json(CoinPlans { items: plans.into_iter().filter(|plan| plan.active).map(CoinPlan::from).collect() }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetCoinPlan {
    coins_milli: i64,
    /// Bonus coins that come with it.
    #[serde(default)]
    bonus_milli: i64,
    /// How long the bonus coins last; for ever when absent.
    bonus_valid_seconds: Option<u32>,
    price_minor: i64,
    #[schema(value_type = String, example = "INR/2")]
    price_asset: Asset,
    /// Whether it is sold.
    active: bool,
    /// Why it is changed: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Create or change a coin plan
///
/// Offers a coin plan, or changes it. Purchases that are open keep the terms that they were opened with; `active:
/// false` withdraws the plan. The price is in an asset that the gateway counts in the same way, such as `INR/2` or
/// `JPY/0`. Setting what is set already changes nothing.
#[utoipa::path(put, path = "/v1/admin/coin-plans/{plan}", tag = "admin: catalogue",
    security(("bearer" = ["admin"])), params(("plan" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn set_coin_plan(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(plan): Path<Uuid>,
    Json(asked): Json<SetCoinPlan>,
) -> Result<Answered<Recorded>, Error> {
    let author = admin.because(asked.reason.as_deref(), asked.note.as_deref())?;
    let price_asset = asked.price_asset;
    // Coins are refused by the ledger, with a code of their own.
    if price_asset != Asset::COIN && !platform::purchases::is_sold_in(price_asset) {
        return Err(Error::field(
            "price_asset",
            "must be a currency with its decimals, such as INR/2 or JPY/0",
        ));
    }
    let command = command::SetCoinPlan {
        plan: PlanId(plan),
        coins_milli: asked.coins_milli,
        bonus_milli: asked.bonus_milli,
        bonus_valid_seconds: asked.bonus_valid_seconds,
        price_minor: asked.price_minor,
        price_asset,
        active: asked.active,
    };
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command.into(), api.now()).await?))
}
