//! Replays the journal and compares it with the read models: a second opinion.
//!
//! What is expected comes from the events and from the ledger's own replay (`evolve`), never from the
//! code that projects, so that a fault there shows here. Only the words of a statement are shared.
//! Each noun's expectations stand in a file of their own, as its tables do.

mod compare;

use crate::Journal;
use crate::error::ProjectError;
use crate::mechanism::{BATCH_EVENTS, Checkpoint, belong_together, decode_after, pg_revision};
use chrono::{DateTime, Utc};
use compare::Comparison;
use event_store::ReadError;
use ledger_core::{Event, JournalId, Recorded, State, evolve};
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgPool};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Absent when nothing has been projected.
    pub journal: Option<JournalId>,
    /// The checkpoint that everything was compared at.
    pub revision: Option<u64>,
    /// What was compared, in order, up to the first difference.
    pub checks: Vec<Check>,
    /// The first difference; the books are in order when there is none.
    pub difference: Option<Difference>,
}

impl Report {
    pub fn is_ok(&self) -> bool {
        self.difference.is_none()
    }

    /// Whether this is the check that found the difference.
    pub fn failed(&self, check: &Check) -> bool {
        self.difference.as_ref().is_some_and(|difference| difference.check == check.name)
    }
}

/// One kind of comparison, and how many things it compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub count: u64,
}

/// Where read models and journal part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The name of the check that found it.
    pub check: &'static str,
    /// The table and column, or the invariant.
    pub what: String,
    /// The account, or the id of the call, the purchase ...
    pub id: String,
    /// The event that the expected value follows from.
    pub revision: Option<u64>,
    pub expected: String,
    pub found: String,
}

