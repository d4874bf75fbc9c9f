//! The operator's commands, a file each.

mod doctor;
mod events;
mod grant_role;
mod rebuild;
mod schemas;
mod verify;

pub use doctor::{DoctorOptions, doctor};
pub use events::{EventsOptions, events};
pub use grant_role::{GrantRoleOptions, grant_role};
pub use rebuild::rebuild;
pub use schemas::{SchemasOptions, schemas};
pub use verify::{NOT_VERIFIED, VerifyOptions, verify, verify_report};

use crate::config::Config;
use anyhow::Context;
use event_store::{EmbeddedReader, EventStore};
use std::sync::Arc;

/// The journal for reading, beside whatever process writes it.
pub(crate) async fn open_journal(config: &Config) -> anyhow::Result<Arc<dyn EventStore>> {
    let folder = config.journal_dir();
    let opened = tokio::task::spawn_blocking(move || EmbeddedReader::open(&folder)).await?;
    Ok(Arc::new(opened.context("the journal below MUNEEM_DATA_DIR cannot be read")?))
}
