//! The binary form of events: the bytes that a store holds whose readers are programs. `docs/event-format.md` describes
//! it, and `schemas/events/binary.json`, which is made of what stands here, says what each type is made of.
//!
//! Each value has one form: numbers are as short as they can be, and nothing may follow. So equal events have equal bytes.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The first byte of the binary form. JSON begins with a brace, so that either form is known by its first byte.
pub(crate) const BINARY: u8 = 1;

/// Whether the bytes are in the binary form.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    bytes.first() == Some(&BINARY)
}

/// A value that is a part of an event.
pub(crate) trait Binary: Sized {
    /// What the value is made of: the name of a type, which is described in `types`, or how it is written.
    fn shape(types: &mut Map<String, Value>) -> Value;

    fn put(&self, out: &mut Vec<u8>);

    fn take(from: &mut Bytes) -> Result<Self, Unfit>;
}

/// What is wrong with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfit(pub &'static str);

/// What is left to read.
pub(crate) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn byte(&mut self) -> Result<u8, Unfit> {
        let (byte, rest) = self.0.split_first().ok_or(Unfit("they end too early"))?;
        self.0 = rest;
        Ok(*byte)
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Unfit> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Unfit("they end too early"))?;
        self.0 = rest;
        Ok(bytes)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Unfit> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Unfit("they end too early"))?;
        self.0 = rest;
        Ok(*bytes)
    }

    /// A number of seven bits a byte, the lowest first; all bytes but the last have their highest bit set.
    pub fn unsigned(&mut self) -> Result<u64, Unfit> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Unfit("a number is too large"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                let is_shortest = byte != 0 || shift == 0;
                return if is_shortest {
                    Ok(number)
                } else {
                    Err(Unfit("a number is longer than it need be"))
                };
            }
        }
        Err(Unfit("a number is too large"))
    }

    /// How many items follow, each of a byte at least.
    fn count(&mut self) -> Result<usize, Unfit> {
        let count = usize::try_from(self.unsigned()?).ok().filter(|count| *count <= self.0.len());
        count.ok_or(Unfit("a list is longer than the bytes that are left"))
    }

    pub fn end(&self) -> Result<(), Unfit> {
        if self.0.is_empty() { Ok(()) } else { Err(Unfit("bytes follow")) }
    }
}

