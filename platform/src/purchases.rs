//! Coins for money through Razorpay: the order, and what the gateway tells of it.

use crate::commands::{CommandError, Commands};
use chrono::{DateTime, TimeDelta, Utc};
use integrations::razorpay::{Razorpay, RazorpayError, WebhookEvent};
use ledger_core::command::{CapturePurchase, FailPurchase, OpenPurchase, RecordRefund};
use ledger_core::purchases::Purchase;
use ledger_core::{Actor, Asset, Command, Gateway, Key, LotId, PersonId, PlanId, PurchaseId, Rejection};
use ledger_runtime::{ExecuteError, Receipt};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{error, info, warn};
use uuid::Uuid;

const GATEWAY: Gateway = Gateway::Razorpay;
/// How long a refund waits for the capture that it undoes before it counts as unmatched.
const OUT_OF_ORDER_HOURS: i64 = 1;
/// How often the inbox is looked through when nothing wakes the worker.
const IDLE: Duration = Duration::from_secs(5);
/// After this many tries, about ten minutes, a delivery that still meets a fault wants a person.
const STUCK_ATTEMPTS: i32 = 10;
/// Deliveries that are worked through in one go.
const ROUND: i64 = 100;

/// A purchase with what the client needs to pay for it.
#[derive(Clone, Debug)]
pub struct Checkout {
    pub receipt: Receipt,
    pub purchase: PurchaseId,
    pub order_id: String,
    pub key_id: String,
    pub price_minor: i64,
    pub price_asset: Asset,
    pub coins_milli: i64,
    pub bonus_milli: i64,
}

/// Why a delivery was not taken.
#[derive(Debug, thiserror::Error)]
pub enum WebhookRefusal {
    #[error("the signature does not fit the body")]
    BadSignature,
    #[error("the database does not answer")]
    Database(#[from] sqlx::Error),
}

#[derive(Clone)]
pub struct Purchases {
    pool: PgPool,
    commands: Commands,
    razorpay: Arc<Razorpay>,
    arrived: Arc<Notify>,
}

/// What the ledger made of what a gateway told.
enum Told {
    Recorded(Receipt),
    Refused(Rejection),
}

impl Told {
    fn outcome(&self) -> Outcome {
        Outcome::Done(match self {
            Told::Recorded(Receipt { duplicate: true, .. }) => "duplicate",
            Told::Recorded(_) => "recorded",
            Told::Refused(rejection) => rejection.code(),
        })
    }
}

/// What came of a delivery.
enum Outcome {
    Done(&'static str),
    /// It speaks of something that has not been heard of yet: looked at again.
    Later,
}

#[derive(sqlx::FromRow)]
struct Delivery {
    id: i64,
    body: Vec<u8>,
    received_at: DateTime<Utc>,
    attempts: i32,
}

impl Purchases {
    pub fn new(pool: PgPool, commands: Commands, razorpay: Arc<Razorpay>) -> Purchases {
        Purchases { pool, commands, razorpay, arrived: Arc::default() }
    }

    /// Opens a purchase and the gateway's order for it. The same key again answers the same purchase
    /// and the same order, also when the first try stopped half way.
    ///
    /// # Errors
    /// `Gateway` when the order could not be made; the purchase is open then and may be retried.
    pub async fn open(
        &self,
        user: PersonId,
        key: Uuid,
        plan: PlanId,
        now: DateTime<Utc>,
    ) -> Result<Checkout, CommandError> {
        let receipt = self
            .commands
            .give(user, key, Command::from(OpenPurchase { user, plan, gateway: GATEWAY }))
            .await?;
        let id: PurchaseId = receipt.command_id.derive("purchase");
        let row = self.known(id).await?.ok_or(CommandError::NotFound("purchase"))?;
        let order_id = self.order_for(id, &row, now).await?;
        Ok(Checkout {
            receipt,
            purchase: id,
            order_id,
            key_id: self.razorpay.key_id().to_owned(),
            price_minor: row.price_minor,
            price_asset: row.price_asset,
            coins_milli: row.coins_milli,
            bonus_milli: row.bonus_milli,
        })
    }

