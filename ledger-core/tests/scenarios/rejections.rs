//! Every rejection is reached and records nothing; of several reasons the first in the guards' order
//! is given.

use crate::world::*;
use ledger_core::command::*;
use ledger_core::disputes::DisputeNews;
use ledger_core::event::CommissionScope::Global;
use ledger_core::purchases::Resolution;
use ledger_core::*;
use std::collections::BTreeSet;
use uuid::Uuid;

/// A case: its name, what leads to it and the command, and the rejection.
pub type Case = (&'static str, fn(&mut World) -> Command, Rejection);

const NOBODYS: Uuid = Uuid::from_u128(0xdead);
/// The first withdrawal of a new world.
const FIRST_WITHDRAWAL: WithdrawalId = WithdrawalId(Uuid::from_u128(0xfdc8156e_0cfc_5879_908d_862adadb4892));

fn now(seconds: i64) -> Timestamp {
    START.plus_ms(seconds * 1_000)
}

fn order_of_no_plan() -> Command {
    Command::from(OpenPurchase { user: USER, plan: PlanId(NOBODYS), gateway: Gateway::Razorpay })
}

fn refund_in_dollars(purchase: PurchaseId) -> Command {
    let asset = Asset::new("USD", 2).expect("an asset");
    Command::from(RefundPurchase { purchase, refund_ref: "r".to_owned(), amount_minor: 1, asset })
}

/// The user has spent 5 coins whose money is gone.
fn owing(world: &mut World) {
    let purchase = world.buy(USER);
    world.given(rose()).given(dispute(&payment_of(purchase), "disp_1", lost(10_000)));
}

/// The cases of all nouns.
fn cases() -> Vec<Case> {
    [
        cases_of_most(),
        crate::rewards::cases(),
        crate::subscriptions::cases(),
        crate::orders::cases(),
        crate::settlements::cases(),
    ]
    .concat()
}

#[rustfmt::skip]
fn cases_of_most() -> Vec<Case> {
    use Rejection::*;
    vec![
        ("before the journal", |w| { *w = World::unopened(); rose() }, JournalNotOpen),
        ("a second journal", |_| Command::from(OpenJournal { journal: JOURNAL, assets: vec![] }), JournalAlreadyOpen),

        ("a plan for nothing", |_| plan(0, 0, None), AmountNotPositive { field: "coins_milli" }),
        ("a plan of too much", |_| plan(i64::MAX, 0, None), AmountTooLarge { field: "coins_milli" }),
        ("a bonus that ends at once", |_| grant(USER, 1, Some(0)), AmountNotPositive { field: "valid_seconds" }),
        ("a wallet of too much", |w| { w.given(grant(USER, MAX_AMOUNT, None)); grant(USER, 1, None) }, AmountTooLarge { field: "amount" }),

        ("a gift to oneself", |_| gift(USER, USER, None, 5_000), SelfPayment),
        ("a call with oneself", |_| start_as(CALL, HOST, HOST, 10_000), SelfPayment),
        ("a gift without coins", |_| rose(), InsufficientFunds { needed_milli: 5_000, spendable_milli: 0 }),
        ("a gift from earnings", |w| { w.given(adjust(Account::HostEarnings(USER), 5_000)); rose() }, EarningsNotSpendable { needed_milli: 5_000, spendable_milli: 0 }),

        ("a gift of a thousand purchases and one", |w| {
            w.given(plan(1, 0, None)).given(SetGiftPrice { gift: ROSE, price_milli: Some(1_001) }.into());
            (0..1_001).for_each(|_| { w.buy(USER); });
            gift(USER, HOST, None, 1_001)
        }, TooManyLots { most: 1_000 }),

        ("an order of no plan", |_| order_of_no_plan(), UnknownPlan),
        ("an order of a plan that is not sold", |w| {
            w.given(Command::from(SetCoinPlan { plan: PLAN, coins_milli: 1, bonus_milli: 0, bonus_valid_seconds: None, price_minor: 1, price_asset: Asset::INR, active: false }));
            Command::from(OpenPurchase { user: USER, plan: PLAN, gateway: Gateway::Razorpay })
        }, PlanInactive),
        ("a plan sold for coins", |_| Command::from(SetCoinPlan { plan: PLAN, coins_milli: 1, bonus_milli: 0, bonus_valid_seconds: None, price_minor: 1, price_asset: Asset::COIN, active: true }), PriceInCoins),
        ("a plan sold for dollars", |_| Command::from(SetCoinPlan { plan: PLAN, coins_milli: 1, bonus_milli: 0, bonus_valid_seconds: None, price_minor: 1, price_asset: Asset::new("USD", 2).expect("an asset"), active: true }), AssetNotDeclared { asset: Asset::new("USD", 2).expect("an asset") }),
        ("the failure of no order", |_| fail(PurchaseId(NOBODYS), "pay"), UnknownPurchase),
        ("the refund of no order", |_| refund(PurchaseId(NOBODYS), "r", 1), UnknownPurchase),
        ("a failure after the capture", |w| { let it = w.buy(USER); fail(it, "pay") }, PurchaseNotOpen),
        ("a refund before the capture", |w| { let it = w.order(USER); refund(it, "r", 1) }, PurchaseNotCaptured),
        ("a refund of too much", |w| { let it = w.buy(USER); refund(it, "r", 10_001) }, RefundExceedsCaptured { refundable_minor: 10_000 }),
        ("a refund in dollars", |w| { let it = w.buy(USER); refund_in_dollars(it) }, RefundCurrencyMismatch),
        ("a refund of spent coins", |w| { let it = w.buy(USER); w.given(rose()); refund(it, "r", 10_000) }, RefundExceedsUnspent { refundable_minor: 9_500 }),
        ("a case that is not open", |_| Command::from(ResolveSuspense { case: 0, resolution: Resolution::Income, reason: "kept".to_owned() }), UnknownCase),
        ("a refund as a purchase", |w| { let purchase = w.order(USER); w.given(refund_reported(None, "r", 10_000)); let case = w.state.next_revision() - 1; Command::from(ResolveSuspense { case, resolution: Resolution::Purchase(purchase), reason: "kept".to_owned() }) }, ResolutionUnfit),
        ("a refund of a disputed purchase", |w| { let it = w.buy(USER); w.given(dispute(&payment_of(it), "disp_1", DisputeNews::Opened)); refund(it, "r", 1) }, PurchaseDisputed),
        ("a dispute that is known", |w| { w.given(dispute("pay_1", "disp_1", DisputeNews::Won)); dispute("pay_1", "disp_1", DisputeNews::Opened) }, DisputeKnown),
        ("a dispute of another payment", |w| { w.given(dispute("pay_1", "disp_1", DisputeNews::Opened)); dispute("pay_2", "disp_1", DisputeNews::Won) }, DisputeMismatch),
        ("a dispute closed after it was lost", |w| { w.given(dispute("pay_1", "disp_1", lost(1))); dispute("pay_1", "disp_1", DisputeNews::Closed) }, DisputeDecided),
        ("a gift of somebody who owes", |w| { owing(w); rose() }, ReceivableOpen { owed_milli: 5_000 }),
        ("a write-off of nothing", |_| write_off("disp_1", 1), UnknownReceivable),
        ("a write-off of too much", |w| { owing(w); write_off("disp_1", 5_001) }, WriteOffTooLarge { owed_milli: 5_000 }),
        ("a refund once more", |w| { let it = w.buy(USER); w.given(refund(it, "r", 1)); refund(it, "r", 2) }, RefundKnown),

        ("the expiry of no lot", |_| Command::from(ExpireBonus { lot: LotId(NOBODYS) }), UnknownLot),
        ("the expiry of a lot for ever", |w| { let lot = w.bonus(1, None); Command::from(ExpireBonus { lot }) }, UnknownLot),
        ("an expiry too early", |w| { let lot = w.bonus(1, Some(60)); Command::from(ExpireBonus { lot }) }, LotNotExpired),

        ("a gift of no catalogue", |_| Command::from(SendGift { sender: USER, host: HOST, gift: GiftId(NOBODYS), call: None, price_seen_milli: 1 }), UnknownGift),
        ("a gift at another price", |_| gift(USER, HOST, None, 4_999), GiftPriceChanged { price_milli: 5_000 }),
        ("a gift in a call of others", |w| { *w = World::in_call(9_000); gift(OTHER, HOST, Some(CALL), 5_000) }, GiftOutsideCall),

        ("a second agency", |w| { w.given(Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None })); Command::from(JoinAgency { host: HOST, agency: AgencyId(NOBODYS), from: None, until: None }) }, AlreadyInAgency),
        ("a membership that ends as it begins", |_| Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: Some(START) }), MembershipEmpty),
        ("a membership that began before", |_| Command::from(JoinAgency { host: HOST, agency: AGENCY, from: Some(now(-1)), until: None }), EffectiveInPast { earliest: START }),
        ("a membership before one to come", |w| { w.given(Command::from(JoinAgency { host: HOST, agency: AGENCY, from: Some(now(60)), until: None })); Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: Some(now(30)) }) }, AlreadyInAgency),
        ("leaving after a membership ends", |w| { w.given(Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: Some(now(60)) })); Command::from(LeaveAgency { host: HOST, at: Some(now(60)) }) }, NotInAgency),
        ("leaving no agency", |_| Command::from(LeaveAgency { host: HOST, at: None }), NotInAgency),
        ("more than everything", |_| commission(Global, 9_000, 1_001), CommissionTooLarge),
        ("a rate from before", |_| Command::from(SetCommissionRate { scope: Global, host_bps: 1, agency_bps: 1, effective_from: Some(now(-1)) }), EffectiveInPast { earliest: START }),
        ("the end of no rate", |_| Command::from(ClearCommissionRate { scope: event::CommissionScope::Host(HOST), effective_from: None }), CommissionNotSet),

        ("a call in a medium not offered", |_| start_as(CALL, HOST, USER, 10_000), MediumNotOffered { medium: Medium::Video }),
        ("a call at another price", |_| start_as(CALL, USER, HOST, 9_000), CallPriceChanged { price_milli_per_minute: 10_000 }),
        ("a payer in a call", |w| { *w = World::in_call(9_000); start_as(OTHER_CALL, USER, OTHER_HOST, 10_000) }, PayerBusy),
        ("a host in a call", |w| { *w = World::in_call(9_000); start_as(OTHER_CALL, OTHER, HOST, 10_000) }, HostBusy),
        ("a call once more", |w| { *w = World::in_call(9_000); start() }, CallKnown),
        ("a tick of no call", |_| tick(1), UnknownCall),
        ("a tick after the end", |w| { *w = World::in_call(9_000); w.given(hang_up(USER)); tick(2) }, CallEnded),
        ("a stranger hangs up", |w| { *w = World::in_call(9_000); hang_up(OTHER) }, NotInCall),
        ("a tick in a pause", |w| { *w = World::in_call(9_000); w.given(pause()); tick(2) }, CallNotRunning),
        ("a resume without a pause", |w| { *w = World::in_call(9_000); resume() }, CallNotPaused),
        ("a tick too early", |w| { *w = World::in_call(9_000); tick(2) }, TickNotDue { due: now(10) }),
        ("a tick too far", |w| { *w = World::in_call(9_000); tick(3) }, TickOutOfOrder { next: 2 }),
        ("lost too early", |w| { *w = World::in_call(9_000); w.given(pause()); end(Ending::Lost) }, GraceNotOver { lost_at: now(30) }),
        ("increments of no time", |w| { w.policy.increment_seconds = 0; start() }, TermsInvalid { field: "increment_seconds" }),

        ("approval of no withdrawal", |_| approve(WithdrawalId(NOBODYS)), UnknownWithdrawal),
        ("a withdrawal too small", |_| withdraw(HOST, 999), WithdrawalTooSmall { minimum_milli: 1_000 }),
        ("a withdrawal of too much", |w| { *w = World::with_earnings(5_000); withdraw(HOST, 5_001) }, InsufficientEarnings { available_milli: 5_000 }),
        ("a withdrawal too early", |w| { *w = World::with_coins(5_000); w.policy.earnings_hold_seconds = 1; w.given(rose()); withdraw(HOST, 1_000) }, EarningsNotAvailable { available_milli: 0 }),
        ("a withdrawal of bought coins", |w| { *w = World::with_coins(5_000); withdraw(USER, 1_000) }, PurchasedNotWithdrawable { available_milli: 0 }),
        ("a withdrawal of nearly nothing", |w| { *w = World::with_earnings(5_000); w.given(payout_rate("0.001")); withdraw(HOST, 5_000) }, PayoutRoundsToNothing),
        ("a payout reference again", |w| { *w = World::with_earnings(5_000); let [one, two] = [2_000, 3_000].map(|it| w.request_withdrawal(it)); w.given(approve(one)).given(paid(one)).given(approve(two)); paid(two) }, PayoutRefUsed { withdrawal: FIRST_WITHDRAWAL }),
        ("approving twice", |w| { *w = World::with_earnings(5_000); let it = w.request_withdrawal(5_000); w.given(approve(it)); approve(it) }, WithdrawalAlreadyApproved),
        ("paying before approval", |w| { *w = World::with_earnings(5_000); let it = w.request_withdrawal(5_000); paid(it) }, WithdrawalNotApproved),
        ("a payee whom nobody has verified", |w| { *w = World::with_earnings(5_000); w.policy.require_verified_payee = true; withdraw(HOST, 5_000) }, PayeeNotVerified),
        ("more than a day's", |w| { *w = World::with_earnings(5_000); w.policy.daily_withdrawal_milli = Some(3_000); w.given(withdraw(HOST, 2_000)); withdraw(HOST, 1_001) }, WithdrawalLimitReached { limit_milli: 3_000, left_milli: 1_000 }),
        ("a rate of nothing", |_| payout_rate("0"), PayoutRateInvalid),
        ("a rate in coins", |_| Command::from(SetPayoutRate { asset: Asset::COIN, rate: rust_decimal::Decimal::ONE, effective_from: None }), PayoutInCoins),
        ("a tax of more than all", |_| tax(10_001), TaxTooLarge),
        ("sending twice", |w| { *w = World::with_earnings(5_000); let it = w.request_withdrawal(5_000); w.given(approve(it)).given(sent(it)); sent(it) }, WithdrawalAlreadySent),
        ("losing sight of what was never sent", |w| { *w = World::with_earnings(5_000); let it = w.request_withdrawal(5_000); w.given(approve(it)); outcome_unknown(it) }, WithdrawalNotSent),
        ("sending what may have arrived", |w| { *w = World::with_earnings(5_000); let it = w.request_withdrawal(5_000); w.given(approve(it)).given(sent(it)).given(outcome_unknown(it)); sent(it) }, PayoutOutcomeUnknown),
        ("reversing what was never paid", |w| { *w = World::with_earnings(5_000); let it = w.request_withdrawal(5_000); w.given(approve(it)); reversed(it) }, WithdrawalNotPaid),
        ("paying what was cancelled", |w| { *w = World::with_earnings(5_000); let it = w.request_withdrawal(5_000); w.given(cancel(it, HOST)); paid(it) }, WithdrawalClosed),

        ("adjusting one's own account", |_| adjust(Account::UserBonus(ADMIN), 1), OwnMoney),
        ("adjusting the revenue", |_| adjust(Account::PlatformRevenue, 1), AccountNotAdjustable),
        ("adjusting below zero", |_| adjust(Account::UserBonus(USER), -1), AdjustmentOverdraws { balance_milli: 0 }),
        ("a reason in words", |_| Command::from(PostAdjustment { account: Account::UserBonus(USER), amount_milli: 1, reason: "so sorry".to_owned(), note: None, settles: None }), ReasonInvalid { field: "reason" }),
        ("a gateway that holds coins", |_| Command::from(AdjustGateway { gateway: Gateway::Razorpay, amount_minor: 1, asset: Asset::COIN, reason: "goodwill".to_owned(), note: None, settles: None }), GatewayHoldsMoney),
        ("settling a difference twice", |w| { let one = Some(DifferenceId(uuid::Uuid::nil())); w.given(adjust_gateway(1, one)); adjust_gateway(2, one) }, DifferenceSettled),
        ("a payment of no name", |_| capture(None, "", 1), ReferenceInvalid { field: "payment_ref" }),
    ]
}

