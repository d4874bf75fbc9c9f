//! The lots of users.

use super::Draw;
use crate::mechanism::event::Change;
use crate::{Account, LotId, PersonId, State, Timestamp};
use serde::Serialize;

/// Coins that came in together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lot {
    pub account: Account,
    pub remaining_milli: i64,
    pub expires_at: Option<Timestamp>,
}

/// A user's lots, in the order in which they are spent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Payer {
    /// By expiry, those without one last.
    bonus: Vec<LotId>,
    /// By age.
    purchased: Vec<LotId>,
}

impl State {
    pub fn lot(&self, lot: LotId) -> Option<&Lot> {
        self.tables.lots.get(&lot)
    }

    /// Bonus lots that will expire, with their moments, in the order of their ids.
    pub fn expiring_lots(&self) -> Vec<(Timestamp, LotId)> {
        self.tables.lots.iter().filter_map(|(id, lot)| Some((lot.expires_at?, *id))).collect()
    }

    /// The lots that `person` can spend, in the order in which they are drawn: bonus coins that
    /// have not expired, then bought coins.
    pub(crate) fn spending_order(
        &self,
        person: PersonId,
        at: Timestamp,
    ) -> impl Iterator<Item = (LotId, &Lot)> {
        self.lots_of_person(person).filter(move |(_, lot)| lot.expires_at.is_none_or(|expiry| at < expiry))
    }

    /// All lots that stand in `account`, in the order in which they are drawn.
    pub(crate) fn lots_of(&self, account: Account) -> impl Iterator<Item = (LotId, &Lot)> {
        let lots = account.person().map(|person| self.lots_of_person(person));
        lots.into_iter().flatten().filter(move |(_, lot)| lot.account == account)
    }

    fn lots_of_person(&self, person: PersonId) -> impl Iterator<Item = (LotId, &Lot)> {
        let payer = self.tables.payers.get(&person);
        payer
            .into_iter()
            .flat_map(|payer| payer.bonus.iter().chain(&payer.purchased))
            .filter_map(|id| self.lot(*id).map(|lot| (*id, lot)))
    }
}

impl Change<'_> {
    pub fn add_lot(&mut self, id: LotId, account: Account, amount_milli: i64, expires_at: Option<Timestamp>) {
        let person = account.person().expect("lots stand in the accounts of users");
        let tables = &mut self.state.tables;
        let mut payer = tables.payers.get(&person).cloned().unwrap_or_default();
        if matches!(account, Account::UserBonus(_)) {
            let key = |expiry: Option<Timestamp>| expiry.unwrap_or(Timestamp(i64::MAX));
            let place = payer.bonus.partition_point(|other| {
                tables.lots.get(other).is_some_and(|lot| key(lot.expires_at) <= key(expires_at))
            });
            payer.bonus.insert(place, id);
        } else {
            payer.purchased.push(id);
        }
        tables.payers.set(self.revision, person, Some(payer));
        tables.lots.set(self.revision, id, Some(Lot { account, remaining_milli: amount_milli, expires_at }));
    }

    /// Puts coins back into the lot that they were drawn from. A lot that had been emptied is there again, to
    /// be spent after the others of its kind and expiry.
    pub fn give_back(
        &mut self,
        id: LotId,
        account: Account,
        amount_milli: i64,
        expires_at: Option<Timestamp>,
    ) {
        if self.state.tables.lots.get(&id).is_none() {
            return self.add_lot(id, account, amount_milli, expires_at);
        }
        self.state.tables.lots.edit(self.revision, &id, |lot| lot.remaining_milli += amount_milli);
    }

    pub fn spend(&mut self, draws: &[Draw]) {
        for it in draws {
            self.draw(it.lot, it.amount_milli);
        }
    }

    /// Takes coins from a lot; an empty lot leaves its payer's list.
    pub fn draw(&mut self, id: LotId, amount_milli: i64) {
        if amount_milli == 0 {
            return;
        }
        let (tables, revision) = (&mut self.state.tables, self.revision);
        let mut lot = tables.lots.get(&id).cloned().expect("coins are drawn from a lot that is there");
        lot.remaining_milli -= amount_milli;
        assert!(lot.remaining_milli >= 0, "the lot {id} is overdrawn at {revision}");
        if lot.remaining_milli > 0 {
            tables.lots.set(revision, id, Some(lot));
            return;
        }
        let person = lot.account.person().expect("lots stand in the accounts of users");
        let mut payer = tables.payers.get(&person).cloned().unwrap_or_default();
        payer.bonus.retain(|other| *other != id);
        payer.purchased.retain(|other| *other != id);
        tables.payers.set(revision, person, Some(payer));
        tables.lots.set(revision, id, None);
    }
}
