//! The vectors that the implementations of RFC 6962 share, and every proof of small trees.

use integrity::{Hash, TileId, Tiles, Tree, consistency, inclusion, root};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tlog_tiles::{node_hash, record_hash};

/// The leaves of the reference trees.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
/// Their roots, of the first none, one, two, ... leaves.
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
const LEFT_PAIR: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
const SECOND_PAIR: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
const RIGHT_HALF: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";
const FIFTH: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
const FOURTH_PAIR: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
const THIRD_PAIR: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";

fn hash(hexadecimal: &str) -> Hash {
    Hash(hex::decode(hexadecimal).expect("digits").try_into().expect("32 bytes"))
}

fn hexadecimal(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| hex::encode(hash.0)).collect()
}

/// A tree, and everything that was stored of it.
struct Stored {
    tree: Tree,
    tiles: BTreeMap<TileId, Vec<u8>>,
}

impl Stored {
    fn of(leaves: impl IntoIterator<Item = Hash>) -> Stored {
        let mut stored = Stored { tree: Tree::default(), tiles: BTreeMap::new() };
        leaves.into_iter().for_each(|leaf| stored.tree.push(leaf));
        stored.store();
        stored
    }

    fn store(&mut self) {
        self.tiles.extend(self.tree.take_changed());
    }

    /// Those tiles and no others, as a reader would have fetched them.
    fn only(&self, wanted: &[TileId]) -> Tiles {
        wanted.iter().map(|id| (*id, self.tiles[id].clone())).collect()
    }
}

fn reference() -> Stored {
    Stored::of(LEAVES.iter().map(|leaf| record_hash(&hex::decode(leaf).expect("digits"))))
}

/// The definition of section 2.1, word for word.
fn defined(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => hash(ROOTS[0]),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(more.len().next_power_of_two() / 2);
            node_hash(defined(left), defined(right))
        }
    }
}

fn numbered(count: u64) -> Vec<Hash> {
    (0..count).map(|number| record_hash(&number.to_be_bytes())).collect()
}

#[test]
fn the_roots_of_the_reference_trees() {
    let mut tree = Tree::default();
    for (leaf, (before, after)) in LEAVES.iter().zip(ROOTS.iter().zip(&ROOTS[1..])) {
        assert_eq!(hex::encode(tree.root().0), **before);
        tree.push(record_hash(&hex::decode(leaf).expect("digits")));
        assert_eq!(hex::encode(tree.root().0), **after);
    }
    let stored = reference();
    for (size, expected) in (0..).zip(ROOTS) {
        let root = root::of(size, &stored.only(&root::tiles(size))).expect("the tiles are there");
        assert_eq!(hex::encode(root.0), expected, "of {size}");
    }
}

#[test]
fn the_inclusion_proofs_of_the_reference_trees() {
    let stored = reference();
    for (size, index, expected) in [
        (1, 0, &[][..]),
        (8, 0, &[LEFT_PAIR, SECOND_PAIR, RIGHT_HALF]),
        (8, 5, &[FIFTH, FOURTH_PAIR, ROOTS[4]]),
        (3, 2, &[ROOTS[2]]),
    ] {
        let tiles = stored.only(&inclusion::tiles(size, index));
        assert_eq!(
            hexadecimal(&inclusion::prove(size, index, &tiles).expect("proven")),
            expected,
            "{index} of {size}"
        );
    }
}

#[test]
fn the_consistency_proofs_of_the_reference_trees() {
    let stored = reference();
    for (size, earlier, expected) in [
        (1, 1, &[][..]),
        (8, 1, &[LEFT_PAIR, SECOND_PAIR, RIGHT_HALF]),
        (8, 6, &[THIRD_PAIR, FOURTH_PAIR, ROOTS[4]]),
        (5, 2, &[SECOND_PAIR, FIFTH]),
    ] {
        let tiles = stored.only(&consistency::tiles(size, earlier));
        let proof = consistency::prove(size, earlier, &tiles).expect("proven");
        assert_eq!(hexadecimal(&proof), expected, "{earlier} to {size}");
    }
}

#[test]
fn every_leaf_of_every_tree_up_to_200_is_proven_at_its_place_alone() {
    let leaves = numbered(200);
    let stored = Stored::of(leaves.iter().copied());
    for size in 1..=200_u64 {
        let root = root::of(size, &stored.only(&root::tiles(size))).expect("tiles");
        assert_eq!(root.0, defined(&leaves[..size as usize]).0);
        for index in 0..size {
            let proof =
                inclusion::prove(size, index, &stored.only(&inclusion::tiles(size, index))).expect("proven");
            let leaf = leaves[index as usize];
            inclusion::check(&proof, size, root, index, leaf).expect("the proof holds");
            // Another leaf, another place, another size and another root are refused.
            let other = leaves[(index as usize + 1) % 200];
            assert!(inclusion::check(&proof, size, root, index, other).is_err());
            assert!(
                inclusion::check(&proof, size, root, (index + 1) % (size + 1), leaf).is_err() || size == 1
            );
            assert!(inclusion::check(&proof, size, other, index, leaf).is_err());
            assert!(inclusion::check(&proof, size, root, size, leaf).is_err());
        }
    }
}

