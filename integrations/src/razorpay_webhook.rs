//! What a Razorpay delivery says. Read with a light hand: the vendor adds fields and events at will, and a
//! delivery that is signed must never be lost because something in it that we do not use looks odd.

use crate::razorpay::Notes;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};
use std::collections::HashMap;

/// One delivery, parsed. Verify its signature first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The vendor's name of the event, such as `payment.captured`.
    pub name: String,
    pub event: WebhookEvent,
    /// Unix seconds at the vendor.
    pub created_at: Option<i64>,
}

/// The deliveries that move money or tell that none will move. They come unordered and more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookEvent {
    /// `payment.captured` and `order.paid`: both fire for one payment, so credit once, keyed on `payment_id`.
    PaymentCaptured {
        payment_id: String,
        /// None for a payment made without an order, by link or in the vendor's panel.
        order_id: Option<String>,
        amount_minor: i64,
        currency: String,
        /// The order's receipt, where the delivery carries the order (`order.paid`).
        receipt: Option<String>,
        notes: Notes,
    },
    /// Not the end: the same order may be paid by another try, or this very payment late.
    PaymentFailed {
        payment_id: String,
        order_id: Option<String>,
        amount_minor: i64,
        currency: String,
        /// The vendor's code of the reason, such as `payment_cancelled`; never free text.
        reason: String,
        notes: Notes,
    },
    /// Money went back, asked for by us or by hand in the vendor's panel.
    RefundProcessed { refund_id: String, payment_id: String, amount_minor: i64, currency: String },
    /// A payer disputes a payment, or the dispute is decided.
    Dispute {
        dispute_id: String,
        payment_id: String,
        amount_minor: i64,
        currency: String,
        stage: DisputeStage,
        /// What the vendor has taken from our balance: nothing unless the dispute is lost.
        deducted_minor: Option<i64>,
    },
    /// Anything else, by name.
    Other(String),
}

/// Where a dispute stands. While evidence is asked for or looked at, it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisputeStage {
    Open,
    Won,
    Lost,
    /// Closed without a decision: only details were asked for, or the money was refunded.
    Closed,
}

impl DisputeStage {
    pub fn as_str(self) -> &'static str {
        match self {
            DisputeStage::Open => "open",
            DisputeStage::Won => "won",
            DisputeStage::Lost => "lost",
            DisputeStage::Closed => "closed",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("the delivery is not a Razorpay event: {0}")]
    NotAnEvent(String),
    /// A known event that lacks what it is about: to be kept and looked at by a person.
    #[error("{name}: {problem}")]
    Malformed { name: String, problem: String },
}

impl crate::razorpay::Razorpay {
    /// Reads a delivery whose signature was verified.
    pub fn parse_webhook(raw: &[u8]) -> Result<Webhook, WebhookError> {
        let envelope: Envelope =
            serde_json::from_slice(raw).map_err(|error| WebhookError::NotAnEvent(error.to_string()))?;
        let event = match envelope.event.as_str() {
            "payment.captured" | "order.paid" => captured(&envelope)?,
            "payment.failed" => failed(&envelope)?,
            "refund.processed" => refunded(&envelope)?,
            "payment.dispute.created"
            | "payment.dispute.under_review"
            | "payment.dispute.action_required" => disputed(&envelope, DisputeStage::Open)?,
            "payment.dispute.won" => disputed(&envelope, DisputeStage::Won)?,
            "payment.dispute.lost" => disputed(&envelope, DisputeStage::Lost)?,
            "payment.dispute.closed" => disputed(&envelope, DisputeStage::Closed)?,
            other => WebhookEvent::Other(other.to_owned()),
        };
        Ok(Webhook { name: envelope.event, event, created_at: envelope.created_at })
    }
}

fn captured(envelope: &Envelope) -> Result<WebhookEvent, WebhookError> {
    let payment: Payment = envelope.entity("payment")?;
    // The receipt is a help for a person; a strange order beside a good payment is not a reason to refuse it.
    let receipt = envelope.entity::<OrderPart>("order").ok().and_then(|order| order.receipt);
    Ok(WebhookEvent::PaymentCaptured {
        payment_id: payment.id,
        order_id: payment.order_id,
        amount_minor: payment.amount,
        currency: payment.currency,
        receipt,
        notes: payment.notes,
    })
}

fn failed(envelope: &Envelope) -> Result<WebhookEvent, WebhookError> {
    let payment: Payment = envelope.entity("payment")?;
    let reason = payment.error_reason.or(payment.error_code).unwrap_or_else(|| "unknown".into());
    Ok(WebhookEvent::PaymentFailed {
        payment_id: payment.id,
        order_id: payment.order_id,
        amount_minor: payment.amount,
        currency: payment.currency,
        reason,
        notes: payment.notes,
    })
}

fn refunded(envelope: &Envelope) -> Result<WebhookEvent, WebhookError> {
    let refund: Refund = envelope.entity("refund")?;
    Ok(WebhookEvent::RefundProcessed {
        refund_id: refund.id,
        payment_id: refund.payment_id,
        amount_minor: refund.amount,
        currency: refund.currency,
    })
}

fn disputed(envelope: &Envelope, stage: DisputeStage) -> Result<WebhookEvent, WebhookError> {
    let dispute: Dispute = envelope.entity("dispute")?;
    Ok(WebhookEvent::Dispute {
        dispute_id: dispute.id,
        payment_id: dispute.payment_id,
        amount_minor: dispute.amount,
        currency: dispute.currency,
        stage,
        deducted_minor: dispute.amount_deducted,
    })
}

#[derive(Deserialize)]
struct Envelope {
    event: String,
    /// Kept raw: only the entities that an event needs are read.
    payload: Option<Box<RawValue>>,
    created_at: Option<i64>,
}

impl Envelope {
    fn entity<T: DeserializeOwned>(&self, kind: &str) -> Result<T, WebhookError> {
        let malformed = |problem: String| WebhookError::Malformed { name: self.event.clone(), problem };
        let payload = self.payload.as_deref().map_or("{}", RawValue::get);
        let parts: HashMap<String, Box<RawValue>> =
            serde_json::from_str(payload).map_err(|error| malformed(error.to_string()))?;
        let part = parts.get(kind).ok_or_else(|| malformed(format!("no {kind} in the payload")))?;
        let part: Part = serde_json::from_str(part.get()).map_err(|error| malformed(error.to_string()))?;
        serde_json::from_str(part.entity.get()).map_err(|error| malformed(error.to_string()))
    }
}

#[derive(Deserialize)]
struct Part {
    entity: Box<RawValue>,
}

#[derive(Deserialize)]
struct Payment {
    id: String,
    order_id: Option<String>,
    amount: i64,
    currency: String,
    #[serde(default, deserialize_with = "notes_or_empty")]
    notes: Notes,
    error_code: Option<String>,
    error_reason: Option<String>,
}

#[derive(Deserialize)]
struct OrderPart {
    receipt: Option<String>,
}

#[derive(Deserialize)]
struct Refund {
    id: String,
    payment_id: String,
    amount: i64,
    currency: String,
}

#[derive(Deserialize)]
struct Dispute {
    id: String,
    payment_id: String,
    amount: i64,
    currency: String,
    amount_deducted: Option<i64>,
}

/// The vendor writes empty notes as `[]`, others as an object whose values need not be text.
pub(crate) fn notes_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Notes, D::Error> {
    let Value::Object(pairs) = Value::deserialize(deserializer)? else {
        return Ok(Notes::new());
    };
    let text = |value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(pairs.into_iter().map(|(key, value)| (key, text(value))).collect())
}
