//! How many requests an address has left, as headers of every answer that was counted.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponseParts, ResponseParts};
use platform::rate_limit::Allowance;
use std::convert::Infallible;

pub const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
pub const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
pub const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// What is left of an address' requests; of a route that counts more than itself, after what it counted.
pub struct Left(pub Option<Allowance>);

impl Left {
    /// Keeps what the route itself has said.
    pub fn stamp(self, headers: &mut HeaderMap) {
        let Some(Allowance { limit, remaining, reset_seconds }) = self.0 else { return };
        for (name, value) in [(LIMIT, limit), (REMAINING, remaining), (RESET, reset_seconds)] {
            headers.entry(name).or_insert_with(|| HeaderValue::from(value));
        }
    }
}

impl IntoResponseParts for Left {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        self.stamp(parts.headers_mut());
        Ok(parts)
    }
}
