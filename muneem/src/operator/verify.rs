//! `muneem verify`: do the read models say what the journal says?

use super::open_journal;
use crate::config::Config;
use crate::progress::Bar;
use crate::serve::connect_postgres;
use anyhow::Context;
use clap::Args;
use comfy_table::{CellAlignment, Table};
use projections::Report;
use std::process::ExitCode;

/// The exit code when nothing could be compared; a difference exits 1.
pub const NOT_VERIFIED: u8 = 2;

#[derive(Args)]
pub struct VerifyOptions {
    /// The findings as JSON.
    #[arg(long)]
    json: bool,
}

/// Exits 1 on a difference.
///
/// # Errors
/// When the journal or the database cannot be reached, or do not belong together: exit code
/// [`NOT_VERIFIED`].
pub async fn verify(config: &Config, options: &VerifyOptions) -> anyhow::Result<ExitCode> {
    let report = verify_report(config).await?;
    if options.json {
        crate::out!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print_report(&report);
    }
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// # Errors
/// When the journal or the database cannot be reached.
pub async fn verify_report(config: &Config) -> anyhow::Result<Report> {
    let store = open_journal(config).await?;
    let pool = connect_postgres(config).await?;
    let bar = Bar::count("replaying the journal");
    let report = projections::verify(&pool, store, |done, total| bar.show(done, total)).await;
    bar.end();
    report.context("could not check; where a table of the read models is missing or spoilt: muneem rebuild")
}

fn print_report(report: &Report) {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    for check in &report.checks {
        let mark = if report.failed(check) { "DIFFERS" } else { "ok" };
        table.add_row([mark, check.name, &check.count.to_string()]);
    }
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    crate::out!("{table}");
    match (&report.difference, report.revision) {
        (None, Some(revision)) => crate::out!("The read models equal the journal at revision {revision}."),
        (None, None) => crate::out!("Nothing has been projected yet."),
        (Some(difference), _) if difference.is_of_the_journal() => crate::out!(
            "The first difference is {difference}\nThe journal breaks an invariant of the ledger there: no server starts on \
             it. Keep it as it is, and restore a backup or a mirror beside it (docs/operations.md)"
        ),
        (Some(difference), _) => crate::out!(
            "The first difference is {difference}\nThe journal is right; to rebuild the read models: muneem rebuild"
        ),
    }
}
