//! What was paid for an order goes back, all or part of it.

use super::order::{Order, OrderStatus, credits, released};
use crate::calls::ReturnedDraw;
use crate::commission::{CommissionRule, Shares, available_from, shares_between};
use crate::mechanism::decide::{Context, Decide, check_amount, check_reason};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, LotMove, LotMoves, events};
use crate::settlements::{Earner, Totals};
use crate::{Account, AgencyId, Asset, Event, OrderId, PersonId, Posting, Rejection, State};
use uuid::Uuid;

commands! {
    /// A person of the platform gives back what was paid for an order, all or part of it.
    RefundOrder = "RefundOrder" { order: OrderId, amount_milli: i64, reason: String }
}

events! {
    /// Part of what was paid for an order is back. Of one that was completed, those who earned by it give back their
    /// shares, and what they do not have any more the platform bears.
    OrderRefunded = "OrderRefunded" {
        order: OrderId,
        user: PersonId,
        provider: Option<PersonId>,
        /// By which it was split, of a service of a host.
        commission: Option<CommissionRule>,
        /// Whether it had been completed.
        completed: bool,
        amount_milli: i64,
        /// What is back of all that was paid.
        refunded_total_milli: i64,
        /// Whether that is all of it.
        in_full: bool,
        reason: String,
        /// What of the discount the platform has back, of an order that was completed.
        discount_milli: i64,
        host_milli: i64,
        agency_milli: i64,
        platform_milli: i64,
        /// The lots that the coins go back to.
        draws: Vec<ReturnedDraw>,
        postings: Vec<Posting>,
    }
}

/// Who gives back what, of an order that was completed.
#[derive(Default)]
struct Parts {
    discount_milli: i64,
    host_milli: i64,
    agency_milli: i64,
    platform_milli: i64,
}

impl Order {
    fn agency(&self) -> Option<AgencyId> {
        self.commission.and_then(|rule| rule.agency)
    }

    /// The parts of a refund that brings what is back to `refunded_milli`: the difference of what they earn before and
    /// after, as far as they have it.
    fn parts(&self, refunded_milli: i64, state: &State) -> Parts {
        let back = |refunded_milli| self.discount_back_milli(refunded_milli);
        let discount_milli = back(refunded_milli) - back(self.refunded_milli);
        let (left, before) = (self.gross_milli(refunded_milli), self.gross_milli(self.refunded_milli));
        let due = self.commission.and_then(|rule| shares_between(left, before, &rule)).unwrap_or_default();
        // Part of it may have been withdrawn since: nobody's account is overdrawn for it.
        let has = |account: Account| -state.balance(account, Asset::COIN).min(0);
        let Shares { host_milli, agency_milli, .. } = due;
        let host_milli = self.provider.map_or(0, |host| host_milli.min(has(Account::HostEarnings(host))));
        let agency_milli =
            self.agency().map_or(0, |agency| agency_milli.min(has(Account::AgencyEarnings(agency))));
        let platform_milli = before - left - host_milli - agency_milli;
        Parts { discount_milli, host_milli, agency_milli, platform_milli }
    }
}

impl Decide for RefundOrder {
    fn decides_on_money_of(&self, state: &State) -> Option<PersonId> {
        state.order(self.order).map(|row| row.user)
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &RefundOrder { order, amount_milli, ref reason } = self;
        check_amount("amount_milli", amount_milli)?;
        let reason = check_reason("reason", reason)?;
        let row = context.state.open_order(order)?;
        if row.status == OrderStatus::Unpaid {
            return Err(Rejection::OrderNotPaid);
        }
        let refundable_milli = row.total_milli() - row.refunded_milli;
        if amount_milli > refundable_milli {
            return Err(Rejection::RefundExceedsOrder { refundable_milli });
        }
        let refunded_total_milli = row.refunded_milli + amount_milli;
        let draws = row.back(amount_milli);
        let (parts, postings) = match row.status {
            OrderStatus::Completed => {
                let parts = row.parts(refunded_total_milli, context.state);
                let debits = [
                    row.provider.map(|host| (Account::HostEarnings(host), parts.host_milli)),
                    row.agency().map(|agency| (Account::AgencyEarnings(agency), parts.agency_milli)),
                    Some((Account::PlatformRevenue, parts.platform_milli)),
                ];
                let legs = debits.into_iter().flatten();
                let legs = legs.chain([(Account::PlatformPromotions, -parts.discount_milli)]);
                let legs = legs.filter(|(_, amount)| *amount != 0);
                let legs = legs.map(|(account, amount)| Posting { account, asset: Asset::COIN, amount });
                let postings = legs.chain(credits(row.user, &draws)).collect();
                (parts, postings)
            }
            _ => (Parts::default(), released(order, row.user, &draws)),
        };
        let refunded = OrderRefunded {
            order,
            user: row.user,
            provider: row.provider,
            commission: row.commission,
            completed: row.status == OrderStatus::Completed,
            amount_milli,
            refunded_total_milli,
            in_full: amount_milli == refundable_milli,
            reason,
            discount_milli: parts.discount_milli,
            host_milli: parts.host_milli,
            agency_milli: parts.agency_milli,
            platform_milli: parts.platform_milli,
            draws,
            postings,
        };
        Ok(vec![refunded.into()])
    }
}

impl Happened for OrderRefunded {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn lots(&self) -> LotMoves {
        self.draws.iter().map(|it| LotMove::added(it.lot, it.account, it.amount_milli)).collect()
    }

    fn people(&self) -> Vec<PersonId> {
        [Some(self.user), self.provider].into_iter().flatten().collect()
    }

    fn correlation(&self) -> Option<Uuid> {
        Some(self.order.0)
    }

    fn evolve(&self, change: &mut Change) {
        let hold_seconds = change.state.order(self.order).map_or(0, |row| row.earnings_hold_seconds);
        change.give_back_of_order(self.order, &self.draws);
        change.edit_order(self.order, |row| row.refunded_milli = self.refunded_total_milli);
        if self.in_full {
            change.set_order_status(self.order, OrderStatus::Refunded);
        }
        let host = self.provider.map(|host| (Account::HostEarnings(host), self.host_milli));
        let agency = self.commission.and_then(|rule| rule.agency);
        let agency = agency.map(|agency| (Account::AgencyEarnings(agency), self.agency_milli));
        let lots: Vec<_> = self.draws.iter().map(|it| (it.lot, it.amount_milli)).collect();
        let latest = available_from(change.at, hold_seconds);
        for (account, amount_milli) in [host, agency].into_iter().flatten().filter(|(_, part)| *part > 0) {
            change.unheld(&lots, account, amount_milli, latest);
            change.unearned(account, amount_milli, hold_seconds);
        }
        if let Some((host, rule)) = self.provider.zip(self.commission).filter(|_| self.completed) {
            let returned = Totals {
                items: 1,
                gross_milli: -(self.amount_milli + self.discount_milli),
                platform_milli: -self.platform_milli,
                ..Totals::default()
            };
            change.accrue(Earner::Host(host), Totals { earned_milli: -self.host_milli, ..returned });
            if let Some(agency) = rule.agency {
                change
                    .accrue(Earner::Agency(agency), Totals { earned_milli: -self.agency_milli, ..returned });
            }
        }
    }
}
