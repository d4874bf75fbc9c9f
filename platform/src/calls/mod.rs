//! From ring to end. The ring is ours; from acceptance on the ledger's word counts.
//!
//! One payer rings one host at a time: ringing another host ends the first ring. A host may have
//! several rings and takes one; the others hear that the host is busy.

mod rings;
mod stopping;
mod sweep;

pub use rings::{Ring, Rung, SeenRing, medium_name};
pub use stopping::Sides;

use crate::attendance::Attendance;
use crate::clock;
use crate::commands::{CommandError, Commands};
use crate::hosts::Hosts;
use crate::identity::Role;
use crate::presence::{Presence, PresenceStatus};
use crate::push::{Bus, News};
use crate::rate_limit::{Limit, RateLimiter};
use crate::settings::Settings;
use chrono::{DateTime, TimeDelta, Utc};
use ledger_core::calls::total_milli;
use ledger_core::command::{EndCall, StartCall};
use ledger_core::state::KEY_LIFE_MS;
use ledger_core::{
    Actor, CallId, ClientKey, Command, Ending, Key, Medium, PersonId, Rejection, Timestamp, check_key,
    command_ids,
};
use ledger_runtime::{ExecuteError, Receipt};
use rings::parse_medium;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tracing::warn;

/// How often, and how long between, somebody who hangs up waits for a call that is just being taken.
const TAKING_LOOKS: u32 = 40;
const TAKING_WAIT: Duration = Duration::from_millis(50);
/// Why a ring failed whose call somebody hung up before it began.
const HUNG_UP: &str = "hung_up";

/// What a user asks for when calling a host.
#[derive(Clone, Copy, Debug)]
pub struct Invitation {
    pub payer: PersonId,
    pub host: PersonId,
    pub medium: Medium,
    /// The price that the user was shown.
    pub price_seen_milli_per_minute: i64,
}

/// What a call costs, for those who write apps: both the API and the gateway describe it in these words.
pub const CHARGES: &str = "\
**What a call costs.** A call is charged in increments, each before the time that it pays for: the first one when the \
host answers, each further one when the one before is used up. The price over the whole call is \
`price_milli_per_minute` x charged seconds / 60, rounded down. A call keeps the price and the settings that it began with.

- An increment that has started is charged in full, even if somebody hangs up a second later.
- Only connected time counts, in which both sides were seen. Every frame from a client shows that it is there; a pong \
does too.
- When a side disconnects or sends nothing for eight seconds, the call is paused. It also pauses when both sides have \
not been seen for 30 seconds for any other reason, such as an outage of the server.
- A pause begins at the last moment at which both sides were seen. Increments that started after it are given back to \
the payer, and their shares are taken back from the host and the agency. The unused rest of the last increment is used \
when the call goes on, so a reconnect alone costs nothing.
- A pause may last `grace_seconds`, and all pauses of a call together five times as long. After that the call ends with \
the reason `lost`. Outages of the server do not count.
- The first `free_seconds` between the same payer and host are free on each day (UTC), over all of their calls. Free \
time is used up in connected time too.";

#[derive(Clone)]
pub struct Calls {
    pub(crate) pool: PgPool,
    pub(crate) commands: Commands,
    pub(crate) hosts: Hosts,
    pub(crate) presence: Presence,
    pub(crate) settings: Settings,
    pub(crate) attendance: Attendance,
    pub(crate) limits: RateLimiter,
    pub(crate) bus: Bus,
    pub(crate) turns: Turns,
}

/// Turns of people: somebody waits for themselves, and now and then for one of the few who share their turn.
#[derive(Clone)]
pub(crate) struct Turns(Arc<[Mutex<()>; 64]>);

impl Default for Turns {
    fn default() -> Turns {
        Turns(Arc::new(std::array::from_fn(|_| Mutex::default())))
    }
}

impl Turns {
    fn of(&self, person: PersonId) -> &Mutex<()> {
        // The last bits of an id are random.
        &self.0[usize::from(person.0.as_bytes()[15] % 64)]
    }
}

impl Calls {
    /// Rings a host. The same key again answers the same ring, and nobody hears of it anew.
    ///
    /// # Errors
    /// Price, balance, and whether both are free are checked before it rings; nothing is charged yet. A payer who
    /// rings too often is refused with `rate_limited`.
    pub async fn invite(&self, key: ClientKey, asked: Invitation) -> Result<Rung, CommandError> {
        // Copies of one request come one after the other, so that each finds the ring that the first has made.
        let _turn = self.turns.of(asked.payer).lock().await;
        let now = self.commands.now().await?;
        let key = Key::Client(key);
        check_key(&key, now.into())?;
        let ids_at =
            |at: DateTime<Utc>| command_ids(Actor::Person(asked.payer), "InviteCall", &key, at.into());
        let ids = ids_at(now);
        // Those of the day after too: no event holds the time of a ring, and the clock may have been set back.
        for id in ids.iter().chain(&ids_at(now + TimeDelta::days(1))) {
            if let Some(ring) = self.ring(id.derive("call")).await?
                && Timestamp::from(now).since(ring.created_at.into()) <= KEY_LIFE_MS
            {
                return Ok(Rung { ring: ring.made_by(&asked)?, is_retry: true });
            }
        }
        let call: CallId = ids[0].derive("call");
        self.check_before_ring(&asked, now).await?;
        self.count_ring(asked.payer, now).await?;
        let metering = self.settings.metering().await?;
        let expires_at = now + TimeDelta::seconds(i64::from(metering.ring_seconds));
        let rung = self.start_ring(call, &asked, now, expires_at).await?;
        if !rung.is_retry {
            for seen in self.seen_by(asked.host, vec![rung.ring.clone()]).await? {
                self.bus.send(&[asked.host], News::Rings(seen));
            }
        }
        Ok(rung)
    }

