//! What a command is: its id, its request hash, and the ids of what it creates. A retry that reaches a
//! newer program must be known as the same command, so these never change.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::event::{BonusOrigin, CommissionScope, PauseCause};
use ledger_core::purchases::Resolution;
use ledger_core::*;
use std::collections::BTreeSet;
use uuid::Uuid;

const PURCHASE: PurchaseId = PurchaseId(Uuid::from_u128(0x6a));
const LOT: LotId = LotId(Uuid::from_u128(0x7a));
const WITHDRAWAL: WithdrawalId = WithdrawalId(Uuid::from_u128(0x8a));
const NOTE: NoteId = NoteId(Uuid::from_u128(0x9a));
const KEY: Uuid = Uuid::from_u128(0x018b_cfe5_6800_7000_8000_0000_0000_0001);

/// Each command in each of its forms: command, its id under [`KEY`] of [`USER`], its request hash.
#[rustfmt::skip]
fn commands() -> Vec<(Command, &'static str, &'static str)> {
    let gateway = Gateway::Razorpay;
    let text = |it: &str| it.to_owned();
    vec![
        (OpenJournal { journal: JOURNAL, assets: vec![Asset::COIN, Asset::INR] }.into(), "08ef1ef7-ffca-5784-82bb-953a895cf35c", "12ea01773360a23cda6fb5114aacf0c3"),
        (SetCoinPlan { plan: PLAN, coins_milli: 1, bonus_milli: 2, bonus_valid_seconds: Some(3), price_minor: 4, price_asset: Asset::INR, active: true }.into(), "45cd8a31-611d-5928-8861-36433987fd34", "bb8a74d77effafa87fd74ea0f74b6495"),
        (SetCoinPlan { plan: PLAN, coins_milli: 1, bonus_milli: 0, bonus_valid_seconds: None, price_minor: 4, price_asset: Asset::INR, active: false }.into(), "45cd8a31-611d-5928-8861-36433987fd34", "eb3306ce386a9a9deade8b9eabb756e8"),
        (SetHostRate { host: HOST, medium: Medium::Chat, price_milli_per_minute: Some(1) }.into(), "d99c3172-7fbe-5d2a-a233-617a4353c16e", "87165f1056d32fcf3f7493f8e52f88d4"),
        (SetHostRate { host: HOST, medium: Medium::Voice, price_milli_per_minute: None }.into(), "d99c3172-7fbe-5d2a-a233-617a4353c16e", "36df92537c486b30f699a908dcf7775d"),
        (SetHostRate { host: HOST, medium: Medium::Video, price_milli_per_minute: None }.into(), "d99c3172-7fbe-5d2a-a233-617a4353c16e", "2531f0535bea0aec8caaaf13a5dace1e"),
        (SetGiftPrice { gift: ROSE, price_milli: Some(1) }.into(), "75e2d063-aa8c-5f4e-be10-c3667815022a", "7976fd1f281fae1df2d7ef65ccccf72e"),
        (JoinAgency { host: HOST, agency: AGENCY }.into(), "f459e593-c15b-5d84-b212-ff54968d5c2c", "fb0692af2657c74dc641ed295de65a07"),
        (LeaveAgency { host: HOST }.into(), "22d3251e-31d7-5bad-a5c3-1c2d27c47a20", "ef8cd82b3f949845521f64ea2f45902a"),
        (SetCommissionRate { scope: CommissionScope::Global, host_bps: 1, agency_bps: 2, effective_from: None }.into(), "701ed511-8835-586c-906b-b49f62a32941", "2990de66b4ac1d33fa078eda9ac75750"),
        (SetCommissionRate { scope: CommissionScope::Agency(AGENCY), host_bps: 1, agency_bps: 2, effective_from: Some(START) }.into(), "701ed511-8835-586c-906b-b49f62a32941", "f85f8128c1a3553bda4c05fc325afd4f"),
        (ClearCommissionRate { scope: CommissionScope::Host(HOST), effective_from: Some(START) }.into(), "e344e3ec-08b4-5516-9b23-3a64b1c64d02", "f985cc94b433f8b8efc19ddb0d91eeee"),
        (GrantBonus { user: USER, origin: BonusOrigin::Promotion, coins_milli: 1, valid_seconds: Some(2) }.into(), "16a7005a-116b-5a2e-9a66-e8463588f927", "b07d74fe7f89925a74064ed4d8c33e40"),
        (GrantBonus { user: USER, origin: BonusOrigin::Plan, coins_milli: 1, valid_seconds: None }.into(), "16a7005a-116b-5a2e-9a66-e8463588f927", "44b92af3c3824504053b4623e5caaa24"),
        (ExpireBonus { lot: LOT }.into(), "fb553a29-7227-55e4-ae02-80b0bcdb1b70", "b5f831aff5feceae2742a708fca4d98a"),
        (OpenPurchase { user: USER, plan: PLAN, gateway }.into(), "5d5b09aa-a804-5187-b3bc-8207387292d8", "fe2f799948dc42a0e90d01697713a5f8"),
        (CapturePurchase { gateway, purchase: Some(PURCHASE), payment_ref: text("pay_1"), amount_minor: 1, asset: Asset::INR }.into(), "090c187e-cdce-5d01-bd28-f4934c156a4f", "30b2f4e429e0e061194818dd9de65119"),
        (CapturePurchase { gateway, purchase: None, payment_ref: text("pay_1"), amount_minor: 1, asset: Asset::INR }.into(), "090c187e-cdce-5d01-bd28-f4934c156a4f", "eb78fce9c82165a46a853bdcfa1434b2"),
        (ExpirePurchase { purchase: PURCHASE }.into(), "08aeeddb-21a8-5f88-9c09-ee658c019144", "67d88ada29e3935bc16750f2271d1fda"),
        (FailPurchase { purchase: PURCHASE, payment_ref: text("pay_1"), reason: text("declined") }.into(), "f9c8b2aa-c4a0-5386-998f-db605522b05d", "1b120edf4485fbd4040be4b278633eb7"),
        (RecordRefund { gateway, payment_ref: text("pay_1"), refund_ref: text("rfnd_1"), amount_minor: 1, asset: Asset::INR }.into(), "928e18da-b3a3-5643-aeae-05a2c75eba0a", "2694e6a775e3421b9699b7baa50a49c2"),
        (ResolveSuspense { case: 7, resolution: Resolution::Income, reason: text("kept") }.into(), "204909b5-2237-53cf-898f-2b0a71c8326a", "d07d2247513eef2e4eefffd6994e1a17"),
        (RefundPurchase { purchase: PURCHASE, refund_ref: text("rfnd_1"), amount_minor: 1, asset: Asset::INR }.into(), "5d49d993-e5a6-5fdc-b104-1f51f7c65f94", "f78b919cc738e18016278a43f0b19432"),
        (StartCall { call: CALL, payer: USER, host: HOST, medium: Medium::Video, price_seen_milli_per_minute: 1 }.into(), "616b6cc6-c5e1-5721-a33f-5a53a2bc8849", "6b5a50b4e506de4f124bd9365ddcbbb7"),
        (TickCall { call: CALL, number: 1, last_seen: None }.into(), "31d74ad6-fdeb-500e-9915-445ba2793496", "7ff1d4ff1a37f1a9e8594d1177987585"),
        (PauseCall { call: CALL, cause: PauseCause::Disconnected, last_seen: Some(Timestamp(1_764_000_000_000)) }.into(), "24ea4515-2d85-56e6-ac64-a2bb09410a6c", "57307675e06eabf1cdb70e14b98e4763"),
        (PauseCall { call: CALL, cause: PauseCause::Outage, last_seen: None }.into(), "24ea4515-2d85-56e6-ac64-a2bb09410a6c", "15217db2112b02d2903f55592b8240af"),
        (ResumeCall { call: CALL }.into(), "c1de040c-2346-55e4-a3a5-04d26cba6e7e", "46385b1255089ebd283dae2b840f5d2b"),
        (EndCall { call: CALL, by: Ending::Participant(USER) }.into(), "b29728a0-b9be-5501-ac1d-b552bc9b9512", "25976919c9e8618e154fc1e0b04dff40"),
        (EndCall { call: CALL, by: Ending::Lost }.into(), "b29728a0-b9be-5501-ac1d-b552bc9b9512", "d66b63a03b30066fe382820aea6416c1"),
        (EndCall { call: CALL, by: Ending::Admin(ADMIN) }.into(), "b29728a0-b9be-5501-ac1d-b552bc9b9512", "34dd5a0a580dd58cb2ef8fd78542b611"),
        (SendGift { sender: USER, host: HOST, gift: ROSE, call: Some(CALL), price_seen_milli: 1 }.into(), "1e189f58-4221-566c-b8e3-b4b2d0c3d25e", "abd7d455a4d1a06315bfed4bfe6a0a45"),
        (SendGift { sender: USER, host: HOST, gift: ROSE, call: None, price_seen_milli: 1 }.into(), "1e189f58-4221-566c-b8e3-b4b2d0c3d25e", "c2cc639f2fb7c8bc6c9b2dc45994287f"),
        (RequestWithdrawal { payee: Payee::Host { person: HOST }, coins_milli: 1 }.into(), "06d7fd07-9964-5639-8543-10c1401a4397", "2502f641636cb181187bfd7ab9667998"),
        (RequestWithdrawal { payee: AGENCY_PAYEE, coins_milli: 1 }.into(), "06d7fd07-9964-5639-8543-10c1401a4397", "92b195dbbcf9f59763d35930c7297f60"),
        (ApproveWithdrawal { withdrawal: WITHDRAWAL }.into(), "b8482962-ab69-5e58-8bb4-fab6a733f9b4", "0f9a2acae66ab1c49691c1bace0b5e97"),
        (RejectWithdrawal { withdrawal: WITHDRAWAL, reason: text("declined") }.into(), "664a16f1-a6c2-5ebd-85ec-5bd114367e51", "2465ca0503c374aa78c43fce9386b8d7"),
        (CancelWithdrawal { withdrawal: WITHDRAWAL, payee: Payee::Host { person: HOST } }.into(), "03685f93-934c-5a09-8bde-4a3805d6c570", "bb89734729b8accbd767faf7d19e031c"),
        (MarkWithdrawalPaid { withdrawal: WITHDRAWAL, payout_ref: text("utr_1") }.into(), "d7fa83b4-8580-5b21-ac85-08c4d19fcbf3", "da6fe1a9277f9429b1ec483bcac27d4b"),
        (FailWithdrawal { withdrawal: WITHDRAWAL, reason: text("declined") }.into(), "9abe7614-baf2-5ed7-8af0-6cf15624d43d", "292f3f4c3eb1ba8c739e83cbd8359c83"),
        (PostAdjustment { account: Account::HostEarnings(HOST), amount_milli: -1, reason: text("goodwill"), note: Some(NOTE) }.into(), "99de9d12-a640-5913-bd38-64e749f54e61", "de46d7db63d43029cad682027dc10bd2"),
        (PostAdjustment { account: Account::UserBonus(USER), amount_milli: 1, reason: text("goodwill"), note: None }.into(), "99de9d12-a640-5913-bd38-64e749f54e61", "888913fba190fdfc81bbe6f92c602934"),
    ]
}

