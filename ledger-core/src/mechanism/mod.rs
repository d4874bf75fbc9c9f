//! What every noun stands on: identities and money, the envelope of a command, the unit of its events,
//! the state's tables, the canonical bytes. Nothing here knows a noun.

pub mod account;
pub mod amounts;
pub mod binary;
pub mod dated;
pub mod decide;
pub mod envelope;
pub mod event;
pub mod evolve;
pub mod ids;
pub mod leaf;
pub mod memory;
pub mod metadata;
pub mod money;
pub mod packed;
pub mod rejection;
pub mod state;
pub mod stored;
pub mod table;
pub mod text;
pub mod time;
