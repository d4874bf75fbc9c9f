//! Maps that can take back their last changes.

use super::packed::Packed;
use super::stored::{Bytes, NotAState, Out};
use crate::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;
use std::io;
use std::ops::RangeInclusive;

/// Rows in the order of their keys: for those that are read by ranges, or from the first on.
pub(crate) type Table<K, V> = Undoable<BTreeMap<K, V>>;

/// Rows that are found by their keys alone, which is faster and takes less room.
pub(crate) type Lookup<K, V> = Undoable<Packed<K, V>>;

/// What a table needs of its rows.
pub(crate) trait Rows: Default {
    type Key;
    type Row;

    fn get(&self, key: &Self::Key) -> Option<&Self::Row>;
    fn get_mut(&mut self, key: &Self::Key) -> Option<&mut Self::Row>;
    fn insert(&mut self, key: Self::Key, row: Self::Row) -> Option<Self::Row>;
    fn remove(&mut self, key: &Self::Key) -> Option<Self::Row>;
    fn len(&self) -> usize;
    /// All rows in the order of their keys.
    fn in_order(&self) -> impl ExactSizeIterator<Item = (&Self::Key, &Self::Row)>;
}

macro_rules! rows {
    ($map:ty, $key:ident: $($bound:path),*; $rows:ident => $in_order:expr) => {
        impl<$key: $($bound +)*, V> Rows for $map {
            type Key = $key;
            type Row = V;

            fn get(&self, key: &$key) -> Option<&V> {
                self.get(key)
            }

            fn get_mut(&mut self, key: &$key) -> Option<&mut V> {
                self.get_mut(key)
            }

            fn insert(&mut self, key: $key, row: V) -> Option<V> {
                self.insert(key, row)
            }

            fn remove(&mut self, key: &$key) -> Option<V> {
                self.remove(key)
            }

            fn len(&self) -> usize {
                self.len()
            }

            fn in_order(&self) -> impl ExactSizeIterator<Item = (&$key, &V)> {
                let $rows = self;
                $in_order
            }
        }
    };
}
rows! { BTreeMap<K, V>, K: Ord; rows => rows.iter() }
rows! { Packed<K, V>, K: Ord, Hash; rows => {
    let mut rows: Vec<(&K, &V)> = rows.iter().collect();
    rows.sort_unstable_by_key(|(key, _)| *key);
    rows.into_iter()
} }

/// Rows that remember, for each change that is not settled, what stood there before, under the revision of the event
/// that made the change.
#[derive(Clone, Debug)]
pub(crate) struct Undoable<R: Rows> {
    rows: R,
    before: VecDeque<(u64, R::Key, Option<R::Row>)>,
    /// Changes at earlier revisions are final.
    open_from: u64,
}

impl<R: Rows> Default for Undoable<R> {
    fn default() -> Self {
        Undoable { rows: R::default(), before: VecDeque::new(), open_from: 0 }
    }
}

impl<R: Rows<Key: Clone + Serialize, Row: Clone + Serialize>> Undoable<R> {
    pub fn get(&self, key: &R::Key) -> Option<&R::Row> {
        self.rows.get(key)
    }

    /// Sets or (`None`) removes a row, in the name of the event at `revision`.
    pub fn set(&mut self, revision: u64, key: R::Key, value: Option<R::Row>) {
        let kept = (revision >= self.open_from).then(|| key.clone());
        let old = match value {
            Some(value) => self.rows.insert(key, value),
            None => self.rows.remove(&key),
        };
        if let Some(key) = kept {
            self.before.push_back((revision, key, old));
        }
    }

    /// Changes a row that is there, in the name of the event at `revision`.
    ///
    /// # Panics
    /// When there is no such row: an event speaks of something that never came into being.
    pub fn edit(&mut self, revision: u64, key: &R::Key, edit: impl FnOnce(&mut R::Row)) {
        let row = self.rows.get_mut(key).expect("an event changes only rows that earlier events made");
        if revision >= self.open_from {
            self.before.push_back((revision, key.clone(), Some(row.clone())));
        }
        edit(row);
    }

    /// Takes back every change made at a revision of `from` or later.
    pub fn undo_from(&mut self, from: u64) {
        while let Some((_, key, old)) = self.before.pop_back_if(|(revision, ..)| *revision >= from) {
            match old {
                Some(old) => self.rows.insert(key, old),
                None => self.rows.remove(&key),
            };
        }
    }

    /// Makes every change up to and including `revision` final, those too that are still to come.
    pub fn settle(&mut self, revision: u64) {
        self.open_from = self.open_from.max(revision.saturating_add(1));
        let settled = self.before.partition_point(|(changed, ..)| *changed <= revision);
        self.before.drain(..settled);
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&R::Key, &R::Row)> {
        self.rows.in_order()
    }

    /// How many bytes, as JSON, are kept to take back changes.
    pub fn undo_bytes(&self) -> usize {
        let bytes = |row| serde_json::to_vec(row).map_or(0, |bytes| bytes.len());
        self.before.iter().map(bytes).sum()
    }

    pub fn encode(&self, name: &str, out: &mut Out) -> io::Result<()> {
        out.put_rows(name, self.rows.in_order())
    }
}

impl<K: Ord, V> Table<K, V> {
    /// The rows whose keys lie in `keys`, in their order.
    pub fn range(&self, keys: RangeInclusive<K>) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows.range(keys)
    }
}

impl<R: Rows<Key: DeserializeOwned, Row: DeserializeOwned> + FromIterator<(R::Key, R::Row)>> Undoable<R> {
    /// A table of which nothing can be taken back.
    pub fn decode(name: &'static str, bytes: &mut Bytes) -> Result<Undoable<R>, NotAState> {
        Ok(Undoable { rows: bytes.take_rows(name)?, ..Undoable::default() })
    }
}

/// A calendar: when which row of another table may leave.
impl<K: Copy + Ord + Serialize> Table<(Timestamp, K), ()> {
    /// Those whose moment is before `at`, the earliest first. A few at a time: whoever makes room does so in passing,
    /// and at least as many leave as come in.
    pub fn due_before(&self, at: Timestamp) -> Vec<(Timestamp, K)> {
        const AT_ONCE: usize = 4;
        let earliest = self.rows.keys().copied().take(AT_ONCE);
        earliest.take_while(|(moment, _)| *moment < at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(table: &Table<u32, &'static str>) -> Vec<(u32, &'static str)> {
        table.iter().map(|(key, value)| (*key, *value)).collect()
    }

    #[test]
    fn undo_brings_back_what_stood_before_and_settle_makes_it_final() {
        let mut table: Table<u32, &str> = Table::default();
        table.set(1, 7, Some("one"));
        table.edit(2, &7, |row| *row = "two");
        table.set(2, 8, Some("new"));
        table.set(3, 7, None);
        table.undo_from(3);
        assert_eq!(rows(&table), [(7, "two"), (8, "new")]);
        table.undo_from(2);
        assert_eq!(rows(&table), [(7, "one")]);
        table.set(2, 7, Some("other"));
        table.settle(2);
        table.undo_from(0);
        assert_eq!(rows(&table), [(7, "other")]);
        table.settle(4);
        table.set(4, 7, Some("final as soon as it is there"));
        table.edit(4, &7, |row| *row = "so too");
        assert_eq!(table.undo_bytes(), 0);
        table.set(5, 7, None);
        table.undo_from(0);
        assert_eq!(rows(&table), [(7, "so too")]);
    }
}
