//! From the journal and the bus to the sockets of the people concerned.

use crate::budget::Warnings;
use crate::news::{self, Known, Offset};
use crate::presence::Change;
use crate::protocol::Close;
use crate::push::{Push, WarningPush, raw_frame};
use crate::registry::Registry;
use futures_util::FutureExt;
use ledger_core::{Event, PersonId, Recorded};
use ledger_runtime::{Follower, Ledger};
use platform::identity::SessionId;
use platform::push::SESSION_ENDED;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{broadcast, watch};
use tokio::time::{Duration, sleep};
use tracing::{error, warn};
use uuid::Uuid;

/// Events that are looked at together: one question to the ledger for all of them.
const BATCH: usize = 1_024;
/// The pause after the journal could not be read.
const RETRY: Duration = Duration::from_millis(200);

/// Follows the journal.
pub(crate) struct JournalNews {
    ledger: Ledger,
    registry: Arc<Registry>,
    offset: Offset,
    warning_seconds: watch::Receiver<u32>,
    warnings: Warnings,
    /// Events of a unit whose end has not come yet.
    open: Vec<Recorded>,
    /// Those whose wallets have changed and could not be told yet.
    untold: BTreeSet<PersonId>,
}

impl JournalNews {
    pub fn new(
        ledger: Ledger,
        registry: Arc<Registry>,
        offset: Offset,
        warning_seconds: watch::Receiver<u32>,
    ) -> JournalNews {
        offset.reach(ledger.durable_revision());
        JournalNews {
            ledger,
            registry,
            offset,
            warning_seconds,
            warnings: Warnings::default(),
            open: Vec::new(),
            untold: BTreeSet::new(),
        }
    }

    /// Tells until the ledger is gone.
    pub async fn run(mut self, mut follower: Follower) {
        loop {
            match next_batch(&mut follower).await {
                Ok(Some(events)) => self.tell(events).await,
                Ok(None) => return,
                Err(fault) => {
                    error!(alert = "fanout_stalled", %fault, "the gateway cannot follow the journal");
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn tell(&mut self, events: Vec<Recorded>) {
        self.open.extend(events);
        let closed = self.open.iter().rposition(|recorded| recorded.metadata.closes_unit());
        let Some(last) = closed else { return };
        let units: Vec<Recorded> = self.open.drain(..=last).collect();
        let known = self.look_up(&units).await;
        for unit in units.chunk_by(|a, _| !a.metadata.closes_unit()) {
            for (person, revision, push) in news::of_unit(unit, &known) {
                self.registry.push(person, revision, &push);
            }
        }
        self.offset.reach(units.last().map_or(0, |recorded| recorded.revision));
        self.tell_wallets(&known);
        self.warn(&units, &known);
        for recorded in &units {
            self.note_call(&recorded.event);
        }
    }

    /// The facts of those among the people concerned who are here.
    async fn look_up(&mut self, events: &[Recorded]) -> Known {
        self.untold.extend(news::posted_to(events));
        self.untold.retain(|person| self.registry.is_here(*person));
        let mut asked = self.untold.clone();
        let in_calls = news::ticked_for(events);
        asked.extend(in_calls.into_iter().filter(|person| self.registry.is_here(*person)));
        if asked.is_empty() {
            return Known::default();
        }
        let asked: Vec<PersonId> = asked.into_iter().collect();
        match self.ledger.query(move |state, at| Known::look_up(state, at, &asked)).await {
            Ok(known) => known,
            Err(fault) => {
                // Told with the next news: calls go on being told of meanwhile.
                warn!(%fault, "the ledger does not tell what people have");
                Known::default()
            }
        }
    }

    fn tell_wallets(&mut self, known: &Known) {
        let offset = self.offset.get();
        self.untold.retain(|person| match known.people.get(person) {
            Some(facts) => {
                self.registry.push(*person, offset, &news::wallet(&facts.wallet));
                false
            }
            None => true,
        });
    }

    fn warn(&mut self, events: &[Recorded], known: &Known) {
        let warning_seconds = *self.warning_seconds.borrow();
        let mut concerned = news::posted_to(events);
        concerned.extend(news::ticked_for(events));
        for payer in concerned {
            if let Some((call, seconds_left)) = known.running_out(payer)
                && self.warnings.crossed(call, seconds_left, warning_seconds)
            {
                let push = Push::CallWarning(WarningPush { call, seconds_left });
                self.registry.push(payer, self.offset.get(), &push);
            }
        }
    }

    fn note_call(&mut self, event: &Event) {
        match event {
            Event::CallStarted(it) => {
                self.registry.tell(Change::CallStarted { payer: it.payer, host: it.host });
            }
            Event::CallEnded(it) => {
                self.warnings.forget(it.call);
                self.registry.tell(Change::CallEnded { payer: it.payer, host: it.host });
            }
            _ => {}
        }
    }
}

/// Waits for an event and takes with it what is there already.
async fn next_batch(follower: &mut Follower) -> Result<Option<Vec<Recorded>>, ledger_runtime::JournalError> {
    let Some(first) = follower.next().await? else { return Ok(None) };
    let mut events = vec![first];
    // A fault or the end comes again with the next wait.
    while events.len() < BATCH
        && let Some(Ok(Some(event))) = follower.next().now_or_never()
    {
        events.push(event);
    }
    Ok(Some(events))
}

/// Passes on what comes over the bus, for ever.
pub(crate) async fn pass_on(
    mut news: broadcast::Receiver<platform::push::Push>,
    registry: Arc<Registry>,
    offset: Offset,
) {
    loop {
        match news.recv().await {
            Ok(push) if push.name == SESSION_ENDED => match session_of(&push.data) {
                Some(session) => registry.close_session(session, Close::SESSION_ENDED),
                None => warn!("a session that ended is not named"),
            },
            Ok(push) => {
                let frame = raw_frame(push.name, offset.get(), &push.data);
                for person in &push.to {
                    registry.push_frame(*person, push.name, &frame);
                }
            }
            Err(broadcast::error::RecvError::Lagged(lost)) => {
                metrics::counter!("websocket_bus_pushes_lost_total").increment(lost);
                warn!(lost, "the gateway was too slow for the bus");
            }
            Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
        }
    }
}

fn session_of(data: &serde_json::Value) -> Option<SessionId> {
    data.get("session")?.as_str()?.parse::<Uuid>().ok().map(SessionId)
}

#[cfg(test)]
#[path = "fanout_tests.rs"]
mod tests;
