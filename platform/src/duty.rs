//! Work that one node does at a time. Whoever does it holds a lock in Postgres, on a connection of its own; when the node
//! is gone, Postgres lets go of the lock and another node takes over.
//!
//! The lock saves work that would be done twice, nothing more: whatever two nodes do at once is idempotent.

use crate::workers::WorkerFault;
use sqlx::{Connection, PgConnection, PgPool};
use std::future::Future;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tracing::info;

/// How often a node that waits looks whether it is its turn.
const TRY_EVERY: Duration = Duration::from_millis(500);
/// How often it is looked whether the connection, and with it the lock, is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A connection that does not answer for so long is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// One piece of such work.
#[derive(Clone)]
pub struct Duty {
    pool: PgPool,
    name: &'static str,
}

impl Duty {
    pub fn new(pool: PgPool, name: &'static str) -> Duty {
        metrics::gauge!("muneem_duty", "duty" => name).set(0.0);
        Duty { pool, name }
    }

    /// Waits until it is this node's turn.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn take(&self) -> Result<Turn, WorkerFault> {
        let mut connection = self.connect().await?;
        while !self.lock(&mut connection).await? {
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
        Ok(self.lock(&mut connection).await?.then(|| self.begin(connection)))
    }

    fn begin(&self, connection: PgConnection) -> Turn {
        info!(duty = self.name, "this node takes over");
        metrics::gauge!("muneem_duty", "duty" => self.name).set(1.0);
        Turn { connection, _held: Held(self.name) }
    }

    async fn connect(&self) -> Result<PgConnection, WorkerFault> {
        Ok(timeout(PATIENCE, PgConnection::connect_with(&self.pool.connect_options())).await??)
    }

    async fn lock(&self, connection: &mut PgConnection) -> Result<bool, WorkerFault> {
        let ask = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
            .bind(format!("muneem duty {}", self.name));
        Ok(timeout(PATIENCE, ask.fetch_one(connection)).await??)
    }
}

/// The right to do the work, until it is dropped.
pub struct Turn {
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
            fault = lost(&mut self.connection) => Err(fault),
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

/// Returns once the connection is gone.
async fn lost(connection: &mut PgConnection) -> WorkerFault {
    loop {
        sleep(LOOK_EVERY).await;
        match timeout(PATIENCE, sqlx::query("SELECT 1").execute(&mut *connection)).await {
            Ok(Ok(_)) => {}
            Ok(Err(fault)) => return fault.into(),
            Err(slow) => return slow.into(),
        }
    }
}
