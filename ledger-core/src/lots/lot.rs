//! The lots of users.

use super::Draw;
use crate::mechanism::event::Change;
use crate::{Account, LotId, PersonId, State, Timestamp};
use serde::{Deserialize, Serialize};

/// Coins that came in together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lot {
    pub account: Account,
    pub remaining_milli: i64,
    pub expires_at: Option<Timestamp>,
    /// The revision that the lot came in at, by which lots of one expiry are drawn.
    pub(crate) since: u64,
    /// Whether no purchase refers to the lot, so that it may be merged with others.
    pub(crate) loose: bool,
}

/// Whose lot it is, and where it stands among theirs: lots are drawn in the order of their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place {
    person: PersonId,
    kind: Kind,
    /// The last moment there is where the lot does not expire.
    expires_at: Timestamp,
    since: u64,
    lot: LotId,
}

/// Bonus coins are spent before bought coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Kind {
    Bonus,
    Purchased,
}

const NEVER: Timestamp = Timestamp(i64::MAX);

impl Place {
    fn of(id: LotId, lot: &Lot) -> Place {
        let (person, kind) = match lot.account {
            Account::UserBonus(person) => (person, Kind::Bonus),
            Account::UserPurchased(person) => (person, Kind::Purchased),
            other => panic!("lots stand in the accounts of users, not in {other}"),
        };
        Place { person, kind, expires_at: lot.expires_at.unwrap_or(NEVER), since: lot.since, lot: id }
    }

    /// Before all lots of the kind that expire at `expires_at` or later.
    fn before(person: PersonId, kind: Kind, expires_at: Timestamp) -> Place {
        Place { person, kind, expires_at, since: 0, lot: LotId(uuid::Uuid::nil()) }
    }

    /// After all lots of the kind.
    fn after(person: PersonId, kind: Kind) -> Place {
        Place { person, kind, expires_at: NEVER, since: u64::MAX, lot: LotId(uuid::Uuid::max()) }
    }
}

impl State {
    pub fn lot(&self, lot: LotId) -> Option<&Lot> {
        self.tables.lots.get(&lot)
    }

    /// Bonus lots that will expire, with their moments, soonest first.
    pub fn expiring_lots(&self) -> Vec<(Timestamp, LotId)> {
        self.tables.expiring_lots.iter().map(|(key, ())| *key).collect()
    }

    /// The lots that `person` can spend, in the order in which they are drawn: bonus coins that
    /// have not expired, then bought coins.
    pub(crate) fn spending_order(
        &self,
        person: PersonId,
        at: Timestamp,
    ) -> impl Iterator<Item = (LotId, &Lot)> {
        let unexpired = Place::before(person, Kind::Bonus, at.plus_ms(1));
        self.lots_between(unexpired, Place::after(person, Kind::Purchased))
    }

    /// Bonus coins of `person` that have expired and are still there, until the expiry is recorded.
    pub(super) fn expired_milli(&self, person: PersonId, at: Timestamp) -> i64 {
        let first = Place::before(person, Kind::Bonus, Timestamp(i64::MIN));
        let expired = self.lots_between(first, Place::before(person, Kind::Bonus, at.plus_ms(1)));
        expired.map(|(_, lot)| lot.remaining_milli).sum()
    }

    /// All lots that stand in `account`, in the order in which they are drawn.
    pub fn lots_of(&self, account: Account) -> impl Iterator<Item = (LotId, &Lot)> {
        let range = match account {
            Account::UserBonus(person) => Some((person, Kind::Bonus)),
            Account::UserPurchased(person) => Some((person, Kind::Purchased)),
            _ => None,
        };
        range.into_iter().flat_map(|(person, kind)| {
            let first = Place::before(person, kind, Timestamp(i64::MIN));
            self.lots_between(first, Place::after(person, kind))
        })
    }

    fn lots_between(&self, first: Place, last: Place) -> impl Iterator<Item = (LotId, &Lot)> {
        self.tables.lot_places.range(first..=last).map(|(place, ())| {
            let lot = self.lot(place.lot).expect("each place is that of a lot");
            (place.lot, lot)
        })
    }

    /// The lots in `account` that may be merged, in the order in which they are drawn.
    pub(super) fn loose_lots_of(&self, account: Account) -> Vec<(LotId, &Lot)> {
        let (first, last) = ((account, LotId(uuid::Uuid::nil())), (account, LotId(uuid::Uuid::max())));
        let ids = self.tables.loose_lots.range(first..=last).map(|((_, id), ())| *id);
        let mut lots: Vec<_> = ids.filter_map(|id| self.lot(id).map(|lot| (id, lot))).collect();
        lots.sort_by_key(|(id, lot)| Place::of(*id, lot));
        lots
    }
}

impl Change<'_> {
    /// Adds a lot that a purchase refers to: it stays as it is until it is spent.
    pub fn add_lot(&mut self, id: LotId, account: Account, amount_milli: i64, expires_at: Option<Timestamp>) {
        let since = self.revision;
        self.put_lot(id, Lot { account, remaining_milli: amount_milli, expires_at, since, loose: false });
    }

    /// Adds a lot that nothing refers to by its id: it may be merged with others.
    pub fn add_loose_lot(
        &mut self,
        id: LotId,
        account: Account,
        amount_milli: i64,
        expires_at: Option<Timestamp>,
    ) {
        let since = self.revision;
        self.put_lot(id, Lot { account, remaining_milli: amount_milli, expires_at, since, loose: true });
    }

    pub(super) fn put_lot(&mut self, id: LotId, lot: Lot) {
        let (tables, revision) = (&mut self.state.tables, self.revision);
        assert!(tables.lots.get(&id).is_none(), "the lot {id} is there already");
        tables.lot_places.set(revision, Place::of(id, &lot), Some(()));
        if let Some(expires_at) = lot.expires_at {
            tables.expiring_lots.set(revision, (expires_at, id), Some(()));
        }
        if lot.loose {
            tables.loose_lots.set(revision, (lot.account, id), Some(()));
        }
        tables.lots.set(revision, id, Some(lot));
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

    /// Takes coins from a lot; an empty lot is gone.
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
        tables.lot_places.set(revision, Place::of(id, &lot), None);
        if let Some(expires_at) = lot.expires_at {
            tables.expiring_lots.set(revision, (expires_at, id), None);
        }
        if lot.loose {
            tables.loose_lots.set(revision, (lot.account, id), None);
        }
        tables.lots.set(revision, id, None);
    }
}
