//! From ring to end. The ring is ours; from acceptance on the ledger's word counts.
//!
//! One payer rings one host at a time: ringing another host ends the first ring. A host may have
//! several rings and takes one; the others hear that the host is busy.

use crate::attendance::Attendance;
use crate::commands::{CommandError, Commands};
use crate::hosts::{HostError, HostStatus, Hosts};
use crate::presence::{Presence, PresenceStatus};
use crate::push::Bus;
use crate::settings::Settings;
use chrono::{DateTime, Utc};
use ledger_core::call::total_milli;
use ledger_core::{Actor, CallId, Command, Ending, Key, Medium, PersonId, Rejection, check_key, command_id};
use ledger_runtime::{ExecuteError, Receipt};
use serde_json::json;
use sqlx::PgPool;
use std::time::Duration;
use tracing::warn;
use uuid::Uuid;

/// How often rings that nobody answered are looked for.
const SWEEP: Duration = Duration::from_millis(500);
/// In how many of these rounds rings are looked for that a crash left half accepted: twice a minute.
const RECOVER_EVERY: u64 = 60;
/// After this long an accepted ring that the ledger knows no call for has failed.
const ACCEPT_SECONDS: i64 = 60;

/// A ring and what became of it.
#[derive(Clone, Debug, sqlx::FromRow)]
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

/// What a user asks for when calling a host.
#[derive(Clone, Copy, Debug)]
pub struct Invitation {
    pub payer: PersonId,
    pub host: PersonId,
    pub medium: Medium,
    /// The price that the user was shown.
    pub price_seen_milli_per_minute: i64,
}

#[derive(Clone)]
pub struct Calls {
    pool: PgPool,
    commands: Commands,
    hosts: Hosts,
    presence: Presence,
    settings: Settings,
    attendance: Attendance,
    bus: Bus,
}

impl Calls {
    pub fn new(
        pool: PgPool,
        commands: Commands,
        hosts: Hosts,
        presence: Presence,
        settings: Settings,
        attendance: Attendance,
        bus: Bus,
    ) -> Calls {
        Calls { pool, commands, hosts, presence, settings, attendance, bus }
    }

    /// Rings a host. The same key again answers the same ring.
    ///
    /// # Errors
    /// Price, balance, and whether both are free are checked before it rings; nothing is charged yet.
    pub async fn invite(
        &self,
        key: Uuid,
        asked: Invitation,
        now: DateTime<Utc>,
    ) -> Result<Ring, CommandError> {
        check_key(&Key::Client(key), now.into())?;
        let actor = Actor::Person(asked.payer);
        let call: CallId = command_id(actor, "InviteCall", &key.to_string()).derive("call");
        if let Some(ring) = self.ring(call).await? {
            return same_request(ring, &asked);
        }
        self.check_before_ring(&asked, now).await?;
        let metering = self.settings.metering().await?;
        let expires_at = now + chrono::TimeDelta::seconds(i64::from(metering.ring_seconds));
        let ring = self.start_ring(call, &asked, now, expires_at).await?;
        self.bus.send(&[asked.host], "call:invite", ring_push(&ring));
        Ok(ring)
    }

    async fn check_before_ring(&self, asked: &Invitation, now: DateTime<Utc>) -> Result<(), CommandError> {
        let Invitation { payer, host, medium, price_seen_milli_per_minute } = *asked;
        if payer == host {
            return Err(Rejection::SelfPayment.into());
        }
        match self.hosts.get(host).await {
            Ok(host) if host.status == HostStatus::Approved => {}
            Ok(_) | Err(HostError::NotFound) => return Err(CommandError::NotFound("host")),
            Err(fault) => return Err(fault.into()),
        }
        // A host who is connected may have chosen to be shown as offline.
        let shown = self.presence.get(host, now).await?;
        if shown == PresenceStatus::Offline || !self.attendance.is_connected(host) {
            return Err(CommandError::Refused { code: "host_offline", message: "the host is not online" });
        }
        if !self.attendance.is_connected(payer) {
            return Err(NOT_CONNECTED);
        }
        let policy = self.commands.policy().await?;
        let checked = self.commands.ledger().query(move |state, at| {
            let price = state.host_rate(host, medium).ok_or(Rejection::MediumNotOffered { medium })?;
            if price != price_seen_milli_per_minute {
                return Err(Rejection::CallPriceChanged { price_milli_per_minute: price });
            }
            if state.engaged(payer).is_some() {
                return Err(Rejection::PayerBusy);
            }
            if state.engaged(host).is_some() {
                return Err(Rejection::HostBusy);
            }
            // The first increment that costs something must be paid for.
            let free = policy.free_seconds / policy.increment_seconds.max(1);
            let needed_milli = total_milli(price, policy.increment_seconds, policy.free_seconds, free + 1)
                .ok_or(Rejection::AmountTooLarge { field: "price_milli_per_minute" })?;
            let spendable_milli = state.spendable(payer, at);
            if spendable_milli < needed_milli {
                return Err(Rejection::InsufficientFunds { needed_milli, spendable_milli });
            }
            Ok(())
        });
        Ok(checked.await??)
    }

