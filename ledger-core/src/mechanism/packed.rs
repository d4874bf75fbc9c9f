//! Rows that are found by their keys and take little room.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hash};
use std::mem;

/// Rows in one list without gaps, and beside it their places by the hash of their keys: four bytes each. A hashed table
/// that has just grown is half empty, and so would be as many rows.
///
/// The rows stand in no order that anything could go by. The hash is another one in each process, so that nobody can
/// choose keys that meet.
#[derive(Clone, Debug)]
pub(crate) struct Packed<K, V> {
    rows: Vec<(K, V)>,
    places: HashTable<u32>,
    hash: RandomState,
}

impl<K, V> Default for Packed<K, V> {
    fn default() -> Self {
        Packed { rows: Vec::new(), places: HashTable::new(), hash: RandomState::default() }
    }
}

impl<K: Hash + Eq, V> Packed<K, V> {
    pub fn get(&self, key: &K) -> Option<&V> {
        let place =
            self.places.find(self.hash.hash_one(key), |place| self.rows[*place as usize].0 == *key)?;
        Some(&self.rows[*place as usize].1)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place =
            self.places.find(self.hash.hash_one(key), |place| self.rows[*place as usize].0 == *key)?;
        Some(&mut self.rows[*place as usize].1)
    }

    /// Puts the row there and answers the one that stood under its key.
    ///
    /// # Panics
    /// At the row beyond the four billionth.
    pub fn insert(&mut self, key: K, row: V) -> Option<V> {
        if let Some(there) = self.get_mut(&key) {
            return Some(mem::replace(there, row));
        }
        let Packed { rows, places, hash } = self;
        let place = u32::try_from(rows.len()).expect("a table holds fewer than four billion rows");
        let of_key = hash.hash_one(&key);
        rows.push((key, row));
        places.insert_unique(of_key, place, |place| hash.hash_one(&rows[*place as usize].0));
        None
    }

    /// The last row moves to where the removed one stood.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let Packed { rows, places, hash } = self;
        let found = places.find_entry(hash.hash_one(key), |place| rows[*place as usize].0 == *key);
        let (place, _) = found.ok()?.remove();
        let (_, row) = rows.swap_remove(place as usize);
        if let Some((moved, _)) = rows.get(place as usize) {
            let stood_at = rows.len() as u32;
            let its = places.find_mut(hash.hash_one(moved), |at| *at == stood_at);
            *its.expect("each row has its place") = place;
        }
        Some(row)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &V)> {
        self.rows.iter().map(|(key, row)| (key, row))
    }
}

impl<K: Hash + Eq, V> FromIterator<(K, V)> for Packed<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(rows: I) -> Self {
        let rows = rows.into_iter();
        let mut packed = Packed::default();
        packed.rows.reserve(rows.size_hint().0);
        packed.places.reserve(rows.size_hint().0, |_| 0);
        for (key, row) in rows {
            packed.insert(key, row);
        }
        packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(
            steps in prop::collection::vec((0..40_u8, prop::option::of(any::<u16>())), 0..400)
        ) {
            let (mut packed, mut map) = (Packed::default(), BTreeMap::new());
            for (key, row) in steps {
                match row {
                    Some(row) => prop_assert_eq!(packed.insert(key, row), map.insert(key, row)),
                    None => prop_assert_eq!(packed.remove(&key), map.remove(&key)),
                }
                prop_assert_eq!(packed.get(&key), map.get(&key));
                prop_assert_eq!(packed.get_mut(&key), map.get_mut(&key));
                let mut rows: Vec<_> = packed.iter().collect();
                rows.sort();
                prop_assert_eq!(rows, map.iter().collect::<Vec<_>>());
            }
            prop_assert_eq!(packed.len(), map.len());
        }
    }
}
