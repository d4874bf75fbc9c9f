//! What became of a payment: captured, or failed.

use super::purchase::CAPTURED_STAYS_MS;
use super::unmatched::{early_refunds, unmatched_payment};
use super::{Buys, Captured, Purchase, Refundable, UnmatchedCause};
use crate::account::legs;
use crate::bonuses::{Bonus, BonusOrigin};
use crate::mechanism::decide::{Context, Decide, audit, check_amount, check_reason, check_reference};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::{Account, Asset, Event, Gateway, LotId, PersonId, Posting, PurchaseId, Rejection};
use smallvec::smallvec;

commands! {
    /// The gateway has taken money. Cannot be refused: what fits no open purchase goes to suspense.
    CapturePurchase = "CapturePurchase" {
        gateway: Gateway,
        /// Absent when the gateway's order is none of ours.
        purchase: Option<PurchaseId>,
        payment_ref: String,
        amount_minor: i64,
        asset: Asset,
    }
    /// A payment failed. The purchase stays open: gateways turn a failure into a capture later.
    FailPurchase = "FailPurchase" { purchase: PurchaseId, payment_ref: String, reason: String }
}

events! {
    /// The gateway has the money; the user has a lot of bought coins.
    PurchaseCaptured = "PurchaseCaptured" {
        purchase: PurchaseId,
        user: PersonId,
        gateway: Gateway,
        payment_ref: String,
        lot: LotId,
        coins_milli: i64,
        paid_minor: i64,
        paid_asset: Asset,
        postings: Vec<Posting>,
    }
    /// A payment failed. A later capture still credits.
    PurchaseFailed = "PurchaseFailed" {
        purchase: PurchaseId,
        user: PersonId,
        payment_ref: String,
        reason: String,
    }
}

impl Decide for CapturePurchase {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &CapturePurchase { gateway, purchase, ref payment_ref, amount_minor, asset } = self;
        check_amount("amount_minor", amount_minor)?;
        let payment_ref = check_reference("payment_ref", payment_ref)?;
        if context.state.tables.payments.get(&payment_ref).is_some() {
            return Err(Rejection::PaymentKnown);
        }
        let known = purchase.and_then(|id| context.state.purchase(id).map(|row| (id, row)));
        let cause = match known {
            None => UnmatchedCause::UnknownOrder,
            Some((_, row)) if row.captured.is_some() => UnmatchedCause::SecondPayment,
            Some((_, row)) if row.price_asset != asset => UnmatchedCause::CurrencyMismatch,
            Some((_, row)) if row.price_minor != amount_minor => UnmatchedCause::AmountMismatch,
            Some((id, row)) => {
                let credited = credit(context, id, row, payment_ref.clone(), Account::Gateway(row.gateway));
                let rewards = context.referral_rewards(row.user);
                let rewarded = [credited.clone(), rewards].concat();
                // Coins that nobody can hold are no reason to refuse money that has been taken.
                for events in [rewarded, credited] {
                    if audit(context.state, &events).is_ok() {
                        return Ok(events);
                    }
                }
                UnmatchedCause::BalanceFull
            }
        };
        let (purchase, payment) = (known.map(|(id, _)| id), (gateway, payment_ref));
        Ok(vec![unmatched_payment(context, payment, purchase, cause, amount_minor, asset)])
    }
}

/// The events that credit a purchase: its coins, its bonus, and the refunds that came before. The money stands
/// in `from`: at the gateway, or in suspense.
pub(super) fn credit(
    context: &Context,
    id: PurchaseId,
    row: &Purchase,
    payment_ref: String,
    from: Account,
) -> Vec<Event> {
    let user = Account::UserPurchased(row.user);
    let lot = context.command_id.derive("lot");
    let mut postings = legs(row.price_asset, from, Account::ExchangeCoins, row.price_minor);
    postings.extend(legs(Asset::COIN, Account::ExchangeCoins, user, row.coins_milli));
    let captured = PurchaseCaptured {
        purchase: id,
        user: row.user,
        gateway: row.gateway,
        payment_ref: payment_ref.clone(),
        lot,
        coins_milli: row.coins_milli,
        paid_minor: row.price_minor,
        paid_asset: row.price_asset,
        postings,
    };
    let bonus = (row.bonus_milli > 0).then(|| {
        let bonus = Bonus {
            user: row.user,
            origin: BonusOrigin::Plan,
            purchase: Some(id),
            coins_milli: row.bonus_milli,
            valid_seconds: row.bonus_valid_seconds,
        };
        bonus.event(context)
    });
    let bonus_lot = bonus.as_ref().map(|_| context.command_id.derive("bonus"));
    let mut open = Refundable::untouched(context, row, Captured::fresh(lot, bonus_lot));
    let price = (row.price_minor, row.price_asset);
    let mut events: Vec<Event> = [Some(captured.into()), bonus].into_iter().flatten().collect();
    events.extend(early_refunds(context, id, &payment_ref, &mut open, price));
    events.extend(open.disputed_early(context, id, &payment_ref));
    events.extend(open.recovered(context, id));
    match row.buys {
        Buys::Plan(_) => {}
        Buys::Subscription(period) => events.extend(context.period_bought(period, id, &open)),
        Buys::Order(order) => events.extend(context.order_bought(order, id, &open)),
    }
    events
}

impl Decide for FailPurchase {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let purchase = self.purchase;
        let payment_ref = check_reference("payment_ref", &self.payment_ref)?;
        let reason = check_reason("reason", &self.reason)?;
        let row = context.state.purchase(purchase).ok_or(Rejection::UnknownPurchase)?;
        if row.captured.is_some() {
            return Err(Rejection::PurchaseNotOpen);
        }
        Ok(vec![PurchaseFailed { purchase, user: row.user, payment_ref, reason }.into()])
    }
}

impl Happened for PurchaseCaptured {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        smallvec![LotMove::added(self.lot, Account::UserPurchased(self.user), self.coins_milli)]
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
        change.edit_purchase(self.purchase, |purchase| {
            purchase.captured = Some(Captured::fresh(self.lot, None));
        });
        change.purchase_leaves_in(self.purchase, CAPTURED_STAYS_MS);
        change.know_payment(&self.payment_ref, Some(self.purchase));
        change.has_paid(self.user);
        change.add_lot(self.lot, Account::UserPurchased(self.user), self.coins_milli, None);
    }
}

impl Happened for PurchaseFailed {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.user]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.purchase.0)
    }

    fn evolve(&self, _: &mut Change) {}
}
