//! Earned coins on their way to the bank of a host or an agency.

mod commands;
mod events;
mod payee;
mod withdrawal;

pub use commands::{
    ApproveWithdrawal, CancelWithdrawal, FailWithdrawal, MarkWithdrawalPaid, RejectWithdrawal,
    RequestWithdrawal,
};
pub use events::{
    WithdrawalApproved, WithdrawalCancelled, WithdrawalFailed, WithdrawalPaid, WithdrawalRejected,
    WithdrawalRequested,
};
pub use payee::Payee;
pub use withdrawal::{Withdrawal, WithdrawalStatus};

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        withdrawals
        commands {
            RequestWithdrawal ApproveWithdrawal RejectWithdrawal CancelWithdrawal MarkWithdrawalPaid
            FailWithdrawal
        }
        events {
            WithdrawalRequested WithdrawalApproved WithdrawalRejected WithdrawalCancelled WithdrawalPaid
            WithdrawalFailed
        }
        tables {
            withdrawals: Lookup<WithdrawalId, withdrawals::Withdrawal>;
            // When which finished withdrawal leaves.
            leaving_withdrawals: Table<(Timestamp, WithdrawalId), ()>;
            // Each payout reference that was ever recorded, whatever became of the payout.
            payout_refs: Lookup<String, WithdrawalId>;
        }
        rejections {
            UnknownWithdrawal = "unknown_withdrawal", "there is no such withdrawal";
            WithdrawalTooSmall { minimum_milli: i64 } = "withdrawal_too_small", "the smallest withdrawal is {minimum_milli} thousandths of a coin";
            PayoutRoundsToNothing = "payout_rounds_to_nothing", "at the payout rate these coins are worth less than the smallest unit of money";
            InsufficientEarnings { available_milli: i64 } = "insufficient_earnings", "{available_milli} thousandths of a coin can be withdrawn";
            EarningsNotAvailable { available_milli: i64 } = "earnings_not_available", "part of the earnings cannot be withdrawn yet; {available_milli} thousandths of a coin can";
            PurchasedNotWithdrawable { available_milli: i64 } = "purchased_not_withdrawable", "bought and bonus coins can be spent, not withdrawn; {available_milli} thousandths of a coin can be withdrawn";
            WithdrawalAlreadyApproved = "withdrawal_already_approved", "the withdrawal has been approved already";
            WithdrawalNotApproved = "withdrawal_not_approved", "the withdrawal has not been approved";
            PayoutRefUsed { withdrawal: WithdrawalId } = "payout_ref_used", "this payout reference belongs to the withdrawal {withdrawal}";
            WithdrawalClosed = "withdrawal_closed", "the withdrawal is closed: cancelled, rejected, paid or failed";
        }
    } } };
}
pub(crate) use noun;
