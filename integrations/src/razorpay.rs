//! Razorpay: orders and webhooks.
//!
//! Amounts are integers in minor units (paise), as the vendor has them. The vendor knows no idempotency key
//! for orders: what makes a second try safe is the receipt, unique to one purchase, under which an order that
//! may or may not have been made is looked up before another one is asked for.

pub use crate::razorpay_webhook::{DisputeStage, Webhook, WebhookError, WebhookEvent};

use crate::razorpay_webhook::notes_or_empty;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;
use std::{collections::BTreeMap, time::Duration};

/// The vendor's address; test and live keys use the same.
pub const BASE_URL: &str = "https://api.razorpay.com/v1";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Free words and ids that travel with an order and come back with its payments: at most 15 pairs.
pub type Notes = BTreeMap<String, String>;

/// No `Debug`: it holds secrets.
#[derive(Clone)]
pub struct Config {
    /// With the version and without a slash at the end: see [`BASE_URL`].
    pub base_url: String,
    pub key_id: String,
    pub key_secret: String,
    /// All are accepted: after a rotation, retries of old deliveries are signed with the old secret.
    pub webhook_secrets: Vec<String>,
}

/// Clones share one pool of connections.
#[derive(Clone)]
pub struct Razorpay {
    http: reqwest::Client,
    config: Config,
    timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Order {
    pub id: String,
    #[serde(rename = "amount")]
    pub amount_minor: i64,
    pub currency: String,
    pub receipt: Option<String>,
    /// `created`, `attempted` or `paid`.
    pub status: String,
    #[serde(default, deserialize_with = "notes_or_empty")]
    pub notes: Notes,
    #[serde(default)]
    pub created_at: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum RazorpayError {
    #[error("the Razorpay configuration cannot work: {0}")]
    Misconfigured(&'static str),
    /// The vendor said no. Nothing was done; the same request will be refused again.
    #[error("Razorpay refused: {code}: {description}")]
    Refused { code: String, description: String },
    /// The request may have been carried out. Look before asking again.
    #[error("the outcome at Razorpay is unknown: {0}")]
    OutcomeUnknown(String),
    /// Nothing was done; asking again later is safe.
    #[error("Razorpay is unavailable: {0}")]
    Unavailable(String),
}

impl Razorpay {
    /// Refuses empty keys and secrets: with an empty secret anybody could sign.
    pub fn new(config: Config) -> Result<Self, RazorpayError> {
        if reqwest::Url::parse(&config.base_url).is_err() {
            return Err(RazorpayError::Misconfigured("the base URL is not a URL"));
        }
        if config.key_id.is_empty() || config.key_secret.is_empty() {
            return Err(RazorpayError::Misconfigured("the key id or the key secret is empty"));
        }
        if config.webhook_secrets.is_empty() || config.webhook_secrets.iter().any(String::is_empty) {
            return Err(RazorpayError::Misconfigured("a webhook secret is missing or empty"));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // Orders are posted: following a redirect could send the keys elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| RazorpayError::Misconfigured("no HTTP client can be made (TLS roots missing?)"))?;
        Ok(Self { http, config, timeout: REQUEST_TIMEOUT })
    }

    /// The same client with another limit for a whole request, 10 seconds unless told.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The public half of the key, which the checkout page needs.
    pub fn key_id(&self) -> &str {
        &self.config.key_id
    }

    /// Makes an order for exactly this amount, or finds the one that an earlier try has made.
    ///
    /// `receipt` (at most 40 characters) names the purchase and is never used for another. When the outcome
    /// of the request is unknown the order is looked up by receipt; if there is none, it is asked for once
    /// more. [`RazorpayError::OutcomeUnknown`] says that even this gave no answer: call [`Self::ensure_order`]
    /// later with the same values.
    pub async fn create_order(
        &self,
        amount_minor: i64,
        currency: &str,
        receipt: &str,
        notes: &Notes,
    ) -> Result<Order, RazorpayError> {
        let body = NewOrder { amount: amount_minor, currency, receipt, notes };
        let unknown = match self.post_order(&body).await {
            Err(RazorpayError::OutcomeUnknown(why)) => why,
            answered => return answered,
        };
        tracing::warn!(receipt, why = unknown, "unknown outcome of an order: looking it up by receipt");
        if let Some(order) = self.find_after_unknown(&body).await? {
            return Ok(order);
        }
        match self.post_order(&body).await {
            // The first request may have arrived after we looked: then this one is refused as a repeat.
            Err(error @ (RazorpayError::Refused { .. } | RazorpayError::OutcomeUnknown(_))) => {
                self.find_after_unknown(&body).await?.ok_or(error)
            }
            // The first request is still unanswered, whatever befell the second.
            Err(RazorpayError::Unavailable(why)) => Err(RazorpayError::OutcomeUnknown(why)),
            answered => answered,
        }
    }

    /// As [`Self::create_order`], for a caller that may have asked before: looks by receipt first.
    pub async fn ensure_order(
        &self,
        amount_minor: i64,
        currency: &str,
        receipt: &str,
        notes: &Notes,
    ) -> Result<Order, RazorpayError> {
        match self.find_order_by_receipt(receipt).await? {
            Some(order) => order.expect_same(amount_minor, currency),
            None => self.create_order(amount_minor, currency, receipt, notes).await,
        }
    }

    /// The order with exactly this receipt; the oldest, should there be several.
    pub async fn find_order_by_receipt(&self, receipt: &str) -> Result<Option<Order>, RazorpayError> {
        let mut url = self.url("/orders")?;
        url.query_pairs_mut().append_pair("receipt", receipt);
        let found: Collection<Order> = match self.send(self.http.get(url)).await {
            // Looking changes nothing, so it can be done again.
            Err(RazorpayError::OutcomeUnknown(why)) => Err(RazorpayError::Unavailable(why)),
            answered => answered,
        }?;
        let mut orders = found.items;
        orders.retain(|order| order.receipt.as_deref() == Some(receipt));
        Ok(orders.into_iter().min_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id))))
    }

    /// Whether `signature` (the header `X-Razorpay-Signature`) is the vendor's over exactly these bytes, under
    /// any of the webhook secrets. Takes the same time wherever the signatures differ.
    pub fn verify_webhook(&self, raw: &[u8], signature: &str) -> bool {
        self.config
            .webhook_secrets
            .iter()
            .fold(false, |known, secret| is_signed(secret, raw, signature) | known)
    }

    async fn post_order(&self, body: &NewOrder<'_>) -> Result<Order, RazorpayError> {
        let url = self.url("/orders")?;
        let order: Order = self.send(self.http.post(url).json(body)).await?;
        order.expect_same(body.amount, body.currency)
    }

    /// A look that fails leaves the outcome unknown.
    async fn find_after_unknown(&self, body: &NewOrder<'_>) -> Result<Option<Order>, RazorpayError> {
        match self.find_order_by_receipt(body.receipt).await {
            Ok(Some(order)) => order.expect_same(body.amount, body.currency).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(RazorpayError::OutcomeUnknown(error.to_string())),
        }
    }

    fn url(&self, path: &str) -> Result<reqwest::Url, RazorpayError> {
        reqwest::Url::parse(&format!("{}{path}", self.config.base_url.trim_end_matches('/')))
            .map_err(|_| RazorpayError::Misconfigured("the base URL is not a URL"))
    }

    async fn send<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, RazorpayError> {
        let answer = request
            .basic_auth(&self.config.key_id, Some(&self.config.key_secret))
            .timeout(self.timeout)
            .send()
            .await
            .map_err(|error| match error.is_connect() {
                true => RazorpayError::Unavailable(error.without_url().to_string()),
                false => RazorpayError::OutcomeUnknown(error.without_url().to_string()),
            })?;
        let status = answer.status();
        let unknown = |why: String| RazorpayError::OutcomeUnknown(format!("status {status}: {why}"));
        let body = answer.bytes().await.map_err(|error| unknown(error.without_url().to_string()))?;
        match status.as_u16() {
            200..=299 => serde_json::from_slice(&body).map_err(|error| unknown(error.to_string())),
            429 => Err(RazorpayError::Unavailable("too many requests".into())),
            // The vendor took too long to read us: it may still act.
            408 => Err(unknown("the request timed out".into())),
            400..=499 => Err(refusal(status.as_u16(), &body)),
            _ => Err(unknown("no answer of use".into())),
        }
    }
}

impl Order {
    /// A receipt names one purchase: an order under it with another amount is somebody's mistake, and paying
    /// it would credit the wrong purchase.
    fn expect_same(self, amount_minor: i64, currency: &str) -> Result<Order, RazorpayError> {
        if self.amount_minor == amount_minor && self.currency == currency {
            return Ok(self);
        }
        Err(RazorpayError::Refused {
            code: "RECEIPT_IN_USE".into(),
            description: format!("{} is an order of {} {}", self.id, self.amount_minor, self.currency),
        })
    }
}

#[derive(Serialize)]
struct NewOrder<'a> {
    amount: i64,
    currency: &'a str,
    receipt: &'a str,
    notes: &'a Notes,
}

#[derive(Deserialize)]
struct Collection<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorEntity,
}

#[derive(Deserialize)]
struct ErrorEntity {
    code: String,
    #[serde(default)]
    description: String,
}

fn refusal(status: u16, body: &[u8]) -> RazorpayError {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(ErrorBody { error }) => {
            RazorpayError::Refused { code: error.code, description: error.description }
        }
        Err(_) => RazorpayError::Refused { code: format!("HTTP_{status}"), description: String::new() },
    }
}

fn is_signed(secret: &str, message: &[u8], signature: &str) -> bool {
    let (Ok(mut mac), Ok(signature)) =
        (Hmac::<Sha256>::new_from_slice(secret.as_bytes()), hex::decode(signature.trim()))
    else {
        return false;
    };
    mac.update(message);
    mac.verify_slice(&signature).is_ok()
}
