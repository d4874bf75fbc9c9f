//! The ledger as wallets and events become more: what should be flat, and how flat it is.

use super::Run;
use super::ledger::{Callers, Gifts};
use super::load::percentile;
use super::start;
use super::table;
use super::world::until_interrupted;
use crate::progress::say;
use anyhow::{Context, anyhow};
use clap::Args;
use event_store::EmbeddedStore;
use ledger_core::JournalId;
use ledger_runtime::{Clock, Ledger, Opening, Snapshots};
use plotters::prelude::*;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tikv_jemalloc_ctl::{epoch, stats};

#[derive(Args)]
pub struct GrowthOptions {
    /// How many people have coins; one run for each, in which the journal has an event for each of them.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000", value_parser = clap::value_parser!(u32).range(1_000..=20_000_000))]
    wallets: Vec<u32>,
    /// Also draws the figures, each beside what it is at the least number of wallets, as an SVG file.
    #[arg(long)]
    picture: Option<PathBuf>,
    #[command(flatten)]
    run: Run,
}

#[derive(Serialize)]
struct Row {
    wallets: u32,
    /// Of the ledger's memory, without the commands that it knows again for a day.
    bytes_a_wallet: f64,
    replay_events_per_second: f64,
    start_with_snapshot_seconds: f64,
    gifts_per_second_at_32: f64,
    p99_ms_at_32: f64,
    gifts_per_second_at_1024: f64,
    p99_ms_at_1024: f64,
}

/// # Errors
/// When something that is measured fails, or the picture cannot be written.
pub async fn run(options: &GrowthOptions) -> anyhow::Result<()> {
    let rows = until_interrupted(all(options)).await?;
    let head = [
        "wallets",
        "bytes each",
        "replay events/s",
        "start, s",
        "gifts/s @32",
        "p99 ms",
        "gifts/s @1,024",
        "p99 ms",
    ];
    table::print(options.run.json, &head, &rows, |row| {
        vec![
            row.wallets.to_string(),
            format!("{:.0}", row.bytes_a_wallet),
            format!("{:.0}", row.replay_events_per_second),
            format!("{:.2}", row.start_with_snapshot_seconds),
            format!("{:.0}", row.gifts_per_second_at_32),
            format!("{:.2}", row.p99_ms_at_32),
            format!("{:.0}", row.gifts_per_second_at_1024),
            format!("{:.2}", row.p99_ms_at_1024),
        ]
    })?;
    match &options.picture {
        Some(path) => draw(path, &rows).with_context(|| format!("{} cannot be written", path.display())),
        None => Ok(()),
    }
}

async fn all(options: &GrowthOptions) -> anyhow::Result<Vec<Row>> {
    let mut wallets = options.wallets.clone();
    wallets.sort_unstable();
    let mut rows = Vec::new();
    for wallets in wallets {
        let folder = tempfile::tempdir()?;
        rows.push(measure(folder.path(), wallets, options).await?);
    }
    Ok(rows)
}

async fn measure(folder: &Path, wallets: u32, options: &GrowthOptions) -> anyhow::Result<Row> {
    let journal = start::make(folder, 0, wallets).await?;
    let reader = start::reader(&journal).await?;
    say("replaying it");
    let before = allocated()?;
    let (ledger, replaying) = start::open(&reader, None).await?;
    let events = ledger.durable_revision() + 1;
    let held = allocated()?.saturating_sub(before);
    // Those of a day stay a day, however many people there are.
    let bytes = held.saturating_sub(ledger.query(|state, _| state.command_memory_bytes()).await?);
    drop(ledger);
    say("beginning with a snapshot");
    let snapshots = Snapshots::new(folder.join("snapshots"), 1);
    snapshots.make(&reader).await?;
    let (_, beginning) = start::open(&reader, Some(snapshots.clone())).await?;
    drop(reader);

    let store = tokio::task::spawn_blocking(move || EmbeddedStore::open(journal)).await??;
    let opening = Opening {
        new_journal: JournalId(uuid::Uuid::nil()),
        clock_is_confirmed: true,
        snapshots: Some(snapshots),
    };
    let (ledger, writer) = Ledger::open_with(Arc::new(store), Clock::System, opening, |_, _| {}).await?;
    // The disk is still writing out the journal and the snapshot, which every flush would wait for.
    say("letting the disk come to rest");
    tokio::task::spawn_blocking(rustix::fs::sync).await?;
    let mut driven = Vec::new();
    for callers in [32, 1_024] {
        say(&format!("gifts of all wallets, {callers} at once"));
        let callers = Callers { callers, at_once: 1, gifts: Gifts::OfWallets(wallets.into()) };
        let (per_second, mut times) = callers.drive(&ledger, options.run.time()).await?;
        times.sort_unstable();
        driven.push((per_second, percentile(&times, 99)));
    }
    drop(ledger);
    writer.await?;
    Ok(Row {
        wallets,
        bytes_a_wallet: bytes as f64 / f64::from(wallets),
        replay_events_per_second: events as f64 / replaying,
        start_with_snapshot_seconds: beginning,
        gifts_per_second_at_32: driven[0].0,
        p99_ms_at_32: driven[0].1,
        gifts_per_second_at_1024: driven[1].0,
        p99_ms_at_1024: driven[1].1,
    })
}

/// The bytes that the program holds.
fn allocated() -> anyhow::Result<usize> {
    let fault = |fault: tikv_jemalloc_ctl::Error| anyhow!("the allocator does not tell: {fault}");
    epoch::advance().map_err(fault)?;
    stats::allocated::read().map_err(fault)
}

/// A line for each figure that should be flat.
fn draw(path: &Path, rows: &[Row]) -> anyhow::Result<()> {
    type Line = (&'static str, RGBColor, fn(&Row) -> f64);
    const LINES: [Line; 4] = [
        ("gifts a second, 32 at once", RGBColor(31, 119, 180), |row| row.gifts_per_second_at_32),
        ("gifts a second, 1,024 at once", RGBColor(255, 127, 14), |row| row.gifts_per_second_at_1024),
        ("replay, events a second", RGBColor(44, 160, 44), |row| row.replay_events_per_second),
        ("bytes a wallet", RGBColor(148, 103, 189), |row| row.bytes_a_wallet),
    ];
    let (Some(least), Some(most)) = (rows.first(), rows.last()) else { return Ok(()) };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let area = SVGBackend::new(path, (760, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let across = (f64::from(least.wallets)..f64::from(most.wallets)).log_scale();
    let mut chart = ChartBuilder::on(&area)
        .caption("Each figure beside what it is at the least number of wallets", ("sans-serif", 16))
        .margin(12)
        // Room for half of the last number below the line.
        .margin_right(48)
        .x_label_area_size(36)
        .y_label_area_size(44)
        .build_cartesian_2d(across, 0.0..1.6)?;
    chart.configure_mesh().x_desc("wallets").x_label_formatter(&|wallets| format!("{wallets:.0}")).draw()?;
    for (name, colour, figure) in LINES {
        let points = rows.iter().map(|row| (f64::from(row.wallets), figure(row) / figure(least)));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    area.present()?;
    Ok(())
}
