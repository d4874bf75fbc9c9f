//! What the journal adds up to: all that deciding the next command takes.

use crate::account::{Account, Gateway};
use crate::call::Call;
use crate::event::{CommissionRule, CommissionScope, Medium};
use crate::ids::*;
use crate::metadata::RequestHash;
use crate::money::Asset;
use crate::table::Table;
use crate::time::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, VecDeque};

/// For how long a client's idempotency key is good, in milliseconds of event time.
pub const KEY_LIFE_MS: i64 = 24 * 60 * 60 * 1_000;

/// The ledger's state after the last event evolved. Changed by [`crate::evolve`] alone.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(crate) head: Head,
    heads_before: VecDeque<(u64, Head)>,
    /// Signed, debit positive; no row where the balance is zero.
    pub(crate) balances: Table<(Account, Asset), i64>,
    pub(crate) lots: Table<LotId, Lot>,
    pub(crate) payers: Table<PersonId, Payer>,
    pub(crate) hosts: Table<PersonId, Host>,
    pub(crate) rates: Table<(PersonId, Medium), i64>,
    pub(crate) gifts: Table<GiftId, i64>,
    pub(crate) plans: Table<PlanId, Plan>,
    pub(crate) purchases: Table<PurchaseId, Purchase>,
    /// Where each refund's reference was recorded.
    pub(crate) refunds: Table<String, u64>,
    pub(crate) commissions: Table<CommissionScope, Vec<RateChange>>,
    pub(crate) calls: Table<CallId, Call>,
    /// Who is in which call, as payer or as host.
    pub(crate) engaged: Table<PersonId, CallId>,
    pub(crate) withdrawals: Table<WithdrawalId, Withdrawal>,
    pub(crate) commands: Table<CommandId, Remembered>,
    /// When which command may be forgotten; follows from `commands`.
    pub(crate) forgettable: BTreeSet<(Timestamp, CommandId)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Head {
    pub journal: Option<JournalId>,
    /// The revision that the next event gets.
    pub next: u64,
    pub at: Timestamp,
}

/// Coins that came in together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lot {
    pub account: Account,
    pub remaining_milli: i64,
    pub expires_at: Option<Timestamp>,
}

/// A user's lots, in the order in which they are spent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Payer {
    /// By expiry, those without one last.
    pub bonus: Vec<LotId>,
    /// By age.
    pub purchased: Vec<LotId>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Host {
    pub agency: Option<AgencyId>,
    /// Earnings that cannot be withdrawn yet, by moment.
    pub pending: Vec<(Timestamp, i64)>,
}

/// What a coin plan gives and costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub coins_milli: i64,
    pub bonus_milli: i64,
    pub bonus_valid_seconds: Option<u32>,
    pub price_minor: i64,
    pub price_asset: Asset,
    pub active: bool,
}

/// A purchase and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Purchase {
    pub user: PersonId,
    pub gateway: Gateway,
    pub coins_milli: i64,
    pub bonus_milli: i64,
    pub bonus_valid_seconds: Option<u32>,
    pub price_minor: i64,
    pub price_asset: Asset,
    pub captured: Option<Captured>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Captured {
    pub lot: LotId,
    pub bonus_lot: Option<LotId>,
    pub refunded_minor: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalStatus {
    Requested,
    Approved,
    Rejected,
    Cancelled,
    Paid,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Withdrawal {
    pub host: PersonId,
    pub coins_milli: i64,
    pub rate: Decimal,
    pub payout_minor: i64,
    pub payout_asset: Asset,
    pub status: WithdrawalStatus,
}

/// A rate, or (`None`) its end, from a moment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RateChange {
    pub effective_from: Timestamp,
    pub bps: Option<(u32, u32)>,
}

/// A command that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Remembered {
    pub hash: RequestHash,
    pub revision: u64,
    pub key_at: Option<Timestamp>,
}

/// What a person has, in thousandths of a coin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Wallet {
    pub purchased_milli: i64,
    pub bonus_milli: i64,
    /// Bought coins and bonus coins that have not expired.
    pub spendable_milli: i64,
    pub earnings_milli: i64,
    pub withdrawable_milli: i64,
}

macro_rules! for_each_table {
    ($state:ident, $table:ident => $action:expr) => {{
        {
            let $table = &mut $state.balances;
            $action
        }
        {
            let $table = &mut $state.lots;
            $action
        }
        {
            let $table = &mut $state.payers;
            $action
        }
        {
            let $table = &mut $state.hosts;
            $action
        }
        {
            let $table = &mut $state.rates;
            $action
        }
        {
            let $table = &mut $state.gifts;
            $action
        }
        {
            let $table = &mut $state.plans;
            $action
        }
        {
            let $table = &mut $state.purchases;
            $action
        }
        {
            let $table = &mut $state.refunds;
            $action
        }
        {
            let $table = &mut $state.commissions;
            $action
        }
        {
            let $table = &mut $state.calls;
            $action
        }
        {
            let $table = &mut $state.engaged;
            $action
        }
        {
            let $table = &mut $state.withdrawals;
            $action
        }
        {
            let $table = &mut $state.commands;
            $action
        }
    }};
}

