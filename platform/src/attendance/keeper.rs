//! Keeps calls in step with who is connected.

use super::{AT_ONCE, FORGET_EVERY, People, RETRY};
use ledger_core::calls::Phase;
use ledger_core::command::{PauseCall, ResumeCall};
use ledger_core::event::PauseCause;
use ledger_core::{Actor, CallId, Command, Envelope, Event, Key, PersonId, Policy};
use ledger_runtime::{ExecuteError, Follower, Ledger};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{error, warn};

pub(super) struct Keeper {
    pub ledger: Ledger,
    pub people: Arc<People>,
}

/// A call with what it was found in.
#[derive(Clone, Copy)]
struct Found {
    payer: PersonId,
    host: PersonId,
    phase: Phase,
    revision: u64,
}

impl Keeper {
    /// One look after the other, so that a pause and a resume never overtake each other; each looks
    /// at who is connected *now*, so the last look is right however many changes there were. A call that
    /// starts is looked at too: a side may have gone while it was being taken.
    pub async fn run(
        self,
        changes: &mut mpsc::UnboundedReceiver<PersonId>,
        mut started: Follower,
        mut people: Vec<PersonId>,
    ) {
        let mut forget = tokio::time::interval(FORGET_EVERY);
        loop {
            while !people.is_empty() {
                match self.keep_in_step(&people).await {
                    Ok(again) => people = again,
                    Err(ExecuteError::Stopped(_)) => return,
                    Err(fault) => warn!(%fault, "calls could not be kept in step; trying again"),
                }
                if !people.is_empty() {
                    tokio::time::sleep(RETRY).await;
                }
            }
            tokio::select! {
                _ = forget.tick() => self.people.forget(self.ledger.clock().now()),
                count = changes.recv_many(&mut people, AT_ONCE) => if count == 0 { return },
                event = started.next() => match event {
                    Ok(Some(unit)) => {
                        let started = unit.events().iter().filter_map(|recorded| match &recorded.event {
                            Event::CallStarted(it) => Some(it.payer),
                            _ => None,
                        });
                        people.extend(started);
                    }
                    Ok(None) => return,
                    Err(fault) => {
                        error!(alert = "attendance_stalled", %fault, "attendance cannot read the journal");
                        tokio::time::sleep(RETRY).await;
                    }
                },
            }
        }
    }

    /// Pauses and resumes the calls of these people; answers those whose calls have to be looked at again.
    async fn keep_in_step(&self, people: &[PersonId]) -> Result<Vec<PersonId>, ExecuteError> {
        let asked = people.to_vec();
        let engaged = self.ledger.query(move |state, _| {
            let found = asked.iter().filter_map(|person| {
                let call = state.engaged(*person)?;
                let row = state.call(call)?;
                let revision = state.next_revision();
                Some((call, Found { payer: row.payer, host: row.host, phase: row.phase, revision }))
            });
            found.collect::<BTreeMap<CallId, Found>>()
        });
        let engaged = engaged.await?;
        self.people
            .look_at(self.ledger.clock().now(), engaged.values().flat_map(|it| [it.payer, it.host]))
            .await;
        let mut steps = JoinSet::new();
        for (call, found) in engaged {
            let Some(command) = self.step(call, &found) else { continue };
            let (ledger, envelope) = (self.ledger.clone(), system(call, found.revision, command));
            steps.spawn(async move { (found.payer, ledger.execute(envelope).await) });
        }
        let mut again = Vec::new();
        while let Some(step) = steps.join_next().await {
            match step {
                // A rejection says that the call has moved on.
                Ok((
                    _,
                    Ok(_)
                    | Err(ExecuteError::Rejected(_) | ExecuteError::Fault | ExecuteError::NotStorable(_)),
                )) => {}
                Ok((_, Err(stopped @ ExecuteError::Stopped(_)))) => return Err(stopped),
                Ok((payer, Err(fault @ ExecuteError::OutcomeUnknown))) => {
                    warn!(%fault, %payer, "a call could not be kept in step; trying again");
                    again.push(payer);
                }
                // The ledger has told of it, once.
                Ok((
                    payer,
                    Err(
                        ExecuteError::Busy
                        | ExecuteError::StoreAway
                        | ExecuteError::StorageFull
                        | ExecuteError::ClockLeap(_),
                    ),
                )) => again.push(payer),
                Err(fault) => error!(alert = "attendance_fault", %fault, "a task of the attendance broke"),
            }
        }
        Ok(again)
    }

    /// What brings the call in step with who is connected.
    fn step(&self, call: CallId, found: &Found) -> Option<Command> {
        let both_connected = self.people.both_connected(found.payer, found.host);
        match found.phase {
            Phase::Running { .. } if !both_connected => {
                let last_seen = self.people.last_seen_together(found.payer, found.host);
                let with_node =
                    [found.payer, found.host].into_iter().any(|side| self.people.went_with_node(side));
                let cause = if with_node { PauseCause::Outage } else { PauseCause::Disconnected };
                Some(Command::from(PauseCall { call, cause, last_seen }))
            }
            Phase::Paused { .. } if both_connected => Some(Command::from(ResumeCall { call })),
            _ => None,
        }
    }
}

fn system(call: CallId, revision: u64, command: Command) -> Envelope {
    let key = Key::State(format!("{}:{call}:{revision}", command.operation()));
    Envelope { actor: Actor::System, key, command, policy: Policy::default() }
}
