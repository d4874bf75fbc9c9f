//! Reads what clients send into types, and says by type, not by the words of an error, what does not fit.
//!
//! serde tells a deserializer's own error type which field is unknown or missing. serde_json's error keeps only a
//! sentence of that, so JSON is read into a [`Tree`] first, and the types are read from there.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    self, DeserializeOwned, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use std::fmt;

/// Why something that a client sent cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It is no JSON at all.
    #[error("{0}")]
    Malformed(String),
    #[error("the field {field} is not known")]
    Unknown { field: String },
    #[error("the field {field} is missing")]
    Missing { field: String },
    /// A value of another kind; without a field where the whole is of another kind.
    #[error("{problem}")]
    WrongType { field: Option<String>, problem: String },
}

/// Reads a whole text of JSON.
///
/// # Errors
/// When it is no JSON, has something behind it, or does not fit the type.
pub fn from_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Misfit> {
    let tree = serde_json::from_slice(text).map_err(|fault| Misfit::Malformed(fault.to_string()))?;
    from_tree(tree)
}

/// Reads a value of JSON.
///
/// # Errors
/// When it does not fit the type.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Misfit> {
    let tree = serde_json::from_value(value).map_err(|fault| Misfit::Malformed(fault.to_string()))?;
    from_tree(tree)
}

/// Reads the pairs of a query, each value a text.
///
/// # Errors
/// When they do not fit the type.
pub fn from_pairs<T: DeserializeOwned>(pairs: Vec<(String, String)>) -> Result<T, Misfit> {
    let pairs = pairs.into_iter().map(|(name, text)| (name, Word(text)));
    read(MapDeserializer::new(pairs))
}

fn from_tree<T: DeserializeOwned>(tree: Tree) -> Result<T, Misfit> {
    read(tree)
}

fn read<'de, T: Deserialize<'de>>(from: impl Deserializer<'de, Error = Fault>) -> Result<T, Misfit> {
    serde_path_to_error::deserialize(from).map_err(|fault| {
        let path = fault.path().to_string();
        let path = Some(path).filter(|path| path != ".");
        match fault.into_inner() {
            // The path of an unknown field ends with the field itself.
            Fault::Unknown(name) => Misfit::Unknown { field: beside(path.as_deref(), &name) },
            Fault::Missing(name) => Misfit::Missing { field: below(path.as_deref(), name) },
            Fault::Other(problem) => Misfit::WrongType { field: path, problem },
        }
    })
}

fn below(path: Option<&str>, name: &str) -> String {
    path.map_or_else(|| name.to_owned(), |path| format!("{path}.{name}"))
}

fn beside(path: Option<&str>, name: &str) -> String {
    below(path.and_then(|path| path.rsplit_once('.')).map(|(parent, _)| parent), name)
}

