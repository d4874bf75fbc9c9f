//! `muneem export` and `muneem import`: a journal into compressed files, and from them or from another store into a store.
//!
//! Both go on where an earlier run was interrupted. What is there already is compared with the source event by event, so
//! that nothing is ever put behind another journal.

use super::manifest::{Form, Manifest, make_folder};
use crate::config::Config;
use crate::progress::Bar;
use anyhow::{Context, anyhow, ensure};
use clap::Args;
use event_store::archive::{self, ArchiveFile, ArchiveReader, ArchiveWriter};
use event_store::{BATCH_LIMIT_BYTES, EventStore, EventsHash, NewEvent, RecordedEvent, StoreAddress};
use ledger_core::PlaceInUnit;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// So many events are read from a store at once.
const PAGE: usize = 1_000;
/// A batch is sent at the end of a command's events, once it has so many bytes.
const BATCH_BYTES: usize = BATCH_LIMIT_BYTES / 4;

#[derive(Args)]
pub struct ExportOptions {
    /// A folder that is empty or does not exist yet, or that of an export that was interrupted or has become old.
    #[arg(long)]
    to: PathBuf,
    /// The store: embedded:<folder> or postgres://...; by default the one of the settings.
    #[arg(long)]
    store: Option<StoreAddress>,
    /// A file ends after so many bytes of events, before they are compressed.
    #[arg(long, hide = true, default_value_t = 64 << 20)]
    file_bytes: u64,
    /// What was exported as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct ImportOptions {
    /// The folder of an export.
    #[arg(long, required_unless_present = "from_store", conflicts_with = "from_store")]
    from: Option<PathBuf>,
    /// Another store instead: embedded:<folder> or postgres://...
    #[arg(long)]
    from_store: Option<StoreAddress>,
    /// The store to fill: embedded:<folder> or postgres://...; by default the one of the settings.
    #[arg(long)]
    store: Option<StoreAddress>,
    /// What was imported as JSON.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When the store cannot be read, the folder holds another journal, or cannot be written.
pub async fn export(config: &Config, options: &ExportOptions) -> anyhow::Result<ExitCode> {
    let address = options.store.clone().unwrap_or_else(|| config.store());
    let store = address.open_to_read().await.with_context(|| format!("{address} cannot be read"))?;
    let mut source = Source::store(store).await?;
    let total = source.events;
    ensure!(total > 0, "{address} holds no events");
    make_folder(&options.to)?;
    let files = archive::files(&options.to)?;
    let bar = Bar::count("exporting");
    let mut hash = EventsHash::default();

    for file in &files {
        ensure!(
            file.first_revision == source.next,
            "{} does not follow the file before it",
            file.path.display()
        );
        for exported in read_file(file)? {
            let exported = exported.with_context(|| damaged(file))?;
            let event = source.next().await?;
            ensure!(
                event.as_ref() == Some(&exported),
                "{} is of another journal, or of a longer one than {address} holds: at revision {}",
                file.path.display(),
                exported.revision
            );
            hash.update(&exported);
            bar.show(source.next, total);
        }
    }
    // Until it is whole again it is none.
    Manifest::remove(&options.to)?;
    let mut writer: Option<ArchiveWriter> = None;
    let cannot = || format!("cannot write in {}", options.to.display());
    while let Some(event) = source.next().await? {
        let file = match &mut writer {
            Some(file) => file,
            none => none.insert(ArchiveWriter::create(&options.to, event.revision).with_context(cannot)?),
        };
        file.add(&event).with_context(cannot)?;
        hash.update(&event);
        if file.bytes() >= options.file_bytes {
            writer.take().map_or(Ok(()), ArchiveWriter::finish).with_context(cannot)?;
        }
        bar.show(source.next, total);
    }
    writer.map_or(Ok(()), ArchiveWriter::finish).with_context(cannot)?;
    bar.end();

    let manifest = Manifest::new(Form::Archive, total, hash.finish());
    let mut written = Source::archive(&options.to, total)?;
    let found = written.rest("comparing").await?;
    ensure!(
        found == manifest.hash,
        "what was written to {} reads differently: is the disk good?",
        options.to.display()
    );
    manifest.write(&options.to)?;
    manifest.print(&format!("exported {address} to {}", options.to.display()), options.json)?;
    Ok(ExitCode::SUCCESS)
}

/// # Errors
/// When the source is not what its manifest says, the target holds another journal or cannot be written.
pub async fn import(config: &Config, options: &ImportOptions) -> anyhow::Result<ExitCode> {
    let (mut source, manifest, name) = match (&options.from, &options.from_store) {
        (Some(folder), _) => {
            let manifest = Manifest::read(folder, Form::Archive)?;
            (Source::archive(folder, manifest.events)?, Some(manifest), folder.display().to_string())
        }
        (None, Some(address)) => {
            let store = address.open_to_read().await.with_context(|| format!("{address} cannot be read"))?;
            (Source::store(store).await?, None, address.to_string())
        }
        (None, None) => return Err(anyhow!("name what to import: --from or --from-store")),
    };
    ensure!(source.events > 0, "{name} holds no events");
    let address = options.store.clone().unwrap_or_else(|| config.store());
    let target = address.open(|_, _| {}).await.with_context(|| format!("{address} cannot be opened"))?;
    let mut hash = EventsHash::default();
    let bar = Bar::count("importing");

    let mut there = Source::store(target.clone()).await?;
    ensure!(
        there.events <= source.events,
        "{address} has {} events and {name} has {}: it is no import that was interrupted",
        there.events,
        source.events
    );
    while let Some(event) = there.next().await? {
        ensure!(
            source.next().await?.as_ref() == Some(&event),
            "{address} holds another journal than {name}: they differ at revision {}",
            event.revision
        );
        hash.update(&event);
        bar.show(source.next, source.events);
    }
    let mut batches = Batches::new(target.clone(), there.events.checked_sub(1));
    while let Some(event) = source.next().await? {
        hash.update(&event);
        batches.add(event).await?;
        bar.show(source.next, source.events);
    }
    batches.send(batches.batch.len()).await?;
    bar.end();

    let hash = hash.finish();
    if let Some(manifest) = &manifest {
        ensure!(hash == manifest.hash, "{name} is not what its manifest says: do not use {address}");
    }
    let mut written = Source::store(target).await?;
    ensure!(
        (written.events, written.rest("comparing").await?) == (source.events, hash.clone()),
        "{address} reads differently than {name}: do not use it"
    );
    let imported = Manifest::new(Form::Archive, source.events, hash);
    imported.print(&format!("imported {name} into {address}"), options.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Puts events behind those of a store, in batches. The events of one command stay in one batch.
pub(super) struct Batches {
    target: Arc<dyn EventStore>,
    head: Option<u64>,
    batch: Vec<NewEvent>,
    bytes: usize,
    /// So many events of the batch are whole commands.
    whole: usize,
}

impl Batches {
    pub(super) fn new(target: Arc<dyn EventStore>, head: Option<u64>) -> Batches {
        Batches { target, head, batch: Vec::new(), bytes: 0, whole: 0 }
    }

    /// The last revision that is durable.
    pub(super) fn head(&self) -> Option<u64> {
        self.head
    }

    pub(super) async fn add(&mut self, event: RecordedEvent) -> anyhow::Result<()> {
        let RecordedEvent { revision: _, id, kind, data, metadata } = event;
        // What is no event of Muneem belongs to no command.
        let closes = PlaceInUnit::of(&metadata).map_or(true, PlaceInUnit::closes_unit);
        let event = NewEvent { id, kind, data, metadata };
        if self.bytes.saturating_add(event.stored_bytes()) > BATCH_LIMIT_BYTES {
            // A command alone always fits: it was one batch.
            self.send_whole_commands().await?;
        }
        self.bytes = self.bytes.saturating_add(event.stored_bytes());
        self.batch.push(event);
        if closes {
            self.whole = self.batch.len();
        }
        if self.bytes >= BATCH_BYTES { self.send_whole_commands().await } else { Ok(()) }
    }

    /// Sends what is there but for a command of which events are still to come.
    pub(super) async fn send_whole_commands(&mut self) -> anyhow::Result<()> {
        self.send(self.whole).await
    }

    async fn send(&mut self, count: usize) -> anyhow::Result<()> {
        if count > 0 {
            let sent = self.target.append(self.head, &self.batch[..count]).await;
            self.head =
                Some(sent.context("interrupted; once the cause is mended, the same command goes on")?);
            self.batch.drain(..count);
            self.bytes = self.batch.iter().map(NewEvent::stored_bytes).sum();
            self.whole = 0;
        }
        Ok(())
    }
}

fn read_file(file: &ArchiveFile) -> anyhow::Result<ArchiveReader> {
    ArchiveReader::open(file).with_context(|| format!("cannot read {}", file.path.display()))
}

fn damaged(file: &ArchiveFile) -> String {
    format!("{} is damaged or cut: remove it and export again", file.path.display())
}

/// The events of a store or of an archive, in order and up to an end that is known at the start.
struct Source {
    from: From,
    next: u64,
    events: u64,
}

enum From {
    Store { store: Arc<dyn EventStore>, page: VecDeque<RecordedEvent> },
    Archive { files: VecDeque<ArchiveFile>, reading: Option<(ArchiveFile, ArchiveReader)> },
}

impl Source {
    async fn store(store: Arc<dyn EventStore>) -> anyhow::Result<Source> {
        let events = store.head().await?.map_or(0, |head| head.saturating_add(1));
        Ok(Source { from: From::Store { store, page: VecDeque::new() }, next: 0, events })
    }

    fn archive(folder: &Path, events: u64) -> anyhow::Result<Source> {
        let files = archive::files(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        Ok(Source { from: From::Archive { files: files.into(), reading: None }, next: 0, events })
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> anyhow::Result<Option<RecordedEvent>> {
        if self.next == self.events {
            return Ok(None);
        }
        let event = match &mut self.from {
            From::Store { store, page } => {
                if page.is_empty() {
                    page.extend(store.read(self.next, PAGE).await?);
                }
                page.pop_front()
            }
            From::Archive { files, reading } => next_of(files, reading)?,
        };
        let event = event.filter(|event| event.revision == self.next);
        let event = event.ok_or_else(|| anyhow!("revision {} is missing in the source", self.next))?;
        self.next = self.next.saturating_add(1);
        Ok(Some(event))
    }

    /// The hash of all events from here to the end.
    async fn rest(&mut self, what: &'static str) -> anyhow::Result<String> {
        let bar = Bar::count(what);
        let mut hash = EventsHash::default();
        while let Some(event) = self.next().await? {
            hash.update(&event);
            bar.show(self.next, self.events);
        }
        bar.end();
        Ok(hash.finish())
    }
}

fn next_of(
    files: &mut VecDeque<ArchiveFile>,
    reading: &mut Option<(ArchiveFile, ArchiveReader)>,
) -> anyhow::Result<Option<RecordedEvent>> {
    loop {
        if let Some((file, reader)) = reading
            && let Some(event) = reader.next()
        {
            return Ok(Some(event.with_context(|| damaged(file))?));
        }
        let Some(file) = files.pop_front() else { return Ok(None) };
        let reader = read_file(&file)?;
        *reading = Some((file, reader));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event_store::MemoryStore;

    /// An event of a unit, with so many bytes of data.
    fn event(revision: u64, index: u32, count: u32, bytes: usize) -> RecordedEvent {
        let metadata = ledger_core::Metadata {
            schema_version: 1,
            recorded_at: ledger_core::Timestamp(0),
            command_id: ledger_core::CommandId(uuid::Uuid::nil()),
            request_hash: ledger_core::RequestHash([0; 16]),
            remembered_for: ledger_core::RememberedFor::Never,
            index,
            count,
            actor: ledger_core::Actor::System,
            payer: None,
            correlation: None,
        };
        RecordedEvent {
            revision,
            id: uuid::Uuid::from_u128(revision.into()),
            kind: "GiftSent".into(),
            data: vec![b'x'; bytes],
            metadata: metadata.encode(),
        }
    }

    /// Units of one small event, of three that are nearly too large for a batch, and of five.
    #[tokio::test]
    async fn batches_end_with_a_command_and_are_never_too_large() {
        let units = [(1, 200_000), (3, 340_000), (1, 10), (5, 100_000), (3, 340_000), (1, 10)];
        let (mut events, mut ends) = (Vec::new(), vec![None]);
        for (count, bytes) in units {
            for index in 0..count {
                events.push(event(events.len() as u64, index, count, bytes));
            }
            ends.push(Some(events.len() as u64 - 1));
        }
        let store = Arc::new(MemoryStore::new());
        let mut batches = Batches::new(store.clone(), None);
        for event in events.clone() {
            batches.add(event).await.expect("it is not too large");
            assert!(ends.contains(&store.head().await.expect("a head")), "a command is cut");
            assert_eq!(store.head().await.expect("a head"), batches.head());
        }
        batches.send_whole_commands().await.expect("the rest");
        assert_eq!(store.read(0, usize::MAX).await.expect("events"), events);
    }
}
