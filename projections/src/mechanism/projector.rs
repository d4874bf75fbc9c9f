//! Follows the journal into Postgres.

use super::journal::Units;
use super::progress::{Condition, Progress};
use super::schema::{self, Schema};
use super::{Checkpoint, journal};
use crate::error::ProjectError;
use crate::{Batch, Journal};
use ledger_core::{JournalId, Recorded};
use sqlx::{PgConnection, PgPool};
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// How many events one transaction applies at most (more only where one unit has more). A projector that follows
/// applies what there is; so many are there only when it catches up, and then fewer transactions are faster.
pub const BATCH_EVENTS: usize = 8_000;

/// How often an idle projector checks that the checkpoint is where it left it, and that the journal
/// still has the event there.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// While much is recorded, events are gathered for so long: a transaction costs as much as a hundred events, whatever it
/// holds. What comes alone is projected at once.
const GATHER: Duration = Duration::from_millis(30);
/// So many events at once are much.
const MUCH: usize = 50;

/// How often it is looked how far a projector in another process is.
const WATCH_EVERY: Duration = Duration::from_millis(25);
/// The advisory lock that keeps two rebuilds apart.
const REBUILD_LOCK: i64 = 0x6d75_6e65_656e;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Brings the read models up to the journal's end and keeps them there.
///
/// Any number may run at once, in any process: the lock on the checkpoint lets one at a time apply
/// a batch, and each reads the checkpoint again under it.
pub struct Projector {
    pool: PgPool,
    store: Journal,
    schema: Schema,
    progress: watch::Sender<Progress>,
}

/// What a projector knows beside the checkpoint while it runs.
#[derive(Default)]
struct Following {
    journal: Option<JournalId>,
    /// The events after a checkpoint, read and decoded while those before it are being written.
    ahead: Option<(Checkpoint, JoinHandle<Result<Units, ProjectError>>)>,
}

/// The result of one attempt to apply a batch.
enum Step {
    /// The checkpoint stands here now, moved by this projector over so many events, or found there.
    At(Checkpoint, usize),
    /// The journal has no whole unit beyond the checkpoint.
    CaughtUp(Option<u64>),
}

impl Projector {
    /// A projector of `store` into the read models that [`crate::ReadModels::open`] has made.
    pub fn new(pool: PgPool, store: Journal) -> Projector {
        Projector::into(Schema::Served, pool, store)
    }

    fn into(schema: Schema, pool: PgPool, store: Journal) -> Projector {
        Projector { pool, store, schema, progress: watch::Sender::new(Progress::default()) }
    }

    /// The news of this projector.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Checks that the read models belong to the journal.
    ///
    /// # Errors
    /// Refuses read models of another journal, or of a history that is gone; the text names the mend.
    /// Fails in an outage too.
    pub async fn check(&self) -> Result<Checkpoint, ProjectError> {
        let checked = self.start(&mut Following::default()).await;
        if let Err(fault) = &checked {
            self.tell_condition(Condition::after(fault));
        }
        checked
    }

