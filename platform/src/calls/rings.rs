//! The rings as they stand in `app.rings`.

use super::{Calls, Invitation, ring_over};
use crate::commands::CommandError;
use crate::identity::{self, PersonCard};
use crate::page::{Page, Place};
use crate::push::News;
use chrono::{DateTime, Utc};
use ledger_core::{CallId, Medium, PersonId, Rejection};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A ring and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize, sqlx::FromRow)]
pub struct Ring {
    pub call: Uuid,
    pub payer: Uuid,
    pub host: Uuid,
    pub medium: String,
    pub price_milli_per_minute: i64,
    /// ringing, accepted, rejected, cancelled, missed, busy or failed
    pub status: String,
    pub failure: Option<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub decided_at: Option<DateTime<Utc>>,
}

impl Ring {
    /// The ring, if it was made by this very invitation.
    pub(super) fn made_by(self, asked: &Invitation) -> Result<Ring, CommandError> {
        let same = self.payer == asked.payer.0
            && self.host == asked.host.0
            && self.medium == medium_name(asked.medium)
            && self.price_milli_per_minute == asked.price_seen_milli_per_minute;
        if same { Ok(self) } else { Err(Rejection::KeyReused.into()) }
    }
}

/// What an invitation came to.
#[derive(Clone, Debug)]
pub struct Rung {
    pub ring: Ring,
    /// Whether the ring was there before: the same invitation had come under the same key.
    pub is_retry: bool,
}

/// A ring, with the card of the side that is not its viewer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SeenRing {
    pub ring: Ring,
    pub other: PersonCard,
}

impl Calls {
    /// Rings as `viewer`, one side of each, sees them.
    pub async fn seen_by(&self, viewer: PersonId, rings: Vec<Ring>) -> Result<Vec<SeenRing>, sqlx::Error> {
        let other_of = |ring: &Ring| if ring.payer == viewer.0 { ring.host } else { ring.payer };
        let others: Vec<Uuid> = rings.iter().map(other_of).collect();
        let cards = identity::cards(&self.pool, &others).await?;
        let seen = rings.into_iter().map(|ring| {
            let other = other_of(&ring);
            let other = cards.get(&other).cloned().unwrap_or_else(|| PersonCard::blank(other));
            SeenRing { ring, other }
        });
        Ok(seen.collect())
    }

