//! Appending leaves, and signing heads.

use super::publish::PublishError;
use super::stored::StoredTree;
use super::{Inner, JournalHeads, SELECT, SignError, SignedHead};
use crate::{clock, entropy};
use event_store::{ReadError, RecordedEvent};
use integrity::{Hash, Head, Leaves, SigningKeys, Tree, VerifierKeys, root};
use ledger_core::PlaceInUnit;
use sqlx::PgConnection;
use std::time::Duration;
use tokio::time::timeout;
use tracing::warn;

/// How many leaves one transaction appends at most, unless one unit has more: 32 full tiles.
pub const BATCH_LEAVES: usize = 8_192;
/// How long a store may take to show what another node has appended.
const READER_LAG: Duration = Duration::from_secs(1);
/// So many batches are appended before a head that somebody waits for.
const MOST_BATCHES: usize = 16;

/// Whoever asks for a head waits no longer than this for it to be published.
const PUBLISH_WITHIN: Duration = Duration::from_secs(2);

/// Why the tree does not go on.
#[derive(Debug, thiserror::Error)]
pub enum TreeFault {
    /// The same attempt may succeed later.
    #[error("{0}")]
    Outage(String),
    /// The journal is not the one that the tree is of, or was signed: a person has to look.
    #[error("{0}")]
    Refused(String),
    /// A head could not be published.
    #[error("{0}")]
    NotPublished(#[from] PublishError),
}

impl From<sqlx::Error> for TreeFault {
    fn from(fault: sqlx::Error) -> TreeFault {
        TreeFault::Outage(format!("the tree cannot be kept: {fault}"))
    }
}

impl From<ReadError> for TreeFault {
    fn from(fault: ReadError) -> TreeFault {
        match fault {
            ReadError::Unavailable(_) => TreeFault::Outage(fault.to_string()),
            ReadError::Damaged(_) | ReadError::TailBehind(_) => TreeFault::Refused(fault.to_string()),
        }
    }
}

/// The tree as it stands after the last append, with what is needed to go on.
pub(super) struct At {
    pub stored: StoredTree,
    tree: Tree,
}

/// The result of one attempt to append.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Appended(usize),
    /// The journal has no whole unit beyond the tree.
    CaughtUp,
    /// Another node has appended, or an operator has begun the tree again.
    Moved,
}

impl Inner {
    async fn load(&self) -> Result<At, TreeFault> {
        let stored = StoredTree::read(&self.pool, self.journal).await?;
        let tiles = StoredTree::tiles(&mut *self.pool.acquire().await?, &Tree::edge(stored.size)).await?;
        let tree = Tree::load(stored.size, &tiles).map_err(|_| spoilt())?;
        Ok(At { stored, tree })
    }

    /// Appends the leaves of the next whole units, in one transaction with the size of the tree. Killed anywhere, it has
    /// appended all of them or none.
    pub(super) async fn step(&self, at: &mut Option<At>) -> Result<Step, TreeFault> {
        let mut going = match at.take() {
            Some(at) => at,
            None => self.load().await?,
        };
        let events = match self.units_after(&going.stored).await {
            Ok(events) => events,
            Err(fault) => {
                // The tree may have moved on, or have been begun again.
                let is_here = StoredTree::read(&self.pool, self.journal).await? == going.stored;
                return if is_here { Err(fault) } else { Ok(Step::Moved) };
            }
        };
        let Some(last_event) = events.last().map(|event| event.id) else {
            *at = Some(going);
            return Ok(Step::CaughtUp);
        };
        let appended = events.len();
        // Hashing thousands of events takes milliseconds.
        let mut tree = going.tree;
        let pushed = tokio::task::spawn_blocking(move || push(&mut tree, &events).map(|()| tree)).await;
        let mut tree = pushed.map_err(|fault| TreeFault::Outage(fault.to_string()))??;

        let mut tx = self.pool.begin().await?;
        // A crash of Postgres may take the last appends away, whole and in order; they are made again, and are the same. A
        // head waits for the disk, and all before it with it.
        sqlx::query("SELECT set_config('synchronous_commit', 'off', true)").execute(&mut *tx).await?;
        if StoredTree::lock(&mut tx, self.journal).await? != going.stored {
            return Ok(Step::Moved);
        }
        StoredTree::write(&mut tx, tree.take_changed(), tree.size(), last_event).await?;
        tx.commit().await?;
        going.stored.size = tree.size();
        going.stored.last_event = Some(last_event);
        metrics::gauge!("muneem_journal_tree_leaves").set(tree.size() as f64);
        *at = Some(At { tree, ..going });
        Ok(Step::Appended(appended))
    }

