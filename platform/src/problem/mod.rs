//! How a client hears of what was not done: one mapping from errors to problems, for HTTP and sockets.
//!
//! Every error is named, so that a new one cannot be forgotten. What a database or a gateway complains of goes to
//! the log, never to the client.

mod rejection;

use crate::commands::CommandError;
use crate::hosts::HostError;
use crate::identity::{AgencyError, AuthError, OtpError, PeopleError};
use crate::journal_heads::SignError;
use crate::page::ListError;
use crate::presence::PresenceError;
use crate::purchases::WebhookRefusal;
use crate::rate_limit::RateLimited;
use crate::settings::SettingsError;
use crate::validation::FieldError;
use integrations::razorpay::RazorpayError;
use ledger_core::Rejection;
use ledger_runtime::ExecuteError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// How long a client waits before it asks again when something behind us is away.
pub const OUTAGE_RETRY_SECONDS: u32 = 5;
/// How long a client waits before it asks again what became of its command.
pub const UNKNOWN_RETRY_SECONDS: u32 = 1;
/// The field of a refused idempotency key. Over HTTP the key is a header of another name.
pub const KEY_FIELD: &str = "key";

const RETRY_AFTER: &str = "retry_after_seconds";

/// Why a request was not done. Programs go by `code`, which is stable; `detail` is a sentence for people.
/// Further members hold the figures of the case: amounts such as `needed_milli` and `spendable_milli` in
/// thousandths of a coin, and `retry_after_seconds` where the same request can succeed later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    pub code: Cow<'static, str>,
    /// The status of the HTTP answer with this code.
    pub status: u16,
    pub detail: String,
    /// The field of the request that is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

impl Problem {
    pub fn new(status: u16, code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Problem {
        let (code, detail) = (code.into(), detail.into());
        Problem { code, status, detail, field: None, members: Map::new() }
    }

    #[must_use]
    pub fn field(self, field: impl Into<String>) -> Problem {
        Problem { field: Some(field.into()), ..self }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// When asking again makes sense.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Problem {
        self.with(RETRY_AFTER, seconds)
    }

    /// After how many seconds the same request can succeed, where that helps.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.members.get(RETRY_AFTER).and_then(Value::as_u64)
    }

    /// Something behind the server does not answer.
    pub fn unavailable() -> Problem {
        Problem::new(503, "unavailable", "the server cannot answer at present")
            .retry_after(OUTAGE_RETRY_SECONDS)
    }

    /// A fault of this program; the log has it.
    pub fn internal() -> Problem {
        Problem::new(500, "internal", "the server met a fault of its own")
    }

    pub fn rate_limited(retry_after_seconds: u32) -> Problem {
        Problem::new(429, "rate_limited", "too many requests; come back later")
            .retry_after(retry_after_seconds)
    }

    pub fn cursor_invalid() -> Problem {
        Problem::new(400, "cursor_invalid", "this is not a cursor that an earlier page gave").field("cursor")
    }

    fn outcome_unknown() -> Problem {
        Problem::new(504, "outcome_unknown", ExecuteError::OutcomeUnknown.to_string())
            .retry_after(UNKNOWN_RETRY_SECONDS)
    }
}

impl From<&Rejection> for Problem {
    fn from(fault: &Rejection) -> Problem {
        rejection::problem(fault)
    }
}

