//! A metered call: connected time, increments, and what they cost.

use super::{CallStarted, EndCall, Ending, PauseCause, Returnable, TickCall};
use crate::commission::CommissionRule;
use crate::mechanism::decide::Context;
use crate::mechanism::event::Change;
use crate::money::share;
use crate::state::KEY_LIFE_MS;
use crate::{CallId, Command, Medium, PersonId, Rejection, State, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A call as the ledger sees it: from acceptance to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub payer: PersonId,
    pub host: PersonId,
    pub medium: Medium,
    pub price_milli_per_minute: i64,
    pub increment_seconds: u32,
    pub free_seconds: u32,
    pub grace_seconds: u32,
    pub earnings_hold_seconds: u32,
    pub claws_back: bool,
    pub commission: CommissionRule,
    pub started_at: Timestamp,
    /// Increments that have begun and were not given back.
    pub ticks: u32,
    pub charged_milli: i64,
    pub phase: Phase,
    /// The connected time up to the last moment at which both sides are known to have been there. A call
    /// that is interrupted goes on from here.
    pub seen_ms: i64,
    /// The increments that began after that moment: they are given back if nobody is seen again. Ticks stop
    /// at [`UNSEEN_LIMIT_MS`], so the list is short.
    pub unseen: Vec<Returnable>,
    /// How long sides were away so far.
    pub away_ms: i64,
}

/// How much connected time may go by without a sign of life of both sides: then the call is paused.
pub const UNSEEN_LIMIT_MS: i64 = 30_000;

/// How many graces all interruptions of a call may last together.
pub const GRACES_PER_CALL: i64 = 5;

/// Whether time runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Both sides are connected: `connected_ms` had run at `since`.
    Running {
        connected_ms: i64,
        since: Timestamp,
    },
    /// A side is away since `since`; the call is lost from `lost_at` on.
    Paused {
        connected_ms: i64,
        since: Timestamp,
        lost_at: Timestamp,
        cause: PauseCause,
    },
    Ended,
}

impl Call {
    /// The call as it is when nothing of it has been charged yet.
    pub(crate) fn begun(it: &CallStarted, at: Timestamp) -> Call {
        Call {
            payer: it.payer,
            host: it.host,
            medium: it.medium,
            price_milli_per_minute: it.price_milli_per_minute,
            increment_seconds: it.increment_seconds,
            free_seconds: it.free_seconds,
            grace_seconds: it.grace_seconds,
            earnings_hold_seconds: it.earnings_hold_seconds,
            claws_back: it.claws_back,
            commission: it.commission,
            started_at: at,
            ticks: 0,
            charged_milli: 0,
            phase: Phase::Running { connected_ms: 0, since: at },
            seen_ms: 0,
            unseen: Vec::new(),
            away_ms: 0,
        }
    }

    pub fn is_active(&self) -> bool {
        self.phase != Phase::Ended
    }

    pub fn includes(&self, person: PersonId) -> bool {
        self.payer == person || self.host == person
    }

    /// The connected time that `ticks` increments last.
    fn paid_ms(&self) -> i64 {
        i64::from(self.ticks) * i64::from(self.increment_seconds) * 1_000
    }

    /// The connected time at `at`: never more than the increments that have begun.
    pub(crate) fn connected_ms(&self, at: Timestamp) -> i64 {
        match self.phase {
            Phase::Running { connected_ms, since } => {
                connected_ms.saturating_add(at.since(since).max(0)).min(self.paid_ms())
            }
            Phase::Paused { connected_ms, .. } => connected_ms,
            Phase::Ended => self.paid_ms(),
        }
    }

    /// The connected time at which increment `number` begins.
    pub(super) fn begins_ms(&self, number: u32) -> i64 {
        i64::from(number - 1) * i64::from(self.increment_seconds) * 1_000
    }

    /// The connected time up to the last moment at which both sides are known to have been there, when
    /// they were last seen together at `last_seen`. Where it is not known, the payer is given the benefit.
    pub(super) fn seen_ms_at(&self, last_seen: Option<Timestamp>) -> i64 {
        match (self.phase, last_seen) {
            (Phase::Running { connected_ms, since }, Some(last_seen)) => {
                let run_ms = connected_ms.saturating_add(last_seen.since(since));
                run_ms.min(self.paid_ms()).max(self.seen_ms)
            }
            _ => self.seen_ms,
        }
    }

    /// When a call that is interrupted at `at` is lost: after its grace, as long as all interruptions
    /// together do not take longer than [`GRACES_PER_CALL`] of them. The server's own outages do not count.
    pub(super) fn lost_at(&self, at: Timestamp, cause: PauseCause) -> Timestamp {
        let grace_ms = i64::from(self.grace_seconds) * 1_000;
        let left_ms = match cause {
            PauseCause::Disconnected => (grace_ms * GRACES_PER_CALL - self.away_ms).max(0),
            PauseCause::Outage => grace_ms,
        };
        at.plus_ms(grace_ms.min(left_ms))
    }

