//! Heads in a folder: `muneem/<journal>/<day>/<events>.checkpoint`, a signed note each. A file that is there is never
//! written again.

use chrono::{DateTime, Utc};
use integrity::{Head, KeptHead};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const ENDING: &str = ".checkpoint";
/// A note has a few hundred bytes; one that is signed by many has more.
const LARGEST_BYTES: u64 = 64 * 1024;
/// So many heads are looked at, should the largest ones be none.
pub(super) const LOOKED_AT: usize = 8;
/// Folders within folders: name, journal, number of the history and day, and what an operator puts around them.
const DEEPEST: usize = 8;

/// The heads of one log in a folder.
pub struct KeptHeads(PathBuf);

impl KeptHeads {
    /// `origin` is the name of the log, whose parts are folders.
    pub fn new(folder: &Path, origin: &str) -> KeptHeads {
        KeptHeads(folder.join(origin))
    }

    /// Keeps a head; once it is there, nothing is done.
    ///
    /// # Errors
    /// When the folder cannot be written, or has another head in its place.
    pub fn keep(&self, head: &Head, signed_at: DateTime<Utc>) -> io::Result<()> {
        let path = self.0.join(name_of(head, signed_at));
        let day = path.parent().unwrap_or(&self.0).to_owned();
        if path.exists() {
            let kept = read_note(&path)?;
            let same = Head::read(&kept).is_ok_and(|kept| kept.root.0 == head.root.0);
            return if same {
                Ok(())
            } else {
                Err(io::Error::other(format!("{} is another head", path.display())))
            };
        }
        fs::create_dir_all(&day)?;
        let unfinished = path.with_extension("unfinished");
        let mut file = File::create(&unfinished)?;
        file.write_all(head.note.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        for folder in day.ancestors().take(2) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// The notes of the largest heads, the largest first. Who can write into the folder can put other files there.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn largest(&self) -> io::Result<Vec<KeptHead>> {
        let mut paths = Vec::new();
        for day in entries(&self.0)? {
            // The histories after this one lie beside its days.
            let is_day = day.file_name().is_some_and(|name| name.len() == "2026-11-27".len());
            if is_day {
                paths.extend(entries(&day)?.into_iter().filter(|path| is_head(path)));
            }
        }
        paths.sort_by(|a, b| b.file_name().cmp(&a.file_name()));
        let largest = paths.into_iter().take(LOOKED_AT);
        largest
            .map(|path| Ok(KeptHead { note: read_note(&path)?, place: path.display().to_string() }))
            .collect()
    }
}

/// The name of a head below that of its log, in folders and buckets: its day, and how many events it has.
pub(super) fn name_of(head: &Head, signed_at: DateTime<Utc>) -> String {
    format!("{}/{:020}{ENDING}", signed_at.format("%Y-%m-%d"), head.size)
}

/// All heads in a folder, however deep.
///
/// # Errors
/// When it cannot be read.
pub fn heads_in(folder: &Path) -> io::Result<Vec<KeptHead>> {
    // A folder that is missing is a mistake of whoever names it.
    fs::read_dir(folder)?;
    let (mut heads, mut folders) = (Vec::new(), vec![(folder.to_owned(), 0)]);
    while let Some((folder, depth)) = folders.pop() {
        for path in entries(&folder)? {
            if path.is_dir() && depth < DEEPEST {
                folders.push((path, depth + 1));
            } else if is_head(&path) {
                heads.push(KeptHead { note: read_note(&path)?, place: path.display().to_string() });
            }
        }
    }
    Ok(heads)
}

fn is_head(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ENDING)) && path.is_file()
}

/// What is no text is no note either, and is not believed.
fn read_note(path: &Path) -> io::Result<String> {
    let mut note = Vec::new();
    File::open(path)?.take(LARGEST_BYTES).read_to_end(&mut note)?;
    Ok(String::from_utf8_lossy(&note).into_owned())
}

/// What is in a folder; nothing where there is none yet.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| entry.map(|it| it.path())).collect(),
    }
}
