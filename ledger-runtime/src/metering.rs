//! Keeps the time: issues each tick and loss of a call, each expiry of bonus coins and of an order that nobody paid, and
//! each renewal of a subscription, when it is due.
//!
//! It holds no truth. What is due follows from the ledger's state, so a driver that is started
//! anew, or a second one beside it, charges nothing twice.

use crate::codec::JournalError;
use crate::follower::Follower;
use crate::ledger::{ExecuteError, Ledger};
use ledger_core::calls::Call;
use ledger_core::command::{EndCall, ExpireBonus, ExpireOrder, PauseCall, RenewSubscription, TickCall};
use ledger_core::event::PauseCause;
use ledger_core::orders::OrderStatus;
use ledger_core::{
    Account, Actor, CallId, Command, Envelope, Event, Key, LotId, OrderId, PersonId, Policy, Recorded, State,
    SubscriptionId, Timestamp,
};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::{debug, error};

/// How soon something is tried again that the ledger could not answer.
const RETRY: Duration = Duration::from_millis(200);
/// How soon it is tried again what the ledger refuses for as long as a clock or a disk is not mended.
const RETRY_WHEN_HELD: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Subject {
    Call(CallId),
    Lot(LotId),
    Subscription(SubscriptionId),
    Order(OrderId),
    /// Coins have come to somebody: what waits for them may be paid.
    Payer(PersonId),
}

/// Tells when the payer and the host of a call were last seen both, by the ledger's clock; `None` when that is
/// not known. An increment that begins after that moment is given back if they are not seen again.
pub type Sightings = Arc<dyn Fn(PersonId, PersonId) -> Option<Timestamp> + Send + Sync>;

/// A driver that is later than this has stood still, and so has whoever keeps the sockets of this node.
const LATE_MS: i64 = 3_000;

/// What is known of the connections of a call's two sides, payer and host.
pub type Connections = Arc<dyn Fn(PersonId, PersonId) -> Sides + Send + Sync>;

/// What is known of the connections of a call's two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    /// Whether both are connected.
    pub both: bool,
    /// Since when those who are connected have been so, the later one if both are.
    pub since: Option<Timestamp>,
}

/// The driver.
pub struct Metering {
    ledger: Ledger,
    sightings: Sightings,
    connections: Connections,
    follower: Follower,
    under_way: UnderWay,
    queue: BTreeSet<(Timestamp, Subject)>,
    due: HashMap<Subject, Task>,
    /// What something has happened to since it was last looked up.
    unsure: BTreeSet<Subject>,
    /// Whether a look-up is under way: never two, so that an older answer cannot replace a newer one.
    asking: bool,
    running: JoinSet<Done>,
}

/// The calls that have not ended: how many they are is shown to whoever runs the server.
#[derive(Default)]
struct UnderWay(HashSet<CallId>);

impl UnderWay {
    fn are(&mut self, calls: &[CallId]) {
        self.0 = calls.iter().copied().collect();
        self.show();
    }

    fn observe(&mut self, event: &Event) {
        let changed = match event {
            Event::CallStarted(it) => self.0.insert(it.call),
            Event::CallEnded(it) => self.0.remove(&it.call),
            _ => false,
        };
        if changed {
            self.show();
        }
    }

    fn show(&self) {
        metrics::gauge!("muneem_calls").set(self.0.len() as f64);
    }
}

/// What has to be done, and when; with the payer and the host of a call.
struct Task {
    at: Timestamp,
    command: Command,
    sides: Option<(PersonId, PersonId)>,
}

type Due = Option<Task>;

/// How something that the driver began has ended.
enum Done {
    Issued(Subject),
    LookedUp(Vec<(Subject, Due)>),
    NotAnswered(BTreeSet<Subject>),
}

