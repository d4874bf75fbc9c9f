//! Calls, from the ring to the end.

use crate::Api;
use crate::error::Error;
use crate::extract::{AnyCaller, HostCaller, IdempotencyKey, Json, Path, Query, UserCaller};
use crate::page::{COIN, Format, List, Page, ReadQuery, list_query};
use crate::receipt::Answered;
use crate::words::{MediumWord, PersonCardView};
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use ledger_core::{CallId, Medium, PersonId, rfc3339};
use ledger_runtime::Receipt;
use platform::calls::{Invitation, Ring, Rung, SeenRing};
use platform::commands::CommandError;
use platform::identity::{self, PersonCard};
use projections::CallRow;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const LIST: List = List("rings");

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(invite, list_calls))
        .routes(routes!(get_call))
        .routes(routes!(answer_call))
        .routes(routes!(cancel_call))
        .routes(routes!(end_call))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Invite {
    host: Uuid,
    #[schema(value_type = MediumWord)]
    medium: Medium,
    /// The price a minute that the user was shown, in thousandths of a coin. The call is refused if it has changed.
    price_seen_milli_per_minute: i64,
}

/// A call: how it rang and, once the host has taken it, what it came to.
#[derive(Serialize, ToSchema)]
struct CallView {
    call: Uuid,
    payer: Uuid,
    host: Uuid,
    /// The other side of the caller.
    #[schema(value_type = PersonCardView)]
    other: PersonCard,
    #[schema(value_type = MediumWord)]
    medium: String,
    #[schema(example = "COIN/3")]
    asset: &'static str,
    price_milli_per_minute: i64,
    /// `ringing`, `rejected`, `cancelled`, `missed`, `busy`, `failed`; `accepted` until the read models show
    /// the call, then `running`, `paused` or `ended`.
    status: String,
    /// Why an accepted ring did not become a call.
    failure: Option<String>,
    #[serde(serialize_with = "rfc3339::serialize")]
    created_at: DateTime<Utc>,
    /// Until when it rings.
    #[serde(serialize_with = "rfc3339::serialize")]
    expires_at: DateTime<Utc>,
    /// When the ring was answered or ended.
    #[serde(serialize_with = "rfc3339::option::serialize")]
    decided_at: Option<DateTime<Utc>>,
    /// Absent as long as the call has not begun.
    outcome: Option<CallOutcome>,
}

/// What a call came to.
#[derive(Serialize, ToSchema)]
struct CallOutcome {
    #[serde(serialize_with = "rfc3339::serialize")]
    started_at: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    ended_at: Option<DateTime<Utc>>,
    /// `hung_up`, `exhausted`, `lost` or `stopped`.
    end_reason: Option<String>,
    /// The person who hung up.
    ended_by: Option<Uuid>,
    /// Connected time, in which both sides were seen, up to the last pause or the end.
    connected_ms: i64,
    /// Increments that were charged and not given back.
    ticks: i64,
    /// What the payer was charged, less what was given back.
    charged_milli: i64,
    /// What the host earned; for the host alone.
    host_earned_milli: Option<i64>,
    revision: i64,
}

fn view(SeenRing { ring, other }: SeenRing, row: Option<CallRow>, viewer: PersonId) -> CallView {
    let is_host = viewer.0 == ring.host;
    CallView {
        call: ring.call,
        payer: ring.payer,
        host: ring.host,
        other,
        medium: ring.medium,
        asset: COIN,
        price_milli_per_minute: ring.price_milli_per_minute,
        status: row.as_ref().map_or(ring.status, |row| row.status.clone()),
        failure: ring.failure,
        created_at: ring.created_at,
        expires_at: ring.expires_at,
        decided_at: ring.decided_at,
        outcome: row.map(|row| CallOutcome {
            started_at: row.started_at,
            ended_at: row.ended_at,
            end_reason: row.end_reason,
            ended_by: row.ended_by,
            connected_ms: row.connected_ms,
            ticks: row.ticks,
            charged_milli: row.charged_total_milli,
            host_earned_milli: is_host.then_some(row.host_earned_milli),
            revision: row.revision,
        }),
    }
}

/// Call a host
///
/// Rings a host on all of the host's connected devices. Nothing is charged until the host takes the call. Both sides
/// must be connected by WebSocket, before and during the call: time in which one of them was not seen is not charged.
///
/// Fails with `call_price_changed` if the host's price is no longer the one that the user was shown, with
/// `insufficient_funds` if the user cannot pay for the first increment, and with `host_offline` or `host_busy` if the
/// host cannot be rung.
#[utoipa::path(post, path = "/v1/calls", tag = "calls", security(("bearer" = ["user"])),
    params(IdempotencyKey), responses((status = 201, body = CallView)))]
async fn invite(
    State(api): State<Api>,
    user: UserCaller,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<Invite>,
) -> Result<Answered<CallView>, Error> {
    let invitation = Invitation {
        payer: user.person(),
        host: PersonId(asked.host),
        medium: asked.medium,
        price_seen_milli_per_minute: asked.price_seen_milli_per_minute,
    };
    let Rung { ring, is_retry } = api.app.calls.invite(key, invitation).await?;
    let seen = seen(&api, ring, user.person()).await?;
    Ok(Answered::of(StatusCode::CREATED, is_retry, view(seen, None, user.person())))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// True to take the call, false to decline it.
    accept: bool,
}

/// The call that was changed. The receipt's members are present only if something was recorded in the ledger, which
/// is not so while a call merely rings.
#[derive(Serialize, ToSchema)]
pub struct CallChanged {
    call: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate: Option<bool>,
}

