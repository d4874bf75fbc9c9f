//! A stand-in for Razorpay that speaks its HTTP on a loopback port: orders behind Basic auth, and
//! webhooks signed as the vendor signs them.

use anyhow::{Context, bail};
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

#[derive(Clone)]
pub struct LoopbackRazorpay(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    basic: String,
    webhook_secret: String,
    /// Where webhooks go; known once our own server listens.
    webhook_url: Mutex<Option<String>>,
    orders: Mutex<BTreeMap<String, Value>>,
    /// Those that were captured.
    payments: Mutex<BTreeMap<String, Value>>,
    disputes: Mutex<BTreeMap<String, Value>>,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct NewOrder {
    amount: i64,
    currency: String,
    receipt: Option<String>,
    #[serde(default)]
    notes: Value,
}

#[derive(Deserialize)]
struct Search {
    receipt: Option<String>,
}

impl LoopbackRazorpay {
    /// Listens on a free loopback port; the answered future serves it.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(
        key_id: &str,
        key_secret: &str,
        webhook_secret: &str,
    ) -> anyhow::Result<(LoopbackRazorpay, impl Future<Output = ()> + Send + use<>)> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no loopback port for the stand-in of Razorpay")?;
        let razorpay = LoopbackRazorpay(Arc::new(Inner {
            address: listener.local_addr()?,
            basic: format!("Basic {}", base64(format!("{key_id}:{key_secret}").as_bytes())),
            webhook_secret: webhook_secret.to_owned(),
            webhook_url: Mutex::default(),
            orders: Mutex::default(),
            payments: Mutex::default(),
            disputes: Mutex::default(),
            http: reqwest::Client::new(),
        }));
        let router = Router::new()
            .route("/v1/orders", get(find_orders).post(create_order))
            .layer(middleware::from_fn_with_state(razorpay.clone(), check_keys))
            .with_state(razorpay.clone());
        let serve = async move {
            if let Err(fault) = axum::serve(listener, router).await {
                tracing::error!(%fault, "the stand-in of Razorpay stopped");
            }
        };
        Ok((razorpay, serve))
    }

    /// What the client of the vendor's API is pointed at.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.0.address)
    }

    pub fn send_webhooks_to(&self, url: String) {
        *held(&self.0.webhook_url) = Some(url);
    }

    /// Pays an order (or fails to) as a customer would, and tells of it as the vendor does: both
    /// `payment.captured` and `order.paid` for one payment.
    ///
    /// # Errors
    /// When there is no such order or our own server does not take the webhooks.
    pub async fn pay(&self, order_id: &str, amount: Option<i64>, fails: bool) -> anyhow::Result<String> {
        let order = self.orders().get(order_id).cloned().context("there is no such order")?;
        let payment_id = format!("pay_{}", short_id());
        let amount = amount.map_or_else(|| order["amount"].clone(), Value::from);
        let status = if fails { "failed" } else { "captured" };
        let mut payment = json!({
            "id": payment_id, "entity": "payment", "amount": amount, "currency": order["currency"],
            "status": status, "order_id": order_id, "method": "upi", "captured": !fails, "notes": order["notes"],
        });
        let names: &[&str] = if fails { &["payment.failed"] } else { &["payment.captured", "order.paid"] };
        if fails {
            payment["error_code"] = json!("BAD_REQUEST_ERROR");
            payment["error_reason"] = json!("payment_cancelled");
        }
        if !fails {
            held(&self.0.payments).insert(payment_id.clone(), payment.clone());
        }
        for name in names {
            let mut payload = json!({ "payment": { "entity": payment } });
            if *name == "order.paid" {
                payload["order"] = json!({ "entity": order });
            }
            self.tell(name, &payload).await?;
        }
        Ok(payment_id)
    }

    /// Sends money of a payment back, as somebody would in the vendor's own panel: `refund.processed`.
    ///
    /// # Errors
    /// As [`LoopbackRazorpay::pay`].
    pub async fn refund(&self, payment_id: &str, amount: Option<i64>) -> anyhow::Result<String> {
        let payment = held(&self.0.payments).get(payment_id).cloned().context("there is no such payment")?;
        let refund_id = format!("rfnd_{}", short_id());
        let refund = json!({
            "id": refund_id, "entity": "refund", "payment_id": payment_id, "currency": payment["currency"],
            "amount": amount.map_or_else(|| payment["amount"].clone(), Value::from), "status": "processed",
            "created_at": platform::clock::now().timestamp(),
        });
        let payload = json!({ "refund": { "entity": refund }, "payment": { "entity": payment } });
        self.tell("refund.processed", &payload).await?;
        Ok(refund_id)
    }

    /// Disputes a payment as the payer's bank does, or decides the dispute that there is: `payment.dispute.<stage>`, where
    /// the stage is `created`, `under_review`, `action_required`, `won`, `lost` or `closed`. A lost one takes its amount.
    ///
    /// # Errors
    /// As [`LoopbackRazorpay::pay`], or when the payment is not disputed yet.
    pub async fn dispute(
        &self,
        payment_id: &str,
        amount: Option<i64>,
        stage: &str,
    ) -> anyhow::Result<String> {
        let payment = held(&self.0.payments).get(payment_id).cloned().context("there is no such payment")?;
        let dispute = {
            let mut disputes = held(&self.0.disputes);
            let open = disputes.get(payment_id).filter(|_| stage != "created").cloned();
            let mut dispute = match open {
                Some(dispute) => dispute,
                None if stage == "created" => json!({
                    "id": format!("disp_{}", short_id()), "entity": "dispute", "payment_id": payment_id,
                    "amount": amount.map_or_else(|| payment["amount"].clone(), Value::from),
                    "currency": payment["currency"], "reason_code": "chargeback", "phase": "chargeback",
                    "created_at": platform::clock::now().timestamp(),
                }),
                None => bail!("the payment is not disputed: its dispute begins with the stage created"),
            };
            dispute["status"] = json!(if stage == "created" { "open" } else { stage });
            dispute["amount_deducted"] = if stage == "lost" { dispute["amount"].clone() } else { json!(0) };
            disputes.insert(payment_id.to_owned(), dispute.clone());
            dispute
        };
        let payload = json!({ "dispute": { "entity": dispute }, "payment": { "entity": payment } });
        self.tell(&format!("payment.dispute.{stage}"), &payload).await?;
        Ok(dispute["id"].as_str().unwrap_or_default().to_owned())
    }

    async fn tell(&self, name: &str, payload: &Value) -> anyhow::Result<()> {
        let body = json!({
            "entity": "event", "account_id": "acc_development", "event": name,
            "contains": payload.as_object().map(|it| it.keys().collect::<Vec<_>>()),
            "payload": payload, "created_at": platform::clock::now().timestamp(),
        });
        self.deliver(&body.to_string()).await
    }

    async fn deliver(&self, body: &str) -> anyhow::Result<()> {
        let url = held(&self.0.webhook_url).clone();
        let url = url.context("our own server does not listen yet")?;
        let answer = self
            .0
            .http
            .post(url)
            .header("content-type", "application/json")
            .header("x-razorpay-signature", sign(&self.0.webhook_secret, body.as_bytes()))
            .header("x-razorpay-event-id", format!("evt_{}", short_id()))
            .body(body.to_owned())
            .send()
            .await?;
        if !answer.status().is_success() {
            bail!("the webhook was answered {}", answer.status());
        }
        Ok(())
    }

    fn orders(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Value>> {
        held(&self.0.orders)
    }
}

