//! A small world with a ledger: people, commands, time that a test moves.

use crate::outcome;
use ledger_core::command::*;
use ledger_core::disputes::DisputeNews;
use ledger_core::event::{BonusOrigin, CommissionScope, DecodeError, PauseCause};
use ledger_core::*;
use uuid::Uuid;

pub const USER: PersonId = PersonId(Uuid::from_u128(0x0a));
pub const OTHER: PersonId = PersonId(Uuid::from_u128(0x0b));
pub const HOST: PersonId = PersonId(Uuid::from_u128(0x1a));
pub const OTHER_HOST: PersonId = PersonId(Uuid::from_u128(0x1b));
pub const ADMIN: PersonId = PersonId(Uuid::from_u128(0xad));
pub const AGENCY: AgencyId = AgencyId(Uuid::from_u128(0x2a));
/// The agency, for which [`OTHER`] acts.
pub const AGENCY_PAYEE: Payee = Payee::Agency { agency: AGENCY, owner: OTHER };
pub const PLAN: PlanId = PlanId(Uuid::from_u128(0x3a));
pub const ROSE: GiftId = GiftId(Uuid::from_u128(0x4a));
pub const CALL: CallId = CallId(Uuid::from_u128(0x5a));
pub const OTHER_CALL: CallId = CallId(Uuid::from_u128(0x5b));
pub const JOURNAL: JournalId = JournalId(Uuid::from_u128(0x01));

/// When each story begins.
pub const START: Timestamp = Timestamp(1_700_000_000_000);
pub const HOUR_MS: i64 = 3_600_000;
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// A ledger, what it has recorded, and the time.
#[derive(Clone)]
pub struct World {
    pub state: State,
    pub journal: Vec<Recorded>,
    pub now: Timestamp,
    pub policy: Policy,
    keys: u128,
}

impl World {
    /// A journal without its first event.
    pub fn unopened() -> World {
        World { state: State::new(), journal: vec![], now: START, policy: Policy::default(), keys: 0 }
    }

    /// An open journal, with 10.000 coins a minute for a video call with [`HOST`], a plan of 100
    /// coins for 100 rupees, a rose for 5 coins; hosts get 60 %.
    pub fn new() -> World {
        let mut world = World::unopened();
        world.given(Command::from(OpenJournal { journal: JOURNAL, assets: vec![Asset::COIN, Asset::INR] }));
        world.given(host_rate(HOST, Some(10_000)));
        world.given(host_rate(OTHER_HOST, Some(10_000)));
        world.given(plan(100_000, 0, None));
        world.given(Command::from(SetGiftPrice { gift: ROSE, price_milli: Some(5_000) }));
        world.given(commission(CommissionScope::Global, 6_000, 0));
        world
    }

    /// [`World::new`], where [`USER`] has bought coins.
    pub fn with_coins(coins_milli: i64) -> World {
        let mut world = World::new();
        // The plan of 100 coins is there already, and setting it again would record nothing.
        if coins_milli != 100_000 {
            world.given(plan(coins_milli, 0, None));
        }
        world.buy(USER);
        world
    }

    /// [`World::with_coins`], where the call runs since [`START`].
    pub fn in_call(coins_milli: i64) -> World {
        let mut world = World::with_coins(coins_milli);
        world.given(start());
        world
    }

    /// [`World::new`], where [`HOST`] has earned coins that can be withdrawn.
    pub fn with_earnings(coins_milli: i64) -> World {
        let mut world = World::new();
        world.given(adjust(Account::HostEarnings(HOST), coins_milli));
        world
    }

    /// Sets the time in seconds since the start of the story.
    pub fn at(&mut self, seconds: i64) -> &mut World {
        self.at_ms(seconds * 1_000)
    }

    pub fn at_ms(&mut self, ms: i64) -> &mut World {
        self.now = Timestamp(START.0 + ms);
        self
    }

