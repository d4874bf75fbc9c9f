//! The caller's own account.

use crate::Api;
use crate::error::Error;
use crate::extract::{AnyCaller, Json};
use crate::routes::people::RestrictionView;
use crate::words::{HostStatusWord, RoleWord};
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::rfc3339;
use platform::hosts::{HostError, HostStatus};
use platform::identity::{PeopleError, Person, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get_me, change_me))
}

#[derive(Serialize, ToSchema)]
pub struct PersonView {
    /// Their id, the same as user and as host.
    pub person: Uuid,
    pub name: Option<String>,
    pub avatar_url: Option<String>,
    #[schema(value_type = Vec<RoleWord>)]
    pub roles: Vec<Role>,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub created_at: DateTime<Utc>,
}

impl From<Person> for PersonView {
    fn from(person: Person) -> PersonView {
        let Person { id, name, avatar_url, roles, created_at } = person;
        PersonView { person: id.0, name, avatar_url, roles, created_at }
    }
}

#[derive(Serialize, ToSchema)]
struct Me {
    #[serde(flatten)]
    person: PersonView,
    /// Where the caller's application to become a host stands; null without one.
    #[schema(value_type = Option<HostStatusWord>)]
    host_status: Option<HostStatus>,
    /// What an admin keeps the caller from, such as acting as a host; empty for almost everybody.
    restrictions: Vec<RestrictionView>,
    /// The call that the caller is in, as payer or as host.
    active_call: Option<Uuid>,
}

/// Retrieve your account
///
/// Returns the caller's name and roles, where their application to become a host stands, the restrictions that an admin
/// has imposed, and the call that they are in.
#[utoipa::path(get, path = "/v1/me", tag = "me", security(("bearer" = [])),
    responses((status = 200, body = Me)))]
async fn get_me(State(api): State<Api>, caller: AnyCaller) -> Result<Json<Me>, Error> {
    let person = caller.person();
    let host_status = match api.app.hosts.get(person).await {
        Ok(host) => Some(host.status),
        Err(HostError::NotFound) => None,
        Err(fault) => return Err(fault.into()),
    };
    let active_call = api.app.ledger.query(move |state, _| state.engaged(person)).await?;
    let restrictions = api.app.restrictions.of(person).await.map_err(PeopleError::from)?;
    let restrictions = restrictions.into_iter().map(RestrictionView::from).collect();
    let person = api.app.people.get(person).await?.into();
    Ok(Json(Me { person, host_status, restrictions, active_call: active_call.map(|call| call.0) }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeMe {
    /// 1 to 60 characters.
    name: Option<String>,
    /// An https address or a path, of at most 500 characters.
    avatar_url: Option<String>,
}

/// Change your name and picture
///
/// Other people see them; a host's display name stands before the name. What is left out stays as it is. The name has 1 to 60 characters; control characters, text direction marks and invisible
/// characters are refused.
#[utoipa::path(patch, path = "/v1/me", tag = "me", security(("bearer" = [])),
    responses((status = 200, body = PersonView)))]
async fn change_me(
    State(api): State<Api>,
    caller: AnyCaller,
    Json(asked): Json<ChangeMe>,
) -> Result<Json<PersonView>, Error> {
    let ChangeMe { name, avatar_url } = asked;
    api.app.people.set_profile(caller.person(), name.as_deref(), avatar_url.as_deref()).await?;
    Ok(Json(api.app.people.get(caller.person()).await?.into()))
}
