//! Follows the journal into Postgres.

use crate::error::ProjectError;
use crate::queries::{Checkpoint, pg_revision};
use crate::schema::{self, FORMAT};
use crate::{Journal, batch};
use event_store::RecordedEvent;
use ledger_core::{Event, JournalId, Recorded};
use sqlx::{PgConnection, PgPool};
use std::future::Future;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

/// How many events one transaction applies at most (more only where one unit has more).
pub const BATCH_EVENTS: usize = 2_000;

/// How often an idle projector looks whether the checkpoint is still where it left it.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const READER_LAG: Duration = Duration::from_secs(1);

/// How far a projector is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last revision that the read models are known to have.
    pub projected: Option<u64>,
}

/// Brings the read models up to the journal's end and keeps them there.
///
/// Any number may run at once, in any process: the lock on the checkpoint lets one at a time apply
/// a batch, and each reads the checkpoint anew under it.
pub struct Projector {
    pool: PgPool,
    store: Journal,
    progress: watch::Sender<Progress>,
}

/// What an attempt to go on came to.
enum Step {
    /// The checkpoint stands here now, moved by this projector or found there.
    At(Option<u64>),
    /// The journal has no complete unit beyond the checkpoint.
    CaughtUp(Option<u64>),
}

impl Projector {
    /// A projector of `store` into the read models that [`crate::ReadModels::open`] has made.
    pub fn new(pool: PgPool, store: Journal) -> Projector {
        Projector { pool, store, progress: watch::Sender::new(Progress::default()) }
    }

    /// The news of this projector.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Follows the journal until `shutdown` is done. An outage of Postgres or of the store is waited
    /// out.
    ///
    /// # Errors
    /// Whatever no waiting mends: an event that this program cannot read, another journal.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) -> Result<(), ProjectError> {
        tokio::select! {
            outcome = self.follow() => outcome,
            () = shutdown => Ok(()),
        }
    }

    async fn follow(&self) -> Result<(), ProjectError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.follow_until_fault(&mut pause).await {
                Ok(never) => match never {},
                Err(fault) if fault.is_outage() => {
                    tracing::warn!(%fault, again_in = ?pause, "the read models stand still");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(fault) => {
                    tracing::error!(%fault, "the projector stops");
                    return Err(fault);
                }
            }
        }
    }

    async fn follow_until_fault(
        &self,
        pause: &mut Duration,
    ) -> Result<std::convert::Infallible, ProjectError> {
        let mut journal = None;
        let mut at = self.checked_start(&mut journal).await?;
        loop {
            match self.step(at, &mut journal).await? {
                Step::At(revision) => at = revision,
                Step::CaughtUp(seen) => match timeout(LOOK_AGAIN, self.store.wait_beyond(seen)).await {
                    Ok(head) => _ = head?,
                    // Another process may have begun to make the read models anew, and may have stopped.
                    Err(_) => at = self.checked_start(&mut journal).await?,
                },
            }
            *pause = FIRST_PAUSE;
        }
    }

    /// Projects until the end of the journal as it is when called, and answers the checkpoint.
    /// `progress` is told how many events are done, and how many there are.
    ///
    /// # Errors
    /// Any fault, outages too.
    pub async fn project_to_end(
        &self,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Option<u64>, ProjectError> {
        let mut journal = None;
        let mut at = self.checked_start(&mut journal).await?;
        let total = self.store.head().await?.map_or(0, |head| head.saturating_add(1));
        let done = |at: Option<u64>| at.map_or(0, |at| at.saturating_add(1));
        while done(at) < total {
            progress(done(at), total);
            match self.step(at, &mut journal).await? {
                Step::At(revision) => at = revision,
                Step::CaughtUp(_) => break,
            }
        }
        progress(done(at), total.max(done(at)));
        Ok(at)
    }

    /// The checkpoint, once it is known to belong to this journal.
    async fn checked_start(&self, journal: &mut Option<JournalId>) -> Result<Option<u64>, ProjectError> {
        let mut connection = self.pool.acquire().await?;
        let checkpoint = Checkpoint::read(&mut connection).await?;
        drop(connection);
        *journal = journal_id(&self.store).await?;
        checkpoint.belongs_to(*journal)?;
        if let Some(projected) = checkpoint.revision {
            check_reaches(&self.store, projected).await?;
        }
        self.tell(checkpoint.revision);
        Ok(checkpoint.revision)
    }

    /// Applies the next batch after `at`, or finds that somebody else has.
    async fn step(&self, at: Option<u64>, journal: &mut Option<JournalId>) -> Result<Step, ProjectError> {
        let next = at.map_or(0, |at| at.saturating_add(1));
        let (events, seen) = self.units_from(next).await?;
        let Some(last) = events.last().map(|recorded| recorded.revision) else {
            return Ok(Step::CaughtUp(seen.or(at)));
        };
        if journal.is_none() {
            *journal = journal_id(&self.store).await?;
        }
        let mut tx = self.pool.begin().await?;
        let checkpoint = Checkpoint::lock(&mut tx).await?;
        checkpoint.belongs_to(*journal)?;
        if checkpoint.revision != at {
            // Another projector went on, or the read models were made anew.
            tx.rollback().await?;
            self.tell(checkpoint.revision);
            return Ok(Step::At(checkpoint.revision));
        }
        batch::apply(&mut tx, &events).await?;
        sqlx::query("UPDATE read.checkpoint SET journal_id = $1, revision = $2")
            .bind(journal.map(|journal| journal.0))
            .bind(pg_revision(last))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        self.tell(Some(last));
        Ok(Step::At(Some(last)))
    }

    /// The next whole units, and the last revision that was seen beyond them.
    async fn units_from(&self, next: u64) -> Result<(Vec<Recorded>, Option<u64>), ProjectError> {
        let mut max = BATCH_EVENTS;
        loop {
            let stored = self.store.read(next, max).await?;
            let full = stored.len() >= max;
            let seen = stored.last().map(|event| event.revision);
            let mut fault = None;
            let mut events = Vec::with_capacity(stored.len());
            for event in &stored {
                match decode(event) {
                    Ok(recorded) => events.push(recorded),
                    Err(broken) => {
                        fault = Some(broken);
                        break;
                    }
                }
            }
            let whole = events.iter().rposition(|recorded| recorded.metadata.closes_unit());
            events.truncate(whole.map_or(0, |last| last + 1));
            // What stands before the event that cannot be read is applied first.
            match fault {
                Some(fault) if events.is_empty() => return Err(fault),
                None if events.is_empty() && full => max = max.saturating_mul(2),
                _ => return Ok((events, seen)),
            }
        }
    }

    fn tell(&self, projected: Option<u64>) {
        self.progress.send_if_modified(|progress| {
            let news = progress.projected != projected;
            progress.projected = projected;
            news
        });
    }
}

