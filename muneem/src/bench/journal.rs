//! A journal of a busy platform for a measurement: gifts, calls and purchases, made by the ledger's own rules.

use anyhow::bail;
use event_store::{EventStore, NewEvent};
use ledger_core::command::{
    CapturePurchase, EndCall, Ending, JoinAgency, OpenJournal, OpenPurchase, PostAdjustment, SendGift,
    SetCoinPlan, SetCommissionRate, SetGiftPrice, SetHostRate, StartCall, TickCall,
};
use ledger_core::event::{CommissionScope, Medium};
use ledger_core::{
    Account, Actor, AgencyId, Asset, CallId, Command, Decision, Envelope, Event, Gateway, GiftId, JournalId,
    Key, PersonId, PlanId, Policy, State, Timestamp, decide, evolve,
};
use std::ops::Range;
use uuid::Uuid;

const BEGINNING: Timestamp = Timestamp(1_772_409_590_000);
const PLAN: PlanId = PlanId(Uuid::from_u128(0xc1));
const GIFT: GiftId = GiftId(Uuid::from_u128(0xd1));
const GIFT_PRICE_MILLI: i64 = 2_000;
const CALL_PRICE_MILLI: i64 = 6_000;
const USERS: u64 = 2_000;
const HOSTS: u64 = 100;
/// One host of four belongs to one of these.
const AGENCIES: u64 = 5;
/// A round is the ten seconds of one increment.
const ROUND_SECONDS: u32 = 10;
const CALLS_AT_ONCE: u64 = 20;
const CALL_ROUNDS: u64 = 12;
const GIFTS_IN_ROUND: u64 = 30;
const PURCHASES_IN_ROUND: u64 = 2;
/// What each of the wallets has that do nothing of themselves.
const WALLET_MILLI: i64 = 1 << 23;
/// Events that are appended at once.
const BATCH_EVENTS: usize = 500;

/// The commands of such a platform, and the events that they lead to.
pub struct Busy {
    state: State,
    at: Timestamp,
    commands: u64,
    event_ids: u128,
    /// The running calls: the call, its payer, and the number of its last increment.
    calls: Vec<(CallId, PersonId, u32)>,
    round: u64,
}

impl Busy {
    /// A platform that is open for business, and the events that made it so.
    ///
    /// # Errors
    /// When the ledger refuses a command.
    pub fn open() -> anyhow::Result<(Busy, Vec<NewEvent>)> {
        let mut busy = Busy {
            state: State::new(),
            at: BEGINNING,
            commands: 0,
            event_ids: 0,
            calls: Vec::new(),
            round: 0,
        };
        let journal = JournalId(Uuid::from_u128(1));
        let mut events = Vec::new();
        let mut give = |command: Command| busy.give(command, &mut events);
        give(OpenJournal { journal, assets: vec![Asset::COIN, Asset::INR] }.into())?;
        let (scope, effective_from) = (CommissionScope::Global, None);
        give(SetCommissionRate { scope, host_bps: 6_000, agency_bps: 1_000, effective_from }.into())?;
        let price_milli = Some(GIFT_PRICE_MILLI);
        give(SetGiftPrice { gift: GIFT, price_milli }.into())?;
        give(Command::from(SetCoinPlan {
            plan: PLAN,
            coins_milli: 100_000,
            bonus_milli: 10_000,
            bonus_valid_seconds: Some(30 * 86_400),
            price_minor: 9_900,
            price_asset: Asset::INR,
            active: true,
        }))?;
        for number in 0..HOSTS {
            let price_milli_per_minute = Some(CALL_PRICE_MILLI);
            give(SetHostRate { host: host(number), medium: Medium::Video, price_milli_per_minute }.into())?;
            if number % 4 == 0 {
                let agency = AgencyId(Uuid::from_u64_pair(4, number % AGENCIES));
                give(JoinAgency { host: host(number), agency, from: None, until: None }.into())?;
            }
        }
        for number in 0..USERS {
            let (account, reason) = (Account::UserPurchased(user(number)), "goodwill".to_owned());
            give(
                PostAdjustment { account, amount_milli: 1 << 42, reason, note: None, settles: None }.into(),
            )?;
        }
        Ok((busy, events))
    }

    /// Coins for so many more people, who hold them.
    ///
    /// # Errors
    /// When the ledger refuses a command.
    fn wallets(&mut self, numbers: Range<u64>) -> anyhow::Result<Vec<NewEvent>> {
        let mut events = Vec::new();
        for number in numbers {
            self.at = self.at.plus_ms(1);
            let (account, reason) = (Account::UserPurchased(user(USERS + number)), "goodwill".to_owned());
            self.give(
                PostAdjustment { account, amount_milli: WALLET_MILLI, reason, note: None, settles: None }
                    .into(),
                &mut events,
            )?;
        }
        Ok(events)
    }

