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
