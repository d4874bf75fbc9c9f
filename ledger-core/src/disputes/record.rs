//! What the gateway tells of disputes, and coins that they freeze and release.

use super::decided::{lost, reversed};
use super::{Dispute, DisputeStatus, dispute_id};
use crate::account::legs;
use crate::calls::ReturnedDraw;
use crate::mechanism::binary::binary_choices;
use crate::mechanism::decide::{Context, Decide, check_amount, check_reference};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::purchases::{CAPTURED_STAYS_MS, Captured, Purchase, Refundable};
use crate::{Account, Asset, Event, Gateway, MAX_AMOUNT, PersonId, Posting, PurchaseId, Rejection};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a gateway tells of a dispute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisputeNews {
    Opened,
    Won,
    /// Closed without a decision.
    Closed,
    /// The gateway has taken money: what it gave back to the payer, and what it charges for the dispute.
    Lost {
        taken_minor: i64,
        fee_minor: i64,
    },
}

/// Why coins are frozen no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseCause {
    Won,
    Closed,
    /// A refund or a lost dispute takes them from their lots, in the same unit.
    Taken,
}

binary_choices! { ReleaseCause as "name" { 0 = Won "won" 1 = Closed "closed" 2 = Taken "taken" } }

commands! {
    /// What the gateway tells of a dispute. It has happened, so it is refused only when it is known already.
    RecordDispute = "RecordDispute" {
        gateway: Gateway,
        dispute_ref: String,
        /// The payment that is disputed.
        payment_ref: String,
        amount_minor: i64,
        asset: Asset,
        news: DisputeNews,
    }
}

events! {
    /// A payer disputes a payment; what its purchase has of unspent coins is frozen.
    DisputeOpened = "DisputeOpened" {
        /// The gateway's name of the dispute.
        dispute_ref: String,
        gateway: Gateway,
        payment_ref: String,
        /// Absent when the payment has bought nothing, or not yet.
        purchase: Option<PurchaseId>,
        user: Option<PersonId>,
        amount_minor: i64,
        amount_asset: Asset,
        frozen: Vec<ReturnedDraw>,
        postings: Vec<Posting>,
    }
    /// The payment of an open dispute, which came first, has bought coins: they are frozen.
    DisputeMatched = "DisputeMatched" {
        dispute_ref: String,
        purchase: PurchaseId,
        user: PersonId,
        frozen: Vec<ReturnedDraw>,
        postings: Vec<Posting>,
    }
    /// Frozen coins went back to their lots.
    DisputeReleased = "DisputeReleased" {
        dispute_ref: String,
        purchase: Option<PurchaseId>,
        user: Option<PersonId>,
        cause: ReleaseCause,
        released: Vec<ReturnedDraw>,
        postings: Vec<Posting>,
    }
}

impl Decide for RecordDispute {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &RecordDispute { gateway, ref dispute_ref, ref payment_ref, amount_minor, asset, ref news } =
            self;
        check_amount("amount_minor", amount_minor)?;
        let dispute_ref = check_reference("dispute_ref", dispute_ref)?;
        let payment_ref = check_reference("payment_ref", payment_ref)?;
        if let &DisputeNews::Lost { taken_minor, fee_minor } = news {
            check_amount("taken_minor", taken_minor)?;
            if !(0..=MAX_AMOUNT).contains(&fee_minor) {
                return Err(Rejection::AmountTooLarge { field: "fee_minor" });
            }
        }
        let (row, first) = match context.state.dispute(&dispute_ref) {
            Some(row) if row.payment_ref != payment_ref => return Err(Rejection::DisputeMismatch),
            Some(_) if *news == DisputeNews::Opened => return Err(Rejection::DisputeKnown),
            Some(row) => (row.clone(), None),
            None => {
                // What is decided already freezes nothing.
                let freezes = *news == DisputeNews::Opened;
                let refs = (dispute_ref.clone(), payment_ref);
                let opened = opened(context, gateway, refs, (amount_minor, asset), freezes);
                (Dispute::of(&opened), Some(opened.into()))
            }
        };
        let more = match (row.status, news) {
            (_, DisputeNews::Opened) => vec![],
            (DisputeStatus::Open, DisputeNews::Won) => {
                vec![release(dispute_ref, &row, ReleaseCause::Won, row.frozen.clone())]
            }
            (DisputeStatus::Open, DisputeNews::Closed) => {
                vec![release(dispute_ref, &row, ReleaseCause::Closed, row.frozen.clone())]
            }
            (DisputeStatus::Lost, DisputeNews::Won) => reversed(context, dispute_ref, &row),
            (DisputeStatus::Lost, _) | (_, DisputeNews::Won | DisputeNews::Closed) => {
                return Err(Rejection::DisputeDecided);
            }
            (_, &DisputeNews::Lost { taken_minor, fee_minor }) => {
                lost(context, dispute_ref, &row, (taken_minor, fee_minor, asset))
            }
        };
        Ok(first.into_iter().chain(more).collect())
    }
}