    async fn order_for(
        &self,
        id: PurchaseId,
        row: &Purchase,
        now: DateTime<Utc>,
    ) -> Result<String, CommandError> {
        let known = "SELECT order_id FROM app.gateway_orders WHERE purchase = $1";
        if let Some(order) = sqlx::query_scalar(known).bind(id.0).fetch_optional(&self.pool).await? {
            return Ok(order);
        }
        let receipt = id.to_string();
        let notes = [("purchase".to_owned(), receipt.clone())].into();
        let ensure = || self.razorpay.ensure_order(row.price_minor, row.price_asset.code(), &receipt, &notes);
        let order = match ensure().await {
            // Of two requests at once the later one is refused the receipt that the first one has used: its
            // order is there now.
            Err(RazorpayError::Refused { .. }) => ensure().await?,
            answered => answered?,
        };
        // Two retries at once may have made two orders: the first row counts for both, and the other
        // order is never given out.
        sqlx::query(
            "INSERT INTO app.gateway_orders (gateway, order_id, purchase, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
        )
        .bind(GATEWAY.name())
        .bind(order.id)
        .bind(id.0)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(sqlx::query_scalar(known).bind(id.0).fetch_one(&self.pool).await?)
    }

    async fn known(&self, id: PurchaseId) -> Result<Option<Purchase>, CommandError> {
        Ok(self.commands.ledger().query(move |state, _| state.purchase(id).cloned()).await?)
    }

    /// Takes a delivery into the inbox. Once this answers, it will be worked through, whatever happens.
    ///
    /// # Errors
    /// A wrong signature; a database that does not answer (the gateway sends it again).
    pub async fn receive(
        &self,
        body: &[u8],
        signature: &str,
        delivery: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(), WebhookRefusal> {
        if !self.razorpay.verify_webhook(body, signature) {
            return Err(WebhookRefusal::BadSignature);
        }
        // Without an id of its own a delivery is known by its bytes.
        let by_bytes = || format!("sha256:{}", hex::encode(Sha256::digest(body)));
        match delivery.filter(|id| (1..=128).contains(&id.len())) {
            Some(id) => {
                // The id is not signed, the body is: another body under a known id is no repeat.
                if !self.keep(id, body, now).await? && !self.is_kept(id, body).await? {
                    error!(alert = "webhook_id_reused", delivery = id, "two deliveries came under one id");
                    self.keep(&by_bytes(), body, now).await?;
                }
            }
            None => drop(self.keep(&by_bytes(), body, now).await?),
        }
        self.arrived.notify_one();
        Ok(())
    }

    /// Whether the delivery is new.
    async fn keep(&self, delivery: &str, body: &[u8], now: DateTime<Utc>) -> Result<bool, sqlx::Error> {
        let kept = sqlx::query(
            "INSERT INTO app.webhook_inbox (gateway, delivery, body, received_at, not_before)
             VALUES ($1, $2, $3, $4, $4) ON CONFLICT (gateway, delivery) DO NOTHING",
        )
        .bind(GATEWAY.name())
        .bind(delivery)
        .bind(body)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(kept.rows_affected() == 1)
    }

    async fn is_kept(&self, delivery: &str, body: &[u8]) -> Result<bool, sqlx::Error> {
        let kept = "SELECT EXISTS (SELECT 1 FROM app.webhook_inbox
                                   WHERE gateway = $1 AND delivery = $2 AND body = $3)";
        sqlx::query_scalar(kept).bind(GATEWAY.name()).bind(delivery).bind(body).fetch_one(&self.pool).await
    }

