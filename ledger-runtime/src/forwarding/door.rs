//! Where a node takes commands of others.

use super::message::{HELLO, Told, Welcome, groups};
use super::sealed::{self, Receiver, Sender};
use super::{Kinship, SILENCE, STILL_HERE};
use crate::ledger::{ExecuteError, Ledger, Status, Submitted};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};
use tracing::{debug, warn};

/// Nodes that may be connected at once: more than a deployment has.
const CONNECTIONS: usize = 64;
/// Messages of one node whose answers it waits for, at most.
const MESSAGES: usize = 16;
/// How long no connection is taken after one could not be.
const PAUSE: Duration = Duration::from_millis(100);

/// An answer that is waited for, or that there is already.
type Answer = Result<Submitted, ExecuteError>;

/// Takes commands of other nodes and answers them once the answers are durable.
pub struct Door {
    listener: TcpListener,
    kinship: Kinship,
    ledger: Ledger,
}

impl Door {
    pub fn new(listener: TcpListener, kinship: Kinship, ledger: Ledger) -> Door {
        Door { listener, kinship, ledger }
    }

    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Never returns. Whoever drops it closes all connections; what was taken is decided.
    pub async fn keep_open(&self) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let (stream, from) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(fault) => {
                    warn!(%fault, "a connection of another node cannot be taken");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let (kinship, ledger) = (self.kinship.clone(), self.ledger.clone());
            connections.spawn(async move {
                let Err(fault) = serve(stream, &kinship, &ledger).await;
                debug!(%from, %fault, "the connection of another node has ended");
                drop(place);
            });
        }
    }
}

async fn serve(
    stream: TcpStream,
    kinship: &Kinship,
    ledger: &Ledger,
) -> io::Result<std::convert::Infallible> {
    let welcomed = timeout(SILENCE, welcome(stream, kinship, ledger)).await;
    let (sender, receiver) = welcomed.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let (taken, waiting) = mpsc::channel(MESSAGES);
    tokio::select! {
        taken = take(receiver, ledger, taken) => taken,
        answered = answer(sender, ledger, waiting) => answered,
    }
}

async fn welcome(stream: TcpStream, kinship: &Kinship, ledger: &Ledger) -> io::Result<(Sender, Receiver)> {
    let (mut sender, mut receiver) = sealed::answer(stream, &kinship.key).await?;
    let hello = receiver.receive().await?;
    let welcome = match hello.split_at_checked(HELLO - kinship.program.len()) {
        Some((_, program)) if program != kinship.program => Welcome::OtherProgram,
        Some((journal, _)) if journal != ledger.journal().0.as_bytes() => Welcome::OtherJournal,
        Some(_) if ledger.status() == Status::Running => Welcome::Yes,
        Some(_) => Welcome::NotNow,
        None => return Err(io::Error::new(io::ErrorKind::InvalidData, "its first message is none")),
    };
    sender.send(&[welcome.code()]).await?;
    match welcome {
        Welcome::Yes => Ok((sender, receiver)),
        refused => Err(io::Error::other(format!("it was refused: {refused:?}"))),
    }
}

/// Puts in line what comes, in its order.
async fn take(
    mut receiver: Receiver,
    ledger: &Ledger,
    taken: mpsc::Sender<Vec<Answer>>,
) -> io::Result<std::convert::Infallible> {
    loop {
        let message = receiver.receive().await?;
        let groups = groups(&message).map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
        let mut answers = vec![];
        for group in groups {
            let count = group.len();
            match ledger.submit_here(group) {
                Ok(submitted) => answers.extend(submitted.into_iter().map(Ok)),
                Err(fault) => answers.extend((0..count).map(|_| Err(fault.clone()))),
            }
        }
        taken.send(answers).await.map_err(io::Error::other)?;
    }
}

/// Answers one message after the other, and says meanwhile that this node is there.
async fn answer(
    mut sender: Sender,
    ledger: &Ledger,
    mut waiting: mpsc::Receiver<Vec<Answer>>,
) -> io::Result<std::convert::Infallible> {
    let mut often = interval(STILL_HERE);
    often.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = beside(&mut often, &mut sender, ledger, waiting.recv()).await?;
        let answers = next.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let told = async {
            let mut told = Vec::with_capacity(32 * answers.len());
            for answer in answers {
                let outcome = match answer {
                    Ok(submitted) => submitted.outcome().await,
                    Err(fault) => Err(fault),
                };
                Told::from(outcome).put(&mut told);
            }
            told
        };
        let told = beside(&mut often, &mut sender, ledger, told).await?;
        sender.send(&told).await?;
    }
}

/// Waits for something, and says from time to time that this node is there, as long as it takes commands.
async fn beside<T>(
    often: &mut Interval,
    sender: &mut Sender,
    ledger: &Ledger,
    something: impl Future<Output = T>,
) -> io::Result<T> {
    let mut something = std::pin::pin!(something);
    loop {
        tokio::select! {
            biased;
            done = &mut something => return Ok(done),
            _ = often.tick() => match ledger.status() {
                Status::Running => sender.send(&[]).await?,
                status => return Err(io::Error::other(format!("the ledger is {}", status.name()))),
            },
        }
    }
}
