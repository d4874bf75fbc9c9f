//! What is asked about withdrawals.

use super::*;
use crate::account::legs;
use crate::mechanism::decide::{Context, Decide, check_amount, check_reason, check_reference};
use crate::mechanism::envelope::commands;
use crate::{Account, Asset, Event, MAX_AMOUNT, PersonId, Posting, Rejection, State, WithdrawalId};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

commands! {
    RequestWithdrawal = "RequestWithdrawal" {
        #[serde(deserialize_with = "super::payee::carried")]
        payee: Payee,
        coins_milli: i64,
    }
    ApproveWithdrawal = "ApproveWithdrawal" { withdrawal: WithdrawalId }
    RejectWithdrawal = "RejectWithdrawal" { withdrawal: WithdrawalId, reason: String }
    CancelWithdrawal = "CancelWithdrawal" {
        withdrawal: WithdrawalId,
        #[serde(deserialize_with = "super::payee::carried")]
        payee: Payee,
    }
    MarkWithdrawalPaid = "MarkWithdrawalPaid" { withdrawal: WithdrawalId, payout_ref: String }
    FailWithdrawal = "FailWithdrawal" { withdrawal: WithdrawalId, reason: String }
}

impl Decide for RequestWithdrawal {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &RequestWithdrawal { payee, coins_milli } = self;
        check_amount("coins_milli", coins_milli)?;
        let policy = context.policy;
        let minimum_milli = policy.minimum_withdrawal_milli;
        if coins_milli < minimum_milli {
            return Err(Rejection::WithdrawalTooSmall { minimum_milli });
        }
        if let Payee::Host { person } = payee {
            context.check_owes_nothing(person)?;
        }
        let earnings = payee.earnings();
        let available_milli = context.state.withdrawable(earnings, context.at);
        if coins_milli > available_milli {
            let earnings_milli = -context.state.balance(earnings, Asset::COIN);
            return Err(match coins_milli {
                coins if coins <= earnings_milli => Rejection::EarningsNotAvailable { available_milli },
                coins if coins <= earnings_milli.saturating_add(other_coins(context, payee)) => {
                    Rejection::PurchasedNotWithdrawable { available_milli }
                }
                _ => Rejection::InsufficientEarnings { available_milli },
            });
        }
        let (rate, payout_asset) = (policy.payout_rate, policy.payout_asset);
        let payout_minor = payout_minor(coins_milli, rate, payout_asset)
            .filter(|minor| *minor <= MAX_AMOUNT)
            .ok_or(Rejection::AmountTooLarge { field: "coins_milli" })?;
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
            rate,
            payout_minor,
            payout_asset,
            postings,
        };
        Ok(vec![requested.into()])
    }
}

impl Decide for ApproveWithdrawal {
    fn decides_on_money_of(&self, state: &State) -> Option<PersonId> {
        state.withdrawal(self.withdrawal).map(|row| row.payee.person())
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let withdrawal = self.withdrawal;
        let row = requested(context, withdrawal)?;
        Ok(vec![WithdrawalApproved { withdrawal, payee: row.payee }.into()])
    }
}

impl Decide for RejectWithdrawal {
    fn decides_on_money_of(&self, state: &State) -> Option<PersonId> {
        state.withdrawal(self.withdrawal).map(|row| row.payee.person())
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let withdrawal = self.withdrawal;
        let reason = check_reason("reason", &self.reason)?;
        let row = requested(context, withdrawal)?;
        let (payee, coins_milli, postings) = (row.payee, row.coins_milli, returned(withdrawal, row));
        Ok(vec![WithdrawalRejected { withdrawal, payee, reason, coins_milli, postings }.into()])
    }
}

impl Decide for CancelWithdrawal {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &CancelWithdrawal { withdrawal, payee } = self;
        // Somebody else's withdrawal is answered like one that is not there.
        let own = context.state.withdrawal(withdrawal).filter(|row| row.payee == payee);
        own.ok_or(Rejection::UnknownWithdrawal)?;
        let row = requested(context, withdrawal)?;
        let (coins_milli, postings) = (row.coins_milli, returned(withdrawal, row));
        Ok(vec![WithdrawalCancelled { withdrawal, payee, coins_milli, postings }.into()])
    }
}

