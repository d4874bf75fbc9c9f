//! Read models: tables in the Postgres schema `read`, and the queries that read them.
//!
//! The journal is the truth and everything in the schema `read` is a cache of it. A [`Projector`] applies a
//! batch of events and moves the one checkpoint in the same transaction, [`rebuild`] drops everything
//! and projects the journal again, and [`verify`] replays the journal and names the first difference.
//! [`ReadModels`] has the queries.
//!
//! Each read model is one file: its tables, its rows, how events change them, how they are loaded and
//! written, and its queries. To add one, write the file and add a line to the list below; `verify` has a
//! file of its own for it.
//!
//! What an event says stays in the journal. Tables keep what queries look for and what folds from events; the page that
//! is shown reads its events from the store.
//!
//! What holds for all tables: amounts are whole numbers (`_milli` are thousandths of a coin, `_minor` the
//! smallest unit of the asset that stands beside them); `revision` is the event that a row follows from
//! or was last changed by; there are no foreign keys, since all rows come from one journal in one order
//! and `muneem verify` checks more than a key could. A table is changed by changing its statement and
//! raising [`FORMAT`]; there are no migrations.

mod error;
mod mechanism;
mod verify;

use event_store::EventStore;
use mechanism::{Place, ReadModel};
use std::sync::Arc;

pub use error::{Behind, ProjectError, QueryError};
pub use mechanism::{
    BATCH_EVENTS, BadCursor, Checkpoint, Condition, Cursor, FORMAT, PAGE_LIMIT, Page, Progress, Projector,
    ReadModels, rebuild,
};
pub use verify::{Check, Difference, Report, VerifyError, verify};

/// The journal that the read models follow.
pub type Journal = Arc<dyn EventStore>;

mechanism::read_models! {
    events: Events,
    accounts: Accounts,
    calls: Calls,
    gifts: Gifts,
    commission: Commission,
    revenue: Revenue,
    purchases: Purchases,
    suspense: Suspense,
    disputes: Disputes,
    adjustments: Adjustments,
    bonuses: Bonuses,
    deferred: Deferred,
    rewards: Rewards,
    subscriptions: Subscriptions,
    orders: Orders,
    withdrawals: Withdrawals,
    settlements: Settlements,
    payout_rates: PayoutRates,
    catalogue: Catalogue,
    agencies: Agencies,
}
