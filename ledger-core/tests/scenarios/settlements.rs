//! Settlements: everything that is earned is settled once, in the order in which it was recorded.

use crate::booked::Flow;
use crate::identities::Known;
use crate::rejections::Case;
use crate::world::*;
use ledger_core::command::*;
use ledger_core::event::{CommissionScope, Earner, SettlementClosed, Totals};
use ledger_core::settlements::{CUT_OFF_STEP_MS, KEPT_MS};
use ledger_core::*;
use uuid::Uuid;

const OF_HOST: Earner = Earner::Host(HOST);
const OF_AGENCY: Earner = Earner::Agency(AGENCY);
const HOST_PAYEE: Payee = Payee::Host { person: HOST };
const SETTLEMENT: SettlementId = SettlementId(Uuid::from_u128(0x5e77));
const NOBODYS: SettlementId = SettlementId(Uuid::from_u128(0xdead));
/// The first cut-off after the start of a story, in milliseconds after it: 22:30 (UTC), 16 minutes and 40 seconds later.
const CUT: i64 = 1_000_000;

pub fn close(of: Earner) -> Command {
    CloseSettlement { of, from: None, to: None }.into()
}

fn close_to(of: Earner, ms: i64) -> Command {
    CloseSettlement { of, from: None, to: Some(START.plus_ms(ms)) }.into()
}

fn close_period(from_ms: i64, to_ms: i64) -> Command {
    let [from, to] = [from_ms, to_ms].map(|ms| Some(START.plus_ms(ms)));
    CloseSettlement { of: OF_HOST, from, to }.into()
}

pub fn correct(settlement: SettlementId, amount_milli: i64) -> Command {
    CorrectSettlement { settlement, amount_milli, reason: "wrong_rate".to_owned(), note: None }.into()
}

pub fn pay(settlement: SettlementId, payee: Payee) -> Command {
    PaySettlement { settlement, payee }.into()
}

/// The version that was made last.
pub fn last(world: &World) -> SettlementId {
    world.last(|event| match event {
        Event::SettlementClosed(it) => Some(it.settlement),
        Event::SettlementCorrected(it) => Some(it.settlement),
        _ => None,
    })
}

fn last_withdrawal(world: &World) -> WithdrawalId {
    world.last(|event| match event {
        Event::WithdrawalRequested(it) => Some(it.withdrawal),
        _ => None,
    })
}

fn closed(world: &World) -> SettlementClosed {
    world.last(|event| match event {
        Event::SettlementClosed(it) => Some(it.clone()),
        _ => None,
    })
}

/// [`USER`] has coins; [`HOST`] gets half of what they spend, and their agency a fifth.
fn shop() -> World {
    let mut world = World::with_coins(1_000_000);
    world
        .given(Command::from(JoinAgency { host: HOST, agency: AGENCY, from: None, until: None }))
        .given(commission(CommissionScope::Agency(AGENCY), 5_000, 2_000));
    world
}

/// The host has earned 5 coins by two gifts, and they are settled.
fn settled() -> (World, SettlementId) {
    let mut world = shop();
    world.given(rose()).given(rose()).given(close(OF_HOST));
    let id = last(&world);
    (world, id)
}

