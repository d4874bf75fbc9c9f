//! What exists in development mode only: a stand-in for Razorpay on loopback, and a window on the
//! outbox of one-time passwords.

mod razorpay;

pub use razorpay::LoopbackRazorpay;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use integrations::otp_sender::OtpOutbox;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Clone)]
pub struct Dev {
    pub outbox: OtpOutbox,
    pub razorpay: LoopbackRazorpay,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pay {
    order_id: String,
    /// Less or more than the order asks for; the order's amount when absent.
    amount_minor: Option<i64>,
    #[serde(default)]
    fails: bool,
}

/// The routes below `/dev`.
pub fn router(dev: Dev) -> Router {
    Router::new()
        .route("/dev/otp/{phone}", get(last_code))
        .route("/dev/razorpay/pay", post(pay))
        .with_state(dev)
}

/// The last code that was sent to a phone.
async fn last_code(State(dev): State<Dev>, Path(phone): Path<String>) -> (StatusCode, Json<Value>) {
    match dev.outbox.last_code(&phone) {
        Some(code) => (StatusCode::OK, Json(json!({ "phone": phone, "code": code }))),
        None => (StatusCode::NOT_FOUND, Json(json!({ "code": "otp_not_sent" }))),
    }
}

/// Plays the customer who pays an order: the stand-in then tells us by signed webhooks.
async fn pay(State(dev): State<Dev>, Json(pay): Json<Pay>) -> (StatusCode, Json<Value>) {
    match dev.razorpay.pay(&pay.order_id, pay.amount_minor, pay.fails).await {
        Ok(payment_id) => (StatusCode::OK, Json(json!({ "payment_id": payment_id }))),
        Err(fault) => {
            (StatusCode::NOT_FOUND, Json(json!({ "code": "payment_not_made", "detail": fault.to_string() })))
        }
    }
}
