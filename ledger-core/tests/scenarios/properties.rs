//! What holds for every story.

use crate::generator::{Step, steps, wild_steps};
use crate::world::*;
use ledger_core::calls::total_milli;
use ledger_core::command::*;
use ledger_core::commission::{shares, shares_between};
use ledger_core::event::{CommissionRule, CommissionScope, Earner, Totals};
use ledger_core::*;
use proptest::prelude::*;

/// A world in which people have coins, and a host an agency.
fn busy() -> World {
    let mut world = World::with_coins(100_000);
    world
        .given(grant(OTHER, 50_000, Some(600)))
        .given(Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }))
        .given(commission(CommissionScope::Agency(AGENCY), 5_000, 1_500))
        .given(adjust(Account::HostEarnings(OTHER_HOST), 30_000))
        .given(crate::subscriptions::short().into())
        .given(crate::orders::reading().into())
        .given(crate::orders::tenth().into());
    world.policy.earnings_hold_seconds = 30;
    world.policy.claw_back_held_earnings = true;
    world.policy.free_seconds = 7;
    world
}

/// Plays a story; every accepted command leaves the books sound ([`World::send`] checks it).
pub fn play(steps: &[Step]) -> World {
    let mut world = busy();
    for step in steps {
        let command = step.command(&mut world);
        let envelope = world.envelope(command);
        let _ = world.send(&envelope);
    }
    world
}

