//! What takes two admins.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, Json, Path, Query};
use crate::page::{Format, List, Listed, Page, amounts, period};
use crate::receipt::Answered;
use crate::words::{ApprovalStateWord, ProposalKind};
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use ledger_core::{PersonId, rfc3339};
use platform::approvals::{Approval, Filter, State as ApprovalState};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const LIST: List = List("approvals");

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_approvals))
        .routes(routes!(get_approval))
        .routes(routes!(approve_proposal))
        .routes(routes!(decline_proposal))
}

/// Something that one admin proposed and another one decides.
#[derive(Serialize, ToSchema)]
pub struct ApprovalView {
    pub approval: Uuid,
    #[schema(value_type = ApprovalStateWord)]
    pub state: ApprovalState,
    /// What is to be done: `kind` is `adjustment`, `write_off`, `settlement_correction`, `bonus`, `payout`
    /// or `limits`, and its fields are those of the
    /// request that was proposed.
    #[schema(value_type = Object)]
    pub proposal: Value,
    /// How much it is about, in the smallest unit of its asset: the coins of an adjustment (taken, where it is
    /// negative) or a bonus, the money of a payout. Null for limits.
    pub amount_minor: Option<i64>,
    #[schema(example = "COIN/3")]
    pub amount_asset: Option<String>,
    /// The person whose money it is; they cannot approve.
    pub beneficiary: Option<Uuid>,
    /// The admin who proposed it; they cannot approve.
    pub proposed_by: Uuid,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub proposed_at: DateTime<Utc>,
    pub reason: Option<String>,
    /// Read it at `/v1/admin/notes/{note}`.
    pub note: Option<Uuid>,
    /// Until then it can be approved or declined.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub expires_at: DateTime<Utc>,
    pub decided_by: Option<Uuid>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub decided_at: Option<DateTime<Utc>>,
    /// The journal's revision that records it, once it is executed.
    pub revision: Option<i64>,
    /// The code of the ledger's refusal, when it was approved and could not be done.
    pub failure: Option<String>,
}

impl From<Approval> for ApprovalView {
    fn from(it: Approval) -> ApprovalView {
        ApprovalView {
            approval: it.id,
            state: it.state,
            proposal: serde_json::to_value(&it.proposal).unwrap_or(Value::Null),
            amount_minor: it.amount.map(|amount| amount.minor),
            amount_asset: it.amount.map(|amount| amount.asset.to_string()),
            beneficiary: it.beneficiary.map(|person| person.0),
            proposed_by: it.proposed_by.0,
            proposed_at: it.proposed_at,
            reason: it.reason,
            note: it.note.map(|note| note.0),
            expires_at: it.expires_at,
            decided_by: it.decided_by.map(|person| person.0),
            decided_at: it.decided_at,
            revision: it.revision,
            failure: it.failure,
        }
    }
}

/// An answer of a route that does something at once or proposes it.
pub enum DoneOrProposed<T> {
    Done(Answered<T>),
    Proposed { approval: Box<Approval>, replayed: bool },
}

impl<T: Serialize> axum::response::IntoResponse for DoneOrProposed<T> {
    fn into_response(self) -> axum::response::Response {
        match self {
            DoneOrProposed::Done(answer) => answer.into_response(),
            DoneOrProposed::Proposed { approval, replayed } => {
                Answered::of(StatusCode::ACCEPTED, replayed, ApprovalView::from(*approval)).into_response()
            }
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ApprovalsQuery {
    /// Only those in this state.
    #[param(value_type = Option<ApprovalStateWord>)]
    state: Option<ApprovalState>,
    /// Only proposals of this kind.
    #[param(inline)]
    kind: Option<ProposalKind>,
    /// Only those that this person proposed, decided on, or has money in.
    person: Option<Uuid>,
    /// Only those proposed at this time or later (RFC 3339).
    from: Option<DateTime<Utc>>,
    /// Only those proposed before this time.
    to: Option<DateTime<Utc>>,
    /// Only those about at least so much, given or taken, in the smallest unit of the asset.
    min_amount_minor: Option<i64>,
    /// Only those about at most so much.
    max_amount_minor: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page, 1 to 100; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// List proposals
///
/// Returns what admins proposed and what became of it. The newest proposal comes first. Ask for `state=proposed` to
/// see what waits for a decision.
#[utoipa::path(get, path = "/v1/admin/approvals", tag = "admin: approvals", security(("bearer" = ["admin"])),
    params(ApprovalsQuery), responses((status = 200, body = Page<ApprovalView>)))]
async fn list_approvals(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<ApprovalsQuery>,
    format: Format,
) -> Result<Listed<ApprovalView>, Error> {
    let limit = format.limit(query.limit)?;
    let filter = Filter {
        state: query.state,
        kind: query.kind.map(ProposalKind::as_str),
        person: query.person.map(PersonId),
        period: period(query.from, query.to)?,
        amount_minor: amounts(query.min_amount_minor, query.max_amount_minor)?,
    };
    let after = LIST.place(query.cursor.as_deref())?;
    let found = api.app.approvals.list(&filter, after, limit).await?;
    Ok(format.of(LIST.page(found).map(ApprovalView::from)))
}

/// Retrieve a proposal
///
/// Returns one proposal with its state and who decided.
#[utoipa::path(get, path = "/v1/admin/approvals/{approval}", tag = "admin: approvals",
    security(("bearer" = ["admin"])), responses((status = 200, body = ApprovalView)))]
async fn get_approval(
    State(api): State<Api>,
    _: AdminCaller,
    Path(approval): Path<Uuid>,
) -> Result<Json<ApprovalView>, Error> {
    Ok(Json(api.app.approvals.get(approval).await?.into()))
}

/// Approve a proposal
///
/// Executes what was proposed, at once. Another admin than the proposer approves (`approval_needs_another_admin`), and
/// never the person whose money it is (`own_money`). Approving again answers the same and executes nothing twice. When
/// the ledger refuses what was proposed, the state is `refused` and `failure` has the code.
#[utoipa::path(post, path = "/v1/admin/approvals/{approval}/approve", tag = "admin: approvals",
    security(("bearer" = ["admin"])), responses((status = 200, body = ApprovalView)))]
async fn approve_proposal(
    State(api): State<Api>,
    admin: AdminAuthor,
    Path(approval): Path<Uuid>,
) -> Result<Json<ApprovalView>, Error> {
    Ok(Json(api.app.approvals.approve(approval, &admin.author, api.now()).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DeclineProposal {
    /// Why: a code of 1 to 64 small letters, digits and underscores.
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Decline a proposal
///
/// Another admin declines what was proposed, or the proposer takes it back. Nothing is executed.
#[utoipa::path(post, path = "/v1/admin/approvals/{approval}/decline", tag = "admin: approvals",
    security(("bearer" = ["admin"])), responses((status = 200, body = ApprovalView)))]
async fn decline_proposal(
    State(api): State<Api>,
    admin: AdminAuthor,
    Path(approval): Path<Uuid>,
    Json(asked): Json<DeclineProposal>,
) -> Result<Json<ApprovalView>, Error> {
    let author = admin.because(asked.reason.as_deref(), asked.note.as_deref())?;
    Ok(Json(api.app.approvals.decline(approval, &author, api.now()).await?.into()))
}
