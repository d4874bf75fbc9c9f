//! Real money that fits no open case: it stands in suspense until a person resolves it.

use crate::mechanism::event::{Change, Happened, events};
use crate::{Asset, Gateway, PersonId, Posting, PurchaseId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why money fits no open case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnmatchedCause {
    UnknownOrder,
    SecondPayment,
    AmountMismatch,
    CurrencyMismatch,
    /// A refund of a purchase that is unknown, not captured, or smaller than the refund.
    RefundUnmatched,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MoneyDirection {
    In,
    Out,
}

events! {
    /// Real money that fits no open case stands in suspense until a person resolves it.
    UnmatchedMoneyReceived = "UnmatchedMoneyReceived" {
        gateway: Gateway,
        payment_ref: String,
        purchase: Option<PurchaseId>,
        cause: UnmatchedCause,
        direction: MoneyDirection,
        amount_minor: i64,
        amount_asset: Asset,
        postings: Vec<Posting>,
    }
}

impl Happened for UnmatchedMoneyReceived {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn people(&self) -> Vec<PersonId> {
        vec![]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        self.purchase.map(|purchase| purchase.0)
    }

    fn evolve(&self, change: &mut Change) {
        if self.direction == MoneyDirection::Out {
            let refunds = &mut change.state.tables.refunds;
            refunds.set(change.revision, self.payment_ref.clone(), Some(change.revision));
        }
    }
}
