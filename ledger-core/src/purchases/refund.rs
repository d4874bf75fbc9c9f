//! Money that goes back to the payer, and the coins that go with it.

use super::{Captured, MoneyDirection, Purchase, UnmatchedCause, UnmatchedMoneyReceived};
use crate::account::legs;
use crate::mechanism::decide::{Context, Decide, check_amount, check_reference};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::money::share;
use crate::{Account, Asset, Event, Gateway, LotId, PersonId, Posting, PurchaseId, Rejection, State};

commands! {
    /// A refund that the gateway reports. Cannot be refused: what fits no purchase goes to suspense.
    RecordRefund = "RecordRefund" {
        gateway: Gateway,
        purchase: Option<PurchaseId>,
        refund_ref: String,
        amount_minor: i64,
        asset: Asset,
    }
    /// A refund that a person of the platform makes: must fit the purchase and its unspent coins.
    RefundPurchase = "RefundPurchase" {
        purchase: PurchaseId,
        refund_ref: String,
        amount_minor: i64,
        asset: Asset,
    }
}

events! {
    /// Money went back to the payer; unspent coins of the lot went with it.
    PurchaseRefunded = "PurchaseRefunded" {
        purchase: PurchaseId,
        user: PersonId,
        gateway: Gateway,
        refund_ref: String,
        lot: LotId,
        coins_milli: i64,
        /// The plan's bonus coins that went back with them.
        bonus_lot: Option<LotId>,
        bonus_milli: i64,
        refunded_minor: i64,
        refunded_asset: Asset,
        /// The part whose coins were spent already: it stands in suspense.
        uncovered_minor: i64,
        postings: Vec<Posting>,
    }
}

impl Decide for RecordRefund {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &RecordRefund { gateway, purchase, ref refund_ref, amount_minor, asset } = self;
        check_amount("amount_minor", amount_minor)?;
        let refund_ref = check_reference("refund_ref", refund_ref)?;
        if context.state.tables.refunds.get(&refund_ref).is_some() {
            return Err(Rejection::RefundKnown);
        }
        let known = purchase.and_then(|id| context.state.purchase(id).map(|row| (id, row)));
        if let Some((id, row)) = known
            && let Some(captured) = &row.captured
            && row.price_asset == asset
            && amount_minor <= row.price_minor - captured.refunded_minor
        {
            let part = refundable(context, row, captured, amount_minor);
            return Ok(vec![refunded(id, row, captured, refund_ref, amount_minor, part)]);
        }
        let unmatched = UnmatchedMoneyReceived {
            gateway,
            payment_ref: refund_ref,
            purchase: known.map(|(id, _)| id),
            cause: UnmatchedCause::RefundUnmatched,
            direction: MoneyDirection::Out,
            amount_minor,
            amount_asset: asset,
            postings: legs(asset, Account::Suspense(gateway), Account::Gateway(gateway), amount_minor),
        };
        Ok(vec![unmatched.into()])
    }
}

impl Decide for RefundPurchase {
    fn decides_on_money_of(&self, state: &State) -> Option<PersonId> {
        state.purchase(self.purchase).map(|row| row.user)
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &RefundPurchase { purchase, ref refund_ref, amount_minor, asset } = self;
        check_amount("amount_minor", amount_minor)?;
        let refund_ref = check_reference("refund_ref", refund_ref)?;
        let row = context.state.purchase(purchase).ok_or(Rejection::UnknownPurchase)?;
        if context.state.tables.refunds.get(&refund_ref).is_some() {
            return Err(Rejection::RefundKnown);
        }
        let captured = row.captured.as_ref().ok_or(Rejection::PurchaseNotCaptured)?;
        if row.price_asset != asset {
            return Err(Rejection::RefundCurrencyMismatch);
        }
        let refundable_minor = row.price_minor - captured.refunded_minor;
        if amount_minor > refundable_minor {
            return Err(Rejection::RefundExceedsCaptured { refundable_minor });
        }
        let part = refundable(context, row, captured, amount_minor);
        if part.is_short() {
            return Err(Rejection::RefundExceedsUnspent { unspent_milli: part.left_milli });
        }
        Ok(vec![refunded(purchase, row, captured, refund_ref, amount_minor, part)])
    }
}

