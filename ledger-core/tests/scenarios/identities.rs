//! What a command is: its id, its request hash, and the ids of what it creates. A retry that reaches a
//! newer program must be known as the same command, so these never change.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::disputes::DisputeNews;
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

/// A command, its id under [`KEY`] of [`USER`], its request hash.
pub type Known = (Command, &'static str, &'static str);

/// Each command of all nouns in each of its forms.
fn commands() -> Vec<Known> {
    [
        commands_of_most(),
        crate::rewards::commands(),
        crate::subscriptions::commands(),
        crate::orders::commands(),
        crate::settlements::commands(),
    ]
    .concat()
}

#[rustfmt::skip]
fn commands_of_most() -> Vec<Known> {
    let gateway = Gateway::Razorpay;
    let text = |it: &str| it.to_owned();
    vec![
        (OpenJournal { journal: JOURNAL, assets: vec![Asset::COIN, Asset::INR] }.into(), "08ef1ef7-ffca-5784-82bb-953a895cf35c", "a055faa4336ffaf628d842b48d0a17df"),
        (SetCoinPlan { plan: PLAN, coins_milli: 1, bonus_milli: 2, bonus_valid_seconds: Some(3), price_minor: 4, price_asset: Asset::INR, active: true }.into(), "45cd8a31-611d-5928-8861-36433987fd34", "3affc0611dc52d4d35b4d411b75efbad"),
        (SetCoinPlan { plan: PLAN, coins_milli: 1, bonus_milli: 0, bonus_valid_seconds: None, price_minor: 4, price_asset: Asset::INR, active: false }.into(), "45cd8a31-611d-5928-8861-36433987fd34", "c8d734f7ed156bf7e8be58a6c5f7f132"),
        (SetHostRate { host: HOST, medium: Medium::Chat, price_milli_per_minute: Some(1) }.into(), "d99c3172-7fbe-5d2a-a233-617a4353c16e", "102c19e5d86081688b6b51994547dd3a"),
        (SetHostRate { host: HOST, medium: Medium::Voice, price_milli_per_minute: None }.into(), "d99c3172-7fbe-5d2a-a233-617a4353c16e", "e036e6937fa5a20c6e0d7c9b64285ffc"),
        (SetHostRate { host: HOST, medium: Medium::Video, price_milli_per_minute: None }.into(), "d99c3172-7fbe-5d2a-a233-617a4353c16e", "9a01491702fd95b3ff897383488ac098"),
        (SetGiftPrice { gift: ROSE, price_milli: Some(1) }.into(), "75e2d063-aa8c-5f4e-be10-c3667815022a", "1f4c07c1ee0717e67732a7151dbdd5c1"),
        (JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }.into(), "f459e593-c15b-5d84-b212-ff54968d5c2c", "8c92f994a3c46cfcf45724777f430472"),
        (JoinAgency { host: HOST, agency: AGENCY, from: Some(START), until: Some(START.plus_ms(1)) }.into(), "f459e593-c15b-5d84-b212-ff54968d5c2c", "c7ed586efed9364acd6248d56597b375"),
        (LeaveAgency { host: HOST, at: Some(START) }.into(), "22d3251e-31d7-5bad-a5c3-1c2d27c47a20", "766c2a1a322ed4c60cbd421be683a108"),
        (LeaveAgency { host: HOST, at: None }.into(), "22d3251e-31d7-5bad-a5c3-1c2d27c47a20", "e07ed2d62480e7588672ef4cb3a982ef"),
        (SetCommissionRate { scope: CommissionScope::Global, host_bps: 1, agency_bps: 2, effective_from: None }.into(), "701ed511-8835-586c-906b-b49f62a32941", "e0f056e2eb9030b5ac7ad070a5ae13e9"),
        (SetCommissionRate { scope: CommissionScope::Agency(AGENCY), host_bps: 1, agency_bps: 2, effective_from: Some(START) }.into(), "701ed511-8835-586c-906b-b49f62a32941", "f48d57c2bd7530ea915b413ef8d8f978"),
        (ClearCommissionRate { scope: CommissionScope::Host(HOST), effective_from: Some(START) }.into(), "e344e3ec-08b4-5516-9b23-3a64b1c64d02", "616ae7049e470f62232a7a4a1ca85f02"),
        (GrantBonus { user: USER, origin: BonusOrigin::Promotion, coins_milli: 1, valid_seconds: Some(2) }.into(), "16a7005a-116b-5a2e-9a66-e8463588f927", "a065762ce5cadf5522ba7883fd24d5c7"),
        (GrantBonus { user: USER, origin: BonusOrigin::Plan, coins_milli: 1, valid_seconds: None }.into(), "16a7005a-116b-5a2e-9a66-e8463588f927", "7722ada41d7ccb4e110d4f80f1aa92b1"),
        (ExpireBonus { lot: LOT }.into(), "fb553a29-7227-55e4-ae02-80b0bcdb1b70", "c59fb35a52dbb2afddaee7bba8740453"),
        (OpenPurchase { user: USER, plan: PLAN, gateway }.into(), "5d5b09aa-a804-5187-b3bc-8207387292d8", "f9599d197636f1f37b50d3850552d40f"),
        (CapturePurchase { gateway, purchase: Some(PURCHASE), payment_ref: text("pay_1"), amount_minor: 1, asset: Asset::INR }.into(), "090c187e-cdce-5d01-bd28-f4934c156a4f", "d883772844a46f27847832013909208b"),
        (CapturePurchase { gateway, purchase: None, payment_ref: text("pay_1"), amount_minor: 1, asset: Asset::INR }.into(), "090c187e-cdce-5d01-bd28-f4934c156a4f", "0f65ce23fd0ce98538e7407f57675f53"),
        (ExpirePurchase { purchase: PURCHASE }.into(), "08aeeddb-21a8-5f88-9c09-ee658c019144", "fee5e1bf4ab1a54e25f5103df102408c"),
        (FailPurchase { purchase: PURCHASE, payment_ref: text("pay_1"), reason: text("declined") }.into(), "f9c8b2aa-c4a0-5386-998f-db605522b05d", "c12d960343aa2aaea8bdcf02423942cf"),
        (RecordRefund { gateway, payment_ref: text("pay_1"), refund_ref: text("rfnd_1"), amount_minor: 1, asset: Asset::INR }.into(), "928e18da-b3a3-5643-aeae-05a2c75eba0a", "3d592573b8aa44b9ca013bfd25e077c4"),
        (ResolveSuspense { case: 7, resolution: Resolution::Income, reason: text("kept") }.into(), "204909b5-2237-53cf-898f-2b0a71c8326a", "b589a92cca16e73de921e72646935065"),
        (RefundPurchase { purchase: PURCHASE, refund_ref: text("rfnd_1"), amount_minor: 1, asset: Asset::INR }.into(), "5d49d993-e5a6-5fdc-b104-1f51f7c65f94", "3c94de6371bcc67d83766df74bfe1f0d"),
        (RecordDispute { gateway, dispute_ref: text("disp_1"), payment_ref: text("pay_1"), amount_minor: 1, asset: Asset::INR, news: DisputeNews::Opened }.into(), "cdcb3ae5-be3f-5c35-a411-ecc51aebe913", "ebeedca81eb1dd290755a77432dd4834"),
        (RecordDispute { gateway, dispute_ref: text("disp_1"), payment_ref: text("pay_1"), amount_minor: 1, asset: Asset::INR, news: DisputeNews::Won }.into(), "cdcb3ae5-be3f-5c35-a411-ecc51aebe913", "be07c9a49beb58faf670f2ff6a69b626"),
        (RecordDispute { gateway, dispute_ref: text("disp_1"), payment_ref: text("pay_1"), amount_minor: 1, asset: Asset::INR, news: DisputeNews::Closed }.into(), "cdcb3ae5-be3f-5c35-a411-ecc51aebe913", "507c229f1804296471d2bd3ef3137c65"),
        (RecordDispute { gateway, dispute_ref: text("disp_1"), payment_ref: text("pay_1"), amount_minor: 1, asset: Asset::INR, news: DisputeNews::Lost { taken_minor: 2, fee_minor: 3 } }.into(), "cdcb3ae5-be3f-5c35-a411-ecc51aebe913", "a4a7361ced5aa77ed245f8ffff19722a"),
        (WriteOffReceivable { dispute_ref: text("disp_1"), amount_milli: 1, reason: text("declined"), note: Some(NOTE) }.into(), "90881caa-3f37-5f5f-b28c-b12503bf0b4f", "496050b072cef002bb03a213cac76f42"),
        (StartCall { call: CALL, payer: USER, host: HOST, medium: Medium::Video, price_seen_milli_per_minute: 1 }.into(), "616b6cc6-c5e1-5721-a33f-5a53a2bc8849", "5e8fea28819fcf2013099461eadafd1c"),
        (TickCall { call: CALL, number: 1, last_seen: None }.into(), "31d74ad6-fdeb-500e-9915-445ba2793496", "e1b7f90f02e40a40c4feaf437a1ce658"),
        (PauseCall { call: CALL, cause: PauseCause::Disconnected, last_seen: Some(Timestamp(1_764_000_000_000)) }.into(), "24ea4515-2d85-56e6-ac64-a2bb09410a6c", "1acac2b0de5c9a6c19e274539e263465"),
        (PauseCall { call: CALL, cause: PauseCause::Outage, last_seen: None }.into(), "24ea4515-2d85-56e6-ac64-a2bb09410a6c", "6164febc4891ccb1dbc22c6e743a0eee"),
        (ResumeCall { call: CALL }.into(), "c1de040c-2346-55e4-a3a5-04d26cba6e7e", "575e1255d6281555d64a9430098ca116"),
        (EndCall { call: CALL, by: Ending::Participant(USER) }.into(), "b29728a0-b9be-5501-ac1d-b552bc9b9512", "ff9e6cd3d570eec3197a63539495e17e"),
        (EndCall { call: CALL, by: Ending::Lost }.into(), "b29728a0-b9be-5501-ac1d-b552bc9b9512", "ba78f129e64def2078d2a72742ea9ffa"),
        (EndCall { call: CALL, by: Ending::Admin(ADMIN) }.into(), "b29728a0-b9be-5501-ac1d-b552bc9b9512", "a2e23b9bd6ff6c779712b73c87f23f69"),
        (SendGift { sender: USER, host: HOST, gift: ROSE, call: Some(CALL), price_seen_milli: 1 }.into(), "1e189f58-4221-566c-b8e3-b4b2d0c3d25e", "5397ce85ce7502d189ae9590d6a9ca50"),
        (SendGift { sender: USER, host: HOST, gift: ROSE, call: None, price_seen_milli: 1 }.into(), "1e189f58-4221-566c-b8e3-b4b2d0c3d25e", "fcdc881c521710ba6cb41eae7053e82c"),
        (RequestWithdrawal { payee: Payee::Host { person: HOST }, coins_milli: 1 }.into(), "06d7fd07-9964-5639-8543-10c1401a4397", "dddbdb23cbc33f73e2442a8a5e5029af"),
        (RequestWithdrawal { payee: AGENCY_PAYEE, coins_milli: 1 }.into(), "06d7fd07-9964-5639-8543-10c1401a4397", "e551b76f61990fe91b629edbe8a8179d"),
        (ApproveWithdrawal { withdrawal: WITHDRAWAL }.into(), "b8482962-ab69-5e58-8bb4-fab6a733f9b4", "df9765ea365a967157c592c68086c84e"),
        (RejectWithdrawal { withdrawal: WITHDRAWAL, reason: text("declined") }.into(), "664a16f1-a6c2-5ebd-85ec-5bd114367e51", "212080b752b2b5a67465cfc614feaac2"),
        (CancelWithdrawal { withdrawal: WITHDRAWAL, payee: Payee::Host { person: HOST } }.into(), "03685f93-934c-5a09-8bde-4a3805d6c570", "70ee49fd4259d6ffea69c4579d41ec6c"),
        (MarkWithdrawalPaid { withdrawal: WITHDRAWAL, payout_ref: text("utr_1") }.into(), "d7fa83b4-8580-5b21-ac85-08c4d19fcbf3", "b094e5d9d575a29c696d2a979f750903"),
        (SetPayoutRate { asset: Asset::INR, rate: "0.45".parse().expect("a rate"), effective_from: None }.into(), "f5542fc6-7c55-578a-aaca-ec15cdcbda16", "de5e8c5a2c50244a5ac44623d6f09e71"),
        (SetTaxRate { asset: Asset::INR, tax_bps: 100, effective_from: Some(Timestamp(1_764_000_000_000)) }.into(), "0533b848-d6b9-5e82-8ecc-79a5704a214b", "f6e5c50c5c241752986b1efc31eedbef"),
        (MarkWithdrawalSent { withdrawal: WITHDRAWAL, payout_key: text("payout_1") }.into(), "d4eb1d61-5396-52fe-bac0-603fa05a751d", "77d6d59fd4c30843ef6d857b1299ed97"),
        (MarkWithdrawalUnknown { withdrawal: WITHDRAWAL, reason: text("timeout") }.into(), "f674b08d-5434-5d0c-a6ef-828bb8a4003b", "efad9cf46bc927b8c0d977555861e9b7"),
        (ReverseWithdrawal { withdrawal: WITHDRAWAL, reason: text("declined") }.into(), "7a143ba4-c955-55c5-a453-17c41ba30657", "919109809c9b8e4cad3bcf6d022d0556"),
        (FailWithdrawal { withdrawal: WITHDRAWAL, reason: text("declined") }.into(), "9abe7614-baf2-5ed7-8af0-6cf15624d43d", "dca595aefd8fc863c783a3ef7094d764"),
        (PostAdjustment { account: Account::HostEarnings(HOST), amount_milli: -1, reason: text("goodwill"), note: Some(NOTE), settles: None }.into(), "99de9d12-a640-5913-bd38-64e749f54e61", "cfdf902c234c11ce8648325351a37e13"),
        (AdjustGateway { gateway: Gateway::Razorpay, amount_minor: -236, asset: Asset::INR, reason: text("gateway_fee"), note: None, settles: Some(DifferenceId(NOTE.0)) }.into(), "c5ad121c-0575-5bb6-86c2-354fc1f53fb3", "e0749c65a74997e44a7e5f9bd3d1e475"),
        (PostAdjustment { account: Account::UserBonus(USER), amount_milli: 1, reason: text("goodwill"), note: None, settles: None }.into(), "99de9d12-a640-5913-bd38-64e749f54e61", "50ecaccf6615552e74288dc35dacaf5b"),
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
fn every_command_reaches_another_node_as_it_was_given() {
    let keys = [
        Key::Client(KEY.into()),
        Key::Client("order 7".parse().expect("a key")),
        Key::Natural("pay_1".to_owned()),
        Key::State("tick 1".to_owned()),
    ];
    let policy = Policy {
        free_seconds: 7,
        daily_withdrawal_milli: Some(450),
        payee_verified: true,
        ..Policy::default()
    };
    let actors = [Actor::Person(USER), Actor::Gateway(Gateway::Razorpay), Actor::System];
    for (number, (command, ..)) in commands().into_iter().enumerate() {
        let (key, policy) = (keys[number % keys.len()].clone(), policy.clone());
        let given = Envelope { actor: actors[number % actors.len()], key, command, policy };
        let bytes = given.carry(vec![]);
        let followed = [&bytes[..], b"more"].concat();
        assert_eq!(Envelope::carried(&followed), Ok((given.clone(), &b"more"[..])));
        for cut in 0..bytes.len() {
            assert_eq!(Envelope::carried(&bytes[..cut]), Err(NotCarried), "{given:?} cut at {cut}");
        }
    }
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
