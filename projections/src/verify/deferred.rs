//! Deferred revenue: what was paid, by the coins that are gone.

use super::compare::{Comparison, named};
use super::{Opinion, Stop, Told};
use crate::deferred::{DeferredRow, PurchasedLotRow};
use ledger_core::event::{BonusGranted, Draw, PurchaseCaptured, ReturnedDraw};
use ledger_core::{Account, Asset, Event, LotId, PurchaseId, State};
use std::collections::{BTreeMap, HashMap};

named!(DeferredRow: |row| row.asset.clone());
named!(PurchasedLotRow: "purchased_lots", |row| row.purchase.to_string());

/// The coins of one of a purchase's two lots.
#[derive(Default)]
struct Coins {
    in_all_milli: i64,
    /// Spent, expired, taken back or frozen.
    gone_milli: i64,
}

struct Purchase {
    captured: PurchaseCaptured,
    since: i64,
    bonus: Option<BonusGranted>,
    bought: Coins,
    given: Coins,
    frozen_milli: i64,
    held_milli: i64,
    returned_minor: i64,
    last: i64,
}

#[derive(Default, Clone, Copy, PartialEq)]
struct Sums {
    received_minor: i64,
    returned_minor: i64,
    deferred_minor: i64,
}

#[derive(Default)]
pub(super) struct Deferred {
    purchases: HashMap<PurchaseId, Purchase>,
    of_lots: HashMap<LotId, PurchaseId>,
    sums: BTreeMap<Asset, Sums>,
    /// The assets of purchases that this unit is about.
    concerned: Vec<Asset>,
    rows: Vec<DeferredRow>,
}

impl Opinion for Deferred {
    const GROWING: &[(&str, &str)] = &[("deferred_revenue", "asset")];

    fn add(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::PurchaseCaptured(it) => {
                let purchase = Purchase {
                    captured: it.clone(),
                    since: told.revision,
                    bonus: None,
                    bought: Coins { in_all_milli: it.coins_milli, gone_milli: 0 },
                    given: Coins::default(),
                    frozen_milli: 0,
                    held_milli: 0,
                    returned_minor: 0,
                    last: told.revision,
                };
                self.purchases.insert(it.purchase, purchase);
                self.of_lots.insert(it.lot, it.purchase);
                let sums = self.sums.entry(it.paid_asset).or_default();
                sums.received_minor += it.paid_minor;
                sums.deferred_minor += it.paid_minor;
                self.concerned.push(it.paid_asset);
            }
            Event::BonusGranted(it) => {
                if let Some(purchase) = it.purchase {
                    self.of_lots.insert(it.lot, purchase);
                    self.change(Some(purchase), told, |row| {
                        row.given.in_all_milli = it.coins_milli;
                        row.bonus = Some(it.clone());
                    });
                }
            }
            Event::BonusExpired(it) => self.gone(it.lot, it.coins_milli, told),
            Event::PurchaseRefunded(it) => {
                self.gone(it.lot, it.coins_milli, told);
                if let Some(lot) = it.bonus_lot {
                    self.gone(lot, it.bonus_milli, told);
                }
                self.returned(Some(it.purchase), it.refunded_minor - it.uncovered_minor, told);
            }
            Event::DisputeOpened(it) => self.frozen(&it.frozen, 1, told),
            Event::DisputeMatched(it) => self.frozen(&it.frozen, 1, told),
            Event::DisputeReleased(it) => self.frozen(&it.released, -1, told),
            Event::DisputeLost(it) => {
                self.drawn(&it.draws, told);
                self.returned(it.purchase, it.matched_minor, told);
            }
            Event::DisputeReversed(it) => {
                for (lot, coins_milli) in [(it.lot, it.coins_milli), (it.bonus_lot, it.bonus_milli)] {
                    lot.into_iter().for_each(|lot| self.gone(lot, -coins_milli, told));
                }
                self.returned(it.purchase, -it.returned_minor, told);
            }
            Event::CallTicked(it) => self.drawn(&it.draws, told),
            Event::GiftSent(it) => self.drawn(&it.draws, told),
            Event::SubscriptionPaid(it) => self.drawn(&it.draws, told),
            Event::AdjustmentPosted(it) => self.drawn(&it.draws, told),
            Event::OrderPlaced(it) => self.held(it.draws.iter().map(|it| (it.lot, it.amount_milli)), told),
            Event::OrderPaid(it) => self.held(it.draws.iter().map(|it| (it.lot, it.amount_milli)), told),
            Event::OrderCancelled(it) => self.held(it.draws.iter().map(|it| (it.lot, -it.amount_milli)), told),
            Event::OrderRefunded(it) if it.completed => {
                it.draws.iter().for_each(|draw| self.gone(draw.lot, -draw.amount_milli, told));
            }
            Event::OrderRefunded(it) => self.held(it.draws.iter().map(|it| (it.lot, -it.amount_milli)), told),
            Event::OrderCompleted(it) => {
                for draw in &it.spent {
                    let purchase = self.of_lots.get(&draw.lot).copied();
                    self.change(purchase, told, |row| row.held_milli -= draw.amount_milli);
                }
            }
            Event::ReceivableRecovered(it) => self.drawn(&it.draws, told),
            Event::CallChargeReturned(it) => {
                it.draws.iter().for_each(|draw| self.gone(draw.lot, -draw.amount_milli, told));
            }
            _ => {}
        }
        if told.recorded.metadata.closes_unit() {
            self.concerned.sort_unstable();
            self.concerned.dedup();
            for asset in std::mem::take(&mut self.concerned) {
                let sums = self.sums[&asset];
                self.rows.push(DeferredRow {
                    revision: told.revision,
                    asset: asset.to_string(),
                    received_minor: sums.received_minor,
                    returned_minor: sums.returned_minor,
                    deferred_minor: sums.deferred_minor,
                });
            }
        }
    }

    async fn compare_range(&mut self, comparison: &mut Comparison<'_>, range: (i64, i64)) -> Result<(), Stop> {
        comparison
            .grown(&mut self.rows, range, "revision, asset", |row| (row.revision, row.asset.clone()))
            .await
    }

    async fn compare_all(&self, comparison: &mut Comparison<'_>, state: &State) -> Result<(), Stop> {
        // An event that moves bought coins and that both opinions left out shows here, while the lot is not empty.
        for row in self.purchases.values() {
            let (lot, left_milli) = (row.captured.lot, row.bought.in_all_milli - row.bought.gone_milli);
            let ledger = state.lot(lot).map_or(0, |lot| lot.remaining_milli);
            let last = u64::try_from(row.last).unwrap_or(0);
            comparison.same("coins left of a purchase", row.captured.purchase, last, ledger, left_milli)?;
        }
        // Money that came and went for coins, by the other side of it; payouts go out by the bank, less tax.
        for (asset, sums) in &self.sums {
            let balance = |account| state.balance(account, *asset);
            let paid_out = balance(Account::PlatformBank) + balance(Account::PlatformTax);
            let booked = -balance(Account::ExchangeCoins) - paid_out;
            let kept_minor = sums.received_minor - sums.returned_minor;
            let last = state.revision().unwrap_or(0);
            comparison.same("money kept for coins", asset, last, booked, kept_minor)?;
        }
        let expected = self.purchases.values().map(|row| PurchasedLotRow {
            purchase: row.captured.purchase.0,
            user: row.captured.user.0,
            lot: row.captured.lot.0,
            bonus_lot: row.bonus.as_ref().map(|it| it.lot.0),
            price_minor: row.captured.paid_minor,
            price_asset: row.captured.paid_asset.to_string(),
            returned_minor: row.returned_minor,
            coins_milli: row.captured.coins_milli,
            bonus_milli: row.given.in_all_milli,
            remaining_milli: row.bought.in_all_milli - row.bought.gone_milli,
            bonus_remaining_milli: row.given.in_all_milli - row.given.gone_milli,
            frozen_milli: row.frozen_milli,
            held_milli: row.held_milli,
            since: row.since,
            revision: row.last,
        });
        comparison
            .table("SELECT * FROM read.purchased_lots ORDER BY purchase", expected.collect(), |row| row.purchase)
            .await
    }
}

