//! `muneem receipt`: a file that proves that an event is in the signed history, and the check of such a file.

use super::history::journal_id;
use super::open_journal;
use crate::config::Config;
use crate::progress::Bar;
use crate::serve::connect_postgres;
use anyhow::{Context, bail};
use chrono::SecondsFormat;
use clap::Args;
use event_store::{EventStore, RecordedEvent};
use integrity::{Leaves, Receipt, ReceiptError, VerifierKeys, inclusion};
use ledger_core::PlaceInUnit;
use platform::journal_heads::StoredTree;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use uuid::Uuid;

const PAGE_EVENTS: usize = 8_192;
/// No receipt is longer.
const LARGEST_BYTES: u64 = 8 << 20;

#[derive(Args)]
pub struct ReceiptOptions {
    /// The event, by its revision or its id. An id is looked for in the whole journal.
    #[arg(required_unless_present = "check", conflicts_with = "check")]
    event: Option<String>,
    /// Write the receipt into this file; otherwise it is printed.
    #[arg(long, conflicts_with = "check")]
    out: Option<PathBuf>,
    /// Check this receipt. Needs no server, no database and no settings.
    #[arg(long, value_name = "FILE", requires = "key")]
    check: Option<PathBuf>,
    /// The public key, as GET /v1/journal-keys or `muneem doctor` gave it once; may be given several times.
    #[arg(long, value_name = "KEY", requires = "check")]
    key: Vec<String>,
    /// What was made or proven, as JSON.
    #[arg(long)]
    json: bool,
}

impl ReceiptOptions {
    pub fn is_check(&self) -> bool {
        self.check.is_some()
    }
}

