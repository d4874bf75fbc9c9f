//! Compares rows that are expected with rows that are there.

use super::{Check, Difference, Stop};
use crate::mechanism::{CopyRow, between, encode};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, FromRow, PgConnection};
use std::collections::BTreeMap;
use std::fmt;

/// A comparison under way, in one snapshot of the read models.
pub(super) struct Comparison<'a> {
    pub connection: &'a mut PgConnection,
    pub checks: &'a mut Vec<Check>,
}

/// What the rows of a table are called by in a difference, and the event that they follow from.
pub(super) trait Named:
    Serialize + PartialEq + for<'r> FromRow<'r, PgRow> + Send + Sync + Unpin
{
    const TABLE: &'static str;

    /// The account or the id.
    fn id(&self) -> String;
    fn revision(&self) -> i64;
}

/// Says by which table and name the rows of a type are called.
macro_rules! named {
    ($row:ty: $id:expr) => {
        named!($row: <$row as $crate::mechanism::CopyRow>::TABLE, $id);
    };
    ($row:ty: $table:expr, $id:expr) => {
        impl $crate::verify::compare::Named for $row {
            const TABLE: &'static str = $table;
            fn id(&self) -> String {
                let id: fn(&Self) -> String = $id;
                id(self)
            }
            fn revision(&self) -> i64 {
                self.revision
            }
        }
    };
}
pub(super) use named;

impl Comparison<'_> {
    /// Adds one to what `check` has compared.
    pub fn count(&mut self, check: &'static str) {
        self.check(check).count += 1;
    }

    /// The check of this name, made where it is missing: it is listed also where there is nothing to compare.
    fn check(&mut self, name: &'static str) -> &mut Check {
        let place = self.checks.iter().position(|check| check.name == name);
        let place = place.unwrap_or_else(|| {
            self.checks.push(Check { name, count: 0 });
            self.checks.len() - 1
        });
        &mut self.checks[place]
    }

    /// A difference that `check` has found.
    pub fn differs(
        &mut self,
        check: &'static str,
        what: &str,
        id: impl fmt::Display,
        revision: Option<i64>,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Stop {
        self.check(check);
        Stop::Difference(Box::new(Difference {
            check,
            what: what.to_owned(),
            id: id.to_string(),
            revision: revision.and_then(|revision| u64::try_from(revision).ok()),
            expected: expected.to_string(),
            found: found.to_string(),
        }))
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
        Err(self.differs(what, what, id, i64::try_from(revision).ok(), expected, found))
    }

    /// The rows of a table that gets some with almost every event, between two revisions, both included. They are
    /// compared as bytes, in the order that `order` names, in which `expected` stands. Only where those differ are the
    /// rows read, to say which: `key` makes of a row what it is found by.
    pub async fn grown<T: Named + CopyRow, K: Ord>(
        &mut self,
        expected: &mut Vec<T>,
        range: (i64, i64),
        order: &'static str,
        key: impl Fn(&T) -> K,
    ) -> Result<(), Stop> {
        let expected = std::mem::take(expected);
        if between::<T>(self.connection, range, order).await? == encode(&expected) {
            self.check(<T as Named>::TABLE).count += expected.len() as u64;
            return Ok(());
        }
        // Values of the enum are read as texts.
        let columns: Vec<&str> =
            T::COLUMNS.iter().map(|name| if *name == "kind" { "kind::text" } else { name }).collect();
        let (columns, table) = (columns.join(", "), <T as Named>::TABLE);
        let sql =
            format!("SELECT {columns} FROM read.{table} WHERE revision BETWEEN $1 AND $2 ORDER BY {order}");
        let found: Vec<T> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(range.0)
            .bind(range.1)
            .fetch_all(&mut *self.connection)
            .await?;
        self.rows(expected, &found, key)
    }

    /// The rows of a table that only grows, between two revisions, both included. `sql` reads them, and
    /// `key` makes of a row what it is found by.
    pub async fn range<T: Named, K: Ord>(
        &mut self,
        sql: &'static str,
        (first, last): (i64, i64),
        expected: Vec<T>,
        key: impl Fn(&T) -> K,
    ) -> Result<(), Stop> {
        let found: Vec<T> =
            sqlx::query_as(sql).bind(first).bind(last).fetch_all(&mut *self.connection).await?;
        self.rows(expected, &found, key)
    }

    /// All rows of a table. `sql` reads them, and `key` makes of a row what it is found by.
    pub async fn table<T: Named, K: Ord>(
        &mut self,
        sql: &'static str,
        expected: Vec<T>,
        key: impl Fn(&T) -> K,
    ) -> Result<(), Stop> {
        let found: Vec<T> = sqlx::query_as(sql).fetch_all(&mut *self.connection).await?;
        self.rows(expected, &found, key)
    }

    /// In both directions: a row that is missing, and one that should not be there.
    fn rows<T: Named, K: Ord>(
        &mut self,
        expected: Vec<T>,
        found: &[T],
        key: impl Fn(&T) -> K,
    ) -> Result<(), Stop> {
        self.check(T::TABLE);
        let mut expected: BTreeMap<K, T> = expected.into_iter().map(|row| (key(&row), row)).collect();
        for row in found {
            self.count(T::TABLE);
            let Some(wanted) = expected.remove(&key(row)) else { return Err(self.extra(row)) };
            self.same_row(&wanted, row)?;
        }
        expected.values().next().map_or(Ok(()), |wanted| Err(self.missing(wanted)))
    }

    fn extra<T: Named>(&mut self, row: &T) -> Stop {
        self.differs(T::TABLE, T::TABLE, row.id(), Some(row.revision()), "no row", "a row")
    }

    fn missing<T: Named>(&mut self, row: &T) -> Stop {
        self.differs(T::TABLE, T::TABLE, row.id(), Some(row.revision()), "a row", "no row")
    }

    /// Names the first column that differs.
    fn same_row<T: Named>(&mut self, expected: &T, found: &T) -> Result<(), Stop> {
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
        Err(self.differs(T::TABLE, &what, expected.id(), Some(expected.revision()), value, found))
    }
}
