//! A proposal with what became of it, as it stands in `app.approvals`.

use super::Proposal;
use chrono::{DateTime, Utc};
use ledger_core::{Amounts, Asset, NoteId, Period, PersonId};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use uuid::Uuid;

/// Where a proposal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for another admin.
    Proposed,
    /// It is approved and about to be executed.
    Approved,
    /// It is approved and done.
    Executed,
    /// It was approved, and the ledger refused it: `failure` has the code.
    Refused,
    Declined,
    /// Nobody decided in time.
    Expired,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Proposed => "proposed",
            State::Approved => "approved",
            State::Executed => "executed",
            State::Refused => "refused",
            State::Declined => "declined",
            State::Expired => "expired",
        }
    }

    fn of(text: &str) -> State {
        // The table allows these six alone.
        [State::Proposed, State::Approved, State::Executed, State::Refused, State::Declined]
            .into_iter()
            .find(|state| state.as_str() == text)
            .unwrap_or(State::Expired)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    pub id: Uuid,
    pub proposal: Proposal,
    pub state: State,
    /// Whose money it is, where it is a person's.
    pub beneficiary: Option<PersonId>,
    pub proposed_by: PersonId,
    pub proposed_at: DateTime<Utc>,
    pub reason: Option<String>,
    pub note: Option<NoteId>,
    pub expires_at: DateTime<Utc>,
    pub decided_by: Option<PersonId>,
    pub decided_at: Option<DateTime<Utc>>,
    pub revision: Option<i64>,
    pub failure: Option<String>,
    pub amount: Option<Amount>,
}

/// How much a proposal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    pub minor: i64,
    pub asset: Asset,
}

/// Which proposals; all that is absent matches everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    pub state: Option<State>,
    /// The kind of the proposal, as it is written.
    pub kind: Option<&'static str>,
    /// Who proposed it, decided on it, or whose money it is.
    pub person: Option<PersonId>,
    /// When it was proposed.
    pub period: Period,
    /// How much it is about, taken or given.
    pub amount_minor: Amounts,
}

#[derive(sqlx::FromRow)]
pub(super) struct ApprovalRow {
    id: Uuid,
    proposal: Json<Proposal>,
    state: String,
    beneficiary: Option<Uuid>,
    proposed_by: Uuid,
    proposed_at: DateTime<Utc>,
    reason: Option<String>,
    note: Option<Uuid>,
    expires_at: DateTime<Utc>,
    decided_by: Option<Uuid>,
    decided_at: Option<DateTime<Utc>>,
    revision: Option<i64>,
    failure: Option<String>,
    amount_minor: Option<i64>,
    amount_asset: Option<String>,
}

impl From<ApprovalRow> for Approval {
    fn from(row: ApprovalRow) -> Approval {
        Approval {
            id: row.id,
            proposal: row.proposal.0,
            state: State::of(&row.state),
            beneficiary: row.beneficiary.map(PersonId),
            proposed_by: PersonId(row.proposed_by),
            proposed_at: row.proposed_at,
            reason: row.reason,
            note: row.note.map(NoteId),
            expires_at: row.expires_at,
            decided_by: row.decided_by.map(PersonId),
            decided_at: row.decided_at,
            revision: row.revision,
            failure: row.failure,
            // Written by this program alone.
            amount: row
                .amount_minor
                .zip(row.amount_asset.and_then(|asset| asset.parse().ok()))
                .map(|(minor, asset)| Amount { minor, asset }),
        }
    }
}
