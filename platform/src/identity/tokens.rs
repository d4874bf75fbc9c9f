//! Access tokens: short-lived JWTs that name a person and a session. They carry no roles: those are read with
//! the session, so that a role taken away is gone at once.

use super::sessions::AuthError;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ledger_core::PersonId;
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, sync::Arc};
use uuid::Uuid;

pub const ACCESS_SECONDS: i64 = 15 * 60;
const ISSUER: &str = "muneem";
/// HS256 is as strong as its key: shorter than its hash is refused.
const MIN_SECRET_BYTES: usize = 32;

/// One sign-in, from the code to the logout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub Uuid);

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub sub: PersonId,
    pub sid: SessionId,
    /// Unix seconds.
    pub iat: i64,
    /// Unix seconds; at this second the token is no longer good.
    pub exp: i64,
    pub iss: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("no signing key is configured")]
    None,
    #[error("a signing key has no id, or two have the same")]
    Id,
    #[error("a signing secret has fewer than 32 bytes")]
    Short,
}

/// Signs with the first key, accepts all: a new key goes to the front, the old one stays for 15 minutes.
#[derive(Clone)]
pub struct AccessTokens {
    keys: Arc<Vec<SigningKey>>,
}

struct SigningKey {
    kid: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl AccessTokens {
    /// `keys` are `(kid, secret)`.
    pub fn new(keys: &[(String, Vec<u8>)]) -> Result<Self, KeyError> {
        let ids: HashSet<&str> = keys.iter().map(|(kid, _)| kid.as_str()).collect();
        if keys.is_empty() {
            return Err(KeyError::None);
        }
        if ids.len() != keys.len() || ids.contains("") {
            return Err(KeyError::Id);
        }
        if keys.iter().any(|(_, secret)| secret.len() < MIN_SECRET_BYTES) {
            return Err(KeyError::Short);
        }
        let key = |(kid, secret): &(String, Vec<u8>)| SigningKey {
            kid: kid.clone(),
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
        };
        Ok(Self { keys: Arc::new(keys.iter().map(key).collect()) })
    }

    pub fn issue(&self, person: PersonId, session: SessionId, now: DateTime<Utc>) -> String {
        let key = &self.keys[0];
        let header = Header { kid: Some(key.kid.clone()), ..Header::new(Algorithm::HS256) };
        let iat = now.timestamp();
        let claims =
            Claims { sub: person, sid: session, iat, exp: iat + ACCESS_SECONDS, iss: ISSUER.to_owned() };
        jsonwebtoken::encode(&header, &claims, &key.encoding).expect("plain claims under an HMAC key encode")
    }

    /// The claims of a token that we signed and that is still good. A forged token is invalid whatever its
    /// expiry says.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, AuthError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::TokenInvalid)?;
        let key = self
            .keys
            .iter()
            .find(|key| header.alg == Algorithm::HS256 && header.kid.as_deref() == Some(key.kid.as_str()))
            .ok_or(AuthError::TokenInvalid)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        // Compared below with the time that we were given, without leeway.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation)
            .map_err(|_| AuthError::TokenInvalid)?
            .claims;
        if now.timestamp() >= claims.exp {
            return Err(AuthError::TokenExpired);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn keys(ids: &[&str]) -> AccessTokens {
        let key = |id: &&str| ((*id).to_owned(), [SECRET, id.as_bytes()].concat());
        AccessTokens::new(&ids.iter().map(key).collect::<Vec<_>>()).expect("good keys")
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600 + seconds, 0).expect("a time")
    }

    fn ids() -> (PersonId, SessionId) {
        (PersonId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)))
    }

    /// A token with any header and claims under any key.
    fn forge(header: Header, claims: &serde_json::Value, secret: &[u8]) -> String {
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret)).expect("encodes")
    }

    fn header(algorithm: Algorithm, kid: Option<&str>) -> Header {
        Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) }
    }

    #[test]
    fn a_token_is_good_for_fifteen_minutes_to_the_second() {
        let (person, session) = ids();
        let tokens = keys(&["a"]);
        let token = tokens.issue(person, session, at(0));
        let claims = tokens.verify(&token, at(899)).expect("still good");
        assert_eq!((claims.sub, claims.sid, claims.iss.as_str()), (person, session, "muneem"));
        assert_eq!(claims.exp - claims.iat, 900);
        assert_eq!(tokens.verify(&token, at(900)).map_err(|e| e.code()), Err("token_expired"));
    }

    #[test]
    fn the_first_key_signs_and_all_verify() {
        let (person, session) = ids();
        let old = keys(&["a"]).issue(person, session, at(0));
        let rotated = keys(&["b", "a"]);
        assert!(rotated.verify(&old, at(1)).is_ok());
        let new = rotated.issue(person, session, at(0));
        assert_eq!(jsonwebtoken::decode_header(&new).expect("a header").kid.as_deref(), Some("b"));
        assert_eq!(keys(&["a"]).verify(&new, at(1)).map_err(|e| e.code()), Err("token_invalid"));
    }

    #[test]
    fn forged_tokens_are_invalid() {
        let (person, session) = ids();
        let tokens = keys(&["a"]);
        let secret = [SECRET, b"a"].concat();
        let claims = json!({"sub": person, "sid": session, "iat": at(0).timestamp(),
            "exp": at(900).timestamp(), "iss": "muneem"});
        let without = |name: &str| {
            let mut claims = claims.clone();
            claims.as_object_mut().expect("an object").remove(name);
            claims
        };
        let good = header(Algorithm::HS256, Some("a"));
        assert!(tokens.verify(&forge(good.clone(), &claims, &secret), at(0)).is_ok(), "the forge works");

        let mut another = claims.clone();
        another["iss"] = json!("somebody");
        let whole = forge(good.clone(), &claims, &secret);
        let (signed, signature) = whole.rsplit_once('.').expect("three parts");
        let (_, body) = signed.split_once('.').expect("three parts");
        // {"alg":"none","typ":"JWT","kid":"a"}
        let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIiwia2lkIjoiYSJ9";
        for (what, token) in [
            ("empty", String::new()),
            ("no token", "a.b.c".into()),
            ("another key", forge(good.clone(), &claims, &[7; 32])),
            ("another algorithm", forge(header(Algorithm::HS512, Some("a")), &claims, &secret)),
            ("unknown kid", forge(header(Algorithm::HS256, Some("z")), &claims, &secret)),
            ("no kid", forge(header(Algorithm::HS256, None), &claims, &secret)),
            ("another issuer", forge(good.clone(), &another, &secret)),
            ("no issuer", forge(good.clone(), &without("iss"), &secret)),
            ("no expiry", forge(good.clone(), &without("exp"), &secret)),
            ("no session", forge(good.clone(), &without("sid"), &secret)),
            ("algorithm none", format!("{none}.{body}.")),
            ("algorithm none, signed", format!("{none}.{body}.{signature}")),
            ("no signature", format!("{signed}.")),
        ] {
            assert_eq!(tokens.verify(&token, at(0)).map_err(|e| e.code()), Err("token_invalid"), "{what}");
        }
    }

    #[test]
    fn a_forged_token_is_invalid_even_when_it_has_expired() {
        let (person, session) = ids();
        let token = keys(&["a"]).issue(person, session, at(0));
        let mut other = token.clone();
        other.truncate(token.len() - 4);
        assert_eq!(keys(&["a"]).verify(&other, at(9_000)).map_err(|e| e.code()), Err("token_invalid"));
    }

    #[test]
    fn weak_or_muddled_keys_are_refused_at_the_start() {
        let key = |id: &str, bytes: usize| (id.to_owned(), vec![7; bytes]);
        assert_eq!(AccessTokens::new(&[]).err(), Some(KeyError::None));
        assert_eq!(AccessTokens::new(&[key("a", 31)]).err(), Some(KeyError::Short));
        assert_eq!(AccessTokens::new(&[key("a", 32), key("a", 32)]).err(), Some(KeyError::Id));
        assert_eq!(AccessTokens::new(&[key("", 32)]).err(), Some(KeyError::Id));
    }
}
