//! Whose payout details an admin has checked.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, Json, Path};
use axum::extract::State;
use chrono::{DateTime, Utc};
use ledger_core::{AgencyId, PersonId, Rejection, rfc3339};
use platform::audit::Author;
use platform::commands::CommandError;
use platform::payees::{PayeeId, Verified};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(get_host_verification, verify_host))
        .routes(routes!(get_agency_verification, verify_agency))
}

/// Whether an admin has checked where a host or an agency is paid.
#[derive(Serialize, ToSchema)]
struct PayeeVerification {
    verified: bool,
    /// The admin; absent for a payee that is not verified.
    verified_by: Option<Uuid>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    verified_at: Option<DateTime<Utc>>,
}

impl From<Option<Verified>> for PayeeVerification {
    fn from(it: Option<Verified>) -> PayeeVerification {
        PayeeVerification {
            verified: it.is_some(),
            verified_by: it.map(|it| it.verified_by),
            verified_at: it.map(|it| it.verified_at),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct VerifyPayee {
    verified: bool,
    /// Why it is changed: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
    reason: Option<String>,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Retrieve the verification of a host's payout details
///
/// Returns whether an admin has checked where the host is paid.
#[utoipa::path(get, path = "/v1/admin/hosts/{person}/payout-verification", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), responses((status = 200, body = PayeeVerification)))]
async fn get_host_verification(
    State(api): State<Api>,
    _: AdminCaller,
    Path(person): Path<Uuid>,
) -> Result<Json<PayeeVerification>, Error> {
    let host = api.app.hosts.approved(PersonId(person)).await?.person;
    Ok(Json(api.app.payees.verified(PayeeId::Host(host)).await.map_err(CommandError::from)?.into()))
}

/// Verify a host's payout details
///
/// Says whether you have checked where the host is paid. Where `/v1/admin/settings/payouts` require it, a host who is
/// not verified cannot request a withdrawal (`payee_not_verified`); withdrawals that were requested before go on. An
/// admin cannot verify themselves (`own_money`).
#[utoipa::path(put, path = "/v1/admin/hosts/{person}/payout-verification", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), responses((status = 200, body = PayeeVerification)))]
async fn verify_host(
    State(api): State<Api>,
    admin: AdminAuthor,
    Path(person): Path<Uuid>,
    Json(asked): Json<VerifyPayee>,
) -> Result<Json<PayeeVerification>, Error> {
    let host = api.app.hosts.approved(PersonId(person)).await?.person;
    set(&api, admin, PayeeId::Host(host), host, asked).await
}

/// Retrieve the verification of an agency's payout details
///
/// Returns whether an admin has checked where the agency is paid.
#[utoipa::path(get, path = "/v1/admin/agencies/{agency}/payout-verification", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), responses((status = 200, body = PayeeVerification)))]
async fn get_agency_verification(
    State(api): State<Api>,
    _: AdminCaller,
    Path(agency): Path<Uuid>,
) -> Result<Json<PayeeVerification>, Error> {
    let agency = api.app.agencies.get(AgencyId(agency)).await?.id;
    Ok(Json(api.app.payees.verified(PayeeId::Agency(agency)).await.map_err(CommandError::from)?.into()))
}

/// Verify an agency's payout details
///
/// Says whether you have checked where the agency is paid. Where `/v1/admin/settings/payouts` require it, an agency that
/// is not verified cannot request a withdrawal (`payee_not_verified`); withdrawals that were requested before go on. An
/// admin cannot verify an agency that they own (`own_money`).
#[utoipa::path(put, path = "/v1/admin/agencies/{agency}/payout-verification", tag = "admin: withdrawals",
    security(("bearer" = ["admin"])), responses((status = 200, body = PayeeVerification)))]
async fn verify_agency(
    State(api): State<Api>,
    admin: AdminAuthor,
    Path(agency): Path<Uuid>,
    Json(asked): Json<VerifyPayee>,
) -> Result<Json<PayeeVerification>, Error> {
    let agency = api.app.agencies.get(AgencyId(agency)).await?;
    set(&api, admin, PayeeId::Agency(agency.id), agency.owner, asked).await
}

async fn set(
    api: &Api,
    admin: AdminAuthor,
    payee: PayeeId,
    whose: PersonId,
    VerifyPayee { verified, reason, note }: VerifyPayee,
) -> Result<Json<PayeeVerification>, Error> {
    let author: Author = admin.because(reason.as_deref(), note.as_deref())?;
    if author.id() == Some(whose) {
        return Err(CommandError::from(Rejection::OwnMoney).into());
    }
    Ok(Json(api.app.payees.set(payee, verified, &author, api.now()).await?.into()))
}
