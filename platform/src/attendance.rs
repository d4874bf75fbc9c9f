//! Who is connected, and what that means for a call: while a side is away no increment begins.

use ledger_core::call::Phase;
use ledger_core::event::PauseCause;
use ledger_core::{Actor, CallId, Command, Envelope, Event, Key, PersonId, Policy};
use ledger_runtime::{ExecuteError, Follower, Ledger};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{error, warn};

/// People whose calls are looked at together: when many come or go at once, nobody pays while others are seen to.
const AT_ONCE: usize = 1_000;
/// How soon something is tried again that the ledger or the journal could not answer.
const RETRY: Duration = Duration::from_millis(200);

/// Counts the sockets of each person, and keeps the calls of those who come and go in step.
#[derive(Clone)]
pub struct Attendance {
    sockets: Arc<Mutex<HashMap<PersonId, usize>>>,
    changed: mpsc::UnboundedSender<PersonId>,
}

/// Held by a socket for as long as it lives.
pub struct Attending {
    attendance: Attendance,
    person: PersonId,
}

impl Drop for Attending {
    fn drop(&mut self) {
        let mut sockets = self.attendance.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sockets.get_mut(&self.person) {
            *count -= 1;
            if *count == 0 {
                sockets.remove(&self.person);
                self.attendance.review(self.person);
            }
        }
    }
}

impl Attendance {
    /// The register, and the task that keeps calls in step with it until every handle is gone.
    pub fn new(ledger: Ledger) -> (Attendance, impl Future<Output = ()> + Send) {
        let (changed, changes) = mpsc::unbounded_channel();
        let attendance = Attendance { sockets: Arc::default(), changed };
        // From now on no start of a call is missed; those that run already wait, paused, for both sides.
        let started = ledger.follow();
        let keeper = Keeper { ledger, sockets: attendance.sockets.clone() };
        (attendance, keeper.run(changes, started))
    }

    /// A socket of `person` is there until the answer is dropped.
    pub fn attend(&self, person: PersonId) -> Attending {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sockets.entry(person).or_insert(0);
        *count += 1;
        if *count == 1 {
            self.review(person);
        }
        Attending { attendance: self.clone(), person }
    }

    pub fn is_connected(&self, person: PersonId) -> bool {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&person)
    }

    /// Brings the call that `person` is in, if any, in step with who is connected.
    fn review(&self, person: PersonId) {
        // Without a keeper there is nothing to keep in step.
        let _ = self.changed.send(person);
    }
}

struct Keeper {
    ledger: Ledger,
    sockets: Arc<Mutex<HashMap<PersonId, usize>>>,
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
    async fn run(self, mut changes: mpsc::UnboundedReceiver<PersonId>, mut started: Follower) {
        let mut people: Vec<PersonId> = Vec::new();
        loop {
            tokio::select! {
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
        let mut steps = JoinSet::new();
        for (call, found) in engaged.await? {
            let Some(command) = self.step(call, &found) else { continue };
            let (ledger, envelope) = (self.ledger.clone(), system(call, found.revision, command));
            steps.spawn(async move { (found.payer, ledger.execute(envelope).await) });
        }
        let mut again = Vec::new();
        while let Some(step) = steps.join_next().await {
            match step {
                // A rejection says that the call has moved on.
                Ok((_, Ok(_) | Err(ExecuteError::Rejected(_) | ExecuteError::Fault))) => {}
                Ok((_, Err(stopped @ ExecuteError::Stopped(_)))) => return Err(stopped),
                Ok((payer, Err(fault @ ExecuteError::OutcomeUnknown))) => {
                    warn!(%fault, %payer, "a call could not be kept in step; trying again");
                    again.push(payer);
                }
                Err(fault) => error!(alert = "attendance_fault", %fault, "a task of the attendance broke"),
            }
        }
        Ok(again)
    }

    /// What brings the call in step with who is connected.
    fn step(&self, call: CallId, found: &Found) -> Option<Command> {
        let both_connected = {
            let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
            sockets.contains_key(&found.payer) && sockets.contains_key(&found.host)
        };
        match found.phase {
            Phase::Running { .. } if !both_connected => {
                Some(Command::PauseCall { call, cause: PauseCause::Disconnected })
            }
            Phase::Paused { .. } if both_connected => Some(Command::ResumeCall { call }),
            _ => None,
        }
    }
}

fn system(call: CallId, revision: u64, command: Command) -> Envelope {
    let key = Key::State(format!("{}:{call}:{revision}", command.operation()));
    Envelope { actor: Actor::System, key, command, policy: Policy::default() }
}
