//! Coins that leave: withdrawals; and corrections.

use super::{Context, check_amount, check_reason, check_reference};
use crate::account::{Account, Posting, legs};
use crate::event::*;
use crate::ids::{NoteId, PersonId, WithdrawalId};
use crate::money::{Asset, MAX_AMOUNT};
use crate::rejection::Rejection;
use crate::state::{Withdrawal, WithdrawalStatus};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

impl Context<'_> {
    pub fn request_withdrawal(&self, host: PersonId, coins_milli: i64) -> Result<Vec<Event>, Rejection> {
        check_amount("coins_milli", coins_milli)?;
        let minimum_milli = self.policy.minimum_withdrawal_milli;
        if coins_milli < minimum_milli {
            return Err(Rejection::WithdrawalTooSmall { minimum_milli });
        }
        let wallet = self.state.wallet(host, self.at);
        let available_milli = wallet.withdrawable_milli;
        if coins_milli > available_milli {
            let others = wallet.purchased_milli.saturating_add(wallet.bonus_milli);
            return Err(match coins_milli {
                coins if coins <= wallet.earnings_milli => {
                    Rejection::EarningsNotAvailable { available_milli }
                }
                coins if coins <= wallet.earnings_milli.saturating_add(others) => {
                    Rejection::PurchasedNotWithdrawable { available_milli }
                }
                _ => Rejection::InsufficientEarnings { available_milli },
            });
        }
        let (rate, payout_asset) = (self.policy.payout_rate, self.policy.payout_asset);
        let payout_minor = payout_minor(coins_milli, rate, payout_asset)
            .filter(|minor| *minor <= MAX_AMOUNT)
            .ok_or(Rejection::AmountTooLarge { field: "coins_milli" })?;
        if payout_minor <= 0 {
            return Err(Rejection::WithdrawalTooSmall { minimum_milli });
        }
        let withdrawal: WithdrawalId = self.command_id.derive("withdrawal");
        let held = Account::WithdrawalHeld(withdrawal);
        let postings = legs(Asset::COIN, Account::HostEarnings(host), held, coins_milli);
        let requested =
            WithdrawalRequested { withdrawal, host, coins_milli, rate, payout_minor, payout_asset, postings };
        Ok(vec![requested.into()])
    }

    pub fn approve_withdrawal(&self, id: WithdrawalId) -> Result<Vec<Event>, Rejection> {
        let row = self.requested(id)?;
        Ok(vec![WithdrawalApproved { withdrawal: id, host: row.host }.into()])
    }

    pub fn reject_withdrawal(&self, id: WithdrawalId, reason: String) -> Result<Vec<Event>, Rejection> {
        let reason = check_reason("reason", reason)?;
        let row = self.requested(id)?;
        let (host, coins_milli, postings) = (row.host, row.coins_milli, returned(id, row));
        Ok(vec![WithdrawalRejected { withdrawal: id, host, reason, coins_milli, postings }.into()])
    }

    pub fn cancel_withdrawal(&self, id: WithdrawalId, host: PersonId) -> Result<Vec<Event>, Rejection> {
        // Somebody else's withdrawal is answered like one that is not there.
        self.state.withdrawal(id).filter(|row| row.host == host).ok_or(Rejection::UnknownWithdrawal)?;
        let row = self.requested(id)?;
        let (coins_milli, postings) = (row.coins_milli, returned(id, row));
        Ok(vec![WithdrawalCancelled { withdrawal: id, host, coins_milli, postings }.into()])
    }

    pub fn mark_withdrawal_paid(
        &self,
        id: WithdrawalId,
        payout_ref: String,
    ) -> Result<Vec<Event>, Rejection> {
        let payout_ref = check_reference("payout_ref", payout_ref)?;
        let row = self.state.withdrawal(id).ok_or(Rejection::UnknownWithdrawal)?;
        match row.status {
            WithdrawalStatus::Approved => {}
            WithdrawalStatus::Requested => return Err(Rejection::WithdrawalNotApproved),
            _ => return Err(Rejection::WithdrawalClosed),
        }
        let held = Account::WithdrawalHeld(id);
        let mut postings = legs(Asset::COIN, held, Account::ExchangeCoins, row.coins_milli);
        postings.extend(legs(
            row.payout_asset,
            Account::ExchangeCoins,
            Account::PlatformBank,
            row.payout_minor,
        ));
        let paid = WithdrawalPaid {
            withdrawal: id,
            host: row.host,
            payout_ref,
            coins_milli: row.coins_milli,
            payout_minor: row.payout_minor,
            payout_asset: row.payout_asset,
            postings,
        };
        Ok(vec![paid.into()])
    }

    /// The payout did not arrive, before or after it was marked as paid: the host has the coins back.
    pub fn fail_withdrawal(&self, id: WithdrawalId, reason: String) -> Result<Vec<Event>, Rejection> {
        let reason = check_reason("reason", reason)?;
        let row = self.state.withdrawal(id).ok_or(Rejection::UnknownWithdrawal)?;
        let (was_paid, postings) = match row.status {
            WithdrawalStatus::Approved => (false, returned(id, row)),
            WithdrawalStatus::Paid => {
                let earnings = Account::HostEarnings(row.host);
                let mut postings = legs(Asset::COIN, Account::ExchangeCoins, earnings, row.coins_milli);
                let bank = Account::PlatformBank;
                postings.extend(legs(row.payout_asset, bank, Account::ExchangeCoins, row.payout_minor));
                (true, postings)
            }
            WithdrawalStatus::Requested => return Err(Rejection::WithdrawalNotApproved),
            _ => return Err(Rejection::WithdrawalClosed),
        };
        let failed = WithdrawalFailed {
            withdrawal: id,
            host: row.host,
            reason,
            was_paid,
            coins_milli: row.coins_milli,
            payout_minor: row.payout_minor,
            payout_asset: row.payout_asset,
            postings,
        };
        Ok(vec![failed.into()])
    }

    fn requested(&self, id: WithdrawalId) -> Result<&Withdrawal, Rejection> {
        let row = self.state.withdrawal(id).ok_or(Rejection::UnknownWithdrawal)?;
        match row.status {
            WithdrawalStatus::Requested => Ok(row),
            WithdrawalStatus::Approved => Err(Rejection::WithdrawalAlreadyApproved),
            _ => Err(Rejection::WithdrawalClosed),
        }
    }

    pub fn post_adjustment(
        &self,
        account: Account,
        amount_milli: i64,
        reason: String,
        note: Option<NoteId>,
    ) -> Result<Vec<Event>, Rejection> {
        let field = "amount_milli";
        check_amount(field, amount_milli.checked_abs().ok_or(Rejection::AmountTooLarge { field })?)?;
        let reason = check_reason("reason", reason)?;
        let in_lots = matches!(account, Account::UserPurchased(_) | Account::UserBonus(_));
        if !in_lots && !matches!(account, Account::HostEarnings(_) | Account::AgencyEarnings(_)) {
            return Err(Rejection::AccountNotAdjustable);
        }
        let balance_milli = -self.state.balance(account, Asset::COIN);
        if balance_milli + amount_milli < 0 {
            return Err(Rejection::AdjustmentOverdraws { balance_milli });
        }
        let other = Account::PlatformAdjustments;
        let (draws, postings) = if amount_milli > 0 {
            (Vec::new(), legs(Asset::COIN, other, account, amount_milli))
        } else {
            let draws = if in_lots { self.draw_from(account, -amount_milli) } else { Vec::new() };
            (draws, legs(Asset::COIN, account, other, -amount_milli))
        };
        let posted = AdjustmentPosted {
            adjustment: self.command_id.derive("adjustment"),
            account,
            amount_milli,
            reason,
            note,
            lot: (in_lots && amount_milli > 0).then(|| self.command_id.derive("lot")),
            draws,
            postings,
        };
        Ok(vec![posted.into()])
    }

    /// Takes from all lots of one account, expired ones too: the account holds their coins.
    fn draw_from(&self, account: Account, amount_milli: i64) -> Vec<Draw> {
        let mut open = amount_milli;
        let mut draws = Vec::new();
        for (lot, row) in self.state.lots_of(account) {
            let part = open.min(row.remaining_milli);
            if part > 0 {
                draws.push(Draw { lot, account, amount_milli: part });
                open -= part;
            }
        }
        assert_eq!(open, 0, "the lots of {account} hold its balance");
        draws
    }
}

/// What a withdrawal pays out, rounded down to the asset's smallest unit.
fn payout_minor(coins_milli: i64, rate: Decimal, asset: Asset) -> Option<i64> {
    let coins = Decimal::new(coins_milli, u32::from(Asset::COIN.scale()));
    let minor_units = Decimal::from(10_i64.checked_pow(u32::from(asset.scale()))?);
    coins.checked_mul(rate)?.checked_mul(minor_units)?.floor().to_i64()
}

/// The held coins are the host's again.
fn returned(id: WithdrawalId, row: &Withdrawal) -> Vec<Posting> {
    legs(Asset::COIN, Account::WithdrawalHeld(id), Account::HostEarnings(row.host), row.coins_milli)
}
