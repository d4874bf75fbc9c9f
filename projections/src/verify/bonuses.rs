//! Bonus lots: what was granted, less all that was taken.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::bonuses::BonusLotRow;
use chrono::{DateTime, Utc};
use ledger_core::event::{BonusOrigin, Draw, ReturnedDraw};
use ledger_core::{Account, Asset, Event, LotId, PersonId, State, Timestamp};
use std::collections::BTreeMap;
use uuid::Uuid;

named!(BonusLotRow: "bonus_lots", |row| row.lot.to_string());

struct Lot {
    user: PersonId,
    origin: &'static str,
    purchase: Option<Uuid>,
    granted_milli: i64,
    granted_at: DateTime<Utc>,
    expires_at: Option<Timestamp>,
    expired_at: Option<DateTime<Utc>>,
    taken_milli: i64,
    last: i64,
}

#[derive(Default)]
pub(super) struct Bonuses {
    lots: BTreeMap<Uuid, Lot>,
}

impl Opinion for Bonuses {
    fn add(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::BonusGranted(it) => {
                let origin = match it.origin {
                    BonusOrigin::Plan => "plan",
                    BonusOrigin::Promotion => "promotion",
                    BonusOrigin::Ad => "ad",
                    BonusOrigin::Daily => "daily",
                    BonusOrigin::Code => "code",
                    BonusOrigin::Referral => "referral",
                };
                self.lots.insert(
                    it.lot.0,
                    Lot {
                        purchase: it.purchase.map(|id| id.0),
                        expires_at: it.expires_at,
                        ..Lot::new(it.user, origin, it.coins_milli, told)
                    },
                );
            }
            Event::AdjustmentPosted(it) => {
                if let (Some(lot), Account::UserBonus(user)) = (it.lot, it.account) {
                    self.lots.insert(lot.0, Lot::new(user, "adjustment", it.amount_milli, told));
                }
                self.drawn(&it.draws, told);
            }
            Event::BonusExpired(it) => {
                self.take(it.lot, it.coins_milli, told);
                if let Some(lot) = self.lots.get_mut(&it.lot.0) {
                    lot.expired_at = Some(told.at);
                }
            }
            Event::PurchaseRefunded(it) => {
                if let Some(lot) = it.bonus_lot {
                    self.take(lot, it.bonus_milli, told);
                }
            }
            Event::LotsMerged(it) => {
                self.drawn(&it.merged, told);
                if let Account::UserBonus(user) = it.account {
                    let expires_at = it.expires_at;
                    let lot = Lot { expires_at, ..Lot::new(user, "merged", it.amount_milli, told) };
                    self.lots.insert(it.lot.0, lot);
                }
            }
            Event::DisputeOpened(it) => {
                it.frozen.iter().for_each(|frozen| self.take(frozen.lot, frozen.amount_milli, told));
            }
            Event::DisputeMatched(it) => {
                it.frozen.iter().for_each(|frozen| self.take(frozen.lot, frozen.amount_milli, told));
            }
            Event::DisputeReleased(it) => {
                it.released.iter().for_each(|back| self.take(back.lot, -back.amount_milli, told));
            }
            Event::DisputeLost(it) => self.drawn(&it.draws, told),
            Event::DisputeReversed(it) => {
                if let Some(lot) = it.bonus_lot.filter(|_| it.bonus_milli > 0) {
                    self.take(lot, -it.bonus_milli, told);
                }
            }
            Event::ReceivableRecovered(it) => self.drawn(&it.draws, told),
            Event::CallTicked(it) => self.drawn(&it.draws, told),
            Event::GiftSent(it) => self.drawn(&it.draws, told),
            Event::SubscriptionPaid(it) => self.drawn(&it.draws, told),
            Event::OrderPlaced(it) => self.drawn(&it.draws, told),
            Event::OrderPaid(it) => self.drawn(&it.draws, told),
            Event::OrderCancelled(it) => self.back(&it.draws, told),
            Event::OrderRefunded(it) => self.back(&it.draws, told),
            Event::CallChargeReturned(it) => self.back(&it.draws, told),
            _ => {}
        }
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, state: &State) -> Result<(), Stop> {
        // An event that moves bonus coins and that both opinions on lots left out shows here.
        let mut sums: BTreeMap<PersonId, (i64, i64)> = BTreeMap::new();
        for lot in self.lots.values() {
            let (sum, last) = sums.entry(lot.user).or_default();
            *sum += lot.granted_milli - lot.taken_milli;
            *last = lot.last.max(*last);
        }
        for (user, (sum, last)) in sums {
            let ledger = -state.balance(Account::UserBonus(user), Asset::COIN);
            comparison.same("bonus lots of a person", user, u64::try_from(last).unwrap_or(0), ledger, sum)?;
        }
        let expected = self.lots.iter().map(|(id, lot)| BonusLotRow {
            lot: *id,
            user: lot.user.0,
            origin: lot.origin.to_owned(),
            purchase: lot.purchase,
            granted_milli: lot.granted_milli,
            remaining_milli: lot.granted_milli - lot.taken_milli,
            granted_at: lot.granted_at,
            expires_at: lot.expires_at.map(Timestamp::to_utc),
            expired_at: lot.expired_at,
            revision: lot.last,
        });
        comparison
            .table("SELECT * FROM read.bonus_lots ORDER BY lot", expected.collect(), |row| row.lot)
            .await
    }
}

impl Lot {
    fn new(user: PersonId, origin: &'static str, granted_milli: i64, told: &Told<'_>) -> Lot {
        Lot {
            user,
            origin,
            purchase: None,
            granted_milli,
            granted_at: told.at,
            expires_at: None,
            expired_at: None,
            taken_milli: 0,
            last: told.revision,
        }
    }
}

impl Bonuses {
    /// Draws name lots of bought coins too, which are not listed here.
    fn drawn(&mut self, draws: &[Draw], told: &Told<'_>) {
        for draw in draws {
            self.take(draw.lot, draw.amount_milli, told);
        }
    }

    fn back(&mut self, draws: &[ReturnedDraw], told: &Told<'_>) {
        for draw in draws {
            self.take(draw.lot, -draw.amount_milli, told);
        }
    }

    fn take(&mut self, lot: LotId, coins_milli: i64, told: &Told<'_>) {
        if let Some(lot) = self.lots.get_mut(&lot.0) {
            lot.taken_milli += coins_milli;
            lot.last = told.revision;
        }
    }
}
