//! Replays the journal and compares it with the read models.
//!
//! The figures that are expected come from the ledger's own replay (`evolve`) and from the events,
//! never from the code that projects: a fault there shows here. Only the words of a statement are
//! shared with it.

mod compare;
mod expect;
mod records;

use crate::Journal;
use crate::error::ProjectError;
use crate::projector::{BATCH_EVENTS, check_reaches, decode, journal_id};
use crate::queries::Checkpoint;
use compare::Comparison;
use event_store::ReadError;
use expect::Expected;
use ledger_core::{Account, Asset, JournalId, Recorded, State, evolve};
use records::Records;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Absent when nothing has been projected.
    pub journal: Option<JournalId>,
    /// The checkpoint that everything was compared at.
    pub revision: Option<u64>,
    /// What was compared, in order; the last one failed where there is a difference.
    pub checks: Vec<Check>,
    /// The first difference; the books are in order when there is none.
    pub difference: Option<Difference>,
}

impl Report {
    pub fn is_ok(&self) -> bool {
        self.difference.is_none()
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
    /// The table and column, or the invariant.
    pub what: String,
    /// The account, or the id of the call, the purchase ...
    pub id: String,
    /// The event that the expected value follows from.
    pub revision: Option<u64>,
    pub expected: String,
    pub found: String,
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

/// Why nothing could be said.
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

/// Ends a verification: at the first difference, or because nothing could be said.
enum Stop {
    Difference(Difference),
    Error(VerifyError),
}

impl<E: Into<VerifyError>> From<E> for Stop {
    fn from(fault: E) -> Stop {
        Stop::Error(fault.into())
    }
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
    checkpoint.belongs_to(journal_id(&store).await?)?;
    if let Some(projected) = checkpoint.revision {
        check_reaches(&store, projected).await?;
    }
    let mut report = Report {
        journal: checkpoint.journal,
        revision: checkpoint.revision,
        checks: Vec::new(),
        difference: None,
    };
    let mut comparison = Comparison { connection: &mut tx, checks: &mut report.checks };
    match run(&mut comparison, &store, checkpoint.revision, progress).await {
        Ok(()) => {}
        Err(Stop::Difference(difference)) => report.difference = Some(difference),
        Err(Stop::Error(fault)) => return Err(fault),
    }
    tx.rollback().await?;
    Ok(report)
}

async fn run(
    comparison: &mut Comparison<'_>,
    store: &Journal,
    checkpoint: Option<u64>,
    mut progress: impl FnMut(u64, u64),
) -> Result<(), Stop> {
    let mut state = State::new();
    let mut books = Books::default();
    let mut expected = Expected::default();
    let total = checkpoint.map_or(0, |revision| revision.saturating_add(1));
    while state.next_revision() < total {
        progress(state.next_revision(), total);
        let units = units(store, state.next_revision(), total).await?;
        let mut records = Records::default();
        for recorded in &units {
            replay(&mut state, recorded)?;
            comparison.count("events replayed");
            books.post(recorded);
            records.add(recorded, &state, &books);
            expected.add(recorded);
        }
        if let (Some(first), Some(last)) = (units.first(), units.last()) {
            records.compare(comparison, first.revision, last.revision).await?;
            state.settle(last.revision);
        }
    }
    progress(total, total);
    records::nothing_beyond(comparison, checkpoint).await?;
    books.compare(comparison, &state).await?;
    expected.compare(comparison, &state).await
}

/// The next whole units, none of them from `end` on.
async fn units(store: &Journal, next: u64, end: u64) -> Result<Vec<Recorded>, Stop> {
    let mut max = BATCH_EVENTS;
    loop {
        let stored = store.read(next, max).await?;
        let full = stored.len() >= max;
        let inside = stored.iter().filter(|event| event.revision < end);
        let mut events = inside.map(decode).collect::<Result<Vec<_>, _>>()?;
        let whole = events.iter().rposition(|recorded| recorded.metadata.closes_unit());
        events.truncate(whole.map_or(0, |last| last + 1));
        if !events.is_empty() {
            return Ok(events);
        }
        if !full || stored.last().is_some_and(|event| event.revision >= end) {
            // All of the unit was seen, up to the checkpoint.
            let at = i64::try_from(end - 1).ok();
            return Err(compare::difference(
                "checkpoint.revision",
                "checkpoint",
                at,
                "a unit's end",
                "its middle",
            ));
        }
        max = max.saturating_mul(2);
    }
}

/// Evolves the state; an event that breaks an invariant is a difference.
fn replay(state: &mut State, recorded: &Recorded) -> Result<(), Stop> {
    catch_unwind(AssertUnwindSafe(|| evolve(state, recorded))).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("a broken invariant");
        Stop::Difference(Difference {
            what: "replay".to_owned(),
            id: recorded.event.kind().to_owned(),
            revision: Some(recorded.revision),
            expected: "an event that keeps the invariants".to_owned(),
            found: text.to_owned(),
        })
    })
}

