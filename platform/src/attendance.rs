//! Who is connected, and what that means for a call: while a side is away no increment begins.

use ledger_core::call::Phase;
use ledger_core::event::PauseCause;
use ledger_core::{Actor, CallId, Command, Envelope, Key, PersonId, Policy};
use ledger_runtime::{ExecuteError, Ledger};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tracing::warn;

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
        let keeper = Keeper { ledger, sockets: attendance.sockets.clone() };
        (attendance, keeper.run(changes))
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
    pub fn review(&self, person: PersonId) {
        // Without a keeper there is nothing to keep in step.
        let _ = self.changed.send(person);
    }
}

struct Keeper {
    ledger: Ledger,
    sockets: Arc<Mutex<HashMap<PersonId, usize>>>,
}

impl Keeper {
    /// One change after the other, so that a pause and a resume never overtake each other; each looks
    /// at who is connected *now*, so the last look is right however many changes there were.
    async fn run(self, mut changes: mpsc::UnboundedReceiver<PersonId>) {
        while let Some(person) = changes.recv().await {
            loop {
                match self.keep_in_step(person).await {
                    // A rejection says that the call has moved on.
                    Ok(()) | Err(ExecuteError::Rejected(_) | ExecuteError::Fault) => break,
                    Err(ExecuteError::Stopped(_)) => return,
                    Err(fault @ ExecuteError::OutcomeUnknown) => {
                        warn!(%fault, %person, "a call could not be kept in step; trying again")
                    }
                }
            }
        }
    }

    async fn keep_in_step(&self, person: PersonId) -> Result<(), ExecuteError> {
        let engaged = self.ledger.query(move |state, _| {
            let call = state.engaged(person)?;
            let row = state.call(call)?;
            Some((call, row.payer, row.host, row.phase, state.next_revision()))
        });
        let Some((call, payer, host, phase, revision)) = engaged.await? else { return Ok(()) };
        let both_connected = {
            let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
            sockets.contains_key(&payer) && sockets.contains_key(&host)
        };
        let command = match phase {
            Phase::Running { .. } if !both_connected => {
                Command::PauseCall { call, cause: PauseCause::Disconnected }
            }
            Phase::Paused { .. } if both_connected => Command::ResumeCall { call },
            _ => return Ok(()),
        };
        self.ledger.execute(system(call, revision, command)).await.map(|_| ())
    }
}

fn system(call: CallId, revision: u64, command: Command) -> Envelope {
    let key = Key::State(format!("{}:{call}:{revision}", command.operation()));
    Envelope { actor: Actor::System, key, command, policy: Policy::default() }
}