/// Everything that happens with settlements, at the end of the story in which everything happens.
pub fn everything(world: &mut World) {
    let person = PersonId(Uuid::from_u128(0x79));
    world.given(adjust(Account::HostEarnings(person), 5_000)).given(close(Earner::Host(person)));
    let id = last(world);
    world.given(Command::from(CorrectSettlement {
        settlement: id,
        amount_milli: 1_000,
        reason: "wrong_rate".to_owned(),
        note: Some(NoteId(Uuid::from_u128(0x9a))),
    }));
    let id = last(world);
    world.given(pay(id, Payee::Host { person }));
}

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    use Rejection::*;
    vec![
        ("a cut-off to come", |w| { *w = shop(); w.given(rose()); close_to(OF_HOST, CUT) }, CutOffInFuture { latest: START }),
        ("a cut-off between two", |w| { *w = shop(); w.given(rose()).at_ms(CUT + 1); close_to(OF_HOST, CUT - 1) }, CutOffUneven),
        ("a cut-off long ago", |w| { *w = shop(); w.given(rose()).at_ms(CUT + KEPT_MS + 1); close_to(OF_HOST, CUT) }, CutOffTooOld { earliest: START.plus_ms(CUT + 1) }),
        ("a period that ends as it begins", |w| { *w = shop(); w.given(rose()).at_ms(CUT); close_period(CUT, CUT) }, SettlementPeriodEmpty),
        ("closing twice", |w| { *w = shop(); w.given(rose()).at_ms(CUT).given(close_to(OF_HOST, CUT)); close_to(OF_HOST, CUT) }, AlreadySettled { until: START.plus_ms(CUT) }),
        ("a period that begins before the last one ends", |w| { *w = shop(); w.given(rose()).at_ms(CUT).given(close_to(OF_HOST, CUT)).given(rose()).at_ms(CUT + CUT_OFF_STEP_MS); close_period(CUT - 1, CUT + CUT_OFF_STEP_MS) }, AlreadySettled { until: START.plus_ms(CUT) }),
        ("a period within the last one", |w| { *w = settled().0; w.at_ms(CUT - 1).given(rose()).at_ms(CUT).given(close(OF_HOST)); close_period(0, CUT) }, AlreadySettled { until: START.plus_ms(CUT) }),
        ("settling nothing", |_| close(OF_HOST), NothingToSettle),
        ("settling nothing before the cut-off", |w| { *w = shop(); w.at_ms(CUT).given(rose()); close_to(OF_HOST, CUT) }, NothingToSettle),
        ("the correction of nothing", |_| correct(NOBODYS, 1), UnknownSettlement),
        ("a correction by nothing", |w| { let (world, id) = settled(); *w = world; correct(id, 0) }, AmountNotPositive { field: "amount_milli" }),
        ("a correction that takes more than there is", |w| { let (world, id) = settled(); *w = world; correct(id, -5_001) }, AdjustmentOverdraws { balance_milli: 5_000 }),
        ("a correction of what was corrected", |w| { let (world, id) = settled(); *w = world; w.given(correct(id, 1)); correct(id, 1) }, SettlementCorrectedAlready { by: SettlementId(Uuid::from_u128(0x0ec0_d96c_01ff_561c_b4c5_5c95_2a76_29b3)) }),
        ("paying nothing", |_| pay(NOBODYS, HOST_PAYEE), UnknownSettlement),
        ("paying somebody else", |w| { let (world, id) = settled(); *w = world; pay(id, AGENCY_PAYEE) }, UnknownSettlement),
        ("paying twice", |w| { let (world, id) = settled(); *w = world; w.given(pay(id, HOST_PAYEE)); pay(id, HOST_PAYEE) }, NothingToPay),
        ("paying what was withdrawn", |w| { let (world, id) = settled(); *w = world; w.given(withdraw(HOST, 1_000)); pay(id, HOST_PAYEE) }, InsufficientEarnings { available_milli: 4_000 }),
    ]
}

#[rustfmt::skip]
pub fn commands() -> Vec<Known> {
    vec![
        (close(OF_HOST), "c7407bf4-bfdd-50a4-81b9-fb69b16b51a4", "16cc340d1a479744eb7a6f96dc2e6017"),
        (CloseSettlement { of: OF_AGENCY, from: Some(START), to: Some(START.plus_ms(1)) }.into(), "c7407bf4-bfdd-50a4-81b9-fb69b16b51a4", "11f9d21012d89b27dd047504848b01d0"),
        (CorrectSettlement { settlement: SETTLEMENT, amount_milli: -1, reason: "wrong_rate".to_owned(), note: Some(NoteId(Uuid::from_u128(0x9a))) }.into(), "09f26297-75cc-59e4-89e4-7dc9dc126e52", "245f44ad3ab34a3ed233caaa2fe3e8fa"),
        (pay(SETTLEMENT, HOST_PAYEE), "1a331f24-f429-5b8d-90c7-d069eda86581", "a978d8bef765c3aafc268f1cf4c9d6f0"),
        (pay(SETTLEMENT, AGENCY_PAYEE), "1a331f24-f429-5b8d-90c7-d069eda86581", "63eeec47180d7769eec03a074a3478bf"),
    ]
}

pub const FLOWS: &[Flow] = &[
    ("A settlement is corrected", || {
        let (world, id) = settled();
        (world, correct(id, -500))
    }),
    ("A settlement is paid", || {
        let (world, id) = settled();
        (world, pay(id, HOST_PAYEE))
    }),
];