    /// One page of a person's rings, the newest first.
    pub async fn rings_of(
        &self,
        person: PersonId,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Page<Ring>, CommandError> {
        let (place, limit) = (after.unwrap_or_else(Place::newest), i64::from(limit));
        let rows = sqlx::query_as(
            "SELECT * FROM app.rings WHERE (payer = $1 OR host = $1) AND (created_at, call) < ($2, $3)
             ORDER BY created_at DESC, call DESC LIMIT $4",
        )
        .bind(person.0)
        .bind(place.at)
        .bind(place.id)
        .bind(limit + 1);
        let rings = rows.fetch_all(&self.pool).await?;
        Ok(Page::of(rings, limit, |ring: &Ring| Place { at: ring.created_at, id: ring.call }))
    }

    /// The rings that `person` made or that wait for their answer at this moment, newest first, `limit` of each
    /// kind at the most. Each kind has an index of open rings alone.
    pub async fn open_rings(
        &self,
        person: PersonId,
        limit: i64,
        now: DateTime<Utc>,
    ) -> Result<Vec<Ring>, CommandError> {
        let rows = sqlx::query_as(
            "(SELECT * FROM app.rings WHERE payer = $1 AND status = 'ringing' AND expires_at > $2)
             UNION ALL
             (SELECT * FROM app.rings WHERE host = $1 AND status = 'ringing' AND expires_at > $2
              ORDER BY created_at DESC LIMIT $3)
             ORDER BY created_at DESC, call DESC",
        );
        Ok(rows.bind(person.0).bind(now).bind(limit).fetch_all(&self.pool).await?)
    }

    /// A ring that `person` is part of.
    pub async fn of(&self, person: PersonId, call: CallId) -> Result<Ring, CommandError> {
        self.ring_of(call, |ring| ring.payer == person.0 || ring.host == person.0).await
    }

    /// Ends the payer's ring at another host, if there is one, and begins the new one.
    pub(super) async fn start_ring(
        &self,
        call: CallId,
        asked: &Invitation,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Rung, CommandError> {
        let mut tx = self.pool.begin().await?;
        let other: Option<Ring> =
            sqlx::query_as("SELECT * FROM app.rings WHERE payer = $1 AND status = 'ringing' FOR UPDATE")
                .bind(asked.payer.0)
                .fetch_optional(&mut *tx)
                .await?;
        if let Some(same) = other.as_ref().filter(|other| other.call == call.0) {
            // Another node has made it a moment ago, of the same request.
            return Ok(Rung { ring: same.clone().made_by(asked)?, is_retry: true });
        }
        if let Some(other) = &other {
            if other.host == asked.host.0 && other.expires_at > now {
                return Err(CommandError::Refused {
                    code: "ring_pending",
                    message: "this host is being rung already",
                });
            }
            let cancel = "UPDATE app.rings SET status = 'cancelled', decided_at = $2 WHERE call = $1";
            sqlx::query(cancel).bind(other.call).bind(now).execute(&mut *tx).await?;
        }
        let ring: Option<Ring> = sqlx::query_as(
            "INSERT INTO app.rings
                 (call, payer, host, medium, price_milli_per_minute, status, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, 'ringing', $6, $7)
             ON CONFLICT DO NOTHING
             RETURNING *",
        )
        .bind(call.0)
        .bind(asked.payer.0)
        .bind(asked.host.0)
        .bind(medium_name(asked.medium))
        .bind(asked.price_seen_milli_per_minute)
        .bind(now)
        .bind(expires_at)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(ring) = ring else {
            // The same request, or another of this payer, came first at the same moment.
            drop(tx);
            let first = self.ring(call).await?;
            let pending =
                CommandError::Refused { code: "ring_pending", message: "another ring has just begun" };
            let ring = first.ok_or(pending)?.made_by(asked)?;
            return Ok(Rung { ring, is_retry: true });
        };
        tx.commit().await?;
        if let Some(other) = other {
            let news = News::RingEnded { call: CallId(other.call), reason: "cancelled".into() };
            self.bus.send(&[PersonId(other.host)], news);
        }
        Ok(Rung { ring, is_retry: false })
    }

    pub(super) async fn ring(&self, call: CallId) -> Result<Option<Ring>, CommandError> {
        let row = sqlx::query_as("SELECT * FROM app.rings WHERE call = $1");
        Ok(row.bind(call.0).fetch_optional(&self.pool).await?)
    }

    /// The ring, if the caller has part in it; somebody else's is answered like one that is not there.
    pub(super) async fn ring_of(
        &self,
        call: CallId,
        may_see: impl Fn(&Ring) -> bool,
    ) -> Result<Ring, CommandError> {
        self.ring(call).await?.filter(may_see).ok_or(CommandError::NotFound("call"))
    }

    /// Closes a ring that still rings; of two who try, one wins.
    pub(super) async fn close_ring(
        &self,
        ring: &Ring,
        status: &'static str,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let closed = sqlx::query(
            "UPDATE app.rings SET status = $2, decided_at = $3
             WHERE call = $1 AND status = 'ringing' AND expires_at > $3",
        )
        .bind(ring.call)
        .bind(status)
        .bind(now)
        .execute(&self.pool)
        .await?;
        if closed.rows_affected() == 1 { Ok(()) } else { Err(ring_over()) }
    }

    pub(super) async fn fail_ring(
        &self,
        ring: &Ring,
        failure: &'static str,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let fail = "UPDATE app.rings SET status = 'failed', failure = $2, decided_at = $3
                    WHERE call = $1 AND status = 'accepted'";
        let failed = sqlx::query(fail).bind(ring.call).bind(failure).bind(now).execute(&self.pool).await?;
        if failed.rows_affected() == 1 {
            self.tell_ended(ring, failure);
        }
        Ok(())
    }

    /// Of two tries to take a call one may have been refused and have failed the ring of the call that the
    /// other has begun.
    pub(super) async fn ring_has_call(&self, call: CallId) -> Result<(), CommandError> {
        let heal =
            "UPDATE app.rings SET status = 'accepted', failure = NULL WHERE call = $1 AND status = 'failed'";
        sqlx::query(heal).bind(call.0).execute(&self.pool).await?;
        Ok(())
    }
}

pub fn medium_name(medium: Medium) -> &'static str {
    match medium {
        Medium::Chat => "chat",
        Medium::Voice => "voice",
        Medium::Video => "video",
    }
}

pub(super) fn parse_medium(name: &str) -> Result<Medium, CommandError> {
    match name {
        "chat" => Ok(Medium::Chat),
        "voice" => Ok(Medium::Voice),
        "video" => Ok(Medium::Video),
        _ => Err(CommandError::NotFound("medium")),
    }
}
