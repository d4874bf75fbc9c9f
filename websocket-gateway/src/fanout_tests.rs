use super::*;
use crate::line::{Frames, Line};
use crate::protocol::Close;
use crate::registry::Seat;
use event_store::MemoryStore;
use ledger_core::command::{
    EndCall, GrantBonus, PauseCall, ResumeCall, SendGift, SetGiftPrice, SetHostRate, StartCall, TickCall,
};
use ledger_core::event::{BonusOrigin, PauseCause};
use ledger_core::{
    Actor, CallId, Command, Ending, Envelope, GiftId, JournalId, Key, Medium, Policy, Timestamp,
};
use ledger_runtime::Clock;
use platform::identity::{Caller, Role, SessionId};
use platform::push::News;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

const USER: PersonId = PersonId(Uuid::from_u128(1));
const HOST: PersonId = PersonId(Uuid::from_u128(2));
const STRANGER: PersonId = PersonId(Uuid::from_u128(3));
const CALL: CallId = CallId(Uuid::from_u128(10));
const GIFT: GiftId = GiftId(Uuid::from_u128(11));
const START: Timestamp = Timestamp(1_767_225_600_000);

/// A ledger in memory, the fan-out beside it, and a socket for each person.
struct World {
    ledger: Ledger,
    writer: tokio::task::JoinHandle<()>,
    clock: watch::Sender<Timestamp>,
    registry: Arc<Registry>,
    changes: mpsc::Receiver<Change>,
    user: Socket,
    host: Socket,
    stranger: Socket,
    commands: u32,
}

struct Socket {
    frames: Frames,
    _seat: Seat,
}

fn caller(person: PersonId) -> watch::Sender<Caller> {
    watch::Sender::new(Caller {
        person,
        session: SessionId(person.0),
        roles: vec![Role::User],
        expires_at: START.to_utc(),
    })
}

/// The database is away, so everybody's card is blank.
fn nobody_s_cards() -> Cards {
    let options = sqlx::postgres::PgPoolOptions::new().acquire_timeout(Duration::from_millis(1));
    Cards::new(options.connect_lazy("postgres://nobody@127.0.0.1:9/nothing").expect("an address"))
}

impl Socket {
    fn open(registry: &Arc<Registry>, person: PersonId) -> Socket {
        let (line, frames) = Line::new(64);
        Socket { frames, _seat: registry.open(caller(person), line) }
    }

    /// The pushes up to and including the first that is called `name`.
    async fn until(&mut self, name: &str) -> Vec<Value> {
        let mut heard: Vec<Value> = Vec::new();
        while heard.last().is_none_or(|last| last["type"] != name) {
            let frame = tokio::time::timeout(Duration::from_secs(10), self.frames.next()).await;
            let frame = frame.unwrap_or_else(|_| panic!("no {name} after {heard:#?}"));
            heard.push(serde_json::from_str(&frame).expect("JSON"));
        }
        heard
    }

    async fn next(&mut self, name: &str) -> Value {
        self.until(name).await.pop().expect("at least one")
    }
}

impl World {
    async fn new(warning_seconds: u32) -> World {
        let (clock, face) = Clock::manual(START);
        let journal = JournalId(Uuid::from_u128(99));
        let (ledger, writer) = Ledger::open(Arc::new(MemoryStore::new()), face, journal, |_, _| {})
            .await
            .expect("an empty store");
        let (changes_in, changes) = mpsc::channel(64);
        let registry = Registry::new(changes_in, 8);
        let (_, warning) = watch::channel(warning_seconds);
        let news =
            JournalNews::new(ledger.clone(), nobody_s_cards(), registry.clone(), Offset::default(), warning);
        let mut follower = ledger.follow();
        tokio::spawn(async move { news.run(&mut follower).await });
        let [user, host, stranger] = [USER, HOST, STRANGER].map(|it| Socket::open(&registry, it));
        World { ledger, writer, clock, registry, changes, user, host, stranger, commands: 0 }
    }

    async fn give(&mut self, command: Command) -> u64 {
        self.commands += 1;
        let key = Key::Natural(self.commands.to_string());
        let envelope = Envelope { actor: Actor::System, key, command, policy: Policy::default() };
        self.ledger.execute(envelope).await.expect("accepted").revision
    }

    /// The user has `coins_milli`, the host takes 60 coins a minute: 10 for each increment.
    async fn in_a_call(warning_seconds: u32, coins_milli: i64) -> (World, u64) {
        let mut world = World::new(warning_seconds).await;
        world.grant(coins_milli).await;
        let price = 60_000;
        let (host, medium) = (HOST, Medium::Voice);
        world.give(Command::from(SetHostRate { host, medium, price_milli_per_minute: Some(price) })).await;
        let start = Command::from(StartCall {
            call: CALL,
            payer: USER,
            host,
            medium,
            price_seen_milli_per_minute: price,
        });
        let revision = world.give(start).await;
        (world, revision)
    }