impl State {
    pub fn new() -> State {
        State::default()
    }

    /// The journal's id; `None` before its first event.
    pub fn journal(&self) -> Option<JournalId> {
        self.head.journal
    }

    /// The revision of the last event; `None` before the first.
    pub fn revision(&self) -> Option<u64> {
        self.head.next.checked_sub(1)
    }

    /// The revision that the next event gets.
    pub fn next_revision(&self) -> u64 {
        self.head.next
    }

    /// When the last event was recorded.
    pub fn last_at(&self) -> Timestamp {
        self.head.at
    }

    /// The signed balance, debit positive.
    pub fn balance(&self, account: Account, asset: Asset) -> i64 {
        self.balances.get(&(account, asset)).copied().unwrap_or(0)
    }

    /// All balances that are not zero, in the order of the accounts; signed, debit positive.
    pub fn balances(&self) -> Vec<(Account, Asset, i64)> {
        self.balances
            .sorted()
            .into_iter()
            .map(|((account, asset), amount)| (*account, *asset, *amount))
            .collect()
    }

    /// What `person` has at the moment `at`.
    pub fn wallet(&self, person: PersonId, at: Timestamp) -> Wallet {
        let own = |account: Account| -self.balance(account, Asset::COIN);
        Wallet {
            purchased_milli: own(Account::UserPurchased(person)),
            bonus_milli: own(Account::UserBonus(person)),
            spendable_milli: self.spendable(person, at),
            earnings_milli: own(Account::HostEarnings(person)),
            withdrawable_milli: self.withdrawable(person, at),
        }
    }

    /// What `person` can spend: bought coins, and bonus coins that have not expired.
    pub fn spendable(&self, person: PersonId, at: Timestamp) -> i64 {
        self.spending_order(person, at).map(|(_, lot)| lot.remaining_milli).sum()
    }

    /// The lots that `person` can spend, in the order in which they are drawn.
    pub(crate) fn spending_order(
        &self,
        person: PersonId,
        at: Timestamp,
    ) -> impl Iterator<Item = (LotId, &Lot)> {
        let payer = self.payers.get(&person);
        payer
            .into_iter()
            .flat_map(|payer| payer.bonus.iter().chain(&payer.purchased))
            .filter_map(|id| self.lots.get(id).map(|lot| (*id, lot)))
            .filter(move |(_, lot)| lot.expires_at.is_none_or(|expiry| at < expiry))
    }

    /// All lots that stand in `account`, in the order in which they are drawn.
    pub(crate) fn lots_of(&self, account: Account) -> impl Iterator<Item = (LotId, &Lot)> {
        let payer = account.person().and_then(|person| self.payers.get(&person));
        payer
            .into_iter()
            .flat_map(|payer| payer.bonus.iter().chain(&payer.purchased))
            .filter_map(|id| self.lots.get(id).map(|lot| (*id, lot)))
            .filter(move |(_, lot)| lot.account == account)
    }

    /// What `host` can withdraw: earnings whose waiting time is over.
    pub fn withdrawable(&self, host: PersonId, at: Timestamp) -> i64 {
        let pending: i64 = self
            .hosts
            .get(&host)
            .into_iter()
            .flat_map(|row| &row.pending)
            .filter(|(from, _)| *from > at)
            .map(|(_, amount)| amount)
            .sum();
        // A correction may have taken coins that were still waiting.
        (-self.balance(Account::HostEarnings(host), Asset::COIN) - pending).max(0)
    }

    pub fn lot(&self, lot: LotId) -> Option<&Lot> {
        self.lots.get(&lot)
    }

    /// Bonus lots that will expire, with their moments, in the order of their ids.
    pub fn expiring_lots(&self) -> Vec<(Timestamp, LotId)> {
        self.lots.sorted().into_iter().filter_map(|(id, lot)| Some((lot.expires_at?, *id))).collect()
    }

    pub fn plan(&self, plan: PlanId) -> Option<&Plan> {
        self.plans.get(&plan)
    }

    /// All coin plans, in the order of their ids.
    pub fn plans(&self) -> Vec<(PlanId, &Plan)> {
        self.plans.sorted().into_iter().map(|(id, plan)| (*id, plan)).collect()
    }

    pub fn purchase(&self, purchase: PurchaseId) -> Option<&Purchase> {
        self.purchases.get(&purchase)
    }

    pub fn withdrawal(&self, withdrawal: WithdrawalId) -> Option<&Withdrawal> {
        self.withdrawals.get(&withdrawal)
    }

    /// The price of a gift in thousandths of a coin; `None` when it is not on offer.
    pub fn gift_price(&self, gift: GiftId) -> Option<i64> {
        self.gifts.get(&gift).copied()
    }

