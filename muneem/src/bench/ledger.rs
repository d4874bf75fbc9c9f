//! Gifts a second through the ledger on the embedded store, by how many are under way, beside the raw log of the same
//! bytes. Needs no database.

use super::Run;
use super::journal;
use super::load::{now, percentile};
use super::project::{envelope, gift, open_for_gifts};
use super::table;
use super::world::until_interrupted;
use crate::progress::say;
use anyhow::Context;
use clap::Args;
use event_store::EmbeddedStore;
use ledger_core::command::SendGift;
use ledger_core::{JournalId, PersonId};
use ledger_runtime::{Clock, Ledger};
use platform::entropy;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

#[derive(Args)]
pub struct LedgerOptions {
    /// How many gifts are under way at once; one run for each.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32,256,1024", value_parser = clap::value_parser!(u32).range(1..=4_096))]
    callers: Vec<u32>,
    /// How many gifts a batch has, of which four are under way; 0 for no run of batches.
    #[arg(long, default_value = "4000", value_parser = clap::value_parser!(u32).range(0..=4_096))]
    batch: u32,
    #[command(flatten)]
    run: Run,
}

impl LedgerOptions {
    /// Two seconds for each.
    pub fn short(callers: Vec<u32>) -> LedgerOptions {
        LedgerOptions { callers, batch: 4_000, run: Run { seconds: 2, json: false } }
    }
}

/// Batches that are under way at once.
const BATCHES: u32 = 4;
pub const BATCHES_NAME: &str = "batches";
/// The bytes of a gift in the journal: two events.
const GIFT_BYTES: usize = 375;
/// How much of the raw log is zero-filled before it is written; then it begins again.
const RAW_FILE: u64 = 64 << 20;

#[derive(Serialize)]
pub struct Row {
    pub what: &'static str,
    pub callers: u32,
    gifts_per_second: f64,
    /// Of the raw log with as many gifts in each flush.
    pub of_raw: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_ms: Option<f64>,
}

/// # Errors
/// When the folder for temporary files cannot be written to.
pub async fn run(options: &LedgerOptions) -> anyhow::Result<()> {
    let rows = until_interrupted(all(options)).await?;
    let head = ["", "callers", "gifts/s", "of raw", "p50 ms", "p99 ms"];
    let time = |ms: Option<f64>| ms.map_or_else(String::new, |ms| format!("{ms:.2}"));
    table::print(options.run.json, &head, &rows, |row| {
        vec![
            row.what.to_owned(),
            row.callers.to_string(),
            format!("{:.0}", row.gifts_per_second),
            format!("{:.2}", row.of_raw),
            time(row.p50_ms),
            time(row.p99_ms),
        ]
    })
}

/// # Errors
/// When the folder for temporary files cannot be written to.
pub async fn all(options: &LedgerOptions) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::Builder::new()
        .prefix("muneem-bench-")
        .tempdir()
        .context("no folder can be made for the journal; TMPDIR names another place")?;
    let run_for = options.run.time();
    let mut rows = Vec::new();
    for &callers in &options.callers {
        let raw = raw(folder.path(), callers as usize, run_for).await?;
        rows.push(raw_row("raw log", callers, raw));
        for (what, gifts) in [("gifts", Gifts::Uniform), ("gifts to one host", Gifts::ToOneHost)] {
            let place = folder.path().join(what.replace(' ', "-"));
            say(&format!("{what}, {callers} at once"));
            let measured = Callers { callers, at_once: 1, gifts }.measure(&place, run_for).await?;
            rows.push(row(what, callers, measured, raw));
            std::fs::remove_dir_all(&place)?;
        }
    }
    if options.batch > 0 {
        let gifts = options.batch as usize;
        let raw = raw(folder.path(), gifts, run_for).await?;
        rows.push(raw_row("raw log, batches", BATCHES, raw));
        say(&format!("batches of {gifts}"));
        let callers = Callers { callers: BATCHES, at_once: gifts, gifts: Gifts::Uniform };
        let measured = callers.measure(&folder.path().join("batches"), run_for).await?;
        rows.push(row(BATCHES_NAME, BATCHES, measured, raw));
    }
    Ok(rows)
}

fn raw_row(what: &'static str, callers: u32, per_second: f64) -> Row {
    Row { what, callers, gifts_per_second: per_second, of_raw: 1.0, p50_ms: None, p99_ms: None }
}

fn row(what: &'static str, callers: u32, (per_second, mut times): (f64, Vec<Duration>), raw: f64) -> Row {
    times.sort_unstable();
    let (p50_ms, p99_ms) = (Some(percentile(&times, 50)), Some(percentile(&times, 99)));
    Row { what, callers, gifts_per_second: per_second, of_raw: per_second / raw, p50_ms, p99_ms }
}

