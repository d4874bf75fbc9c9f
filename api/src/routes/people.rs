//! People as admins see and change them: roles, restrictions, sessions.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, Json, Path, Query};
use crate::page::{Format, List, Listed, Page, period};
use crate::routes::me::PersonView;
use crate::words::{RestrictionKindWord, RoleWord, ScopeWord};
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::{PersonId, rfc3339};
use platform::audit::Author;
use platform::calls::Sides;
use platform::identity::{
    OpenSession, OtpError, Phone, Restriction, RestrictionKind, Role, Scope, SessionId, Wanted,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(find_people))
        .routes(routes!(get_person))
        .routes(routes!(grant_role))
        .routes(routes!(revoke_role))
        .routes(routes!(restrict_person))
        .routes(routes!(lift_restriction))
        .routes(routes!(end_sessions))
}

/// Why an admin does something. The audit log keeps it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// A code of 1 to 64 small letters, digits and underscores.
    #[schema(example = "fraud_report")]
    reason: String,
    /// The words behind the code, 1 to 2,000 characters, for other admins to read.
    note: Option<String>,
}

impl Why {
    pub fn author(&self, admin: &AdminAuthor) -> Result<Author, Error> {
        admin.because(Some(&self.reason), self.note.as_deref())
    }
}

#[derive(Serialize, ToSchema)]
pub struct RestrictionView {
    #[schema(value_type = ScopeWord)]
    scope: Scope,
    #[schema(value_type = RestrictionKindWord)]
    kind: RestrictionKind,
    /// A code.
    reason: String,
    #[serde(serialize_with = "rfc3339::serialize")]
    since: DateTime<Utc>,
}

impl From<Restriction> for RestrictionView {
    fn from(it: Restriction) -> RestrictionView {
        RestrictionView { scope: it.scope, kind: it.kind, reason: it.reason, since: it.since }
    }
}

/// A sign-in on one device.
#[derive(Serialize, ToSchema)]
struct SessionView {
    session: Uuid,
    #[serde(serialize_with = "rfc3339::serialize")]
    created_at: DateTime<Utc>,
}

impl From<OpenSession> for SessionView {
    fn from(it: OpenSession) -> SessionView {
        SessionView { session: it.session.0, created_at: it.created_at }
    }
}

#[derive(Serialize, ToSchema)]
struct PersonDetails {
    #[serde(flatten)]
    person: PersonView,
    /// What the person is kept from at present.
    restrictions: Vec<RestrictionView>,
    /// The sessions that give access, the newest first, at most 100.
    sessions: Vec<SessionView>,
}

const LIST: List = List("people");

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct PeopleQuery {
    /// The whole phone number in E.164 form. Write the plus sign as `%2B`.
    #[param(example = "+919812345678")]
    phone: Option<String>,
    /// The start of the name, or of a host's display name; capital and small letters are the same.
    name: Option<String>,
    /// Only people with this role.
    #[param(value_type = Option<RoleWord>)]
    role: Option<Role>,
    /// Only accounts made at this time or later (RFC 3339).
    from: Option<DateTime<Utc>>,
    /// Only accounts made before this time.
    to: Option<DateTime<Utc>>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
    /// How many items to return, from 1 to 100. The default is 20.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// Find people
///
/// Returns the people who fit all of what is asked for, the newest account first. The phone number itself is not shown.
#[utoipa::path(get, path = "/v1/admin/people", tag = "admin: people", security(("bearer" = ["admin"])),
    params(PeopleQuery), responses((status = 200, body = Page<PersonView>)))]
async fn find_people(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<PeopleQuery>,
    format: Format,
) -> Result<Listed<PersonView>, Error> {
    let phone: Option<Phone> =
        query.phone.as_deref().map(str::parse).transpose().map_err(OtpError::PhoneInvalid)?;
    let period = period(query.from, query.to)?;
    let wanted = Wanted { phone, name: query.name, role: query.role, period };
    let after = LIST.place(query.cursor.as_deref())?;
    let found = api.app.people.find(&wanted, after, format.limit(query.limit)?).await?;
    Ok(format.of(LIST.page(found).map(PersonView::from)))
}

/// Retrieve a person
///
/// Returns the person's name and roles, the restrictions in force, and the sessions that give access.
#[utoipa::path(get, path = "/v1/admin/people/{person}", tag = "admin: people",
    security(("bearer" = ["admin"])), responses((status = 200, body = PersonDetails)))]
async fn get_person(
    State(api): State<Api>,
    _: AdminCaller,
    Path(person): Path<Uuid>,
) -> Result<Json<PersonDetails>, Error> {
    Ok(Json(details(&api, PersonId(person)).await?))
}