pub fn replay(journal: &[Recorded]) -> State {
    let (mut state, mut before) = (State::new(), None);
    for it in journal {
        let read = read_back(&mut before, it, &it.event.encode(), &it.metadata.encode());
        evolve(&mut state, &read.expect("what was recorded decodes"));
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_books_balance_whatever_happens_and_a_retry_is_a_no_op(steps in steps(60)) {
        let mut world = busy();
        for step in &steps {
            let command = step.command(&mut world);
            let envelope = world.envelope(command);
            let Ok((_, revision)) = world.send(&envelope) else { continue };
            if !matches!(envelope.key, Key::State(_)) {
                let hash = world.state.hash();
                prop_assert_eq!(world.send(&envelope), Ok((vec![], revision)));
                prop_assert_eq!(world.state.hash(), hash);
            }
        }
    }

    /// Every coin that moved in an account of earnings, but for withdrawals, is in the last version of one settlement, or
    /// waits for the next one; and what settlements have paid is what their withdrawals hold or paid out.
    #[test]
    fn what_is_settled_and_what_waits_is_what_was_earned(steps in steps(60)) {
        let world = play(&steps);
        for of in [Earner::Host(HOST), Earner::Host(OTHER_HOST), Earner::Host(USER), Earner::Agency(AGENCY)] {
            let (mut earned, mut settled, mut until) = (0, 0, 0);
            for it in &world.journal {
                let moved: i64 =
                    it.event.postings().iter().filter(|it| it.account == of.account()).map(|it| -it.amount).sum();
                match &it.event {
                    other if other.kind().starts_with("Withdrawal") => {}
                    Event::SettlementCorrected(it) if it.of == of => {
                        earned += moved;
                        settled += it.amount_milli;
                    }
                    Event::SettlementClosed(it) if it.of == of => {
                        prop_assert_eq!(it.first_revision, until, "settlements meet");
                        until = it.end_revision;
                        settled += it.net_milli;
                        let Totals { gross_milli, platform_milli, earned_milli, .. } = it.totals;
                        prop_assert_eq!(gross_milli, platform_milli + earned_milli + it.totals.others_milli());
                    }
                    _ => earned += moved,
                }
            }
            prop_assert_eq!(settled + world.state.unsettled(of).net_milli(), earned, "{:?}", of);
        }
    }

    #[test]
    fn no_content_of_a_command_panics(steps in wild_steps(60), terms in any::<[u32; 4]>(), leap in 0..4_u8) {
        let mut world = busy();
        let [increment_seconds, free_seconds, grace_seconds, earnings_hold_seconds] = terms;
        world.policy = Policy {
            increment_seconds: increment_seconds % 90_000,
            free_seconds: free_seconds % 90_000,
            grace_seconds: grace_seconds % 90_000,
            earnings_hold_seconds,
            claw_back_held_earnings: leap > 0,
            payout_asset: Asset::INR,
            minimum_withdrawal_milli: i64::from(free_seconds) - i64::from(u32::MAX / 2),
            daily_withdrawal_milli: (leap > 1).then(|| i64::from(increment_seconds) - i64::from(grace_seconds)),
            require_verified_payee: leap == 3,
            payee_verified: grace_seconds % 2 == 0,
            order_payment_seconds: free_seconds % 90_000,
        };
        if leap == 0 {
            world.now = Timestamp(i64::MAX - i64::from(grace_seconds));
        }
        for (number, step) in steps.iter().enumerate() {
            let command = step.command(&mut world);
            // Clients' keys have no such times: the key is out of the way here.
            let key = Key::Natural(format!("step {number}"));
            let _ = world.send(&Envelope { actor: Actor::System, key, command, policy: world.policy.clone() });
        }
    }

    #[test]
    fn replay_equals_live(steps in steps(60)) {
        let world = play(&steps);
        prop_assert_eq!(replay(&world.journal).hash(), world.state.hash());
    }

    #[test]
    fn undo_restores_what_stood_before_and_the_suffix_can_follow_again(
        steps in steps(60), cut in any::<prop::sample::Index>(), settled in any::<prop::sample::Index>()
    ) {
        let world = play(&steps);
        let cut = cut.index(world.journal.len()) + 1;
        let expected = replay(&world.journal[..cut]).hash();
        let mut state = world.state.clone();
        state.undo_from(cut as u64);
        prop_assert_eq!(state.hash(), expected, "nothing settled");
        // A batch becomes durable while later ones are speculative; then those are taken back.
        let mut state = world.state.clone();
        state.settle(settled.index(cut) as u64);
        prop_assert_eq!(state.hash(), world.state.hash(), "settling changes nothing");
        state.undo_from(cut as u64);
        prop_assert_eq!(state.hash(), expected, "a prefix settled");
        for it in &world.journal[cut..] {
            evolve(&mut state, it);
        }
        prop_assert_eq!(state.hash(), world.state.hash(), "the suffix again");
    }

    #[test]
    fn settling_at_any_pace_decides_alike(steps in steps(40)) {
        let mut settling = busy();
        let mut keeping = busy();
        for step in &steps {
            let command = step.command(&mut keeping);
            settling.now = keeping.now;
            let envelope = keeping.envelope(command);
            prop_assert_eq!(settling.send(&envelope), keeping.send(&envelope));
            settling.state.settle(settling.state.next_revision() - 1);
        }
        prop_assert_eq!(settling.state.hash(), keeping.state.hash());
    }
}

/// How a call is interrupted, step by step: how late a tick is, whether both sides are seen at it, and a pause
/// before it, at which nobody may know when they were last seen.
type Interruptions = Vec<(u16, bool, Option<(u16, u16, bool)>)>;

/// Runs a call for `ticks` increments and ends it. Answers charged, host's, agency's, platform's.
fn metered(
    price: i64,
    (increment_seconds, free_seconds): (u32, u32),
    rates: (u32, u32),
    ticks: u32,
    interruptions: &Interruptions,
) -> [i64; 4] {
    let mut world = World::new();
    world
        .given(grant(USER, MAX_AMOUNT, None))
        .given(host_rate(HOST, Some(price)))
        .given(Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }))
        .given(commission(CommissionScope::Host(HOST), rates.0, rates.1));
    world.policy.increment_seconds = increment_seconds;
    world.policy.free_seconds = free_seconds;
    world.policy.grace_seconds = 86_400;
    world.given(start_as(CALL, USER, HOST, price));
    let increment_ms = i64::from(increment_seconds) * 1_000;
    let call = |world: &World| world.state.call(CALL).expect("a call").clone();
    for step in 0.. {
        if call(&world).ticks == ticks {
            break;
        }
        // Increments that are given back are charged again, so in the end everybody must be seen.
        let calm = (0, true, None);
        let (late, seen, away) = interruptions.get(step).copied().unwrap_or(calm);
        if let Some((after, away, unknown)) = away {
            world.now = world.now.plus_ms(i64::from(after) % increment_ms);
            world.given(if unknown { outage() } else { pause() });
            world.now = world.now.plus_ms(i64::from(away) % 30_000);
            world.given(resume());
        }
        let due = call(&world).next_tick_at().expect("a running call");
        world.now = world.now.max(due.plus_ms(i64::from(late) % increment_ms));
        let number = call(&world).ticks + 1;
        world.given(if seen { tick(number) } else { tick_seen(number, 0) });
        if call(&world).next_tick_at().is_none() {
            // Nobody was seen for too long.
            world.given(resume());
        }
    }
    world.given(hang_up(USER));
    let sum = |pick: fn(&Event) -> Option<i64>| -> i64 {
        world.journal.iter().filter_map(|it| pick(&it.event)).sum()
    };
    let charged = MAX_AMOUNT - world.state.spendable(USER, world.now);
    let earned = -world.state.balance(Account::HostEarnings(HOST), Asset::COIN);
    let host = sum(|event| match event {
        Event::CommissionSplit(it) => Some(it.host_milli),
        Event::CallChargeReturned(it) => Some(-it.host_milli),
        _ => None,
    });
    assert_eq!(host, earned, "what the splits say is what stands in the account");
    let agency = sum(|event| match event {
        Event::CommissionSplit(it) => Some(it.agency_milli),
        Event::CallChargeReturned(it) => Some(-it.agency_milli),
        _ => None,
    });
    let platform = sum(|event| match event {
        Event::CommissionSplit(it) => Some(it.platform_milli),
        Event::CallChargeReturned(it) => Some(-it.platform_milli),
        _ => None,
    });
    [charged, earned, agency, platform]
}

