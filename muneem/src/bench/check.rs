//! A short form of `bench ledger`, whose ratios are held against floors.

use super::ledger::{self, LedgerOptions};
use super::table;
use super::world::until_interrupted;
use crate::progress::say;
use anyhow::{Context, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Args)]
pub struct CheckOptions {
    /// What each ratio was when it was last written down.
    #[arg(long, default_value = "tests/bench-floors.json")]
    floors: PathBuf,
    /// The figures as JSON.
    #[arg(long)]
    json: bool,
}

/// A machine is noisy: the best of so many runs counts,
const RUNS: usize = 3;
/// and it may be lower than the floor by so much.
const TOLERANCE: f64 = 0.35;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Floor {
    what: String,
    callers: u32,
    of_raw: f64,
}

#[derive(Serialize)]
struct Row {
    what: String,
    callers: u32,
    best_of_raw: f64,
    floor: f64,
    holds: bool,
}

/// # Errors
/// When a ratio is below its floor in each run, or nothing can be measured.
pub async fn run(options: &CheckOptions) -> anyhow::Result<()> {
    let path = &options.floors;
    let text = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let floors: Vec<Floor> =
        serde_json::from_slice(&text).with_context(|| format!("{} holds no floors", path.display()))?;
    let rows = until_interrupted(check(&floors)).await?;
    table::print(options.json, &["", "callers", "best of raw", "floor", "holds"], &rows, |row| {
        vec![
            row.what.clone(),
            row.callers.to_string(),
            format!("{:.3}", row.best_of_raw),
            format!("{:.3}", row.floor),
            if row.holds { "yes" } else { "NO" }.to_owned(),
        ]
    })?;
    ensure!(
        rows.iter().all(|row| row.holds),
        "slower than it was, by more than {:.0} % in {RUNS} runs; muneem bench ledger measures for longer",
        TOLERANCE * 100.0
    );
    Ok(())
}

async fn check(floors: &[Floor]) -> anyhow::Result<Vec<Row>> {
    let mut callers: Vec<u32> =
        floors.iter().filter(|floor| floor.what != ledger::BATCHES_NAME).map(|floor| floor.callers).collect();
    callers.dedup();
    let short = LedgerOptions::short(callers);
    let mut rows: Vec<Row> = Vec::new();
    for run in 1..=RUNS {
        say(&format!("run {run} of at most {RUNS}"));
        let measured = ledger::all(&short).await?;
        let best = |floor: &Floor| {
            let same = measured.iter().filter(|row| row.what == floor.what && row.callers == floor.callers);
            let before = rows.iter().filter(|row| row.what == floor.what && row.callers == floor.callers);
            same.map(|row| row.of_raw).chain(before.map(|row| row.best_of_raw)).fold(0.0, f64::max)
        };
        rows = floors
            .iter()
            .map(|floor| {
                let (best_of_raw, what) = (best(floor), floor.what.clone());
                let holds = best_of_raw >= floor.of_raw * (1.0 - TOLERANCE);
                Row { what, callers: floor.callers, best_of_raw, floor: floor.of_raw, holds }
            })
            .collect();
        if rows.iter().all(|row| row.holds) {
            break;
        }
    }
    Ok(rows)
}
