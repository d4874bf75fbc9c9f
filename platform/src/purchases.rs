//! Coins for money through Razorpay: the order, and what the gateway tells of it.

use crate::bounds::{Bounds, Free};
use crate::commands::{CommandError, Commands};
use crate::entropy;
use crate::settings::Settings;
use crate::webhooks::{Inbox, State, Subject};
use chrono::{DateTime, TimeDelta, Utc};
use integrations::razorpay::{DisputeStage, Razorpay, RazorpayError, Webhook, WebhookEvent};
use ledger_core::command::{
    BuySubscription, CapturePurchase, ExpirePurchase, FailPurchase, OpenPurchase, PlaceOrder, RecordDispute,
    RecordRefund,
};
use ledger_core::disputes::DisputeNews;
use ledger_core::purchases::Purchase;
use ledger_core::{
    Actor, Asset, ClientKey, Command, Gateway, Key, LotId, MAX_AMOUNT, PersonId, PlanId, PurchaseId,
    Rejection, SubscriptionPlanId,
};
use ledger_runtime::{ExecuteError, Receipt};
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{error, info, warn};
use uuid::Uuid;

const GATEWAY: Gateway = Gateway::Razorpay;
/// How often the inbox is looked through when nothing wakes the worker.
const IDLE: Duration = Duration::from_secs(5);
/// After this many tries, about ten minutes, a delivery that still meets a fault wants a person.
const STUCK_ATTEMPTS: i32 = 10;
/// Deliveries that are worked through in one go, and unpaid purchases that are closed in one go.
const ROUND: i64 = 100;
/// How often unpaid purchases are closed and old deliveries removed.
const SWEEP: Duration = Duration::from_secs(60);

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
    inbox: Inbox,
    bounds: Bounds,
    settings: Settings,
    arrived: Arc<Notify>,
}

/// What the ledger made of what a gateway told.
enum Told {
    Recorded(Receipt),
    Refused(Rejection),
}

impl Told {
    /// What came of news that moves no money.
    fn outcome(&self) -> Outcome {
        Outcome::Done(match self {
            Told::Recorded(Receipt { recorded: false, .. }) => "duplicate",
            Told::Recorded(_) => "recorded",
            Told::Refused(rejection) => rejection.code(),
        })
    }

    /// What came of money that moved: what is not recorded wants a person.
    fn outcome_of_money(&self) -> Outcome {
        match self {
            Told::Recorded(_)
            | Told::Refused(Rejection::RefundKnown | Rejection::DisputeKnown | Rejection::DisputeDecided) => {
                self.outcome()
            }
            Told::Refused(rejection) => {
                error!(alert = "webhook_conflict", %rejection, "money that the gateway moved is not recorded");
                Outcome::NeedsPerson(rejection.code())
            }
        }
    }
}

