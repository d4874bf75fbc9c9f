//! Writes past the page cache, beside readers that go through it.

use super::super::frame::{BLOCK_BYTES, FrameBuffer};
use super::*;

/// The pages are in the cache before the write, so a reader would go on to see them if they stayed there.
#[test]
fn who_reads_through_the_page_cache_sees_a_direct_write_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = Disk::System.create_log(&path).unwrap();
    let zeros = FrameBuffer::zeros(64 * 1024);
    log.write_through_at(zeros.bytes(), 0).unwrap();
    let reader = fs::File::open(&path).unwrap();
    let mut frame = FrameBuffer::new();
    for number in 0..100_u64 {
        let offset = number * BLOCK_BYTES as u64;
        let read = |reader: &fs::File| {
            let mut bytes = [0; BLOCK_BYTES];
            std::os::unix::fs::FileExt::read_exact_at(reader, &mut bytes, offset).unwrap();
            bytes
        };
        assert_eq!(read(&reader), [0; BLOCK_BYTES]);
        frame.encode(&batch(number, 1).iter().collect(), number, 0);
        log.write_through_at(frame.bytes(), offset).unwrap();
        assert_eq!(read(&reader), frame.bytes(), "write {number}");
    }
}

/// What a disk of larger blocks answers, or a file system that knows no direct writes.
#[test]
fn a_direct_write_that_is_refused_goes_through_the_page_cache() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = Disk::System.create_log(&path).unwrap();
    let bytes = [7; 1000];
    for offset in [0, 1000, 2000] {
        log.write_through_at(&bytes, offset).unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), [7; 3000]);
}

#[tokio::test]
async fn a_journal_of_the_form_before_this_one_says_what_to_do() {
    let journal = journal_of(SMALL, &[batch(1, 2)]).await;
    change(&journal.segment(0), |bytes| bytes[..4].copy_from_slice(b"mjf1"));
    let damage = journal.damage();
    assert!(damage.what.contains("export the journal with the program that wrote it"), "{damage}");
}
