//! Agencies, as admins make them.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, Json};
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use ledger_core::{PersonId, rfc3339};
use platform::identity::Agency;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(create_agency))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateAgency {
    /// 2 to 60 characters.
    name: String,
    /// The agency's short name, never given out twice: 3 to 20 capital letters, digits and `-`.
    code: String,
    /// Gets the role `agency`.
    owner: Uuid,
}

#[derive(Serialize, ToSchema)]
struct AgencyView {
    agency: Uuid,
    name: String,
    code: String,
    owner: Uuid,
    #[serde(serialize_with = "rfc3339::serialize")]
    created_at: DateTime<Utc>,
}

impl From<Agency> for AgencyView {
    fn from(agency: Agency) -> AgencyView {
        let Agency { id, name, code, owner, created_at } = agency;
        AgencyView { agency: id.0, name, code, owner: owner.0, created_at }
    }
}

/// Create an agency
///
/// The owner gets the role `agency`. The code is never given out twice: a repeated request is refused
/// (`agency_code_taken`).
#[utoipa::path(post, path = "/v1/admin/agencies", tag = "admin: hosts", security(("bearer" = ["admin"])),
    responses((status = 201, body = AgencyView)))]
async fn create_agency(
    State(api): State<Api>,
    admin: AdminAuthor,
    Json(asked): Json<CreateAgency>,
) -> Result<(StatusCode, Json<AgencyView>), Error> {
    let CreateAgency { name, code, owner } = asked;
    let agency = api.app.agencies.create(&name, &code, PersonId(owner), &admin.author, api.now()).await?;
    Ok((StatusCode::CREATED, Json(agency.into())))
}
