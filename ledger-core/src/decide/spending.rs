//! What is paid in coins: draws from lots, the charge, its split; gifts.

use super::{Context, check_amount};
use crate::account::{Account, Posting, legs};
use crate::call::{Shares, shares_between};
use crate::event::*;
use crate::ids::{CallId, GiftId, PersonId};
use crate::money::Asset;
use crate::rejection::Rejection;
use crate::time::Timestamp;

/// The charge side of a spend: where the coins come from, and the entry to `clearing:charges`.
pub(super) struct Charge {
    pub draws: Vec<Draw>,
    pub postings: Vec<Posting>,
}

impl Context<'_> {
    /// Draws `amount_milli` from the payer's lots: bonus first (soonest expiry first), then bought
    /// coins by age. Earnings are no lots, so a host cannot pay from them.
    pub fn charge(&self, payer: PersonId, amount_milli: i64) -> Result<Charge, Rejection> {
        let mut draws: Vec<Draw> = Vec::new();
        let mut open = amount_milli;
        for (lot, row) in self.state.spending_order(payer, self.at) {
            let part = open.min(row.remaining_milli);
            if part > 0 {
                draws.push(Draw { lot, account: row.account, amount_milli: part });
                open -= part;
            }
            if open == 0 {
                break;
            }
        }
        if open > 0 {
            return Err(self.short_of(payer, amount_milli, amount_milli - open));
        }
        let from = |account: Account| {
            draws.iter().filter(|it| it.account == account).map(|it| it.amount_milli).sum()
        };
        let postings = [Account::UserBonus(payer), Account::UserPurchased(payer)]
            .into_iter()
            .flat_map(|account| legs(Asset::COIN, account, Account::ClearingCharges, from(account)))
            .collect();
        Ok(Charge { draws, postings })
    }

    fn short_of(&self, payer: PersonId, needed_milli: i64, spendable_milli: i64) -> Rejection {
        let earnings_milli = -self.state.balance(Account::HostEarnings(payer), Asset::COIN);
        if earnings_milli >= needed_milli - spendable_milli {
            Rejection::EarningsNotSpendable { needed_milli, spendable_milli }
        } else {
            Rejection::InsufficientFunds { needed_milli, spendable_milli }
        }
    }

    /// Splits the charge that brings the gross of `source` from `before_milli` to `after_milli`;
    /// none when nothing was charged.
    pub fn split(
        &self,
        source: SplitSource,
        (payer, host): (PersonId, PersonId),
        commission: CommissionRule,
        (before_milli, after_milli): (i64, i64),
        hold_seconds: u32,
    ) -> Option<Event> {
        let gross_milli = after_milli - before_milli;
        if gross_milli == 0 {
            return None;
        }
        let Shares { host_milli, agency_milli, platform_milli } =
            shares_between(before_milli, after_milli, &commission)
                .expect("a gross that was charged is an amount, and so are its shares");
        let clearing = Account::ClearingCharges;
        let mut postings = legs(Asset::COIN, clearing, Account::HostEarnings(host), host_milli);
        if let Some(agency) = commission.agency {
            postings.extend(legs(Asset::COIN, clearing, Account::AgencyEarnings(agency), agency_milli));
        }
        postings.extend(legs(Asset::COIN, clearing, Account::PlatformRevenue, platform_milli));
        let available_from = available_from(self.at, hold_seconds);
        Some(
            CommissionSplit {
                source,
                payer,
                host,
                commission,
                gross_milli,
                host_milli,
                agency_milli,
                platform_milli,
                available_from,
                postings,
            }
            .into(),
        )
    }

    pub fn send_gift(
        &self,
        sender: PersonId,
        host: PersonId,
        gift: GiftId,
        call: Option<CallId>,
        price_seen_milli: i64,
    ) -> Result<Vec<Event>, Rejection> {
        check_amount("price_seen_milli", price_seen_milli)?;
        if sender == host {
            return Err(Rejection::SelfPayment);
        }
        let price_milli = self.state.gift_price(gift).ok_or(Rejection::UnknownGift)?;
        if price_milli != price_seen_milli {
            return Err(Rejection::GiftPriceChanged { price_milli });
        }
        if let Some(call) = call {
            let row = self.state.call(call).ok_or(Rejection::UnknownCall)?;
            if !row.is_active() || row.payer != sender || row.host != host {
                return Err(Rejection::GiftOutsideCall);
            }
        }
        let Charge { draws, postings } = self.charge(sender, price_milli)?;
        let sending = self.command_id.derive("gift");
        let commission = self.state.commission_rule(host, self.at);
        let sent = GiftSent { sending, gift, sender, host, call, price_milli, draws, postings };
        let split = self.split(
            SplitSource::Gift(sending),
            (sender, host),
            commission,
            (0, price_milli),
            self.policy.earnings_hold_seconds,
        );
        Ok([Some(sent.into()), split].into_iter().flatten().collect())
    }
}

/// When earnings of the moment `at` can be withdrawn. Waiting times end on the hour, so that what
/// waits is a short list however many ticks earned it.
fn available_from(at: Timestamp, hold_seconds: u32) -> Timestamp {
    const HOUR_MS: i64 = 3_600_000;
    match hold_seconds {
        0 => at,
        hold => {
            Timestamp(at.plus_seconds(hold).0.div_euclid(HOUR_MS).saturating_add(1).saturating_mul(HOUR_MS))
        }
    }
}
