//! What accepted commands add up to, by arithmetic of its own: no rule of the core is used here.

use crate::nodes::{INCREMENT_MILLI, PLAN_MILLI};
use crate::world::{HOST, ROSE_MILLI};
use ledger_core::command::*;
use ledger_core::disputes::DisputeNews;
use ledger_core::{Account, AgencyId, CallId, Command, CommandId, LotId, Payee, PersonId, WithdrawalId};
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Model {
    people: BTreeMap<PersonId, Wallet>,
    agencies: BTreeMap<AgencyId, i64>,
    /// Of the host: who takes part of what they earn.
    agency: Option<AgencyId>,
    host_bps: i64,
    agency_bps: i64,
    /// Who pays with which payment.
    buyers: Vec<PersonId>,
    payments: BTreeMap<usize, Payment>,
    withdrawals: BTreeMap<WithdrawalId, Withdrawal>,
    calls: BTreeMap<CallId, Call>,
}

/// What the earners of a charge get of it.
#[derive(Clone, Copy)]
struct Split {
    host_bps: i64,
    agency_bps: i64,
    agency: Option<AgencyId>,
}

/// A call that has not ended.
struct Call {
    payer: PersonId,
    split: Split,
    charged: i64,
    ticks: u32,
    paused: bool,
}

/// Coins in the order in which they are spent, bought ones with the payment that bought them.
#[derive(Default)]
struct Wallet {
    /// By the moment at which they expire; those that do not stand at the end of time.
    bonus: Vec<Bonus>,
    lots: Vec<(Option<usize>, i64)>,
    earned: i64,
    /// Which payments' coins are owed, the oldest first.
    owed: Vec<(usize, i64)>,
}

struct Bonus {
    lot: Option<LotId>,
    expires: i64,
    left: i64,
}

/// A payment that may be disputed, always for all of its money.
#[derive(Default)]
struct Payment {
    captured: bool,
    /// Its coins went back as soon as they came.
    refunded: bool,
    dispute: Option<Dispute>,
    frozen: i64,
    /// What a lost dispute took and what the buyer has paid for it since.
    taken: i64,
}

#[derive(Clone, Copy, PartialEq)]
enum Dispute {
    Open,
    Over,
    Lost,
    /// Lost before the payment came: its coins go back as soon as it does, or have gone back.
    LostEarly,
}

struct Withdrawal {
    payee: Payee,
    coins: i64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Requested,
    Approved,
    Sent,
    Unknown,
    Paid,
    Over,
}

/// What was approved and has neither arrived nor failed.
const ON_ITS_WAY: [Stage; 3] = [Stage::Approved, Stage::Sent, Stage::Unknown];

impl Split {
    /// Of host and agency: the platform's part first, then the host's of the rest, each rounded down.
    fn parts(&self, gross: i64) -> (i64, i64) {
        let both = self.host_bps + self.agency_bps;
        let rest = gross - gross * (10_000 - both) / 10_000;
        let to_host = if both == 0 { 0 } else { rest * self.host_bps / both };
        (to_host, rest - to_host)
    }
}

/// What somebody has: spendable, earned, frozen, owed.
pub(crate) type Figures = [i64; 4];

impl Wallet {
    /// Nothing for who owes; what has expired cannot be spent, though nobody has recorded it yet.
    fn spendable(&self, at: i64) -> i64 {
        if !self.owed.is_empty() {
            return 0;
        }
        let bonus = self.bonus.iter().filter(|lot| lot.expires > at).map(|lot| lot.left);
        bonus.sum::<i64>() + self.lots.iter().map(|(_, left)| left).sum::<i64>()
    }

    fn spend(&mut self, amount: i64, at: i64) -> i64 {
        let bonus = self.take_bonus(amount, at);
        bonus + self.take(amount - bonus, |_| true)
    }

    fn add_bonus(&mut self, lot: Option<LotId>, expires: i64, left: i64) {
        let place = self.bonus.partition_point(|other| other.expires <= expires);
        self.bonus.insert(place, Bonus { lot, expires, left });
    }

    /// Takes up to `amount` of the bonus that has not expired at the moment `at`, what expires first.
    fn take_bonus(&mut self, amount: i64, at: i64) -> i64 {
        let mut open = amount;
        for lot in self.bonus.iter_mut().filter(|lot| lot.expires > at) {
            let part = open.min(lot.left);
            lot.left -= part;
            open -= part;
        }
        self.bonus.retain(|lot| lot.left > 0);
        amount - open
    }