    async fn grant(&mut self, coins_milli: i64) {
        let origin = BonusOrigin::Promotion;
        self.give(Command::from(GrantBonus { user: USER, origin, coins_milli, valid_seconds: None })).await;
    }

    async fn tick(&mut self, number: u32) -> u64 {
        self.clock.send_replace(START.plus_seconds((number - 1) * 10));
        self.give(Command::from(TickCall { call: CALL, number, last_seen: Some(Timestamp(i64::MAX)) })).await
    }
}

#[tokio::test]
async fn a_tick_tells_the_payer_what_is_left_and_the_host_what_was_earned() {
    let (mut world, revision) = World::in_a_call(0, 45_000).await;
    let told = world.user.until("call:ticked").await;
    let names: Vec<&Value> = told.iter().map(|it| &it["type"]).collect();
    assert_eq!(names, ["wallet:updated", "call:started", "call:ticked"]);
    // The unit is CallStarted, CallTicked, CommissionSplit.
    assert_eq!((&told[1]["offset"], &told[2]["offset"]), (&json!(revision - 2), &json!(revision - 1)));
    let tick = &told[2]["data"];
    assert_eq!(
        *tick,
        json!({"call": CALL, "number": 1, "asset": "COIN/3", "charge_milli": 10_000,
            "charged_total_milli": 10_000, "seconds_paid": 10, "spendable_left_milli": 35_000, "seconds_left": 40})
    );
    let wallet = world.user.next("wallet:updated").await;
    assert_eq!((&wallet["offset"], &wallet["data"]["spendable_milli"]), (&json!(revision), &json!(35_000)));

    let tick = world.host.next("call:ticked").await["data"].take();
    assert_eq!(
        tick,
        json!({"call": CALL, "number": 1, "asset": "COIN/3", "charge_milli": 10_000,
            "charged_total_milli": 10_000, "seconds_paid": 10, "earned_milli": 5_000})
    );
    let wallet = world.host.next("wallet:updated").await["data"].take();
    assert_eq!((&wallet["earnings_milli"], &wallet["withdrawable_milli"]), (&json!(5_000), &json!(5_000)));
    assert!(world.stranger.frames.try_next().is_none(), "somebody else heard");
}

#[tokio::test]
async fn the_payer_alone_is_warned_once_before_the_coins_run_out() {
    let (mut world, _) = World::in_a_call(20, 45_000).await;
    world.tick(2).await;
    world.tick(3).await;
    let told = world.user.until("call:warned").await;
    let ticks: Vec<&Value> =
        told.iter().filter(|it| it["type"] == "call:ticked").map(|it| &it["data"]["seconds_left"]).collect();
    assert_eq!(ticks, [40, 30, 20], "warned at the tick that crosses");
    assert_eq!(told.last().expect("a warning")["data"], json!({"call": CALL, "seconds_left": 20}));

    world.tick(4).await;
    world.give(Command::from(EndCall { call: CALL, by: Ending::Participant(USER) })).await;
    let rest = world.user.until("call:ended").await;
    assert!(rest.iter().all(|it| it["type"] != "call:warned"), "{rest:#?}");
    let end = &rest.last().expect("an end")["data"];
    assert_eq!((&end["reason"], &end["ended_by"]), (&json!("hung_up"), &json!(USER)));
    assert_eq!(end["charged_total_milli"], 40_000);
    let told = world.host.until("call:ended").await;
    assert!(told.iter().all(|it| it["type"] != "call:warned"), "{told:#?}");
}

#[tokio::test]
async fn a_gift_in_a_call_can_be_what_brings_the_warning() {
    let (mut world, _) = World::in_a_call(20, 60_000).await;
    world.user.until("call:ticked").await;
    world.give(Command::from(SetGiftPrice { gift: GIFT, price_milli: Some(45_000) })).await;
    let (sender, host, gift) = (USER, HOST, GIFT);
    let gift = Command::from(SendGift { sender, host, gift, call: Some(CALL), price_seen_milli: 45_000 });
    world.give(gift).await;
    let told = world.user.until("call:warned").await;
    assert_eq!(told.last().expect("a warning")["data"]["seconds_left"], 10);
    let sent = told.iter().find(|it| it["type"] == "gift:sent").expect("the sender hears too");
    assert!(sent["data"]["earned_milli"].is_null());
    let sent = world.host.next("gift:sent").await["data"].take();
    assert_eq!((&sent["price_milli"], &sent["earned_milli"]), (&json!(45_000), &json!(22_500)));
}

