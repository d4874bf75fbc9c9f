//! The journal's first event, plans, prices.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::*;

#[test]
fn a_journal_is_opened_once_and_first() {
    let open = Command::from(OpenJournal { journal: JOURNAL, assets: vec![Asset::COIN] });
    let mut world = World::unopened();
    world.refuse(rose(), Rejection::JournalNotOpen);
    assert_eq!((world.state.revision(), world.state.journal()), (None, None));
    world.check(open.clone(), "opened with [COIN/3]").refuse(open, Rejection::JournalAlreadyOpen);
    assert_eq!((world.state.revision(), world.state.journal()), (Some(0), Some(JOURNAL)));
}

#[test]
fn a_plan_that_gives_or_costs_nothing_is_refused() {
    let priced = |coins_milli, bonus_milli, price_minor| {
        Command::from(SetCoinPlan {
            plan: PLAN,
            coins_milli,
            bonus_milli,
            bonus_valid_seconds: None,
            price_minor,
            price_asset: Asset::INR,
            active: true,
        })
    };
    let none = |field| Rejection::AmountNotPositive { field };
    let large = |field| Rejection::AmountTooLarge { field };
    World::new()
        .refuse(priced(0, 0, 1), none("coins_milli"))
        .refuse(priced(i64::MIN, 0, 1), none("coins_milli"))
        .refuse(priced(MAX_AMOUNT + 1, 0, 1), large("coins_milli"))
        .refuse(priced(1, 0, 0), none("price_minor"))
        .refuse(priced(1, 0, i64::MAX), large("price_minor"))
        .refuse(priced(1, -1, 1), none("bonus_milli"))
        .refuse(priced(1, i64::MAX, 1), large("bonus_milli"))
        .refuse(plan(1, 1, Some(0)), none("bonus_valid_seconds"))
        .check(priced(MAX_AMOUNT, MAX_AMOUNT, MAX_AMOUNT), &{
            let most = MAX_AMOUNT;
            format!("plan {most}+{most} for {most} INR/2")
        });
}

#[test]
fn a_withdrawn_plan_is_not_sold_and_what_was_ordered_of_it_still_is() {
    let mut world = World::new();
    let order = world.order(USER);
    let withdrawn = Command::from(SetCoinPlan {
        plan: PLAN,
        coins_milli: 100_000,
        bonus_milli: 0,
        bonus_valid_seconds: None,
        price_minor: 10_000,
        price_asset: Asset::INR,
        active: false,
    });
    world
        .given(withdrawn)
        .refuse(
            Command::from(OpenPurchase { user: USER, plan: PLAN, gateway: Gateway::Razorpay }),
            Rejection::PlanInactive,
        )
        .check(capture(Some(order), "pay_a", 10_000), "captured 100000 for 10000");
}

#[test]
fn prices_are_set_and_taken_back() {
    World::new()
        .refuse(host_rate(HOST, Some(0)), Rejection::AmountNotPositive { field: "price_milli_per_minute" })
        .refuse(
            host_rate(HOST, Some(i64::MAX)),
            Rejection::AmountTooLarge { field: "price_milli_per_minute" },
        )
        .check(host_rate(HOST, Some(MAX_AMOUNT)), "Video Some(9007199254740991)")
        .check(host_rate(HOST, None), "Video None")
        .refuse(start(), Rejection::MediumNotOffered { medium: Medium::Video });
}

#[test]
fn what_is_so_already_records_nothing_and_is_answered_with_the_end_of_the_journal() {
    let mut world = World::new();
    world.given(Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }));
    let head = world.state.revision().expect("an open journal");
    for same in [
        host_rate(HOST, Some(10_000)),
        host_rate(USER, None),
        plan(100_000, 0, None),
        Command::from(SetGiftPrice { gift: ROSE, price_milli: Some(5_000) }),
        commission(event::CommissionScope::Global, 6_000, 0),
        Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }),
    ] {
        let envelope = world.envelope(same);
        assert_eq!(world.send(&envelope), Ok((vec![], head)), "{:?}", envelope.command);
    }
    assert_eq!(world.state.revision(), Some(head));
    // Another value is recorded, and the first one again after it.
    for (price, expected) in [(Some(6_000), 1), (Some(5_000), 1), (Some(5_000), 0)] {
        let envelope = world.envelope(Command::from(SetGiftPrice { gift: ROSE, price_milli: price }));
        assert_eq!(world.send(&envelope).map(|(events, _)| events.len()), Ok(expected));
    }
}

#[test]
fn a_plan_is_priced_in_an_asset_that_the_journal_is_kept_in() {
    let mut world = World::new();
    for (code, scale) in [("USD", 2), ("INR", 3), ("JPY", 0)] {
        let asset = Asset::new(code, scale).expect("an asset");
        let Command::SetCoinPlan(plan) = plan(1_000, 0, None) else { panic!("a plan") };
        world
            .refuse(SetCoinPlan { price_asset: asset, ..plan }.into(), Rejection::AssetNotDeclared { asset });
    }
}