    /// Takes up to `amount` of the bought lots, the first ones first; answers how much that was.
    fn take(&mut self, amount: i64, of: impl Fn(Option<usize>) -> bool) -> i64 {
        let mut open = amount;
        for (payment, left) in &mut self.lots {
            if of(*payment) {
                let part = open.min(*left);
                *left -= part;
                open -= part;
            }
        }
        self.lots.retain(|(_, left)| *left > 0);
        amount - open
    }
}

impl Model {
    /// Where the story begins: whose purchases there are, what each of these people has, and what hosts get.
    pub(crate) fn new(buyers: Vec<PersonId>, coins: i64, host_bps: i64) -> Model {
        let wallet = |person: &PersonId| (*person, Wallet { lots: vec![(None, coins)], ..Wallet::default() });
        Model { people: buyers.iter().map(wallet).collect(), buyers, host_bps, ..Model::default() }
    }

    pub(crate) fn wallet(&self, person: PersonId, at: i64) -> Figures {
        let frozen = self.payments.iter().filter(|(number, _)| self.buyers[**number] == person);
        let frozen = frozen.map(|(_, payment)| payment.frozen).sum();
        let Some(row) = self.people.get(&person) else { return [0, 0, frozen, 0] };
        [row.spendable(at), row.earned, frozen, row.owed.iter().map(|(_, owed)| owed).sum()]
    }

    pub(crate) fn agency(&self, agency: AgencyId) -> i64 {
        self.agencies.get(&agency).copied().unwrap_or(0)
    }

    /// What is held for each withdrawal that nobody has decided or paid.
    pub(crate) fn held(&self) -> impl Iterator<Item = (WithdrawalId, i64)> {
        self.withdrawals.iter().map(|(id, row)| {
            (*id, if matches!(row.stage, Stage::Over | Stage::Paid) { 0 } else { row.coins })
        })
    }

