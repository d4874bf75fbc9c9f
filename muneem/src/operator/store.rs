//! `muneem store`: what a store of events does, and how fast.

use super::inspect::{InspectOptions, inspect};
use crate::bench::table;
use crate::config::Config;
use crate::progress;
use anyhow::ensure;
use clap::{Args, Subcommand};
use comfy_table::Table;
use event_store::StoreAddress;
use event_store::conformance::{Outcome, STORIES};
use event_store::measure::append_rate;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Args)]
pub struct StoreOptions {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Tell a store all that the ledger expects of one, and measure its appends: on streams of its own, beside
    /// whatever else is in the store. Exits 1 if it does something else.
    Check(CheckOptions),
    /// Show the files of the journal in its folder, the state of their end, and when the disk is full. Works beside a
    /// running server.
    Inspect(InspectOptions),
}

#[derive(Args)]
struct CheckOptions {
    /// The store: memory:, embedded:<folder> or postgres://...; by default the one of MUNEEM_STORE. Others on this machine
    /// can read what stands on a command line: give passwords by MUNEEM_STORE.
    #[arg(long)]
    store: Option<StoreAddress>,
    /// How long each measurement takes, in seconds; 0 measures nothing.
    #[arg(long, default_value = "2", value_parser = clap::value_parser!(u16).range(0..=600))]
    seconds: u16,
    /// How many callers append at once; one measurement for each.
    #[arg(long, value_delimiter = ',', default_value = "1,32,256,1024", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    callers: Vec<u32>,
    /// The findings as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    store: String,
    /// Its streams, which are called so with a number behind.
    streams: String,
    ok: bool,
    stories: Vec<Told>,
    appends: Vec<Measured>,
    /// What could not be removed at the end.
    left_behind: Vec<String>,
}

#[derive(Serialize)]
struct Told {
    story: &'static str,
    outcome: &'static str,
    /// Why it failed, or has no meaning for the store.
    says: Option<String>,
    millis: u64,
}

#[derive(Serialize)]
struct Measured {
    callers: usize,
    events_per_second: u64,
    batches_per_second: u64,
    p50_us: u64,
    p99_us: u64,
}

/// # Errors
/// When nothing could be checked.
pub async fn store(config: &Config, options: &StoreOptions) -> anyhow::Result<ExitCode> {
    match &options.what {
        What::Check(options) => check(config, options).await,
        What::Inspect(options) => inspect(config, options).await,
    }
}

async fn check(config: &Config, options: &CheckOptions) -> anyhow::Result<ExitCode> {
    let store = options.store.clone().unwrap_or_else(|| config.store());
    let streams = format!("muneem-check-{}", platform::entropy::uuid_v7().simple());
    let mut checked = Checked { store: &store, streams: &streams, count: 0, left_behind: Vec::new() };
    progress::say(&format!(
        "checking {store} on streams {streams}-1 to -{}",
        STORIES.len() + options.callers.len()
    ));
    // A store that cannot be opened fails no story: nothing was checked.
    let opened = checked.next();
    drop(opened.open(|_, _| {}).await?);
    checked.remove(&opened).await;

    let stories = checked.tell_all().await;
    let seconds = Duration::from_secs(options.seconds.into());
    let appends = checked.measure(&options.callers, seconds).await?;
    let report = Report {
        ok: stories.iter().all(|told| told.outcome != FAILED),
        stories,
        appends,
        left_behind: checked.left_behind,
        store: store.to_string(),
        streams,
    };
    print(&report, options.json)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const FAILED: &str = "failed";

struct Checked<'a> {
    store: &'a StoreAddress,
    streams: &'a str,
    count: usize,
    left_behind: Vec<String>,
}

impl Checked<'_> {
    fn next(&mut self) -> StoreAddress {
        self.count += 1;
        self.store.with_stream(&format!("{}-{}", self.streams, self.count))
    }

    async fn remove(&mut self, stream: &StoreAddress) {
        self.left_behind.extend(stream.remove_stream().await.err());
    }

    async fn tell_all(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        for story in STORIES {
            let stream = self.next();
            let begun = Instant::now();
            let outcome = story.run(stream.subject()).await;
            let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.remove(&stream).await;
            let (outcome, says) = match outcome {
                Ok(Outcome::Passed) => ("ok", None),
                Ok(Outcome::NotForThis(why)) => ("not for this store", Some(why.to_owned())),
                Err(what) => (FAILED, Some(what)),
            };
            told.push(Told { story: story.name, outcome, says, millis });
        }
        told
    }

    async fn measure(&mut self, callers: &[u32], run_for: Duration) -> anyhow::Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for callers in callers.iter().filter(|_| !run_for.is_zero()) {
            let stream = self.next();
            let store = stream.open(|_, _| {}).await?;
            let rate = append_rate(store, *callers as usize, run_for).await;
            self.remove(&stream).await;
            let rate = rate?;
            ensure!(
                rate.events_per_second > 0,
                "the store took no event from {callers} callers in {run_for:?}"
            );
            measured.push(Measured {
                callers: rate.callers,
                events_per_second: rate.events_per_second,
                batches_per_second: rate.batches_per_second,
                p50_us: rate.p50_us,
                p99_us: rate.p99_us,
            });
        }
        Ok(measured)
    }
}

fn print(report: &Report, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        crate::out!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    let mut stories = Table::new();
    stories.load_preset(comfy_table::presets::NOTHING);
    for told in &report.stories {
        let says = told.says.as_deref().unwrap_or_default();
        stories.add_row([told.outcome, &told.story.replace('_', " "), &format!("{} ms", told.millis), says]);
    }
    crate::out!("{stories}\n");
    if !report.appends.is_empty() {
        let head = ["callers", "events/s", "appends/s", "p50 ms", "p99 ms"];
        table::print(false, &head, &report.appends, |it| {
            let millis = |us: u64| format!("{}.{:02}", us / 1_000, us % 1_000 / 10);
            vec![
                it.callers.to_string(),
                it.events_per_second.to_string(),
                it.batches_per_second.to_string(),
                millis(it.p50_us),
                millis(it.p99_us),
            ]
        })?;
    }
    for left in &report.left_behind {
        crate::out!("{left}");
    }
    let verdict = if report.ok { "does what the ledger expects of a store" } else { "DOES NOT: see above" };
    crate::out!("{} {verdict}", report.store);
    Ok(())
}
