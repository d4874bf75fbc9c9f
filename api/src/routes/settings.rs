//! What admins may change while the server runs.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, Json};
use crate::receipt::Answered;
use crate::routes::approvals::{ApprovalView, DoneOrProposed};
use axum::extract::State;
use platform::audit::Author;
use platform::settings::{ApprovalSettings, LimitSettings, MeteringSettings, PayoutSettings};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(get_metering_settings, set_metering_settings))
        .routes(routes!(get_payout_settings, set_payout_settings))
        .routes(routes!(get_approval_settings, set_approval_settings))
        .routes(routes!(get_limit_settings, set_limit_settings))
}

/// Declares the body of a route of settings: the fields of the platform's own struct, each as it is described to
/// clients, and why they are changed.
macro_rules! settings {
    ($(#[$doc:meta])* $name:ident of $of:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        struct $name {
            $($(#[$field_doc])* $field: $kind,)*
            /// Why it is changed: a code of 1 to 64 small letters, digits and underscores, kept in the audit log.
            #[serde(default, skip_serializing)]
            #[schema(write_only)]
            reason: Option<String>,
            /// The words behind the reason, up to 2000 characters.
            #[serde(default, skip_serializing)]
            #[schema(write_only)]
            note: Option<String>,
        }

        impl $name {
            /// Who changes it, and why.
            fn author(&self, admin: AdminAuthor) -> Result<Author, Error> {
                admin.because(self.reason.as_deref(), self.note.as_deref())
            }
        }

        impl From<$of> for $name {
            fn from($of { $($field),* }: $of) -> $name {
                $name { $($field,)* reason: None, note: None }
            }
        }

        impl From<$name> for $of {
            fn from($name { $($field,)* .. }: $name) -> $of {
                $of { $($field),* }
            }
        }
    };
}

settings! {
    /// How calls are metered. A call keeps the values that it began with.
    Metering of MeteringSettings {
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
    }
}

/// Retrieve the metering settings
///
/// Returns how calls are metered that begin from now on.
#[utoipa::path(get, path = "/v1/admin/settings/metering", tag = "admin: settings",
    security(("bearer" = ["admin"])), responses((status = 200, body = Metering)))]
async fn get_metering_settings(State(api): State<Api>, _: AdminCaller) -> Result<Json<Metering>, Error> {
    Ok(Json(api.app.settings.metering().await?.into()))
}

/// Change the metering settings
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
    let author = asked.author(admin)?;
    let settings = asked.into();
    api.app.settings.set_metering(&settings, &author, api.now()).await?;
    Ok(Json(settings.into()))
}

settings! {
    /// When earnings may be withdrawn, and how much of them.
    Payouts of PayoutSettings {
        /// Thousandths of a coin, 1 or more.
        minimum_withdrawal_milli: i64,
        /// Thousandths of a coin that one payee may ask for in a day (UTC), 1 or more. Null for no limit. What is
        /// cancelled, rejected or failed on the same day does not count.
        #[serde(deserialize_with = "Option::deserialize")]
        #[schema(required)]
        daily_withdrawal_milli: Option<i64>,
        /// Whether an admin has to verify a payee before the payee can withdraw.
        require_verified_payee: bool,
        /// How long earnings wait before they can be withdrawn, at most 90 days. They can be withdrawn when this
        /// time is over or shortly after: later by less than a thousandth of it, or than one second where that is
        /// longer.
        earnings_hold_seconds: u32,
        /// Whether a lost dispute takes back what hosts and agencies earned by its coins, while that waits. It holds for
        /// charges that are made, and calls that begin, from now on.
        claw_back_held_earnings: bool,
    }
}

/// Retrieve the payout settings
///
/// Returns when earnings may be withdrawn, and how much of them. Rates and taxes have routes of their own.
#[utoipa::path(get, path = "/v1/admin/settings/payouts", tag = "admin: settings",
    security(("bearer" = ["admin"])), responses((status = 200, body = Payouts)))]
async fn get_payout_settings(State(api): State<Api>, _: AdminCaller) -> Result<Json<Payouts>, Error> {
    Ok(Json(api.app.settings.payout().await?.into()))
}

/// Change the payout settings
///
/// Changes when earnings may be withdrawn, and how much of them. Send all values. They hold for withdrawals that are
/// requested from now on. The change is kept in the audit log; sending the values that are in force changes nothing.
#[utoipa::path(put, path = "/v1/admin/settings/payouts", tag = "admin: settings",
    security(("bearer" = ["admin"])), responses((status = 200, body = Payouts)))]
