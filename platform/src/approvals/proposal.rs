//! What takes two admins, and what executes it.

use crate::settings::ApprovalSettings;
use ledger_core::command::{
    AdjustGateway, ApproveWithdrawal, CorrectSettlement, GrantBonus, PostAdjustment, SetCampaign,
    WriteOffReceivable,
};
use ledger_core::event::BonusOrigin;
use ledger_core::{
    Account, Asset, Command, DifferenceId, Gateway, NoteId, PersonId, SettlementId, WithdrawalId,
};
use serde::{Deserialize, Serialize};

/// What is proposed, with all that executing it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Proposal {
    Adjustment {
        account: Account,
        amount_milli: i64,
        reason: String,
        note: Option<NoteId>,
        /// The difference of a reconciliation that it settles.
        settles: Option<DifferenceId>,
    },
    /// Of the book of a gateway's account.
    GatewayAdjustment {
        gateway: Gateway,
        amount_minor: i64,
        asset: Asset,
        reason: String,
        note: Option<NoteId>,
        settles: Option<DifferenceId>,
    },
    Bonus {
        user: PersonId,
        coins_milli: i64,
        valid_seconds: Option<u32>,
    },
    /// What users are rewarded for: it gives away up to its budget.
    Campaign {
        campaign: SetCampaign,
    },
    /// Of what a buyer owes for a lost dispute.
    WriteOff {
        dispute_ref: String,
        amount_milli: i64,
        reason: String,
        note: Option<NoteId>,
    },
    /// A later version of a settlement.
    SettlementCorrection {
        settlement: SettlementId,
        amount_milli: i64,
        reason: String,
        note: Option<NoteId>,
    },
    /// The approval of a withdrawal.
    Payout {
        withdrawal: WithdrawalId,
    },
    /// Other limits for what takes two admins.
    Limits {
        limits: ApprovalSettings,
    },
}

impl Proposal {
    /// What executes it in the ledger; nothing for limits, which are settings.
    pub(super) fn command(&self) -> Option<Command> {
        Some(match self.clone() {
            Proposal::Adjustment { account, amount_milli, reason, note, settles } => {
                PostAdjustment { account, amount_milli, reason, note, settles }.into()
            }
            Proposal::GatewayAdjustment { gateway, amount_minor, asset, reason, note, settles } => {
                AdjustGateway { gateway, amount_minor, asset, reason, note, settles }.into()
            }
            Proposal::WriteOff { dispute_ref, amount_milli, reason, note } => {
                WriteOffReceivable { dispute_ref, amount_milli, reason, note }.into()
            }
            Proposal::Bonus { user, coins_milli, valid_seconds } => {
                GrantBonus { user, origin: BonusOrigin::Promotion, coins_milli, valid_seconds }.into()
            }
            Proposal::SettlementCorrection { settlement, amount_milli, reason, note } => {
                CorrectSettlement { settlement, amount_milli, reason, note }.into()
            }
            Proposal::Campaign { campaign } => campaign.into(),
            Proposal::Payout { withdrawal } => ApproveWithdrawal { withdrawal }.into(),
            Proposal::Limits { .. } => return None,
        })
    }
}

pub(super) fn is_adjustable(account: Account) -> bool {
    matches!(
        account,
        Account::UserPurchased(_)
            | Account::UserBonus(_)
            | Account::HostEarnings(_)
            | Account::AgencyEarnings(_)
    )
}