/// Cases of the key: the key, and the rejection.
fn key_cases() -> Vec<(&'static str, Key, Rejection)> {
    vec![
        ("a key of yesterday", key_of(START.plus_ms(-DAY_MS - 1), 1), Rejection::KeyExpired),
        ("a key of tomorrow", key_of(START.plus_ms(DAY_MS), 1), Rejection::KeyInFuture),
        ("a key of another request", key_of(START, 1_000), Rejection::KeyReused),
    ]
}

#[test]
fn every_rejection_is_reached_and_records_nothing() {
    let mut reached = BTreeSet::new();
    for (name, story, expected) in cases() {
        let mut world = World::new();
        let command = story(&mut world);
        println!("{name}");
        reached.insert(expected.code());
        world.refuse(command, expected);
    }
    // Under the gateway's own key the payment would be the same command.
    let mut world = World::new();
    let paid = capture(None, "pay", 1);
    world.given(paid.clone());
    let another = Envelope { key: Key::Natural("another".to_owned()), ..world.envelope(paid) };
    reached.insert(Rejection::PaymentKnown.code());
    world.refuse_sent(&another, Rejection::PaymentKnown);
    for (name, key, expected) in key_cases() {
        let mut world = World::with_coins(100_000);
        println!("{name}");
        let first = Envelope { key: key_of(START, 1_000), ..world.envelope(rose()) };
        world.send(&first).expect("accepted");
        let envelope = Envelope { key, ..world.envelope(gift(USER, OTHER_HOST, None, 5_000)) };
        reached.insert(expected.code());
        world.refuse_sent(&envelope, expected);
    }
    // Refused where it is read, before there is a command.
    reached.insert("".parse::<ClientKey>().expect_err("a key has a character").code());
    let all: BTreeSet<&str> = Rejection::CODES.iter().copied().collect();
    assert_eq!(reached, all, "every rejection has a case");
    assert_eq!(all.len(), Rejection::CODES.len(), "no two rejections share a code");
}

