use crate::error::{Error, Unreadable};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use utoipa::IntoParams;
use uuid::Uuid;

const HEADER: &str = "Idempotency-Key";

/// By what a retry is known to be the same request: a UUID of version 7, made anew for each new request
/// and sent again with each retry of it. Good for 24 hours.
#[derive(Clone, Copy, Debug, IntoParams)]
#[into_params(names("Idempotency-Key"), parameter_in = Header)]
pub struct IdempotencyKey(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<IdempotencyKey, Error> {
        let value = parts.headers.get(HEADER).ok_or(Unreadable::KeyMissing)?;
        let key = value.to_str().ok().and_then(|text| Uuid::try_parse(text.trim()).ok());
        match key {
            Some(key) if key.get_version_num() == 7 => Ok(IdempotencyKey(key)),
            _ => Err(Unreadable::KeyInvalid.into()),
        }
    }
}
