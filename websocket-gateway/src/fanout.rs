//! From the journal and the bus to the sockets of the people concerned.

use crate::budget::Warnings;
use crate::news::{self, Names, Offset};
use crate::presence::Change;
use crate::push::{Push, WarnedPush};
use crate::registry::Registry;
use futures_util::FutureExt;
use ledger_core::{Event, PersonId, Recorded};
use ledger_runtime::{DurableUnit, Facts, Follower, JournalError, Ledger};
use platform::identity::Cards;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::{broadcast, watch};
use tokio::time::{Duration, sleep};
use tracing::{error, warn};

/// Units that are looked at together: at the most one question to the ledger for all of them.
const BATCH: usize = 1_024;
/// The pause after the journal could not be read.
const RETRY: Duration = Duration::from_millis(200);

/// Follows the journal.
pub(crate) struct JournalNews {
    ledger: Ledger,
    cards: Cards,
    registry: Arc<Registry>,
    offset: Offset,
    warning_seconds: watch::Receiver<u32>,
    warnings: Warnings,
    /// Those whose wallets have changed and could not be told yet.
    untold: BTreeSet<PersonId>,
}

impl JournalNews {
    pub fn new(
        ledger: Ledger,
        cards: Cards,
        registry: Arc<Registry>,
        offset: Offset,
        warning_seconds: watch::Receiver<u32>,
    ) -> JournalNews {
        offset.reach(ledger.durable_revision());
        JournalNews {
            ledger,
            cards,
            registry,
            offset,
            warning_seconds,
            warnings: Warnings::default(),
            untold: BTreeSet::new(),
        }
    }

    /// Tells until the ledger is gone.
    pub async fn run(mut self, follower: &mut Follower) {
        loop {
            match next_batch(follower).await {
                Ok(Some(units)) => self.tell(&units).await,
                Ok(None) => return,
                Err(fault) => {
                    error!(alert = "fanout_stalled", %fault, "the gateway cannot follow the journal");
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn tell(&mut self, units: &[DurableUnit]) {
        let asked = self.ask(units).await;
        let names = self.names(units).await;
        // A person to whom many units posted hears of the wallet once, as the last of them left it.
        let mut last_posting = HashMap::new();
        for (index, unit) in units.iter().enumerate().filter(|(_, unit)| unit.facts().is_some()) {
            last_posting.extend(news::posted_to(unit.events()).into_iter().map(|person| (person, index)));
        }
        for (index, unit) in units.iter().enumerate() {
            let facts = unit.facts().unwrap_or(&asked);
            for (person, revision, push) in news::of_unit(unit.events(), facts, &names) {
                self.registry.push(person, Some(revision), &push);
            }
            self.offset.reach(unit.last_revision());
            if unit.facts().is_some() {
                let posted_to = news::posted_to(unit.events());
                for person in posted_to.iter().filter(|person| last_posting[*person] == index) {
                    self.tell_wallet(*person, facts);
                }
                self.warn(unit.events(), facts);
            }
            for recorded in unit.events() {
                self.note_call(&recorded.event);
            }
        }
        for person in self.untold.clone() {
            self.tell_wallet(person, &asked);
        }
        for unit in units.iter().filter(|unit| unit.facts().is_none()) {
            self.warn(unit.events(), &asked);
        }
    }

    /// The facts of those here whose units came without: they were read from the store.
    async fn ask(&mut self, units: &[DurableUnit]) -> Facts {
        let mut in_calls = BTreeSet::new();
        for unit in units.iter().filter(|unit| unit.facts().is_none()) {
            self.untold.extend(news::posted_to(unit.events()));
            in_calls.extend(news::ticked_for(unit.events()));
        }
        self.untold.retain(|person| self.registry.is_here(*person));
        let mut asked = self.untold.clone();
        asked.extend(in_calls.into_iter().filter(|person| self.registry.is_here(*person)));
        if asked.is_empty() {
            return Facts::default();
        }
        let asked: Vec<PersonId> = asked.into_iter().collect();
        match self.ledger.query(move |state, at| Facts::look_up(state, at, &asked)).await {
            Ok(facts) => facts,
            Err(fault) => {
                // Told with the next news: calls go on being told of meanwhile.
                warn!(%fault, "the ledger does not tell what people have");
                Facts::default()
            }
        }
    }

    /// What those are called of whom somebody here is told.
    async fn names(&self, units: &[DurableUnit]) -> Names {
        let introduced =
            units.iter().flat_map(DurableUnit::events).filter_map(|it| news::introduced(&it.event));
        let told = introduced.flatten().filter(|(told, _)| self.registry.is_here(*told));
        let others = told.map(|(_, other)| other.0).collect();
        self.cards.of(&others).await
    }

    fn tell_wallet(&mut self, person: PersonId, facts: &Facts) {
        if let Some(known) = facts.of(person) {
            self.registry.push(person, Some(self.offset.get()), &news::wallet(&known.wallet));
            self.untold.remove(&person);
        }
    }

    fn warn(&mut self, events: &[Recorded], facts: &Facts) {
        let warning_seconds = *self.warning_seconds.borrow();
        let mut concerned = news::posted_to(events);
        concerned.extend(news::ticked_for(events));
        for payer in concerned {
            // Somebody who is away has not been warned when they are back.
            if self.registry.is_here(payer)
                && let Some((call, seconds_left)) = news::running_out(facts, payer)
                && self.warnings.crossed(call, seconds_left, warning_seconds)
            {
                let push = Push::CallWarned(WarnedPush { call, seconds_left });
                self.registry.push(payer, Some(self.offset.get()), &push);
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

/// Waits for a unit and takes with it what is there already.
async fn next_batch(follower: &mut Follower) -> Result<Option<Vec<DurableUnit>>, JournalError> {
    let Some(first) = follower.next().await? else { return Ok(None) };
    let mut units = vec![first];
    // A fault or the end comes again with the next wait.
    while units.len() < BATCH
        && let Some(Ok(Some(unit))) = follower.next().now_or_never()
    {
        units.push(unit);
    }
    Ok(Some(units))
}

/// Passes on what comes over the bus, for ever. It tells of no event of the journal, so it has no offset: with
/// that of some earlier event, a client could take it for something that it knows already.
pub(crate) async fn pass_on(news: &mut broadcast::Receiver<platform::push::Push>, registry: Arc<Registry>) {
    loop {
        match news.recv().await {
            Ok(push) => {
                let told = Push::from(push.news);
                for person in &push.to {
                    registry.push(*person, None, &told);
                }
            }
            Err(broadcast::error::RecvError::Lagged(lost)) => {
                metrics::counter!("muneem_websocket_bus_pushes_lost_total").increment(lost);
                warn!(lost, "the gateway was too slow for the bus");
            }
            Err(broadcast::error::RecvError::Closed) => return std::future::pending().await,
        }
    }
}

#[cfg(test)]
#[path = "fanout_tests.rs"]
mod tests;
