//! A lost dispute takes money and coins; one that is won after it was lost gives them back.

use super::record::{ReleaseCause, release};
use super::{Dispute, DisputeStatus, Loss, dispute_id};
use crate::account::legs;
use crate::commission::ClawedShare;
use crate::lots::{Draw, MOST_DRAWS};
use crate::mechanism::binary::binary_fields;
use crate::mechanism::decide::Context;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::purchases::{
    MoneyDirection, Refundable, UnmatchedCause, UnmatchedMoneyReceived, unmatched_refund,
};
use crate::{Account, Asset, Event, Gateway, LotId, PersonId, Posting, PurchaseId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::smallvec;
use std::collections::BTreeMap;

events! {
    /// The gateway took the money of a payment back, and the ledger the coins that it bought. Money that fits no
    /// purchase is told of by another event of the same unit.
    DisputeLost = "DisputeLost" {
        dispute_ref: String,
        gateway: Gateway,
        payment_ref: String,
        purchase: Option<PurchaseId>,
        user: Option<PersonId>,
        /// The part of the money that was paid for the purchase, and the part that fits nothing.
        matched_minor: i64,
        unmatched_minor: i64,
        /// What the gateway charges for the dispute.
        fee_minor: i64,
        asset: Asset,
        /// What was taken from which lots, of bought and of bonus coins.
        draws: Vec<Draw>,
        coins_milli: i64,
        bonus_milli: i64,
        /// The plan's bonus coins stood in this lot.
        bonus_lot: Option<LotId>,
        bonus_expires_at: Option<Timestamp>,
        /// What the buyer had spent and owes now.
        owed_milli: i64,
        /// What hosts and agencies had earned by the coins of the purchase, and what was still waiting for them. It covers what
        /// is owed until the buyer pays.
        clawed: Vec<ClawedShare>,
        postings: Vec<Posting>,
    }
    /// The money of a lost dispute came back, and the coins with it.
    DisputeReversed = "DisputeReversed" {
        dispute_ref: String,
        gateway: Gateway,
        purchase: Option<PurchaseId>,
        user: Option<PersonId>,
        returned_minor: i64,
        asset: Asset,
        /// The lot of the purchase, and what goes back to it: what was taken from it.
        lot: Option<LotId>,
        coins_milli: i64,
        /// What was taken from other lots, and by what the buyer has paid meanwhile, comes as a lot of its own. No purchase
        /// refers to it, so that spent coins are not refunded for being disputed.
        other_lot: Option<LotId>,
        other_milli: i64,
        bonus_lot: Option<LotId>,
        bonus_milli: i64,
        bonus_expires_at: Option<Timestamp>,
        /// What the buyer does not owe any more.
        cancelled_milli: i64,
        /// What was written off and has not been lost after all.
        restored_milli: i64,
        /// What had been taken from earnings.
        given_back: Vec<GivenBack>,
        postings: Vec<Posting>,
    }
}

/// The gateway has taken `taken_minor` and charges a fee.
pub(super) fn lost(
    context: &Context,
    dispute_ref: String,
    row: &Dispute,
    (taken_minor, fee_minor, asset): (i64, i64, Asset),
) -> Vec<Event> {
    let (gateway, payment_ref) = (row.gateway, row.payment_ref.clone());
    let mut events = Vec::new();
    if !row.frozen.is_empty() {
        events.push(release(dispute_ref.clone(), row, ReleaseCause::Taken, row.frozen.clone()));
    }
    let mut event = DisputeLost {
        dispute_ref: dispute_ref.clone(),
        gateway,
        payment_ref: payment_ref.clone(),
        purchase: row.purchase,
        user: row.user,
        matched_minor: 0,
        unmatched_minor: taken_minor,
        fee_minor,
        asset,
        draws: vec![],
        coins_milli: 0,
        bonus_milli: 0,
        bonus_lot: None,
        bonus_expires_at: None,
        owed_milli: 0,
        clawed: vec![],
        postings: legs(asset, Account::PlatformLosses, Account::Gateway(gateway), fee_minor),
    };
    if let Some((id, purchase, captured)) = context.state.bought_by(&payment_ref)
        && purchase.price_asset == asset
    {
        let mut open = Refundable::with_frozen(context, purchase, captured);
        event.purchase = Some(id);
        event.user = Some(purchase.user);
        event.matched_minor = taken_minor.min(open.kept_minor());
        event.unmatched_minor = taken_minor - event.matched_minor;
        event.take_coins(context, &mut open);
        events.extend(open.thawed(context, Some(&dispute_ref)));
    }
    let unmatched_minor = event.unmatched_minor;
    events.push(event.into());
    if unmatched_minor > 0 {
        let causes = [UnmatchedCause::DisputeBeforeCapture, UnmatchedCause::DisputeUnmatched];
        let refs = (payment_ref, dispute_ref);
        events.push(unmatched_refund(context, gateway, refs, unmatched_minor, asset, causes));
    }
    events
}

impl DisputeLost {
    /// Takes the coins that the money has bought, in the written order.
    fn take_coins(&mut self, context: &Context, open: &mut Refundable<'_>) {
        let (user, captured) = (open.row.user, &open.captured);
        let (own_milli, bonus_milli) = open.in_proportion(self.matched_minor);
        // What was given back, taken or lost by time is not spent.
        let gone_milli = captured.taken_milli + captured.expired_milli;
        let spent_milli = open.row.all_milli() - gone_milli - open.coins_left_milli - open.bonus_left_milli;
        let short_milli = open.due_milli(self.matched_minor) - own_milli - bonus_milli;
        let short_milli = short_milli.min(spent_milli).max(0);
        let (coins, bonus) = (Account::UserPurchased(user), Account::UserBonus(user));
        let own = Draw { lot: captured.lot, account: coins, amount_milli: own_milli };
        let of_plan = captured.bonus_lot.map(|lot| Draw { lot, account: bonus, amount_milli: bonus_milli });
        let others = context.of_other_purchases(coins, captured.lot, short_milli);
        let others_milli: i64 = others.iter().map(|it| it.amount_milli).sum();
        self.bonus_lot = captured.bonus_lot;
        self.bonus_expires_at = open.bonus_expires_at;
        open.coins_left_milli -= own_milli;
        open.bonus_left_milli -= bonus_milli;
        self.coins_milli = own_milli + others_milli;
        self.bonus_milli = bonus_milli;
        self.owed_milli = short_milli - others_milli;
        let draws = [Some(own), of_plan].into_iter().flatten().filter(|it| it.amount_milli > 0);
        self.draws = draws.chain(others).collect();
        let lots = [Some(captured.lot), captured.bonus_lot];
        self.clawed = context.clawed(lots.into_iter().flatten(), self.owed_milli);
        let (exchange, gateway) = (Account::ExchangeCoins, Account::Gateway(self.gateway));
        self.postings.extend(
            [
                legs(self.asset, exchange, gateway, self.matched_minor),
                legs(Asset::COIN, coins, exchange, self.coins_milli),
                legs(Asset::COIN, bonus, Account::PlatformPromotions, self.bonus_milli),
                legs(Asset::COIN, Account::UserReceivable(user), exchange, self.owed_milli),
            ]
            .concat(),
        );
        for (account, amount_milli) in by_account(&self.clawed) {
            self.postings.extend(legs(Asset::COIN, account, Account::PlatformLosses, amount_milli));
        }
    }
}

/// Earnings that a buyer's payment, or the money of the dispute, gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenBack {
    pub account: Account,
    pub amount_milli: i64,
}

