//! Who gets how much of a charge.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::event::CommissionScope::{self, *};
use ledger_core::*;

fn from(scope: CommissionScope, host_bps: u32, agency_bps: u32, ms: i64) -> Command {
    let effective_from = Some(START.plus_ms(ms));
    Command::from(SetCommissionRate { scope, host_bps, agency_bps, effective_from })
}

fn clear(scope: CommissionScope, effective_from: Option<Timestamp>) -> Command {
    Command::from(ClearCommissionRate { scope, effective_from })
}

fn join(host: PersonId) -> Command {
    Command::from(JoinAgency { host, agency: AGENCY, from: None, until: None })
}

#[test]
fn the_most_specific_rate_wins() {
    World::with_coins(100_000)
        .check(rose(), "gift: 5000; split 3000/0/2000")
        .check(commission(Agency(AGENCY), 5_000, 2_000), "rate 5000/2000")
        .check(rose(), "gift: 5000; split 3000/0/2000")
        .check(join(HOST), "joined")
        .check(rose(), "gift: 5000; split 2500/1000/1500")
        .check(commission(Host(HOST), 7_000, 1_000), "rate 7000/1000")
        .check(rose(), "gift: 5000; split 3500/500/1000")
        .check(clear(Host(HOST), None), "rate cleared")
        .check(rose(), "gift: 5000; split 2500/1000/1500")
        .check(Command::from(LeaveAgency { host: HOST, at: None }), "left")
        .check(rose(), "gift: 5000; split 3000/0/2000")
        .stands(&Account::AgencyEarnings(AGENCY).to_string(), Asset::COIN, -2_500);
}

#[test]
fn without_an_agency_its_share_is_the_platforms() {
    World::with_coins(100_000)
        .check(commission(Host(HOST), 6_000, 3_000), "rate 6000/3000")
        .check(rose(), "gift: 5000; split 3000/0/2000")
        .check(join(HOST), "joined")
        .check(rose(), "gift: 5000; split 3000/1500/500");
}

#[test]
fn where_no_rate_is_set_the_host_gets_half() {
    World::with_coins(100_000)
        .check(clear(Global, None), "rate cleared")
        .check(rose(), "gift: 5000; split 2500/0/2500")
        .refuse(clear(Global, None), Rejection::CommissionNotSet);
}

#[test]
fn a_rate_begins_at_its_moment_and_never_before_now() {
    let mut world = World::with_coins(100_000);
    world
        .at(10)
        .refuse(from(Global, 9_000, 0, 9_999), Rejection::EffectiveInPast { earliest: START.plus_ms(10_000) })
        .refuse(clear(Global, Some(START)), Rejection::EffectiveInPast { earliest: START.plus_ms(10_000) })
        .check(from(Global, 6_000, 0, 10_000), "duplicate of 7")
        .check(from(Global, 8_000, 0, 60_000), "rate 8000/0")
        .check(from(Global, 7_000, 0, 30_000), "rate 7000/0")
        .check(clear(Global, Some(START.plus_ms(90_000))), "rate cleared")
        .check(rose(), "gift: 5000; split 3000/0/2000")
        .at_ms(29_999)
        .check(rose(), "gift: 5000; split 3000/0/2000")
        .at(30)
        .check(rose(), "gift: 5000; split 3500/0/1500")
        .at(60)
        .check(rose(), "gift: 5000; split 4000/0/1000")
        .at(90)
        .check(rose(), "gift: 5000; split 2500/0/2500");
}

#[test]
fn of_two_rates_for_one_moment_the_later_command_wins() {
    World::with_coins(100_000)
        .check(from(Global, 8_000, 0, 60_000), "rate 8000/0")
        .check(from(Global, 1_000, 0, 60_000), "rate 1000/0")
        .at(60)
        .check(rose(), "gift: 5000; split 500/0/4500");
}

#[test]
fn host_and_agency_share_at_most_everything() {
    World::with_coins(100_000)
        .given(join(HOST))
        .refuse(commission(Global, 10_001, 0), Rejection::CommissionTooLarge)
        .refuse(commission(Global, 5_000, 5_001), Rejection::CommissionTooLarge)
        .refuse(commission(Global, u32::MAX, u32::MAX), Rejection::CommissionTooLarge)
        .check(commission(Global, 10_000, 0), "rate 10000/0")
        .check(rose(), "gift: 5000; split 5000/0/0")
        .check(commission(Global, 0, 10_000), "rate 0/10000")
        .check(rose(), "gift: 5000; split 0/5000/0")
        .check(commission(Global, 0, 0), "rate 0/0")
        .check(rose(), "gift: 5000; split 0/0/5000");
}

#[test]
fn each_share_is_rounded_down_from_the_platform_on() {
    for (price, host_bps, agency_bps, expected) in [
        (1, 5_000, 0, "gift: 1; split 1/0/0"),
        (1, 0, 0, "gift: 1; split 0/0/1"),
        (1, 3_333, 3_333, "gift: 1; split 0/1/0"),
        (7, 3_333, 3_333, "gift: 7; split 2/3/2"),
        (100, 3_333, 3_333, "gift: 100; split 33/34/33"),
    ] {
        World::with_coins(100_000)
            .given(join(HOST))
            .given(Command::from(SetGiftPrice { gift: ROSE, price_milli: Some(price) }))
            .given(commission(Global, host_bps, agency_bps))
            .check(gift(USER, HOST, None, price), expected);
    }
}

