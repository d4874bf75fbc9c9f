//! What hosts and agencies have earned, and from when on it can be withdrawn.

use crate::mechanism::event::Change;
use crate::{Account, Asset, State, Timestamp};

impl State {
    /// What can be withdrawn from an account of earnings: those whose waiting time is over.
    pub fn withdrawable(&self, earnings: Account, at: Timestamp) -> i64 {
        let waiting = (earnings, at.plus_ms(1))..=(earnings, Timestamp(i64::MAX));
        let pending: i64 = self.tables.pending_earnings.range(waiting).map(|(_, amount)| amount).sum();
        // A correction may have taken coins that were still waiting.
        (-self.balance(earnings, Asset::COIN) - pending).max(0)
    }
}

/// When earnings of the moment `at` can be withdrawn: never before the hold is over, and later by less than a
/// thousandth of the hold, or than one second where that is longer. Earnings that become available together
/// are one entry of what waits, so under one hold about a thousand entries wait at the most, however many
/// ticks earned them.
pub fn available_from(at: Timestamp, hold_seconds: u32) -> Timestamp {
    if hold_seconds == 0 {
        return at;
    }
    // A thousandth of the hold in milliseconds is the hold in seconds.
    let step_ms = i64::from(hold_seconds).max(1_000);
    let due = at.plus_seconds(hold_seconds).0;
    Timestamp(due.saturating_add(step_ms - 1).div_euclid(step_ms).saturating_mul(step_ms))
}

/// Notes what came into an account of earnings, and lets go of what waits no longer, whosever it is: a few entries
/// for the one that may be added, so that those of who earns nothing more leave too.
pub(super) fn earned(change: &mut Change, earnings: Account, amount_milli: i64, available_from: Timestamp) {
    let at = change.at;
    for (from, whose) in change.state.tables.earnings_due.due_before(at) {
        change.set_waiting(whose, from, 0);
    }
    if available_from > at && amount_milli > 0 {
        let before = change.state.tables.pending_earnings.get(&(earnings, available_from));
        let amount_milli = before.copied().unwrap_or(0) + amount_milli;
        change.set_waiting(earnings, available_from, amount_milli);
    }
}

impl Change<'_> {
    /// Takes `amount_milli` that leave an account of earnings again out of what waits, the latest first. What was
    /// earned under a hold of `hold_seconds` waits no longer than earnings of this moment would: what waits longer
    /// was earned otherwise, and stays.
    pub fn unearned(&mut self, earnings: Account, amount_milli: i64, hold_seconds: u32) {
        let latest = available_from(self.at, hold_seconds);
        let waiting = (earnings, Timestamp(i64::MIN))..=(earnings, latest);
        let mut open = amount_milli;
        let mut left = Vec::new();
        for ((_, from), waiting) in self.state.tables.pending_earnings.range(waiting).rev() {
            if open == 0 {
                break;
            }
            let part = open.min(*waiting);
            open -= part;
            left.push((*from, waiting - part));
        }
        for (from, left_milli) in left {
            self.set_waiting(earnings, from, left_milli);
        }
    }

    /// Takes what left an account of earnings out of what waits until `from`.
    pub(super) fn waits_less(&mut self, earnings: Account, from: Timestamp, amount_milli: i64) {
        let waiting = self.state.tables.pending_earnings.get(&(earnings, from)).copied().unwrap_or(0);
        self.set_waiting(earnings, from, (waiting - amount_milli).max(0));
    }

    /// Sets how much of an account of earnings waits until `from`.
    fn set_waiting(&mut self, earnings: Account, from: Timestamp, amount_milli: i64) {
        let (tables, revision) = (&mut self.state.tables, self.revision);
        let (row, due) = match amount_milli {
            0 => (None, None),
            _ => (Some(amount_milli), Some(())),
        };
        tables.pending_earnings.set(revision, (earnings, from), row);
        if tables.earnings_due.get(&(from, earnings)).is_some() != due.is_some() {
            tables.earnings_due.set(revision, (from, earnings), due);
        }
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