    /// Follows the journal until `shutdown` is done. An outage of Postgres or of the store is waited
    /// out. After an error or a panic it can be run again: all it needs is in the checkpoint.
    ///
    /// # Errors
    /// Whatever no waiting mends: an event that this program cannot read, another journal.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) -> Result<(), ProjectError> {
        let mut ending = Ending { projector: self, condition: Condition::Down("it was cut off".into()) };
        let outcome = tokio::select! {
            outcome = self.follow() => outcome,
            () = shutdown => Ok(()),
        };
        ending.condition = match &outcome {
            Ok(()) => Condition::Down("it was shut down".into()),
            Err(fault) => Condition::after(fault),
        };
        outcome
    }

    /// Tells how far the read models are while another process projects, for as long as it is polled. An outage of
    /// Postgres or of the store is waited out.
    ///
    /// # Errors
    /// As [`Projector::check`], but for outages.
    pub async fn watch(&self) -> Result<Infallible, ProjectError> {
        let mut following = Following::default();
        let mut looked_at: Option<Instant> = None;
        loop {
            // Whether the read models belong to the journal is a question to the store, so it is asked now and then.
            let seen = if looked_at.is_some_and(|at| at.elapsed() < LOOK_AGAIN) {
                self.look().await
            } else {
                looked_at = Some(Instant::now());
                self.start(&mut following).await.map(drop)
            };
            match seen {
                Ok(()) => tokio::time::sleep(WATCH_EVERY).await,
                Err(fault) if fault.is_outage() => {
                    self.tell_condition(Condition::after(&fault));
                    tokio::time::sleep(FIRST_PAUSE).await;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    async fn look(&self) -> Result<(), ProjectError> {
        let checkpoint = Checkpoint::read(&mut *self.pool.acquire().await?).await?;
        self.tell(checkpoint.revision);
        Ok(())
    }

    async fn follow(&self) -> Result<(), ProjectError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.follow_until_fault(&mut pause).await {
                Ok(never) => match never {},
                Err(fault) if fault.is_outage() => {
                    tracing::warn!(%fault, again_in = ?pause, "the read models stand still");
                    self.tell_condition(Condition::after(&fault));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    async fn follow_until_fault(&self, pause: &mut Duration) -> Result<Infallible, ProjectError> {
        let mut following = Following::default();
        let mut at = self.start(&mut following).await?;
        loop {
            let began = Instant::now();
            match self.step(at, &mut following).await? {
                Step::At(checkpoint, events) => {
                    at = checkpoint;
                    if (MUCH..BATCH_EVENTS).contains(&events) {
                        sleep_until(began + GATHER).await;
                    }
                }
                Step::CaughtUp(seen) => match timeout(LOOK_AGAIN, self.store.wait_beyond(seen)).await {
                    Ok(head) => _ = head?,
                    // Another process may have begun a rebuild, and may have stopped.
                    Err(_) => at = self.start(&mut following).await?,
                },
            }
            *pause = FIRST_PAUSE;
        }
    }

    /// Projects until the end of the journal as it is when called, and answers the checkpoint's revision.
    /// `progress` is told how many events are done, and how many there are.
    ///
    /// # Errors
    /// Any fault, outages too.
    pub async fn project_to_end(
        &self,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Option<u64>, ProjectError> {
        let mut following = Following::default();
        let mut at = self.start(&mut following).await?;
        let total = self.store.head().await?.map_or(0, |head| head.saturating_add(1));
        while at.next() < total {
            progress(at.next(), total);
            match self.step(at, &mut following).await? {
                Step::At(checkpoint, _) => at = checkpoint,
                Step::CaughtUp(_) => break,
            }
        }
        progress(at.next(), total.max(at.next()));
        Ok(at.revision)
    }

    /// The checkpoint, once it is known to belong to this journal.
    async fn start(&self, following: &mut Following) -> Result<Checkpoint, ProjectError> {
        let mut connection = self.pool.acquire().await?;
        let checkpoint = Checkpoint::read_in(&mut connection, self.schema).await?;
        drop(connection);
        following.journal = journal::belong_together(&checkpoint, &self.store).await?;
        self.tell(checkpoint.revision);
        Ok(checkpoint)
    }

    /// Applies the next batch after `at`, or finds that another projector has.
    async fn step(&self, at: Checkpoint, following: &mut Following) -> Result<Step, ProjectError> {
        let (events, seen) = self.units_after(at, following).await?;
        let Some(last) = events.last() else {
            return Ok(Step::CaughtUp(seen.or(at.revision)));
        };
        if following.journal.is_none() {
            following.journal = journal::journal_id(&self.store).await?;
        }
        let journal = following.journal;
        let next = Checkpoint { journal, revision: Some(last.revision), event_id: Some(last.event_id) };
        if seen > next.revision || events.len() >= BATCH_EVENTS {
            let store = self.store.clone();
            let ahead = tokio::spawn(async move { journal::units_after(&store, &next).await });
            following.ahead = Some((next, ahead));
        }
        let mut tx = self.pool.begin().await?;
        let checkpoint = Checkpoint::lock(&mut tx, self.schema).await?;
        journal::same_journal(&checkpoint, journal)?;
        if checkpoint != at {
            // Another projector went on, or the read models were rebuilt.
            tx.rollback().await?;
            self.tell(checkpoint.revision);
            return Ok(Step::At(checkpoint, 0));
        }
        apply(&mut tx, &events).await?;
        next.write(&mut tx).await?;
        tx.commit().await?;
        self.tell(next.revision);
        Ok(Step::At(next, events.len()))
    }

    /// The units after the checkpoint, as they were read ahead or as they are now.
    async fn units_after(&self, at: Checkpoint, following: &mut Following) -> Result<Units, ProjectError> {
        if let Some((from, ahead)) = following.ahead.take()
            && from == at
            // A reader that was cut off is no reason to stop: the units are read again.
            && let Ok(units) = ahead.await
        {
            return units;
        }
        journal::units_after(&self.store, &at).await
    }

    fn tell(&self, projected: Option<u64>) {
        self.progress.send_if_modified(|progress| {
            let news = Progress { projected, condition: Condition::Following };
            let changed = *progress != news;
            *progress = news;
            changed
        });
    }

    fn tell_condition(&self, condition: Condition) {
        self.progress.send_modify(|progress| progress.condition = condition);
    }
}

/// Tells how a run ended, also where a panic or a dropped future ends it.
struct Ending<'a> {
    projector: &'a Projector,
    condition: Condition,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.projector.tell_condition(self.condition.clone());
    }
}

/// Applies whole units, in order, to the rows that stand after the event before them.
async fn apply(connection: &mut PgConnection, events: &[Recorded]) -> Result<(), ProjectError> {
    let mut batch = Batch::default();
    for recorded in events {
        batch.touch(&recorded.event);
    }
    batch.load(connection).await?;
    for recorded in events {
        batch.apply(recorded)?;
    }
    batch.write(connection).await?;
    Ok(())
}

/// Projects the journal from its beginning, beside the read models that are there, and then lets the new ones take their
/// place in one transaction. The old ones serve and are kept up to date until then, also where this fails or is cut off.
/// `progress` is told how many events are done, and how many there are.
///
/// # Errors
/// [`ProjectError::RebuildUnderWay`] where another one is; any other fault: run it again then.
pub async fn rebuild(
    pool: &PgPool,
    store: Journal,
    mut progress: impl FnMut(u64, u64),
) -> Result<Option<u64>, ProjectError> {
    let _alone = lock_out_others(pool).await?;
    schema::begin_next(pool).await?;
    let projector = Projector::into(Schema::Next, pool.clone(), store.clone());
    loop {
        let revision = projector.project_to_end(&mut progress).await?;
        if schema::change_over(pool, &store).await? {
            return Ok(revision);
        }
    }
}

/// A connection whose lock keeps other rebuilds from beginning. It ends with the connection, however that ends; one that
/// was cut off a moment ago is waited for.
async fn lock_out_others(pool: &PgPool) -> Result<PgConnection, ProjectError> {
    const NOT_AVAILABLE: &str = "55P03";
    let mut connection = pool.acquire().await?.detach();
    sqlx::raw_sql("SET lock_timeout = '2s'").execute(&mut connection).await?;
    let locked = sqlx::query("SELECT pg_advisory_lock($1)").bind(REBUILD_LOCK).execute(&mut connection).await;
    match locked {
        Ok(_) => Ok(connection),
        Err(sqlx::Error::Database(fault)) if fault.code().is_some_and(|code| code == NOT_AVAILABLE) => {
            Err(ProjectError::RebuildUnderWay)
        }
        Err(fault) => Err(fault.into()),
    }
}
