//! The one place of this crate that draws at random. All draws are from a cryptographic generator.

use rand::Rng;
use uuid::Uuid;

/// An id that sorts by the time it was made.
#[expect(clippy::disallowed_methods, reason = "ids of rows are drawn here")]
pub fn uuid_v7() -> Uuid {
    Uuid::now_v7()
}

pub fn bytes<const N: usize>() -> [u8; N] {
    generator().random()
}

/// Six decimal digits, each code equally likely, leading zeros kept.
pub fn six_digits() -> String {
    format!("{:06}", generator().random_range(0..1_000_000_u32))
}

#[expect(clippy::disallowed_methods, reason = "secrets are drawn here; the generator is cryptographic")]
fn generator() -> rand::rngs::ThreadRng {
    rand::rng()
}
