//! Events as JSON.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::disputes::DisputeNews;
use ledger_core::event::{CommissionScope, DecodeError};
use ledger_core::purchases::Resolution;
use ledger_core::*;
use serde_json::{Map, Value};

/// One event of each type, in the types' order.
pub fn every_event() -> Vec<Recorded> {
    let world = everything();
    let first_of = |kind| world.journal.iter().find(|it| it.event.kind() == kind).cloned();
    Event::KINDS.iter().map(|kind| first_of(*kind).unwrap_or_else(|| panic!("{kind} happens"))).collect()
}

/// A story in which everything happens that can.
pub fn everything() -> World {
    let mut world = World::new();
    world.given(payout_rate("0.45")).given(tax(100));
    world.policy.daily_withdrawal_milli = Some(1_000_000);
    world.given(plan(100_000, 20_000, Some(2_592_000)));
    let first = world.order(USER);
    world.given(fail(first, "pay_Nb1"));
    world.given(capture(Some(first), "pay_Nb2", 10_000));
    world.given(capture(Some(first), "pay_Nb3", 10_000));
    let resolution = Resolution::Income;
    let case = world.state.next_revision() - 1;
    world.given(Command::from(ResolveSuspense { case, resolution, reason: "kept".to_owned() }));
    world.given(refund(first, "rfnd_Nb4", 2_500));
    let unpaid = world.order(USER);
    world.given(expire(unpaid));
    let expiring = world.bonus(3_000, Some(30));
    world.at(31).given(Command::from(ExpireBonus { lot: expiring }));
    let agency_scope = CommissionScope::Agency(AGENCY);
    world
        .given(Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }))
        .given(commission(agency_scope, 6_000, 1_000));
    world.at(40).given(start()).at(50).given(tick(2)).at(53).given(pause()).at(60).given(resume());
    world.at(67).given(tick_seen(3, 60)).given(lost_since(60)).given(resume());
    world.given(gift(USER, HOST, Some(CALL), 5_000)).at(70).given(hang_up(USER));
    world.given(Command::from(LeaveAgency { host: HOST, at: None }));
    world.given(Command::from(ClearCommissionRate { scope: agency_scope, effective_from: None }));
    let note = Some(NoteId(uuid::Uuid::from_u128(0x9a)));
    let (account, reason) = (Account::HostEarnings(HOST), "late_credit".to_owned());
    world.given(Command::from(PostAdjustment { account, amount_milli: 50_000, reason, note, settles: None }));
    let [one, two, three, four] = [(); 4].map(|()| world.request_withdrawal(10_000));
    world.given(approve(one)).given(reject(two)).given(cancel(three, HOST));
    world.given(sent(one)).given(outcome_unknown(one)).given(paid(one));
    world.given(approve(four)).given(payout_failed(four));
    let five = world.request_withdrawal(10_000);
    world.given(approve(five)).given(paid_as(five, "utr_5")).given(reversed(five));
    // Two lots for each of 128 moments: all that an account holds before they are merged.
    for number in 0..257 {
        world.bonus(1_000, Some(1_000 + number / 2));
    }
    // What no event is named for: free seconds that were used, earnings that wait, a refund that waits for its payment.
    (world.policy.free_seconds, world.policy.earnings_hold_seconds) = (7, 30);
    world.policy.claw_back_held_earnings = true;
    world.given(adjust_gateway(-236, Some(DifferenceId(uuid::Uuid::from_u128(0xd1)))));
    world.given(start_as(OTHER_CALL, USER, HOST, 10_000));
    world.now = world.now.plus_ms(8_000);
    world.given(Command::from(EndCall { call: OTHER_CALL, by: Ending::Participant(USER) }));
    world.given(gift(USER, HOST, None, 5_000));
    world.given(refund_of("pay_Nb5", "rfnd_Nb6", 1_000));
    // One that is won; one that is lost and paid with the next purchase; one that is written off in part and won after
    // all; one that comes before its payment.
    let disputed = world.buy(OTHER);
    world.given(gift(OTHER, HOST, None, 5_000));
    let payment = payment_of(disputed);
    world.given(dispute(&payment, "disp_1", DisputeNews::Opened));
    world.given(dispute(&payment, "disp_1", DisputeNews::Won));
    world.given(dispute(&payment, "disp_2", DisputeNews::Lost { taken_minor: 10_500, fee_minor: 500 }));
    let disputed = world.buy(OTHER);
    let left = world.state.spendable(OTHER, world.now);
    world.given(gift(OTHER, HOST, None, 5_000));
    world.given(dispute_over(5_000, &payment_of(disputed), "disp_3", DisputeNews::Opened));
    world.given(SetGiftPrice { gift: ROSE, price_milli: Some(left / 4) }.into());
    world.given(gift(OTHER, HOST, None, left / 4));
    world.given(SetGiftPrice { gift: ROSE, price_milli: Some(5_000) }.into());
    world.given(dispute(&payment_of(disputed), "disp_3", lost(10_000)));
    world.given(write_off("disp_3", 2_000));
    world.given(dispute(&payment_of(disputed), "disp_3", DisputeNews::Won));
    world.given(dispute("pay_Nb7", "disp_4", DisputeNews::Opened));
    let late = world.order(OTHER);
    world.given(capture(Some(late), "pay_Nb7", 10_000));
    crate::rewards::everything(&mut world);
    crate::subscriptions::everything(&mut world);
    crate::orders::everything(&mut world);
    crate::settlements::everything(&mut world);
    world
}

fn object(bytes: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(bytes).expect("an object")
}

