//! A journal and its read models, without a server, for `muneem bench rebuild` and `verify`.

use super::journal;
use super::world::Apart;
use crate::progress::say;
use clap::Args;
use event_store::EmbeddedStore;
use projections::Journal;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use std::sync::Arc;

#[derive(Args)]
pub struct JournalOptions {
    /// How many events of gifts, calls and purchases the journal has.
    #[arg(long, default_value = "100000", value_parser = clap::value_parser!(u32).range(3_000..=50_000_000))]
    events: u32,
    /// The figures as JSON.
    #[arg(long)]
    pub json: bool,
}

impl JournalOptions {
    pub fn events(&self) -> usize {
        self.events as usize
    }
}

pub struct Books {
    pub pool: PgPool,
    pub journal: Journal,
    pub events: u64,
}

impl Books {
    /// A journal of so many events, or a few more, and a database that has no read models yet.
    ///
    /// # Errors
    /// When the folder or the database cannot be used.
    pub async fn new(place: &Apart, at_least: usize) -> anyhow::Result<Books> {
        say(&format!("making a journal of {at_least} events"));
        let folder = place.folder.path().join("journal");
        let store = tokio::task::spawn_blocking(move || EmbeddedStore::open(folder)).await??;
        let events = journal::fill(&store, at_least).await?;
        Ok(Books { events, ..Books::empty(place, Arc::new(store)).await? })
    }

    /// The journal in `store`, and the same database.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn empty(place: &Apart, store: Journal) -> anyhow::Result<Books> {
        let pool = PgPoolOptions::new().max_connections(4).connect_with(place.database.clone()).await?;
        Ok(Books { pool, journal: store, events: 0 })
    }

    /// Drops the read models and projects the journal.
    ///
    /// # Errors
    /// When that fails.
    pub async fn rebuild(&self) -> anyhow::Result<()> {
        say("rebuilding the read models");
        projections::rebuild(&self.pool, self.journal.clone(), |_, _| ()).await?;
        Ok(())
    }
}