    /// The key that `command` comes with unless a test says otherwise: the one that the server
    /// gives for what the world did and for what the state itself keeps from happening twice, or
    /// else a fresh one of the client.
    pub fn envelope(&mut self, command: Command) -> Envelope {
        let natural = |key: &String| (Actor::Gateway(Gateway::Razorpay), Key::Natural(key.clone()));
        let (actor, key) = match &command {
            Command::CapturePurchase(it) => natural(&it.payment_ref),
            Command::FailPurchase(it) => natural(&it.payment_ref),
            Command::RecordRefund(it) => natural(&it.refund_ref),
            Command::RecordDispute(it) => natural(&format!("{}:{:?}", it.dispute_ref, it.news)),
            Command::OpenJournal(_)
            | Command::ExpireBonus(_)
            | Command::RenewSubscription(_)
            | Command::ExpireOrder(_)
            | Command::TickCall(_)
            | Command::PauseCall(_)
            | Command::ResumeCall(_)
            | Command::EndCall(EndCall { by: Ending::Lost, .. }) => {
                (Actor::System, Key::State(format!("{command:?}")))
            }
            Command::OpenPurchase(it) => (Actor::Person(it.user), self.fresh_key()),
            Command::SendGift(it) => (Actor::Person(it.sender), self.fresh_key()),
            Command::StartSubscription(it) => (Actor::Person(it.user), self.fresh_key()),
            Command::BuySubscription(it) => (Actor::Person(it.user), self.fresh_key()),
            Command::CancelSubscription(it) => (Actor::Person(it.user), self.fresh_key()),
            Command::ResumeSubscription(it) => (Actor::Person(it.user), self.fresh_key()),
            Command::PlaceOrder(it) => (Actor::Person(it.user), self.fresh_key()),
            Command::CancelOrder(it) => (Actor::Person(it.user), self.fresh_key()),
            Command::AcceptOrder(AcceptOrder { host: Some(host), .. })
            | Command::CompleteOrder(CompleteOrder { host: Some(host), .. })
            | Command::DeclineOrder(DeclineOrder { host: Some(host), .. }) => {
                (Actor::Person(*host), self.fresh_key())
            }
            Command::NameInviter(it) => (Actor::Person(it.user), self.fresh_key()),
            Command::EarnReward(EarnReward { user, claim: Claim::Daily | Claim::Code(_) }) => {
                (Actor::Person(*user), self.fresh_key())
            }
            // The host accepts: the payer is somebody else than the actor.
            Command::StartCall(it) => (Actor::Person(it.host), self.fresh_key()),
            Command::RequestWithdrawal(it) => (Actor::Person(it.payee.person()), self.fresh_key()),
            Command::EndCall(EndCall { by: Ending::Participant(person), .. }) => {
                (Actor::Person(*person), self.fresh_key())
            }
            _ => (Actor::Person(ADMIN), self.fresh_key()),
        };
        Envelope { actor, key, command, policy: self.policy.clone() }
    }

    /// A key that a client makes now.
    pub fn fresh_key(&mut self) -> Key {
        self.keys += 1;
        key_of(self.now, self.keys)
    }

    pub fn decide(&self, envelope: &Envelope) -> Result<Decision, Rejection> {
        decide(&self.state, self.now, envelope)
    }

    /// Decides and, where accepted, records. Answers the events and the receipt's revision.
    pub fn send(&mut self, envelope: &Envelope) -> Result<(Vec<Event>, u64), Rejection> {
        match self.decide(envelope)? {
            Decision::Duplicate { revision, .. } | Decision::Unchanged { revision, .. } => {
                Ok((vec![], revision))
            }
            Decision::Append(unit) => {
                let events = unit.events.clone();
                let first = self.state.next_revision();
                let (mut number, mut before) = (u128::from(first), None);
                let unit = unit.record(first, || {
                    number += 1;
                    Uuid::from_u128(0xe0e0 << 64 | number)
                });
                for recorded in unit {
                    assert_one_in_both_forms(&mut before, &recorded);
                    evolve(&mut self.state, &recorded);
                    self.journal.push(recorded);
                }
                assert_sound(&self.state);
                Ok((events, self.state.next_revision() - 1))
            }
        }
    }

