//! The state holds what there is and what happened lately, never what ever was.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::disputes::DisputeNews;
use ledger_core::event::CommissionScope::Host;
use ledger_core::event::Earner;
use ledger_core::purchases::Resolution;
use ledger_core::withdrawals::Payee;
use ledger_core::*;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What bounds a table of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// What there is: accounts that hold something, plans, prices, rates, open cases, unspent coins.
    Present,
    /// What happened within a time that the table in the docs names.
    Recent,
    /// What ever was, in a row that is small, and only where money was moved outside.
    Forever,
}

/// All tables. Who adds one says here what bounds it, and makes the story below fill it.
const BOUNDS: &[(&str, Bound)] = &[
    ("balances", Bound::Present),
    ("assets", Bound::Present),
    ("plans", Bound::Present),
    ("rates", Bound::Present),
    ("gifts", Bound::Present),
    ("agency_of", Bound::Present),
    ("commissions", Bound::Present),
    ("pending_earnings", Bound::Recent),
    ("earnings_due", Bound::Recent),
    ("held_shares", Bound::Recent),
    ("held_due", Bound::Recent),
    ("settled_differences", Bound::Forever),
    ("plan_bonuses", Bound::Recent),
    ("disputes", Bound::Forever),
    ("early_disputes", Bound::Present),
    ("receivables", Bound::Present),
    ("campaigns", Bound::Present),
    ("campaign_codes", Bound::Present),
    ("campaign_ends", Bound::Present),
    ("ad_views", Bound::Forever),
    ("reward_days", Bound::Recent),
    ("reward_people", Bound::Present),
    ("referrals", Bound::Forever),
    ("subscription_plans", Bound::Present),
    ("subscriptions", Bound::Present),
    ("subscriptions_of", Bound::Present),
    ("services", Bound::Present),
    ("coupons", Bound::Present),
    ("coupon_codes", Bound::Present),
    ("coupon_ends", Bound::Present),
    ("coupon_people", Bound::Present),
    ("orders", Bound::Recent),
    ("unpaid_orders", Bound::Present),
    ("leaving_orders", Bound::Recent),
    ("lots", Bound::Present),
    ("lot_places", Bound::Present),
    ("expiring_lots", Bound::Present),
    ("purchases", Bound::Recent),
    ("leaving_purchases", Bound::Recent),
    ("refunds", Bound::Forever),
    ("payments", Bound::Forever),
    ("early_refunds", Bound::Present),
    ("suspense", Bound::Present),
    ("calls", Bound::Recent),
    ("engaged", Bound::Present),
    ("free_used", Bound::Recent),
    ("ended_calls", Bound::Recent),
    ("withdrawals", Bound::Recent),
    ("leaving_withdrawals", Bound::Recent),
    ("payout_refs", Bound::Forever),
    ("withdrawn", Bound::Recent),
    ("payout_rates", Bound::Present),
    ("tax_rates", Bound::Present),
    ("unsettled", Bound::Recent),
    ("settled", Bound::Present),
    ("settlements", Bound::Recent),
    ("settlement_versions", Bound::Recent),
    ("leaving_settlements", Bound::Recent),
    ("settlement_payouts", Bound::Recent),
];

fn rows(world: &World, table: &str) -> usize {
    let rows = world.state.rows();
    rows.iter().find(|(name, _)| *name == table).unwrap_or_else(|| panic!("no table {table}")).1
}

/// The state after the same events, none of which was ever settled.
fn replayed(world: &World) -> State {
    let mut state = State::new();
    world.journal.iter().for_each(|it| evolve(&mut state, it));
    state
}

/// A shop that is open on one day of each week, as [`day`] tells.
fn shop() -> World {
    let mut world = World::new();
    world.policy.free_seconds = 20;
    world.policy.earnings_hold_seconds = 3_600;
    world.policy.claw_back_held_earnings = true;
    world.given(plan(100_000, 10_000, Some(60)));
    world.given(Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }));
    crate::rewards::set_up(&mut world, 10_000 * DAY_MS);
    world.given(crate::orders::reading().into());
    world
}

