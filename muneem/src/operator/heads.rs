//! `muneem keygen` and `muneem heads`: the keys of heads, and the end of a history.

use super::history::journal_id;
use super::open_journal;
use crate::config::{Config, make_key};
use crate::serve::connect_postgres;
use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use platform::audit::Author;
use platform::journal_heads::end_history;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct KeygenOptions {
    /// The file that is made. It is never written over.
    #[arg(long)]
    out: PathBuf,
    /// Where the key is, as JSON.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When the file is there already, or cannot be written.
pub fn keygen(options: &KeygenOptions) -> anyhow::Result<ExitCode> {
    make_key(&options.out)?;
    let file = options.out.display();
    if options.json {
        crate::out!("{}", serde_json::to_string_pretty(&json!({ "file": options.out }))?);
    } else {
        crate::out!(
            "{file} holds a new key: set MUNEEM_HEADS_KEY={file}, keep a copy where the deployment's secrets are, and start \
             the server.\nThe public key has the journal's name in it: `muneem doctor` and GET /v1/journal-keys show it."
        );
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Args)]
pub struct HeadsOptions {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// After a restore from an older copy: events that were signed are lost for good, and no head is signed any more. Begins
    /// the tree again from the journal as it is, under the next number. The heads of the history that ends stay, and show
    /// what it had. It is written to the audit log.
    BeginAgain(BeginAgainOptions),
}

#[derive(Args)]
struct BeginAgainOptions {
    /// Why: a code of 1 to 64 small letters, digits and underscores, such as restored_from_backup.
    #[arg(long)]
    reason: String,
    /// The name of the history that begins, as JSON.
    #[arg(long)]
    json: bool,
}

/// # Errors
/// When the journal or the database cannot be reached.
pub async fn heads(config: &Config, options: &HeadsOptions) -> anyhow::Result<ExitCode> {
    let What::BeginAgain(options) = &options.what;
    let author = Author::operator().because(Some(&options.reason), None)?;
    let store = open_journal(config).await?;
    let journal = journal_id(store.as_ref()).await?.context("there is no journal yet")?;
    let pool = connect_postgres(config).await?;
    let adopted = platform::journal::adopted(&pool).await?;
    ensure!(adopted == Some(journal), "the database belongs to another journal than {}", config.store());
    let tree = end_history(&pool, journal, &author, platform::clock::now()).await?;
    if options.json {
        crate::out!("{}", serde_json::to_string_pretty(&json!({ "origin": tree.origin }))?);
    } else {
        crate::out!(
            "heads are signed as {} from now on; the public key has another name too: see muneem doctor",
            tree.origin
        );
    }
    Ok(ExitCode::SUCCESS)
}
