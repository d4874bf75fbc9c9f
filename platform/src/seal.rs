//! Sealing what holds personal data and has no use of its own: authenticated encryption under a key for that use
//! alone.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::sync::Arc;

/// Says how bytes were sealed, so that another way can come beside it.
const VERSION: u8 = 1;

/// Seals and opens bytes. Clones share the keys.
#[derive(Clone)]
pub struct Seal(Arc<Keys>);

struct Keys {
    seal: RandomizedNonceKey,
    mark: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed bytes do not open: another key, or the bytes of another row")]
pub struct SealBroken;

impl Seal {
    /// The seal for one use, such as `webhook bodies`, derived from the deployment's sealing key.
    pub fn derived(sealing_key: &[u8; 32], purpose: &str) -> Seal {
        let derive = |part: &str| -> [u8; 32] {
            let parts = [purpose.as_bytes(), b"\0", part.as_bytes()];
            mac(sealing_key, &parts).finalize().into_bytes().into()
        };
        let seal =
            RandomizedNonceKey::new(&AES_256_GCM, &derive("seal")).expect("a key of 32 bytes fits AES-256");
        Seal(Arc::new(Keys { seal, mark: derive("mark") }))
    }

    /// The bytes, sealed for the row called `context`: `version | nonce | ciphertext and tag`.
    ///
    /// # Errors
    /// When the generator of nonces fails.
    pub fn seal(&self, bytes: &[u8], context: &str) -> Result<Vec<u8>, SealBroken> {
        let mut sealed = bytes.to_vec();
        let aad = Aad::from(context.as_bytes());
        let nonce = self.0.seal.seal_in_place_append_tag(aad, &mut sealed).map_err(|_| SealBroken)?;
        Ok([&[VERSION][..], nonce.as_ref(), &sealed].concat())
    }

    /// # Errors
    /// When the bytes were sealed under another key or for another row.
    pub fn open(&self, sealed: &[u8], context: &str) -> Result<Vec<u8>, SealBroken> {
        let Some((&VERSION, rest)) = sealed.split_first() else { return Err(SealBroken) };
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or(SealBroken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealBroken)?;
        let mut bytes = sealed.to_vec();
        let aad = Aad::from(context.as_bytes());
        let opened = self.0.seal.open_in_place(nonce, aad, &mut bytes).map_err(|_| SealBroken)?;
        Ok(opened.to_vec())
    }

    /// By what equal bytes are known without opening them. Nobody without the key can test a guess against it.
    pub fn mark(&self, bytes: &[u8]) -> [u8; 32] {
        mac(&self.0.mark, &[bytes]).finalize().into_bytes().into()
    }
}

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_open_under_their_key_purpose_and_row_alone() {
        let seal = Seal::derived(&[1; 32], "webhook bodies");
        let sealed = seal.seal(b"asha@example.com", "razorpay evt_1").expect("seals");
        assert!(!sealed.windows(4).any(|part| part == b"asha"));
        assert_eq!(seal.open(&sealed, "razorpay evt_1").as_deref(), Ok(b"asha@example.com".as_slice()));
        assert_eq!(seal.open(&sealed, "razorpay evt_2"), Err(SealBroken));
        for other in [Seal::derived(&[2; 32], "webhook bodies"), Seal::derived(&[1; 32], "notes")] {
            assert_eq!(other.open(&sealed, "razorpay evt_1"), Err(SealBroken));
            assert_ne!(other.mark(b"x"), seal.mark(b"x"));
        }
        for cut in 0..sealed.len() {
            assert_eq!(seal.open(&sealed[..cut], "razorpay evt_1"), Err(SealBroken));
        }
        assert_eq!((seal.mark(b"x") == seal.mark(b"x"), seal.mark(b"x") == seal.mark(b"y")), (true, false));
    }
}
