//! Who may act as what.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminCaller, Json, Path};
use crate::routes::me::PersonView;
use crate::words::RoleWord;
use axum::extract::State;
use ledger_core::PersonId;
use platform::identity::Role;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(grant_role)).routes(routes!(revoke_role))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GrantRole {
    #[schema(value_type = RoleWord)]
    role: Role,
}

/// Give a person a role. Giving it twice is giving it once.
#[utoipa::path(post, path = "/v1/admin/people/{person}/roles", tag = "admin: people",
    security(("bearer" = ["admin"])), responses((status = 200, body = PersonView)))]
async fn grant_role(
    State(api): State<Api>,
    _: AdminCaller,
    Path(person): Path<Uuid>,
    Json(asked): Json<GrantRole>,
) -> Result<Json<PersonView>, Error> {
    let person = PersonId(person);
    api.app.people.grant_role(person, asked.role, api.now()).await?;
    Ok(Json(api.app.people.get(person).await?.into()))
}

/// Take a role from a person; it is gone at their next request. The last admin stays one.
#[utoipa::path(delete, path = "/v1/admin/people/{person}/roles/{role}", tag = "admin: people",
    security(("bearer" = ["admin"])), params(("person" = Uuid, Path), ("role" = RoleWord, Path)),
    responses((status = 200, body = PersonView)))]
async fn revoke_role(
    State(api): State<Api>,
    _: AdminCaller,
    Path((person, role)): Path<(Uuid, Role)>,
) -> Result<Json<PersonView>, Error> {
    let person = PersonId(person);
    api.app.people.revoke_role(person, role).await?;
    Ok(Json(api.app.people.get(person).await?.into()))
}
