//! How far a projector is, and how it fares: told to everybody in the process who waits or asks.

use crate::error::ProjectError;
use std::sync::Arc;

/// The news of a projector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last revision that the read models are known to have.
    pub projected: Option<u64>,
    pub condition: Condition,
}

/// How a projector fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// The checkpoint has not been compared with the journal yet.
    #[default]
    Starting,
    /// The read models belong to the journal and follow it.
    Following,
    /// Postgres or the store does not answer; the projector tries again by itself.
    Waiting(Arc<str>),
    /// The read models belong to another journal, or to another history of this one. Nothing is read
    /// from them until somebody rebuilds them or restores the journal.
    Refused(Arc<str>),
    /// The projector has ended, by a fault, a panic or a shutdown. It can be run again.
    Down(Arc<str>),
}

impl Condition {
    /// The names that [`Condition::name`] can have.
    pub const NAMES: [&str; 5] = ["starting", "following", "waiting", "refused", "down"];

    /// The name of the condition in an answer: `starting`, `following`, `waiting`, `refused` or `down`.
    pub fn name(&self) -> &'static str {
        match self {
            Condition::Starting => "starting",
            Condition::Following => "following",
            Condition::Waiting(_) => "waiting",
            Condition::Refused(_) => "refused",
            Condition::Down(_) => "down",
        }
    }

    /// What `fault` makes of a projector.
    pub(super) fn after(fault: &ProjectError) -> Condition {
        let text = fault.to_string().into();
        match fault {
            _ if fault.is_outage() => Condition::Waiting(text),
            ProjectError::OtherJournal { .. }
            | ProjectError::AheadOfJournal { .. }
            | ProjectError::OtherHistory { .. } => Condition::Refused(text),
            _ => Condition::Down(text),
        }
    }
}
