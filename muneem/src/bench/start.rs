//! A start, by how long the journal is: the store opened, the whole journal replayed, and begun with a snapshot.

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
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Args)]
pub struct StartOptions {
    /// How many events of gifts, calls and purchases the journal has; one run for each.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000", value_parser = clap::value_parser!(u32).range(3_000..=50_000_000))]
    events: Vec<u32>,
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
    /// In the journal.
    events: u64,
    seconds: f64,
    events_per_second: f64,
    /// Of the reading of the same bytes, a file after the other.
    of_reading: f64,
}

/// # Errors
/// When something that is measured fails.
pub async fn run(options: &StartOptions) -> anyhow::Result<()> {
    let rows = until_interrupted(all(options)).await?;
    let head = ["", "events", "seconds", "events/s", "of reading"];
    table::print(options.json, &head, &rows, |row| {
        vec![
            row.what.to_owned(),
            row.events.to_string(),
            format!("{:.3}", row.seconds),
            format!("{:.0}", row.events_per_second),
            format!("{:.3}", row.of_reading),
        ]
    })
}

async fn all(options: &StartOptions) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &events in &options.events {
        let folder = tempfile::tempdir()?;
        rows.append(&mut measure(folder.path(), events, options.wallets).await?);
    }
    Ok(rows)
}

async fn measure(folder: &Path, events: u32, wallets: u32) -> anyhow::Result<Vec<Row>> {
    let journal = make(folder, events, wallets).await?;
    say("reading its bytes");
    let files = journal.clone();
    let reading = tokio::task::spawn_blocking(move || timed(|| read_files(&files))).await??;
    let place = journal.clone();
    say("opening the store, as a server does");
    let opening = tokio::task::spawn_blocking(move || timed(|| Ok(EmbeddedStore::open(place)?))).await??;
    let store = reader(&journal).await?;
    let snapshots = Snapshots::new(folder.join("snapshots"), 1);

    say("replaying the whole journal");
    let (ledger, replaying) = open(&store, None).await?;
    let recorded = ledger.durable_revision() + 1;
    let hash = ledger.query(|state, _| state.hash()).await?;
    drop(ledger);
    say("making a snapshot");
    let begun = now();
    let revision = snapshots.make(&store).await?;
    let making = begun.elapsed().as_secs_f64();
    say("beginning with it");
    let (ledger, beginning) = open(&store, Some(snapshots)).await?;
    ensure!(ledger.opened_from() == Some(revision), "the start did not begin with the snapshot");
    ensure!(ledger.query(|state, _| state.hash()).await? == hash, "the snapshot leads to another state");
    let row = |what, seconds: f64| Row {
        what,
        events: recorded,
        seconds,
        events_per_second: recorded as f64 / seconds,
        of_reading: reading / seconds,
    };
    Ok(vec![
        row("its bytes read", reading),
        row("store opened", opening),
        row("replay of the whole journal", replaying),
        row("replay and a snapshot written", making),
        row("start with that snapshot", beginning),
    ])
}

/// A journal of so many events, in a folder of its own.
///
/// # Errors
/// When the folder for temporary files cannot be written to.
pub async fn make(folder: &Path, events: u32, wallets: u32) -> anyhow::Result<PathBuf> {
    let journal = folder.join("journal");
    say(&format!("making a journal of {events} events and {wallets} wallets"));
    let made = journal.clone();
    let store = tokio::task::spawn_blocking(move || EmbeddedStore::open(made)).await??;
    journal::fill_with(&store, wallets.into(), events as usize + wallets as usize).await?;
    Ok(journal)
}

/// # Errors
/// When the journal is not readable.
pub async fn reader(journal: &Path) -> anyhow::Result<Arc<dyn EventStore>> {
    let journal = journal.to_owned();
    Ok(Arc::new(tokio::task::spawn_blocking(move || EmbeddedReader::open(journal)).await??))
}

/// A ledger, and the seconds until it was open.
///
/// # Errors
/// When the journal is not readable.
pub async fn open(
    store: &Arc<dyn EventStore>,
    snapshots: Option<Snapshots>,
) -> anyhow::Result<(Ledger, f64)> {
    // Later than anything in the journal.
    let (_hand, clock) = Clock::manual(Timestamp(i64::from(u32::MAX) * 1_000));
    let opening = Opening { new_journal: JournalId(uuid::Uuid::nil()), clock_is_confirmed: true, snapshots };
    let begun = now();
    let (ledger, _writer) = Ledger::open_with(store.clone(), clock, opening, |_, _| {})
        .await
        .context("the journal is replayed")?;
    Ok((ledger, begun.elapsed().as_secs_f64()))
}

/// The seconds that it took.
fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<f64> {
    let begun = now();
    work()?;
    Ok(begun.elapsed().as_secs_f64())
}

fn read_files(folder: &Path) -> anyhow::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    for entry in std::fs::read_dir(folder)? {
        let mut file = std::fs::File::open(entry?.path())?;
        while file.read(&mut buffer)? > 0 {}
    }
    Ok(())
}
