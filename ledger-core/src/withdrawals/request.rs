//! A payee asks for money, and takes the request back.

use super::*;
use crate::account::legs;
use crate::mechanism::decide::{Context, Decide, check_amount};
use crate::mechanism::envelope::commands;
use crate::money::share;
use crate::{Account, Asset, Event, MAX_AMOUNT, Rejection, WithdrawalId};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

commands! {
    RequestWithdrawal = "RequestWithdrawal" {
        #[serde(deserialize_with = "super::payee::carried")]
        payee: Payee,
        coins_milli: i64,
    }
    CancelWithdrawal = "CancelWithdrawal" {
        withdrawal: WithdrawalId,
        #[serde(deserialize_with = "super::payee::carried")]
        payee: Payee,
    }
}

impl Decide for RequestWithdrawal {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &RequestWithdrawal { payee, coins_milli } = self;
        check_amount("coins_milli", coins_milli)?;
        let (policy, earnings) = (context.policy, payee.earnings());
        let minimum_milli = policy.minimum_withdrawal_milli;
        if coins_milli < minimum_milli {
            return Err(Rejection::WithdrawalTooSmall { minimum_milli });
        }
        if policy.require_verified_payee && !policy.payee_verified {
            return Err(Rejection::PayeeNotVerified);
        }
        context.check_owes_nothing(payee.person())?;
        if let Some(limit_milli) = policy.daily_withdrawal_milli {
            let withdrawn_milli = context.state.withdrawn_on(day_of(context.at), earnings);
            let left_milli = limit_milli.saturating_sub(withdrawn_milli).max(0);
            if coins_milli > left_milli {
                return Err(Rejection::WithdrawalLimitReached { limit_milli, left_milli });
            }
        }
        check_available(context, payee, coins_milli)?;
        let payout_asset = policy.payout_asset;
        let terms = WithdrawalTerms {
            minimum_milli,
            daily_limit_milli: policy.daily_withdrawal_milli,
            earnings_hold_seconds: policy.earnings_hold_seconds,
            payee_verified: policy.payee_verified,
            rate: context.state.payout_rate(payout_asset, context.at),
            tax_bps: context.state.tax_bps(payout_asset, context.at),
        };
        let too_large = Rejection::AmountTooLarge { field: "coins_milli" };
        let gross_minor = in_money(coins_milli, terms.rate, payout_asset).ok_or(too_large.clone())?;
        let tax_minor = share(gross_minor, i64::from(terms.tax_bps), 10_000).ok_or(too_large)?;
        let payout_minor = gross_minor - tax_minor;
        if payout_minor <= 0 {
            return Err(Rejection::PayoutRoundsToNothing);
        }
        let withdrawal: WithdrawalId = context.command_id.derive("withdrawal");
        let held = Account::WithdrawalHeld(withdrawal);
        let postings = legs(Asset::COIN, earnings, held, coins_milli);
        let requested = WithdrawalRequested {
            withdrawal,
            payee,
            coins_milli,
            terms,
            gross_minor,
            tax_minor,
            payout_minor,
            payout_asset,
            postings,
        };
        Ok(vec![requested.into()])
    }
}

impl Decide for CancelWithdrawal {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &CancelWithdrawal { withdrawal, payee } = self;
        // Somebody else's withdrawal is answered like one that is not there.
        let own = context.state.withdrawal(withdrawal).filter(|row| row.payee == payee);
        own.ok_or(Rejection::UnknownWithdrawal)?;
        let row = super::payout::requested(context, withdrawal)?;
        let (coins_milli, postings) = (row.coins_milli, row.returned(withdrawal));
        Ok(vec![WithdrawalCancelled { withdrawal, payee, coins_milli, postings }.into()])
    }
}

fn check_available(context: &Context, payee: Payee, coins_milli: i64) -> Result<(), Rejection> {
    let earnings = payee.earnings();
    let available_milli = context.state.withdrawable(earnings, context.at);
    if coins_milli <= available_milli {
        return Ok(());
    }
    let earnings_milli = -context.state.balance(earnings, Asset::COIN);
    Err(match coins_milli {
        coins if coins <= earnings_milli => Rejection::EarningsNotAvailable { available_milli },
        coins if coins <= earnings_milli.saturating_add(other_coins(context, payee)) => {
            Rejection::PurchasedNotWithdrawable { available_milli }
        }
        _ => Rejection::InsufficientEarnings { available_milli },
    })
}

/// What coins are worth at a rate, rounded down to the asset's smallest unit.
fn in_money(coins_milli: i64, rate: Decimal, asset: Asset) -> Option<i64> {
    let coins = Decimal::new(coins_milli, u32::from(Asset::COIN.scale()));
    let minor_units = Decimal::from(10_i64.checked_pow(u32::from(asset.scale()))?);
    let minor = coins.checked_mul(rate)?.checked_mul(minor_units)?.floor().to_i64()?;
    (minor <= MAX_AMOUNT).then_some(minor)
}

/// What a host has besides earnings: it can be spent, not withdrawn.
fn other_coins(context: &Context, payee: Payee) -> i64 {
    match payee {
        Payee::Host { person } => {
            let wallet = context.state.wallet(person, context.at);
            wallet.purchased_milli.saturating_add(wallet.bonus_milli)
        }
        Payee::Agency { .. } => 0,
    }
}
