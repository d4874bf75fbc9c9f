//! Random commands from clients who try again under the same key until they have an answer, on
//! stores that fail at random, against a simple model.
//!
//! `MUNEEM_SIM_SEED=7` runs the one seed that a failure has named. The seed fixes the commands and
//! the faults; how tasks take turns is the runtime's.

use crate::rig::{Fault, Rig};
use crate::world::*;
use event_store::{EmbeddedStore, EventStore, MemoryStore};
use ledger_core::command::{
    CapturePurchase, OpenPurchase, PostAdjustment, RecordDispute, RequestWithdrawal, SendGift, SetCoinPlan,
    SetCommissionRate, SetGiftPrice, WriteOffReceivable,
};
use ledger_core::disputes::DisputeNews;
use ledger_core::*;
use ledger_runtime::{ExecuteError, Receipt, Status};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use uuid::Uuid;

const SEEDS: u64 = 40;
const STEPS: usize = 120;
const CLIENTS: usize = 4;
const NODES: usize = 2;
/// Purchases that may be paid and disputed, and what each costs and gives.
const PURCHASES: usize = 8;
const PRICE_MINOR: i64 = 10_000;
const PLAN_MILLI: i64 = 6_000;
/// Three days.
const LEAP_MS: i64 = 3 * 24 * 60 * 60 * 1_000;

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

struct Simulation {
    chance: StdRng,
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
    /// What was answered, for each command that was accepted or refused.
    accepted: BTreeMap<CommandId, (Command, u64)>,
    refused: BTreeMap<CommandId, Rejection>,
    /// What the set-up recorded.
    before: u64,
    keys: u64,
    crashes: usize,
    torn: usize,
    /// How often clients were told that the store had no room, the clock was wrong, a batch was refused.
    held: [usize; 3],
}

#[test]
fn whatever_fails_each_accepted_command_is_recorded_once_and_the_books_balance() {
    let seeds = match std::env::var("MUNEEM_SIM_SEED") {
        Ok(seed) => {
            let seed: u64 = seed.parse().expect("MUNEEM_SIM_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..SEEDS,
    };
    // Beside one another, as they mostly wait for a store that does not answer.
    let runs: Vec<_> = seeds.map(|seed| (seed, std::thread::spawn(move || run(seed)))).collect();
    let (mut failed, mut held) = (Vec::new(), [0; 3]);
    let count = runs.len() as u64;
    for (seed, run) in runs {
        match run.join() {
            Ok(here) => held = std::array::from_fn(|kind| held[kind] + here[kind]),
            Err(_) => failed.push(seed),
        }
    }
    assert!(
        failed.is_empty(),
        "failed with the seeds {failed:?}: run again with MUNEEM_SIM_SEED={}",
        failed[0]
    );
    assert!(count < SEEDS || held.iter().all(|told| *told > 0), "some fault never came: {held:?}");
}

fn run(seed: u64) -> [usize; 3] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut simulation = Simulation::begin(seed).await;
        for _ in 0..STEPS {
            simulation.step().await;
        }
        simulation.end().await;
        let Simulation { accepted, refused, crashes, torn, held, .. } = &simulation;
        println!(
            "seed {seed}: {} accepted, {} refused, {crashes} crashes, {torn} torn tails, held {held:?}",
            accepted.len(),
            refused.len()
        );
        simulation.held
    })
}