    /// # Panics
    /// Where the command should not have been accepted.
    pub(crate) fn take(&mut self, command: &Command, id: CommandId, at: i64) {
        match command {
            Command::SendGift(SendGift { sender, host, price_seen_milli, .. }) => {
                assert_eq!(*price_seen_milli, ROSE_MILLI);
                let row = self.people.entry(*sender).or_default();
                assert!(row.owed.is_empty(), "{sender} owes and cannot pay");
                assert_eq!(row.spend(*price_seen_milli, at), *price_seen_milli, "{sender} is overdrawn");
                let split = self.split();
                self.earn(*host, split, (0, *price_seen_milli));
            }
            Command::PostAdjustment(PostAdjustment { account, amount_milli, .. }) => {
                let person = account.person().expect("a user's account");
                let row = self.people.entry(person).or_default();
                match (account, *amount_milli) {
                    // A correction looks at all that is there, expired or not.
                    (Account::UserBonus(_), taken) => {
                        assert_eq!(row.take_bonus(-taken, i64::MIN), -taken, "{person} is overdrawn");
                    }
                    (_, added) if added > 0 => row.lots.push((None, added)),
                    (_, taken) => assert_eq!(row.take(-taken, |_| true), -taken, "{person} is overdrawn"),
                }
            }
            Command::GrantBonus(GrantBonus { user, coins_milli, valid_seconds, .. }) => {
                let expires = valid_seconds.map_or(i64::MAX, |seconds| at + i64::from(seconds) * 1_000);
                let row = self.people.entry(*user).or_default();
                row.add_bonus(Some(id.derive("bonus")), expires, *coins_milli);
            }
            Command::ExpireBonus(ExpireBonus { lot }) => {
                let mut rows = self.people.values_mut();
                let row = rows.find(|row| row.bonus.iter().any(|bonus| bonus.lot == Some(*lot)));
                let row = row.expect("somebody has the lot");
                row.bonus.retain(|bonus| bonus.lot != Some(*lot) || bonus.expires > at);
                assert!(row.bonus.iter().all(|bonus| bonus.lot != Some(*lot)), "it has expired");
            }
            Command::StartCall(StartCall { call, payer, .. }) => {
                assert!(self.calls.is_empty(), "the host is in one call at a time");
                let split = self.split();
                let begun = Call { payer: *payer, split, charged: 0, ticks: 0, paused: false };
                self.calls.insert(*call, begun);
                assert!(self.tick(*call, at), "the first increment was paid");
            }
            Command::TickCall(TickCall { call, number, .. }) => {
                let row = self.calls.get(call).expect("a call that runs");
                assert!(!row.paused && *number == row.ticks + 1, "increments come in order");
                if !self.tick(*call, at) {
                    self.calls.remove(call);
                }
            }
            Command::PauseCall(PauseCall { call, .. }) => self.pause(*call, true),
            Command::ResumeCall(ResumeCall { call }) => self.pause(*call, false),
            Command::EndCall(EndCall { call, .. }) => {
                assert!(self.calls.remove(call).is_some(), "a call ends once");
            }
            Command::SetCommissionRate(SetCommissionRate { host_bps, agency_bps, .. }) => {
                (self.host_bps, self.agency_bps) = ((*host_bps).into(), (*agency_bps).into());
            }
            Command::JoinAgency(JoinAgency { agency, .. }) => {
                assert!(self.agency.is_none_or(|current| current == *agency), "a host has one agency");
                self.agency = Some(*agency);
            }
            Command::LeaveAgency(_) => assert!(self.agency.take().is_some(), "the host has no agency"),
            // They change what later withdrawals are worth in money, and no coins.
            Command::SetPayoutRate(_) | Command::SetTaxRate(_) => {}
            Command::RequestWithdrawal(it) => self.request(it.payee, it.coins_milli, id.derive("withdrawal")),
            Command::ApproveWithdrawal(it) => self.step(it.withdrawal, &[Stage::Requested], Stage::Approved),
            Command::RejectWithdrawal(it) => self.give_back(it.withdrawal, &[Stage::Requested]),
            Command::CancelWithdrawal(it) => self.give_back(it.withdrawal, &[Stage::Requested]),
            Command::MarkWithdrawalSent(it) => self.step(it.withdrawal, &[Stage::Approved], Stage::Sent),
            Command::MarkWithdrawalUnknown(it) => self.step(it.withdrawal, &[Stage::Sent], Stage::Unknown),
            Command::MarkWithdrawalPaid(it) => self.step(it.withdrawal, &ON_ITS_WAY, Stage::Paid),
            Command::FailWithdrawal(it) => self.give_back(it.withdrawal, &ON_ITS_WAY),
            Command::ReverseWithdrawal(it) => self.give_back(it.withdrawal, &[Stage::Paid]),
            Command::CapturePurchase(it) => self.capture(number_of(&it.payment_ref)),
            Command::RecordDispute(it) => self.dispute(number_of(&it.payment_ref), &it.news),
            Command::WriteOffReceivable(it) => {
                let number = number_of(&it.dispute_ref);
                let owed = &mut self.people.entry(self.buyers[number]).or_default().owed;
                let row = owed.iter_mut().find(|(of, _)| *of == number).expect("something is owed for it");
                row.1 -= it.amount_milli;
                assert!(row.1 >= 0, "no more is written off than is owed");
                owed.retain(|(_, owed)| *owed > 0);
            }
            other => panic!("the model does not know {}", other.operation()),
        }
    }

    /// What is charged from now on is split like this. Without an agency its part is the platform's.
    fn split(&self) -> Split {
        let agency_bps = if self.agency.is_some() { self.agency_bps } else { 0 };
        Split { host_bps: self.host_bps, agency_bps, agency: self.agency }
    }

    /// Host and agency earn by a charge that brings what was paid from one sum to another.
    fn earn(&mut self, host: PersonId, split: Split, (before, after): (i64, i64)) {
        let parts = [split.parts(before), split.parts(after)];
        self.people.entry(host).or_default().earned += parts[1].0 - parts[0].0;
        if let Some(agency) = split.agency {
            *self.agencies.entry(agency).or_default() += parts[1].1 - parts[0].1;
        }
    }

    /// The next increment, if it can be paid.
    fn tick(&mut self, id: CallId, at: i64) -> bool {
        let call = self.calls.get_mut(&id).expect("a call that runs");
        let payer = self.people.entry(call.payer).or_default();
        if payer.spendable(at) < INCREMENT_MILLI {
            return false;
        }
        payer.spend(INCREMENT_MILLI, at);
        let sums = (call.charged, call.charged + INCREMENT_MILLI);
        (call.charged, call.ticks) = (sums.1, call.ticks + 1);
        let split = call.split;
        self.earn(HOST, split, sums);
        true
    }

