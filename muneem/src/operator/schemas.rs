//! `muneem schemas`: the generated descriptions, kept equal to the code.

use anyhow::{Context, bail};
use clap::Args;
use ledger_core::{Event, Metadata};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub struct SchemasOptions {
    /// Write the files.
    #[arg(long, conflicts_with = "check", required_unless_present = "check")]
    write: bool,
    /// Exit 1 if a file is missing or differs from the code.
    #[arg(long)]
    check: bool,
    /// Where they stand.
    #[arg(long, default_value = "schemas")]
    folder: PathBuf,
}

/// # Errors
/// When a file cannot be written, or with `--check` when one differs.
pub fn schemas(options: &SchemasOptions) -> anyhow::Result<ExitCode> {
    let mut stale = Vec::new();
    for (name, document) in documents()? {
        let path = options.folder.join(&name);
        let text = serde_json::to_string_pretty(&document)? + "\n";
        if options.write {
            let folder = path.parent().context("a file stands in a folder")?;
            std::fs::create_dir_all(folder)?;
            std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        } else if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            stale.push(path.display().to_string());
        }
    }
    if !stale.is_empty() {
        bail!("not equal to the code: {}; to mend: muneem schemas --write", stale.join(", "));
    }
    crate::out!("schemas: {}", if options.write { "written" } else { "equal to the code" });
    Ok(ExitCode::SUCCESS)
}

fn documents() -> anyhow::Result<Vec<(String, Value)>> {
    let mut documents = vec![
        ("openapi.json".to_owned(), api::openapi()),
        ("asyncapi.json".to_owned(), websocket_gateway::asyncapi()),
        ("events/v1/Metadata.json".to_owned(), serde_json::to_value(schemars::schema_for!(Metadata))?),
    ];
    let binary = json!({ "data": Event::shapes(), "metadata": Metadata::shapes() });
    documents.push(("events/binary.json".to_owned(), binary));
    for (kind, schema) in Event::schemas() {
        documents.push((format!("events/v1/{kind}.json"), serde_json::to_value(schema)?));
    }
    Ok(documents)
}