binary_fields! { GivenBack { account: Account, amount_milli: i64 } }

impl GivenBack {
    pub(super) fn all(parts: Vec<(Account, i64)>) -> Vec<GivenBack> {
        parts.into_iter().map(|(account, amount_milli)| GivenBack { account, amount_milli }).collect()
    }

    pub(super) fn legs(all: &[GivenBack]) -> Vec<Posting> {
        let legs = |it: &GivenBack| legs(Asset::COIN, Account::PlatformLosses, it.account, it.amount_milli);
        all.iter().flat_map(legs).collect()
    }
}

/// The sums by account, in the order of the accounts.
fn by_account(clawed: &[ClawedShare]) -> Vec<(Account, i64)> {
    let mut sums = BTreeMap::new();
    for it in clawed {
        *sums.entry(it.account).or_insert(0) += it.amount_milli;
    }
    sums.into_iter().collect()
}

impl Context<'_> {
    /// Takes up to `amount_milli` from other lots of bought coins, from so many as one command may draw on.
    fn of_other_purchases(&self, account: Account, besides: LotId, amount_milli: i64) -> Vec<Draw> {
        let mut open_milli = amount_milli;
        let others = self.state.lots_of(account).filter(|(lot, _)| *lot != besides).take(MOST_DRAWS);
        let draws = others.map_while(|(lot, row)| {
            let part_milli = open_milli.min(row.remaining_milli);
            open_milli -= part_milli;
            (part_milli > 0).then_some(Draw { lot, account, amount_milli: part_milli })
        });
        draws.collect()
    }
}

