//! Calls on a clock that a test moves.

use crate::rig::Rig;
use crate::world::*;
use event_store::EventStore;
use futures_util::FutureExt;
use ledger_core::command::{
    CapturePurchase, EndCall, GrantBonus, OpenPurchase, PauseCall, PlaceOrder, RecordDispute, ResumeCall,
    SetCoinPlan, SetService, SetSubscriptionPlan, StartCall, StartSubscription,
};
use ledger_core::disputes::DisputeNews;
use ledger_core::event::{BonusOrigin, PauseCause};
use ledger_core::*;
use ledger_runtime::{Connections, Follower, Metering, Sides, Sightings};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// A node whose driver runs, and what has been seen of its journal.
struct Story {
    world: World,
    follower: Follower,
    /// What came and was not looked at yet.
    seen: VecDeque<Recorded>,
    /// When both sides of every call were last seen; [`JUST_NOW`] at first.
    sighted: Arc<AtomicI64>,
    driver: JoinHandle<()>,
}

/// Later than any moment: both sides are there.
const JUST_NOW: i64 = i64::MAX;
const NEVER: i64 = i64::MIN;

fn sightings(sighted: &Arc<AtomicI64>) -> Sightings {
    let sighted = sighted.clone();
    Arc::new(move |_, _| Some(sighted.load(Ordering::Relaxed)).filter(|at| *at != NEVER).map(Timestamp))
}

/// Both are connected, unless nobody knows when they last were.
fn connections(sighted: &Arc<AtomicI64>) -> Connections {
    let sighted = sighted.clone();
    Arc::new(move |_, _| {
        let both = sighted.load(Ordering::Relaxed) != NEVER;
        Sides { both, since: both.then_some(START) }
    })
}

impl Story {
    async fn on(world: World) -> Story {
        let follower = world.ledger.follow();
        let sighted = Arc::new(AtomicI64::new(JUST_NOW));
        let driver = tokio::spawn(recover(&world, &sighted).await.run());
        Story { world, follower, seen: VecDeque::new(), sighted, driver }
    }

    /// From now on both sides were last seen together at `ms`.
    fn last_seen_at(&self, ms: i64) -> &Story {
        self.sighted.store(START.plus_ms(ms).0, Ordering::Relaxed);
        self
    }

    /// [`CALL`] has just begun; a tick costs 1.000 coins.
    async fn in_call(store: Arc<dyn EventStore>, coins_milli: i64) -> Story {
        let mut story = Story::on(World::with_coins(store, coins_milli).await).await;
        story.world.execute(start(CALL, USER, HOST)).await.expect("is accepted");
        story.sees("0 started").await;
        story.sees("0 tick 1 for 1000").await;
        story
    }

    /// Sets the clock, in milliseconds since the start.
    fn at(&self, ms: i64) -> &Story {
        self.world.hand.send_replace(START.plus_ms(ms));
        self
    }

    async fn sees(&mut self, expected: &str) {
        loop {
            while let Some(event) = self.seen.pop_front() {
                if let Some(found) = brief(&event) {
                    return assert_eq!(found, expected);
                }
            }
            let unit = soon(self.follower.next()).await.expect("is read").expect("is there");
            self.seen.extend(unit.events().iter().cloned());
        }
    }

    /// Nothing happens at this time, and nothing has happened that was not seen.
    async fn is_quiet(&mut self) {
        everyone_has_run().await;
        while let Some(unit) = self.follower.next().now_or_never() {
            self.seen.extend(unit.expect("is read").expect("is there").events().iter().cloned());
        }
        assert_eq!(self.seen.drain(..).find_map(|event| brief(&event)), None);
    }

    async fn system(&self, command: Command) {
        let key = Key::State("test".to_owned());
        let envelope = Envelope { actor: Actor::System, key, command, policy: Policy::default() };
        self.world.execute(envelope).await.expect("is accepted");
    }

    async fn disconnect(&self) {
        self.system(Command::from(PauseCall {
            call: CALL,
            cause: PauseCause::Disconnected,
            last_seen: Some(Timestamp(self.sighted.load(Ordering::Relaxed))),
        }))
        .await;
    }

