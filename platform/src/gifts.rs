//! Gifts: the catalogue (names and pictures here, prices in the ledger), and sending one.

use crate::audit::{self, Author, Change};
use crate::commands::{CommandError, Commands};
use crate::hosts::{HostError, Hosts};
use crate::validation::{FieldError, picture, text};
use chrono::{DateTime, Utc};
use ledger_core::command::{SendGift, SetGiftPrice};
use ledger_core::{Actor, CallId, ClientKey, Command, GiftId, GiftSendingId, Key, PersonId, Rejection};
use ledger_runtime::{ExecuteError, Receipt, Submitted};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use std::sync::Arc;
use tokio::sync::Mutex;
use uuid::Uuid;

#[derive(Clone, Debug, sqlx::FromRow)]
pub struct GiftCard {
    pub id: Uuid,
    pub name: String,
    pub image_url: String,
    pub position: i32,
}

impl GiftCard {
    /// # Errors
    /// When the name or the picture's address cannot be shown.
    pub fn new(gift: GiftId, name: &str, image_url: &str, position: i32) -> Result<GiftCard, FieldError> {
        let name = text("name", name, 1..=60, false)?;
        let image_url = picture("image_url", image_url)?;
        Ok(GiftCard { id: gift.0, name, image_url, position })
    }
}

/// What a user asks for when sending a gift.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    pub host: PersonId,
    pub gift: GiftId,
    /// The running call of the two that it is sent in, if any.
    pub call: Option<CallId>,
    /// The price that the sender was shown.
    pub price_seen_milli: i64,
}

impl Sending {
    fn by(self, sender: PersonId) -> Command {
        let Sending { host, gift, call, price_seen_milli } = self;
        Command::from(SendGift { sender, host, gift, call, price_seen_milli })
    }
}

/// What became of a gift that was put in line, with the id of its sending.
///
/// # Errors
/// When the ledger refuses.
pub async fn outcome(submitted: Submitted) -> Result<(GiftSendingId, Receipt), CommandError> {
    let receipt = submitted.outcome().await?;
    Ok((receipt.command_id.derive("gift"), receipt))
}

#[derive(Clone)]
pub struct Gifts {
    pool: PgPool,
    commands: Commands,
    hosts: Hosts,
    turn: Arc<Mutex<()>>,
}

impl Gifts {
    pub fn new(pool: PgPool, commands: Commands, hosts: Hosts) -> Gifts {
        Gifts { pool, commands, hosts, turn: Arc::default() }
    }

    /// Sends a gift; answers the id of this sending too. The same key again answers the same sending.
    ///
    /// # Errors
    /// When the host is none, or the ledger refuses.
    pub async fn send(
        &self,
        sender: PersonId,
        key: ClientKey,
        asked: Sending,
    ) -> Result<(GiftSendingId, Receipt), CommandError> {
        outcome(self.submit(sender, key, asked).await?).await
    }

    /// Puts a gift in the ledger's line; what the sender asks for next can be put behind it before [`outcome`] tells
    /// how it went.
    ///
    /// # Errors
    /// When the host is none, or it does not get in line.
    pub async fn submit(
        &self,
        sender: PersonId,
        key: ClientKey,
        asked: Sending,
    ) -> Result<Submitted, CommandError> {
        // The ledger does not know who is a host: earnings of anybody else could not be withdrawn.
        if let Err(no_host) = self.hosts.must_serve(asked.host).await {
            self.only_a_retry(sender, &key, no_host.into()).await?;
        }
        self.commands.submit(sender, key, asked.by(sender)).await
    }

    /// Sends gifts that are decided together, in order. Each is answered as [`Self::send`] would answer it; one that
    /// is refused keeps no other from being sent. Bound their number.
    ///
    /// # Errors
    /// When none of them was looked at.
    pub async fn send_together(
        &self,
        sender: PersonId,
        asked: &[(ClientKey, Sending)],
    ) -> Result<Vec<Result<(GiftSendingId, Receipt), CommandError>>, CommandError> {
        let serving = self.hosts.serving_among(asked.iter().map(|(_, sending)| sending.host)).await?;
        let mut commands = Vec::with_capacity(asked.len());
        let mut refused = Vec::with_capacity(asked.len());
        for (key, sending) in asked {
            let sendable = match serving.contains(&sending.host) {
                true => Ok(()),
                false => self.only_a_retry(sender, key, HostError::NotFound.into()).await,
            };
            if sendable.is_ok() {
                commands.push((key.clone(), sending.by(sender)));
            }
            refused.push(sendable.err());
        }
        let mut submitted = self.commands.submit_together(sender, commands).await?.into_iter();
        let mut outcomes = Vec::with_capacity(asked.len());
        for refused in refused {
            outcomes.push(match refused {
                Some(refused) => Err(refused),
                None => match submitted.next() {
                    Some(submitted) => outcome(submitted).await,
                    None => Err(ExecuteError::Fault.into()),
                },
            });
        }
        Ok(outcomes)
    }

