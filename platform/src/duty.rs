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
    /// Absent where one node serves alone, and does everything.
    pool: Option<PgPool>,
    name: &'static str,
    node: Uuid,
    /// Where other nodes reach this one, if they have to.
    address: Option<String>,
}

impl Duty {
    pub fn new(pool: PgPool, name: &'static str) -> Duty {
        metrics::gauge!("muneem_duty", "duty" => name).set(0.0);
        Duty { pool: Some(pool), name, node: crate::entropy::uuid_v7(), address: None }
    }

    /// A duty whose holder other nodes want to reach.
    pub fn reached_at(self, address: &str) -> Duty {
        Duty { address: Some(address.to_owned()), ..self }
    }

    /// The duty of a node that serves alone: it is always its turn.
    pub fn alone(name: &'static str) -> Duty {
        Duty { pool: None, name, node: crate::entropy::uuid_v7(), address: None }
    }

    /// Waits until it is this node's turn.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn take(&self) -> Result<Turn, WorkerFault> {
        let Some(pool) = &self.pool else { return Ok(self.begin(None)) };
        let mut connection = connect(pool).await?;
        while !self.claim(&mut connection).await? {
            sleep(TRY_EVERY).await;
        }
        Ok(self.begin(Some(connection)))
    }

    /// This node's turn, if no other node has it.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn take_if_free(&self) -> Result<Option<Turn>, WorkerFault> {
        let Some(pool) = &self.pool else { return Ok(Some(self.begin(None))) };
        let mut connection = connect(pool).await?;
        Ok(self.claim(&mut connection).await?.then(|| self.begin(Some(connection))))
    }

    /// Where another node that has the duty is reached; `None` where no other node has it.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn holder(&self) -> Result<Option<String>, WorkerFault> {
        let Some(pool) = &self.pool else { return Ok(None) };
        let holder = sqlx::query_scalar(
            "SELECT address FROM app.duties WHERE name = $1 AND holder <> $2 AND held_until > now()",
        )
        .bind(self.name)
        .bind(self.node);
        let address: Option<Option<String>> = timeout(PATIENCE, holder.fetch_optional(pool)).await??;
        Ok(address.flatten())
    }

    fn begin(&self, connection: Option<PgConnection>) -> Turn {
        info!(duty = self.name, "this node takes over");
        metrics::gauge!("muneem_duty", "duty" => self.name).set(1.0);
        Turn { duty: self.clone(), connection, _held: Held(self.name) }
    }

    /// Takes the turn, where nobody holds the lock or whoever does has been silent for long; keeps it, where it is
    /// this node's.
    async fn claim(&self, connection: &mut PgConnection) -> Result<bool, WorkerFault> {
        let claim = sqlx::query_scalar(
            "INSERT INTO app.duties AS duty (name, holder, held_until, locked, address)
             SELECT $1, $2, now() + make_interval(secs => $3), pg_try_advisory_lock(hashtextextended($4, 0)), $5
             ON CONFLICT (name) DO UPDATE
             SET holder = $2, held_until = EXCLUDED.held_until, locked = EXCLUDED.locked,
                 address = EXCLUDED.address
             WHERE duty.holder = $2 OR duty.held_until < now() OR (EXCLUDED.locked AND duty.locked)
             RETURNING true",
        )
        .bind(self.name)
        .bind(self.node)
        .bind(f64::from(LAPSES_SECONDS))
        .bind(self.lock())
        .bind(&self.address);
        let claimed: Option<bool> = timeout(PATIENCE, claim.fetch_optional(&mut *connection)).await??;
        if claimed.is_none() {
            // Whoever is at work without the lock takes it with its next word.
            let unlock = sqlx::query("SELECT pg_advisory_unlock_all()");
            timeout(PATIENCE, unlock.execute(connection)).await??;
        }
        Ok(claimed.is_some())
    }

    /// Returns once the turn is another node's. While Postgres is away the work goes on: a call must not stop because of
    /// that, and what two nodes do at once is idempotent.
    async fn lost(&self, connection: &mut Option<PgConnection>) -> WorkerFault {
        let Some(pool) = &self.pool else { return std::future::pending().await };
        loop {
            sleep(SAY_EVERY).await;
            let said = match connection.as_mut() {
                Some(connection) => self.say(connection).await,
                None => Ok(true),
            };
            match said {
                Ok(true) if connection.is_some() => {}
                Ok(false) => return format!("another node has taken over: {}", self.name).into(),
                Ok(true) | Err(_) => {
                    *connection = connect(pool).await.ok();
                    // On a new connection the lock has to be taken again.
                    if let Some(connection) = connection.as_mut()
                        && matches!(self.claim(connection).await, Ok(false))
                    {
                        return format!("another node has taken over: {}", self.name).into();
                    }
                }
            }
        }
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
    connection: Option<PgConnection>,
    _held: Held,
}

impl Turn {
    /// Does the work until it ends.
    ///
    /// # Errors
    /// When the work fails, or another node has taken the turn meanwhile: the work is dropped then.
    pub async fn work(
        mut self,
        work: impl Future<Output = Result<(), WorkerFault>>,
    ) -> Result<(), WorkerFault> {
        let outcome = tokio::select! {
            outcome = work => outcome,
            fault = self.duty.lost(&mut self.connection) => Err(fault),
        };
        // The next node need not wait until Postgres notices.
        if let Some(connection) = self.connection {
            drop(connection.close().await);
        }
        outcome
    }
}

struct Held(&'static str);

impl Drop for Held {
    fn drop(&mut self) {
        metrics::gauge!("muneem_duty", "duty" => self.0).set(0.0);
    }
}

async fn connect(pool: &PgPool) -> Result<PgConnection, WorkerFault> {
    Ok(timeout(PATIENCE, PgConnection::connect_with(&pool.connect_options())).await??)
}