struct RefundedCoins {
    /// What the money is worth in bought coins.
    due_milli: i64,
    /// What of it is unspent.
    coins_milli: i64,
    /// All that is unspent of the purchase.
    left_milli: i64,
    bonus_milli: i64,
}

impl RefundedCoins {
    /// Whether coins that the money bought are spent. A refund too small to be worth a coin's
    /// smallest part must not pass for covered: many of them would refund what was spent.
    fn is_short(&self) -> bool {
        self.coins_milli < self.due_milli || self.left_milli == 0
    }
}

/// Which coins a refund takes back: the purchase's in proportion to the money, as a difference
/// of totals so that many small refunds take what one large one takes, as far as unspent.
fn refundable(context: &Context, row: &Purchase, captured: &Captured, amount_minor: i64) -> RefundedCoins {
    let due = |all_milli: i64| {
        let total = |minor: i64| share(all_milli, minor, row.price_minor).unwrap_or(0);
        total(captured.refunded_minor + amount_minor) - total(captured.refunded_minor)
    };
    let left = |lot: LotId| context.state.lot(lot).map_or(0, |row| row.remaining_milli);
    let due_milli = due(row.coins_milli);
    RefundedCoins {
        due_milli,
        coins_milli: due_milli.min(left(captured.lot)),
        left_milli: left(captured.lot),
        bonus_milli: captured.bonus_lot.map_or(0, |lot| due(row.bonus_milli).min(left(lot))),
    }
}

fn refunded(
    id: PurchaseId,
    row: &Purchase,
    captured: &Captured,
    refund_ref: String,
    amount_minor: i64,
    part: RefundedCoins,
) -> Event {
    let RefundedCoins { due_milli, coins_milli, bonus_milli, .. } = part;
    // Money whose coins are spent went back all the same: it waits in suspense for a person.
    let covered_minor = match part.is_short() {
        true => share(amount_minor, coins_milli, due_milli).unwrap_or(0),
        false => amount_minor,
    };
    let uncovered_minor = amount_minor - covered_minor;
    let (asset, gateway) = (row.price_asset, Account::Gateway(row.gateway));
    let postings: Vec<Posting> = [
        legs(Asset::COIN, Account::UserPurchased(row.user), Account::ExchangeCoins, coins_milli),
        legs(Asset::COIN, Account::UserBonus(row.user), Account::PlatformPromotions, bonus_milli),
        legs(asset, Account::ExchangeCoins, gateway, covered_minor),
        legs(asset, Account::Suspense(row.gateway), gateway, uncovered_minor),
    ]
    .concat();
    PurchaseRefunded {
        purchase: id,
        user: row.user,
        gateway: row.gateway,
        refund_ref,
        lot: captured.lot,
        coins_milli,
        bonus_lot: captured.bonus_lot.filter(|_| bonus_milli > 0),
        bonus_milli,
        refunded_minor: amount_minor,
        refunded_asset: asset,
        uncovered_minor,
        postings,
    }
    .into()
}

impl Happened for PurchaseRefunded {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.user]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.purchase.0)
    }

    fn evolve(&self, change: &mut Change) {
        change.edit_purchase(self.purchase, |purchase| {
            if let Some(captured) = &mut purchase.captured {
                captured.refunded_minor += self.refunded_minor;
            }
        });
        change.draw(self.lot, self.coins_milli);
        if let Some(bonus_lot) = self.bonus_lot {
            change.draw(bonus_lot, self.bonus_milli);
        }
        let refunds = &mut change.state.tables.refunds;
        refunds.set(change.revision, self.refund_ref.clone(), Some(change.revision));
    }
}
