//! Hosts: applying, being found, prices and presence.

use crate::Api;
use crate::error::Error;
use crate::extract::{AnyCaller, HostCaller, IdempotencyKey, Json, Path, Query};
use crate::page::{COIN, Format, List, Page, ReadQuery, list_query};
use crate::receipt::{Answered, Recorded};
use crate::words::{HostStatusWord, MediumWord, PresenceWord};
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use ledger_core::command::SetHostRate;
use ledger_core::{Actor, Command, Medium, PersonId, rfc3339};
use platform::bounds::Free;
use platform::hosts::{Host, HostProfile, HostStatus};
use platform::presence::PresenceStatus;
use projections::HostRateRow;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const LIST: List = List("hosts_serving");

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(apply_as_host))
        .routes(routes!(list_hosts))
        .routes(routes!(get_host))
        .routes(routes!(set_rate))
        .routes(routes!(set_presence))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Application {
    /// 2 to 40 characters.
    display_name: String,
    /// Up to 500 characters.
    #[serde(default)]
    bio: String,
    /// 1 to 10, of 2 to 30 characters.
    categories: Vec<String>,
    /// 1 to 10, of 2 to 30 characters.
    languages: Vec<String>,
}

/// A host's application and what became of it.
#[derive(Serialize, ToSchema)]
pub struct ApplicationView {
    pub person: Uuid,
    pub display_name: String,
    pub bio: String,
    pub categories: Vec<String>,
    pub languages: Vec<String>,
    #[schema(value_type = HostStatusWord)]
    pub status: HostStatus,
    #[serde(serialize_with = "rfc3339::serialize")]
    pub status_since: DateTime<Utc>,
    pub reject_reason: Option<String>,
    pub decided_by: Option<Uuid>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    pub decided_at: Option<DateTime<Utc>>,
}

impl From<Host> for ApplicationView {
    fn from(host: Host) -> ApplicationView {
        ApplicationView {
            person: host.person.0,
            display_name: host.profile.display_name,
            bio: host.profile.bio,
            categories: host.profile.categories,
            languages: host.profile.languages,
            status: host.status,
            status_since: host.status_since,
            reject_reason: host.reject_reason,
            decided_by: host.decided_by.map(|person| person.0),
            decided_at: host.decided_at,
        }
    }
}

/// Apply to become a host
///
/// Submits the profile that users will see. An admin approves or rejects it. Until then, applying again replaces the
/// profile. Fails with `host_already_approved` once the caller is a host.
#[utoipa::path(post, path = "/v1/hosts/applications", tag = "hosts", security(("bearer" = [])),
    responses((status = 201, body = ApplicationView)))]
async fn apply_as_host(
    State(api): State<Api>,
    caller: AnyCaller,
    Json(asked): Json<Application>,
) -> Result<(StatusCode, Json<ApplicationView>), Error> {
    let Application { display_name, bio, categories, languages } = asked;
    let profile = HostProfile { display_name, bio, categories, languages };
    api.app.bounds.take(caller.person(), Free::Applications, api.now()).await?;
    let host = api.app.hosts.apply(caller.person(), &profile, api.now()).await?;
    Ok((StatusCode::CREATED, Json(host.into())))
}

/// The price of a minute of one medium.
#[derive(Serialize, ToSchema)]
struct Rate {
    #[schema(value_type = MediumWord)]
    medium: String,
    #[schema(example = "COIN/3")]
    asset: &'static str,
    price_milli_per_minute: Option<i64>,
}

/// A host as users see them.
#[derive(Serialize, ToSchema)]
struct HostView {
    person: Uuid,
    display_name: String,
    bio: String,
    categories: Vec<String>,
    languages: Vec<String>,
    #[schema(value_type = PresenceWord)]
    presence: PresenceStatus,
    /// The media on offer.
    rates: Vec<Rate>,
}

list_query! {
    HostsQuery {
        /// True for hosts who are online or busy now.
        online: bool,
    }
}

/// List hosts
///
/// Returns the approved hosts with their prices and presence. With `online=true` it returns those who can be reached
/// now, as one page, those heard of last first.
#[utoipa::path(get, path = "/v1/hosts", tag = "hosts", security(("bearer" = [])), params(HostsQuery),
    responses((status = 200, body = Page<HostView>)))]
async fn list_hosts(
    State(api): State<Api>,
    _: AnyCaller,
    Query(query): Query<HostsQuery>,
) -> Result<Json<Page<HostView>>, Error> {
    let limit = query.ready(Format::Json, &api).await?;
    let (hosts, next_cursor) = if query.online {
        (hosts_online(&api, limit).await?, None)
    } else {
        let after = LIST.place(query.cursor.as_deref())?;
        let page = LIST.page(api.app.hosts.list_serving(after, limit).await?);
        (page.items, page.next_cursor)
    };
    Ok(Json(Page { items: as_seen(&api, hosts).await?, next_cursor }))
}