/// The money of a lost dispute has come back. What the buyer paid for it meanwhile comes back as coins.
pub(super) fn reversed(context: &Context, dispute_ref: String, row: &Dispute) -> Vec<Event> {
    let Some(loss) = &row.loss else { return vec![] };
    let (gateway, asset) = (row.gateway, row.amount_asset);
    let (coins_milli, cancelled_milli) = (loss.own_milli, loss.left_milli());
    let other_milli = loss.coins_milli - loss.own_milli + loss.recovered_milli;
    let other_lot = (other_milli > 0).then(|| context.command_id.derive("returned"));
    let given_back = GivenBack::all(loss.given_back(None));
    let mut postings = legs(asset, Account::Gateway(gateway), Account::ExchangeCoins, loss.matched_minor);
    postings.extend(GivenBack::legs(&given_back));
    if let Some(user) = row.user {
        let exchange = Account::ExchangeCoins;
        postings.extend(
            [
                legs(Asset::COIN, exchange, Account::UserPurchased(user), coins_milli + other_milli),
                legs(Asset::COIN, Account::PlatformPromotions, Account::UserBonus(user), loss.bonus_milli),
                legs(Asset::COIN, exchange, Account::UserReceivable(user), cancelled_milli),
                legs(Asset::COIN, exchange, Account::PlatformLosses, loss.written_off_milli),
            ]
            .concat(),
        );
    }
    let reversed = DisputeReversed {
        dispute_ref: dispute_ref.clone(),
        gateway,
        purchase: row.purchase,
        user: row.user,
        returned_minor: loss.matched_minor,
        asset,
        lot: loss.lot,
        coins_milli,
        other_lot,
        other_milli,
        bonus_lot: loss.bonus_lot,
        bonus_milli: loss.bonus_milli,
        bonus_expires_at: loss.bonus_expires_at,
        cancelled_milli,
        restored_milli: loss.written_off_milli,
        given_back,
        postings,
    };
    let mut events = vec![reversed.into()];
    if loss.unmatched_minor > 0 {
        // The case by which it went out, if nobody has closed it.
        let case = context.state.tables.refunds.get(&dispute_ref).copied();
        let settles = case.filter(|case| context.state.suspense_case(*case).is_some());
        let back = UnmatchedMoneyReceived {
            gateway,
            payment_ref: row.payment_ref.clone(),
            refund_ref: Some(dispute_ref),
            purchase: row.purchase,
            cause: UnmatchedCause::DisputeReversed,
            direction: MoneyDirection::In,
            amount_minor: loss.unmatched_minor,
            amount_asset: asset,
            settles,
            postings: legs(
                asset,
                Account::Gateway(gateway),
                Account::Suspense(gateway),
                loss.unmatched_minor,
            ),
        };
        events.push(back.into());
    }
    events
}