#[test]
fn every_rejection_says_something_to_people() {
    for (name, _, rejection) in cases() {
        let text = rejection.to_string();
        assert!(text.len() > 15 && !text.contains(['{', '}']), "{name}: {text}");
        assert!(rejection.code().bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit()));
    }
}

#[test]
fn every_rejection_reaches_another_node_as_it_was_told() {
    let of_keys = key_cases().into_iter().map(|(_, _, rejection)| rejection);
    for rejection in cases().into_iter().map(|(_, _, rejection)| rejection).chain(of_keys) {
        let bytes = rejection.carry();
        assert_eq!(Rejection::carried(&bytes), Ok(rejection.clone()));
        for cut in 0..bytes.len() {
            assert_eq!(Rejection::carried(&bytes[..cut]), Err(NotCarried), "{rejection:?} cut at {cut}");
        }
        assert_eq!(Rejection::carried(&[&bytes[..], b"more"].concat()), Err(NotCarried));
    }
}

/// The key, then the memory of it, then the journal, then the rules of the command.
#[test]
fn the_key_is_looked_at_first() {
    let nonsense = gift(USER, USER, None, 0);
    let mut world = World::unopened();
    for (_, key, expected) in key_cases().into_iter().take(2) {
        let envelope = Envelope { key, ..world.envelope(nonsense.clone()) };
        world.refuse_sent(&envelope, expected);
    }
    world.refuse(nonsense.clone(), Rejection::JournalNotOpen);
    let mut world = World::with_coins(100_000);
    let sent = world.envelope(rose());
    world.send(&sent).expect("accepted");
    world.refuse_sent(&Envelope { command: nonsense.clone(), ..sent }, Rejection::KeyReused);
    world.refuse(nonsense, Rejection::AmountNotPositive { field: "price_seen_milli" });
}