#[tokio::test]
async fn a_pause_and_a_return_are_told_and_presence_hears_of_start_and_end() {
    let (mut world, _) = World::in_a_call(0, 60_000).await;
    world.clock.send_replace(START.plus_seconds(3));
    world
        .give(Command::from(PauseCall {
            call: CALL,
            cause: PauseCause::Disconnected,
            last_seen: Some(START.plus_seconds(3)),
        }))
        .await;
    world.give(Command::from(ResumeCall { call: CALL })).await;
    world.give(Command::from(EndCall { call: CALL, by: Ending::Admin(STRANGER) })).await;
    let told = world.host.until("call:ended").await;
    let paused = told.iter().find(|it| it["type"] == "call:paused").expect("paused");
    assert_eq!(
        (&paused["data"]["connected_ms"], &paused["data"]["cause"]),
        (&json!(3_000), &json!("disconnected"))
    );
    assert!(told.iter().any(|it| it["type"] == "call:resumed"));
    assert_eq!(told.last().expect("an end")["data"]["reason"], "stopped");
    let mut heard = Vec::new();
    while heard.last() != Some(&Change::CallEnded { payer: USER, host: HOST }) {
        heard.push(world.changes.recv().await.expect("a change"));
    }
    let came = [USER, HOST, STRANGER].map(Change::Came);
    assert_eq!(heard[..3], came);
    assert_eq!(heard[3], Change::CallStarted { payer: USER, host: HOST });
}

#[tokio::test]
async fn the_news_of_many_commands_come_in_the_order_of_the_journal() {
    let mut world = World::new(0).await;
    for _ in 0..20 {
        world.grant(1_000).await;
    }
    let mut offsets = Vec::new();
    let mut spendable = Value::Null;
    while spendable != 20_000 {
        let wallet = world.user.next("wallet:updated").await;
        offsets.push(wallet["offset"].as_u64().expect("an offset"));
        spendable = wallet["data"]["spendable_milli"].clone();
    }
    assert!(offsets.is_sorted(), "{offsets:?}");
}

#[tokio::test]
async fn what_people_have_is_told_without_asking_the_ledger_again() {
    let (mut world, _) = World::in_a_call(0, 45_000).await;
    world.user.next("call:ticked").await;
    world.user.next("wallet:updated").await;
    world.tick(2).await;
    // Nobody has been told of the tick yet, and the ledger answers nobody from here on.
    world.writer.abort();
    let told = world.user.until("wallet:updated").await;
    let names: Vec<&Value> = told.iter().map(|it| &it["type"]).collect();
    assert_eq!(names, ["call:ticked", "wallet:updated"]);
    let tick = &told[0]["data"];
    assert_eq!((&tick["spendable_left_milli"], &tick["seconds_left"]), (&json!(25_000), &json!(30)));
    assert_eq!(told[1]["data"]["spendable_milli"], 25_000);
}

#[tokio::test]
async fn somebody_who_does_not_read_holds_up_nobody() {
    let mut world = World::new(0).await;
    let (line, _unread) = Line::new(1);
    let closing = line.closer.clone();
    let _seat = world.registry.open(caller(USER), line);
    for granted in 1..=5 {
        world.grant(1_000).await;
        while world.user.next("wallet:updated").await["data"]["spendable_milli"] != granted * 1_000 {}
    }
    assert_eq!(closing.reason(), Some(Close::SLOW_READER));
}

#[tokio::test]
async fn what_comes_over_the_bus_reaches_the_people_named_and_has_no_offset() {
    let (changes, _heard) = mpsc::channel(8);
    let registry = Registry::new(changes, 8);
    let mut host = Socket::open(&registry, HOST);
    let mut user = Socket::open(&registry, USER);
    let bus = platform::push::Bus::alone();
    let mut heard = bus.listen();
    tokio::spawn(async move { pass_on(&mut heard, registry).await });
    let moment = START.to_utc();
    let ring = platform::calls::Ring {
        call: CALL.0,
        payer: USER.0,
        host: HOST.0,
        medium: "voice".to_owned(),
        price_milli_per_minute: 60_000,
        status: "ringing".to_owned(),
        failure: None,
        created_at: moment,
        expires_at: moment,
        decided_at: None,
    };
    let other = platform::identity::PersonCard::blank(USER.0);
    bus.send(&[HOST], News::Rings(platform::calls::SeenRing { ring, other }));
    bus.send(&[HOST], News::Answered { call: CALL, accepted: false });
    bus.send(&[HOST], News::RingEnded { call: CALL, reason: "missed".into() });
    // A client that compared offsets would take a ring for old news under that of an earlier event.
    let invite = host.next("call:invited").await;
    let data = json!({"call": CALL, "payer": USER, "host": HOST, "medium": "voice",
        "price_milli_per_minute": 60_000, "expires_at": "2026-01-01T00:00:00.000Z",
        "other": {"person": USER, "name": null, "avatar_url": null}});
    assert_eq!(invite, json!({"type": "call:invited", "data": data}));
    let answer = host.next("call:answered").await;
    assert_eq!(answer, json!({"type": "call:answered", "data": {"call": CALL, "accepted": false}}));
    let end = host.next("call:ended").await;
    assert_eq!(end, json!({"type": "call:ended", "data": {"call": CALL, "reason": "missed"}}));
    assert!(user.frames.try_next().is_none(), "somebody else heard");
}
