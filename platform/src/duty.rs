//! Work that one node does at a time. Whoever does it holds a lock in Postgres on a connection of its own, and says every
//! second in `app.duties` that it is at work. When the node is gone, Postgres lets go of the lock and another node takes
//! over at once; from a node that stands still without being gone it is taken after [`LAPSES_SECONDS`].
//!
//! All this saves work that would be done twice, nothing more: whatever two nodes do at once is idempotent.

use crate::workers::WorkerFault;
use sqlx::{Connection, PgConnection, PgPool};
use std::future::Future;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tracing::info;
use uuid::Uuid;

/// How often a node that waits looks whether it is its turn.
const TRY_EVERY: Duration = Duration::from_millis(500);
/// How often a node says that it is at work.
const SAY_EVERY: Duration = Duration::from_secs(1);
/// A node that has not said so for this long has lost its turn.
const LAPSES_SECONDS: i32 = 5;
/// A connection that does not answer for so long is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// One piece of such work.
#[derive(Clone)]
pub struct Duty {
    pool: PgPool,
    name: &'static str,
    node: Uuid,
}

impl Duty {
    pub fn new(pool: PgPool, name: &'static str) -> Duty {
        metrics::gauge!("muneem_duty", "duty" => name).set(0.0);
        Duty { pool, name, node: crate::entropy::uuid_v7() }
    }

    /// Waits until it is this node's turn.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn take(&self) -> Result<Turn, WorkerFault> {
        let mut connection = self.connect().await?;
        while !self.claim(&mut connection).await? {
            sleep(TRY_EVERY).await;
        }
        Ok(self.begin(connection))
    }

    /// This node's turn, if no other node has it.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn take_if_free(&self) -> Result<Option<Turn>, WorkerFault> {
        let mut connection = self.connect().await?;
        Ok(self.claim(&mut connection).await?.then(|| self.begin(connection)))
    }

    fn begin(&self, connection: PgConnection) -> Turn {
        info!(duty = self.name, "this node takes over");
        metrics::gauge!("muneem_duty", "duty" => self.name).set(1.0);
        Turn { duty: self.clone(), connection, _held: Held(self.name) }
    }

    async fn connect(&self) -> Result<PgConnection, WorkerFault> {
        Ok(timeout(PATIENCE, PgConnection::connect_with(&self.pool.connect_options())).await??)
    }

    /// Takes the turn, where nobody holds the lock or whoever does has been silent for long; keeps it, where it is
    /// this node's.
    async fn claim(&self, connection: &mut PgConnection) -> Result<bool, WorkerFault> {
        let claim = sqlx::query_scalar(
            "INSERT INTO app.duties AS duty (name, holder, held_until, locked)
             SELECT $1, $2, now() + make_interval(secs => $3), pg_try_advisory_lock(hashtextextended($4, 0))
             ON CONFLICT (name) DO UPDATE
             SET holder = $2, held_until = EXCLUDED.held_until, locked = EXCLUDED.locked
             WHERE duty.holder = $2 OR duty.held_until < now() OR (EXCLUDED.locked AND duty.locked)
             RETURNING true",
        )
        .bind(self.name)
        .bind(self.node)
        .bind(f64::from(LAPSES_SECONDS))
        .bind(self.lock());
        let claimed: Option<bool> = timeout(PATIENCE, claim.fetch_optional(&mut *connection)).await??;
        if claimed.is_none() {
            // Whoever is at work without the lock takes it with its next word.
            let unlock = sqlx::query("SELECT pg_advisory_unlock_all()");
            timeout(PATIENCE, unlock.execute(connection)).await??;
        }
        Ok(claimed.is_some())
    }

    fn lock(&self) -> String {
        format!("muneem duty {}", self.name)
    }

    /// Says that this node is at work; `false` where another one is by now.
    async fn say(&self, connection: &mut PgConnection) -> Result<bool, WorkerFault> {
        let say = sqlx::query(
            "UPDATE app.duties
             SET held_until = now() + make_interval(secs => $3),
                 locked = locked OR pg_try_advisory_lock(hashtextextended($4, 0))
             WHERE name = $1 AND holder = $2",
        )
        .bind(self.name)
        .bind(self.node)
        .bind(f64::from(LAPSES_SECONDS))
        .bind(self.lock());
        Ok(timeout(PATIENCE, say.execute(connection)).await??.rows_affected() == 1)
    }
}

/// The right to do the work, until it is dropped.
pub struct Turn {
    duty: Duty,
    connection: PgConnection,
    _held: Held,
}

impl Turn {
    /// Does the work until it ends.
    ///
    /// # Errors
    /// When the work fails, or the lock is lost meanwhile: the work is dropped then.
    pub async fn work(
        mut self,
        work: impl Future<Output = Result<(), WorkerFault>>,
    ) -> Result<(), WorkerFault> {
        let outcome = tokio::select! {
            outcome = work => outcome,
            fault = lost(&self.duty, &mut self.connection) => Err(fault),
        };
        // The next node need not wait until Postgres notices.
        drop(self.connection.close().await);
        outcome
    }
}

struct Held(&'static str);

impl Drop for Held {
    fn drop(&mut self) {
        metrics::gauge!("muneem_duty", "duty" => self.0).set(0.0);
    }
}

/// Returns once the turn is another node's, or it cannot be known whose it is.
async fn lost(duty: &Duty, connection: &mut PgConnection) -> WorkerFault {
    loop {
        sleep(SAY_EVERY).await;
        match duty.say(connection).await {
            Ok(true) => {}
            Ok(false) => return format!("another node has taken over: {}", duty.name).into(),
            Err(fault) => return fault,
        }
    }
}
