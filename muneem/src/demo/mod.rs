//! `muneem demo`: what the product does, as stories against the running server.

mod agency;
mod books;
mod chargeback;
mod client;
mod main_job;
mod payout_unknown;
mod report;
mod stage;
mod subscription;

use crate::config::Config;
use clap::{Args, ValueEnum};
use report::Report;
use stage::{Settings, Stage};
use std::process::ExitCode;

#[derive(Args)]
pub struct Options {
    /// Which story to tell.
    #[arg(long, value_enum, default_value_t = Story::MainJob)]
    pub story: Story,
    /// Print the whole story as one JSON object at its end.
    #[arg(long)]
    pub json: bool,
}

/// The stories. Another one is a line here, a line in [`Story::tell`], and a file beside this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Story {
    /// Sign in, buy coins, call, send a gift, run out, split, withdraw: with the books at the end
    MainJob,
    /// A payout of which nobody knows what became is never sent again; another one comes back
    PayoutUnknown,
    /// A payment that its bank takes back: frozen, lost, owed, paid by the next purchase, and won after all
    Chargeback,
    /// A subscription is renewed by the server, waits for coins, is cancelled, and ends
    Subscription,
    /// A host belongs to an agency for a time; the agency is settled, corrected, paid, and settled again
    Agency,
}

impl Story {
    async fn tell(
        self,
        config: &Config,
        report: &mut Report,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let stage = Stage::enter(config).await?;
        match self {
            Story::MainJob => {
                let settings = main_job::settings();
                stage.under(settings, main_job::tell(&stage, report), stop).await
            }
            Story::PayoutUnknown => {
                let settings = payout_unknown::settings();
                stage.under(settings, payout_unknown::tell(&stage, report), stop).await
            }
            Story::Chargeback => stage.under(Settings::usual(), chargeback::tell(&stage, report), stop).await,
            Story::Agency => stage.under(agency::settings(), agency::tell(&stage, report), stop).await,
            Story::Subscription => {
                stage.under(Settings::usual(), subscription::tell(&stage, report), stop).await
            }
        }
    }
}

/// Tells a story; exits 1 when a figure is not what the story's own arithmetic expects. When `stop` is ready the story
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
    let told = options.story.tell(&config, &mut report, stop).await;
    let fault = told.err().map(|fault| format!("{fault:#}"));
    report.end(fault.as_deref());
    Ok(if report.wrong() == 0 && fault.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
