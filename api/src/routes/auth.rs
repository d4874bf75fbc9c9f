//! Signing in and out.

use crate::Api;
use crate::error::Error;
use crate::extract::{AnyCaller, ClientAddress, Json};
use crate::routes::me::PersonView;
use crate::words::OtpChannelWord;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use integrations::otp_sender::OtpChannel;
use ledger_core::rfc3339;
use platform::identity::{Requester, TokenPair};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(start_otp))
        .routes(routes!(verify_otp))
        .routes(routes!(refresh_tokens))
        .routes(routes!(log_out))
        .routes(routes!(log_out_everywhere))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StartOtp {
    /// A number that exists, with its country code. Spaces, hyphens, dots and round brackets between the digits, `00`
    /// for the plus, and a national leading zero make no difference.
    #[schema(example = "+919876543210")]
    phone: String,
    #[schema(value_type = OtpChannelWord)]
    channel: OtpChannel,
    /// The `device_token` that this device got at an earlier sign-in of the same person, if it has one.
    device_token: Option<String>,
}

/// A code is on its way.
#[derive(Serialize, ToSchema)]
struct OtpStarted {
    /// Send it back together with the code.
    challenge: Uuid,
    expires_in_seconds: u32,
    resend_after_seconds: u32,
}

/// Send a one-time password
///
/// Sends a code of six digits to the phone and opens a challenge. Verify the challenge with the code within
/// `expires_in_seconds`. The answer is the same whether the phone has an account or not.
///
/// How many codes a phone gets is limited, per hour and per day. A device that has signed in before sends its
/// `device_token` and has an allowance of its own. Others share one for the phone; when it is used up, codes are sent
/// more slowly. A request beyond a limit is answered 429 with `retry_after_seconds`.
#[utoipa::path(post, path = "/v1/auth/otp", tag = "auth", responses((status = 202, body = OtpStarted)))]
async fn start_otp(
    State(api): State<Api>,
    ClientAddress(address): ClientAddress,
    Json(asked): Json<StartOtp>,
) -> Result<(StatusCode, Json<OtpStarted>), Error> {
    let requester = Requester { address: &address, device_token: asked.device_token.as_deref() };
    let started = api.app.otp.start(&asked.phone, asked.channel, requester, api.now()).await?;
    let answer = OtpStarted {
        challenge: started.challenge,
        expires_in_seconds: started.expires_in_seconds,
        resend_after_seconds: started.resend_after_seconds,
    };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct VerifyOtp {
    phone: String,
    /// What the request for the code was answered with.
    challenge: Uuid,
    #[schema(example = "123456")]
    code: String,
}

/// What a client holds after signing in.
#[derive(Serialize, ToSchema)]
struct Tokens {
    person: Uuid,
    session: Uuid,
    access_token: String,
    access_expires_in_seconds: i64,
    /// Good once: each refresh gives the next one.
    refresh_token: String,
    #[serde(serialize_with = "rfc3339::serialize")]
    refresh_expires_at: DateTime<Utc>,
}

impl From<TokenPair> for Tokens {
    fn from(pair: TokenPair) -> Tokens {
        Tokens {
            person: pair.person.0,
            session: pair.session.0,
            access_token: pair.access_token,
            access_expires_in_seconds: pair.access_expires_in_seconds,
            refresh_token: pair.refresh_token,
            refresh_expires_at: pair.refresh_expires_at,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct SignedIn {
    tokens: Tokens,
    /// For a device that the person signs in on for the first time. Keep it on the device, and send it with the next
    /// request for a code. Absent when the device has one already.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_token: Option<String>,
    person: PersonView,
}

/// Sign in with a one-time password
///
/// Exchanges a challenge and its code for tokens. The first sign-in with a phone makes the account. Five wrong codes
/// end the challenge: ask for a new one. A suspended or banned account is answered 403 with `account_suspended` or
/// `account_banned`.
#[utoipa::path(post, path = "/v1/auth/otp/verify", tag = "auth", responses((status = 200, body = SignedIn)))]
async fn verify_otp(State(api): State<Api>, Json(asked): Json<VerifyOtp>) -> Result<Json<SignedIn>, Error> {
    let verified = api.app.otp.verify(&asked.phone, asked.challenge, &asked.code, api.now()).await?;
    let tokens = api.app.sessions.open(verified.person.id, api.now()).await?;
    let (device_token, person) = (verified.device_token, verified.person.into());
    Ok(Json(SignedIn { tokens: tokens.into(), device_token, person }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Refresh {
    refresh_token: String,
}

/// Refresh your tokens
///
/// Exchanges a refresh token for a new access token and the next refresh token. Each refresh token is good once. A
/// client that lost the answer may send the same token again within 30 seconds; any other second use ends the session,
/// since somebody else may hold the token. How often one person may refresh is limited per hour.
#[utoipa::path(post, path = "/v1/auth/refresh", tag = "auth", responses((status = 200, body = Tokens)))]
async fn refresh_tokens(State(api): State<Api>, Json(asked): Json<Refresh>) -> Result<Json<Tokens>, Error> {
    Ok(Json(api.app.sessions.refresh(&asked.refresh_token, api.now()).await?.into()))
}

/// Sign out
///
/// Ends the session of the access token. Its tokens are refused from now on and its sockets are closed.
#[utoipa::path(post, path = "/v1/auth/logout", tag = "auth", security(("bearer" = [])),
    responses((status = 204, description = "Signed out")))]
async fn log_out(State(api): State<Api>, caller: AnyCaller) -> Result<StatusCode, Error> {
    api.app.sessions.logout(caller.person(), caller.0.session, api.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sign out everywhere
///
/// Ends all sessions of the caller, on all devices.
#[utoipa::path(post, path = "/v1/auth/logout-everywhere", tag = "auth", security(("bearer" = [])),
    responses((status = 204, description = "Signed out everywhere")))]
async fn log_out_everywhere(State(api): State<Api>, caller: AnyCaller) -> Result<StatusCode, Error> {
    api.app.sessions.logout_everywhere(caller.person(), api.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
