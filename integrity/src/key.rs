//! The keys that sign heads, and those that heads are checked with.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{SignatureError, Signer as _, SigningKey, VerifyingKey};
use signed_note::{Note, NoteError, Signer, StandardVerifier, Verifier, VerifierList, key_id};
use std::fmt;

/// What the bytes of a public key begin with, where they are Ed25519's.
const ED25519: u8 = 1;

/// Why a key cannot be used. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("the file of the signing keys holds a line that is not 64 hexadecimal digits")]
    NotASeed,
    #[error("the file of the signing keys holds no key")]
    Empty,
    #[error(
        "a verifier key has the form <origin>+<8 hexadecimal digits>+<base64>, as `muneem doctor` prints it"
    )]
    NotAVerifierKey,
    #[error("the verifier key is one of the few for which anybody can make signatures: it is nobody's")]
    Weak,
}

/// The keys that sign: each signs every head.
#[derive(Clone)]
pub struct SigningKeys(Vec<SigningKey>);

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} signing keys", self.0.len())
    }
}

impl SigningKeys {
    /// Reads the text of a key file: a line of 64 hexadecimal digits for each key. Empty lines, and those that begin with
    /// a number sign, are for people.
    ///
    /// # Errors
    /// When a line is no key, or there is none.
    pub fn parse(text: &str) -> Result<SigningKeys, BadKey> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<SigningKey> =
            lines.map(|line| seed(line).ok_or(BadKey::NotASeed)).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(BadKey::Empty) } else { Ok(SigningKeys(keys)) }
    }

    /// The verifier keys of an origin, in the order of the file.
    pub fn verifier_keys(&self, origin: &str) -> Vec<String> {
        let text = |key| {
            let public = public_bytes(key);
            format!("{origin}+{:08x}+{}", key_id(origin, &public), BASE64_STANDARD.encode(&public))
        };
        self.0.iter().map(text).collect()
    }

    /// Signs a note with each key, in the name of its origin.
    pub(crate) fn sign(&self, origin: &str, text: &[u8]) -> Result<Note, NoteError> {
        let named: Vec<Named> = self.0.iter().map(|key| Named { origin, key }).collect();
        let signers: Vec<&dyn Signer> = named.iter().map(|it| it as &dyn Signer).collect();
        let mut note = Note::new(text, &[])?;
        note.add_sigs(&signers)?;
        Ok(note)
    }
}

fn seed(line: &str) -> Option<SigningKey> {
    let mut seed = [0; 32];
    let digits = line.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in seed.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(SigningKey::from_bytes(&seed))
}

fn public_bytes(key: &SigningKey) -> Vec<u8> {
    [&[ED25519][..], key.verifying_key().as_bytes()].concat()
}

/// Whether the point of a verifier key is of small order: then there are signatures that fit whatever is signed.
fn is_weak(verifier_key: &str) -> bool {
    let public = verifier_key.splitn(3, '+').nth(2).and_then(|text| BASE64_STANDARD.decode(text).ok());
    let point = public.and_then(|bytes| <[u8; 32]>::try_from(bytes.get(1..)?).ok());
    point.and_then(|point| VerifyingKey::from_bytes(&point).ok()).is_some_and(|key| key.is_weak())
}

/// A key under the name of what it signs for.
struct Named<'a> {
    origin: &'a str,
    key: &'a SigningKey,
}

impl Signer for Named<'_> {
    fn name(&self) -> &str {
        self.origin
    }

    fn key_id(&self) -> u32 {
        key_id(self.origin, &public_bytes(self.key))
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(self.key.try_sign(text)?.to_bytes().to_vec())
    }
}

/// Keys that are trusted.
#[derive(Clone, Default)]
pub struct VerifierKeys(Vec<StandardVerifier>);

impl VerifierKeys {
    /// Reads verifier keys; one that is there twice counts once.
    ///
    /// # Errors
    /// When one is none.
    pub fn parse<T: AsRef<str>>(keys: impl IntoIterator<Item = T>) -> Result<VerifierKeys, BadKey> {
        let mut known: Vec<StandardVerifier> = Vec::new();
        for key in keys {
            let text = key.as_ref().trim();
            let key = StandardVerifier::new(text).map_err(|_| BadKey::NotAVerifierKey)?;
            if is_weak(text) {
                return Err(BadKey::Weak);
            }
            if !known.iter().any(|it| (it.name(), it.key_id()) == (key.name(), key.key_id())) {
                known.push(key);
            }
        }
        Ok(VerifierKeys(known))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn list(&self) -> VerifierList {
        VerifierList::new(self.0.iter().map(|key| Box::new(key.clone()) as Box<dyn Verifier>).collect())
    }
}