#[test]
fn the_json_holds_no_white_space_and_no_fraction() {
    fn no_fraction(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.is_i64() || number.is_u64(),
            Value::Array(items) => items.iter().all(no_fraction),
            Value::Object(fields) => fields.values().all(no_fraction),
            _ => true,
        }
    }
    for it in every_event() {
        for bytes in [it.event.to_json(), it.metadata.to_json()] {
            assert!(!bytes.iter().any(u8::is_ascii_whitespace), "{}", it.event.kind());
            assert!(object(&bytes).values().all(no_fraction), "{}", it.event.kind());
        }
    }
}

#[test]
fn fields_that_nobody_knows_are_refused_at_every_depth() {
    /// All objects within a value get one more field, one at a time.
    fn spoiled(value: &Value) -> Vec<Value> {
        let mut all = vec![];
        if let Value::Object(fields) = value {
            let mut more = fields.clone();
            more.insert("unheard_of".to_owned(), Value::Null);
            all.push(Value::Object(more));
            for (name, field) in fields {
                all.extend(spoiled(field).into_iter().map(|bad| {
                    let mut copy = fields.clone();
                    copy.insert(name.clone(), bad);
                    Value::Object(copy)
                }));
            }
        }
        if let Value::Array(items) = value {
            for (place, item) in items.iter().enumerate() {
                all.extend(spoiled(item).into_iter().map(|bad| {
                    let mut copy = items.clone();
                    copy[place] = bad;
                    Value::Array(copy)
                }));
            }
        }
        all
    }
    for it in every_event() {
        for bad in spoiled(&Value::Object(object(&it.event.to_json()))) {
            let read = Event::decode(it.event.kind(), bad.to_string().as_bytes());
            assert!(matches!(read, Err(DecodeError::Malformed(..))), "{}: {bad}", it.event.kind());
        }
        for bad in spoiled(&Value::Object(object(&it.metadata.to_json()))) {
            assert!(Metadata::from_json(bad.to_string().as_bytes()).is_err(), "{bad}");
        }
    }
}

#[test]
fn fields_that_are_missing_or_of_another_type_are_refused() {
    for it in every_event() {
        let fields = object(&it.event.to_json());
        for (name, value) in &fields {
            let mut bad = fields.clone();
            bad.insert(name.clone(), Value::Bool(matches!(value, Value::Null)));
            if !value.is_boolean() {
                let read = Event::decode(it.event.kind(), Value::Object(bad.clone()).to_string().as_bytes());
                assert!(read.is_err(), "{} with a boolean {name}", it.event.kind());
            }
            if !value.is_null() && !may_be_absent(it.event.kind(), name) {
                bad.remove(name);
                let read = Event::decode(it.event.kind(), Value::Object(bad).to_string().as_bytes());
                assert!(read.is_err(), "{} without {name}", it.event.kind());
            }
        }
    }
}

/// Fields that hold a value here and none elsewhere: JSON's readers take their absence for none.
fn may_be_absent(kind: &str, field: &str) -> bool {
    matches!(
        (kind, field),
        (_, "bonus_valid_seconds" | "purchase" | "bonus_lot" | "expires_at" | "call" | "note" | "lot")
            | (_, "price_milli_per_minute" | "price_milli" | "ended_by" | "user" | "bonus_expires_at")
            | ("CampaignSet", "valid_seconds" | "per_person" | "code")
            | ("RewardEarned", "invited")
            | ("GatewayAdjusted" | "AdjustmentPosted", "settles")
            | ("SubscriptionPlanSet", "price")
            | ("ServiceSet", "price" | "provider")
            | ("CouponSet", "least_price_milli" | "per_person" | "in_all")
            | ("OrderPlaced", "provider" | "commission" | "coupon" | "pay_by")
            | ("OrderPaid" | "OrderAccepted" | "OrderCompleted", "provider")
            | ("OrderCancelled", "provider" | "coupon" | "reason")
            | ("OrderRefunded", "provider" | "commission")
            | ("AgencyJoined", "until")
    )
}

#[test]
fn a_type_that_nobody_knows_is_an_error_of_its_own() {
    for kind in ["CallTeleported", "callstarted", "", "CallStarted "] {
        assert_eq!(Event::decode(kind, b"{}"), Err(DecodeError::UnknownKind(kind.to_owned())));
    }
    for data in [&b""[..], b"{", b"null", b"[]", b"\xff", b"{} {}"] {
        assert!(matches!(Event::decode("AgencyLeft", data), Err(DecodeError::Malformed(..))));
    }
}

#[test]
fn an_account_and_an_asset_have_one_text() {
    for account in every_event().iter().flat_map(|it| it.event.postings().to_vec()).map(|it| it.account) {
        assert_eq!(account.to_string().parse(), Ok(account));
    }
    for bad in [
        "user:00000000-0000-0000-0000-00000000000a",
        "user:00000000-0000-0000-0000-00000000000a:earnings",
        "gateway:paypal",
        "platform:revenue ",
        "",
    ] {
        assert!(bad.parse::<Account>().is_err(), "{bad:?}");
    }
    for bad in ["COIN", "COIN/", "COIN/10", "coin/3", "COINS/3", "CO/3", "COIN/+3", "COIN/-1"] {
        assert!(bad.parse::<Asset>().is_err(), "{bad:?}");
    }
    for good in ["COIN/3", "INR/2", "JPY/0", "USDT/9"] {
        assert_eq!(good.parse::<Asset>().map(|it| it.to_string()).as_deref(), Ok(good));
    }
}