    async fn reconnect(&self) {
        self.system(Command::from(ResumeCall { call: CALL })).await;
    }

    /// The process dies; another one starts at `ms` on the same journal.
    async fn crashes_and_is_back_at(self, ms: i64) -> Story {
        let store = self.world.ledger.store();
        self.driver.abort();
        drop((self.driver.await, self.follower));
        self.world.crash().await;
        Story::on(World::open_at(store, START.plus_ms(ms)).await).await
    }
}

/// What happened, and when; nothing for what stories of calls do not speak of.
fn brief(recorded: &Recorded) -> Option<String> {
    let at = recorded.metadata.recorded_at.since(START);
    Some(match &recorded.event {
        Event::CallStarted(_) => format!("{at} started"),
        Event::CallTicked(it) => {
            assert_eq!(it.begun_at.since(START), at, "a tick is recorded when it begins");
            format!("{at} tick {} for {}", it.number, it.charge_milli)
        }
        Event::CallPaused(it) => {
            let lost_at = it.lost_at.since(START);
            format!("{at} paused: {:?} after {}, lost at {lost_at}", it.cause, it.connected_ms)
        }
        Event::CallChargeReturned(it) => {
            format!("{at} {} to {} returned: {}", it.from_number, it.to_number, it.returned_milli)
        }
        Event::CallResumed(_) => format!("{at} resumed"),
        Event::CallEnded(it) => format!("{at} ended: {:?} for {}", it.reason, it.charged_total_milli),
        Event::SubscriptionPaid(it) => format!("{at} period {} for {}", it.period, it.price_milli),
        Event::SubscriptionGraceBegun(it) => format!("{at} grace of period {}", it.period),
        Event::SubscriptionLapsed(it) => format!("{at} lapsed after {}", it.periods),
        Event::BonusExpired(it) => format!("{at} expired: {}", it.coins_milli),
        Event::OrderCancelled(it) => format!("{at} order {:?}, {} back", it.cause, it.returned_milli),
        _ => return None,
    })
}

fn start(call: CallId, payer: PersonId, host: PersonId) -> Envelope {
    let (medium, price_seen_milli_per_minute) = (Medium::Video, 6_000);
    envelope(host, Command::from(StartCall { call, payer, host, medium, price_seen_milli_per_minute }))
}

fn bonus(valid_seconds: u32) -> Command {
    let (origin, valid_seconds) = (BonusOrigin::Promotion, Some(valid_seconds));
    Command::from(GrantBonus { user: USER, origin, coins_milli: 500, valid_seconds })
}

/// A subscription for 1.000 coins a minute, with twenty seconds of grace.
async fn subscribed(store: Arc<dyn EventStore>, coins_milli: i64) -> Story {
    let mut story = Story::on(World::with_coins(store, coins_milli).await).await;
    let plan = SubscriptionPlanId(Uuid::from_u128(0x50a));
    let set = SetSubscriptionPlan {
        plan,
        price_milli: 1_000,
        price: None,
        period_seconds: 60,
        grace_seconds: 20,
        entitlements: vec!["no_ads".to_owned()],
        active: true,
    };
    story.world.given(set.into()).await;
    let start = StartSubscription { user: USER, plan, price_seen_milli: 1_000 };
    story.world.execute(envelope(USER, start.into())).await.expect("is accepted");
    story.sees("0 period 1 for 1000").await;
    story
}

#[tokio::test]
async fn a_subscription_is_renewed_when_it_is_due() {
    for (_name, store, _folder) in stores() {
        let mut story = subscribed(store, 2_500).await;
        story.at(59_999);
        story.is_quiet().await;
        story.at(60_000);
        story.sees("60000 period 2 for 1000").await;
        // Too few coins: nothing more until some come, which pay at once.
        story.at(120_000);
        story.sees("120000 grace of period 3").await;
        story.at(130_000);
        story.is_quiet().await;
        story.world.given(bonus(3_600)).await;
        story.sees("130000 period 3 for 1000").await;
        // None come: it ends with the grace.
        story.at(180_000);
        story.sees("180000 grace of period 4").await;
        story.at(199_999);
        story.is_quiet().await;
        story.at(200_000);
        story.sees("200000 lapsed after 3").await;
        assert_eq!(story.world.spendable(USER).await, 0);
        story.world.assert_sound().await;
    }
}

