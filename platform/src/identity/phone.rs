//! Phone numbers: checked, found by a keyed hash, kept sealed.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use hmac::{Hmac, KeyInit, Mac};
use ledger_core::PersonId;
use sha2::Sha256;
use std::{str::FromStr, sync::Arc};

/// A number in E.164: a plus, then 8 to 15 digits of which the first is not zero. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("phone: must be in international form, such as +919876543210")]
pub struct PhoneInvalid;

impl Phone {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Phone {
    type Err = PhoneInvalid;

    fn from_str(text: &str) -> Result<Self, PhoneInvalid> {
        let digits = text.strip_prefix('+').ok_or(PhoneInvalid)?;
        let fits = (8..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        if fits { Ok(Phone(text.to_owned())) } else { Err(PhoneInvalid) }
    }
}

impl std::fmt::Debug for Phone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (shown, _) = self.0.split_at(3);
        write!(f, "Phone({shown}..)")
    }
}

/// The two keys that guard phone numbers. The pepper can never change (accounts are found by it); losing the
/// sealing key loses the numbers but no account. Clones share the keys.
#[derive(Clone)]
pub struct PhoneVault(Arc<Keys>);

struct Keys {
    pepper: [u8; 32],
    seal: RandomizedNonceKey,
}

/// Says how a sealed number was sealed, so that another way can come beside it.
const SEAL_VERSION: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed phone number does not open: another key, or another person's")]
pub struct SealBroken;

impl PhoneVault {
    pub fn new(pepper: [u8; 32], sealing_key: [u8; 32]) -> Self {
        let seal =
            RandomizedNonceKey::new(&AES_256_GCM, &sealing_key).expect("a key of 32 bytes fits AES-256");
        Self(Arc::new(Keys { pepper, seal }))
    }

    /// What an account is found by.
    pub fn hash(&self, phone: &Phone) -> [u8; 32] {
        self.mac(&["phone", phone.as_str()]).finalize().into_bytes().into()
    }

    /// The number, sealed for this person's row: `version | nonce | ciphertext and tag`.
    pub fn seal(&self, phone: &Phone, person: PersonId) -> Result<Vec<u8>, SealBroken> {
        let mut text = phone.as_str().as_bytes().to_vec();
        let nonce = self
            .0
            .seal
            .seal_in_place_append_tag(Aad::from(person.0.as_bytes()), &mut text)
            .map_err(|_| SealBroken)?;
        Ok([&[SEAL_VERSION][..], nonce.as_ref(), &text].concat())
    }

    pub fn open(&self, sealed: &[u8], person: PersonId) -> Result<Phone, SealBroken> {
        let Some((&SEAL_VERSION, rest)) = sealed.split_first() else {
            return Err(SealBroken);
        };
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(SealBroken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealBroken)?;
        let mut text = text.to_vec();
        let phone = self
            .0
            .seal
            .open_in_place(nonce, Aad::from(person.0.as_bytes()), &mut text)
            .map_err(|_| SealBroken)?;
        std::str::from_utf8(phone).ok().and_then(|phone| phone.parse().ok()).ok_or(SealBroken)
    }

    /// What is stored of a code: keyed, and bound to the phone that it was sent to.
    pub(super) fn code_mac(&self, phone: &Phone, code: &str) -> Hmac<Sha256> {
        self.mac(&["otp", phone.as_str(), code])
    }

    /// The first part names the use, so that a value of one use is never one of another. No part holds a zero
    /// byte, so the parts cannot run together.
    fn mac(&self, parts: &[&str]) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(&self.0.pepper).expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn phone(text: &str) -> Phone {
        text.parse().expect("a good number")
    }

    #[test]
    fn a_number_is_a_plus_and_eight_to_fifteen_digits_not_led_by_zero() {
        for good in ["+91987654", "+919876543210", "+123456789012345"] {
            assert!(good.parse::<Phone>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "+",
            "919876543210",
            "+0919876543210",
            "+9198765",
            "+1234567890123456",
            "+91 9876543210",
            "+91-9876543210",
            "+91987654321a",
            " +919876543210",
            "+919876543210\n",
            "++919876543210",
            "+९१९८७६५४३२१०",
        ] {
            assert_eq!(bad.parse::<Phone>(), Err(PhoneInvalid), "{bad:?}");
        }
    }

    #[test]
    fn a_sealed_number_opens_for_its_person_and_key_alone() {
        let vault = PhoneVault::new([1; 32], [2; 32]);
        let (asha, ravi) = (PersonId(Uuid::from_u128(1)), PersonId(Uuid::from_u128(2)));
        let sealed = vault.seal(&phone("+919876543210"), asha).expect("seals");
        assert_eq!(vault.open(&sealed, asha), Ok(phone("+919876543210")));
        assert_eq!(vault.open(&sealed, ravi), Err(SealBroken));
        assert_eq!(PhoneVault::new([1; 32], [3; 32]).open(&sealed, asha), Err(SealBroken));
        for cut in 0..sealed.len() {
            assert_eq!(vault.open(&sealed[..cut], asha), Err(SealBroken));
        }
        assert_ne!(
            vault.seal(&phone("+919876543210"), asha).expect("seals"),
            sealed,
            "a fresh nonce each time"
        );
    }

    #[test]
    fn the_hash_depends_on_the_number_and_on_the_pepper() {
        let vault = PhoneVault::new([1; 32], [2; 32]);
        let hash = vault.hash(&phone("+919876543210"));
        assert_eq!(hash, vault.hash(&phone("+919876543210")));
        assert_ne!(hash, vault.hash(&phone("+919876543211")));
        assert_ne!(hash, PhoneVault::new([9; 32], [2; 32]).hash(&phone("+919876543210")));
    }

    #[test]
    fn debug_output_shows_no_number() {
        assert_eq!(format!("{:?}", phone("+919876543210")), "Phone(+91..)");
    }
}
