//! The tree as it lies in Postgres.

use crate::audit::{self, Author, Change};
use chrono::{DateTime, Utc};
use integrity::{TileId, Tiles, origin};
use ledger_core::JournalId;
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// How far the tree has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTree {
    pub history: u32,
    pub size: u64,
    pub last_event: Option<Uuid>,
    /// The name under which heads are signed.
    pub origin: String,
}

/// A public key that heads are checked with.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredKey {
    pub verifier_key: String,
    /// Absent where it has signed nothing yet.
    pub first_used: Option<DateTime<Utc>>,
}

type Row = (i32, i64, Option<Uuid>);
const SELECT: &str = "SELECT history, size, last_event FROM app.journal_tree";
const LOCK: &str = "SELECT history, size, last_event FROM app.journal_tree FOR UPDATE";

impl StoredTree {
    /// # Errors
    /// When Postgres fails.
    pub async fn read(pool: &PgPool, journal: JournalId) -> Result<StoredTree, sqlx::Error> {
        Ok(StoredTree::of(sqlx::query_as(SELECT).fetch_one(pool).await?, journal))
    }

    /// Keeps the lock until the transaction ends.
    pub(super) async fn lock(tx: &mut PgConnection, journal: JournalId) -> Result<StoredTree, sqlx::Error> {
        Ok(StoredTree::of(sqlx::query_as(LOCK).fetch_one(tx).await?, journal))
    }

    fn of((history, size, last_event): Row, journal: JournalId) -> StoredTree {
        let history = history.unsigned_abs();
        StoredTree { history, size: size.unsigned_abs(), last_event, origin: origin(journal, history) }
    }

    /// The names under which histories were signed that an operator has ended.
    pub fn earlier_origins(&self, journal: JournalId) -> Vec<String> {
        (0..self.history).map(|history| origin(journal, history)).collect()
    }

    /// The public keys that have signed heads, of all histories.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn keys(&self, pool: &PgPool) -> Result<Vec<StoredKey>, sqlx::Error> {
        let select = "SELECT verifier_key, first_used FROM app.journal_head_keys ORDER BY first_used DESC";
        sqlx::query_as(select).fetch_all(pool).await
    }

    /// The tiles at these places, as far as they are there.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn tiles(connection: &mut PgConnection, wanted: &[TileId]) -> Result<Tiles, sqlx::Error> {
        let (levels, numbers) = columns(wanted.iter().copied());
        let rows: Vec<(i16, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT level, number, hashes FROM app.journal_tiles
             JOIN unnest($1::smallint[], $2::bigint[]) AS wanted (level, number) USING (level, number)",
        )
        .bind(levels)
        .bind(numbers)
        .fetch_all(connection)
        .await?;
        let place = |level: i16, number: i64| TileId {
            level: u8::try_from(level).unwrap_or_default(),
            number: number.unsigned_abs(),
        };
        Ok(rows.into_iter().map(|(level, number, hashes)| (place(level, number), hashes)).collect())
    }

    /// Writes tiles, new ones and such as have grown, and how far the tree has come with them.
    pub(super) async fn write(
        tx: &mut PgConnection,
        tiles: Vec<(TileId, Vec<u8>)>,
        size: u64,
        last_event: Uuid,
    ) -> Result<(), sqlx::Error> {
        let (levels, numbers) = columns(tiles.iter().map(|(id, _)| *id));
        let hashes: Vec<Vec<u8>> = tiles.into_iter().map(|(_, hashes)| hashes).collect();
        sqlx::query(
            "INSERT INTO app.journal_tiles (level, number, hashes)
             SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])
             ON CONFLICT (level, number) DO UPDATE SET hashes = EXCLUDED.hashes",
        )
        .bind(levels)
        .bind(numbers)
        .bind(hashes)
        .execute(&mut *tx)
        .await?;
        sqlx::query("UPDATE app.journal_tree SET size = $1, last_event = $2")
            .bind(size.cast_signed())
            .bind(last_event)
            .execute(tx)
            .await?;
        Ok(())
    }
}

fn columns(ids: impl Iterator<Item = TileId>) -> (Vec<i16>, Vec<i64>) {
    ids.map(|id| (i16::from(id.level), id.number.cast_signed())).unzip()
}

/// Begins the tree again under the next name, because events that were signed are lost for good. The heads of the history
/// that ends stay. Answers the name of the next one.
///
/// # Errors
/// When Postgres fails.
pub async fn end_history(
    pool: &PgPool,
    journal: JournalId,
    author: &Author,
    now: DateTime<Utc>,
) -> Result<StoredTree, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let before = StoredTree::lock(&mut tx, journal).await?;
    sqlx::query("DELETE FROM app.journal_tiles").execute(&mut *tx).await?;
    sqlx::query("UPDATE app.journal_tree SET history = history + 1, size = 0, last_event = NULL")
        .execute(&mut *tx)
        .await?;
    let after = StoredTree::lock(&mut tx, journal).await?;
    let change = Change::new("journal.history_ended", "journal", journal)
        .before(json!({ "origin": before.origin, "events": before.size }))
        .after(json!({ "origin": after.origin }));
    audit::record(&mut tx, author, change, now).await?;
    tx.commit().await?;
    Ok(after)
}
