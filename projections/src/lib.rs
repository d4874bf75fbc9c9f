//! Read models: projectors that write Postgres, and the queries beside them that read it.
//!
//! The journal is the truth and everything in the schema `read` a cache of it: a [`Projector`] moves
//! the one checkpoint in the same transaction as the rows that follow from a batch of events,
//! [`rebuild`] makes all of it anew, and [`verify`] replays the journal and names the first
//! difference. [`ReadModels`] has the queries, a file per noun.

mod batch;
mod error;
mod projector;
mod queries;
mod schema;
mod verify;

use event_store::EventStore;
use std::sync::Arc;

pub use error::{Behind, ProjectError, QueryError};
pub use projector::{BATCH_EVENTS, Progress, Projector, rebuild};
pub use queries::*;
pub use schema::FORMAT;
pub use verify::{Check, Difference, Report, VerifyError, verify};

/// The journal that the read models follow.
pub type Journal = Arc<dyn EventStore>;
