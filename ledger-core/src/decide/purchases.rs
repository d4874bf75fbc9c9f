//! Coins for money: purchases, refunds, bonus coins.

use super::{Context, check_amount, check_reason, check_reference};
use crate::account::{Account, Gateway, Posting, legs};
use crate::event::*;
use crate::ids::{LotId, PersonId, PlanId, PurchaseId};
use crate::money::{Asset, share};
use crate::rejection::Rejection;
use crate::state::{Captured, Purchase};

impl Context<'_> {
    pub fn open_purchase(
        &self,
        user: PersonId,
        plan: PlanId,
        gateway: Gateway,
    ) -> Result<Vec<Event>, Rejection> {
        let row = self.state.plan(plan).ok_or(Rejection::UnknownPlan)?;
        if !row.active {
            return Err(Rejection::PlanInactive);
        }
        let opened = PurchaseOpened {
            purchase: self.command_id.derive("purchase"),
            user,
            plan,
            gateway,
            coins_milli: row.coins_milli,
            bonus_milli: row.bonus_milli,
            bonus_valid_seconds: row.bonus_valid_seconds,
            price_minor: row.price_minor,
            price_asset: row.price_asset,
        };
        Ok(vec![opened.into()])
    }

    pub fn capture_purchase(
        &self,
        gateway: Gateway,
        purchase: Option<PurchaseId>,
        payment_ref: String,
        amount_minor: i64,
        asset: Asset,
    ) -> Result<Vec<Event>, Rejection> {
        check_amount("amount_minor", amount_minor)?;
        let payment_ref = check_reference("payment_ref", payment_ref)?;
        let known = purchase.and_then(|id| self.state.purchase(id).map(|row| (id, row)));
        let cause = match known {
            None => UnmatchedCause::UnknownOrder,
            Some((_, row)) if row.captured.is_some() => UnmatchedCause::SecondPayment,
            Some((_, row)) if row.price_asset != asset => UnmatchedCause::CurrencyMismatch,
            Some((_, row)) if row.price_minor != amount_minor => UnmatchedCause::AmountMismatch,
            Some((id, row)) => return Ok(self.credit(id, row, payment_ref)),
        };
        let unmatched = UnmatchedMoneyReceived {
            gateway,
            payment_ref,
            purchase: known.map(|(id, _)| id),
            cause,
            direction: MoneyDirection::In,
            amount_minor,
            amount_asset: asset,
            postings: legs(asset, Account::Gateway(gateway), Account::Suspense(gateway), amount_minor),
        };
        Ok(vec![unmatched.into()])
    }

    fn credit(&self, id: PurchaseId, row: &Purchase, payment_ref: String) -> Vec<Event> {
        let user = Account::UserPurchased(row.user);
        let gateway = Account::Gateway(row.gateway);
        let mut postings = legs(row.price_asset, gateway, Account::ExchangeCoins, row.price_minor);
        postings.extend(legs(Asset::COIN, Account::ExchangeCoins, user, row.coins_milli));
        let captured = PurchaseCaptured {
            purchase: id,
            user: row.user,
            gateway: row.gateway,
            payment_ref,
            lot: self.command_id.derive("lot"),
            coins_milli: row.coins_milli,
            paid_minor: row.price_minor,
            paid_asset: row.price_asset,
            postings,
        };
        let bonus = (row.bonus_milli > 0).then(|| {
            self.bonus(row.user, BonusOrigin::Plan, Some(id), row.bonus_milli, row.bonus_valid_seconds)
        });
        [Some(captured.into()), bonus].into_iter().flatten().collect()
    }

    /// A payment failed. The purchase stays open: gateways turn a failure into a capture later.
    pub fn fail_purchase(
        &self,
        purchase: PurchaseId,
        payment_ref: String,
        reason: String,
    ) -> Result<Vec<Event>, Rejection> {
        let payment_ref = check_reference("payment_ref", payment_ref)?;
        let reason = check_reason("reason", reason)?;
        let row = self.state.purchase(purchase).ok_or(Rejection::UnknownPurchase)?;
        if row.captured.is_some() {
            return Err(Rejection::PurchaseNotOpen);
        }
        Ok(vec![PurchaseFailed { purchase, user: row.user, payment_ref, reason }.into()])
    }

    /// A refund that the gateway reports has happened: what does not fit goes through suspense.
    pub fn record_refund(
        &self,
        gateway: Gateway,
        purchase: Option<PurchaseId>,
        refund_ref: String,
        amount_minor: i64,
        asset: Asset,
    ) -> Result<Vec<Event>, Rejection> {
        check_amount("amount_minor", amount_minor)?;
        let refund_ref = check_reference("refund_ref", refund_ref)?;
        if self.state.refunds.get(&refund_ref).is_some() {
            return Err(Rejection::RefundKnown);
        }
        let known = purchase.and_then(|id| self.state.purchase(id).map(|row| (id, row)));
        if let Some((id, row)) = known
            && let Some(captured) = &row.captured
            && row.price_asset == asset
            && amount_minor <= row.price_minor - captured.refunded_minor
        {
            let part = self.refundable(row, captured, amount_minor);
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

    pub fn refund_purchase(
        &self,
        purchase: PurchaseId,
        refund_ref: String,
        amount_minor: i64,
        asset: Asset,
    ) -> Result<Vec<Event>, Rejection> {
        check_amount("amount_minor", amount_minor)?;
        let refund_ref = check_reference("refund_ref", refund_ref)?;
        let row = self.state.purchase(purchase).ok_or(Rejection::UnknownPurchase)?;
        if self.state.refunds.get(&refund_ref).is_some() {
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
        let part = self.refundable(row, captured, amount_minor);
        if part.is_short() {
            return Err(Rejection::RefundExceedsUnspent { unspent_milli: part.left_milli });
        }
        Ok(vec![refunded(purchase, row, captured, refund_ref, amount_minor, part)])
    }

    /// Which coins a refund takes back: the purchase's in proportion to the money, as a difference
    /// of totals so that many small refunds take what one large one takes, as far as unspent.
    fn refundable(&self, row: &Purchase, captured: &Captured, amount_minor: i64) -> RefundedCoins {
        let due = |all_milli: i64| {
            let total = |minor: i64| share(all_milli, minor, row.price_minor).unwrap_or(0);
            total(captured.refunded_minor + amount_minor) - total(captured.refunded_minor)
        };
        let left = |lot: LotId| self.state.lot(lot).map_or(0, |row| row.remaining_milli);
        let due_milli = due(row.coins_milli);
        RefundedCoins {
            due_milli,
            coins_milli: due_milli.min(left(captured.lot)),
            left_milli: left(captured.lot),
            bonus_milli: captured.bonus_lot.map_or(0, |lot| due(row.bonus_milli).min(left(lot))),
        }
    }

    pub fn grant_bonus(
        &self,
        user: PersonId,
        origin: BonusOrigin,
        coins_milli: i64,
        valid_seconds: Option<u32>,
    ) -> Result<Vec<Event>, Rejection> {
        check_amount("coins_milli", coins_milli)?;
        if valid_seconds == Some(0) {
            return Err(Rejection::AmountNotPositive { field: "valid_seconds" });
        }
        Ok(vec![self.bonus(user, origin, None, coins_milli, valid_seconds)])
    }

    fn bonus(
        &self,
        user: PersonId,
        origin: BonusOrigin,
        purchase: Option<PurchaseId>,
        coins_milli: i64,
        valid_seconds: Option<u32>,
    ) -> Event {
        BonusGranted {
            lot: self.command_id.derive("bonus"),
            user,
            origin,
            purchase,
            coins_milli,
            expires_at: valid_seconds.map(|seconds| self.at.plus_seconds(seconds)),
            postings: legs(Asset::COIN, Account::PlatformPromotions, Account::UserBonus(user), coins_milli),
        }
        .into()
    }

    pub fn expire_bonus(&self, lot: LotId) -> Result<Vec<Event>, Rejection> {
        let row = self.state.lot(lot).ok_or(Rejection::UnknownLot)?;
        let (Account::UserBonus(user), Some(expiry)) = (row.account, row.expires_at) else {
            return Err(Rejection::UnknownLot);
        };
        if self.at < expiry {
            return Err(Rejection::LotNotExpired);
        }
        let coins_milli = row.remaining_milli;
        let postings = legs(Asset::COIN, row.account, Account::PlatformPromotions, coins_milli);
        Ok(vec![BonusExpired { lot, user, coins_milli, postings }.into()])
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
