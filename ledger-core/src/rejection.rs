//! Why a command was refused. A refused command records nothing.

use crate::event::Medium;
use crate::time::Timestamp;

macro_rules! rejections {
    ($($(#[$doc:meta])* $name:ident $({ $($field:ident: $kind:ty),* $(,)? })? = $code:literal, $text:literal;)*) => {
        /// A refused command: the reason, comparable, with a stable code.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum Rejection {
            $($(#[$doc])* #[error($text)] $name $({ $($field: $kind),* })?),*
        }

        impl Rejection {
            /// All codes, in the order of this page.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// The stable code that clients and tests go by.
            pub fn code(&self) -> &'static str {
                match self { $(Rejection::$name { .. } => $code),* }
            }
        }
    };
}

rejections! {
    JournalNotOpen = "journal_not_open", "the journal has not been opened";
    JournalAlreadyOpen = "journal_already_open", "the journal has been opened before";

    KeyReused = "idempotency_key_reused", "this idempotency key was used for another request";
    KeyNotV7 = "idempotency_key_invalid", "an idempotency key is a UUID of version 7";
    KeyExpired = "idempotency_key_expired", "this idempotency key is older than 24 hours; look at the history before you try again under a new one";
    KeyInFuture = "idempotency_key_in_future", "this idempotency key lies in the future; check the clock of the device";

    AmountNotPositive { field: &'static str } = "amount_not_positive", "{field} must be greater than zero";
    AmountTooLarge { field: &'static str } = "amount_too_large", "{field} or the balance that it leads to is larger than 2^53-1";

    SelfPayment = "self_payment", "nobody can pay themselves";
    InsufficientFunds { needed_milli: i64, spendable_milli: i64 } = "insufficient_funds", "this needs {needed_milli} thousandths of a coin and {spendable_milli} can be spent";
    EarningsNotSpendable { needed_milli: i64, spendable_milli: i64 } = "earnings_not_spendable", "earnings can be withdrawn, not spent; {spendable_milli} of {needed_milli} thousandths of a coin can be spent";

    UnknownPlan = "unknown_plan", "there is no such coin plan";
    PlanInactive = "plan_inactive", "this coin plan is no longer sold";
    PriceInCoins = "price_in_coins", "coins are sold for money";
    UnknownPurchase = "unknown_purchase", "there is no such purchase";
    PurchaseNotOpen = "purchase_not_open", "this purchase has been captured already";
    PurchaseNotCaptured = "purchase_not_captured", "this purchase has not been captured";
    RefundExceedsCaptured { refundable_minor: i64 } = "refund_exceeds_captured", "only {refundable_minor} minor units of this purchase can still be refunded";
    RefundCurrencyMismatch = "refund_currency_mismatch", "a refund is made in the currency of the purchase";
    RefundExceedsUnspent { unspent_milli: i64 } = "refund_exceeds_unspent", "the coins of this refund have been spent; {unspent_milli} thousandths are left";
    RefundKnown = "refund_already_recorded", "a refund with this reference is recorded already";

    UnknownLot = "unknown_lot", "there is no such lot of bonus coins";
    LotNotExpired = "lot_not_expired", "this lot of bonus coins has not expired";

    UnknownGift = "unknown_gift", "there is no such gift in the catalogue";
    GiftPriceChanged { price_milli: i64 } = "gift_price_changed", "the gift now costs {price_milli} thousandths of a coin";
    GiftOutsideCall = "gift_outside_call", "a gift in a call goes from its payer to its host while it lasts";

    AlreadyInAgency = "already_in_agency", "the host belongs to an agency already";
    NotInAgency = "not_in_agency", "the host belongs to no agency";
    CommissionTooLarge = "commission_too_large", "host and agency together get at most 10000 basis points";
    EffectiveInPast { earliest: Timestamp } = "effective_from_in_past", "a commission rate is never backdated; the earliest moment is {earliest}";
    CommissionNotSet = "commission_not_set", "no rate is set for this scope";

    MediumNotOffered { medium: Medium } = "medium_not_offered", "the host does not offer this medium";
    CallPriceChanged { price_milli_per_minute: i64 } = "call_price_changed", "the host's price is now {price_milli_per_minute} thousandths of a coin a minute";
    PayerBusy = "payer_busy", "the payer is in another call";
    HostBusy = "host_busy", "the host is in another call";
    CallKnown = "call_already_started", "this call has been started already";
    UnknownCall = "unknown_call", "there is no such call";
    CallEnded = "call_ended", "the call has ended";
    NotInCall = "not_in_call", "only those in the call can do this";
    CallNotRunning = "call_not_running", "the call is paused";
    CallNotPaused = "call_not_paused", "the call is not paused";
    TickNotDue { due: Timestamp } = "tick_not_due", "the next increment begins at {due}";
    TickOutOfOrder { next: u32 } = "tick_out_of_order", "the next increment is number {next}";
    GraceNotOver { lost_at: Timestamp } = "grace_not_over", "the call is lost from {lost_at} on";
    TermsInvalid { field: &'static str } = "terms_invalid", "the setting {field} cannot be used to meter a call";

    UnknownWithdrawal = "unknown_withdrawal", "there is no such withdrawal";
    WithdrawalTooSmall { minimum_milli: i64 } = "withdrawal_too_small", "the smallest withdrawal is {minimum_milli} thousandths of a coin";
    InsufficientEarnings { available_milli: i64 } = "insufficient_earnings", "{available_milli} thousandths of a coin can be withdrawn";
    EarningsNotAvailable { available_milli: i64 } = "earnings_not_available", "part of the earnings cannot be withdrawn yet; {available_milli} thousandths of a coin can";
    PurchasedNotWithdrawable { available_milli: i64 } = "purchased_not_withdrawable", "bought and bonus coins can be spent, not withdrawn; {available_milli} thousandths of a coin can be withdrawn";
    WithdrawalAlreadyApproved = "withdrawal_already_approved", "the withdrawal has been approved already";
    WithdrawalNotApproved = "withdrawal_not_approved", "the withdrawal has not been approved";
    WithdrawalClosed = "withdrawal_closed", "the withdrawal is closed: cancelled, rejected, paid or failed";

    AccountNotAdjustable = "account_not_adjustable", "only accounts of users, hosts and agencies can be adjusted";
    AdjustmentOverdraws { balance_milli: i64 } = "adjustment_overdraws", "the account holds {balance_milli} thousandths of a coin";
    ReasonInvalid { field: &'static str } = "reason_invalid", "{field} is a code of 1 to 64 small letters, digits and underscores; words belong in a note";
    ReferenceInvalid { field: &'static str } = "reference_invalid", "{field} is 1 to 64 visible ASCII characters";
}
