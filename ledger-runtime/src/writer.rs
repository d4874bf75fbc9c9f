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

use crate::batch::{Batch, Inbox, Queued, Request, Waiting};
use crate::clock::{Clock, Leap, Pace};
use crate::codec::{EventIds, JournalError, encode};
use crate::health::Health;
use crate::ledger::{ExecuteError, Receipt};
use crate::published::{Facts, Published};
use crate::questions::{Looking, Question, Questions};
use crate::replay::{CHUNK, OpenError, catch_up, evolve_checked, panic_text};
use crate::storing::{Stored, append, check_end, pauses};
use event_store::{AppendError, EventStore, ReadError};
use ledger_core::command::OpenJournal;
use ledger_core::{
    Actor, Asset, Command, Decision, Envelope, JournalId, Key, Policy, Prepared, State, Timestamp, decide,
    decide_prepared,
};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tracing::{error, info, warn};

/// Pages of the journal that are taken over before anything else is looked at.
const PAGES_AT_ONCE: usize = 64;
/// How often it is looked whether what keeps commands from being taken is over.
const RECHECK: Duration = Duration::from_millis(200);

type Storing = Pin<Box<dyn Future<Output = Stored> + Send>>;
/// Ends when the journal has come beyond what this writer knows of, with the number of its events.
type Watching = Pin<Box<dyn Future<Output = u64> + Send>>;

pub(crate) struct Writer {
    store: Arc<dyn EventStore>,
    pace: Pace,
    state: State,
    ids: EventIds,
    inbox: Inbox,
    live: broadcast::Sender<Arc<Published>>,
    /// The number of durable events.
    durable: watch::Sender<u64>,
    health: Health,
    deciding: Batch,
    stored: Batch,
    /// Durable, and not told yet.
    answered: Vec<Waiting>,
    /// To be decided once more, in this order, before anything from the inbox.
    again: VecDeque<Queued>,
    /// Asked while other nodes write.
    questions: Questions,
    recheck_at: Instant,
    turns: Turns,
    /// Whether it has ended as it should.
    done: bool,
}

/// However the writer ends, those who hold the ledger see it.
impl Drop for Writer {
    fn drop(&mut self) {
        // The end of the program is none of its faults: those who asked are gone with it.
        if !self.done && (std::thread::panicking() || !self.inbox.requests.is_closed()) {
            self.health.stop("the ledger's writer has ended in the middle of its work");
        }
        self.health.end();
    }
}

impl Writer {
    #[expect(clippy::too_many_arguments, reason = "called once, by the handle that holds the other ends")]
    pub fn new(
        store: Arc<dyn EventStore>,
        pace: Pace,
        state: State,
        ids: EventIds,
        inbox: Inbox,
        live: broadcast::Sender<Arc<Published>>,
        durable: watch::Sender<u64>,
        health: Health,
    ) -> Writer {
        let turns = Turns::of(store.as_ref());
        Writer {
            store,
            pace,
            state,
            ids,
            inbox,
            live,
            durable,
            health,
            deciding: Batch::default(),
            stored: Batch::default(),
            answered: Vec::new(),
            again: VecDeque::new(),
            questions: Questions::default(),
            recheck_at: Instant::now(),
            turns,
            done: false,
        }
    }

