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
    /// [`NEVER`] where it does not: eight bytes less for each wallet than an `Option`.
    expires_at: Timestamp,
    /// The revision that the lot came in at, by which lots of one expiry are drawn.
    pub(crate) since: u64,
    /// Whether no purchase refers to the lot, so that it may be merged with others.
    pub(crate) loose: bool,
}

/// Whose lot it is, and where it stands among theirs: lots are drawn in the order of their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place {
    person: PersonId,
    /// The kind of the lot, and when it expires.
    turn: Number<7>,
    since: Number<6>,
    lot: LotId,
}

/// A number in as few bytes as it needs, in the order of their values: there are as many places as lots, and eleven places
/// of 45 bytes fill what an allocator gives for a node of a tree.
type Number<const BYTES: usize> = [u8; BYTES];

/// # Panics
/// Where the number has no room.
fn number<const BYTES: usize>(number: u64) -> Number<BYTES> {
    let bytes = number.to_be_bytes();
    let (above, kept) = bytes.split_at(bytes.len() - BYTES);
    assert!(above.iter().all(|byte| *byte == 0), "{number} has no room in {BYTES} bytes");
    std::array::from_fn(|place| kept[place])
}

/// Ordered by the kind, and then by the expiry: in milliseconds, 55 bits last a million years.
fn turn(kind: Kind, expires_at: Timestamp) -> Number<7> {
    const LAST: u64 = (1 << 55) - 1;
    number((kind as u64) << 55 | expires_at.0.max(0).unsigned_abs().min(LAST))
}

/// Bonus coins are spent before bought coins.
#[derive(Clone, Copy)]
enum Kind {
    Bonus,
    Purchased,
}

/// The last moment there is, for a lot that does not expire.
const NEVER: Timestamp = Timestamp(i64::MAX);

impl Place {
    fn of(id: LotId, lot: &Lot) -> Place {
        let (person, kind) = match lot.account {
            Account::UserBonus(person) => (person, Kind::Bonus),
            Account::UserPurchased(person) => (person, Kind::Purchased),
            other => panic!("lots stand in the accounts of users, not in {other}"),
        };
        Place { person, turn: turn(kind, lot.expires_at), since: number(lot.since), lot: id }
    }

    /// Before all lots of the kind that expire at `expires_at` or later.
    fn before(person: PersonId, kind: Kind, expires_at: Timestamp) -> Place {
        Place { person, turn: turn(kind, expires_at), since: number(0), lot: LotId(uuid::Uuid::nil()) }
    }

    /// After all lots of the kind.
    fn after(person: PersonId, kind: Kind) -> Place {
        Place { person, turn: turn(kind, NEVER), since: [u8::MAX; 6], lot: LotId(uuid::Uuid::max()) }
    }
}

impl Lot {
    pub(super) fn new(
        account: Account,
        amount_milli: i64,
        expires_at: Option<Timestamp>,
        since: u64,
        loose: bool,
    ) -> Lot {
        Lot { account, remaining_milli: amount_milli, expires_at: expires_at.unwrap_or(NEVER), since, loose }
    }

    pub fn expires_at(&self) -> Option<Timestamp> {
        (self.expires_at != NEVER).then_some(self.expires_at)
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
        self.lots_of(account).filter(|(_, lot)| lot.loose).collect()
    }
}

impl Change<'_> {
    /// Adds a lot that a purchase refers to: it stays as it is until it is spent.
    pub fn add_lot(&mut self, id: LotId, account: Account, amount_milli: i64, expires_at: Option<Timestamp>) {
        self.put_lot(id, Lot::new(account, amount_milli, expires_at, self.revision, false));
    }

    /// Adds a lot that nothing refers to by its id: it may be merged with others.
    pub fn add_loose_lot(
        &mut self,
        id: LotId,
        account: Account,
        amount_milli: i64,
        expires_at: Option<Timestamp>,
    ) {
        self.put_lot(id, Lot::new(account, amount_milli, expires_at, self.revision, true));
    }

    pub(super) fn put_lot(&mut self, id: LotId, lot: Lot) {
        let (tables, revision) = (&mut self.state.tables, self.revision);
        assert!(tables.lots.get(&id).is_none(), "the lot {id} is there already");
        tables.lot_places.set(revision, Place::of(id, &lot), Some(()));
        if let Some(expires_at) = lot.expires_at() {
            tables.expiring_lots.set(revision, (expires_at, id), Some(()));
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
        if let Some(expires_at) = lot.expires_at() {
            tables.expiring_lots.set(revision, (expires_at, id), None);
        }
        tables.lots.set(revision, id, None);
    }
}