impl Happened for DisputeLost {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        self.draws.iter().map(LotMove::drawn).collect()
    }

    fn people(&self) -> Vec<PersonId> {
        let earners = self.clawed.iter().filter_map(|it| it.account.person());
        people(self.user, earners)
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(dispute_id(&self.dispute_ref).0)
    }

    fn evolve(&self, change: &mut Change) {
        let revision = change.revision;
        let mut lot: Option<LotId> = None;
        if let Some(purchase) = self.purchase.filter(|_| self.matched_minor > 0) {
            change.edit_captured(purchase, |captured| {
                captured.refunded_minor += self.matched_minor;
                captured.covered_minor += self.matched_minor;
                captured.taken_milli += self.coins_milli + self.bonus_milli + self.owed_milli;
                lot = Some(captured.lot);
            });
        }
        change.spend(&self.draws);
        change.claw(&self.clawed);
        change.accrue_moved(&self.postings);
        let loss = Loss {
            matched_minor: self.matched_minor,
            unmatched_minor: self.unmatched_minor,
            lot,
            bonus_lot: self.bonus_lot,
            bonus_expires_at: self.bonus_expires_at,
            coins_milli: self.coins_milli,
            own_milli: self.draws.iter().filter(|it| Some(it.lot) == lot).map(|it| it.amount_milli).sum(),
            bonus_milli: self.bonus_milli,
            owed_milli: self.owed_milli,
            recovered_milli: 0,
            written_off_milli: 0,
            clawed: by_account(&self.clawed),
            since: revision,
        };
        change.edit_dispute(&self.dispute_ref, |row| {
            row.status = DisputeStatus::Lost;
            (row.purchase, row.user, row.amount_asset) = (self.purchase, self.user, self.asset);
            row.loss = Some(loss);
        });
        if let Some(user) = self.user.filter(|_| self.owed_milli > 0) {
            let receivables = &mut change.state.tables.receivables;
            receivables.set(revision, (user, revision), Some(self.dispute_ref.clone()));
        }
    }
}

impl Happened for DisputeReversed {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        let Some(user) = self.user else { return smallvec![] };
        let coins = self.lot.map(|lot| LotMove::added(lot, Account::UserPurchased(user), self.coins_milli));
        let other =
            self.other_lot.map(|lot| LotMove::added(lot, Account::UserPurchased(user), self.other_milli));
        let bonus = self.bonus_lot.map(|lot| LotMove::added(lot, Account::UserBonus(user), self.bonus_milli));
        [coins, other, bonus].into_iter().flatten().filter(|it| it.amount_milli != 0).collect()
    }

    fn people(&self) -> Vec<PersonId> {
        people(self.user, self.given_back.iter().filter_map(|it| it.account.person()))
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(dispute_id(&self.dispute_ref).0)
    }

    fn evolve(&self, change: &mut Change) {
        let mut loss = None;
        change.edit_dispute(&self.dispute_ref, |row| {
            row.status = DisputeStatus::Won;
            loss = row.loss.take();
        });
        let loss = loss.expect("a dispute that is reversed was lost");
        change.accrue_moved(&self.postings);
        if let Some(purchase) = self.purchase.filter(|_| loss.matched_minor > 0) {
            change.edit_captured(purchase, |captured| {
                captured.refunded_minor -= loss.matched_minor;
                captured.covered_minor -= loss.matched_minor;
                captured.taken_milli -= loss.coins_milli + loss.bonus_milli + loss.owed_milli;
            });
        }
        if let Some(user) = self.user {
            change.forget_receivable(user, &loss);
            if let Some(lot) = self.other_lot {
                change.add_loose_lot(lot, Account::UserPurchased(user), self.other_milli, None);
            }
            let coins = self.lot.map(|lot| (lot, Account::UserPurchased(user), self.coins_milli, None));
            let bonus = self.bonus_lot;
            let bonus =
                bonus.map(|lot| (lot, Account::UserBonus(user), self.bonus_milli, self.bonus_expires_at));
            for (lot, account, amount_milli, expires_at) in [coins, bonus].into_iter().flatten() {
                if amount_milli > 0 {
                    change.give_back(lot, account, amount_milli, expires_at);
                }
            }
        }
    }
}

/// The buyer, and the hosts whose earnings it is about.
pub(super) fn people(user: Option<PersonId>, earners: impl IntoIterator<Item = PersonId>) -> Vec<PersonId> {
    let mut people: Vec<PersonId> = user.into_iter().collect();
    for person in earners {
        if !people.contains(&person) {
            people.push(person);
        }
    }
    people
}
