//! One node alone: who is there, and what that means for a call.

use super::*;
use event_store::MemoryStore;
use ledger_core::command::{GrantBonus, SetHostRate, StartCall};
use ledger_core::event::BonusOrigin;
use ledger_core::{Actor, CallId, Command, Envelope, Event, JournalId, Key, Medium, Policy};
use ledger_runtime::{Clock, Follower};
use tokio::sync::watch;
use uuid::Uuid;

const START: Timestamp = Timestamp(1_767_225_600_000);
const USER: PersonId = PersonId(Uuid::from_u128(1));
const HOST: PersonId = PersonId(Uuid::from_u128(2));
const CALL: CallId = CallId(Uuid::from_u128(3));

struct World {
    ledger: Ledger,
    clock: watch::Sender<Timestamp>,
    attendance: Attendance,
}

impl World {
    async fn new() -> World {
        let (clock, face) = Clock::manual(START);
        let journal = JournalId(Uuid::from_u128(9));
        let opened = Ledger::open(Arc::new(MemoryStore::new()), face, journal, |_, _| {}).await;
        let (ledger, _writer) = opened.expect("a new journal");
        let attendance = Attendance::alone(ledger.clone());
        let kept = attendance.clone();
        tokio::spawn(async move { kept.keep_in_step().await });
        World { ledger, clock, attendance }
    }

    fn after(&self, seconds: u32) -> Timestamp {
        let now = START.plus_seconds(seconds);
        self.clock.send_replace(now);
        now
    }

    async fn give(&self, key: &str, command: Command) {
        let key = Key::Natural(key.to_owned());
        let envelope = Envelope { actor: Actor::System, key, command, policy: Policy::default() };
        self.ledger.execute(envelope).await.expect("accepted");
    }

    /// Follows the journal to the next event that `wanted` knows.
    async fn until(&self, journal: &mut Follower, wanted: impl Fn(&Event) -> bool) {
        let found = async {
            loop {
                let unit = journal.next().await.expect("readable").expect("more");
                if unit.events().iter().any(|recorded| wanted(&recorded.event)) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), found).await.expect("the event comes");
    }
}

#[tokio::test]
async fn the_last_sign_of_life_is_the_latest_of_all_sockets_and_outlives_them() {
    let world = World::new().await;
    let attendance = &world.attendance;
    assert_eq!(attendance.last_seen(USER), None);
    let phone = attendance.attend(USER, &[Role::User]);
    assert_eq!(attendance.last_seen(USER), Some(START));
    let came = world.after(3);
    let tablet = attendance.attend(USER, &[Role::User]);
    assert_eq!(attendance.last_seen(USER), Some(came));
    let spoke = world.after(5);
    phone.seen();
    world.after(9);
    assert_eq!(attendance.last_seen(USER), Some(spoke), "silence is no sign of life");
    drop(phone);
    assert!(attendance.is_connected(USER, Role::User), "the tablet is there");
    assert_eq!(attendance.last_seen(USER), Some(spoke));
    drop(tablet);
    assert!(!attendance.is_connected(USER, Role::User));
    assert_eq!(attendance.last_seen(USER), Some(spoke));

    attendance.people.forget(spoke.plus_ms(REMEMBERED_MS - 1));
    assert_eq!(attendance.last_seen(USER), Some(spoke));
    attendance.people.forget(spoke.plus_ms(REMEMBERED_MS));
    assert_eq!(attendance.last_seen(USER), None, "nothing grows with those who have gone");
    assert!(attendance.people.lock().is_empty());
}

#[tokio::test]
async fn a_clock_that_steps_back_takes_no_sign_of_life_back() {
    let world = World::new().await;
    let spoke = world.after(5);
    let socket = world.attendance.attend(USER, &[Role::User]);
    world.after(2);
    socket.seen();
    assert_eq!(world.attendance.last_seen(USER), Some(spoke));
}

#[tokio::test]
async fn whoever_has_lost_the_role_of_their_side_is_away_from_the_call() {
    let world = World::new().await;
    let (coins_milli, price) = (1_000_000, 60_000);
    let origin = BonusOrigin::Promotion;
    world
        .give("grant", Command::from(GrantBonus { user: USER, origin, coins_milli, valid_seconds: None }))
        .await;
    let rate =
        Command::from(SetHostRate { host: HOST, medium: Medium::Voice, price_milli_per_minute: Some(price) });
    world.give("rate", rate).await;
    let _payer = world.attendance.attend(USER, &[Role::User]);
    let host = world.attendance.attend(HOST, &[Role::User, Role::Host]);
    let mut journal = world.ledger.follow();
    let start = Command::from(StartCall {
        call: CALL,
        payer: USER,
        host: HOST,
        medium: Medium::Voice,
        price_seen_milli_per_minute: price,
    });
    world.give("start", start).await;
    world.after(2);
    host.set_roles(&[Role::User]);
    assert!(!world.attendance.is_connected(HOST, Role::Host));
    world.until(&mut journal, |event| matches!(event, Event::CallPaused(_))).await;
    host.set_roles(&[Role::User, Role::Host]);
    world.until(&mut journal, |event| matches!(event, Event::CallResumed(_))).await;
}
