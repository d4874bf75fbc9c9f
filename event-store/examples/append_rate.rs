//! Prints how fast events become durable by size of batch, beside the bare disk, in one run:
//! `cargo run --release -p event-store --example append_rate [folder]`.
//!
//! Compare within a run only: figures drift with the machine and the hour. The folder must be on
//! the disk in question; a temporary folder may be memory.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use event_store::{EmbeddedStore, EventStore, MemoryStore, NewEvent};
use uuid::Uuid;

const RUN_FOR: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(base)?;
    println!("one event has 260 bytes, each line is one run of {RUN_FOR:?}");
    println!("{:>6} {:>9} {:>11} {:>13} {:>15}", "batch", "log", "appends/s", "events/s", "against bare");
    for batch in [1, 100, 1000] {
        let bare = bare_file(&folder.path().join(format!("bare-{batch}")), batch)?;
        let embedded = EmbeddedStore::open(folder.path().join(format!("embedded-{batch}")))?;
        let embedded = store(&embedded, batch).await?;
        let memory = store(&MemoryStore::new(), batch).await?;
        for (log, rate) in [("bare file", bare), ("embedded", embedded), ("memory", memory)] {
            let percent = rate * 100 / bare.max(1);
            println!("{batch:>6} {log:>9} {rate:>11} {:>13} {percent:>14}%", rate * batch as u64);
        }
    }
    Ok(())
}

/// Appends a second to a store, one at a time.
async fn store(store: &dyn EventStore, batch: usize) -> Result<u64, event_store::AppendError> {
    let (mut head, mut count) = (None, 0);
    let mut events = events(batch);
    let start = now();
    while start.elapsed() < RUN_FOR {
        for (index, event) in (0..).zip(&mut events) {
            event.id = Uuid::from_u64_pair(count, index);
        }
        head = Some(store.append(head, &events).await?);
        count += 1;
    }
    Ok(per_second(count, start))
}

/// As many bytes appended to a file that grows, flushed after each batch.
fn bare_file(path: &std::path::Path, batch: usize) -> std::io::Result<u64> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let mut count = 0;
    let start = now();
    while start.elapsed() < RUN_FOR {
        file.write_all(&vec![b'x'; 260 * batch])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(per_second(count, start))
}

fn events(batch: usize) -> Vec<NewEvent> {
    let event =
        NewEvent { id: Uuid::nil(), kind: "GiftSent".into(), data: vec![b'x'; 226], metadata: Vec::new() };
    vec![event; batch]
}

#[expect(clippy::disallowed_methods, reason = "a measurement is about the clock")]
fn now() -> Instant {
    Instant::now()
}

fn per_second(count: u64, start: Instant) -> u64 {
    let millis = start.elapsed().as_millis().max(1);
    u64::try_from(u128::from(count) * 1000 / millis).unwrap_or(u64::MAX)
}
