//! Prints how fast events become durable by how many callers wait at once, beside the bare disk, in one run:
//! `cargo run --release -p event-store --example append_rate [folder]`.
//!
//! Compare within a run only: figures drift with the machine and the hour. The folder must be on
//! the disk in question; a temporary folder may be memory.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::EmbeddedStore;
use event_store::measure::append_rate;

const RUN_FOR: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(base)?;
    println!("one event has 294 bytes, each line is one run of {RUN_FOR:?}");
    println!(
        "{:>7} {:>9} {:>10} {:>10} {:>7} {:>7}",
        "callers", "log", "events/s", "writes/s", "p50 us", "p99 us"
    );
    for callers in [1, 32, 256] {
        let bare = bare_file(&folder.path().join(format!("bare-{callers}")), callers)?;
        println!("{callers:>7} {:>9} {:>10} {bare:>10}", "bare file", bare * callers as u64);
        let store = EmbeddedStore::open(folder.path().join(format!("embedded-{callers}")))?;
        let rate = append_rate(Arc::new(store), callers, RUN_FOR).await?;
        let (events, batches) = (rate.events_per_second, rate.batches_per_second);
        println!(
            "{callers:>7} {:>9} {events:>10} {batches:>10} {:>7} {:>7}",
            "embedded", rate.p50_us, rate.p99_us
        );
    }
    Ok(())
}

/// As many bytes appended to a file that grows, flushed after each batch. Answers the batches a second.
fn bare_file(path: &std::path::Path, events: usize) -> std::io::Result<u64> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let mut count = 0;
    let start = now();
    while start.elapsed() < RUN_FOR {
        file.write_all(&vec![b'x'; 294 * events])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(count * 1_000 / u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1))
}

#[expect(clippy::disallowed_methods, reason = "a measurement is about the clock")]
fn now() -> Instant {
    Instant::now()
}