    /// The next whole units behind the tree. The event of the last leaf is read again: it shows that the journal is still
    /// the one that the tree is of.
    async fn units_after(&self, stored: &StoredTree) -> Result<Vec<RecordedEvent>, TreeFault> {
        let known = usize::from(stored.size > 0);
        let from = stored.size.saturating_sub(1);
        let mut max = BATCH_LEAVES + known;
        loop {
            let mut events = self.store.read(from, max).await?;
            let is_full = events.len() >= max;
            if known == 1 {
                self.goes_on(stored, events.first()).await?;
                events.remove(0);
            }
            let mut whole = 0;
            for (place, event) in events.iter().enumerate().rev() {
                let closes = PlaceInUnit::of(&event.metadata).map_err(|fault| unreadable(event, &fault))?;
                if closes.closes_unit() {
                    whole = place + 1;
                    break;
                }
            }
            events.truncate(whole);
            if events.is_empty() && is_full {
                max = max.saturating_mul(2);
                continue;
            }
            return Ok(events);
        }
    }

    async fn goes_on(&self, stored: &StoredTree, found: Option<&RecordedEvent>) -> Result<(), TreeFault> {
        let last = stored.size.saturating_sub(1);
        match found {
            Some(found) if Some(found.id) == stored.last_event => Ok(()),
            Some(found) => Err(TreeFault::Refused(format!(
                "at revision {last} the journal has another event than the one whose leaf was stored: it has {}",
                found.id
            ))),
            // A node that took over may see the newest events a moment after the one before it.
            None if timeout(READER_LAG, self.store.wait_beyond(last.checked_sub(1))).await.is_ok() => {
                Err(TreeFault::Outage("the store was behind; it is read again".to_owned()))
            }
            None => {
                let events = self.store.head().await?.map_or(0, |head| head.saturating_add(1));
                Err(TreeFault::Refused(format!(
                    "the journal has {events} events, and the tree has the leaves of {}: events are lost",
                    stored.size
                )))
            }
        }
    }

    /// Signs a head of the tree as it stands, or finds the one that was. `None` where there is no key, no event, or another
    /// node has gone on.
    pub(super) async fn sign(&self, at: &mut Option<At>) -> Result<Option<SignedHead>, TreeFault> {
        let (Some(keys), Some(going)) = (&self.settings.keys, at.as_ref()) else { return Ok(None) };
        let StoredTree { history, size, origin, .. } = &going.stored;
        let (history, size) = (history.cast_signed(), *size);
        if size == 0 {
            return Ok(None);
        }
        let durable = self.store.head().await?.map_or(0, |head| head.saturating_add(1));
        if size > durable {
            return Err(shorter(durable, size, "the tree"));
        }
        let elsewhere = self.settings.publisher.largest(origin).await?;
        let root = going.tree.root();
        let mut tx = self.pool.begin().await?;
        if StoredTree::lock(&mut tx, self.journal).await? != going.stored {
            *at = None;
            return Ok(None);
        }
        let largest = format!("{SELECT} WHERE history = $1 ORDER BY size DESC LIMIT 1");
        let largest: Option<SignedHead> =
            sqlx::query_as(sqlx::AssertSqlSafe(largest)).bind(history).fetch_optional(&mut *tx).await?;
        if let Some(largest) = &largest {
            goes_on_from(&mut tx, size, root, largest.size, &largest.root, "the last signed head").await?;
        }
        let known = known_keys(&mut tx, keys, origin).await?;
        for of_folder in elsewhere {
            for kept in of_folder {
                match Head::open(&kept.note, &known) {
                    Ok(head) => {
                        goes_on_from(&mut tx, size, root, head.size, &head.root.0, &kept.place).await?;
                        break;
                    }
                    // Whoever writes such a file must not be able to keep heads from being signed.
                    Err(fault) => warn!(file = kept.place, %fault, "a file among the heads is not believed"),
                }
            }
        }
        if let Some(largest) = largest.filter(|largest| largest.size == size) {
            return Ok(Some(largest));
        }
        let head =
            Head::sign(origin, size, root, keys).map_err(|fault| TreeFault::Refused(fault.to_string()))?;
        let signed = SignedHead {
            id: entropy::uuid_v7(),
            size,
            root: root.0.to_vec(),
            note: head.note,
            signed_at: clock::now(),
            published_at: None,
        };
        keep(&mut tx, history, &signed, &keys.verifier_keys(origin)).await?;
        tx.commit().await?;
        metrics::gauge!("muneem_journal_head_leaves").set(size as f64);
        metrics::counter!("muneem_journal_heads_signed_total").increment(1);
        Ok(Some(signed))
    }
}

fn push(tree: &mut Tree, events: &[RecordedEvent]) -> Result<(), TreeFault> {
    let mut leaves = Leaves::default();
    for event in events {
        tree.push(leaves.hash(event).map_err(|fault| unreadable(event, &fault))?);
    }
    Ok(())
}