/// Drops the read models and projects the journal from its beginning. `progress` is told how many
/// events are done, and how many there are.
///
/// # Errors
/// Any fault; run it again then.
pub async fn rebuild(
    pool: &PgPool,
    store: Journal,
    progress: impl FnMut(u64, u64),
) -> Result<Option<u64>, ProjectError> {
    schema::recreate(pool).await?;
    Projector::new(pool.clone(), store).project_to_end(progress).await
}

/// Refuses read models that are beyond the journal's end. A reader of another process's store may see
/// the newest events a moment after they were projected there, so they are waited for.
pub(crate) async fn check_reaches(store: &Journal, projected: u64) -> Result<(), ProjectError> {
    let beyond = store.wait_beyond(projected.checked_sub(1));
    match tokio::time::timeout(READER_LAG, beyond).await {
        Ok(head) => head.map(|_| ()).map_err(ProjectError::from),
        Err(_) => Err(ProjectError::AheadOfJournal { projected, head: store.head().await? }),
    }
}

pub(crate) fn decode(event: &RecordedEvent) -> Result<Recorded, ProjectError> {
    Recorded::decode(event.revision, event.id, &event.kind, &event.data, &event.metadata)
        .map_err(|fault| ProjectError::Undecodable { revision: event.revision, fault })
}

/// The journal's id, from its first event.
pub(crate) async fn journal_id(store: &Journal) -> Result<Option<JournalId>, ProjectError> {
    let first = store.read(0, 1).await?;
    match first.first().map(decode).transpose()?.map(|recorded| recorded.event) {
        Some(Event::JournalOpened(opened)) => Ok(Some(opened.journal)),
        Some(_) => Err(ProjectError::NotAJournal),
        None => Ok(None),
    }
}

impl Checkpoint {
    /// The read models are a cache: losing the last commits in a crash loses nothing, so no commit
    /// waits for the disk. Set on the way, which saves a round trip.
    async fn lock(connection: &mut PgConnection) -> Result<Checkpoint, ProjectError> {
        let row = sqlx::query_as(
            "SELECT journal_id, revision, format FROM read.checkpoint,
                    set_config('synchronous_commit', 'off', true) FOR UPDATE OF checkpoint",
        )
        .fetch_optional(connection)
        .await?;
        Checkpoint::in_our_format(row)
    }

    pub(crate) async fn read(connection: &mut PgConnection) -> Result<Checkpoint, ProjectError> {
        let row = sqlx::query_as("SELECT journal_id, revision, format FROM read.checkpoint")
            .fetch_optional(connection)
            .await?;
        Checkpoint::in_our_format(row)
    }

    fn in_our_format(row: Option<(Option<Uuid>, Option<i64>, i32)>) -> Result<Checkpoint, ProjectError> {
        match row {
            Some((journal, revision, FORMAT)) => Ok(Checkpoint::of(journal, revision)),
            _ => Err(ProjectError::NoCheckpoint),
        }
    }

    /// Refuses an old read model beside another journal.
    pub(crate) fn belongs_to(&self, journal: Option<JournalId>) -> Result<(), ProjectError> {
        match (self.journal, journal) {
            (Some(read_models), Some(journal)) if read_models != journal => {
                Err(ProjectError::OtherJournal { read_models, journal })
            }
            _ => Ok(()),
        }
    }
}
