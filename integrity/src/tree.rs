//! The tree in tiles. A tile has up to 256 hashes of one level; the tile above has one hash for each full tile below. Only
//! the last tile of a level grows, so an append costs no more than the tiles at the right edge, however large the tree is,
//! and a root or a proof needs the few tiles on its way.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use tlog_tiles::{Error, HASH_SIZE, Hash, HashReader, Tile, TreeProof, prove_record, prove_tree, tree_hash};

const HEIGHT: u8 = 8;
/// How many hashes a full tile has.
pub const TILE_HASHES: usize = 1 << HEIGHT;
const TILE_BYTES: usize = TILE_HASHES * HASH_SIZE;

/// The place of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    pub level: u8,
    pub number: u64,
}

impl TileId {
    fn of(index: u64) -> TileId {
        let tile = Tile::from_index(HEIGHT, index);
        TileId { level: tile.level(), number: tile.level_index() }
    }
}

/// Tiles that were read from where they are kept.
#[derive(Clone, Debug, Default)]
pub struct Tiles(BTreeMap<TileId, Vec<u8>>);

impl FromIterator<(TileId, Vec<u8>)> for Tiles {
    fn from_iter<T: IntoIterator<Item = (TileId, Vec<u8>)>>(tiles: T) -> Tiles {
        Tiles(tiles.into_iter().collect())
    }
}

impl Tiles {
    /// The hash of a leaf, if its tile is there and reaches that far.
    pub fn leaf(&self, index: u64) -> Option<Hash> {
        let id = TileId { level: 0, number: index >> HEIGHT };
        let place = (index as usize % TILE_HASHES) * HASH_SIZE;
        let hash = self.0.get(&id)?.get(place..place + HASH_SIZE)?;
        hash.try_into().ok().map(Hash)
    }
}

impl HashReader for Tiles {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        let read = |index: &u64| {
            let id = TileId::of(*index);
            let data = self.0.get(&id).ok_or(Error::IndexesNotInTree)?;
            let is_tile =
                !data.is_empty() && data.len() <= TILE_BYTES && data.len().is_multiple_of(HASH_SIZE);
            let width = u32::try_from(data.len() / HASH_SIZE).ok().filter(|_| is_tile);
            let tile = Tile::new(HEIGHT, id.level, id.number, width.ok_or(Error::InvalidTile)?, false);
            tile.hash_at_index(data, *index)
        };
        indexes.iter().map(read).collect()
    }
}

/// Notes which tiles would be read, and reads none.
#[derive(Default)]
struct Asked(RefCell<BTreeSet<TileId>>);

impl HashReader for Asked {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        self.0.borrow_mut().extend(indexes.iter().copied().map(TileId::of));
        Err(Error::IndexesNotInTree)
    }
}

fn asked<T>(compute: impl FnOnce(&Asked) -> Result<T, Error>) -> Vec<TileId> {
    let reader = Asked::default();
    // It fails where it reads, which it does once.
    drop(compute(&reader));
    reader.0.into_inner().into_iter().collect()
}

/// The root of a tree of this size.
pub mod root {
    use super::{Error, Hash, TileId, Tiles, asked, tree_hash};

    /// The tiles that it follows from.
    pub fn tiles(size: u64) -> Vec<TileId> {
        asked(|reader| tree_hash(size, reader))
    }

    /// # Errors
    /// When a tile is missing or too short.
    pub fn of(size: u64, tiles: &Tiles) -> Result<Hash, Error> {
        tree_hash(size, tiles)
    }
}

/// The proof that a leaf is in a tree.
pub mod inclusion {
    use super::{Error, Hash, TileId, Tiles, asked, prove_record};

    /// The tiles that it is made of.
    pub fn tiles(size: u64, index: u64) -> Vec<TileId> {
        asked(|reader| prove_record(size, index, reader))
    }

    /// # Errors
    /// When the tree has no such leaf, or a tile is missing or too short.
    pub fn prove(size: u64, index: u64, tiles: &Tiles) -> Result<Vec<Hash>, Error> {
        prove_record(size, index, tiles)
    }

