//! The history, told once as it was and once by other rules.

use super::earnings::Earnings;
use super::rules::{Rules, WHOLE_BPS};
use anyhow::Context;
use ledger_core::commission::{Shares, available_from, shares_between};
use ledger_core::event::{
    CallChargeReturned, CallStarted, CommissionRule, CommissionSplit, OrderRefunded, SplitSource,
};
use ledger_core::{Account, Asset, CallId, Event, OrderId, PersonId, Recorded, Timestamp, money};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

/// So many refused withdrawals are told one by one.
const MOST_REFUSALS: usize = 1_000;

/// What is told otherwise: the units that begin here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) since: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
}

impl Range {
    fn has(&self, unit: u64, at: Timestamp) -> bool {
        (self.from..=self.to).contains(&unit) && self.since.is_none_or(|since| at >= since)
    }

    /// Nothing that comes after it is in the range.
    pub(super) fn is_before(&self, recorded: &Recorded) -> bool {
        unit_of(recorded) > self.to || self.until.is_some_and(|until| recorded.metadata.recorded_at >= until)
    }
}

fn unit_of(recorded: &Recorded) -> u64 {
    recorded.revision.saturating_sub(u64::from(recorded.metadata.index))
}

/// An amount as it was, and as it would have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Both {
    pub(super) recorded_milli: i64,
    pub(super) alternative_milli: i64,
}

impl Both {
    pub(super) fn difference_milli(self) -> i64 {
        self.alternative_milli - self.recorded_milli
    }

    fn add(&mut self, recorded_milli: i64, alternative_milli: i64) {
        self.recorded_milli += recorded_milli;
        self.alternative_milli += alternative_milli;
    }
}

#[derive(Default)]
pub(super) struct Earner {
    /// In the range.
    pub(super) earned: Both,
    recorded: Earnings,
    alternative: Earnings,
}

impl Earner {
    pub(super) fn withdrawable(&self, at: Timestamp) -> Both {
        Both {
            recorded_milli: self.recorded.withdrawable_milli(at),
            alternative_milli: self.alternative.withdrawable_milli(at),
        }
    }
}

/// A call that has not ended.
struct Call {
    charged_milli: i64,
    /// As it was, and otherwise.
    hold_seconds: [u32; 2],
    commission: CommissionRule,
    price_bps: i64,
}

/// An order that was completed.
struct Order {
    /// What is left of its price after refunds.
    left_milli: i64,
    commission: CommissionRule,
    /// As it was, and otherwise.
    hold_seconds: [u32; 2],
}

/// A withdrawal that would not have been possible.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Refusal {
    pub(super) revision: u64,
    pub(super) withdrawal: Uuid,
    pub(super) account: Account,
    pub(super) coins_milli: i64,
    pub(super) withdrawable_milli: i64,
}

