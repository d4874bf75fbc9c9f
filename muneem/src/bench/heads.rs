//! The tree of the journal: how many leaves a second it takes while it catches up, beside the projector on the same journal,
//! how many bytes a leaf takes, and how fast all of it is checked.

use super::books::{Books, JournalOptions};
use super::load::now;
use super::table;
use super::world::{apart, until_interrupted};
use crate::config::Config;
use crate::operator::{Evidence, check_history};
use crate::progress::say;
use anyhow::{Context, ensure};
use integrity::SigningKeys;
use ledger_core::JournalId;
use platform::journal_heads::{JournalHeads, Publisher, Settings};
use projections::ReadModels;
use serde::Serialize;
use std::time::Duration;

#[derive(Serialize)]
struct Row {
    what: &'static str,
    events: u64,
    seconds: f64,
    events_per_second: f64,
    /// Of the events a second of the projector.
    of_projector: f64,
    /// The table of tiles with its index.
    bytes_per_leaf: Option<f64>,
}

/// # Errors
/// When something that is measured fails.
pub async fn run(config: Config, options: &JournalOptions) -> anyhow::Result<()> {
    let rows = apart(&config, async |place| {
        until_interrupted(async {
            let books = Books::new(place, options.events()).await?;
            measure(&config, &books).await
        })
        .await
    })
    .await?;
    let head = ["", "events", "seconds", "events/s", "of projector", "bytes a leaf"];
    table::print(options.json, &head, &rows, |row| {
        vec![
            row.what.to_owned(),
            row.events.to_string(),
            format!("{:.2}", row.seconds),
            format!("{:.0}", row.events_per_second),
            format!("{:.2}", row.of_projector),
            row.bytes_per_leaf.map_or_else(String::new, |bytes| format!("{bytes:.1}")),
        ]
    })
}

async fn measure(config: &Config, books: &Books) -> anyhow::Result<Vec<Row>> {
    platform::MIGRATOR.run(&books.pool).await.context("the database cannot be migrated")?;
    ReadModels::open(books.pool.clone(), books.journal.clone()).await?;
    let begun = now();
    books.rebuild().await?;
    let projected = begun.elapsed().as_secs_f64();

    say("building the tree");
    let keys = SigningKeys::parse(&"5e".repeat(32))?;
    let (every, publisher) = (Duration::from_secs(1), Publisher::default());
    let journal = journal_id(books).await?;
    let settings = Settings { keys: Some(keys), every, publisher };
    let heads = JournalHeads::new(books.pool.clone(), books.journal.clone(), journal, settings);
    let begun = now();
    let leaves = heads.catch_up(|_| ()).await?;
    let built = begun.elapsed().as_secs_f64();
    ensure!(leaves == books.events, "the tree has {leaves} leaves, and the journal {} events", books.events);
    let bytes: i64 = sqlx::query_scalar("SELECT pg_total_relation_size('app.journal_tiles')")
        .fetch_one(&books.pool)
        .await?;
    heads.sign_now().await?;

    say("checking the history");
    let begun = now();
    let report = check_history(config, books.journal.as_ref(), &books.pool, &Evidence::default()).await?;
    let checked = begun.elapsed().as_secs_f64();
    ensure!(
        report.is_some_and(|report| report.ok && report.heads == 1),
        "the journal is not what was signed"
    );
    let row = |what, seconds: f64| Row {
        what,
        events: books.events,
        seconds,
        events_per_second: books.events as f64 / seconds,
        of_projector: projected / seconds,
        bytes_per_leaf: None,
    };
    Ok(vec![
        row("projector", projected),
        Row { bytes_per_leaf: Some(bytes as f64 / leaves as f64), ..row("tree", built) },
        row("check of the history", checked),
    ])
}

async fn journal_id(books: &Books) -> anyhow::Result<JournalId> {
    crate::operator::journal_id(books.journal.as_ref()).await?.context("the journal has no name")
}
