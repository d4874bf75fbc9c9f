//! Corrections by people of the platform.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::*;

#[test]
fn an_adjustment_adds_to_any_persons_account_and_takes_from_it() {
    for account in [
        Account::UserPurchased(USER),
        Account::UserBonus(USER),
        Account::HostEarnings(HOST),
        Account::AgencyEarnings(AGENCY),
    ] {
        let text = account.to_string();
        World::new()
            .check(adjust(account, 5_000), "adjusted 5000")
            .check(adjust(account, 3_000), "adjusted 3000")
            .stands(&text, Asset::COIN, -8_000)
            .stands("platform:adjustments", Asset::COIN, 8_000)
            .refuse(adjust(account, -8_001), Rejection::AdjustmentOverdraws { balance_milli: 8_000 })
            .given(adjust(account, -6_000))
            .stands(&text, Asset::COIN, -2_000)
            .given(adjust(account, -2_000))
            .stands(&text, Asset::COIN, 0)
            .stands("platform:adjustments", Asset::COIN, 0);
    }
}

#[test]
fn coins_of_an_adjustment_are_spent_as_what_they_are() {
    World::new()
        .given(adjust(Account::UserPurchased(USER), 4_000))
        .given(adjust(Account::UserBonus(USER), 2_000))
        .wallet(USER, [4_000, 2_000, 6_000, 0, 0])
        .check(rose(), "gift: 5000 (2000+3000); split 3000/0/2000")
        .wallet(USER, [1_000, 0, 1_000, 0, 0]);
}

#[test]
fn an_adjustment_takes_from_several_lots_and_from_expired_ones() {
    let mut world = World::new();
    world.bonus(1_000, Some(60));
    world.bonus(1_000, None);
    world
        .at(61)
        .wallet(USER, [0, 2_000, 1_000, 0, 0])
        .check(adjust(Account::UserBonus(USER), -1_500), "adjusted -1500 (1000+500)")
        .wallet(USER, [0, 500, 500, 0, 0]);
}

#[test]
fn accounts_of_nobody_are_not_adjusted() {
    let mut world = World::with_earnings(9_000);
    let withdrawal = world.request_withdrawal(9_000);
    for account in [
        Account::WithdrawalHeld(withdrawal),
        Account::OrderHeld(OrderId(uuid::Uuid::nil())),
        Account::PlatformRevenue,
        Account::PlatformPromotions,
        Account::PlatformAdjustments,
        Account::PlatformBank,
        Account::ClearingCharges,
        Account::ExchangeCoins,
        Account::Gateway(Gateway::Razorpay),
        Account::Suspense(Gateway::Razorpay),
    ] {
        world
            .refuse(adjust(account, 1), Rejection::AccountNotAdjustable)
            .refuse(adjust(account, -1), Rejection::AccountNotAdjustable);
    }
}

#[test]
fn a_reason_is_a_code_and_never_words() {
    let mut world = World::new();
    let because = |reason: &str| {
        Command::from(PostAdjustment {
            account: Account::UserBonus(USER),
            amount_milli: 1,
            reason: reason.to_owned(),
            note: Some(NoteId(uuid::Uuid::from_u128(7))),
            settles: None,
        })
    };
    for reason in ["", "Goodwill", "sorry for that", "größe", &"a".repeat(65)] {
        world.refuse(because(reason), Rejection::ReasonInvalid { field: "reason" });
    }
    world.check(because(&"a".repeat(64)), "adjusted 1").check(because("refund_2_of_3"), "adjusted 1");
}

#[test]
fn nobody_decides_on_their_own_money_and_another_admin_may() {
    let mut world = World::with_earnings(9_000);
    let (first, second) = (world.request_withdrawal(2_000), world.request_withdrawal(2_000));
    let bought = world.buy(HOST);
    let scope = event::CommissionScope::Host(HOST);
    let own = |account| adjust(account, 1_000);
    for command in [
        own(Account::UserPurchased(HOST)),
        own(Account::UserBonus(HOST)),
        own(Account::HostEarnings(HOST)),
        grant(HOST, 1_000, None),
        refund(bought, "r", 1),
        commission(scope, 9_000, 0),
        Command::from(ClearCommissionRate { scope, effective_from: None }),
        Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }),
        Command::from(LeaveAgency { host: HOST, at: None }),
        approve(first),
        paid(first),
        approve(second),
        payout_failed(second),
    ] {
        let mut envelope = world.envelope(command.clone());
        envelope.actor = Actor::Person(HOST);
        assert_eq!(world.send(&envelope), Err(Rejection::OwnMoney), "{command:?}");
        world.given(command);
    }
    let last = world.request_withdrawal(2_000);
    let mut envelope = world.envelope(reject(last));
    envelope.actor = Actor::Person(HOST);
    assert_eq!(world.send(&envelope), Err(Rejection::OwnMoney));
    // One's own price, and taking back one's own request, are nobody else's to decide.
    for command in [host_rate(HOST, Some(20_000)), cancel(last, HOST)] {
        let mut envelope = world.envelope(command);
        envelope.actor = Actor::Person(HOST);
        assert!(world.send(&envelope).is_ok());
    }
}

#[test]
fn nobody_resolves_suspense_into_their_own_purchase() {
    let mut world = World::new();
    let own = world.order(USER);
    world.given(capture(None, "pay_lost", 10_000));
    let case = world.state.next_revision() - 1;
    let resolution = purchases::Resolution::Purchase(own);
    let mut envelope =
        world.envelope(Command::from(ResolveSuspense { case, resolution, reason: "found".to_owned() }));
    envelope.actor = Actor::Person(USER);
    world.refuse_sent(&envelope, Rejection::OwnMoney);
    envelope.actor = Actor::Person(ADMIN);
    world.send(&envelope).expect("somebody else may");
    world.wallet(USER, [100_000, 0, 100_000, 0, 0]);
}

#[test]
fn an_adjustment_of_a_gateway_is_a_loss_or_a_gain_of_the_platform() {
    World::new()
        .check(adjust_gateway(-236, None), "gateway adjusted -236")
        .stands("gateway:razorpay", Asset::INR, -236)
        .stands("platform:losses", Asset::INR, 236)
        .check(adjust_gateway(1_000, None), "gateway adjusted 1000")
        .stands("gateway:razorpay", Asset::INR, 764)
        .stands("platform:losses", Asset::INR, -764);
}

/// By whichever kind of adjustment, and for ever.
#[test]
fn a_difference_is_settled_once() {
    let difference = |number: u128| Some(DifferenceId(uuid::Uuid::from_u128(number)));
    let coins = |amount_milli: i64, settles: Option<DifferenceId>| {
        let (account, reason) = (Account::UserBonus(USER), "call_too_long".to_owned());
        Command::from(PostAdjustment { account, amount_milli, reason, note: None, settles })
    };
    World::new()
        .given(adjust_gateway(-236, difference(1)))
        .given(coins(5_000, difference(2)))
        .at(40 * 86_400)
        .refuse(adjust_gateway(-236, difference(1)), Rejection::DifferenceSettled)
        .refuse(coins(5_000, difference(1)), Rejection::DifferenceSettled)
        .refuse(coins(5_000, difference(2)), Rejection::DifferenceSettled)
        .refuse(adjust_gateway(-236, difference(2)), Rejection::DifferenceSettled)
        .given(adjust_gateway(-236, difference(3)))
        .given(coins(5_000, None))
        .given(coins(5_000, None));
}
