//! Signed heads of the journal's Merkle tree: the evidence that what was recorded is still what the journal says.
//!
//! A worker of one node follows the journal, off the way of commands. It appends the leaves of whole units to tiles in
//! Postgres, in one transaction with the size of the tree; signs a head now and then, when there is something new; and
//! publishes heads where only others can remove them. Any node may sign one on demand: the lock on the one row of
//! `app.journal_tree` keeps two nodes from appending the same leaves, and what two do at once is the same.
//!
//! A head is signed of durable events alone, and only of a tree that goes on from the last signed one. A journal that is
//! shorter, or another one, is refused with an alert until a person has looked; commands are served meanwhile.

mod kept;
mod publish;
mod stored;
mod tree;
mod worker;

pub use kept::{KeptHeads, heads_in};
pub use publish::{Destination, PublishError, Publisher};
pub use stored::{StoredKey, StoredTree, end_history};
pub use tree::{BATCH_LEAVES, TreeFault};

use crate::page::{ListError, Page, Place, page_size};
use chrono::{DateTime, Utc};
use integrity::SigningKeys;
use ledger_core::JournalId;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The journal, as the tree follows it.
pub type Journal = Arc<dyn event_store::EventStore>;

/// What differs between deployments.
#[derive(Clone)]
pub struct Settings {
    /// Absent where nothing is signed; the tree is kept all the same.
    pub keys: Option<SigningKeys>,
    /// How much time passes between two heads at the least, unless one is asked for.
    pub every: Duration,
    pub publisher: Publisher,
}

#[derive(Clone)]
pub struct JournalHeads(Arc<Inner>);

struct Inner {
    pool: PgPool,
    store: Journal,
    journal: JournalId,
    settings: Settings,
}

/// A head as it is kept in Postgres.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SignedHead {
    pub id: Uuid,
    /// How many events the tree had.
    #[sqlx(try_from = "i64")]
    pub size: u64,
    pub root: Vec<u8>,
    pub note: String,
    pub signed_at: DateTime<Utc>,
    pub published_at: Option<DateTime<Utc>>,
}

const SELECT: &str = "SELECT id, size, root, note, signed_at, published_at FROM app.journal_heads";

/// Why no head was signed on demand.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("this deployment has no key to sign heads with")]
    NoKey,
    #[error("the tree is still being built; the next heads are signed by themselves")]
    Behind,
    /// The text is for operators.
    #[error("the journal is not the one that was signed")]
    Refused(String),
    #[error("the server cannot reach what it needs: {0}")]
    Outage(String),
}

impl JournalHeads {
    pub fn new(pool: PgPool, store: Journal, journal: JournalId, settings: Settings) -> JournalHeads {
        JournalHeads(Arc::new(Inner { pool, store, journal, settings }))
    }

    /// One page of heads, the newest first.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn list(&self, after: Option<Place>, limit: u32) -> Result<Page<SignedHead>, ListError> {
        let place = after.unwrap_or_else(Place::newest);
        let limit = page_size(limit);
        let mut query = sqlx::QueryBuilder::new(SELECT);
        query.push(" WHERE (signed_at, id) < (").push_bind(place.at).push(", ").push_bind(place.id);
        query.push(") ORDER BY signed_at DESC, id DESC LIMIT ").push_bind(limit + 1);
        let heads: Vec<SignedHead> = query.build_query_as().fetch_all(&self.0.pool).await?;
        Ok(Page::of(heads, limit, |head| Place { at: head.signed_at, id: head.id }))
    }

    /// The public keys of heads, the newest first; those that sign at present are among them once they have signed.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn keys(&self) -> Result<(String, Vec<StoredKey>), ListError> {
        let stored = StoredTree::read(&self.0.pool, self.0.journal).await?;
        let mut keys = stored.keys(&self.0.pool).await?;
        let present = self.0.settings.keys.as_ref().map(|keys| keys.verifier_keys(&stored.origin));
        for verifier_key in present.into_iter().flatten().rev() {
            if !keys.iter().any(|key| key.verifier_key == verifier_key) {
                keys.insert(0, StoredKey { verifier_key, first_used: None });
            }
        }
        Ok((stored.origin, keys))
    }
}
