//! Every command on a withdrawal in every state that it can be in, given twice.

use crate::world::*;
use ledger_core::withdrawals::WithdrawalStatus;
use ledger_core::*;

type Make = fn(WithdrawalId) -> Command;

/// The commands, in the order of the columns below.
const COMMANDS: [(&str, Make); 8] = [
    ("approve", approve),
    ("reject", reject),
    ("cancel", |id| cancel(id, HOST)),
    ("sent", |id| sent_as(id, "payout_of_the_table")),
    ("unknown", outcome_unknown),
    ("paid", |id| paid_as(id, "utr_of_the_table")),
    ("failed", payout_failed),
    ("reversed", reversed),
];

/// A state, what leads to it from the request, and for each command the state that it leads to or its refusal.
type State = (WithdrawalStatus, &'static [Make], [&'static str; 8]);

#[rustfmt::skip]
const STATES: &[State] = {
    use WithdrawalStatus::*;
    const CLOSED: &str = "withdrawal_closed";
    const NOT_APPROVED: &str = "withdrawal_not_approved";
    const APPROVED: &str = "withdrawal_already_approved";
    const NOT_PAID: &str = "withdrawal_not_paid";
    const UNKNOWN: &str = "payout_outcome_unknown";
    &[
        //                                        approve     reject      cancel       sent                       unknown                paid          failed        reversed
        (Requested, &[],                         ["Approved", "Rejected", "Cancelled", NOT_APPROVED,              NOT_APPROVED,          NOT_APPROVED, NOT_APPROVED, NOT_PAID]),
        (Approved,  &[approve],                  [APPROVED,   APPROVED,   APPROVED,    "Sent",                    "withdrawal_not_sent", "Paid",       "Failed",     NOT_PAID]),
        (Sent,      &[approve, sent],            [APPROVED,   APPROVED,   APPROVED,    "withdrawal_already_sent", "Unknown",             "Paid",       "Failed",     NOT_PAID]),
        (Unknown,   &[approve, sent, outcome_unknown],
                                                 [APPROVED,   APPROVED,   APPROVED,    UNKNOWN,                   UNKNOWN,               "Paid",       "Failed",     NOT_PAID]),
        (Rejected,  &[reject],                   [CLOSED; 8]),
        (Cancelled, &[|id| cancel(id, HOST)],    [CLOSED; 8]),
        (Paid,      &[approve, paid],            [CLOSED,     CLOSED,     CLOSED,      CLOSED,                    CLOSED,                CLOSED,       CLOSED,       "Reversed"]),
        (Paid,      &[approve, sent, outcome_unknown, paid],
                                                 [CLOSED,     CLOSED,     CLOSED,      CLOSED,                    CLOSED,                CLOSED,       CLOSED,       "Reversed"]),
        (Failed,    &[approve, payout_failed],   [CLOSED; 8]),
        (Failed,    &[approve, sent, payout_failed],
                                                 [CLOSED; 8]),
        (Failed,    &[approve, sent, outcome_unknown, payout_failed],
                                                 [CLOSED; 8]),
        (Reversed,  &[approve, paid, reversed],  [CLOSED; 8]),
    ]
};

fn in_state(steps: &[Make]) -> (World, WithdrawalId) {
    let mut world = World::with_earnings(50_000);
    world.given(tax(1_000));
    let id = world.request_withdrawal(10_000);
    steps.iter().for_each(|step| {
        world.given(step(id));
    });
    (world, id)
}

#[test]
fn every_command_in_every_state_leads_where_the_table_says_and_twice_is_once() {
    for (status, steps, outcomes) in STATES {
        for ((name, make), expected) in COMMANDS.iter().zip(outcomes) {
            let (mut world, id) = in_state(steps);
            let case = format!("{name} of one that is {status:?}");
            let is = |world: &World| format!("{:?}", world.state.withdrawal(id).expect("it is there").status);
            assert_eq!(is(&world), format!("{status:?}"), "{case}");
            let first = world.envelope(make(id));
            let twin = world.envelope(make(id));
            match world.send(&first) {
                Ok((events, revision)) => {
                    assert_eq!((events.len(), &*is(&world)), (1, *expected), "{case}");
                    let hash = world.state.hash();
                    assert_eq!(world.send(&first), Ok((vec![], revision)), "{case}: the same key again");
                    assert!(world.send(&twin).is_err(), "{case}: another key");
                    assert_eq!(world.state.hash(), hash, "{case}: once");
                }
                Err(refusal) => {
                    assert_eq!(
                        (refusal.code(), &*is(&world)),
                        (*expected, &*format!("{status:?}")),
                        "{case}"
                    );
                    world.refuse_sent(&first, refusal.clone()).refuse_sent(&twin, refusal);
                }
            }
        }
    }
}

#[test]
fn whatever_becomes_of_a_withdrawal_the_host_has_the_coins_or_was_paid() {
    for (status, steps, _) in STATES {
        let (world, id) = in_state(steps);
        let balance = |account: Account, asset| world.state.balance(account, asset);
        let held = -balance(Account::WithdrawalHeld(id), Asset::COIN);
        let earnings = -balance(Account::HostEarnings(HOST), Asset::COIN);
        let money = (
            balance(Account::PlatformBank, Asset::INR),
            balance(Account::PlatformTax, Asset::INR),
            balance(Account::ExchangeCoins, Asset::INR),
        );
        let expected = match status {
            status if status.is_open() => ((10_000, 40_000), (0, 0, 0)),
            WithdrawalStatus::Paid => ((0, 40_000), (-900, -100, 1_000)),
            _ => ((0, 50_000), (0, 0, 0)),
        };
        assert_eq!(((held, earnings), money), expected, "{status:?}");
    }
}

#[test]
fn every_state_stands_in_the_table() {
    use WithdrawalStatus::*;
    for status in [Requested, Approved, Rejected, Cancelled, Sent, Unknown, Paid, Failed, Reversed] {
        assert!(STATES.iter().any(|row| row.0 == status), "{status:?}");
    }
    for command in COMMANDS {
        let mut world = World::new();
        world.refuse(command.1(WithdrawalId(uuid::Uuid::nil())), Rejection::UnknownWithdrawal);
    }
}
