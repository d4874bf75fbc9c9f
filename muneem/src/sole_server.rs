//! One server to a database. The journal's folder is locked by the one that writes it, but a copy of the folder is
//! another folder: two servers on one database would both go on, each with its own money. So a server holds a lock in
//! the database too, on a connection of its own, and ends when another server has taken it.

use crate::serve::without_password;
use anyhow::{Context, bail};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio::time::sleep;

/// The lock's name among advisory locks: the bytes of "one node".
const LOCK: i64 = 0x6f6e_6520_6e6f_6465;
/// How often it is looked whether the connection, and with it the lock, is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A server that was killed a moment ago may still be known to the database: it is waited for so often.
const TRIES: u32 = 25;
const TRY_EVERY: Duration = Duration::from_millis(200);

pub struct SoleServer {
    url: String,
    connection: PgConnection,
}

impl SoleServer {
    /// Takes the lock.
    ///
    /// # Errors
    /// When another server has it, or the database cannot be reached.
    pub async fn claim(url: &str) -> anyhow::Result<SoleServer> {
        let mut connection = PgConnection::connect(url)
            .await
            .with_context(|| format!("PostgreSQL cannot be reached at {}", without_password(url)))?;
        for _ in 0..TRIES {
            if lock(&mut connection).await? {
                return Ok(SoleServer { url: url.to_owned(), connection });
            }
            sleep(TRY_EVERY).await;
        }
        bail!(
            "another server runs on this database; stop it first, or name another database: two servers would keep two \
             journals, and two balances of each wallet"
        )
    }

    /// Watches over the lock, takes it again after an outage of the database, and returns once another server has it.
    pub async fn lost(mut self) {
        loop {
            sleep(LOOK_EVERY).await;
            if sqlx::query("SELECT 1").execute(&mut self.connection).await.is_ok() {
                continue;
            }
            let Ok(mut connection) = PgConnection::connect(&self.url).await else { continue };
            match lock(&mut connection).await {
                Ok(true) => self.connection = connection,
                Ok(false) => return,
                // The database went away once more.
                Err(_) => {}
            }
        }
    }
}

async fn lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(connection).await
}
