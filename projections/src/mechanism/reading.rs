//! The read models, as queries see them.

use super::projector::Projector;
use super::{Checkpoint, Condition, Progress, journal, schema};
use crate::Journal;
use crate::error::{Behind, ProjectError, QueryError};
use chrono::{DateTime, Utc};
use event_store::ReadError;
use ledger_core::{Period, Recorded};
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// How often the checkpoint is read while somebody waits for a projector in another process.
const POLL: Duration = Duration::from_millis(20);

/// The read models, to be asked. The queries stand beside their tables, a file a noun.
#[derive(Clone)]
pub struct ReadModels {
    pool: PgPool,
    journal: Journal,
    progress: watch::Receiver<Progress>,
    source: Source,
}

/// Where the news of the projector come from.
#[derive(Clone)]
enum Source {
    /// A projector in this process tells them.
    Projector,
    /// The projector runs elsewhere: one of those who wait reads the checkpoint for all of them.
    Checkpoint(Arc<Poller>),
}

/// Events of the journal, by their revisions.
pub(crate) struct Events(BTreeMap<u64, Recorded>);

impl Events {
    pub fn get(&self, revision: i64) -> Option<&Recorded> {
        self.0.get(&u64::try_from(revision).ok()?)
    }

    /// The event at a revision that the read models have.
    pub fn at(&self, revision: i64) -> Result<&Recorded, QueryError> {
        let missing = || ReadError::TailBehind(format!("the read models have revision {revision}"));
        self.get(revision).ok_or_else(|| missing().into())
    }

    pub fn extend(&mut self, more: Events) {
        self.0.extend(more.0);
    }

    pub fn values(&self) -> impl Iterator<Item = &Recorded> {
        self.0.values()
    }
}

struct Poller {
    progress: watch::Sender<Progress>,
    turn: Mutex<()>,
}

impl ReadModels {
    /// Opens the read models of a journal. Creates their schema where it is missing, and drops and creates it where
    /// its format is not this program's.
    ///
    /// # Errors
    /// When Postgres cannot be reached or refuses.
    pub async fn open(pool: PgPool, journal: Journal) -> Result<ReadModels, sqlx::Error> {
        schema::ensure(&pool).await?;
        let (sender, progress) = watch::channel(Progress::default());
        let poller = Poller { progress: sender, turn: Mutex::new(()) };
        Ok(ReadModels { pool, journal, progress, source: Source::Checkpoint(Arc::new(poller)) })
    }

    /// The same read models, kept up to date by a projector in this process: waiting costs no query, and
    /// nothing is read while the projector refuses them.
    #[must_use]
    pub fn following(self, projector: &Projector) -> ReadModels {
        ReadModels { progress: projector.progress(), source: Source::Projector, ..self }
    }

    /// The news of the projector, as they come.
    pub fn news(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// How the projector fares.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// How far the read models are.
    ///
    /// # Errors
    /// When Postgres cannot be reached, or holds no read models of this program.
    pub async fn checkpoint(&self) -> Result<Checkpoint, ProjectError> {
        let mut connection = self.pool.acquire().await?;
        Checkpoint::read(&mut connection).await
    }

    /// The database, for a query. Read models that do not belong to the journal are not read.
    pub(crate) fn pool(&self) -> Result<&PgPool, QueryError> {
        match &self.progress.borrow().condition {
            Condition::Refused(why) => Err(QueryError::Refused(why.clone())),
            _ => Ok(&self.pool),
        }
    }

    /// The revisions of the events that were recorded in a period: from the first on and before the second. No event
    /// was recorded before an earlier one, so that they stand together.
    pub(crate) async fn revisions(&self, period: Period) -> Result<(i64, i64), QueryError> {
        let first = match period.from {
            Some(from) => self.first_from(from).await?,
            None => 0,
        };
        let end = match period.to {
            Some(to) => self.first_from(to).await?,
            None => i64::MAX,
        };
        Ok((first, end))
    }

    /// The first revision that is not of an event recorded before `moment`.
    async fn first_from(&self, moment: DateTime<Utc>) -> Result<i64, QueryError> {
        let last_before: Option<i64> = sqlx::query_scalar(
            "SELECT revision FROM read.events WHERE recorded_at < $1 AND closes_unit
             ORDER BY recorded_at DESC, revision DESC LIMIT 1",
        )
        .bind(moment)
        .fetch_optional(self.pool()?)
        .await?;
        Ok(last_before.map_or(0, |revision| revision + 1))
    }

    /// The events at these revisions, which the read models have: they keep where an event stands, and the journal
    /// keeps what it says.
    pub(crate) async fn recorded(
        &self,
        revisions: impl IntoIterator<Item = i64>,
    ) -> Result<Events, QueryError> {
        let revisions = revisions.into_iter().filter_map(|revision| u64::try_from(revision).ok());
        Ok(Events(journal::events_at(&self.journal, &revisions.collect()).await?))
    }

    /// Returns once the read models have come to `min_revision`.
    ///
    /// # Errors
    /// [`QueryError::BeyondJournal`] at once when the journal does not have the revision,
    /// [`QueryError::Behind`] when the read models have not come to it after `timeout`.
    pub async fn wait_for(&self, min_revision: u64, timeout: Duration) -> Result<(), QueryError> {
        self.pool()?;
        let reached =
            |progress: &Progress| progress.projected.is_some_and(|projected| projected >= min_revision);
        if matches!(self.source, Source::Projector) && reached(&self.progress.borrow()) {
            return Ok(());
        }
        if matches!(self.source, Source::Projector)
            // Where the store cannot be asked, the read models may still come to the revision.
            && let Ok(head) = self.journal.head().await
            && head.is_none_or(|head| head < min_revision)
        {
            return Err(QueryError::BeyondJournal { wanted: min_revision, head });
        }
        let mut progress = self.progress.clone();
        let refused = |progress: &Progress| matches!(progress.condition, Condition::Refused(_));
        let waiting = async {
            tokio::select! {
                told = progress.wait_for(|news| reached(news) || refused(news)) => Ok(told.is_ok()),
                outcome = self.poll() => match outcome? {},
            }
        };
        let told: Result<Result<bool, QueryError>, _> = tokio::time::timeout(timeout, waiting).await;
        self.pool()?;
        match told {
            Ok(Ok(true)) => Ok(()),
            Ok(Err(fault)) => Err(fault),
            // Too late, or the projector is gone.
            Ok(Ok(false)) | Err(_) => {
                Err(Behind { wanted: min_revision, projected: self.progress.borrow().projected }.into())
            }
        }
    }

    /// Reads the checkpoint over and over and tells all who wait, unless somebody else does so.
    async fn poll(&self) -> Result<std::convert::Infallible, QueryError> {
        let Source::Checkpoint(poller) = &self.source else { return std::future::pending().await };
        let _turn = poller.turn.lock().await;
        loop {
            let projected = match self.checkpoint().await {
                Ok(checkpoint) => checkpoint.revision,
                Err(ProjectError::Postgres(fault)) => return Err(fault.into()),
                Err(_) => None,
            };
            poller.progress.send_if_modified(|progress| {
                let changed = progress.projected != projected;
                progress.projected = projected;
                changed
            });
            tokio::time::sleep(POLL).await;
        }
    }
}
