//! Deciding and paying withdrawals.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, IdempotencyKey, Json, Path, Query};
use crate::page::{InCoins, Page};
use crate::receipt::{Answered, Recorded};
use crate::routes::approvals::{ApprovalView, DoneOrProposed};
use crate::routes::withdrawals::WithdrawalsQuery;
use axum::extract::State;
use ledger_core::WithdrawalId;
use ledger_core::command::{FailWithdrawal, MarkWithdrawalPaid, RejectWithdrawal};
use platform::approvals::{Given, Proposal};
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

/// List all withdrawals
///
/// Returns the withdrawals of all hosts and agencies, the newest first.
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

/// Approve a withdrawal
///
/// An admin cannot approve their own withdrawal (`own_money`). When the payout is above the limit in
/// `/v1/admin/settings/approvals`, nothing is approved yet: the answer is 202 with a proposal that another admin
/// approves or declines.
#[utoipa::path(post, path = "/v1/admin/withdrawals/{withdrawal}/approve", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(("withdrawal" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded), (status = 202, body = ApprovalView)))]
async fn approve_withdrawal(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(withdrawal): Path<Uuid>,
) -> Result<DoneOrProposed<Recorded>, Error> {
    let proposal = Proposal::Payout { withdrawal: WithdrawalId(withdrawal) };
    Ok(match api.app.approvals.give(&admin.author, key, proposal, api.now()).await? {
        Given::Proposed(approval) => DoneOrProposed::Proposed(approval),
        Given::Done(receipt) => DoneOrProposed::Done(Answered::done(receipt)),
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// A code of 1 to 64 small letters, digits and underscores.
    #[schema(example = "account_closed")]
    reason: String,
}

/// Reject a withdrawal
///
/// Returns the coins of a withdrawal that was requested to its owner. An admin cannot decide on their own withdrawal
/// (`own_money`).
#[utoipa::path(post, path = "/v1/admin/withdrawals/{withdrawal}/reject", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(("withdrawal" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn reject_withdrawal(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(withdrawal): Path<Uuid>,
    Json(asked): Json<Reason>,
) -> Result<Answered<Recorded>, Error> {
    let author = admin.author.with_note(Some(asked.reason.clone()), None);
    let command = RejectWithdrawal { withdrawal: WithdrawalId(withdrawal), reason: asked.reason };
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command.into(), api.now()).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Paid {
    /// What the bank or gateway calls the payout: 1 to 64 visible ASCII characters. It names one
    /// withdrawal for ever: used for a second one it is refused as `payout_ref_used`.
    payout_ref: String,
}

/// Mark a withdrawal as paid
///
/// Records that an approved withdrawal has been paid out. Send what the bank or gateway calls the payout. An admin
/// cannot decide on their own withdrawal (`own_money`).
#[utoipa::path(post, path = "/v1/admin/withdrawals/{withdrawal}/paid", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(("withdrawal" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn mark_withdrawal_paid(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(withdrawal): Path<Uuid>,
    Json(asked): Json<Paid>,
) -> Result<Answered<Recorded>, Error> {
    let command = MarkWithdrawalPaid { withdrawal: WithdrawalId(withdrawal), payout_ref: asked.payout_ref };
    Ok(Answered::done(api.app.commands.give_audited(&admin.author, key, command.into(), api.now()).await?))
}

/// Mark a payout as failed
///
/// Records that the payout of an approved withdrawal failed, and returns its coins to the owner. An admin cannot
/// decide on their own withdrawal (`own_money`).
#[utoipa::path(post, path = "/v1/admin/withdrawals/{withdrawal}/failed", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(("withdrawal" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn fail_withdrawal(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(withdrawal): Path<Uuid>,
    Json(asked): Json<Reason>,
) -> Result<Answered<Recorded>, Error> {
    let author = admin.author.with_note(Some(asked.reason.clone()), None);
    let command = FailWithdrawal { withdrawal: WithdrawalId(withdrawal), reason: asked.reason };
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command.into(), api.now()).await?))
}