/// Refuses a tree that is not one that goes on from an earlier head.
async fn goes_on_from(
    tx: &mut PgConnection,
    size: u64,
    root: Hash,
    earlier: u64,
    earlier_root: &[u8],
    place: &str,
) -> Result<(), TreeFault> {
    if earlier > size {
        return Err(shorter(size, earlier, place));
    }
    let had = if earlier == size {
        root
    } else {
        let tiles = StoredTree::tiles(tx, &root::tiles(earlier)).await?;
        root::of(earlier, &tiles).map_err(|_| spoilt())?
    };
    if had.0 == *earlier_root {
        return Ok(());
    }
    Err(TreeFault::Refused(format!(
        "the tree does not go on from {place}, which was signed of {earlier} events"
    )))
}

/// The keys of heads that were signed under this name, and those that sign now.
async fn known_keys(
    tx: &mut PgConnection,
    keys: &SigningKeys,
    origin: &str,
) -> Result<VerifierKeys, TreeFault> {
    let mut known: Vec<String> =
        sqlx::query_scalar("SELECT verifier_key FROM app.journal_head_keys").fetch_all(tx).await?;
    known.extend(keys.verifier_keys(origin));
    VerifierKeys::parse(known).map_err(|fault| TreeFault::Refused(fault.to_string()))
}

async fn keep(
    tx: &mut PgConnection,
    history: i32,
    head: &SignedHead,
    verifier_keys: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO app.journal_heads (id, history, size, root, note, signed_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(head.id)
    .bind(history)
    .bind(head.size.cast_signed())
    .bind(&head.root)
    .bind(&head.note)
    .bind(head.signed_at)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO app.journal_head_keys (verifier_key, history, first_used)
         SELECT key, $2, $3 FROM unnest($1::text[]) AS key ON CONFLICT DO NOTHING",
    )
    .bind(verifier_keys)
    .bind(history)
    .bind(head.signed_at)
    .execute(tx)
    .await?;
    Ok(())
}

fn shorter(events: u64, signed: u64, place: &str) -> TreeFault {
    TreeFault::Refused(format!("there are {events} events, and {place} has {signed}: events are lost"))
}

fn spoilt() -> TreeFault {
    TreeFault::Refused(
        "the stored tree lacks hashes: restore the schema app, or begin the tree again".to_owned(),
    )
}

fn unreadable(event: &RecordedEvent, fault: &dyn std::fmt::Display) -> TreeFault {
    TreeFault::Refused(format!("the event at revision {} has no leaf: {fault}", event.revision))
}

impl JournalHeads {
    /// A head that has every event that was durable when it was asked for: a new one, unless there is one already.
    ///
    /// # Errors
    /// When there is no key, the tree is far behind, or the journal is not the one that was signed.
    pub async fn sign_now(&self) -> Result<SignedHead, SignError> {
        if self.0.settings.keys.is_none() {
            return Err(SignError::NoKey);
        }
        let mut at = None;
        for _ in 0..MOST_BATCHES {
            if self.0.step(&mut at).await? == Step::CaughtUp
                && let Some(head) = self.0.sign(&mut at).await?
            {
                return Ok(self.0.publish_at_once(head).await);
            }
        }
        Err(SignError::Behind)
    }

    /// Appends the leaves of all events that there are, and answers how many leaves the tree has. `progress` is told them.
    ///
    /// # Errors
    /// Any fault.
    pub async fn catch_up(&self, mut progress: impl FnMut(u64)) -> Result<u64, TreeFault> {
        let mut at = None;
        loop {
            let step = self.0.step(&mut at).await?;
            let size = at.as_ref().map_or(0, |at| at.stored.size);
            progress(size);
            if step == Step::CaughtUp {
                return Ok(size);
            }
        }
    }
}

impl Inner {
    /// The head as it is after an attempt to publish it. The worker tries again if it failed or took long.
    async fn publish_at_once(&self, head: SignedHead) -> SignedHead {
        let find = format!("{SELECT} WHERE id = $1");
        let published = async {
            self.publish().await?;
            Ok::<_, TreeFault>(
                sqlx::query_as(sqlx::AssertSqlSafe(find)).bind(head.id).fetch_one(&self.pool).await?,
            )
        };
        match timeout(PUBLISH_WITHIN, published).await {
            Ok(Ok(published)) => published,
            Ok(Err(_)) | Err(_) => head,
        }
    }
}

impl From<TreeFault> for SignError {
    fn from(fault: TreeFault) -> SignError {
        match fault {
            TreeFault::Refused(why) => SignError::Refused(why),
            TreeFault::Outage(why) => SignError::Outage(why),
            TreeFault::NotPublished(fault) => SignError::Outage(fault.to_string()),
        }
    }
}
