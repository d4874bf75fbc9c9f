//! How much room the disk below a folder has.

use std::io;
use std::path::Path;

/// In bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What this process may still write: what is kept back for root is not in it.
    pub free: u64,
    pub size: u64,
}

/// # Errors
/// When the folder does not exist or cannot be looked at.
pub fn room(folder: &Path) -> io::Result<Room> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(Room {
        free: disk.f_bavail.saturating_mul(disk.f_frsize),
        size: disk.f_blocks.saturating_mul(disk.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_no_more_room_than_its_size_and_a_folder_that_is_none_has_no_disk() {
        let here = room(Path::new(".")).expect("this folder is on a disk");
        assert!(here.size > 0 && here.free <= here.size, "{here:?}");
        assert!(room(Path::new("no/such/folder")).is_err());
    }
}
