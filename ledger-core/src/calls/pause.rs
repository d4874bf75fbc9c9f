//! A call is interrupted, and goes on.

use super::returned::returned;
use super::{Call, EndReason, Phase};
use crate::mechanism::binary::binary_choices;
use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{CallId, Event, PersonId, Posting, Rejection, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PauseCause {
    /// The payer or the host lost the connection.
    Disconnected,
    /// The server stopped; the time of the outage is never billed.
    Outage,
}

binary_choices! { PauseCause as "name" { 0 = Disconnected "disconnected" 1 = Outage "outage" } }

commands! {
    /// A side was lost, or the server was. The call goes on from the last moment at which both sides are
    /// known to have been there; increments that began after it are given back.
    PauseCall = "PauseCall" {
        call: CallId,
        cause: PauseCause,
        /// The last moment at which both sides were seen; absent when nobody knows it any more.
        last_seen: Option<Timestamp>,
    }
    ResumeCall = "ResumeCall" { call: CallId }
}

events! {
    CallPaused = "CallPaused" {
        call: CallId,
        payer: PersonId,
        host: PersonId,
        cause: PauseCause,
        /// Connected time up to the last moment at which both sides are known to have been there.
        connected_ms: i64,
        /// When the call ends as lost unless it is resumed.
        lost_at: Timestamp,
    }
    CallResumed = "CallResumed" { call: CallId, payer: PersonId, host: PersonId, resumed_at: Timestamp }
}

impl Decide for PauseCall {
    const STATE_REFUSES_REPEATS: bool = true;

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &PauseCall { call: id, cause, last_seen } = self;
        let call = context.active_call(id)?;
        // After an outage a paused call gets a new grace: nobody could come back to a server that
        // was not there.
        if matches!(call.phase, Phase::Paused { .. }) && cause == PauseCause::Disconnected {
            return Err(Rejection::CallNotRunning);
        }
        Ok(paused(context, id, call, cause, last_seen))
    }
}

/// The events of a call that is interrupted now.
pub(super) fn paused(
    context: &Context,
    id: CallId,
    call: &Call,
    cause: PauseCause,
    last_seen: Option<Timestamp>,
) -> Vec<Event> {
    let last_seen = last_seen.map(|moment| moment.min(context.at));
    let connected_ms = call.seen_ms_at(last_seen);
    let lost_at = call.lost_at(context.at, cause);
    let (payer, host) = (call.payer, call.host);
    let paused = CallPaused { call: id, payer, host, cause, connected_ms, lost_at };
    [Some(paused.into()), returned(context, id, call, connected_ms)].into_iter().flatten().collect()
}

impl Decide for ResumeCall {
    const STATE_REFUSES_REPEATS: bool = true;

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let id = self.call;
        let call = context.active_call(id)?;
        match call.phase {
            Phase::Paused { lost_at, .. } if context.at >= lost_at => {
                Ok(vec![call.ended(id, context.at, EndReason::Lost, None)])
            }
            Phase::Paused { .. } => {
                let (payer, host) = (call.payer, call.host);
                Ok(vec![CallResumed { call: id, payer, host, resumed_at: context.at }.into()])
            }
            _ => Err(Rejection::CallNotPaused),
        }
    }
}

impl Happened for CallPaused {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.payer, self.host]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.call.0)
    }

    fn evolve(&self, change: &mut Change) {
        let since = change.at;
        change.edit_call(self.call, |call| {
            call.been_away(since);
            let &CallPaused { connected_ms, lost_at, cause, .. } = self;
            call.phase = Phase::Paused { connected_ms, since, lost_at, cause };
            call.seen(connected_ms);
        });
    }
}

impl Happened for CallResumed {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.payer, self.host]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.call.0)
    }

    fn evolve(&self, change: &mut Change) {
        change.edit_call(self.call, |call| {
            call.been_away(self.resumed_at);
            if let Phase::Paused { connected_ms, .. } = call.phase {
                call.phase = Phase::Running { connected_ms, since: self.resumed_at };
            }
        });
    }
}
