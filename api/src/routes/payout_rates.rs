//! What a payout is worth in rupees, and the tax that is withheld from it.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, IdempotencyKey, Json, Query};
use crate::page::{Format, Listed, Page, list_query, moment, period};
use crate::receipt::{Answered, Recorded};
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::{Asset, command};
use projections::{PayoutRateRow, TaxRateRow};
use rust_decimal::Decimal;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_payout_rates, set_payout_rate))
        .routes(routes!(list_tax_rates, set_tax_rate))
}

list_query! {
    RatesQuery {
        /// Only rates that were set at this time or later (RFC 3339).
        from: Option<DateTime<Utc>>,
        /// Only rates that were set before this time.
        to: Option<DateTime<Utc>>,
    }
}

/// List payout rates
///
/// Returns the payout rates that were set, the newest first. The rate with the latest `effective_from` that has come is
/// in force; before the first one a coin is paid out at one rupee.
#[utoipa::path(get, path = "/v1/admin/payout-rates", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(RatesQuery),
    responses((status = 200, body = Page<PayoutRateRow>)))]
async fn list_payout_rates(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<RatesQuery>,
    format: Format,
) -> Result<Listed<PayoutRateRow>, Error> {
    let limit = query.ready(format, &api).await?;
    let period = period(query.from, query.to)?;
    Ok(format.of(api.read.payout_rates(period, query.cursor.as_deref(), limit).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetPayoutRate {
    /// Rupees for one coin, as a decimal text: above 0, at most 1000000, at most 6 decimals.
    #[serde(with = "platform::reading::decimal_text")]
    #[schema(value_type = String, example = "0.50")]
    rate: Decimal,
    /// At once when absent; never in the past.
    effective_from: Option<DateTime<Utc>>,
    /// Why it is changed: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Set the payout rate
///
/// Sets what a coin is paid out at, from a moment on. Withdrawals that were requested before keep their rate. Setting
/// the rate that is in force changes nothing.
#[utoipa::path(put, path = "/v1/admin/payout-rates", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(IdempotencyKey), responses((status = 200, body = Recorded)))]
async fn set_payout_rate(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<SetPayoutRate>,
) -> Result<Answered<Recorded>, Error> {
    let author = admin.because(asked.reason.as_deref(), asked.note.as_deref())?;
    let effective_from = moment("effective_from", asked.effective_from)?;
    // However it is written, it is one rate.
    let rate = asked.rate.normalize();
    let command = command::SetPayoutRate { asset: Asset::INR, rate, effective_from };
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command.into(), api.now()).await?))
}

/// List tax rates
///
/// Returns the tax rates that were set, the newest first. The rate with the latest `effective_from` that has come is in
/// force; before the first one nothing is withheld.
#[utoipa::path(get, path = "/v1/admin/tax-rates", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(RatesQuery),
    responses((status = 200, body = Page<TaxRateRow>)))]
async fn list_tax_rates(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<RatesQuery>,
    format: Format,
) -> Result<Listed<TaxRateRow>, Error> {
    let limit = query.ready(format, &api).await?;
    let period = period(query.from, query.to)?;
    Ok(format.of(api.read.tax_rates(period, query.cursor.as_deref(), limit).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetTaxRate {
    /// The part of a payout that is withheld, in basis points: 0 to 10000.
    tax_bps: u32,
    /// At once when absent; never in the past.
    effective_from: Option<DateTime<Utc>>,
    /// Why it is changed: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Set the tax rate
///
/// Sets the part of each payout that is withheld as tax, from a moment on. What the law asks for is yours to know.
/// Withdrawals that were requested before keep their rate. Setting the rate that is in force changes nothing.
#[utoipa::path(put, path = "/v1/admin/tax-rates", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), params(IdempotencyKey), responses((status = 200, body = Recorded)))]
async fn set_tax_rate(
    State(api): State<Api>,
    admin: AdminAuthor,
    IdempotencyKey(key): IdempotencyKey,
    Json(asked): Json<SetTaxRate>,
) -> Result<Answered<Recorded>, Error> {
    let author = admin.because(asked.reason.as_deref(), asked.note.as_deref())?;
    let effective_from = moment("effective_from", asked.effective_from)?;
    let command = command::SetTaxRate { asset: Asset::INR, tax_bps: asked.tax_bps, effective_from };
    Ok(Answered::done(api.app.commands.give_audited(&author, key, command.into(), api.now()).await?))
}
