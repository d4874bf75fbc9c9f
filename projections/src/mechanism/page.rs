//! Lists in pages. All lists of the product have one form of cursor.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ledger_core::Amounts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{Postgres, QueryBuilder};

/// The most rows that a page has: what fits into a spreadsheet's file at once.
pub const PAGE_LIMIT: u32 = 10_000;

/// No cursor of ours is longer.
const CURSOR_LIMIT_BYTES: usize = 400;

/// A page of rows, and the cursor of the next one.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Absent on the last page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of `limit` rows out of rows that were read with one more than that.
    pub fn of<K: Serialize + DeserializeOwned>(
        mut rows: Vec<T>,
        limit: i64,
        list: &str,
        key: impl Fn(&T) -> K,
    ) -> Page<T> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|last| Cursor::write(list, &key(last)));
        Page { items: rows, next }
    }
}

/// Where a page of a list ended.
///
/// A client sees an opaque text: the list's name and the key of the page's last row, as a JSON array in
/// URL-safe base64. The key is one that no later event moves, such as a revision. A cursor of another
/// list is refused.
pub struct Cursor;

/// A text that is not a cursor of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a cursor that an earlier page gave")]
pub struct BadCursor;

impl Cursor {
    /// The cursor after the row with this key. The key is a number, a text, an id, or a tuple of them.
    pub fn write<K: Serialize>(list: &str, key: &K) -> String {
        let json = serde_json::to_vec(&(list, key)).expect("keys are numbers, texts and ids");
        URL_SAFE_NO_PAD.encode(json)
    }

    /// The key that [`Cursor::write`] made `text` of.
    ///
    /// # Errors
    /// [`BadCursor`] for any other text.
    pub fn read<K: Serialize + DeserializeOwned>(list: &str, text: &str) -> Result<K, BadCursor> {
        if text.len() > CURSOR_LIMIT_BYTES {
            return Err(BadCursor);
        }
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadCursor)?;
        let (of, key): (String, K) = serde_json::from_slice(&json).map_err(|_| BadCursor)?;
        // A key has one text: other spellings of it are not ours.
        if of == list && Cursor::write(list, &key) == text { Ok(key) } else { Err(BadCursor) }
    }

    /// As [`Cursor::read`]; without a text, the key `start`, which stands before the first page.
    ///
    /// # Errors
    /// [`BadCursor`] for a text that is no cursor of the list.
    pub fn read_or<K: Serialize + DeserializeOwned>(
        list: &str,
        text: Option<&str>,
        start: K,
    ) -> Result<K, BadCursor> {
        text.map_or(Ok(start), |text| Cursor::read(list, text))
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

/// A page's size as asked for, within what is served.
pub(crate) fn page_size(limit: u32) -> i64 {
    i64::from(limit.clamp(1, PAGE_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        let cursor = Cursor::write("statement", &(12_i64, 3_i32));
        assert_eq!(Cursor::read("statement", &cursor), Ok((12_i64, 3_i32)));
        assert_eq!(Cursor::read::<(i64, i32)>("gifts", &cursor), Err(BadCursor), "of another list");
        assert_eq!(Cursor::read::<i64>("statement", &cursor), Err(BadCursor), "with another key");
        let spaced = URL_SAFE_NO_PAD.encode(br#"["statement", [12,3]]"#);
        let long = "A".repeat(CURSOR_LIMIT_BYTES + 4);
        for text in ["", "12", "12-3", "!", "null", cursor.trim_end_matches('Q'), &spaced, &long] {
            if text != cursor {
                assert_eq!(Cursor::read::<(i64, i32)>("statement", text), Err(BadCursor), "{text:?}");
            }
        }
        for end in ["=", "A", "\n"] {
            let text = format!("{cursor}{end}");
            assert_eq!(Cursor::read::<(i64, i32)>("statement", &text), Err(BadCursor), "{text:?}");
        }
    }
}
