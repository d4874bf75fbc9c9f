//! Coins that users are given, and that may expire.

use crate::account::legs;
use crate::mechanism::binary::binary_choices;
use crate::mechanism::decide::{Context, Decide, check_amount};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::{Account, Asset, Event, LotId, PersonId, Posting, PurchaseId, Rejection, State, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::smallvec;

macro_rules! noun {
    ($next:ident $so_far:tt) => {
        $crate::nouns::$next! { $so_far {
            bonuses
            commands { GrantBonus ExpireBonus }
            events { BonusGranted BonusExpired }
            tables {}
            rejections {
                LotNotExpired = "lot_not_expired", "this lot of bonus coins has not expired";
            }
        } }
    };
}
pub(crate) use noun;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BonusOrigin {
    /// Given with a coin plan.
    Plan,
    /// Given by an admin.
    Promotion,
    /// Earned by an ad that was watched.
    Ad,
    /// Earned by coming by that day.
    Daily,
    /// Earned by a promotion code.
    Code,
    /// Earned by somebody who was brought and has paid.
    Referral,
}

binary_choices! { BonusOrigin as "name" {
    0 = Plan "plan"
    1 = Promotion "promotion"
    2 = Ad "ad"
    3 = Daily "daily"
    4 = Code "code"
    5 = Referral "referral"
} }

commands! {
    GrantBonus = "GrantBonus" {
        user: PersonId,
        origin: BonusOrigin,
        coins_milli: i64,
        valid_seconds: Option<u32>,
    }
    ExpireBonus = "ExpireBonus" { lot: LotId }
}

events! {
    BonusGranted = "BonusGranted" {
        lot: LotId,
        user: PersonId,
        origin: BonusOrigin,
        purchase: Option<PurchaseId>,
        coins_milli: i64,
        expires_at: Option<Timestamp>,
        postings: Vec<Posting>,
    }
    /// What was left of a bonus lot at its expiry went back to the platform.
    BonusExpired = "BonusExpired" { lot: LotId, user: PersonId, coins_milli: i64, postings: Vec<Posting> }
}

/// A bonus that a command gives, by itself or with a purchase.
pub(crate) struct Bonus {
    pub user: PersonId,
    pub origin: BonusOrigin,
    pub purchase: Option<PurchaseId>,
    pub coins_milli: i64,
    pub valid_seconds: Option<u32>,
}

impl Bonus {
    pub fn event(self, context: &Context) -> Event {
        self.in_lot(context, "bonus")
    }

    /// The same, where a unit gives several: `word` is what the lot's id is derived by.
    pub fn in_lot(self, context: &Context, word: &str) -> Event {
        let Bonus { user, origin, purchase, coins_milli, valid_seconds } = self;
        let (from, to) = (Account::PlatformPromotions, Account::UserBonus(user));
        let granted = BonusGranted {
            lot: context.command_id.derive(word),
            user,
            origin,
            purchase,
            coins_milli,
            expires_at: valid_seconds.map(|seconds| context.at.plus_seconds(seconds)),
            postings: legs(Asset::COIN, from, to, coins_milli),
        };
        granted.into()
    }
}

impl Decide for GrantBonus {
    fn decides_on_money_of(&self, _: &State) -> Option<PersonId> {
        Some(self.user)
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &GrantBonus { user, origin, coins_milli, valid_seconds } = self;
        check_amount("coins_milli", coins_milli)?;
        if valid_seconds == Some(0) {
            return Err(Rejection::AmountNotPositive { field: "valid_seconds" });
        }
        let bonus = Bonus { user, origin, purchase: None, coins_milli, valid_seconds };
        let merges = context.merges(Account::UserBonus(user));
        Ok([vec![bonus.event(context)], merges].concat())
    }
}

impl Decide for ExpireBonus {
    const STATE_REFUSES_REPEATS: bool = true;

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let lot = self.lot;
        let row = context.state.lot(lot).ok_or(Rejection::UnknownLot)?;
        let (Account::UserBonus(user), Some(expiry)) = (row.account, row.expires_at()) else {
            return Err(Rejection::UnknownLot);
        };
        if context.at < expiry {
            return Err(Rejection::LotNotExpired);
        }
        let coins_milli = row.remaining_milli;
        let postings = legs(Asset::COIN, row.account, Account::PlatformPromotions, coins_milli);
        Ok(vec![BonusExpired { lot, user, coins_milli, postings }.into()])
    }
}

impl Happened for BonusGranted {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        smallvec![LotMove::added(self.lot, Account::UserBonus(self.user), self.coins_milli)]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.user]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        self.purchase.map(|purchase| purchase.0)
    }

    fn evolve(&self, change: &mut Change) {
        let account = Account::UserBonus(self.user);
        if let Some(purchase) = self.purchase {
            change.add_lot(self.lot, account, self.coins_milli, self.expires_at);
            change.edit_captured(purchase, |captured| captured.bonus_lot = Some(self.lot));
            if self.expires_at.is_some() {
                let plan_bonuses = &mut change.state.tables.plan_bonuses;
                plan_bonuses.set(change.revision, self.lot, Some(purchase));
            }
        } else {
            change.add_loose_lot(self.lot, account, self.coins_milli, self.expires_at);
        }
    }
}

impl Happened for BonusExpired {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        smallvec![LotMove::taken(self.lot, Account::UserBonus(self.user), self.coins_milli)]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.user]
    }

    fn evolve(&self, change: &mut Change) {
        change.draw(self.lot, self.coins_milli);
        change.plan_bonus_expired(self.lot, self.coins_milli);
    }
}
