//! The projector, beside the raw append of the same events: how fast it catches up, and how far it is behind while
//! commands arrive.

use super::books::{Books, JournalOptions};
use super::journal::Busy;
use super::load::{now, percentile};
use super::table;
use super::world::{Apart, apart, until_interrupted};
use crate::config::Config;
use crate::progress::say;
use anyhow::Context;
use clap::Args;
use event_store::{EmbeddedStore, EventStore};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ledger_core::command::{PostAdjustment, SendGift, SetGiftPrice};
use ledger_core::{Account, Actor, Command, Envelope, GiftId, JournalId, Key, PersonId, Policy};
use ledger_runtime::{Clock, Ledger};
use platform::entropy;
use projections::{Projector, ReadModels};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use uuid::Uuid;

const GIFT: GiftId = GiftId(Uuid::from_u128(0xd1));
const PRICE_MILLI: i64 = 1_000;
const SENDERS: u64 = 1_000;
const HOSTS: u64 = 100;
/// A gift is the sending and its split.
const EVENTS_IN_GIFT: u64 = 2;
/// Commands that are under way at once, at most.
const AT_ONCE: usize = 512;
/// As many events as a writer appends at once under load.
const APPENDED_AT_ONCE: usize = 256;
/// How often commands that are due are given.
const BEAT: Duration = Duration::from_millis(2);

#[derive(Args)]
pub struct ProjectOptions {
    #[command(flatten)]
    journal: JournalOptions,
    /// How many events a second are recorded while the projector follows.
    #[arg(long, default_value = "20000", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    rate: u32,
    /// For how long, in seconds.
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
}

