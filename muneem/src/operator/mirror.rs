//! `muneem mirror`: a copy of the journal in a second folder that follows it.

use super::transfer::Batches;
use crate::config::Config;
use crate::interrupt::stop_signal;
use anyhow::{Context, bail, ensure};
use clap::Args;
use event_store::{EmbeddedStore, EventStore, StoreAddress};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// So many events are read at once.
const PAGE: usize = 1_000;
/// Where a copy is held against the journal before it goes on, and how many events at each place.
const PLACES: u128 = 256;
const AT_A_PLACE: usize = 16;

#[derive(Args)]
pub struct MirrorOptions {
    /// The folder of the copy, on another disk. Made where it is missing; a copy that is there goes on.
    #[arg(long)]
    to: PathBuf,
    /// The store to follow: embedded:<folder> or postgres://...; by default the one of the settings.
    #[arg(long)]
    store: Option<StoreAddress>,
    /// How often to say how far the copy is.
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every_seconds: u64,
    /// Say it as JSON, an object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Lag {
    /// The last revision that is durable in the copy.
    mirrored: Option<u64>,
    /// The last one of the journal.
    journal: Option<u64>,
    /// The events between them.
    behind: u64,
}

/// Follows until Ctrl-C or SIGTERM.
///
/// # Errors
/// When the journal cannot be read or has lost events, or the copy is of another journal or cannot be written.
pub async fn mirror(config: &Config, options: &MirrorOptions) -> anyhow::Result<ExitCode> {
    let address = options.store.clone().unwrap_or_else(|| config.store());
    let source = address.open_to_read().await.with_context(|| format!("{address} cannot be read"))?;
    if let Some(folder) = address.folder()
        && options.to.canonicalize().is_ok_and(|to| folder.canonicalize().is_ok_and(|own| own == to))
    {
        bail!("{} is the journal itself: name another folder", options.to.display());
    }
    let to = options.to.clone();
    let copy = tokio::task::spawn_blocking(move || EmbeddedStore::open(to)).await?;
    let copy = Arc::new(copy.context("the copy cannot be opened")?);
    let next = check(source.as_ref(), copy.as_ref(), &address, options).await?;
    let mut batches = Batches::new(copy.clone(), next.checked_sub(1));
    let mut often = interval(Duration::from_secs(options.every_seconds));
    often.set_missed_tick_behavior(MissedTickBehavior::Skip);
    tokio::select! {
        () = stop_signal() => Ok(ExitCode::SUCCESS),
        fault = follow(source.as_ref(), next, &mut batches, &mut often, options.json) => Err(fault),
    }
}

/// The revision to go on with. The last event, whose id no other journal has, tells whether the copy is of this journal. That it
/// is no journal that was changed is seen at places that are spread over all of it; `muneem verify` reads every event.
async fn check(
    source: &dyn EventStore,
    copy: &dyn EventStore,
    address: &StoreAddress,
    options: &MirrorOptions,
) -> anyhow::Result<u64> {
    let Some(last) = copy.head().await? else { return Ok(0) };
    let (theirs, ours) = (source.read(last, 1).await?, copy.read(last, 1).await?);
    ensure!(
        !theirs.is_empty(),
        "{address} ends before revision {last}, which the copy in {} has: its events are lost, and the copy has them",
        options.to.display()
    );
    ensure!(theirs == ours, "{} is a copy of another journal than {address}", options.to.display());
    let places = (0..PLACES).map(|place| u128::from(last) * place / PLACES).map(|it| it as u64);
    for from in places {
        let (theirs, ours) = (source.read(from, AT_A_PLACE).await?, copy.read(from, AT_A_PLACE).await?);
        let differs = ours.iter().find(|ours| !theirs.contains(ours)).map(|ours| ours.revision);
        if let Some(revision) = differs {
            bail!(
                "the copy in {} and {address} have different events at revision {revision}: one of them was changed; \
                 muneem verify tells whether it is the journal",
                options.to.display()
            );
        }
    }
    Ok(last.saturating_add(1))
}

/// Ends by a fault alone.
async fn follow(
    source: &dyn EventStore,
    mut next: u64,
    batches: &mut Batches,
    often: &mut Interval,
    as_json: bool,
) -> anyhow::Error {
    loop {
        let step = async {
            tokio::select! {
                _ = often.tick() => say(source, batches, as_json).await,
                head = source.wait_beyond(next.checked_sub(1)) => {
                    head?;
                    for event in source.read(next, PAGE).await? {
                        next = event.revision.saturating_add(1);
                        batches.add(event).await?;
                    }
                    batches.send_whole_commands().await
                }
            }
        };
        if let Err(fault) = step.await {
            return fault.context("the copy cannot follow on");
        }
    }
}

async fn say(source: &dyn EventStore, batches: &Batches, as_json: bool) -> anyhow::Result<()> {
    let (mirrored, journal) = (batches.head(), source.head().await?);
    let count = |head: Option<u64>| head.map_or(0, |head| head.saturating_add(1));
    let lag = Lag { mirrored, journal, behind: count(journal).saturating_sub(count(mirrored)) };
    if as_json {
        crate::out!("{}", serde_json::to_string(&lag)?);
    } else {
        crate::out!("{} events mirrored, {} behind", count(mirrored), lag.behind);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use event_store::{MemoryStore, NewEvent};
    use uuid::Uuid;

    async fn journal(events: u64, other: Option<u64>) -> MemoryStore {
        let event = |revision: u64| NewEvent {
            id: Uuid::from_u64_pair(1, revision),
            kind: "GiftSent".into(),
            data: if other == Some(revision) { vec![1] } else { vec![0] },
            metadata: Vec::new(),
        };
        let store = MemoryStore::new();
        store.append(None, &(0..events).map(event).collect::<Vec<_>>()).await.unwrap();
        store
    }

    #[tokio::test]
    async fn a_copy_that_differs_anywhere_in_a_short_journal_does_not_go_on() {
        let options = MirrorOptions { to: "/mnt/copy".into(), store: None, every_seconds: 1, json: false };
        let source = journal(900, None).await;
        let address = StoreAddress::Memory;
        for changed in [0, 1, 17, 450, 898] {
            let copy = journal(899, Some(changed)).await;
            let error = check(&source, &copy, &address, &options).await.unwrap_err().to_string();
            let says = format!("different events at revision {changed}:");
            assert!(
                error.contains(&says) || (changed == 898 && error.contains("another journal")),
                "{error}"
            );
        }
        assert_eq!(check(&source, &journal(899, None).await, &address, &options).await.unwrap(), 899);
    }
}