/// Exits 1 when the event in the journal is not the one in the signed history.
///
/// # Errors
/// When there is no such event, no head has it yet, or something cannot be reached.
pub async fn receipt(config: &Config, options: &ReceiptOptions) -> anyhow::Result<ExitCode> {
    let store = open_journal(config).await?;
    let journal = journal_id(store.as_ref()).await?.context("there is no journal yet")?;
    let pool = connect_postgres(config).await?;
    let stored = StoredTree::read(&pool, journal).await.context("the database has no tree of the journal")?;
    let event = find(store.as_ref(), options.event.as_deref().unwrap_or_default()).await?;
    let leaf = leaf(store.as_ref(), &event).await?;
    let receipt = prove(&pool, &stored, event.revision, leaf).await?;
    // What is given to somebody is checked as they will check it.
    let listed = stored.keys(&pool).await?.into_iter().map(|key| key.verifier_key);
    if let Err(fault) = receipt.check(&VerifierKeys::parse(listed)?) {
        eprintln!(
            "muneem: no receipt for the event at revision {}: {fault}; run muneem verify",
            event.revision
        );
        return Ok(ExitCode::FAILURE);
    }
    let text = receipt.to_string();
    match &options.out {
        None if options.json => crate::out!("{}", json!({ "revision": event.revision, "receipt": text })),
        None => print!("{text}"),
        Some(file) => {
            std::fs::write(file, &text).with_context(|| format!("{} cannot be written", file.display()))?;
            match options.json {
                true => crate::out!(
                    "{}",
                    json!({ "revision": event.revision, "event_id": event.id, "file": file })
                ),
                false => crate::out!(
                    "{} proves the event at revision {} ({})\nto check it: muneem receipt --check {0} --key KEY",
                    file.display(),
                    event.revision,
                    event.id
                ),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The event by its revision or its id.
async fn find(store: &dyn EventStore, named: &str) -> anyhow::Result<RecordedEvent> {
    let total = store.head().await?.map_or(0, |head| head.saturating_add(1));
    if let Ok(revision) = named.parse::<u64>() {
        let found = store.read(revision, 1).await?;
        return found
            .into_iter()
            .next()
            .with_context(|| format!("the journal has {total} events, from revision 0 on"));
    }
    let id: Uuid = named.parse().ok().context("an event is named by its revision or its id, a UUID")?;
    let bar = Bar::count("looking for the event");
    let mut next = 0;
    let found = loop {
        bar.show(next, total);
        let events = store.read(next, PAGE_EVENTS).await?;
        let Some(last) = events.last().map(|event| event.revision) else { break None };
        if let Some(event) = events.into_iter().find(|event| event.id == id) {
            break Some(event);
        }
        next = last.saturating_add(1);
    };
    bar.end();
    found.with_context(|| format!("no event of the journal has the id {id}"))
}

/// The bytes of the event's leaf. What holds for its whole unit stands beside the first event of it.
async fn leaf(store: &dyn EventStore, event: &RecordedEvent) -> anyhow::Result<Vec<u8>> {
    let mut leaves = Leaves::default();
    let index = u64::from(PlaceInUnit::of(&event.metadata)?.index);
    if index > 0 {
        let first = event.revision.checked_sub(index).context("the unit begins before the journal")?;
        for first in &store.read(first, 1).await? {
            leaves.bytes(first)?;
        }
    }
    Ok(leaves.bytes(event)?.to_vec())
}

async fn prove(pool: &PgPool, stored: &StoredTree, revision: u64, leaf: Vec<u8>) -> anyhow::Result<Receipt> {
    let head: Option<(i64, String)> = sqlx::query_as(
        "SELECT size, note FROM app.journal_heads WHERE history = $1 ORDER BY size DESC LIMIT 1",
    )
    .bind(stored.history.cast_signed())
    .fetch_optional(pool)
    .await?;
    let Some((size, note)) = head.filter(|(size, _)| size.unsigned_abs() > revision) else {
        bail!(
            "no signed head has the event at revision {revision} yet; one is signed every MUNEEM_HEADS_EVERY_SECONDS, and \
             at once by POST /v1/admin/journal-heads"
        );
    };
    let size = size.unsigned_abs();
    let tiles = StoredTree::tiles(&mut *pool.acquire().await?, &inclusion::tiles(size, revision)).await?;
    let proof = inclusion::prove(size, revision, &tiles)
        .context("the stored tree lacks hashes; run muneem verify")?;
    Ok(Receipt { revision, leaf, proof, note })
}

/// Exits 1 when the receipt proves nothing.
///
/// # Errors
/// When the file cannot be read, or a key is none.
pub fn check_receipt(options: &ReceiptOptions) -> anyhow::Result<ExitCode> {
    let keys = VerifierKeys::parse(&options.key)?;
    let file = options.check.as_deref().unwrap_or(Path::new("-"));
    let checked = Receipt::parse(&read(file)?).and_then(|receipt| receipt.check(&keys));
    match checked {
        Ok(proven) => {
            let recorded = proven.recorded;
            let data: Value = serde_json::from_slice(&recorded.event.to_json()).unwrap_or_default();
            let shown = json!({
                "proven": true,
                "origin": proven.head.origin,
                "signed_events": proven.head.size,
                "revision": recorded.revision,
                "event_id": recorded.event_id,
                "type": recorded.event.kind(),
                "metadata": recorded.metadata,
                "recorded_at": recorded.metadata.recorded_at.to_utc().to_rfc3339_opts(SecondsFormat::Millis, true),
                "data": data,
            });
            match options.json {
                true => crate::out!("{}", serde_json::to_string_pretty(&shown)?),
                false => crate::out!(
                    "proven: {} has this event at revision {}, among {} that were signed\n{} at {}, by {}\n{}",
                    proven.head.origin,
                    recorded.revision,
                    proven.head.size,
                    recorded.event.kind(),
                    recorded.metadata.recorded_at,
                    recorded.metadata.actor,
                    serde_json::to_string_pretty(&data)?
                ),
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(fault) => {
            told_not_proven(&fault, options.json);
            Ok(ExitCode::FAILURE)
        }
    }
}

fn told_not_proven(fault: &ReceiptError, as_json: bool) {
    match as_json {
        true => crate::out!("{}", json!({ "proven": false, "says": fault.to_string() })),
        false => crate::out!("not proven: {fault}"),
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    opened.take(LARGEST_BYTES).read_to_end(&mut bytes)?;
    // What is no text is no receipt.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
