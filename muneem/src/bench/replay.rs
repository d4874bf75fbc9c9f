//! A start: the replay of a whole journal, and one that begins with a snapshot.

use super::journal;
use super::load::now;
use super::table;
use super::world::until_interrupted;
use crate::progress::say;
use anyhow::{Context, ensure};
use clap::Args;
use event_store::{EmbeddedReader, EmbeddedStore, EventStore};
use ledger_core::{JournalId, Timestamp};
use ledger_runtime::{Clock, Ledger, Opening, Snapshots};
use serde::Serialize;
use std::sync::Arc;

#[derive(Args)]
pub struct ReplayOptions {
    /// How many events of gifts, calls and purchases the journal has.
    #[arg(long, default_value = "100000", value_parser = clap::value_parser!(u32).range(3_000..=50_000_000))]
    events: u32,
    /// How many people have coins, beside those who send gifts; an event each.
    #[arg(long, default_value = "0", value_parser = clap::value_parser!(u32).range(0..=20_000_000))]
    wallets: u32,
    /// The figures as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    what: &'static str,
    /// Those that were evolved.
    events: u64,
    wallets: u32,
    seconds: f64,
    events_per_second: f64,
}

/// # Errors
/// When something that is measured fails.
pub async fn run(options: &ReplayOptions) -> anyhow::Result<()> {
    let rows = until_interrupted(measure(options)).await?;
    let head = ["", "events", "wallets", "seconds", "events/s"];
    table::print(options.json, &head, &rows, |row| {
        vec![
            row.what.to_owned(),
            row.events.to_string(),
            row.wallets.to_string(),
            format!("{:.2}", row.seconds),
            format!("{:.0}", row.events_per_second),
        ]
    })
}

async fn measure(options: &ReplayOptions) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let journal = folder.path().join("journal");
    say(&format!("making a journal of {} events and {} wallets", options.events, options.wallets));
    let made = journal.clone();
    let store = tokio::task::spawn_blocking(move || EmbeddedStore::open(made)).await??;
    let at_least = options.events as usize + options.wallets as usize;
    journal::fill_with(&store, options.wallets.into(), at_least).await?;
    drop(store);
    let store: Arc<dyn EventStore> =
        Arc::new(tokio::task::spawn_blocking(move || EmbeddedReader::open(journal)).await??);
    let snapshots = Snapshots::new(folder.path().join("snapshots"), 1);
    let row = |what, events: u64, seconds: f64| Row {
        what,
        events,
        wallets: options.wallets,
        seconds,
        events_per_second: events as f64 / seconds,
    };

    say("replaying the whole journal");
    let (ledger, replayed) = open(&store, None).await?;
    let events = ledger.durable_revision() + 1;
    let hash = ledger.query(|state, _| state.hash()).await?;
    drop(ledger);
    say("making a snapshot");
    let begun = now();
    let revision = snapshots.make(&store).await?;
    let made = begun.elapsed().as_secs_f64();
    say("beginning with it");
    let (ledger, begun_with) = open(&store, Some(snapshots)).await?;
    ensure!(ledger.opened_from() == Some(revision), "the start did not begin with the snapshot");
    ensure!(ledger.query(|state, _| state.hash()).await? == hash, "the snapshot leads to another state");
    Ok(vec![
        row("replay of the whole journal", events, replayed),
        row("replay and a snapshot written", events, made),
        row("start with a snapshot of the end", 0, begun_with),
    ])
}

/// A ledger, and the seconds until it was open.
async fn open(store: &Arc<dyn EventStore>, snapshots: Option<Snapshots>) -> anyhow::Result<(Ledger, f64)> {
    // Later than anything in the journal.
    let (_hand, clock) = Clock::manual(Timestamp(i64::from(u32::MAX) * 1_000));
    let opening = Opening { new_journal: JournalId(uuid::Uuid::nil()), clock_is_confirmed: true, snapshots };
    let begun = now();
    let (ledger, _writer) = Ledger::open_with(store.clone(), clock, opening, |_, _| {})
        .await
        .context("the journal is replayed")?;
    Ok((ledger, begun.elapsed().as_secs_f64()))
}