#[test]
fn every_tree_up_to_200_goes_on_from_every_smaller_one_and_from_no_other() {
    let leaves = numbered(200);
    let stored = Stored::of(leaves.iter().copied());
    let roots: Vec<Hash> = (0..=200).map(|size| defined(&leaves[..size])).collect();
    for size in 1..=200_u64 {
        for earlier in 1..=size {
            let tiles = stored.only(&consistency::tiles(size, earlier));
            let proof = consistency::prove(size, earlier, &tiles).expect("proven");
            let (new, old) = (roots[size as usize], roots[earlier as usize]);
            consistency::check(&proof, size, new, earlier, old).expect("the proof holds");
            let other = roots[(earlier as usize + 1) % 200];
            assert!(consistency::check(&proof, size, new, earlier, other).is_err());
            let wrong = roots[(size as usize + 1) % 201];
            assert!(consistency::check(&proof, size, wrong, earlier, old).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any flipped bit of a proof, and one that is longer or shorter, is refused.
    #[test]
    fn a_proof_that_was_touched_is_refused(size in 2_u64..=600, place in 0_u64..600, bit in 0_usize..256, hash in 0_usize..10) {
        let index = place % size;
        let leaves = numbered(size);
        let stored = Stored::of(leaves.iter().copied());
        let root = defined(&leaves);
        let good = inclusion::prove(size, index, &stored.only(&inclusion::tiles(size, index))).expect("proven");
        let leaf = leaves[index as usize];
        let mut flipped = good.clone();
        let touched = hash % flipped.len();
        flipped[touched].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(inclusion::check(&flipped, size, root, index, leaf).is_err());
        prop_assert!(inclusion::check(&good[1..].to_vec(), size, root, index, leaf).is_err());
        let longer: Vec<Hash> = good.iter().copied().chain([leaf]).collect();
        prop_assert!(inclusion::check(&longer, size, root, index, leaf).is_err());
        prop_assert!(inclusion::check(&good, size, root, index, leaf).is_ok());
    }

    /// However its growth is cut into appends, and wherever it is loaded from its tiles again.
    #[test]
    fn a_tree_that_is_stored_and_loaded_again_is_the_same(cuts in prop::collection::vec(1_u64..700, 1..6)) {
        let total: u64 = cuts.iter().sum();
        let leaves = numbered(total);
        let mut stored = Stored::of([]);
        let mut done = 0;
        for cut in cuts {
            for leaf in &leaves[done as usize..(done + cut) as usize] {
                stored.tree.push(*leaf);
            }
            done += cut;
            stored.store();
            prop_assert_eq!(stored.tree.root().0, defined(&leaves[..done as usize]).0);
            let edge = stored.only(&Tree::edge(done));
            stored.tree = Tree::load(done, &edge).expect("its edge is there");
            prop_assert_eq!(stored.tree.root().0, defined(&leaves[..done as usize]).0);
        }
        let tiles: Tiles = stored.tiles.clone().into_iter().collect();
        for (index, leaf) in (0..).zip(&leaves) {
            prop_assert_eq!(tiles.leaf(index).map(|leaf| leaf.0), Some(leaf.0));
        }
    }
}

#[test]
fn a_tree_of_three_levels_of_tiles() {
    let leaves = numbered(65_536 + 300);
    let mut stored = Stored::of(leaves[..65_535].iter().copied());
    for leaf in &leaves[65_535..] {
        stored.tree.push(*leaf);
        stored.store();
    }
    let size = leaves.len() as u64;
    assert_eq!(stored.tree.root().0, defined(&leaves).0);
    assert_eq!(stored.tiles.keys().map(|id| id.level).max(), Some(2));
    for index in [0, 255, 256, 65_535, 65_536, size - 1] {
        let tiles = stored.only(&inclusion::tiles(size, index));
        let proof = inclusion::prove(size, index, &tiles).expect("proven");
        inclusion::check(&proof, size, defined(&leaves), index, leaves[index as usize]).expect("holds");
    }
    // A leaf costs 32 bytes, and the levels above hardly any.
    let bytes: usize = stored.tiles.values().map(Vec::len).sum();
    assert!(bytes < leaves.len() * 33, "{bytes}");
}

#[test]
fn tiles_that_are_missing_or_cut_are_a_fault_and_no_panic() {
    let stored = Stored::of(numbered(300));
    assert!(root::of(300, &Tiles::default()).is_err());
    for cut in [0, 31, 33, 32 * 43, 8_193] {
        let tiles = root::tiles(300).into_iter().map(|id| {
            let mut tile = stored.tiles[&id].clone();
            tile.resize(cut, 0);
            (id, tile)
        });
        let tiles: Tiles = tiles.collect();
        assert!(root::of(300, &tiles).is_err(), "{cut}");
        assert!(Tree::load(300, &tiles).is_err() || cut >= 32 * 44, "{cut}");
    }
}
