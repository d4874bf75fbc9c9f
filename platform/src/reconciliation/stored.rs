//! What reconciliations found, as it is kept in Postgres.

use super::{Found, Item, Outcome, Source};
use crate::page::{ListError, Page, Place, page_size};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::{PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

/// So many rows are written at once.
const CHUNK: usize = 4_000;

/// A comparison that was made.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Reconciliation {
    pub id: Uuid,
    pub source: String,
    pub file_name: String,
    pub file_sha256: Vec<u8>,
    /// The journal was read up to here.
    pub revision: i64,
    pub from_at: DateTime<Utc>,
    pub to_at: DateTime<Utc>,
    pub matched: i64,
    pub missing_here: i64,
    pub missing_there: i64,
    pub amount_differs: i64,
    pub fees: i64,
    pub made_at: DateTime<Utc>,
}

/// A line of a comparison that was made.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredItem {
    pub position: i32,
    pub outcome: String,
    pub kind: String,
    pub reference: String,
    pub asset: Option<String>,
    pub ours: Option<i64>,
    pub theirs: Option<i64>,
    pub fee: i64,
    pub tax: i64,
    pub settlement: Option<String>,
    pub event: Option<Uuid>,
    pub at: Option<DateTime<Utc>>,
    pub difference: Option<Uuid>,
}

/// Which lines are wanted.
#[derive(Clone, Debug, Default)]
pub struct ItemFilter {
    pub outcome: Option<String>,
    /// Only lines behind this position.
    pub after: Option<i32>,
}

#[derive(Clone)]
pub struct Reconciliations {
    pool: PgPool,
}

/// The file that was compared, and what of the journal it was compared with.
pub struct Compared<'a> {
    pub source: Source,
    pub file_name: &'a str,
    pub file: &'a [u8],
    pub revision: u64,
    pub period: (DateTime<Utc>, DateTime<Utc>),
}

impl Reconciliations {
    pub fn new(pool: PgPool) -> Reconciliations {
        Reconciliations { pool }
    }

    /// Keeps what was found, whole or not at all.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn keep(
        &self,
        compared: &Compared<'_>,
        found: &Found,
        now: DateTime<Utc>,
    ) -> Result<Uuid, sqlx::Error> {
        let id = crate::entropy::uuid_v7();
        let count = |outcome| i64::try_from(found.count(outcome)).unwrap_or(i64::MAX);
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "INSERT INTO app.reconciliations (id, source, file_name, file_sha256, revision, from_at, to_at, matched,
                                              missing_here, missing_there, amount_differs, fees, made_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(id)
        .bind(compared.source.as_str())
        .bind(compared.file_name)
        .bind(Sha256::digest(compared.file).to_vec())
        .bind(compared.revision.cast_signed())
        .bind(compared.period.0)
        .bind(compared.period.1)
        .bind(count(Outcome::Matched))
        .bind(count(Outcome::MissingHere))
        .bind(count(Outcome::MissingThere))
        .bind(count(Outcome::AmountDiffers))
        .bind(count(Outcome::Fees))
        .bind(now)
        .execute(&mut *tx)
        .await?;
        let mut position = 0;
        for chunk in found.items.chunks(CHUNK) {
            let rows = chunk.iter().map(|item| {
                position += 1;
                stored(position, item)
            });
            let mut insert = QueryBuilder::<Postgres>::new(
                "INSERT INTO app.reconciliation_items (reconciliation, position, outcome, kind, reference, asset, ours,
                                                       theirs, fee, tax, settlement, event, at, difference) ",
            );
            // A statement takes 65,535 values.
            insert.push_values(rows, |mut values, row| {
                values.push_bind(id).push_bind(row.position).push_bind(row.outcome).push_bind(row.kind);
                values
                    .push_bind(row.reference)
                    .push_bind(row.asset)
                    .push_bind(row.ours)
                    .push_bind(row.theirs);
                values.push_bind(row.fee).push_bind(row.tax).push_bind(row.settlement).push_bind(row.event);
                values.push_bind(row.at).push_bind(row.difference);
            });
            insert.build().execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(id)
    }

    /// Those that were made, the newest first.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn list(
        &self,
        source: Option<&str>,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Page<Reconciliation>, ListError> {
        let limit = page_size(limit);
        let after = after.unwrap_or_else(Place::newest);
        let mut query =
            QueryBuilder::<Postgres>::new("SELECT * FROM app.reconciliations WHERE (made_at, id) < (");
        query.push_bind(after.at).push(", ").push_bind(after.id).push(")");
        if let Some(source) = source {
            query.push(" AND source = ").push_bind(source);
        }
        query.push(" ORDER BY made_at DESC, id DESC LIMIT ").push_bind(limit + 1);
        let rows: Vec<Reconciliation> = query.build_query_as().fetch_all(&self.pool).await?;
        Ok(Page::of(rows, limit, |row| Place { at: row.made_at, id: row.id }))
    }

    /// # Errors
    /// When Postgres fails.
    pub async fn get(&self, id: Uuid) -> Result<Option<Reconciliation>, sqlx::Error> {
        let select = "SELECT * FROM app.reconciliations WHERE id = $1";
        sqlx::query_as(select).bind(id).fetch_optional(&self.pool).await
    }

    /// Lines of one of them, in their order; one more than `limit` where there are more.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn items(
        &self,
        id: Uuid,
        filter: &ItemFilter,
        limit: u32,
    ) -> Result<Vec<StoredItem>, sqlx::Error> {
        let mut query = QueryBuilder::<Postgres>::new(
            "SELECT position, outcome, kind, reference, asset, ours, theirs, fee, tax, settlement, event, at, difference
             FROM app.reconciliation_items WHERE reconciliation = ",
        );
        query.push_bind(id).push(" AND position > ").push_bind(filter.after.unwrap_or(0));
        if let Some(outcome) = &filter.outcome {
            query.push(" AND outcome = ").push_bind(outcome);
        }
        query.push(" ORDER BY position LIMIT ").push_bind(page_size(limit) + 1);
        query.build_query_as().fetch_all(&self.pool).await
    }

    /// Whether any reconciliation has found this difference.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn has_difference(&self, difference: Uuid) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM app.reconciliation_items WHERE difference = $1)")
            .bind(difference)
            .fetch_one(&self.pool)
            .await
    }
}

fn stored(position: i32, item: &Item) -> StoredItem {
    StoredItem {
        position,
        outcome: item.outcome.as_str().to_owned(),
        kind: item.subject.kind.clone(),
        reference: item.subject.reference.clone(),
        asset: item.asset.map(|asset| asset.to_string()),
        ours: item.ours,
        theirs: item.theirs,
        fee: item.fee,
        tax: item.tax,
        settlement: item.settlement.clone(),
        event: item.event,
        at: item.at,
        difference: item.difference,
    }
}
