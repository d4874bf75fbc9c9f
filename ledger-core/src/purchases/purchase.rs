//! A purchase as the ledger sees it.

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
pub(super) const CAPTURED_STAYS_MS: i64 = 550 * DAY_MS;

/// A purchase and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    pub user: PersonId,
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
}

impl Captured {
    pub(super) fn fresh(lot: LotId, bonus_lot: Option<LotId>) -> Captured {
        Captured { lot, bonus_lot, refunded_minor: 0, covered_minor: 0, taken_milli: 0 }
    }
}

impl Purchase {
    /// All coins that the price buys: the plan's bonus too.
    pub(super) fn all_milli(&self) -> i64 {
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
}

impl Change<'_> {
    pub fn edit_purchase(&mut self, id: PurchaseId, edit: impl FnOnce(&mut Purchase)) {
        self.state.tables.purchases.edit(self.revision, &id, edit);
    }

    /// Notes when the purchase leaves: so long after now.
    pub(super) fn purchase_leaves_in(&mut self, id: PurchaseId, stays_ms: i64) {
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
            tables.purchases.set(self.revision, key.1, None);
        }
    }
}