impl Difference {
    /// Whether the journal itself is wrong, and not the read models.
    #[must_use]
    pub fn is_of_the_journal(&self) -> bool {
        self.check == REPLAYED
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.what, self.id)?;
        if let Some(revision) = self.revision {
            write!(f, " at revision {revision}")?;
        }
        write!(f, ": expected {}, found {}", self.expected, self.found)
    }
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("the read models cannot be read: {0}")]
    Postgres(#[from] sqlx::Error),
    #[error(transparent)]
    Journal(#[from] ReadError),
    /// The journal cannot be read, or is not the one that was projected.
    #[error(transparent)]
    Project(#[from] ProjectError),
}

/// Ends a verification: at the first difference, or because nothing could be compared.
enum Stop {
    Difference(Box<Difference>),
    Error(VerifyError),
}

impl<E: Into<VerifyError>> From<E> for Stop {
    fn from(fault: E) -> Stop {
        Stop::Error(fault.into())
    }
}

/// One noun's second opinion: the rows that its tables should have.
trait Opinion: Default {
    /// Its tables that get rows and never change them, with a column that names a row.
    const GROWING: &[(&str, &str)] = &[];

    /// Hears of one event.
    fn add(&mut self, told: &Told<'_>);

    /// Compares the rows of the events that were heard of since the last time, for tables that only
    /// grow. `range` are the revisions of the first and the last of these events.
    async fn compare_range(
        &mut self,
        _comparison: &mut Comparison<'_>,
        _range: (i64, i64),
    ) -> Result<(), Stop> {
        Ok(())
    }

    /// Compares the tables whose rows change, after all events.
    async fn compare_all(&self, _comparison: &mut Comparison<'_>, _state: &State) -> Result<(), Stop> {
        Ok(())
    }
}

/// An event, as the replay comes by it.
struct Told<'a> {
    recorded: &'a Recorded,
    revision: i64,
    at: DateTime<Utc>,
    /// The medium of the call that the event is part of.
    medium: Option<String>,
}

impl<'a> Told<'a> {
    fn event(&self) -> &'a Event {
        &self.recorded.event
    }
}

macro_rules! opinions {
    ($($noun:ident: $opinion:ident,)*) => {
        $(mod $noun;)*

        /// The opinions on all tables.
        #[derive(Default)]
        struct Opinions { $($noun: $noun::$opinion),* }

        impl Opinions {
            const GROWING: &[&[(&str, &str)]] = &[$(<$noun::$opinion as Opinion>::GROWING),*];

            fn add(&mut self, recorded: &Recorded) {
                let told = Told {
                    recorded,
                    revision: pg_revision(recorded.revision),
                    at: recorded.metadata.recorded_at.to_utc(),
                    medium: self.calls.medium_of(recorded),
                };
                $(self.$noun.add(&told);)*
            }

            async fn compare_range(&mut self, comparison: &mut Comparison<'_>, range: (i64, i64)) -> Result<(), Stop> {
                $(self.$noun.compare_range(comparison, range).await?;)*
                Ok(())
            }

            async fn compare_all(&self, comparison: &mut Comparison<'_>, state: &State) -> Result<(), Stop> {
                $(self.$noun.compare_all(comparison, state).await?;)*
                Ok(())
            }
        }
    };
}

opinions! {
    accounts: Accounts,
    events: Events,
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

/// Compares the read models, in one snapshot, with a replay of the journal from its beginning to
/// the checkpoint of that snapshot: exact beside a running projector. `progress` is told how many
/// events are replayed, and how many there are.
///
/// # Errors
/// When journal or read models cannot be read, or do not belong together. A difference is no error:
/// it is in the report.
pub async fn verify(
    pool: &PgPool,
    store: Journal,
    progress: impl FnMut(u64, u64),
) -> Result<Report, VerifyError> {
    let mut tx = pool.begin_with("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let checkpoint = Checkpoint::read(&mut tx).await?;
    let mut report = Report {
        journal: checkpoint.journal,
        revision: checkpoint.revision,
        checks: Vec::new(),
        difference: None,
    };
    let mut comparison = Comparison { connection: &mut tx, checks: &mut report.checks };
    match run(&mut comparison, &store, &checkpoint, progress).await {
        Ok(()) => {}
        Err(Stop::Difference(difference)) => report.difference = Some(*difference),
        Err(Stop::Error(fault)) => return Err(fault),
    }
    tx.rollback().await?;
    Ok(report)
}

async fn run(
    comparison: &mut Comparison<'_>,
    store: &Journal,
    checkpoint: &Checkpoint,
    mut progress: impl FnMut(u64, u64),
) -> Result<(), Stop> {
    match belong_together(checkpoint, store).await {
        Err(ProjectError::OtherHistory { revision, read_models, journal }) => {
            let revision = Some(pg_revision(revision));
            return Err(comparison.differs(
                "checkpoint",
                "checkpoint.event_id",
                "checkpoint",
                revision,
                journal,
                read_models,
            ));
        }
        other => _ = other?,
    }
    let mut state = State::new();
    let mut opinions = Opinions::default();
    let total = checkpoint.revision.map_or(0, |revision| revision.saturating_add(1));
    while state.next_revision() < total {
        progress(state.next_revision(), total);
        let units = units(comparison, store, state.next_revision(), total).await?;
        for recorded in &units {
            replay(comparison, &mut state, recorded)?;
            opinions.add(recorded);
        }
        if let (Some(first), Some(last)) = (units.first(), units.last()) {
            let range = (pg_revision(first.revision), pg_revision(last.revision));
            opinions.compare_range(comparison, range).await?;
            state.settle(last.revision);
        }
    }
    progress(total, total);
    nothing_beyond(comparison, checkpoint.revision).await?;
    opinions.compare_all(comparison, &state).await
}

/// The next whole units, none of them from `end` on.
async fn units(
    comparison: &mut Comparison<'_>,
    store: &Journal,
    next: u64,
    end: u64,
) -> Result<Vec<Recorded>, Stop> {
    let mut max = BATCH_EVENTS;
    loop {
        let stored = store.read(next, max).await?;
        let full = stored.len() >= max;
        let inside = stored.iter().filter(|event| event.revision < end);
        let mut before = None;
        let decoded = inside.map(|event| decode_after(&mut before, event));
        let mut events = decoded.collect::<Result<Vec<_>, _>>()?;
        let whole = events.iter().rposition(|recorded| recorded.metadata.closes_unit());
        events.truncate(whole.map_or(0, |last| last + 1));
        if !events.is_empty() {
            return Ok(events);
        }
        if !full || stored.last().is_some_and(|event| event.revision >= end) {
            // All of the unit was seen, up to the checkpoint.
            let (at, what) = (i64::try_from(end - 1).ok(), "checkpoint.revision");
            return Err(comparison.differs(
                "checkpoint",
                what,
                "checkpoint",
                at,
                "a unit's end",
                "its middle",
            ));
        }
        max = max.saturating_mul(2);
    }
}

const REPLAYED: &str = "events replayed";

/// Evolves the state; an event that breaks an invariant is a difference.
fn replay(comparison: &mut Comparison<'_>, state: &mut State, recorded: &Recorded) -> Result<(), Stop> {
    comparison.count(REPLAYED);
    catch_unwind(AssertUnwindSafe(|| evolve(state, recorded))).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a broken invariant");
        let at = Some(pg_revision(recorded.revision));
        comparison.differs(REPLAYED, "replay", recorded.event.kind(), at, "an event that evolves", text)
    })
}

/// No row speaks of an event that has not been projected.
async fn nothing_beyond(comparison: &mut Comparison<'_>, checkpoint: Option<u64>) -> Result<(), Stop> {
    let tables = Opinions::GROWING.concat();
    let rows: Vec<String> = tables
        .iter()
        .enumerate()
        .map(|(place, (table, id))| {
            format!("SELECT {place} AS place, {id}::text AS id, revision FROM read.{table}")
        })
        .collect();
    let sql = format!(
        "SELECT place, id, revision FROM ({}) AS rows WHERE revision > $1 OR revision < 0
         ORDER BY revision, place LIMIT 1",
        rows.join(" UNION ALL ")
    );
    let row: Option<(i32, String, i64)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(checkpoint.map_or(-1, pg_revision))
        .fetch_optional(&mut *comparison.connection)
        .await?;
    let found = row.and_then(|(place, id, revision)| Some((tables.get(place as usize)?.0, id, revision)));
    match found {
        Some((table, id, revision)) => {
            Err(comparison.differs(table, table, id, Some(revision), "no row", "a row"))
        }
        None => Ok(()),
    }
}