/// The balances, added up from the postings: a second opinion beside the state.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Debit positive, with the last revision that touched it.
    balances: BTreeMap<(Account, Asset), (i64, u64)>,
    /// The balance after each posting of the last event, in order.
    after: Vec<i64>,
}

impl Books {
    fn post(&mut self, recorded: &Recorded) {
        self.after.clear();
        for posting in recorded.event.postings() {
            let row = self.balances.entry((posting.account, posting.asset)).or_default();
            *row = (row.0 + posting.amount, recorded.revision);
            self.after.push(row.0);
        }
    }

    async fn compare(&self, comparison: &mut Comparison<'_>, state: &State) -> Result<(), Stop> {
        for ((account, asset), (balance, revision)) in &self.balances {
            comparison.same(
                "replayed balances",
                account,
                *revision,
                *balance,
                state.balance(*account, *asset),
            )?;
        }
        let mut sums: BTreeMap<Asset, i128> = BTreeMap::new();
        for (_, asset, balance) in state.balances() {
            *sums.entry(asset).or_default() += i128::from(balance);
        }
        let last = state.revision().unwrap_or(0);
        for (asset, sum) in sums {
            comparison.same("conservation", asset, last, 0, sum)?;
            let clearing = state.balance(Account::ClearingCharges, asset);
            comparison.same("clearing at zero", Account::ClearingCharges, last, 0, clearing)?;
        }
        self.compare_rows(comparison).await
    }

    /// In both directions: a row that is missing, and one that should not be there.
    async fn compare_rows(&self, comparison: &mut Comparison<'_>) -> Result<(), Stop> {
        let mut expected: BTreeMap<(String, String), (i64, u64)> = self
            .balances
            .iter()
            .map(|((account, asset), row)| ((account.to_string(), asset.to_string()), *row))
            .collect();
        let rows: Vec<(String, String, i64, i64)> = balances(comparison.connection).await?;
        for (account, asset, balance, revision) in rows {
            let name = format!("{account} in {asset}");
            let Some((wanted, touched)) = expected.remove(&(account, asset)) else {
                return Err(compare::difference("balances", name, Some(revision), "no row", "a row"));
            };
            comparison.same("balances", &name, touched, wanted, balance)?;
            comparison.same(
                "balances.revision",
                &name,
                touched,
                i128::from(touched),
                i128::from(revision),
            )?;
        }
        match expected.into_iter().next() {
            Some(((account, asset), (_, touched))) => {
                let name = format!("{account} in {asset}");
                Err(compare::difference("balances", name, i64::try_from(touched).ok(), "a row", "no row"))
            }
            None => Ok(()),
        }
    }
}

async fn balances(connection: &mut PgConnection) -> Result<Vec<(String, String, i64, i64)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT account, asset, balance_minor, revision FROM read.balances ORDER BY account, asset",
    )
    .fetch_all(connection)
    .await
}
