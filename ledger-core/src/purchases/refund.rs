//! Money that goes back to the payer, and the coins that go with it.
//!
//! What can be refunded is what is unspent. All coins of a purchase, the plan's bonus too, share its price
//! evenly: with `t` coins for the price `p`, of which `u` are unspent or taken back by refunds already,
//! `floor(p x u / t)` can be refunded in all. A refund takes bought and bonus coins back in proportion, as far
//! as they are there; the refund of all that is left takes all coins that are left. Bonus coins that have
//! expired count as spent.

use super::unmatched::unmatched_refund;
use super::{Captured, Purchase, UnmatchedCause};
use crate::account::legs;
use crate::mechanism::decide::{Context, Decide, check_amount, check_reference};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::money::share;
use crate::{
    Account, Asset, Event, Gateway, LotId, PersonId, Posting, PurchaseId, Rejection, State, Timestamp,
};

commands! {
    /// A refund that the gateway reports. Cannot be refused: what fits no purchase goes to suspense. One that
    /// comes before the capture of its payment waits there for it, as long as it takes.
    RecordRefund = "RecordRefund" {
        gateway: Gateway,
        /// The payment that is undone.
        payment_ref: String,
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
    /// Money went back to the payer; unspent coins of the purchase went with it.
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
        /// The case in suspense that this refund was, because it came before its capture.
        settles: Option<u64>,
        postings: Vec<Posting>,
    }
}

impl Decide for RecordRefund {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &RecordRefund { gateway, ref payment_ref, ref refund_ref, amount_minor, asset } = self;
        check_amount("amount_minor", amount_minor)?;
        let payment_ref = check_reference("payment_ref", payment_ref)?;
        let refund_ref = check_reference("refund_ref", refund_ref)?;
        if context.state.tables.refunds.get(&refund_ref).is_some() {
            return Err(Rejection::RefundKnown);
        }
        if let Some((id, row, captured)) = context.state.bought_by(&payment_ref)
            && row.price_asset == asset
            && amount_minor <= row.price_minor - captured.refunded_minor
        {
            // The money is gone: coins that a dispute freezes go with it.
            let mut open = Refundable::with_frozen(context, row, captured);
            let from = (Account::Gateway(row.gateway), None);
            let refund = open.refund(id, refund_ref, amount_minor, from);
            return Ok([open.thawed(context, None), vec![refund]].concat());
        }
        let causes = [UnmatchedCause::RefundBeforeCapture, UnmatchedCause::RefundUnmatched];
        let refs = (payment_ref, refund_ref);
        Ok(vec![unmatched_refund(context, gateway, refs, amount_minor, asset, causes)])
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
        if context.state.open_disputes(captured).next().is_some() {
            return Err(Rejection::PurchaseDisputed);
        }
        let refundable_minor = row.price_minor - captured.refunded_minor;
        if amount_minor > refundable_minor {
            return Err(Rejection::RefundExceedsCaptured { refundable_minor });
        }
        let mut open = Refundable::of(context, row, captured);
        let refundable_minor = open.minor();
        if amount_minor > refundable_minor {
            return Err(Rejection::RefundExceedsUnspent { refundable_minor });
        }
        let from = (Account::Gateway(row.gateway), None);
        Ok(vec![open.refund(purchase, refund_ref, amount_minor, from)])
    }
}

/// What of a purchase can still be refunded.
pub(crate) struct Refundable<'a> {
    pub row: &'a Purchase,
    pub captured: Captured,
    pub coins_left_milli: i64,
    pub bonus_left_milli: i64,
    pub bonus_expires_at: Option<Timestamp>,
}