#[tokio::test]
async fn a_driver_that_comes_back_late_charges_one_period() {
    let story = subscribed(memory(), 9_000).await;
    // Five periods later, of which nothing was given after the grace of the first.
    let mut story = story.crashes_and_is_back_at(310_000).await;
    story.sees("310000 period 2 for 1000").await;
    story.at(369_999);
    story.is_quiet().await;
    story.at(370_000);
    story.sees("370000 period 3 for 1000").await;
    assert_eq!(story.world.spendable(USER).await, 6_000);
}

/// An order of ten coins, of which the wallet pays `wallet_milli`; it may be paid for half an hour.
async fn ordered(store: Arc<dyn EventStore>, wallet_milli: i64) -> (Story, PurchaseId) {
    let story = Story::on(World::with_coins(store, 0).await).await;
    let (service, price) =
        (ServiceId(Uuid::from_u128(0x5e1)), Price { amount_minor: 1_000, asset: Asset::INR });
    let set = SetService { service, provider: None, price_milli: 10_000, price: Some(price), active: true };
    story.world.given(set.into()).await;
    story.world.given(bonus(60)).await;
    let (coupon, gateway) = (None, Gateway::Razorpay);
    let order = PlaceOrder { user: USER, service, coupon, total_seen_milli: 10_000, wallet_milli, gateway };
    let receipt = story.world.execute(envelope(USER, order.into())).await.expect("is accepted");
    (story, receipt.command_id.derive("purchase"))
}

#[tokio::test]
async fn an_order_that_nobody_pays_expires() {
    for (_name, store, _folder) in stores() {
        let (mut story, _) = ordered(store, 500).await;
        assert_eq!(story.world.spendable(USER).await, 0);
        story.at(1_799_999);
        story.is_quiet().await;
        // Bonus coins whose time is over come back and expire.
        story.at(1_800_000);
        story.sees("1800000 order Unpaid, 500 back").await;
        story.sees("1800000 expired: 500").await;
        story.world.assert_sound().await;
    }
}

#[tokio::test]
async fn an_order_expires_when_its_driver_comes_back_and_not_when_it_was_paid() {
    let (story, _) = ordered(memory(), 500).await;
    let mut story = story.crashes_and_is_back_at(1_900_000).await;
    story.sees("1900000 order Unpaid, 500 back").await;
    let (mut story, purchase) = ordered(memory(), 500).await;
    let gateway = Gateway::Razorpay;
    let (payment_ref, asset) = ("pay_1".to_owned(), Asset::INR);
    let paid = CapturePurchase { gateway, purchase: Some(purchase), payment_ref, amount_minor: 950, asset };
    story.system(paid.into()).await;
    story.at(1_800_000);
    story.is_quiet().await;
}

#[tokio::test]
async fn an_increment_is_charged_when_it_begins() {
    for (_name, store, _folder) in stores() {
        let mut story = Story::in_call(store, 10_000).await;
        story.at(9_999);
        story.is_quiet().await;
        story.at(10_000);
        story.sees("10000 tick 2 for 1000").await;
        story.at(19_999);
        story.is_quiet().await;
        story.at(20_000);
        story.sees("20000 tick 3 for 1000").await;
        story.at(25_000);
        let by = Ending::Participant(HOST);
        story
            .world
            .execute(envelope(HOST, Command::from(EndCall { call: CALL, by })))
            .await
            .expect("is accepted");
        story.sees("25000 ended: HungUp for 3000").await;
        story.at(30_000);
        story.is_quiet().await;
        assert_eq!(story.world.spendable(USER).await, 7_000);
        story.world.assert_sound().await;
    }
}

