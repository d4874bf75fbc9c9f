//! Bounds of amounts, as lists are filtered by.

/// From one amount to another, both included; any amount where neither is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    pub min: Option<i64>,
    pub max: Option<i64>,
}

impl Amounts {
    pub fn take(self, amount: i64) -> bool {
        self.min.is_none_or(|min| amount >= min) && self.max.is_none_or(|max| amount <= max)
    }
}