    /// Brings the world to where a story begins: `command` must be accepted.
    #[track_caller]
    pub fn given(&mut self, command: Command) -> &mut World {
        let envelope = self.envelope(command);
        let sent = self.send(&envelope);
        assert!(matches!(&sent, Ok((events, _)) if !events.is_empty()), "{:?}: {sent:?}", envelope.command);
        self
    }

    /// One line of a story: `command` leads to these events, in the words of [`outcome::brief`].
    #[track_caller]
    pub fn check(&mut self, command: Command, expected: &str) -> &mut World {
        let envelope = self.envelope(command);
        let found = match self.send(&envelope) {
            Ok((events, revision)) if events.is_empty() => format!("duplicate of {revision}"),
            Ok((events, _)) => outcome::brief(&events),
            Err(rejection) => format!("rejected: {rejection:?}"),
        };
        assert_eq!(found, expected, "{:?} at {}", envelope.command, self.now.since(START));
        self
    }

    /// One line of a story: `command` is refused, and nothing is recorded.
    #[track_caller]
    pub fn refuse(&mut self, command: Command, expected: Rejection) -> &mut World {
        let envelope = self.envelope(command);
        self.refuse_sent(&envelope, expected)
    }

    #[track_caller]
    pub fn refuse_sent(&mut self, envelope: &Envelope, expected: Rejection) -> &mut World {
        let (hash, length) = (self.state.hash(), self.journal.len());
        assert_eq!(self.send(envelope), Err(expected), "{:?}", envelope.command);
        assert_eq!((self.state.hash(), self.journal.len()), (hash, length), "a rejection records nothing");
        self
    }

    /// What `person` has: purchased, bonus, spendable, earnings, withdrawable.
    #[track_caller]
    pub fn wallet(&mut self, person: PersonId, expected: [i64; 5]) -> &mut World {
        let it = self.state.wallet(person, self.now);
        let found = [
            it.purchased_milli,
            it.bonus_milli,
            it.spendable_milli,
            it.earnings_milli,
            it.withdrawable_milli,
        ];
        assert_eq!(found, expected, "purchased, bonus, spendable, earnings, withdrawable");
        self
    }

    /// What stands in an account, signed: debit positive.
    #[track_caller]
    pub fn stands(&mut self, account: &str, asset: Asset, expected: i64) -> &mut World {
        let account: Account = account.parse().expect("an account");
        assert_eq!(self.state.balance(account, asset), expected, "{account} {asset}");
        self
    }

    /// Buys the plan and pays for it.
    pub fn buy(&mut self, user: PersonId) -> PurchaseId {
        let purchase = self.order(user);
        let price = self.state.purchase(purchase).expect("opened").price_minor;
        self.given(capture(Some(purchase), &payment_of(purchase), price));
        purchase
    }

    /// Opens a purchase of the plan.
    pub fn order(&mut self, user: PersonId) -> PurchaseId {
        self.given(Command::from(OpenPurchase { user, plan: PLAN, gateway: Gateway::Razorpay }));
        self.last(|event| match event {
            Event::PurchaseOpened(it) => Some(it.purchase),
            _ => None,
        })
    }

    pub fn request_withdrawal(&mut self, coins_milli: i64) -> WithdrawalId {
        self.given(withdraw(HOST, coins_milli));
        self.last(|event| match event {
            Event::WithdrawalRequested(it) => Some(it.withdrawal),
            _ => None,
        })
    }

    /// Gives bonus coins to [`USER`].
    pub fn bonus(&mut self, coins_milli: i64, valid_seconds: Option<u32>) -> LotId {
        self.given(grant(USER, coins_milli, valid_seconds));
        self.last(|event| match event {
            Event::BonusGranted(it) => Some(it.lot),
            _ => None,
        })
    }

    /// The newest thing of a kind in the journal.
    #[track_caller]
    pub fn last<T>(&self, pick: impl Fn(&Event) -> Option<T>) -> T {
        self.journal.iter().rev().find_map(|it| pick(&it.event)).expect("the journal holds such an event")
    }
}

