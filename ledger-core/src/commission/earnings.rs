//! What hosts have earned, and from when on it can be withdrawn.

use crate::mechanism::event::Change;
use crate::{Account, Asset, PersonId, State, Timestamp};

impl State {
    /// What `host` can withdraw: earnings whose waiting time is over.
    pub fn withdrawable(&self, host: PersonId, at: Timestamp) -> i64 {
        let pending: i64 = self
            .tables
            .pending_earnings
            .get(&host)
            .into_iter()
            .flatten()
            .filter(|(from, _)| *from > at)
            .map(|(_, amount)| amount)
            .sum();
        // A correction may have taken coins that were still waiting.
        (-self.balance(Account::HostEarnings(host), Asset::COIN) - pending).max(0)
    }
}

/// When earnings of the moment `at` can be withdrawn. Waiting times end on the hour, so that what
/// waits is a short list however many ticks earned it.
pub(super) fn available_from(at: Timestamp, hold_seconds: u32) -> Timestamp {
    const HOUR_MS: i64 = 3_600_000;
    match hold_seconds {
        0 => at,
        hold => {
            Timestamp(at.plus_seconds(hold).0.div_euclid(HOUR_MS).saturating_add(1).saturating_mul(HOUR_MS))
        }
    }
}

/// Notes what `host` has earned, and lets go of what waits no longer.
pub(super) fn earned(change: &mut Change, host: PersonId, amount_milli: i64, available_from: Timestamp) {
    let table = &mut change.state.tables.pending_earnings;
    let before = table.get(&host);
    let mut pending: Vec<(Timestamp, i64)> = before.cloned().unwrap_or_default();
    pending.retain(|(from, _)| *from > change.at);
    if available_from > change.at && amount_milli > 0 {
        match pending.iter_mut().find(|(from, _)| *from == available_from) {
            Some((_, amount)) => *amount += amount_milli,
            None => pending.push((available_from, amount_milli)),
        }
    }
    if before.is_some() || !pending.is_empty() {
        table.set(change.revision, host, Some(pending).filter(|it| !it.is_empty()));
    }
}

impl Change<'_> {
    /// Takes `amount_milli` that `host` gives back out of what waits, the latest first.
    pub fn unearned(&mut self, host: PersonId, amount_milli: i64) {
        let table = &mut self.state.tables.pending_earnings;
        let Some(mut pending) = table.get(&host).cloned() else { return };
        let mut open = amount_milli;
        pending.sort_unstable();
        for (_, waiting) in pending.iter_mut().rev() {
            let part = open.min(*waiting);
            *waiting -= part;
            open -= part;
        }
        pending.retain(|(_, waiting)| *waiting > 0);
        table.set(self.revision, host, Some(pending).filter(|it| !it.is_empty()));
    }
}