fn opened(
    context: &Context,
    gateway: Gateway,
    (dispute_ref, payment_ref): (String, String),
    (amount_minor, amount_asset): (i64, Asset),
    freezes: bool,
) -> DisputeOpened {
    let bought = context.state.bought_by(&payment_ref);
    let frozen = match bought {
        Some((_, row, captured)) if freezes => {
            Refundable::of(context, row, captured).freeze(amount_minor, amount_asset)
        }
        _ => vec![],
    };
    let user = bought.map(|(_, row, _)| row.user);
    DisputeOpened {
        dispute_ref,
        gateway,
        payment_ref,
        purchase: bought.map(|(id, ..)| id),
        user,
        amount_minor,
        amount_asset,
        postings: user.map_or(vec![], |user| frozen_legs(user, &frozen)),
        frozen,
    }
}

/// The entry by which coins leave their lots to stand frozen.
fn frozen_legs(user: PersonId, frozen: &[ReturnedDraw]) -> Vec<Posting> {
    let legs =
        frozen.iter().map(|it| legs(Asset::COIN, it.account, Account::UserFrozen(user), it.amount_milli));
    legs.flatten().collect()
}

/// The event by which frozen coins go back to their lots.
pub(super) fn release(
    dispute_ref: String,
    row: &Dispute,
    cause: ReleaseCause,
    released: Vec<ReturnedDraw>,
) -> Event {
    let back = |it: &ReturnedDraw| {
        let frozen = Account::UserFrozen(row.user?);
        Some(legs(Asset::COIN, frozen, it.account, it.amount_milli))
    };
    let postings = released.iter().filter_map(back).flatten().collect();
    DisputeReleased { dispute_ref, purchase: row.purchase, user: row.user, cause, released, postings }.into()
}

impl<'a> Refundable<'a> {
    /// A purchase whose frozen coins count as unspent: what takes them thaws them.
    pub fn with_frozen(context: &Context, row: &'a Purchase, captured: &Captured) -> Refundable<'a> {
        let mut open = Refundable::of(context, row, captured);
        let frozen = context.state.open_disputes(captured).flat_map(|(_, dispute)| &dispute.frozen);
        for it in frozen {
            if it.lot == captured.lot {
                open.coins_left_milli += it.amount_milli;
            } else {
                open.bonus_left_milli += it.amount_milli;
                open.bonus_expires_at = it.expires_at;
            }
        }
        open
    }

    /// The coins that a dispute over so much money freezes: no more than what is left of the purchase was paid with.
    fn freeze(&mut self, amount_minor: i64, asset: Asset) -> Vec<ReturnedDraw> {
        if asset != self.row.price_asset {
            return vec![];
        }
        let (coins_milli, bonus_milli) = self.in_proportion(amount_minor.min(self.kept_minor()));
        self.coins_left_milli -= coins_milli;
        self.bonus_left_milli -= bonus_milli;
        let coins = ReturnedDraw {
            lot: self.captured.lot,
            account: Account::UserPurchased(self.row.user),
            amount_milli: coins_milli,
            expires_at: None,
        };
        let bonus = self.captured.bonus_lot.map(|lot| ReturnedDraw {
            lot,
            account: Account::UserBonus(self.row.user),
            amount_milli: bonus_milli,
            expires_at: self.bonus_expires_at,
        });
        [Some(coins), bonus].into_iter().flatten().filter(|it| it.amount_milli > 0).collect()
    }

    /// The open disputes over a payment that came before it, now that it has bought `purchase`.
    pub fn disputed_early(
        &mut self,
        context: &Context,
        purchase: PurchaseId,
        payment_ref: &str,
    ) -> Vec<Event> {
        let early = context.state.tables.early_disputes.get(&payment_ref.to_owned());
        let rows = early.into_iter().flatten().filter_map(|id| Some((id, context.state.dispute(id)?)));
        let open = rows.filter(|(_, row)| row.status == DisputeStatus::Open);
        let user = self.row.user;
        let matched = open.map(|(dispute_ref, row)| {
            let frozen = self.freeze(row.amount_minor, row.amount_asset);
            let postings = frozen_legs(user, &frozen);
            DisputeMatched { dispute_ref: dispute_ref.clone(), purchase, user, frozen, postings }.into()
        });
        matched.collect()
    }

    /// Of the purchase's coins more were taken than were not frozen: the events that thaw the rest. `besides` is a
    /// dispute that thaws all of its coins by itself.
    pub fn thawed(&self, context: &Context, besides: Option<&str>) -> Vec<Event> {
        let disputes: Vec<_> = context
            .state
            .open_disputes(&self.captured)
            .filter(|(id, _)| Some(id.as_str()) != besides)
            .collect();
        let mut left = [self.coins_left_milli, self.bonus_left_milli];
        let mut events = Vec::new();
        // What is left stays frozen by the first disputes.
        for (dispute_ref, row) in disputes {
            let mut released = row.frozen.clone();
            for it in &mut released {
                let left = &mut left[usize::from(it.lot != self.captured.lot)];
                let stays_milli = it.amount_milli.min(*left);
                *left -= stays_milli;
                it.amount_milli -= stays_milli;
            }
            released.retain(|it| it.amount_milli > 0);
            if !released.is_empty() {
                events.push(release(dispute_ref.clone(), row, ReleaseCause::Taken, released));
            }
        }
        events
    }
}

impl Dispute {
    fn of(opened: &DisputeOpened) -> Dispute {
        Dispute {
            gateway: opened.gateway,
            payment_ref: opened.payment_ref.clone(),
            purchase: opened.purchase,
            user: opened.user,
            amount_minor: opened.amount_minor,
            amount_asset: opened.amount_asset,
            status: DisputeStatus::Open,
            frozen: opened.frozen.clone(),
            loss: None,
        }
    }
}

impl Change<'_> {
    /// A dispute is about a purchase, which stays as long as it would after a capture of now.
    fn dispute_purchase(&mut self, dispute_ref: &str, purchase: PurchaseId) {
        self.edit_captured(purchase, |captured| captured.disputes.push(dispute_ref.to_owned()));
        self.purchase_leaves_in(purchase, CAPTURED_STAYS_MS);
    }

