//! Two nodes on one store that fails, and clients who try again under the same key until they have an answer.

use crate::model::Model;
use crate::rig::{Fault, Rig};
use crate::world::*;
use crate::{Story, Tally};
use event_store::{EmbeddedStore, EventStore, MemoryStore};
use ledger_core::command::*;
use ledger_core::disputes::DisputeNews;
use ledger_core::event::{BonusOrigin, CommissionScope, Medium, PauseCause};
use ledger_core::*;
use ledger_runtime::{ExecuteError, Receipt, Status};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use uuid::Uuid;

const CLIENTS: usize = 4;
const NODES: usize = 2;
/// Purchases that may be paid and disputed, and what each costs and gives.
const PURCHASES: usize = 8;
const PRICE_MINOR: i64 = 10_000;
pub(crate) const PLAN_MILLI: i64 = 6_000;
/// Ten seconds of a call for six coins a minute.
pub(crate) const INCREMENT_MILLI: i64 = 1_000;
/// Three days.
const LEAP_MS: i64 = 3 * 24 * 60 * 60 * 1_000;
const STARS: AgencyId = AgencyId(Uuid::from_u128(0xa9));
/// The owner of [`STARS`], who takes out what it earns.
const OWNER: PersonId = PersonId(Uuid::from_u128(0xc0));
const OF_HOST: Payee = Payee::Host { person: HOST };
const OF_AGENCY: Payee = Payee::Agency { agency: STARS, owner: OWNER };
/// What each user has at first.
const FIRST_MILLI: i64 = 20_000;
/// What the host gets of a gift at first, in basis points.
const FIRST_BPS: u32 = 6_000;

type Answer = Result<Receipt, ExecuteError>;

/// Where the events are, and how they survive a crash.
enum Disk {
    Memory(MemoryStore),
    Folder(TempDir),
}

/// A command of a client, on its way until it has an answer that is certain.
struct Pending {
    envelope: Envelope,
    task: Option<JoinHandle<Answer>>,
}

/// A story that is being played.
pub(crate) struct Simulation {
    /// Of the step that is being played: steps that are left out change nothing for the others.
    chance: StdRng,
    step: u64,
    told: Told,
    disk: Disk,
    /// One rig and one ledger for each node, all on one store.
    rigs: Vec<Arc<Rig>>,
    nodes: Vec<World>,
    clients: Vec<Option<Pending>>,
    now: Timestamp,
    /// Whose wall clock shows another day.
    leaping: [bool; NODES],
    /// Who has opened which purchase.
    purchases: Vec<(PersonId, PurchaseId)>,
    /// Those that were accepted.
    withdrawals: Vec<(WithdrawalId, Payee)>,
    /// Bonus lots that expire, and calls, that were accepted, in the order of their answers.
    expiring: Vec<LotId>,
    calls: Vec<CallId>,
    /// What was answered, for each command that was accepted or refused.
    accepted: BTreeMap<CommandId, (Command, u64)>,
    refused: BTreeMap<CommandId, Rejection>,
    joined: BTreeSet<CommandId>,
    /// What the set-up recorded.
    before: u64,
    /// Commands of this step.
    keys: u64,
    tally: Tally,
}

/// What happened, as people read it; kept by the one who plays the story, for when it ends badly.
pub(crate) type Told = Arc<Mutex<Vec<String>>>;

