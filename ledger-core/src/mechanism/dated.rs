//! Values that hold from moments on, and are never backdated.

use super::time::Timestamp;
use crate::nouns::Rejection;
use serde::{Deserialize, Serialize};

/// The value in force, and those to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dated<T>(Vec<(Timestamp, T)>);

impl<T> Default for Dated<T> {
    fn default() -> Self {
        Dated(Vec::new())
    }
}

impl<T> Dated<T> {
    pub fn in_force(&self, at: Timestamp) -> Option<&T> {
        self.0.iter().rev().find(|(from, _)| *from <= at).map(|(_, value)| value)
    }

    /// Lets `value` hold from a moment on, and lets go of what was overtaken by `now`: time runs forward, so nobody
    /// asks about it any more.
    pub fn set(&mut self, now: Timestamp, from: Timestamp, value: T) {
        let in_force = self.0.partition_point(|(from, _)| *from <= now).saturating_sub(1);
        self.0.drain(..in_force);
        // After those of the same moment: of two changes for one moment the later command wins.
        let place = self.0.partition_point(|(other, _)| *other <= from);
        self.0.insert(place, (from, value));
    }

    /// Lets `value` hold from a moment on instead of what was to begin at that moment, until another value begins.
    /// Before the first value the default holds. What was overtaken by `now` goes, as in [`Dated::set`].
    pub fn set_until_other(&mut self, now: Timestamp, from: Timestamp, value: T)
    where
        T: PartialEq + Default,
    {
        self.0.retain(|(other, _)| *other != from);
        let place = self.0.partition_point(|(other, _)| *other < from);
        let same = self.0[place..].iter().take_while(|(_, other)| *other == value).count();
        self.0.drain(place..place + same);
        let before = self.0[..place].last();
        if before.map_or(value != T::default(), |(_, other)| *other != value) {
            self.set(now, from, value);
        }
    }

    /// The first change after a moment.
    pub fn next_after(&self, moment: Timestamp) -> Option<(Timestamp, &T)> {
        self.0.iter().find(|(from, _)| *from > moment).map(|(from, value)| (*from, value))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// From when on a change holds: at once when nothing is said.
///
/// # Errors
/// [`Rejection::EffectiveInPast`].
pub(crate) fn not_backdated(
    effective_from: Option<Timestamp>,
    at: Timestamp,
) -> Result<Timestamp, Rejection> {
    match effective_from {
        Some(moment) if moment < at => Err(Rejection::EffectiveInPast { earliest: at }),
        moment => Ok(moment.unwrap_or(at)),
    }
}
