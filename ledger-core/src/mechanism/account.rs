//! The chart of accounts: typed ids with a readable text form.

use super::binary::{binary_choices, binary_fields};
use super::ids::{AgencyId, OrderId, PersonId, WithdrawalId};
use super::money::Asset;
use super::text::text_or_parts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A payment gateway that money comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gateway {
    Razorpay,
}

impl Gateway {
    pub fn name(self) -> &'static str {
        match self {
            Gateway::Razorpay => "razorpay",
        }
    }

    fn from_name(name: &str) -> Option<Gateway> {
        (name == "razorpay").then_some(Gateway::Razorpay)
    }
}

/// Where value stands. The key of a balance is the pair (account, asset).
///
/// ```
/// use ledger_core::Account;
/// let account: Account = "host:0195f2a0-0000-7000-8000-000000000001:earnings".parse()?;
/// assert_eq!(account.to_string(), "host:0195f2a0-0000-7000-8000-000000000001:earnings");
/// // What a host has is what the platform owes: a credit.
/// assert_eq!(account.natural_balance(-500), 500);
/// # Ok::<(), ledger_core::account::BadAccount>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub enum Account {
    /// Coins that a user bought: spendable, never withdrawable.
    UserPurchased(PersonId),
    /// Coins that a user was given: spendable, spent first.
    UserBonus(PersonId),
    /// Coins that a host earned: withdrawable, never spendable.
    HostEarnings(PersonId),
    AgencyEarnings(AgencyId),
    /// Coins of a withdrawal that waits for its payout.
    WithdrawalHeld(WithdrawalId),
    PlatformRevenue,
    /// What bonus coins cost the platform.
    PlatformPromotions,
    /// The other side of adjustments.
    PlatformAdjustments,
    /// The bank account that payouts leave from.
    PlatformBank,
    /// Holds a charge between its debit and its split; zero at each unit boundary.
    ClearingCharges,
    /// Where value changes from coins to fiat and back; held in both assets.
    ExchangeCoins,
    /// Fiat that a gateway collected for us.
    Gateway(Gateway),
    /// Fiat that came or went through a gateway and fits no open case.
    Suspense(Gateway),
    /// Coins of a user that a dispute keeps from being spent until it is decided.
    UserFrozen(PersonId),
    /// Coins that a user has spent and whose payment was taken back: what the user owes.
    UserReceivable(PersonId),
    /// What lost disputes cost the platform: receivables that were written off, and the gateway's fees.
    PlatformLosses,
    /// Tax withheld from payouts: what the platform owes the state.
    PlatformTax,
    /// Coins that were paid for an order, until it is completed or they go back.
    OrderHeld(OrderId),
}

/// On which side an account's balance normally stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormalSide {
    /// What the platform has or has spent.
    Debit,
    /// What the platform owes or has earned.
    Credit,
    /// Either.
    Both,
}

impl Account {
    pub fn normal_side(&self) -> NormalSide {
        match self {
            Account::UserPurchased(_)
            | Account::UserBonus(_)
            | Account::HostEarnings(_)
            | Account::AgencyEarnings(_)
            | Account::WithdrawalHeld(_)
            | Account::UserFrozen(_)
            | Account::OrderHeld(_)
            | Account::PlatformRevenue
            | Account::PlatformTax => NormalSide::Credit,
            Account::PlatformPromotions
            | Account::UserReceivable(_)
            | Account::PlatformLosses
            | Account::Gateway(_) => NormalSide::Debit,
            Account::PlatformAdjustments
            | Account::PlatformBank
            | Account::ClearingCharges
            | Account::ExchangeCoins
            | Account::Suspense(_) => NormalSide::Both,
        }
    }

    /// A signed balance (debit positive) as the account's owner reads it: what a user has is a
    /// credit, and positive to them.
    pub fn natural_balance(&self, balance: i64) -> i64 {
        match self.normal_side() {
            NormalSide::Credit => -balance,
            NormalSide::Debit | NormalSide::Both => balance,
        }
    }

