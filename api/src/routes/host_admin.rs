//! Deciding who becomes a host, and under which agency they work.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, IdempotencyKey, Json, Path, Query};
use crate::page::{Format, List, Listed, Page, list_query, moment, period};
use crate::receipt::{Answered, Recorded};
use crate::routes::hosts::ApplicationView;
use crate::words::HostStatusWord;
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::command::{JoinAgency, LeaveAgency};
use ledger_core::{AgencyId, PersonId, Rejection};
use platform::commands::CommandError;
use platform::hosts::HostStatus;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const LIST: List = List("hosts");

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
        /// Only this person.
        person: Option<Uuid>,
        /// Only those who came to the status at this time or later (RFC 3339).
        from: Option<DateTime<Utc>>,
        /// Only those who came to the status before this time.
        to: Option<DateTime<Utc>>,
    }
}

/// List hosts and applications
///
/// Returns those that are in one status. Those that have been in the status longest come first.
#[utoipa::path(get, path = "/v1/admin/hosts", tag = "admin: hosts", security(("bearer" = ["admin"])),
    params(ApplicationsQuery), responses((status = 200, body = Page<ApplicationView>)))]
async fn list_applications(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<ApplicationsQuery>,
    format: Format,
) -> Result<Listed<ApplicationView>, Error> {
    let limit = query.ready(format, &api).await?;
    let status = query.status.unwrap_or(HostStatus::Applied);
    let after = LIST.place(query.cursor.as_deref())?;
    let found = api
        .app
        .hosts
        .list(status, query.person.map(PersonId), period(query.from, query.to)?, after, limit)
        .await?;
    Ok(format.of(LIST.page(found).map(ApplicationView::from)))
}

/// Approve a host's application
///
/// The applicant becomes a host. Nobody can approve their own application (`own_money`).
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

/// Reject a host's application
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
    /// From when on (RFC 3339), never in the past; now when absent. What is charged for before is not shared with the agency.
    from: Option<DateTime<Utc>>,
    /// Until when, which is not part of it; until the host leaves when absent.
    until: Option<DateTime<Utc>>,
    /// Why it is changed: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Move a host into or out of an agency
///
/// A host belongs to an agency from a moment on, and until another one where `until` is given: then charges are shared with
/// the platform alone again. A call keeps the agency that it began under. A host who is in another agency, or will be,
/// leaves that one first. An admin cannot move themselves, or a host into or out of their own agency (`own_money`). Setting
/// the agency that the host is in changes nothing.
#[utoipa::path(put, path = "/v1/admin/hosts/{person}/agency", tag = "admin: hosts",
    security(("bearer" = ["admin"])), params(("person" = Uuid, Path), IdempotencyKey),
    responses((status = 200, body = Recorded)))]
async fn set_agency(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Path(person): Path<Uuid>,
    Json(asked): Json<SetAgency>,
) -> Result<Answered<Recorded>, Error> {
    let author = admin.because(asked.reason.as_deref(), asked.note.as_deref())?;
    let host = api.app.hosts.approved(PersonId(person)).await?.person;
    let (from, until) = (moment("from", asked.from)?, moment("until", asked.until)?);
    if asked.agency.is_none() && until.is_some() {
        return Err(Error::field("until", "must be absent when the host leaves"));
    }
    let current = api.app.ledger.query(move |state, at| state.agency_of(host, from.unwrap_or(at))).await?;
    let wanted = asked.agency.map(AgencyId);
    // The ledger does not know who owns an agency.
    for agency in current.into_iter().chain(wanted) {
        if author.id() == Some(api.app.agencies.get(agency).await?.owner) {
            return Err(CommandError::from(Rejection::OwnMoney).into());
        }
    }
    let command = match wanted {
        Some(agency) => JoinAgency { host, agency, from, until }.into(),
        None => LeaveAgency { host, at: from }.into(),
    };
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command, api.now()).await?))
}
