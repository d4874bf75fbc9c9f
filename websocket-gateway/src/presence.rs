//! Keeps who is there and who is busy in step with sockets and calls.
//!
//! A task of its own, so that a slow Redis delays no push. Everything that Redis is told expires by itself.

use crate::push::{PresencePush, Push};
use crate::registry::Registry;
use ledger_core::PersonId;
use ledger_runtime::Ledger;
use platform::clock;
use platform::presence::{Presence, PresenceError};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{Duration, MissedTickBehavior, interval};
use tracing::warn;

/// How often the people of all running calls are said to be busy again; well within the time in which that
/// lapses.
const SAY_AGAIN: Duration = Duration::from_secs(20);

/// What bears on somebody's presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The first socket here.
    Came(PersonId),
    /// The last socket here is gone.
    Left(PersonId),
    /// A sign of life.
    Seen {
        person: PersonId,
        is_host: bool,
    },
    CallStarted {
        payer: PersonId,
        host: PersonId,
    },
    CallEnded {
        payer: PersonId,
        host: PersonId,
    },
}

pub(crate) struct Keeper<'a> {
    pub presence: Presence,
    pub ledger: Ledger,
    pub registry: Arc<Registry>,
    pub changes: &'a mut mpsc::Receiver<Change>,
}

impl Keeper<'_> {
    pub async fn run(&mut self) {
        let mut again = interval(SAY_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                change = self.changes.recv() => match change {
                    Some(change) => self.apply(change).await,
                    None => return,
                },
                _ = again.tick() => self.say_busy_again().await,
            };
            if let Err(fault) = done {
                warn!(%fault, "presence could not be kept in step");
            }
        }
    }

    /// Applies what is left after the last socket has gone.
    pub async fn finish(&mut self) {
        while let Ok(change) = self.changes.try_recv() {
            if self.apply(change).await.is_err() {
                return;
            }
        }
    }

    async fn apply(&self, change: Change) -> Result<(), PresenceError> {
        let now = clock::now();
        match change {
            Change::Seen { person, is_host } => {
                self.presence.touch(person, is_host, now).await?;
            }
            Change::Came(person) => self.tell_peer(person).await?,
            Change::Left(person) => {
                // They may be back by now.
                if !self.registry.is_here(person) {
                    self.presence.clear(person).await?;
                }
                self.tell_peer(person).await?;
            }
            Change::CallStarted { payer, host } => {
                self.presence.set_busy(payer, now).await?;
                self.presence.set_busy(host, now).await?;
                self.tell_each_other(payer, host).await?;
            }
            Change::CallEnded { payer, host } => {
                self.presence.clear_busy(payer).await?;
                self.presence.clear_busy(host).await?;
                self.tell_each_other(payer, host).await?;
            }
        }
        Ok(())
    }

    async fn tell_each_other(&self, payer: PersonId, host: PersonId) -> Result<(), PresenceError> {
        self.tell(payer, host).await?;
        self.tell(host, payer).await
    }

    /// Tells whoever is in a call with `about`.
    async fn tell_peer(&self, about: PersonId) -> Result<(), PresenceError> {
        let peer = self.ledger.query(move |state, _| {
            let call = state.call(state.engaged(about)?)?;
            Some(if call.payer == about { call.host } else { call.payer })
        });
        // Without the ledger's answer nobody is told; a hint is lost.
        match peer.await {
            Ok(Some(peer)) => self.tell(peer, about).await,
            Ok(None) | Err(_) => Ok(()),
        }
    }

    async fn tell(&self, to: PersonId, about: PersonId) -> Result<(), PresenceError> {
        if self.registry.is_here(to) {
            let status = self.presence.get(about, clock::now()).await?;
            let push = Push::PresenceUpdated(PresencePush { person: about, status });
            self.registry.push(to, None, &push);
        }
        Ok(())
    }

    async fn say_busy_again(&self) -> Result<(), PresenceError> {
        let people = self.ledger.query(|state, _| {
            let calls = state.active_calls();
            calls.into_iter().flat_map(|(_, call)| [call.payer, call.host]).collect::<Vec<_>>()
        });
        for person in people.await.unwrap_or_default() {
            self.presence.set_busy(person, clock::now()).await?;
        }
        Ok(())
    }
}
