//! Gifts.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::*;

#[test]
fn a_gift_pays_the_host_and_the_platform() {
    let mut world = World::with_coins(8_000);
    world
        .check(rose(), "gift: 5000; split 3000/0/2000")
        .wallet(USER, [3_000, 0, 3_000, 0, 0])
        .wallet(HOST, [0, 0, 0, 3_000, 3_000])
        .stands("platform:revenue", Asset::COIN, -2_000)
        .refuse(rose(), Rejection::InsufficientFunds { needed_milli: 5_000, spendable_milli: 3_000 });
}

#[test]
fn a_gift_costs_what_the_sender_saw_or_nothing() {
    let mut world = World::with_coins(100_000);
    world
        .check(Command::from(SetGiftPrice { gift: ROSE, price_milli: Some(6_000) }), "gift Some(6000)")
        .refuse(rose(), Rejection::GiftPriceChanged { price_milli: 6_000 })
        .check(gift(USER, HOST, None, 6_000), "gift: 6000; split 3600/0/2400")
        .check(Command::from(SetGiftPrice { gift: ROSE, price_milli: None }), "gift None")
        .refuse(gift(USER, HOST, None, 6_000), Rejection::UnknownGift);
}

#[test]
fn earnings_are_not_spendable() {
    let mut world = World::with_earnings(5_000);
    world
        .refuse(
            gift(HOST, OTHER_HOST, None, 5_000),
            Rejection::EarningsNotSpendable { needed_milli: 5_000, spendable_milli: 0 },
        )
        .given(grant(HOST, 1_000, None))
        .refuse(
            gift(HOST, OTHER_HOST, None, 5_000),
            Rejection::EarningsNotSpendable { needed_milli: 5_000, spendable_milli: 1_000 },
        )
        .given(adjust(Account::HostEarnings(HOST), -1_001))
        .refuse(
            gift(HOST, OTHER_HOST, None, 5_000),
            Rejection::InsufficientFunds { needed_milli: 5_000, spendable_milli: 1_000 },
        );
}

#[test]
fn nobody_sends_gifts_to_themselves() {
    World::with_coins(9_000).refuse(gift(USER, USER, None, 5_000), Rejection::SelfPayment);
}

#[test]
fn a_gift_in_a_call_goes_from_its_payer_to_its_host_while_it_lasts() {
    let in_call = |sender, host| gift(sender, host, Some(CALL), 5_000);
    let mut world = World::in_call(100_000);
    world
        .given(grant(OTHER, 9_000, None))
        .check(in_call(USER, HOST), "gift: 5000; split 3000/0/2000")
        .refuse(in_call(OTHER, HOST), Rejection::GiftOutsideCall)
        .refuse(in_call(USER, OTHER_HOST), Rejection::GiftOutsideCall)
        .refuse(in_call(HOST, USER), Rejection::GiftOutsideCall)
        .refuse(gift(USER, HOST, Some(OTHER_CALL), 5_000), Rejection::UnknownCall)
        .given(pause())
        .check(in_call(USER, HOST), "gift: 5000; split 3000/0/2000")
        .given(hang_up(USER))
        .refuse(in_call(USER, HOST), Rejection::GiftOutsideCall);
}
