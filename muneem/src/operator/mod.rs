//! The operator's commands, a file each.

mod backup;
mod doctor;
mod events;
mod grant_role;
mod heads;
mod history;
mod inspect;
mod manifest;
mod mirror;
mod rebuild;
mod receipt;
mod reconcile;
mod schemas;
mod simulate;
mod store;
mod transfer;
mod verify;
mod what_if;

pub use backup::{BackupOptions, RestoreOptions, backup, restore};
pub use doctor::{DoctorOptions, doctor};
pub use events::{EventsOptions, events};
pub use grant_role::{GrantRoleOptions, grant_role};
pub use heads::{HeadsOptions, KeygenOptions, heads, keygen};
pub use history::{Evidence, check_history, journal_id};
pub use mirror::{MirrorOptions, mirror};
pub use rebuild::rebuild;
pub use receipt::{ReceiptOptions, check_receipt, receipt};
pub use reconcile::{ReconcileOptions, reconcile};
pub use schemas::{SchemasOptions, schemas};
pub use simulate::{SimulateOptions, simulate};
pub use store::{StoreOptions, store};
pub use transfer::{ExportOptions, ImportOptions, export, import};
pub use verify::{NOT_VERIFIED, VerifyOptions, verify, verify_report};
pub use what_if::{WhatIfOptions, what_if};

use crate::config::Config;
use anyhow::Context;
use event_store::EventStore;
use std::sync::Arc;

/// The journal for reading, beside whatever process writes it.
pub(crate) async fn open_journal(config: &Config) -> anyhow::Result<Arc<dyn EventStore>> {
    let opened = config.store().open_to_read().await;
    opened.with_context(|| match config.store {
        None => "the journal below MUNEEM_DATA_DIR cannot be read",
        Some(_) => "the journal at MUNEEM_STORE cannot be read",
    })
}
