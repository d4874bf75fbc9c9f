//! The journal, as admins audit it.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminCaller, Json, Path, Query};
use crate::page::{Page, ReadQuery, list_query};
use axum::extract::State;
use ledger_core::PersonId;
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
        from: Option<u64>,
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
) -> Result<Json<Page<EventRow>>, Error> {
    let limit = query.ready(&api).await?;
    let EventsQuery { kind, person, correlation, from, cursor, .. } = query;
    if kind.as_deref().is_some_and(|kind| !ledger_core::Event::KINDS.contains(&kind)) {
        return Err(Error::field("kind", "there is no such type of event"));
    }
    let filter = EventFilter { kind, person: person.map(PersonId), correlation, from };
    Ok(Json(api.read.events(&filter, cursor.as_deref(), limit).await?.into()))
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
