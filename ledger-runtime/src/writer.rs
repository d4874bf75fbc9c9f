//! The one writer: decides on the state in memory, appends in batches, answers once durable.
//!
//! | phase of a command | where | cost |
//! |---|---|---|
//! | decide, evolve, encode | this task, while the batch before is made durable | no I/O |
//! | append | one durable write for all that were decided meanwhile (group commit) | one flush |
//! | settle, publish, answer | this task, after the flush | no I/O |
//!
//! Every answer, a rejection too, waits until the revision that it was decided on is durable. Where
//! a batch appends nothing, the store is asked once whether its end is still ours.

use crate::clock::Clock;
use crate::codec::{EventIds, JournalError, encode};
use crate::ledger::{ExecuteError, Receipt, Status};
use crate::published::{Facts, Published};
use crate::replay::{CHUNK, OpenError, catch_up, evolve_checked, panic_text};
use event_store::{AppendError, EventStore, NewEvent};
use ledger_core::{
    Actor, Asset, Command, Decision, Envelope, JournalId, Key, Policy, State, Timestamp, decide,
};
use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tracing::{error, info, warn};

/// Commands in a batch at the most.
const BATCH_REQUESTS: usize = 4_096;
/// Bytes of events in a batch, after which it takes no further command: well below what stores take.
const BATCH_BYTES: usize = 512 * 1024;

pub(crate) type Ask = Box<dyn Fn(&State, Timestamp) -> Box<dyn Any + Send> + Send>;
type Answer = Box<dyn Any + Send>;

pub(crate) enum Request {
    Execute { envelope: Box<Envelope>, reply: oneshot::Sender<Result<Receipt, ExecuteError>> },
    Query { ask: Ask, reply: oneshot::Sender<Result<Answer, ExecuteError>> },
}

/// A request with the answer that it gets once the state that it was decided on is durable.
enum Waiting {
    Execute(Box<Envelope>, oneshot::Sender<Result<Receipt, ExecuteError>>, Result<Receipt, ExecuteError>),
    Query(Ask, oneshot::Sender<Result<Answer, ExecuteError>>, Answer),
}

impl Waiting {
    fn release(self) {
        // A caller that has gone away needs no answer.
        match self {
            Waiting::Execute(_, reply, outcome) => drop(reply.send(outcome)),
            Waiting::Query(_, reply, answer) => drop(reply.send(Ok(answer))),
        }
    }

    fn into_request(self) -> Request {
        match self {
            Waiting::Execute(envelope, reply, _) => Request::Execute { envelope, reply },
            Waiting::Query(ask, reply, _) => Request::Query { ask, reply },
        }
    }
}

/// What was decided together.
#[derive(Default)]
struct Batch {
    published: Published,
    encoded: Vec<NewEvent>,
    bytes: usize,
    waiting: Vec<Waiting>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.waiting.len() >= BATCH_REQUESTS || self.bytes >= BATCH_BYTES
    }
}

/// How the store answered a batch.
enum Stored {
    Durable,
    /// Another node wrote: what was decided on the old end is void.
    LostRace,
    /// The store will never take this batch.
    Refused(String),
}

type Storing = Pin<Box<dyn Future<Output = Stored> + Send>>;

pub(crate) struct Writer {
    store: Arc<dyn EventStore>,
    clock: Clock,
    state: State,
    ids: EventIds,
    inbox: mpsc::Receiver<Request>,
    live: broadcast::Sender<Arc<Published>>,
    /// The number of durable events.
    durable: watch::Sender<u64>,
    status: watch::Sender<Status>,
    deciding: Batch,
    stored: Batch,
    /// To be decided once more, before anything from the inbox.
    again: VecDeque<Request>,
}

impl Writer {
    #[expect(clippy::too_many_arguments, reason = "called once, by the handle that holds the other ends")]
    pub fn new(
        store: Arc<dyn EventStore>,
        clock: Clock,
        state: State,
        ids: EventIds,
        inbox: mpsc::Receiver<Request>,
        live: broadcast::Sender<Arc<Published>>,
        durable: watch::Sender<u64>,
        status: watch::Sender<Status>,
    ) -> Writer {
        let (deciding, stored) = (Batch::default(), Batch::default());
        Writer {
            store,
            clock,
            state,
            ids,
            inbox,
            live,
            durable,
            status,
            deciding,
            stored,
            again: VecDeque::new(),
        }
    }

    /// Runs until every handle is gone and everything that was asked is answered.
    pub async fn run(mut self) {
        let mut storing: Option<Storing> = None;
        let mut open = true;
        loop {
            while !self.deciding.is_full()
                && let Some(request) = self.again.pop_front()
            {
                self.decide(request);
            }
            if storing.is_none() && !self.deciding.waiting.is_empty() {
                storing = Some(self.send_batch());
                continue;
            }
            if !open && storing.is_none() {
                return;
            }
            tokio::select! {
                request = self.inbox.recv(), if open && !self.deciding.is_full() => match request {
                    Some(request) => self.take(request),
                    None => open = false,
                },
                outcome = async { storing.as_mut().expect("guarded").await }, if storing.is_some() => {
                    storing = None;
                    self.finish(outcome).await;
                }
            }
        }
    }

