//! Verifying the read models, beside a replay of the same journal that compares nothing.

use super::books::{Books, JournalOptions};
use super::load::now;
use super::table;
use super::world::{apart, until_interrupted};
use crate::config::Config;
use crate::progress::say;
use anyhow::ensure;
use event_store::RecordedEvent;
use ledger_core::{Recorded, State, evolve};
use projections::Journal;
use serde::Serialize;

/// As many as a ledger reads at once when it starts.
const PAGE_EVENTS: usize = 2_000;

#[derive(Serialize)]
struct Row {
    what: &'static str,
    events: u64,
    seconds: f64,
    events_per_second: f64,
    /// Of the events a second of the replay.
    of_replay: f64,
}

/// # Errors
/// When something that is measured fails.
pub async fn run(config: Config, options: &JournalOptions) -> anyhow::Result<()> {
    let rows = apart(&config, async |place| {
        until_interrupted(async {
            let books = Books::new(place, options.events()).await?;
            books.rebuild().await?;
            measure(&books).await
        })
        .await
    })
    .await?;
    let head = ["", "events", "seconds", "events/s", "of replay"];
    table::print(options.json, &head, &rows, |row| {
        vec![
            row.what.to_owned(),
            row.events.to_string(),
            format!("{:.2}", row.seconds),
            format!("{:.0}", row.events_per_second),
            format!("{:.2}", row.of_replay),
        ]
    })
}

async fn measure(books: &Books) -> anyhow::Result<Vec<Row>> {
    say("replaying the journal");
    let begun = now();
    replay(&books.journal).await?;
    let replayed = begun.elapsed().as_secs_f64();
    say("verifying the read models");
    let begun = now();
    let report = projections::verify(&books.pool, books.journal.clone(), |_, _| ()).await?;
    let verified = begun.elapsed().as_secs_f64();
    ensure!(report.is_ok(), "the read models differ: {:?}", report.difference);
    let row = |what, seconds: f64| Row {
        what,
        events: books.events,
        seconds,
        events_per_second: books.events as f64 / seconds,
        of_replay: replayed / seconds,
    };
    Ok(vec![row("replay", replayed), row("verify", verified)])
}

async fn replay(journal: &Journal) -> anyhow::Result<()> {
    let (mut state, mut before) = (State::new(), None);
    loop {
        let page = journal.read(state.next_revision(), PAGE_EVENTS).await?;
        let Some(last) = page.last() else { return Ok(()) };
        for event in &page {
            let RecordedEvent { revision, id, kind, data, metadata } = event;
            let recorded = Recorded::decode(&mut before, *revision, *id, kind, data, metadata)?;
            evolve(&mut state, &recorded);
        }
        state.settle(last.revision);
    }
}
