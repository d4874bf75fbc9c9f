//! A call is interrupted, and goes on.

use super::{EndReason, Phase};
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

commands! {
    PauseCall = "PauseCall" { call: CallId, cause: PauseCause }
    ResumeCall = "ResumeCall" { call: CallId }
}

events! {
    CallPaused = "CallPaused" {
        call: CallId,
        payer: PersonId,
        host: PersonId,
        cause: PauseCause,
        /// Connected time so far.
        connected_ms: i64,
        /// When the call ends as lost unless it is resumed.
        lost_at: Timestamp,
    }
    CallResumed = "CallResumed" { call: CallId, payer: PersonId, host: PersonId, resumed_at: Timestamp }
}

impl Decide for PauseCall {
    const STATE_REFUSES_REPEATS: bool = true;

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &PauseCall { call: id, cause } = self;
        let call = context.active_call(id)?;
        // After an outage a paused call gets a new grace: nobody could come back to a server that
        // was not there.
        if matches!(call.phase, Phase::Paused { .. }) && cause == PauseCause::Disconnected {
            return Err(Rejection::CallNotRunning);
        }
        let connected_ms = match cause {
            PauseCause::Disconnected => call.connected_ms(context.at),
            PauseCause::Outage => call.connected_ms_after_outage(),
        };
        let lost_at = context.at.plus_seconds(call.grace_seconds);
        let (payer, host) = (call.payer, call.host);
        Ok(vec![CallPaused { call: id, payer, host, cause, connected_ms, lost_at }.into()])
    }
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
        change.edit_call(self.call, |call| {
            call.phase = Phase::Paused { connected_ms: self.connected_ms, lost_at: self.lost_at };
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
            if let Phase::Paused { connected_ms, .. } = call.phase {
                call.phase = Phase::Running { connected_ms, since: self.resumed_at };
            }
        });
    }
}