    /// Decides one request and all that already wait behind it.
    fn take(&mut self, request: Request) {
        self.decide(request);
        while !self.deciding.is_full()
            && let Ok(request) = self.inbox.try_recv()
        {
            self.decide(request);
        }
    }

    fn decide(&mut self, request: Request) {
        let at = self.clock.now().max(self.state.last_at());
        match request {
            Request::Query { ask, reply } => match catch_unwind(AssertUnwindSafe(|| ask(&self.state, at))) {
                Ok(answer) => self.deciding.waiting.push(Waiting::Query(ask, reply, answer)),
                Err(_) => drop(reply.send(Err(ExecuteError::Fault))),
            },
            Request::Execute { envelope, reply } => {
                let outcome = self.accept(at, &envelope);
                self.deciding.waiting.push(Waiting::Execute(envelope, reply, outcome));
            }
        }
    }

    fn accept(&mut self, at: Timestamp, envelope: &Envelope) -> Result<Receipt, ExecuteError> {
        if let Status::Stopped(reason) = &*self.status.borrow() {
            return Err(ExecuteError::Stopped(reason.clone()));
        }
        let journal = self.state.journal().ok_or(ExecuteError::Fault)?;
        let decision =
            catch_unwind(AssertUnwindSafe(|| decide(&self.state, at, envelope))).map_err(|panic| {
                // One command's fault stays its own: deciding changes nothing.
                let operation = envelope.command.operation();
                error!(
                    alert = "decide_fault",
                    operation,
                    fault = panic_text(panic.as_ref()),
                    "a command met a fault"
                );
                metrics::counter!("ledger_decide_faults").increment(1);
                ExecuteError::Fault
            })??;
        let unit = match decision {
            Decision::Duplicate { command_id, revision } => {
                return Ok(Receipt { journal, command_id, revision, duplicate: true });
            }
            Decision::Append(unit) => unit,
        };
        let (first, command_id) = (self.state.next_revision(), unit.command_id);
        let recorded = unit.record(first, || self.ids.next());
        for event in &recorded {
            if let Err(fault) = evolve_checked(&mut self.state, event) {
                self.state.undo_from(first);
                self.stop(&fault);
                return Err(ExecuteError::Stopped(fault.to_string()));
            }
        }
        for event in &recorded {
            let encoded = encode(event);
            self.deciding.bytes += encoded.stored_bytes();
            self.deciding.encoded.push(encoded);
        }
        let facts = Facts::after(&self.state, &recorded);
        self.deciding.published.push(recorded, Some(facts));
        Ok(Receipt { journal, command_id, revision: self.state.next_revision() - 1, duplicate: false })
    }

    /// From here on no command is taken: the state cannot be trusted to be what the journal says.
    fn stop(&self, fault: &JournalError) {
        error!(alert = "ledger_stopped", %fault, "the ledger has stopped");
        self.status.send_replace(Status::Stopped(fault.to_string()));
    }

    /// Sends what was decided to the store.
    fn send_batch(&mut self) -> Storing {
        self.stored = std::mem::take(&mut self.deciding);
        let durable = *self.durable.borrow();
        let (store, status) = (self.store.clone(), self.status.clone());
        let encoded = std::mem::take(&mut self.stored.encoded);
        if encoded.is_empty() && matches!(*status.borrow(), Status::Stopped(_)) {
            // The journal has gone on in a way that this program cannot explain, so its end will
            // never be ours again; what is known is still told.
            return Box::pin(async { Stored::Durable });
        }
        Box::pin(async move {
            if encoded.is_empty() {
                check_end(store.as_ref(), durable, &status).await
            } else {
                append(store.as_ref(), durable, &encoded, &status).await
            }
        })
    }

    async fn finish(&mut self, outcome: Stored) {
        let batch = std::mem::take(&mut self.stored);
        match outcome {
            Stored::Durable => {
                if let Some(last) = batch.published.last_revision() {
                    self.state.settle(last);
                    self.publish(batch.published, last);
                }
                batch.waiting.into_iter().for_each(Waiting::release);
            }
            Stored::LostRace => self.decide_again(batch).await,
            Stored::Refused(reason) => {
                error!(alert = "batch_refused", reason, "the store refused a batch");
                self.state.undo_from(*self.durable.borrow());
                let later = std::mem::take(&mut self.deciding);
                for waiting in batch.waiting {
                    match waiting {
                        Waiting::Execute(_, reply, Ok(Receipt { duplicate: false, .. })) => {
                            drop(reply.send(Err(ExecuteError::Fault)));
                        }
                        other => self.again.push_back(other.into_request()),
                    }
                }
                self.again.extend(later.waiting.into_iter().map(Waiting::into_request));
            }
        }
    }

