//! When the journal's disk is full, said days before it is.

use chrono::{DateTime, TimeDelta, Utc};
use event_store::{EmbeddedReader, EventStore};
use ledger_core::Timestamp;
use platform::workers::Worker;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::{error, info};

const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;

/// What is further away is not told: nothing grows evenly for so long.
pub const TEN_YEARS: u64 = 3_650 * DAY;

/// Less is worth a warning: a disk that is ordered now comes in time.
pub const WARN_BELOW: u64 = 7 * DAY;

/// Once warned, this much has to be left for the warning to be over. A forecast that goes up and down warns once.
const CALM_FROM: u64 = 8 * DAY;

const LOOK_EVERY: Duration = Duration::from_secs(60);

/// By how many bytes the journal has grown, by the times of its events. So it is known right after a start as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    pub last_day: u64,
    pub last_hour: u64,
}

impl Growth {
    /// # Errors
    /// When the journal cannot be read.
    pub async fn measure(journal: &EmbeddedReader, now: DateTime<Utc>) -> anyhow::Result<Growth> {
        let events = journal.head().await?.map_or(0, |head| head.saturating_add(1));
        let day = first_since(journal, now - TimeDelta::days(1), 0, events).await?;
        let hour = first_since(journal, now - TimeDelta::hours(1), day, events).await?;
        let bytes = |from| if from < events { journal.bytes_since(from) } else { Ok(0) };
        Ok(Growth { last_day: bytes(day)?, last_hour: bytes(hour)? })
    }

    /// In seconds, when the journal grows on as in the last day. The last hour counts only where at its rate the disk is
    /// full within a day: no busy evening then warns of next week.
    #[must_use]
    pub fn until_full(self, free: u64) -> u64 {
        let at = |bytes: u64, seconds: u64| {
            let seconds = u128::from(free) * u128::from(seconds) / u128::from(bytes.max(1));
            u64::try_from(seconds).unwrap_or(u64::MAX)
        };
        let by_hour = Some(at(self.last_hour, HOUR)).filter(|seconds| *seconds < DAY);
        at(self.last_day, DAY).min(by_hour.unwrap_or(u64::MAX)).min(TEN_YEARS)
    }
}

/// The first revision between two that was recorded at `time` or later. Event time never runs backwards.
async fn first_since(
    journal: &EmbeddedReader,
    time: DateTime<Utc>,
    mut from: u64,
    mut to: u64,
) -> anyhow::Result<u64> {
    while from < to {
        let middle = from.midpoint(to);
        let earlier = recorded_at(journal, middle).await?.is_some_and(|at| at < Timestamp::from(time));
        if earlier { from = middle.saturating_add(1) } else { to = middle }
    }
    Ok(from)
}

/// `None` where there is no such event.
///
/// # Errors
/// When the journal cannot be read.
pub async fn recorded_at(journal: &EmbeddedReader, revision: u64) -> anyhow::Result<Option<Timestamp>> {
    let read = ledger_runtime::read_journal(journal, revision, 1).await?;
    Ok(read.first().map(|recorded| recorded.metadata.recorded_at))
}

/// A forecast for people.
#[must_use]
pub fn in_words(seconds: u64) -> String {
    match seconds {
        TEN_YEARS.. => "not within ten years".to_owned(),
        0..HOUR => format!("in {} minutes", seconds / 60),
        HOUR..172_800 => format!("in {} hours", seconds / HOUR),
        _ => format!("in {} days", seconds / DAY),
    }
}

/// Warns once when the disk is full within days, and says when it is not any more.
#[derive(Debug, Default)]
struct Watch {
    warned: bool,
}

impl Watch {
    fn note(&mut self, folder: &Path, free: u64, growth: Growth) {
        let seconds = growth.until_full(free);
        if seconds < WARN_BELOW && !self.warned {
            self.warned = true;
            error!(
                alert = "disk_filling",
                folder = %folder.display(),
                free_mib = free >> 20,
                grown_mib_last_day = growth.last_day >> 20,
                grown_mib_last_hour = growth.last_hour >> 20,
                "the journal's disk is full {}, if the journal grows on as it does",
                in_words(seconds)
            );
        } else if seconds >= CALM_FROM && self.warned {
            self.warned = false;
            info!(folder = %folder.display(), "the journal's disk has room for more than a week again");
        }
    }
}