    fn freeze(&mut self, frozen: &[ReturnedDraw]) {
        for it in frozen {
            self.draw(it.lot, it.amount_milli);
        }
    }
}

impl Happened for DisputeOpened {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        self.frozen.iter().map(|it| LotMove::taken(it.lot, it.account, it.amount_milli)).collect()
    }

    fn people(&self) -> Vec<PersonId> {
        self.user.into_iter().collect()
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(dispute_id(&self.dispute_ref).0)
    }

    fn evolve(&self, change: &mut Change) {
        let (dispute_ref, revision) = (self.dispute_ref.clone(), change.revision);
        change.state.tables.disputes.set(revision, dispute_ref.clone(), Some(Dispute::of(self)));
        change.freeze(&self.frozen);
        let Some(purchase) = self.purchase else {
            let early_disputes = &mut change.state.tables.early_disputes;
            let mut early = early_disputes.get(&self.payment_ref).cloned().unwrap_or_default();
            early.push(dispute_ref);
            return early_disputes.set(revision, self.payment_ref.clone(), Some(early));
        };
        change.dispute_purchase(&dispute_ref, purchase);
    }
}

impl Happened for DisputeMatched {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        self.frozen.iter().map(|it| LotMove::taken(it.lot, it.account, it.amount_milli)).collect()
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.user]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(dispute_id(&self.dispute_ref).0)
    }

    fn evolve(&self, change: &mut Change) {
        change.edit_dispute(&self.dispute_ref, |row| {
            (row.purchase, row.user) = (Some(self.purchase), Some(self.user));
            row.frozen.clone_from(&self.frozen);
        });
        change.freeze(&self.frozen);
        change.dispute_purchase(&self.dispute_ref, self.purchase);
    }
}

impl Happened for DisputeReleased {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        self.released.iter().map(|it| LotMove::added(it.lot, it.account, it.amount_milli)).collect()
    }

    fn people(&self) -> Vec<PersonId> {
        self.user.into_iter().collect()
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(dispute_id(&self.dispute_ref).0)
    }

    fn evolve(&self, change: &mut Change) {
        change.edit_dispute(&self.dispute_ref, |row| {
            for it in &self.released {
                for frozen in row.frozen.iter_mut().filter(|frozen| frozen.lot == it.lot) {
                    frozen.amount_milli -= it.amount_milli;
                }
            }
            row.frozen.retain(|it| it.amount_milli > 0);
            match self.cause {
                ReleaseCause::Won => row.status = DisputeStatus::Won,
                ReleaseCause::Closed => row.status = DisputeStatus::Closed,
                ReleaseCause::Taken => {}
            }
        });
        for it in &self.released {
            change.give_back(it.lot, it.account, it.amount_milli, it.expires_at);
        }
    }
}