    fn publish(&self, batch: Published, last: u64) {
        metrics::counter!("ledger_events").increment(batch.events.len() as u64);
        // The end moves before the events go out: a follower that starts between the two drops
        // what it has seen already and misses nothing.
        self.durable.send_replace(last + 1);
        drop(self.live.send(Arc::new(batch)));
    }

    /// Undoes what was decided on an end that is no longer the store's, follows the journal to its
    /// end, and decides everything again.
    async fn decide_again(&mut self, lost: Batch) {
        info!("another node wrote to the journal; deciding again on its end");
        metrics::counter!("ledger_lost_races").increment(1);
        self.state.undo_from(*self.durable.borrow());
        let later = std::mem::take(&mut self.deciding);
        let mut backoff = Backoff::new();
        loop {
            match catch_up(self.store.as_ref(), &mut self.state, CHUNK).await {
                Ok(batch) => match batch.last_revision() {
                    Some(last) => self.publish(batch, last),
                    None => break,
                },
                Err(JournalError::Read(fault)) => backoff.stalled(fault.to_string(), &self.status).await,
                Err(fault) => {
                    self.stop(&fault);
                    break;
                }
            }
        }
        recovered(&self.status);
        // Not decided here: together they may be more than one batch takes.
        let waiting = lost.waiting.into_iter().chain(later.waiting);
        self.again.extend(waiting.map(Waiting::into_request));
    }
}

/// Appends a batch, the identical one at the identical revision until its outcome is known.
async fn append(
    store: &dyn EventStore,
    durable: u64,
    events: &[NewEvent],
    status: &watch::Sender<Status>,
) -> Stored {
    let mut backoff = Backoff::new();
    loop {
        match store.append(durable.checked_sub(1), events).await {
            Ok(_) => {
                recovered(status);
                return Stored::Durable;
            }
            Err(AppendError::WrongExpectedRevision { .. } | AppendError::TailBehind { .. }) => {
                recovered(status);
                return Stored::LostRace;
            }
            Err(AppendError::Refused(reason)) => {
                recovered(status);
                return Stored::Refused(reason);
            }
            Err(AppendError::OutcomeUnknown(reason) | AppendError::NoSpace(reason)) => {
                backoff.stalled(reason, status).await;
            }
        }
    }
}

/// Whether the store still ends where the answers of this batch were decided.
async fn check_end(store: &dyn EventStore, durable: u64, status: &watch::Sender<Status>) -> Stored {
    let mut backoff = Backoff::new();
    loop {
        match store.head().await {
            Ok(head) if head.map_or(0, |head| head + 1) == durable => {
                recovered(status);
                return Stored::Durable;
            }
            Ok(_) => return Stored::LostRace,
            Err(fault) => backoff.stalled(fault.to_string(), status).await,
        }
    }
}

fn recovered(status: &watch::Sender<Status>) {
    status.send_if_modified(|status| {
        let stalled = matches!(status, Status::Stalled(_));
        if stalled {
            *status = Status::Running;
        }
        stalled
    });
}

struct Backoff(Duration);

impl Backoff {
    fn new() -> Backoff {
        Backoff(Duration::from_millis(20))
    }

    async fn stalled(&mut self, reason: String, status: &watch::Sender<Status>) {
        warn!(alert = "store_stalled", reason, "the store does not answer; asking again");
        status.send_if_modified(|status| {
            let running = matches!(status, Status::Running);
            if running {
                *status = Status::Stalled(reason);
            }
            running
        });
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(2));
    }
}

/// Records the first event of a new journal.
pub(crate) async fn begin_journal(
    store: &dyn EventStore,
    state: &mut State,
    clock: &Clock,
    journal: JournalId,
    ids: &mut EventIds,
) -> Result<(), OpenError> {
    let envelope = Envelope {
        actor: Actor::System,
        key: Key::Natural(journal.to_string()),
        command: Command::OpenJournal { journal, assets: vec![Asset::COIN, Asset::INR] },
        policy: Policy::default(),
    };
    let Ok(Decision::Append(unit)) = decide(state, clock.now(), &envelope) else {
        return Err(OpenError::Begin("it has begun already".to_owned()));
    };
    let events: Vec<NewEvent> = unit.record(0, || ids.next()).iter().map(encode).collect();
    match store.append(None, &events).await {
        // Another node may have begun it at the same moment: its first event counts.
        Ok(_) | Err(AppendError::WrongExpectedRevision { .. }) => {}
        Err(fault) => return Err(OpenError::Begin(fault.to_string())),
    }
    while !catch_up(store, state, CHUNK).await?.units.is_empty() {}
    Ok(())
}