    async fn count_ring(&self, payer: PersonId, now: DateTime<Utc>) -> Result<(), CommandError> {
        let settings = self.settings.limits().await?;
        let payer = payer.to_string();
        let limit = |bucket, limit, window_seconds| Limit { bucket, key: &payer, limit, window_seconds };
        let limits = [
            limit("rings_a_minute", settings.rings_per_minute, 60),
            limit("rings_a_day", settings.rings_per_day, 24 * 3_600),
        ];
        Ok(self.limits.check_all(&limits, now).await?)
    }

    async fn check_before_ring(&self, asked: &Invitation, now: DateTime<Utc>) -> Result<(), CommandError> {
        let Invitation { payer, host, medium, price_seen_milli_per_minute } = *asked;
        if payer == host {
            return Err(Rejection::SelfPayment.into());
        }
        self.hosts.must_serve(host).await?;
        // A host who is connected may have chosen to be shown as offline.
        let shown = self.presence.get(host, now).await?;
        if shown == PresenceStatus::Offline || !self.attendance.is_connected_anywhere(host, Role::Host).await
        {
            return Err(CommandError::Refused { code: "host_offline", message: "the host is not online" });
        }
        if !self.attendance.is_connected_anywhere(payer, Role::User).await {
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
                self.both_connected(payer, host).await?;
                self.take_ring(&ring, now).await?;
            }
            // An earlier try may have stopped before the ledger heard of it, and the payer may have gone since.
            "accepted" if !self.has_begun(call).await? => self.both_connected(payer, host).await?,
            "accepted" => {}
            _ => return Err(ring_over()),
        }
        // After the ring is taken: a restriction that is imposed later finds the ring and ends its call.
        if !self.may_talk(payer, host).await? {
            self.fail_ring(&ring, stopping::RESTRICTED, now).await?;
            return Err(ring_over());
        }
        let command = Command::from(StartCall {
            call,
            payer,
            host,
            medium,
            price_seen_milli_per_minute: ring.price_milli_per_minute,
        });
        match self.commands.give_as(Actor::Person(host), Key::Natural(call.to_string()), command).await {
            Ok(receipt) => {
                if receipt.recorded {
                    let began_at = clock::now();
                    self.bus.send(&[payer, host], News::Answered { call, accepted: true });
                    // The call runs: what is amiss with other rings is no reason to say that it does not.
                    let told = async {
                        self.ring_has_call(call).await?;
                        self.tell_others_busy(host, payer, began_at).await
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

    async fn both_connected(&self, payer: PersonId, host: PersonId) -> Result<(), CommandError> {
        let both = self.attendance.is_connected_anywhere(payer, Role::User).await
            && self.attendance.is_connected_anywhere(host, Role::Host).await;
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

    /// The host declines.
    pub async fn reject(&self, host: PersonId, call: CallId, now: DateTime<Utc>) -> Result<(), CommandError> {
        let ring = self.ring_of(call, |ring| ring.host == host.0).await?;
        if ring.status == "rejected" {
            return Ok(());
        }
        self.close_ring(&ring, "rejected", now).await?;
        self.bus.send(&[PersonId(ring.payer), host], News::Answered { call, accepted: false });
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
        key: ClientKey,
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
        key: ClientKey,
        ring: &Ring,
        now: DateTime<Utc>,
    ) -> Result<Option<Receipt>, CommandError> {
        let call = CallId(ring.call);
        for _ in 0..TAKING_LOOKS {
            let command = Command::from(EndCall { call, by: Ending::Participant(person) });
            match self.commands.give(person, key.clone(), command).await {
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

    fn tell_ended(&self, ring: &Ring, reason: &'static str) {
        let news = News::RingEnded { call: CallId(ring.call), reason: reason.into() };
        self.bus.send(&[PersonId(ring.payer), PersonId(ring.host)], news);
    }

    /// Ends what else rings at the host, and what rings at the payer if the payer is a host too.
    async fn tell_others_busy(
        &self,
        host: PersonId,
        payer: PersonId,
        began_at: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        // The call may be over by now, and another one ring: nobody rings somebody who is in a call, so that what rang
        // after it began is of a later time.
        let others: Vec<Ring> = sqlx::query_as(
            "UPDATE app.rings SET status = 'busy', decided_at = $3
             WHERE host IN ($1, $2) AND status = 'ringing' AND created_at <= $3
             RETURNING *",
        )
        .bind(host.0)
        .bind(payer.0)
        .bind(began_at)
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