impl From<&ExecuteError> for Problem {
    fn from(fault: &ExecuteError) -> Problem {
        match fault {
            ExecuteError::Rejected(rejection) => rejection.into(),
            ExecuteError::Fault => Problem::internal(),
            // The reason is for operators.
            ExecuteError::Stopped(_) => Problem::new(
                503,
                "ledger_stopped",
                "the ledger takes no commands at present; nothing was recorded",
            )
            .retry_after(OUTAGE_RETRY_SECONDS),
            ExecuteError::OutcomeUnknown => Problem::outcome_unknown(),
            ExecuteError::Busy => {
                Problem::new(503, "busy", fault.to_string()).retry_after(UNKNOWN_RETRY_SECONDS)
            }
            ExecuteError::StoreAway => {
                Problem::new(503, "store_unavailable", fault.to_string()).retry_after(UNKNOWN_RETRY_SECONDS)
            }
            ExecuteError::StorageFull => {
                Problem::new(507, "storage_full", fault.to_string()).retry_after(OUTAGE_RETRY_SECONDS)
            }
            // How far the clock is off is for operators.
            ExecuteError::ClockLeap(_) => Problem::new(
                503,
                "clock_leap",
                "the server's clock is wrong; commands are taken again once it is right; nothing was recorded",
            )
            .retry_after(OUTAGE_RETRY_SECONDS),
            ExecuteError::NotStorable(_) => Problem::new(500, "not_storable", fault.to_string()),
        }
    }
}

impl From<&CommandError> for Problem {
    fn from(fault: &CommandError) -> Problem {
        match fault {
            CommandError::Execute(fault) => fault.into(),
            CommandError::Refused { code, message } => Problem::new(409, *code, *message),
            CommandError::Field(fault) => fault.into(),
            CommandError::NotFound(what) => Problem::new(404, format!("unknown_{what}"), fault.to_string()),
            CommandError::Gateway(fault) => fault.into(),
            CommandError::Settings(fault) => fault.into(),
            CommandError::Database(_) => Problem::unavailable(),
            CommandError::Host(fault) => fault.into(),
            CommandError::Presence(fault) => fault.into(),
            CommandError::TooOften { retry_after_seconds } => Problem::rate_limited(*retry_after_seconds),
        }
    }
}

impl From<&AuthError> for Problem {
    fn from(fault: &AuthError) -> Problem {
        match fault {
            AuthError::TokenMissing
            | AuthError::TokenInvalid
            | AuthError::TokenExpired
            | AuthError::SessionEnded => Problem::new(401, fault.code(), fault.to_string()),
            AuthError::RateLimited { retry_after_seconds } => Problem::rate_limited(*retry_after_seconds),
            AuthError::Restricted(_) => Problem::new(403, fault.code(), fault.to_string()),
            AuthError::ForbiddenRole(role) => {
                Problem::new(403, fault.code(), fault.to_string()).with("needed_role", role.as_str())
            }
            AuthError::Database(_) => Problem::unavailable(),
        }
    }
}

impl From<&RazorpayError> for Problem {
    fn from(fault: &RazorpayError) -> Problem {
        match fault {
            RazorpayError::Misconfigured(_) => Problem::internal(),
            RazorpayError::Refused { .. } => {
                Problem::new(502, "gateway_refused", "the payment gateway refused; nobody was charged")
            }
            RazorpayError::OutcomeUnknown(_) => Problem::outcome_unknown(),
            RazorpayError::Unavailable(_) => Problem::new(
                503,
                "gateway_unavailable",
                "the payment gateway does not answer; send the request again with the same key",
            )
            .retry_after(OUTAGE_RETRY_SECONDS),
        }
    }
}

impl From<&SignError> for Problem {
    fn from(fault: &SignError) -> Problem {
        match fault {
            SignError::NoKey => Problem::new(409, "no_head_key", fault.to_string()),
            SignError::Behind => {
                Problem::new(503, "journal_tree_behind", fault.to_string()).retry_after(OUTAGE_RETRY_SECONDS)
            }
            // Why is for operators.
            SignError::Refused(_) => Problem::new(409, "journal_refused", fault.to_string()),
            SignError::Outage(_) => Problem::unavailable(),
        }
    }
}

impl From<&SettingsError> for Problem {
    fn from(fault: &SettingsError) -> Problem {
        match fault {
            SettingsError::Invalid(fault) => fault.into(),
            SettingsError::Unreadable { .. } => {
                Problem::new(500, fault.code(), "a stored setting cannot be read")
            }
            SettingsError::Database(_) => Problem::unavailable(),
        }
    }
}