#[test]
fn a_call_keeps_the_rate_of_its_start_and_a_gift_takes_the_new_one() {
    World::in_call(100_000)
        .at(5)
        .given(commission(Host(HOST), 10_000, 0))
        .given(join(HOST))
        .at(10)
        .check(tick(2), "tick 2: 1667 of 3333; split 1000/0/667")
        .check(gift(USER, HOST, Some(CALL), 5_000), "gift: 5000; split 5000/0/0")
        .given(hang_up(HOST))
        .check(
            start_as(OTHER_CALL, USER, HOST, 10_000),
            "started at 10000 (10000/0); tick 1: 1666 of 1666; split 1666/0/0",
        );
}

#[test]
fn an_agency_that_a_host_leaves_in_a_call_keeps_its_share_of_it() {
    World::with_coins(100_000)
        .given(join(HOST))
        .given(commission(Agency(AGENCY), 6_000, 2_000))
        .check(start(), "started at 10000 (6000/2000); tick 1: 1666 of 1666; split 999/334/333")
        .check(Command::from(LeaveAgency { host: HOST, at: None }), "left")
        .at(10)
        .check(tick(2), "tick 2: 1667 of 3333; split 1001/333/333");
}

#[test]
fn a_host_is_in_one_agency_at_most() {
    World::new()
        .refuse(Command::from(LeaveAgency { host: HOST, at: None }), Rejection::NotInAgency)
        .given(join(HOST))
        .refuse(
            Command::from(JoinAgency {
                host: HOST,
                agency: AgencyId(uuid::Uuid::from_u128(0x2b)),
                from: None,
                until: None,
            }),
            Rejection::AlreadyInAgency,
        );
}

#[test]
fn a_host_belongs_to_an_agency_from_a_moment_to_a_moment() {
    let second = |number: i64| Some(START.plus_ms(number * 1_000));
    let for_a_time = JoinAgency { host: HOST, agency: AGENCY, from: second(10), until: second(20) };
    let mut world = World::with_coins(100_000);
    world
        .given(commission(Agency(AGENCY), 5_000, 2_000))
        .check(for_a_time.clone().into(), "joined for a time")
        .check(for_a_time.into(), "duplicate of 9")
        .at_ms(9_999)
        .check(rose(), "gift: 5000; split 3000/0/2000")
        .at(10)
        .check(rose(), "gift: 5000; split 2500/1000/1500")
        // What began while the host belonged to it is shared to its end.
        .check(start(), "started at 10000 (5000/2000); tick 1: 1666 of 1666; split 833/334/499")
        .at_ms(19_999)
        .check(rose(), "gift: 5000; split 2500/1000/1500")
        .at(20)
        .check(rose(), "gift: 5000; split 3000/0/2000")
        .check(tick_seen(2, 20), "tick 2: 1667 of 3333; split 834/333/500");
}

#[test]
fn a_membership_may_end_earlier_and_a_later_one_stays() {
    let second = |number: i64| Some(START.plus_ms(number * 1_000));
    let other = AgencyId(uuid::Uuid::from_u128(0x2b));
    let mut world = World::with_coins(100_000);
    world
        .given(JoinAgency { host: HOST, agency: AGENCY, from: None, until: second(20) }.into())
        .given(JoinAgency { host: HOST, agency: other, from: second(30), until: None }.into())
        .check(LeaveAgency { host: HOST, at: second(5) }.into(), "left")
        .refuse(LeaveAgency { host: HOST, at: second(5) }.into(), Rejection::NotInAgency)
        .refuse(
            JoinAgency { host: HOST, agency: AGENCY, from: second(6), until: second(7) }.into(),
            Rejection::AlreadyInAgency,
        );
    let found = [0, 4, 5, 20, 29, 30, 1_000].map(|at| world.state.agency_of(HOST, START.plus_ms(at * 1_000)));
    assert_eq!(found, [Some(AGENCY), Some(AGENCY), None, None, None, Some(other), Some(other)]);
    // One to come that is not wanted after all.
    world.check(LeaveAgency { host: HOST, at: second(30) }.into(), "left");
    assert_eq!(world.state.agency_of(HOST, START.plus_ms(DAY_MS)), None);
    let rows =
        |world: &World| world.state.rows().iter().find(|(name, _)| *name == "agency_of").expect("a table").1;
    world.at(10).given(join(HOST));
    assert_eq!(rows(&world), 1);
    world.given(LeaveAgency { host: HOST, at: None }.into());
    assert_eq!(rows(&world), 0, "who belongs to none has no row");
}

#[test]
fn rates_that_were_overtaken_are_not_kept() {
    let mut world = World::new();
    let mut sizes = vec![];
    for round in 0..50 {
        world.at_ms(round * HOUR_MS);
        let bps = u32::try_from(round).expect("a few");
        world.given(commission(CommissionScope::Host(HOST), 1_000 + bps, 0)).given(from(
            CommissionScope::Host(HOST),
            2_000 + bps,
            0,
            (round + 1) * HOUR_MS - 1,
        ));
        let rule = |world: &World, ms| world.state.commission_rule(HOST, START.plus_ms(ms)).host_bps;
        assert_eq!(rule(&world, round * HOUR_MS), 1_000 + bps, "the one in force");
        assert_eq!(rule(&world, (round + 1) * HOUR_MS - 1), 2_000 + bps, "the one to come");
        sizes.push(world.state.commission_changes(CommissionScope::Host(HOST)));
    }
    assert!(sizes.iter().all(|size| *size <= 3), "{sizes:?}");
}