/// The worst command, mended reason by reason: each line is the guard that comes next.
#[test]
fn the_guards_of_a_call_stand_in_order() {
    use Rejection::*;
    let mut world = World::in_call(100_000);
    world.given(grant(OTHER, 1_000, None)).given(host_rate(USER, Some(5))).policy.grace_seconds = u32::MAX;
    world
        .refuse(start_as(CALL, USER, USER, 0), AmountNotPositive { field: "price_seen_milli_per_minute" })
        .refuse(start_as(CALL, USER, USER, 9), SelfPayment)
        .refuse(start_as(CALL, USER, OTHER, 9), CallKnown)
        .refuse(start_as(OTHER_CALL, USER, OTHER, 9), MediumNotOffered { medium: Medium::Video })
        .refuse(start_as(OTHER_CALL, USER, HOST, 9), CallPriceChanged { price_milli_per_minute: 10_000 })
        .refuse(start_as(OTHER_CALL, USER, HOST, 10_000), TermsInvalid { field: "grace_seconds" })
        .policy = Policy::default();
    world
        .refuse(start_as(OTHER_CALL, USER, HOST, 10_000), PayerBusy)
        .refuse(start_as(OTHER_CALL, OTHER, HOST, 10_000), HostBusy)
        .refuse(
            start_as(OTHER_CALL, OTHER, OTHER_HOST, 10_000),
            InsufficientFunds { needed_milli: 1_666, spendable_milli: 1_000 },
        )
        .given(grant(OTHER, 1_000, None))
        .given(start_as(OTHER_CALL, OTHER, OTHER_HOST, 10_000));
}

