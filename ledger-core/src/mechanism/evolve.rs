//! Applies what was recorded. Amounts are taken as they stand, never computed again.

use super::account::{Account, Posting};
use super::event::Change;
use super::metadata::{Metadata, Recorded};
use super::money::{Asset, MAX_AMOUNT};
use super::state::{OpenUnit, State};
use crate::nouns::Event;
use smallvec::SmallVec;

/// Brings `state` one event further.
///
/// # Panics
/// When the event breaks an invariant: its revision is not the next, its postings do not balance,
/// an owned account would be overdrawn, clearing is not empty at the end of a unit. The ledger must
/// stop then: the journal cannot be explained by this program.
pub fn evolve(state: &mut State, recorded: &Recorded) {
    let (revision, metadata) = (recorded.revision, &recorded.metadata);
    assert_eq!(revision, state.head.next, "events are evolved in the order of their revisions");
    state.keep_head(revision);
    state.head.open = next_of_unit(state.head.open, recorded);
    post(state, revision, recorded.event.postings());
    assert_lots_match(&recorded.event);
    recorded.event.evolve(&mut Change { state, revision, at: metadata.recorded_at });
    assert!(state.head.journal.is_some(), "a journal begins with JournalOpened");
    state.head.next = revision + 1;
    state.head.at = state.head.at.max(metadata.recorded_at);
    if metadata.closes_unit() {
        let left = state.balance(Account::ClearingCharges, Asset::COIN);
        assert_eq!(left, 0, "clearing:charges is empty at the end of the unit that closes at {revision}");
        state.remember(revision, metadata);
    }
}

/// Units are whole and follow each other: a command is remembered at the end of its unit, and the books are even there.
///
/// # Panics
/// When the event is not the next of the unit that is open, or not the first of one.
fn next_of_unit(open: Option<OpenUnit>, recorded: &Recorded) -> Option<OpenUnit> {
    let Metadata { index, count, command_id: command, .. } = recorded.metadata;
    let expected = open.unwrap_or(OpenUnit { command, index: 0, count });
    let found = OpenUnit { command, index, count };
    assert!(found == expected && index < count, "a unit is not whole at {}", recorded.revision);
    (index + 1 < count).then_some(OpenUnit { index: index + 1, ..found })
}

/// Moves the balances. The sum over an entry is zero for each asset, so the books stay in balance.
fn post(state: &mut State, revision: u64, postings: &[Posting]) {
    assert_balanced(postings);
    for posting in postings {
        let before = state.balance(posting.account, posting.asset);
        let after = before.checked_add(posting.amount).filter(|it| it.abs() <= MAX_AMOUNT);
        let after = after.unwrap_or_else(|| panic!("{} overflows at {revision}", posting.account));
        assert!(
            !posting.account.is_overdrawn_at(after.into()),
            "{} is overdrawn at {revision}",
            posting.account
        );
        let key = (posting.account, posting.asset);
        state.tables.balances.set(revision, key, (after != 0).then_some(after));
    }
}

/// # Panics
/// When the postings do not sum to zero for each asset.
pub(crate) fn assert_balanced(postings: &[Posting]) {
    for posting in postings {
        let sum: i128 =
            postings.iter().filter(|it| it.asset == posting.asset).map(|it| i128::from(it.amount)).sum();
        assert_eq!(sum, 0, "the postings of an entry sum to zero for {}", posting.asset);
    }
}

/// # Panics
/// When an event moves other amounts between lots than its postings move between the accounts of users.
pub(crate) fn assert_lots_match(event: &Event) {
    // A handful at the most: an event moves coins of one or two people.
    let mut open: SmallVec<[(Account, i128); 4]> = SmallVec::new();
    let mut add = |account: Account, amount: i64| match open.iter_mut().find(|(of, _)| *of == account) {
        Some((_, sum)) => *sum += i128::from(amount),
        None => open.push((account, i128::from(amount))),
    };
    let users = |account: &Account| matches!(account, Account::UserPurchased(_) | Account::UserBonus(_));
    for posting in event.postings().iter().filter(|it| users(&it.account)) {
        add(posting.account, posting.amount);
    }
    for it in event.lots() {
        add(it.account, it.amount_milli);
    }
    for (account, left) in open {
        assert_eq!(left, 0, "the lots that {} names hold what it posts to {account}", event.kind());
    }
}
