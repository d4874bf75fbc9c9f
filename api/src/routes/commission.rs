//! Commission: the rates, the rule in force, and the log of all splits.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, IdempotencyKey, Json, Query};
use crate::page::{InCoins, Page, common_era, list_query};
use crate::receipt::{Answered, Recorded};
use crate::words::Scope;
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::event::CommissionScope;
use ledger_core::{AgencyId, PersonId, Rejection, Timestamp, command};
use platform::audit::Author;
use platform::commands::CommandError;
use projections::{CommissionFilter, CommissionRateRow, SplitRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_commission_rates, set_commission_rate))
        .routes(routes!(clear_commission_rate))
        .routes(routes!(get_commission_rule))
        .routes(routes!(list_commission_log))
}

list_query! { CommissionRatesQuery {} }

/// List commission rates
///
/// Returns the commission rates that were set or cleared, the newest first. For each scope, the rate with the latest
/// `effective_from` that has come is in force.
#[utoipa::path(get, path = "/v1/admin/commission-rates", tag = "admin: commission",
    security(("bearer" = ["admin"])), params(CommissionRatesQuery),
    responses((status = 200, body = Page<CommissionRateRow>)))]
async fn list_commission_rates(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<CommissionRatesQuery>,
) -> Result<Json<Page<CommissionRateRow>>, Error> {
    let limit = query.ready(&api).await?;
    Ok(Json(api.read.commission_rates(query.cursor.as_deref(), limit).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetCommissionRate {
    scope: Scope,
    /// The host's share in basis points; with the agency's at most 10000.
    host_bps: u32,
    /// The agency's share in basis points.
    agency_bps: u32,
    /// At once when absent; never in the past.
    effective_from: Option<DateTime<Utc>>,
    /// Why it is changed: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Set a commission rate
///
/// Sets how charges are divided: for everybody, an agency or a host. The most specific rate in force wins: host, then
/// agency, then global. Calls that have begun keep the rate that they began with. An admin cannot set the rate of
/// themselves, of their own agency or of a host in it (`own_money`). Setting the rate that is in force changes nothing.
#[utoipa::path(put, path = "/v1/admin/commission-rates", tag = "admin: commission",
    security(("bearer" = ["admin"])), params(IdempotencyKey), responses((status = 200, body = Recorded)))]
async fn set_commission_rate(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<SetCommissionRate>,
) -> Result<Answered<Recorded>, Error> {
    let SetCommissionRate { scope, host_bps, agency_bps, effective_from, reason, note } = asked;
    let author = admin.because(reason.as_deref(), note.as_deref())?;
    let scope = known_scope(&api, &author, scope).await?;
    let effective_from = read_moment(effective_from)?;
    let command = command::SetCommissionRate { scope, host_bps, agency_bps, effective_from };
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command.into(), api.now()).await?))
}

fn read_moment(effective_from: Option<DateTime<Utc>>) -> Result<Option<Timestamp>, Error> {
    Ok(effective_from.map(|at| common_era("effective_from", at)).transpose()?.map(Timestamp::from))
}

/// A rate for a mistyped id would never be in force, and nobody would see why. The ledger does not know who owns an
/// agency, so that it is looked up here.
async fn known_scope(api: &Api, author: &Author, scope: Scope) -> Result<CommissionScope, Error> {
    let scope = CommissionScope::try_from(scope)?;
    match scope {
        CommissionScope::Global => {}
        CommissionScope::Agency(agency) => {
            not_the_owner(api, author, agency).await?;
        }
        CommissionScope::Host(host) => {
            api.app.hosts.approved(host).await?;
            // The host's rate says what their agency gets, too.
            if let Some(agency) = api.app.ledger.query(move |state, _| state.agency_of(host)).await? {
                not_the_owner(api, author, agency).await?;
            }
        }
    }
    Ok(scope)
}

async fn not_the_owner(api: &Api, author: &Author, agency: AgencyId) -> Result<(), Error> {
    if author.id() == Some(api.app.agencies.get(agency).await?.owner) {
        return Err(CommandError::from(Rejection::OwnMoney).into());
    }
    Ok(())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ClearCommissionRate {
    scope: Scope,
    /// At once when absent; never in the past.
    effective_from: Option<DateTime<Utc>>,
    /// Why it is changed: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Clear a commission rate
///
/// Ends the rate of an agency or a host. The next wider rate is in force again.
#[utoipa::path(post, path = "/v1/admin/commission-rates/clear", tag = "admin: commission",
    security(("bearer" = ["admin"])), params(IdempotencyKey), responses((status = 200, body = Recorded)))]
async fn clear_commission_rate(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<ClearCommissionRate>,
) -> Result<Answered<Recorded>, Error> {
    let author = admin.because(asked.reason.as_deref(), asked.note.as_deref())?;
    let scope = known_scope(&api, &author, asked.scope).await?;
    let effective_from = read_moment(asked.effective_from)?;
    let command = command::ClearCommissionRate { scope, effective_from };
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command.into(), api.now()).await?))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct RuleQuery {
    host: Uuid,
}

/// The rule that a charge of a host would be split by now.
#[derive(Serialize, ToSchema)]
struct RuleView {
    host: Uuid,
    /// Where the rate was set; global too where none is set at all.
    scope: Scope,
    host_bps: u32,
    agency_bps: u32,
    /// The platform's share: the rest.
    platform_bps: u32,
    agency: Option<Uuid>,
}

/// Retrieve the commission of a host
///
/// Returns the rule by which a charge of the host would be divided now.
#[utoipa::path(get, path = "/v1/admin/commission-rule", tag = "admin: commission",
    security(("bearer" = ["admin"])), params(RuleQuery), responses((status = 200, body = RuleView)))]
async fn get_commission_rule(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<RuleQuery>,
) -> Result<Json<RuleView>, Error> {
    let host = PersonId(query.host);
    let rule = api.app.ledger.query(move |state, at| state.commission_rule(host, at)).await?;
    Ok(Json(RuleView {
        host: host.0,
        scope: rule.scope.into(),
        host_bps: rule.host_bps,
        agency_bps: rule.agency_bps,
        platform_bps: 10_000_u32.saturating_sub(rule.host_bps + rule.agency_bps),
        agency: rule.agency.map(|agency| agency.0),
    }))
}

list_query! {
    CommissionLogQuery {
        host: Option<Uuid>,
        agency: Option<Uuid>,
        /// The call, or the sending of the gift.
        source: Option<Uuid>,
    }
}

/// List commission splits
///
/// Returns how charges were divided between host, agency and platform, the newest first.
#[utoipa::path(get, path = "/v1/admin/commission-log", tag = "admin: commission",
    security(("bearer" = ["admin"])), params(CommissionLogQuery),
    responses((status = 200, body = Page<InCoins<SplitRow>>)))]
async fn list_commission_log(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<CommissionLogQuery>,
) -> Result<Json<Page<InCoins<SplitRow>>>, Error> {
    let limit = query.ready(&api).await?;
    let filter = CommissionFilter {
        host: query.host.map(PersonId),
        agency: query.agency.map(AgencyId),
        source_id: query.source,
    };
    let page = api.read.commission_log(filter, query.cursor.as_deref(), limit).await?;
    Ok(Json(Page::from(page).map(InCoins::from)))
}
