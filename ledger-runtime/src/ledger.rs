//! The handle that commands go through.

use crate::batch::{Answer, Inbox, Reply, Request};
use crate::clock::{Clock, Leap, MAX_GAP_MS, MAX_LEAP_MS, Pace};
use crate::codec::EventIds;
use crate::follower::Follower;
use crate::forwarding::{Group, Ways};
use crate::health::{Health, Watched};
use crate::published::Published;
use crate::replay::{OpenError, replay};
use crate::snapshot::Snapshots;
use crate::writer::{Writer, begin_journal};
use event_store::EventStore;
use ledger_core::{Actor, CommandId, Envelope, JournalId, Rejection, State, Timestamp};
use smallvec::smallvec;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, debug_span, info};

/// How long a caller waits for a reply before it hears that the outcome is unknown.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Commands and questions that may wait to be decided: as many as are taken in a tenth of a second where the store is fast.
/// Who finds no place hears so at once, so that those in line are answered soon.
const QUEUE: usize = 32_768;
/// Places in the line that are kept for what the server itself has to do, such as the increments of calls.
const KEPT_FOR_THE_SYSTEM: usize = 1_024;
/// How long the store may be away before commands are refused instead of waiting for it.
const STORE_PATIENCE: Duration = Duration::from_millis(500);
/// Durable batches that a follower may lag behind before it reads from the store.
const FOLLOW_BATCHES: usize = 256;

/// What an accepted command is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub journal: JournalId,
    pub command_id: CommandId,
    /// The revision of the command's last event: a read model that has come this far shows it.
    pub revision: u64,
    /// Whether the command had been accepted before.
    pub duplicate: bool,
    /// Whether this request was recorded: not if it repeats one that was, nor if what it asks for is so already.
    pub recorded: bool,
}

/// Why a command was not answered with a receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// A fault of this program; nothing was recorded. Other commands go on.
    #[error("this command met a fault of the server; nothing was recorded")]
    Fault,
    /// More requests wait than the ledger takes; nothing was recorded.
    #[error("too many commands wait; try again in a moment")]
    Busy,
    /// The store has not answered for a while; nothing was recorded. Commands are taken again as soon as it does.
    #[error("the store of the journal does not answer; nothing was recorded")]
    StoreAway,
    /// The store has no room; nothing was recorded. Commands are taken again as soon as it has some.
    #[error("the server has no room to record anything at present; nothing was recorded")]
    StorageFull,
    /// The clock cannot be believed; nothing was recorded. Commands are taken again once it is right.
    #[error("{0}; nothing was recorded")]
    ClockLeap(Leap),
    /// The store will never take what the command would record; nothing was recorded. Other commands
    /// go on.
    #[error("what this command would record cannot be stored; nothing was recorded")]
    NotStorable(String),
    /// The ledger takes no commands; nothing was recorded.
    #[error("the ledger has stopped: {0}")]
    Stopped(String),
    /// The command may or may not be recorded: send it again under the same key.
    #[error("it is not known yet whether the command was recorded; send it again with the same key")]
    OutcomeUnknown,
}

/// A command that is in line. It is decided, whether or not somebody waits for the outcome.
#[must_use = "only the outcome says whether the command was accepted"]
pub struct Submitted {
    answer: oneshot::Receiver<Result<Receipt, ExecuteError>>,
    until: Instant,
}

impl Submitted {
    fn new() -> (Reply, Submitted) {
        let (reply, answer) = oneshot::channel();
        (reply, Submitted { answer, until: Instant::now() + REPLY_TIMEOUT })
    }

    /// The answer to the command, once it is durable.
    ///
    /// # Errors
    /// [`ExecuteError`]; only `OutcomeUnknown` leaves open whether something was recorded.
    pub async fn outcome(self) -> Result<Receipt, ExecuteError> {
        match timeout_at(self.until, self.answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(ExecuteError::OutcomeUnknown),
        }
    }
}

