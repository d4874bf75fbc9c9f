//! `muneem backup` and `muneem restore`: the journal's files, copied beside a running server and put back.

use super::manifest::{Form, Manifest, is_free, make_folder};
use crate::config::Config;
use crate::progress::Bar;
use anyhow::{Context, bail, ensure};
use clap::Args;
use event_store::EmbeddedReader;
use event_store::embedded::Copied;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub struct BackupOptions {
    /// A folder that does not exist yet, or is empty.
    #[arg(long)]
    to: PathBuf,
    /// What was backed up as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct RestoreOptions {
    /// The folder of a backup.
    #[arg(long)]
    from: PathBuf,
    /// What was restored as JSON.
    #[arg(long)]
    json: bool,
}

/// The journal's folder in a backup.
const JOURNAL: &str = "journal";

/// # Errors
/// When the store has no folder, the journal is damaged, or the backup cannot be written.
pub async fn backup(config: &Config, options: &BackupOptions) -> anyhow::Result<ExitCode> {
    let journal = journal_folder(config)?;
    let to = options.to.clone();
    let manifest = tokio::task::spawn_blocking(move || {
        ensure!(
            is_free(&to)?,
            "{} is not empty: name a folder that does not exist or is empty",
            to.display()
        );
        let reader = EmbeddedReader::open(&journal).context("the journal cannot be read")?;
        make_folder(&to)?;
        let inside = to.canonicalize()?.starts_with(journal.canonicalize()?);
        ensure!(!inside, "{} lies in the journal's own folder: name another place", to.display());
        let copied = copy(&reader, &to.join(JOURNAL), "copying the journal")?;
        ensure!(copied.events > 0, "the journal in {} is empty", journal.display());
        let manifest = Manifest::new(Form::Backup, copied.events, copied.hash);
        manifest.write(&to)?;
        anyhow::Ok(manifest)
    });
    manifest.await??.print(&format!("backed up to {}", options.to.display()), options.json)?;
    Ok(ExitCode::SUCCESS)
}

/// # Errors
/// When there is a journal already, or the backup is not what its manifest says.
pub async fn restore(config: &Config, options: &RestoreOptions) -> anyhow::Result<ExitCode> {
    let journal = journal_folder(config)?;
    let (from, target) = (options.from.clone(), journal.clone());
    let manifest = tokio::task::spawn_blocking(move || restore_into(&target, &from)).await??;
    manifest.print(&format!("restored into {}", journal.display()), options.json)?;
    Ok(ExitCode::SUCCESS)
}

fn restore_into(journal: &Path, from: &Path) -> anyhow::Result<Manifest> {
    ensure!(
        is_free(journal)?,
        "{} holds a journal, and nothing is written over one: stop the server and move that folder away first",
        journal.display()
    );
    let manifest = Manifest::read(from, Form::Backup)?;
    let reader = EmbeddedReader::open(from.join(JOURNAL)).context("the backup cannot be used")?;
    // It gets its name once all of it was read and compared, so that no server ever finds a part of it.
    let new = journal.with_extension("restoring");
    if new.exists() {
        fs::remove_dir_all(&new).with_context(|| format!("cannot remove {}", new.display()))?;
    }
    let outcome = copy(&reader, &new, "restoring the journal").and_then(|copied| {
        let found = (copied.events, &copied.hash);
        ensure!(
            found == (manifest.events, &manifest.hash),
            "the backup in {} is not what its manifest says: it has {} events with the hash {}, and should have {} with {}",
            from.display(),
            copied.events,
            copied.hash,
            manifest.events,
            manifest.hash
        );
        fs::rename(&new, journal).with_context(|| format!("cannot rename {}", new.display()))?;
        let above = journal.parent().unwrap_or(Path::new("."));
        File::open(above).and_then(|it| it.sync_all()).context("cannot flush the data folder")
    });
    if outcome.is_err() && new.exists() {
        fs::remove_dir_all(&new).ok();
    }
    outcome.map(|()| manifest)
}

fn copy(reader: &EmbeddedReader, to: &Path, what: &'static str) -> anyhow::Result<Copied> {
    let bar = Bar::bytes(what);
    let copied = reader.copy_to(to, |done, total| bar.show(done, total));
    bar.end();
    Ok(copied?)
}

fn journal_folder(config: &Config) -> anyhow::Result<PathBuf> {
    let store = config.store();
    match store.folder() {
        Some(folder) => Ok(folder.to_owned()),
        None => bail!(
            "{store} lies in no folder: back it up by its own means, or carry it by muneem export and import"
        ),
    }
}