#[tokio::test]
async fn a_call_ends_when_the_next_increment_cannot_be_paid() {
    let mut story = Story::in_call(memory(), 2_500).await;
    story.at(10_000);
    story.sees("10000 tick 2 for 1000").await;
    story.at(20_000);
    story.sees("20000 ended: Exhausted for 2000").await;
    assert_eq!(story.world.spendable(USER).await, 500);
}

#[tokio::test]
async fn while_a_side_is_away_no_increment_begins() {
    let mut story = Story::in_call(memory(), 10_000).await;
    story.at(4_000).disconnect().await;
    story.sees("4000 paused: Disconnected after 4000, lost at 34000").await;
    story.at(20_000);
    story.is_quiet().await;
    story.reconnect().await;
    story.sees("20000 resumed").await;
    // Six of the ten seconds are left.
    story.at(25_999);
    story.is_quiet().await;
    story.at(26_000);
    story.sees("26000 tick 2 for 1000").await;
    story.at(34_000);
    story.is_quiet().await;
    story.at(36_000);
    story.sees("36000 tick 3 for 1000").await;
}

#[tokio::test]
async fn a_call_is_lost_at_the_end_of_the_grace() {
    let mut story = Story::in_call(memory(), 10_000).await;
    story.at(4_000).disconnect().await;
    story.sees("4000 paused: Disconnected after 4000, lost at 34000").await;
    story.at(33_999);
    story.is_quiet().await;
    story.at(34_000);
    story.sees("34000 ended: Lost for 1000").await;
    assert_eq!(story.world.spendable(USER).await, 9_000);
}

#[tokio::test]
async fn ticks_that_are_due_together_are_recorded_together() {
    let rig = Rig::before(memory());
    let story = Story::on(World::with_coins(rig.clone(), 0).await).await;
    let people = |number: u128| {
        let id = |part: u128| Uuid::from_u128(part << 64 | number);
        (CallId(id(1)), PersonId(id(2)), PersonId(id(3)))
    };
    for (call, payer, host) in (0..100).map(people) {
        story.world.given(coins(payer, 3_000)).await;
        story.world.given(rate(host)).await;
        story.world.execute(start(call, payer, host)).await.expect("is accepted");
    }
    everyone_has_run().await;
    let mut follower = story.world.ledger.follow();
    for number in 2..=3 {
        rig.take_batches();
        let asked = rig.asked();
        story.at(i64::from(number - 1) * 10_000);
        for _ in 0..100 {
            let unit = soon(follower.next()).await.expect("is read").expect("is there");
            assert!(matches!(&unit.events()[0].event, Event::CallTicked(it) if it.number == number));
        }
        everyone_has_run().await;
        let batches = rig.take_batches();
        assert_eq!(batches.iter().sum::<usize>(), 200, "a tick and its split for each");
        assert!(batches.len() <= 5, "few writes: {batches:?}");
        let asked = rig.asked() - asked;
        assert!(asked <= 20, "what is due next is looked up together, not in {asked} queries");
    }
}

#[tokio::test]
async fn bonus_coins_expire_in_time_whether_granted_before_the_driver_or_after() {
    let world = World::with_coins(memory(), 0).await;
    world.given(bonus(60)).await;
    let mut story = Story::on(world).await;
    story.world.given(bonus(90)).await;
    story.at(59_999);
    story.is_quiet().await;
    story.at(60_000);
    story.sees("60000 expired: 500").await;
    story.at(89_999);
    story.is_quiet().await;
    story.at(90_000);
    story.sees("90000 expired: 500").await;
    assert_eq!(story.world.query(|state, _| state.expiring_lots().len()).await, Ok(0));
}

#[tokio::test]
async fn after_a_crash_the_call_goes_on_from_the_last_moment_at_which_both_were_seen() {
    for (_name, store, _folder) in stores() {
        let mut story = Story::in_call(store, 10_000).await;
        story.at(10_000);
        story.sees("10000 tick 2 for 1000").await;
        story.at(14_000);
        // Eighty-six seconds of outage: nobody pays for them.
        let mut story = story.crashes_and_is_back_at(100_000).await;
        story.sees("100000 paused: Outage after 10000, lost at 130000").await;
        story.at(110_000);
        story.is_quiet().await;
        story.reconnect().await;
        story.sees("110000 resumed").await;
        // All of the second increment is still to be had.
        story.at(119_999);
        story.is_quiet().await;
        story.at(120_000);
        story.sees("120000 tick 3 for 1000").await;
        assert_eq!(story.world.spendable(USER).await, 7_000);
        story.world.assert_sound().await;
    }
}

