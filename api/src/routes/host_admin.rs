//! Deciding who becomes a host, and under which agency they work.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, IdempotencyKey, Json, Path, Query};
use crate::page::{Page, list_query};
use crate::receipt::Recorded;
use crate::routes::hosts::ApplicationView;
use crate::words::HostStatusWord;
use axum::extract::State;
use ledger_core::command::{JoinAgency, LeaveAgency};
use ledger_core::{AgencyId, Command, PersonId};
use platform::hosts::HostStatus;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_applications))
        .routes(routes!(approve_host))
        .routes(routes!(reject_host))
        .routes(routes!(set_agency))
}

list_query! {
    ApplicationsQuery {
        /// Those that wait for a decision when absent.
        #[param(value_type = Option<HostStatusWord>)]
        status: Option<HostStatus>,
    }
}

/// List hosts and applications in one status.
///
/// Those that have been in the status longest come first.
#[utoipa::path(get, path = "/v1/admin/hosts", tag = "admin: hosts", security(("bearer" = ["admin"])),
    params(ApplicationsQuery), responses((status = 200, body = Page<ApplicationView>)))]
async fn list_applications(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<ApplicationsQuery>,
) -> Result<Json<Page<ApplicationView>>, Error> {
    let limit = query.ready(&api).await?;
    let status = query.status.unwrap_or(HostStatus::Applied);
    let page = api.app.hosts.list(status, query.cursor.as_deref(), limit).await?;
    let items = page.items.into_iter().map(ApplicationView::from).collect();
    Ok(Json(Page { items, next_cursor: page.next }))
}

/// Approve an application: the applicant becomes a host.
///
/// Nobody can approve their own application (`own_money`).
#[utoipa::path(post, path = "/v1/admin/hosts/{person}/approve", tag = "admin: hosts",
    security(("bearer" = ["admin"])), responses((status = 200, body = ApplicationView)))]
async fn approve_host(
    State(api): State<Api>,
    admin: AdminAuthor,
    Path(person): Path<Uuid>,
) -> Result<Json<ApplicationView>, Error> {
    Ok(Json(api.app.hosts.approve(PersonId(person), &admin.author, api.now()).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RejectHost {
    /// 1 to 300 characters; the applicant sees it.
    reason: String,
}

/// Reject an application.
///
/// The applicant sees the reason and may apply again. Nobody can reject their own application (`own_money`).
#[utoipa::path(post, path = "/v1/admin/hosts/{person}/reject", tag = "admin: hosts",
    security(("bearer" = ["admin"])), responses((status = 200, body = ApplicationView)))]
async fn reject_host(
    State(api): State<Api>,
    admin: AdminAuthor,
    Path(person): Path<Uuid>,
    Json(asked): Json<RejectHost>,
) -> Result<Json<ApplicationView>, Error> {
    let hosts = &api.app.hosts;
    Ok(Json(hosts.reject(PersonId(person), &asked.reason, &admin.author, api.now()).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetAgency {
    /// Null to leave the agency.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    agency: Option<Uuid>,
}

/// Put a host under an agency, or take them out of it.
#[utoipa::path(put, path = "/v1/admin/hosts/{person}/agency", tag = "admin: hosts",
    security(("bearer" = ["admin"])), params(("person" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn set_agency(
    State(api): State<Api>,
    admin: AdminCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(person): Path<Uuid>,
    Json(asked): Json<SetAgency>,
) -> Result<Json<Recorded>, Error> {
    let host = api.app.hosts.approved(PersonId(person)).await?.person;
    let command = match asked.agency.map(AgencyId) {
        Some(agency) => Command::from(JoinAgency { host, agency: api.app.agencies.get(agency).await?.id }),
        None => Command::from(LeaveAgency { host }),
    };
    Ok(Json(api.app.commands.give(admin.person(), key, command).await?.into()))
}