    /// Runs until every handle is gone and everything that was asked is answered.
    pub async fn run(mut self) {
        let mut storing: Option<Storing> = None;
        let mut watching: Option<Watching> = None;
        let mut looking: Option<Looking> = None;
        let mut open = true;
        loop {
            let is_our_turn = self.turns.begins_at().is_none_or(|at| at <= Instant::now());
            if is_our_turn {
                self.decide_again();
            }
            if storing.is_none() && !self.deciding.waiting.is_empty() && is_our_turn {
                // Its own batch moves the end.
                watching = None;
                let mut sent = self.send_batch();
                // It is on its way before those are answered who waited for the batch before.
                let begun = sent.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                match begun {
                    Poll::Ready(outcome) => self.finish(outcome).await,
                    Poll::Pending => storing = Some(sent),
                }
                self.release();
                continue;
            }
            self.release();
            // A journal that cannot be explained is not read on.
            if storing.is_none() && watching.is_none() && self.health.stopped().is_none() {
                watching = Some(self.watch_the_end());
            }
            // While others write nothing is decided, and the state is all durable.
            let only_asked = !is_our_turn && storing.is_none() && self.deciding.waiting.is_empty();
            if only_asked {
                self.set_questions_apart();
            }
            if looking.is_none() {
                looking = self.questions.look(&self.store, &self.health);
            }
            let is_idle = storing.is_none() && self.deciding.waiting.is_empty() && self.again.is_empty();
            if !open && is_idle && self.questions.is_empty() {
                self.done = true;
                return;
            }
            let may_take = open && is_our_turn && self.again.is_empty() && self.deciding.has_room();
            let may_ask = open && only_asked && self.again.is_empty();
            tokio::select! {
                biased;
                outcome = async { storing.as_mut().expect("guarded").await }, if storing.is_some() => {
                    storing = None;
                    self.finish(outcome).await;
                }
                end = async { looking.as_mut().expect("guarded").await }, if looking.is_some() => {
                    looking = None;
                    if self.answer_questions(end, storing.is_some()).await {
                        watching = None;
                    }
                }
                end = async { watching.as_mut().expect("guarded").await }, if watching.is_some() => {
                    watching = None;
                    // What was decided and not sent yet stands on an end that is none any more.
                    self.undo(Batch::default());
                    self.turns.others_write();
                    self.follow_the_journal(Some(end)).await;
                }
                () = async { tokio::time::sleep_until(self.turns.begins_at().expect("guarded")).await },
                    if storing.is_none() && !is_our_turn => {}
                () = tokio::time::sleep_until(self.recheck_at), if self.health.is_held() => {
                    self.recheck_at = Instant::now() + RECHECK;
                    self.health.leap(self.pace.now(self.state.last_at()).1);
                    self.health.room_is_likely();
                }
                request = self.inbox.recv(), if may_take || may_ask => match request {
                    Some(request) if may_take => self.take(request),
                    Some(request) => self.again.push_back(Queued { request, alone: false }),
                    None => open = false,
                },
            }
        }
    }

    /// Decides what has to be decided once more, as much of it as the batch takes.
    fn decide_again(&mut self) {
        while self.deciding.has_room()
            && let Some(next) =
                self.again.pop_front_if(|next| self.deciding.waiting.is_empty() || !next.alone)
        {
            self.deciding.alone = next.alone;
            self.decide(next.request);
        }
    }

    /// Decides one request and all that already wait behind it.
    fn take(&mut self, request: Request) {
        self.decide(request);
        while self.deciding.has_room()
            && let Some(request) = self.inbox.try_recv()
        {
            self.decide(request);
        }
    }

    fn decide(&mut self, request: Request) {
        let (at, leap) = self.pace.now(self.state.last_at());
        self.health.leap(leap);
        match request {
            Request::Query { ask, reply } => match catch_unwind(AssertUnwindSafe(|| ask(&self.state, at))) {
                Ok(answer) => self.deciding.waiting.push(Waiting::Query(ask, reply, answer)),
                Err(_) => drop(reply.send(Err(ExecuteError::Fault))),
            },
            Request::Execute { command, reply } => {
                let outcome = self.accept(at, leap, &command);
                self.deciding.waiting.push(Waiting::Execute(command, reply, outcome));
            }
            Request::Together(commands) => {
                for (command, reply) in commands {
                    let request = Request::Execute { command, reply };
                    match self.deciding.has_room() && self.again.is_empty() {
                        true => self.decide(request),
                        // Next in line: nothing is taken from the inbox before it.
                        false => self.again.push_back(Queued { request, alone: false }),
                    }
                }
            }
        }
    }

    /// Questions at the head of the line need not wait for this node's turn.
    fn set_questions_apart(&mut self) {
        let of_inbox = |inbox: &mut Inbox| Some(Queued { request: inbox.try_recv()?, alone: false });
        while let Some(next) = self.again.pop_front().or_else(|| of_inbox(&mut self.inbox)) {
            match Question::of(next.request) {
                Ok(question) => self.questions.push(question),
                Err(request) => return self.again.push_front(Queued { request, alone: next.alone }),
            }
        }
    }

    /// Answers the questions that came before the journal had `end` events; says whether the journal was followed for that.
    async fn answer_questions(&mut self, end: Result<u64, String>, is_storing: bool) -> bool {
        let questions = self.questions.take();
        if is_storing || !self.deciding.waiting.is_empty() {
            // The state has what is not durable yet: they are answered with it.
            questions.into_iter().for_each(|question| self.decide(question.into()));
            return false;
        }
        let end = match end {
            Ok(end) => end,
            Err(reason) => {
                self.health.stop(&format!("the store has lost durable events: {reason}"));
                0
            }
        };
        let follows = *self.durable.borrow() < end && self.health.stopped().is_none();
        if follows {
            self.turns.others_write();
            self.follow_the_journal(Some(end)).await;
        }
        let reached = *self.durable.borrow() >= end || self.health.stopped().is_some();
        let (at, leap) = self.pace.now(self.state.last_at());
        self.health.leap(leap);
        for question in questions {
            match reached {
                true => question.answer(&self.state, at),
                false => self.questions.push(question),
            }
        }
        follows
    }