async fn hosts_online(api: &Api, limit: u32) -> Result<Vec<Host>, Error> {
    let online = api.app.presence.online_hosts(limit, api.now()).await?;
    let people: Vec<PersonId> = online.iter().map(|(person, _)| *person).collect();
    let mut hosts = api.app.hosts.get_serving(&people).await?;
    hosts.sort_by_key(|host| people.iter().position(|person| *person == host.person));
    Ok(hosts)
}

async fn as_seen(api: &Api, hosts: Vec<Host>) -> Result<Vec<HostView>, Error> {
    let people: Vec<PersonId> = hosts.iter().map(|host| host.person).collect();
    let presence: HashMap<PersonId, PresenceStatus> =
        api.app.presence.get_many(&people, api.now()).await?.into_iter().collect();
    let rates = api.read.host_rates(&people).await?;
    let view = |host: Host| HostView {
        person: host.person.0,
        display_name: host.profile.display_name,
        bio: host.profile.bio,
        categories: host.profile.categories,
        languages: host.profile.languages,
        presence: presence.get(&host.person).copied().unwrap_or(PresenceStatus::Offline),
        rates: rates.iter().filter(|rate| rate.host == host.person.0).map(rate_view).collect(),
    };
    Ok(hosts.into_iter().map(view).collect())
}

fn rate_view(row: &HostRateRow) -> Rate {
    Rate { medium: row.medium.clone(), asset: COIN, price_milli_per_minute: row.price_milli_per_minute }
}

/// Retrieve a host
///
/// Returns one approved host with prices and presence.
#[utoipa::path(get, path = "/v1/hosts/{person}", tag = "hosts", security(("bearer" = [])),
    params(ReadQuery), responses((status = 200, body = HostView)))]
async fn get_host(
    State(api): State<Api>,
    _: AnyCaller,
    Path(person): Path<Uuid>,
    Query(query): Query<ReadQuery>,
) -> Result<Json<HostView>, Error> {
    api.reach(query.min_revision).await?;
    let host = api.app.hosts.serving(PersonId(person)).await?;
    as_seen(&api, vec![host]).await?.pop().map(Json).ok_or_else(|| Error::not_found("host"))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetRate {
    /// Thousandths of a coin a minute. Null stops offering the medium.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    price_milli_per_minute: Option<i64>,
}

/// Set your price
///
/// Sets what the calling host asks for a minute of chat, voice or video. Calls that have begun keep their price. Users
/// who were shown the old price are told `call_price_changed` when they call.
#[utoipa::path(put, path = "/v1/hosts/me/rates/{medium}", tag = "hosts", security(("bearer" = ["host"])),
    params(("medium" = MediumWord, Path), IdempotencyKey), responses((status = 200, body = Recorded)))]
async fn set_rate(
    State(api): State<Api>,
    host: HostCaller,
    IdempotencyKey(key): IdempotencyKey,
    Path(medium): Path<Medium>,
    Json(asked): Json<SetRate>,
) -> Result<Answered<Recorded>, Error> {
    let price_milli_per_minute = asked.price_milli_per_minute;
    let command = Command::from(SetHostRate { host: host.person(), medium, price_milli_per_minute });
    if !api.app.commands.is_recorded(Actor::Person(host.person()), command.operation(), &key).await? {
        api.app.bounds.take(host.person(), Free::PriceChanges, api.now()).await?;
    }
    Ok(Answered::done(api.app.commands.give(host.person(), key, command).await?))
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ChosenPresence {
    Online,
    Offline,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetPresence {
    /// `offline` hides the host even while connected; `online` ends that.
    status: ChosenPresence,
}

#[derive(Serialize, ToSchema)]
struct PresenceView {
    /// How users see the host now. It stays `offline` until the host is connected.
    #[schema(value_type = PresenceWord)]
    presence: PresenceStatus,
}

/// Set your presence
///
/// Hides the calling host from users, or shows the host again. A host is online only while connected by WebSocket.
#[utoipa::path(put, path = "/v1/hosts/me/presence", tag = "hosts", security(("bearer" = ["host"])),
    responses((status = 200, body = PresenceView)))]
async fn set_presence(
    State(api): State<Api>,
    host: HostCaller,
    Json(asked): Json<SetPresence>,
) -> Result<Json<PresenceView>, Error> {
    let hidden = asked.status == ChosenPresence::Offline;
    api.app.presence.set_hidden(host.person(), hidden).await?;
    let presence = api.app.presence.get(host.person(), api.now()).await?;
    Ok(Json(PresenceView { presence }))
}
