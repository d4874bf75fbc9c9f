//! Ends what nobody ends: rings without an answer, and those that a crash left half accepted. Removes old rings
//! that became no call.

use super::{Calls, Ring};
use crate::commands::CommandError;
use chrono::{DateTime, TimeDelta, Utc};
use ledger_core::CallId;
use std::time::Duration;
use tracing::warn;
use uuid::Uuid;

/// How often rings that nobody answered are looked for.
const SWEEP: Duration = Duration::from_millis(500);
/// In how many of these rounds rings are looked for that a crash left half accepted: twice a minute.
const RECOVER_EVERY: u64 = 60;
/// After this long an accepted ring that the ledger knows no call for has failed.
const ACCEPT_SECONDS: i64 = 60;
/// How far back the first look for such rings goes, and how far each later one overlaps with the one before it:
/// a ring may be written a little after the moment that stands in it.
const RECOVER_FIRST: TimeDelta = TimeDelta::days(7);
const RECOVER_OVERLAP: TimeDelta = TimeDelta::minutes(10);
/// Rings that are looked at together: few enough that the ledger answers at once.
const RECOVER_PAGE: i64 = 500;

/// How long a ring that became no call stays in the history.
const KEPT: TimeDelta = TimeDelta::days(90);
/// Old rings that are removed at once, twice a minute: more than people can make in that time.
const SWEPT_AT_ONCE: i64 = 5_000;

impl Calls {
    /// Ends rings that nobody answered or that a crash left half accepted, for as long as it is polled.
    pub async fn sweep(&self) {
        let mut tick = tokio::time::interval(SWEEP);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut recovered_to = crate::clock::now() - RECOVER_FIRST;
        for round in 0_u64.. {
            tick.tick().await;
            let now = crate::clock::now();
            let swept = async {
                self.sweep_once(now).await?;
                if round.is_multiple_of(RECOVER_EVERY) {
                    self.recover(recovered_to, now).await?;
                    recovered_to = now - RECOVER_OVERLAP;
                    self.sweep_old(now).await?;
                }
                Ok::<(), CommandError>(())
            };
            if let Err(fault) = swept.await {
                warn!(%fault, "rings could not be ended; trying again");
            }
        }
    }

    pub async fn sweep_once(&self, now: DateTime<Utc>) -> Result<(), CommandError> {
        let missed: Vec<Ring> = sqlx::query_as(
            "UPDATE app.rings SET status = 'missed', decided_at = $1 WHERE status = 'ringing' AND expires_at <= $1
             RETURNING *",
        )
        .bind(now)
        .fetch_all(&self.pool)
        .await?;
        for ring in missed {
            self.tell_ended(&ring, "missed");
        }
        Ok(())
    }

    /// Removes rings that became no call, once they are 90 days old. Those that were accepted stand for calls in
    /// the journal and stay in the history.
    pub async fn sweep_old(&self, now: DateTime<Utc>) -> Result<u64, CommandError> {
        let swept = sqlx::query(
            "DELETE FROM app.rings WHERE call IN (
                 SELECT call FROM app.rings
                 WHERE status NOT IN ('ringing', 'accepted') AND decided_at < $1
                 ORDER BY decided_at LIMIT $2)",
        );
        let swept = swept.bind(now - KEPT).bind(SWEPT_AT_ONCE).execute(&self.pool).await?;
        Ok(swept.rows_affected())
    }

    /// Fails rings that were accepted after `since`, just before a crash, so that the ledger knows no call of
    /// them. Those of the last minute may still become one.
    pub async fn recover(&self, since: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), CommandError> {
        let until = now - TimeDelta::seconds(ACCEPT_SECONDS);
        let mut after = (since, Uuid::nil());
        loop {
            let accepted: Vec<Ring> = sqlx::query_as(
                "SELECT * FROM app.rings WHERE status = 'accepted' AND decided_at < $1 AND (decided_at, call) > ($2, $3)
                 ORDER BY decided_at, call LIMIT $4",
            )
            .bind(until)
            .bind(after.0)
            .bind(after.1)
            .bind(RECOVER_PAGE)
            .fetch_all(&self.pool)
            .await?;
            let Some(last) = accepted.last() else { return Ok(()) };
            after = (last.decided_at.unwrap_or(until), last.call);
            let ids: Vec<CallId> = accepted.iter().map(|ring| CallId(ring.call)).collect();
            let known = self.commands.ledger().query(move |state, _| {
                ids.iter().map(|call| state.call(*call).is_some()).collect::<Vec<bool>>()
            });
            for (ring, known) in accepted.iter().zip(known.await?) {
                if !known {
                    self.fail_ring(ring, "server_stopped", now).await?;
                }
            }
        }
    }
}
