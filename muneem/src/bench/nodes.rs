//! Several nodes that write one journal in PostgreSQL, beside one node alone.

use super::Run;
use super::load::{now, percentile};
use super::project::{envelope, gift, open_for_gifts};
use super::table;
use super::world::{Apart, apart, until_interrupted};
use crate::config::Config;
use crate::progress::say;
use clap::Args;
use event_store::StoreAddress;
use ledger_core::JournalId;
use ledger_runtime::{Clock, Door, Kinship, Ledger};
use platform::entropy;
use serde::Serialize;
use sqlx::ConnectOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

#[derive(Args)]
pub struct NodesOptions {
    /// How many nodes write at once; one run for each.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3", value_parser = clap::value_parser!(u8).range(1..=16))]
    nodes: Vec<u8>,
    /// How many gifts are under way at once, over all nodes.
    #[arg(long, default_value = "192", value_parser = clap::value_parser!(u32).range(1..=4_096))]
    callers: u32,
    /// Every node decides its own commands, as nodes without an address do.
    #[arg(long)]
    apart: bool,
    #[command(flatten)]
    run: Run,
}

#[derive(Serialize)]
struct Row {
    nodes: u8,
    gifts_per_second: f64,
    /// Of the rate of the first run.
    of_first: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// The share of the node that had the fewest, of an even share.
    least_share: f64,
}

/// # Errors
/// When the store cannot be used.
pub async fn run(config: Config, options: &NodesOptions) -> anyhow::Result<()> {
    let rows = apart(&config, async |place| until_interrupted(all(place, options)).await).await?;
    let head = ["nodes", "gifts/s", "of the first", "p50 ms", "p99 ms", "least share"];
    table::print(options.run.json, &head, &rows, |row| {
        vec![
            row.nodes.to_string(),
            format!("{:.0}", row.gifts_per_second),
            format!("{:.2}", row.of_first),
            format!("{:.2}", row.p50_ms),
            format!("{:.2}", row.p99_ms),
            format!("{:.2}", row.least_share),
        ]
    })
}

async fn all(place: &Apart, options: &NodesOptions) -> anyhow::Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for &nodes in &options.nodes {
        say(&format!("{nodes} nodes"));
        let row = measure(place, nodes, options).await?;
        let first = rows.first().map_or(row.gifts_per_second, |first| first.gifts_per_second);
        rows.push(Row { of_first: row.gifts_per_second / first, ..row });
    }
    Ok(rows)
}

/// The first node takes the commands of the others, over real connections.
async fn forward_to_first(ledgers: &[Ledger]) -> anyhow::Result<JoinSet<()>> {
    let kinship = Kinship::new(entropy::bytes())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let door = Door::new(listener, kinship.clone(), ledgers[0].clone());
    let address = door.address()?.to_string();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { door.keep_open().await });
    for ledger in &ledgers[1..] {
        let (forwarding, address, kinship) = (ledger.clone(), address.clone(), kinship.clone());
        tasks.spawn(async move {
            let Err(fault) = forwarding.forward(&address, &kinship).await;
            say(&format!("a node decides for itself: {fault}"));
        });
        while !ledger.is_forwarding() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(tasks)
}

async fn measure(place: &Apart, nodes: u8, options: &NodesOptions) -> anyhow::Result<Row> {
    let mut url = place.database.to_url_lossy();
    url.set_query(Some(&format!("stream=nodes-{nodes}")));
    let address: StoreAddress = url.as_str().parse().map_err(anyhow::Error::msg)?;
    let journal = JournalId(entropy::uuid_v7());
    let (mut ledgers, mut writers) = (Vec::new(), Vec::new());
    for _ in 0..nodes {
        let store = address.open(|_, _| ()).await?;
        let (ledger, writer) = Ledger::open(store, Clock::System, journal, |_, _| ()).await?;
        ledgers.push(ledger);
        writers.push(writer);
    }
    open_for_gifts(&ledgers[0]).await?;
    let forwarding = if options.apart { JoinSet::new() } else { forward_to_first(&ledgers).await? };
    let numbers = Arc::new(AtomicU64::new(0));
    let run_for = options.run.time();
    let begun = now();
    let mut callers = JoinSet::new();
    for caller in 0..options.callers as usize {
        let (node, numbers) = (caller % ledgers.len(), numbers.clone());
        let ledger = ledgers[node].clone();
        callers.spawn(async move {
            let mut times = Vec::new();
            while begun.elapsed() < run_for {
                let asked = now();
                ledger.execute(envelope(gift(numbers.fetch_add(1, Ordering::Relaxed)).into())).await?;
                times.push(asked.elapsed());
            }
            anyhow::Ok((node, times))
        });
    }
    let (mut times, mut of_node) = (Vec::new(), vec![0_usize; ledgers.len()]);
    while let Some(caller) = callers.join_next().await {
        let (node, mut of_caller) = caller??;
        of_node[node] += of_caller.len();
        times.append(&mut of_caller);
    }
    let seconds = begun.elapsed().as_secs_f64();
    drop((forwarding, ledgers));
    for writer in writers {
        writer.await?;
    }
    times.sort_unstable();
    let even = times.len() as f64 / f64::from(nodes);
    let least = of_node.into_iter().min().unwrap_or(0) as f64;
    Ok(Row {
        nodes,
        gifts_per_second: times.len() as f64 / seconds,
        of_first: 1.0,
        p50_ms: percentile(&times, 50),
        p99_ms: percentile(&times, 99),
        least_share: least / even,
    })
}