    /// The events of the next ten seconds: each running call is charged an increment, gifts are sent, coins are
    /// bought, and calls that are over give way to new ones.
    ///
    /// # Errors
    /// When the ledger refuses a command.
    pub fn round(&mut self) -> anyhow::Result<Vec<NewEvent>> {
        let mut events = Vec::new();
        self.at = self.at.plus_seconds(ROUND_SECONDS);
        self.round += 1;
        let calls = std::mem::take(&mut self.calls);
        for (call, payer, number) in calls {
            let (number, last_seen) = (number + 1, Some(self.at));
            self.give(TickCall { call, number, last_seen }.into(), &mut events)?;
            if u64::from(number) >= CALL_ROUNDS {
                self.give(EndCall { call, by: Ending::Participant(payer) }.into(), &mut events)?;
            } else {
                self.calls.push((call, payer, number));
            }
        }
        // Evenly, so that calls neither begin nor end all at once.
        let missing = CALLS_AT_ONCE.div_ceil(CALL_ROUNDS).min(CALLS_AT_ONCE - self.calls.len() as u64);
        for number in 0..missing {
            let number = self.round * missing + number;
            let (call, payer) = (CallId(scattered(5, number)), user(number % USERS));
            let (host, medium) = (host(number % HOSTS), Medium::Video);
            let price_seen_milli_per_minute = CALL_PRICE_MILLI;
            self.give(
                StartCall { call, payer, host, medium, price_seen_milli_per_minute }.into(),
                &mut events,
            )?;
            self.calls.push((call, payer, 1));
        }
        for number in 0..GIFTS_IN_ROUND {
            let number = self.round * GIFTS_IN_ROUND + number;
            let (sender, host) = (user(number * 7 % USERS), host(number * 3 % HOSTS));
            let price_seen_milli = GIFT_PRICE_MILLI;
            let gift = SendGift { sender, host, gift: GIFT, call: None, price_seen_milli };
            self.give(gift.into(), &mut events)?;
        }
        for number in 0..PURCHASES_IN_ROUND {
            self.purchase(self.round * PURCHASES_IN_ROUND + number, &mut events)?;
        }
        Ok(events)
    }

    fn purchase(&mut self, number: u64, events: &mut Vec<NewEvent>) -> anyhow::Result<()> {
        let (gateway, asset) = (Gateway::Razorpay, Asset::INR);
        let opened = OpenPurchase { user: user(number * 11 % USERS), plan: PLAN, gateway };
        let Some(Event::PurchaseOpened(opened)) = self.give(opened.into(), events)? else {
            bail!("a purchase was not opened");
        };
        let (purchase, payment_ref) = (Some(opened.purchase), format!("pay_{number:014}"));
        let captured = CapturePurchase { gateway, purchase, payment_ref, amount_minor: 9_900, asset };
        self.give(captured.into(), events).map(drop)
    }

    /// Decides a command, takes its events over, and answers the first.
    fn give(&mut self, command: Command, into: &mut Vec<NewEvent>) -> anyhow::Result<Option<Event>> {
        self.commands += 1;
        let millis = self.at.0.unsigned_abs();
        let mut counter = [0; 10];
        counter[2..].copy_from_slice(&self.commands.to_be_bytes());
        let key = uuid::Builder::from_unix_timestamp_millis(millis, &counter).into_uuid();
        let envelope = Envelope {
            actor: Actor::System,
            key: Key::Client(key.into()),
            command,
            policy: Policy::default(),
        };
        let unit = match decide(&self.state, self.at, &envelope) {
            Ok(Decision::Append(unit)) => unit,
            other => bail!("{envelope:?} led to {other:?}"),
        };
        let ids = &mut self.event_ids;
        let recorded = unit.record(self.state.next_revision(), || {
            *ids += 1;
            Uuid::from_u128(0xe000_0000_0000_0000 << 64 | *ids)
        });
        for event in &recorded {
            evolve(&mut self.state, event);
            self.state.settle(event.revision);
        }
        into.extend(recorded.iter().map(|recorded| NewEvent {
            id: recorded.event_id,
            kind: recorded.event.kind().to_owned(),
            data: recorded.event.encode(),
            metadata: recorded.metadata.encode(),
        }));
        Ok(recorded.into_iter().next().map(|recorded| recorded.event))
    }
}

/// Appends so many events, or a round more, and answers all that were appended.
///
/// # Errors
/// When the store or the ledger refuses.
pub async fn fill(store: &dyn EventStore, at_least: usize) -> anyhow::Result<u64> {
    fill_with(store, 0, at_least).await
}

/// The same, in which so many people more have coins.
///
/// # Errors
/// As [`fill`].
pub async fn fill_with(store: &dyn EventStore, wallets: u64, at_least: usize) -> anyhow::Result<u64> {
    let (mut busy, mut waiting) = Busy::open()?;
    let (mut expected, mut done, mut given) = (None, 0, 0);
    loop {
        if given < wallets {
            let next = wallets.min(given + BATCH_EVENTS as u64);
            waiting.append(&mut busy.wallets(given..next)?);
            given = next;
        }
        while waiting.len() < BATCH_EVENTS && done + waiting.len() < at_least {
            waiting.append(&mut busy.round()?);
        }
        if waiting.is_empty() {
            return Ok(done as u64);
        }
        for batch in waiting.chunks(BATCH_EVENTS) {
            expected = Some(store.append(expected, batch).await?);
        }
        done += waiting.len();
        waiting.clear();
    }
}

/// A gift from one of the wallets that [`fill_with`] made.
pub fn gift_of_wallet(number: u64) -> SendGift {
    // Far from the one before, as people who have nothing to do with each other are.
    let (sender, host) = (user(USERS + number), host(number % HOSTS));
    SendGift { sender, host, gift: GIFT, call: None, price_seen_milli: GIFT_PRICE_MILLI }
}

fn user(number: u64) -> PersonId {
    PersonId(scattered(1, number))
}

fn host(number: u64) -> PersonId {
    PersonId(scattered(2, number))
}

/// An id as random as those of a real platform: tables meet them in no order.
fn scattered(kind: u64, number: u64) -> Uuid {
    Uuid::new_v5(&Uuid::from_u64_pair(kind, 0), &number.to_be_bytes())
}