#[tokio::test]
async fn after_a_crash_the_call_is_lost_when_they_do_not_come_back() {
    let mut story = Story::in_call(memory(), 10_000).await;
    story.at(3_000);
    story.is_quiet().await;
    let mut story = story.crashes_and_is_back_at(50_000).await;
    story.sees("50000 paused: Outage after 0, lost at 80000").await;
    // A second crash gives a new grace, as nobody could come back meanwhile.
    story.at(70_000);
    story.is_quiet().await;
    let mut story = story.crashes_and_is_back_at(75_000).await;
    story.sees("75000 paused: Outage after 0, lost at 105000").await;
    story.at(104_999);
    story.is_quiet().await;
    story.at(105_000);
    story.sees("105000 ended: Lost for 1000").await;
    assert_eq!(story.world.spendable(USER).await, 9_000);
}

#[tokio::test]
async fn two_drivers_charge_nothing_twice() {
    for (name, store, _folder) in stores() {
        let one = World::with_coins(store.clone(), 100_000).await;
        let two = World::open(store.clone()).await;
        let other_node = Story::on(two).await;
        let beside = tokio::spawn(take_over(&one).await.run());
        let story = Story::on(one).await;
        story.world.execute(start(CALL, USER, HOST)).await.expect("is accepted");
        for number in 1..8 {
            let at = number * 10_000;
            // The other node hears of the tick before, so that its driver waits for this one too.
            other_node.world.spendable(USER).await;
            everyone_has_run().await;
            other_node.at(at);
            story.at(at);
            let wanted = number as u32 + 1;
            while story.world.query(|state, _| state.call(CALL).map(|call| call.ticks)).await
                != Ok(Some(wanted))
            {
                everyone_has_run().await;
            }
            everyone_has_run().await;
        }
        let mut ticks: BTreeMap<u32, usize> = BTreeMap::new();
        for event in journal(store.as_ref()).await {
            if let Event::CallTicked(it) = event.event {
                *ticks.entry(it.number).or_default() += 1;
            }
        }
        assert_eq!(ticks, (1..=8).map(|number| (number, 1)).collect(), "{name}");
        assert_eq!(story.world.spendable(USER).await, 92_000, "{name}");
        story.world.assert_sound().await;
        beside.abort();
    }
}

#[tokio::test]
async fn metering_ends_with_its_ledger_and_does_not_ask_a_stopped_one() {
    let store = memory();
    let rig = Rig::before(store.clone());
    let Story { world, driver, .. } = Story::in_call(rig.clone(), 10_000).await;
    let head = store.head().await.expect("is read");
    let mut unknown = foreign_coins(OTHER, 7, 1_000, coin_legs(OTHER, 1_000));
    unknown.kind = "MoonLanded".to_owned();
    store.append(head, &[unknown]).await.expect("is appended");
    let stopped = world.execute(rose()).await;
    assert!(matches!(stopped, Err(ledger_runtime::ExecuteError::Stopped(_))), "{stopped:?}");
    soon(driver).await.expect("the driver ends");
    let (asked, arrived) = (rig.asked(), rig.arrived());
    world.hand.send_replace(START.plus_ms(10_000));
    everyone_has_run().await;
    assert_eq!((rig.asked(), rig.arrived()), (asked, arrived));
}

#[tokio::test]
async fn what_the_ledger_could_not_tell_is_asked_again() {
    let rig = Rig::before(memory());
    let mut story = Story::on(World::with_coins(rig.clone(), 10_000).await).await;
    // The start is recorded; what is due next cannot be asked for.
    rig.end_is_unknown(true);
    story.world.execute(start(CALL, USER, HOST)).await.expect("is accepted");
    story.sees("0 started").await;
    story.sees("0 tick 1 for 1000").await;
    everyone_has_run().await;
    // Asked behind the driver: when this one gives up, the driver has too.
    let asked = story.world.query(|_, _| ()).await;
    assert_eq!(asked, Err(ledger_runtime::ExecuteError::StoreAway));
    rig.end_is_unknown(false);
    story.at(10_000);
    story.sees("10000 tick 2 for 1000").await;
}

