//! Coins for money: purchases, captures, refunds, and money that fits no open case.

mod capture;
mod expire;
mod open;
mod purchase;
mod refund;
mod unmatched;

pub use capture::{CapturePurchase, FailPurchase, PurchaseCaptured, PurchaseFailed};
pub use expire::{ExpirePurchase, PurchaseExpired};
pub use open::{BoughtPeriod, Buys, OpenPurchase, PurchaseOpened};
pub(crate) use purchase::CAPTURED_STAYS_MS;
pub use purchase::{Captured, Purchase};
pub(crate) use refund::Refundable;
pub use refund::{PurchaseRefunded, RecordRefund, RefundPurchase};
pub(crate) use unmatched::{EarlyRefund, Payment, unmatched_refund};
pub use unmatched::{
    MoneyDirection, Resolution, ResolveSuspense, SuspenseCase, SuspenseResolved, UnmatchedCause,
    UnmatchedMoneyReceived,
};

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        purchases
        commands {
            OpenPurchase ExpirePurchase CapturePurchase FailPurchase RecordRefund RefundPurchase ResolveSuspense
        }
        events {
            PurchaseOpened PurchaseExpired PurchaseCaptured PurchaseFailed PurchaseRefunded UnmatchedMoneyReceived
            SuspenseResolved
        }
        tables {
            purchases: Lookup<PurchaseId, purchases::Purchase>;
            // When which purchase leaves.
            leaving_purchases: Table<(Timestamp, PurchaseId), ()>;
            // Whose purchase's bonus coins a lot that expires holds.
            plan_bonuses: Lookup<LotId, PurchaseId>;
            // Where each refund's reference was recorded.
            refunds: Lookup<String, u64>;
            // By the gateway's name of the payment.
            payments: Lookup<String, purchases::Payment>;
            early_refunds: Lookup<String, Vec<purchases::EarlyRefund>>;
            // The open cases, by the revision that opened them.
            suspense: Lookup<u64, purchases::SuspenseCase>;
        }
        rejections {
            UnknownPurchase = "unknown_purchase", "there is no such purchase";
            PurchaseNotOpen = "purchase_not_open", "this purchase has been captured already";
            PurchaseNotCaptured = "purchase_not_captured", "this purchase has not been captured";
            RefundExceedsCaptured { refundable_minor: i64 } = "refund_exceeds_captured", "only {refundable_minor} minor units of this purchase can still be refunded";
            RefundCurrencyMismatch = "refund_currency_mismatch", "a refund is made in the currency of the purchase";
            RefundExceedsUnspent { refundable_minor: i64 } = "refund_exceeds_unspent", "part of the coins of this purchase has been spent; {refundable_minor} minor units can still be refunded";
            RefundKnown = "refund_already_recorded", "a refund with this reference is recorded already";
            PaymentKnown = "payment_already_recorded", "a payment with this reference is recorded already";
            UnknownCase = "unknown_case", "there is no such open case in suspense";
            ResolutionUnfit = "resolution_unfit", "this money cannot be that: a purchase takes money that came in and is its price, a refund sends back money that came in";
        }
    } } };
}
pub(crate) use noun;