/// What must hold at each unit boundary.
pub fn assert_sound(state: &State) {
    let mut sums: std::collections::BTreeMap<Asset, i128> = Default::default();
    for (account, asset, amount) in state.balances() {
        *sums.entry(asset).or_default() += i128::from(amount);
        assert!(!account.is_overdrawn_at(amount.into()), "{account} is overdrawn");
        assert_ne!(account, Account::ClearingCharges, "clearing is empty");
        if let Account::UserPurchased(person) | Account::UserBonus(person) = account {
            let in_lots: i64 = state.lots_of(account).map(|(_, lot)| lot.remaining_milli).sum();
            assert_eq!(in_lots, -amount, "the lots hold what the account holds: {account}");
            // At a time when nothing has expired, all lots are spendable.
            let wallet = state.wallet(person, Timestamp(0));
            let owes = wallet.owed_milli > 0;
            let spendable_milli = if owes { 0 } else { wallet.purchased_milli + wallet.bonus_milli };
            assert_eq!(wallet.spendable_milli, spendable_milli);
        }
        if let Account::UserReceivable(person) = account {
            let owed: i64 = state.receivables_of(person).map(|(_, owed_milli)| owed_milli).sum();
            assert_eq!(owed, amount, "{account} is what is owed for each dispute");
        }
    }
    assert!(sums.values().all(|sum| *sum == 0), "the books balance: {sums:?}");
}

/// A client's key with the moment `at` in it.
pub fn key_of(at: Timestamp, number: u128) -> Key {
    let mut chance = [0; 10];
    chance.copy_from_slice(&number.to_be_bytes()[6..]);
    let ms = u64::try_from(at.0).expect("a moment after 1970");
    Key::Client(uuid::Builder::from_unix_timestamp_millis(ms, &chance).into_uuid().into())
}

pub fn plan(coins_milli: i64, bonus_milli: i64, bonus_valid_seconds: Option<u32>) -> Command {
    Command::from(SetCoinPlan {
        plan: PLAN,
        coins_milli,
        bonus_milli,
        bonus_valid_seconds,
        price_minor: 10_000,
        price_asset: Asset::INR,
        active: true,
    })
}

pub fn capture(purchase: Option<PurchaseId>, payment_ref: &str, amount_minor: i64) -> Command {
    let payment_ref = payment_ref.to_owned();
    Command::from(CapturePurchase {
        gateway: Gateway::Razorpay,
        purchase,
        payment_ref,
        amount_minor,
        asset: Asset::INR,
    })
}

pub fn fail(purchase: PurchaseId, payment_ref: &str) -> Command {
    Command::from(FailPurchase {
        purchase,
        payment_ref: payment_ref.to_owned(),
        reason: "bank_declined".to_owned(),
    })
}

/// A refund that the gateway reports.
/// A refund of the payment that has bought `purchase`, or of one that nobody has heard of.
pub fn refund_reported(purchase: Option<PurchaseId>, refund_ref: &str, amount_minor: i64) -> Command {
    refund_of(&purchase.map_or("pay_unknown".to_owned(), payment_of), refund_ref, amount_minor)
}

/// A refund that the gateway reports of a payment.
pub fn refund_of(payment_ref: &str, refund_ref: &str, amount_minor: i64) -> Command {
    Command::from(RecordRefund {
        gateway: Gateway::Razorpay,
        payment_ref: payment_ref.to_owned(),
        refund_ref: refund_ref.to_owned(),
        amount_minor,
        asset: Asset::INR,
    })
}

/// What the gateway tells of a dispute over 100 rupees.
pub fn dispute(payment_ref: &str, dispute_ref: &str, news: DisputeNews) -> Command {
    dispute_over(10_000, payment_ref, dispute_ref, news)
}

