//! From an error to its problem. What platform refuses is mapped there, once for HTTP and sockets; what only HTTP
//! knows is mapped here.

use super::problem::Problem;
use super::{Error, Unreadable};
use axum::http::StatusCode;
use platform::problem::{Problem as Refusal, UNKNOWN_RETRY_SECONDS};
use projections::QueryError;

impl Error {
    /// How the client hears of it.
    pub fn problem(&self) -> Problem {
        match self {
            Error::Unreadable(fault) => unreadable(fault),
            Error::HostRestricted(kind) => {
                Problem::new(StatusCode::FORBIDDEN, format!("host_{}", kind.as_str()), self.to_string())
            }
            Error::NoSuchPath => Problem::new(StatusCode::NOT_FOUND, "not_found", self.to_string()),
            Error::MethodNotAllowed => {
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", self.to_string())
            }
            Error::TimedOut => Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout", self.to_string())
                .retry_after(UNKNOWN_RETRY_SECONDS),
            Error::Panicked => Refusal::internal().into(),
            Error::Auth(fault) => Refusal::from(fault).into(),
            Error::Command(fault) => Refusal::from(fault).into(),
            Error::Otp(fault) => Refusal::from(fault).into(),
            Error::People(fault) => Refusal::from(fault).into(),
            Error::Agency(fault) => Refusal::from(fault).into(),
            Error::RateLimit(fault) => Refusal::from(fault).into(),
            Error::Webhook(fault) => Refusal::from(fault).into(),
            Error::List(fault) => Refusal::from(fault).into(),
            Error::Sign(fault) => Refusal::from(fault).into(),
            Error::Query(fault) => query(fault),
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
        Unreadable::KeyRepeated => bad("idempotency_key_repeated").field("Idempotency-Key"),
        Unreadable::KeyInvalid => wrong("idempotency_key_invalid").field("Idempotency-Key"),
    }
}

fn query(fault: &QueryError) -> Problem {
    match fault {
        QueryError::BadCursor => Refusal::cursor_invalid().into(),
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
        QueryError::Postgres(_) | QueryError::Journal(_) => Refusal::unavailable().into(),
    }
}
