//! Removes what sign-ins leave behind, by age, so that the tables hold what is in use and not what ever was.
//!
//! | what | is removed |
//! |---|---|
//! | challenges of one-time passwords | an hour after they expire |
//! | refresh tokens | when they expire |
//! | sessions | 30 days after they end, or when the last of their refresh tokens is gone |
//! | devices | 400 days after the last sign-in on them |

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

const EVERY: Duration = Duration::from_secs(600);
/// Rows that one statement removes: few enough that it holds no lock for long.
const AT_ONCE: i64 = 5_000;
const CHALLENGE_KEPT: TimeDelta = TimeDelta::hours(1);
const ENDED_SESSION_KEPT: TimeDelta = TimeDelta::days(30);
const DEVICE_KEPT: TimeDelta = TimeDelta::days(400);

/// Each takes the moment before which rows are removed, and how many at the most.
const CHALLENGES: &str = "DELETE FROM app.otp_challenges WHERE id IN
     (SELECT id FROM app.otp_challenges WHERE expires_at < $1 LIMIT $2)";
const TOKENS: &str = "DELETE FROM app.refresh_tokens WHERE token_hash IN
     (SELECT token_hash FROM app.refresh_tokens WHERE expires_at < $1 LIMIT $2)";
const ENDED_SESSIONS: &str = "DELETE FROM app.sessions WHERE id IN
     (SELECT id FROM app.sessions WHERE ended_at < $1 LIMIT $2)";
/// A session begins with a token, so one that is older than a token lives and has none is of no use to anybody.
const USELESS_SESSIONS: &str = "DELETE FROM app.sessions WHERE id IN
     (SELECT id FROM app.sessions WHERE created_at < $1 AND NOT EXISTS
          (SELECT 1 FROM app.refresh_tokens WHERE session = sessions.id) LIMIT $2)";
const DEVICES: &str = "DELETE FROM app.devices WHERE id IN
     (SELECT id FROM app.devices WHERE used_at < $1 LIMIT $2)";

#[derive(Clone)]
pub struct Sweep {
    pool: PgPool,
}

impl Sweep {
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Sweeps for as long as it is polled.
    pub async fn run(self) {
        let mut again = interval(EVERY);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            again.tick().await;
            if let Err(fault) = self.once(crate::clock::now()).await {
                warn!(%fault, "old sessions and codes could not be removed; trying again later");
            }
        }
    }

    /// Removes everything that is old enough; answers how many rows.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn once(&self, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
        let token_life = TimeDelta::days(super::sessions::REFRESH_DAYS);
        let mut removed = 0;
        for (remove, before) in [
            (CHALLENGES, now - CHALLENGE_KEPT),
            (TOKENS, now),
            (ENDED_SESSIONS, now - ENDED_SESSION_KEPT),
            (USELESS_SESSIONS, now - token_life),
            (DEVICES, now - DEVICE_KEPT),
        ] {
            loop {
                let rows = sqlx::query(remove).bind(before).bind(AT_ONCE).execute(&self.pool).await?;
                removed += rows.rows_affected();
                if rows.rows_affected() < AT_ONCE.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(removed)
    }
}
