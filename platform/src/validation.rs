//! Values from outside that are refused, with the field that they stood in.

/// One field that cannot be taken. `problem` is a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    pub field: &'static str,
    pub problem: String,
}

impl FieldError {
    pub const CODE: &'static str = "field_invalid";

    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

/// The text without surrounding space, if it has `min..=max` characters and none of them is invisible: see
/// [`crate::invisible`]. A line break is allowed by `multiline` alone.
pub(crate) fn text(
    field: &'static str,
    value: &str,
    length: std::ops::RangeInclusive<usize>,
    multiline: bool,
) -> Result<String, FieldError> {
    let value = value.trim();
    if !length.contains(&value.chars().count()) {
        let problem = format!("must have {} to {} characters", length.start(), length.end());
        return Err(FieldError::new(field, problem));
    }
    if crate::invisible::is_in(value, multiline) {
        let problem = "must not contain control characters, text direction marks or invisible characters";
        return Err(FieldError::new(field, problem));
    }
    Ok(value.to_owned())
}

/// Where a picture lies.
pub(crate) fn picture(field: &'static str, address: &str) -> Result<String, FieldError> {
    let placed = address.starts_with("https://") || (address.starts_with('/') && !address.starts_with("//"));
    // Browsers read a backslash as a slash, and two slashes as another site.
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    if !placed || address.len() > 500 || !address.bytes().all(plain) {
        return Err(FieldError::new(field, "must be an https address or a path, of at most 500 characters"));
    }
    Ok(address.to_owned())
}

/// `count` texts, repeats dropped, the order kept.
pub(crate) fn texts(
    field: &'static str,
    values: &[String],
    count: std::ops::RangeInclusive<usize>,
    length: std::ops::RangeInclusive<usize>,
) -> Result<Vec<String>, FieldError> {
    if values.len() > *count.end() {
        return Err(FieldError::new(field, format!("must have at most {} entries", count.end())));
    }
    let mut kept: Vec<String> = Vec::new();
    for value in values {
        let value = text(field, value, length.clone(), false)?;
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    if kept.len() < *count.start() {
        return Err(FieldError::new(field, format!("must have at least {} entries", count.start())));
    }
    Ok(kept)
}

pub(crate) fn within<T: PartialOrd + std::fmt::Display>(
    field: &'static str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<(), FieldError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(FieldError::new(field, format!("must be from {} to {}", range.start(), range.end())))
}