/// A day in which some of everything happens, and after which nothing is left open.
fn day(world: &mut World, number: u32) {
    world.now = START.plus_ms(i64::from(number) * 7 * DAY_MS);
    let user = PersonId(Uuid::from_u128(0x9000 + u128::from(number % 5)));
    let case = |world: &World| world.state.next_revision() - 1;
    // One pays, one does not, and of one the refund comes before the capture.
    let [paid, unpaid, early] = [(); 3].map(|()| world.order(user));
    let payment = |what: &str| format!("pay_{number}_{what}");
    world
        .given(capture(Some(paid), &payment("paid"), 10_000))
        .given(fail(unpaid, &payment("failed")))
        .given(expire(unpaid))
        .given(refund_of(&payment("early"), &format!("rfnd_{number}"), 10_000))
        .given(capture(Some(early), &payment("early"), 10_000))
        .given(dispute(&payment("paid"), &format!("disp_{number}"), DisputeNews::Opened))
        .given(dispute(&payment("paid"), &format!("disp_{number}"), DisputeNews::Won))
        .given(capture(None, &payment("odd"), 700));
    let (odd, reason) = (case(world), "kept".to_owned());
    world
        .given(ResolveSuspense { case: odd, resolution: Resolution::Income, reason }.into())
        .given(commission(Host(HOST), 4_000 + number % 1_000, 1_000))
        .given(host_rate(HOST, Some(10_001 + i64::from(number % 2))))
        .given(adjust_gateway(-236, Some(DifferenceId(Uuid::from_u128(number.into())))))
        .given(payout_rate(&format!("0.{}", 500 + number % 100)))
        .given(tax(100 + number % 100));
    for turn in 0..2 {
        let call = CallId(Uuid::from_u128(0x5000 + 2 * u128::from(number) + turn));
        world.given(start_as(call, user, HOST, 10_001 + i64::from(number % 2)));
        world.given(gift(user, HOST, Some(call), 5_000));
        world.now = world.now.plus_ms(3_000);
        world.given(Command::from(EndCall { call, by: Ending::Participant(user) }));
    }
    // Somebody is brought by the user, pays, and has it taken back.
    let newcomer = PersonId(Uuid::from_u128(0xa000 + u128::from(number)));
    world.given(crate::rewards::brought(newcomer, user));
    let first = world.order(newcomer);
    world.given(capture(Some(first), &payment("first"), 10_000));
    world.given(refund_of(&payment("first"), &format!("rfnd_{number}_first"), 10_000));
    world.given(crate::rewards::daily(user)).given(crate::rewards::ad(user, &format!("view_{number}")));
    crate::orders::day(world, user, number);
    world.given(grant(user, 1_000, Some(60)));
    world.now = world.now.plus_ms(70_000);
    for (_, lot) in world.state.expiring_lots() {
        world.given(Command::from(ExpireBonus { lot }));
    }
    // The user spends all that is left, and host and agency withdraw all that has waited long enough.
    let left = world.state.spendable(user, world.now);
    world
        .given(SetGiftPrice { gift: ROSE, price_milli: Some(left) }.into())
        .given(gift(user, HOST, None, left))
        .given(SetGiftPrice { gift: ROSE, price_milli: Some(5_000) }.into());
    world.now = world.now.plus_ms(2 * HOUR_MS);
    for (payee, what) in [(Payee::Host { person: HOST }, "host"), (AGENCY_PAYEE, "agency")] {
        let coins_milli = world.state.withdrawable(payee.earnings(), world.now);
        // Of whom nobody ever asks.
        world.given(adjust(Account::HostEarnings(OTHER_HOST), 10));
        world.given(crate::settlements::close(Earner::of(payee.earnings()).expect("earnings")));
        let settlement = crate::settlements::last(world);
        for fate in ["rejected", "paid"] {
            if coins_milli == world.state.settlement(settlement).map_or(0, |(_, row)| row.open_milli()) {
                world.given(crate::settlements::pay(settlement, payee));
            } else {
                world.given(RequestWithdrawal { payee, coins_milli }.into());
            }
            let id = world.last(|event| match event {
                Event::WithdrawalRequested(it) => Some(it.withdrawal),
                _ => None,
            });
            match fate {
                "rejected" => world.given(reject(id)),
                _ => world.given(approve(id)).given(paid_as(id, &format!("utr_{number}_{what}"))),
            };
        }
    }
}

