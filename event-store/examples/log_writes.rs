//! Prints how fast a log of a gift's bytes becomes durable, written in three ways over zeros, by gifts in a write:
//! `cargo run --release -p event-store --example log_writes [folder]`.
//!
//! Compare within a run only. The folder must be on the disk in question, and its file system must know `O_DIRECT`.

use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const RUN_FOR: Duration = Duration::from_secs(1);
const GIFT_BYTES: usize = 375;
/// What direct writes are aligned to, in memory and in the file.
const BLOCK: usize = 4_096;
const FILE_BYTES: u64 = 64 << 20;

fn main() -> std::io::Result<()> {
    let base = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(base)?;
    println!("gifts a second, each line is one run of {RUN_FOR:?} each");
    println!("{:>6} {:>16} {:>16} {:>16}", "gifts", "page cache", "direct", "direct, O_DSYNC");
    for gifts in [1, 8, 32, 256, 1_024, 4_000] {
        let ways = [OFlags::empty(), OFlags::DIRECT, OFlags::DIRECT | OFlags::DSYNC];
        let rates = ways.map(|flags| rate(&folder.path().join("log"), flags, gifts));
        let [cached, direct, dsync] = rates;
        println!("{gifts:>6} {:>16} {:>16} {:>16}", cached?, direct?, dsync?);
    }
    Ok(())
}

/// Writes one batch behind the other and flushes each; a direct write begins with the block that the last one ended in.
fn rate(path: &Path, flags: OFlags, gifts: usize) -> std::io::Result<u64> {
    let zeros = File::create(path)?;
    for offset in (0..FILE_BYTES).step_by(1 << 20) {
        zeros.write_all_at(&vec![0; 1 << 20], offset)?;
    }
    zeros.sync_all()?;
    let file = OpenOptions::new().write(true).custom_flags(flags.bits() as i32).open(path)?;
    let is_direct = flags.contains(OFlags::DIRECT);
    let bytes = gifts * GIFT_BYTES;
    let buffer = vec![b'x'; bytes + 3 * BLOCK];
    let aligned = buffer.as_ptr().align_offset(BLOCK);
    let (mut offset, mut count, start) = (0, 0_u64, now());
    while start.elapsed() < RUN_FOR {
        if offset + (bytes + BLOCK) as u64 > FILE_BYTES {
            offset = 0;
        }
        if is_direct {
            let from = offset / BLOCK as u64 * BLOCK as u64;
            let blocks = ((offset - from) as usize + bytes).div_ceil(BLOCK);
            file.write_all_at(&buffer[aligned..aligned + blocks * BLOCK], from)?;
        } else {
            file.write_all_at(&buffer[..bytes], offset)?;
        }
        if !flags.contains(OFlags::DSYNC) {
            file.sync_data()?;
        }
        offset += bytes as u64;
        count += gifts as u64;
    }
    Ok(count * 1_000 / u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1))
}

#[expect(clippy::disallowed_methods, reason = "a measurement is about the clock")]
fn now() -> Instant {
    Instant::now()
}
