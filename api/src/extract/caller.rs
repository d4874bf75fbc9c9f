//! Who is asking. A handler that takes one of these cannot be reached without the role.

use crate::Api;
use crate::error::Error;
use axum::extract::FromRequestParts;
use axum::http::{header, request::Parts};
use ledger_core::PersonId;
use platform::identity::{AuthError, Caller, Role};

/// Anybody who has signed in.
#[derive(Clone, Debug)]
pub struct AnyCaller(pub Caller);

impl AnyCaller {
    pub fn person(&self) -> PersonId {
        self.0.person
    }
}

impl FromRequestParts<Api> for AnyCaller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<AnyCaller, Error> {
        let token = bearer(parts)?;
        Ok(AnyCaller(api.app.sessions.authenticate(token, api.now()).await?))
    }
}

fn bearer(parts: &Parts) -> Result<&str, AuthError> {
    let value = parts.headers.get(header::AUTHORIZATION).ok_or(AuthError::TokenMissing)?;
    let text = value.to_str().map_err(|_| AuthError::TokenInvalid)?;
    let (scheme, token) = text.split_once(' ').ok_or(AuthError::TokenInvalid)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(AuthError::TokenInvalid) }
}

macro_rules! callers {
    ($($(#[$doc:meta])* $name:ident: $role:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub Caller);

        impl $name {
            pub fn person(&self) -> PersonId {
                self.0.person
            }
        }

        impl FromRequestParts<Api> for $name {
            type Rejection = Error;

            async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<$name, Error> {
                let AnyCaller(caller) = AnyCaller::from_request_parts(parts, api).await?;
                caller.require($role)?;
                Ok($name(caller))
            }
        }
    )*};
}

/// Somebody who may take out what they earned. Not for the role alone: whoever is no host any more still has their
/// earnings. A host who is suspended or banned has to wait.
#[derive(Clone, Debug)]
pub struct EarnerCaller(pub Caller);

impl EarnerCaller {
    pub fn person(&self) -> PersonId {
        self.0.person
    }
}

impl FromRequestParts<Api> for EarnerCaller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<EarnerCaller, Error> {
        let AnyCaller(caller) = AnyCaller::from_request_parts(parts, api).await?;
        match api.app.restrictions.of_host(caller.person).await.map_err(AuthError::from)? {
            Some(kind) => Err(Error::HostRestricted(kind)),
            None => Ok(EarnerCaller(caller)),
        }
    }
}

callers! {
    /// Somebody who may spend.
    UserCaller: Role::User;
    /// An approved host.
    HostCaller: Role::Host;
    /// Somebody who owns an agency.
    AgencyCaller: Role::Agency;
    AdminCaller: Role::Admin;
}
