//! Three times the gifts that the ledger can take: what is accepted and how soon, what is refused, and how soon it is
//! over. Needs no database.

use super::Run;
use super::ledger::{Callers, Gifts, open};
use super::load::{now, percentile};
use super::project::{envelope, gift};
use super::table;
use super::world::until_interrupted;
use crate::progress::say;
use anyhow::{Context, bail};
use clap::Args;
use ledger_core::{Actor, Envelope, PersonId};
use ledger_runtime::{ExecuteError, Ledger};
use serde::Serialize;
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

#[derive(Args)]
pub struct OverloadOptions {
    /// How many times as many as the ledger takes.
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u8).range(2..=20))]
    times: u8,
    #[command(flatten)]
    run: Run,
}

#[derive(Serialize)]
struct Row {
    what: &'static str,
    asked_per_second: f64,
    accepted_per_second: f64,
    /// Of the rate without overload.
    of_capacity: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// # Errors
/// When the folder for temporary files cannot be written to.
pub async fn run(options: &OverloadOptions) -> anyhow::Result<()> {
    let rows = until_interrupted(all(options)).await?;
    let head = ["", "asked/s", "accepted/s", "of capacity", "p50 ms", "p99 ms"];
    table::print(options.run.json, &head, &rows, |row| {
        vec![
            row.what.to_owned(),
            format!("{:.0}", row.asked_per_second),
            format!("{:.0}", row.accepted_per_second),
            format!("{:.2}", row.of_capacity),
            format!("{:.2}", row.p50_ms),
            format!("{:.2}", row.p99_ms),
        ]
    })
}

async fn all(options: &OverloadOptions) -> anyhow::Result<Vec<Row>> {
    let folder =
        tempfile::tempdir().context("no folder can be made for the journal; TMPDIR names another place")?;
    let run_for = options.run.time();
    let (ledger, writer) = open(&folder.path().join("journal")).await?;
    let everybody = Callers { callers: 1_024, at_once: 1, gifts: Gifts::Uniform };
    let row = |what, asked: f64, accepted: f64, capacity: f64, times: &mut Vec<Duration>| {
        times.sort_unstable();
        Row {
            what,
            asked_per_second: asked,
            accepted_per_second: accepted,
            of_capacity: accepted / capacity,
            p50_ms: percentile(times, 50),
            p99_ms: percentile(times, 99),
        }
    };
    say("what the ledger takes");
    let (capacity, mut times) = everybody.drive(&ledger, run_for).await?;
    let mut rows = vec![row("1,024 callers", capacity, capacity, capacity, &mut times)];

    say(&format!("{} times as many", options.times));
    let (asked, accepted, mut times) = flood(&ledger, capacity * f64::from(options.times), run_for).await?;
    rows.push(row("a flood", asked, accepted, capacity, &mut times));

    say("after it");
    let (after, mut times) = everybody.drive(&ledger, run_for).await?;
    rows.push(row("1,024 callers after it", after, after, capacity, &mut times));
    drop(ledger);
    writer.await?;
    Ok(rows)
}

/// Gifts at a pace, whether or not the ones before are answered: how many were asked and accepted each second, and how
/// long those waited that were accepted.
async fn flood(
    ledger: &Ledger,
    per_second: f64,
    run_for: Duration,
) -> anyhow::Result<(f64, f64, Vec<Duration>)> {
    let (accepted_in, mut accepted) = mpsc::unbounded_channel();
    let taking = tokio::spawn(async move {
        let mut times = Vec::new();
        while let Some((asked, submitted)) = accepted.recv().await {
            let submitted: ledger_runtime::Submitted = submitted;
            submitted.outcome().await?;
            let asked: std::time::Instant = asked;
            times.push(asked.elapsed());
        }
        anyhow::Ok(times)
    });
    let mut beat = tokio::time::interval(Duration::from_millis(1));
    let (begun, mut asked) = (now(), 0_u64);
    while begun.elapsed() < run_for {
        beat.tick().await;
        let due = begun.elapsed().as_secs_f64() * per_second;
        while (asked as f64) < due {
            let actor = Actor::Person(PersonId(Uuid::from_u64_pair(4, asked)));
            let at = now();
            match ledger.submit(Envelope { actor, ..envelope(gift(asked).into()) }).await {
                Ok(submitted) => drop(accepted_in.send((at, submitted))),
                Err(ExecuteError::Busy) => {}
                Err(fault) => bail!("neither accepted nor told to come again: {fault}"),
            }
            asked += 1;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    drop(accepted_in);
    let times = taking.await??;
    Ok((asked as f64 / seconds, times.len() as f64 / seconds, times))
}
