//! Bodies: raw bytes, and JSON that fits its type exactly.

use crate::error::{Error, Unreadable};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use platform::reading;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest body that is read.
pub const BODY_LIMIT_BYTES: usize = 64 * 1024;

/// The body as it came.
pub struct Raw(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Raw, Error> {
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Raw(bytes)),
            Err(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_))) => {
                Err(Unreadable::BodyTooLarge { limit_bytes: BODY_LIMIT_BYTES }.into())
            }
            Err(_) => Err(Unreadable::BodyCutOff.into()),
        }
    }
}

/// A body of JSON, sent as `application/json`; in an answer too.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Json<T>, Error> {
        if !says_json(request.headers()) {
            return Err(Unreadable::NotJson.into());
        }
        let Raw(bytes) = Raw::from_request(request, state).await?;
        Ok(Json(parse(&bytes)?))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn says_json(headers: &HeaderMap) -> bool {
    let Some(Ok(kind)) = headers.get(header::CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    Ok(reading::from_json(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only its type matters")]
        amount_milli: i64,
        #[expect(dead_code, reason = "only its type matters")]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only its type matters")]
        id: uuid::Uuid,
    }

    fn told(body: &str) -> (String, Option<String>) {
        let fault = parse::<Outer>(body.as_bytes()).expect_err("does not fit");
        let problem = Error::from(fault).problem();
        (problem.code.into_owned(), problem.field)
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_field() {
        assert!(parse::<Outer>(br#"{"amount_milli": 1}"#).is_ok());
        for (body, code, field) in [
            ("", "malformed_json", None),
            ("{", "malformed_json", None),
            (r#"{"amount_milli": 1,}"#, "malformed_json", None),
            (r#"{"amount_milli": 1} x"#, "malformed_json", None),
            ("[]", "wrong_type", None),
            (r#"{"amount_milli": "1"}"#, "wrong_type", Some("amount_milli")),
            (r#"{"amount_milli": 1.0}"#, "wrong_type", Some("amount_milli")),
            (r#"{"amount_milli": 9223372036854775808}"#, "wrong_type", Some("amount_milli")),
            ("{}", "missing_field", Some("amount_milli")),
            (r#"{"amount_milli": 1, "amount": 2}"#, "unknown_field", Some("amount")),
            (r#"{"amount_milli": 1, "inner": {"id": "x"}}"#, "wrong_type", Some("inner.id")),
            (r#"{"amount_milli": 1, "inner": {}}"#, "missing_field", Some("inner.id")),
            (r#"{"amount_milli": 1, "inner": {"x": 1}}"#, "unknown_field", Some("inner.x")),
        ] {
            assert_eq!(told(body), (code.to_owned(), field.map(str::to_owned)), "{body}");
        }
    }
}
