//! A ledger with prices and people, on a clock that a test moves.

use event_store::{EmbeddedStore, EventStore, MemoryStore, NewEvent};
use ledger_core::command::{PostAdjustment, SendGift, SetCommissionRate, SetGiftPrice, SetHostRate};
use ledger_core::event::{AdjustmentPosted, CommissionScope};
use ledger_core::*;
use ledger_runtime::{Clock, ExecuteError, Ledger, Receipt, Status, read_journal};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub const USER: PersonId = PersonId(Uuid::from_u128(0x0a));
pub const OTHER: PersonId = PersonId(Uuid::from_u128(0x0b));
pub const HOST: PersonId = PersonId(Uuid::from_u128(0x1a));
pub const ADMIN: PersonId = PersonId(Uuid::from_u128(0xad));
pub const ROSE: GiftId = GiftId(Uuid::from_u128(0x4a));
pub const CALL: CallId = CallId(Uuid::from_u128(0x5a));
pub const JOURNAL: JournalId = JournalId(Uuid::from_u128(0x01));
pub const START: Timestamp = Timestamp(1_700_000_000_000);
pub const ROSE_MILLI: i64 = 1_000;

/// One node: a ledger, its writer, the hand of its clock.
pub struct World {
    pub ledger: Ledger,
    pub hand: watch::Sender<Timestamp>,
    /// The hand of the running time, where the wall clock can leap.
    pub running: Option<watch::Sender<Timestamp>>,
    pub task: JoinHandle<()>,
}

impl World {
    pub async fn open(store: Arc<dyn EventStore>) -> World {
        World::open_at(store, START).await
    }

    pub async fn open_at(store: Arc<dyn EventStore>, at: Timestamp) -> World {
        let (hand, clock) = Clock::manual(at);
        let (ledger, task) = Ledger::open(store, clock, JOURNAL, |_, _| {}).await.expect("opens");
        World { ledger, hand, running: None, task }
    }

    /// A node whose wall clock is set apart from its running time.
    pub async fn open_leaping(store: Arc<dyn EventStore>, at: Timestamp) -> World {
        let (hand, running, clock) = Clock::manual_that_leaps(at);
        let (ledger, task) = Ledger::open(store, clock, JOURNAL, |_, _| {}).await.expect("opens");
        World { ledger, hand, running: Some(running), task }
    }

    /// A journal with a rose for one coin, a video call with [`HOST`] for six coins a minute, and
    /// `coins_milli` bought by [`USER`].
    pub async fn with_coins(store: Arc<dyn EventStore>, coins_milli: i64) -> World {
        let world = World::open(store).await;
        world.given(Command::from(SetGiftPrice { gift: ROSE, price_milli: Some(ROSE_MILLI) })).await;
        world.given(rate(HOST)).await;
        world.given(commission(6_000)).await;
        if coins_milli > 0 {
            world.given(coins(USER, coins_milli)).await;
        }
        world
    }

    pub async fn execute(&self, envelope: Envelope) -> Result<Receipt, ExecuteError> {
        soon(self.ledger.execute(envelope)).await
    }

    /// Brings the world to where a story begins.
    pub async fn given(&self, command: Command) -> Receipt {
        let receipt = self.execute(admin(command)).await.expect("is accepted");
        assert!(!receipt.duplicate);
        receipt
    }

    /// A command sent from a task of its own.
    pub fn send(&self, envelope: Envelope) -> JoinHandle<Result<Receipt, ExecuteError>> {
        let ledger = self.ledger.clone();
        tokio::spawn(async move { ledger.execute(envelope).await })
    }

    /// A query that says when it has been asked, beside the task that waits for its answer.
    pub async fn asked(&self) -> JoinHandle<Result<u64, ExecuteError>> {
        let ledger = self.ledger.clone();
        let (say, asked) = watch::channel(false);
        let task = tokio::spawn(async move {
            ledger
                .query(move |state, _| {
                    say.send_replace(true);
                    state.next_revision()
                })
                .await
        });
        soon(asked.clone().wait_for(|asked| *asked)).await.expect("is asked");
        task
    }

