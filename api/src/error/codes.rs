//! From an error to its problem: every case named, so that a new one cannot be forgotten.
//!
//! Words about the inside (a database's complaint) go to the log, never to the client.

use super::problem::Problem;
use super::{Error, Unreadable, rejection};
use axum::http::StatusCode;
use integrations::razorpay::RazorpayError;
use ledger_runtime::ExecuteError;
use platform::commands::CommandError;
use platform::hosts::HostError;
use platform::identity::{AgencyError, AuthError, OtpError, PeopleError};
use platform::page::ListError;
use platform::presence::PresenceError;
use platform::purchases::WebhookRefusal;
use platform::rate_limit::RateLimitError;
use platform::settings::SettingsError;
use platform::validation::FieldError;
use projections::QueryError;

/// How long a client waits before it asks again when something behind us is away.
const OUTAGE_RETRY_SECONDS: u32 = 5;
/// How long a client waits before it asks again what became of its command.
const UNKNOWN_RETRY_SECONDS: u32 = 1;

impl Error {
    /// How the client hears of it.
    pub fn problem(&self) -> Problem {
        match self {
            Error::Unreadable(fault) => unreadable(fault),
            Error::Auth(fault) => auth(fault),
            Error::NoSuchPath => Problem::new(StatusCode::NOT_FOUND, "not_found", self.to_string()),
            Error::MethodNotAllowed => {
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", self.to_string())
            }
            Error::TimedOut => Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout", self.to_string())
                .retry_after(UNKNOWN_RETRY_SECONDS),
            Error::Panicked => internal(),
            Error::Command(fault) => command(fault),
            Error::Otp(fault) => otp(fault),
            Error::People(fault) => people(fault),
            Error::Agency(fault) => agency(fault),
            Error::RateLimit(RateLimitError::Limited { retry_after_seconds }) => {
                rate_limited(*retry_after_seconds)
            }
            Error::RateLimit(RateLimitError::Redis(_)) => unavailable(),
            Error::Webhook(WebhookRefusal::BadSignature) => {
                Problem::new(StatusCode::UNAUTHORIZED, "webhook_signature_invalid", self.to_string())
            }
            Error::Webhook(WebhookRefusal::Database(_)) => unavailable(),
            Error::Query(fault) => query(fault),
            Error::List(ListError::CursorInvalid(_)) => cursor_invalid(),
            Error::List(ListError::Database(_)) => unavailable(),
        }
    }
}

fn unreadable(fault: &Unreadable) -> Problem {
    let bad = |code: &'static str| Problem::new(StatusCode::BAD_REQUEST, code, fault.to_string());
    let wrong = |code: &'static str| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, fault.to_string());
    match fault {
        Unreadable::MalformedJson(_) => bad("malformed_json"),
        Unreadable::WrongType { field: Some(field), .. } => wrong("wrong_type").field(field),
        Unreadable::WrongType { field: None, .. } => wrong("wrong_type"),
        Unreadable::UnknownField { field } => wrong("unknown_field").field(field),
        Unreadable::MissingField { field } => wrong("missing_field").field(field),
        Unreadable::BodyTooLarge { limit_bytes } => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", fault.to_string())
                .with("limit_bytes", *limit_bytes)
        }
        Unreadable::BodyCutOff => bad("body_cut_off"),
        Unreadable::NotJson => {
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", fault.to_string())
                .field("Content-Type")
        }
        Unreadable::Path(_) => bad("invalid_path"),
        Unreadable::Query { field: Some(field), .. } => bad("invalid_query").field(field),
        Unreadable::Query { field: None, .. } => bad("invalid_query"),
        Unreadable::KeyMissing => bad("idempotency_key_missing").field("Idempotency-Key"),
        Unreadable::KeyInvalid => wrong("idempotency_key_invalid").field("Idempotency-Key"),
    }
}

fn auth(fault: &AuthError) -> Problem {
    match fault {
        AuthError::TokenMissing
        | AuthError::TokenInvalid
        | AuthError::TokenExpired
        | AuthError::SessionEnded => Problem::new(StatusCode::UNAUTHORIZED, fault.code(), fault.to_string()),
        AuthError::ForbiddenRole(role) => {
            Problem::new(StatusCode::FORBIDDEN, fault.code(), fault.to_string())
                .with("needed_role", role.as_str())
        }
        AuthError::Database(_) => unavailable(),
    }
}

fn command(fault: &CommandError) -> Problem {
    match fault {
        CommandError::Execute(ExecuteError::Rejected(rejection)) => rejection::problem(rejection),
        CommandError::Execute(ExecuteError::Fault) => internal(),
        CommandError::Execute(ExecuteError::Stopped(_)) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ledger_stopped",
            "the ledger takes no commands at present; nothing was recorded",
        )
        .retry_after(OUTAGE_RETRY_SECONDS),
        CommandError::Execute(ExecuteError::OutcomeUnknown) => outcome_unknown(),
        CommandError::Execute(fault @ ExecuteError::Busy) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", fault.to_string())
                .retry_after(UNKNOWN_RETRY_SECONDS)
        }
        CommandError::Execute(fault @ ExecuteError::StorageFull) => {
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "storage_full", fault.to_string())
                .retry_after(OUTAGE_RETRY_SECONDS)
        }
        // How far the clock is off is for operators.
        CommandError::Execute(ExecuteError::ClockLeap(_)) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "clock_leap",
            "the server's clock is wrong; commands are taken again once it is right; nothing was recorded",
        )
        .retry_after(OUTAGE_RETRY_SECONDS),
        CommandError::Execute(fault @ ExecuteError::NotStorable(_)) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "not_storable", fault.to_string())
        }
        CommandError::Refused { code, message } => Problem::new(StatusCode::CONFLICT, *code, *message),
        CommandError::Field(fault) => field(fault),
        CommandError::NotFound(what) => {
            Problem::new(StatusCode::NOT_FOUND, format!("unknown_{what}"), fault.to_string())
        }
        CommandError::Gateway(fault) => gateway(fault),
        CommandError::Settings(fault) => settings(fault),
        CommandError::Database(_) => unavailable(),
        CommandError::Host(fault) => host(fault),
        CommandError::Presence(PresenceError::Redis(_)) => unavailable(),
        CommandError::TooOften { retry_after_seconds } => rate_limited(*retry_after_seconds),
    }
}