    fn pause(&mut self, id: CallId, to: bool) {
        let call = self.calls.get_mut(&id).expect("a call that has not ended");
        assert_ne!(call.paused, to, "it is so already");
        call.paused = to;
    }

    fn earnings(&mut self, payee: Payee) -> &mut i64 {
        match payee {
            Payee::Host { person } => &mut self.people.entry(person).or_default().earned,
            Payee::Agency { agency, .. } => self.agencies.entry(agency).or_default(),
        }
    }

    fn request(&mut self, payee: Payee, coins: i64, made: WithdrawalId) {
        let earned = self.earnings(payee);
        *earned -= coins;
        assert!(*earned >= 0, "{payee:?} is overdrawn");
        self.withdrawals.insert(made, Withdrawal { payee, coins, stage: Stage::Requested });
    }

    fn step(&mut self, id: WithdrawalId, from: &[Stage], to: Stage) {
        let row = self.withdrawals.get_mut(&id).expect("a withdrawal that was requested");
        assert!(from.contains(&row.stage), "{id} is {:?} and does not become {to:?}", row.stage);
        row.stage = to;
    }

    fn give_back(&mut self, id: WithdrawalId, from: &[Stage]) {
        self.step(id, from, Stage::Over);
        let (payee, coins) =
            self.withdrawals.get(&id).map(|row| (row.payee, row.coins)).expect("it is there");
        *self.earnings(payee) += coins;
    }

    fn capture(&mut self, number: usize) {
        let payment = self.payments.entry(number).or_default();
        let row = self.people.entry(self.buyers[number]).or_default();
        assert!(!payment.captured, "a payment is captured once");
        payment.captured = true;
        match payment.dispute {
            Some(Dispute::LostEarly) => return payment.refunded = true,
            Some(Dispute::Open) => return payment.frozen = PLAN_MILLI,
            _ => row.lots.push((Some(number), PLAN_MILLI)),
        }
        for (of, owed) in std::mem::take(&mut row.owed) {
            let recovered = row.take(owed, |lot| lot == Some(number));
            self.payments.entry(of).or_default().taken += recovered;
            if owed > recovered {
                row.owed.push((of, owed - recovered));
            }
        }
    }

    fn dispute(&mut self, number: usize, news: &DisputeNews) {
        let payment = self.payments.entry(number).or_default();
        let row = self.people.entry(self.buyers[number]).or_default();
        let before = payment.dispute;
        match news {
            DisputeNews::Opened => {
                assert!(before.is_none(), "a dispute is opened once");
                payment.frozen = row.take(PLAN_MILLI, |lot| lot == Some(number));
                payment.dispute = Some(Dispute::Open);
            }
            DisputeNews::Lost { .. } => {
                assert!(!matches!(before, Some(Dispute::Lost | Dispute::LostEarly)), "it is lost once");
                if !payment.captured || payment.refunded {
                    return payment.dispute = Some(Dispute::LostEarly);
                }
                let own =
                    row.take(PLAN_MILLI, |lot| lot == Some(number)) + std::mem::take(&mut payment.frozen);
                let others = row.take(PLAN_MILLI - own, |_| true);
                payment.taken = own + others;
                if payment.taken < PLAN_MILLI {
                    row.owed.push((number, PLAN_MILLI - payment.taken));
                }
                payment.dispute = Some(Dispute::Lost);
            }
            DisputeNews::Won | DisputeNews::Closed => {
                assert!(before != Some(Dispute::Over), "a decision is made once");
                // What comes back stands behind what the buyer has.
                let back = std::mem::take(&mut payment.frozen) + std::mem::take(&mut payment.taken);
                row.lots.extend((back > 0).then_some((Some(number), back)));
                row.owed.retain(|(of, _)| *of != number);
                payment.dispute = Some(Dispute::Over);
            }
        }
    }
}

/// The number in `pay_7` or `disp_7`.
fn number_of(reference: &str) -> usize {
    reference.rsplit('_').next().and_then(|number| number.parse().ok()).expect("a number")
}
