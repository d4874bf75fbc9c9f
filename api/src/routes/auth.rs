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
use platform::identity::TokenPair;
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
    /// With the country's code.
    #[schema(example = "+919876543210")]
    phone: String,
    #[schema(value_type = OtpChannelWord)]
    channel: OtpChannel,
}

/// What the client may show while the person waits for the code.
#[derive(Serialize, ToSchema)]
struct OtpStarted {
    expires_in_seconds: u32,
    resend_after_seconds: u32,
}

/// Send a one-time password.
///
/// The answer is the same whether the phone has an account or not.
#[utoipa::path(post, path = "/v1/auth/otp", tag = "auth", responses((status = 202, body = OtpStarted)))]
async fn start_otp(
    State(api): State<Api>,
    ClientAddress(address): ClientAddress,
    Json(asked): Json<StartOtp>,
) -> Result<(StatusCode, Json<OtpStarted>), Error> {
    let started = api.app.otp.start(&asked.phone, asked.channel, &address, api.now()).await?;
    let answer = OtpStarted {
        expires_in_seconds: started.expires_in_seconds,
        resend_after_seconds: started.resend_after_seconds,
    };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct VerifyOtp {
    phone: String,
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
    person: PersonView,
}

/// Sign in with the code. At the first time this makes the account.
#[utoipa::path(post, path = "/v1/auth/otp/verify", tag = "auth", responses((status = 200, body = SignedIn)))]
async fn verify_otp(State(api): State<Api>, Json(asked): Json<VerifyOtp>) -> Result<Json<SignedIn>, Error> {
    let person = api.app.otp.verify(&asked.phone, &asked.code, api.now()).await?;
    let tokens = api.app.sessions.open(person.id, api.now()).await?;
    Ok(Json(SignedIn { tokens: tokens.into(), person: person.into() }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Refresh {
    refresh_token: String,
}

/// Exchange a refresh token for new tokens.
///
/// A client that lost the answer may send the same token again within 30 seconds. Any other second use
/// ends the session.
#[utoipa::path(post, path = "/v1/auth/refresh", tag = "auth", responses((status = 200, body = Tokens)))]
async fn refresh_tokens(State(api): State<Api>, Json(asked): Json<Refresh>) -> Result<Json<Tokens>, Error> {
    Ok(Json(api.app.sessions.refresh(&asked.refresh_token, api.now()).await?.into()))
}

/// End this session.
#[utoipa::path(post, path = "/v1/auth/logout", tag = "auth", security(("bearer" = [])),
    responses((status = 204, description = "Signed out")))]
async fn log_out(State(api): State<Api>, caller: AnyCaller) -> Result<StatusCode, Error> {
    api.app.sessions.logout(caller.person(), caller.0.session, api.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End all sessions of the caller, on all devices.
#[utoipa::path(post, path = "/v1/auth/logout-everywhere", tag = "auth", security(("bearer" = [])),
    responses((status = 204, description = "Signed out everywhere")))]
async fn log_out_everywhere(State(api): State<Api>, caller: AnyCaller) -> Result<StatusCode, Error> {
    api.app.sessions.logout_everywhere(caller.person(), api.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
