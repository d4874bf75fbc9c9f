//! What gateways tell us.

use crate::Api;
use crate::error::Error;
use crate::extract::{AdminAuthor, AdminCaller, Json, Path, Query, Raw};
use crate::page::{Format, List, Listed, Page, amounts, period};
use crate::words::WebhookStateWord;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use ledger_core::{PersonId, rfc3339};
use platform::webhooks::{Delivery, Filter, State as WebhookState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

const LIST: List = List("webhooks");

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(take_razorpay_webhook))
        .routes(routes!(list_webhooks))
        .routes(routes!(read_webhook))
        .routes(routes!(mark_webhook_handled))
        .routes(routes!(retry_webhook))
}

/// Receive a webhook of Razorpay
///
/// Razorpay calls it, not an app. A signed delivery is stored and answered with 200, whatever it says; it is worked
/// through after that. A delivery with a wrong signature is refused (`webhook_signature_invalid`).
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

/// A delivery of a gateway, and what became of it.
#[derive(Serialize, ToSchema)]
struct WebhookView {
    webhook: i64,
    #[schema(example = "razorpay")]
    gateway: String,
    /// What the gateway calls the delivery.
    delivery: String,
    #[serde(serialize_with = "rfc3339::serialize")]
    received_at: DateTime<Utc>,
    #[schema(value_type = WebhookStateWord)]
    state: WebhookState,
    /// What came of it: `recorded`, `duplicate`, `ignored`, the ledger's refusal, or why it needs a person.
    outcome: Option<String>,
    attempts: i32,
    /// The gateway's name of the event; null until it is worked through, and for what cannot be read.
    #[schema(example = "payment.captured")]
    kind: Option<String>,
    /// Who opened the purchase that it speaks of.
    person: Option<Uuid>,
    /// The money that it speaks of.
    amount_minor: Option<i64>,
    #[schema(example = "INR/2")]
    amount_asset: Option<String>,
    handled_by: Option<Uuid>,
    #[serde(serialize_with = "rfc3339::option::serialize")]
    handled_at: Option<DateTime<Utc>>,
}

impl From<Delivery> for WebhookView {
    fn from(it: Delivery) -> WebhookView {
        WebhookView {
            webhook: it.id,
            gateway: it.gateway,
            delivery: it.delivery,
            received_at: it.received_at,
            state: it.state,
            outcome: it.outcome,
            attempts: it.attempts,
            kind: it.subject.kind,
            person: it.subject.person,
            amount_minor: it.subject.amount_minor,
            amount_asset: it.subject.amount_asset,
            handled_by: it.handled_by,
            handled_at: it.handled_at,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct WebhooksQuery {
    /// Only those in this state.
    #[param(value_type = Option<WebhookStateWord>)]
    state: Option<WebhookState>,
    /// Only those of this event, as the gateway names it, such as `payment.captured`.
    kind: Option<String>,
    /// Only those about a purchase of this person.
    person: Option<Uuid>,
    /// Only those received at this time or later (RFC 3339).
    from: Option<DateTime<Utc>>,
    /// Only those received before this time.
    to: Option<DateTime<Utc>>,
    /// Only those that speak of at least so much, in the smallest unit of the currency.
    min_amount_minor: Option<i64>,
    /// Only those that speak of at most so much.
    max_amount_minor: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page, 1 to 100; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// List webhook deliveries
///
/// Returns what gateways sent and what became of it, the newest first. Ask for `state=needs_person` and
/// `state=unreadable` to see what a person has to look at: money that could not be recorded, disputes, and signed
/// deliveries that are no events. Deliveries are kept for 90 days.
#[utoipa::path(get, path = "/v1/admin/webhooks", tag = "admin: webhooks", security(("bearer" = ["admin"])),
    params(WebhooksQuery), responses((status = 200, body = Page<WebhookView>)))]
async fn list_webhooks(
    State(api): State<Api>,
    _: AdminCaller,
    Query(query): Query<WebhooksQuery>,
    format: Format,
) -> Result<Listed<WebhookView>, Error> {
    let limit = format.limit(query.limit)?;
    let after = LIST.place(query.cursor.as_deref())?;
    let filter = Filter {
        state: query.state,
        kind: query.kind,
        person: query.person.map(PersonId),
        period: period(query.from, query.to)?,
        amount_minor: amounts(query.min_amount_minor, query.max_amount_minor)?,
    };
    let found = api.app.webhooks.list(&filter, after, limit).await?;
    Ok(format.of(LIST.page(found).map(WebhookView::from)))
}

#[derive(Serialize, ToSchema)]
struct WebhookWithBody {
    #[serde(flatten)]
    webhook: WebhookView,
    /// What the gateway sent; null when it is erased.
    body: Option<String>,
}

/// Retrieve a webhook delivery
///
/// Returns one delivery with the text that the gateway sent, as long as it is kept. It may hold personal data of a
/// payer, so that reading it is kept in the audit log.
#[utoipa::path(get, path = "/v1/admin/webhooks/{webhook}", tag = "admin: webhooks",
    security(("bearer" = ["admin"])), responses((status = 200, body = WebhookWithBody)))]
async fn read_webhook(
    State(api): State<Api>,
    admin: AdminAuthor,
    Path(webhook): Path<i64>,
) -> Result<Json<WebhookWithBody>, Error> {
    let (delivery, body) = api.app.webhooks.read(webhook, &admin.author, api.now()).await?;
    Ok(Json(WebhookWithBody { webhook: delivery.into(), body }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct HandleWebhook {
    /// What was done: a code of 1 to 64 small letters, digits and underscores.
    #[schema(example = "refunded_in_panel")]
    reason: String,
    /// The words behind the reason, up to 2000 characters.
    note: Option<String>,
}

/// Mark a webhook delivery as handled
///
/// Records that a person has dealt with a delivery that needed one.
#[utoipa::path(post, path = "/v1/admin/webhooks/{webhook}/handled", tag = "admin: webhooks",
    security(("bearer" = ["admin"])), params(("webhook" = i64, Path)),
    responses((status = 200, body = WebhookView)))]
async fn mark_webhook_handled(
    State(api): State<Api>,
    admin: AdminAuthor,
    Path(webhook): Path<i64>,
    Json(asked): Json<HandleWebhook>,
) -> Result<Json<WebhookView>, Error> {
    let author = admin.because(Some(&asked.reason), asked.note.as_deref())?;
    Ok(Json(api.app.webhooks.mark_handled(webhook, &author, api.now()).await?.into()))
}

/// Process a webhook delivery again
///
/// Works through a delivery that needed a person once more. Use it when what stood in the way is mended.
#[utoipa::path(post, path = "/v1/admin/webhooks/{webhook}/retry", tag = "admin: webhooks",
    security(("bearer" = ["admin"])), responses((status = 200, body = WebhookView)))]
async fn retry_webhook(
    State(api): State<Api>,
    admin: AdminAuthor,
    Path(webhook): Path<i64>,
) -> Result<Json<WebhookView>, Error> {
    Ok(Json(api.app.webhooks.try_again(webhook, &admin.author, api.now()).await?.into()))
}