    /// Ends the payer's ring at another host, if there is one, and begins the new one.
    async fn start_ring(
        &self,
        call: CallId,
        asked: &Invitation,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Ring, CommandError> {
        let mut tx = self.pool.begin().await?;
        let other: Option<Ring> = sqlx::query_as(
            "SELECT call, payer, host, medium, price_milli_per_minute, status, failure, created_at, expires_at,
                    decided_at
             FROM app.rings WHERE payer = $1 AND status = 'ringing' FOR UPDATE",
        )
        .bind(asked.payer.0)
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(other) = &other {
            if other.host == asked.host.0 && other.expires_at > now {
                return Err(CommandError::Refused {
                    code: "ring_pending",
                    message: "this host is being rung already",
                });
            }
            sqlx::query("UPDATE app.rings SET status = 'cancelled', decided_at = $2 WHERE call = $1")
                .bind(other.call)
                .bind(now)
                .execute(&mut *tx)
                .await?;
        }
        let ring: Option<Ring> = sqlx::query_as(
            "INSERT INTO app.rings
                 (call, payer, host, medium, price_milli_per_minute, status, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, 'ringing', $6, $7)
             ON CONFLICT DO NOTHING
             RETURNING call, payer, host, medium, price_milli_per_minute, status, failure, created_at, expires_at,
                       decided_at",
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
            return first.ok_or(pending).and_then(|first| same_request(first, asked));
        };
        tx.commit().await?;
        if let Some(other) = other {
            self.bus.send(&[PersonId(other.host)], "call:end", ended_push(&other, "cancelled"));
        }
        Ok(ring)
    }

    /// The host takes the call: it starts, and the first increment is charged. Taking it again
    /// answers the first receipt.
    ///
    /// # Errors
    /// When it no longer rings, a side is not connected, or the ledger refuses.
    pub async fn accept(
        &self,
        host: PersonId,
        call: CallId,
        now: DateTime<Utc>,
    ) -> Result<Receipt, CommandError> {
        let ring = self.ring_of(call, |ring| ring.host == host.0).await?;
        let (payer, medium) = (PersonId(ring.payer), parse_medium(&ring.medium)?);
        if ring.status == "ringing" {
            if !self.attendance.is_connected(payer) || !self.attendance.is_connected(host) {
                return Err(NOT_CONNECTED);
            }
            self.close_ring(&ring, "accepted", now).await?;
        } else if ring.status != "accepted" {
            return Err(ring_over());
        }
        let command = Command::StartCall {
            call,
            payer,
            host,
            medium,
            price_seen_milli_per_minute: ring.price_milli_per_minute,
        };
        match self.commands.give_as(Actor::Person(host), Key::Natural(call.to_string()), command).await {
            Ok(receipt) => {
                self.attendance.review(payer);
                if !receipt.duplicate {
                    self.bus.send(&[payer, host], "call:answer", json!({ "call": call, "accepted": true }));
                    self.tell_others_busy(host, payer, now).await?;
                }
                Ok(receipt)
            }
            Err(CommandError::Execute(ExecuteError::Rejected(rejection))) => {
                self.fail_ring(&ring, rejection.code(), now).await?;
                Err(rejection.into())
            }
            Err(other) => Err(other),
        }
    }

    /// The host declines.
    pub async fn reject(&self, host: PersonId, call: CallId, now: DateTime<Utc>) -> Result<(), CommandError> {
        let ring = self.ring_of(call, |ring| ring.host == host.0).await?;
        if ring.status == "rejected" {
            return Ok(());
        }
        self.close_ring(&ring, "rejected", now).await?;
        self.bus.send(
            &[PersonId(ring.payer), host],
            "call:answer",
            json!({ "call": call, "accepted": false }),
        );
        Ok(())
    }

    /// The payer gives up before it is answered.
    pub async fn cancel(
        &self,
        payer: PersonId,
        call: CallId,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let ring = self.ring_of(call, |ring| ring.payer == payer.0).await?;
        if ring.status == "cancelled" {
            return Ok(());
        }
        self.close_ring(&ring, "cancelled", now).await?;
        self.bus.send(&[PersonId(ring.host), payer], "call:end", ended_push(&ring, "cancelled"));
        Ok(())
    }

    /// Either side hangs up. While it still rings, the payer cancels and the host rejects; there is no
    /// receipt then, since nothing was recorded.
    pub async fn end(
        &self,
        person: PersonId,
        key: Uuid,
        call: CallId,
        now: DateTime<Utc>,
    ) -> Result<Option<Receipt>, CommandError> {
        let ring = self.ring_of(call, |ring| ring.payer == person.0 || ring.host == person.0).await?;
        match ring.status.as_str() {
            "ringing" if ring.payer == person.0 => self.cancel(person, call, now).await.map(|()| None),
            "ringing" => self.reject(person, call, now).await.map(|()| None),
            "accepted" => {
                let command = Command::EndCall { call, by: Ending::Participant(person) };
                self.commands.give(person, key, command).await.map(Some)
            }
            _ => Err(ring_over()),
        }
    }

    /// The rings of a person, newest first, from before the cursor `(created_at, call)` on.
    pub async fn rings_of(
        &self,
        person: PersonId,
        before: Option<(DateTime<Utc>, Uuid)>,
        limit: i64,
    ) -> Result<Vec<Ring>, CommandError> {
        let (before_at, before_call) = before.unwrap_or_default();
        let rows = sqlx::query_as(
            "SELECT call, payer, host, medium, price_milli_per_minute, status, failure, created_at, expires_at,
                    decided_at
             FROM app.rings
             WHERE (payer = $1 OR host = $1) AND ($2 OR (created_at, call) < ($3, $4))
             ORDER BY created_at DESC, call DESC LIMIT $5",
        )
        .bind(person.0)
        .bind(before.is_none())
        .bind(before_at)
        .bind(before_call)
        .bind(limit);
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// A ring that `person` is part of.
    pub async fn of(&self, person: PersonId, call: CallId) -> Result<Ring, CommandError> {
        self.ring_of(call, |ring| ring.payer == person.0 || ring.host == person.0).await
    }

    /// Ends rings that nobody answered or that a crash left half accepted, for as long as it is polled.
    pub async fn sweep(self) {
        let mut tick = tokio::time::interval(SWEEP);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for round in 0_u64.. {
            tick.tick().await;
            let now = crate::clock::now();
            let swept = async {
                if round.is_multiple_of(RECOVER_EVERY) {
                    self.recover(now).await?;
                }
                self.sweep_once(now).await
            };
            if let Err(fault) = swept.await {
                warn!(%fault, "rings could not be ended; trying again");
            }
        }
    }

    pub async fn sweep_once(&self, now: DateTime<Utc>) -> Result<(), CommandError> {
        let missed: Vec<Ring> = sqlx::query_as(
            "UPDATE app.rings SET status = 'missed', decided_at = $1 WHERE status = 'ringing' AND expires_at <= $1
             RETURNING call, payer, host, medium, price_milli_per_minute, status, failure, created_at, expires_at,
                       decided_at",
        )
        .bind(now)
        .fetch_all(&self.pool)
        .await?;
        for ring in missed {
            self.bus.send(
                &[PersonId(ring.payer), PersonId(ring.host)],
                "call:end",
                ended_push(&ring, "missed"),
            );
        }
        Ok(())
    }

    /// Fails rings that were accepted just before a crash, so that the ledger knows no call of them.
    async fn recover(&self, now: DateTime<Utc>) -> Result<(), CommandError> {
        let accepted: Vec<Ring> = sqlx::query_as(
            "SELECT call, payer, host, medium, price_milli_per_minute, status, failure, created_at, expires_at,
                    decided_at
             FROM app.rings WHERE status = 'accepted' AND decided_at < $1 AND decided_at > $1 - interval '7 days'",
        )
        .bind(now - chrono::TimeDelta::seconds(ACCEPT_SECONDS))
        .fetch_all(&self.pool)
        .await?;
        let ids: Vec<CallId> = accepted.iter().map(|ring| CallId(ring.call)).collect();
        let known = self
            .commands
            .ledger()
            .query(move |state, _| ids.iter().map(|call| state.call(*call).is_some()).collect::<Vec<bool>>());
        for (ring, known) in accepted.iter().zip(known.await?) {
            if !known {
                self.fail_ring(ring, "server_stopped", now).await?;
            }
        }
        Ok(())
    }

    async fn ring(&self, call: CallId) -> Result<Option<Ring>, CommandError> {
        let row = sqlx::query_as(
            "SELECT call, payer, host, medium, price_milli_per_minute, status, failure, created_at, expires_at,
                    decided_at
             FROM app.rings WHERE call = $1",
        );
        Ok(row.bind(call.0).fetch_optional(&self.pool).await?)
    }

    /// The ring, if the caller has part in it; somebody else's is answered like one that is not there.
    async fn ring_of(&self, call: CallId, may_see: impl Fn(&Ring) -> bool) -> Result<Ring, CommandError> {
        self.ring(call).await?.filter(may_see).ok_or(CommandError::NotFound("call"))
    }

    /// Closes a ring that still rings; of two who try, one wins.
    async fn close_ring(
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

    async fn fail_ring(&self, ring: &Ring, failure: &str, now: DateTime<Utc>) -> Result<(), CommandError> {
        sqlx::query(
            "UPDATE app.rings SET status = 'failed', failure = $2, decided_at = $3
             WHERE call = $1 AND status = 'accepted'",
        )
        .bind(ring.call)
        .bind(failure)
        .bind(now)
        .execute(&self.pool)
        .await?;
        self.bus.send(&[PersonId(ring.payer), PersonId(ring.host)], "call:end", ended_push(ring, failure));
        Ok(())
    }

    /// Ends what else rings at the host, and what rings at the payer if the payer is a host too.
    async fn tell_others_busy(
        &self,
        host: PersonId,
        payer: PersonId,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let others: Vec<Ring> = sqlx::query_as(
            "UPDATE app.rings SET status = 'busy', decided_at = $3 WHERE host IN ($1, $2) AND status = 'ringing'
             RETURNING call, payer, host, medium, price_milli_per_minute, status, failure, created_at, expires_at,
                       decided_at",
        )
        .bind(host.0)
        .bind(payer.0)
        .bind(now)
        .fetch_all(&self.pool)
        .await?;
        for ring in others {
            self.bus.send(
                &[PersonId(ring.payer), PersonId(ring.host)],
                "call:end",
                ended_push(&ring, "busy"),
            );
        }
        Ok(())
    }
}

const NOT_CONNECTED: CommandError = CommandError::Refused {
    code: "not_connected",
    message: "both sides must be connected by WebSocket; nobody pays for a call that one side cannot hear",
};

fn ring_over() -> CommandError {
    CommandError::Refused { code: "ring_over", message: "this call no longer rings" }
}

fn same_request(ring: Ring, asked: &Invitation) -> Result<Ring, CommandError> {
    let same = ring.payer == asked.payer.0
        && ring.host == asked.host.0
        && ring.medium == medium_name(asked.medium)
        && ring.price_milli_per_minute == asked.price_seen_milli_per_minute;
    if same { Ok(ring) } else { Err(Rejection::KeyReused.into()) }
}

fn ring_push(ring: &Ring) -> serde_json::Value {
    json!({
        "call": ring.call,
        "payer": ring.payer,
        "host": ring.host,
        "medium": ring.medium,
        "price_milli_per_minute": ring.price_milli_per_minute,
        "expires_at": ring.expires_at,
    })
}

fn ended_push(ring: &Ring, reason: &str) -> serde_json::Value {
    json!({ "call": ring.call, "reason": reason })
}

pub fn medium_name(medium: Medium) -> &'static str {
    match medium {
        Medium::Chat => "chat",
        Medium::Voice => "voice",
        Medium::Video => "video",
    }
}

fn parse_medium(name: &str) -> Result<Medium, CommandError> {
    match name {
        "chat" => Ok(Medium::Chat),
        "voice" => Ok(Medium::Voice),
        "video" => Ok(Medium::Video),
        _ => Err(CommandError::NotFound("medium")),
    }
}