/// Whether the ledger takes commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Running,
    /// The store does not confirm a batch; it is sent again until it does.
    Stalled(String),
    /// The store has no room: commands are refused until it has some. Reads go on.
    StorageFull(String),
    /// The clock cannot be believed: commands are refused until it is right. Reads go on.
    ClockLeap(Leap),
    /// A fault that a person must look at. Reads go on.
    Stopped(String),
}

impl Status {
    /// The names that [`Status::name`] can have.
    pub const NAMES: [&str; 5] = ["running", "stalled", "storage_full", "clock_leap", "stopped"];

    /// Its name in an answer.
    pub fn name(&self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Stalled(_) => "stalled",
            Status::StorageFull(_) => "storage_full",
            Status::ClockLeap(_) => "clock_leap",
            Status::Stopped(_) => "stopped",
        }
    }
}

/// How a ledger is opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The name of the journal that is begun where there is none.
    pub new_journal: JournalId,
    /// Whether somebody vouches for the clock although the journal's last event is long ago.
    pub clock_is_confirmed: bool,
    /// What the replay may begin with instead of nothing.
    pub snapshots: Option<Snapshots>,
}

/// The one way to the journal: commands go in, receipts come out once they are durable.
#[derive(Clone)]
pub struct Ledger {
    requests: mpsc::Sender<Request>,
    /// Places of the line that are taken.
    in_line: Arc<AtomicUsize>,
    store: Arc<dyn EventStore>,
    /// Weak, so that followers see the end of the writer.
    live: broadcast::WeakSender<Arc<Published>>,
    durable: watch::Receiver<u64>,
    watched: Watched,
    clock: Clock,
    journal: JournalId,
    opened_from: Option<u64>,
    ways: Ways,
}

impl Ledger {
    /// As [`Ledger::open_with`], with a clock that nobody has confirmed.
    ///
    /// # Errors
    /// As [`Ledger::open_with`].
    pub async fn open(
        store: Arc<dyn EventStore>,
        clock: Clock,
        new_journal: JournalId,
        progress: impl FnMut(u64, u64),
    ) -> Result<(Ledger, JoinHandle<()>), OpenError> {
        let opening = Opening { new_journal, clock_is_confirmed: false, snapshots: None };
        Ledger::open_with(store, clock, opening, progress).await
    }

    /// Replays the journal in `store` (or begins one, if it is empty) and starts the writer. Where there is a snapshot
    /// that fits the journal, only what came after it is replayed. `progress` hears how many events of how many are
    /// done.
    ///
    /// The writer ends when the last handle is dropped; the task's end says so.
    ///
    /// # Errors
    /// When the journal cannot be read or explained, or the clock does not fit its last event.
    pub async fn open_with(
        store: Arc<dyn EventStore>,
        clock: Clock,
        Opening { new_journal, clock_is_confirmed, snapshots }: Opening,
        progress: impl FnMut(u64, u64),
    ) -> Result<(Ledger, JoinHandle<()>), OpenError> {
        let (mut state, opened_from) = load_and_replay(&store, snapshots.as_ref(), progress).await?;
        let mut ids = EventIds::new();
        if state.journal().is_none() {
            begin_journal(store.as_ref(), &mut state, &clock, new_journal, &mut ids).await?;
        }
        check_clock(state.last_at(), clock.now(), clock_is_confirmed)?;
        let journal = state.journal().ok_or_else(|| OpenError::Begin("it has no first event".to_owned()))?;
        let (requests, inbox) = mpsc::channel(QUEUE);
        let in_line = Arc::new(AtomicUsize::new(0));
        let inbox = Inbox { requests: inbox, in_line: in_line.clone() };
        let (live, _) = broadcast::channel(FOLLOW_BATCHES);
        let (durable_in, durable) = watch::channel(state.next_revision());
        let (health, watched) = Health::new();
        let pace = Pace::new(clock.clone());
        let weak_live = live.downgrade();
        let writer = Writer::new(store.clone(), pace, state, ids, inbox, live, durable_in, health);
        let task = tokio::spawn(writer.run());
        let live = weak_live;
        let ways = Ways::default();
        let ledger =
            Ledger { requests, in_line, store, live, durable, watched, clock, journal, opened_from, ways };
        Ok((ledger, task))
    }