    pub use tlog_tiles::check_record as check;
}

/// The proof that a tree goes on from a smaller one.
pub mod consistency {
    use super::{Error, TileId, Tiles, TreeProof, asked, prove_tree};

    /// The tiles that it is made of.
    pub fn tiles(size: u64, earlier: u64) -> Vec<TileId> {
        asked(|reader| prove_tree(size, earlier, reader))
    }

    /// # Errors
    /// When `earlier` is no size of a smaller tree, or a tile is missing or too short.
    pub fn prove(size: u64, earlier: u64, tiles: &Tiles) -> Result<TreeProof, Error> {
        prove_tree(size, earlier, tiles)
    }

    pub use tlog_tiles::check_tree as check;
}

/// A tree that grows, of which the last tile of each level is in memory.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    size: u64,
    /// The hashes of the unfinished tile of each level.
    edge: Vec<Vec<u8>>,
    /// The tiles that were finished since they were last taken, and the size that the tree had then.
    finished: Vec<(TileId, Vec<u8>)>,
    taken_at: u64,
}

/// How many hashes a level has.
fn hashes_at(size: u64, level: u8) -> u64 {
    size.checked_shr(u32::from(HEIGHT) * u32::from(level)).unwrap_or(0)
}

impl Tree {
    /// The tiles that a tree of this size goes on from.
    pub fn edge(size: u64) -> Vec<TileId> {
        let unfinished = |level: u8| {
            let hashes = hashes_at(size, level);
            (!hashes.is_multiple_of(TILE_HASHES as u64)).then_some(TileId { level, number: hashes >> HEIGHT })
        };
        (0..8).filter_map(unfinished).collect()
    }

    /// The tree of this size, of the tiles that [`Tree::edge`] names.
    ///
    /// # Errors
    /// When a tile is missing or too short.
    pub fn load(size: u64, tiles: &Tiles) -> Result<Tree, Error> {
        let mut edge = Vec::new();
        for level in 0..8 {
            let hashes = hashes_at(size, level);
            let bytes = (hashes as usize % TILE_HASHES) * HASH_SIZE;
            let id = TileId { level, number: hashes >> HEIGHT };
            let tile = match bytes {
                0 => Vec::new(),
                _ => tiles.0.get(&id).and_then(|tile| tile.get(..bytes)).ok_or(Error::InvalidTile)?.to_vec(),
            };
            edge.push(tile);
        }
        Ok(Tree { size, edge, finished: Vec::new(), taken_at: size })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in 0.. {
            if self.edge.len() <= usize::from(level) {
                self.edge.push(Vec::new());
            }
            let tile = &mut self.edge[usize::from(level)];
            tile.extend_from_slice(&hash.0);
            if tile.len() < TILE_BYTES {
                break;
            }
            hash = Tile::subtree_hash(tile);
            let id = TileId { level, number: hashes_at(self.size, level) >> HEIGHT };
            self.finished.push((id, std::mem::take(tile)));
        }
        self.size += 1;
    }

    /// The root, in as many steps as the size has binary digits.
    #[must_use]
    pub fn root(&self) -> Hash {
        let edge = self.edge.iter().zip(0..).map(|(tile, level)| {
            (TileId { level, number: hashes_at(self.size, level) >> HEIGHT }, tile.clone())
        });
        tree_hash(self.size, &edge.collect::<Tiles>()).expect("the edge has all that a root is made of")
    }

    /// The tiles that are new or have grown since they were last taken.
    pub fn take_changed(&mut self) -> Vec<(TileId, Vec<u8>)> {
        let mut changed = std::mem::take(&mut self.finished);
        for (tile, level) in self.edge.iter().zip(0..) {
            let hashes = hashes_at(self.size, level);
            if !tile.is_empty() && hashes != hashes_at(self.taken_at, level) {
                changed.push((TileId { level, number: hashes >> HEIGHT }, tile.clone()));
            }
        }
        self.taken_at = self.size;
        changed
    }
}