pub(super) struct Replay<'a> {
    rules: &'a Rules,
    range: Range,
    calls: HashMap<CallId, Call>,
    orders: HashMap<OrderId, Order>,
    /// How long the earnings of an order wait, between its completion and its split.
    holds: HashMap<OrderId, u32>,
    pub(super) earners: BTreeMap<Account, Earner>,
    pub(super) platform: Both,
    pub(super) paid: Both,
    pub(super) charges: u64,
    pub(super) refusals: Vec<Refusal>,
    pub(super) refused: u64,
    pub(super) refused_milli: i64,
    /// Their coins never left, so they do not come back either.
    refused_ids: HashSet<Uuid>,
    pub(super) first: Option<(u64, Timestamp)>,
    pub(super) last: Option<(u64, Timestamp)>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(rules: &'a Rules, range: Range) -> Self {
        Replay {
            rules,
            range,
            calls: HashMap::new(),
            orders: HashMap::new(),
            holds: HashMap::new(),
            earners: BTreeMap::new(),
            platform: Both::default(),
            paid: Both::default(),
            charges: 0,
            refusals: Vec::new(),
            refused: 0,
            refused_milli: 0,
            refused_ids: HashSet::new(),
            first: None,
            last: None,
        }
    }

    /// Takes the next event, from the first of the journal on: what was earned before the range can be withdrawn in it.
    pub(super) fn take(&mut self, recorded: &Recorded) -> anyhow::Result<()> {
        let at = recorded.metadata.recorded_at;
        let in_range = self.range.has(unit_of(recorded), at);
        if in_range {
            self.first.get_or_insert((recorded.revision, at));
            self.last = Some((recorded.revision, at));
        }
        match &recorded.event {
            Event::CallStarted(started) => self.call_started(started, in_range),
            Event::CommissionSplit(split) => self.split(split, at, in_range)?,
            Event::CallChargeReturned(returned) => self.returned(returned, at, in_range)?,
            Event::OrderCompleted(done) => drop(self.holds.insert(done.order, done.earnings_hold_seconds)),
            Event::OrderRefunded(refund) if refund.completed => self.refunded(refund, at, in_range)?,
            Event::CallEnded(ended) => drop(self.calls.remove(&ended.call)),
            Event::WithdrawalRequested(asked) if in_range => {
                let account = asked.payee.earnings();
                let withdrawable_milli = self.earner(account).alternative.withdrawable_milli(at);
                if withdrawable_milli < asked.coins_milli {
                    let (withdrawal, coins_milli) = (asked.withdrawal.0, asked.coins_milli);
                    let revision = recorded.revision;
                    if self.refusals.len() < MOST_REFUSALS {
                        self.refusals.push(Refusal {
                            revision,
                            withdrawal,
                            account,
                            coins_milli,
                            withdrawable_milli,
                        });
                    }
                    self.refused += 1;
                    self.refused_milli += coins_milli;
                    self.refused_ids.insert(withdrawal);
                }
                self.moved(recorded);
            }
            _ => self.moved(recorded),
        }
        Ok(())
    }

    /// What comes into and leaves earnings by anything but charges is as it was.
    fn moved(&mut self, recorded: &Recorded) {
        let refused = recorded.metadata.correlation.is_some_and(|about| self.refused_ids.contains(&about));
        for posting in recorded.event.postings().iter().filter(|it| it.asset == Asset::COIN) {
            if matches!(posting.account, Account::HostEarnings(_) | Account::AgencyEarnings(_)) {
                let earner = self.earner(posting.account);
                earner.recorded.balance_milli -= posting.amount;
                earner.alternative.balance_milli -= if refused { 0 } else { posting.amount };
            }
        }
    }

    fn earner(&mut self, account: Account) -> &mut Earner {
        self.earners.entry(account).or_default()
    }

    /// A call keeps the rules that it began with.
    fn call_started(&mut self, started: &CallStarted, in_range: bool) {
        let hold = started.earnings_hold_seconds;
        let mut call = Call {
            charged_milli: 0,
            hold_seconds: [hold, hold],
            commission: started.commission,
            price_bps: WHOLE_BPS,
        };
        if in_range {
            call.hold_seconds[1] = self.rules.hold_seconds.unwrap_or(hold);
            call.commission = self.rules.commission(started.host, started.commission);
            call.price_bps = self.rules.call_rate_bps;
        }
        self.calls.insert(started.call, call);
    }

    fn split(&mut self, split: &CommissionSplit, at: Timestamp, in_range: bool) -> anyhow::Result<()> {
        let gross_milli = split.gross_milli;
        let (before_milli, after_milli, commission, price_bps, hold_seconds) = match split.source {
            SplitSource::Gift(_) if in_range => {
                let commission = self.rules.commission(split.host, split.commission);
                (0, gross_milli, commission, self.rules.gift_price_bps, self.rules.hold_seconds)
            }
            SplitSource::Gift(_) => (0, gross_milli, split.commission, WHOLE_BPS, None),
            // An order keeps its price. Its host earns by what is left of it after refunds.
            SplitSource::Order(id) => {
                let hold_seconds = self.rules.hold_seconds.filter(|_| in_range);
                let commission = match in_range {
                    true => self.rules.commission(split.host, split.commission),
                    false => split.commission,
                };
                let hold = self.holds.remove(&id).unwrap_or(0);
                let holds = [hold, hold_seconds.unwrap_or(hold)];
                self.orders.insert(id, Order { left_milli: gross_milli, commission, hold_seconds: holds });
                (0, gross_milli, commission, WHOLE_BPS, hold_seconds)
            }
            SplitSource::Call(id) => {
                let call = self.calls.get_mut(&id).context("a charge of a call that never began")?;
                let before_milli = call.charged_milli;
                call.charged_milli += gross_milli;
                let changed = call.hold_seconds[0] != call.hold_seconds[1];
                let hold_seconds = Some(call.hold_seconds[1]).filter(|_| changed);
                (before_milli, call.charged_milli, call.commission, call.price_bps, hold_seconds)
            }
        };
        let from = hold_seconds.map_or(split.available_from, |hold| available_from(at, hold));
        let (otherwise_milli, shares) = priced(before_milli, after_milli, price_bps, &commission)?;
        let recorded = Shares {
            host_milli: split.host_milli,
            agency_milli: split.agency_milli,
            platform_milli: split.platform_milli,
        };
        let mut earn = |account: Account, was_milli: i64, would_milli: i64| {
            let earner = self.earners.entry(account).or_default();
            earner.recorded.earn(at, was_milli, split.available_from);
            earner.alternative.earn(at, would_milli, from);
            if in_range {
                earner.earned.add(was_milli, would_milli);
            }
        };
        earn(Account::HostEarnings(split.host), recorded.host_milli, shares.host_milli);
        if let Some(agency) = split.commission.agency {
            earn(Account::AgencyEarnings(agency), recorded.agency_milli, shares.agency_milli);
        }
        if in_range {
            self.platform.add(recorded.platform_milli, shares.platform_milli);
            self.paid.add(gross_milli, otherwise_milli);
            self.charges += 1;
        }
        Ok(())
    }

    fn returned(&mut self, back: &CallChargeReturned, at: Timestamp, in_range: bool) -> anyhow::Result<()> {
        let call =
            self.calls.get_mut(&back.call).context("a charge comes back of a call that never began")?;
        let (after_milli, holds) = (call.charged_milli, call.hold_seconds);
        call.charged_milli = back.charged_total_milli;
        let priced = priced(back.charged_total_milli, after_milli, call.price_bps, &call.commission)?;
        let recorded = Shares {
            host_milli: back.host_milli,
            agency_milli: back.agency_milli,
            platform_milli: back.platform_milli,
        };
        self.take_back((back.host, &back.commission), holds, recorded, priced, (at, in_range));
        Ok(())
    }

    fn refunded(&mut self, back: &OrderRefunded, at: Timestamp, in_range: bool) -> anyhow::Result<()> {
        let Some((host, commission)) = back.provider.zip(back.commission) else { return Ok(()) };
        let order = self.orders.get_mut(&back.order).context("a refund of an order that was never split")?;
        let (before_milli, hold_seconds) = (order.left_milli, order.hold_seconds);
        order.left_milli -= back.amount_milli + back.discount_milli;
        let priced = priced(order.left_milli, before_milli, WHOLE_BPS, &order.commission)?;
        let recorded = Shares {
            host_milli: back.host_milli,
            agency_milli: back.agency_milli,
            platform_milli: back.platform_milli,
        };
        self.take_back((host, &commission), hold_seconds, recorded, priced, (at, in_range));
        Ok(())
    }

    /// Shares that were earned are given back, as far as they are there.
    fn take_back(
        &mut self,
        (host, commission): (PersonId, &CommissionRule),
        holds: [u32; 2],
        recorded: Shares,
        (otherwise_milli, mut due): (i64, Shares),
        (at, in_range): (Timestamp, bool),
    ) {
        let mut unearn = |account: Account, was_milli: i64, due_milli: &mut i64| {
            let earner = self.earners.entry(account).or_default();
            // What is not there any more, the platform bears.
            *due_milli = (*due_milli).min(earner.alternative.balance_milli.max(0));
            earner.recorded.unearn(at, was_milli, holds[0]);
            earner.alternative.unearn(at, *due_milli, holds[1]);
            if in_range {
                earner.earned.add(-was_milli, -*due_milli);
            }
        };
        unearn(Account::HostEarnings(host), recorded.host_milli, &mut due.host_milli);
        if let Some(agency) = commission.agency {
            unearn(Account::AgencyEarnings(agency), recorded.agency_milli, &mut due.agency_milli);
        }
        if in_range {
            self.platform.add(-recorded.platform_milli, due.host_milli + due.agency_milli - otherwise_milli);
            let returned_milli = recorded.host_milli + recorded.agency_milli + recorded.platform_milli;
            self.paid.add(-returned_milli, -otherwise_milli);
        }
    }
}

/// What a charge would have been at another price, and how it would have been split. Prices are applied to the total of a
/// call, as the ledger's own rounding is.
fn priced(
    before_milli: i64,
    after_milli: i64,
    price_bps: i64,
    commission: &CommissionRule,
) -> anyhow::Result<(i64, Shares)> {
    let at_price = |amount_milli| money::share(amount_milli, price_bps, WHOLE_BPS);
    let told = || {
        let (before, after) = (at_price(before_milli)?, at_price(after_milli)?);
        Some((after - before, shares_between(before, after, commission)?))
    };
    told().context("at these prices a charge would be more than an amount can be: give a smaller percentage")
}
