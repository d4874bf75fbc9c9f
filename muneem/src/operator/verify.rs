//! `muneem verify`: do the read models say what the journal says, and is the journal what was signed?

use super::history::{Evidence, check_history};
use super::open_journal;
use crate::config::Config;
use crate::progress::Bar;
use crate::serve::connect_postgres;
use anyhow::Context;
use clap::Args;
use comfy_table::{CellAlignment, Table};
use event_store::EventStore;
use projections::Report;
use serde::Serialize;
use sqlx::PgPool;
use std::process::ExitCode;
use std::sync::Arc;

/// The exit code when nothing could be compared; a difference exits 1.
pub const NOT_VERIFIED: u8 = 2;

#[derive(Args)]
pub struct VerifyOptions {
    #[command(flatten)]
    evidence: Evidence,
    /// The findings as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Verified<'a> {
    #[serde(flatten)]
    read_models: Option<&'a Report>,
    /// Null where no head can be signed yet.
    history: Option<&'a integrity::Report>,
}

/// Exits 1 on a difference.
///
/// # Errors
/// When the journal or the database cannot be reached, or do not belong together: exit code
/// [`NOT_VERIFIED`].
pub async fn verify(config: &Config, options: &VerifyOptions) -> anyhow::Result<ExitCode> {
    let store = open_journal(config).await?;
    let pool = connect_postgres(config).await?;
    let history = check_history(config, store.as_ref(), &pool, &options.evidence).await?;
    let history_is_ok = history.as_ref().is_none_or(|history| history.ok);
    let compared = compare(store, &pool).await;
    let read_models = match compared {
        // A journal that was changed may be one that cannot be replayed.
        Err(fault) if !history_is_ok => {
            eprintln!("muneem: the read models were not compared: {fault:#}");
            None
        }
        compared => Some(compared?),
    };
    if options.json {
        let verified = Verified { read_models: read_models.as_ref(), history: history.as_ref() };
        crate::out!("{}", serde_json::to_string_pretty(&verified)?);
    } else {
        if let Some(report) = &read_models {
            print_report(report, history_is_ok);
        }
        if let Some(history) = &history {
            print_history(history);
        }
    }
    let is_ok = history_is_ok && read_models.is_some_and(|report| report.is_ok());
    Ok(if is_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// # Errors
/// When the journal or the database cannot be reached.
pub async fn verify_report(config: &Config) -> anyhow::Result<Report> {
    compare(open_journal(config).await?, &connect_postgres(config).await?).await
}

async fn compare(store: Arc<dyn EventStore>, pool: &PgPool) -> anyhow::Result<Report> {
    let bar = Bar::count("replaying the journal");
    let report = projections::verify(pool, store, |done, total| bar.show(done, total)).await;
    bar.end();
    report.context("could not check; where a table of the read models is missing or spoilt: muneem rebuild")
}

fn print_report(report: &Report, history_is_ok: bool) {
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
        // Whoever rebuilds now loses what still tells how it was.
        (Some(difference), _) if !history_is_ok => crate::out!(
            "The first difference is {difference}\nDo not rebuild the read models: the journal itself was changed, see below"
        ),
        (Some(difference), _) => crate::out!(
            "The first difference is {difference}\nThe journal is right; to rebuild the read models: muneem rebuild"
        ),
    }
}

fn print_history(history: &integrity::Report) {
    for refused in &history.refused {
        crate::out!("NOT BELIEVED  {}: {}", refused.place, refused.says);
    }
    if history.earlier_heads > 0 {
        crate::out!("{} heads are of histories that an operator has ended.", history.earlier_heads);
    }
    match &history.difference {
        None if history.heads == 0 => {
            crate::out!(
                "No head of the journal has been signed yet; {} leaves are as stored.",
                history.stored_leaves
            );
        }
        None => crate::out!(
            "The journal is what was signed: {} heads, the last of {} events; {} leaves are as stored.",
            history.heads,
            history.signed_events,
            history.stored_leaves
        ),
        Some(difference) => crate::out!(
            "THE JOURNAL IS NOT WHAT WAS SIGNED {difference}\nKeep the journal, the database and the heads as they are, and \
             see \"Tamper evidence\" in docs/operations.md"
        ),
    }
}