#[test]
fn the_guards_of_a_gift_stand_in_order() {
    use Rejection::*;
    let send = |sender, gift: u128, call, price_seen_milli| {
        Command::from(SendGift {
            sender,
            host: HOST,
            gift: GiftId(Uuid::from_u128(gift)),
            call,
            price_seen_milli,
        })
    };
    World::in_call(1_700)
        .refuse(send(HOST, 9, Some(OTHER_CALL), 0), AmountNotPositive { field: "price_seen_milli" })
        .refuse(send(HOST, 9, Some(OTHER_CALL), 9), SelfPayment)
        .refuse(send(OTHER, 9, Some(OTHER_CALL), 9), UnknownGift)
        .refuse(send(OTHER, 0x4a, Some(OTHER_CALL), 9), GiftPriceChanged { price_milli: 5_000 })
        .refuse(send(OTHER, 0x4a, Some(OTHER_CALL), 5_000), UnknownCall)
        .refuse(send(OTHER, 0x4a, Some(CALL), 5_000), GiftOutsideCall)
        .refuse(
            send(USER, 0x4a, Some(CALL), 5_000),
            InsufficientFunds { needed_milli: 5_000, spendable_milli: 34 },
        );
}

#[test]
fn the_guards_of_a_refund_stand_in_order() {
    use Rejection::*;
    let nobodys = PurchaseId(NOBODYS);
    let mut world = World::new();
    let (spent, open) = (world.buy(USER), world.order(USER));
    world
        .given(refund(spent, "known", 1))
        .given(gift(USER, HOST, None, 5_000))
        .refuse(refund(nobodys, "", 0), AmountNotPositive { field: "amount_minor" })
        .refuse(refund(nobodys, "", 1), ReferenceInvalid { field: "refund_ref" })
        .refuse(refund(nobodys, "known", 1), UnknownPurchase)
        .refuse(refund(open, "known", 1), RefundKnown)
        .refuse(refund_in_dollars(open), PurchaseNotCaptured)
        .refuse(refund_in_dollars(spent), RefundCurrencyMismatch)
        .refuse(refund(spent, "r", 10_000), RefundExceedsCaptured { refundable_minor: 9_999 })
        .refuse(refund(spent, "r", 9_999), RefundExceedsUnspent { refundable_minor: 9_499 })
        .given(refund(spent, "r", 9_499));
}