pub fn dispute_over(amount_minor: i64, payment_ref: &str, dispute_ref: &str, news: DisputeNews) -> Command {
    let (payment_ref, dispute_ref) = (payment_ref.to_owned(), dispute_ref.to_owned());
    let (gateway, asset) = (Gateway::Razorpay, Asset::INR);
    Command::from(RecordDispute { gateway, dispute_ref, payment_ref, amount_minor, asset, news })
}

/// The gateway has taken so much money and charges nothing.
pub fn lost(taken_minor: i64) -> DisputeNews {
    DisputeNews::Lost { taken_minor, fee_minor: 0 }
}

pub fn write_off(dispute_ref: &str, amount_milli: i64) -> Command {
    let (dispute_ref, reason) = (dispute_ref.to_owned(), "uncollectable".to_owned());
    Command::from(WriteOffReceivable { dispute_ref, amount_milli, reason, note: None })
}

/// The payment with which [`World::buy`] pays.
pub fn payment_of(purchase: PurchaseId) -> String {
    format!("pay_{}", purchase.0.simple())
}

/// A refund that an admin makes.
pub fn refund(purchase: PurchaseId, refund_ref: &str, amount_minor: i64) -> Command {
    let refund_ref = refund_ref.to_owned();
    Command::from(RefundPurchase { purchase, refund_ref, amount_minor, asset: Asset::INR })
}

pub fn grant(user: PersonId, coins_milli: i64, valid_seconds: Option<u32>) -> Command {
    Command::from(GrantBonus { user, origin: BonusOrigin::Promotion, coins_milli, valid_seconds })
}

pub fn host_rate(host: PersonId, price_milli_per_minute: Option<i64>) -> Command {
    Command::from(SetHostRate { host, medium: Medium::Video, price_milli_per_minute })
}

pub fn commission(scope: CommissionScope, host_bps: u32, agency_bps: u32) -> Command {
    Command::from(SetCommissionRate { scope, host_bps, agency_bps, effective_from: None })
}

/// [`HOST`] accepts the call of [`USER`].
pub fn start() -> Command {
    start_as(CALL, USER, HOST, 10_000)
}

pub fn start_as(call: CallId, payer: PersonId, host: PersonId, price_seen: i64) -> Command {
    let price_seen_milli_per_minute = price_seen;
    Command::from(StartCall { call, payer, host, medium: Medium::Video, price_seen_milli_per_minute })
}

/// Later than any moment: both sides were seen just now.
const JUST_NOW: Option<Timestamp> = Some(Timestamp(i64::MAX));

/// A tick while both sides are seen.
pub fn tick(number: u32) -> Command {
    Command::from(TickCall { call: CALL, number, last_seen: JUST_NOW })
}

/// A tick when both sides were last seen so many seconds after the start.
pub fn tick_seen(number: u32, seconds: i64) -> Command {
    Command::from(TickCall { call: CALL, number, last_seen: Some(START.plus_ms(seconds * 1_000)) })
}

/// A side is lost just now.
pub fn pause() -> Command {
    Command::from(PauseCall { call: CALL, cause: PauseCause::Disconnected, last_seen: JUST_NOW })
}

/// It is noticed that a side is lost: both were last seen so many seconds after the start.
pub fn lost_since(seconds: i64) -> Command {
    let last_seen = Some(START.plus_ms(seconds * 1_000));
    Command::from(PauseCall { call: CALL, cause: PauseCause::Disconnected, last_seen })
}

pub fn outage() -> Command {
    Command::from(PauseCall { call: CALL, cause: PauseCause::Outage, last_seen: None })
}

pub fn resume() -> Command {
    Command::from(ResumeCall { call: CALL })
}

pub fn end(by: Ending) -> Command {
    Command::from(EndCall { call: CALL, by })
}

pub fn hang_up(person: PersonId) -> Command {
    end(Ending::Participant(person))
}

/// [`USER`] sends a rose to [`HOST`] outside of a call.
pub fn rose() -> Command {
    gift(USER, HOST, None, 5_000)
}

pub fn gift(sender: PersonId, host: PersonId, call: Option<CallId>, price_seen_milli: i64) -> Command {
    Command::from(SendGift { sender, host, gift: ROSE, call, price_seen_milli })
}

