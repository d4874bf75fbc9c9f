//! What a request was refused for: the same stable codes as over HTTP.

use ledger_core::{Medium, Rejection};
use ledger_runtime::ExecuteError;
use platform::commands::CommandError;
use platform::hosts::HostError;
use platform::identity::AuthError;
use platform::presence::PresenceError;
use platform::settings::SettingsError;
use platform::validation::FieldError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Why a request was not done. `code` is stable, `detail` is a sentence for people; the rest is there where
/// it helps to go on, amounts in thousandths of a coin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    pub code: Cow<'static, str>,
    pub detail: Cow<'static, str>,
    /// The field that cannot be taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<Cow<'static, str>>,
    /// What it would have cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed_milli: Option<i64>,
    /// What the payer can spend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spendable_milli: Option<i64>,
    /// What the gift costs now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_milli: Option<i64>,
    /// What a minute with the host costs now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_milli_per_minute: Option<i64>,
    /// What the host does not offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium: Option<Medium>,
}

impl Problem {
    pub fn new(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem { code: code.into(), detail: detail.into(), ..Problem::default() }
    }

    /// Names the field that cannot be taken.
    pub(crate) fn about(self, field: impl Into<Cow<'static, str>>) -> Problem {
        Problem { field: Some(field.into()), ..self }
    }

    pub(crate) fn unavailable() -> Problem {
        Problem::new("unavailable", "a part of the server does not answer; try again in a moment")
    }

    pub(crate) fn rate_limited() -> Problem {
        Problem::new("rate_limited", "too many requests at once; slow down or the socket is closed")
    }
}

impl From<&Rejection> for Problem {
    fn from(rejection: &Rejection) -> Problem {
        let problem = Problem::new(rejection.code(), rejection.to_string());
        match *rejection {
            Rejection::InsufficientFunds { needed_milli, spendable_milli }
            | Rejection::EarningsNotSpendable { needed_milli, spendable_milli } => Problem {
                needed_milli: Some(needed_milli),
                spendable_milli: Some(spendable_milli),
                ..problem
            },
            Rejection::GiftPriceChanged { price_milli } => {
                Problem { price_milli: Some(price_milli), ..problem }
            }
            Rejection::CallPriceChanged { price_milli_per_minute } => {
                Problem { price_milli_per_minute: Some(price_milli_per_minute), ..problem }
            }
            Rejection::MediumNotOffered { medium } => Problem { medium: Some(medium), ..problem },
            Rejection::AmountNotPositive { field }
            | Rejection::AmountTooLarge { field }
            | Rejection::TermsInvalid { field } => problem.about(field),
            Rejection::KeyReused | Rejection::KeyNotV7 | Rejection::KeyExpired | Rejection::KeyInFuture => {
                problem.about("key")
            }
            _ => problem,
        }
    }
}

impl From<&ExecuteError> for Problem {
    fn from(error: &ExecuteError) -> Problem {
        match error {
            ExecuteError::Rejected(rejection) => rejection.into(),
            ExecuteError::Fault => Problem::new("internal", error.to_string()),
            // The reason is for operators.
            ExecuteError::Stopped(_) => {
                Problem::new("ledger_stopped", "the ledger takes no commands at the moment")
            }
            ExecuteError::OutcomeUnknown => Problem::new("outcome_unknown", error.to_string()),
            ExecuteError::Busy => Problem::new("busy", error.to_string()),
            ExecuteError::StorageFull => Problem::new("storage_full", error.to_string()),
            ExecuteError::ClockLeap(_) => Problem::new(
                "clock_leap",
                "the server's clock is wrong; commands are taken again once it is right; nothing was recorded",
            ),
            ExecuteError::NotStorable(_) => Problem::new("not_storable", error.to_string()),
        }
    }
}

impl From<&CommandError> for Problem {
    fn from(error: &CommandError) -> Problem {
        match error {
            CommandError::Execute(error) => error.into(),
            CommandError::Refused { code, message } => Problem::new(code, *message),
            CommandError::Field(error) => error.into(),
            CommandError::NotFound(what) => {
                Problem { code: format!("unknown_{what}").into(), ..Problem::new("", error.to_string()) }
            }
            CommandError::Settings(SettingsError::Invalid(error)) => error.into(),
            CommandError::Host(error) => error.into(),
            CommandError::TooOften { .. } => Problem::new("rate_limited", error.to_string()),
            // What a gateway, the database or Redis says is for operators.
            CommandError::Gateway(_)
            | CommandError::Settings(_)
            | CommandError::Database(_)
            | CommandError::Presence(_) => Problem::unavailable(),
        }
    }
}

impl From<&FieldError> for Problem {
    fn from(error: &FieldError) -> Problem {
        Problem::new(FieldError::CODE, error.to_string()).about(error.field)
    }
}

impl From<&HostError> for Problem {
    fn from(error: &HostError) -> Problem {
        match error {
            HostError::Invalid(error) => error.into(),
            HostError::NotFound => Problem::new("unknown_host", error.to_string()),
            HostError::PersonNotFound => Problem::new("unknown_person", error.to_string()),
            HostError::Database(_) => Problem::unavailable(),
            HostError::AlreadyApproved
            | HostError::AlreadyDecided
            | HostError::OwnApplication
            | HostError::CursorInvalid => Problem::new(error.code(), error.to_string()),
        }
    }
}

impl From<&AuthError> for Problem {
    fn from(error: &AuthError) -> Problem {
        match error {
            AuthError::Database(_) => Problem::unavailable(),
            _ => Problem::new(error.code(), error.to_string()),
        }
    }
}

impl From<&PresenceError> for Problem {
    fn from(_: &PresenceError) -> Problem {
        Problem::unavailable()
    }
}
