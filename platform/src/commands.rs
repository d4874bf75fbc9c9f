//! Gives commands to the ledger in the name of a person, under the settings in force.

use crate::settings::{Settings, SettingsError};
use crate::validation::FieldError;
use integrations::razorpay::RazorpayError;
use ledger_core::{Actor, Asset, Command, Envelope, Key, PersonId, Policy, Rejection};
use ledger_runtime::{ExecuteError, Ledger, Receipt};
use uuid::Uuid;

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
}

impl Commands {
    pub fn new(ledger: Ledger, settings: Settings) -> Commands {
        Commands { ledger, settings }
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Executes a command of `person` under the client's idempotency key.
    ///
    /// # Errors
    /// The ledger's answer, or that the settings cannot be read.
    pub async fn give(&self, person: PersonId, key: Uuid, command: Command) -> Result<Receipt, CommandError> {
        self.give_as(Actor::Person(person), Key::Client(key), command).await
    }

    pub async fn give_as(&self, actor: Actor, key: Key, command: Command) -> Result<Receipt, CommandError> {
        let policy = self.policy().await?;
        Ok(self.ledger.execute(Envelope { actor, key, command, policy }).await?)
    }

    /// The settings that decide charges, as the ledger takes them.
    pub async fn policy(&self) -> Result<Policy, CommandError> {
        let (metering, payout) = self.settings.metering_and_payout().await?;
        Ok(Policy {
            increment_seconds: metering.increment_seconds,
            free_seconds: metering.free_seconds,
            grace_seconds: metering.grace_seconds,
            earnings_hold_seconds: payout.earnings_hold_seconds,
            payout_rate: payout.rate,
            payout_asset: Asset::INR,
            minimum_withdrawal_milli: payout.minimum_withdrawal_milli,
        })
    }
}
