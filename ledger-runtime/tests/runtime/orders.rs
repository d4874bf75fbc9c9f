//! Many orders at once: a coupon is used no more often than it may be, and no coin pays twice.

use crate::world::*;
use ledger_core::command::{Discount, PlaceOrder, SetCoupon, SetService};
use ledger_core::*;
use ledger_runtime::ExecuteError;
use uuid::Uuid;

const COUPON: CouponId = CouponId(Uuid::from_u128(0xc01));
const SERVICE: ServiceId = ServiceId(Uuid::from_u128(0x5e1));

/// A service of [`HOST`] for ten coins, and a coupon of four off with so many uses.
async fn shop(world: &World, in_all: u32) {
    let (provider, price) = (Some(HOST), None);
    let service = SetService { service: SERVICE, provider, price_milli: 10_000, price, active: true };
    world.given(service.into()).await;
    let coupon = SetCoupon {
        coupon: COUPON,
        code: "FOUROFF".to_owned(),
        discount: Discount::Amount(4_000),
        least_price_milli: None,
        per_person: None,
        in_all: Some(in_all),
        from: START,
        to: START.plus_ms(86_400_000),
        active: true,
    };
    world.given(coupon.into()).await;
}

fn ask(user: PersonId) -> Envelope {
    let order = PlaceOrder {
        user,
        service: SERVICE,
        coupon: Some("FOUROFF".to_owned()),
        total_seen_milli: 6_000,
        wallet_milli: 6_000,
        gateway: Gateway::Razorpay,
    };
    envelope(user, order.into())
}

#[tokio::test]
async fn of_twenty_who_use_a_coupon_at_once_as_many_get_it_as_it_has_uses() {
    for (name, store, _folder) in stores() {
        let world = World::with_coins(store, 0).await;
        shop(&world, 7).await;
        let people: Vec<PersonId> = (0..20).map(|number| PersonId(Uuid::from_u128(0xb00 + number))).collect();
        for person in &people {
            world.given(coins(*person, 10_000)).await;
        }
        let tasks: Vec<_> = people.iter().map(|person| world.send(ask(*person))).collect();
        let (mut placed, mut refused) = (0, 0);
        for task in tasks {
            match soon(task).await.expect("ends") {
                Ok(_) => placed += 1,
                Err(ExecuteError::Rejected(Rejection::CouponUsedUp)) => refused += 1,
                Err(other) => panic!("{name}: {other}"),
            }
        }
        assert_eq!((placed, refused), (7, 13), "{name}");
        let used = world.query(|state, _| state.coupon(COUPON).map(|row| row.used)).await;
        assert_eq!(used, Ok(Some(7)), "{name}");
        world.assert_sound().await;
    }
}

#[tokio::test]
async fn an_order_sent_fifty_times_at_once_is_placed_and_paid_once() {
    for (name, store, _folder) in stores() {
        let world = World::with_coins(store, 100_000).await;
        shop(&world, 50).await;
        let sent = ask(USER);
        let tasks: Vec<_> = (0..50).map(|_| world.send(sent.clone())).collect();
        for task in tasks {
            soon(task).await.expect("ends").expect("is accepted");
        }
        assert_eq!(world.spendable(USER).await, 94_000, "{name}: charged once");
        let used = world.query(|state, _| state.coupon_used(COUPON, USER)).await;
        assert_eq!(used, Ok(1), "{name}");
        world.assert_sound().await;
    }
}
