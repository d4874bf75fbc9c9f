//! How long a call can last on what its payer has left.

use ledger_core::Timestamp;
use ledger_core::calls::{Call, Phase};

/// The connected time that has run at `at`, in milliseconds: never more than what is paid.
pub(crate) fn connected_ms(call: &Call, at: Timestamp) -> i64 {
    match call.phase {
        Phase::Running { connected_ms, since } => {
            connected_ms.saturating_add(at.since(since).max(0)).min(seconds_paid(call) * 1_000)
        }
        Phase::Paused { connected_ms, .. } => connected_ms,
        Phase::Ended => seconds_paid(call) * 1_000,
    }
}

/// The connected time that the increments so far last.
pub(crate) fn seconds_paid(call: &Call) -> i64 {
    i64::from(call.ticks) * i64::from(call.increment_seconds)
}

/// The seconds from `at` until the first increment that `spendable_milli` does not pay for. `None` when that
/// never comes.
pub(crate) fn seconds_left(call: &Call, spendable_milli: i64, at: Timestamp) -> Option<i64> {
    let (price, increment) = (i128::from(call.price_milli_per_minute), i128::from(call.increment_seconds));
    if price <= 0 || increment == 0 {
        return None;
    }
    // k increments cost price * seconds / 60, rounded down: affordable while that is within the budget, so
    // while price * seconds < 60 * (budget + 1).
    let budget = i128::from(call.charged_milli) + i128::from(spendable_milli.max(0));
    let charged_seconds = (60 * (budget + 1) - 1) / price;
    let increments = (charged_seconds + i128::from(call.free_seconds)) / increment;
    let increments = increments.max(i128::from(call.ticks));
    let left_ms = increments * increment * 1_000 - i128::from(connected_ms(call, at));
    i64::try_from((left_ms.max(0) + 999) / 1_000).ok()
}

/// Which calls have been warned of since what is left last was enough.
#[derive(Default)]
pub(crate) struct Warnings(std::collections::HashSet<ledger_core::CallId>);

impl Warnings {
    /// Whether to warn now: once when what is left falls to the warning time, and again only if coins came
    /// in between.
    pub fn crossed(&mut self, call: ledger_core::CallId, seconds_left: i64, warning_seconds: u32) -> bool {
        if seconds_left > i64::from(warning_seconds) {
            self.0.remove(&call);
            return false;
        }
        self.0.insert(call)
    }

    pub fn forget(&mut self, call: ledger_core::CallId) {
        self.0.remove(&call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger_core::calls::total_milli;
    use ledger_core::event::{CommissionRule, CommissionScope};
    use ledger_core::{CallId, Medium, PersonId};
    use uuid::Uuid;

    fn call(price: i64, increment_seconds: u32, free_seconds: u32, ticks: u32) -> Call {
        Call {
            payer: PersonId(Uuid::from_u128(1)),
            host: PersonId(Uuid::from_u128(2)),
            medium: Medium::Voice,
            price_milli_per_minute: price,
            increment_seconds,
            free_seconds,
            grace_seconds: 30,
            earnings_hold_seconds: 0,
            claws_back: false,
            commission: CommissionRule {
                scope: CommissionScope::Global,
                host_bps: 5_000,
                agency_bps: 0,
                agency: None,
            },
            started_at: Timestamp(0),
            ticks,
            charged_milli: total_milli(price, increment_seconds, free_seconds, ticks).expect("small"),
            phase: Phase::Running {
                connected_ms: (i64::from(ticks) - 1) * i64::from(increment_seconds) * 1_000,
                since: Timestamp(0),
            },
            seen_ms: 0,
            unseen: Vec::new(),
            away_ms: 0,
        }
    }

    #[test]
    fn what_is_left_is_counted_increment_by_increment() {
        // The slow way: tick until an increment cannot be paid.
        for (price, increment, free, ticks, spendable) in [
            (60_000, 10, 0, 1, 0),
            (60_000, 10, 0, 1, 9_999),
            (60_000, 10, 0, 1, 10_000),
            (60_000, 10, 0, 3, 55_000),
            (1_000, 7, 0, 1, 333),
            (1_001, 7, 20, 2, 500),
            (1, 1, 0, 1, 0),
            (12_345, 13, 60, 1, 100_000),
        ] {
            let call = call(price, increment, free, ticks);
            let mut last = ticks;
            let cost = |ticks| total_milli(price, increment, free, ticks).expect("small");
            while cost(last + 1) - call.charged_milli <= spendable {
                last += 1;
            }
            let expected = i64::from(last - ticks + 1) * i64::from(increment);
            assert_eq!(
                seconds_left(&call, spendable, Timestamp(0)),
                Some(expected),
                "price {price}, increment {increment}, free {free}, ticks {ticks}, spendable {spendable}"
            );
        }
    }

    #[test]
    fn time_that_runs_is_time_less() {
        let call = call(60_000, 10, 0, 1);
        assert_eq!(seconds_left(&call, 10_000, Timestamp(4_000)), Some(16));
        assert_eq!(seconds_left(&call, 10_000, Timestamp(4_001)), Some(16));
        assert_eq!(seconds_left(&call, 10_000, Timestamp(99_000)), Some(10), "no time runs unpaid");
    }

    #[test]
    fn a_warning_is_given_once_and_again_after_a_top_up() {
        let mut warnings = Warnings::default();
        let id = CallId(Uuid::from_u128(3));
        let seen: Vec<bool> =
            [70, 60, 50, 20, 90, 30, 20].map(|left| warnings.crossed(id, left, 60)).to_vec();
        assert_eq!(seen, [false, true, false, false, false, true, false]);
    }
}
