//! The split of a charge.

use super::earnings::{available_from, earned};
use super::held::HeldShare;
use super::rate::CommissionRule;
use crate::account::add_legs;
use crate::lots::Draw;
use crate::mechanism::binary::binary_choices;
use crate::mechanism::decide::Context;
use crate::mechanism::event::{Change, Happened, events};
use crate::money::share;
use crate::settlements::{Earner, Totals};
use crate::{Account, Asset, CallId, Event, GiftSendingId, OrderId, PersonId, Posting, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a commission split divides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitSource {
    Call(CallId),
    Gift(GiftSendingId),
    Order(OrderId),
}

binary_choices! { SplitSource as "name" {
    0 = Call(call: CallId) "call"
    1 = Gift(sending: GiftSendingId) "gift"
    2 = Order(order: OrderId) "order"
} }

events! {
    /// Empties the clearing account of a charge to those who earned it.
    CommissionSplit = "CommissionSplit" {
        source: SplitSource,
        payer: PersonId,
        host: PersonId,
        commission: CommissionRule,
        gross_milli: i64,
        host_milli: i64,
        agency_milli: i64,
        platform_milli: i64,
        /// From when the earnings can be withdrawn.
        available_from: Timestamp,
        /// Which lots the earnings came out of, where a lost dispute may take them back while they wait.
        held: Vec<HeldShare>,
        postings: Vec<Posting>,
    }
}

/// The split of the charge that brings the gross of `source` from `before_milli` to `after_milli`.
pub(crate) struct Split<'a> {
    pub source: SplitSource,
    pub payer: PersonId,
    pub host: PersonId,
    pub commission: CommissionRule,
    pub before_milli: i64,
    pub after_milli: i64,
    pub hold_seconds: u32,
    /// Whether a lost dispute may take back earnings that wait, and what the charge was paid with.
    pub claws_back: bool,
    pub draws: &'a [Draw],
}

impl Split<'_> {
    /// The event; none when nothing was charged.
    pub fn event(self, context: &Context) -> Option<Event> {
        let Split { source, payer, host, commission, before_milli, after_milli, .. } = self;
        let gross_milli = after_milli - before_milli;
        if gross_milli == 0 {
            return None;
        }
        let Shares { host_milli, agency_milli, platform_milli } =
            shares_between(before_milli, after_milli, &commission)
                .expect("a gross that was charged is an amount, and so are its shares");
        let clearing = Account::ClearingCharges;
        let mut postings = Vec::with_capacity(6);
        let mut to = |account, amount| add_legs(&mut postings, Asset::COIN, clearing, account, amount);
        to(Account::HostEarnings(host), host_milli);
        if let Some(agency) = commission.agency {
            to(Account::AgencyEarnings(agency), agency_milli);
        }
        to(Account::PlatformRevenue, platform_milli);
        let available_from = available_from(context.at, self.hold_seconds);
        let notes = self.claws_back && available_from > context.at;
        let held = if notes { context.held_shares(self.draws, host_milli, agency_milli) } else { vec![] };
        let split = CommissionSplit {
            source,
            payer,
            host,
            commission,
            gross_milli,
            host_milli,
            agency_milli,
            platform_milli,
            available_from,
            held,
            postings,
        };
        Some(split.into())
    }
}

impl Happened for CommissionSplit {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.host]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        Some(match self.source {
            SplitSource::Call(call) => call.0,
            SplitSource::Gift(sending) => sending.0,
            SplitSource::Order(order) => order.0,
        })
    }

    fn evolve(&self, change: &mut Change) {
        let charged = Totals {
            items: 1,
            gross_milli: self.gross_milli,
            platform_milli: self.platform_milli,
            ..Totals::default()
        };
        earned(change, Account::HostEarnings(self.host), self.host_milli, self.available_from);
        change.accrue(Earner::Host(self.host), Totals { earned_milli: self.host_milli, ..charged });
        if let Some(agency) = self.commission.agency {
            earned(change, Account::AgencyEarnings(agency), self.agency_milli, self.available_from);
            change.accrue(Earner::Agency(agency), Totals { earned_milli: self.agency_milli, ..charged });
        }
        change.note_held(self);
    }
}

/// A split of a gross amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    pub host_milli: i64,
    pub agency_milli: i64,
    pub platform_milli: i64,
}

/// The shares of `gross_milli` in all: platform against the rest, then host against agency within
/// the rest, each rounded down. Each share grows with the gross, so no part of a later split is
/// ever negative.
pub fn shares(gross_milli: i64, rule: &CommissionRule) -> Option<Shares> {
    let earned_bps = i64::from(rule.host_bps) + i64::from(rule.agency_bps);
    let platform_milli = share(gross_milli, 10_000 - earned_bps, 10_000)?;
    let rest = gross_milli - platform_milli;
    let host_milli = if earned_bps == 0 { 0 } else { share(rest, i64::from(rule.host_bps), earned_bps)? };
    Some(Shares { host_milli, agency_milli: rest - host_milli, platform_milli })
}

/// The shares of the charge that brings a gross total from `before_milli` to `after_milli`.
pub fn shares_between(before_milli: i64, after_milli: i64, rule: &CommissionRule) -> Option<Shares> {
    let (before, after) = (shares(before_milli, rule)?, shares(after_milli, rule)?);
    Some(Shares {
        host_milli: after.host_milli - before.host_milli,
        agency_milli: after.agency_milli - before.agency_milli,
        platform_milli: after.platform_milli - before.platform_milli,
    })
}