pub(crate) fn put_unsigned(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Unsigned numbers of any width have one form.
macro_rules! unsigned {
    ($($type:ty)*) => {$(
        impl Binary for $type {
            fn shape(_: &mut Map<String, Value>) -> Value {
                json!("unsigned")
            }

            fn put(&self, out: &mut Vec<u8>) {
                put_unsigned(u64::from(*self), out);
            }

            fn take(from: &mut Bytes) -> Result<Self, Unfit> {
                from.unsigned()?.try_into().map_err(|_| Unfit("a number is too large"))
            }
        }
    )*};
}
unsigned! { u8 u32 u64 }

/// 0, -1, 1, -2, ... are written as 0, 1, 2, 3, ...
impl Binary for i64 {
    fn shape(_: &mut Map<String, Value>) -> Value {
        json!("signed")
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_unsigned((self.wrapping_shl(1) ^ (self >> 63)).cast_unsigned(), out);
    }

    fn take(from: &mut Bytes) -> Result<Self, Unfit> {
        let number = from.unsigned()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}

impl Binary for bool {
    fn shape(_: &mut Map<String, Value>) -> Value {
        json!("flag")
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn take(from: &mut Bytes) -> Result<Self, Unfit> {
        match from.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Unfit("a flag is neither 0 nor 1")),
        }
    }
}

impl Binary for String {
    fn shape(_: &mut Map<String, Value>) -> Value {
        json!("text")
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_unsigned(self.len() as u64, out);
        out.extend_from_slice(self.as_bytes());
    }

    fn take(from: &mut Bytes) -> Result<Self, Unfit> {
        let count = from.count()?;
        let text = std::str::from_utf8(from.bytes(count)?).map_err(|_| Unfit("a text is not UTF-8"))?;
        Ok(text.to_owned())
    }
}

/// As its text.
impl Binary for Decimal {
    fn shape(types: &mut Map<String, Value>) -> Value {
        String::shape(types)
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.to_string().put(out);
    }

    fn take(from: &mut Bytes) -> Result<Self, Unfit> {
        let text = String::take(from)?;
        let number: Option<Decimal> = text.parse().ok();
        // Other spellings of the number are other bytes.
        number.filter(|number| number.to_string() == text).ok_or(Unfit("a text is no decimal number"))
    }
}

impl Binary for Uuid {
    fn shape(_: &mut Map<String, Value>) -> Value {
        json!("id")
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn take(from: &mut Bytes) -> Result<Self, Unfit> {
        from.array().map(Uuid::from_bytes)
    }
}

impl<T: Binary> Binary for Option<T> {
    fn shape(types: &mut Map<String, Value>) -> Value {
        json!({ "optional": T::shape(types) })
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(from: &mut Bytes) -> Result<Self, Unfit> {
        bool::take(from)?.then(|| T::take(from)).transpose()
    }
}

impl<T: Binary> Binary for Vec<T> {
    fn shape(types: &mut Map<String, Value>) -> Value {
        json!({ "list": T::shape(types) })
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_unsigned(self.len() as u64, out);
        self.iter().for_each(|value| value.put(out));
    }

    fn take(from: &mut Bytes) -> Result<Self, Unfit> {
        (0..from.count()?).map(|_| T::take(from)).collect()
    }
}

/// The fields of a type in the order in which they are written.
pub(crate) fn fields_shape<const N: usize>(fields: [(&str, Value); N]) -> Value {
    fields.into_iter().map(|(name, shape)| json!([name, shape])).collect()
}

/// The form of a struct, which may be declared with it: its fields in this order, one behind the other.
macro_rules! binary_fields {
    ($(#[$doc:meta])* struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        struct $name { $($field: $type),* }

        $crate::mechanism::binary::binary_fields! { $name { $($field: $type),* } }
    };
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        impl $crate::mechanism::binary::Binary for $name {
            fn shape(types: &mut serde_json::Map<String, serde_json::Value>) -> serde_json::Value {
                let fields = [$((stringify!($field), <$type as $crate::mechanism::binary::Binary>::shape(types))),*];
                let fields = $crate::mechanism::binary::fields_shape(fields);
                types.insert(stringify!($name).to_owned(), serde_json::json!({ "fields": fields }));
                stringify!($name).into()
            }

            fn put(&self, out: &mut Vec<u8>) {
                $($crate::mechanism::binary::Binary::put(&self.$field, out);)*
            }

            fn take(
                from: &mut $crate::mechanism::binary::Bytes,
            ) -> Result<Self, $crate::mechanism::binary::Unfit> {
                Ok($name { $($field: $crate::mechanism::binary::Binary::take(from)?),* })
            }
        }
    };
}
pub(crate) use binary_fields;

/// The form of an enum: the number of the choice, then what it holds. The numbers are recorded for ever. The word is
/// what JSON has for the choice: `names` of their own, or with what they hold as an object of that one field; `texts` with
/// what they hold in the place of the braces; a field of the given name, beside what they hold.
macro_rules! binary_choices {
    ($type:ident as $how:literal {
        $($number:literal = $choice:ident $(($($held:ident: $held_type:ty),*))? $({$($field:ident: $field_type:ty),*})? $word:literal)*
    }) => {
        impl $crate::mechanism::binary::Binary for $type {
            #[allow(clippy::vec_init_then_push, reason = "a choice may hold nothing")]
            fn shape(types: &mut serde_json::Map<String, serde_json::Value>) -> serde_json::Value {
                let choices = vec![$({
                    #[allow(unused_mut)]
                    let mut holds: Vec<serde_json::Value> = vec![];
                    $($(holds.push(serde_json::json!([stringify!($held), <$held_type as $crate::mechanism::binary::Binary>::shape(types)]));)*)?
                    $($(holds.push(serde_json::json!([stringify!($field), <$field_type as $crate::mechanism::binary::Binary>::shape(types)]));)*)?
                    serde_json::json!({ "number": $number, "word": $word, "holds": holds })
                }),*];
                let shape = serde_json::json!({ "json": $how, "choices": choices });
                types.insert(stringify!($type).to_owned(), shape);
                stringify!($type).into()
            }

            fn put(&self, out: &mut Vec<u8>) {
                match self {$(
                    $type::$choice $(($($held),*))? $({$($field),*})? => {
                        out.push($number);
                        $($($crate::mechanism::binary::Binary::put($held, out);)*)?
                        $($($crate::mechanism::binary::Binary::put($field, out);)*)?
                    }
                )*}
            }

            fn take(
                from: &mut $crate::mechanism::binary::Bytes,
            ) -> Result<Self, $crate::mechanism::binary::Unfit> {
                Ok(match from.byte()? {
                    $($number => $type::$choice
                        $(($(<$held_type as $crate::mechanism::binary::Binary>::take(from)?),*))?
                        $({$($field: <$field_type as $crate::mechanism::binary::Binary>::take(from)?),*})?,)*
                    _ => return Err($crate::mechanism::binary::Unfit(concat!("no ", stringify!($type), " has this number"))),
                })
            }
        }
    };
}
pub(crate) use binary_choices;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    fn form<T: Binary>(value: &T) -> Vec<u8> {
        let mut out = vec![];
        value.put(&mut out);
        out
    }

    fn read<T: Binary>(bytes: &[u8]) -> Result<T, Unfit> {
        let mut from = Bytes(bytes);
        let value = T::take(&mut from)?;
        from.end().map(|()| value)
    }

    #[track_caller]
    fn is_written<T: Binary + PartialEq + Debug>(value: T, bytes: &[u8]) {
        assert_eq!(form(&value), bytes);
        assert_eq!(read::<T>(bytes), Ok(value));
        for end in 0..bytes.len() {
            assert!(read::<T>(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn each_value_has_one_form() {
        is_written(0_u64, &[0]);
        is_written(127_u64, &[0x7f]);
        is_written(128_u64, &[0x80, 1]);
        is_written(u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        is_written(u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]);
        is_written(-1_i64, &[1]);
        is_written(1_i64, &[2]);
        is_written(i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        is_written(i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        is_written("né".to_owned(), b"\x03n\xc3\xa9");
        is_written("0.450".parse::<Decimal>().unwrap(), b"\x050.450");
        is_written(Some(true), &[1, 1]);
        is_written(None::<u64>, &[0]);
        is_written(vec![1_i64, -2], &[2, 2, 3]);
        is_written(Uuid::from_u128(0xa), &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10]);
    }

    #[test]
    fn any_other_form_is_refused() {
        assert_eq!(read::<u64>(&[0x80, 0]), Err(Unfit("a number is longer than it need be")));
        assert_eq!(
            read::<u64>(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
            Err(Unfit("a number is too large"))
        );
        assert_eq!(read::<u64>(&[0xff; 11]), Err(Unfit("a number is too large")));
        assert_eq!(read::<u32>(&[0x80, 0x80, 0x80, 0x80, 0x10]), Err(Unfit("a number is too large")));
        assert_eq!(read::<bool>(&[2]), Err(Unfit("a flag is neither 0 nor 1")));
        assert_eq!(read::<String>(&[1, 0xff]), Err(Unfit("a text is not UTF-8")));
        assert_eq!(read::<Decimal>(b"\x04+0.4"), Err(Unfit("a text is no decimal number")));
        assert_eq!(read::<u64>(&[1, 1]), Err(Unfit("bytes follow")));
        // What cannot be there is not made room for.
        let endless = form(&u64::MAX);
        assert!(read::<Vec<u64>>(&endless).is_err() && read::<String>(&endless).is_err());
    }
}