fn gateway(fault: &RazorpayError) -> Problem {
    match fault {
        RazorpayError::Misconfigured(_) => internal(),
        RazorpayError::Refused { .. } => Problem::new(
            StatusCode::BAD_GATEWAY,
            "gateway_refused",
            "the payment gateway refused; nobody was charged",
        ),
        RazorpayError::OutcomeUnknown(_) => outcome_unknown(),
        RazorpayError::Unavailable(_) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "gateway_unavailable",
            "the payment gateway does not answer; send the request again with the same key",
        )
        .retry_after(OUTAGE_RETRY_SECONDS),
    }
}

fn settings(fault: &SettingsError) -> Problem {
    match fault {
        SettingsError::Invalid(fault) => field(fault),
        SettingsError::Unreadable { .. } => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, fault.code(), "a stored setting cannot be read")
        }
        SettingsError::Database(_) => unavailable(),
    }
}

fn host(fault: &HostError) -> Problem {
    match fault {
        HostError::Invalid(fault) => field(fault),
        HostError::NotFound => Problem::new(StatusCode::NOT_FOUND, "unknown_host", fault.to_string()),
        HostError::PersonNotFound => Problem::new(StatusCode::NOT_FOUND, "unknown_person", fault.to_string()),
        HostError::AlreadyApproved | HostError::AlreadyDecided => {
            Problem::new(StatusCode::CONFLICT, fault.code(), fault.to_string())
        }
        HostError::OwnApplication => Problem::new(StatusCode::FORBIDDEN, fault.code(), fault.to_string()),
        HostError::CursorInvalid => cursor_invalid(),
        HostError::Database(_) => unavailable(),
    }
}

fn otp(fault: &OtpError) -> Problem {
    match fault {
        OtpError::PhoneInvalid(_) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, fault.code(), fault.to_string()).field("phone")
        }
        OtpError::Invalid | OtpError::Expired => {
            Problem::new(StatusCode::UNAUTHORIZED, fault.code(), fault.to_string())
        }
        // Waiting does not help this code: a new one does.
        OtpError::TooManyTries => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, fault.code(), fault.to_string())
        }
        OtpError::RateLimited { retry_after_seconds } => rate_limited(*retry_after_seconds),
        OtpError::NotSent(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, fault.code(), "the code could not be sent")
                .retry_after(OUTAGE_RETRY_SECONDS)
        }
        OtpError::Redis(_) | OtpError::Database(_) => unavailable(),
        OtpError::People(fault) => people(fault),
    }
}

fn people(fault: &PeopleError) -> Problem {
    match fault {
        PeopleError::NotFound => Problem::new(StatusCode::NOT_FOUND, "unknown_person", fault.to_string()),
        PeopleError::LastAdmin => Problem::new(StatusCode::CONFLICT, fault.code(), fault.to_string()),
        PeopleError::Invalid(fault) => field(fault),
        PeopleError::Sealed(_) => internal(),
        PeopleError::Database(_) => unavailable(),
    }
}

fn agency(fault: &AgencyError) -> Problem {
    match fault {
        AgencyError::NotFound => Problem::new(StatusCode::NOT_FOUND, "unknown_agency", fault.to_string()),
        AgencyError::OwnerNotFound => {
            Problem::new(StatusCode::NOT_FOUND, "unknown_person", fault.to_string()).field("owner")
        }
        AgencyError::CodeTaken => {
            Problem::new(StatusCode::CONFLICT, fault.code(), fault.to_string()).field("code")
        }
        AgencyError::Invalid(fault) => field(fault),
        AgencyError::Database(_) => unavailable(),
    }
}

fn query(fault: &QueryError) -> Problem {
    match fault {
        QueryError::BadCursor => cursor_invalid(),
        QueryError::Behind(behind) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "read_model_behind",
            "the read models have not come to min_revision yet",
        )
        .with("min_revision", behind.wanted)
        .with("projected_revision", behind.projected)
        .retry_after(UNKNOWN_RETRY_SECONDS),
        QueryError::BeyondJournal { wanted, head } => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "min_revision_beyond_journal",
            "the journal has no such revision; min_revision is the revision of a receipt",
        )
        .field("min_revision")
        .with("min_revision", *wanted)
        .with("journal_revision", *head),
        QueryError::Refused(_) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "read_models_refused",
            "the read models do not belong to the journal; an operator has to rebuild them or restore the journal",
        ),
        QueryError::Postgres(_) => unavailable(),
    }
}

fn field(fault: &FieldError) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, FieldError::CODE, fault.to_string()).field(fault.field)
}

fn cursor_invalid() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "cursor_invalid", "this is not a cursor that an earlier page gave")
        .field("cursor")
}

fn rate_limited(retry_after_seconds: u32) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "too many requests; come back later")
        .retry_after(retry_after_seconds)
}

fn outcome_unknown() -> Problem {
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "outcome_unknown", ExecuteError::OutcomeUnknown.to_string())
        .retry_after(UNKNOWN_RETRY_SECONDS)
}

fn unavailable() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the server cannot answer at present")
        .retry_after(OUTAGE_RETRY_SECONDS)
}

fn internal() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server met a fault of its own")
}
