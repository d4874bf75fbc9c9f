//! Commission: the rates, the rule in force, and the log of all splits.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, IdempotencyKey, Json, Query};
use crate::page::{Format, InCoins, Listed, Page, amounts, list_query, moment, period};
use crate::receipt::{Answered, Recorded};
use crate::words::{Scope, ScopeKind, SplitFromWord};
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::event::CommissionScope;
use ledger_core::{AgencyId, PersonId, Rejection, command};
use platform::audit::Author;
use platform::commands::CommandError;
use projections::{CommissionFilter, CommissionRateRow, RateFilter, SplitFrom, SplitRow};
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

list_query! {
    CommissionRatesQuery {
        /// Only rates of this scope.
        #[param(inline)]
        scope: Option<ScopeKind>,
        /// Only rates of this host.
        host: Option<Uuid>,
        /// Only rates of this agency.
        agency: Option<Uuid>,
        /// Only rates that were set or cleared at this time or later (RFC 3339).
        from: Option<DateTime<Utc>>,
        /// Only rates that were set or cleared before this time.
        to: Option<DateTime<Utc>>,
    }
}

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
    format: Format,
) -> Result<Listed<CommissionRateRow>, Error> {
    let limit = query.ready(format, &api).await?;
    let scope = match (query.scope, query.host, query.agency) {
        (_, Some(_), Some(_)) => return Err(Error::field("agency", "must not stand beside host")),
        (None | Some(ScopeKind::Host), Some(_), None) => Some(ScopeKind::Host),
        (None | Some(ScopeKind::Agency), None, Some(_)) => Some(ScopeKind::Agency),
        (scope, None, None) => scope,
        _ => return Err(Error::field("scope", "does not fit the host or the agency")),
    };
    let filter = RateFilter {
        scope: scope.map(ScopeKind::as_str),
        scope_id: query.host.or(query.agency),
        period: period(query.from, query.to)?,
    };
    Ok(format.of(api.read.commission_rates(filter, query.cursor.as_deref(), limit).await?.into()))
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
    let effective_from = moment("effective_from", effective_from)?;
    let command = command::SetCommissionRate { scope, host_bps, agency_bps, effective_from };
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command.into(), api.now()).await?))
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
            if let Some(agency) = api.app.ledger.query(move |state, at| state.agency_of(host, at)).await? {
                not_the_owner(api, author, agency).await?;
            }
        }
    }
    Ok(scope)
}

/// Nobody decides on what their own agency gets.
pub async fn not_the_owner(api: &Api, author: &Author, agency: AgencyId) -> Result<(), Error> {
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
    let effective_from = moment("effective_from", asked.effective_from)?;
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
        /// Only splits of this host's earnings.
        host: Option<Uuid>,
        /// Only splits that this agency has a part of.
        agency: Option<Uuid>,
        /// Only splits of what this person paid or earned as a host.
        person: Option<Uuid>,
        /// Only splits of calls, or of gifts.
        #[param(inline)]
        source: Option<SplitFromWord>,
        /// Only splits of this call, or of this sending of a gift.
        source_id: Option<Uuid>,
        /// Only splits at this time or later (RFC 3339).
        from: Option<DateTime<Utc>>,
        /// Only splits before this time: the log as it was then.
        to: Option<DateTime<Utc>>,
        /// Only splits whose `gross_milli` is this or more. What was taken back is negative.
        min_amount_minor: Option<i64>,
        /// Only splits whose `gross_milli` is this or less.
        max_amount_minor: Option<i64>,
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
    format: Format,
) -> Result<Listed<InCoins<SplitRow>>, Error> {
    let limit = query.ready(format, &api).await?;
    let filter = CommissionFilter {
        host: query.host.map(PersonId),
        agency: query.agency.map(AgencyId),
        person: query.person.map(PersonId),
        source_id: query.source_id,
        source: query.source.map(SplitFrom::from),
        period: period(query.from, query.to)?,
        gross_milli: amounts(query.min_amount_minor, query.max_amount_minor)?,
    };
    let page = api.read.commission_log(filter, query.cursor.as_deref(), limit).await?;
    Ok(format.of(Page::from(page).map(InCoins::from)))
}