    fn accept(
        &mut self,
        at: Timestamp,
        leap: Option<Leap>,
        command: &Prepared,
    ) -> Result<Receipt, ExecuteError> {
        if let Some(reason) = self.health.stopped() {
            return Err(ExecuteError::Stopped(reason));
        }
        let journal = self.state.journal().ok_or(ExecuteError::Fault)?;
        let decision = catch_unwind(AssertUnwindSafe(|| decide_prepared(&self.state, at, command))).map_err(
            |panic| {
                // One command's fault stays its own: deciding changes nothing.
                let operation = command.envelope().command.operation();
                error!(
                    alert = "decide_fault",
                    operation,
                    fault = panic_text(panic.as_ref()),
                    "a command met a fault"
                );
                ExecuteError::Fault
            },
        )?;
        let unit = match (decision, leap) {
            (Ok(Decision::Duplicate { command_id, revision }), _) => {
                return Ok(Receipt { journal, command_id, revision, duplicate: true, recorded: false });
            }
            (Ok(Decision::Unchanged { command_id, revision }), _) => {
                return Ok(Receipt { journal, command_id, revision, duplicate: false, recorded: false });
            }
            // A rejection too may come of the wrong time: a key would be said to have expired.
            (_, Some(leap)) => return Err(ExecuteError::ClockLeap(leap)),
            (Err(rejection), None) => return Err(rejection.into()),
            (Ok(Decision::Append(unit)), None) => unit,
        };
        if self.health.has_no_room() {
            return Err(ExecuteError::StorageFull);
        }
        let (first, command_id) = (self.state.next_revision(), unit.command_id);
        let recorded = unit.record(first, || self.ids.next());
        for event in &recorded {
            if let Err(fault) = evolve_checked(&mut self.state, event) {
                self.state.undo_from(first);
                self.health.stop(&fault.to_string());
                return Err(ExecuteError::Stopped(fault.to_string()));
            }
        }
        for event in &recorded {
            encode(event, self.store.as_ref(), &mut self.deciding.encoded);
        }
        // Nobody follows: nobody has to be told.
        let facts = (self.live.receiver_count() > 0).then(|| Facts::after(&self.state, &recorded));
        self.deciding.published.push(recorded, facts);
        let revision = self.state.next_revision() - 1;
        Ok(Receipt { journal, command_id, revision, duplicate: false, recorded: true })
    }

    /// Looks out for what other nodes write, so that a node at which nothing happens sees it too.
    fn watch_the_end(&self) -> Watching {
        let (store, health) = (self.store.clone(), self.health.clone());
        let durable = *self.durable.borrow();
        Box::pin(async move {
            loop {
                match store.wait_beyond(durable.checked_sub(1)).await {
                    Ok(head) => return head + 1,
                    Err(ReadError::TailBehind(reason)) => return lost(&health, &reason).await,
                    Err(fault) => health.stalled(Some(fault.to_string())),
                }
                // Nothing may happen for long, so it is asked whether the store is back, and with all that it had.
                let mut pauses = pauses();
                loop {
                    match store.head().await.map(|head| head.map_or(0, |head| head + 1)) {
                        Ok(events) if events >= durable => break health.stalled(None),
                        Ok(events) => {
                            let reason = format!("it has {events} events, and {durable} were durable");
                            return lost(&health, &reason).await;
                        }
                        Err(ReadError::TailBehind(reason)) => return lost(&health, &reason).await,
                        Err(_) => tokio::time::sleep(pauses.next().unwrap_or(RECHECK)).await,
                    }
                }
            }
        })
    }

    /// Sends what was decided to the store.
    fn send_batch(&mut self) -> Storing {
        self.stored = std::mem::take(&mut self.deciding);
        self.turns.sent();
        let durable = *self.durable.borrow();
        let (store, health) = (self.store.clone(), self.health.clone());
        let encoded = Arc::new(std::mem::take(&mut self.stored.encoded));
        if encoded.is_empty() && health.stopped().is_some() {
            // The journal has gone on in a way that this program cannot explain, so its end will
            // never be ours again; what is known is still told.
            return Box::pin(async { Stored::Durable });
        }
        Box::pin(async move {
            if encoded.is_empty() {
                check_end(store.as_ref(), durable, &health).await
            } else {
                append(store.as_ref(), durable, &encoded, &health).await
            }
        })
    }

