//! Queries, a file per noun. Rows come back newest first, in pages.

mod accounts;
mod calls;
mod catalogue;
mod commission;
mod events;
mod gifts;
mod purchases;
mod revenue;
mod statement;
mod suspense;
mod wallet;
mod withdrawals;

pub use accounts::{AsOf, BalanceAsOf, TrialBalance, TrialBalanceLine, TrialBalanceSum};
pub use calls::CallRow;
pub use catalogue::{AgencyMemberRow, CoinPlanRow, GiftPriceRow, HostRateRow};
pub use commission::{CommissionFilter, CommissionRateRow, SplitRow};
pub use events::{EventFilter, EventRow};
pub use gifts::{GiftRow, HostGiftTotals};
pub use purchases::PurchaseRow;
pub use revenue::RevenueRow;
pub use statement::{StatementLine, StatementOf};
pub use suspense::UnmatchedRow;
pub use wallet::BonusLotRow;
pub use withdrawals::{WithdrawalFilter, WithdrawalRow};

use crate::error::{Behind, QueryError};
use crate::projector::Progress;
use crate::schema;
use ledger_core::JournalId;
use sqlx::PgPool;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// The most rows that a page has.
pub const PAGE_LIMIT: u32 = 200;

/// How often the checkpoint is looked at while a query waits for a projector in another process.
const POLL: Duration = Duration::from_millis(20);

/// The read models, to be asked.
#[derive(Clone, Debug)]
pub struct ReadModels {
    pub(crate) pool: PgPool,
    progress: Option<watch::Receiver<Progress>>,
}

/// How far the read models are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Absent before the first batch.
    pub journal: Option<JournalId>,
    pub revision: Option<u64>,
}

impl Checkpoint {
    /// From the columns of `read.checkpoint`.
    pub(crate) fn of(journal: Option<Uuid>, revision: Option<i64>) -> Checkpoint {
        Checkpoint {
            journal: journal.map(JournalId),
            revision: revision.and_then(|revision| u64::try_from(revision).ok()),
        }
    }
}

impl ReadModels {
    /// Opens the read models; creates their schema where it is missing and makes it anew, empty,
    /// where its format is not this program's.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn open(pool: PgPool) -> Result<ReadModels, sqlx::Error> {
        schema::ensure(&pool).await?;
        Ok(ReadModels { pool, progress: None })
    }

    /// Waits through the news of a projector in this process instead of by polling alone.
    #[must_use]
    pub fn following(self, progress: watch::Receiver<Progress>) -> ReadModels {
        ReadModels { progress: Some(progress), ..self }
    }

    /// How far the read models are.
    ///
    /// # Errors
    /// When Postgres cannot be reached.
    pub async fn checkpoint(&self) -> Result<Checkpoint, sqlx::Error> {
        let row = sqlx::query_as("SELECT journal_id, revision FROM read.checkpoint")
            .fetch_optional(&self.pool)
            .await?;
        let (journal, revision) = row.unwrap_or_default();
        Ok(Checkpoint::of(journal, revision))
    }

    /// Returns once the read models have come to `min_revision`.
    ///
    /// # Errors
    /// [`QueryError::Behind`] when they have not after `timeout`.
    pub async fn wait_for(&self, min_revision: u64, timeout: Duration) -> Result<(), QueryError> {
        let mut progress = self.progress.clone();
        let reached = |revision: Option<u64>| revision.is_some_and(|revision| revision >= min_revision);
        if progress.as_ref().is_some_and(|news| reached(news.borrow().projected)) {
            return Ok(());
        }
        let mut projected = None;
        let waiting = async {
            loop {
                projected = self.checkpoint().await?.revision;
                if reached(projected) {
                    return Ok(());
                }
                // The projector may run in another process: its news do not come here.
                let news = async {
                    let told = match &mut progress {
                        Some(news) => news.changed().await.is_ok(),
                        None => false,
                    };
                    if !told {
                        std::future::pending::<()>().await;
                    }
                };
                let _ = tokio::time::timeout(POLL, news).await;
            }
        };
        match tokio::time::timeout(timeout, waiting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Behind { wanted: min_revision, projected }.into()),
        }
    }
}

/// A page of rows, and the cursor of the next one.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Absent on the last page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of `limit` rows out of one more that were read.
    fn of<C: fmt::Display>(mut rows: Vec<T>, limit: i64, cursor: impl Fn(&T) -> C) -> Page<T> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|last| cursor(last).to_string());
        Page { items: rows, next }
    }
}

/// Where a page ended: a place in the journal, which no later event moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub revision: i64,
    pub index: i32,
}

impl Cursor {
    /// Before everything, as pages go from the newest to the oldest.
    const START: Cursor = Cursor { revision: i64::MAX, index: i32::MAX };

    fn at(revision: i64) -> Cursor {
        Cursor { revision, index: 0 }
    }

    fn parse(text: Option<&str>) -> Result<Cursor, QueryError> {
        text.map_or(Ok(Cursor::START), str::parse)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.revision, self.index)
    }
}

impl FromStr for Cursor {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Cursor, QueryError> {
        let parts = text.split_once('-').ok_or(QueryError::BadCursor)?;
        let cursor = Cursor {
            revision: parts.0.parse().map_err(|_| QueryError::BadCursor)?,
            index: parts.1.parse().map_err(|_| QueryError::BadCursor)?,
        };
        // One place has one text: signs and leading zeros are refused.
        if cursor.to_string() == text && cursor.revision >= 0 && cursor.index >= 0 {
            Ok(cursor)
        } else {
            Err(QueryError::BadCursor)
        }
    }
}

/// A page's size as asked for, within what is served.
fn page_size(limit: u32) -> i64 {
    i64::from(limit.clamp(1, PAGE_LIMIT))
}

/// A revision as Postgres has it. No journal comes near the end of 63 bits.
pub(crate) fn pg_revision(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        let cursor = Cursor { revision: 12, index: 3 };
        assert_eq!(cursor.to_string().parse::<Cursor>().ok(), Some(cursor));
        for text in
            ["", "12", "-1-0", "12-", "+12-3", "012-3", "12-3-4", "12-+3", "x-1", "99999999999999999999-0"]
        {
            assert!(matches!(text.parse::<Cursor>(), Err(QueryError::BadCursor)), "{text:?}");
        }
    }
}
