//! Gives commands to the ledger in the name of a person, under the settings in force.

use crate::audit::{self, Author};
use crate::payees;
use crate::rate_limit::RateLimited;
use crate::settings::{Settings, SettingsError};
use crate::validation::FieldError;
use chrono::{DateTime, Utc};
use integrations::razorpay::RazorpayError;
use ledger_core::{
    Actor, Asset, ClientKey, Command, CommandId, Envelope, Key, PersonId, Policy, Rejection, Timestamp,
};
use ledger_runtime::{ExecuteError, Ledger, Receipt, Status, Submitted};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Why something that a person asked for was not done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// Refused before it reached the ledger. The code is stable.
    #[error("{message}")]
    Refused { code: &'static str, message: &'static str },
    #[error(transparent)]
    Field(#[from] FieldError),
    /// What was asked about is not there, or is none of the caller's business.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error(transparent)]
    Gateway(#[from] RazorpayError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the database does not answer")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Host(#[from] crate::hosts::HostError),
    #[error(transparent)]
    Presence(#[from] crate::presence::PresenceError),
    /// The person has done this as often as they may for now.
    #[error("this was done too often; try again in {retry_after_seconds} s")]
    TooOften { retry_after_seconds: u32 },
}

impl From<RateLimited> for CommandError {
    fn from(RateLimited { retry_after_seconds }: RateLimited) -> Self {
        CommandError::TooOften { retry_after_seconds }
    }
}

impl From<Rejection> for CommandError {
    fn from(rejection: Rejection) -> Self {
        CommandError::Execute(rejection.into())
    }
}

#[derive(Clone)]
pub struct Commands {
    ledger: Ledger,
    settings: Settings,
    /// Held from the look at what was before until the row is written.
    audited: Arc<Mutex<()>>,
}

impl Commands {
    pub fn new(ledger: Ledger, settings: Settings) -> Commands {
        Commands { ledger, settings, audited: Arc::default() }
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Executes a command of `person` under the client's idempotency key.
    ///
    /// # Errors
    /// The ledger's answer, or that the settings cannot be read.
    pub async fn give(
        &self,
        person: PersonId,
        key: ClientKey,
        command: Command,
    ) -> Result<Receipt, CommandError> {
        self.give_as(Actor::Person(person), Key::Client(key), command).await
    }

    /// Puts a command of `person` in line; the next one can be put behind it before this one is answered.
    ///
    /// # Errors
    /// When it does not get in line, or the settings cannot be read; nothing is recorded then.
    pub async fn submit(
        &self,
        person: PersonId,
        key: ClientKey,
        command: Command,
    ) -> Result<Submitted, CommandError> {
        let policy = self.policy().await?;
        let (actor, key) = (Actor::Person(person), Key::Client(key));
        Ok(self.ledger.submit(Envelope { actor, key, command, policy }).await?)
    }

    /// Puts commands of `person` in line that are decided together; see [`Ledger::submit_together`].
    ///
    /// # Errors
    /// When they do not get in line, or the settings cannot be read; nothing is recorded then.
    pub async fn submit_together(
        &self,
        person: PersonId,
        commands: Vec<(ClientKey, Command)>,
    ) -> Result<Vec<Submitted>, CommandError> {
        let policy = self.policy().await?;
        let envelope = |(key, command)| Envelope {
            actor: Actor::Person(person),
            key: Key::Client(key),
            command,
            policy: policy.clone(),
        };
        Ok(self.ledger.submit_together(commands.into_iter().map(envelope).collect()).await?)
    }

    /// The id of the command that `actor` gives as `operation` under the key: of a retry that of the first time.
    ///
    /// # Errors
    /// When the key is refused.
    pub async fn id_of(
        &self,
        actor: Actor,
        operation: &'static str,
        key: &ClientKey,
    ) -> Result<CommandId, CommandError> {
        let key = Key::Client(key.clone());
        Ok(self.ledger.query(move |state, at| state.command_id(actor, operation, &key, at)).await??)
    }

    /// Whether the ledger has recorded a command that `actor` gave as `operation` under this key. What is looked at
    /// before a command, such as a limit or who is a host, may have changed since then, and a retry is answered as the
    /// first time all the same.
    ///
    /// # Errors
    /// When the key is refused.
    pub async fn is_recorded(
        &self,
        actor: Actor,
        operation: &'static str,
        key: &ClientKey,
    ) -> Result<bool, CommandError> {
        let key = Key::Client(key.clone());
        Ok(self.ledger.query(move |state, at| state.is_recorded(actor, operation, &key, at)).await??)
    }

    /// The ledger's time, which is never before its last event: what has ids that follow from the day goes by it.
    ///
    /// # Errors
    /// When the clock cannot be believed.
    pub async fn now(&self) -> Result<DateTime<Utc>, CommandError> {
        Ok(time_of(&self.ledger).await?.to_utc())
    }

    pub async fn give_as(&self, actor: Actor, key: Key, command: Command) -> Result<Receipt, CommandError> {
        let mut policy = self.policy().await?;
        let payee = match &command {
            Command::RequestWithdrawal(asked) => Some(asked.payee),
            Command::PaySettlement(asked) => Some(asked.payee),
            _ => None,
        };
        if let Some(payee) = payee {
            policy.payee_verified = payees::verified(self.settings.pool(), payee.into()).await?.is_some();
        }
        Ok(self.ledger.execute(Envelope { actor, key, command, policy }).await?)
    }

    /// Executes a command of an admin and adds its row to the audit log. A command that changes nothing adds none.
    ///
    /// # Errors
    /// The ledger's answer. When the row cannot be written, the command is recorded and a retry under the same key
    /// writes it.
    pub async fn give_audited(
        &self,
        author: &Author,
        key: ClientKey,
        command: Command,
        now: DateTime<Utc>,
    ) -> Result<Receipt, CommandError> {
        self.give_audited_as(author, Key::Client(key), command, now).await
    }

    pub(crate) async fn give_audited_as(
        &self,
        author: &Author,
        key: Key,
        command: Command,
        now: DateTime<Utc>,
    ) -> Result<Receipt, CommandError> {
        let actor = Actor::Person(author.admin()?);
        let asked = command.clone();
        // One after the other: of two changes of one thing at once, the second finds what the first has made of it,
        // and a retry never writes the row before the request that it repeats.
        let _one = self.audited.lock().await;
        let change = self.ledger.query(move |state, at| audit::describe(&asked, state, at)).await?;
        let receipt = self.give_as(actor, key, command).await?;
        // What is repeated, or set to what it was, leaves no trace; a repeated adjustment or bonus meets its row.
        if receipt.recorded || change.before != change.after {
            let mut connection = self.settings.pool().acquire().await?;
            audit::record_command(&mut connection, author, change, &receipt, now).await?;
        }
        Ok(receipt)
    }

    /// The settings that decide charges, as the ledger takes them.
    pub async fn policy(&self) -> Result<Policy, CommandError> {
        let (metering, payout) = (self.settings.metering().await?, self.settings.payout().await?);
        let limits = self.settings.limits().await?;
        Ok(Policy {
            increment_seconds: metering.increment_seconds,
            free_seconds: metering.free_seconds,
            grace_seconds: metering.grace_seconds,
            earnings_hold_seconds: payout.earnings_hold_seconds,
            claw_back_held_earnings: payout.claw_back_held_earnings,
            payout_asset: Asset::INR,
            minimum_withdrawal_milli: payout.minimum_withdrawal_milli,
            daily_withdrawal_milli: payout.daily_withdrawal_milli,
            require_verified_payee: payout.require_verified_payee,
            // Looked up where a withdrawal is requested.
            payee_verified: false,
            order_payment_seconds: limits.order_payment_seconds,
        })
    }
}

async fn time_of(ledger: &Ledger) -> Result<Timestamp, ExecuteError> {
    let at = ledger.query(|_, at| at).await?;
    match ledger.status() {
        Status::ClockLeap(leap) => Err(ExecuteError::ClockLeap(leap)),
        _ => Ok(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event_store::MemoryStore;
    use ledger_core::JournalId;
    use ledger_runtime::Clock;
    use uuid::Uuid;

    #[tokio::test]
    async fn the_ledger_s_time_is_never_before_its_last_event_and_is_not_told_while_the_clock_has_leapt() {
        let start = Timestamp(1_767_225_600_000);
        let (wall, running, clock) = Clock::manual_that_leaps(start);
        let journal = JournalId(Uuid::from_u128(9));
        let opened = Ledger::open(Arc::new(MemoryStore::new()), clock, journal, |_, _| {}).await;
        let (ledger, _writer) = opened.expect("a new journal");
        let set = |wall_ms: i64, running_ms: i64| {
            running.send_replace(start.plus_ms(running_ms));
            wall.send_replace(start.plus_ms(wall_ms));
        };
        set(1_000, 1_000);
        assert_eq!(time_of(&ledger).await, Ok(start.plus_ms(1_000)));
        set(-59_000, 2_000);
        assert_eq!(time_of(&ledger).await, Ok(start), "the journal was opened then");
        set(26 * 3_600_000, 3_000);
        assert!(matches!(time_of(&ledger).await, Err(ExecuteError::ClockLeap(_))));
        set(4_000, 4_000);
        assert_eq!(time_of(&ledger).await, Ok(start.plus_ms(4_000)));
    }
}
