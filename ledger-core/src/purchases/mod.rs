//! Coins for money: purchases, captures, refunds, and money that fits no open case.

mod capture;
mod open;
mod purchase;
mod refund;
mod unmatched;

pub use capture::{CapturePurchase, FailPurchase, PurchaseCaptured, PurchaseFailed};
pub use open::{OpenPurchase, PurchaseOpened};
pub use purchase::{Captured, Purchase};
pub use refund::{PurchaseRefunded, RecordRefund, RefundPurchase};
pub use unmatched::{MoneyDirection, UnmatchedCause, UnmatchedMoneyReceived};

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        purchases
        commands { OpenPurchase CapturePurchase FailPurchase RecordRefund RefundPurchase }
        events {
            PurchaseOpened PurchaseCaptured PurchaseFailed PurchaseRefunded UnmatchedMoneyReceived
        }
        tables {
            purchases: PurchaseId => purchases::Purchase;
            // Where each refund's reference was recorded.
            refunds: String => u64;
        }
        rejections {
            UnknownPurchase = "unknown_purchase", "there is no such purchase";
            PurchaseNotOpen = "purchase_not_open", "this purchase has been captured already";
            PurchaseNotCaptured = "purchase_not_captured", "this purchase has not been captured";
            RefundExceedsCaptured { refundable_minor: i64 } = "refund_exceeds_captured", "only {refundable_minor} minor units of this purchase can still be refunded";
            RefundCurrencyMismatch = "refund_currency_mismatch", "a refund is made in the currency of the purchase";
            RefundExceedsUnspent { unspent_milli: i64 } = "refund_exceeds_unspent", "the coins of this refund have been spent; {unspent_milli} thousandths are left";
            RefundKnown = "refund_already_recorded", "a refund with this reference is recorded already";
        }
    } } };
}
pub(crate) use noun;
