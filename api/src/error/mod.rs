//! Every way in which a request can fail, and how the client hears of it.

mod codes;
mod problem;
#[cfg(test)]
mod tests;

pub use problem::{Problem, title_of};

use axum::response::{IntoResponse, Response};
use integrations::razorpay::RazorpayError;
use ledger_runtime::ExecuteError;
use platform::commands::CommandError;
use platform::hosts::HostError;
use platform::identity::{AgencyError, AuthError, OtpError, PeopleError, RestrictionKind};
use platform::journal_heads::SignError;
use platform::page::ListError;
use platform::presence::PresenceError;
use platform::purchases::WebhookRefusal;
use platform::rate_limit::RateLimited;
use platform::reading::Misfit;
use platform::settings::SettingsError;
use platform::validation::FieldError;
use projections::QueryError;

/// A request that cannot be read, before anybody asked what it wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("the body is not JSON: {0}")]
    MalformedJson(String),
    #[error("{problem}")]
    WrongType { field: Option<String>, problem: String },
    #[error("the request has a field that it may not have: {field}")]
    UnknownField { field: String },
    #[error("the request lacks the field {field}")]
    MissingField { field: String },
    #[error("the body is longer than {limit_bytes} bytes")]
    BodyTooLarge { limit_bytes: usize },
    #[error("the body was cut off")]
    BodyCutOff,
    #[error("the body must be sent as application/json")]
    NotJson,
    #[error("the path cannot be read: {0}")]
    Path(String),
    #[error("the query cannot be read: {problem}")]
    Query { field: Option<String>, problem: String },
    #[error(
        "send an Idempotency-Key header: text of your choice, a new one for each new request; a UUID of version 7 is best"
    )]
    KeyMissing,
    #[error("send one Idempotency-Key header, not several")]
    KeyRepeated,
    #[error("the Idempotency-Key header must have 1 to 255 printable ASCII characters")]
    KeyInvalid,
}

impl From<Misfit> for Unreadable {
    fn from(misfit: Misfit) -> Unreadable {
        match misfit {
            Misfit::Malformed(problem) => Unreadable::MalformedJson(problem),
            Misfit::Unknown { field } => Unreadable::UnknownField { field },
            Misfit::Missing { field } => Unreadable::MissingField { field },
            Misfit::WrongType { field, problem } => Unreadable::WrongType { field, problem },
        }
    }
}

/// Why a request was not answered as it wished.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// An admin keeps the person from acting as a host.
    #[error("this host is {}: their earnings stay until an admin decides", .0.as_str())]
    HostRestricted(RestrictionKind),
    #[error("there is no such path")]
    NoSuchPath,
    #[error("this path does not take this method")]
    MethodNotAllowed,
    #[error(
        "the request took too long; what it asked for may still happen: look, or send it again with the same key"
    )]
    TimedOut,
    /// The handler panicked; the log has it.
    #[error("the server met a fault of its own")]
    Panicked,
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Otp(#[from] OtpError),
    #[error(transparent)]
    People(#[from] PeopleError),
    #[error(transparent)]
    Agency(#[from] AgencyError),
    #[error(transparent)]
    RateLimit(#[from] RateLimited),
    #[error(transparent)]
    Webhook(#[from] WebhookRefusal),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl Error {
    /// Something asked about that is not there, or is none of the caller's business.
    pub fn not_found(what: &'static str) -> Error {
        CommandError::NotFound(what).into()
    }

    pub fn field(field: &'static str, problem: impl Into<String>) -> Error {
        FieldError::new(field, problem).into()
    }
}

impl From<ExecuteError> for Error {
    fn from(fault: ExecuteError) -> Error {
        CommandError::from(fault).into()
    }
}

impl From<FieldError> for Error {
    fn from(fault: FieldError) -> Error {
        CommandError::from(fault).into()
    }
}

impl From<HostError> for Error {
    fn from(fault: HostError) -> Error {
        CommandError::from(fault).into()
    }
}

impl From<SettingsError> for Error {
    fn from(fault: SettingsError) -> Error {
        CommandError::from(fault).into()
    }
}

impl From<PresenceError> for Error {
    fn from(fault: PresenceError) -> Error {
        CommandError::from(fault).into()
    }
}

impl From<RazorpayError> for Error {
    fn from(fault: RazorpayError) -> Error {
        CommandError::from(fault).into()
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let problem = self.problem();
        if problem.status >= 500 {
            tracing::error!(fault = ?self, code = %problem.code, "a request failed");
        }
        problem.into_response()
    }
}
