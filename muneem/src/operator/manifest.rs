//! What a backup and an archive say of themselves.

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

const NAME: &str = "manifest.json";
/// More bytes than any manifest has.
const LONGEST: u64 = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    /// The files of a journal, to be restored.
    Backup,
    /// Compressed files, to be imported into any store.
    Archive,
}

/// Written last and at once: a folder without one is not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub form: Form,
    /// The version of the form.
    pub version: u32,
    pub events: u64,
    pub last_revision: u64,
    /// SHA-256 over all events, see `docs/journal-format.md`.
    pub hash: String,
    pub made_at: String,
}

/// The bytes of a manifest: a few hundred. What is larger, or no file at all, is none.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let odd = |text: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, text);
    if !fs::metadata(path)?.is_file() {
        return Err(odd("it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST { Err(odd("it is too long")) } else { Ok(bytes) }
}

impl Manifest {
    pub(super) fn new(form: Form, events: u64, hash: String) -> Manifest {
        Manifest {
            form,
            version: 1,
            events,
            last_revision: events.saturating_sub(1),
            hash,
            made_at: platform::clock::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        }
    }

    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let (new, path) = (folder.join("manifest.json.new"), folder.join(NAME));
        let write = || -> std::io::Result<()> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(folder)?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// # Errors
    /// Where there is none that is readable, or it speaks of something else.
    pub(super) fn read(folder: &Path, form: Form) -> anyhow::Result<Manifest> {
        let path = folder.join(NAME);
        let bytes = match read_bounded(&path) {
            Ok(bytes) => bytes,
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => {
                bail!("{} has no manifest.json: it is none of ours, or it was not finished", folder.display())
            }
            Err(fault) => return Err(fault).with_context(|| format!("cannot read {}", path.display())),
        };
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is damaged, or of another version", path.display()))?;
        ensure!(
            manifest.form == form && manifest.version == 1,
            match manifest.form {
                Form::Backup if manifest.version == 1 =>
                    format!("{} is a backup: muneem restore reads it", folder.display()),
                Form::Archive if manifest.version == 1 =>
                    format!("{} is an archive: muneem import reads it", folder.display()),
                _ => format!("{} was made by a newer program", folder.display()),
            }
        );
        Ok(manifest)
    }

    pub(super) fn remove(folder: &Path) -> anyhow::Result<()> {
        match fs::remove_file(folder.join(NAME)) {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => {
                Err(fault).with_context(|| format!("cannot write in {}", folder.display()))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn print(&self, words: &str, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            crate::out!("{}", serde_json::to_string_pretty(self)?);
        } else {
            crate::out!(
                "{words}: {} events, the last one is revision {}\nhash {}",
                self.events,
                self.last_revision,
                self.hash
            );
        }
        Ok(())
    }
}

/// Makes a folder that only this user can read, with those above it.
pub(super) fn make_folder(folder: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// Whether there is nothing at this path, or an empty folder.
pub(super) fn is_free(folder: &Path) -> anyhow::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(fault) => Err(fault).with_context(|| format!("cannot read {}", folder.display())),
    }
}