impl Decide for MarkWithdrawalPaid {
    fn decides_on_money_of(&self, state: &State) -> Option<PersonId> {
        state.withdrawal(self.withdrawal).map(|row| row.payee.person())
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let withdrawal = self.withdrawal;
        let payout_ref = check_reference("payout_ref", &self.payout_ref)?;
        let row = context.state.withdrawal(withdrawal).ok_or(Rejection::UnknownWithdrawal)?;
        match row.status {
            WithdrawalStatus::Approved => {}
            WithdrawalStatus::Requested => return Err(Rejection::WithdrawalNotApproved),
            _ => return Err(Rejection::WithdrawalClosed),
        }
        if let Some(withdrawal) = context.state.withdrawal_of_payout(&payout_ref) {
            return Err(Rejection::PayoutRefUsed { withdrawal });
        }
        let held = Account::WithdrawalHeld(withdrawal);
        let mut postings = legs(Asset::COIN, held, Account::ExchangeCoins, row.coins_milli);
        let (from, to) = (Account::ExchangeCoins, Account::PlatformBank);
        postings.extend(legs(row.payout_asset, from, to, row.payout_minor));
        let paid = WithdrawalPaid {
            withdrawal,
            payee: row.payee,
            payout_ref,
            coins_milli: row.coins_milli,
            payout_minor: row.payout_minor,
            payout_asset: row.payout_asset,
            postings,
        };
        Ok(vec![paid.into()])
    }
}

impl Decide for FailWithdrawal {
    fn decides_on_money_of(&self, state: &State) -> Option<PersonId> {
        state.withdrawal(self.withdrawal).map(|row| row.payee.person())
    }

    /// The payout did not arrive, before or after it was marked as paid: the payee has the coins back.
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let withdrawal = self.withdrawal;
        let reason = check_reason("reason", &self.reason)?;
        let row = context.state.withdrawal(withdrawal).ok_or(Rejection::UnknownWithdrawal)?;
        let (was_paid, postings) = match row.status {
            WithdrawalStatus::Approved => (false, returned(withdrawal, row)),
            WithdrawalStatus::Paid => {
                let earnings = row.payee.earnings();
                let mut postings = legs(Asset::COIN, Account::ExchangeCoins, earnings, row.coins_milli);
                let bank = Account::PlatformBank;
                postings.extend(legs(row.payout_asset, bank, Account::ExchangeCoins, row.payout_minor));
                (true, postings)
            }
            WithdrawalStatus::Requested => return Err(Rejection::WithdrawalNotApproved),
            _ => return Err(Rejection::WithdrawalClosed),
        };
        let failed = WithdrawalFailed {
            withdrawal,
            payee: row.payee,
            reason,
            was_paid,
            coins_milli: row.coins_milli,
            payout_minor: row.payout_minor,
            payout_asset: row.payout_asset,
            postings,
        };
        Ok(vec![failed.into()])
    }
}

fn requested<'a>(context: &'a Context, withdrawal: WithdrawalId) -> Result<&'a Withdrawal, Rejection> {
    let row = context.state.withdrawal(withdrawal).ok_or(Rejection::UnknownWithdrawal)?;
    match row.status {
        WithdrawalStatus::Requested => Ok(row),
        WithdrawalStatus::Approved => Err(Rejection::WithdrawalAlreadyApproved),
        _ => Err(Rejection::WithdrawalClosed),
    }
}

/// What a withdrawal pays out, rounded down to the asset's smallest unit.
fn payout_minor(coins_milli: i64, rate: Decimal, asset: Asset) -> Option<i64> {
    let coins = Decimal::new(coins_milli, u32::from(Asset::COIN.scale()));
    let minor_units = Decimal::from(10_i64.checked_pow(u32::from(asset.scale()))?);
    coins.checked_mul(rate)?.checked_mul(minor_units)?.floor().to_i64()
}

/// The held coins are the payee's again.
fn returned(id: WithdrawalId, row: &Withdrawal) -> Vec<Posting> {
    legs(Asset::COIN, Account::WithdrawalHeld(id), row.payee.earnings(), row.coins_milli)
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
