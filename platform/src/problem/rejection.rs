//! How a refusal of the ledger is told: its status, and the figures of the case.

use super::{KEY_FIELD, Problem};
use ledger_core::Rejection;
use serde_json::Value;

/// The status of each rejection, by its kind: a value that is wrong in itself 422, a
/// thing that is not there 404, and a state that does not allow it 409.
pub(super) fn status(rejection: &Rejection) -> u16 {
    match rejection {
        Rejection::NotInCall | Rejection::OwnMoney => 403,

        Rejection::UnknownPlan
        | Rejection::UnknownPurchase
        | Rejection::UnknownCase
        | Rejection::UnknownLot
        | Rejection::UnknownGift
        | Rejection::UnknownCall
        | Rejection::UnknownReceivable
        | Rejection::UnknownCampaign
        | Rejection::UnknownCode
        | Rejection::UnknownSubscriptionPlan
        | Rejection::UnknownSubscription
        | Rejection::UnknownService
        | Rejection::UnknownCoupon
        | Rejection::UnknownOrder
        | Rejection::UnknownWithdrawal
        | Rejection::UnknownSettlement => 404,

        Rejection::KeyInvalid
        | Rejection::KeyExpired
        | Rejection::KeyInFuture
        | Rejection::AmountNotPositive { .. }
        | Rejection::AmountTooLarge { .. }
        | Rejection::SelfPayment
        | Rejection::PriceInCoins
        | Rejection::AssetNotDeclared { .. }
        | Rejection::RefundCurrencyMismatch
        | Rejection::CommissionTooLarge
        | Rejection::EffectiveInPast { .. }
        | Rejection::WithdrawalTooSmall { .. }
        | Rejection::PayoutRoundsToNothing
        | Rejection::PayoutRateInvalid
        | Rejection::PayoutInCoins
        | Rejection::TaxTooLarge
        | Rejection::AccountNotAdjustable
        | Rejection::GatewayHoldsMoney
        | Rejection::ReasonInvalid { .. }
        | Rejection::CampaignCodeUnfit
        | Rejection::CampaignPeriodInvalid
        | Rejection::InviterIsOneself
        | Rejection::EntitlementsInvalid
        | Rejection::GraceTooLong
        | Rejection::CouponCodeUnfit
        | Rejection::CouponDiscountInvalid
        | Rejection::CouponPeriodInvalid
        | Rejection::WalletPartUnfit { .. }
        | Rejection::MembershipEmpty
        | Rejection::CutOffInFuture { .. }
        | Rejection::CutOffUneven
        | Rejection::CutOffTooOld { .. }
        | Rejection::SettlementPeriodEmpty
        | Rejection::ReferenceInvalid { .. } => 422,

        Rejection::JournalAlreadyOpen
        | Rejection::KeyReused
        | Rejection::InsufficientFunds { .. }
        | Rejection::EarningsNotSpendable { .. }
        | Rejection::PlanInactive
        | Rejection::PurchaseNotOpen
        | Rejection::PurchaseNotCaptured
        | Rejection::RefundExceedsCaptured { .. }
        | Rejection::RefundExceedsUnspent { .. }
        | Rejection::RefundKnown
        | Rejection::DifferenceSettled
        | Rejection::PaymentKnown
        | Rejection::ResolutionUnfit
        | Rejection::DisputeKnown
        | Rejection::DisputeDecided
        | Rejection::DisputeMismatch
        | Rejection::PurchaseDisputed
        | Rejection::ReceivableOpen { .. }
        | Rejection::WriteOffTooLarge { .. }
        | Rejection::LotNotExpired
        | Rejection::TooManyLots { .. }
        | Rejection::GiftPriceChanged { .. }
        | Rejection::GiftOutsideCall
        | Rejection::AlreadyInAgency
        | Rejection::NotInAgency
        | Rejection::CommissionNotSet
        | Rejection::MediumNotOffered { .. }
        | Rejection::CallPriceChanged { .. }
        | Rejection::PayerBusy
        | Rejection::HostBusy
        | Rejection::CallKnown
        | Rejection::CallEnded
        | Rejection::CallNotRunning
        | Rejection::CallNotPaused
        | Rejection::TickNotDue { .. }
        | Rejection::TickOutOfOrder { .. }
        | Rejection::GraceNotOver { .. }
        | Rejection::TermsInvalid { .. }
        | Rejection::InsufficientEarnings { .. }
        | Rejection::EarningsNotAvailable { .. }
        | Rejection::PurchasedNotWithdrawable { .. }
        | Rejection::WithdrawalAlreadyApproved
        | Rejection::WithdrawalNotApproved
        | Rejection::WithdrawalAlreadySent
        | Rejection::WithdrawalNotSent
        | Rejection::WithdrawalNotPaid
        | Rejection::PayoutOutcomeUnknown
        | Rejection::PayeeNotVerified
        | Rejection::WithdrawalLimitReached { .. }
        | Rejection::WithdrawalClosed
        | Rejection::PayoutRefUsed { .. }
        | Rejection::SubscriptionPlanInactive
        | Rejection::SubscriptionPriceChanged { .. }
        | Rejection::NotSoldForMoney
        | Rejection::AlreadySubscribed
        | Rejection::RenewalNotDue { .. }
        | Rejection::RenewalOutOfOrder { .. }
        | Rejection::CampaignOver
        | Rejection::CampaignNotRunning
        | Rejection::CampaignKindFixed
        | Rejection::CampaignCodeTaken
        | Rejection::RewardKindMismatch
        | Rejection::RewardKnown
        | Rejection::RewardDayFull { .. }
        | Rejection::RewardPersonFull { .. }
        | Rejection::CampaignBudgetSpent
        | Rejection::InviterKnown
        | Rejection::InviterTooLate
        | Rejection::ServiceInactive
        | Rejection::CouponCodeTaken
        | Rejection::CouponCodeFixed
        | Rejection::CouponOver
        | Rejection::CouponNotValid
        | Rejection::CouponPriceTooLow { .. }
        | Rejection::CouponUsedUp
        | Rejection::CouponPersonFull { .. }
        | Rejection::OrderTotalChanged { .. }
        | Rejection::OrderNotPaid
        | Rejection::OrderAlreadyPaid
        | Rejection::OrderAlreadyAccepted
        | Rejection::OrderAlreadyCompleted
        | Rejection::OrderClosed
        | Rejection::OrderPaymentNotDue { .. }
        | Rejection::RefundExceedsOrder { .. }
        | Rejection::AlreadySettled { .. }
        | Rejection::NothingToSettle
        | Rejection::SettlementCorrectedAlready { .. }
        | Rejection::NothingToPay
        | Rejection::AdjustmentOverdraws { .. } => 409,

        Rejection::JournalNotOpen => 503,
    }
}

