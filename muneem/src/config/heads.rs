//! The keys that sign heads of the journal, and where heads go.

use super::secrets::write_private;
use super::{Config, Mode};
use anyhow::{Context, ensure};
use integrity::SigningKeys;
use platform::journal_heads::{Destination, Publisher, Settings};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// In the data folder, in development.
const DEVELOPMENT_KEY: &str = "heads.key";
const DEVELOPMENT_FOLDER: &str = "heads";

impl Config {
    /// The file of the signing keys.
    pub fn heads_key_file(&self) -> Option<PathBuf> {
        let development = || (self.mode == Mode::Development).then(|| self.data_dir.join(DEVELOPMENT_KEY));
        self.heads_key.clone().or_else(development)
    }

    /// Where heads are published; in development a folder beside the journal, to look at.
    pub fn heads_to(&self) -> Vec<Destination> {
        match self.heads_to.as_slice() {
            [] if self.mode == Mode::Development => {
                vec![Destination::Folder(self.data_dir.join(DEVELOPMENT_FOLDER))]
            }
            named => named.to_vec(),
        }
    }

    /// What the server signs and publishes with. In development the first start makes a key.
    ///
    /// # Errors
    /// When the key file cannot be read or made; the text says the mend.
    pub fn heads(&self) -> anyhow::Result<Settings> {
        if let (Mode::Development, None, Some(file)) = (self.mode, &self.heads_key, self.heads_key_file())
            && !file.exists()
        {
            make_key(&file)?;
        }
        Ok(Settings {
            keys: self.signing_keys()?,
            every: Duration::from_secs(self.heads_every_seconds.into()),
            publisher: Publisher::new(&self.heads_to()).context("MUNEEM_HEADS_TO cannot be used")?,
        })
    }

    /// The keys in the key file; `None` where no file is set, or development has not made one yet.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no keys.
    pub fn signing_keys(&self) -> anyhow::Result<Option<SigningKeys>> {
        let Some(file) = self.heads_key_file() else { return Ok(None) };
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                let keys = SigningKeys::parse(&text)
                    .with_context(|| format!("{} (MUNEEM_HEADS_KEY)", file.display()));
                keys.map(Some)
            }
            Err(fault) if fault.kind() == ErrorKind::NotFound && self.heads_key.is_none() => Ok(None),
            Err(fault) => Err(fault).with_context(|| {
                format!(
                    "{} (MUNEEM_HEADS_KEY) cannot be read; make a key once: muneem keygen --out {0}",
                    file.display()
                )
            }),
        }
    }
}

/// Makes a key, and the file for it, that only this user can read.
///
/// # Errors
/// When the file is there already, or cannot be written.
pub fn make_key(file: &Path) -> anyhow::Result<SigningKeys> {
    ensure!(!file.exists(), "{} is there already: a key is never written over", file.display());
    if let Some(folder) = file.parent().filter(|it| !it.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let text = format!(
        "# Signs heads of the journal. Keep it secret. To change it, put a line with a new key above this one.\n{}\n",
        hex::encode(platform::entropy::bytes::<32>())
    );
    write_private(file, &text).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(SigningKeys::parse(&text)?)
}