/// What a type says when it is given what it does not take.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("unknown field {0}")]
    Unknown(String),
    #[error("missing field {0}")]
    Missing(&'static str),
    #[error("{0}")]
    Other(String),
}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(text: T) -> Fault {
        Fault::Other(text.to_string())
    }

    fn invalid_type(given: Unexpected<'_>, expected: &dyn de::Expected) -> Fault {
        Fault::Other(format!("must be {}, not {}", wanted(expected), named(given)))
    }

    fn invalid_value(given: Unexpected<'_>, expected: &dyn de::Expected) -> Fault {
        Self::invalid_type(given, expected)
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Fault {
        Fault::Other(format!("must be {}, not a list of {length}", wanted(expected)))
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Fault {
        Fault::Unknown(field.to_owned())
    }

    fn missing_field(field: &'static str) -> Fault {
        Fault::Missing(field)
    }
}

/// JSON as it was written: a name that stands twice in an object stands twice here.
enum Tree {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Tree, D::Error> {
        struct AnyValue;

        impl<'de> Visitor<'de> for AnyValue {
            type Value = Tree;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("any JSON")
            }

            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Number(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree::Number(value.into()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Tree, E> {
                let number = serde_json::Number::from_f64(value);
                number.map(Tree::Number).ok_or_else(|| E::custom("a number that is not finite"))
            }

            fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
                Ok(Tree::Text(value.to_owned()))
            }

            fn visit_string<E>(self, value: String) -> Result<Tree, E> {
                Ok(Tree::Text(value))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Tree, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = from.next_element()? {
                    items.push(item);
                }
                Ok(Tree::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Tree, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = from.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Tree::Object(pairs))
            }
        }

        from.deserialize_any(AnyValue)
    }
}

impl<'de> IntoDeserializer<'de, Fault> for Tree {
    type Deserializer = Tree;

    fn into_deserializer(self) -> Tree {
        self
    }
}

/// What a type takes, in words that are not the program's.
fn wanted(expected: &dyn de::Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "i8" | "i16" | "i64" | "isize" => "a whole number".to_owned(),
        "i32" => format!("a whole number from {} to {}", i32::MIN, i32::MAX),
        "u64" | "usize" => "a whole number of 0 or more".to_owned(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u16" => format!("a whole number from 0 to {}", u16::MAX),
        "u8" => format!("a whole number from 0 to {}", u8::MAX),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        other if other.starts_with("struct ") => "an object".to_owned(),
        other if other.starts_with("tuple ") => "a list".to_owned(),
        _ => text,
    }
}

/// What was given. Of a text its beginning.
fn named(given: Unexpected<'_>) -> String {
    const SHOWN: usize = 40;
    match given {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => value.to_string(),
        Unexpected::Str(text) if text.chars().count() > SHOWN => {
            format!("the text {:?}...", text.chars().take(SHOWN).collect::<String>())
        }
        Unexpected::Str(text) => format!("the text {text:?}"),
        Unexpected::Unit | Unexpected::Option => "null".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "an object".to_owned(),
        other => other.to_string(),
    }
}

impl<'de> Deserializer<'de> for Tree {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Tree::Null => visitor.visit_unit(),
            Tree::Bool(value) => visitor.visit_bool(value),
            Tree::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), _, _) => visitor.visit_u64(value),
                (None, Some(value), _) => visitor.visit_i64(value),
                (None, None, Some(value)) => visitor.visit_f64(value),
                (None, None, None) => Err(de::Error::custom("must be a number that 64 bits can hold")),
            },
            Tree::Text(text) => visitor.visit_string(text),
            Tree::List(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter())),
            Tree::Object(pairs) => visitor.visit_map(MapDeserializer::new(pairs.into_iter())),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Tree::Null => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self {
            Tree::Text(text) => {
                let text: de::value::StringDeserializer<Fault> = text.into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }
            Tree::Object(pairs) => visitor
                .visit_enum(de::value::MapAccessDeserializer::new(MapDeserializer::new(pairs.into_iter()))),
            other => other.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

/// A value of a query: a text, from which the type that is wanted is read.
struct Word(String);

impl<'de> IntoDeserializer<'de, Fault> for Word {
    type Deserializer = Word;

    fn into_deserializer(self) -> Word {
        self
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident $what:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Fault::Other(format!("{:?} is not {}", self.0, $what))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Word {
    type Error = Fault;

    parsed! {
        deserialize_bool visit_bool "true or false";
        deserialize_i32 visit_i32 "a whole number";
        deserialize_i64 visit_i64 "a whole number";
        deserialize_u8 visit_u8 "a whole number from 0 on";
        deserialize_u16 visit_u16 "a whole number from 0 on";
        deserialize_u32 visit_u32 "a whole number from 0 on";
        deserialize_u64 visit_u64 "a whole number from 0 on";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_string(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let text: de::value::StringDeserializer<Fault> = self.0.into_deserializer();
        text.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// A decimal as text, and as nothing else: a number of JSON may have been a float on its way.
pub mod decimal_text {
    use rust_decimal::Decimal;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(value: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// # Errors
    /// For anything but text, and for text that is no decimal.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
        let text = String::deserialize(deserializer)?;
        Decimal::from_str_exact(&text).map_err(|_| D::Error::custom("not a decimal such as \"0.50\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        amount_milli: i64,
        inner: Option<Inner>,
        #[serde(default)]
        kind: Option<Kind>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        id: Uuid,
        #[serde(default)]
        tags: Vec<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        One,
        Other(u8),
    }

    fn misfit(text: &str) -> Misfit {
        from_json::<Outer>(text.as_bytes()).expect_err("it does not fit")
    }

    #[test]
    fn what_fits_is_read_as_serde_json_reads_it() {
        let id = "01980000-0000-7000-8000-000000000000";
        for text in [
            r#"{"amount_milli": -1}"#.to_owned(),
            r#"{"amount_milli": 9223372036854775807, "inner": null, "kind": "one"}"#.to_owned(),
            format!(
                r#"{{"amount_milli": 0, "inner": {{"id": "{id}", "tags": ["a\n"]}}, "kind": {{"other": 7}}}}"#
            ),
        ] {
            let expected: Outer = serde_json::from_str(&text).expect("it fits");
            assert_eq!(from_json::<Outer>(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_field_that_is_unknown_or_missing_is_named_with_its_path() {
        let unknown = |field: &str| Misfit::Unknown { field: field.to_owned() };
        let missing = |field: &str| Misfit::Missing { field: field.to_owned() };
        for (text, expected) in [
            (r#"{"amount_milli": 1, "amount": 2}"#, unknown("amount")),
            (r#"{"amount_milli": 1, "inner": {"x": 1}}"#, unknown("inner.x")),
            // A name that imitates the words of an error is a name.
            (r#"{"amount_milli": 1, "missing field `id`": 2}"#, unknown("missing field `id`")),
            ("{}", missing("amount_milli")),
            (r#"{"amount_milli": 1, "inner": {}}"#, missing("inner.id")),
        ] {
            assert_eq!(misfit(text), expected, "{text}");
        }
    }

    #[test]
    fn a_value_of_another_kind_is_named_with_its_path() {
        for (text, field) in [
            (r#"{"amount_milli": "1"}"#, Some("amount_milli")),
            (r#"{"amount_milli": 1.0}"#, Some("amount_milli")),
            (r#"{"amount_milli": 9223372036854775808}"#, Some("amount_milli")),
            (r#"{"amount_milli": 1, "inner": {"id": "missing field `id`"}}"#, Some("inner.id")),
            (r#"{"amount_milli": 1, "inner": {"id": "x", "tags": [1]}}"#, Some("inner.id")),
            (r#"{"amount_milli": 1, "kind": "two"}"#, Some("kind")),
            (r#"{"amount_milli": 1, "amount_milli": 2}"#, None),
            ("[]", None),
            ("7", None),
        ] {
            let Misfit::WrongType { field: named, problem } = misfit(text) else { panic!("{text}") };
            assert_eq!(named.as_deref(), field, "{text}: {problem}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_in_words_that_are_not_the_program_s() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only the types matter")]
        struct Asked {
            coins_milli: Option<i64>,
            limit: Option<u32>,
            online: Option<bool>,
            name: Option<String>,
            hosts: Option<Vec<String>>,
            near: Option<Near>,
        }
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only the types matter")]
        struct Near {
            city: String,
            radius: i64,
        }
        for (text, told) in [
            (r#"{"coins_milli": 1.5}"#, "must be a whole number, not 1.5"),
            (r#"{"coins_milli": "7"}"#, "must be a whole number, not the text \"7\""),
            (r#"{"coins_milli": 9223372036854775808}"#, "must be a whole number, not 9223372036854775808"),
            (r#"{"limit": -1}"#, "must be a whole number from 0 to 4294967295, not -1"),
            (r#"{"online": 1}"#, "must be true or false, not 1"),
            (r#"{"name": {}}"#, "must be a text, not an object"),
            (r#"{"hosts": "all"}"#, "must be a list, not the text \"all\""),
            (r#"{"near": []}"#, "must be an object, not a list of 0"),
            (r#"{"near": true}"#, "must be an object, not true"),
        ] {
            let fault = from_json::<Asked>(text.as_bytes()).expect_err("it does not fit");
            let Misfit::WrongType { problem, .. } = fault else { panic!("{text}: {fault:?}") };
            assert_eq!(problem, told, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for text in ["", "{", r#"{"amount_milli": 1,}"#, r#"{"amount_milli": 1} x"#, "nul"] {
            assert!(matches!(misfit(text), Misfit::Malformed(_)), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(misfit(&deep), Misfit::Malformed(_)));
    }

    #[test]
    fn pairs_of_a_query_are_read_by_the_type_that_is_wanted() {
        #[derive(Debug, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Asked {
            limit: Option<u32>,
            #[serde(default)]
            online: bool,
            cursor: Option<String>,
        }
        let read = |pairs: &[(&str, &str)]| {
            from_pairs::<Asked>(pairs.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect())
        };
        let expected = Asked { limit: Some(3), online: true, cursor: Some("12".to_owned()) };
        assert_eq!(read(&[("limit", "3"), ("online", "true"), ("cursor", "12")]), Ok(expected));
        assert_eq!(read(&[("size", "3")]), Err(Misfit::Unknown { field: "size".to_owned() }));
        for (name, text) in [("limit", "-1"), ("limit", ""), ("online", "yes")] {
            let Err(Misfit::WrongType { field, .. }) = read(&[(name, text)]) else { panic!("{name}={text}") };
            assert_eq!(field.as_deref(), Some(name));
        }
    }
}