async fn set_payout_settings(
    State(api): State<Api>,
    admin: AdminAuthor,
    Json(asked): Json<Payouts>,
) -> Result<Json<Payouts>, Error> {
    let author = asked.author(admin)?;
    let settings = asked.into();
    api.app.settings.set_payout(&settings, &author, api.now()).await?;
    Ok(Json(settings.into()))
}

settings! {
    /// What takes a second admin: amounts above these.
    ApprovalLimits of ApprovalSettings {
        /// Thousandths of a coin that one admin may add to or take from an account at a time, from 0.
        adjustment_milli: i64,
        /// Thousandths of a coin that one admin may give as a bonus at a time, from 0.
        bonus_milli: i64,
        /// Minor units of the payout's currency, before tax, that one admin may approve at a time, from 0.
        payout_minor: i64,
        /// How long a proposal waits for another admin, 60 to 2592000.
        expires_seconds: u32,
    }
}

/// Retrieve the approval limits
///
/// Returns the amounts above which a second admin has to approve.
#[utoipa::path(get, path = "/v1/admin/settings/approvals", tag = "admin: settings",
    security(("bearer" = ["admin"])), responses((status = 200, body = ApprovalLimits)))]
async fn get_approval_settings(
    State(api): State<Api>,
    _: AdminCaller,
) -> Result<Json<ApprovalLimits>, Error> {
    Ok(Json(api.app.settings.approvals().await?.into()))
}

/// Change the approval limits
///
/// Changes the amounts above which a second admin has to approve. Send all values. Lower limits hold at once. Raising
/// one takes a second admin itself: the answer is 202 with a proposal.
#[utoipa::path(put, path = "/v1/admin/settings/approvals", tag = "admin: settings",
    security(("bearer" = ["admin"])),
    responses((status = 200, body = ApprovalLimits), (status = 202, body = ApprovalView)))]
async fn set_approval_settings(
    State(api): State<Api>,
    admin: AdminAuthor,
    Json(asked): Json<ApprovalLimits>,
) -> Result<DoneOrProposed<ApprovalLimits>, Error> {
    let author = asked.author(admin)?;
    let settings = ApprovalSettings::from(asked);
    Ok(match api.app.approvals.set_limits(&author, settings.clone(), api.now()).await? {
        Some(approval) => DoneOrProposed::Proposed { approval: Box::new(approval), replayed: false },
        None => DoneOrProposed::Done(Answered::stored(settings.into())),
    })
}

settings! {
    /// How often a person may do what costs nothing.
    PersonLimits of LimitSettings {
        /// Unpaid purchases at a time, 1 to 100.
        open_purchases: u32,
        /// Purchases opened in 24 hours, 1 to 10000.
        purchases_per_day: u32,
        /// After this long an unpaid purchase is closed, 900 to 2592000.
        purchase_open_seconds: u32,
        /// For how long an order may be paid at the gateway, 5 to 86400; then it expires.
        order_payment_seconds: u32,
        /// Withdrawals requested in 24 hours, 1 to 10000.
        withdrawals_per_day: u32,
        /// Changes of a host's own prices in 24 hours, 1 to 10000.
        price_changes_per_day: u32,
        /// Applications to become a host, changed ones too, in 24 hours, 1 to 10000.
        applications_per_day: u32,
        /// Calls begun to ring in a minute, 1 to 1000.
        rings_per_minute: u32,
        /// Calls begun to ring in 24 hours, 1 to 100000.
        rings_per_day: u32,
    }
}

/// Retrieve the limits of a person
///
/// Returns how often a person may do what costs nothing.
#[utoipa::path(get, path = "/v1/admin/settings/limits", tag = "admin: settings",
    security(("bearer" = ["admin"])), responses((status = 200, body = PersonLimits)))]
async fn get_limit_settings(State(api): State<Api>, _: AdminCaller) -> Result<Json<PersonLimits>, Error> {
    Ok(Json(api.app.settings.limits().await?.into()))
}

/// Change the limits of a person
///
/// Changes how often a person may do what costs nothing. Send all values. They hold from the next request on.
#[utoipa::path(put, path = "/v1/admin/settings/limits", tag = "admin: settings",
    security(("bearer" = ["admin"])), responses((status = 200, body = PersonLimits)))]
async fn set_limit_settings(
    State(api): State<Api>,
    admin: AdminAuthor,
    Json(asked): Json<PersonLimits>,
) -> Result<Json<PersonLimits>, Error> {
    let author = asked.author(admin)?;
    let settings = asked.into();
    api.app.settings.set_limits(&settings, &author, api.now()).await?;
    Ok(Json(settings.into()))
}
