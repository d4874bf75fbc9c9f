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
use chrono::{DateTime, TimeDelta, Utc};
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
/// How far back the first look for such rings goes, and how far each later one overlaps with the one before it:
/// a ring may be written a little after the moment that stands in it.
const RECOVER_FIRST: TimeDelta = TimeDelta::days(7);
const RECOVER_OVERLAP: TimeDelta = TimeDelta::minutes(10);
/// Rings that are looked at together: few enough that the ledger answers at once.
const RECOVER_PAGE: i64 = 500;
/// How often, and how long between, somebody who hangs up waits for a call that is just being taken.
const TAKING_LOOKS: u32 = 40;
const TAKING_WAIT: Duration = Duration::from_millis(50);
/// Why a ring failed whose call somebody hung up before it began.
const HUNG_UP: &str = "hung_up";

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
        let expires_at = now + TimeDelta::seconds(i64::from(metering.ring_seconds));
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
        let other: Option<Ring> =
            sqlx::query_as("SELECT * FROM app.rings WHERE payer = $1 AND status = 'ringing' FOR UPDATE")
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
        // Once begun it is finished, also when the host's request is given up meanwhile: a call that started
        // must be told of.
        let calls = self.clone();
        let taking = tokio::spawn(async move { calls.take(host, call, now).await });
        taking.await.unwrap_or(Err(CommandError::Execute(ExecuteError::Fault)))
    }

    async fn take(&self, host: PersonId, call: CallId, now: DateTime<Utc>) -> Result<Receipt, CommandError> {
        let ring = self.ring_of(call, |ring| ring.host == host.0).await?;
        let (payer, medium) = (PersonId(ring.payer), parse_medium(&ring.medium)?);
        match ring.status.as_str() {
            "ringing" => {
                self.both_connected(payer, host)?;
                self.take_ring(&ring, now).await?;
            }
            // An earlier try may have stopped before the ledger heard of it, and the payer may have gone since.
            "accepted" if !self.has_begun(call).await? => self.both_connected(payer, host)?,
            "accepted" => {}
            _ => return Err(ring_over()),
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
                if !receipt.duplicate {
                    self.bus.send(&[payer, host], "call:answer", json!({ "call": call, "accepted": true }));
                    // The call runs: what is amiss with other rings is no reason to say that it does not.
                    let told = async {
                        self.ring_has_call(call).await?;
                        self.tell_others_busy(host, payer, now).await
                    };
                    if let Err(fault) = told.await {
                        warn!(%fault, %call, "a call has begun, and other rings did not hear of it");
                    }
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

    fn both_connected(&self, payer: PersonId, host: PersonId) -> Result<(), CommandError> {
        let both = self.attendance.is_connected(payer) && self.attendance.is_connected(host);
        if both { Ok(()) } else { Err(NOT_CONNECTED) }
    }

    /// Closes the ring as accepted, unless another device of the host has just done so.
    async fn take_ring(&self, ring: &Ring, now: DateTime<Utc>) -> Result<(), CommandError> {
        match self.close_ring(ring, "accepted", now).await {
            Err(CommandError::Refused { .. }) => {
                let now_is = self.ring(CallId(ring.call)).await?;
                if now_is.is_some_and(|it| it.status == "accepted") { Ok(()) } else { Err(ring_over()) }
            }
            closed => closed,
        }
    }

    async fn has_begun(&self, call: CallId) -> Result<bool, CommandError> {
        Ok(self.commands.ledger().query(move |state, _| state.call(call).is_some()).await?)
    }

    /// Of two tries to take a call one may have been refused and have failed the ring of the call that the
    /// other has begun.
    async fn ring_has_call(&self, call: CallId) -> Result<(), CommandError> {
        let heal =
            "UPDATE app.rings SET status = 'accepted', failure = NULL WHERE call = $1 AND status = 'failed'";
        sqlx::query(heal).bind(call.0).execute(&self.pool).await?;
        Ok(())
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
        self.tell_ended(&ring, "cancelled");
        Ok(())
    }

    /// Either side hangs up. While it still rings, the payer cancels and the host rejects; there is no
    /// receipt then, since nothing was recorded. Hanging up again answers the same.
    pub async fn end(
        &self,
        person: PersonId,
        key: Uuid,
        call: CallId,
        now: DateTime<Utc>,
    ) -> Result<Option<Receipt>, CommandError> {
        let may_end = |ring: &Ring| ring.payer == person.0 || ring.host == person.0;
        let mut ring = self.ring_of(call, may_end).await?;
        let is_payer = ring.payer == person.0;
        if ring.status == "ringing" {
            let closed = match is_payer {
                true => self.cancel(person, call, now).await,
                false => self.reject(person, call, now).await,
            };
            match closed {
                Ok(()) => return Ok(None),
                // Taken at the same moment: whoever hangs up shall not pay on.
                Err(CommandError::Refused { .. }) => ring = self.ring_of(call, may_end).await?,
                Err(other) => return Err(other),
            }
        }
        match ring.status.as_str() {
            "cancelled" if is_payer => Ok(None),
            "rejected" if !is_payer => Ok(None),
            "accepted" => self.hang_up(person, key, &ring, now).await,
            // Whatever the ring says, a call that the ledger knows can be ended.
            "failed" if self.has_begun(call).await? => self.hang_up(person, key, &ring, now).await,
            "failed" if ring.failure.as_deref() == Some(HUNG_UP) => Ok(None),
            _ => Err(ring_over()),
        }
    }

    async fn hang_up(
        &self,
        person: PersonId,
        key: Uuid,
        ring: &Ring,
        now: DateTime<Utc>,
    ) -> Result<Option<Receipt>, CommandError> {
        let call = CallId(ring.call);
        for _ in 0..TAKING_LOOKS {
            let command = Command::EndCall { call, by: Ending::Participant(person) };
            match self.commands.give(person, key, command).await {
                // It is just being taken, or a crash came between.
                Err(CommandError::Execute(ExecuteError::Rejected(Rejection::UnknownCall))) => {
                    tokio::time::sleep(TAKING_WAIT).await;
                }
                ended => return ended.map(Some),
            }
        }
        // Nobody can take it any more.
        self.fail_ring(ring, HUNG_UP, now).await?;
        Ok(None)
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
            "SELECT * FROM app.rings WHERE (payer = $1 OR host = $1) AND ($2 OR (created_at, call) < ($3, $4))
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
        let mut recovered_to = crate::clock::now() - RECOVER_FIRST;
        for round in 0_u64.. {
            tick.tick().await;
            let now = crate::clock::now();
            let swept = async {
                self.sweep_once(now).await?;
                if round.is_multiple_of(RECOVER_EVERY) {
                    self.recover(recovered_to, now).await?;
                    recovered_to = now - RECOVER_OVERLAP;
                }
                Ok::<(), CommandError>(())
            };
            if let Err(fault) = swept.await {
                warn!(%fault, "rings could not be ended; trying again");
            }
        }
    }

    pub async fn sweep_once(&self, now: DateTime<Utc>) -> Result<(), CommandError> {
        let missed: Vec<Ring> = sqlx::query_as(
            "UPDATE app.rings SET status = 'missed', decided_at = $1 WHERE status = 'ringing' AND expires_at <= $1
             RETURNING *",
        )
        .bind(now)
        .fetch_all(&self.pool)
        .await?;
        for ring in missed {
            self.tell_ended(&ring, "missed");
        }
        Ok(())
    }

    /// Fails rings that were accepted after `since`, just before a crash, so that the ledger knows no call of
    /// them. Those of the last minute may still become one.
    pub async fn recover(&self, since: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), CommandError> {
        let until = now - TimeDelta::seconds(ACCEPT_SECONDS);
        let mut after = (since, Uuid::nil());
        loop {
            let accepted: Vec<Ring> = sqlx::query_as(
                "SELECT * FROM app.rings WHERE status = 'accepted' AND decided_at < $1 AND (decided_at, call) > ($2, $3)
                 ORDER BY decided_at, call LIMIT $4",
            )
            .bind(until)
            .bind(after.0)
            .bind(after.1)
            .bind(RECOVER_PAGE)
            .fetch_all(&self.pool)
            .await?;
            let Some(last) = accepted.last() else { return Ok(()) };
            after = (last.decided_at.unwrap_or(until), last.call);
            let ids: Vec<CallId> = accepted.iter().map(|ring| CallId(ring.call)).collect();
            let known = self.commands.ledger().query(move |state, _| {
                ids.iter().map(|call| state.call(*call).is_some()).collect::<Vec<bool>>()
            });
            for (ring, known) in accepted.iter().zip(known.await?) {
                if !known {
                    self.fail_ring(ring, "server_stopped", now).await?;
                }
            }
        }
    }

    async fn ring(&self, call: CallId) -> Result<Option<Ring>, CommandError> {
        let row = sqlx::query_as("SELECT * FROM app.rings WHERE call = $1");
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
        let fail = "UPDATE app.rings SET status = 'failed', failure = $2, decided_at = $3
                    WHERE call = $1 AND status = 'accepted'";
        let failed = sqlx::query(fail).bind(ring.call).bind(failure).bind(now).execute(&self.pool).await?;
        if failed.rows_affected() == 1 {
            self.tell_ended(ring, failure);
        }
        Ok(())
    }

    fn tell_ended(&self, ring: &Ring, reason: &str) {
        self.bus.send(&[PersonId(ring.payer), PersonId(ring.host)], "call:end", ended_push(ring, reason));
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
             RETURNING *",
        )
        .bind(host.0)
        .bind(payer.0)
        .bind(now)
        .fetch_all(&self.pool)
        .await?;
        for ring in others {
            self.tell_ended(&ring, "busy");
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
