//! How many metered calls the ledger carries, and how late their increments are. Needs no database.

use super::Run;
use super::ledger::open;
use super::load::{now, percentile};
use super::project::envelope;
use super::table;
use super::world::until_interrupted;
use crate::progress::say;
use anyhow::{Context, ensure};
use clap::Args;
use ledger_core::command::{PostAdjustment, SetHostRate, StartCall};
use ledger_core::{Account, CallId, Command, Event, Medium, PersonId, Policy};
use ledger_runtime::{Follower, Ledger, Metering, Sides};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

#[derive(Args)]
pub struct CallsOptions {
    /// How many calls are under way at once; one run for each.
    #[arg(long, value_delimiter = ',', default_value = "50000,100000,200000", value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    calls: Vec<u32>,
    #[command(flatten)]
    run: Run,
}

#[derive(Serialize)]
struct Row {
    calls: u32,
    increments_per_second: f64,
    /// What the calls are charged for each second when nothing is late.
    due_per_second: f64,
    /// From the moment that an increment begins until a follower has it, durable.
    late_p50_ms: f64,
    late_p99_ms: f64,
    late_most_ms: f64,
    /// How many cores the whole program was busy with.
    cores: f64,
    calls_a_core: f64,
}

const PRICE_MILLI: i64 = 6_000;
/// Commands that are given at once.
const TOGETHER: u64 = 4_000;
/// How often calls begin, while they begin.
const BEAT: Duration = Duration::from_millis(10);

/// # Errors
/// When the folder for temporary files cannot be written to.
pub async fn run(options: &CallsOptions) -> anyhow::Result<()> {
    let rows = until_interrupted(all(options)).await?;
    let head =
        ["calls", "increments/s", "due/s", "late p50 ms", "late p99 ms", "most ms", "cores", "calls a core"];
    table::print(options.run.json, &head, &rows, |row| {
        vec![
            row.calls.to_string(),
            format!("{:.0}", row.increments_per_second),
            format!("{:.0}", row.due_per_second),
            format!("{:.1}", row.late_p50_ms),
            format!("{:.1}", row.late_p99_ms),
            format!("{:.1}", row.late_most_ms),
            format!("{:.2}", row.cores),
            format!("{:.0}", row.calls_a_core),
        ]
    })
}

async fn all(options: &CallsOptions) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &calls in &options.calls {
        let folder = tempfile::tempdir()
            .context("no folder can be made for the journal; TMPDIR names another place")?;
        let (ledger, writer) = open(&folder.path().join("journal")).await?;
        rows.push(measure(&ledger, calls, options.run.time()).await?);
        drop(ledger);
        writer.await?;
    }
    Ok(rows)
}

async fn measure(ledger: &Ledger, calls: u32, run_for: Duration) -> anyhow::Result<Row> {
    say(&format!("{calls} people with coins, and as many hosts"));
    for_each_together(ledger, calls.into(), |number| {
        let (account, reason) = (Account::UserPurchased(payer(number)), "measurement".to_owned());
        PostAdjustment { account, amount_milli: 1 << 30, reason, note: None, settles: None }.into()
    })
    .await?;
    for_each_together(ledger, calls.into(), |number| {
        let price_milli_per_minute = Some(PRICE_MILLI);
        SetHostRate { host: host(number), medium: Medium::Video, price_milli_per_minute }.into()
    })
    .await?;

    // Both sides of all calls are there all the time.
    let clock = ledger.clock().clone();
    let sightings = Arc::new(move |_, _| Some(clock.now()));
    let connections = Arc::new(|_, _| Sides { both: true, since: None });
    let metering = tokio::spawn(Metering::recover(ledger.clone(), sightings, connections).await?.run());
    let increment = Duration::from_secs(Policy::default().increment_seconds.into());
    say(&format!("{calls} calls begin, evenly over {} s", increment.as_secs()));
    start(ledger, calls.into(), increment).await?;

    // The calls that began first are in their second increment now: from here on as many are due in each second.
    say("they are under way");
    let (begun, cpu, follower) = (now(), cpu_time(), ledger.follow());
    let mut lates = lates(ledger, follower, run_for).await?;
    let (seconds, busy) = (begun.elapsed().as_secs_f64(), (cpu_time() - cpu).as_secs_f64());
    metering.abort();
    ensure!(!lates.is_empty(), "no increment began within {seconds:.0} s");
    lates.sort_unstable();
    let cores = busy / seconds;
    Ok(Row {
        calls,
        increments_per_second: lates.len() as f64 / seconds,
        due_per_second: f64::from(calls) / increment.as_secs_f64(),
        late_p50_ms: percentile(&lates, 50),
        late_p99_ms: percentile(&lates, 99),
        late_most_ms: percentile(&lates, 100),
        cores,
        calls_a_core: f64::from(calls) / cores,
    })
}

/// Gives a command for each number up to `count`.
async fn for_each_together(
    ledger: &Ledger,
    count: u64,
    command: impl Fn(u64) -> Command,
) -> anyhow::Result<()> {
    for from in (0..count).step_by(TOGETHER as usize) {
        let commands = (from..count.min(from + TOGETHER)).map(|number| envelope(command(number))).collect();
        for submitted in ledger.submit_together(commands).await? {
            submitted.outcome().await?;
        }
    }
    Ok(())
}

/// So many calls begin, evenly over `within`.
async fn start(ledger: &Ledger, calls: u64, within: Duration) -> anyhow::Result<()> {
    let mut beat = tokio::time::interval(BEAT);
    let (begun, mut started, mut waiting) = (now(), 0, Vec::new());
    while started < calls {
        beat.tick().await;
        let due = (begun.elapsed().as_secs_f64() / within.as_secs_f64() * calls as f64) as u64;
        for number in started..due.min(calls) {
            let call = StartCall {
                call: CallId(Uuid::from_u64_pair(6, number)),
                payer: payer(number),
                host: host(number),
                medium: Medium::Video,
                price_seen_milli_per_minute: PRICE_MILLI,
            };
            waiting.push(ledger.submit(envelope(call.into())).await?);
        }
        started = started.max(due.min(calls));
    }
    for submitted in waiting {
        submitted.outcome().await?;
    }
    Ok(())
}

/// How late each increment was that began within `run_for`.
async fn lates(ledger: &Ledger, mut follower: Follower, run_for: Duration) -> anyhow::Result<Vec<Duration>> {
    let (begun, mut lates) = (now(), Vec::new());
    while let Some(left) = run_for.checked_sub(begun.elapsed()) {
        let Ok(unit) = timeout(left, follower.next()).await else { break };
        let unit = unit?.context("the ledger ended")?;
        for recorded in unit.events() {
            if let Event::CallTicked(tick) = &recorded.event {
                let late_ms = ledger.clock().now().since(tick.begun_at);
                lates.push(Duration::from_millis(late_ms.unsigned_abs()));
            }
        }
    }
    Ok(lates)
}

/// The time that all threads of this program have worked.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn payer(number: u64) -> PersonId {
    PersonId(Uuid::from_u64_pair(7, number))
}

fn host(number: u64) -> PersonId {
    PersonId(Uuid::from_u64_pair(8, number))
}