    /// Works through the inbox, for as long as the future is polled.
    pub async fn work(&self) {
        loop {
            match self.work_once(crate::clock::now()).await {
                Ok(0) => drop(tokio::time::timeout(IDLE, self.arrived.notified()).await),
                Ok(_) => {}
                Err(fault) => {
                    warn!(%fault, "the webhook inbox waits");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Works through the deliveries that are due; answers how many there were.
    pub async fn work_once(&self, now: DateTime<Utc>) -> Result<usize, CommandError> {
        let due: Vec<Delivery> = sqlx::query_as(
            "SELECT id, body, received_at, attempts FROM app.webhook_inbox
             WHERE status = 'pending' AND not_before <= $1 ORDER BY id LIMIT $2",
        )
        .bind(now)
        .bind(ROUND)
        .fetch_all(&self.pool)
        .await?;
        // Every step is idempotent, so a second worker beside this one does no harm.
        for delivery in &due {
            match Razorpay::parse_webhook(&delivery.body) {
                Ok(webhook) => {
                    let age = now - delivery.received_at;
                    match self.apply(webhook.event, age).await {
                        Ok(Outcome::Done(outcome)) => self.close(delivery, "done", outcome).await?,
                        Ok(Outcome::Later) => self.postpone(delivery, now).await?,
                        Err(fault) => {
                            if delivery.attempts < STUCK_ATTEMPTS {
                                warn!(delivery = delivery.id, %fault, "a delivery waits");
                            } else {
                                error!(alert = "webhook_stuck", delivery = delivery.id, %fault, "a delivery waits and waits");
                            }
                            self.postpone(delivery, now).await?;
                        }
                    }
                }
                Err(fault) => {
                    error!(alert = "webhook_unreadable", delivery = delivery.id, %fault, "a signed delivery cannot be read");
                    self.close(delivery, "unreadable", "unreadable").await?;
                }
            }
        }
        Ok(due.len())
    }

    async fn close(
        &self,
        delivery: &Delivery,
        status: &'static str,
        outcome: &str,
    ) -> Result<(), CommandError> {
        info!(delivery = delivery.id, outcome, "a delivery is worked through");
        sqlx::query(
            "UPDATE app.webhook_inbox SET status = $2, outcome = $3, attempts = attempts + 1 WHERE id = $1",
        )
        .bind(delivery.id)
        .bind(status)
        .bind(outcome)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn postpone(&self, delivery: &Delivery, now: DateTime<Utc>) -> Result<(), CommandError> {
        let seconds = 1_i64 << delivery.attempts.clamp(0, 8);
        sqlx::query("UPDATE app.webhook_inbox SET attempts = attempts + 1, not_before = $2 WHERE id = $1")
            .bind(delivery.id)
            .bind(now + TimeDelta::seconds(seconds))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn apply(&self, event: WebhookEvent, age: TimeDelta) -> Result<Outcome, CommandError> {
        match event {
            WebhookEvent::PaymentCaptured { payment_id, order_id, amount_minor, currency, .. } => {
                let purchase = self.purchase_of_order(order_id.as_deref()).await?;
                self.capture(payment_id, purchase, amount_minor, &currency).await
            }
            WebhookEvent::PaymentFailed { payment_id, order_id, reason, .. } => {
                let Some(purchase) = self.purchase_of_order(order_id.as_deref()).await? else {
                    return Ok(Outcome::Done("unknown_order"));
                };
                let reason = as_reason(&reason);
                let key = Key::Natural(format!("{payment_id}:failed"));
                let command = Command::from(FailPurchase { purchase, payment_ref: payment_id, reason });
                Ok(self.tell(key, command).await?.outcome())
            }
            WebhookEvent::RefundProcessed { refund_id, payment_id, amount_minor, currency } => {
                let Some(asset) = known_asset(&currency, &refund_id) else {
                    return Ok(Outcome::Done("unknown_currency"));
                };
                let heard_of: Option<Option<Uuid>> = sqlx::query_scalar(
                    "SELECT purchase FROM app.gateway_payments WHERE gateway = $1 AND payment_id = $2",
                )
                .bind(GATEWAY.name())
                .bind(&payment_id)
                .fetch_optional(&self.pool)
                .await?;
                // A refund may overtake the capture that it undoes.
                if heard_of.is_none() && age < TimeDelta::hours(OUT_OF_ORDER_HOURS) {
                    return Ok(Outcome::Later);
                }
                let purchase = heard_of.flatten().map(PurchaseId);
                let key = Key::Natural(refund_id.clone());
                let command = Command::from(RecordRefund {
                    gateway: GATEWAY,
                    purchase,
                    refund_ref: refund_id,
                    amount_minor,
                    asset,
                });
                Ok(self.tell(key, command).await?.outcome())
            }
            // The gateway takes disputed money back by itself: no entry is made for it yet, so a person has to.
            WebhookEvent::Other(name) if name.starts_with("payment.dispute.") => {
                error!(alert = "payment_disputed", name, "a payment is disputed");
                Ok(Outcome::Done("disputed"))
            }
            WebhookEvent::Other(_) => Ok(Outcome::Done("ignored")),
        }
    }

    async fn capture(
        &self,
        payment_id: String,
        purchase: Option<PurchaseId>,
        amount_minor: i64,
        currency: &str,
    ) -> Result<Outcome, CommandError> {
        let Some(asset) = known_asset(currency, &payment_id) else {
            return Ok(Outcome::Done("unknown_currency"));
        };
        let key = Key::Natural(payment_id.clone());
        let command = Command::from(CapturePurchase {
            gateway: GATEWAY,
            purchase,
            payment_ref: payment_id.clone(),
            amount_minor,
            asset,
        });
        let told = self.tell(key, command).await?;
        let credited = match (&told, purchase) {
            // Its first telling counts, and keeps its own row.
            (Told::Refused(Rejection::KeyReused), _) => return Ok(told.outcome()),
            (Told::Recorded(receipt), Some(id)) => self.was_credited(id, receipt).await?.then_some(id),
            (Told::Recorded(_), None) | (Told::Refused(_), _) => None,
        };
        // After the ledger: a refund that finds this row finds the capture too.
        sqlx::query(
            "INSERT INTO app.gateway_payments (gateway, payment_id, purchase) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(GATEWAY.name())
        .bind(payment_id)
        .bind(credited.map(|id| id.0))
        .execute(&self.pool)
        .await?;
        Ok(told.outcome())
    }

    /// Whether this very payment bought the coins of the purchase. One that stands in suspense, such as a
    /// second payment of one order, did not: its refund must leave those coins alone.
    async fn was_credited(&self, id: PurchaseId, receipt: &Receipt) -> Result<bool, CommandError> {
        let lot: LotId = receipt.command_id.derive("lot");
        let captured = self.known(id).await?.and_then(|row| row.captured);
        Ok(captured.is_some_and(|captured| captured.lot == lot))
    }

    /// Gives the ledger a command in the gateway's name. What it refuses for good is done with.
    async fn tell(&self, key: Key, command: Command) -> Result<Told, CommandError> {
        let moves_money = matches!(command, Command::CapturePurchase(_) | Command::RecordRefund(_));
        match self.commands.give_as(Actor::Gateway(GATEWAY), key, command).await {
            Ok(receipt) => {
                if !receipt.duplicate {
                    self.alert_unmatched(receipt).await?;
                }
                Ok(Told::Recorded(receipt))
            }
            Err(CommandError::Execute(ExecuteError::Rejected(rejection))) => {
                // What moved money and is not recorded wants a person; the delivery is kept.
                if moves_money && rejection != Rejection::RefundKnown {
                    error!(alert = "webhook_conflict", %rejection, "money that the gateway moved is not recorded");
                }
                Ok(Told::Refused(rejection))
            }
            Err(fault) => Err(fault),
        }
    }

    /// Money that fits no open case wants a person's attention.
    async fn alert_unmatched(&self, receipt: Receipt) -> Result<(), CommandError> {
        let store = self.commands.ledger().store();
        let last = ledger_runtime::read_journal(store.as_ref(), receipt.revision, 1).await;
        if let Ok([recorded]) = last.as_deref()
            && let ledger_core::Event::UnmatchedMoneyReceived(it) = &recorded.event
        {
            let amount = it.amount_asset.format(it.amount_minor);
            error!(alert = "unmatched_money", revision = recorded.revision, payment = it.payment_ref, cause = ?it.cause,
                amount, "money that fits no open case stands in suspense");
            metrics::counter!("ledger_unmatched_money").increment(1);
        }
        Ok(())
    }

    async fn purchase_of_order(&self, order_id: Option<&str>) -> Result<Option<PurchaseId>, CommandError> {
        let found: Option<Uuid> = sqlx::query_scalar(
            "SELECT purchase FROM app.gateway_orders WHERE gateway = $1 AND order_id = $2",
        )
        .bind(GATEWAY.name())
        .bind(order_id)
        .fetch_optional(&self.pool)
        .await?;
        Ok(found.map(PurchaseId))
    }
}

/// The asset of moved money; what is in no currency wants a person.
fn known_asset(currency: &str, reference: &str) -> Option<Asset> {
    let asset = asset_of(currency);
    if asset.is_none() {
        error!(alert = "unknown_currency", reference, currency, "money was moved in a currency that is none");
    }
    asset
}

/// The asset of a currency code in large or small letters, with the number of decimals that gateways count it
/// in.
fn asset_of(currency: &str) -> Option<Asset> {
    let currency = currency.trim().to_ascii_uppercase();
    let scale = match currency.as_str() {
        "JPY" | "KRW" | "VND" | "CLP" => 0,
        "BHD" | "KWD" | "OMR" | "JOD" | "TND" | "IQD" => 3,
        _ => 2,
    };
    Asset::new(&currency, scale)
}

/// A gateway's reason as a code that the journal takes.
fn as_reason(text: &str) -> String {
    let code: String = text
        .chars()
        .take(64)
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    if code.is_empty() { "unknown".to_owned() } else { code }
}
