//! Phone numbers: checked, found by a keyed hash, kept sealed.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use hmac::{Hmac, KeyInit, Mac};
use ledger_core::PersonId;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat};
use sha2::Sha256;
use std::{str::FromStr, sync::Arc};

/// A number in E.164, such as `+919876543210`. However a number is written, it becomes this one text, so that one
/// number is one account. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("phone: must be a number that exists, with its country code, such as +919876543210")]
pub struct PhoneInvalid;

impl Phone {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Phone {
    type Err = PhoneInvalid;

    fn from_str(text: &str) -> Result<Self, PhoneInvalid> {
        let text = text.trim_matches(' ');
        // `00` is what many countries dial in place of the plus.
        let national = text.strip_prefix('+').or_else(|| text.strip_prefix("00")).ok_or(PhoneInvalid)?;
        let national = national.trim_start_matches(' ');
        // The library takes letters, extensions and other digits too; here they are mistakes.
        let plain = |byte: u8| byte.is_ascii_digit() || PUNCTUATION.contains(&byte);
        let fits = national.len() <= LONGEST && national.bytes().all(plain);
        if !fits || !national.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(PhoneInvalid);
        }
        // Drops the national leading zero as well: +91 0 98765 43210 is +919876543210.
        let number = PHONE_NUMBER_UTIL.parse(format!("+{national}"), None).map_err(|_| PhoneInvalid)?;
        if !number.is_valid() {
            return Err(PhoneInvalid);
        }
        Ok(Phone(number.format_as(PhoneNumberFormat::E164).to_string()))
    }
}

/// What may stand between the digits.
const PUNCTUATION: &[u8] = b" -.()";
/// The longest text that is looked at: 15 digits and what stands between them.
const LONGEST: usize = 32;

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

    /// What is stored of a code: keyed, and bound to the phone that it was sent to and to its challenge.
    pub(super) fn code_mac(&self, phone: &Phone, challenge: &str, code: &str) -> Hmac<Sha256> {
        self.mac(&["otp", phone.as_str(), challenge, code])
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
    fn however_a_number_is_written_it_is_the_same_number() {
        for spelling in [
            "+919876543210",
            " +919876543210 ",
            "+91 98765 43210",
            "+91-98765-43210",
            "+91 (98765) 43210",
            "+91.98765.43210",
            "00919876543210",
            "00 91 98765 43210",
            "+91 0 98765 43210",
            "+9109876543210",
        ] {
            assert_eq!(spelling.parse(), Ok(phone("+919876543210")), "{spelling:?}");
        }
        assert_eq!(phone("+1 (202) 555-0143").as_str(), "+12025550143");
        // In Italy the zero is part of the number.
        assert_eq!(phone("+39 06 698 12345").as_str(), "+390669812345");
    }

    #[test]
    fn what_is_no_number_that_exists_is_refused() {
        for bad in [
            "",
            "+",
            "+1",
            "919876543210",
            "09876543210",
            "+0919876543210",
            "+9198765",
            "+91 11111 11111",
            "+123456789012345",
            "+1234567890123456",
            "+91987654321a",
            "+91 98765 43210 ext 5",
            "+919876543210;ext=5",
            "tel:+919876543210",
            "+919876543210\n",
            "++919876543210",
            "+(91)9876543210",
            "+९१९८७६५४३२१०",
            "+\u{200b}919876543210",
            "+1 800 FLOWERS",
            &format!("+91{}9876543210", " ".repeat(40)),
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
