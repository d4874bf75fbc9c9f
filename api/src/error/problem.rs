//! RFC 9457: what a client gets instead of what it asked for.

use crate::problems::find;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use platform::problem::KEY_FIELD;
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use utoipa::ToSchema;

/// An error (RFC 9457). Decide by `code`, which never changes its meaning; `detail` is a sentence for people and may
/// change. Further members hold figures of the case, such as `needed_milli` or `retry_after_seconds`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// `/problems/` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code as words.
    pub title: String,
    pub status: u16,
    pub detail: String,
    #[schema(value_type = String)]
    pub code: Cow<'static, str>,
    /// The field of the request that caused the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The document describes it by hand: see `openapi::schemas`.
    #[serde(flatten)]
    #[schema(ignore)]
    pub members: Map<String, Value>,
}

impl Problem {
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Problem {
        let code = code.into();
        Problem {
            kind: format!("/problems/{code}"),
            title: title_of(&code),
            status: status.as_u16(),
            detail: detail.into(),
            code,
            field: None,
            members: Map::new(),
        }
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

    /// When asking again makes sense: as a member, and as the header of that name.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Problem {
        self.with(RETRY_AFTER, seconds)
    }
}

impl From<platform::problem::Problem> for Problem {
    fn from(problem: platform::problem::Problem) -> Problem {
        let platform::problem::Problem { code, status, detail, field, members } = problem;
        let field = field.map(|field| if field == KEY_FIELD { KEY_HEADER.to_owned() } else { field });
        Problem {
            kind: format!("/problems/{code}"),
            title: title_of(&code),
            status,
            detail,
            code,
            field,
            members,
        }
    }
}

/// Over HTTP the idempotency key is a header.
const KEY_HEADER: &str = "Idempotency-Key";
const RETRY_AFTER: &str = "retry_after_seconds";

/// A code as words.
pub fn title_of(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_ascii_uppercase().to_string() + letters.as_str(),
        None => words,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        debug_assert!(find(&self.code).is_some(), "{} has no page under /problems", self.code);
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.members.get(RETRY_AFTER).and_then(Value::as_u64);
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
