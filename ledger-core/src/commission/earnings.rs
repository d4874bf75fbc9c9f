//! What hosts and agencies have earned, and from when on it can be withdrawn.

use crate::mechanism::event::Change;
use crate::{Account, Asset, State, Timestamp};

impl State {
    /// What can be withdrawn from an account of earnings: those whose waiting time is over.
    pub fn withdrawable(&self, earnings: Account, at: Timestamp) -> i64 {
        let pending: i64 = self
            .tables
            .pending_earnings
            .get(&earnings)
            .into_iter()
            .flatten()
            .filter(|(from, _)| *from > at)
            .map(|(_, amount)| amount)
            .sum();
        // A correction may have taken coins that were still waiting.
        (-self.balance(earnings, Asset::COIN) - pending).max(0)
    }
}

/// When earnings of the moment `at` can be withdrawn: never before the hold is over, and later by less than a
/// thousandth of the hold, or than one second where that is longer. Earnings that become available together
/// are one entry of what waits, so under one hold about a thousand entries wait at the most, however many
/// ticks earned them.
pub(super) fn available_from(at: Timestamp, hold_seconds: u32) -> Timestamp {
    if hold_seconds == 0 {
        return at;
    }
    // A thousandth of the hold in milliseconds is the hold in seconds.
    let step_ms = i64::from(hold_seconds).max(1_000);
    let due = at.plus_seconds(hold_seconds).0;
    Timestamp(due.saturating_add(step_ms - 1).div_euclid(step_ms).saturating_mul(step_ms))
}

/// Notes what came into an account of earnings, and lets go of what waits no longer.
pub(super) fn earned(change: &mut Change, earnings: Account, amount_milli: i64, available_from: Timestamp) {
    let table = &mut change.state.tables.pending_earnings;
    let before = table.get(&earnings);
    let mut pending: Vec<(Timestamp, i64)> = before.cloned().unwrap_or_default();
    pending.retain(|(from, _)| *from > change.at);
    if available_from > change.at && amount_milli > 0 {
        match pending.iter_mut().find(|(from, _)| *from == available_from) {
            Some((_, amount)) => *amount += amount_milli,
            None => pending.push((available_from, amount_milli)),
        }
    }
    if before.is_some() || !pending.is_empty() {
        table.set(change.revision, earnings, Some(pending).filter(|it| !it.is_empty()));
    }
}

impl Change<'_> {
    /// Takes `amount_milli` that leave an account of earnings again out of what waits, the latest first. What was earned under
    /// a hold of `hold_seconds` waits no longer than earnings of this moment would: what waits longer was
    /// earned otherwise, and stays.
    pub fn unearned(&mut self, earnings: Account, amount_milli: i64, hold_seconds: u32) {
        let latest = available_from(self.at, hold_seconds);
        let table = &mut self.state.tables.pending_earnings;
        let Some(mut pending) = table.get(&earnings).cloned() else { return };
        let mut open = amount_milli;
        pending.sort_unstable();
        for (_, waiting) in pending.iter_mut().rev().filter(|(from, _)| *from <= latest) {
            let part = open.min(*waiting);
            *waiting -= part;
            open -= part;
        }
        pending.retain(|(_, waiting)| *waiting > 0);
        table.set(self.revision, earnings, Some(pending).filter(|it| !it.is_empty()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000;
    const HOUR: i64 = 3_600 * SECOND;
    const DAY: i64 = 24 * HOUR;

    #[test]
    fn earnings_are_available_when_their_hold_is_over_or_shortly_after() {
        for (at, hold_seconds, available) in [
            (0, 0, 0),
            (1_234, 0, 1_234),
            (0, 1, SECOND),
            (1, 1, 2 * SECOND),
            (999, 1, 2 * SECOND),
            (1_000, 1, 2 * SECOND),
            (1, 60, 61 * SECOND),
            (1, 1_000, 1_001 * SECOND),
            (0, 3_600, HOUR),
            (1, 3_600, HOUR + 3_600),
            (3_600, 3_600, HOUR + 3_600),
            (1, 86_400, DAY + 86_400),
            (1, 90 * 86_400, 90 * DAY + 7_776_000),
        ] {
            let found = available_from(Timestamp(at), hold_seconds);
            assert_eq!(found, Timestamp(available), "{at} ms, held for {hold_seconds} s");
        }
    }

    #[test]
    fn what_waits_is_a_short_list_under_every_hold() {
        for hold_seconds in [1, 2, 59, 60, 999, 1_000, 1_001, 3_600, 86_400, 1_000_003, 90 * 86_400] {
            let hold_ms = i64::from(hold_seconds) * 1_000;
            let most_ms = i64::from(hold_seconds).max(1_000);
            let mut waiting: Vec<Timestamp> = Vec::new();
            // Three thousand ticks within one hold, of which the first ones are just not over.
            for at in (0..3_000).map(|number| 1_700_000_000_123 + number * hold_ms / 3_000) {
                let from = available_from(Timestamp(at), hold_seconds);
                let late_ms = from.0 - at - hold_ms;
                assert!((0..most_ms).contains(&late_ms), "{late_ms} ms after a hold of {hold_seconds} s");
                waiting.push(from);
            }
            waiting.dedup();
            assert!(
                waiting.is_sorted() && waiting.len() <= 1_001,
                "{} under {hold_seconds} s",
                waiting.len()
            );
        }
    }
}
