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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refund {
    payment_id: String,
    /// All of the payment when absent.
    amount_minor: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dispute {
    payment_id: String,
    stage: Stage,
    /// Of a dispute that is created: all of the payment when absent.
    amount_minor: Option<i64>,
}

/// What the gateway tells of a dispute.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Created,
    UnderReview,
    ActionRequired,
    Won,
    Lost,
    Closed,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Stage::Created => "created",
            Stage::UnderReview => "under_review",
            Stage::ActionRequired => "action_required",
            Stage::Won => "won",
            Stage::Lost => "lost",
            Stage::Closed => "closed",
        }
    }
}

/// The routes below `/dev`.
pub fn router(dev: Dev) -> Router {
    Router::new()
        .route("/dev/otp/{phone}", get(last_code))
        .route("/dev/razorpay/pay", post(pay))
        .route("/dev/razorpay/refund", post(refund))
        .route("/dev/razorpay/dispute", post(dispute))
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
    told("payment_id", dev.razorpay.pay(&pay.order_id, pay.amount_minor, pay.fails).await)
}

/// Plays whoever sends a payment back in the gateway's own panel.
async fn refund(State(dev): State<Dev>, Json(refund): Json<Refund>) -> (StatusCode, Json<Value>) {
    told("refund_id", dev.razorpay.refund(&refund.payment_id, refund.amount_minor).await)
}

/// Plays the payer's bank.
async fn dispute(State(dev): State<Dev>, Json(dispute): Json<Dispute>) -> (StatusCode, Json<Value>) {
    let stage = dispute.stage.name();
    told("dispute_id", dev.razorpay.dispute(&dispute.payment_id, dispute.amount_minor, stage).await)
}

fn told(name: &str, id: anyhow::Result<String>) -> (StatusCode, Json<Value>) {
    match id {
        Ok(id) => (StatusCode::OK, Json(json!({ name: id }))),
        Err(fault) => {
            (StatusCode::NOT_FOUND, Json(json!({ "code": "not_told", "detail": format!("{fault:#}") })))
        }
    }
}