    async fn finish(&mut self, outcome: Stored) {
        let batch = std::mem::take(&mut self.stored);
        match outcome {
            Stored::Durable => {
                if let Some(last) = batch.published.last_revision() {
                    self.turns.won();
                    self.health.storage_full(None);
                    self.state.settle(last);
                    self.publish(batch.published, last);
                }
                self.answered.extend(batch.waiting);
            }
            Stored::LostRace => {
                info!("another node wrote to the journal; deciding again on its end");
                metrics::counter!("muneem_ledger_lost_races_total").increment(1);
                self.turns.others_write();
                self.undo(batch);
                self.follow_the_journal(None).await;
            }
            Stored::Lost(reason) => {
                // Nobody else's writing can explain this, so the state is not what the store holds.
                self.health.stop(&format!("the store has lost durable events: {reason}"));
                self.undo(batch);
            }
            Stored::NoSpace(reason) => {
                self.health.storage_full(Some(reason));
                self.recheck_at = Instant::now() + RECHECK;
                self.fail(batch, ExecuteError::StorageFull);
            }
            Stored::Refused(reason) => self.refused(batch, reason),
        }
    }

    fn release(&mut self) {
        self.answered.drain(..).for_each(Waiting::release);
    }

    /// Fails the command that the store refuses by itself. Where several were refused together, each is
    /// sent alone, so that only the guilty one fails.
    fn refused(&mut self, mut batch: Batch, reason: String) {
        if batch.waiting.iter().filter(|waiting| waiting.appends()).count() == 1 {
            error!(alert = "batch_refused", reason, "the store refuses what a command would record");
            return self.fail(batch, ExecuteError::NotStorable(reason));
        }
        batch.alone = true;
        self.undo(batch);
    }

    /// Fails the commands of which events are in the batch; all else is decided again without them.
    fn fail(&mut self, mut batch: Batch, fault: ExecuteError) {
        for failed in batch.waiting.extract_if(.., |waiting| waiting.appends()) {
            if let Waiting::Execute(_, reply, _) = failed {
                drop(reply.send(Err(fault.clone())));
            }
        }
        batch.alone = false;
        self.undo(batch);
    }

    /// Takes back what is not durable, and queues it to be decided again, in the order in which it came.
    fn undo(&mut self, batch: Batch) {
        self.state.undo_from(*self.durable.borrow());
        let later = std::mem::take(&mut self.deciding);
        let queue: VecDeque<Queued> = batch.into_queued().chain(later.into_queued()).collect();
        let behind = std::mem::replace(&mut self.again, queue);
        self.again.extend(behind);
    }

    fn publish(&self, batch: Published, last: u64) {
        metrics::counter!("muneem_ledger_events_total").increment(batch.events.len() as u64);
        metrics::counter!("muneem_ledger_batches_total").increment(1);
        // The end moves before the events go out: a follower that starts between the two drops
        // what it has seen already and misses nothing.
        self.durable.send_replace(last + 1);
        drop(self.live.send(Arc::new(batch)));
    }

    /// Takes over what another node wrote, until there are `end` events or the journal is at its end, or as much as is
    /// good at once: another node may write faster than it is taken over, and whoever waits here must not wait for that.
    async fn follow_the_journal(&mut self, end: Option<u64>) {
        let mut pauses = pauses();
        let mut found = false;
        for _ in 0..PAGES_AT_ONCE {
            match catch_up(self.store.as_ref(), &mut self.state, CHUNK).await {
                Ok(batch) => match batch.last_revision() {
                    Some(last) => {
                        found = true;
                        self.publish(batch, last);
                        if end.is_some_and(|end| last + 1 >= end) {
                            break;
                        }
                    }
                    None if found => break,
                    None => {
                        // A store that contradicts itself must not take all the time of this thread.
                        warn!("the store says that another node wrote, and shows nothing of it");
                        tokio::time::sleep(RECHECK).await;
                        break;
                    }
                },
                Err(JournalError::Read(fault)) if !matches!(fault, ReadError::TailBehind(_)) => {
                    self.health.stalled(Some(fault.to_string()));
                    tokio::time::sleep(pauses.next().unwrap_or(RECHECK)).await;
                }
                Err(fault) => {
                    self.health.stop(&fault.to_string());
                    break;
                }
            }
        }
        self.health.stalled(None);
    }
}

