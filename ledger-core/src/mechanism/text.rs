//! Values that stand as a text where people read them, and in parts elsewhere.

use serde::de::{Error, Unexpected, Visitor};
use std::fmt;

/// Reads a value from its text, without a copy of the text.
pub(crate) struct Text<F> {
    what: &'static str,
    read: F,
}

impl<T, F: Fn(&str) -> Option<T>> Text<F> {
    /// `what` says what the text should have been.
    pub fn new(what: &'static str, read: F) -> Text<F> {
        Text { what, read }
    }
}

impl<T, F: Fn(&str) -> Option<T>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self.what))
    }
}

/// In JSON the type is its text; in the bytes of the state it is its parts, for which the type derives serde's
/// traits with `remote = "Self"`.
macro_rules! text_or_parts {
    ($type:ident, $what:literal) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                if out.is_human_readable() { out.collect_str(self) } else { $type::serialize(self, out) }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                if from.is_human_readable() {
                    from.deserialize_str(super::text::Text::new($what, |text| text.parse().ok()))
                } else {
                    $type::deserialize(from)
                }
            }
        }
    };
}
pub(crate) use text_or_parts;
