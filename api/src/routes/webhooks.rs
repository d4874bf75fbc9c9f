//! What gateways tell us.

use crate::Api;
use crate::error::Error;
use crate::extract::Raw;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(take_razorpay_webhook))
}

/// Take a delivery of Razorpay.
///
/// Whatever it says, a signed delivery is kept and answered with 200; what comes of it happens after.
#[utoipa::path(post, path = "/v1/webhooks/razorpay", tag = "webhooks",
    params(
        ("X-Razorpay-Signature" = String, Header, description = "HMAC-SHA256 of the body's bytes, in hex"),
        ("x-razorpay-event-id" = Option<String>, Header, description = "The delivery's id: a second one with it is dropped"),
    ),
    request_body(content = serde_json::Value, content_type = "application/json"),
    responses((status = 200, description = "Kept")))]
async fn take_razorpay_webhook(
    State(api): State<Api>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<StatusCode, Error> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // A missing signature fits no body.
    let signature = header("x-razorpay-signature").unwrap_or_default();
    api.app.purchases.receive(&body, signature, header("x-razorpay-event-id"), api.now()).await?;
    Ok(StatusCode::OK)
}
