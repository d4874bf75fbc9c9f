//! `muneem rebuild`: projects the journal again, beside the read models that serve.

use super::open_journal;
use crate::config::Config;
use crate::progress::Bar;
use crate::serve::connect_postgres;
use anyhow::Context;
use std::process::ExitCode;

/// # Errors
/// When the database or the journal cannot be reached.
pub async fn rebuild(config: &Config) -> anyhow::Result<ExitCode> {
    let store = open_journal(config).await?;
    let pool = connect_postgres(config).await?;
    let bar = Bar::count("rebuilding the read models");
    let rebuilt = projections::rebuild(&pool, store, |done, total| bar.show(done, total)).await;
    bar.end();
    let revision =
        rebuilt.context("the read models could not be rebuilt; those that were there serve on, and the journal is untouched: run it again")?;
    let events = revision.map_or(0, |revision| revision + 1);
    crate::out!("the read models are rebuilt from {events} events");
    Ok(ExitCode::SUCCESS)
}
