//! Deciding and paying withdrawals.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminCaller, IdempotencyKey, Json, Path, Query};
use crate::page::{InCoins, Page};
use crate::receipt::Recorded;
use crate::routes::withdrawals::WithdrawalsQuery;
use axum::extract::State;
use ledger_core::command::{ApproveWithdrawal, FailWithdrawal, MarkWithdrawalPaid, RejectWithdrawal};
use ledger_core::{Command, WithdrawalId};
use projections::WithdrawalRow;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_all_withdrawals))
        .routes(routes!(approve_withdrawal))
        .routes(routes!(reject_withdrawal))
        .routes(routes!(mark_withdrawal_paid))
        .routes(routes!(fail_withdrawal))
}

/// All withdrawals, newest first.
#[utoipa::path(get, path = "/v1/admin/withdrawals", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(WithdrawalsQuery),
    responses((status = 200, body = Page<InCoins<WithdrawalRow>>)))]
async fn list_all_withdrawals(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<WithdrawalsQuery>,
) -> Result<Json<Page<InCoins<WithdrawalRow>>>, Error> {
    Ok(Json(query.page(&api, None).await?))
}

/// Approve a withdrawal.
#[utoipa::path(post, path = "/v1/admin/withdrawals/{withdrawal}/approve", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(("withdrawal" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn approve_withdrawal(
    State(api): State<Api>,
    admin: AdminCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(withdrawal): Path<Uuid>,
) -> Result<Json<Recorded>, Error> {
    let command = Command::from(ApproveWithdrawal { withdrawal: WithdrawalId(withdrawal) });
    Ok(Json(api.app.commands.give(admin.person(), key, command).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// A code of 1 to 64 small letters, digits and underscores.
    #[schema(example = "account_closed")]
    reason: String,
}

/// Reject a withdrawal: the coins go back to the host.
#[utoipa::path(post, path = "/v1/admin/withdrawals/{withdrawal}/reject", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(("withdrawal" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn reject_withdrawal(
    State(api): State<Api>,
    admin: AdminCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(withdrawal): Path<Uuid>,
    Json(asked): Json<Reason>,
) -> Result<Json<Recorded>, Error> {
    let command =
        Command::from(RejectWithdrawal { withdrawal: WithdrawalId(withdrawal), reason: asked.reason });
    Ok(Json(api.app.commands.give(admin.person(), key, command).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Paid {
    /// What the bank or gateway calls the payout: 1 to 64 visible ASCII characters.
    payout_ref: String,
}

/// Say that an approved withdrawal has been paid out.
#[utoipa::path(post, path = "/v1/admin/withdrawals/{withdrawal}/paid", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(("withdrawal" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn mark_withdrawal_paid(
    State(api): State<Api>,
    admin: AdminCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(withdrawal): Path<Uuid>,
    Json(asked): Json<Paid>,
) -> Result<Json<Recorded>, Error> {
    let command = Command::from(MarkWithdrawalPaid {
        withdrawal: WithdrawalId(withdrawal),
        payout_ref: asked.payout_ref,
    });
    Ok(Json(api.app.commands.give(admin.person(), key, command).await?.into()))
}

/// Say that the payout of an approved withdrawal failed: the coins go back to the host.
#[utoipa::path(post, path = "/v1/admin/withdrawals/{withdrawal}/failed", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(("withdrawal" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn fail_withdrawal(
    State(api): State<Api>,
    admin: AdminCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(withdrawal): Path<Uuid>,
    Json(asked): Json<Reason>,
) -> Result<Json<Recorded>, Error> {
    let command =
        Command::from(FailWithdrawal { withdrawal: WithdrawalId(withdrawal), reason: asked.reason });
    Ok(Json(api.app.commands.give(admin.person(), key, command).await?.into()))
}
