//! What a payout is worth in money, and the tax that is withheld from it. Both hold from a moment on, and a withdrawal
//! keeps those that were in force when it was requested.

use crate::mechanism::dated::not_backdated;
use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{Asset, Event, PersonId, Posting, Rejection, State, Timestamp};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// As many decimals as a rate may have.
const MOST_DECIMALS: u32 = 6;
const LARGEST_RATE: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// Units of an asset for one coin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PayoutRate(#[serde(with = "rust_decimal::serde::str")] Decimal);

commands! {
    SetPayoutRate = "SetPayoutRate" {
        asset: Asset,
        /// Units of the asset for one coin.
        #[serde(with = "rust_decimal::serde::str")]
        rate: Decimal,
        /// At once when absent.
        effective_from: Option<Timestamp>,
    }
    /// What is withheld is the platform's to decide; the core knows no law.
    SetTaxRate = "SetTaxRate" { asset: Asset, tax_bps: u32, effective_from: Option<Timestamp> }
}

events! {
    PayoutRateSet = "PayoutRateSet" {
        asset: Asset,
        /// Units of the asset for one coin, as a decimal text.
        #[schemars(with = "String")]
        rate: Decimal,
        effective_from: Timestamp,
    }
    TaxRateSet = "TaxRateSet" {
        asset: Asset,
        /// The part of a payout that is withheld, in basis points.
        tax_bps: u32,
        effective_from: Timestamp,
    }
}

impl State {
    /// Units of `asset` for one coin at the moment `at`: one where nothing is set.
    pub fn payout_rate(&self, asset: Asset, at: Timestamp) -> Decimal {
        let rates = self.tables.payout_rates.get(&asset);
        rates.and_then(|rates| rates.in_force(at)).map_or(Decimal::ONE, |rate| rate.0)
    }

    /// The tax on payouts in `asset` at the moment `at`, in basis points: none where nothing is set.
    pub fn tax_bps(&self, asset: Asset, at: Timestamp) -> u32 {
        let rates = self.tables.tax_rates.get(&asset);
        rates.and_then(|rates| rates.in_force(at)).copied().unwrap_or(0)
    }
}

fn check_money(context: &Context, asset: Asset) -> Result<(), Rejection> {
    match asset {
        Asset::COIN => Err(Rejection::PayoutInCoins),
        asset => context.check_declared(asset),
    }
}

impl Decide for SetPayoutRate {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &SetPayoutRate { asset, rate, effective_from } = self;
        check_money(context, asset)?;
        let rate = rate.normalize();
        if rate <= Decimal::ZERO || rate > LARGEST_RATE || rate.scale() > MOST_DECIMALS {
            return Err(Rejection::PayoutRateInvalid);
        }
        let effective_from = not_backdated(effective_from, context.at)?;
        if context.state.payout_rate(asset, effective_from) == rate {
            return Ok(vec![]);
        }
        Ok(vec![PayoutRateSet { asset, rate, effective_from }.into()])
    }
}

impl Decide for SetTaxRate {
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &SetTaxRate { asset, tax_bps, effective_from } = self;
        check_money(context, asset)?;
        if tax_bps > 10_000 {
            return Err(Rejection::TaxTooLarge);
        }
        let effective_from = not_backdated(effective_from, context.at)?;
        if context.state.tax_bps(asset, effective_from) == tax_bps {
            return Ok(vec![]);
        }
        Ok(vec![TaxRateSet { asset, tax_bps, effective_from }.into()])
    }
}

impl Happened for PayoutRateSet {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![]
    }

    fn evolve(&self, change: &mut Change) {
        let rates = &mut change.state.tables.payout_rates;
        let mut dated = rates.get(&self.asset).cloned().unwrap_or_default();
        dated.set(change.at, self.effective_from, PayoutRate(self.rate));
        rates.set(change.revision, self.asset, Some(dated));
    }
}

impl Happened for TaxRateSet {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![]
    }

    fn evolve(&self, change: &mut Change) {
        let rates = &mut change.state.tables.tax_rates;
        let mut dated = rates.get(&self.asset).cloned().unwrap_or_default();
        dated.set(change.at, self.effective_from, self.tax_bps);
        rates.set(change.revision, self.asset, Some(dated));
    }
}