#[test]
fn the_guards_of_a_tick_stand_in_order() {
    use Rejection::*;
    let mut world = World::in_call(100_000);
    world
        .given(pause())
        .refuse(tick(5), TickOutOfOrder { next: 2 })
        .refuse(tick(2), CallNotRunning)
        .given(resume())
        .refuse(tick(2), TickNotDue { due: now(10) })
        .at(10)
        .given(tick(2))
        .given(hang_up(USER))
        .refuse(tick(9), CallEnded);
}

#[test]
fn the_guards_of_withdrawals_and_adjustments_stand_in_order() {
    use Rejection::*;
    let mut world = World::with_earnings(5_000);
    let because = |account, amount_milli, reason: &str| {
        Command::from(PostAdjustment {
            account,
            amount_milli,
            reason: reason.to_owned(),
            note: None,
            settles: None,
        })
    };
    let revenue = Account::PlatformRevenue;
    world.given(payout_rate("0.000001"));
    world.policy.require_verified_payee = true;
    world.policy.daily_withdrawal_milli = Some(6_000);
    world
        .refuse(withdraw(USER, 0), AmountNotPositive { field: "coins_milli" })
        .refuse(withdraw(USER, 999), WithdrawalTooSmall { minimum_milli: 1_000 })
        .refuse(withdraw(HOST, 6_001), PayeeNotVerified);
    world.policy.payee_verified = true;
    world
        .refuse(withdraw(HOST, 6_001), WithdrawalLimitReached { limit_milli: 6_000, left_milli: 6_000 })
        .refuse(withdraw(HOST, 5_001), InsufficientEarnings { available_milli: 5_000 })
        .refuse(withdraw(HOST, 5_000), PayoutRoundsToNothing)
        .refuse(because(revenue, 0, ""), AmountNotPositive { field: "amount_milli" })
        .refuse(because(revenue, i64::MIN, ""), AmountTooLarge { field: "amount_milli" })
        .refuse(because(revenue, -1, ""), ReasonInvalid { field: "reason" })
        .refuse(because(revenue, -1, "goodwill"), AccountNotAdjustable)
        .refuse(
            because(Account::HostEarnings(USER), -1, "goodwill"),
            AdjustmentOverdraws { balance_milli: 0 },
        );
}
