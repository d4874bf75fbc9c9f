//! Lots: what spending them costs, and how small ones become one.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::lots::LOOSE_LOTS;
use ledger_core::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A user with `lots` purchases of one coin each.
fn with_purchases(lots: i64) -> World {
    let mut world = World::new();
    world.given(plan(1_000, 0, None));
    for _ in 0..lots {
        world.buy(USER);
    }
    world.given(SetGiftPrice { gift: ROSE, price_milli: Some(lots * 1_000) }.into());
    world.state.settle(world.state.next_revision() - 1);
    assert_eq!(world.state.undo_bytes(), 0);
    world
}

#[test]
fn spending_costs_what_it_touches() {
    let kept_for_undo = |lots: i64| {
        let mut world = with_purchases(lots);
        world.given(gift(USER, HOST, None, lots * 1_000));
        world.state.undo_bytes()
    };
    let (some, twice_as_many) = (kept_for_undo(200), kept_for_undo(400));
    assert!(twice_as_many < some * 2 + some / 10, "{some} bytes for 200 lots, {twice_as_many} for 400");
}

#[test]
fn a_lot_that_is_not_touched_costs_nothing() {
    let kept_for_undo = |lots: i64| {
        let mut world = with_purchases(lots);
        world.given(SetGiftPrice { gift: ROSE, price_milli: Some(1_000) }.into());
        world.state.settle(world.state.next_revision() - 1);
        world.given(gift(USER, HOST, None, 1_000));
        world.state.undo_bytes()
    };
    let (few, many) = (kept_for_undo(10), kept_for_undo(300));
    assert!(many < few + 200, "{few} bytes beside 10 lots, {many} beside 300");
}

fn merges(world: &World) -> Vec<&event::LotsMerged> {
    let merges = world.journal.iter().filter_map(|it| match &it.event {
        Event::LotsMerged(it) => Some(it),
        _ => None,
    });
    merges.collect()
}

#[test]
fn however_many_small_lots_come_in_all_coins_can_be_spent_at_once() {
    let mut world = World::new();
    for _ in 0..1_000 {
        world.bonus(5, None);
        world.given(adjust(Account::UserPurchased(USER), 3));
    }
    world.wallet(USER, [3_000, 5_000, 8_000, 0, 0]);
    for account in [Account::UserBonus(USER), Account::UserPurchased(USER)] {
        assert!(world.state.lots_of(account).count() <= LOOSE_LOTS + 1, "{account}");
    }
    world.given(SetGiftPrice { gift: ROSE, price_milli: Some(8_000) }.into());
    world.given(gift(USER, HOST, None, 8_000)).wallet(USER, [0; 5]);
}

#[test]
fn a_merge_names_what_was_in_each_lot_and_changes_no_balance() {
    let mut world = World::new();
    let lots: Vec<LotId> = (0..256).map(|_| world.bonus(7, None)).collect();
    let command = grant(USER, 9, None);
    world.check(command, "bonus 9 (Promotion); merged 1792 of 256");
    let merges = merges(&world);
    let [merged] = merges[..] else { panic!("one merge: {merges:?}") };
    assert_eq!(merged.merged.iter().map(|it| it.lot).collect::<Vec<_>>(), lots);
    assert!(lots.iter().all(|lot| world.state.lot(*lot).is_none()), "they are gone");
    let metadata = &world.journal.last().expect("an event").metadata;
    let name = format!("merged {} 0", Account::UserBonus(USER));
    assert_eq!(metadata.command_id.derive::<LotId>(&name), merged.lot);
    world.wallet(USER, [0, 1_801, 1_801, 0, 0]);
}

#[test]
fn lots_of_different_expiry_are_merged_no_coarser_than_it_takes_and_to_the_last_of_them() {
    let after = |world: &World| -> Vec<i64> {
        let lots = world.state.lots_of(Account::UserBonus(USER));
        lots.map(|(_, lot)| lot.expires_at().map_or(-1, |at| at.since(START) / 1_000)).collect()
    };
    // Two for each of 128 seconds: those of one moment are merged.
    let mut world = World::new();
    for number in 0..257 {
        world.bonus(10, Some(1 + number / 2));
    }
    assert_eq!(after(&world), (1..=129).collect::<Vec<_>>());
    // Each at a moment of its own on one day, and some that never expire: two lots, the later expiry.
    let mut world = World::new();
    world.bonus(10, None);
    for number in 0..256 {
        world.bonus(10, Some(1_000 + number));
    }
    world.bonus(10, None);
    assert_eq!(after(&world), [1_254, 1_255, -1, -1]);
    // A moment in each of 256 years: nothing finer is left than all in one.
    let mut world = World::new();
    for number in 0..257 {
        world.bonus(10, Some(1 + number * 15_000_000));
    }
    assert_eq!(after(&world).len(), 2);
}

#[test]
fn a_lot_that_a_purchase_refers_to_is_not_merged() {
    let mut world = World::new();
    world.given(plan(1_000, 500, Some(60)));
    let purchase = world.buy(USER);
    let captured = world.state.purchase(purchase).and_then(|it| it.captured.clone()).expect("captured");
    for _ in 0..300 {
        world.bonus(5, Some(60));
        world.given(adjust(Account::UserPurchased(USER), 3));
    }
    assert!(!merges(&world).is_empty());
    let left = |lot| world.state.lot(lot).map(|it| it.remaining_milli);
    assert_eq!((left(captured.lot), left(captured.bonus_lot.expect("a bonus"))), (Some(1_000), Some(500)));
}

#[test]
fn an_event_whose_draws_are_not_its_postings_or_that_overdraws_stops_the_ledger() {
    type Change = (&'static str, fn(&mut event::GiftSent));
    let changes: [Change; 4] = [
        ("less is drawn than is posted", |it| it.draws[0].amount_milli -= 1),
        ("a draw is missing", |it| it.draws.clear()),
        ("a draw names another account", |it| it.draws[0].account = Account::UserBonus(OTHER)),
        ("more than there is", |it| {
            it.draws[0].amount_milli += 1_000_000;
            it.postings[0].amount += 1_000_000;
            it.postings[1].amount -= 1_000_000;
        }),
    ];
    let before = World::with_coins(100_000);
    let mut world = before.clone();
    world.given(rose());
    let first = before.journal.len();
    for (name, change) in changes {
        let mut recorded = world.journal[first].clone();
        let Event::GiftSent(sent) = &mut recorded.event else { panic!("a gift") };
        change(sent);
        let mut state = before.state.clone();
        let evolved = catch_unwind(AssertUnwindSafe(|| evolve(&mut state, &recorded)));
        assert!(evolved.is_err(), "{name}");
    }
}

#[test]
fn an_account_that_would_be_overdrawn_stops_the_ledger() {
    let before = World::with_earnings(50_000);
    let mut world = before.clone();
    world.given(withdraw(HOST, 50_000));
    let mut recorded = world.journal[before.journal.len()].clone();
    let Event::WithdrawalRequested(requested) = &mut recorded.event else { panic!("a withdrawal") };
    requested.postings[0].amount += 1;
    requested.postings[1].amount -= 1;
    let mut state = before.state.clone();
    let evolved = catch_unwind(AssertUnwindSafe(|| evolve(&mut state, &recorded)));
    assert!(evolved.is_err(), "a thousandth of a coin more than there is");
}