/// What came of a delivery.
enum Outcome {
    Done(&'static str),
    /// No program can decide it: a person looks at it.
    NeedsPerson(&'static str),
}

impl Purchases {
    pub fn new(
        pool: PgPool,
        commands: Commands,
        razorpay: Arc<Razorpay>,
        inbox: Inbox,
        bounds: Bounds,
        settings: Settings,
    ) -> Purchases {
        Purchases { pool, commands, razorpay, inbox, bounds, settings, arrived: Arc::default() }
    }

    /// Opens a purchase and the gateway's order for it. The same key again answers the same purchase
    /// and the same order, also when the first try stopped half way.
    ///
    /// # Errors
    /// `Gateway` when the order could not be made; the purchase is open then and may be retried.
    pub async fn open(
        &self,
        user: PersonId,
        key: ClientKey,
        plan: PlanId,
        now: DateTime<Utc>,
    ) -> Result<Checkout, CommandError> {
        self.open_as(user, key, OpenPurchase { user, plan, gateway: GATEWAY }.into(), now).await
    }

    /// The same of a period of a subscription.
    ///
    /// # Errors
    /// As [`Purchases::open`].
    pub async fn open_subscription(
        &self,
        user: PersonId,
        key: ClientKey,
        plan: SubscriptionPlanId,
        now: DateTime<Utc>,
    ) -> Result<Checkout, CommandError> {
        self.open_as(user, key, BuySubscription { user, plan, gateway: GATEWAY }.into(), now).await
    }

    /// The same of what the wallet does not pay of an order.
    ///
    /// # Errors
    /// As [`Purchases::open`].
    pub async fn open_for_order(
        &self,
        key: ClientKey,
        order: PlaceOrder,
        now: DateTime<Utc>,
    ) -> Result<Checkout, CommandError> {
        self.open_as(order.user, key, order.into(), now).await
    }

    async fn open_as(
        &self,
        user: PersonId,
        key: ClientKey,
        command: Command,
        now: DateTime<Utc>,
    ) -> Result<Checkout, CommandError> {
        let asked = self.commands.id_of(Actor::Person(user), command.operation(), &key).await?;
        let id: PurchaseId = asked.derive("purchase");
        // A retry of a purchase that was opened takes up no other place.
        let is_new = self.known(id).await?.is_none();
        if is_new {
            self.admit(id, user, now).await?;
        }
        let given = self.commands.give(user, key, command).await;
        if is_new && matches!(given, Err(CommandError::Execute(ExecuteError::Rejected(_)))) {
            self.forget_open(id).await?;
        }
        let receipt = given?;
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

    /// Takes up one of the places that a person has for unpaid purchases.
    async fn admit(&self, id: PurchaseId, user: PersonId, now: DateTime<Utc>) -> Result<(), CommandError> {
        let limits = self.settings.limits().await?;
        let mut tx = self.pool.begin().await?;
        // Two purchases of one person at once are counted one after the other.
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(format!("open_purchases:{user}"))
            .execute(&mut *tx)
            .await?;
        let (open, taken): (i64, bool) = sqlx::query_as(
            "SELECT count(*), coalesce(bool_or(purchase = $2), false) FROM app.open_purchases WHERE person = $1",
        )
        .bind(user.0)
        .bind(id.0)
        .fetch_one(&mut *tx)
        .await?;
        if taken {
            return Ok(());
        }
        if open >= i64::from(limits.open_purchases) {
            return Err(CommandError::Refused {
                code: "too_many_open_purchases",
                message: "too many of your purchases wait to be paid; pay one, or wait until they close",
            });
        }
        self.bounds.take_of(&limits, user, Free::Purchases, now).await?;
        sqlx::query(
            "INSERT INTO app.open_purchases (purchase, person, opened_at, closes_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(id.0)
        .bind(user.0)
        .bind(now)
        .bind(now + TimeDelta::seconds(limits.purchase_open_seconds.into()))
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Closes a purchase that nobody paid in time. Money that comes for it later credits all the same. Closing again,
    /// after a crash in between, changes nothing.
    async fn close_unpaid(&self, id: PurchaseId) -> Result<(), CommandError> {
        let key = Key::Client(entropy::uuid_v7().into());
        let command = Command::from(ExpirePurchase { purchase: id });
        match self.commands.give_as(Actor::System, key, command).await {
            // It was paid in this moment, or never opened.
            Ok(_)
            | Err(CommandError::Execute(ExecuteError::Rejected(
                Rejection::PurchaseNotOpen | Rejection::UnknownPurchase,
            ))) => Ok(self.forget_open(id).await?),
            Err(fault) => Err(fault),
        }
    }

    /// A purchase that is paid or closed gives its place back.
    async fn forget_open(&self, id: PurchaseId) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM app.open_purchases WHERE purchase = $1")
            .bind(id.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Closes purchases that nobody paid in time, and removes old deliveries, for as long as it is polled.
    pub async fn sweep(&self) {
        loop {
            if let Err(fault) = self.sweep_once(crate::clock::now()).await {
                warn!(%fault, "unpaid purchases and old deliveries wait");
            }
            tokio::time::sleep(SWEEP).await;
        }
    }

    /// # Errors
    /// When Postgres or the ledger does not answer.
    pub async fn sweep_once(&self, now: DateTime<Utc>) -> Result<(), CommandError> {
        let due: Vec<Uuid> = sqlx::query_scalar(
            "SELECT purchase FROM app.open_purchases WHERE closes_at <= $1 ORDER BY closes_at LIMIT $2",
        )
        .bind(now)
        .bind(ROUND)
        .fetch_all(&self.pool)
        .await?;
        // One that cannot be closed keeps none of the others open.
        let mut closed = Ok(());
        for id in due {
            closed = self.close_unpaid(PurchaseId(id)).await.and(closed);
        }
        self.inbox.sweep(now).await?;
        closed
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
        let inbox = &self.inbox;
        // A delivery without an id that can be kept is known by its bytes.
        match delivery.filter(|id| is_reference(id, 128)) {
            Some(id) => {
                // The id is not signed, the body is: another body under a known id is no repeat.
                let known = !inbox.keep(GATEWAY.name(), id, body, now).await?;
                if known && !inbox.is_kept(GATEWAY.name(), id, body).await? {
                    error!(alert = "webhook_id_reused", delivery = id, "two deliveries came under one id");
                    inbox.keep(GATEWAY.name(), &inbox.name_by_bytes(body), body, now).await?;
                }
            }
            None => drop(inbox.keep(GATEWAY.name(), &inbox.name_by_bytes(body), body, now).await?),
        }
        self.arrived.notify_one();
        Ok(())
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
        let due = self.inbox.due(now, ROUND).await?;
        // Every step is idempotent, so a second worker beside this one does no harm.
        for delivery in &due {
            let body = match &delivery.body {
                Ok(body) => body,
                Err(fault) => {
                    error!(alert = "webhook_unreadable", delivery = delivery.id, %fault, "a delivery cannot be opened");
                    self.inbox.finish(delivery.id, State::Unreadable, "seal_broken").await?;
                    continue;
                }
            };
            let webhook = match Razorpay::parse_webhook(body) {
                Ok(webhook) => webhook,
                Err(fault) => {
                    error!(alert = "webhook_unreadable", delivery = delivery.id, %fault, "a signed delivery cannot be read");
                    self.inbox.finish(delivery.id, State::Unreadable, "unreadable").await?;
                    continue;
                }
            };
            // What it speaks of is kept for search alone, so that a fault there is one of this delivery like any other.
            let applied = async {
                self.inbox.describe(delivery.id, &self.subject(&webhook).await?).await?;
                self.apply(webhook).await
            };
            match applied.await {
                Ok(Outcome::Done(outcome)) => {
                    info!(delivery = delivery.id, outcome, "a delivery is worked through");
                    self.inbox.finish(delivery.id, State::Done, outcome).await?;
                }
                Ok(Outcome::NeedsPerson(outcome)) => {
                    error!(
                        alert = "webhook_needs_person",
                        delivery = delivery.id,
                        outcome,
                        "a delivery wants a person"
                    );
                    self.inbox.finish(delivery.id, State::NeedsPerson, outcome).await?;
                }
                // Trying again does not help: what it says, or this program, is at fault.
                Err(fault) if is_of_this_delivery(&fault, delivery.attempts) => {
                    error!(alert = "webhook_needs_person", delivery = delivery.id, %fault, "a delivery wants a person");
                    self.inbox.finish(delivery.id, State::NeedsPerson, "fault").await?;
                }
                Err(fault) => {
                    if delivery.attempts < STUCK_ATTEMPTS {
                        warn!(delivery = delivery.id, %fault, "a delivery waits");
                    } else {
                        error!(alert = "webhook_stuck", delivery = delivery.id, %fault, "a delivery waits and waits");
                    }
                    self.inbox.postpone(delivery, now).await?;
                }
            }
        }
        Ok(due.len())
    }

    /// What a delivery speaks of. What is odd in it is left out here; working it through says so.
    async fn subject(&self, webhook: &Webhook) -> Result<Subject, CommandError> {
        let kind = Some(&webhook.name).filter(|name| is_reference(name, 64)).cloned();
        let (purchase, minor, currency) = match &webhook.event {
            WebhookEvent::PaymentCaptured { order_id, amount_minor, currency, .. }
            | WebhookEvent::PaymentFailed { order_id, amount_minor, currency, .. } => {
                (self.purchase_of_order(order_id.as_deref()).await?, *amount_minor, currency)
            }
            WebhookEvent::RefundProcessed { payment_id, amount_minor, currency, .. }
            | WebhookEvent::Dispute { payment_id, amount_minor, currency, .. } => {
                let payment = payment_id.clone();
                let paid = self.commands.ledger().query(move |state, _| state.purchase_of_payment(&payment));
                (paid.await?, *amount_minor, currency)
            }
            WebhookEvent::Other(_) => return Ok(Subject { kind, ..Subject::default() }),
        };
        let person = match purchase {
            Some(id) => self.known(id).await?.map(|row| row.user.0),
            None => None,
        };
        let asset = asset_of(currency);
        let (amount_minor, amount_asset) = (asset.map(|_| minor), asset.map(|asset| asset.to_string()));
        Ok(Subject { kind, person, amount_minor, amount_asset })
    }

    async fn apply(&self, webhook: Webhook) -> Result<Outcome, CommandError> {
        let told_at = webhook.created_at;
        match webhook.event {
            WebhookEvent::PaymentCaptured { payment_id, order_id, amount_minor, currency, .. } => {
                let purchase = self.purchase_of_order(order_id.as_deref()).await?;
                self.capture(payment_id, purchase, amount_minor, &currency).await
            }
            WebhookEvent::PaymentFailed { payment_id, order_id, reason, .. } => {
                let Some(purchase) = self.purchase_of_order(order_id.as_deref()).await? else {
                    return Ok(Outcome::Done("unknown_order"));
                };
                if !is_reference(&payment_id, 64) {
                    return Ok(Outcome::Done("reference_invalid"));
                }
                let reason = as_reason(&reason);
                let key = Key::Natural(format!("{payment_id}:failed"));
                let command = Command::from(FailPurchase { purchase, payment_ref: payment_id, reason });
                Ok(self.tell(key, command).await?.outcome())
            }
            WebhookEvent::RefundProcessed { refund_id, payment_id, amount_minor, currency } => {
                let moved =
                    Moved { references: [&refund_id, &payment_id], amount_minor, currency: &currency };
                let asset = match moved.checked() {
                    Ok(asset) => asset,
                    Err(outcome) => return Ok(outcome),
                };
                let key = Key::Natural(refund_id.clone());
                let command = Command::from(RecordRefund {
                    gateway: GATEWAY,
                    payment_ref: payment_id,
                    refund_ref: refund_id,
                    amount_minor,
                    asset,
                });
                Ok(self.tell(key, command).await?.outcome_of_money())
            }
            WebhookEvent::Dispute {
                dispute_id,
                payment_id,
                amount_minor,
                currency,
                stage,
                deducted_minor,
            } => {
                let moved =
                    Moved { references: [&dispute_id, &payment_id], amount_minor, currency: &currency };
                let asset = match moved.checked() {
                    Ok(asset) => asset,
                    Err(outcome) => return Ok(outcome),
                };
                let Some(news) = dispute_news(stage, amount_minor, deducted_minor) else {
                    return Ok(Outcome::NeedsPerson("amount_invalid"));
                };
                // A dispute may be lost, won and lost again: each time the gateway tells of another moment.
                let key = format!("{dispute_id}:{}:{}", stage.as_str(), told_at.unwrap_or_default());
                let command = Command::from(RecordDispute {
                    gateway: GATEWAY,
                    dispute_ref: dispute_id.clone(),
                    payment_ref: payment_id,
                    amount_minor,
                    asset,
                    news,
                });
                let told = self.tell(Key::Natural(key), command).await?;
                if matches!(told, Told::Recorded(Receipt { recorded: true, .. })) {
                    alert_dispute(stage, &dispute_id, &asset.format(amount_minor));
                }
                Ok(told.outcome_of_money())
            }
            // A kind of news about disputes that this program does not know may be about money.
            WebhookEvent::Other(name) if name.starts_with("payment.dispute.") => {
                error!(alert = "payment_disputed", name, "a payment is disputed");
                Ok(Outcome::NeedsPerson("disputed"))
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
        let moved = Moved { references: [&payment_id, &payment_id], amount_minor, currency };
        let asset = match moved.checked() {
            Ok(asset) => asset,
            Err(outcome) => return Ok(outcome),
        };
        let key = Key::Natural(payment_id.clone());
        let command = Command::from(CapturePurchase {
            gateway: GATEWAY,
            purchase,
            payment_ref: payment_id,
            amount_minor,
            asset,
        });
        let told = self.tell(key, command).await?;
        let credited = match (&told, purchase) {
            (Told::Recorded(receipt), Some(id)) => self.was_credited(id, receipt).await?.then_some(id),
            _ => None,
        };
        if let Some(id) = credited {
            self.forget_open(id).await?;
        }
        Ok(told.outcome_of_money())
    }

    /// Whether this very payment bought the coins of the purchase. One that stands in suspense, such as a
    /// second payment of one order, did not.
    async fn was_credited(&self, id: PurchaseId, receipt: &Receipt) -> Result<bool, CommandError> {
        let lot: LotId = receipt.command_id.derive("lot");
        let captured = self.known(id).await?.and_then(|row| row.captured);
        Ok(captured.is_some_and(|captured| captured.lot == lot))
    }

    /// Gives the ledger a command in the gateway's name. What it refuses for good is done with.
    async fn tell(&self, key: Key, command: Command) -> Result<Told, CommandError> {
        match self.commands.give_as(Actor::Gateway(GATEWAY), key, command).await {
            Ok(receipt) => {
                if receipt.recorded {
                    self.alert_unmatched(receipt).await?;
                }
                Ok(Told::Recorded(receipt))
            }
            Err(CommandError::Execute(ExecuteError::Rejected(rejection))) => Ok(Told::Refused(rejection)),
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
        }
        Ok(())
    }

    async fn purchase_of_order(&self, order_id: Option<&str>) -> Result<Option<PurchaseId>, CommandError> {
        // What cannot be the id of an order is none of ours; Postgres refuses some of it.
        let Some(order_id) = order_id.filter(|id| is_reference(id, 64)) else { return Ok(None) };
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

/// What the ledger is told of a dispute; nothing when the gateway tells of an amount that is none. The money that a
/// lost one takes is what was deducted, or all of it where that is not told; what was deducted beyond the disputed
/// amount is the gateway's fee.
fn dispute_news(stage: DisputeStage, amount_minor: i64, deducted_minor: Option<i64>) -> Option<DisputeNews> {
    let deducted_minor = match deducted_minor {
        None | Some(0) => amount_minor,
        Some(deducted) => Some(deducted).filter(|minor| (1..=MAX_AMOUNT).contains(minor))?,
    };
    let taken_minor = deducted_minor.min(amount_minor);
    Some(match stage {
        DisputeStage::Open => DisputeNews::Opened,
        DisputeStage::Won => DisputeNews::Won,
        DisputeStage::Closed => DisputeNews::Closed,
        DisputeStage::Lost => DisputeNews::Lost { taken_minor, fee_minor: deducted_minor - taken_minor },
    })
}

/// A dispute that is opened has to be answered at the gateway, and one that is lost has cost something.
fn alert_dispute(stage: DisputeStage, dispute: &str, amount: &str) {
    match stage {
        DisputeStage::Open => {
            error!(
                alert = "payment_disputed",
                dispute, amount, "a payment is disputed; its coins are frozen"
            );
        }
        DisputeStage::Lost => {
            error!(alert = "dispute_lost", dispute, amount, "a dispute is lost; its coins are taken back");
        }
        DisputeStage::Won | DisputeStage::Closed => {}
    }
}

/// Money that a gateway says it moved.
struct Moved<'a> {
    references: [&'a str; 2],
    amount_minor: i64,
    currency: &'a str,
}

impl Moved<'_> {
    /// The asset, if all of it can be recorded; else it wants a person.
    fn checked(&self) -> Result<Asset, Outcome> {
        if !self.references.iter().all(|it| is_reference(it, 64)) {
            return Err(Outcome::NeedsPerson("reference_invalid"));
        }
        if !(1..=MAX_AMOUNT).contains(&self.amount_minor) {
            return Err(Outcome::NeedsPerson("amount_invalid"));
        }
        let asset = asset_of(self.currency);
        asset.ok_or_else(|| {
            let (reference, currency) = (self.references[0], self.currency);
            error!(
                alert = "unknown_currency",
                reference, currency, "money was moved in a currency that is none"
            );
            Outcome::NeedsPerson("unknown_currency")
        })
    }
}

/// Whether a text can be the id of something at the gateway: visible ASCII characters, not too many of them.
fn is_reference(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a fault comes from what a delivery says, and not from an outage that passes.
fn is_of_this_delivery(fault: &CommandError, attempts: i32) -> bool {
    match fault {
        // The classes "data exception" and "integrity constraint violation" of SQLSTATE.
        CommandError::Database(sqlx::Error::Database(fault)) => {
            fault.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
        }
        CommandError::Execute(ExecuteError::Fault) => attempts >= STUCK_ATTEMPTS,
        _ => false,
    }
}

/// The asset of a currency code in large or small letters, with the decimals of ISO 4217: gateways count in them.
fn asset_of(currency: &str) -> Option<Asset> {
    let code = currency.trim().to_ascii_uppercase();
    let scale = iso_currency::Currency::from_code(&code)?.exponent()?;
    Asset::new(&code, u8::try_from(scale).ok()?)
}

/// Whether the gateway counts money in this asset as we do.
pub fn is_sold_in(asset: Asset) -> bool {
    asset_of(asset.code()) == Some(asset)
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
