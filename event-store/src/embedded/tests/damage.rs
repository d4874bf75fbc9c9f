//! What damage and torn writes do to a journal on real files.

use crate::NewEvent;
use std::fs;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::super::frame::{self, BLOCK_BYTES, FRAME_LIMIT_BYTES, HEADER_BYTES, Header};
use super::super::simulated_disk::Random;
use super::*;

#[tokio::test]
async fn a_torn_tail_of_any_length_is_cut_and_the_rest_is_intact() {
    for ahead in [true, false] {
        let batches = [batch(1, 3), batch(2, 1)];
        let last = batch(3, 2);
        let journal = journal_of(SMALL, &batches).await;
        let before = journal.end();
        append(&journal.open(), &last).await;
        let after = journal.end();
        let whole = fs::read(journal.last_segment()).unwrap();
        let frame_end = before.offset + frame_bytes(&last);
        for length in (before.offset..=frame_end).chain((frame_end + 1..=after.offset).step_by(50)) {
            let mut torn = whole[..length as usize].to_vec();
            if ahead {
                torn.resize(whole.len(), 0);
            }
            fs::write(journal.last_segment(), torn).unwrap();
            journal.forget_acknowledged_after(&before);
            let mut recorded = batches.to_vec();
            if length >= frame_end {
                recorded.push(last.clone());
            }
            let store = journal.open();
            assert_eq!(ids(&store).await, ids_of(&recorded), "{length} of {after:?}");
            // The journal goes on from there, and the batch can be sent again.
            assert_eq!(store.append(Some(3), &last).await.unwrap(), 5);
            append(&store, &batch(4, 1)).await;
            drop(store);
            recorded.truncate(2);
            recorded.extend([last.clone(), batch(4, 1)]);
            assert_eq!(ids(&journal.open()).await, ids_of(&recorded));
        }
    }
}

#[tokio::test]
async fn a_torn_tail_whose_first_block_was_lost_is_cut() {
    let journal = journal_of(SMALL, &[batch(1, 3)]).await;
    let before = journal.end();
    append(&journal.open(), &batch(2, 3)).await;
    let after = journal.end();
    for lost in 1..after.offset - before.offset {
        change(&journal.last_segment(), |bytes| {
            bytes[before.offset as usize..][..lost as usize].fill(0);
        });
        journal.forget_acknowledged_after(&before);
        let store = journal.open();
        assert_eq!(ids(&store).await, ids_of(&[batch(1, 3)]), "{lost} bytes lost");
        assert_eq!(store.append(Some(2), &batch(2, 3)).await.unwrap(), 5);
    }
}

