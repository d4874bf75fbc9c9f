//! Bonus coins that admins give.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminCaller, IdempotencyKey, Json};
use crate::page::COIN;
use crate::receipt::{Created, Recorded, created, made};
use axum::extract::State;
use ledger_core::command;
use ledger_core::event::BonusOrigin;
use ledger_core::{Command, PersonId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(grant_bonus))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GrantBonus {
    user: Uuid,
    coins_milli: i64,
    /// How long the coins last; for ever when absent.
    valid_seconds: Option<u32>,
}

#[derive(Serialize, ToSchema)]
struct BonusGranted {
    #[serde(flatten)]
    recorded: Recorded,
    /// The lot of coins that came in.
    lot: Uuid,
    #[schema(example = "COIN/3")]
    asset: &'static str,
    coins_milli: i64,
}

/// Give bonus coins to a user. They are spent before bought ones.
#[utoipa::path(post, path = "/v1/admin/bonuses", tag = "admin: books", security(("bearer" = ["admin"])),
    params(IdempotencyKey),
    responses((status = 201, body = BonusGranted), (status = 200, body = BonusGranted)))]
async fn grant_bonus(
    State(api): State<Api>,
    admin: AdminCaller,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<GrantBonus>,
) -> Result<Created<BonusGranted>, Error> {
    let GrantBonus { user, coins_milli, valid_seconds } = asked;
    let user = api.app.people.get(PersonId(user)).await?.id;
    let command = Command::from(command::GrantBonus {
        user,
        origin: BonusOrigin::Promotion,
        coins_milli,
        valid_seconds,
    });
    let receipt = api.app.commands.give(admin.person(), key, command).await?;
    let lot = made(receipt.command_id, "bonus");
    Ok(created(&receipt, BonusGranted { recorded: receipt.into(), lot, asset: COIN, coins_milli }))
}