/// Nobody else's writing can explain this, so there is nothing left to watch for.
async fn lost(health: &Health, reason: &str) -> u64 {
    health.stop(&format!("the store has lost durable events: {reason}"));
    std::future::pending().await
}

/// How nodes that write at the same time share the journal. The expected revision alone keeps it right; this keeps nodes
/// from racing for it all the time, as each lost race is an append and the deciding of a batch for nothing.
///
/// A node that sees another one write listens until it has been quiet for about as long as an append takes, and decides
/// nothing meanwhile; it listens for a while only, and then tries its luck. A node that writes goes on for a slice and
/// then leaves a gap that is long enough for whoever listens. One that has seen nobody else leaves few gaps, but never
/// none: whoever listens would not be heard of. Pauses are never the same twice, so that nodes that listen together do not begin together.
struct Turns {
    /// When another node was last seen to write.
    others_wrote_at: Option<Instant>,
    sent_at: Instant,
    /// When this node began to write without a pause.
    slice_began: Option<Instant>,
    /// How long an append takes.
    append: Duration,
    begins_at: Option<Instant>,
    /// Since when this node has listened without writing.
    listens_since: Option<Instant>,
    /// Whether other nodes can write at all.
    is_shared: bool,
}

impl Turns {
    fn of(store: &dyn EventStore) -> Turns {
        Turns {
            others_wrote_at: None,
            sent_at: Instant::now(),
            slice_began: None,
            append: Self::SHORTEST,
            begins_at: None,
            listens_since: None,
            is_shared: store.is_shared(),
        }
    }

    /// For how long others count as writing after something of theirs was seen.
    const MET: Duration = Duration::from_secs(1);
    /// How long one node writes while others wait.
    const SLICE: Duration = Duration::from_millis(50);
    /// The same where no other node was seen to write lately.
    const SLICE_ALONE: Duration = Duration::from_millis(500);
    /// How long a node listens at the most before it writes all the same.
    const PATIENCE: Duration = Duration::from_millis(300);
    const SHORTEST: Duration = Duration::from_millis(1);
    /// An append that took long says little about the next.
    const LONGEST: Duration = Duration::from_millis(10);

    /// When the next batch may be decided and sent; at once where there is no such time.
    fn begins_at(&self) -> Option<Instant> {
        self.begins_at
    }

    fn sent(&mut self) {
        self.sent_at = Instant::now();
        self.slice_began.get_or_insert(self.sent_at);
        self.begins_at = None;
        self.listens_since = None;
    }

    fn others_write(&mut self) {
        let now = Instant::now();
        self.others_wrote_at = Some(now);
        self.slice_began = None;
        let since = *self.listens_since.get_or_insert(now);
        let quiet = now + self.append.mul_f64(jitter(1.2, 2.0));
        self.begins_at = Some(quiet.min(since + Self::PATIENCE));
    }

    fn won(&mut self) {
        let now = Instant::now();
        self.append = now.duration_since(self.sent_at).clamp(Self::SHORTEST, Self::LONGEST);
        let met = self.others_wrote_at.is_some_and(|at| now.duration_since(at) < Self::MET);
        let slice = if met { Self::SLICE } else { Self::SLICE_ALONE };
        if self.is_shared && self.slice_began.is_some_and(|began| now.duration_since(began) >= slice) {
            self.slice_began = None;
            self.begins_at = Some(now + self.append.mul_f64(jitter(3.0, 4.0)));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it decides nothing but who waits how long")]
fn jitter(from: f64, to: f64) -> f64 {
    rand::Rng::random_range(&mut rand::rng(), from..to)
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
        command: Command::from(OpenJournal { journal, assets: vec![Asset::COIN, Asset::INR] }),
        policy: Policy::default(),
    };
    let Ok(Decision::Append(unit)) = decide(state, clock.now(), &envelope) else {
        return Err(OpenError::Begin("it has begun already".to_owned()));
    };
    let mut batch = event_store::Batch::default();
    for event in &unit.record(0, || ids.next()) {
        encode(event, store, &mut batch);
    }
    match store.append_batch(None, &Arc::new(batch)).await {
        // Another node may have begun it at the same moment: its first event counts.
        Ok(_) | Err(AppendError::WrongExpectedRevision { .. }) => {}
        Err(fault) => return Err(OpenError::Begin(fault.to_string())),
    }
    while !catch_up(store, state, CHUNK).await?.units.is_empty() {}
    Ok(())
}