    /// Decides and, when it is accepted, records a command; answers once the answer is durable.
    ///
    /// # Errors
    /// [`ExecuteError`]; only `OutcomeUnknown` leaves open whether something was recorded.
    pub async fn execute(&self, envelope: Envelope) -> Result<Receipt, ExecuteError> {
        let span = debug_span!("ledger.execute", operation = envelope.command.operation());
        let execute = async { self.submit(envelope).await?.outcome().await };
        execute.instrument(span).await
    }

    /// Puts a command in line. Commands are decided in the order in which they were put there, so a caller can put
    /// the next one behind it before this one is answered.
    ///
    /// # Errors
    /// When it does not get in line; nothing is recorded then.
    pub async fn submit(&self, envelope: Envelope) -> Result<Submitted, ExecuteError> {
        let (reply, submitted) = Submitted::new();
        self.give(smallvec![(envelope, reply)])?;
        Ok(submitted)
    }

    /// Puts commands in line that are decided one after the other, with nothing in between, and as far as a batch
    /// has room are made durable together. Each is accepted or rejected by itself.
    ///
    /// # Errors
    /// When they do not get in line; nothing is recorded then.
    pub async fn submit_together(&self, envelopes: Vec<Envelope>) -> Result<Vec<Submitted>, ExecuteError> {
        let (group, submitted) = group(envelopes);
        self.give(group)?;
        Ok(submitted)
    }

    /// As [`Self::submit_together`], whichever node is preferred.
    pub(crate) fn submit_here(&self, envelopes: Vec<Envelope>) -> Result<Vec<Submitted>, ExecuteError> {
        let (group, submitted) = group(envelopes);
        self.decide_here(group)?;
        Ok(submitted)
    }

    /// Another node decides the commands, if there is a way to one that is preferred.
    fn give(&self, group: Group) -> Result<(), ExecuteError> {
        match self.ways.take(group) {
            Ok(given) => given,
            Err(group) => self.decide_here(group),
        }
    }

    pub(crate) fn decide_here(&self, group: Group) -> Result<(), ExecuteError> {
        let is_of_the_system = group.iter().all(|(envelope, _)| envelope.actor == Actor::System);
        let kept = if is_of_the_system { 0 } else { KEPT_FOR_THE_SYSTEM };
        let mut commands: Vec<_> =
            group.into_iter().map(|(envelope, reply)| (Box::new(envelope.into()), reply)).collect();
        let request = match commands.len() {
            1 => commands.pop().map(|(command, reply)| Request::Execute { command, reply }),
            _ => Some(Request::Together(commands)),
        };
        request.map_or(Ok(()), |request| self.send(request, kept))
    }

    pub(crate) fn ways(&self) -> &Ways {
        &self.ways
    }