impl Metering {
    /// Takes over the calls that are under way from a driver that is gone. A call goes on if both sides have been
    /// connected since before its next increment was due, as `connections` says. Every other call is
    /// paused at the last moment at which both are known to have been there, and waits for both within its grace:
    /// somebody who has come back meanwhile does not pay for the time between.
    ///
    /// # Errors
    /// When the ledger does not take commands.
    pub async fn recover(
        ledger: Ledger,
        sightings: Sightings,
        connections: Connections,
    ) -> Result<Metering, ExecuteError> {
        let metering = Metering::take_over(ledger.clone(), sightings, connections).await?;
        let calls = ledger.query(|state, _| {
            let about = |(id, call): (CallId, &Call)| {
                (id, call.payer, call.host, call.next_due(id).map(|(due, _)| due))
            };
            state.active_calls().into_iter().map(about).collect::<Vec<_>>()
        });
        // All at once: they share their durable writes, however many there are.
        let mut pauses = JoinSet::new();
        for (call, payer, host, due) in calls.await? {
            let Some(last_seen) = metering.gap(payer, host, due) else { continue };
            // The durable revision makes the key new at each start: each start is an outage.
            let key = format!("outage:{call}:{}", ledger.durable_revision());
            let pause = system(key, Command::from(PauseCall { call, cause: PauseCause::Outage, last_seen }));
            let ledger = ledger.clone();
            pauses.spawn(async move { ledger.execute(pause).await });
        }
        while let Some(paused) = pauses.join_next().await {
            match paused.map_err(|_| ExecuteError::Fault)? {
                Ok(_) | Err(ExecuteError::Rejected(_)) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(metering)
    }

    /// Takes over the calls that are under way as they are, from a driver of this process that broke: those
    /// who were connected still are.
    ///
    /// # Errors
    /// When the ledger does not answer.
    async fn take_over(
        ledger: Ledger,
        sightings: Sightings,
        connections: Connections,
    ) -> Result<Metering, ExecuteError> {
        let mut metering = Metering {
            sightings,
            connections,
            follower: ledger.follow(),
            under_way: UnderWay::default(),
            queue: BTreeSet::new(),
            due: HashMap::new(),
            unsure: BTreeSet::new(),
            asking: false,
            running: JoinSet::new(),
            ledger: ledger.clone(),
        };
        let calls =
            ledger.query(|state, _| state.active_calls().into_iter().map(|(id, _)| id).collect::<Vec<_>>());
        let calls = calls.await?;
        metering.under_way.are(&calls);
        metering.unsure.extend(calls.into_iter().map(Subject::Call));
        for (at, lot) in ledger.query(|state, _| state.expiring_lots()).await? {
            let command = Command::from(ExpireBonus { lot });
            metering.schedule(Subject::Lot(lot), Some(Task { at, command, sides: None }));
        }
        for (at, order) in ledger.query(|state, _| state.unpaid_orders()).await? {
            let command = Command::from(ExpireOrder { order });
            metering.schedule(Subject::Order(order), Some(Task { at, command, sides: None }));
        }
        let subscriptions = ledger.query(|state, _| state.subscriptions()).await?;
        metering.unsure.extend(subscriptions.into_iter().map(Subject::Subscription));
        Ok(metering)
    }

    /// When both sides were last seen, if they have not both been connected since before `due`.
    fn gap(&self, payer: PersonId, host: PersonId, due: Option<Timestamp>) -> Option<Option<Timestamp>> {
        let sides = (self.connections)(payer, host);
        let came_back = sides.since.is_some_and(|since| due.is_none_or(|due| since > due));
        if sides.both && !came_back {
            return None;
        }
        Some(if came_back { None } else { (self.sightings)(payer, host) })
    }

    /// Drives until the ledger has stopped or is gone. Dropping the future stops it; nothing is lost by
    /// that.
    pub async fn run(mut self) {
        let clock = self.ledger.clock().clone();
        let ledger = self.ledger.clone();
        let mut stopped = pin!(ledger.stopped());
        loop {
            self.look_up();
            let next = self.queue.first().copied();
            tokio::select! {
                // A stopped ledger is asked nothing: calls go on after a restart.
                () = &mut stopped => return,
                event = self.follower.next() => match event {
                    Ok(Some(unit)) => unit.events().iter().for_each(|event| self.observe(event)),
                    Ok(None) => return,
                    Err(JournalError::Read(fault)) => {
                        error!(alert = "metering_stalled", %fault, "metering cannot read the journal");
                        tokio::time::sleep(RETRY).await;
                    }
                    Err(fault) => {
                        error!(alert = "metering_stopped", %fault, "metering cannot follow the journal");
                        return;
                    }
                },
                Some(done) = self.running.join_next() => match done {
                    Ok(Done::Issued(subject)) => drop(self.unsure.insert(subject)),
                    Ok(Done::LookedUp(found)) => {
                        self.asking = false;
                        found.into_iter().for_each(|(subject, due)| self.schedule(subject, due));
                    }
                    Ok(Done::NotAnswered(mut subjects)) => {
                        self.asking = false;
                        self.unsure.append(&mut subjects);
                    }
                    Err(fault) => error!(alert = "metering_fault", %fault, "a task of the metering broke"),
                },
                () = async { clock.sleep_until(next.expect("guarded").0).await }, if next.is_some() => {
                    // All at once, so that those that are due together are recorded together.
                    let now = clock.now();
                    while let Some((at, subject)) = self.queue.first().copied()
                        && at <= now
                    {
                        self.issue(subject);
                    }
                }
            }
        }
    }

    fn observe(&mut self, recorded: &Recorded) {
        self.under_way.observe(&recorded.event);
        self.unsure.extend(paid_in(&recorded.event).map(Subject::Payer));
        let subject = match &recorded.event {
            Event::CallStarted(it) => Subject::Call(it.call),
            Event::CallTicked(it) => Subject::Call(it.call),
            Event::CallPaused(it) => Subject::Call(it.call),
            Event::CallResumed(it) => Subject::Call(it.call),
            Event::CallEnded(it) => Subject::Call(it.call),
            Event::BonusGranted(it) => Subject::Lot(it.lot),
            // Coins that come back to a lot expire with it.
            Event::CallChargeReturned(it) => {
                let expiring = it.draws.iter().filter(|draw| draw.expires_at.is_some());
                return self.unsure.extend(expiring.map(|draw| Subject::Lot(draw.lot)));
            }
            Event::DisputeReleased(it) => {
                let expiring = it.released.iter().filter(|draw| draw.expires_at.is_some());
                return self.unsure.extend(expiring.map(|draw| Subject::Lot(draw.lot)));
            }
            Event::OrderRefunded(it) => {
                let expiring = it.draws.iter().filter(|draw| draw.expires_at.is_some());
                return self.unsure.extend(expiring.map(|draw| Subject::Lot(draw.lot)));
            }
            Event::OrderCancelled(it) => {
                let expiring = it.draws.iter().filter(|draw| draw.expires_at.is_some());
                self.unsure.extend(expiring.map(|draw| Subject::Lot(draw.lot)));
                Subject::Order(it.order)
            }
            Event::OrderPlaced(it) if it.pay_by.is_some() => Subject::Order(it.order),
            Event::OrderPaid(it) => Subject::Order(it.order),
            Event::DisputeReversed(it) => return self.unsure.extend(it.bonus_lot.map(Subject::Lot)),
            Event::LotsMerged(it) => Subject::Lot(it.lot),
            Event::SubscriptionPaid(it) => Subject::Subscription(it.subscription),
            Event::SubscriptionGraceBegun(it) => Subject::Subscription(it.subscription),
            Event::SubscriptionCancelled(it) => Subject::Subscription(it.subscription),
            Event::SubscriptionResumed(it) => Subject::Subscription(it.subscription),
            Event::SubscriptionLapsed(it) => Subject::Subscription(it.subscription),
            _ => return,
        };
        self.unsure.insert(subject);
    }

    /// Asks the ledger what is due, and when, about all that something has happened to: in one
    /// query, beside which the driver goes on.
    fn look_up(&mut self) {
        if self.asking || self.unsure.is_empty() {
            return;
        }
        self.asking = true;
        let (ledger, subjects) = (self.ledger.clone(), std::mem::take(&mut self.unsure));
        self.running.spawn(async move {
            let about = subjects.clone();
            let asked = ledger.query(move |state, at| {
                let subjects = about.iter().flat_map(|subject| waiting(state, *subject));
                subjects.map(|subject| (subject, due(state, subject, at))).collect::<Vec<_>>()
            });
            match asked.await {
                Ok(found) => Done::LookedUp(found),
                Err(fault) => {
                    // Asked again soon: a call must not go on unmetered.
                    wait_after(&fault).await;
                    Done::NotAnswered(subjects)
                }
            }
        });
    }

    fn schedule(&mut self, subject: Subject, due: Due) {
        if let Some(task) = self.due.remove(&subject) {
            self.queue.remove(&(task.at, subject));
        }
        if let Some(task) = due {
            self.queue.insert((task.at, subject));
            self.due.insert(subject, task);
        }
    }

    /// Gives the command that is due. Calls do not wait for one another: those that are due
    /// together are recorded together.
    fn issue(&mut self, subject: Subject) {
        let Some(Task { at, mut command, sides }) = self.due.remove(&subject) else { return };
        self.queue.remove(&(at, subject));
        if let (Command::TickCall(tick), Some((payer, host))) = (&mut command, sides) {
            tick.last_seen = (self.sightings)(payer, host);
            let call = tick.call;
            // Somebody who came back while this driver stood still does not pay for the time between.
            if self.ledger.clock().now().since(at) > LATE_MS
                && let Some(last_seen) = self.gap(payer, host, Some(at))
            {
                command = Command::from(PauseCall { call, cause: PauseCause::Outage, last_seen });
            }
        }
        let key = match &command {
            Command::TickCall(TickCall { call, number, .. }) => format!("tick:{call}:{number}"),
            Command::EndCall(EndCall { call, .. }) => format!("lost:{call}:{}", at.0),
            Command::PauseCall(PauseCall { call, .. }) => format!("late:{call}:{}", at.0),
            Command::ExpireBonus(ExpireBonus { lot }) => format!("expire:{lot}"),
            Command::ExpireOrder(ExpireOrder { order }) => format!("unpaid:{order}"),
            Command::RenewSubscription(RenewSubscription { subscription, period }) => {
                format!("renew:{subscription}:{period}")
            }
            other => other.operation().to_owned(),
        };
        let ledger = self.ledger.clone();
        self.running.spawn(async move {
            match ledger.execute(system(key, command)).await {
                Ok(_) => {}
                // The state has moved on: what is due now is looked up again.
                Err(ExecuteError::Rejected(rejection)) => debug!(?subject, %rejection, "nothing was due"),
                Err(fault) => wait_after(&fault).await,
            }
            Done::Issued(subject)
        });
    }
}

/// The pause before what met `fault` is tried again.
async fn wait_after(fault: &ExecuteError) {
    match fault {
        // The ledger has told of it, once.
        ExecuteError::ClockLeap(_) | ExecuteError::StorageFull => {
            debug!(%fault, "the ledger takes nothing at present");
            tokio::time::sleep(RETRY_WHEN_HELD).await;
        }
        ExecuteError::Busy | ExecuteError::StoreAway | ExecuteError::Stopped(_) => {
            debug!(%fault, "the ledger takes nothing at present");
            tokio::time::sleep(RETRY).await;
        }
        ExecuteError::OutcomeUnknown
        | ExecuteError::Fault
        | ExecuteError::NotStorable(_)
        | ExecuteError::Rejected(_) => {
            error!(%fault, "what is due has no outcome yet");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// The people to whom an event brings coins that they can spend, or lets them spend those that they have.
fn paid_in(event: &Event) -> impl Iterator<Item = PersonId> {
    let let_off = match event {
        Event::ReceivableWrittenOff(it) => Some(it.user),
        _ => None,
    };
    let coins = |account: &Account| matches!(account, Account::UserPurchased(_) | Account::UserBonus(_));
    let credits = event.postings().iter().filter(move |it| it.amount < 0 && coins(&it.account));
    credits.filter_map(|it| it.account.person()).chain(let_off)
}

/// What has to be looked at where something has happened to `subject`.
fn waiting(state: &State, subject: Subject) -> Vec<Subject> {
    let Subject::Payer(person) = subject else { return vec![subject] };
    let waiting = state.subscriptions_of(person).filter(|(_, row)| row.in_grace);
    waiting.map(|(id, _)| Subject::Subscription(id)).collect()
}

fn due(state: &State, subject: Subject, at: Timestamp) -> Due {
    match subject {
        Subject::Call(id) => {
            let call = state.call(id)?;
            let (at, command) = call.next_due(id)?;
            Some(Task { at, command, sides: Some((call.payer, call.host)) })
        }
        Subject::Lot(lot) => {
            let command = Command::from(ExpireBonus { lot });
            Some(Task { at: state.lot(lot)?.expires_at()?, command, sides: None })
        }
        Subject::Subscription(id) => {
            let (at, renewal) = state.renewal_due(id, at)?;
            Some(Task { at, command: renewal.into(), sides: None })
        }
        Subject::Order(order) => {
            let row = state.order(order).filter(|row| row.status == OrderStatus::Unpaid)?;
            Some(Task { at: row.pay_by?, command: ExpireOrder { order }.into(), sides: None })
        }
        Subject::Payer(_) => None,
    }
}

fn system(key: String, command: Command) -> Envelope {
    Envelope { actor: Actor::System, key: Key::State(key), command, policy: Policy::default() }
}
