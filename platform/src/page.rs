//! Pages of lists that are ordered by a moment and an id.

use chrono::{DateTime, Utc};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The cursor of the next page; absent on the last one.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of `limit` items out of one more that were read.
    pub(crate) fn of(mut items: Vec<T>, limit: i64, place: impl Fn(&T) -> Place) -> Page<T> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| place(last).to_string());
        Page { items, next }
    }
}

/// The place of a row in a list: its moment, and the id that breaks a tie. As text it is a cursor: 16 hex digits of
/// microseconds, then the id's 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a cursor that an earlier page gave")]
pub struct CursorInvalid;

/// Why a page cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error(transparent)]
    CursorInvalid(#[from] CursorInvalid),
    #[error("the database is unavailable: {0}")]
    Database(#[from] sqlx::Error),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{}", self.at.timestamp_micros(), self.id.simple())
    }
}

impl FromStr for Place {
    type Err = CursorInvalid;

    fn from_str(text: &str) -> Result<Place, CursorInvalid> {
        let read = || {
            let bytes: [u8; 24] = hex::decode(text).ok()?.try_into().ok()?;
            let (at, id) = bytes.split_at(8);
            let micros = i64::from_be_bytes(at.try_into().ok()?);
            (0..YEAR_10000_MICROS).contains(&micros).then_some(())?;
            Some(Place { at: DateTime::from_timestamp_micros(micros)?, id: Uuid::from_slice(id).ok()? })
        };
        read().ok_or(CursorInvalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        for place in [Place::OLDEST, Place::newest()] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "x", "00", &"f".repeat(48), &format!("7{}", "f".repeat(47)), &"0".repeat(50)] {
            assert_eq!(text.parse::<Place>(), Err(CursorInvalid), "{text:?}");
        }
    }
}