/// Gifts a second that a bare file takes: written in place over zeros, with one write and one flush for `gifts`.
async fn raw(folder: &Path, gifts: usize, run_for: Duration) -> anyhow::Result<f64> {
    say(&format!("the raw log, {gifts} gifts a flush"));
    let path = folder.join("raw");
    let appended = tokio::task::spawn_blocking(move || -> std::io::Result<f64> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        zero_fill(&file)?;
        let batch = vec![b'x'; gifts * GIFT_BYTES];
        let (mut offset, mut flushes, begun) = (0, 0_u64, now());
        while begun.elapsed() < run_for {
            if offset + batch.len() as u64 > RAW_FILE {
                offset = 0;
            }
            file.write_all_at(&batch, offset)?;
            file.sync_data()?;
            offset += batch.len() as u64;
            flushes += 1;
        }
        Ok(flushes as f64 * gifts as f64 / begun.elapsed().as_secs_f64())
    });
    appended.await?.context("the raw log cannot be written")
}

fn zero_fill(file: &File) -> std::io::Result<()> {
    let zeros = vec![0; 1 << 20];
    for offset in (0..RAW_FILE).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset)?;
    }
    file.sync_data()
}

/// A ledger on an embedded store of its own, open for gifts.
pub async fn open(place: &Path) -> anyhow::Result<(Ledger, JoinHandle<()>)> {
    let place = place.to_owned();
    let store = tokio::task::spawn_blocking(move || EmbeddedStore::open(place)).await??;
    let journal = JournalId(entropy::uuid_v7());
    let (ledger, writer) = Ledger::open(Arc::new(store), Clock::System, journal, |_, _| ()).await?;
    open_for_gifts(&ledger).await?;
    Ok((ledger, writer))
}

/// Those who send gifts.
#[derive(Clone, Copy)]
pub struct Callers {
    pub callers: u32,
    /// How many gifts each of them sends before it waits for all of them.
    pub at_once: usize,
    pub gifts: Gifts,
}

/// Who sends gifts to whom.
#[derive(Clone, Copy)]
pub enum Gifts {
    /// Of a thousand people, to a hundred hosts.
    Uniform,
    /// The same, to one host.
    ToOneHost,
    /// One of so many wallets after the other.
    OfWallets(u64),
}

impl Gifts {
    fn number(self, number: u64) -> SendGift {
        match self {
            Gifts::Uniform => gift(number),
            Gifts::ToOneHost => SendGift { host: PersonId(Uuid::from_u64_pair(3, 0)), ..gift(number) },
            Gifts::OfWallets(wallets) => journal::gift_of_wallet(number % wallets),
        }
    }
}

impl Callers {
    async fn measure(self, place: &Path, run_for: Duration) -> anyhow::Result<(f64, Vec<Duration>)> {
        let (ledger, writer) = open(place).await?;
        let measured = self.drive(&ledger, run_for).await?;
        drop(ledger);
        writer.await?;
        Ok(measured)
    }

    /// Gifts a second, and how long each caller had to wait.
    ///
    /// # Errors
    /// When the ledger refuses.
    pub async fn drive(self, ledger: &Ledger, run_for: Duration) -> anyhow::Result<(f64, Vec<Duration>)> {
        let numbers = Arc::new(AtomicU64::new(0));
        let begun = now();
        let mut tasks = JoinSet::new();
        for _ in 0..self.callers {
            let (ledger, numbers) = (ledger.clone(), numbers.clone());
            tasks.spawn(async move { self.call(&ledger, &numbers, begun, run_for).await });
        }
        let mut times = Vec::new();
        while let Some(of_caller) = tasks.join_next().await {
            times.append(&mut of_caller??);
        }
        Ok((times.len() as f64 * self.at_once as f64 / begun.elapsed().as_secs_f64(), times))
    }

    async fn call(
        self,
        ledger: &Ledger,
        numbers: &AtomicU64,
        begun: Instant,
        run_for: Duration,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut times = Vec::new();
        let next = || envelope(self.gifts.number(numbers.fetch_add(1, Ordering::Relaxed)).into());
        while begun.elapsed() < run_for {
            let asked = now();
            if self.at_once == 1 {
                ledger.execute(next()).await?;
            } else {
                let gifts = (0..self.at_once).map(|_| next()).collect();
                for submitted in ledger.submit_together(gifts).await? {
                    submitted.outcome().await?;
                }
            }
            times.push(asked.elapsed());
        }
        Ok(times)
    }
}
