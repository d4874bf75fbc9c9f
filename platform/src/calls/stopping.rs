//! Calls and rings that an admin ends: one by its id, or all of somebody who was suspended or banned.

use super::{Calls, Ring};
use crate::audit::{self, Author, Change};
use crate::commands::CommandError;
use chrono::{DateTime, TimeDelta, Utc};
use ledger_core::command::EndCall;
use ledger_core::{Actor, CallId, Command, Ending, Key, PersonId, Rejection};
use ledger_runtime::{ExecuteError, Receipt};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Why a ring failed that an admin ended.
const STOPPED: &str = "stopped";
/// Why a ring failed of which one side was suspended or banned.
pub(super) const RESTRICTED: &str = "restricted";
/// How far back accepted rings are looked for whose calls are only just beginning.
const JUST_TAKEN: TimeDelta = TimeDelta::minutes(1);

/// Which calls of a person are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// Those in which they are the host.
    AsHost,
    Both,
}

impl Calls {
    /// An admin ends a call, or a ring before it is answered; there is no receipt then, since nothing was recorded.
    /// Ending it again answers the same.
    ///
    /// # Errors
    /// `NotFound` for a call that never was, and the ledger's rejection for one that has ended otherwise.
    pub async fn stop(
        &self,
        admin: PersonId,
        call: CallId,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<Option<Receipt>, CommandError> {
        let ring = self.ring_of(call, |_| true).await?;
        if self.stop_ring(&ring, STOPPED, author, now).await? {
            return Ok(None);
        }
        match self.ring_of(call, |_| true).await?.status.as_str() {
            "accepted" => self.stop_call(admin, &ring, STOPPED, author, now).await,
            // Whatever the ring says, a call that the ledger knows can be ended.
            "failed" if self.has_begun(call).await? => {
                self.stop_call(admin, &ring, STOPPED, author, now).await
            }
            "failed" if ring.failure.as_deref() == Some(STOPPED) => Ok(None),
            _ => Err(super::ring_over()),
        }
    }

    /// Ends the calls and rings of a person who was suspended or banned, those too that are just being taken.
    /// Answers how many.
    pub async fn stop_all(
        &self,
        admin: PersonId,
        person: PersonId,
        sides: Sides,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<usize, CommandError> {
        let mut stopped = 0;
        for ring in self.rings_to_stop(person, sides, now).await? {
            if self.stop_ring(&ring, RESTRICTED, author, now).await? {
                stopped += 1;
                continue;
            }
            match self.stop_call(admin, &ring, RESTRICTED, author, now).await {
                Ok(_) => stopped += 1,
                // It ended by itself meanwhile, or was over before.
                Err(CommandError::Execute(ExecuteError::Rejected(Rejection::CallEnded))) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(stopped)
    }

    /// The rings that ring, that were just taken, or whose call runs.
    async fn rings_to_stop(
        &self,
        person: PersonId,
        sides: Sides,
        now: DateTime<Utc>,
    ) -> Result<Vec<Ring>, CommandError> {
        let engaged = self.commands.ledger().query(move |state, _| state.engaged(person)).await?;
        let engaged: BTreeSet<Uuid> = engaged.into_iter().map(|call| call.0).collect();
        let rings: Vec<Ring> = sqlx::query_as(
            "SELECT * FROM app.rings
             WHERE (host = $1 OR ($2 AND payer = $1))
               AND (status = 'ringing' OR (status = 'accepted' AND decided_at > $3) OR call = ANY($4))
             ORDER BY created_at, call",
        )
        .bind(person.0)
        .bind(sides == Sides::Both)
        .bind(now - JUST_TAKEN)
        .bind(engaged.into_iter().collect::<Vec<Uuid>>())
        .fetch_all(&self.pool)
        .await?;
        Ok(rings)
    }

    /// Whether it still rang.
    async fn stop_ring(
        &self,
        ring: &Ring,
        failure: &'static str,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<bool, CommandError> {
        let mut tx = self.pool.begin().await?;
        let stopped = sqlx::query(
            "UPDATE app.rings SET status = 'failed', failure = $2, decided_at = $3
             WHERE call = $1 AND status = 'ringing'",
        )
        .bind(ring.call)
        .bind(failure)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        if stopped.rows_affected() == 0 {
            return Ok(false);
        }
        let change = Change::new("call.stopped", "call", ring.call).before("ringing").after(failure);
        audit::record(&mut tx, author, change, now).await?;
        tx.commit().await?;
        self.tell_ended(ring, failure);
        Ok(true)
    }

    async fn stop_call(
        &self,
        admin: PersonId,
        ring: &Ring,
        failure: &'static str,
        author: &Author,
        now: DateTime<Utc>,
    ) -> Result<Option<Receipt>, CommandError> {
        let call = CallId(ring.call);
        for _ in 0..super::TAKING_LOOKS {
            // A call is stopped once by each admin, whatever for.
            let key = Key::Natural(format!("stop:{call}"));
            let command = Command::from(EndCall { call, by: Ending::Admin(admin) });
            match self.commands.give_as(Actor::Person(admin), key, command).await {
                // It is just being taken, or a crash came between.
                Err(CommandError::Execute(ExecuteError::Rejected(Rejection::UnknownCall))) => {
                    tokio::time::sleep(super::TAKING_WAIT).await;
                }
                Err(fault) => return Err(fault),
                Ok(receipt) => {
                    let change = Change::new("call.stopped", "call", call).before("running").after(failure);
                    let mut connection = self.pool.acquire().await?;
                    audit::record_command(&mut connection, author, change, &receipt, now).await?;
                    return Ok(Some(receipt));
                }
            }
        }
        // Nobody can take it any more.
        self.fail_ring(ring, failure, now).await?;
        Ok(None)
    }

    /// Whether neither side is kept from talking.
    pub(super) async fn may_talk(&self, payer: PersonId, host: PersonId) -> Result<bool, CommandError> {
        Ok(sqlx::query_scalar(
            "SELECT NOT EXISTS (SELECT 1 FROM app.restrictions
                                WHERE person = $1 OR (person = $2 AND scope = 'account'))",
        )
        .bind(host.0)
        .bind(payer.0)
        .fetch_one(&self.pool)
        .await?)
    }
}
