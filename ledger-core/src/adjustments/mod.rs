//! Corrections that a person of the platform makes.
//!
//! One that settles a difference of a reconciliation names it, and each difference is settled once, for ever.

mod gateway;

pub use gateway::{AdjustGateway, GatewayAdjusted};

use crate::account::legs;
use crate::lots::Draw;
use crate::mechanism::decide::{Context, Decide, check_amount, check_reason};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::{
    Account, AdjustmentId, Asset, DifferenceId, Event, LotId, NoteId, PersonId, Posting, Rejection, State,
};

macro_rules! noun {
    ($next:ident $so_far:tt) => { $crate::nouns::$next! { $so_far {
        adjustments
        commands { PostAdjustment AdjustGateway }
        events { AdjustmentPosted GatewayAdjusted }
        tables {
            // The differences that adjustments have settled.
            settled_differences: Lookup<DifferenceId, ()>;
        }
        rejections {
            AccountNotAdjustable = "account_not_adjustable", "only accounts of users, hosts and agencies can be adjusted";
            AdjustmentOverdraws { balance_milli: i64 } = "adjustment_overdraws", "the account holds {balance_milli} thousandths of a coin";
            GatewayHoldsMoney = "gateway_holds_money", "a gateway holds money, not coins";
            DifferenceSettled = "difference_settled", "another adjustment has settled this difference";
        }
    } } };
}
pub(crate) use noun;

commands! {
    PostAdjustment = "PostAdjustment" {
        account: Account,
        amount_milli: i64,
        reason: String,
        note: Option<NoteId>,
        /// The difference of a reconciliation that it settles.
        settles: Option<DifferenceId>,
    }
}

events! {
    /// A person of the platform corrected an account.
    AdjustmentPosted = "AdjustmentPosted" {
        adjustment: AdjustmentId,
        account: Account,
        /// What the account's owner gains (positive) or loses (negative).
        amount_milli: i64,
        reason: String,
        note: Option<NoteId>,
        /// The lot that added coins stand in.
        lot: Option<LotId>,
        draws: Vec<Draw>,
        settles: Option<DifferenceId>,
        postings: Vec<Posting>,
    }
}

impl Decide for PostAdjustment {
    fn decides_on_money_of(&self, _: &State) -> Option<PersonId> {
        match self.account {
            Account::UserPurchased(person) | Account::UserBonus(person) | Account::HostEarnings(person) => {
                Some(person)
            }
            _ => None,
        }
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &PostAdjustment { account, amount_milli, ref reason, note, settles } = self;
        let field = "amount_milli";
        check_amount(field, amount_milli.checked_abs().ok_or(Rejection::AmountTooLarge { field })?)?;
        let reason = check_reason("reason", reason)?;
        let in_lots = matches!(account, Account::UserPurchased(_) | Account::UserBonus(_));
        if !in_lots && !matches!(account, Account::HostEarnings(_) | Account::AgencyEarnings(_)) {
            return Err(Rejection::AccountNotAdjustable);
        }
        check_unsettled(context, settles)?;
        let balance_milli = -context.state.balance(account, Asset::COIN);
        if balance_milli + amount_milli < 0 {
            return Err(Rejection::AdjustmentOverdraws { balance_milli });
        }
        let other = Account::PlatformAdjustments;
        let (draws, postings) = if amount_milli > 0 {
            (Vec::new(), legs(Asset::COIN, other, account, amount_milli))
        } else {
            let draws = if in_lots { context.draw_from(account, -amount_milli)? } else { Vec::new() };
            (draws, legs(Asset::COIN, account, other, -amount_milli))
        };
        let posted = AdjustmentPosted {
            adjustment: context.command_id.derive("adjustment"),
            account,
            amount_milli,
            reason,
            note,
            lot: (in_lots && amount_milli > 0).then(|| context.command_id.derive("lot")),
            draws,
            settles,
            postings,
        };
        let merges = if posted.lot.is_some() { context.merges(account) } else { vec![] };
        Ok([vec![posted.into()], merges].concat())
    }
}

impl Happened for AdjustmentPosted {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        let added = self.lot.map(|lot| LotMove::added(lot, self.account, self.amount_milli));
        added.into_iter().chain(self.draws.iter().map(LotMove::drawn)).collect()
    }

    fn people(&self) -> Vec<PersonId> {
        self.account.person().into_iter().collect()
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.adjustment.0)
    }

    fn evolve(&self, change: &mut Change) {
        if let Some(lot) = self.lot {
            change.add_loose_lot(lot, self.account, self.amount_milli, None);
        }
        change.spend(&self.draws);
        change.settle(self.settles);
        change.accrue_moved(&self.postings);
    }
}

fn check_unsettled(context: &Context, difference: Option<DifferenceId>) -> Result<(), Rejection> {
    let settled = difference.and_then(|id| context.state.tables.settled_differences.get(&id));
    if settled.is_some() { Err(Rejection::DifferenceSettled) } else { Ok(()) }
}

impl Change<'_> {
    fn settle(&mut self, difference: Option<DifferenceId>) {
        if let Some(id) = difference {
            self.state.tables.settled_differences.set(self.revision, id, Some(()));
        }
    }
}
