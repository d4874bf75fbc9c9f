//! A command that is sent again.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::event::CommissionScope::Global;
use ledger_core::*;

/// A money path: its name, a world that it works in, the command, and another content.
type Path = (&'static str, fn() -> World, fn(&World) -> Command, fn(&World) -> Command);

fn purchase_of(world: &World) -> PurchaseId {
    world.last(|event| match event {
        Event::PurchaseOpened(it) => Some(it.purchase),
        _ => None,
    })
}

fn withdrawal_of(world: &World) -> WithdrawalId {
    world.last(|event| match event {
        Event::WithdrawalRequested(it) => Some(it.withdrawal),
        _ => None,
    })
}

fn ordered() -> World {
    let mut world = World::new();
    world.given(plan(100_000, 5_000, None));
    world.order(USER);
    world
}

fn requested() -> World {
    let mut world = World::with_earnings(50_000);
    world.request_withdrawal(20_000);
    world
}

fn approved() -> World {
    let mut world = requested();
    let id = withdrawal_of(&world);
    world.given(approve(id));
    world
}

fn bought() -> World {
    World::with_coins(100_000)
}

#[rustfmt::skip]
fn paths() -> Vec<Path> {
    vec![
        ("order", World::new,
            |_| Command::from(OpenPurchase { user: USER, plan: PLAN, gateway: Gateway::Razorpay }),
            |_| Command::from(OpenPurchase { user: OTHER, plan: PLAN, gateway: Gateway::Razorpay })),
        ("capture", ordered, |w| capture(Some(purchase_of(w)), "pay", 10_000), |w| capture(Some(purchase_of(w)), "pay", 9_999)),
        ("unmatched capture", World::new, |_| capture(None, "pay", 10_000), |_| capture(None, "pay", 9_999)),
        ("failed payment", ordered, |w| fail(purchase_of(w), "pay"), |w| fail(purchase_of(w), "other")),
        ("refund", bought, |w| refund(purchase_of(w), "r", 10), |w| refund(purchase_of(w), "r", 11)),
        ("reported refund", bought, |w| refund_reported(Some(purchase_of(w)), "r", 10), |_| refund_reported(None, "r", 10)),
        ("bonus", World::new, |_| grant(USER, 10, None), |_| grant(USER, 10, Some(9))),
        ("plan", World::new, |_| plan(1, 0, None), |_| plan(2, 0, None)),
        ("host's rate", World::new, |_| host_rate(HOST, Some(7)), |_| host_rate(HOST, None)),
        ("gift's price", World::new,
            |_| Command::from(SetGiftPrice { gift: ROSE, price_milli: Some(7) }),
            |_| Command::from(SetGiftPrice { gift: ROSE, price_milli: None })),
        ("commission", World::new, |_| commission(Global, 1, 2), |_| commission(Global, 2, 1)),
        ("call", bought, |_| start(), |_| start_as(CALL, USER, HOST, 10_001)),
        ("gift", bought, |_| rose(), |_| gift(USER, OTHER_HOST, None, 5_000)),
        ("withdrawal", || World::with_earnings(50_000), |_| withdraw(HOST, 5_000), |_| withdraw(HOST, 5_001)),
        ("approval", requested, |w| approve(withdrawal_of(w)), |_| approve(WithdrawalId(uuid::Uuid::nil()))),
        ("rejection", requested, |w| reject(withdrawal_of(w)),
            |w| Command::from(RejectWithdrawal { withdrawal: withdrawal_of(w), reason: "other".to_owned() })),
        ("cancellation", requested, |w| cancel(withdrawal_of(w), HOST), |w| cancel(withdrawal_of(w), USER)),
        ("payout", approved, |w| paid(withdrawal_of(w)),
            |w| Command::from(MarkWithdrawalPaid { withdrawal: withdrawal_of(w), payout_ref: "other".to_owned() })),
        ("failed payout", approved, |w| payout_failed(withdrawal_of(w)),
            |w| Command::from(FailWithdrawal { withdrawal: withdrawal_of(w), reason: "other".to_owned() })),
        ("sent payout", approved, |w| sent(withdrawal_of(w)), |w| sent_as(withdrawal_of(w), "other")),
        ("payout rate", World::new, |_| payout_rate("0.5"), |_| payout_rate("0.6")),
        ("tax", World::new, |_| tax(1), |_| tax(2)),
        ("adjustment", World::new, |_| adjust(Account::UserBonus(USER), 10), |_| adjust(Account::UserBonus(USER), -10)),
    ]
}

#[test]
fn each_money_path_twice_is_once() {
    for (name, world, command, other) in paths() {
        println!("{name}");
        let mut world = world();
        let (command, other) = (command(&world), other(&world));
        let sent = Envelope { key: key_of(START, 77_000), ..world.envelope(command) };
        let (events, revision) = world.send(&sent).expect("accepted");
        assert!(!events.is_empty());
        let hash = world.state.hash();
        for seconds in [0, 5, 86_400] {
            world.at(seconds);
            assert_eq!(world.send(&sent), Ok((vec![], revision)), "the first receipt again at {seconds} s");
        }
        world.at(0).refuse_sent(&Envelope { command: other, ..sent.clone() }, Rejection::KeyReused);
        // A change of the platform's settings makes no other request of it.
        let mut policy = sent.policy.clone();
        policy.increment_seconds = 0;
        policy.minimum_withdrawal_milli = i64::MAX;
        assert_eq!(world.send(&Envelope { policy, ..sent.clone() }), Ok((vec![], revision)));
        assert_eq!(world.state.hash(), hash);
        world.at_ms(DAY_MS + 1).refuse_sent(&sent, Rejection::KeyExpired);
    }
}

#[test]
fn a_key_is_good_to_the_end_of_its_24_hours_and_from_5_minutes_ahead() {
    let accepted = |age_ms: i64| {
        let mut world = World::with_coins(100_000);
        let envelope = Envelope { key: key_of(START.plus_ms(-age_ms), 5), ..world.envelope(rose()) };
        world.send(&envelope).map(|_| ())
    };
    assert_eq!(accepted(DAY_MS), Ok(()));
    assert_eq!(accepted(DAY_MS + 1), Err(Rejection::KeyExpired));
    assert_eq!(accepted(-5 * 60_000), Ok(()));
    assert_eq!(accepted(-5 * 60_000 - 1), Err(Rejection::KeyInFuture));
}

#[test]
fn time_is_the_journals_where_a_clock_is_behind() {
    let mut world = World::with_coins(100_000);
    let sent = Envelope { key: key_of(START, 5), ..world.envelope(rose()) };
    world.send(&sent).expect("accepted");
    world.at_ms(DAY_MS + 1).given(rose());
    // The clock falls back: the key stays expired, and what happens now is dated after the last event.
    world.at(0).refuse_sent(&sent, Rejection::KeyExpired);
    world.policy.earnings_hold_seconds = 0;
    let envelope = Envelope { key: key_of(START.plus_ms(DAY_MS), 6), ..world.envelope(rose()) };
    world.send(&envelope).expect("accepted");
    assert_eq!(world.journal.last().expect("an event").metadata.recorded_at, START.plus_ms(DAY_MS + 1));
}

#[test]
fn any_text_is_a_key_and_is_good_for_a_day_from_when_it_was_first_taken() {
    let keys = ["x", "order 4711 | gift:send", &"k".repeat(255), "b6a0c1a2-1111-4222-8333-944455556666"];
    for text in keys {
        println!("{text}");
        let key = || Key::Client(text.parse().expect("a key"));
        let mut world = World::with_coins(100_000);
        world.at(60);
        let sent = Envelope { key: key(), ..world.envelope(rose()) };
        let (_, revision) = world.send(&sent).expect("accepted");
        for ms in [60_000, 61_000, 60_000 + DAY_MS] {
            world.at_ms(ms);
            assert_eq!(world.send(&sent), Ok((vec![], revision)), "the first receipt again at {ms} ms");
        }
        let other = Envelope { key: key(), ..world.envelope(gift(USER, OTHER_HOST, None, 5_000)) };
        world.refuse_sent(&other, Rejection::KeyReused);
        // After its day the key is forgotten, and is as good as new.
        world.at_ms(60_001 + DAY_MS);
        let (events, second) = world.send(&other).expect("accepted");
        assert!(!events.is_empty() && second > revision);
        assert_eq!(world.send(&other), Ok((vec![], second)));
    }
}

/// Ids derive from commands, and commands from keys: a purchase of another day under the key of an old one is another
/// purchase.
#[test]
fn what_a_free_key_makes_on_another_day_is_another_thing() {
    let key = || Key::Client("again".parse().expect("a key"));
    let mut world = World::with_earnings(50_000);
    world.given(plan(100_000, 5_000, None)).given(grant(USER, 50_000, None));
    let commands = || {
        [
            Command::from(OpenPurchase { user: USER, plan: PLAN, gateway: Gateway::Razorpay }),
            withdraw(HOST, 2_000),
            grant(USER, 10, None),
            rose(),
            adjust(Account::UserBonus(USER), 10),
        ]
    };
    let mut seen = std::collections::BTreeSet::new();
    // Each day a moment later, so that the day before is over; the retry is most of a day later.
    for day in 0..4 {
        let at = 1_000 + day * (DAY_MS + 1);
        for command in commands() {
            world.at_ms(at);
            let sent = Envelope { key: key(), ..world.envelope(command) };
            let (events, revision) = world.send(&sent).expect("accepted");
            assert!(!events.is_empty(), "day {day}: {:?}", sent.command);
            let id = world.journal.last().expect("an event").metadata.command_id;
            assert!(seen.insert(id), "day {day}: {:?} has an id of its own", sent.command);
            for later in [1, DAY_MS - 6_400_000, DAY_MS - 1] {
                let Ok(Decision::Duplicate { command_id, revision: known }) =
                    decide(&world.state, START.plus_ms(at + later), &sent)
                else {
                    panic!("day {day}, {later} ms later: {:?} is a retry", sent.command)
                };
                assert_eq!((command_id, known), (id, revision));
            }
        }
    }
    assert_eq!(seen.len(), 20);
}

#[test]
fn a_key_is_1_to_255_printable_characters_and_one_uuid_in_any_spelling() {
    let longest = "k".repeat(255);
    for (text, same) in [
        ("x", "x"),
        (" padded ", "padded"),
        (&longest, &longest),
        ("018F3B2C-7E4D-7A6B-8C5D-1E2F3A4B5C6D", "018f3b2c-7e4d-7a6b-8c5d-1e2f3a4b5c6d"),
        ("018f3b2c7e4d7a6b8c5d1e2f3a4b5c6d", "018f3b2c-7e4d-7a6b-8c5d-1e2f3a4b5c6d"),
        ("{B6A0C1A2-1111-4222-8333-944455556666}", "b6a0c1a2-1111-4222-8333-944455556666"),
    ] {
        let key: ClientKey = text.parse().expect("a key");
        assert_eq!(key.to_string(), same);
        assert_eq!(key.made_at().is_some(), same.starts_with("018f3b2c-7e4d-7"), "{text}");
    }
    for text in ["", "   ", &"k".repeat(256), "tab\there", "nul\0", "\u{7f}", "schlüssel"] {
        assert_eq!(text.parse::<ClientKey>(), Err(Rejection::KeyInvalid), "{text:?}");
    }
}

#[test]
fn what_is_taken_back_under_a_free_key_was_never_there() {
    let mut world = World::with_coins(100_000);
    let before = world.state.clone();
    let sent = Envelope { key: Key::Client("again".parse().expect("a key")), ..world.envelope(rose()) };
    world.send(&sent).expect("accepted");
    let first = before.revision().expect("a revision") + 1;
    world.state.undo_from(first);
    assert_eq!(world.state.hash(), before.hash());
    assert!(matches!(decide(&world.state, START, &sent), Ok(Decision::Append(_))));
}

#[test]
fn one_key_of_two_people_or_for_two_operations_is_two_commands() {
    let mut world = World::with_coins(100_000);
    world.given(grant(OTHER, 50_000, None));
    let key = key_of(START, 9);
    let mut revisions = vec![];
    for command in [rose(), gift(OTHER, HOST, None, 5_000), withdraw(HOST, 2_000), start()] {
        let envelope = Envelope { key: key.clone(), ..world.envelope(command) };
        let (events, revision) = world.send(&envelope).expect("accepted");
        assert!(!events.is_empty());
        revisions.push(revision);
    }
    assert!(revisions.is_sorted_by(|a, b| a < b));
}

#[test]
fn a_rejection_is_not_remembered() {
    let mut world = World::new();
    let sent = world.envelope(rose());
    world.refuse_sent(&sent, Rejection::InsufficientFunds { needed_milli: 5_000, spendable_milli: 0 });
    world.given(grant(USER, 5_000, None));
    assert!(!world.send(&sent).expect("accepted").0.is_empty());
}

#[test]
fn what_a_command_creates_has_the_same_id_at_each_retry() {
    let world = ordered();
    let mut first = world.clone();
    let sent = first.envelope(rose());
    let order = Envelope {
        command: Command::from(OpenPurchase { user: USER, plan: PLAN, gateway: Gateway::Razorpay }),
        ..sent
    };
    let (mut one, mut two) = (world.clone(), world);
    two.at(60);
    assert_eq!(one.send(&order), two.send(&order), "decided twice, on two nodes: the same purchase");
}

#[test]
fn metadata_says_who_paid_where_another_acted_and_what_belongs_together() {
    let mut world = World::with_coins(100_000);
    world.given(start());
    let unit: Vec<_> = world.journal.iter().rev().take(3).rev().map(|it| it.metadata.clone()).collect();
    assert_eq!(unit.iter().map(|it| (it.index, it.count)).collect::<Vec<_>>(), [(0, 3), (1, 3), (2, 3)]);
    assert_eq!(unit.iter().map(Metadata::closes_unit).collect::<Vec<_>>(), [false, false, true]);
    for it in unit {
        assert_eq!((it.actor, it.payer), (Actor::Person(HOST), Some(USER)));
        assert_eq!((it.correlation, it.schema_version), (Some(CALL.0), SCHEMA_VERSION));
    }
    world.given(rose());
    let gift = &world.journal.last().expect("an event").metadata;
    assert_eq!((gift.actor, gift.payer), (Actor::Person(USER), None));
}
