//! Small lots become one: so that what a wallet holds, and what one spend can draw on, stays bounded.
//!
//! Only loose lots are merged, those that no purchase refers to: a refund finds its purchase's lots as they
//! were. The command that adds the lot beyond [`LOOSE_LOTS`] merges in the same unit.

use super::{Draw, Lot};
use crate::mechanism::decide::Context;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::{Account, Event, LotId, PersonId, Posting, Timestamp};
use std::collections::BTreeMap;

/// How many loose lots an account holds before they are merged.
pub const LOOSE_LOTS: usize = 256;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

events! {
    /// Lots of one account became one. Its coins are theirs, and it expires with the last of them.
    LotsMerged = "LotsMerged" {
        /// The lot that takes the place of the others.
        lot: LotId,
        user: PersonId,
        account: Account,
        amount_milli: i64,
        expires_at: Option<Timestamp>,
        /// What was in each of them.
        merged: Vec<Draw>,
    }
}

impl Context<'_> {
    /// The merges that come with one more loose lot in `account`; none while there is room.
    pub fn merges(&self, account: Account) -> Vec<Event> {
        let lots = self.state.loose_lots_of(account);
        let Some(user) = account.person().filter(|_| lots.len() >= LOOSE_LOTS) else { return vec![] };
        // As fine as leaves half of the room: lots of one moment, of one day, of 32 days, or all that expire.
        let fitting = [1, DAY_MS, 32 * DAY_MS].into_iter().map(|ms| grouped(&lots, |at| at.0.div_euclid(ms)));
        let groups = fitting
            .into_iter()
            .find(|groups| groups.len() <= LOOSE_LOTS / 2)
            .unwrap_or_else(|| grouped(&lots, |_| 0));
        let groups = groups.into_values().filter(|group| group.len() > 1).enumerate();
        let merge = |(number, group): (usize, Vec<(LotId, &Lot)>)| {
            let merged: Vec<Draw> = group
                .iter()
                .map(|(lot, row)| Draw { lot: *lot, account, amount_milli: row.remaining_milli })
                .collect();
            let merge = LotsMerged {
                // A unit may merge lots of several accounts.
                lot: self.command_id.derive(&format!("merged {account} {number}")),
                user,
                account,
                amount_milli: merged.iter().map(|it| it.amount_milli).sum(),
                expires_at: group.iter().filter_map(|(_, row)| row.expires_at()).max(),
                merged,
            };
            merge.into()
        };
        groups.map(merge).collect()
    }
}

/// Lots without expiry together, and the others by what `period` makes of their expiries.
fn grouped<'a>(
    lots: &[(LotId, &'a Lot)],
    period: impl Fn(Timestamp) -> i64,
) -> BTreeMap<Option<i64>, Vec<(LotId, &'a Lot)>> {
    let mut groups: BTreeMap<Option<i64>, Vec<(LotId, &Lot)>> = BTreeMap::new();
    for (id, lot) in lots {
        groups.entry(lot.expires_at().map(&period)).or_default().push((*id, lot));
    }
    groups
}

impl Happened for LotsMerged {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.user]
    }

    fn lots(&self) -> LotMoves {
        let drawn = self.merged.iter().map(LotMove::drawn);
        drawn.chain([LotMove::added(self.lot, self.account, self.amount_milli)]).collect()
    }

    fn evolve(&self, change: &mut Change) {
        // The coins keep their age: they are drawn where the oldest of them would have been.
        let ages = self.merged.iter().filter_map(|it| change.state.lot(it.lot)).map(|lot| lot.since);
        let since = ages.min().unwrap_or(change.revision);
        change.spend(&self.merged);
        change.put_lot(self.lot, Lot::new(self.account, self.amount_milli, self.expires_at, since, true));
    }
}
