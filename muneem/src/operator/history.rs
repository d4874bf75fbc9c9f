//! Is the journal the history that was signed? The tree is rebuilt from the events, and held against the stored leaves and
//! every head that is kept, here and elsewhere.

use crate::config::Config;
use crate::progress::Bar;
use anyhow::{Context, ensure};
use event_store::EventStore;
use integrity::{Check, KeptHead, Report, TileId, VerifierKeys, WINDOW, origin};
use ledger_core::{Event, JournalId};
use platform::journal_heads::{StoredTree, heads_in};
use sqlx::PgPool;
use std::path::PathBuf;

/// As many as a read of the journal answers at once: 32 tiles.
const PAGE_EVENTS: usize = 8_192;
const TILE: u64 = integrity::TILE_HASHES as u64;

// What the journal is held against beside Postgres.
#[derive(Default, clap::Args)]
pub struct Evidence {
    /// A folder of heads that are kept elsewhere; may be given several times. Only a head that is kept elsewhere shows that
    /// the end of the journal was cut together with the database.
    #[arg(long, value_name = "FOLDER")]
    heads: Vec<PathBuf>,
    /// A public key that is trusted, as GET /v1/journal-keys or `muneem doctor` gave it once; may be given several times.
    /// Without it the keys that the database lists are believed.
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
}

/// `None` where there is no journal yet, or the database knows of no tree.
///
/// # Errors
/// When something cannot be read.
pub async fn check_history(
    config: &Config,
    store: &dyn EventStore,
    pool: &PgPool,
    evidence: &Evidence,
) -> anyhow::Result<Option<Report>> {
    let Some(journal) = journal_id(store).await? else { return Ok(None) };
    let has_tree: bool =
        sqlx::query_scalar("SELECT to_regclass('app.journal_tree') IS NOT NULL").fetch_one(pool).await?;
    if !has_tree {
        ensure!(
            evidence.heads.is_empty(),
            "the database was never served by a program that signs heads: start the server once"
        );
        return Ok(None);
    }
    // First what says how much there is, then the journal: what is appended meanwhile is no difference.
    let stored = StoredTree::read(pool, journal).await?;
    let mut heads: Vec<KeptHead> =
        sqlx::query_as("SELECT history, size, note FROM app.journal_heads ORDER BY history, size")
            .fetch_all(pool)
            .await?
            .into_iter()
            .map(|(history, size, note): (i32, i64, String)| KeptHead {
                place: format!(
                    "the head of {size} events of {} in the database",
                    origin(journal, history.unsigned_abs())
                ),
                note,
            })
            .collect();
    for folder in &evidence.heads {
        heads.extend(heads_in(folder).with_context(|| format!("{} cannot be read", folder.display()))?);
    }
    let keys = trusted(config, pool, &stored, evidence).await?;
    let mut check = Check::new(&stored.origin, &stored.earlier_origins(journal), &keys, heads);
    let total = store.head().await?.map_or(0, |head| head.saturating_add(1));
    let bar = Bar::count("rebuilding the tree");
    let mut connection = pool.acquire().await?;
    let mut next = 0;
    while next < total {
        bar.show(next, total);
        let events = store.read(next, PAGE_EVENTS).await?;
        let Some(last) = events.last().map(|event| event.revision) else { break };
        let wanted = (next / TILE..=last / TILE).map(|number| TileId { level: 0, number });
        let tiles = StoredTree::tiles(&mut connection, &wanted.collect::<Vec<_>>()).await?;
        for event in events.iter().filter(|event| event.revision < total) {
            let leaf = tiles.leaf(event.revision).filter(|_| event.revision < stored.size);
            check.event(event, leaf);
        }
        next = last.saturating_add(1);
    }
    bar.end();
    let beyond = total..stored.size.min(total.saturating_add(WINDOW as u64));
    let wanted = (beyond.start / TILE..beyond.end.div_ceil(TILE)).map(|number| TileId { level: 0, number });
    let tiles = StoredTree::tiles(&mut connection, &wanted.collect::<Vec<_>>()).await?;
    beyond.filter_map(|revision| tiles.leaf(revision)).for_each(|leaf| check.stored_beyond(leaf));
    Ok(Some(check.end()))
}

/// The id that the first event gives the journal. An event that is no such one, or cannot be read, gives it none: then the
/// read models say more.
pub async fn journal_id(store: &dyn EventStore) -> anyhow::Result<Option<JournalId>> {
    let first = ledger_runtime::read_journal(store, 0, 1).await?;
    Ok(first.first().and_then(|recorded| match &recorded.event {
        Event::JournalOpened(opened) => Some(opened.journal),
        _ => None,
    }))
}

/// The keys that are given, or those that the database and the key file of this deployment name.
async fn trusted(
    config: &Config,
    pool: &PgPool,
    stored: &StoredTree,
    evidence: &Evidence,
) -> anyhow::Result<VerifierKeys> {
    if !evidence.key.is_empty() {
        return Ok(VerifierKeys::parse(&evidence.key)?);
    }
    let listed = stored.keys(pool).await?.into_iter().map(|key| key.verifier_key);
    let own = config.signing_keys().ok().flatten();
    let own = own.into_iter().flat_map(|keys| keys.verifier_keys(&stored.origin));
    Ok(VerifierKeys::parse(listed.chain(own))?)
}
