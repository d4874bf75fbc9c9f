//! Coins that came in together, and how they are spent. A lot has one origin and one expiry.

mod lot;
mod merge;
mod spending;
mod wallet;

pub use lot::Lot;
pub(crate) use lot::Place;
pub use merge::{LOOSE_LOTS, LotsMerged};
pub(crate) use spending::Charge;
pub use spending::{Draw, MOST_DRAWS};
pub use wallet::Wallet;

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        lots
        commands {}
        events { LotsMerged }
        tables {
            lots: Lookup<LotId, lots::Lot>;
            lot_places: Table<lots::Place, ()>;
            expiring_lots: Table<(Timestamp, LotId), ()>;
        }
        rejections {
            UnknownLot = "unknown_lot", "there is no such lot of bonus coins";
            TooManyLots { most: usize } = "too_many_lots", "this needs coins of more than {most} purchases at once; spend them in smaller parts";
            InsufficientFunds { needed_milli: i64, spendable_milli: i64 } = "insufficient_funds", "this needs {needed_milli} thousandths of a coin and {spendable_milli} can be spent";
            EarningsNotSpendable { needed_milli: i64, spendable_milli: i64 } = "earnings_not_spendable", "earnings can be withdrawn, not spent; {spendable_milli} of {needed_milli} thousandths of a coin can be spent";
        }
    } } };
}
pub(crate) use noun;