    /// The host's price per minute in thousandths of a coin; `None` when not offered.
    pub fn host_rate(&self, host: PersonId, medium: Medium) -> Option<i64> {
        self.rates.get(&(host, medium)).copied()
    }

    pub fn agency_of(&self, host: PersonId) -> Option<AgencyId> {
        self.hosts.get(&host).and_then(|row| row.agency)
    }

    pub fn call(&self, call: CallId) -> Option<&Call> {
        self.calls.get(&call)
    }

    /// The call that `person` is in, as payer or as host.
    pub fn engaged(&self, person: PersonId) -> Option<CallId> {
        self.engaged.get(&person).copied()
    }

    /// The calls that have not ended, in the order of their ids.
    pub fn active_calls(&self) -> Vec<(CallId, &Call)> {
        self.calls
            .sorted()
            .into_iter()
            .filter(|(_, call)| call.is_active())
            .map(|(id, call)| (*id, call))
            .collect()
    }

    /// The most specific commission rate in force for `host` at `at`: host, agency, global, and
    /// where none is set half for the host.
    pub fn commission_rule(&self, host: PersonId, at: Timestamp) -> CommissionRule {
        let agency = self.agency_of(host);
        let scopes = [
            Some(CommissionScope::Host(host)),
            agency.map(CommissionScope::Agency),
            Some(CommissionScope::Global),
        ];
        let set = scopes.into_iter().flatten().find_map(|scope| {
            let (host_bps, agency_bps) = self.rate_in_force(scope, at)?;
            Some((scope, host_bps, agency_bps))
        });
        let (scope, host_bps, agency_bps) = set.unwrap_or((CommissionScope::Global, 5_000, 0));
        CommissionRule { scope, host_bps, agency_bps: if agency.is_some() { agency_bps } else { 0 }, agency }
    }

    pub(crate) fn rate_in_force(&self, scope: CommissionScope, at: Timestamp) -> Option<(u32, u32)> {
        let changes = self.commissions.get(&scope)?;
        changes.iter().rev().find(|change| change.effective_from <= at)?.bps
    }

    /// Where the command was recorded, and with what content, while it is remembered.
    pub(crate) fn remembered(&self, command: CommandId) -> Option<&Remembered> {
        self.commands.get(&command)
    }

    /// Takes back every event from revision `from` on. Possible down to the last settled one.
    pub fn undo_from(&mut self, from: u64) {
        for_each_table!(self, table => table.undo_from(from));
        while let Some((_, head)) = self.heads_before.pop_back_if(|(revision, _)| *revision >= from) {
            self.head = head;
        }
    }

    /// Makes the events up to and including `revision` final: they cannot be taken back, and what
    /// was kept for it is let go.
    pub fn settle(&mut self, revision: u64) {
        for_each_table!(self, table => table.settle(revision));
        while self.heads_before.front().is_some_and(|(changed, _)| *changed <= revision) {
            self.heads_before.pop_front();
        }
        self.forget_expired_commands();
    }

    /// Forgets commands whose keys have expired: they are refused by the age of the key alone, so
    /// it makes no difference when this happens. The age is taken at the last settled event: time
    /// that is taken back with later events must not have forgotten anything.
    fn forget_expired_commands(&mut self) {
        let settled = self.heads_before.front().map_or(self.head, |(_, head)| *head);
        let horizon = settled.at.plus_ms(-KEY_LIFE_MS);
        while let Some((key_at, command)) = self.forgettable.first().copied()
            && key_at < horizon
        {
            self.forgettable.pop_first();
            self.commands.forget(&command);
        }
    }

    pub(crate) fn advance(&mut self, revision: u64, head: Head) {
        self.heads_before.push_back((revision, self.head));
        self.head = head;
    }

    /// A hash over everything that decides: equal journals give equal hashes.
    pub fn hash(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(serde_json::to_vec(&self.head).expect("a head holds integers and ids only"));
        self.balances.digest("balances", &mut digest);
        self.lots.digest("lots", &mut digest);
        self.payers.digest("payers", &mut digest);
        self.hosts.digest("hosts", &mut digest);
        self.rates.digest("rates", &mut digest);
        self.gifts.digest("gifts", &mut digest);
        self.plans.digest("plans", &mut digest);
        self.purchases.digest("purchases", &mut digest);
        self.refunds.digest("refunds", &mut digest);
        self.commissions.digest("commissions", &mut digest);
        self.calls.digest("calls", &mut digest);
        self.engaged.digest("engaged", &mut digest);
        self.withdrawals.digest("withdrawals", &mut digest);
        let horizon = self.head.at.plus_ms(-KEY_LIFE_MS);
        self.commands.digest_where("commands", &mut digest, |row| row.key_at.is_none_or(|at| at >= horizon));
        digest.finalize().into()
    }
}
