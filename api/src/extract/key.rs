use crate::error::{Error, Unreadable};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use utoipa::IntoParams;
use uuid::Uuid;

const HEADER: &str = "Idempotency-Key";

/// Tells a retry from a new request. Generate a UUID of version 7 for each new request, and send the same one with
/// each retry. Any spelling of a UUID is the same key. A key is good for 24 hours.
#[derive(Clone, Copy, Debug, IntoParams)]
#[into_params(names("Idempotency-Key"), parameter_in = Header)]
pub struct IdempotencyKey(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<IdempotencyKey, Error> {
        let mut values = parts.headers.get_all(HEADER).iter();
        let value = values.next().ok_or(Unreadable::KeyMissing)?;
        if values.next().is_some() {
            return Err(Unreadable::KeyRepeated.into());
        }
        let key = value.to_str().ok().and_then(|text| Uuid::try_parse(text.trim()).ok());
        match key {
            Some(key) if key.get_version_num() == 7 => Ok(IdempotencyKey(key)),
            _ => Err(Unreadable::KeyInvalid.into()),
        }
    }
}
