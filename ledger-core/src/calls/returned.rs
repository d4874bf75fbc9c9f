//! Increments that began after the last sign of life of both sides are given back.

use super::Call;
use crate::commission::{CommissionRule, Shares, available_from, shares_between};
use crate::lots::Draw;
use crate::mechanism::binary::binary_fields;
use crate::mechanism::decide::Context;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::settlements::{Earner, Totals};
use crate::{Account, Asset, CallId, Event, LotId, PersonId, Posting, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

events! {
    /// A side was gone before these increments began, and nobody knew it yet: the payer has the coins again.
    /// Host, agency and platform give back their shares. What the host or the agency does not have any more,
    /// the platform bears.
    CallChargeReturned = "CallChargeReturned" {
        call: CallId,
        payer: PersonId,
        host: PersonId,
        commission: CommissionRule,
        /// The first and the last increment that is given back.
        from_number: u32,
        to_number: u32,
        returned_milli: i64,
        /// What the call has cost so far, without them.
        charged_total_milli: i64,
        /// The lots that the coins go back to.
        draws: Vec<ReturnedDraw>,
        host_milli: i64,
        agency_milli: i64,
        platform_milli: i64,
        postings: Vec<Posting>,
    }
}

/// Coins that go back to the lot that they were drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnedDraw {
    pub lot: LotId,
    pub account: Account,
    pub amount_milli: i64,
    pub expires_at: Option<Timestamp>,
}

binary_fields! { ReturnedDraw { lot: LotId, account: Account, amount_milli: i64, expires_at: Option<Timestamp> } }

impl ReturnedDraw {
    /// To be asked before the coins are drawn: an empty lot is gone.
    pub(crate) fn of(change: &Change, it: &Draw) -> ReturnedDraw {
        ReturnedDraw {
            lot: it.lot,
            account: it.account,
            amount_milli: it.amount_milli,
            expires_at: change.state.lot(it.lot).and_then(|lot| lot.expires_at()),
        }
    }
}

/// What it takes to give an increment back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Returnable {
    pub number: u32,
    pub draws: Vec<ReturnedDraw>,
}

impl Returnable {
    pub(super) fn of(change: &Change, number: u32, draws: &[Draw]) -> Returnable {
        Returnable { number, draws: draws.iter().map(|it| ReturnedDraw::of(change, it)).collect() }
    }
}

/// The event that gives back the increments which began after `seen_ms` of connected time; none when there
/// are none. The first one is always kept: both sides were there when the call began.
pub(super) fn returned(context: &Context, id: CallId, call: &Call, seen_ms: i64) -> Option<Event> {
    let back: Vec<_> = call.unseen.iter().filter(|it| call.begins_ms(it.number) > seen_ms).collect();
    let (from_number, to_number) = (back.first()?.number, back.last()?.number);
    let charged_total_milli = call.total_milli(from_number - 1)?;
    let returned_milli = call.charged_milli - charged_total_milli;
    let mut draws: Vec<ReturnedDraw> = Vec::new();
    for it in back.iter().flat_map(|it| &it.draws) {
        match draws.iter_mut().find(|other| other.lot == it.lot) {
            Some(other) => other.amount_milli += it.amount_milli,
            None => draws.push(*it),
        }
    }
    let due = shares_between(charged_total_milli, call.charged_milli, &call.commission)?;
    // Part of it may have been withdrawn since: nobody's account is overdrawn for it.
    let has = |account: Account| -context.state.balance(account, Asset::COIN);
    let Shares { host_milli, agency_milli, .. } = due;
    let host_milli = host_milli.min(has(Account::HostEarnings(call.host)).max(0));
    let agency = call.commission.agency.map(Account::AgencyEarnings);
    let agency_milli = agency.map_or(0, |agency| agency_milli.min(has(agency).max(0)));
    let platform_milli = returned_milli - host_milli - agency_milli;
    let to = |account: Account| {
        let part = draws.iter().filter(|it| it.account == account).map(|it| it.amount_milli);
        (account, -part.sum::<i64>())
    };
    let legs = [
        Some((Account::HostEarnings(call.host), host_milli)),
        agency.map(|agency| (agency, agency_milli)),
        Some((Account::PlatformRevenue, platform_milli)),
        Some(to(Account::UserBonus(call.payer))),
        Some(to(Account::UserPurchased(call.payer))),
    ];
    let postings = legs.into_iter().flatten().filter(|(_, amount)| *amount != 0);
    let postings =
        postings.map(|(account, amount)| Posting { account, asset: Asset::COIN, amount }).collect();
    let (payer, host) = (call.payer, call.host);
    Some(
        CallChargeReturned {
            call: id,
            payer,
            host,
            commission: call.commission,
            from_number,
            to_number,
            returned_milli,
            charged_total_milli,
            draws,
            host_milli,
            agency_milli,
            platform_milli,
            postings,
        }
        .into(),
    )
}

impl Happened for CallChargeReturned {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        self.draws.iter().map(|it| LotMove::added(it.lot, it.account, it.amount_milli)).collect()
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.payer, self.host]
    }

    fn payer(&self) -> Option<PersonId> {
        Some(self.payer)
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(self.call.0)
    }

    fn evolve(&self, change: &mut Change) {
        change.edit_call(self.call, |call| {
            call.ticks = self.from_number - 1;
            call.charged_milli = self.charged_total_milli;
            call.unseen.retain(|it| it.number < self.from_number);
        });
        for it in &self.draws {
            change.give_back(it.lot, it.account, it.amount_milli, it.expires_at);
        }
        let call = change.state.call(self.call);
        let (hold_seconds, claws_back) =
            call.map_or((0, false), |call| (call.earnings_hold_seconds, call.claws_back));
        if claws_back {
            let lots: Vec<_> = self.draws.iter().map(|it| (it.lot, it.amount_milli)).collect();
            let latest = available_from(change.at, hold_seconds);
            change.unheld(&lots, Account::HostEarnings(self.host), self.host_milli, latest);
            if let Some(agency) = self.commission.agency {
                change.unheld(&lots, Account::AgencyEarnings(agency), self.agency_milli, latest);
            }
        }
        let returned = Totals {
            items: 1,
            gross_milli: -self.returned_milli,
            platform_milli: -self.platform_milli,
            ..Totals::default()
        };
        change.unearned(Account::HostEarnings(self.host), self.host_milli, hold_seconds);
        change.accrue(Earner::Host(self.host), Totals { earned_milli: -self.host_milli, ..returned });
        if let Some(agency) = self.commission.agency {
            change.unearned(Account::AgencyEarnings(agency), self.agency_milli, hold_seconds);
            change.accrue(Earner::Agency(agency), Totals { earned_milli: -self.agency_milli, ..returned });
        }
    }
}