    /// When the next increment begins; `None` while no time runs.
    pub fn next_tick_at(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Running { connected_ms, since } => Some(since.plus_ms(self.paid_ms() - connected_ms)),
            Phase::Paused { .. } | Phase::Ended => None,
        }
    }

    /// What has to be done about the call next, and when; `None` once it has ended.
    pub fn next_due(&self, call: CallId) -> Option<(Timestamp, Command)> {
        match self.phase {
            Phase::Running { .. } => Some((
                self.next_tick_at()?,
                TickCall { call, number: self.ticks + 1, last_seen: None }.into(),
            )),
            Phase::Paused { lost_at, .. } => Some((lost_at, EndCall { call, by: Ending::Lost }.into())),
            Phase::Ended => None,
        }
    }

    /// What `ticks` increments cost in all. `None` when it is more than an amount can be.
    pub(crate) fn total_milli(&self, ticks: u32) -> Option<i64> {
        total_milli(self.price_milli_per_minute, self.increment_seconds, self.free_seconds, ticks)
    }
}

/// What `ticks` increments cost in all: price times charged seconds over sixty, rounded down. A
/// tick charges the difference to the total so far, so any way of ticking charges the same.
///
/// ```
/// use ledger_core::calls::total_milli;
/// // Ten coins a minute, charged every ten seconds: a sixth each, and nothing lost to rounding.
/// assert_eq!(total_milli(10_000, 10, 0, 1), Some(1_666));
/// assert_eq!(total_milli(10_000, 10, 0, 6), Some(10_000));
/// // The first half minute is free.
/// assert_eq!(total_milli(10_000, 10, 30, 3), Some(0));
/// ```
pub fn total_milli(
    price_milli_per_minute: i64,
    increment_seconds: u32,
    free_seconds: u32,
    ticks: u32,
) -> Option<i64> {
    let seconds = i64::from(ticks).saturating_mul(i64::from(increment_seconds)) - i64::from(free_seconds);
    share(price_milli_per_minute, seconds.max(0), 60)
}

impl Call {
    /// Both sides were there when `seen_ms` of connected time had run: increments that began by then stay.
    pub(super) fn seen(&mut self, seen_ms: i64) {
        self.seen_ms = seen_ms;
        let (increment_seconds, unseen) = (i64::from(self.increment_seconds), &mut self.unseen);
        unseen.retain(|it| i64::from(it.number - 1) * increment_seconds * 1_000 > seen_ms);
    }

    /// Counts an interruption that ends at `until`. The server's own outages do not count.
    pub(super) fn been_away(&mut self, until: Timestamp) {
        if let Phase::Paused { since, cause: PauseCause::Disconnected, .. } = self.phase {
            self.away_ms = self.away_ms.saturating_add(until.since(since).max(0));
        }
    }
}

impl State {
    pub fn call(&self, call: CallId) -> Option<&Call> {
        self.tables.calls.get(&call)
    }

    /// The call that `person` is in, as payer or as host.
    pub fn engaged(&self, person: PersonId) -> Option<CallId> {
        self.tables.engaged.get(&person).copied()
    }

    /// The calls that have not ended, in the order of their ids.
    pub fn active_calls(&self) -> Vec<(CallId, &Call)> {
        let active: BTreeSet<CallId> = self.tables.engaged.iter().map(|(_, call)| *call).collect();
        active.into_iter().filter_map(|id| Some((id, self.call(id)?))).collect()
    }
}

impl Context<'_> {
    pub(super) fn active_call(&self, id: CallId) -> Result<&Call, Rejection> {
        let call = self.state.call(id).ok_or(Rejection::UnknownCall)?;
        if call.is_active() { Ok(call) } else { Err(Rejection::CallEnded) }
    }
}

impl Change<'_> {
    pub(super) fn edit_call(&mut self, id: CallId, edit: impl FnOnce(&mut Call)) {
        self.state.tables.calls.edit(self.revision, &id, edit);
    }

    /// Lets go of calls that ended longer ago than any client's key lives: what is asked about them from
    /// then on is answered as for a call that never was. A few at each start, so that starts stay cheap and
    /// no more calls stay than have started in a day.
    pub(super) fn forget_ended_calls(&mut self) {
        let horizon = self.at.plus_ms(-KEY_LIFE_MS);
        let tables = &mut self.state.tables;
        for key in tables.ended_calls.due_before(horizon) {
            tables.ended_calls.set(self.revision, key, None);
            tables.calls.set(self.revision, key.1, None);
        }
    }
}