impl<'a> Refundable<'a> {
    pub fn of(context: &Context, row: &'a Purchase, captured: &Captured) -> Refundable<'a> {
        let left = |lot: LotId| context.state.lot(lot).map_or(0, |row| row.remaining_milli);
        let (coins_left_milli, bonus_left_milli) = (left(captured.lot), captured.bonus_lot.map_or(0, left));
        let bonus_expires_at = captured.bonus_lot.and_then(|lot| context.state.lot(lot)?.expires_at());
        Refundable { row, captured: captured.clone(), coins_left_milli, bonus_left_milli, bonus_expires_at }
    }

    /// A purchase of which nothing has been spent yet.
    pub fn untouched(context: &Context, row: &'a Purchase, captured: Captured) -> Refundable<'a> {
        let bonus_left_milli = captured.bonus_lot.map_or(0, |_| row.bonus_milli);
        let bonus_expires_at = row.bonus_valid_seconds.map(|seconds| context.at.plus_seconds(seconds));
        let coins_left_milli = row.coins_milli;
        Refundable { row, captured, coins_left_milli, bonus_left_milli, bonus_expires_at }
    }

    /// How much of the price has not gone back yet.
    pub fn kept_minor(&self) -> i64 {
        self.row.price_minor - self.captured.refunded_minor
    }

    /// The money that the purchase's unspent coins are worth.
    fn minor(&self) -> i64 {
        let left_milli = self.coins_left_milli + self.bonus_left_milli;
        if left_milli == 0 {
            return 0;
        }
        let worth = share(self.row.price_minor, left_milli + self.captured.taken_milli, self.row.all_milli());
        let unspent = worth.unwrap_or(0) - self.captured.covered_minor;
        unspent.clamp(0, self.row.price_minor - self.captured.refunded_minor)
    }

    /// The event that gives `amount_minor` back. The money leaves `from`; what the unspent coins are not worth
    /// stands in suspense. Where the refund came before its capture, it `settles` the case in which it has waited.
    pub fn refund(
        &mut self,
        purchase: PurchaseId,
        refund_ref: String,
        amount_minor: i64,
        (from, settles): (Account, Option<u64>),
    ) -> Event {
        let refundable_minor = self.minor();
        let covered_minor = amount_minor.min(refundable_minor);
        let (coins_milli, bonus_milli) = match covered_minor == refundable_minor {
            true => (self.coins_left_milli, self.bonus_left_milli),
            false => self.in_proportion(covered_minor),
        };
        let (row, captured) = (self.row, &mut self.captured);
        captured.refunded_minor += amount_minor;
        captured.covered_minor += covered_minor;
        captured.taken_milli += coins_milli + bonus_milli;
        self.coins_left_milli -= coins_milli;
        self.bonus_left_milli -= bonus_milli;
        let uncovered_minor = amount_minor - covered_minor;
        let (asset, suspense) = (row.price_asset, Account::Suspense(row.gateway));
        let mut postings: Vec<Posting> = [
            legs(Asset::COIN, Account::UserPurchased(row.user), Account::ExchangeCoins, coins_milli),
            legs(Asset::COIN, Account::UserBonus(row.user), Account::PlatformPromotions, bonus_milli),
            legs(asset, Account::ExchangeCoins, from, covered_minor),
        ]
        .concat();
        if from != suspense {
            postings.extend(legs(asset, suspense, from, uncovered_minor));
        }
        let bonus_lot = captured.bonus_lot.filter(|_| bonus_milli > 0);
        PurchaseRefunded {
            purchase,
            user: row.user,
            gateway: row.gateway,
            refund_ref,
            lot: captured.lot,
            coins_milli,
            bonus_lot,
            bonus_milli,
            refunded_minor: amount_minor,
            refunded_asset: asset,
            uncovered_minor,
            settles,
            postings,
        }
        .into()
    }

    /// How many of `all_milli` coins part of the money has bought, as a difference of totals, so that many small parts
    /// are what one large one is. Rounded down.
    fn due(&self, all_milli: i64, minor: i64) -> i64 {
        let total = |minor: i64| share(all_milli, minor, self.row.price_minor).unwrap_or(0);
        total(self.captured.covered_minor + minor) - total(self.captured.covered_minor)
    }

    /// How many coins part of the money has bought, bonus coins too.
    pub fn due_milli(&self, minor: i64) -> i64 {
        self.due(self.row.all_milli(), minor)
    }

    /// The bought and the bonus coins that part of the money takes back, as far as they are there.
    pub fn in_proportion(&self, minor: i64) -> (i64, i64) {
        let due_milli = self.due_milli(minor);
        let bonus_milli = self.due(self.row.bonus_milli, minor).min(self.bonus_left_milli).min(due_milli);
        let coins_milli = (due_milli - bonus_milli).min(self.coins_left_milli);
        (coins_milli, (due_milli - coins_milli).min(self.bonus_left_milli))
    }
}

impl Happened for PurchaseRefunded {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        let coins = LotMove::taken(self.lot, Account::UserPurchased(self.user), self.coins_milli);
        let bonus =
            self.bonus_lot.map(|lot| LotMove::taken(lot, Account::UserBonus(self.user), self.bonus_milli));
        [Some(coins), bonus].into_iter().flatten().filter(|it| it.amount_milli != 0).collect()
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
                captured.covered_minor += self.refunded_minor - self.uncovered_minor;
                captured.taken_milli += self.coins_milli + self.bonus_milli;
            }
        });
        change.draw(self.lot, self.coins_milli);
        if let Some(bonus_lot) = self.bonus_lot {
            change.draw(bonus_lot, self.bonus_milli);
        }
        if let Some(case) = self.settles {
            change.close_case(case);
        }
        if self.uncovered_minor > 0 {
            change.open_case_of_refund(self);
        }
        let refunds = &mut change.state.tables.refunds;
        refunds.set(change.revision, self.refund_ref.clone(), Some(change.revision));
    }
}
