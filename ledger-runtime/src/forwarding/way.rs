//! The way of this node's commands to the preferred node.

use super::message::{Told, Welcome, hello, put_group};
use super::sealed::{self, MOST_BYTES, Receiver, Sender};
use super::{Kinship, SILENCE};
use crate::batch::Reply;
use crate::ledger::{ExecuteError, Ledger};
use ledger_core::Envelope;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tracing::info;

/// Commands that are decided one after the other, with nothing in between.
pub(crate) type Group = SmallVec<[(Envelope, Reply); 1]>;

/// Commands that may be under way at once.
const PLACES: usize = 32_768;
/// Bytes after which a message takes no further commands.
const ENOUGH: usize = MOST_BYTES / 4;
/// Messages that may be unanswered at once: what comes meanwhile goes into the next one.
const MESSAGES: usize = 4;

/// Whether there is a way at present.
#[derive(Clone, Default)]
pub(crate) struct Ways(Arc<RwLock<Option<Way>>>);

struct Way {
    groups: mpsc::UnboundedSender<Group>,
    places: Arc<AtomicUsize>,
}

impl Ways {
    /// Sends the commands on their way; gives them back where there is none.
    #[expect(
        clippy::result_large_err,
        reason = "they are given back as they came, without a box for each command"
    )]
    pub fn take(&self, group: Group) -> Result<Result<(), ExecuteError>, Group> {
        let way = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(way) = &*way else { return Err(group) };
        let places = group.len();
        if way.places.fetch_add(places, Ordering::Relaxed) + places > PLACES {
            way.places.fetch_sub(places, Ordering::Relaxed);
            return Ok(Err(ExecuteError::Busy));
        }
        // Its other end is let go of under the lock alone.
        way.groups.send(group).map(Ok).map_err(|back| back.0)
    }
}

impl Ledger {
    /// Whether another node decides the commands of this one at present.
    pub fn is_forwarding(&self) -> bool {
        self.ways().0.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Gives this node's commands to the node at `address`, for as long as that one answers. Whoever drops this ends it.
    /// Then what is unanswered is decided here.
    ///
    /// # Errors
    /// Why the other node does not take commands, or not any more.
    pub async fn forward(&self, address: &str, kinship: &Kinship) -> io::Result<Infallible> {
        let connected = timeout(SILENCE, connect(address, kinship, self)).await;
        let (sender, receiver) = connected.map_err(|_| silent())??;
        info!(address, "another node decides the commands of this one");
        let mut under_way = UnderWay::begin(self);
        let ended = under_way.carry(sender, receiver).await;
        drop(under_way);
        ended
    }
}

async fn connect(address: &str, kinship: &Kinship, ledger: &Ledger) -> io::Result<(Sender, Receiver)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, mut receiver) = sealed::call(stream, &kinship.key).await?;
    sender.send(&hello(ledger.journal(), &kinship.program)).await?;
    match Welcome::refusal(&receiver.receive().await?) {
        None => Ok((sender, receiver)),
        Some(refusal) => Err(io::Error::other(refusal)),
    }
}

/// What was given to this way and is not answered. However it ends, this is decided here then.
struct UnderWay {
    ledger: Ledger,
    groups: mpsc::UnboundedReceiver<Group>,
    places: Arc<AtomicUsize>,
    /// By the message in which they were sent.
    unanswered: Mutex<VecDeque<Vec<Group>>>,
    /// One of them was answered.
    answered: Notify,
}

impl UnderWay {
    fn begin(ledger: &Ledger) -> UnderWay {
        let (sender, groups) = mpsc::unbounded_channel();
        let places = Arc::new(AtomicUsize::new(0));
        let way = Way { groups: sender, places: places.clone() };
        *ledger.ways().0.write().unwrap_or_else(PoisonError::into_inner) = Some(way);
        let (unanswered, answered) = (Mutex::default(), Notify::new());
        UnderWay { ledger: ledger.clone(), groups, places, unanswered, answered }
    }

    async fn carry(&mut self, sender: Sender, receiver: Receiver) -> io::Result<Infallible> {
        let UnderWay { ledger, groups, places, unanswered, answered } = self;
        tokio::select! {
            ended = send(sender, groups, unanswered, answered) => ended,
            ended = receive(receiver, ledger, places, unanswered, answered) => ended,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // Whoever gives a command meanwhile waits, so that it does not overtake these.
        let mut way = self.ledger.ways().0.write().unwrap_or_else(PoisonError::into_inner);
        *way = None;
        let unanswered = std::mem::take(&mut *lock(&self.unanswered));
        for group in unanswered.into_iter().flatten() {
            decide_here(&self.ledger, group);
        }
        while let Ok(group) = self.groups.try_recv() {
            decide_here(&self.ledger, group);
        }
    }
}

/// Whoever waits for a command that finds no place in line hears that its outcome is unknown.
fn decide_here(ledger: &Ledger, group: Group) {
    count("decided_here", group.len());
    drop(ledger.decide_here(group));
}

async fn send(
    mut sender: Sender,
    groups: &mut mpsc::UnboundedReceiver<Group>,
    unanswered: &Mutex<VecDeque<Vec<Group>>>,
    answered: &Notify,
) -> io::Result<Infallible> {
    loop {
        while lock(unanswered).len() >= MESSAGES {
            answered.notified().await;
        }
        let mut next = groups.recv().await;
        let (mut message, mut sent) = (Vec::new(), Vec::new());
        while let Some(group) = next {
            message = put_group(group.iter().map(|(envelope, _)| envelope), message);
            sent.push(group);
            next = if message.len() < ENOUGH { groups.try_recv().ok() } else { None };
        }
        // From here on they are not lost where this is given up.
        lock(unanswered).push_back(sent);
        sender.send(&message).await?;
    }
}

async fn receive(
    mut receiver: Receiver,
    ledger: &Ledger,
    places: &AtomicUsize,
    unanswered: &Mutex<VecDeque<Vec<Group>>>,
    answered: &Notify,
) -> io::Result<Infallible> {
    loop {
        let message = timeout(SILENCE, receiver.receive()).await.map_err(|_| silent())??;
        if message.is_empty() {
            continue;
        }
        let told = answers(&message, ledger)?;
        let groups = lock(unanswered).pop_front().unwrap_or_default();
        let count = groups.iter().map(SmallVec::len).sum();
        if told.len() != count {
            // What was told cannot be told apart from what was not.
            lock(unanswered).push_front(groups);
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it answers other commands than it was given",
            ));
        }
        answered.notify_one();
        places.fetch_sub(count, Ordering::Relaxed);
        let (mut told, mut answered_there) = (told.into_iter(), count);
        for group in groups {
            let mut here = Group::new();
            for ((envelope, reply), told) in group.into_iter().zip(&mut told) {
                match told {
                    Told::Outcome(outcome) => drop(reply.send(outcome)),
                    Told::DecideYourself => here.push((envelope, reply)),
                }
            }
            answered_there -= here.len();
            if !here.is_empty() {
                decide_here(ledger, here);
            }
        }
        self::count("answered", answered_there);
    }
}

fn count(outcome: &'static str, commands: usize) {
    metrics::counter!("muneem_ledger_forwarded_total", "outcome" => outcome).increment(commands as u64);
}

fn answers(mut message: &[u8], ledger: &Ledger) -> io::Result<Vec<Told>> {
    let mut told = vec![];
    while !message.is_empty() {
        let next = Told::take(&mut message, ledger.journal());
        told.push(next.map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?);
    }
    Ok(told)
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it does not answer")
}
