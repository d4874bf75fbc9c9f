//! What a person has.

use crate::{Account, Asset, PersonId, State, Timestamp};
use serde::Serialize;

/// What a person has, in thousandths of a coin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Wallet {
    pub purchased_milli: i64,
    pub bonus_milli: i64,
    /// Bought coins and bonus coins that have not expired; nothing as long as the person owes coins.
    pub spendable_milli: i64,
    pub earnings_milli: i64,
    /// Earnings whose wait is over; nothing as long as the person owes coins.
    pub withdrawable_milli: i64,
    /// Coins that a dispute keeps from being spent.
    pub frozen_milli: i64,
    /// Coins that the person has spent and whose payment was taken back.
    pub owed_milli: i64,
}

impl State {
    /// What `person` has at the moment `at`.
    pub fn wallet(&self, person: PersonId, at: Timestamp) -> Wallet {
        let own = |account: Account| -self.balance(account, Asset::COIN);
        let owed_milli = self.owed(person);
        let unless_owing = |amount_milli: i64| if owed_milli == 0 { amount_milli } else { 0 };
        Wallet {
            purchased_milli: own(Account::UserPurchased(person)),
            bonus_milli: own(Account::UserBonus(person)),
            spendable_milli: unless_owing(self.spendable(person, at)),
            earnings_milli: own(Account::HostEarnings(person)),
            withdrawable_milli: unless_owing(self.withdrawable(Account::HostEarnings(person), at)),
            frozen_milli: own(Account::UserFrozen(person)),
            owed_milli,
        }
    }

    /// What `person` can spend: bought coins, and bonus coins that have not expired.
    pub fn spendable(&self, person: PersonId, at: Timestamp) -> i64 {
        let coins = |account: Account| -self.balance(account, Asset::COIN);
        let all_milli = coins(Account::UserPurchased(person)) + coins(Account::UserBonus(person));
        all_milli - self.expired_milli(person, at)
    }
}
