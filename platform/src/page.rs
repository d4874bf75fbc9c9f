//! Pages of lists that are ordered by a moment and an id.

use chrono::{DateTime, Utc};
use ledger_core::{Amounts, Period};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last one.
    pub next: Option<Place>,
}

impl<T> Page<T> {
    /// Makes a page of `limit` items out of one more that were read.
    pub(crate) fn of(mut items: Vec<T>, limit: i64, place: impl Fn(&T) -> Place) -> Page<T> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(place);
        Page { items, next }
    }
}

/// The most rows of a page: what fits into a spreadsheet's file at once.
pub const MAX_PAGE: u32 = 10_000;

/// A page's size as asked for, within what is served.
pub(crate) fn page_size(limit: u32) -> i64 {
    i64::from(limit.clamp(1, MAX_PAGE))
}

/// Adds the condition that `column` lies in the period to a query that has one.
pub(crate) fn push_period(query: &mut QueryBuilder<Postgres>, column: &str, period: Period) {
    if let Some(from) = period.from {
        query.push(format_args!(" AND {column} >= ")).push_bind(from);
    }
    if let Some(to) = period.to {
        query.push(format_args!(" AND {column} < ")).push_bind(to);
    }
}

/// Adds the condition that `column` lies within the amounts to a query that has one.
pub(crate) fn push_amounts(query: &mut QueryBuilder<Postgres>, column: &str, amounts: Amounts) {
    if let Some(min) = amounts.min {
        query.push(format_args!(" AND {column} >= ")).push_bind(min);
    }
    if let Some(max) = amounts.max {
        query.push(format_args!(" AND {column} <= ")).push_bind(max);
    }
}

/// The place of a row in a list: its moment, and the id that breaks a tie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub at: DateTime<Utc>,
    pub id: Uuid,
}

/// The first microsecond that Postgres and RFC 3339 do not both hold.
const YEAR_10000_MICROS: i64 = 253_402_300_800_000_000;

impl Place {
    /// Before every row of a list that goes from the oldest to the newest.
    pub const OLDEST: Place = Place { at: DateTime::UNIX_EPOCH, id: Uuid::nil() };

    /// Before every row of a list that goes from the newest to the oldest.
    pub fn newest() -> Place {
        let at = DateTime::from_timestamp_micros(YEAR_10000_MICROS - 1).unwrap_or(DateTime::UNIX_EPOCH);
        Place { at, id: Uuid::max() }
    }

    /// What a cursor holds of it. Postgres keeps microseconds.
    pub fn key(self) -> (i64, Uuid) {
        (self.at.timestamp_micros(), self.id)
    }

    /// The place that [`Self::key`] was made of; `None` for a moment that no row can have.
    pub fn of_key((micros, id): (i64, Uuid)) -> Option<Place> {
        (0..YEAR_10000_MICROS).contains(&micros).then_some(())?;
        Some(Place { at: DateTime::from_timestamp_micros(micros)?, id })
    }
}

/// Why a page cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the database is unavailable: {0}")]
pub struct ListError(#[from] sqlx::Error);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_made_of_its_key_again_and_of_no_moment_that_a_row_cannot_have() {
        for place in [Place::OLDEST, Place::newest()] {
            assert_eq!(Place::of_key(place.key()), Some(place));
        }
        for micros in [-1, YEAR_10000_MICROS, i64::MIN, i64::MAX] {
            assert_eq!(Place::of_key((micros, Uuid::nil())), None, "{micros}");
        }
    }
}