impl CallChanged {
    pub fn new(call: Uuid, receipt: Option<Receipt>) -> CallChanged {
        CallChanged {
            call,
            journal: receipt.map(|it| it.journal.0),
            command_id: receipt.map(|it| it.command_id.0),
            revision: receipt.map(|it| it.revision),
            duplicate: receipt.map(|it| it.duplicate),
        }
    }
}

/// Answer a call
///
/// The host takes or declines a call that rings. Taking it starts the call and charges the user for the first
/// increment. While both sides are seen, each further increment is charged when the one before is used up; see "What a
/// call costs" at the head of this document. Needs no `Idempotency-Key`: a repeated request returns the first receipt.
///
/// Fails with `ring_over` if the call no longer rings, and with `insufficient_funds` if the user cannot pay for the
/// first increment any more.
#[utoipa::path(post, path = "/v1/calls/{call}/answer", tag = "calls", security(("bearer" = ["host"])),
    responses((status = 200, body = CallChanged)))]
async fn answer_call(
    State(api): State<Api>,
    host: HostCaller,
    Path(call): Path<Uuid>,
    Json(asked): Json<Answer>,
) -> Result<Answered<CallChanged>, Error> {
    let receipt = if asked.accept {
        Some(api.app.calls.accept(host.person(), CallId(call), api.now()).await?)
    } else {
        api.app.calls.reject(host.person(), CallId(call), api.now()).await?;
        None
    };
    Ok(Answered::changed(receipt.as_ref(), CallChanged::new(call, receipt)))
}

/// Cancel a call
///
/// The user stops ringing before the host has answered. Nothing is charged.
#[utoipa::path(post, path = "/v1/calls/{call}/cancel", tag = "calls", security(("bearer" = ["user"])),
    responses((status = 200, body = CallChanged)))]
async fn cancel_call(
    State(api): State<Api>,
    user: UserCaller,
    Path(call): Path<Uuid>,
) -> Result<Json<CallChanged>, Error> {
    api.app.calls.cancel(user.person(), CallId(call), api.now()).await?;
    Ok(Json(CallChanged::new(call, None)))
}

/// End a call
///
/// Either side hangs up. The increment that has started stays charged in full, and nothing more is charged. While the call still rings, this cancels it for
/// the user and declines it for the host.
#[utoipa::path(post, path = "/v1/calls/{call}/end", tag = "calls", security(("bearer" = [])),
    params(("call" = Uuid, Path), IdempotencyKey), responses((status = 200, body = CallChanged)))]
async fn end_call(
    State(api): State<Api>,
    caller: AnyCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(call): Path<Uuid>,
) -> Result<Answered<CallChanged>, Error> {
    let receipt = api.app.calls.end(caller.person(), key, CallId(call), api.now()).await?;
    Ok(Answered::changed(receipt.as_ref(), CallChanged::new(call, receipt)))
}

list_query! { CallsQuery {} }

/// List your calls
///
/// Returns the calls that the caller made or received, the newest first, including those that were not answered.
#[utoipa::path(get, path = "/v1/calls", tag = "calls", security(("bearer" = [])), params(CallsQuery),
    responses((status = 200, body = Page<CallView>)))]
async fn list_calls(
    State(api): State<Api>,
    caller: AnyCaller,
    Query(query): Query<CallsQuery>,
) -> Result<Json<Page<CallView>>, Error> {
    let limit = query.ready(Format::Json, &api).await?;
    let (person, after) = (caller.person(), LIST.place(query.cursor.as_deref())?);
    let Page { items: rings, next_cursor } = LIST.page(api.app.calls.rings_of(person, after, limit).await?);
    Ok(Json(Page { items: with_outcomes(&api, rings, person).await?, next_cursor }))
}

/// Only an accepted ring can be a call.
fn is_accepted(ring: &Ring) -> bool {
    ring.status == "accepted"
}

async fn seen(api: &Api, ring: Ring, viewer: PersonId) -> Result<SeenRing, Error> {
    let other = if ring.payer == viewer.0 { ring.host } else { ring.payer };
    let other = identity::card(&api.app.pool, other).await.map_err(CommandError::from)?;
    Ok(SeenRing { ring, other })
}

async fn with_outcomes(api: &Api, rings: Vec<Ring>, viewer: PersonId) -> Result<Vec<CallView>, Error> {
    let accepted = rings.iter().filter(|ring| is_accepted(ring)).map(|ring| CallId(ring.call));
    let rows = api.read.calls(&accepted.collect::<Vec<_>>()).await?;
    let mut rows: HashMap<Uuid, CallRow> = rows.into_iter().map(|row| (row.call, row)).collect();
    let rings = api.app.calls.seen_by(viewer, rings).await.map_err(CommandError::from)?;
    let views = rings.into_iter().map(|seen| {
        let row = rows.remove(&seen.ring.call);
        view(seen, row, viewer)
    });
    Ok(views.collect())
}

/// Retrieve a call
///
/// Returns one call of the caller, with its price and, once it has begun, its charges.
#[utoipa::path(get, path = "/v1/calls/{call}", tag = "calls", security(("bearer" = [])), params(ReadQuery),
    responses((status = 200, body = CallView)))]
async fn get_call(
    State(api): State<Api>,
    caller: AnyCaller,
    Path(call): Path<Uuid>,
    Query(query): Query<ReadQuery>,
) -> Result<Json<CallView>, Error> {
    api.reach(query.min_revision).await?;
    let ring = api.app.calls.of(caller.person(), CallId(call)).await?;
    let row = if is_accepted(&ring) { api.read.call(CallId(call)).await? } else { None };
    let seen = seen(&api, ring, caller.person()).await?;
    Ok(Json(view(seen, row, caller.person())))
}
