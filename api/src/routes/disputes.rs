//! Disputed payments, and what their buyers owe.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, IdempotencyKey, Json, Path, Query};
use crate::openapi::words_of;
use crate::page::{COIN, Format, InCoins, Listed, Page, ReadQuery, amounts, list_query, one_of, period};
use crate::receipt::{Answered, Recorded};
use crate::routes::approvals::{ApprovalView, DoneOrProposed};
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::{Actor, PersonId, PurchaseId, command};
use platform::approvals::{Given, Proposal};
use projections::{DisputeFilter, DisputeRow, EventRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// So many events of a dispute are shown with it: more than the gateway ever tells.
const EVENTS: u32 = 100;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_disputes))
        .routes(routes!(get_dispute))
        .routes(routes!(list_receivables))
        .routes(routes!(write_off_receivable))
}

list_query! {
    DisputesQuery {
        /// Only disputes in this state.
        status: Option<String>,
        /// Only disputes over purchases of this person.
        person: Option<Uuid>,
        /// Only disputes over this purchase.
        purchase: Option<Uuid>,
        /// Only disputes opened at this time or later (RFC 3339).
        from: Option<DateTime<Utc>>,
        /// Only disputes opened before this time.
        to: Option<DateTime<Utc>>,
        /// Only disputed amounts of this or more.
        min_amount_minor: Option<i64>,
        /// Only disputed amounts of this or less.
        max_amount_minor: Option<i64>,
    }
}

/// List disputes
///
/// Payments that payers dispute at the gateway, newest first. The gateway's webhooks open and decide them; answer an open
/// one in the gateway's panel.
#[utoipa::path(get, path = "/v1/admin/disputes", tag = "admin: purchases", security(("bearer" = ["admin"])),
    params(DisputesQuery), responses((status = 200, body = Page<InCoins<DisputeRow>>)))]
async fn list_disputes(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<DisputesQuery>,
    format: Format,
) -> Result<Listed<InCoins<DisputeRow>>, Error> {
    let limit = query.ready(format, &api).await?;
    one_of("status", query.status.as_deref(), words_of("DisputeStatus"))?;
    let filter = DisputeFilter {
        status: query.status,
        person: query.person.map(PersonId),
        purchase: query.purchase.map(PurchaseId),
        owed: false,
        period: period(query.from, query.to)?,
        amount_minor: amounts(query.min_amount_minor, query.max_amount_minor)?,
    };
    let page = api.read.disputes(&filter, query.cursor.as_deref(), limit).await?;
    Ok(format.of(Page::from(page).map(InCoins::from)))
}

/// A dispute with its events.
#[derive(Serialize, ToSchema)]
struct DisputeView {
    #[serde(flatten)]
    dispute: InCoins<DisputeRow>,
    /// What happened to it, in order, with the postings of each event; the first hundred.
    events: Vec<EventRow>,
}

/// Retrieve a dispute
///
/// Returns a dispute, by the gateway's name of it, with its events and their postings: what was frozen, what was taken
/// back from which lots, what is owed, and what was recovered or written off.
#[utoipa::path(get, path = "/v1/admin/disputes/{dispute_ref}", tag = "admin: purchases",
    security(("bearer" = ["admin"])), params(("dispute_ref" = String, Path), ReadQuery),
    responses((status = 200, body = DisputeView)))]
async fn get_dispute(
    State(api): State<Api>,
    _: AdminCaller,
    Path(dispute_ref): Path<String>,
    Query(query): Query<ReadQuery>,
) -> Result<Json<DisputeView>, Error> {
    api.reach(query.min_revision).await?;
    let row = api.read.dispute(&dispute_ref).await?.ok_or_else(|| Error::not_found("dispute"))?;
    let events = api.read.events_of_dispute(&dispute_ref, None, EVENTS).await?.items;
    Ok(Json(DisputeView { dispute: row.into(), events }))
}

list_query! {
    ReceivablesQuery {
        /// Only what this person owes.
        person: Option<Uuid>,
        /// Only of disputes opened at this time or later (RFC 3339).
        from: Option<DateTime<Utc>>,
        /// Only of disputes opened before this time.
        to: Option<DateTime<Utc>>,
    }
}

/// List receivables
///
/// Lost disputes for which their buyers still owe coins (`owed_milli`), newest first. A buyer who owes can pay nothing
/// with coins; the next purchase settles it, the oldest first.
#[utoipa::path(get, path = "/v1/admin/receivables", tag = "admin: purchases", security(("bearer" = ["admin"])),
    params(ReceivablesQuery), responses((status = 200, body = Page<InCoins<DisputeRow>>)))]
async fn list_receivables(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<ReceivablesQuery>,
    format: Format,
) -> Result<Listed<InCoins<DisputeRow>>, Error> {
    let limit = query.ready(format, &api).await?;
    let filter = DisputeFilter {
        owed: true,
        person: query.person.map(PersonId),
        period: period(query.from, query.to)?,
        ..DisputeFilter::default()
    };
    let page = api.read.disputes(&filter, query.cursor.as_deref(), limit).await?;
    Ok(format.of(Page::from(page).map(InCoins::from)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WriteOff {
    /// How much of what is owed: all of it or a part.
    amount_milli: i64,
    /// A code of 1 to 64 small letters, digits and underscores.
    #[schema(example = "uncollectable")]
    reason: String,
    /// The words behind the code, up to 2000 characters; kept outside the journal.
    note: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct WrittenOff {
    #[serde(flatten)]
    recorded: Recorded,
    dispute_ref: String,
    note: Option<Uuid>,
    #[schema(example = "COIN/3")]
    asset: &'static str,
    amount_milli: i64,
}

/// Write off a receivable
///
/// The platform bears what a buyer owes for a lost dispute: the coins go to `platform:losses`, and once nothing is owed the
/// buyer can pay with coins again. An admin cannot write off what they owe themselves (`own_money`). Above the limit for
/// adjustments in `/v1/admin/settings/approvals` nothing is written off: the answer is 202 with a proposal that another
/// admin approves or declines.
#[utoipa::path(post, path = "/v1/admin/disputes/{dispute_ref}/write-off", tag = "admin: purchases",
    security(("bearer" = ["admin"])), params(("dispute_ref" = String, Path), IdempotencyKey),
    responses((status = 201, body = WrittenOff), (status = 202, body = ApprovalView)))]
async fn write_off_receivable(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(dispute_ref): Path<String>,
    Json(asked): Json<WriteOff>,
) -> Result<DoneOrProposed<WrittenOff>, Error> {
    let WriteOff { amount_milli, reason, note: words } = asked;
    let person = admin.person()?;
    let note = match &words {
        Some(words) => {
            let operation = command::WriteOffReceivable::OPERATION;
            let id = api.app.commands.id_of(Actor::Person(person), operation, &key).await?;
            // The words come first: an event never points at a note that was not kept.
            api.app.notes.keep(id.derive("note"), person, words, api.now()).await?;
            Some(id.derive("note"))
        }
        None => None,
    };
    let author = admin.author.with_note(Some(reason.clone()), note);
    let proposal = Proposal::WriteOff { dispute_ref: dispute_ref.clone(), amount_milli, reason, note };
    Ok(match api.app.approvals.give(&author, key, proposal).await? {
        Given::Proposed { approval, replayed } => DoneOrProposed::Proposed { approval, replayed },
        Given::Done(receipt) => {
            let note = note.map(|note| note.0);
            let answer =
                WrittenOff { recorded: receipt.into(), dispute_ref, note, asset: COIN, amount_milli };
            DoneOrProposed::Done(Answered::created(&receipt, answer))
        }
    })
}
