//! `muneem reconcile`: the journal beside the books of a gateway or of a media server.

use super::open_journal;
use crate::config::Config;
use crate::progress::Bar;
use crate::serve::connect_postgres;
use anyhow::{Context, bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use comfy_table::{CellAlignment, Table};
use event_store::EventStore;
use ledger_core::{Asset, Event, Period};
use platform::reconciliation::{
    Compared, Comparison, Found, Item, Ours, Outcome, Reconciliations, Source, Theirs, Wanted, of_calls,
    of_razorpay,
};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use uuid::Uuid;

const PAGE_EVENTS: usize = 8_192;
/// A report of 200,000 rows has about 60 MB.
const LARGEST_FILE_BYTES: u64 = 256 * 1024 * 1024;
/// So many differences are printed.
const SHOWN: usize = 20;

#[derive(Args)]
pub struct ReconcileOptions {
    #[command(subcommand)]
    source: SourceOptions,
}

#[derive(Subcommand)]
enum SourceOptions {
    /// Razorpay's settlement report against the gateway's account: payments, refunds, disputes, fees.
    ///
    /// The file is what GET /v1/settlements/recon/combined answers, or a table (CSV) with the same columns. Amounts are
    /// in paise there; a table with rupees is refused. Without --from and --to the journal is compared over the time of
    /// the rows in the file.
    ///
    ///   muneem reconcile razorpay --file settlements-2026-11-26.json
    #[command(verbatim_doc_comment)]
    Razorpay(RazorpayOptions),
    /// A media server's durations against metered time.
    ///
    /// The file is a table (CSV) with the columns `call` and `duration_ms`, or JSON with the same names. A call with several
    /// rows lasted for their sum. --from and --to say of which time the file is: calls that ended in it are looked for.
    ///
    ///   muneem reconcile calls --file durations.csv --from 2026-11-26T00:00:00+05:30 --to 2026-11-27T00:00:00+05:30
    #[command(verbatim_doc_comment)]
    Calls(CallOptions),
}

#[derive(Args)]
struct RazorpayOptions {
    #[command(flatten)]
    file: FileOptions,
    /// Payments recorded from this moment on should be in the file.
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// ... and before this moment.
    #[arg(long, value_name = "TIME")]
    to: Option<DateTime<Utc>>,
}

#[derive(Args)]
struct CallOptions {
    #[command(flatten)]
    file: FileOptions,
    /// Calls that ended from this moment on should be in the file.
    #[arg(long, value_name = "TIME")]
    from: DateTime<Utc>,
    /// ... and before this moment.
    #[arg(long, value_name = "TIME")]
    to: DateTime<Utc>,
    /// A duration that differs by no more than this is the same.
    #[arg(long, default_value_t = 2_000, value_name = "MS", value_parser = clap::value_parser!(i64).range(0..=3_600_000))]
    tolerance_ms: i64,
}

#[derive(Args)]
struct FileOptions {
    /// The other side's file.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// What was found, as JSON.
    #[arg(long)]
    json: bool,
}

/// Exits 1 where the two sides differ.
///
/// # Errors
/// When the file is none that can be compared, or journal and database cannot be reached: exit code
/// [`super::NOT_VERIFIED`].
pub async fn reconcile(config: &Config, options: &ReconcileOptions) -> anyhow::Result<ExitCode> {
    let (source, file, tolerance) = match &options.source {
        SourceOptions::Razorpay(it) => (Source::Razorpay, &it.file, 0),
        SourceOptions::Calls(it) => (Source::Calls, &it.file, it.tolerance_ms),
    };
    let bytes = read_file(&file.file)?;
    let store = open_journal(config).await?;
    let assets = assets_of(store.as_ref()).await?;
    let theirs = match source {
        Source::Razorpay => of_razorpay(&bytes, &assets),
        Source::Calls => of_calls(&bytes),
    };
    let theirs = theirs.with_context(|| format!("{} cannot be compared", file.file.display()))?;
    let (from, to) = options.period(&theirs)?;
    ensure!(from < to, "--from must be before --to");

    let named = theirs.iter().map(|row| row.subject.clone()).collect();
    let mut ours = Ours::new(Wanted { source, period: Period { from: Some(from), to: Some(to) }, named });
    replay(store.as_ref(), &mut ours).await?;
    let Some(revision) = ours.revision else {
        bail!("the journal is empty: there is nothing to compare with")
    };
    let found = Comparison { source, tolerance }.compare(theirs, ours);

    let kept = Reconciliations::new(connect_postgres(config).await?);
    let file_name = file.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let compared = Compared { source, file_name: &file_name, file: &bytes, revision, period: (from, to) };
    let id = kept
        .keep(&compared, &found, platform::clock::now())
        .await
        .context("what was found could not be kept")?;

    let report = Report::of(id, revision, (from, to), &found);
    match file.json {
        true => crate::out!("{}", serde_json::to_string_pretty(&report)?),
        false => print(&report, &found),
    }
    Ok(if found.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl ReconcileOptions {
    /// The time over which the journal is compared.
    fn period(&self, theirs: &[Theirs]) -> anyhow::Result<(DateTime<Utc>, DateTime<Utc>)> {
        let given = match &self.source {
            SourceOptions::Calls(it) => (Some(it.from), Some(it.to)),
            SourceOptions::Razorpay(it) => (it.from, it.to),
        };
        let times = || theirs.iter().filter_map(|row| row.at);
        // The gateway tells seconds, and tells us a moment later.
        let last = || times().max().map(|at| at + TimeDelta::seconds(1));
        match (given.0.or_else(|| times().min()), given.1.or_else(last)) {
            (Some(from), Some(to)) => Ok((from, to)),
            _ => bail!("the file has no rows: give --from and --to to say of which time it is"),
        }
    }
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let size = std::fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?.len();
    ensure!(
        size <= LARGEST_FILE_BYTES,
        "{} has {size} bytes; files of up to {LARGEST_FILE_BYTES} are read: cut it by days",
        path.display()
    );
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// The journal says in its first event what it is kept in.
async fn assets_of(store: &dyn EventStore) -> anyhow::Result<Vec<Asset>> {
    let first = ledger_runtime::read_journal(store, 0, 1).await?;
    match first.first().map(|recorded| &recorded.event) {
        Some(Event::JournalOpened(it)) => Ok(it.assets.clone()),
        _ => bail!("the journal is empty: there is nothing to compare with"),
    }
}

async fn replay(store: &dyn EventStore, ours: &mut Ours) -> anyhow::Result<()> {
    let total = store.head().await?.map_or(0, |head| head.saturating_add(1));
    let bar = Bar::count("reading the journal");
    let mut next = 0;
    while next < total {
        bar.show(next, total);
        let events = ledger_runtime::read_journal(store, next, PAGE_EVENTS).await?;
        let Some(last) = events.last() else { break };
        next = last.revision.saturating_add(1);
        events.iter().for_each(|recorded| ours.add(recorded));
    }
    bar.end();
    Ok(())
}

/// What `muneem reconcile` finds.
#[derive(Serialize)]
struct Report {
    reconciliation: Uuid,
    revision: u64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    agrees: bool,
    matched: usize,
    missing_here: usize,
    missing_there: usize,
    amount_differs: usize,
    /// What the gateway kept of each settlement, by settlement; tax is in it.
    fees: Vec<Line>,
    /// The first of what differs; all of it is in the admin API.
    differences: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    outcome: &'static str,
    kind: String,
    reference: String,
    asset: Option<String>,
    ours: Option<i64>,
    theirs: Option<i64>,
    tax: i64,
    difference: Option<Uuid>,
}

impl From<&Item> for Line {
    fn from(it: &Item) -> Line {
        Line {
            outcome: it.outcome.as_str(),
            kind: it.subject.kind.clone(),
            reference: it.subject.reference.clone(),
            asset: it.asset.map(|asset| asset.to_string()),
            ours: it.ours,
            theirs: it.theirs,
            tax: it.tax,
            difference: it.difference,
        }
    }
}

impl Report {
    fn of(
        reconciliation: Uuid,
        revision: u64,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        found: &Found,
    ) -> Report {
        let differs = |item: &&Item| !matches!(item.outcome, Outcome::Matched | Outcome::Fees);
        let fees = found.items.iter().filter(|item| item.outcome == Outcome::Fees);
        Report {
            reconciliation,
            revision,
            from,
            to,
            agrees: found.agrees(),
            matched: found.count(Outcome::Matched),
            missing_here: found.count(Outcome::MissingHere),
            missing_there: found.count(Outcome::MissingThere),
            amount_differs: found.count(Outcome::AmountDiffers),
            fees: fees.map(Line::from).collect(),
            differences: found.items.iter().filter(differs).take(SHOWN).map(Line::from).collect(),
        }
    }
}

fn print(report: &Report, found: &Found) {
    crate::out!(
        "Compared with the journal up to revision {}, {} to {}:",
        report.revision,
        report.from.format("%F %T"),
        report.to.format("%F %T UTC")
    );
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    for outcome in Outcome::ALL {
        let says = match outcome {
            Outcome::Matched => "matched",
            Outcome::MissingHere => "missing here: they have it, the journal does not",
            Outcome::MissingThere => "missing there: the journal has it, the file does not",
            Outcome::AmountDiffers => "the amount differs",
            Outcome::Fees => "settlements with fees",
        };
        table.add_row([says.to_owned(), found.count(outcome).to_string()]);
    }
    right(&mut table, 1);
    crate::out!("{table}");
    let lines: Vec<&Line> = report.differences.iter().chain(&report.fees).take(SHOWN).collect();
    if !lines.is_empty() {
        let mut table = Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header(["what", "", "of", "here", "there", "difference"]);
        for line in &lines {
            let row = [
                line.outcome.to_owned(),
                line.kind.clone(),
                line.reference.clone(),
                shown(line, line.ours),
                shown(line, line.theirs),
                line.difference.map(|id| id.to_string()).unwrap_or_default(),
            ];
            table.add_row(row);
        }
        right(&mut table, 3);
        right(&mut table, 4);
        crate::out!("\n{table}");
    }
    crate::out!(
        "\nKept as {0}. All lines: GET /v1/admin/reconciliations/{0}/items (Accept: text/csv for a table).\n\
         An adjustment that names a difference as `settles` settles it.",
        report.reconciliation
    );
}

fn right(table: &mut Table, column: usize) {
    if let Some(column) = table.column_mut(column) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn shown(line: &Line, figure: Option<i64>) -> String {
    let asset = line.asset.as_deref().and_then(|asset| asset.parse::<Asset>().ok());
    match (figure, asset) {
        (None, _) => "-".to_owned(),
        (Some(minor), Some(asset)) => asset.format(minor),
        (Some(ms), None) => format!("{} ms", ms),
    }
}