fn rates() -> impl Strategy<Value = (u32, u32)> {
    (0..=10_000_u32).prop_flat_map(|host| (Just(host), 0..=10_000 - host))
}

fn rule((host_bps, agency_bps): (u32, u32)) -> CommissionRule {
    CommissionRule { scope: CommissionScope::Host(HOST), host_bps, agency_bps, agency: Some(AGENCY) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_way_of_ticking_charges_and_splits_the_same(
        price in 1..200_000_i64,
        free in 0..90_u32,
        rates in rates(),
        minutes in 1..3_u32,
        one in prop::collection::vec((any::<u16>(), any::<bool>(), any::<Option<(u16, u16, bool)>>()), 1..24),
        two in prop::collection::vec((any::<u16>(), any::<bool>(), any::<Option<(u16, u16, bool)>>()), 1..24),
        (fine, coarse) in prop::sample::select(vec![(5_u32, 60_u32), (10, 30), (12, 20), (60, 60), (6, 15)]),
    ) {
        let seconds = minutes * 60;
        let total = total_milli(price, 1, free, seconds).expect("an amount");
        let parts = shares(total, &rule(rates)).expect("an amount");
        let expected = [total, parts.host_milli, parts.agency_milli, parts.platform_milli];
        prop_assert_eq!(metered(price, (fine, free), rates, seconds / fine, &one), expected);
        prop_assert_eq!(metered(price, (coarse, free), rates, seconds / coarse, &two), expected);
    }
}

proptest! {
    #[test]
    fn shares_sum_to_the_gross_and_never_shrink(
        rates in rates(), before in 0..=MAX_AMOUNT, more in 0..=MAX_AMOUNT
    ) {
        let (rule, after) = (rule(rates), before.saturating_add(more).min(MAX_AMOUNT));
        let all = shares(after, &rule).expect("an amount");
        prop_assert_eq!(all.host_milli + all.agency_milli + all.platform_milli, after);
        let part = shares_between(before, after, &rule).expect("an amount");
        prop_assert!(part.host_milli >= 0 && part.agency_milli >= 0 && part.platform_milli >= 0);
        prop_assert_eq!(part.host_milli + part.agency_milli + part.platform_milli, after - before);
        if rates.0 == 0 { prop_assert_eq!(all.host_milli, 0) }
        if rates.0 + rates.1 == 10_000 { prop_assert_eq!(all.platform_milli, 0) }
    }

    #[test]
    fn the_total_grows_with_each_increment(
        price in 0..=MAX_AMOUNT, increment in 0..=86_400_u32, free in any::<u32>(), ticks in 0..u32::MAX
    ) {
        let total = |ticks| total_milli(price, increment, free, ticks);
        match (total(ticks), total(ticks + 1)) {
            (Some(before), Some(after)) => prop_assert!(0 <= before && before <= after),
            (None, after) => prop_assert_eq!(after, None),
            (Some(_), None) => {}
        }
    }
}

#[test]
fn time_that_is_taken_back_has_forgotten_no_key() {
    let mut world = World::with_coins(100_000);
    let sent = world.envelope(rose());
    let (_, revision) = world.send(&sent).expect("accepted");
    // A day later something is decided; before it is durable the first becomes final, and then
    // another node turns out to have written instead.
    world.at_ms(DAY_MS + HOUR_MS).given(rose());
    world.state.settle(revision);
    world.state.undo_from(revision + 1);
    world.at(60);
    assert_eq!(world.send(&sent), Ok((vec![], revision)), "still the first receipt");
}

#[test]
fn the_hash_sees_what_an_event_says() {
    type Change = (&'static str, fn(&mut Event));
    let changes: [Change; 9] = [
        ("a plan's price", |it| {
            if let Event::CoinPlanSet(it) = it {
                it.price_minor += 1
            }
        }),
        ("an order's price", |it| {
            if let Event::PurchaseOpened(it) = it {
                it.price_minor += 1
            }
        }),
        ("a host's price", |it| {
            if let Event::HostRateSet(it) = it {
                it.price_milli_per_minute = Some(1)
            }
        }),
        ("a gift's price", |it| {
            if let Event::GiftPriceSet(it) = it {
                it.price_milli = None
            }
        }),
        ("a rate", |it| {
            if let Event::CommissionRateSet(it) = it {
                it.agency_bps += 1
            }
        }),
        ("a rate's moment", |it| {
            if let Event::CommissionRateSet(it) = it {
                it.effective_from.0 += 1
            }
        }),
        ("an expiry", |it| {
            if let Event::BonusGranted(it) = it {
                it.expires_at = Some(START)
            }
        }),
        ("a call's grace", |it| {
            if let Event::CallStarted(it) = it {
                it.grace_seconds += 1
            }
        }),
        ("when earnings are available", |it| {
            if let Event::CommissionSplit(it) = it {
                it.available_from.0 += 1
            }
        }),
    ];
    let mut world = busy();
    world.given(start());
    let expected = world.state.hash();
    for (name, change) in changes {
        let mut journal = world.journal.clone();
        journal.iter_mut().for_each(|it| change(&mut it.event));
        assert_ne!(journal, world.journal, "{name} is in the journal");
        assert_ne!(replay(&journal).hash(), expected, "{name}");
    }
    let mut journal = world.journal.clone();
    journal.iter_mut().for_each(|it| it.metadata.request_hash = RequestHash([0; 16]));
    assert_ne!(replay(&journal).hash(), expected, "what was asked under a key");
}

#[test]
fn random_stories_reach_every_type_of_event() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut reached = std::collections::BTreeSet::new();
    for _ in 0..1_400 {
        let story = steps(60).new_tree(&mut runner).expect("a story").current();
        reached.extend(play(&story).journal.iter().map(|it| it.event.kind()));
    }
    // A story of sixty steps brings no wallet hundreds of lots; `lots` tells how they are merged.
    reached.insert(event::LotsMerged::KIND);
    let missed: Vec<_> = Event::KINDS.iter().filter(|kind| !reached.contains(*kind)).collect();
    assert!(missed.is_empty(), "the generator never leads to {missed:?}");
}
