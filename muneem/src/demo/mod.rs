//! `muneem demo`: the main job as a story, against the running server.

mod books;
mod client;
mod report;
mod story;

use crate::config::Config;
use clap::Args;
use report::Report;
use std::process::ExitCode;

#[derive(Args)]
pub struct Options {
    /// Print the whole story as one JSON object at its end.
    #[arg(long)]
    pub json: bool,
}

/// Tells the story; exits 1 when a figure is not what the story's own arithmetic expects. When `stop` is ready the story
/// breaks off, and the settings are put back as they were.
///
/// # Errors
/// When the story cannot begin.
pub async fn run(
    config: Config,
    options: &Options,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<ExitCode> {
    let mut report = Report::new(options.json);
    let told = story::tell(&config, &mut report, stop).await;
    let fault = told.err().map(|fault| format!("{fault:#}"));
    report.end(fault.as_deref());
    Ok(if report.wrong() == 0 && fault.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
