//! Deciding and paying withdrawals.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, IdempotencyKey, Json, Path, Query};
use crate::page::{Format, InCoins, Listed, Page, amounts, list_query, period};
use crate::receipt::{Answered, Recorded};
use crate::routes::approvals::{ApprovalView, DoneOrProposed};
use crate::words::WithdrawalStatus;
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::command::{
    FailWithdrawal, MarkWithdrawalPaid, MarkWithdrawalSent, MarkWithdrawalUnknown, RejectWithdrawal,
    ReverseWithdrawal,
};
use ledger_core::{AgencyId, PersonId, WithdrawalId};
use platform::approvals::{Given, Proposal};
use projections::{WithdrawalFilter, WithdrawalRow};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_all_withdrawals))
        .routes(routes!(approve_withdrawal))
        .routes(routes!(reject_withdrawal))
        .routes(routes!(mark_withdrawal_sent))
        .routes(routes!(mark_withdrawal_unknown))
        .routes(routes!(mark_withdrawal_paid))
        .routes(routes!(fail_withdrawal))
        .routes(routes!(reverse_withdrawal))
}

list_query! {
    AllWithdrawalsQuery {
        /// Only withdrawals of this status.
        #[param(inline, value_type = Option<WithdrawalStatus>)]
        status: Option<WithdrawalStatus>,
        /// Only withdrawals of this host, or of agencies that this person owned then.
        person: Option<Uuid>,
        /// Only withdrawals of this agency.
        agency: Option<Uuid>,
        /// Only withdrawals requested at this time or later (RFC 3339).
        from: Option<DateTime<Utc>>,
        /// Only withdrawals requested before this time.
        to: Option<DateTime<Utc>>,
        /// Only withdrawals whose `coins_milli` is this or more.
        min_amount_minor: Option<i64>,
        /// Only withdrawals whose `coins_milli` is this or less.
        max_amount_minor: Option<i64>,
    }
}

/// List all withdrawals
///
/// Returns the withdrawals of all hosts and agencies, the newest first.
#[utoipa::path(get, path = "/v1/admin/withdrawals", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(AllWithdrawalsQuery),
    responses((status = 200, body = Page<InCoins<WithdrawalRow>>)))]
async fn list_all_withdrawals(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<AllWithdrawalsQuery>,
    format: Format,
) -> Result<Listed<InCoins<WithdrawalRow>>, Error> {
    let limit = query.ready(format, &api).await?;
    let filter = WithdrawalFilter {
        status: query.status.map(|it| it.as_str().to_owned()),
        payee: None,
        person: query.person.map(PersonId),
        agency: query.agency.map(AgencyId),
        period: period(query.from, query.to)?,
        coins_milli: amounts(query.min_amount_minor, query.max_amount_minor)?,
    };
    let page = api.read.withdrawals(&filter, query.cursor.as_deref(), limit).await?;
    Ok(format.of(Page::from(page).map(InCoins::from)))
}

/// Approve a withdrawal
///
/// An admin cannot approve their own withdrawal (`own_money`), and nobody that of somebody who owes coins for a payment
/// that was taken back (`receivable_open`). When the payout, before tax, is above the limit in
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
    Ok(match api.app.approvals.give(&admin.author, key, proposal).await? {
        Given::Proposed { approval, replayed } => DoneOrProposed::Proposed { approval, replayed },
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
struct Sent {
    /// By what the bank or the payout provider knows the payout: 1 to 64 visible ASCII characters. It names one
    /// withdrawal for ever: used for a second one it is refused as `payout_ref_used`.
    payout_key: String,
}

/// Mark a withdrawal as sent
///
/// Records that the payout of an approved withdrawal was handed to the bank or the payout provider. A withdrawal is sent
/// once: again is refused as `withdrawal_already_sent`, and as `payout_outcome_unknown` where nobody knows what became of
/// the first one. An admin cannot decide on their own withdrawal (`own_money`), and nothing is sent to somebody who owes
/// coins (`receivable_open`).
#[utoipa::path(post, path = "/v1/admin/withdrawals/{withdrawal}/sent", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(("withdrawal" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn mark_withdrawal_sent(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(withdrawal): Path<Uuid>,
    Json(asked): Json<Sent>,
) -> Result<Answered<Recorded>, Error> {
    let command = MarkWithdrawalSent { withdrawal: WithdrawalId(withdrawal), payout_key: asked.payout_key };
    Ok(Answered::done(api.app.commands.give_audited(&admin.author, key, command.into(), api.now()).await?))
}

/// Mark the outcome of a payout as unknown
///
/// Records that nobody knows what became of a payout that was sent. Its coins stay held, and it is never sent again: find
/// out at the bank, and mark it as paid or as failed. An admin cannot decide on their own withdrawal (`own_money`).
#[utoipa::path(post, path = "/v1/admin/withdrawals/{withdrawal}/unknown", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(("withdrawal" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn mark_withdrawal_unknown(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(withdrawal): Path<Uuid>,
    Json(asked): Json<Reason>,
) -> Result<Answered<Recorded>, Error> {
    let author = admin.author.with_note(Some(asked.reason.clone()), None);
    let command = MarkWithdrawalUnknown { withdrawal: WithdrawalId(withdrawal), reason: asked.reason };
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
/// Records that a withdrawal has been paid out: one that was sent, one of which nobody knew what became of it, or an
/// approved one that you have paid by hand. Send what the bank or gateway calls the payout. What was sent is recorded
/// whatever the payee owes; an approved withdrawal of somebody who owes coins is refused (`receivable_open`). An admin
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
/// Records that no money left for an approved withdrawal, whether it was sent or not, and returns its coins to the
/// owner. Where nobody knew what became of a payout, be sure before you say so. An admin cannot decide on their own
/// withdrawal (`own_money`).
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

/// Reverse a payout
///
/// Records that the money of a withdrawal that was paid came back. Its coins are the owner's again, and the tax that was
/// withheld is not owed. An admin cannot decide on their own withdrawal (`own_money`).
#[utoipa::path(post, path = "/v1/admin/withdrawals/{withdrawal}/reversed", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(("withdrawal" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn reverse_withdrawal(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(withdrawal): Path<Uuid>,
    Json(asked): Json<Reason>,
) -> Result<Answered<Recorded>, Error> {
    let author = admin.author.with_note(Some(asked.reason.clone()), None);
    let command = ReverseWithdrawal { withdrawal: WithdrawalId(withdrawal), reason: asked.reason };
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command.into(), api.now()).await?))
}
