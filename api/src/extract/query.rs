use crate::error::{Error, Unreadable};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use platform::reading::{self, Misfit};
use serde::de::DeserializeOwned;

/// What stands behind the question mark.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query<T>, Error> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query)
            .map_err(|fault| Unreadable::Query { field: None, problem: fault.to_string() })?;
        // Postgres keeps no such character, so nothing has it. A cursor is read by its list.
        if let Some((field, _)) =
            pairs.iter().find(|(field, value)| value.contains('\0') && field != "cursor")
        {
            let problem = "must not contain the character NUL".to_owned();
            return Err(Unreadable::Query { field: Some(field.clone()), problem }.into());
        }
        match reading::from_pairs(pairs) {
            Ok(value) => Ok(Query(value)),
            Err(Misfit::WrongType { field, problem }) => Err(Unreadable::Query { field, problem }.into()),
            Err(misfit) => Err(Unreadable::from(misfit).into()),
        }
    }
}
