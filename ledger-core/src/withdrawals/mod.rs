//! Earned coins on their way to the bank of a host or an agency.

mod events;
mod payee;
mod payout;
mod rates;
mod request;
mod withdrawal;

pub use events::{
    WithdrawalApproved, WithdrawalCancelled, WithdrawalFailed, WithdrawalPaid, WithdrawalRejected,
    WithdrawalRequested, WithdrawalReversed, WithdrawalSent, WithdrawalTerms, WithdrawalUnknown,
};
pub use payee::Payee;
pub(crate) use payee::carried;
pub use payout::{
    ApproveWithdrawal, FailWithdrawal, MarkWithdrawalPaid, MarkWithdrawalSent, MarkWithdrawalUnknown,
    RejectWithdrawal, ReverseWithdrawal,
};
pub(crate) use rates::PayoutRate;
pub use rates::{PayoutRateSet, SetPayoutRate, SetTaxRate, TaxRateSet};
pub use request::{CancelWithdrawal, RequestWithdrawal};
use withdrawal::day_of;
pub use withdrawal::{Withdrawal, WithdrawalStatus};

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        withdrawals
        commands {
            SetPayoutRate SetTaxRate
            RequestWithdrawal ApproveWithdrawal RejectWithdrawal CancelWithdrawal MarkWithdrawalSent
            MarkWithdrawalUnknown MarkWithdrawalPaid FailWithdrawal ReverseWithdrawal
        }
        events {
            PayoutRateSet TaxRateSet
            WithdrawalRequested WithdrawalApproved WithdrawalRejected WithdrawalCancelled WithdrawalSent
            WithdrawalUnknown WithdrawalPaid WithdrawalFailed WithdrawalReversed
        }
        tables {
            withdrawals: Lookup<WithdrawalId, withdrawals::Withdrawal>;
            // When which finished withdrawal leaves.
            leaving_withdrawals: Table<(Timestamp, WithdrawalId), ()>;
            // Each key and reference of a payout that was ever recorded, whatever became of the payout.
            payout_refs: Lookup<String, WithdrawalId>;
            // What was asked for on a day (UTC) out of an account of earnings, and did not come back on it.
            withdrawn: Table<(i64, Account), i64>;
            payout_rates: Lookup<Asset, mechanism::dated::Dated<withdrawals::PayoutRate>>;
            tax_rates: Lookup<Asset, mechanism::dated::Dated<u32>>;
        }
        rejections {
            UnknownWithdrawal = "unknown_withdrawal", "there is no such withdrawal";
            WithdrawalTooSmall { minimum_milli: i64 } = "withdrawal_too_small", "the smallest withdrawal is {minimum_milli} thousandths of a coin";
            WithdrawalLimitReached { limit_milli: i64, left_milli: i64 } = "withdrawal_limit_reached", "{limit_milli} thousandths of a coin may be withdrawn in a day (UTC); {left_milli} are left today";
            PayeeNotVerified = "payee_not_verified", "an admin has not verified yet where this payee is paid";
            PayoutRoundsToNothing = "payout_rounds_to_nothing", "at the payout rate, and less tax, these coins are worth less than the smallest unit of money";
            PayoutRateInvalid = "payout_rate_invalid", "a payout rate is above 0, at most 1000000, and has at most 6 decimals";
            PayoutInCoins = "payout_in_coins", "payouts are made in money";
            TaxTooLarge = "tax_too_large", "a tax is at most 10000 basis points";
            InsufficientEarnings { available_milli: i64 } = "insufficient_earnings", "{available_milli} thousandths of a coin can be withdrawn";
            EarningsNotAvailable { available_milli: i64 } = "earnings_not_available", "part of the earnings cannot be withdrawn yet; {available_milli} thousandths of a coin can";
            PurchasedNotWithdrawable { available_milli: i64 } = "purchased_not_withdrawable", "bought and bonus coins can be spent, not withdrawn; {available_milli} thousandths of a coin can be withdrawn";
            WithdrawalAlreadyApproved = "withdrawal_already_approved", "the withdrawal has been approved already";
            WithdrawalNotApproved = "withdrawal_not_approved", "the withdrawal has not been approved";
            PayoutRefUsed { withdrawal: WithdrawalId } = "payout_ref_used", "this payout reference belongs to the withdrawal {withdrawal}";
            WithdrawalAlreadySent = "withdrawal_already_sent", "the payout has been sent already";
            WithdrawalNotSent = "withdrawal_not_sent", "the payout has not been sent";
            PayoutOutcomeUnknown = "payout_outcome_unknown", "nobody knows what became of the payout, so it is never sent again; find out, and mark it as paid or failed";
            WithdrawalNotPaid = "withdrawal_not_paid", "the withdrawal has not been paid";
            WithdrawalClosed = "withdrawal_closed", "the withdrawal is closed: cancelled, rejected, paid, failed or reversed";
        }
    } } };
}
pub(crate) use noun;
