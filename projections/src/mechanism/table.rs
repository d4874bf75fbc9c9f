//! The rows of one table, as a batch reads and writes them.
//!
//! Tables that only grow and get a row an event or more take theirs by `COPY` ([`super::append`]). Of those whose rows
//! change, balances are written from arrays (UNNEST); all others take their rows as one JSON text, whose keys are the
//! columns.

use super::Place;
use crate::error::ProjectError;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use uuid::Uuid;

/// Rows by their key: those that a batch builds on, and those that it makes.
#[derive(Debug)]
pub(crate) struct Table<R, K = Uuid> {
    wanted: BTreeSet<Uuid>,
    rows: BTreeMap<K, R>,
}

impl<R, K> Default for Table<R, K> {
    fn default() -> Self {
        Table { wanted: BTreeSet::new(), rows: BTreeMap::new() }
    }
}

impl<R, K: Ord> Table<R, K> {
    /// Notes that the batch changes the row, or rows, with this id.
    pub fn want(&mut self, id: Uuid) {
        self.wanted.insert(id);
    }

    /// Reads what is wanted. `sql` takes the ids as its one parameter.
    pub async fn load(
        &mut self,
        connection: &mut PgConnection,
        sql: &'static str,
        key: impl Fn(&R) -> K,
    ) -> Result<(), sqlx::Error>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        if self.wanted.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = self.wanted.iter().copied().collect();
        let rows: Vec<R> = sqlx::query_as(sql).bind(ids).fetch_all(connection).await?;
        self.rows.extend(rows.into_iter().map(|row| (key(&row), row)));
        Ok(())
    }

    /// Adds a row, or replaces the one with this key.
    pub fn insert(&mut self, key: K, row: R) {
        self.rows.insert(key, row);
    }

    pub fn get(&self, key: &K) -> Option<&R> {
        self.rows.get(key)
    }

    pub fn entry(&mut self, key: K) -> std::collections::btree_map::Entry<'_, K, R> {
        self.rows.entry(key)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut R> {
        self.rows.values_mut()
    }

    /// The row with this key, which the event at `place` changes. `what` is the row's name in the fault.
    pub fn find(&mut self, key: K, what: &str, place: &Place<'_>) -> Result<&mut R, ProjectError>
    where
        K: fmt::Display,
    {
        let lacking = place.lacks(&format!("the {what}"), &key);
        self.rows.get_mut(&key).ok_or(lacking)
    }

    /// Writes all rows, in the order of their keys. `sql` takes them as its one parameter.
    pub async fn write(&self, connection: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error>
    where
        R: Serialize,
    {
        put(connection, sql, self.rows.values()).await
    }
}

/// Writes `rows` with a statement that takes them as one JSON text.
pub(crate) async fn put<'a, R: Serialize + 'a>(
    connection: &mut PgConnection,
    sql: &'static str,
    rows: impl ExactSizeIterator<Item = &'a R>,
) -> Result<(), sqlx::Error> {
    if rows.len() == 0 {
        return Ok(());
    }
    let rows: Vec<&R> = rows.collect();
    let text = serde_json::to_string(&rows).map_err(|fault| sqlx::Error::Encode(fault.into()))?;
    sqlx::query(sql).bind(text).execute(connection).await?;
    Ok(())
}