    /// Asks the state, in line with the commands; answers once what was seen is durable.
    ///
    /// `ask` may run more than once, if another node wrote meanwhile.
    ///
    /// # Errors
    /// `Stopped` or `StoreAway` when the ledger cannot tell.
    pub async fn query<T: Send + 'static>(
        &self,
        ask: impl Fn(&State, Timestamp) -> T + Send + 'static,
    ) -> Result<T, ExecuteError> {
        let (reply, answer) = oneshot::channel();
        let ask = Box::new(move |state: &State, at: Timestamp| -> Answer { Box::new(ask(state, at)) });
        self.send(Request::Query { ask, reply }, 0)?;
        // Nothing is recorded by asking, so that no outcome can be unknown.
        let outcome = match tokio::time::timeout(REPLY_TIMEOUT, answer).await {
            Ok(Ok(outcome)) => outcome?,
            Ok(Err(_)) | Err(_) => return Err(ExecuteError::StoreAway),
        };
        outcome.downcast().map(|answer| *answer).map_err(|_| ExecuteError::Fault)
    }

    /// Queues a request, unless no more than `kept` places are left. One that does not get in line was not looked at.
    fn send(&self, request: Request, kept: usize) -> Result<(), ExecuteError> {
        if self.watched.stalled_for().is_some_and(|time| time > STORE_PATIENCE) {
            return Err(ExecuteError::StoreAway);
        }
        let places = request.places();
        if self.in_line.fetch_add(places, Ordering::Relaxed) + places > QUEUE - kept
            && !self.requests.is_closed()
        {
            self.in_line.fetch_sub(places, Ordering::Relaxed);
            return Err(ExecuteError::Busy);
        }
        self.requests.try_send(request).map_err(|fault| {
            self.in_line.fetch_sub(places, Ordering::Relaxed);
            match (fault, self.status()) {
                (TrySendError::Full(_), _) => ExecuteError::Busy,
                (TrySendError::Closed(_), Status::Stopped(reason)) => ExecuteError::Stopped(reason),
                (TrySendError::Closed(_), _) => ExecuteError::Stopped("the writer has ended".to_owned()),
            }
        })
    }

    pub fn journal(&self) -> JournalId {
        self.journal
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn store(&self) -> Arc<dyn EventStore> {
        self.store.clone()
    }

    pub fn status(&self) -> Status {
        self.watched.status()
    }

    /// Returns once no command will be taken any more.
    pub async fn stopped(&self) {
        self.watched.stopped().await;
    }

    /// The revision of the last durable event.
    pub fn durable_revision(&self) -> u64 {
        self.durable.borrow().saturating_sub(1)
    }

    /// The revision of the snapshot that the replay began with; `None` where it began with nothing.
    pub fn opened_from(&self) -> Option<u64> {
        self.opened_from
    }

    /// The number of durable events, as it grows.
    pub(crate) fn durable(&self) -> watch::Receiver<u64> {
        self.durable.clone()
    }

    /// All durable units from now on.
    pub fn follow(&self) -> Follower {
        // Subscribed before the end is read: what comes between is dropped as already seen.
        let live = self.live.upgrade().map(|live| live.subscribe());
        let next = *self.durable.borrow();
        Follower::new(self.store.clone(), live, self.durable.clone(), next)
    }
}

fn group(envelopes: Vec<Envelope>) -> (Group, Vec<Submitted>) {
    envelopes
        .into_iter()
        .map(|envelope| {
            let (reply, submitted) = Submitted::new();
            ((envelope, reply), submitted)
        })
        .unzip()
}

/// The state at the journal's end, and the revision of the snapshot that it began with.
async fn load_and_replay(
    store: &Arc<dyn EventStore>,
    snapshots: Option<&Snapshots>,
    progress: impl FnMut(u64, u64),
) -> Result<(State, Option<u64>), OpenError> {
    let begun = Instant::now();
    let snapshot = match snapshots {
        Some(snapshots) => snapshots.load(store.as_ref()).await?,
        None => None,
    };
    let (loaded, first) = (snapshot.as_ref().and_then(State::revision), begun.elapsed());
    let state = replay(store, snapshot.unwrap_or_default(), progress).await?;
    let replayed = state.next_revision() - loaded.map_or(0, |revision| revision + 1);
    let (snapshot_ms, replay_ms) = (first.as_millis(), (begun.elapsed() - first).as_millis());
    info!(snapshot = loaded, snapshot_ms, replayed, replay_ms, "the state is at the journal's end");
    Ok((state, loaded))
}

/// Holds the clock against the journal's last event. A ledger that was down for long is told apart from
/// one whose clock is wrong by a person alone.
fn check_clock(last_at: Timestamp, now: Timestamp, is_confirmed: bool) -> Result<(), OpenError> {
    let gap_ms = now.since(last_at);
    if gap_ms < -MAX_LEAP_MS {
        return Err(OpenError::ClockBehind { last: last_at.to_utc(), now: now.to_utc() });
    }
    if gap_ms > MAX_GAP_MS && !is_confirmed {
        return Err(OpenError::ClockGap { last: last_at.to_utc(), now: now.to_utc() });
    }
    Ok(())
}
