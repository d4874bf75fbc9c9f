//! The journal, as admins audit it.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminCaller, Json, Path, Query};
use crate::page::{Format, Listed, Page, ReadQuery, amounts, list_query, one_of, period};
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::{Event, PersonId};
use projections::{EventFilter, EventRow};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list_events)).routes(routes!(get_event))
}

list_query! {
    EventsQuery {
        /// Only events of this type, such as `GiftSent`.
        kind: Option<String>,
        /// Only events that concern this person.
        person: Option<Uuid>,
        /// Only events of this call, purchase, withdrawal or the like.
        correlation: Option<Uuid>,
        /// Only events from this revision on.
        from_revision: Option<u64>,
        /// Only events recorded at this time or later (RFC 3339).
        from: Option<DateTime<Utc>>,
        /// Only events recorded before this time.
        to: Option<DateTime<Utc>>,
        /// Only events that move at least so much on one account, in the smallest unit of its asset. A page may be
        /// short, or empty, and have a next one.
        min_amount_minor: Option<i64>,
        /// Only events whose largest movement is at most so much.
        max_amount_minor: Option<i64>,
    }
}

/// List events
///
/// Returns the events of the journal in the order in which they were recorded. The journal is the source of all
/// balances; events are never changed or removed.
#[utoipa::path(get, path = "/v1/admin/events", tag = "admin: journal", security(("bearer" = ["admin"])),
    params(EventsQuery), responses((status = 200, body = Page<EventRow>)))]
async fn list_events(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<EventsQuery>,
    format: Format,
) -> Result<Listed<EventRow>, Error> {
    let limit = query.ready(format, &api).await?;
    let EventsQuery {
        kind,
        person,
        correlation,
        from_revision,
        from,
        to,
        min_amount_minor,
        max_amount_minor,
        cursor,
        ..
    } = query;
    one_of("kind", kind.as_deref(), Event::KINDS)?;
    let (person, period) = (person.map(PersonId), period(from, to)?);
    let amount_minor = amounts(min_amount_minor, max_amount_minor)?;
    let filter = EventFilter { kind, person, correlation, from_revision, period, amount_minor };
    Ok(format.of(api.read.events(&filter, cursor.as_deref(), limit).await?.into()))
}

/// Retrieve an event
///
/// Returns the event with this revision.
#[utoipa::path(get, path = "/v1/admin/events/{revision}", tag = "admin: journal",
    security(("bearer" = ["admin"])), params(ReadQuery), responses((status = 200, body = EventRow)))]
async fn get_event(
    State(api): State<Api>,
    _: AdminCaller,
    Path(revision): Path<u64>,
    Query(query): Query<ReadQuery>,
) -> Result<Json<EventRow>, Error> {
    api.reach(query.min_revision).await?;
    api.read.event(revision).await?.map(Json).ok_or_else(|| Error::not_found("event"))
}
