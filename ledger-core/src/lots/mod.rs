//! Coins that came in together, and how they are spent. A lot has one origin and one expiry.

mod lot;
mod spending;
mod wallet;

pub use lot::Lot;
pub(crate) use lot::Payer;
pub(crate) use spending::Charge;
pub use spending::Draw;
pub use wallet::Wallet;

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        lots
        commands {}
        events {}
        tables {
            lots: LotId => lots::Lot;
            payers: PersonId => lots::Payer;
        }
        rejections {
            UnknownLot = "unknown_lot", "there is no such lot of bonus coins";
            InsufficientFunds { needed_milli: i64, spendable_milli: i64 } = "insufficient_funds", "this needs {needed_milli} thousandths of a coin and {spendable_milli} can be spent";
            EarningsNotSpendable { needed_milli: i64, spendable_milli: i64 } = "earnings_not_spendable", "earnings can be withdrawn, not spent; {spendable_milli} of {needed_milli} thousandths of a coin can be spent";
        }
    } } };
}
pub(crate) use noun;