impl From<&HostError> for Problem {
    fn from(fault: &HostError) -> Problem {
        match fault {
            HostError::Invalid(fault) => fault.into(),
            HostError::NotFound => Problem::new(404, "unknown_host", fault.to_string()),
            HostError::PersonNotFound => Problem::new(404, "unknown_person", fault.to_string()),
            HostError::AlreadyApproved | HostError::AlreadyDecided => {
                Problem::new(409, fault.code(), fault.to_string())
            }
            HostError::OwnApplication => Problem::new(403, fault.code(), fault.to_string()),
            HostError::Database(_) => Problem::unavailable(),
        }
    }
}

impl From<&OtpError> for Problem {
    fn from(fault: &OtpError) -> Problem {
        match fault {
            OtpError::PhoneInvalid(_) => Problem::new(422, fault.code(), fault.to_string()).field("phone"),
            OtpError::Invalid | OtpError::Expired => {
                Problem::new(422, fault.code(), fault.to_string()).field("code")
            }
            // Waiting does not help this code: a new one does.
            OtpError::TooManyTries => Problem::new(429, fault.code(), fault.to_string()),
            OtpError::RateLimited { retry_after_seconds } => Problem::rate_limited(*retry_after_seconds),
            OtpError::NotSent(_) => Problem::new(503, fault.code(), "the code could not be sent")
                .retry_after(OUTAGE_RETRY_SECONDS),
            OtpError::Database(_) => Problem::unavailable(),
            OtpError::People(fault) => fault.into(),
        }
    }
}

impl From<&PeopleError> for Problem {
    fn from(fault: &PeopleError) -> Problem {
        match fault {
            PeopleError::NotFound => Problem::new(404, "unknown_person", fault.to_string()),
            PeopleError::LastAdmin | PeopleError::IsAdmin | PeopleError::Restricted => {
                Problem::new(409, fault.code(), fault.to_string())
            }
            PeopleError::Invalid(fault) => fault.into(),
            PeopleError::Sealed(_) => Problem::internal(),
            PeopleError::Database(_) => Problem::unavailable(),
        }
    }
}

impl From<&AgencyError> for Problem {
    fn from(fault: &AgencyError) -> Problem {
        match fault {
            AgencyError::NotFound => Problem::new(404, "unknown_agency", fault.to_string()),
            AgencyError::OwnerNotFound => {
                Problem::new(404, "unknown_person", fault.to_string()).field("owner")
            }
            AgencyError::CodeTaken => Problem::new(409, fault.code(), fault.to_string()).field("code"),
            AgencyError::Invalid(fault) => fault.into(),
            AgencyError::Database(_) => Problem::unavailable(),
        }
    }
}

impl From<&FieldError> for Problem {
    fn from(fault: &FieldError) -> Problem {
        Problem::new(422, FieldError::CODE, fault.to_string()).field(fault.field)
    }
}

impl From<&PresenceError> for Problem {
    fn from(fault: &PresenceError) -> Problem {
        match fault {
            PresenceError::Redis(_) => Problem::unavailable(),
        }
    }
}

impl From<&RateLimited> for Problem {
    fn from(fault: &RateLimited) -> Problem {
        Problem::rate_limited(fault.retry_after_seconds)
    }
}

impl From<&WebhookRefusal> for Problem {
    fn from(fault: &WebhookRefusal) -> Problem {
        match fault {
            WebhookRefusal::BadSignature => Problem::new(400, "webhook_signature_invalid", fault.to_string())
                .field("X-Razorpay-Signature"),
            WebhookRefusal::Database(_) => Problem::unavailable(),
        }
    }
}

impl From<&ListError> for Problem {
    fn from(_: &ListError) -> Problem {
        Problem::unavailable()
    }
}