#[tokio::test]
async fn no_tick_follows_a_leap_of_the_clock_and_metering_goes_on_when_it_is_right_again() {
    let world = World::open_leaping(memory(), START).await;
    world.given(rate(HOST)).await;
    world.given(coins(USER, 10_000)).await;
    let mut story = Story::on(world).await;
    story.world.execute(start(CALL, USER, HOST)).await.expect("is accepted");
    story.sees("0 started").await;
    story.sees("0 tick 1 for 1000").await;
    story.at(3 * 24 * 60 * 60 * 1_000);
    let leaps = |status: &ledger_runtime::Status| matches!(status, ledger_runtime::Status::ClockLeap(_));
    story.world.until_status(leaps).await;
    story.is_quiet().await;
    story.world.running.as_ref().expect("it leaps").send_replace(START.plus_ms(10_000));
    story.at(10_000);
    story.sees("10000 tick 2 for 1000").await;
    assert_eq!(story.world.spendable(USER).await, 8_000);
}

#[tokio::test]
async fn metering_goes_on_when_a_full_store_has_room_again() {
    let rig = Rig::before(memory());
    let mut story = Story::in_call(rig.clone(), 10_000).await;
    rig.has_room(false);
    story.at(10_000);
    let full = |status: &ledger_runtime::Status| matches!(status, ledger_runtime::Status::StorageFull(_));
    story.world.until_status(full).await;
    story.is_quiet().await;
    rig.has_room(true);
    story.sees("10000 tick 2 for 1000").await;
}

async fn take_over(node: &World) -> Metering {
    recover(node, &Arc::new(AtomicI64::new(JUST_NOW))).await
}

/// After a crash nobody is connected, and nobody knows when somebody last was.
async fn recover(node: &World, sighted: &Arc<AtomicI64>) -> Metering {
    let later = sighted.swap(NEVER, Ordering::Relaxed);
    let metering = Metering::recover(node.ledger.clone(), sightings(sighted), connections(sighted)).await;
    sighted.store(later, Ordering::Relaxed);
    metering.expect("the ledger answers")
}

#[tokio::test]
async fn three_crashes_cost_one_increment() {
    let mut story = Story::in_call(memory(), 10_000).await;
    for crash in 0..3 {
        let back = (crash + 1) * 20_000;
        story = story.crashes_and_is_back_at(back).await;
        story.sees(&format!("{back} paused: Outage after 0, lost at {}", back + 30_000)).await;
        story.at(back + 1_000).reconnect().await;
        story.sees(&format!("{} resumed", back + 1_000)).await;
        story.at(back + 5_000);
        story.is_quiet().await;
    }
    assert_eq!(story.world.spendable(USER).await, 9_000);
    story.world.assert_sound().await;
}

#[tokio::test]
async fn a_side_that_is_gone_without_a_word_pays_for_nothing_that_it_was_not_seen_in() {
    let mut story = Story::in_call(memory(), 10_000).await;
    story.last_seen_at(4_000).at(10_000);
    story.sees("10000 tick 2 for 1000").await;
    story.at(14_000).disconnect().await;
    story.sees("14000 paused: Disconnected after 4000, lost at 44000").await;
    story.sees("14000 2 to 2 returned: 1000").await;
    assert_eq!(story.world.spendable(USER).await, 9_000);
    // Back again, the first increment goes on, and the second is charged once.
    story.last_seen_at(60_000).at(20_000).reconnect().await;
    story.sees("20000 resumed").await;
    story.at(25_999);
    story.is_quiet().await;
    story.at(26_000);
    story.sees("26000 tick 2 for 1000").await;
    assert_eq!(story.world.spendable(USER).await, 8_000);
    story.world.assert_sound().await;
}

