//! Extractors whose refusals are problems. In a handler they stand in the order in which they are to be
//! checked: who is asking, then the key, the path, the query, and the body last.

mod address;
mod author;
mod body;
mod caller;
mod key;
mod path;
mod query;
#[cfg(test)]
mod tests;

pub use address::{ClientAddress, address_of};
pub use author::AdminAuthor;
pub use body::{BODY_LIMIT_BYTES, Json, Raw};
pub use caller::{AdminCaller, AgencyCaller, AnyCaller, EarnerCaller, HostCaller, UserCaller};
pub use key::IdempotencyKey;
pub use path::Path;
pub use query::Query;