fn held<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hex HMAC-SHA256 over the raw body, as in `X-Razorpay-Signature`.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

async fn check_keys(State(razorpay): State<LoopbackRazorpay>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if given != Some(razorpay.0.basic.as_str()) {
        return refusal(StatusCode::UNAUTHORIZED, "Authentication failed");
    }
    next.run(request).await
}

async fn create_order(State(razorpay): State<LoopbackRazorpay>, Json(new): Json<NewOrder>) -> Response {
    let mut orders = razorpay.orders();
    if new.amount < 100 {
        return refusal(StatusCode::BAD_REQUEST, "The amount must be at least INR 1.00");
    }
    if new.receipt.is_some()
        && orders.values().any(|order| order["receipt"].as_str() == new.receipt.as_deref())
    {
        return refusal(StatusCode::BAD_REQUEST, "Receipt should be unique");
    }
    let id = format!("order_{}", short_id());
    let order = json!({
        "id": id, "entity": "order", "amount": new.amount, "amount_paid": 0, "amount_due": new.amount,
        "currency": new.currency, "receipt": new.receipt, "status": "created", "attempts": 0, "notes": new.notes,
        "created_at": platform::clock::now().timestamp(),
    });
    orders.insert(id, order.clone());
    Json(order).into_response()
}

async fn find_orders(State(razorpay): State<LoopbackRazorpay>, Query(search): Query<Search>) -> Json<Value> {
    let orders = razorpay.orders();
    let fits =
        |order: &&Value| search.receipt.is_none() || order["receipt"].as_str() == search.receipt.as_deref();
    let items: Vec<&Value> = orders.values().filter(fits).collect();
    Json(json!({ "entity": "collection", "count": items.len(), "items": items }))
}

fn refusal(status: StatusCode, description: &str) -> Response {
    let error = json!({ "error": { "code": "BAD_REQUEST_ERROR", "description": description } });
    (status, Json(error)).into_response()
}

/// Fourteen characters, as in the vendor's ids.
fn short_id() -> String {
    hex::encode(platform::entropy::bytes::<7>())
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