pub fn withdraw(host: PersonId, coins_milli: i64) -> Command {
    Command::from(RequestWithdrawal { payee: Payee::Host { person: host }, coins_milli })
}

/// [`AGENCY`] withdraws in the name of its owner, [`OTHER`].
pub fn agency_withdraws(coins_milli: i64) -> Command {
    Command::from(RequestWithdrawal { payee: AGENCY_PAYEE, coins_milli })
}

pub fn expire(purchase: PurchaseId) -> Command {
    Command::from(ExpirePurchase { purchase })
}

pub fn approve(withdrawal: WithdrawalId) -> Command {
    Command::from(ApproveWithdrawal { withdrawal })
}

pub fn reject(withdrawal: WithdrawalId) -> Command {
    Command::from(RejectWithdrawal { withdrawal, reason: "documents_missing".to_owned() })
}

pub fn cancel(withdrawal: WithdrawalId, host: PersonId) -> Command {
    Command::from(CancelWithdrawal { withdrawal, payee: Payee::Host { person: host } })
}

pub fn paid(withdrawal: WithdrawalId) -> Command {
    paid_as(withdrawal, "utr_1")
}

pub fn paid_as(withdrawal: WithdrawalId, payout_ref: &str) -> Command {
    Command::from(MarkWithdrawalPaid { withdrawal, payout_ref: payout_ref.to_owned() })
}

pub fn payout_failed(withdrawal: WithdrawalId) -> Command {
    Command::from(FailWithdrawal { withdrawal, reason: "account_closed".to_owned() })
}

pub fn sent(withdrawal: WithdrawalId) -> Command {
    sent_as(withdrawal, "payout_1")
}

pub fn sent_as(withdrawal: WithdrawalId, payout_key: &str) -> Command {
    Command::from(MarkWithdrawalSent { withdrawal, payout_key: payout_key.to_owned() })
}

pub fn outcome_unknown(withdrawal: WithdrawalId) -> Command {
    Command::from(MarkWithdrawalUnknown { withdrawal, reason: "bank_timeout".to_owned() })
}

pub fn reversed(withdrawal: WithdrawalId) -> Command {
    Command::from(ReverseWithdrawal { withdrawal, reason: "account_closed".to_owned() })
}

/// So many rupees for one coin, from now on.
pub fn payout_rate(rate: &str) -> Command {
    let rate = rate.parse().expect("a rate");
    Command::from(SetPayoutRate { asset: Asset::INR, rate, effective_from: None })
}

pub fn tax(tax_bps: u32) -> Command {
    Command::from(SetTaxRate { asset: Asset::INR, tax_bps, effective_from: None })
}

pub fn adjust(account: Account, amount_milli: i64) -> Command {
    Command::from(PostAdjustment {
        account,
        amount_milli,
        reason: "goodwill".to_owned(),
        note: None,
        settles: None,
    })
}

pub fn adjust_gateway(amount_minor: i64, settles: Option<DifferenceId>) -> Command {
    let (gateway, asset, reason) = (Gateway::Razorpay, Asset::INR, "gateway_fee".to_owned());
    Command::from(AdjustGateway { gateway, amount_minor, asset, reason, note: None, settles })
}

/// What stands in a store, decoded.
pub fn read_back(
    before: &mut Option<Before>,
    it: &Recorded,
    data: &[u8],
    metadata: &[u8],
) -> Result<Recorded, DecodeError> {
    Recorded::decode(before, it.revision, it.event_id, it.event.kind(), data, metadata)
}

/// What is recorded reads back as it was from either form, and so each form can be made of the other.
pub fn assert_one_in_both_forms(before: &mut Option<Before>, it: &Recorded) {
    let read = read_back(before, it, &it.event.encode(), &it.metadata.encode());
    assert_eq!(read.as_ref(), Ok(it));
    let read = read_back(&mut None, it, &it.event.to_json(), &it.metadata.to_json());
    assert_eq!(read.as_ref(), Ok(it));
}
