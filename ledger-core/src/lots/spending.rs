//! What is paid in coins: draws from lots, and the entry of the charge.

use super::Lot;
use crate::account::add_legs;
use crate::mechanism::binary::binary_fields;
use crate::mechanism::decide::Context;
use crate::{Account, Asset, LotId, PersonId, Posting, Rejection};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From how many lots one command may draw, and so how much it may append.
pub const MOST_DRAWS: usize = 1_000;

/// Part of a spend: how much came from which lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Draw {
    pub lot: LotId,
    pub account: Account,
    pub amount_milli: i64,
}

binary_fields! { Draw { lot: LotId, account: Account, amount_milli: i64 } }

/// The charge side of a spend: where the coins come from, and the entry that takes them.
pub(crate) struct Charge {
    pub draws: Vec<Draw>,
    pub postings: Vec<Posting>,
}

impl Context<'_> {
    /// Draws `amount_milli` from the payer's lots: bonus first (soonest expiry first), then bought
    /// coins by age. Earnings are no lots, so a host cannot pay from them.
    pub fn charge(&self, payer: PersonId, amount_milli: i64) -> Result<Charge, Rejection> {
        self.charge_into(Account::ClearingCharges, payer, amount_milli)
    }

    /// The same, with the entry to another account.
    pub fn charge_into(&self, to: Account, payer: PersonId, amount_milli: i64) -> Result<Charge, Rejection> {
        self.check_owes_nothing(payer)?;
        let spendable_milli = self.state.spendable(payer, self.at);
        if spendable_milli < amount_milli {
            return Err(self.short_of(payer, amount_milli, spendable_milli));
        }
        let draws = drawn(self.state.spending_order(payer, self.at), amount_milli)?;
        let from = |account: Account| {
            draws.iter().filter(|it| it.account == account).map(|it| it.amount_milli).sum()
        };
        let mut postings = Vec::with_capacity(4);
        for account in [Account::UserBonus(payer), Account::UserPurchased(payer)] {
            add_legs(&mut postings, Asset::COIN, account, to, from(account));
        }
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

    /// Takes from all lots of one account, expired ones too: the account holds their coins.
    pub fn draw_from(&self, account: Account, amount_milli: i64) -> Result<Vec<Draw>, Rejection> {
        drawn(self.state.lots_of(account), amount_milli)
    }
}

/// Takes `amount_milli` from the first of `lots`, which hold as much.
fn drawn<'a>(
    lots: impl Iterator<Item = (LotId, &'a Lot)>,
    amount_milli: i64,
) -> Result<Vec<Draw>, Rejection> {
    let mut draws: Vec<Draw> = Vec::new();
    let mut open = amount_milli;
    for (lot, row) in lots {
        if open == 0 {
            break;
        }
        if draws.len() == MOST_DRAWS {
            return Err(Rejection::TooManyLots { most: MOST_DRAWS });
        }
        let part = open.min(row.remaining_milli);
        draws.push(Draw { lot, account: row.account, amount_milli: part });
        open -= part;
    }
    assert_eq!(open, 0, "lots hold what their account holds");
    Ok(draws)
}
