//! A reader of journals written from `docs/journal-format.md`, without any of the store's code. What it reads is what was
//! appended.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use event_store::embedded::Options;
use event_store::{EmbeddedReader, EmbeddedStore, EventStore, NewEvent};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The id, the kind, the data and the metadata.
type Event = ([u8; 16], Vec<u8>, Vec<u8>, Vec<u8>);

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 }
            },
        )
    })
}

fn number(bytes: &[u8], offset: usize, length: usize) -> u64 {
    bytes[offset..offset + length].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The bytes of a segment.
fn segment(folder: &Path, first: u64) -> Vec<u8> {
    let bytes = fs::read(folder.join(format!("{first:020}.segment"))).unwrap();
    if !bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return bytes;
    }
    let (end, whole) = (bytes.len(), zstd::stream::decode_all(&bytes[..]).unwrap());
    // The table is what the page says.
    let frames = number(&bytes, end - 9, 4) as usize;
    let table = end - 9 - 8 * frames - 8;
    assert_eq!((&bytes[table..table + 4], bytes[end - 5]), (&[0x5e, 0x2a, 0x4d, 0x18][..], 0));
    assert_eq!(
        (number(&bytes, table + 4, 4) as usize, &bytes[end - 4..]),
        (end - table - 8, &[0xb1, 0xea, 0x92, 0x8f][..])
    );
    let lengths =
        |at: usize| (0..frames).map(|frame| number(&bytes, table + 8 + 8 * frame + at, 4) as usize).sum();
    let (in_file, in_segment): (usize, usize) = (lengths(0), lengths(4));
    assert_eq!((in_file, in_segment), (table, whole.len()));
    whole
}

/// Every acknowledged event, and the bodies of their batches.
fn read_journal(folder: &Path) -> (Vec<Event>, Vec<u8>) {
    let position = fs::read(folder.join("acknowledged")).unwrap();
    assert_eq!((&position[..4], position.len()), (&b"mja1"[..], 36));
    assert_eq!(number(&position, 32, 4), u64::from(crc32(&position[..32])));
    let end = (number(&position, 4, 8), number(&position, 12, 8) as usize);

    let (mut events, mut bodies) = (Vec::new(), Vec::new());
    let (mut segment, mut offset, mut chain) = (0, 0, 0);
    let mut bytes = self::segment(folder, segment);
    while (segment, offset) != end {
        if bytes[offset..].iter().all(|byte| *byte == 0) {
            (segment, offset) = (events.len() as u64, 0);
            bytes = self::segment(folder, segment);
        }
        let header = &bytes[offset..offset + 32];
        assert_eq!(&header[..4], b"mjf2");
        assert_eq!(number(header, 28, 4), u64::from(crc32(&header[..28])));
        assert_eq!(number(header, 8, 8), events.len() as u64, "no gap");
        assert_eq!(number(header, 24, 4), chain);
        let length = number(header, 4, 4) as usize;
        let body = &bytes[offset + 32..offset + 32 + length];
        assert_eq!(number(header, 20, 4), u64::from(crc32(body)));
        let mut rest = body;
        for _ in 0..number(header, 16, 4) {
            let lengths = [number(rest, 16, 2), number(rest, 18, 4), number(rest, 22, 4)];
            let id = rest[..16].try_into().unwrap();
            rest = &rest[26..];
            let [kind, data, metadata] = lengths.map(|length| {
                let (part, behind) = rest.split_at(length as usize);
                rest = behind;
                part.to_vec()
            });
            events.push((id, kind, data, metadata));
        }
        assert!(rest.is_empty());
        bodies.extend(body);
        let next = (offset + 32 + length).next_multiple_of(512);
        assert!(bytes[offset + 32 + length..next].iter().all(|byte| *byte == 0));
        (offset, chain) = (next, number(header, 28, 4));
    }
    assert_eq!((number(&position, 20, 8), number(&position, 28, 4)), (events.len() as u64, chain));
    (events, bodies)
}

#[tokio::test]
async fn a_reader_written_from_the_page_reads_what_was_appended() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open_with(folder.path(), Options { segment_bytes: 4096 }, |_, _| {}).unwrap();
    let mut appended = Vec::new();
    let mut head = None;
    for batch in 0..40_u64 {
        let event = |index: u64| NewEvent {
            id: Uuid::from_u64_pair(batch, index),
            kind: ["GiftSent", "CallEnded", "₹"][index as usize % 3].into(),
            data: (0..batch * 7 % 90).map(|byte| byte as u8).collect(),
            metadata: vec![b'm'; index as usize],
        };
        let events = (0..=batch % 5).map(event).collect::<Vec<_>>();
        head = Some(store.append(head, &events).await.unwrap());
        appended.extend(
            events.into_iter().map(|it| (*it.id.as_bytes(), it.kind.into_bytes(), it.data, it.metadata)),
        );
    }
    // Beside the running writer, with the zeros that it has written ahead.
    let (events, bodies) = read_journal(folder.path());
    assert_eq!(events, appended);

    drop(store);
    let names = fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut endings = BTreeMap::<String, u32>::new();
    for name in names {
        let ending = name.trim_start_matches(|digit: char| digit.is_ascii_digit()).to_owned();
        *endings.entry(ending).or_default() += 1;
    }
    let segments = endings[".segment"];
    assert!(segments > 3);
    let listed = [
        (".index", segments - 1),
        (".segment", segments),
        ("acknowledged", 1),
        ("next.segment", 1),
        ("writer.lock", 1),
    ];
    assert_eq!(endings.into_iter().collect::<Vec<_>>(), listed.map(|(name, count)| (name.to_owned(), count)));

    let copy = tempfile::tempdir().unwrap();
    let copied = EmbeddedReader::open(folder.path()).unwrap().copy_to(copy.path(), |_, _| {}).unwrap();
    assert_eq!(
        copied.hash,
        Sha256::digest(&bodies).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    );
    assert_eq!(read_journal(copy.path()).0, appended, "a copy has the same form");

    let reader = EmbeddedReader::open(folder.path()).unwrap();
    for first in reader.full_segments().unwrap().into_iter().step_by(2) {
        reader.compress(first, |_| {}).unwrap().expect("it was not compressed");
    }
    assert_eq!(read_journal(folder.path()).0, appended, "some of them compressed");
}