async fn details(api: &Api, person: PersonId) -> Result<PersonDetails, Error> {
    let restrictions =
        api.app.restrictions.of(person).await.map_err(platform::identity::PeopleError::from)?;
    let sessions = api.app.sessions.of(person).await.map_err(platform::identity::PeopleError::from)?;
    Ok(PersonDetails {
        person: api.app.people.get(person).await?.into(),
        restrictions: restrictions.into_iter().map(RestrictionView::from).collect(),
        sessions: sessions.into_iter().map(SessionView::from).collect(),
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GrantRole {
    #[schema(value_type = RoleWord)]
    role: Role,
    /// Why: a code of 1 to 64 small letters, digits and underscores.
    reason: Option<String>,
    /// The words behind the code, 1 to 2,000 characters.
    note: Option<String>,
}

/// Give a person a role
///
/// The role counts from the person's next request on. Giving a role that the person has changes nothing. The role
/// `admin` is refused for an account that is suspended or banned.
#[utoipa::path(post, path = "/v1/admin/people/{person}/roles", tag = "admin: people",
    security(("bearer" = ["admin"])), responses((status = 200, body = PersonView)))]
async fn grant_role(
    State(api): State<Api>,
    admin: AdminAuthor,
    Path(person): Path<Uuid>,
    Json(asked): Json<GrantRole>,
) -> Result<Json<PersonView>, Error> {
    let person = PersonId(person);
    let author = admin.because(asked.reason.as_deref(), asked.note.as_deref())?;
    api.app.people.grant_role(person, asked.role, &author, api.now()).await?;
    Ok(Json(api.app.people.get(person).await?.into()))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct RevokeQuery {
    /// Why: a code of 1 to 64 small letters, digits and underscores.
    reason: Option<String>,
}

/// Take a role from a person
///
/// The role is gone at the person's next request, and on their open sockets within two seconds. The last admin's role
/// cannot be taken away.
#[utoipa::path(delete, path = "/v1/admin/people/{person}/roles/{role}", tag = "admin: people",
    security(("bearer" = ["admin"])), params(("person" = Uuid, Path), ("role" = RoleWord, Path), RevokeQuery),
    responses((status = 200, body = PersonView)))]
async fn revoke_role(
    State(api): State<Api>,
    admin: AdminAuthor,
    Path((person, role)): Path<(Uuid, Role)>,
    Query(query): Query<RevokeQuery>,
) -> Result<Json<PersonView>, Error> {
    let person = PersonId(person);
    let author = admin.because(query.reason.as_deref(), None)?;
    api.app.people.revoke_role(person, role, &author, api.now()).await?;
    Ok(Json(api.app.people.get(person).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Restrict {
    #[schema(value_type = RestrictionKindWord)]
    kind: RestrictionKind,
    /// A code of 1 to 64 small letters, digits and underscores.
    #[schema(example = "fraud_report")]
    reason: String,
    /// The words behind the code, 1 to 2,000 characters, for other admins to read.
    note: Option<String>,
}

/// Suspend or ban a person
///
/// The scope `account` ends all sessions and calls of the person and keeps them from signing in. The scope `host` ends
/// the calls that the person takes part in as a host and keeps them from acting as one; they stay a user. Withdrawals
/// that they asked for before stay open, for the admins to decide. An admin's account cannot be restricted: take the
/// role away first. Sending the request again changes nothing.
#[utoipa::path(put, path = "/v1/admin/people/{person}/restrictions/{scope}", tag = "admin: people",
    security(("bearer" = ["admin"])), params(("person" = Uuid, Path), ("scope" = ScopeWord, Path)),
    responses((status = 200, body = PersonDetails)))]
async fn restrict_person(
    State(api): State<Api>,
    admin: AdminAuthor,
    Path((person, scope)): Path<(Uuid, Scope)>,
    Json(asked): Json<Restrict>,
) -> Result<Json<PersonDetails>, Error> {
    let (person, now) = (PersonId(person), api.now());
    let author = admin.because(Some(&asked.reason), asked.note.as_deref())?;
    api.app.restrictions.impose(person, scope, asked.kind, &author, now).await?;
    let sides = match scope {
        Scope::Account => Sides::Both,
        Scope::Host => Sides::AsHost,
    };
    api.app.calls.stop_all(admin.person()?, person, sides, &author, now).await?;
    Ok(Json(details(&api, person).await?))
}

/// Lift a suspension or a ban
///
/// The person can sign in, or act as a host, again. Sessions that ended stay ended. Lifting a restriction that is not
/// in force changes nothing.
#[utoipa::path(post, path = "/v1/admin/people/{person}/restrictions/{scope}/lift", tag = "admin: people",
    security(("bearer" = ["admin"])), params(("person" = Uuid, Path), ("scope" = ScopeWord, Path)),
    responses((status = 200, body = PersonDetails)))]
async fn lift_restriction(
    State(api): State<Api>,
    admin: AdminAuthor,
    Path((person, scope)): Path<(Uuid, Scope)>,
    Json(asked): Json<Why>,
) -> Result<Json<PersonDetails>, Error> {
    let person = PersonId(person);
    api.app.restrictions.lift(person, scope, &asked.author(&admin)?, api.now()).await?;
    Ok(Json(details(&api, person).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EndSessions {
    /// The session to end; all of the person's when absent.
    session: Option<Uuid>,
    /// A code of 1 to 64 small letters, digits and underscores.
    #[schema(example = "stolen_phone")]
    reason: String,
    /// The words behind the code, 1 to 2,000 characters, for other admins to read.
    note: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct SessionsEnded {
    /// The sessions that gave access until now.
    ended: Vec<Uuid>,
}

/// End a person's sessions
///
/// Ends one session, or all of them. Their tokens are refused from the next request on and their sockets are closed.
/// The person can sign in again.
#[utoipa::path(post, path = "/v1/admin/people/{person}/sessions/end", tag = "admin: people",
    security(("bearer" = ["admin"])), responses((status = 200, body = SessionsEnded)))]
async fn end_sessions(
    State(api): State<Api>,
    admin: AdminAuthor,
    Path(person): Path<Uuid>,
    Json(asked): Json<EndSessions>,
) -> Result<Json<SessionsEnded>, Error> {
    let author = admin.because(Some(&asked.reason), asked.note.as_deref())?;
    let session = asked.session.map(SessionId);
    let ended = api.app.sessions.end_by_admin(PersonId(person), session, &author, api.now()).await?;
    Ok(Json(SessionsEnded { ended: ended.into_iter().map(|session| session.0).collect() }))
}
