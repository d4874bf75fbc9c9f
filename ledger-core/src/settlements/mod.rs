//! Settlements: what a host or an agency earned in a period, closed once.
//!
//! What is earned is added up by half hours (UTC) until it is settled. A settlement covers everything before its cut-off
//! that no earlier settlement covers: what is recorded late, such as time that is given back, falls into the next one.
//! A closed statement is never changed. A correction is a later version of it: it names the version that it corrects,
//! moves the difference, and holds the new totals. What a settlement comes to is paid by a withdrawal like any other.

mod accrued;
mod close;
mod correct;
mod pay;
mod period;

pub(crate) use accrued::Accrued;
pub use accrued::{CUT_OFF_STEP_MS, Earner, KEPT_MS, Totals};
pub use close::{CloseSettlement, SettlementClosed, Statement};
pub use correct::{CorrectSettlement, SettlementCorrected};
pub use pay::{PaySettlement, SettlementPayoutRequested};
pub(crate) use period::Settled;
pub use period::SettledPeriod;

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        settlements
        commands { CloseSettlement CorrectSettlement PaySettlement }
        events { SettlementClosed SettlementCorrected SettlementPayoutRequested }
        tables {
            // By the end of the half hour in which it was recorded.
            unsettled: Table<(settlements::Earner, Timestamp), settlements::Accrued>;
            settled: Lookup<settlements::Earner, settlements::Settled>;
            // By the first version.
            settlements: Lookup<SettlementId, settlements::SettledPeriod>;
            // Each version's first one.
            settlement_versions: Lookup<SettlementId, SettlementId>;
            leaving_settlements: Table<(Timestamp, SettlementId), ()>;
            // What is paid by a withdrawal that can still come back.
            settlement_payouts: Lookup<WithdrawalId, SettlementId>;
        }
        rejections {
            CutOffInFuture { latest: Timestamp } = "cut_off_in_future", "what will be earned is not settled; the latest cut-off is {latest}";
            CutOffUneven = "cut_off_uneven", "a cut-off lies on a full or half hour (UTC), or is the present moment";
            CutOffTooOld { earliest: Timestamp } = "cut_off_too_old", "the earliest cut-off is {earliest}";
            SettlementPeriodEmpty = "settlement_period_empty", "a period ends after it begins";
            AlreadySettled { until: Timestamp } = "already_settled", "everything before {until} is settled";
            NothingToSettle = "nothing_to_settle", "nothing was earned before the cut-off that is not settled";
            UnknownSettlement = "unknown_settlement", "there is no such settlement";
            SettlementCorrectedAlready { by: SettlementId } = "settlement_corrected", "a later version of this settlement is {by}";
            NothingToPay = "nothing_to_pay", "what this settlement comes to is paid, on its way, or nothing";
        }
    } } };
}
pub(crate) use noun;
