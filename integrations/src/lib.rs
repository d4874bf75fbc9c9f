//! Third parties, a file each. Nothing here knows the ledger or the database: amounts are integers in minor
//! units with their currency, and an unknown outcome is an error of its own, never taken for a failure.

pub mod head_bucket;
pub mod head_webhook;
pub mod otp_sender;
pub mod razorpay;
pub mod razorpay_settlements;
mod razorpay_webhook;