#[tokio::test]
async fn nobody_is_charged_on_when_neither_side_has_been_seen_for_half_a_minute() {
    let mut story = Story::in_call(memory(), 10_000).await;
    story.last_seen_at(0).at(10_000);
    story.sees("10000 tick 2 for 1000").await;
    story.at(20_000);
    story.sees("20000 tick 3 for 1000").await;
    story.at(30_000);
    story.sees("30000 paused: Disconnected after 0, lost at 60000").await;
    story.sees("30000 2 to 3 returned: 2000").await;
    story.at(60_000);
    story.sees("60000 ended: Lost for 1000").await;
    assert_eq!(story.world.spendable(USER).await, 9_000);
}

#[tokio::test]
async fn bonus_coins_that_come_back_to_a_lot_expire_with_it() {
    let world = World::with_coins(memory(), 0).await;
    let mut story = Story::on(world).await;
    for lot_seconds in [12, 60, 60] {
        story.world.given(bonus(lot_seconds)).await;
    }
    story.world.given(bonus(60)).await;
    story.world.execute(start(CALL, USER, HOST)).await.expect("is accepted");
    story.sees("0 started").await;
    story.sees("0 tick 1 for 1000").await;
    story.last_seen_at(0).at(10_000);
    story.sees("10000 tick 2 for 1000").await;
    story.at(11_000).disconnect().await;
    story.sees("11000 paused: Disconnected after 0, lost at 41000").await;
    story.sees("11000 2 to 2 returned: 1000").await;
    story.at(41_000);
    story.sees("41000 ended: Lost for 1000").await;
    story.at(60_000);
    story.sees("60000 expired: 500").await;
    story.sees("60000 expired: 500").await;
}

#[tokio::test]
async fn bonus_coins_that_a_dispute_releases_after_their_expiry_expire_at_once() {
    let world = World::with_coins(memory(), 0).await;
    let (plan, gateway, asset) = (PlanId(Uuid::from_u128(0x3a)), Gateway::Razorpay, Asset::INR);
    let terms = SetCoinPlan {
        plan,
        coins_milli: 1_000,
        bonus_milli: 500,
        bonus_valid_seconds: Some(60),
        price_minor: 100,
        price_asset: asset,
        active: true,
    };
    world.given(terms.into()).await;
    let mut story = Story::on(world).await;
    let opened = story.world.given(OpenPurchase { user: USER, plan, gateway }.into()).await;
    let (purchase, payment_ref) = (Some(opened.command_id.derive("purchase")), "pay_1".to_owned());
    let captured = CapturePurchase { gateway, purchase, payment_ref, amount_minor: 100, asset };
    story.world.given(captured.into()).await;
    let told = |news| {
        let (dispute_ref, payment_ref) = ("disp_1".to_owned(), "pay_1".to_owned());
        Command::from(RecordDispute { gateway, dispute_ref, payment_ref, amount_minor: 100, asset, news })
    };
    story.world.given(told(DisputeNews::Opened)).await;
    story.at(61_000);
    story.is_quiet().await;
    story.world.given(told(DisputeNews::Won)).await;
    story.sees("61000 expired: 500").await;
}

#[tokio::test]
async fn a_driver_that_stood_still_takes_nothing_for_the_time_in_which_somebody_was_away() {
    let mut story = Story::in_call(memory(), 10_000).await;
    story.driver.abort();
    let since = Arc::new(AtomicI64::new(START.0));
    let connected = since.clone();
    let connections: Connections = Arc::new(move |_, _| {
        let since = Timestamp(connected.load(Ordering::Relaxed));
        Sides { both: true, since: Some(since) }
    });
    let metering =
        Metering::recover(story.world.ledger.clone(), sightings(&story.sighted), connections).await;
    story.driver = tokio::spawn(metering.expect("the ledger answers").run());
    // The next increment is due at 10 s. The process stands still until 14 s, and a side is back since 12 s.
    since.store(START.plus_ms(12_000).0, Ordering::Relaxed);
    story.at(14_000);
    story.sees("14000 paused: Outage after 0, lost at 44000").await;
}