    /// What was sent before the host went is answered as it was then; anything else is refused for this reason.
    async fn only_a_retry(
        &self,
        sender: PersonId,
        key: &ClientKey,
        reason: CommandError,
    ) -> Result<(), CommandError> {
        let actor = Actor::Person(sender);
        if self.commands.is_recorded(actor, SendGift::OPERATION, key).await? { Ok(()) } else { Err(reason) }
    }

    /// The whole catalogue, those withdrawn from sale too, in the order in which it is shown.
    pub async fn list(&self) -> Result<Vec<GiftCard>, CommandError> {
        let rows =
            sqlx::query_as("SELECT id, name, image_url, position FROM app.gifts ORDER BY position, id");
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// Sets how a gift is shown and what it costs, together: the price is an event of the ledger, and the card
    /// carries that event's revision. Of several admins at once the one whose price was recorded last has the last
    /// word on the card too.
    ///
    /// # Errors
    /// When the ledger refuses the price; nothing is changed then.
    pub async fn set(
        &self,
        author: &Author,
        key: ClientKey,
        card: &GiftCard,
        price_milli: Option<i64>,
        now: DateTime<Utc>,
    ) -> Result<Receipt, CommandError> {
        let (actor, gift) = (Actor::Person(author.admin()?), GiftId(card.id));
        // One change at a time, so that the audit log has the price before it. On several nodes the revision alone
        // keeps name and price together.
        let _turn = self.turn.lock().await;
        let price_before = self.commands.ledger().query(move |state, _| state.gift_price(gift)).await?;
        let command = SetGiftPrice { gift, price_milli };
        let receipt = self.commands.give_as(actor, Key::Client(key), command.into()).await?;
        let mut tx = self.pool.begin().await?;
        let card_before: Option<GiftCard> =
            sqlx::query_as("SELECT id, name, image_url, position FROM app.gifts WHERE id = $1 FOR UPDATE")
                .bind(card.id)
                .fetch_optional(&mut *tx)
                .await?;
        if receipt.duplicate && self.shows_another(&mut tx, card, receipt.revision).await? {
            return Err(Rejection::KeyReused.into());
        }
        if put(&mut tx, card, receipt.revision, now).await? {
            let shown = |card: &GiftCard, price: Option<i64>| {
                json!({
                    "name": card.name, "image_url": card.image_url, "position": card.position, "price_milli": price,
                })
            };
            let change = Change::new("gift.changed", "gift", card.id).after(shown(card, price_milli));
            let change = Change { before: card_before.map(|card| shown(&card, price_before)), ..change };
            if change.before != change.after {
                audit::record_command(&mut tx, author, change, &receipt, now).await?;
            }
        }
        tx.commit().await?;
        Ok(receipt)
    }

    /// Whether the key's first request gave this gift another card: the ledger knows its price alone.
    async fn shows_another(
        &self,
        tx: &mut PgConnection,
        card: &GiftCard,
        revision: u64,
    ) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM app.gifts WHERE id = $1 AND revision = $2
                            AND (name, image_url, position) IS DISTINCT FROM ($3, $4, $5))",
        )
        .bind(card.id)
        .bind(i64::try_from(revision).unwrap_or(i64::MAX))
        .bind(&card.name)
        .bind(&card.image_url)
        .bind(card.position)
        .fetch_one(tx)
        .await
    }

    /// Puts a card whose price was recorded at `revision`, unless a later one is there.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn put(&self, card: &GiftCard, revision: u64, now: DateTime<Utc>) -> Result<(), CommandError> {
        let mut connection = self.pool.acquire().await?;
        put(&mut connection, card, revision, now).await?;
        Ok(())
    }
}

/// Whether the card was written: not if the one that is there belongs to a later price.
async fn put(
    tx: &mut PgConnection,
    card: &GiftCard,
    revision: u64,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let put = sqlx::query(
        "INSERT INTO app.gifts (id, name, image_url, position, revision, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE
         SET name = excluded.name, image_url = excluded.image_url, position = excluded.position,
             revision = excluded.revision, updated_at = excluded.updated_at
         WHERE gifts.revision <= excluded.revision",
    )
    .bind(card.id)
    .bind(&card.name)
    .bind(&card.image_url)
    .bind(card.position)
    .bind(i64::try_from(revision).unwrap_or(i64::MAX))
    .bind(now)
    .execute(tx)
    .await?;
    Ok(put.rows_affected() == 1)
}