#[test]
fn a_statement_has_all_shares_of_the_charges_before_its_cut_off() {
    let mut world = shop();
    world.given(start()).given(rose()).at_ms(CUT - 1).given(rose());
    // The cut-off is not part of the period: a gift at that moment is of the next one.
    world.at_ms(CUT).given(rose());
    world.check(close_to(OF_HOST, CUT), "settled 3: 11666 gross, 5833 + 0");
    let Totals { platform_milli, .. } = closed(&world).totals;
    assert_eq!((platform_milli, closed(&world).totals.others_milli()), (3_499, 2_334));
    assert_eq!((closed(&world).from, closed(&world).to), (START, START.plus_ms(CUT)));
    world.check(close_to(OF_AGENCY, CUT), "settled 3: 11666 gross, 2334 + 0");
    world.at_ms(CUT + 1).check(close(OF_HOST), "settled 1: 5000 gross, 2500 + 0");
}

#[test]
fn late_items_fall_into_the_next_period() {
    let mut world = shop();
    world.given(start()).at(10).given(tick_seen(2, 5)).at_ms(CUT - 1_000);
    world.given(close(OF_HOST));
    let first = closed(&world);
    // An increment of the first period is given back after it was closed, and an admin adds a coin.
    world.given(lost_since(5)).given(adjust(Account::HostEarnings(HOST), 1_000));
    world.at_ms(CUT).check(close_to(OF_HOST, CUT), "settled 2: -1667 gross, -834 + 1000");
    let second = closed(&world);
    assert_eq!((second.from, second.first_revision), (first.to, first.end_revision), "they meet");
}

#[test]
fn a_period_may_be_named_from_any_moment_after_the_last_one_and_leaves_nothing_out() {
    let mut world = shop();
    world.given(rose()).at_ms(2 * CUT_OFF_STEP_MS + CUT).given(rose());
    let to = 4 * CUT_OFF_STEP_MS + CUT;
    world.at_ms(to).check(close_period(2 * CUT_OFF_STEP_MS + CUT, to), "settled 2: 10000 gross, 5000 + 0");
    assert_eq!(closed(&world).from, START.plus_ms(2 * CUT_OFF_STEP_MS + CUT));
}

#[test]
fn closing_in_any_order_of_cut_offs_settles_everything_once() {
    let mut world = shop();
    for number in 0..40 {
        world.at_ms(number * 700_000).given(rose());
    }
    let net = |world: &mut World, of: Earner, step: i64| {
        let mut sum = 0;
        for cut in
            (1..).map(|number| CUT + number * step * CUT_OFF_STEP_MS).take_while(|cut| *cut <= 28_000_000)
        {
            let envelope = world.envelope(close_to(of, cut));
            if world.send(&envelope).is_ok() {
                sum += closed(world).net_milli;
            }
        }
        let envelope = world.envelope(close(of));
        let rest = world.send(&envelope).map_or(0, |_| closed(world).net_milli);
        sum + rest
    };
    world.at_ms(28_000_000);
    for step in [1, 2, 5, 100] {
        assert_eq!(net(&mut world.clone(), OF_HOST, step), 100_000, "{step} half hours");
        assert_eq!(net(&mut world.clone(), OF_AGENCY, step), 40_000, "{step} half hours");
    }
}

#[test]
fn a_settlement_is_paid_once_by_a_withdrawal_and_again_only_when_its_coins_came_back() {
    let (mut world, id) = settled();
    world.check(pay(id, HOST_PAYEE), "held 5000 for 500; settlement pays 5000");
    world.refuse(pay(id, HOST_PAYEE), Rejection::NothingToPay);
    let one = last_withdrawal(&world);
    world.given(reject(one)).check(pay(id, HOST_PAYEE), "held 5000 for 500; settlement pays 5000");
    let two = last_withdrawal(&world);
    world.given(approve(two)).given(paid(two)).refuse(pay(id, HOST_PAYEE), Rejection::NothingToPay);
    world.given(reversed(two)).check(pay(id, HOST_PAYEE), "held 5000 for 500; settlement pays 5000");
    // The payee takes it back.
    let three = last_withdrawal(&world);
    world.given(cancel(three, HOST)).given(pay(id, HOST_PAYEE));
    world.wallet(HOST, [0; 5]);
}