    pub async fn query<T: Send + 'static>(
        &self,
        ask: impl Fn(&State, Timestamp) -> T + Send + 'static,
    ) -> Result<T, ExecuteError> {
        soon(self.ledger.query(ask)).await
    }

    pub async fn hash(&self) -> [u8; 32] {
        self.query(|state, _| state.hash()).await.expect("is answered")
    }

    pub async fn spendable(&self, person: PersonId) -> i64 {
        self.query(move |state, at| state.spendable(person, at)).await.expect("is answered")
    }

    pub async fn until_status(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        soon(async {
            loop {
                let status = self.ledger.status();
                if wanted(&status) {
                    return status;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// Everything that the live state says, a replay of the journal says too; the books balance.
    pub async fn assert_sound(&self) {
        let live = self.hash().await;
        let replayed = replayed(self.ledger.store().as_ref()).await;
        assert_eq!(live, replayed.hash(), "replay equals live");
    }

    /// Lets go of the ledger and waits for the end of its writer.
    pub async fn close(self) {
        drop(self.ledger);
        soon(self.task).await.expect("the writer ends");
    }

    /// Ends the node as a crash does: nothing more is written or answered.
    pub async fn crash(self) {
        self.task.abort();
        drop(self.ledger);
        drop(self.task.await);
    }
}

/// Waits, but not for ever: a story that hangs must fail.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("comes soon")
}

/// Gives every other task the chance to do what it can do now.
pub async fn everyone_has_run() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// The state that the journal adds up to, each unit of it checked.
pub async fn replayed(store: &dyn EventStore) -> State {
    let mut state = State::new();
    for event in journal(store).await {
        evolve(&mut state, &event);
        state.settle(event.revision);
        if event.metadata.closes_unit() {
            assert_balanced(&state, event.revision);
        }
    }
    state
}

pub async fn journal(store: &dyn EventStore) -> Vec<Recorded> {
    read_journal(store, 0, usize::MAX).await.expect("is read")
}

/// What holds at each unit boundary: conservation, clearing at zero, nobody overdrawn.
pub fn assert_balanced(state: &State, revision: u64) {
    let mut sums: BTreeMap<Asset, i128> = BTreeMap::new();
    for (account, asset, amount) in state.balances() {
        *sums.entry(asset).or_default() += i128::from(amount);
        assert_ne!(account, Account::ClearingCharges, "clearing is empty at {revision}");
        assert!(!account.is_overdrawn_at(amount.into()), "{account} is overdrawn at {revision}");
    }
    assert!(sums.values().all(|sum| *sum == 0), "the books balance at {revision}: {sums:?}");
}

/// How many times each command stands in the journal.
pub async fn recorded(store: &dyn EventStore) -> BTreeMap<CommandId, usize> {
    let mut counts = BTreeMap::new();
    for event in journal(store).await.iter().filter(|event| event.metadata.closes_unit()) {
        *counts.entry(event.metadata.command_id).or_default() += 1;
    }
    counts
}

/// A store of each kind; the folder of the embedded one lives as long as what comes with it.
pub fn stores() -> Vec<(&'static str, Arc<dyn EventStore>, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let embedded = EmbeddedStore::open(folder.path()).expect("opens");
    vec![("memory", Arc::new(MemoryStore::new()), None), ("embedded", Arc::new(embedded), Some(folder))]
}

pub fn memory() -> Arc<dyn EventStore> {
    Arc::new(MemoryStore::new())
}

/// A client's key that no other command of this run has.
pub fn fresh_key() -> Key {
    static KEYS: AtomicU64 = AtomicU64::new(1);
    key(START, KEYS.fetch_add(1, Ordering::Relaxed))
}

pub fn key(at: Timestamp, number: u64) -> Key {
    let mut chance = [0; 10];
    chance[2..].copy_from_slice(&number.to_be_bytes());
    let ms = u64::try_from(at.0).expect("a moment after 1970");
    Key::Client(uuid::Builder::from_unix_timestamp_millis(ms, &chance).into_uuid().into())
}

pub fn envelope(actor: PersonId, command: Command) -> Envelope {
    Envelope { actor: Actor::Person(actor), key: fresh_key(), command, policy: Policy::default() }
}

pub fn admin(command: Command) -> Envelope {
    envelope(ADMIN, command)
}

/// [`USER`] sends a rose, under a new key each time.
pub fn rose() -> Envelope {
    rose_of(USER)
}

pub fn rose_of(sender: PersonId) -> Envelope {
    let price_seen_milli = ROSE_MILLI;
    envelope(sender, Command::from(SendGift { sender, host: HOST, gift: ROSE, call: None, price_seen_milli }))
}

pub fn coins(user: PersonId, amount_milli: i64) -> Command {
    let account = Account::UserPurchased(user);
    Command::from(PostAdjustment {
        account,
        amount_milli,
        reason: "goodwill".to_owned(),
        note: None,
        settles: None,
    })
}

pub fn rate(host: PersonId) -> Command {
    Command::from(SetHostRate { host, medium: Medium::Video, price_milli_per_minute: Some(6_000) })
}

pub fn commission(host_bps: u32) -> Command {
    let scope = CommissionScope::Global;
    Command::from(SetCommissionRate { scope, host_bps, agency_bps: 0, effective_from: None })
}

/// An event as a node with a fault would write it: coins for `user`, with these postings.
pub fn foreign_coins(user: PersonId, number: u128, amount_milli: i64, postings: Vec<Posting>) -> NewEvent {
    let event: Event = AdjustmentPosted {
        adjustment: AdjustmentId(Uuid::from_u128(number)),
        account: Account::UserPurchased(user),
        amount_milli,
        reason: "goodwill".to_owned(),
        note: None,
        lot: Some(LotId(Uuid::from_u128(number))),
        draws: vec![],
        settles: None,
        postings,
    }
    .into();
    foreign(&event, number, (0, 1))
}

/// `event` as the one of this place in a unit of so many.
pub fn foreign(event: &Event, number: u128, (index, count): (u32, u32)) -> NewEvent {
    let metadata = Metadata {
        schema_version: SCHEMA_VERSION,
        recorded_at: START,
        command_id: CommandId(Uuid::from_u128(number)),
        request_hash: RequestHash([0; 16]),
        remembered_for: RememberedFor::Ever,
        index,
        count,
        actor: Actor::Person(ADMIN),
        payer: None,
        correlation: event.correlation(),
    };
    NewEvent {
        id: Uuid::from_u128(0xf0e1 << 64 | number << 8 | u128::from(index)),
        kind: event.kind().to_owned(),
        data: event.encode(),
        metadata: metadata.encode(),
    }
}

pub fn leg(account: Account, amount: i64) -> Posting {
    Posting { account, asset: Asset::COIN, amount }
}

/// The legs that belong to coins for `user`.
pub fn coin_legs(user: PersonId, amount: i64) -> Vec<Posting> {
    vec![leg(Account::PlatformAdjustments, amount), leg(Account::UserPurchased(user), -amount)]
}