#[tokio::test]
async fn a_tail_that_is_longer_than_any_batch_is_no_torn_tail() {
    for (bytes, torn) in [(FRAME_LIMIT_BYTES, true), (FRAME_LIMIT_BYTES + 1, false)] {
        let journal = journal_of(SMALL, &[batch(1, 2)]).await;
        let offset = journal.end().offset;
        change(&journal.last_segment(), |segment| {
            segment.truncate(offset as usize);
            segment.resize(offset as usize + bytes, b'x');
        });
        if torn {
            assert_eq!(ids(&journal.open()).await, ids_of(&[batch(1, 2)]));
        } else {
            assert_eq!((journal.damage().at.offset, journal.damage().at.revision), (offset, 2));
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_in_any_frame_refuses_to_open_and_says_where() {
    let batches = (0..9).map(|number| batch(number, 1 + number as usize % 3)).collect::<Vec<_>>();
    let journal = Journal::new(SMALL);
    let store = journal.open();
    // The place of each frame: segment, offset of its start, first revision, and its bytes with and without the zeros.
    let mut frames = Vec::new();
    for events in &batches {
        let first = store.head().await.unwrap().map_or(0, |head| head + 1);
        append(&store, events).await;
        let end = journal.end();
        let bytes = frame_bytes(events);
        let whole = bytes.next_multiple_of(BLOCK_BYTES as u64);
        frames.push((end.segment, end.offset - whole, first, bytes, whole));
    }
    drop(store);
    assert!(journal.segments().len() >= 2);
    let acknowledged = fs::read(journal.acknowledged()).unwrap();

    // With and without the acknowledged position.
    for known in [true, false] {
        for (segment, start, first, bytes, whole) in &frames {
            for offset in (0..*bytes).chain((*bytes..*whole).step_by(50)).map(|offset| start + offset) {
                let path = journal.segment(*segment);
                let flip = |bytes: &mut Vec<u8>| bytes[offset as usize] ^= 1 << (offset % 8);
                change(&path, flip);
                if known {
                    fs::write(journal.acknowledged(), &acknowledged).unwrap();
                } else {
                    let _ = fs::remove_file(journal.acknowledged());
                }
                let damaged = fs::read(&path).unwrap();
                let Place { segment, offset: place, revision } = journal.damage().at;
                assert_eq!((&segment, place, revision), (&path, *start, *first), "at {offset}");
                assert_eq!(fs::read(&path).unwrap(), damaged, "a refused start changes nothing");
                change(&path, flip);
            }
        }
    }
    fs::write(journal.acknowledged(), &acknowledged).unwrap();
    assert_eq!(ids(&journal.open()).await, ids_of(&batches));
}

#[tokio::test]
async fn a_flipped_byte_after_the_last_frame_of_a_full_segment_is_seen() {
    let batches = (0..30).map(|number| batch(number, 3)).collect::<Vec<_>>();
    let journal = journal_of(SMALL, &batches).await;
    change(&journal.segment(0), |bytes| *bytes.last_mut().unwrap() = 1);
    assert_eq!(journal.damage().at.segment, journal.segment(0));
}

#[tokio::test]
async fn a_missing_segment_refuses_to_open() {
    let batches = (0..30).map(|number| batch(number, 3)).collect::<Vec<_>>();
    let journal = journal_of(SMALL, &batches).await;
    let segments = journal.segments();
    for missing in &segments {
        let path = journal.segment(*missing);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        if missing == segments.last().unwrap() {
            let error = journal.try_open().err().unwrap();
            assert!(matches!(error, OpenError::TailBehind { at, .. } if at.revision == *missing));
        } else {
            assert_eq!(journal.damage().at.revision, *missing);
        }
        fs::write(&path, bytes).unwrap();
    }
    journal.open();
}

#[tokio::test]
async fn a_frame_of_another_journal_breaks_the_chain() {
    let ours = journal_of(SMALL, &[batch(1, 2), batch(2, 2), batch(3, 2)]).await;
    let theirs = journal_of(SMALL, &[batch(5, 2), batch(6, 2), batch(7, 2)]).await;
    let bytes = BLOCK_BYTES;
    assert!(frame_bytes(&batch(1, 2)) <= bytes as u64);
    let other = fs::read(theirs.segment(0)).unwrap();
    change(&ours.segment(0), |ours| ours[bytes..2 * bytes].copy_from_slice(&other[bytes..2 * bytes]));
    let damage = ours.damage();
    assert_eq!((damage.at.offset, damage.at.revision), (bytes as u64, 2));
    assert!(damage.what.contains("does not belong"), "{damage}");
}

#[tokio::test]
async fn a_log_that_ends_before_its_acknowledged_end_refuses_to_open() {
    let journal = journal_of(SMALL, &[batch(1, 2)]).await;
    let before = journal.end();
    append(&journal.open(), &batch(2, 2)).await;
    change(&journal.last_segment(), |bytes| bytes[before.offset as usize..].fill(0));
    let place = Place { segment: journal.last_segment(), offset: before.offset, revision: 2 };
    let reader = EmbeddedReader::open(journal.path()).err().unwrap();
    for error in [journal.try_open().err().unwrap(), reader] {
        assert!(error.to_string().contains("events are lost"), "{error}");
        assert!(matches!(error, OpenError::TailBehind { at, acknowledged: 4 } if at == place));
    }
}

#[tokio::test]
async fn a_missing_acknowledged_position_is_told_and_written_again_by_the_writer() {
    for content in [None, Some(&b""[..]), Some(b"mja1"), Some(&[7; 36]), Some(&[0; 500])] {
        let journal = journal_of(SMALL, &[batch(1, 2), batch(2, 3)]).await;
        let followed = EmbeddedReader::open(journal.path()).unwrap();
        match content {
            None => fs::remove_file(journal.acknowledged()).unwrap(),
            Some(content) => fs::write(journal.acknowledged(), content).unwrap(),
        }
        let error = EmbeddedReader::open(journal.path()).err().unwrap();
        assert!(matches!(error, OpenError::NoAcknowledgedPosition { .. }), "{error}");
        assert!(error.to_string().contains("acknowledged is missing or not readable"), "{error}");
        let error = followed.read(0, 1).await.unwrap_err();
        assert!(error.to_string().contains("acknowledged is missing or not readable"), "{error}");
        assert_eq!(journal.open().head().await.unwrap(), Some(4));
        assert_eq!(EmbeddedReader::open(journal.path()).unwrap().head().await.unwrap(), Some(4));
        assert_eq!(followed.head().await.unwrap(), Some(4));
    }
}

#[tokio::test]
async fn without_an_acknowledged_position_a_damaged_last_batch_is_refused_and_not_cut() {
    for acknowledged in [true, false] {
        let journal = journal_of(SMALL, &[batch(1, 2)]).await;
        let before = journal.end();
        append(&journal.open(), &batch(2, 3)).await;
        journal.forget_acknowledged_after(&before);
        change(&journal.last_segment(), |bytes| bytes[before.offset as usize + 50] ^= 1);
        if acknowledged {
            assert_eq!(ids(&journal.open()).await, ids_of(&[batch(1, 2)]));
            continue;
        }
        fs::remove_file(journal.acknowledged()).unwrap();
        let damaged = fs::read(journal.last_segment()).unwrap();
        let damage = journal.damage();
        assert_eq!((damage.at.offset, damage.at.revision), (before.offset, 2));
        assert!(damage.what.contains("`acknowledged` is missing"), "{damage}");
        assert_eq!(fs::read(journal.last_segment()).unwrap(), damaged, "a refused start changes nothing");
        assert!(!journal.acknowledged().exists());
    }
}

#[tokio::test]
async fn a_position_where_no_batch_ends_refuses_to_open() {
    let journal = journal_of(SMALL, &[batch(1, 2), batch(2, 3)]).await;
    let end = journal.end();
    for wrong in [
        End { chain: end.chain ^ 1, ..end },
        End { offset: end.offset - 1, ..end },
        End { next_revision: end.next_revision - 1, ..end },
    ] {
        journal.forget_acknowledged_after(&wrong);
        let reader = EmbeddedReader::open(journal.path()).err().unwrap();
        assert!(matches!(reader, OpenError::Damaged(_) | OpenError::TailBehind { .. }), "{reader}");
        assert!(journal.damage().what.contains("no batch of this journal ends"));
    }
}

#[tokio::test]
async fn a_journal_whose_segments_are_gone_is_no_new_one() {
    let journal = journal_of(SMALL, &[batch(1, 2)]).await;
    fs::remove_file(journal.segment(0)).unwrap();
    for error in [journal.try_open().err().unwrap(), EmbeddedReader::open(journal.path()).err().unwrap()] {
        assert!(matches!(error, OpenError::TailBehind { acknowledged: 2, .. }), "{error}");
    }
    assert!(journal.segments().is_empty());
}

/// Random histories of appends and crashes; after each crash the journal holds all that was
/// acknowledged, and of the batch in flight all or nothing.
#[tokio::test]
async fn after_a_crash_that_leaves_any_bytes_the_journal_is_what_was_acknowledged() {
    for seed in 0..12 {
        let told = std::panic::AssertUnwindSafe(live_and_crash(seed)).catch_unwind().await;
        assert!(told.is_ok(), "seed {seed}");
    }
}

async fn live_and_crash(seed: u64) {
    let mut random = Random(seed);
    let journal = Journal::new(Options { segment_bytes: 600 + random.below(6000) });
    let mut model: Vec<Vec<NewEvent>> = Vec::new();
    let mut number = 0;
    for _ in 0..8 {
        let store = journal.open();
        assert_eq!(ids(&store).await, ids_of(&model));
        let mut acknowledged = vec![journal.end()];
        for _ in 0..=random.below(6) {
            number += 1;
            model.push(batch(number, 1 + random.below(6) as usize));
            append(&store, model.last().unwrap()).await;
            acknowledged.push(journal.end());
        }
        drop(store);

        // The crash comes in the last append: of its frame anything may be on the disk, and of the
        // acknowledged position any that was written before.
        let before = acknowledged[acknowledged.len() - 2];
        let known = acknowledged[random.below(acknowledged.len() as u64 - 1) as usize];
        let start = if journal.end().segment == before.segment { before.offset } else { 0 };
        let bytes = journal.end().offset - start;
        let part = random.below(bytes) as usize;
        let needed = frame_bytes(model.last().unwrap()) as usize;
        let mut whole = false;
        change(&journal.last_segment(), |segment| {
            let frame = &mut segment[start as usize..][..bytes as usize];
            let intact = frame.to_vec();
            match random.below(5) {
                0 => frame[part..].fill(0),
                1 => frame[..=part].fill(0),
                2 => frame[part..].iter_mut().for_each(|byte| *byte = random.next() as u8),
                3 => frame.iter_mut().for_each(|byte| *byte = random.next() as u8),
                _ => {}
            }
            if random.below(3) == 0 {
                segment.truncate(start as usize + bytes as usize);
            }
            if random.below(3) == 0 {
                segment.truncate(start as usize + part);
            }
            let left = &segment[start as usize..];
            whole = left.len() >= needed && left.iter().zip(&intact).all(|(left, before)| left == before);
        });
        journal.forget_acknowledged_after(&known);
        let in_flight = model.pop().unwrap();
        let store = journal.open();
        let expected = (ids_of(&model).len() as u64).checked_sub(1);
        let mut recorded = model.clone();
        recorded.extend(whole.then(|| in_flight.clone()));
        assert_eq!(ids(&store).await, ids_of(&recorded));
        // The caller was told nothing and sends the batch again, or dies with the machine.
        if whole || random.below(2) == 0 {
            let last = expected.map_or(0, |revision| revision + 1) + in_flight.len() as u64 - 1;
            assert_eq!(store.append(expected, &in_flight).await.unwrap(), last);
            model.push(in_flight);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_start_panic(
        segment in proptest::collection::vec(any::<u8>(), 0..300),
        lengths in any::<(u32, u32, u64)>(),
        sealed in any::<bool>(),
        acknowledged in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        if acknowledged {
            let handle = Disk::System.open(folder.path()).unwrap();
            let folder = Arc::new(Folder::new(&Disk::System, folder.path()));
            AcknowledgedFile::open(&folder, &handle, true, &End::default()).unwrap();
        }
        let mut bytes = segment;
        if sealed && bytes.len() > HEADER_BYTES {
            // A header that passes its crc, with any numbers in it.
            let (body_bytes, events, first) = lengths;
            let header = Header::new(body_bytes % 400, 0, first % 2, events % 8, 0);
            bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
            let body = &bytes[HEADER_BYTES..(HEADER_BYTES + body_bytes as usize % 400).min(bytes.len())];
            prop_assert!(Header::decode(bytes[..HEADER_BYTES].try_into().unwrap())
                .is_none_or(|header| frame::decode_body(&header, body).is_none_or(|events| !events.is_empty())));
        }
        fs::write(Folder::new(&Disk::System, folder.path()).segment(0), bytes).unwrap();
        match EmbeddedStore::open_with(folder.path(), SMALL, |_, _| {}) {
            Ok(_) | Err(OpenError::Damaged(_)) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
