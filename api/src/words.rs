//! The words that stand in requests and answers, as the document shows them. The types behind them are
//! the platform's and the ledger's own.

use ledger_core::event::CommissionScope;
use ledger_core::{AgencyId, PersonId};
use projections::SplitFrom;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// How host and user talk.
#[derive(ToSchema)]
#[schema(as = Medium, rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document shows it")]
pub enum MediumWord {
    Chat,
    Voice,
    Video,
}

/// A person as the other side of a call, a gift or a payment sees them.
#[derive(ToSchema)]
#[schema(as = PersonCard)]
#[expect(dead_code, reason = "only the document shows it")]
pub struct PersonCardView {
    pub person: Uuid,
    /// A host's display name, or the name that the person chose; null for somebody who has chosen none.
    pub name: Option<String>,
    pub avatar_url: Option<String>,
}

/// What somebody may act as.
#[derive(ToSchema)]
#[schema(as = Role, rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document shows it")]
pub enum RoleWord {
    User,
    Host,
    Agency,
    Admin,
}

/// Where an application to become a host stands.
#[derive(ToSchema)]
#[schema(as = HostStatus, rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document shows it")]
pub enum HostStatusWord {
    Applied,
    Approved,
    Rejected,
}

/// What a restriction keeps somebody from: their whole account, or acting as a host.
#[derive(ToSchema)]
#[schema(as = RestrictionScope, rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document shows it")]
pub enum ScopeWord {
    Account,
    Host,
}

/// A suspension is meant to end, a ban is not. Both stay until an admin lifts them.
#[derive(ToSchema)]
#[schema(as = RestrictionKind, rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document shows it")]
pub enum RestrictionKindWord {
    Suspended,
    Banned,
}

#[derive(ToSchema)]
#[schema(as = Presence, rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document shows it")]
pub enum PresenceWord {
    Online,
    Busy,
    Offline,
}

/// Where a proposal stands.
#[derive(ToSchema)]
#[schema(as = ApprovalState, rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document shows it")]
pub enum ApprovalStateWord {
    Proposed,
    Approved,
    Executed,
    Refused,
    Declined,
    Expired,
}

/// What a proposal would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProposalKind {
    Adjustment,
    GatewayAdjustment,
    WriteOff,
    SettlementCorrection,
    Bonus,
    Campaign,
    Payout,
    Limits,
}

impl ProposalKind {
    /// As proposals are kept.
    pub fn as_str(self) -> &'static str {
        match self {
            ProposalKind::Adjustment => "adjustment",
            ProposalKind::GatewayAdjustment => "gateway_adjustment",
            ProposalKind::WriteOff => "write_off",
            ProposalKind::SettlementCorrection => "settlement_correction",
            ProposalKind::Bonus => "bonus",
            ProposalKind::Campaign => "campaign",
            ProposalKind::Payout => "payout",
            ProposalKind::Limits => "limits",
        }
    }
}

/// What became of a gateway's delivery.
#[derive(ToSchema)]
#[schema(as = WebhookState, rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document shows it")]
pub enum WebhookStateWord {
    Pending,
    Done,
    Unreadable,
    NeedsPerson,
    Handled,
}

/// The way a code travels.
#[derive(ToSchema)]
#[schema(as = OtpChannel, rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document shows it")]
pub enum OtpChannelWord {
    Sms,
    Whatsapp,
}

/// What became of a withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalStatus {
    Requested,
    Approved,
    Rejected,
    Cancelled,
    Sent,
    Unknown,
    Paid,
    Failed,
    Reversed,
}

impl WithdrawalStatus {
    /// As the read models have it.
    pub fn as_str(self) -> &'static str {
        match self {
            WithdrawalStatus::Requested => "requested",
            WithdrawalStatus::Approved => "approved",
            WithdrawalStatus::Rejected => "rejected",
            WithdrawalStatus::Cancelled => "cancelled",
            WithdrawalStatus::Sent => "sent",
            WithdrawalStatus::Unknown => "unknown",
            WithdrawalStatus::Paid => "paid",
            WithdrawalStatus::Failed => "failed",
            WithdrawalStatus::Reversed => "reversed",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    Global,
    Agency,
    Host,
}

impl ScopeKind {
    /// As the read models have it.
    pub fn as_str(self) -> &'static str {
        match self {
            ScopeKind::Global => "global",
            ScopeKind::Agency => "agency",
            ScopeKind::Host => "host",
        }
    }
}

/// What a campaign rewards.
#[derive(ToSchema)]
#[schema(as = RewardKind, rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document shows it")]
pub enum RewardKindWord {
    Ad,
    Daily,
    Code,
    Referral,
}

/// What was charged and split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitFromWord {
    Call,
    Gift,
    Order,
}

impl From<SplitFromWord> for SplitFrom {
    fn from(word: SplitFromWord) -> SplitFrom {
        match word {
            SplitFromWord::Call => SplitFrom::Call,
            SplitFromWord::Gift => SplitFrom::Gift,
            SplitFromWord::Order => SplitFrom::Order,
        }
    }
}

/// Whom a commission rate is for. `id` is the agency or the host; absent for `global`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    pub kind: ScopeKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
}

impl From<CommissionScope> for Scope {
    fn from(scope: CommissionScope) -> Scope {
        match scope {
            CommissionScope::Global => Scope { kind: ScopeKind::Global, id: None },
            CommissionScope::Agency(agency) => Scope { kind: ScopeKind::Agency, id: Some(agency.0) },
            CommissionScope::Host(host) => Scope { kind: ScopeKind::Host, id: Some(host.0) },
        }
    }
}

impl TryFrom<Scope> for CommissionScope {
    type Error = crate::error::Error;

    fn try_from(scope: Scope) -> Result<CommissionScope, Self::Error> {
        match (scope.kind, scope.id) {
            (ScopeKind::Global, None) => Ok(CommissionScope::Global),
            (ScopeKind::Agency, Some(agency)) => Ok(CommissionScope::Agency(AgencyId(agency))),
            (ScopeKind::Host, Some(host)) => Ok(CommissionScope::Host(PersonId(host))),
            (ScopeKind::Global, Some(_)) => {
                Err(crate::error::Error::field("scope.id", "must be absent for the global scope"))
            }
            (ScopeKind::Agency | ScopeKind::Host, None) => {
                Err(crate::error::Error::field("scope.id", "must name the agency or the host"))
            }
        }
    }
}
