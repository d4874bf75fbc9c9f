//! A purchase as the ledger sees it.

use crate::mechanism::event::Change;
use crate::{Asset, Gateway, LotId, PersonId, PurchaseId, State};
use serde::Serialize;

/// A purchase and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Purchase {
    pub user: PersonId,
    pub gateway: Gateway,
    pub coins_milli: i64,
    pub bonus_milli: i64,
    pub bonus_valid_seconds: Option<u32>,
    pub price_minor: i64,
    pub price_asset: Asset,
    pub captured: Option<Captured>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
}

impl Change<'_> {
    pub fn edit_purchase(&mut self, id: PurchaseId, edit: impl FnOnce(&mut Purchase)) {
        self.state.tables.purchases.edit(self.revision, &id, edit);
    }
}