impl ProjectOptions {
    fn run_for(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

#[derive(Serialize)]
struct Row {
    what: &'static str,
    events_per_second: f64,
    /// Of the events a second of the raw append.
    of_append: f64,
    /// From a command's receipt until the read models have its events.
    lag_p50_ms: Option<f64>,
    lag_p99_ms: Option<f64>,
}

/// # Errors
/// When something that is measured fails.
pub async fn run(config: Config, options: &ProjectOptions) -> anyhow::Result<()> {
    let rows = apart(&config, async |place| until_interrupted(measure(place, options)).await).await?;
    let head = ["", "events/s", "of append", "lag p50 ms", "lag p99 ms"];
    let milliseconds = |lag: Option<f64>| lag.map_or_else(String::new, |lag| format!("{lag:.1}"));
    table::print(options.journal.json, &head, &rows, |row| {
        vec![
            row.what.to_owned(),
            format!("{:.0}", row.events_per_second),
            format!("{:.2}", row.of_append),
            milliseconds(row.lag_p50_ms),
            milliseconds(row.lag_p99_ms),
        ]
    })
}

async fn measure(place: &Apart, options: &ProjectOptions) -> anyhow::Result<Vec<Row>> {
    let append = raw_append(place, options.journal.events()).await?;
    let row = |what, events_per_second: f64| Row {
        what,
        events_per_second,
        of_append: events_per_second / append,
        lag_p50_ms: None,
        lag_p99_ms: None,
    };
    let books = Books::new(place, options.journal.events()).await?;
    ReadModels::open(books.pool.clone(), books.journal.clone()).await?;
    say("catching up");
    let begun = now();
    Projector::new(books.pool.clone(), books.journal.clone()).project_to_end(|_, _| ()).await?;
    let caught_up = books.events as f64 / begun.elapsed().as_secs_f64();
    let (per_second, lags) = follow(place, options).await?;
    let lag = |percent| Some(percentile(&lags, percent));
    Ok(vec![
        row("raw append", append),
        row("catching up", caught_up),
        Row { lag_p50_ms: lag(50), lag_p99_ms: lag(99), ..row("following", per_second) },
    ])
}

/// Events a second that the store takes by itself.
async fn raw_append(place: &Apart, at_least: usize) -> anyhow::Result<f64> {
    say("appending alone");
    let folder = place.folder.path().join("raw");
    let store = tokio::task::spawn_blocking(move || EmbeddedStore::open(folder)).await??;
    let (mut busy, mut events) = Busy::open()?;
    while events.len() < at_least {
        events.append(&mut busy.round()?);
    }
    let (mut expected, begun) = (None, now());
    for batch in events.chunks(APPENDED_AT_ONCE) {
        expected = Some(store.append(expected, batch).await?);
    }
    Ok(events.len() as f64 / begun.elapsed().as_secs_f64())
}

/// Gives gifts at a steady pace while a projector follows, and answers the events a second that were recorded, and
/// the sorted times from receipt to projection.
async fn follow(place: &Apart, options: &ProjectOptions) -> anyhow::Result<(f64, Vec<Duration>)> {
    say(&format!("{} events a second while the projector follows", options.rate));
    let folder = place.folder.path().join("followed");
    let store: Arc<dyn EventStore> =
        Arc::new(tokio::task::spawn_blocking(move || EmbeddedStore::open(folder)).await??);
    let (ledger, writer) =
        Ledger::open(store.clone(), Clock::System, JournalId(entropy::uuid_v7()), |_, _| ()).await?;
    let books = Books::empty(place, store.clone()).await?;
    projections::rebuild(&books.pool, store.clone(), |_, _| ()).await?;
    open_for_gifts(&ledger).await?;

    let projector = Projector::new(books.pool.clone(), store);
    let mut news = projector.progress();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(async move { projector.run(async { _ = stopped.await }).await });
    // Each time that the projector tells of, with what it has come to.
    let watching = tokio::spawn(async move {
        let mut seen = Vec::new();
        while news.changed().await.is_ok() {
            let projected = news.borrow_and_update().projected;
            seen.push((projected.unwrap_or(0), now()));
        }
        seen
    });
    let begun = now();
    let receipts = give(&ledger, options).await?;
    let per_second = receipts.len() as f64 * EVENTS_IN_GIFT as f64 / begun.elapsed().as_secs_f64();
    let last = receipts.iter().map(|(revision, _)| *revision).max().context("no gift was sent")?;
    ReadModels::open(books.pool.clone(), books.journal.clone())
        .await?
        .wait_for(last, Duration::from_secs(60))
        .await
        .context("the projector did not come to the end")?;
    _ = stop.send(());
    running.await??;
    let seen = watching.await?;
    drop(ledger);
    writer.await?;
    let lag = |(revision, at): &(u64, Instant)| {
        let place = seen.partition_point(|(projected, _)| projected < revision);
        seen.get(place).map(|(_, shown)| shown.saturating_duration_since(*at))
    };
    let mut lags: Vec<Duration> = receipts.iter().filter_map(lag).collect();
    lags.sort_unstable();
    Ok((per_second, lags))
}

/// Gifts have a price, and those who send them coins.
///
/// # Errors
/// When the ledger refuses.
pub async fn open_for_gifts(ledger: &Ledger) -> anyhow::Result<()> {
    let price_milli = Some(PRICE_MILLI);
    ledger.execute(envelope(SetGiftPrice { gift: GIFT, price_milli }.into())).await?;
    for number in 0..SENDERS {
        let (account, reason) = (Account::UserPurchased(sender(number)), "measurement".to_owned());
        let coins = PostAdjustment { account, amount_milli: 1 << 42, reason, note: None, settles: None };
        ledger.execute(envelope(coins.into())).await?;
    }
    Ok(())
}

/// The receipts' revisions, and when each was given.
async fn give(ledger: &Ledger, options: &ProjectOptions) -> anyhow::Result<Vec<(u64, Instant)>> {
    let gifts_per_second = f64::from(options.rate) / EVENTS_IN_GIFT as f64;
    let (mut under_way, mut receipts) = (FuturesUnordered::new(), Vec::new());
    let (begun, mut given) = (now(), 0_u64);
    let mut beat = tokio::time::interval(BEAT);
    while begun.elapsed() < options.run_for() || !under_way.is_empty() {
        tokio::select! {
            _ = beat.tick(), if begun.elapsed() < options.run_for() => {
                let due = begun.elapsed().as_secs_f64() * gifts_per_second;
                while (given as f64) < due && under_way.len() < AT_ONCE {
                    under_way.push(ledger.execute(envelope(gift(given).into())));
                    given += 1;
                }
            }
            Some(receipt) = under_way.next() => receipts.push((receipt?.revision, now())),
        }
    }
    Ok(receipts)
}

fn sender(number: u64) -> PersonId {
    PersonId(Uuid::from_u64_pair(2, number))
}

pub fn gift(number: u64) -> SendGift {
    SendGift {
        sender: sender(number % SENDERS),
        host: PersonId(Uuid::from_u64_pair(3, number % HOSTS)),
        gift: GIFT,
        call: None,
        price_seen_milli: PRICE_MILLI,
    }
}

/// A command under a key of its own. The keys are counted, as random ones cost more than what is measured with them.
pub fn envelope(command: Command) -> Envelope {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut number = [0; 10];
    number[2..].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let millis = platform::clock::now().timestamp_millis().unsigned_abs();
    let key = uuid::Builder::from_unix_timestamp_millis(millis, &number).into_uuid();
    let key = Key::Client(key.into());
    Envelope { actor: Actor::System, key, command, policy: Policy::default() }
}