fn envelope(actor: Actor, key: Key, command: Command) -> Envelope {
    Envelope { actor, key, command, policy: Policy::default() }
}

#[test]
fn ids_and_request_hashes_of_all_commands_are_as_they_ever_were() {
    let mut wrong = vec![];
    for (command, id, hash) in commands() {
        let asked = envelope(Actor::Person(USER), Key::Client(KEY.into()), command);
        let found = (asked.command_id(START).to_string(), format!("{:?}", asked.request_hash()));
        if (&*found.0, &*found.1) != (id, hash) {
            wrong.push(format!("{:?} now has {:?}, {:?}", asked.command, found.0, found.1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let covered: BTreeSet<&str> = commands().iter().map(|(command, ..)| command.operation()).collect();
    let all: BTreeSet<&str> = Command::OPERATIONS.iter().copied().collect();
    assert_eq!(covered, all, "the table above has every command");
    assert_eq!(all.len(), Command::OPERATIONS.len(), "no two commands share a name");
}

#[test]
fn ids_by_actor_and_kind_of_key_are_as_they_ever_were() {
    let natural = || Key::Natural("pay_1".to_owned());
    let state = || Key::State("pay_1".to_owned());
    let table = [
        (Actor::Person(USER), natural(), "53fe98fb-8e40-5a2f-aeeb-7e519a78b7ae"),
        (Actor::Gateway(Gateway::Razorpay), natural(), "cb431b6b-6b08-51aa-9320-51f417fe8bac"),
        (Actor::System, natural(), "067ab240-2045-5013-bd66-9a9ca30068e5"),
        (Actor::System, state(), "067ab240-2045-5013-bd66-9a9ca30068e5"),
    ];
    let ids = table.map(|(actor, key, id)| {
        (
            envelope(actor, key, TickCall { call: CALL, number: 1, last_seen: None }.into())
                .command_id(START)
                .to_string(),
            id,
        )
    });
    assert!(ids.iter().all(|(found, expected)| found == expected), "{ids:#?}");
    let by_name = command_id(Actor::System, "TickCall", "pay_1").to_string();
    assert_eq!(by_name, ids[2].0, "an id is a function of actor, name and key");
}

/// What is created by whom, under which word, at which place of the event.
#[test]
fn ids_of_what_commands_create_are_as_they_ever_were() {
    let mut world = World::new();
    world.given(plan(100_000, 5_000, None)).given(adjust(Account::HostEarnings(HOST), 50_000));
    let mut made = vec![];
    let mut send = |world: &mut World, actor: Actor, command: Command| {
        let asked = envelope(actor, Key::Natural("one".to_owned()), command);
        let (events, _) = world.send(&asked).expect("accepted");
        for event in events {
            made.extend(match event {
                Event::PurchaseOpened(it) => Some(format!("purchase {}", it.purchase)),
                Event::PurchaseCaptured(it) => Some(format!("bought lot {}", it.lot)),
                Event::BonusGranted(it) => Some(format!("bonus lot {}", it.lot)),
                Event::GiftSent(it) => Some(format!("gift {}", it.sending)),
                Event::WithdrawalRequested(it) => Some(format!("withdrawal {}", it.withdrawal)),
                Event::AdjustmentPosted(it) => {
                    Some(format!("adjustment {}, lot {}", it.adjustment, it.lot.expect("a lot")))
                }
                _ => None,
            });
        }
    };
    let user = Actor::Person(USER);
    send(&mut world, user, OpenPurchase { user: USER, plan: PLAN, gateway: Gateway::Razorpay }.into());
    let purchase = world.last(|event| match event {
        Event::PurchaseOpened(it) => Some(it.purchase),
        _ => None,
    });
    send(&mut world, Actor::Gateway(Gateway::Razorpay), capture(Some(purchase), "one", 10_000));
    send(&mut world, Actor::Person(ADMIN), grant(USER, 10, None));
    send(&mut world, user, rose());
    send(&mut world, Actor::Person(HOST), withdraw(HOST, 5_000));
    send(&mut world, Actor::Person(ADMIN), adjust(Account::UserBonus(USER), 10));
    let expected: [&str; 7] = [
        "purchase 3c73b22b-ad7d-549f-8dd0-19a12f467a99",
        "bought lot 2d469954-e8f2-5d9d-b123-a72cc0e4e6f8",
        "bonus lot b9342e9a-8570-53db-899f-387805551acb",
        "bonus lot f850a6d6-9c13-552c-bfb3-9ca257910393",
        "gift b346370c-0ce8-513c-9424-eb3eddc71a02",
        "withdrawal caca43eb-a26b-56a4-a7af-90624bdc4699",
        "adjustment 2fc392af-2dc0-5637-aaa6-355b1e001d77, lot 2d0dec39-dc6b-5493-8029-dc216e4856d4",
    ];
    assert_eq!(made, expected);
}