#[test]
fn paying_a_settlement_keeps_the_rules_of_withdrawals() {
    let (mut world, id) = settled();
    world.policy.minimum_withdrawal_milli = 5_001;
    world.refuse(pay(id, HOST_PAYEE), Rejection::WithdrawalTooSmall { minimum_milli: 5_001 });
    world.policy.minimum_withdrawal_milli = 1;
    world.policy.require_verified_payee = true;
    world.refuse(pay(id, HOST_PAYEE), Rejection::PayeeNotVerified);
    world.policy.payee_verified = true;
    world.policy.daily_withdrawal_milli = Some(4_000);
    let (limit_milli, left_milli) = (4_000, 4_000);
    world.refuse(pay(id, HOST_PAYEE), Rejection::WithdrawalLimitReached { limit_milli, left_milli });
}

/// What leads to a state of a period from its closing.
type Steps = fn(&mut World, SettlementId);

/// Each state, and what closing it again, correcting it and paying it lead to, as the table of the docs says.
const STATES: [(&str, Steps, [&str; 3]); 6] = [
    ("closed", |_, _| (), ["already_settled", "SettlementCorrected", "SettlementPayoutRequested"]),
    (
        "corrected",
        |world, id| {
            world.given(correct(id, 1));
        },
        ["already_settled", "settlement_corrected", "settlement_corrected"],
    ),
    (
        "on its way",
        |world, id| {
            world.given(pay(id, HOST_PAYEE));
        },
        ["already_settled", "SettlementCorrected", "nothing_to_pay"],
    ),
    (
        "paid",
        |world, id| {
            world.given(pay(id, HOST_PAYEE));
            let withdrawal = last_withdrawal(world);
            world.given(approve(withdrawal)).given(paid(withdrawal));
        },
        ["already_settled", "SettlementCorrected", "nothing_to_pay"],
    ),
    (
        "come back",
        |world, id| {
            world.given(pay(id, HOST_PAYEE));
            let withdrawal = last_withdrawal(world);
            world.given(approve(withdrawal)).given(paid(withdrawal)).given(reversed(withdrawal));
        },
        ["already_settled", "SettlementCorrected", "SettlementPayoutRequested"],
    ),
    (
        "corrected to nothing",
        |world, id| {
            world.given(correct(id, -5_000));
        },
        ["already_settled", "settlement_corrected", "settlement_corrected"],
    ),
];

#[test]
fn every_command_in_every_state_leads_where_the_table_says_and_twice_is_once() {
    for (state, steps, outcomes) in STATES {
        for (number, expected) in outcomes.into_iter().enumerate() {
            let mut world = shop();
            world.given(rose()).given(rose()).at_ms(CUT).given(close_to(OF_HOST, CUT));
            let id = last(&world);
            steps(&mut world, id);
            // There is enough to take, and something that could be settled.
            world.given(adjust(Account::HostEarnings(HOST), 10_000));
            let commands = [close_to(OF_HOST, CUT), correct(id, 10), pay(id, HOST_PAYEE)];
            let (one, two) =
                (world.envelope(commands[number].clone()), world.envelope(commands[number].clone()));
            let case = format!("{:?} of one that is {state}", commands[number]);
            match world.send(&one) {
                Ok((events, revision)) => {
                    assert_eq!(events.last().map(Event::kind), Some(expected), "{case}");
                    let hash = world.state.hash();
                    assert_eq!(world.send(&one), Ok((vec![], revision)), "{case}: the same key again");
                    assert!(world.send(&two).is_err(), "{case}: another key");
                    assert_eq!(world.state.hash(), hash, "{case}: once");
                }
                Err(refusal) => {
                    assert_eq!(refusal.code(), expected, "{case}");
                    world.refuse_sent(&one, refusal.clone()).refuse_sent(&two, refusal);
                }
            }
        }
    }
}

#[test]
fn a_correction_is_a_later_version_of_the_same_period_and_of_no_other() {
    let (mut world, id) = settled();
    world.check(correct(id, 1_500), "version 2: 1500, 5000 + 1500");
    let two = last(&world);
    world.check(correct(two, -1_000), "version 3: -1000, 5000 + 500");
    let three = last(&world);
    for old in [id, two] {
        world.refuse(correct(old, 1), Rejection::SettlementCorrectedAlready { by: three });
        world.refuse(pay(old, HOST_PAYEE), Rejection::SettlementCorrectedAlready { by: three });
    }
    // The next period has nothing of it.
    world.at(1).refuse(close(OF_HOST), Rejection::NothingToSettle);
    world.given(rose()).check(close(OF_HOST), "settled 1: 5000 gross, 2500 + 0");
    world.stands("platform:adjustments", Asset::COIN, 500).wallet(HOST, [0, 0, 0, 8_000, 8_000]);
}