pub(super) fn problem(rejection: &Rejection) -> Problem {
    let problem = Problem::new(status(rejection), rejection.code(), rejection.to_string());
    match rejection {
        Rejection::AmountNotPositive { field }
        | Rejection::AmountTooLarge { field }
        | Rejection::TermsInvalid { field }
        | Rejection::ReasonInvalid { field }
        | Rejection::ReferenceInvalid { field } => problem.field(*field),

        Rejection::KeyReused | Rejection::KeyInvalid | Rejection::KeyExpired | Rejection::KeyInFuture => {
            problem.field(KEY_FIELD)
        }

        Rejection::InsufficientFunds { needed_milli, spendable_milli }
        | Rejection::EarningsNotSpendable { needed_milli, spendable_milli } => {
            problem.with("needed_milli", *needed_milli).with("spendable_milli", *spendable_milli)
        }
        Rejection::RefundExceedsCaptured { refundable_minor } => {
            problem.with("refundable_minor", *refundable_minor)
        }
        Rejection::RefundExceedsUnspent { refundable_minor } => {
            problem.with("refundable_minor", *refundable_minor)
        }
        Rejection::ReceivableOpen { owed_milli } | Rejection::WriteOffTooLarge { owed_milli } => {
            problem.with("owed_milli", *owed_milli)
        }
        Rejection::RewardDayFull { most }
        | Rejection::RewardPersonFull { most }
        | Rejection::CouponPersonFull { most } => problem.with("most", *most),
        Rejection::CampaignCodeUnfit | Rejection::UnknownCode | Rejection::CouponCodeUnfit => {
            problem.field("code")
        }
        Rejection::CampaignPeriodInvalid | Rejection::CouponPeriodInvalid => problem.field("ends_at"),
        Rejection::UnknownCoupon => problem.field("coupon"),
        Rejection::CouponDiscountInvalid => problem.field("percent_bps"),
        Rejection::CouponPriceTooLow { least_milli } => {
            problem.field("coupon").with("least_milli", *least_milli)
        }
        Rejection::OrderTotalChanged { total_milli } => problem.with("total_milli", *total_milli),
        Rejection::WalletPartUnfit { total_milli } => {
            problem.field("wallet_milli").with("total_milli", *total_milli)
        }
        Rejection::OrderPaymentNotDue { due } => problem.with("due", due.to_string()),
        Rejection::RefundExceedsOrder { refundable_milli } => {
            problem.field("amount_milli").with("refundable_milli", *refundable_milli)
        }
        Rejection::TooManyLots { most } => problem.with("most", *most),
        Rejection::GiftPriceChanged { price_milli } | Rejection::SubscriptionPriceChanged { price_milli } => {
            problem.with("price_milli", *price_milli)
        }
        Rejection::EntitlementsInvalid => problem.field("entitlements"),
        Rejection::GraceTooLong => problem.field("grace_seconds"),
        Rejection::RenewalNotDue { due } => problem.with("due", due.to_string()),
        Rejection::RenewalOutOfOrder { next } => problem.with("next", *next),
        Rejection::CallPriceChanged { price_milli_per_minute } => {
            problem.with("price_milli_per_minute", *price_milli_per_minute)
        }
        Rejection::EffectiveInPast { earliest } => {
            problem.field("effective_from").with("earliest", earliest.to_string())
        }
        Rejection::MediumNotOffered { medium } => {
            problem.with("medium", serde_json::to_value(medium).unwrap_or(Value::Null))
        }
        Rejection::TickNotDue { due } => problem.with("due", due.to_string()),
        Rejection::TickOutOfOrder { next } => problem.with("next", *next),
        Rejection::GraceNotOver { lost_at } => problem.with("lost_at", lost_at.to_string()),
        Rejection::AssetNotDeclared { asset } => {
            problem.field("price_asset").with("asset", asset.to_string())
        }
        Rejection::WithdrawalTooSmall { minimum_milli } => {
            problem.field("coins_milli").with("minimum_milli", *minimum_milli)
        }
        Rejection::WithdrawalLimitReached { limit_milli, left_milli } => {
            problem.field("coins_milli").with("limit_milli", *limit_milli).with("left_milli", *left_milli)
        }
        Rejection::GatewayHoldsMoney => problem.field("asset"),
        Rejection::DifferenceSettled => problem.field("settles"),
        Rejection::PayoutRateInvalid => problem.field("rate"),
        Rejection::TaxTooLarge => problem.field("tax_bps"),
        Rejection::PayoutRefUsed { withdrawal } => problem.with("withdrawal", withdrawal.to_string()),
        Rejection::InsufficientEarnings { available_milli }
        | Rejection::EarningsNotAvailable { available_milli }
        | Rejection::PurchasedNotWithdrawable { available_milli } => {
            problem.with("available_milli", *available_milli)
        }
        Rejection::MembershipEmpty => problem.field("until"),
        Rejection::CutOffInFuture { latest } => problem.field("to").with("latest", latest.to_string()),
        Rejection::CutOffUneven => problem.field("to"),
        Rejection::CutOffTooOld { earliest } => problem.field("to").with("earliest", earliest.to_string()),
        Rejection::SettlementPeriodEmpty => problem.field("from"),
        Rejection::AlreadySettled { until } => problem.with("until", until.to_string()),
        Rejection::SettlementCorrectedAlready { by } => problem.with("by", by.to_string()),
        Rejection::AdjustmentOverdraws { balance_milli } => problem.with("balance_milli", *balance_milli),

        Rejection::JournalNotOpen
        | Rejection::JournalAlreadyOpen
        | Rejection::SelfPayment
        | Rejection::OwnMoney
        | Rejection::PriceInCoins
        | Rejection::UnknownPlan
        | Rejection::PlanInactive
        | Rejection::UnknownPurchase
        | Rejection::PurchaseNotOpen
        | Rejection::PurchaseNotCaptured
        | Rejection::RefundCurrencyMismatch
        | Rejection::PaymentKnown
        | Rejection::UnknownCase
        | Rejection::ResolutionUnfit
        | Rejection::RefundKnown
        | Rejection::DisputeKnown
        | Rejection::DisputeDecided
        | Rejection::DisputeMismatch
        | Rejection::PurchaseDisputed
        | Rejection::UnknownReceivable
        | Rejection::UnknownLot
        | Rejection::LotNotExpired
        | Rejection::UnknownGift
        | Rejection::GiftOutsideCall
        | Rejection::AlreadyInAgency
        | Rejection::NotInAgency
        | Rejection::CommissionTooLarge
        | Rejection::CommissionNotSet
        | Rejection::PayerBusy
        | Rejection::HostBusy
        | Rejection::CallKnown
        | Rejection::UnknownCall
        | Rejection::CallEnded
        | Rejection::NotInCall
        | Rejection::CallNotRunning
        | Rejection::CallNotPaused
        | Rejection::UnknownWithdrawal
        | Rejection::WithdrawalAlreadyApproved
        | Rejection::WithdrawalNotApproved
        | Rejection::WithdrawalAlreadySent
        | Rejection::WithdrawalNotSent
        | Rejection::WithdrawalNotPaid
        | Rejection::PayoutOutcomeUnknown
        | Rejection::PayeeNotVerified
        | Rejection::WithdrawalClosed
        | Rejection::PayoutRoundsToNothing
        | Rejection::UnknownSubscriptionPlan
        | Rejection::SubscriptionPlanInactive
        | Rejection::NotSoldForMoney
        | Rejection::UnknownSubscription
        | Rejection::AlreadySubscribed
        | Rejection::UnknownService
        | Rejection::ServiceInactive
        | Rejection::CouponCodeTaken
        | Rejection::CouponCodeFixed
        | Rejection::CouponOver
        | Rejection::CouponNotValid
        | Rejection::CouponUsedUp
        | Rejection::UnknownOrder
        | Rejection::OrderNotPaid
        | Rejection::OrderAlreadyPaid
        | Rejection::OrderAlreadyAccepted
        | Rejection::OrderAlreadyCompleted
        | Rejection::OrderClosed
        | Rejection::UnknownCampaign
        | Rejection::CampaignOver
        | Rejection::CampaignNotRunning
        | Rejection::CampaignKindFixed
        | Rejection::CampaignCodeTaken
        | Rejection::RewardKindMismatch
        | Rejection::RewardKnown
        | Rejection::CampaignBudgetSpent
        | Rejection::InviterKnown
        | Rejection::InviterTooLate
        | Rejection::InviterIsOneself
        | Rejection::PayoutInCoins
        | Rejection::NothingToSettle
        | Rejection::UnknownSettlement
        | Rejection::NothingToPay
        | Rejection::AccountNotAdjustable => problem,
    }
}