impl Simulation {
    async fn begin(seed: u64) -> Simulation {
        let disk = match seed % 2 {
            0 => Disk::Memory(MemoryStore::new()),
            _ => Disk::Folder(tempfile::tempdir().expect("a folder")),
        };
        let mut simulation = Simulation {
            chance: StdRng::seed_from_u64(seed),
            disk,
            rigs: vec![],
            nodes: vec![],
            clients: (0..CLIENTS).map(|_| None).collect(),
            now: START,
            leaping: [false; NODES],
            purchases: vec![],
            accepted: BTreeMap::new(),
            refused: BTreeMap::new(),
            before: 0,
            keys: seed << 32,
            crashes: 0,
            torn: 0,
            held: [0; 3],
        };
        simulation.open().await;
        let node = &simulation.nodes[0];
        node.given(Command::from(SetGiftPrice { gift: ROSE, price_milli: Some(ROSE_MILLI) })).await;
        node.given(commission(6_000)).await;
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
            0..8 => self.rigs[rig].plan(Fault::UnknownBefore),
            8..16 => self.rigs[rig].plan(Fault::UnknownAfter),
            16..20 => self.crash().await,
            20..24 => self.die_in_an_append(rig).await,
            24..26 => self.rigs[rig].plan(Fault::NoSpace),
            26..30 => self.rigs[rig].plan(Fault::Refused),
            30..34 => {
                self.leaping[rig] = !self.leaping[rig];
                self.set_clocks();
            }
            34..60 => self.send(rig),
            60..70 => {
                // Two at once, at different nodes: one of them loses the race.
                self.send(0);
                self.send(1);
            }
            _ => self.hear().await,
        }
    }

    fn set_clocks(&self) {
        for (node, leaps) in self.nodes.iter().zip(self.leaping) {
            node.running.as_ref().expect("it leaps").send_replace(self.now);
            let leap_ms = if leaps { LEAP_MS } else { 0 };
            node.hand.send_replace(self.now.plus_ms(leap_ms));
        }
    }

    fn command(&mut self) -> (PersonId, Command) {
        let person = if self.chance.random() { USER } else { OTHER };
        let amount = self.chance.random_range(1..4_000);
        match self.chance.random_range(0..15) {
            10.. => (ADMIN, self.money()),
            0..5 => {
                let (host, gift) = (HOST, ROSE);
                let price_seen_milli = ROSE_MILLI;
                (person, Command::from(SendGift { sender: person, host, gift, call: None, price_seen_milli }))
            }
            5..7 => (ADMIN, coins(person, amount)),
            7 => (ADMIN, coins(person, -amount)),
            8 => (
                HOST,
                Command::from(RequestWithdrawal { payee: Payee::Host { person: HOST }, coins_milli: amount }),
            ),
            _ => (ADMIN, commission(self.chance.random_range(0..10_000))),
        }
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
            self.keys += 1;
            let key = match &command {
                Command::CapturePurchase(it) => Key::Natural(it.payment_ref.clone()),
                // Told at another moment each time.
                Command::RecordDispute(it) => Key::Natural(format!("{}:{}", it.dispute_ref, self.keys)),
                _ => key(self.now, self.keys),
            };
            let envelope = Envelope { actor: Actor::Person(actor), key, command, policy: Policy::default() };
            self.clients[client] = Some(Pending { envelope, task: None });
        }
        let Some(pending) = &mut self.clients[client] else { return };
        if pending.task.is_none() {
            pending.task = Some(self.nodes[node].send(pending.envelope.clone()));
        }
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
                let earlier = self.accepted.insert(command_id, (command, receipt.revision));
                assert!(earlier.is_none_or(|earlier| earlier.1 == receipt.revision), "one receipt for ever");
                // Now and then the client asks again, although it has its answer.
                if self.chance.random_range(0..4) == 0 {
                    self.clients[client] = Some(pending);
                }
            }
            Ok(Err(ExecuteError::Rejected(rejection))) => {
                assert!(!self.accepted.contains_key(&command_id), "what was accepted stays so: {rejection}");
                self.refused.insert(command_id, rejection);
            }
            // Whether it was recorded or not, it can be sent again under its key.
            Ok(Err(fault)) => {
                match fault {
                    ExecuteError::StorageFull => self.held[0] += 1,
                    ExecuteError::ClockLeap(_) => self.held[1] += 1,
                    ExecuteError::NotStorable(_) => self.held[2] += 1,
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

    /// All nodes die, with what is not durable.
    async fn crash(&mut self) {
        self.crashes += 1;
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
        let command =
            Command::from(PostAdjustment { account, amount_milli: 5, reason: "goodwill".into(), note: None });
        self.keys += 1;
        let key = key(self.now, self.keys);
        let envelope = Envelope { actor: Actor::Person(ADMIN), key, command, policy: Policy::default() };
        let before = self.rigs[node].head().await.expect("is read");
        let task = self.nodes[node].send(envelope.clone());
        // A node that lags behind loses the race first, and then nothing was written.
        soon(rig.until_struck(old + 1)).await;
        let written = rig.head().await.expect("is read") != before;
        drop(rig);
        self.crashes += 1;
        self.clients.push(Some(Pending { envelope: envelope.clone(), task: Some(task) }));
        self.stop_nodes().await;
        let pending = self.clients.pop().flatten();
        if let (Some(folder), Some(acknowledged), true) =
            (self.folder().map(Path::to_owned), acknowledged, written)
            && self.chance.random()
        {
            tear(&folder, &acknowledged, &mut self.chance);
            self.torn += 1;
        }
        self.open().await;
        drop(pending);
        // The client comes back with the same key.
        let receipt = self.nodes[1 - node].execute(envelope.clone()).await.expect("is accepted");
        self.accepted.insert(envelope.command_id(START), (envelope.command, receipt.revision));
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
        for node in &self.nodes {
            node.assert_sound().await;
        }
        let store = self.rigs[0].clone();
        let mut unseen = self.accepted.clone();
        let buyers = self.purchases.iter().map(|(user, _)| *user).collect();
        let mut model = Model { commission_bps: 6_000, buyers, ..Model::default() };
        for event in journal(store.as_ref()).await {
            if event.revision <= self.before || !event.metadata.closes_unit() {
                continue;
            }
            let command = event.metadata.command_id;
            let (sent, revision) = unseen.remove(&command).expect("recorded once, and accepted");
            assert_eq!(revision, event.revision, "the receipt names the last event");
            assert!(!self.refused.contains_key(&command), "what was refused is not recorded");
            model.take(&sent);
        }
        assert!(unseen.is_empty(), "accepted and not recorded: {unseen:?}");
        let state = replayed(store.as_ref()).await;
        for person in [USER, OTHER, ADMIN, HOST] {
            let wallet = state.wallet(person, self.now);
            let found =
                [wallet.spendable_milli, wallet.earnings_milli, wallet.frozen_milli, wallet.owed_milli];
            assert_eq!(found, model.wallet(person), "{person}: spendable, earned, frozen, owed");
        }
    }
}

/// What the accepted commands add up to.
#[derive(Default)]
struct Model {
    people: BTreeMap<PersonId, Wallet>,
    commission_bps: i64,
    /// Who pays with which payment.
    buyers: Vec<PersonId>,
    payments: BTreeMap<usize, Payment>,
}

/// Coins in the order in which they are spent, with the payment that bought them.
#[derive(Default)]
struct Wallet {
    lots: Vec<(Option<usize>, i64)>,
    earned: i64,
    /// Which payments' coins are owed, the oldest first.
    owed: Vec<(usize, i64)>,
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

impl Wallet {
    fn spendable(&self) -> i64 {
        self.lots.iter().map(|(_, left)| left).sum()
    }

    /// Takes up to `amount` of the lots, the first ones first; answers how much that was.
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
    fn wallet(&self, person: PersonId) -> [i64; 4] {
        let frozen = self.payments.iter().filter(|(number, _)| self.buyers[**number] == person);
        let frozen = frozen.map(|(_, payment)| payment.frozen).sum();
        let Some(row) = self.people.get(&person) else { return [0, 0, frozen, 0] };
        [row.spendable(), row.earned, frozen, row.owed.iter().map(|(_, owed)| owed).sum()]
    }

    fn take(&mut self, command: &Command) {
        match command {
            Command::SendGift(SendGift { sender, host, price_seen_milli, .. }) => {
                let row = self.people.entry(*sender).or_default();
                assert!(row.owed.is_empty(), "{sender} owes and cannot pay");
                assert_eq!(row.take(*price_seen_milli, |_| true), *price_seen_milli, "{sender} is overdrawn");
                let platform = price_seen_milli * (10_000 - self.commission_bps) / 10_000;
                self.people.entry(*host).or_default().earned += price_seen_milli - platform;
            }
            Command::PostAdjustment(PostAdjustment { account, amount_milli, .. }) => {
                let person = account.person().expect("a user's account");
                let row = self.people.entry(person).or_default();
                match *amount_milli {
                    added if added > 0 => row.lots.push((None, added)),
                    taken => assert_eq!(row.take(-taken, |_| true), -taken, "{person} is overdrawn"),
                }
            }
            Command::RequestWithdrawal(RequestWithdrawal { payee, coins_milli }) => {
                let row = self.people.entry(payee.person()).or_default();
                row.earned -= coins_milli;
                assert!(row.earned >= 0, "{payee:?} is overdrawn");
            }
            Command::SetCommissionRate(SetCommissionRate { host_bps, .. }) => {
                self.commission_bps = i64::from(*host_bps)
            }
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

    fn capture(&mut self, number: usize) {
        let payment = self.payments.entry(number).or_default();
        let row = self.people.entry(self.buyers[number]).or_default();
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