/// Watches the disk of a journal in a folder; a store elsewhere is watched by those who run it.
pub fn watch(folder: Option<PathBuf>) -> Worker {
    Worker::new("disk_watch", move || {
        let folder = folder.clone();
        async move {
            metrics::gauge!("muneem_journal_seconds_until_full").set(TEN_YEARS as f64);
            // A worker that ends counts as down, and its node as not ready.
            let Some(folder) = folder else { return std::future::pending().await };
            let opened = folder.clone();
            let journal = tokio::task::spawn_blocking(move || EmbeddedReader::open(opened)).await??;
            let mut watch = Watch::default();
            let mut often = tokio::time::interval(LOOK_EVERY);
            loop {
                often.tick().await;
                let growth = Growth::measure(&journal, platform::clock::now()).await?;
                let free = platform::disk::room(&folder)?.free;
                watch.note(&folder, free, growth);
                metrics::gauge!("muneem_journal_bytes").set(journal.bytes_since(0)? as f64);
                metrics::gauge!("muneem_journal_growth_bytes", "window" => "day").set(growth.last_day as f64);
                metrics::gauge!("muneem_journal_growth_bytes", "window" => "hour")
                    .set(growth.last_hour as f64);
                metrics::gauge!("muneem_journal_seconds_until_full").set(growth.until_full(free) as f64);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};
    use tracing::field::{Field, Visit};
    use tracing_subscriber::layer::{Context, SubscriberExt};
    use tracing_subscriber::{Layer, registry};

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_forecast_goes_by_the_last_day_and_by_the_last_hour_where_that_is_urgent() {
        for (free, last_day, last_hour, seconds) in [
            (100 * GIB, 10 * GIB, GIB / 2, 10 * DAY),
            (100 * GIB, 20 * GIB, GIB, 5 * DAY),
            // A busy hour: at its rate the disk is full in two days, which is not told yet.
            (100 * GIB, 10 * GIB, 2 * GIB, 10 * DAY),
            (100 * GIB, 10 * GIB, 10 * GIB, 10 * HOUR),
            (0, GIB, 1, 0),
            (100 * GIB, 0, 0, TEN_YEARS),
            (u64::MAX, 1, 1, TEN_YEARS),
        ] {
            let growth = Growth { last_day, last_hour };
            assert_eq!(growth.until_full(free), seconds, "{free} {growth:?}");
        }
        let words = [0, 59 * 60, 5 * HOUR, 47 * HOUR, 2 * DAY, 400 * DAY, TEN_YEARS].map(in_words);
        let told = ["in 0 minutes", "in 59 minutes", "in 5 hours", "in 47 hours", "in 2 days", "in 400 days"];
        assert_eq!(words[..6], told);
        assert_eq!(words[6], "not within ten years");
    }

    /// A journal with 400 events of three days ago, 800 of two hours ago and 1,200 of ten minutes ago.
    #[tokio::test]
    async fn the_growth_is_measured_by_the_times_of_the_events() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = event_store::EmbeddedStore::open(folder.path()).expect("a journal");
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let (mut head, mut sizes) = (None, Vec::new());
        for (ago, count) in
            [(TimeDelta::days(3), 400), (TimeDelta::hours(2), 800), (TimeDelta::minutes(10), 1_200)]
        {
            let events = (0..count).map(|number| opened(now - ago, number)).collect::<Vec<_>>();
            sizes.push(events.iter().map(|event| event.stored_bytes() as u64).sum::<u64>());
            head = Some(store.append(head, &events).await.expect("it is appended"));
        }
        let journal = EmbeddedReader::open(folder.path()).expect("a journal");
        let growth = Growth::measure(&journal, now).await.expect("it is readable");
        // The place of a revision is known up to the batch that it stands in.
        // Of each batch the zeros behind it count as well.
        let near = |found: u64, right: u64| (right..right + 1_100).contains(&found);
        assert!(near(growth.last_hour, sizes[2]), "{growth:?} {sizes:?}");
        assert!(near(growth.last_day, sizes[1] + sizes[2]), "{growth:?} {sizes:?}");
        let later = Growth::measure(&journal, now + TimeDelta::days(9)).await.expect("it is readable");
        assert_eq!(later, Growth::default());
    }

    fn opened(at: DateTime<Utc>, number: u128) -> event_store::NewEvent {
        use ledger_core::event::JournalOpened;
        use ledger_core::{Actor, Event, JournalId, Metadata, RememberedFor, RequestHash};
        let id = uuid::Uuid::from_u128(number);
        let event = Event::JournalOpened(JournalOpened { journal: JournalId(id), format: 1, assets: vec![] });
        let metadata = Metadata {
            schema_version: 1,
            recorded_at: Timestamp::from(at),
            command_id: ledger_core::CommandId(id),
            request_hash: RequestHash([0; 16]),
            remembered_for: RememberedFor::Never,
            index: 0,
            count: 1,
            actor: Actor::System,
            payer: None,
            correlation: None,
        };
        event_store::NewEvent {
            id,
            kind: event.kind().to_owned(),
            data: event.encode(),
            metadata: metadata.encode(),
        }
    }

    /// Counts the lines with the alert.
    #[derive(Clone, Default)]
    struct Counted(Arc<AtomicU64>, Arc<Mutex<String>>);

    impl<S: tracing::Subscriber> Layer<S> for Counted {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            struct Text(String);
            impl Visit for Text {
                fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                    self.0.push_str(&format!("{}={value:?} ", field.name()));
                }
            }
            let mut text = Text(String::new());
            event.record(&mut text);
            if text.0.contains("alert=\"disk_filling\"") {
                self.0.fetch_add(1, Ordering::Relaxed);
                *self.1.lock().expect("no panic") = text.0;
            }
        }
    }

    #[test]
    fn a_disk_that_fills_is_told_once_days_ahead_and_again_after_it_had_room() {
        let counted = Counted::default();
        let growth = Growth { last_day: GIB, last_hour: 0 };
        tracing::subscriber::with_default(registry().with(counted.clone()), || {
            let mut watch = Watch::default();
            for (free, told) in [(9, 0), (7, 0), (6, 1), (3, 1), (7, 1), (6, 1), (8, 1), (6, 2), (1, 2)] {
                watch.note(Path::new("/data/journal"), free * GIB, growth);
                assert_eq!(counted.0.load(Ordering::Relaxed), told, "{free} GiB free");
            }
        });
        let text = counted.1.lock().expect("no panic").clone();
        assert!(text.contains("full in 6 days") && text.contains("free_mib=6144"), "{text}");
    }
}
