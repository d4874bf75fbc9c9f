//! A call ends.

use super::{Call, Phase};
use crate::mechanism::binary::binary_choices;
use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{CallId, Event, PersonId, Posting, Rejection, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who or what ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    Participant(PersonId),
    /// The grace is over.
    Lost,
    Admin(PersonId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    HungUp,
    /// The next increment could not be paid.
    Exhausted,
    /// A side was away for longer than the grace.
    Lost,
    /// An admin ended it.
    Stopped,
}

binary_choices! { EndReason as "name" { 0 = HungUp "hung_up" 1 = Exhausted "exhausted" 2 = Lost "lost" 3 = Stopped "stopped" } }

commands! {
    EndCall = "EndCall" { call: CallId, by: Ending }
}

events! {
    CallEnded = "CallEnded" {
        call: CallId,
        payer: PersonId,
        host: PersonId,
        reason: EndReason,
        /// Absent when nobody chose to end it.
        ended_by: Option<PersonId>,
        connected_ms: i64,
        ticks: u32,
        charged_total_milli: i64,
    }
}

impl Decide for EndCall {
    const STATE_REFUSES_REPEATS: bool = true;

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &EndCall { call: id, by } = self;
        let call = context.active_call(id)?;
        let (reason, ended_by) = match (by, call.phase) {
            (Ending::Participant(person), _) if !call.includes(person) => return Err(Rejection::NotInCall),
            (Ending::Participant(person), _) => (EndReason::HungUp, Some(person)),
            (Ending::Admin(person), _) => (EndReason::Stopped, Some(person)),
            (Ending::Lost, Phase::Paused { lost_at, .. }) if context.at < lost_at => {
                return Err(Rejection::GraceNotOver { lost_at });
            }
            (Ending::Lost, Phase::Paused { .. }) => (EndReason::Lost, None),
            (Ending::Lost, _) => return Err(Rejection::CallNotPaused),
        };
        Ok(vec![call.ended(id, context.at, reason, ended_by)])
    }
}

impl Call {
    /// The event that ends the call at `at`.
    pub(super) fn ended(
        &self,
        id: CallId,
        at: Timestamp,
        reason: EndReason,
        ended_by: Option<PersonId>,
    ) -> Event {
        CallEnded {
            call: id,
            payer: self.payer,
            host: self.host,
            reason,
            ended_by,
            connected_ms: self.connected_ms(at),
            ticks: self.ticks,
            charged_total_milli: self.charged_milli,
        }
        .into()
    }
}

impl Happened for CallEnded {
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
            call.phase = Phase::Ended;
            call.unseen.clear();
        });
        change.use_free_seconds(self);
        let (tables, revision) = (&mut change.state.tables, change.revision);
        tables.engaged.set(revision, self.payer, None);
        tables.engaged.set(revision, self.host, None);
        tables.ended_calls.set(revision, (change.at, self.call), Some(()));
    }
}