    /// Whether the account may never stand at this signed balance: what belongs to somebody is never overdrawn, and
    /// nobody pays back more than they owe.
    pub fn is_overdrawn_at(&self, balance: i128) -> bool {
        match self {
            Account::UserPurchased(_)
            | Account::UserBonus(_)
            | Account::HostEarnings(_)
            | Account::AgencyEarnings(_)
            | Account::WithdrawalHeld(_)
            | Account::UserFrozen(_)
            | Account::OrderHeld(_) => balance > 0,
            Account::UserReceivable(_) => balance < 0,
            _ => false,
        }
    }

    /// The person whose wallet the account is part of.
    pub fn person(&self) -> Option<PersonId> {
        match self {
            Account::UserPurchased(person)
            | Account::UserBonus(person)
            | Account::HostEarnings(person)
            | Account::UserFrozen(person)
            | Account::UserReceivable(person) => Some(*person),
            _ => None,
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Account::UserPurchased(id) => write!(f, "user:{id}:purchased"),
            Account::UserBonus(id) => write!(f, "user:{id}:bonus"),
            Account::HostEarnings(id) => write!(f, "host:{id}:earnings"),
            Account::AgencyEarnings(id) => write!(f, "agency:{id}:earnings"),
            Account::WithdrawalHeld(id) => write!(f, "withdrawal:{id}:held"),
            Account::PlatformRevenue => f.write_str("platform:revenue"),
            Account::PlatformPromotions => f.write_str("platform:promotions"),
            Account::PlatformAdjustments => f.write_str("platform:adjustments"),
            Account::PlatformBank => f.write_str("platform:bank"),
            Account::ClearingCharges => f.write_str("clearing:charges"),
            Account::ExchangeCoins => f.write_str("exchange:coins"),
            Account::Gateway(gateway) => write!(f, "gateway:{}", gateway.name()),
            Account::Suspense(gateway) => write!(f, "suspense:{}", gateway.name()),
            Account::UserFrozen(id) => write!(f, "user:{id}:frozen"),
            Account::UserReceivable(id) => write!(f, "user:{id}:receivable"),
            Account::PlatformLosses => f.write_str("platform:losses"),
            Account::PlatformTax => f.write_str("platform:tax"),
            Account::OrderHeld(id) => write!(f, "order:{id}:held"),
        }
    }
}

/// A text that is not an account such as `user:<uuid>:purchased`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an account: {0:?}")]
pub struct BadAccount(pub String);

impl FromStr for Account {
    type Err = BadAccount;

    fn from_str(text: &str) -> Result<Self, BadAccount> {
        let bad = || BadAccount(text.to_owned());
        let (class, rest) = text.split_once(':').ok_or_else(bad)?;
        let owned = rest.rsplit_once(':').filter(|(id, _)| !id.contains(':'));
        let account = match (class, owned) {
            ("user", Some((id, "purchased"))) => Account::UserPurchased(id.parse().map_err(|_| bad())?),
            ("user", Some((id, "bonus"))) => Account::UserBonus(id.parse().map_err(|_| bad())?),
            ("user", Some((id, "frozen"))) => Account::UserFrozen(id.parse().map_err(|_| bad())?),
            ("user", Some((id, "receivable"))) => Account::UserReceivable(id.parse().map_err(|_| bad())?),
            ("host", Some((id, "earnings"))) => Account::HostEarnings(id.parse().map_err(|_| bad())?),
            ("agency", Some((id, "earnings"))) => Account::AgencyEarnings(id.parse().map_err(|_| bad())?),
            ("withdrawal", Some((id, "held"))) => Account::WithdrawalHeld(id.parse().map_err(|_| bad())?),
            ("order", Some((id, "held"))) => Account::OrderHeld(id.parse().map_err(|_| bad())?),
            ("platform", None) if rest == "revenue" => Account::PlatformRevenue,
            ("platform", None) if rest == "promotions" => Account::PlatformPromotions,
            ("platform", None) if rest == "adjustments" => Account::PlatformAdjustments,
            ("platform", None) if rest == "bank" => Account::PlatformBank,
            ("platform", None) if rest == "losses" => Account::PlatformLosses,
            ("platform", None) if rest == "tax" => Account::PlatformTax,
            ("clearing", None) if rest == "charges" => Account::ClearingCharges,
            ("exchange", None) if rest == "coins" => Account::ExchangeCoins,
            ("gateway", None) => Account::Gateway(Gateway::from_name(rest).ok_or_else(bad)?),
            ("suspense", None) => Account::Suspense(Gateway::from_name(rest).ok_or_else(bad)?),
            _ => return Err(bad()),
        };
        // An account is written in one way; any spelling of its UUID is read.
        Ok(account)
    }
}

