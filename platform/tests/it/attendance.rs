//! Who is connected to which of several nodes.

use crate::{prefix, redis};
use event_store::{EventStore, MemoryStore};
use ledger_core::command::{GrantBonus, SetHostRate, StartCall};
use ledger_core::event::{BonusOrigin, PauseCause};
use ledger_core::{
    Actor, CallId, Command, Envelope, Event, JournalId, Key, Medium, PersonId, Policy, Timestamp,
};
use ledger_runtime::{Clock, Follower, Ledger};
use platform::attendance::Attendance;
use platform::identity::Role;
use platform::shared_redis::SharedRedis;
use std::sync::Arc;
use tokio::sync::watch;
use uuid::Uuid;

const START: Timestamp = Timestamp(1_767_225_600_000);
const USER: PersonId = PersonId(Uuid::from_u128(1));
const HOST: PersonId = PersonId(Uuid::from_u128(2));

struct Node {
    ledger: Ledger,
    attendance: Attendance,
    clock: watch::Sender<Timestamp>,
}

impl Node {
    async fn on(store: &Arc<dyn EventStore>, redis: &SharedRedis) -> Node {
        let (clock, face) = Clock::manual(START);
        let journal = JournalId(Uuid::from_u128(9));
        let (ledger, _writer) = Ledger::open(store.clone(), face, journal, |_, _| {}).await.unwrap();
        let attendance = Attendance::shared(ledger.clone(), redis.clone());
        Node { ledger, attendance, clock }
    }

    async fn give(&self, key: &str, command: Command) {
        let key = Key::Natural(key.to_owned());
        let envelope = Envelope { actor: Actor::System, key, command, policy: Policy::default() };
        self.ledger.execute(envelope).await.unwrap();
    }

    async fn start_call(&self) {
        let (origin, medium) = (BonusOrigin::Promotion, Medium::Voice);
        let bonus = GrantBonus { user: USER, origin, coins_milli: 1_000_000, valid_seconds: None };
        self.give("bonus", bonus.into()).await;
        let rate = SetHostRate { host: HOST, medium, price_milli_per_minute: Some(60_000) };
        self.give("rate", rate.into()).await;
        let call = CallId(Uuid::from_u128(3));
        let start = StartCall { call, payer: USER, host: HOST, medium, price_seen_milli_per_minute: 60_000 };
        self.give("start", start.into()).await;
    }

    fn both(&self) -> bool {
        self.attendance.sides(USER, HOST).both
    }
}

/// The payer at one node, the host at the other.
async fn two_nodes() -> (Node, Node, String) {
    let (store, prefix): (Arc<dyn EventStore>, _) = (Arc::new(MemoryStore::new()), prefix());
    let redis = SharedRedis::new(redis().await, &prefix);
    let nodes = (Node::on(&store, &redis).await, Node::on(&store, &redis).await);
    nodes.0.start_call().await;
    (nodes.0, nodes.1, prefix)
}

async fn exchange(nodes: [&Node; 2]) {
    // Each tells, then each has seen what the other told.
    for node in [nodes[0], nodes[1], nodes[0]] {
        node.attendance.exchange().await;
    }
}

#[tokio::test]
async fn the_sides_of_a_call_may_be_at_two_nodes_and_come_and_go() {
    let (one, two, _) = two_nodes().await;
    let payer = one.attendance.attend(USER, &[Role::User]);
    let host = two.attendance.attend(HOST, &[Role::User, Role::Host]);
    assert!(!one.both() && !two.both(), "nobody has told yet");
    exchange([&one, &two]).await;
    assert!(one.both() && two.both());
    assert!(one.attendance.is_connected_anywhere(HOST, Role::Host).await);
    let stranger = PersonId(Uuid::from_u128(4));
    assert!(!one.attendance.is_connected_anywhere(stranger, Role::User).await);

    host.set_roles(&[Role::User]);
    exchange([&two, &one]).await;
    assert!(!one.both(), "a side is there in its role alone");
    host.set_roles(&[Role::User, Role::Host]);
    for node in [&one, &two] {
        node.clock.send_replace(START.plus_seconds(7));
    }
    host.seen();
    exchange([&two, &one]).await;
    assert!(one.both());
    assert_eq!(one.attendance.last_seen(HOST), Some(START.plus_seconds(7)));

    drop(payer);
    exchange([&one, &two]).await;
    assert!(!two.both());
    drop(host);
}