#[test]
fn what_is_corrected_after_it_was_paid_is_paid_by_the_difference() {
    let (mut world, id) = settled();
    world.given(pay(id, HOST_PAYEE));
    let paid_already = last_withdrawal(&world);
    world.given(correct(id, 1_500));
    let two = last(&world);
    world.check(pay(two, HOST_PAYEE), "held 1500 for 150; settlement pays 1500");
    // What comes back of the first is to be paid again, under the last version.
    world.given(reject(paid_already)).check(pay(two, HOST_PAYEE), "held 5000 for 500; settlement pays 5000");
    // Too much was paid: it is taken of what is earned next, and nothing is left to pay.
    world.given(rose()).given(correct(two, -2_000));
    let three = last(&world);
    world.refuse(pay(three, HOST_PAYEE), Rejection::NothingToPay).wallet(HOST, [0, 0, 0, 500, 500]);
}

#[test]
fn nobody_settles_their_own_earnings() {
    let (mut world, id) = settled();
    for command in [close(OF_HOST), correct(id, 1), pay(id, HOST_PAYEE)] {
        let mut envelope = world.envelope(command);
        envelope.actor = Actor::Person(HOST);
        world.refuse_sent(&envelope, Rejection::OwnMoney);
    }
}

#[test]
fn closing_twice_under_one_key_is_once_and_under_two_refused() {
    let mut world = shop();
    world.given(rose()).at_ms(CUT);
    let (one, two) = (world.envelope(close_to(OF_HOST, CUT)), world.envelope(close_to(OF_HOST, CUT)));
    let (_, revision) = world.send(&one).expect("is accepted");
    assert_eq!(world.send(&one), Ok((vec![], revision)));
    world.refuse_sent(&two, Rejection::AlreadySettled { until: START.plus_ms(CUT) });
}

#[test]
fn an_earner_who_is_never_settled_has_a_bounded_number_of_rows_and_loses_nothing() {
    let mut world = World::new();
    let rows = |world: &World| {
        let rows = world.state.rows();
        rows.iter().find(|(name, _)| *name == "unsettled").expect("a table").1
    };
    let account = Account::HostEarnings(HOST);
    let most = usize::try_from(KEPT_MS / CUT_OFF_STEP_MS).expect("a number") + 2;
    for number in 0..2 * most {
        world.now = START.plus_ms(CUT_OFF_STEP_MS * i64::try_from(number).expect("a number"));
        world.given(adjust(account, 10));
    }
    assert!(rows(&world) <= most, "{} rows", rows(&world));
    let expected = i64::try_from(2 * most).expect("a number") * 10;
    assert_eq!(world.state.unsettled(OF_HOST).net_milli(), expected);
    // The earliest cut-off that is not refused covers all that was joined.
    let earliest = world.now.plus_ms(-KEPT_MS).0.div_euclid(CUT_OFF_STEP_MS) + 1;
    let to = Some(Timestamp(earliest * CUT_OFF_STEP_MS));
    world.given(CloseSettlement { of: OF_HOST, from: None, to }.into());
    let settled = closed(&world).net_milli;
    assert_eq!(world.state.unsettled(OF_HOST).net_milli(), expected - settled);
    world.given(close(OF_HOST));
    assert_eq!(settled + closed(&world).net_milli, expected);
    assert_eq!(rows(&world), 0);
}

#[test]
fn a_settlement_leaves_the_state_with_its_versions() {
    let (mut world, id) = settled();
    world.given(correct(id, 1));
    let two = last(&world);
    world.given(rose()).at_ms(401 * DAY_MS).given(close(OF_HOST));
    world.refuse(correct(two, 1), Rejection::UnknownSettlement);
    let left: Vec<_> =
        world.state.rows().into_iter().filter(|(name, _)| name.contains("settlement")).collect();
    let one_each = |name: &str| if name == "settlement_payouts" { 0 } else { 1 };
    assert!(left.iter().all(|(name, rows)| *rows == one_each(name)), "{left:?}");
}
