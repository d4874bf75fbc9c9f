//! What is done in the background for a journal in a folder: full segments are compressed, and each is read again once a
//! day, so that damage is told long before a start finds it.

use anyhow::Context;
use event_store::EmbeddedReader;
use event_store::embedded::OpenError;
use platform::workers::{Worker, WorkerFault};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use tracing::{error, info};

/// In what time each full segment is read once.
const ROUND: Duration = Duration::from_secs(24 * 60 * 60);
/// How often it is looked whether another segment is full.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// After each piece of work it rests for so many times as long: it never has more than a part of one core.
const RESTS: u32 = 3;
/// The lowest priority that a thread can have.
const NICE: i32 = 19;

/// Keeps the journal in `folder`; a store elsewhere is kept by those who run it.
pub fn keep(folder: Option<PathBuf>) -> Worker {
    Worker::new("journal_keeper", move || {
        let folder = folder.clone();
        async move {
            // A worker that ends counts as down, and its node as not ready.
            let Some(folder) = folder else { return std::future::pending().await };
            // Dropped with this future, which ends the thread.
            let (_stop, stopped) = mpsc::channel::<()>();
            let (told, outcome) = tokio::sync::oneshot::channel();
            let work =
                move || drop(told.send(Keeper::new(&folder, stopped).and_then(|mut keeper| keeper.run())));
            std::thread::Builder::new().name("journal-keeper".to_owned()).spawn(work)?;
            outcome.await?.map_err(WorkerFault::from)
        }
    })
}

/// Nobody wants to know more: the thread ends.
struct Stopped;

/// Pauses, which end at once where the worker has ended.
struct Rests(mpsc::Receiver<()>);

impl Rests {
    /// After a piece of work. Once the worker has ended, what is begun is finished without rests.
    fn rest_after(&self, worked: Duration) {
        let _ = self.rest(worked * RESTS);
    }

    fn rest(&self, time: Duration) -> Result<(), Stopped> {
        match self.0.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Stopped),
        }
    }
}

struct Keeper {
    journal: EmbeddedReader,
    /// Full segments that are compressed, or cannot be.
    done: BTreeSet<u64>,
    /// The full segment that was read last.
    checked: Option<u64>,
    /// Full segments of whose damage was told.
    damaged: BTreeSet<u64>,
    saved: u64,
    rests: Rests,
}

impl Keeper {
    fn new(folder: &Path, stopped: mpsc::Receiver<()>) -> anyhow::Result<Keeper> {
        let journal = EmbeddedReader::open(folder).context("the journal cannot be kept")?;
        Ok(Keeper {
            journal,
            done: BTreeSet::new(),
            checked: None,
            damaged: BTreeSet::new(),
            saved: 0,
            rests: Rests(stopped),
        })
    }

    fn run(&mut self) -> anyhow::Result<()> {
        // Of this thread alone. Where it is not allowed, the work is done all the same.
        let _ = rustix::process::nice(NICE);
        let mut next_check = now();
        loop {
            let full = self.journal.full_segments()?;
            for first in &full {
                if self.done.insert(*first) {
                    self.compress(*first)?;
                }
            }
            if next_check <= now() {
                self.check_next(&full)?;
                next_check = now() + ROUND / u32::try_from(full.len()).unwrap_or(u32::MAX).max(1);
            }
            if self.rests.rest(LOOK_EVERY).is_err() {
                return Ok(());
            }
        }
    }

    fn compress(&mut self, first: u64) -> anyhow::Result<()> {
        let rests = &self.rests;
        match self.journal.compress(first, |worked| rests.rest_after(worked)) {
            Ok(Some(compressed)) => {
                self.saved += compressed.bytes.saturating_sub(compressed.file_bytes);
                metrics::gauge!("muneem_journal_saved_bytes").set(self.saved as f64);
                let (bytes, file_bytes) = (compressed.bytes, compressed.file_bytes);
                info!(segment = first, bytes, file_bytes, "a full segment of the journal is compressed");
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(OpenError::Damaged(damage)) => {
                self.tell(first, &damage.to_string());
                Ok(())
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// Reads the full segment after the one that was read last.
    fn check_next(&mut self, full: &[u64]) -> anyhow::Result<()> {
        let after = full.iter().find(|first| self.checked.is_none_or(|checked| **first > checked));
        let Some(first) = after.or(full.first()).copied() else { return Ok(()) };
        self.checked = Some(first);
        let rests = &self.rests;
        match self.journal.check(first, |worked| rests.rest_after(worked)) {
            Ok(()) => {
                metrics::counter!("muneem_journal_segments_checked_total").increment(1);
                if self.damaged.remove(&first) {
                    info!(segment = first, "a segment of the journal is whole again");
                }
                Ok(())
            }
            Err(OpenError::Damaged(damage)) => {
                self.tell(first, &damage.to_string());
                Ok(())
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// Tells of damage once.
    fn tell(&mut self, first: u64, damage: &str) {
        if self.damaged.insert(first) {
            error!(
                alert = "journal_damaged",
                damage,
                "recorded events are damaged on the disk; the server goes on, and its next start will be refused"
            );
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it decides nothing but how often the disk is read")]
fn now() -> Instant {
    Instant::now()
}
