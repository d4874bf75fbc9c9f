//! Compares rows that are expected with rows that are there.

use super::{Check, Difference, Stop};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection};
use std::collections::BTreeMap;
use std::fmt;

/// A comparison under way, in one snapshot of the read models.
pub(super) struct Comparison<'a> {
    pub connection: &'a mut PgConnection,
    pub checks: &'a mut Vec<Check>,
}

/// What the rows of a table are called by in a difference, and the event that they follow from.
pub(super) trait Named: Serialize + PartialEq + for<'r> FromRow<'r, PgRow> + Send + Unpin {
    const TABLE: &'static str;

    /// The account or the id.
    fn id(&self) -> String;
    fn revision(&self) -> i64;
    /// What makes the row one of its table, in the order that the rows are read in.
    fn place(&self) -> (i64, i32) {
        (self.revision(), 0)
    }
}

pub(super) fn difference(
    what: &str,
    id: impl fmt::Display,
    revision: Option<i64>,
    expected: impl fmt::Display,
    found: impl fmt::Display,
) -> Stop {
    Stop::Difference(Difference {
        what: what.to_owned(),
        id: id.to_string(),
        revision: revision.and_then(|revision| u64::try_from(revision).ok()),
        expected: expected.to_string(),
        found: found.to_string(),
    })
}

impl Comparison<'_> {
    /// Adds one to what `name` has compared.
    pub fn count(&mut self, name: &'static str) {
        match self.checks.iter_mut().find(|check| check.name == name) {
            Some(check) => check.count += 1,
            None => self.checks.push(Check { name, count: 1 }),
        }
    }

    /// Makes `name` one of the checks, also where there is nothing to compare.
    fn begin(&mut self, name: &'static str) {
        if !self.checks.iter().any(|check| check.name == name) {
            self.checks.push(Check { name, count: 0 });
        }
    }

    /// One figure.
    pub fn same(
        &mut self,
        what: &'static str,
        id: impl fmt::Display,
        revision: u64,
        expected: impl Into<i128>,
        found: impl Into<i128>,
    ) -> Result<(), Stop> {
        self.count(what);
        let (expected, found) = (expected.into(), found.into());
        if expected == found {
            return Ok(());
        }
        Err(difference(what, id, i64::try_from(revision).ok(), expected, found))
    }

    /// The rows of a table that only grows, between two revisions, both included. `sql` reads them
    /// in order.
    pub async fn window<T: Named>(
        &mut self,
        sql: &'static str,
        (first, last): (i64, i64),
        expected: &[T],
    ) -> Result<(), Stop> {
        self.begin(T::TABLE);
        let rows: Vec<T> =
            sqlx::query_as(sql).bind(first).bind(last).fetch_all(&mut *self.connection).await?;
        let mut found = rows.iter().peekable();
        for wanted in expected {
            self.count(T::TABLE);
            match found.next_if(|row| row.place() <= wanted.place()) {
                Some(row) if row.place() == wanted.place() => same_row(wanted, row)?,
                Some(row) => return Err(extra(row)),
                None => return Err(missing(wanted)),
            }
        }
        found.next().map_or(Ok(()), |row| Err(extra(row)))
    }

    /// All rows of a table, by the key that `key` makes of a row.
    pub async fn table<T: Named, K: Ord>(
        &mut self,
        sql: &'static str,
        expected: Vec<T>,
        key: impl Fn(&T) -> K,
    ) -> Result<(), Stop> {
        self.begin(T::TABLE);
        let mut expected: BTreeMap<K, T> = expected.into_iter().map(|row| (key(&row), row)).collect();
        let found: Vec<T> = sqlx::query_as(sql).fetch_all(&mut *self.connection).await?;
        for row in &found {
            self.count(T::TABLE);
            let wanted = expected.remove(&key(row)).ok_or_else(|| extra(row))?;
            same_row(&wanted, row)?;
        }
        expected.values().next().map_or(Ok(()), |wanted| Err(missing(wanted)))
    }
}

fn extra<T: Named>(row: &T) -> Stop {
    difference(T::TABLE, row.id(), Some(row.revision()), "no row", "a row")
}

fn missing<T: Named>(row: &T) -> Stop {
    difference(T::TABLE, row.id(), Some(row.revision()), "a row", "no row")
}

/// Names the first column that differs.
fn same_row<T: Named>(expected: &T, found: &T) -> Result<(), Stop> {
    if expected == found {
        return Ok(());
    }
    let columns = |row: &T| match serde_json::to_value(row) {
        Ok(serde_json::Value::Object(columns)) => columns,
        _ => serde_json::Map::new(),
    };
    let there = columns(found);
    let unequal = columns(expected).into_iter().find(|(column, value)| there.get(column) != Some(value));
    let (column, value) = unequal.unwrap_or_default();
    let found = there.get(&column).cloned().unwrap_or_default();
    let what = format!("{}.{column}", T::TABLE);
    Err(difference(&what, expected.id(), Some(expected.revision()), value, found))
}