binary_choices! { Gateway as "name" { 0 = Razorpay "razorpay" } }

binary_choices! { Account as "text" {
    0 = UserPurchased(user: PersonId) "user:{}:purchased"
    1 = UserBonus(user: PersonId) "user:{}:bonus"
    2 = HostEarnings(host: PersonId) "host:{}:earnings"
    3 = AgencyEarnings(agency: AgencyId) "agency:{}:earnings"
    4 = WithdrawalHeld(withdrawal: WithdrawalId) "withdrawal:{}:held"
    5 = PlatformRevenue "platform:revenue"
    6 = PlatformPromotions "platform:promotions"
    7 = PlatformAdjustments "platform:adjustments"
    8 = PlatformBank "platform:bank"
    9 = ClearingCharges "clearing:charges"
    10 = ExchangeCoins "exchange:coins"
    11 = Gateway(gateway: Gateway) "gateway:{}"
    12 = Suspense(gateway: Gateway) "suspense:{}"
    13 = UserFrozen(user: PersonId) "user:{}:frozen"
    14 = UserReceivable(user: PersonId) "user:{}:receivable"
    15 = PlatformLosses "platform:losses"
    16 = PlatformTax "platform:tax"
    17 = OrderHeld(order: OrderId) "order:{}:held"
} }

text_or_parts!(Account, "an account such as user:<uuid>:purchased");

impl JsonSchema for Account {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Account".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[a-z]+(:[0-9a-f-]{36})?:[a-z]+$",
            "description": "An account of the chart of accounts, such as user:<uuid>:purchased"
        })
    }
}

/// One leg of an entry: debit positive, credit negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Posting {
    pub account: Account,
    pub asset: Asset,
    /// In the asset's smallest unit, never zero.
    pub amount: i64,
}

binary_fields! { Posting { account: Account, asset: Asset, amount: i64 } }

/// The two legs that move `amount` between two accounts; none when it is zero.
pub fn legs(asset: Asset, debit: Account, credit: Account, amount: i64) -> Vec<Posting> {
    let mut postings = Vec::new();
    add_legs(&mut postings, asset, debit, credit, amount);
    postings
}

/// The same behind other legs of one entry.
pub(crate) fn add_legs(
    postings: &mut Vec<Posting>,
    asset: Asset,
    debit: Account,
    credit: Account,
    amount: i64,
) {
    if amount != 0 {
        let (from, to) =
            (Posting { account: debit, asset, amount }, Posting { account: credit, asset, amount: -amount });
        postings.extend([from, to]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_in_any_spelling_of_its_uuid_is_the_same_and_is_written_in_one_way() {
        let usual = "host:0195f2a0-0000-7000-8000-00000000abcd:earnings";
        let account: Account = usual.parse().expect("an account");
        for spelling in [
            "host:0195F2A0-0000-7000-8000-00000000ABCD:earnings",
            "host:0195f2a000007000800000000000abcd:earnings",
            "host:{0195f2a0-0000-7000-8000-00000000abcd}:earnings",
        ] {
            assert_eq!(spelling.parse(), Ok(account), "{spelling}");
        }
        assert!("HOST:0195f2a0-0000-7000-8000-00000000abcd:earnings".parse::<Account>().is_err());
        assert_eq!(account.to_string(), usual);
    }
}
