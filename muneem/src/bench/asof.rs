//! Questions about the past, on a journal of many events: how long an answer takes, now and as of moments all over it.

use super::books::{Books, JournalOptions};
use super::load::now;
use super::table;
use super::world::{apart, until_interrupted};
use crate::config::Config;
use crate::progress::say;
use ledger_core::{Account, Asset};
use projections::{AsOf, QueryError, ReadModels, StatementFilter, StatementOf};
use serde::Serialize;

/// At how many moments each question is asked, evenly over the journal.
const MOMENTS: u64 = 20;
const PAGE: u32 = 100;

#[derive(Serialize)]
struct Row {
    what: &'static str,
    middle_ms: f64,
    longest_ms: f64,
}

/// # Errors
/// When something that is measured fails.
pub async fn run(config: Config, options: &JournalOptions) -> anyhow::Result<()> {
    let rows = apart(&config, async |place| {
        until_interrupted(async {
            let books = Books::new(place, options.events()).await?;
            books.rebuild().await?;
            measure(&books).await
        })
        .await
    })
    .await?;
    table::print(options.json, &["", "p50 ms", "most ms"], &rows, |row| {
        vec![row.what.to_owned(), format!("{:.2}", row.middle_ms), format!("{:.2}", row.longest_ms)]
    })
}

async fn measure(books: &Books) -> anyhow::Result<Vec<Row>> {
    let read = ReadModels::open(books.pool.clone(), books.journal.clone()).await?;
    let (revenue, coin) = (Account::PlatformRevenue, Asset::COIN);
    let every = StatementFilter::default();
    say("asking about the past");
    Ok(vec![
        asked(books, "balance of an account", async |as_of| {
            read.balance_as_of(revenue, coin, as_of).await.map(drop)
        })
        .await?,
        asked(books, "deferred and recognised revenue", async |as_of| {
            read.deferred_revenue(as_of).await.map(drop)
        })
        .await?,
        asked(books, "trial balance", async |as_of| read.trial_balance_as_of(as_of).await.map(drop)).await?,
        asked(books, "trial balance of now", async |_| read.trial_balance().await.map(drop)).await?,
        asked(books, "100 lines of the newest statement", async |_| {
            read.statement(StatementOf::Account(revenue, coin), &every, None, PAGE).await.map(drop)
        })
        .await?,
    ])
}

async fn asked(
    books: &Books,
    what: &'static str,
    ask: impl AsyncFn(AsOf) -> Result<(), QueryError>,
) -> anyhow::Result<Row> {
    let mut times = Vec::new();
    for moment in 1..=MOMENTS {
        let as_of = AsOf::Revision((books.events - 1) * moment / MOMENTS);
        let begun = now();
        ask(as_of).await?;
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    times.sort_unstable_by(f64::total_cmp);
    let longest_ms = times.last().copied().unwrap_or_default();
    Ok(Row { what, middle_ms: times[times.len() / 2], longest_ms })
}