/// The rows of all tables after these days, each of which becomes final.
fn after(world: &mut World, days: std::ops::Range<u32>) -> BTreeMap<&'static str, usize> {
    for number in days {
        day(world, number);
        world.state.settle(world.state.next_revision() - 1);
    }
    world.state.rows().into_iter().collect()
}

#[test]
fn no_table_grows_with_what_ever_was() {
    let mut world = shop();
    // Longer than anything stays, and as long again.
    let (once, twice) = (after(&mut world, 1..91), after(&mut world, 91..181));
    let bounds: BTreeMap<&str, Bound> = BOUNDS.iter().copied().collect();
    let tables: Vec<_> = twice.keys().collect();
    assert_eq!(tables, bounds.keys().collect::<Vec<_>>(), "the list above has all tables and no other");
    for (table, rows) in &twice {
        let before = once[table];
        match bounds[table] {
            Bound::Present => assert_eq!(*rows, before, "{table}"),
            Bound::Recent => assert!(*rows > 0 && *rows == before, "{table}: {before}, then {rows}"),
            // But for the few people who come back each week.
            Bound::Forever => {
                assert!(before > 0 && *rows + 5 >= 2 * before, "{table}: {before}, then {rows}")
            }
        }
    }
    // Rows leave by what the events say: a replay that never settled anything ends the same.
    assert_eq!(replayed(&world).hash(), world.state.hash());
}

#[test]
fn what_has_left_is_back_when_the_event_that_took_it_is_taken_back() {
    let mut world = shop();
    (1..4).for_each(|number| day(&mut world, number));
    let (cut, before) = (world.state.next_revision(), world.state.hash());
    let mut kept = world.clone();
    let gone = CallId(Uuid::from_u128(0x5006));
    // Two years later all that is old leaves, but before that is durable another node turns out to have written.
    (104..108).for_each(|number| day(&mut world, number));
    assert!(kept.state.call(gone).is_some() && world.state.call(gone).is_none());
    let suffix: Vec<Recorded> = world.journal.iter().filter(|it| it.revision >= cut).cloned().collect();
    let after = world.state.hash();
    world.state.settle(cut - 1);
    world.state.undo_from(cut);
    assert_eq!(world.state.hash(), before);
    for state in [&mut world.state, &mut kept.state] {
        suffix.iter().for_each(|it| evolve(state, it));
        assert_eq!(state.hash(), after);
    }
}

#[test]
fn earnings_that_wait_no_longer_leave_whosever_they_are() {
    let mut world = World::with_coins(9_000_000);
    world.policy.earnings_hold_seconds = 60;
    // A hundred hosts earn once and never again.
    for number in 0..100 {
        world.given(gift(USER, PersonId(Uuid::from_u128(0x1000 + number)), None, 5_000));
    }
    assert_eq!((rows(&world, "pending_earnings"), rows(&world, "earnings_due")), (100, 100));
    world.at(100);
    for left in (0..100).step_by(4).rev() {
        world.given(rose());
        let waiting = left + 1;
        assert_eq!(
            (rows(&world, "pending_earnings"), rows(&world, "earnings_due")),
            (waiting, waiting),
            "those of four others have left; {HOST} waits"
        );
    }
    world.wallet(HOST, [0, 0, 0, 75_000, 0]).at(161).wallet(HOST, [0, 0, 0, 75_000, 75_000]);
    assert_eq!(replayed(&world).hash(), world.state.hash());
}
