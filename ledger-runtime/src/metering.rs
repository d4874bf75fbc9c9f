//! Keeps the time of calls: issues each tick, loss and expiry when it is due.
//!
//! It holds no truth. What is due follows from the ledger's state, so a driver that is started
//! anew, or a second one beside it, charges nothing twice.

use crate::follower::Follower;
use crate::ledger::{ExecuteError, Ledger};
use ledger_core::event::PauseCause;
use ledger_core::{Actor, CallId, Command, Envelope, Event, Key, LotId, Policy, Recorded, Timestamp};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::{debug, error};

/// How soon something is tried again that the ledger could not answer.
const RETRY: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Subject {
    Call(CallId),
    Lot(LotId),
}

/// The driver.
pub struct Metering {
    ledger: Ledger,
    follower: Follower,
    queue: BTreeSet<(Timestamp, Subject)>,
    due: HashMap<Subject, (Timestamp, Command)>,
    /// Commands under way; each ends with what it was about.
    running: JoinSet<Subject>,
}

impl Metering {
    /// Takes over the calls that are under way. After a crash nobody is connected: each is paused
    /// from the end of its last charged increment and waits for both sides within its grace.
    ///
    /// # Errors
    /// When the ledger does not take commands.
    pub async fn recover(ledger: Ledger) -> Result<Metering, ExecuteError> {
        let follower = ledger.follow();
        let mut metering = Metering {
            follower,
            queue: BTreeSet::new(),
            due: HashMap::new(),
            running: JoinSet::new(),
            ledger: ledger.clone(),
        };
        let calls = ledger
            .query(|state, _| state.active_calls().into_iter().map(|(id, _)| id).collect::<Vec<_>>())
            .await?;
        for call in calls {
            // The durable revision makes the key new at each start: each start is an outage.
            let key = format!("outage:{call}:{}", ledger.durable_revision());
            let command = Command::PauseCall { call, cause: PauseCause::Outage };
            match ledger.execute(system(key, command)).await {
                Ok(_) | Err(ExecuteError::Rejected(_)) => metering.look_up(Subject::Call(call)).await,
                Err(fault) => return Err(fault),
            }
        }
        for (expiry, lot) in ledger.query(|state, _| state.expiring_lots()).await? {
            metering.schedule(Subject::Lot(lot), Some((expiry, Command::ExpireBonus { lot })));
        }
        Ok(metering)
    }

    /// Drives until the ledger is gone. Dropping the future stops it; nothing is lost by that.
    pub async fn run(mut self) {
        let clock = self.ledger.clock().clone();
        loop {
            let next = self.queue.first().copied();
            tokio::select! {
                event = self.follower.next() => match event {
                    Ok(Some(event)) => self.observe(&event).await,
                    Ok(None) => return,
                    Err(fault) => {
                        error!(alert = "metering_stopped", %fault, "metering cannot follow the journal");
                        return;
                    }
                },
                Some(done) = self.running.join_next() => {
                    if let Ok(subject) = done {
                        self.look_up(subject).await;
                    }
                },
                () = async { clock.sleep_until(next.expect("guarded").0).await }, if next.is_some() => {
                    self.issue(next.expect("guarded").1);
                }
            }
        }
    }

    async fn observe(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::CallStarted(it) => self.look_up(Subject::Call(it.call)).await,
            Event::CallTicked(it) => self.look_up(Subject::Call(it.call)).await,
            Event::CallPaused(it) => self.look_up(Subject::Call(it.call)).await,
            Event::CallResumed(it) => self.look_up(Subject::Call(it.call)).await,
            Event::CallEnded(it) => self.schedule(Subject::Call(it.call), None),
            Event::BonusGranted(it) => {
                let lot = it.lot;
                let due = it.expires_at.map(|expiry| (expiry, Command::ExpireBonus { lot }));
                self.schedule(Subject::Lot(lot), due);
            }
            _ => {}
        }
    }

    /// Asks the ledger what is due about a call or a lot, and when.
    async fn look_up(&mut self, subject: Subject) {
        let asked = self.ledger.query(move |state, _| match subject {
            Subject::Call(call) => state.call(call)?.next_due(call),
            Subject::Lot(lot) => Some((state.lot(lot)?.expires_at?, Command::ExpireBonus { lot })),
        });
        match asked.await {
            Ok(due) => self.schedule(subject, due),
            Err(fault) => {
                // Asked again soon: a call must not go on unmetered.
                error!(?subject, %fault, "the ledger does not tell what is due");
                self.running.spawn(async move {
                    tokio::time::sleep(RETRY).await;
                    subject
                });
            }
        }
    }

    fn schedule(&mut self, subject: Subject, due: Option<(Timestamp, Command)>) {
        if let Some((at, _)) = self.due.remove(&subject) {
            self.queue.remove(&(at, subject));
        }
        if let Some((at, command)) = due {
            self.queue.insert((at, subject));
            self.due.insert(subject, (at, command));
        }
    }

    /// Gives the command that is due. Calls do not wait for one another: those that are due
    /// together are recorded together.
    fn issue(&mut self, subject: Subject) {
        let Some((at, command)) = self.due.remove(&subject) else { return };
        self.queue.remove(&(at, subject));
        let key = match &command {
            Command::TickCall { call, number } => format!("tick:{call}:{number}"),
            Command::EndCall { call, .. } => format!("lost:{call}:{}", at.0),
            Command::ExpireBonus { lot } => format!("expire:{lot}"),
            other => other.operation().to_owned(),
        };
        let ledger = self.ledger.clone();
        self.running.spawn(async move {
            match ledger.execute(system(key, command)).await {
                Ok(_) => {}
                // The state has moved on: what is due now is looked up again.
                Err(ExecuteError::Rejected(rejection)) => debug!(?subject, %rejection, "nothing was due"),
                Err(fault) => {
                    error!(?subject, %fault, "a due command has no outcome yet");
                    tokio::time::sleep(RETRY).await;
                }
            }
            subject
        });
    }
}

fn system(key: String, command: Command) -> Envelope {
    Envelope { actor: Actor::System, key: Key::State(key), command, policy: Policy::default() }
}
