//! `muneem store inspect`: what stands in the journal's folder.

use crate::bench::table;
use crate::config::Config;
use crate::progress::Bar;
use crate::room::{Growth, TEN_YEARS, in_words, recorded_at};
use anyhow::{Context, anyhow};
use clap::Args;
use event_store::embedded::{Damage, EndOfLog, OpenError};
use event_store::{EmbeddedReader, StoreAddress};
use serde::Serialize;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Args)]
pub(super) struct InspectOptions {
    /// The store, embedded:<folder>; by default the one of the settings.
    #[arg(long)]
    store: Option<StoreAddress>,
    /// Do not read the full segments, so do not say whether they are as they were written.
    #[arg(long)]
    quick: bool,
    /// The findings as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    folder: String,
    events: u64,
    last_revision: Option<u64>,
    /// The bytes of the batches.
    bytes: u64,
    end: String,
    disk_free_bytes: u64,
    grown_last_day_bytes: u64,
    grown_last_hour_bytes: u64,
    /// Missing where the disk has room for more than ten years.
    seconds_until_full: Option<u64>,
    segments: Vec<Segment>,
}

#[derive(Serialize)]
struct Segment {
    file: String,
    first_revision: u64,
    last_revision: Option<u64>,
    bytes: u64,
    file_bytes: u64,
    compressed: bool,
    index: &'static str,
    /// Whether each batch is as it was written: `good`, or where the first one is that is not; missing where that was not
    /// looked at.
    state: Option<String>,
    /// When its first and its last event were recorded; missing where they are no events of Muneem.
    first_at: Option<String>,
    last_at: Option<String>,
}

pub(super) async fn inspect(config: &Config, options: &InspectOptions) -> anyhow::Result<ExitCode> {
    let store = options.store.clone().unwrap_or_else(|| config.store());
    let folder =
        store.folder().ok_or_else(|| anyhow!("{store} has no files here that could be inspected"))?;
    let opened = folder.to_owned();
    let (journal, found) = tokio::task::spawn_blocking(move || {
        let journal = EmbeddedReader::open(opened)?;
        let found = journal.inspect()?;
        anyhow::Ok((Arc::new(journal), found))
    })
    .await?
    .context("the journal cannot be inspected")?;
    let last = found.segments.last().map(|segment| segment.first_revision);
    let mut segments = Vec::new();
    let bar = Bar::count("reading the segments");
    for (number, segment) in (0..).zip(&found.segments) {
        bar.show(number, found.segments.len() as u64);
        let last_revision = segment.first_revision.saturating_add(segment.events).checked_sub(1);
        let last_revision = last_revision.filter(|_| segment.events > 0);
        segments.push(Segment {
            file: segment.name.clone(),
            first_revision: segment.first_revision,
            last_revision,
            bytes: segment.bytes,
            file_bytes: segment.file_bytes,
            compressed: segment.compressed,
            index: match segment.indexed {
                true => "good",
                false if Some(segment.first_revision) == last => "none yet",
                false => "missing",
            },
            state: match options.quick {
                true => None,
                false => Some(state(&journal, segment.first_revision).await?),
            },
            first_at: time_of(&journal, Some(segment.first_revision)).await,
            last_at: time_of(&journal, last_revision).await,
        });
    }
    bar.end();
    let is_damaged = segments.iter().any(|it| it.state.as_ref().is_some_and(|state| state != GOOD));
    // A journal that holds no events of Muneem has no times to measure by.
    let growth = Growth::measure(&journal, platform::clock::now()).await.unwrap_or_default();
    let free = platform::disk::room(folder)?.free;
    let report = Report {
        folder: folder.display().to_string(),
        events: found.events,
        last_revision: found.events.checked_sub(1),
        bytes: found.bytes,
        end: match found.end {
            EndOfLog::Acknowledged => "the last batch is whole and acknowledged".to_owned(),
            EndOfLog::NotAcknowledged { events } => format!(
                "{events} more events stand behind the acknowledged position; the writer is about to acknowledge them, or \
                 its next start finds them"
            ),
            EndOfLog::Torn { offset, bytes } => format!(
                "{bytes} bytes at offset {offset} are no whole batch: it is being written, or the writer's next start \
                 looks at it"
            ),
        },
        disk_free_bytes: free,
        grown_last_day_bytes: growth.last_day,
        grown_last_hour_bytes: growth.last_hour,
        seconds_until_full: Some(growth.until_full(free)).filter(|seconds| *seconds < TEN_YEARS),
        segments,
    };
    print(&report, options.json)?;
    Ok(if is_damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

const GOOD: &str = "good";

/// The last segment was read when the journal was opened.
async fn state(journal: &Arc<EmbeddedReader>, first_revision: u64) -> anyhow::Result<String> {
    let journal = Arc::clone(journal);
    match tokio::task::spawn_blocking(move || journal.check(first_revision, |_| {})).await? {
        Ok(()) => Ok(GOOD.to_owned()),
        Err(OpenError::Damaged(Damage { at, what })) => {
            Ok(format!("DAMAGED at offset {}, revision {}: {what}", at.offset, at.revision))
        }
        Err(fault) => Err(fault.into()),
    }
}

async fn time_of(journal: &EmbeddedReader, revision: Option<u64>) -> Option<String> {
    recorded_at(journal, revision?).await.ok().flatten().map(|at| at.to_string())
}

fn print(report: &Report, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        crate::out!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    let head =
        ["segment", "first", "last", "bytes", "file bytes", "index", "state", "first event", "last event"];
    let or_none = |it: Option<String>| it.unwrap_or_else(|| "-".to_owned());
    table::print(false, &head, &report.segments, |it| {
        vec![
            it.file.clone(),
            it.first_revision.to_string(),
            or_none(it.last_revision.map(|revision| revision.to_string())),
            it.bytes.to_string(),
            it.file_bytes.to_string(),
            it.index.to_owned(),
            or_none(it.state.clone()),
            or_none(it.first_at.clone()),
            or_none(it.last_at.clone()),
        ]
    })?;
    crate::out!(
        "\n{} events in {}, {} bytes\nend: {}\ndisk: {} MiB free; the journal grew by {} KiB in the last day, {} KiB in the last hour\nfull: {}",
        report.events,
        report.folder,
        report.bytes,
        report.end,
        report.disk_free_bytes >> 20,
        report.grown_last_day_bytes >> 10,
        report.grown_last_hour_bytes >> 10,
        in_words(report.seconds_until_full.unwrap_or(TEN_YEARS)),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use event_store::embedded::Options;
    use event_store::{EmbeddedStore, EventStore, NewEvent};
    use uuid::Uuid;

    #[tokio::test]
    async fn a_full_segment_that_is_damaged_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            EmbeddedStore::open_with(folder.path(), Options { segment_bytes: 2_048 }, |_, _| {}).unwrap();
        let mut head = None;
        for number in 0..12 {
            let (id, kind) = (Uuid::from_u128(number), "GiftSent".to_owned());
            let event = NewEvent { id, kind, data: vec![7; 100], metadata: Vec::new() };
            head = Some(store.append(head, &[event]).await.unwrap());
        }
        let journal = Arc::new(EmbeddedReader::open(folder.path()).unwrap());
        assert_eq!(state(&journal, 4).await.unwrap(), GOOD);
        let file = folder.path().join("00000000000000000004.segment");
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[512 + 90] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(state(&journal, 0).await.unwrap(), GOOD);
        let told = state(&journal, 4).await.unwrap();
        assert!(told.starts_with("DAMAGED at offset 512, revision 5: "), "{told}");
    }
}
