//! The bytes that the leaves of the journal's tree are made of.

use crate::canonical::everything;
use ledger_core::*;
use std::collections::BTreeSet;

/// An event as a store holds it.
#[derive(Clone)]
struct Stored {
    recorded: Recorded,
    data: Vec<u8>,
    metadata: Vec<u8>,
}

impl Stored {
    fn put(&self, writer: &mut LeafWriter) -> Result<Vec<u8>, event::DecodeError> {
        let mut leaf = vec![];
        writer.put(
            self.recorded.event_id,
            self.recorded.event.kind(),
            &self.data,
            &self.metadata,
            &mut leaf,
        )?;
        Ok(leaf)
    }
}

fn journal(form: fn(&Recorded) -> (Vec<u8>, Vec<u8>)) -> Vec<Stored> {
    let stored = |recorded: &Recorded| {
        let (data, metadata) = form(recorded);
        Stored { recorded: recorded.clone(), data, metadata }
    };
    everything().journal.iter().map(stored).collect()
}

fn binary(it: &Recorded) -> (Vec<u8>, Vec<u8>) {
    (it.event.encode(), it.metadata.encode())
}

fn json(it: &Recorded) -> (Vec<u8>, Vec<u8>) {
    (it.event.to_json(), it.metadata.to_json())
}

fn leaves(journal: &[Stored]) -> Vec<Vec<u8>> {
    let mut writer = LeafWriter::default();
    journal.iter().map(|stored| stored.put(&mut writer).expect("a leaf")).collect()
}

#[test]
fn a_leaf_is_the_same_whichever_form_the_store_holds() {
    let leaves = [leaves(&journal(binary)), leaves(&journal(json))];
    assert_eq!(leaves[0], leaves[1]);
    assert_eq!(leaves[0].iter().collect::<BTreeSet<_>>().len(), leaves[0].len(), "and no two are equal");
}

#[test]
fn a_leaf_says_all_that_is_known_of_its_event() {
    let journal = journal(binary);
    assert!(journal.iter().any(|stored| stored.recorded.metadata.index > 0), "some stand within a unit");
    for (stored, leaf) in journal.iter().zip(leaves(&journal)) {
        let read = read_leaf(stored.recorded.revision, &leaf).expect("is read");
        assert_eq!(read, stored.recorded);
        for end in 0..leaf.len() {
            assert!(read_leaf(0, &leaf[..end]).is_err(), "cut at {end}");
        }
        assert!(read_leaf(0, &[&leaf[..], &[0]].concat()).is_err(), "a byte follows");
    }
}

/// In the binary form no bit of an event can be flipped without another leaf, or none.
#[test]
fn every_stored_bit_counts() {
    let journal = journal(binary);
    let leaves = leaves(&journal);
    let mut writer = LeafWriter::default();
    for (stored, leaf) in journal.iter().zip(&leaves) {
        let before = writer.clone();
        stored.put(&mut writer).expect("a leaf");
        let (data, metadata) = (stored.data.len(), stored.metadata.len());
        for bit in 0..(data + metadata) * 8 {
            let mut touched = stored.clone();
            let byte = match bit / 8 {
                byte if byte < data => &mut touched.data[byte],
                byte => &mut touched.metadata[byte - data],
            };
            *byte ^= 1 << (bit % 8);
            assert_ne!(
                touched.put(&mut before.clone()).ok().as_ref(),
                Some(leaf),
                "bit {bit} of {:?}",
                stored.recorded
            );
        }
        for (more_data, more_metadata) in [(&[0][..], &[][..]), (&[], &[0])] {
            let mut touched = stored.clone();
            touched.data.extend(more_data);
            touched.metadata.extend(more_metadata);
            assert_ne!(touched.put(&mut before.clone()).ok().as_ref(), Some(leaf), "{:?}", stored.recorded);
        }
    }
}

#[test]
fn json_that_says_the_same_in_another_way_has_no_leaf() {
    let mut writer = LeafWriter::default();
    let good = journal(json).swap_remove(0);
    good.put(&mut writer).expect("a leaf");
    for at in [1, good.data.len() - 1] {
        let mut spaced = good.clone();
        spaced.data.insert(at, b' ');
        assert!(spaced.put(&mut writer).is_err());
        let mut spaced = good.clone();
        spaced.metadata.insert(at.min(good.metadata.len() - 1), b' ');
        assert!(spaced.put(&mut writer).is_err());
    }
}

#[test]
fn what_goes_for_a_unit_counts_in_the_leaf_of_each_of_its_events() {
    let journal = journal(binary);
    let within =
        journal.iter().position(|stored| stored.recorded.metadata.index == 1).expect("a unit of two");
    let mut touched = journal.clone();
    let last = touched[within - 1].metadata.len() - 1;
    touched[within - 1].metadata[last] ^= 1;
    let mut writer = LeafWriter::default();
    let (first, second) = (touched[within - 1].put(&mut writer), touched[within].put(&mut writer));
    let leaves = leaves(&journal);
    assert_ne!(first.expect("a leaf"), leaves[within - 1]);
    assert_ne!(second.expect("a leaf"), leaves[within]);
    assert!(journal[within].put(&mut LeafWriter::default()).is_err(), "without the first there is none");
}
