//! What admins may change while the server runs.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, Json};
use axum::extract::State;
use platform::settings::{MeteringSettings, PayoutSettings};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(get_metering_settings, set_metering_settings))
        .routes(routes!(get_payout_settings, set_payout_settings))
}

/// How calls are metered. A call keeps the values that it began with.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Metering {
    /// What is charged at a time, 1 to 3600.
    increment_seconds: u32,
    /// Connected time before the first charge, 0 to 3600.
    free_seconds: u32,
    /// How long a side may be away before the call ends as lost, 1 to 600.
    grace_seconds: u32,
    /// How long an invitation rings, 1 to 300.
    ring_seconds: u32,
    /// How long before the coins run out the payer is warned, 0 to 3600.
    warning_seconds: u32,
    /// Why it is changed: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    #[serde(default, skip_serializing)]
    #[schema(write_only)]
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    #[serde(default, skip_serializing)]
    #[schema(write_only)]
    note: Option<String>,
}

impl From<MeteringSettings> for Metering {
    fn from(it: MeteringSettings) -> Metering {
        let MeteringSettings {
            increment_seconds,
            free_seconds,
            grace_seconds,
            ring_seconds,
            warning_seconds,
        } = it;
        Metering {
            increment_seconds,
            free_seconds,
            grace_seconds,
            ring_seconds,
            warning_seconds,
            reason: None,
            note: None,
        }
    }
}

impl From<Metering> for MeteringSettings {
    fn from(it: Metering) -> MeteringSettings {
        let Metering {
            increment_seconds, free_seconds, grace_seconds, ring_seconds, warning_seconds, ..
        } = it;
        MeteringSettings { increment_seconds, free_seconds, grace_seconds, ring_seconds, warning_seconds }
    }
}

/// Read how calls are metered.
#[utoipa::path(get, path = "/v1/admin/settings/metering", tag = "admin: settings",
    security(("bearer" = ["admin"])), responses((status = 200, body = Metering)))]
async fn get_metering_settings(State(api): State<Api>, _: AdminCaller) -> Result<Json<Metering>, Error> {
    Ok(Json(api.app.settings.metering().await?.into()))
}

/// Change how calls are metered.
///
/// Send all values. Calls that have begun keep the values that they began with. The change is kept in the audit log;
/// sending the values that are in force changes nothing.
#[utoipa::path(put, path = "/v1/admin/settings/metering", tag = "admin: settings",
    security(("bearer" = ["admin"])), responses((status = 200, body = Metering)))]
async fn set_metering_settings(
    State(api): State<Api>,
    admin: AdminAuthor,
    Json(asked): Json<Metering>,
) -> Result<Json<Metering>, Error> {
    let author = admin.because(asked.reason.as_deref(), asked.note.as_deref())?;
    let settings = asked.into();
    api.app.settings.set_metering(&settings, &author, api.now()).await?;
    Ok(Json(settings.into()))
}

/// How earnings become rupees.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Payouts {
    /// Rupees for one coin, as a decimal text: above 0, at most 1000000, at most 6 decimals.
    #[serde(with = "rust_decimal::serde::str")]
    #[schema(value_type = String, example = "0.50")]
    rate: Decimal,
    /// Thousandths of a coin, 1 or more.
    minimum_withdrawal_milli: i64,
    /// How long earnings wait before they can be withdrawn, at most 90 days.
    earnings_hold_seconds: u32,
    /// Why it is changed: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    #[serde(default, skip_serializing)]
    #[schema(write_only)]
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    #[serde(default, skip_serializing)]
    #[schema(write_only)]
    note: Option<String>,
}

impl From<PayoutSettings> for Payouts {
    fn from(it: PayoutSettings) -> Payouts {
        let PayoutSettings { rate, minimum_withdrawal_milli, earnings_hold_seconds } = it;
        Payouts { rate, minimum_withdrawal_milli, earnings_hold_seconds, reason: None, note: None }
    }
}

impl From<Payouts> for PayoutSettings {
    fn from(it: Payouts) -> PayoutSettings {
        let Payouts { rate, minimum_withdrawal_milli, earnings_hold_seconds, .. } = it;
        PayoutSettings { rate, minimum_withdrawal_milli, earnings_hold_seconds }
    }
}

/// Read how earnings become money.
#[utoipa::path(get, path = "/v1/admin/settings/payouts", tag = "admin: settings",
    security(("bearer" = ["admin"])), responses((status = 200, body = Payouts)))]
async fn get_payout_settings(State(api): State<Api>, _: AdminCaller) -> Result<Json<Payouts>, Error> {
    Ok(Json(api.app.settings.payout().await?.into()))
}

/// Change how earnings become money.
///
/// Send all values. Withdrawals that were requested before keep their rate. The change is kept in the audit log; sending
/// the values that are in force changes nothing.
#[utoipa::path(put, path = "/v1/admin/settings/payouts", tag = "admin: settings",
    security(("bearer" = ["admin"])), responses((status = 200, body = Payouts)))]
async fn set_payout_settings(
    State(api): State<Api>,
    admin: AdminAuthor,
    Json(asked): Json<Payouts>,
) -> Result<Json<Payouts>, Error> {
    let author = admin.because(asked.reason.as_deref(), asked.note.as_deref())?;
    let settings = asked.into();
    api.app.settings.set_payout(&settings, &author, api.now()).await?;
    Ok(Json(settings.into()))
}
