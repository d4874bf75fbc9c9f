//! Gifts: the catalogue (names and pictures here, prices in the ledger), and sending one.

use crate::commands::{CommandError, Commands};
use crate::hosts::Hosts;
use crate::validation::{FieldError, text};
use chrono::{DateTime, Utc};
use ledger_core::command::SendGift;
use ledger_core::{CallId, Command, GiftId, GiftSendingId, PersonId};
use ledger_runtime::Receipt;
use sqlx::PgPool;
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
        let placed = image_url.starts_with("https://") || image_url.starts_with('/');
        if !placed || image_url.len() > 500 || !image_url.bytes().all(|byte| byte.is_ascii_graphic()) {
            let problem = "must be an https address or a path, of at most 500 characters";
            return Err(FieldError::new("image_url", problem));
        }
        Ok(GiftCard { id: gift.0, name, image_url: image_url.to_owned(), position })
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

#[derive(Clone)]
pub struct Gifts {
    pool: PgPool,
    commands: Commands,
    hosts: Hosts,
}

impl Gifts {
    pub fn new(pool: PgPool, commands: Commands, hosts: Hosts) -> Gifts {
        Gifts { pool, commands, hosts }
    }

    /// Sends a gift; answers the id of this sending too. The same key again answers the same sending.
    ///
    /// # Errors
    /// When the host is none, or the ledger refuses.
    pub async fn send(
        &self,
        sender: PersonId,
        key: Uuid,
        asked: Sending,
    ) -> Result<(GiftSendingId, Receipt), CommandError> {
        let Sending { host, gift, call, price_seen_milli } = asked;
        // The ledger does not know who is a host: earnings of anybody else could not be withdrawn.
        self.hosts.approved(host).await?;
        let command = Command::from(SendGift { sender, host, gift, call, price_seen_milli });
        let receipt = self.commands.give(sender, key, command).await?;
        Ok((receipt.command_id.derive("gift"), receipt))
    }

    /// The whole catalogue, those withdrawn from sale too, in the order in which it is shown.
    pub async fn list(&self) -> Result<Vec<GiftCard>, CommandError> {
        let rows =
            sqlx::query_as("SELECT id, name, image_url, position FROM app.gifts ORDER BY position, id");
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// Adds a gift or changes how it is shown.
    pub async fn put(&self, card: &GiftCard, now: DateTime<Utc>) -> Result<(), CommandError> {
        sqlx::query(
            "INSERT INTO app.gifts (id, name, image_url, position, updated_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (id) DO UPDATE
             SET name = excluded.name, image_url = excluded.image_url, position = excluded.position,
                 updated_at = excluded.updated_at",
        )
        .bind(card.id)
        .bind(&card.name)
        .bind(&card.image_url)
        .bind(card.position)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
