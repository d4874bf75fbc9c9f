//! A purchase as the ledger sees it.

use super::Buys;
use crate::mechanism::event::Change;
use crate::{Asset, Gateway, LotId, PersonId, PurchaseId, State, Timestamp};
use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// How long after it was opened an unpaid purchase can still be captured: longer than the longest time after which
/// it may be set to expire. No gateway keeps an order open so long.
/// Money that comes later goes to suspense.
pub(super) const UNPAID_STAYS_MS: i64 = 45 * DAY_MS;
/// How long after its capture a purchase can be refunded by itself. Cards are disputed for up to 18 months. What
/// comes back later goes to suspense.
pub(crate) const CAPTURED_STAYS_MS: i64 = 550 * DAY_MS;

/// A purchase and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    pub user: PersonId,
    pub buys: Buys,
    pub gateway: Gateway,
    pub coins_milli: i64,
    pub bonus_milli: i64,
    pub bonus_valid_seconds: Option<u32>,
    pub price_minor: i64,
    pub price_asset: Asset,
    /// Nobody paid in time; a capture that comes later still credits.
    pub expired: bool,
    pub captured: Option<Captured>,
    /// When it leaves the state.
    pub leaves_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    pub lot: LotId,
    pub bonus_lot: Option<LotId>,
    pub refunded_minor: i64,
    /// The part of it that coins were taken back for, and those coins.
    pub covered_minor: i64,
    pub taken_milli: i64,
    /// The plan's bonus coins that nobody spent in time.
    pub expired_milli: i64,
    /// The disputes over its payment, by the gateway's names.
    pub disputes: Vec<String>,
}

impl Captured {
    pub(super) fn fresh(lot: LotId, bonus_lot: Option<LotId>) -> Captured {
        Captured {
            lot,
            bonus_lot,
            refunded_minor: 0,
            covered_minor: 0,
            taken_milli: 0,
            expired_milli: 0,
            disputes: vec![],
        }
    }
}

impl Purchase {
    /// All coins that the price buys: the plan's bonus too.
    pub(crate) fn all_milli(&self) -> i64 {
        self.coins_milli + self.bonus_milli
    }
}

impl State {
    pub fn purchase(&self, purchase: PurchaseId) -> Option<&Purchase> {
        self.tables.purchases.get(&purchase)
    }

    /// The purchase that a payment was made for, if it is known and was made for one.
    pub fn purchase_of_payment(&self, payment_ref: &str) -> Option<PurchaseId> {
        self.tables.payments.get(&payment_ref.to_owned())?.purchase
    }

    /// The purchase whose coins a payment bought, as long as it is known.
    pub(crate) fn bought_by(&self, payment_ref: &str) -> Option<(PurchaseId, &Purchase, &Captured)> {
        let id = self.purchase_of_payment(payment_ref)?;
        let row = self.purchase(id)?;
        Some((id, row, row.captured.as_ref()?))
    }
}

impl Change<'_> {
    pub fn edit_purchase(&mut self, id: PurchaseId, edit: impl FnOnce(&mut Purchase)) {
        self.state.tables.purchases.edit(self.revision, &id, edit);
    }

    /// Changes what is known of a captured purchase, unless it has left.
    pub fn edit_captured(&mut self, id: PurchaseId, edit: impl FnOnce(&mut Captured)) {
        if self.state.purchase(id).is_some() {
            self.edit_purchase(id, |purchase| {
                if let Some(captured) = &mut purchase.captured {
                    edit(captured);
                }
            });
        }
    }

    /// The plan's bonus coins of a purchase expired.
    pub fn plan_bonus_expired(&mut self, lot: LotId, coins_milli: i64) {
        if let Some(purchase) = self.state.tables.plan_bonuses.get(&lot).copied() {
            self.edit_captured(purchase, |captured| captured.expired_milli += coins_milli);
        }
    }

    /// Notes when the purchase leaves: so long after now.
    pub fn purchase_leaves_in(&mut self, id: PurchaseId, stays_ms: i64) {
        let leaves_at = self.at.plus_ms(stays_ms);
        let tables = &mut self.state.tables;
        if let Some(row) = tables.purchases.get(&id) {
            tables.leaving_purchases.set(self.revision, (row.leaves_at, id), None);
        }
        tables.leaving_purchases.set(self.revision, (leaves_at, id), Some(()));
        tables.purchases.edit(self.revision, &id, |row| row.leaves_at = leaves_at);
    }

    /// Lets go of purchases that stayed as long as they may. A few whenever one is opened, so that opening stays
    /// cheap and the state shrinks as fast as it grows.
    pub(super) fn forget_settled_purchases(&mut self) {
        let tables = &mut self.state.tables;
        for key in tables.leaving_purchases.due_before(self.at) {
            tables.leaving_purchases.set(self.revision, key, None);
            let bonus_lot = tables.purchases.get(&key.1).and_then(|row| row.captured.as_ref()?.bonus_lot);
            if let Some(lot) = bonus_lot.filter(|lot| tables.plan_bonuses.get(lot).is_some()) {
                tables.plan_bonuses.set(self.revision, lot, None);
            }
            tables.purchases.set(self.revision, key.1, None);
        }
    }
}
