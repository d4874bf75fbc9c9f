//! Prints how fast a revision is found in a long journal, and a reader opened, with and without its indexes:
//! `cargo run --release -p event-store --example find_rate [folder] [MiB]`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use event_store::{EmbeddedReader, EmbeddedStore, EventStore, NewEvent};
use uuid::Uuid;

const READS: u64 = 2_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let mib: u64 = std::env::args().nth(2).map_or(Ok(1024), |text| text.parse())?;
    let folder = tempfile::tempdir_in(base)?;
    let events = write(folder.path(), mib).await?;
    println!("{events} events, {mib} MiB");

    let (opening, reader) = timed(|| EmbeddedReader::open(folder.path()));
    println!("a reader opens by the indexes in {:?}", opening);
    let reader = reader?;
    let mut took = Vec::new();
    for number in 0..READS {
        // Scattered over all of the journal.
        let revision = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % events;
        let begun = now();
        let read = reader.read(revision, 1).await?;
        took.push(begun.elapsed());
        assert_eq!(read[0].revision, revision);
    }
    took.sort_unstable();
    println!(
        "one event is read in {:?} (median), {:?} (99%)",
        took[took.len() / 2],
        took[took.len() * 99 / 100]
    );
    for entry in std::fs::read_dir(folder.path())? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "index") {
            std::fs::remove_file(path)?;
        }
    }
    let (scanning, reader) = timed(|| EmbeddedReader::open(folder.path()));
    reader?;
    println!("a reader opens without indexes, reading everything, in {:?}", scanning);
    Ok(())
}

async fn write(folder: &std::path::Path, mib: u64) -> Result<u64, Box<dyn std::error::Error>> {
    let store = EmbeddedStore::open(folder)?;
    let event = |id: u64| NewEvent {
        id: Uuid::from_u64_pair(1, id),
        kind: "GiftSent".into(),
        data: vec![b'x'; 600],
        metadata: Vec::new(),
    };
    let (mut head, mut next) = (None, 0);
    while next * 634 < mib << 20 {
        let events = (next..next + 1_000).map(event).collect::<Vec<_>>();
        next += 1_000;
        head = Some(store.append(head, &events).await?);
    }
    Ok(next)
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = now();
    let done = work();
    (begun.elapsed(), done)
}

#[expect(clippy::disallowed_methods, reason = "a measurement is about the clock")]
fn now() -> Instant {
    Instant::now()
}
