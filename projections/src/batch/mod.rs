//! The hot path: a batch of events becomes rows.
//!
//! All within the transaction that holds the checkpoint's lock. Phases that find nothing to do make
//! no round trip.
//!
//! | phase | round trips |
//! |---|---|
//! | lock and read the checkpoint (projector.rs) | 2, with BEGIN |
//! | [`touched`]: which rows the events need, in memory | 0 |
//! | [`load`]: their balances, calls, purchases, withdrawals, bonus lots, members | 1 a table, at most 6 |
//! | [`fold`]: apply the events in memory, in order | 0 |
//! | [`write`]: insert or replace the rows | 1 a table, at most 18; a batch of calls and gifts has 9 |
//! | move the checkpoint, commit (projector.rs) | 2 |
//!
//! So the cost a batch is a dozen or two round trips, whether it has one event or two thousand.

mod fold;
pub(crate) mod lines;
mod load;
mod touched;
mod write;

use crate::error::ProjectError;
pub(crate) use fold::{bps, code, scope};
use ledger_core::Recorded;
use sqlx::PgConnection;

/// Applies whole units, in order, to the rows that stand after the event before them.
pub(crate) async fn apply(connection: &mut PgConnection, events: &[Recorded]) -> Result<(), ProjectError> {
    let touched = touched::Touched::by(events);
    let mut rows = load::load(connection, &touched).await?;
    for recorded in events {
        rows.apply(recorded)?;
    }
    write::write(connection, &rows).await?;
    Ok(())
}
