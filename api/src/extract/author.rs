//! An admin who changes something, as the audit log names them.

use super::AdminCaller;
use crate::Api;
use crate::error::Error;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use ledger_core::PersonId;
use platform::audit::Author;
use platform::identity::AuthError;

/// An admin with the id of the request. Routes that change something take this in place of [`AdminCaller`].
pub struct AdminAuthor {
    pub author: Author,
}

impl AdminAuthor {
    /// # Errors
    /// Never for an admin who has signed in.
    pub fn person(&self) -> Result<PersonId, Error> {
        self.author.id().ok_or_else(|| AuthError::TokenMissing.into())
    }

    /// With the reason that the request gave.
    ///
    /// # Errors
    /// When the reason is no code, or the note is empty or too long.
    pub fn because(&self, reason: Option<&str>, note: Option<&str>) -> Result<Author, Error> {
        Ok(self.author.clone().because(reason, note)?)
    }
}

impl FromRequestParts<Api> for AdminAuthor {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<AdminAuthor, Error> {
        let person = AdminCaller::from_request_parts(parts, api).await?.person();
        let author = Author::person(person);
        // The layers give every request an id before it comes here.
        let id = parts.headers.get("x-request-id").and_then(|id| id.to_str().ok());
        let author = match id {
            Some(id) => author.in_request(id),
            None => author,
        };
        Ok(AdminAuthor { author })
    }
}