impl Purchase {
    /// The price of the coins that are there, as far as it was not given back.
    fn deferred_minor(&self) -> i64 {
        let sold = i128::from(self.bought.in_all_milli + self.given.in_all_milli);
        let gone = i128::from(self.bought.gone_milli + self.given.gone_milli - self.frozen_milli - self.held_milli);
        let (price, returned) = (i128::from(self.captured.paid_minor), i128::from(self.returned_minor));
        let worth = (price * (sold - gone)).div_euclid(sold);
        i64::try_from(worth.min(price - returned)).unwrap_or(i64::MAX)
    }
}

impl Deferred {
    fn change(&mut self, purchase: Option<PurchaseId>, told: &Told<'_>, change: impl FnOnce(&mut Purchase)) {
        let Some(row) = purchase.and_then(|id| self.purchases.get_mut(&id)) else { return };
        let (asset, before) = (row.captured.paid_asset, row.deferred_minor());
        change(row);
        row.last = told.revision;
        self.sums.entry(asset).or_default().deferred_minor += row.deferred_minor() - before;
        self.concerned.push(asset);
    }

    fn gone(&mut self, lot: LotId, coins_milli: i64, told: &Told<'_>) {
        let purchase = self.of_lots.get(&lot).copied().filter(|_| coins_milli != 0);
        self.change(purchase, told, |row| {
            let coins = if row.captured.lot == lot { &mut row.bought } else { &mut row.given };
            coins.gone_milli += coins_milli;
        });
    }

    fn drawn(&mut self, draws: &[Draw], told: &Told<'_>) {
        draws.iter().for_each(|draw| self.gone(draw.lot, draw.amount_milli, told));
    }

    fn frozen(&mut self, draws: &[ReturnedDraw], sign: i64, told: &Told<'_>) {
        for draw in draws {
            self.gone(draw.lot, sign * draw.amount_milli, told);
            let purchase = self.of_lots.get(&draw.lot).copied();
            self.change(purchase, told, |row| row.frozen_milli += sign * draw.amount_milli);
        }
    }

    /// Coins that are held for an order (positive), or go back to where they came from.
    fn held(&mut self, moves: impl Iterator<Item = (LotId, i64)>, told: &Told<'_>) {
        for (lot, amount_milli) in moves {
            self.gone(lot, amount_milli, told);
            let purchase = self.of_lots.get(&lot).copied();
            self.change(purchase, told, |row| row.held_milli += amount_milli);
        }
    }

    fn returned(&mut self, purchase: Option<PurchaseId>, amount_minor: i64, told: &Told<'_>) {
        if amount_minor == 0 {
            return;
        }
        if let Some(asset) = purchase.and_then(|id| Some(self.purchases.get(&id)?.captured.paid_asset)) {
            self.sums.entry(asset).or_default().returned_minor += amount_minor;
        }
        self.change(purchase, told, |row| row.returned_minor += amount_minor);
    }
}
