use super::quoted_name;
use crate::error::{Error, Unreadable};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

/// What stands behind the question mark.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query<T>, Error> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(value)) => Ok(Query(value)),
            Err(fault) => Err(explain(&fault.body_text()).into()),
        }
    }
}

/// axum hands the complaint out as text: `Failed to ...: <field>: <problem>`.
fn explain(text: &str) -> Unreadable {
    let problem = text.split_once(": ").map_or(text, |(_, problem)| problem);
    let (path, bare) = match problem.split_once(": ") {
        Some((path, bare)) if !path.contains([' ', '`']) => (Some(path), bare),
        _ => (None, problem),
    };
    match quoted_name(bare) {
        Some(name) if bare.starts_with("unknown field") => {
            Unreadable::UnknownField { field: name.to_owned() }
        }
        Some(name) if bare.starts_with("missing field") => {
            Unreadable::MissingField { field: name.to_owned() }
        }
        _ => Unreadable::Query { field: path.map(str::to_owned), problem: problem.to_owned() },
    }
}
