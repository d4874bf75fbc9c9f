//! Payments that their payers dispute: opened, won, closed or lost; and what buyers owe after a lost one.
//!
//! A dispute freezes the unspent coins of its purchase, in proportion to the money that it is about. Won or closed, it
//! gives them back. Lost, the gateway takes the money, and the coins that it bought are taken back in this order: what
//! is unspent of the purchase, frozen or not; then other coins that the buyer has bought, in the order in which they
//! would be spent; what is spent beyond that is a receivable of the buyer. Bonus coins of other origins stay: they were
//! given, so they pay for nothing. Nobody owes coins that expired.
//! Where the platform's policy says so, what hosts and agencies earned by the purchase's coins and what still waits for them
//! covers what the buyer owes: it is taken from them, and what the buyer pays later gives it back in proportion.
//!
//! The gateway tells what has happened, so nothing of it is refused for what it says: a dispute may come before its
//! payment, be decided before it is opened, or be won after it was lost.

mod decided;
mod dispute;
mod receivable;
mod record;

pub use decided::{DisputeLost, DisputeReversed, GivenBack};
pub use dispute::{Dispute, DisputeStatus, Loss, dispute_id};
pub use receivable::{ReceivableRecovered, ReceivableWrittenOff, WriteOffReceivable};
pub use record::{DisputeMatched, DisputeNews, DisputeOpened, DisputeReleased, RecordDispute, ReleaseCause};

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        disputes
        commands { RecordDispute WriteOffReceivable }
        events {
            DisputeOpened DisputeMatched DisputeReleased DisputeLost DisputeReversed ReceivableRecovered
            ReceivableWrittenOff
        }
        tables {
            // By the gateway's name of the dispute, for ever.
            disputes: Lookup<String, disputes::Dispute>;
            // Those that came before their payments bought anything, by the payments.
            early_disputes: Lookup<String, Vec<String>>;
            // Who owes for which disputes, by the revisions that lost them.
            receivables: Table<(PersonId, u64), String>;
        }
        rejections {
            DisputeKnown = "dispute_already_recorded", "this dispute is recorded already";
            DisputeDecided = "dispute_already_decided", "this dispute has been decided already";
            DisputeMismatch = "dispute_mismatch", "this dispute is recorded already, for another payment";
            PurchaseDisputed = "purchase_disputed", "the payment of this purchase is disputed; a refund waits until the dispute is decided";
            ReceivableOpen { owed_milli: i64 } = "receivable_open", "{owed_milli} thousandths of a coin are owed for a payment that was taken back; buy coins to settle it";
            UnknownReceivable = "unknown_receivable", "nothing is owed for such a dispute";
            WriteOffTooLarge { owed_milli: i64 } = "write_off_too_large", "only {owed_milli} thousandths of a coin are owed for this dispute";
        }
    } } };
}
pub(crate) use noun;