impl Simulation {
    /// Plays a story to its end.
    ///
    /// # Panics
    /// Where something is not as it should be.
    pub(crate) async fn play(story: &Story, told: Told) -> Tally {
        let mut simulation = Simulation::begin(story.seed, told).await;
        for step in &story.steps {
            simulation.chance =
                StdRng::seed_from_u64(story.seed ^ (*step + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            (simulation.step, simulation.keys) = (*step, 0);
            simulation.step().await;
        }
        simulation.end().await;
        simulation.tally.accepted = simulation.accepted.len();
        simulation.tally.refused = simulation.refused.len();
        simulation.tally
    }

    fn tell(&self, what: std::fmt::Arguments<'_>) {
        let line = format!("step {}: {what}", self.step);
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    async fn begin(seed: u64, told: Told) -> Simulation {
        let disk = match seed % 2 {
            0 => Disk::Memory(MemoryStore::new()),
            _ => Disk::Folder(tempfile::tempdir().expect("a folder")),
        };
        let mut simulation = Simulation {
            chance: StdRng::seed_from_u64(seed),
            step: 0,
            told,
            disk,
            rigs: vec![],
            nodes: vec![],
            clients: (0..CLIENTS).map(|_| None).collect(),
            now: START,
            leaping: [false; NODES],
            purchases: vec![],
            withdrawals: vec![],
            expiring: vec![],
            calls: vec![],
            accepted: BTreeMap::new(),
            refused: BTreeMap::new(),
            joined: BTreeSet::new(),
            before: 0,
            keys: 0,
            tally: Tally::default(),
        };
        simulation.open().await;
        let node = &simulation.nodes[0];
        node.given(Command::from(SetGiftPrice { gift: ROSE, price_milli: Some(ROSE_MILLI) })).await;
        node.given(commission(FIRST_BPS)).await;
        for user in [USER, OTHER] {
            node.given(coins(user, FIRST_MILLI)).await;
        }
        let plan = PlanId(Uuid::from_u128(0x3a));
        node.given(Command::from(SetCoinPlan {
            plan,
            coins_milli: PLAN_MILLI,
            bonus_milli: 0,
            bonus_valid_seconds: None,
            price_minor: PRICE_MINOR,
            price_asset: Asset::INR,
            active: true,
        }))
        .await;
        for number in 0..PURCHASES {
            let user = [USER, OTHER][number % 2];
            let opened = node.given(OpenPurchase { user, plan, gateway: Gateway::Razorpay }.into()).await;
            simulation.purchases.push((user, opened.command_id.derive("purchase")));
        }
        simulation.before = node.ledger.durable_revision();
        simulation
    }

    async fn open(&mut self) {
        let store: Arc<dyn EventStore> = match &self.disk {
            Disk::Memory(store) => Arc::new(store.clone()),
            Disk::Folder(folder) => {
                Arc::new(EmbeddedStore::open(folder.path()).expect("opens after a crash"))
            }
        };
        self.rigs = (0..NODES).map(|_| Rig::before(store.clone())).collect();
        for rig in &self.rigs {
            self.nodes.push(World::open_leaping(rig.clone(), self.now).await);
        }
    }

    async fn step(&mut self) {
        self.now = self.now.plus_ms(self.chance.random_range(0..5_000));
        self.set_clocks();
        let rig = self.chance.random_range(0..NODES);
        match self.chance.random_range(0..100) {
            0..6 => self.plan(rig, Fault::UnknownBefore),
            6..12 => self.plan(rig, Fault::UnknownAfter),
            12..14 => self.crash().await,
            14..17 => self.die_in_an_append(rig).await,
            17..18 => self.plan(rig, Fault::NoSpace),
            18..20 => self.plan(rig, Fault::Refused),
            20..22 => {
                self.leaping[rig] = !self.leaping[rig];
                self.tell(format_args!("the clock of node {rig} leaps, or leaps back"));
                self.set_clocks();
            }
            22..50 => self.send(rig),
            50..65 => {
                // Two at once, at different nodes: one of them loses the race.
                self.send(0);
                self.send(1);
            }
            _ => self.hear().await,
        }
    }

    fn plan(&self, node: usize, fault: Fault) {
        self.tell(format_args!("an append of node {node} will meet {fault:?}"));
        self.rigs[node].plan(fault);
    }

    fn set_clocks(&self) {
        for (node, leaps) in self.nodes.iter().zip(self.leaping) {
            node.running.as_ref().expect("it leaps").send_replace(self.now);
            let leap_ms = if leaps { LEAP_MS } else { 0 };
            node.hand.send_replace(self.now.plus_ms(leap_ms));
        }
    }

    /// Somebody, and what they ask for.
    fn command(&mut self) -> (PersonId, Command) {
        let person = if self.chance.random() { USER } else { OTHER };
        let amount = self.chance.random_range(1..4_000);
        match self.chance.random_range(0..28) {
            20..25 => self.call(person),
            25..27 => (ADMIN, self.expiring()),
            27 => (ADMIN, self.rates()),
            0..5 => {
                let (host, gift) = (HOST, ROSE);
                let price_seen_milli = ROSE_MILLI;
                (person, SendGift { sender: person, host, gift, call: None, price_seen_milli }.into())
            }
            5..7 => (ADMIN, coins(person, amount)),
            7 => (ADMIN, coins(person, -amount)),
            8 => (ADMIN, bonus(person, -amount)),
            9 => {
                let (user, origin) = (person, BonusOrigin::Promotion);
                let valid_seconds = self.chance.random::<bool>().then(|| self.chance.random_range(1..60));
                (ADMIN, GrantBonus { user, origin, coins_milli: amount, valid_seconds }.into())
            }
            10 => {
                let host_bps = self.chance.random_range(0..8_000);
                let (scope, agency_bps) = (CommissionScope::Global, self.chance.random_range(0..2_000));
                (ADMIN, SetCommissionRate { scope, host_bps, agency_bps, effective_from: None }.into())
            }
            11 if self.chance.random() => {
                (ADMIN, JoinAgency { host: HOST, agency: STARS, from: None, until: None }.into())
            }
            11 => (ADMIN, LeaveAgency { host: HOST, at: None }.into()),
            12..15 => self.withdrawal(amount),
            _ => (ADMIN, self.money()),
        }
    }

    /// A withdrawal is asked for, or one that was is decided or paid, maybe not for the first time.
    fn withdrawal(&mut self, coins_milli: i64) -> (PersonId, Command) {
        let asks = self.withdrawals.is_empty() || self.chance.random_range(0..3) == 0;
        if asks {
            let payee = if self.chance.random_range(0..4) == 0 { OF_AGENCY } else { OF_HOST };
            return (payee.person(), RequestWithdrawal { payee, coins_milli }.into());
        }
        let (withdrawal, payee) = self.withdrawals[self.chance.random_range(0..self.withdrawals.len())];
        let reason = || "declined".to_owned();
        let decision = match self.chance.random_range(0..12) {
            8..10 => MarkWithdrawalSent { withdrawal, payout_key: format!("key_{withdrawal}") }.into(),
            10 => MarkWithdrawalUnknown { withdrawal, reason: reason() }.into(),
            11 if self.chance.random() => FailWithdrawal { withdrawal, reason: reason() }.into(),
            11 => ReverseWithdrawal { withdrawal, reason: reason() }.into(),
            0..3 => ApproveWithdrawal { withdrawal }.into(),
            3 => RejectWithdrawal { withdrawal, reason: "unclear".to_owned() }.into(),
            4 => return (payee.person(), CancelWithdrawal { withdrawal, payee }.into()),
            _ => MarkWithdrawalPaid { withdrawal, payout_ref: format!("payout_{withdrawal}") }.into(),
        };
        (ADMIN, decision)
    }

    /// A call begins, or something happens to one that did: increments come in and out of order, and after its end.
    fn call(&mut self, payer: PersonId) -> (PersonId, Command) {
        let begins = self.calls.is_empty() || self.chance.random_range(0..6) == 0;
        if begins {
            let call = CallId(Uuid::from_u128(u128::from(self.step << 8 | self.keys)));
            let (host, medium, price_seen_milli_per_minute) = (HOST, Medium::Video, 6 * INCREMENT_MILLI);
            return (HOST, StartCall { call, payer, host, medium, price_seen_milli_per_minute }.into());
        }
        // Mostly the last one: the others have ended.
        let old = self.chance.random_range(0..4) == 0;
        let place = if old { self.chance.random_range(0..self.calls.len()) } else { self.calls.len() - 1 };
        let (call, last_seen) = (self.calls[place], Some(Timestamp(i64::MAX)));
        let happens = match self.chance.random_range(0..8) {
            0 => EndCall { call, by: Ending::Participant(HOST) }.into(),
            1 => PauseCall { call, cause: PauseCause::Disconnected, last_seen }.into(),
            2 => ResumeCall { call }.into(),
            _ => TickCall { call, number: self.chance.random_range(2..6), last_seen }.into(),
        };
        (HOST, happens)
    }

    /// A bonus lot expires, maybe before its time or again.
    fn expiring(&mut self) -> Command {
        let lot = match self.expiring.len() {
            0 => LotId(Uuid::nil()),
            lots => self.expiring[self.chance.random_range(0..lots)],
        };
        ExpireBonus { lot }.into()
    }

    /// What withdrawals are worth in money.
    fn rates(&mut self) -> Command {
        let asset = Asset::INR;
        if self.chance.random() {
            return SetTaxRate { asset, tax_bps: self.chance.random_range(0..3_000), effective_from: None }
                .into();
        }
        let rate = Decimal::new(self.chance.random_range(1..1_000), 3);
        SetPayoutRate { asset, rate, effective_from: None }.into()
    }

    /// A payment, a dispute of one, or a receivable that is written off. Disputes come before their payments, are decided
    /// before they are opened, and are decided anew.
    fn money(&mut self) -> Command {
        let number = self.chance.random_range(0..PURCHASES);
        let (payment_ref, dispute_ref) = (format!("pay_{number}"), format!("disp_{number}"));
        let (gateway, amount_minor, asset) = (Gateway::Razorpay, PRICE_MINOR, Asset::INR);
        let news = match self.chance.random_range(0..10) {
            0..3 => {
                let purchase = Some(self.purchases[number].1);
                return CapturePurchase { gateway, purchase, payment_ref, amount_minor, asset }.into();
            }
            3 => {
                let amount_milli = self.chance.random_range(1..3_000);
                let reason = "uncollectable".to_owned();
                return WriteOffReceivable { dispute_ref, amount_milli, reason, note: None }.into();
            }
            4..6 => DisputeNews::Opened,
            6 => DisputeNews::Won,
            7 => DisputeNews::Closed,
            _ => DisputeNews::Lost { taken_minor: PRICE_MINOR, fee_minor: 0 },
        };
        RecordDispute { gateway, dispute_ref, payment_ref, amount_minor, asset, news }.into()
    }

    /// A client who waits for nothing sends a command; one who waits sends the same one again.
    fn send(&mut self, node: usize) {
        let client = self.chance.random_range(0..CLIENTS);
        if self.clients[client].is_none() {
            let (actor, command) = self.command();
            let number = self.next_key();
            let key = match &command {
                Command::CapturePurchase(it) => Key::Natural(it.payment_ref.clone()),
                // Told at another moment each time.
                Command::RecordDispute(it) => Key::Natural(format!("{}:{number}", it.dispute_ref)),
                // The server may ask for days, so its keys last for ever.
                Command::TickCall(it) => Key::Natural(format!("{}:{}:{number}", it.call, it.number)),
                _ => key(self.now, number),
            };
            self.tell(format_args!("client {client} asks node {node}: {command:?}"));
            let envelope = Envelope { actor: Actor::Person(actor), key, command, policy: Policy::default() };
            self.clients[client] = Some(Pending { envelope, task: None });
        }
        let Some(pending) = &mut self.clients[client] else { return };
        if pending.task.is_none() {
            pending.task = Some(self.nodes[node].send(pending.envelope.clone()));
        }
    }

    /// The same for the same step, whatever was left out before it.
    fn next_key(&mut self) -> u64 {
        self.keys += 1;
        self.step << 8 | self.keys
    }

    /// Waits for the answer of one client.
    async fn hear(&mut self) {
        let client = self.chance.random_range(0..CLIENTS);
        self.hear_of(client).await;
    }

    async fn hear_of(&mut self, client: usize) {
        let Some(mut pending) = self.clients[client].take() else { return };
        let Some(task) = pending.task.take() else {
            self.clients[client] = Some(pending);
            return;
        };
        let (command_id, command) = (pending.envelope.command_id(START), pending.envelope.command.clone());
        match soon(task).await {
            Ok(Ok(receipt)) => {
                assert_eq!((receipt.command_id, receipt.journal), (command_id, JOURNAL));
                self.tell(format_args!("client {client} is answered: accepted at {}", receipt.revision));
                if let Command::RequestWithdrawal(it) = &command {
                    self.withdrawals.push((command_id.derive("withdrawal"), it.payee));
                }
                match &command {
                    Command::GrantBonus(it) if it.valid_seconds.is_some() => {
                        self.expiring.push(command_id.derive("bonus"));
                    }
                    Command::StartCall(it) => self.calls.push(it.call),
                    _ => {}
                }
                self.accept(command_id, command, receipt.revision);
                // Now and then the client asks again, although it has its answer.
                if self.chance.random_range(0..4) == 0 {
                    self.clients[client] = Some(pending);
                }
            }
            Ok(Err(ExecuteError::Rejected(rejection))) => {
                assert!(!self.accepted.contains_key(&command_id), "what was accepted stays so: {rejection}");
                self.tell(format_args!("client {client} is refused: {}", rejection.code()));
                self.refused.insert(command_id, rejection);
            }
            // Whether it was recorded or not, it can be sent again under its key.
            Ok(Err(fault)) => {
                self.tell(format_args!("client {client} has to ask again: {fault}"));
                match fault {
                    ExecuteError::StorageFull => self.tally.without_room += 1,
                    ExecuteError::ClockLeap(_) => self.tally.clock_leaps += 1,
                    ExecuteError::NotStorable(_) => self.tally.not_stored += 1,
                    ExecuteError::OutcomeUnknown | ExecuteError::Stopped(_) | ExecuteError::StoreAway => {}
                    ExecuteError::Rejected(_) | ExecuteError::Busy | ExecuteError::Fault => {
                        panic!("{fault}")
                    }
                }
                self.clients[client] = Some(pending);
            }
            Err(_) => self.clients[client] = Some(pending),
        }
    }

    fn accept(&mut self, id: CommandId, command: Command, revision: u64) {
        // To be where one is already is no news, and nothing is recorded.
        if matches!(command, Command::JoinAgency(_)) {
            self.joined.insert(id);
        }
        let earlier = self.accepted.insert(id, (command, revision));
        let same = earlier.is_none_or(|earlier| earlier.1 == revision);
        assert!(same || self.joined.contains(&id), "one receipt for ever");
    }

    /// All nodes die, with what is not durable.
    async fn crash(&mut self) {
        self.tell(format_args!("all nodes are killed"));
        self.tally.crashes += 1;
        self.stop_nodes().await;
        self.open().await;
    }

    async fn stop_nodes(&mut self) {
        // An answer that was on its way when the process died may have arrived or not.
        if self.chance.random() {
            everyone_has_run().await;
        }
        for node in self.nodes.drain(..) {
            node.crash().await;
        }
        for client in 0..self.clients.len() {
            if self.clients[client].as_ref().is_some_and(|pending| pending.task.is_some()) {
                self.hear_of(client).await;
            }
        }
        self.rigs.clear();
    }

    /// All nodes die while an append is being written. On a disk, a part of it may be missing.
    async fn die_in_an_append(&mut self, node: usize) {
        for client in 0..CLIENTS {
            self.hear_of(client).await;
        }
        self.mend().await;
        let rig = self.rigs[node].clone();
        // Faults that were planned earlier strike first.
        // Nobody may decide on their own money, so it is somebody else's.
        let (account, old) = (Account::UserPurchased(PersonId(Uuid::from_u128(0xb0b))), rig.struck());
        let acknowledged =
            self.folder().map(|folder| std::fs::read(folder.join("acknowledged")).expect("is read"));
        rig.clear_plan();
        rig.plan(Fault::SilentAfter);
        let command = Command::from(PostAdjustment {
            account,
            amount_milli: 5,
            reason: "goodwill".into(),
            note: None,
            settles: None,
        });
        let key = key(self.now, self.next_key());
        self.tell(format_args!("node {node} is killed while it appends {command:?}"));
        let envelope = Envelope { actor: Actor::Person(ADMIN), key, command, policy: Policy::default() };
        let before = self.rigs[node].head().await.expect("is read");
        let task = self.nodes[node].send(envelope.clone());
        // A node that lags behind loses the race first, and then nothing was written.
        soon(rig.until_struck(old + 1)).await;
        let written = rig.head().await.expect("is read") != before;
        drop(rig);
        self.tally.crashes += 1;
        self.clients.push(Some(Pending { envelope: envelope.clone(), task: Some(task) }));
        self.stop_nodes().await;
        let pending = self.clients.pop().flatten();
        if let (Some(folder), Some(acknowledged), true) =
            (self.folder().map(Path::to_owned), acknowledged, written)
            && self.chance.random()
        {
            tear(&folder, &acknowledged, &mut self.chance);
            self.tell(format_args!("a part of what it wrote is lost"));
            self.tally.torn += 1;
        }
        self.open().await;
        drop(pending);
        // The client comes back with the same key.
        let receipt = self.nodes[1 - node].execute(envelope.clone()).await.expect("is accepted");
        self.accept(envelope.command_id(START), envelope.command, receipt.revision);
    }

    fn folder(&self) -> Option<&Path> {
        match &self.disk {
            Disk::Memory(_) => None,
            Disk::Folder(folder) => Some(folder.path()),
        }
    }

    /// Every clock is right again, and every node takes commands.
    async fn mend(&mut self) {
        self.leaping = [false; NODES];
        self.set_clocks();
        for node in &self.nodes {
            node.until_status(|it| !matches!(it, Status::ClockLeap(_) | Status::StorageFull(_))).await;
        }
    }

    /// Every client gets its answer; then the journal is held against the model.
    async fn end(&mut self) {
        self.mend().await;
        for client in 0..CLIENTS {
            while self.clients[client].is_some() {
                let node = self.chance.random_range(0..NODES);
                let ledger = &self.nodes[node];
                let Some(pending) = &mut self.clients[client] else { break };
                if pending.task.is_none() {
                    pending.task = Some(ledger.send(pending.envelope.clone()));
                }
                self.hear_of(client).await;
            }
        }
        // Faults that nothing has met yet would strike the questions.
        self.rigs.iter().for_each(|rig| rig.clear_plan());
        for node in &self.nodes {
            node.until_status(|it| *it == Status::Running).await;
            node.assert_sound().await;
        }
        let store = self.rigs[0].clone();
        let mut unseen = self.accepted.clone();
        let buyers = self.purchases.iter().map(|(user, _)| *user).collect();
        let mut model = Model::new(buyers, FIRST_MILLI, FIRST_BPS.into());
        for event in journal(store.as_ref()).await {
            if event.revision <= self.before || !event.metadata.closes_unit() {
                continue;
            }
            let command = event.metadata.command_id;
            let (sent, revision) = unseen.remove(&command).expect("recorded once, and accepted");
            assert_eq!(revision, event.revision, "the receipt names the last event");
            assert!(!self.refused.contains_key(&command), "what was refused is not recorded");
            model.take(&sent, command, event.metadata.recorded_at.0);
        }
        unseen.retain(|id, _| !self.joined.contains(id));
        assert!(unseen.is_empty(), "accepted and not recorded: {unseen:?}");
        let state = replayed(store.as_ref()).await;
        for person in [USER, OTHER, ADMIN, HOST] {
            let wallet = state.wallet(person, self.now);
            let found =
                [wallet.spendable_milli, wallet.earnings_milli, wallet.frozen_milli, wallet.owed_milli];
            assert_eq!(found, model.wallet(person, self.now.0), "{person}: spendable, earned, frozen, owed");
        }
        let earned = -state.balance(Account::AgencyEarnings(STARS), Asset::COIN);
        assert_eq!(earned, model.agency(STARS), "what the agency has earned");
        for (withdrawal, held) in model.held() {
            let found = -state.balance(Account::WithdrawalHeld(withdrawal), Asset::COIN);
            assert_eq!(found, held, "held for {withdrawal}");
        }
    }
}

/// Of a person's bonus coins, by an admin.
fn bonus(user: PersonId, amount_milli: i64) -> Command {
    let account = Account::UserBonus(user);
    PostAdjustment { account, amount_milli, reason: "given_in_error".to_owned(), note: None, settles: None }
        .into()
}

/// Takes back a part of what was written behind the end that `acknowledged` names, as a crash in
/// the middle of a write does. Offset and name of the segment stand in that file.
fn tear(folder: &Path, acknowledged: &[u8], chance: &mut StdRng) {
    let number =
        |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let path = folder.join("acknowledged");
    let now = std::fs::read(&path).expect("is read");
    let (segment, from, to) = (number(acknowledged, 4), number(acknowledged, 12), number(&now, 12));
    assert_eq!(segment, number(&now, 4), "a journal as short as this has one segment");
    let log = folder.join(format!("{segment:020}.segment"));
    let bytes = std::fs::read(&log).expect("is read");
    // A cut in the zeros behind the last batch takes nothing of it.
    let (mut batch, mut end) = (from, from);
    while batch < to {
        let length = u32::from_le_bytes(bytes[batch as usize + 4..][..4].try_into().expect("four bytes"));
        end = batch + 32 + u64::from(length);
        batch = end.next_multiple_of(512);
    }
    let file = OpenOptions::new().write(true).open(log).expect("opens");
    file.set_len(chance.random_range(from..end)).expect("is cut");
    std::fs::write(path, acknowledged).expect("is written");
}
