//! The one place of this crate that reads the clock.

use chrono::{DateTime, Utc};

/// The time now, for the edge to pass on.
#[expect(clippy::disallowed_methods, reason = "the edge reads the clock here and passes it on")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
