use crate::error::{Error, Unreadable};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use ledger_core::ClientKey;
use utoipa::IntoParams;

const HEADER: &str = "Idempotency-Key";

/// Tells a retry from a new request: 1 to 255 printable ASCII characters of your choice. Use a new key for each new
/// request, and send the same one with each retry; a key is good for 24 hours. A UUID of version 7 is recommended:
/// it says when it was made, so that one older than 24 hours is refused, while another key would then count as new.
/// Any spelling of a UUID is the same key.
#[derive(Clone, Debug, IntoParams)]
#[into_params(names("Idempotency-Key"), parameter_in = Header)]
pub struct IdempotencyKey(
    #[param(value_type = String, min_length = 1, max_length = 255, example = "018f3b2c-7e4d-7a6b-8c5d-1e2f3a4b5c6d")]
    pub ClientKey,
);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<IdempotencyKey, Error> {
        let mut values = parts.headers.get_all(HEADER).iter();
        let value = values.next().ok_or(Unreadable::KeyMissing)?;
        if values.next().is_some() {
            return Err(Unreadable::KeyRepeated.into());
        }
        let text = value.to_str().map_err(|_| Unreadable::KeyInvalid)?;
        let key = text.parse().map_err(|_| Unreadable::KeyInvalid)?;
        Ok(IdempotencyKey(key))
    }
}