#[tokio::test]
async fn a_redis_that_has_forgotten_everything_is_told_again() {
    let (one, two, prefix) = two_nodes().await;
    let _payer = one.attendance.attend(USER, &[Role::User]);
    let _host = two.attendance.attend(HOST, &[Role::Host]);
    exchange([&one, &two]).await;
    // Somebody who is in no call is told of again too.
    let idle = PersonId(Uuid::from_u128(5));
    let _idle = one.attendance.attend(idle, &[Role::User]);
    one.attendance.exchange().await;
    forget_all(&prefix).await;
    assert!(!two.attendance.is_connected_anywhere(idle, Role::User).await);
    exchange([&one, &two]).await;
    assert!(one.both() && two.both());
    assert!(two.attendance.is_connected_anywhere(idle, Role::User).await);
}

async fn forget_all(prefix: &str) {
    let mut redis = redis().await;
    let keys: Vec<String> =
        redis::cmd("KEYS").arg(format!("{prefix}*")).query_async(&mut redis).await.unwrap();
    let _: () = redis::cmd("DEL").arg(keys).query_async(&mut redis).await.unwrap();
}

#[tokio::test]
async fn the_people_of_a_node_that_is_gone_are_gone_and_their_calls_pause_as_after_an_outage() {
    let (one, two, _) = two_nodes().await;
    let kept = two.attendance.clone();
    let mut journal = two.ledger.follow();
    let _payer = one.attendance.attend(USER, &[Role::User]);
    let _host = two.attendance.attend(HOST, &[Role::Host]);
    exchange([&one, &two]).await;
    tokio::spawn(async move { kept.keep_in_step().await });
    // The first node says nothing any more.
    for node in [&one, &two] {
        node.clock.send_replace(START.plus_seconds(6));
    }
    two.attendance.exchange().await;
    assert!(!two.both());
    assert_eq!(next_pause(&mut journal).await, PauseCause::Outage);
    assert_eq!(two.attendance.last_seen(USER), Some(START), "when they were last heard of is known");

    // Back at the node that is left, and gone from there: that is no outage any more.
    two.clock.send_replace(START.plus_seconds(8));
    let back = two.attendance.attend(USER, &[Role::User]);
    until(&mut journal, |event| matches!(event, Event::CallResumed(_)).then_some(())).await;
    drop(back);
    assert_eq!(next_pause(&mut journal).await, PauseCause::Disconnected);
}

async fn next_pause(journal: &mut Follower) -> PauseCause {
    let pause = |event: &Event| match event {
        Event::CallPaused(it) => Some(it.cause),
        _ => None,
    };
    until(journal, pause).await
}

/// Follows the journal to the next event that `wanted` knows.
async fn until<T>(journal: &mut Follower, wanted: impl Fn(&Event) -> Option<T>) -> T {
    let found = async {
        loop {
            let unit = journal.next().await.unwrap().unwrap();
            if let Some(found) = unit.events().iter().find_map(|recorded| wanted(&recorded.event)) {
                return found;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), found).await.expect("it comes")
}

#[tokio::test]
async fn a_call_that_begins_with_a_side_at_another_node_goes_on() {
    let (store, redis): (Arc<dyn EventStore>, _) =
        (Arc::new(MemoryStore::new()), SharedRedis::new(redis().await, &prefix()));
    let (one, two) = (Node::on(&store, &redis).await, Node::on(&store, &redis).await);
    let _payer = one.attendance.attend(USER, &[Role::User]);
    let host = two.attendance.attend(HOST, &[Role::Host]);
    two.attendance.exchange().await;
    // The first node has looked at nobody when the call begins.
    let mut journal = one.ledger.follow();
    let kept = one.attendance.clone();
    tokio::spawn(async move { kept.keep_in_step().await });
    one.start_call().await;
    drop(host);
    two.attendance.exchange().await;
    one.attendance.exchange().await;
    let until_paused = async {
        let mut kinds = Vec::new();
        while kinds.last() != Some(&"CallPaused") {
            let unit = journal.next().await.unwrap().unwrap();
            kinds.extend(unit.events().iter().map(|recorded| recorded.event.kind()));
        }
        kinds
    };
    let kinds =
        tokio::time::timeout(std::time::Duration::from_secs(10), until_paused).await.expect("it pauses");
    assert!(!kinds.contains(&"CallResumed"), "it was paused once, when the host went: {kinds:?}");
}
