//! Nobody paid.

use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{Event, PersonId, Posting, PurchaseId, Rejection};

commands! {
    /// Closes a purchase that nobody has paid. When that is due is a setting outside the ledger.
    ExpirePurchase = "ExpirePurchase" { purchase: PurchaseId }
}

events! {
    /// The purchase is no longer offered for payment. Money that comes for it all the same is real, and credits.
    PurchaseExpired = "PurchaseExpired" { purchase: PurchaseId, user: PersonId }
}

impl Decide for ExpirePurchase {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let purchase = self.purchase;
        let row = context.state.purchase(purchase).ok_or(Rejection::UnknownPurchase)?;
        if row.captured.is_some() {
            return Err(Rejection::PurchaseNotOpen);
        }
        // What has expired cannot expire again.
        Ok(if row.expired { vec![] } else { vec![PurchaseExpired { purchase, user: row.user }.into()] })
    }
}

impl Happened for PurchaseExpired {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.user]
    }

    fn payer(&self) -> Option<PersonId> {
        Some(self.user)
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.purchase.0)
    }

    fn evolve(&self, change: &mut Change) {
        change.edit_purchase(self.purchase, |purchase| purchase.expired = true);
    }
}
