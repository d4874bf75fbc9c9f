//! Decides what a command leads to. Guards come first, in a fixed order: key, duplicate, then the
//! business rules of the command; events are only made once nothing can refuse them any more.

use super::account::{Account, Posting};
use super::envelope::{Envelope, Key, Policy, Prepared};
use super::event::LotMove;
use super::evolve::{assert_balanced, assert_lots_match};
use super::ids::{CommandId, PersonId};
use super::metadata::{Actor, Metadata, Recorded, RememberedFor, RequestHash};
use super::money::{Asset, MAX_AMOUNT};
use super::state::{KEY_LIFE_MS, State};
use super::time::Timestamp;
use crate::SCHEMA_VERSION;
use crate::nouns::{Command, Event, Rejection};
use smallvec::SmallVec;
use uuid::Uuid;

/// How far a client's clock may run ahead, in milliseconds.
const KEY_AHEAD_MS: i64 = 5 * 60 * 1_000;

/// What an accepted command leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// These events, to be appended together.
    Append(Unit),
    /// Nothing new: the command was accepted before, and its last event has this revision.
    Duplicate { command_id: CommandId, revision: u64 },
    /// Nothing: what it asks for is so already, and this is the journal's last revision.
    Unchanged { command_id: CommandId, revision: u64 },
}

/// The events of one command, which stand or fall together; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    pub command_id: CommandId,
    pub at: Timestamp,
    pub events: Vec<Event>,
    request_hash: RequestHash,
    remembered_for: RememberedFor,
    actor: Actor,
    payer: Option<PersonId>,
}

impl Unit {
    /// The events as they will be recorded from revision `first` on, under the ids that `event_id`
    /// gives.
    pub fn record(self, first: u64, mut event_id: impl FnMut() -> Uuid) -> Vec<Recorded> {
        let count = self.events.len() as u32;
        let events = self.events.into_iter().zip(0u32..);
        events
            .map(|(event, index)| Recorded {
                revision: first + u64::from(index),
                event_id: event_id(),
                metadata: Metadata {
                    schema_version: SCHEMA_VERSION,
                    recorded_at: self.at,
                    command_id: self.command_id,
                    request_hash: self.request_hash,
                    remembered_for: self.remembered_for,
                    index,
                    count,
                    actor: self.actor,
                    payer: self.payer,
                    correlation: event.correlation(),
                },
                event,
            })
            .collect()
    }
}

/// Decides `envelope` on `state` at the moment `at` (never before the state's last event).
///
/// # Errors
/// A [`Rejection`] when a guard refuses; nothing is recorded then.
///
/// # Panics
/// When the events would break an invariant: a fault of this program, to be contained by the caller.
pub fn decide(state: &State, at: Timestamp, envelope: &Envelope) -> Result<Decision, Rejection> {
    decide_prepared(state, at, &Prepared::from(envelope.clone()))
}

/// As [`decide`].
///
/// # Errors
/// As [`decide`].
pub fn decide_prepared(state: &State, at: Timestamp, command: &Prepared) -> Result<Decision, Rejection> {
    let (envelope, request_hash) = (command.envelope(), command.request_hash());
    let at = at.max(state.last_at());
    let remembered_for = check_key(&envelope.key, at)?;
    let (command_id, earlier) = state.find_by_ids(&envelope.key, &command.command_ids(at), at)?;
    let context = Context { state, at, command_id, policy: &envelope.policy };
    if let Some(earlier) = earlier {
        if !earlier.asked(request_hash) {
            return Err(Rejection::KeyReused);
        }
        return Ok(Decision::Duplicate { command_id: context.command_id, revision: earlier.revision });
    }
    if state.journal().is_none() && !matches!(envelope.command, Command::OpenJournal(_)) {
        return Err(Rejection::JournalNotOpen);
    }
    // Here, and not in the routes, so that no way in can forget it.
    if let Actor::Person(person) = envelope.actor
        && envelope.command.decides_on_money_of(state) == Some(person)
    {
        return Err(Rejection::OwnMoney);
    }
    let events = envelope.command.decide(&context)?;
    if events.is_empty() {
        // What is asked for is so already: nothing is recorded, and the answer is the end of the journal.
        let revision = state.revision().ok_or(Rejection::JournalNotOpen)?;
        return Ok(Decision::Unchanged { command_id: context.command_id, revision });
    }
    audit(state, &events)?;
    let payer = events.iter().find_map(Event::payer);
    Ok(Decision::Append(Unit {
        command_id: context.command_id,
        at,
        events,
        request_hash,
        remembered_for: match envelope.key {
            Key::State(_) if envelope.command.state_refuses_repeats() => RememberedFor::Never,
            _ => remembered_for,
        },
        actor: envelope.actor,
        payer: payer.filter(|payer| envelope.actor != Actor::Person(*payer)),
    }))
}

/// Checks a key at the moment `at`; answers for how long its command will be remembered.
///
/// # Errors
/// `KeyExpired` or `KeyInFuture`, for a client's key that says when it was made.
pub fn check_key(key: &Key, at: Timestamp) -> Result<RememberedFor, Rejection> {
    let Key::Client(key) = key else { return Ok(RememberedFor::Ever) };
    let Some(made_at) = key.made_at() else { return Ok(RememberedFor::Day) };
    match at.since(made_at) {
        age if age > KEY_LIFE_MS => Err(Rejection::KeyExpired),
        age if age < -KEY_AHEAD_MS => Err(Rejection::KeyInFuture),
        _ => Ok(RememberedFor::DayFromKey(made_at)),
    }
}

/// The invariants of a unit, checked before anything is appended.
pub(crate) fn audit(state: &State, events: &[Event]) -> Result<(), Rejection> {
    assert!(!events.is_empty(), "an accepted command leads to at least one event");
    let mut changed: SmallVec<[(Account, Asset, i128); 8]> = SmallVec::new();
    for event in events {
        assert_balanced(event.postings());
        assert_lots_match(event);
        // Posting by posting, as evolve will do it: what passes here cannot stop the ledger there.
        for Posting { account, asset, amount } in event.postings().iter().copied() {
            let before = match changed.iter().position(|(a, b, _)| (*a, *b) == (account, asset)) {
                Some(place) => changed.swap_remove(place).2,
                None => i128::from(state.balance(account, asset)),
            };
            let after = before + i128::from(amount);
            assert!(!account.is_overdrawn_at(after), "{account} would be overdrawn");
            if after.abs() > i128::from(MAX_AMOUNT) {
                return Err(Rejection::AmountTooLarge { field: "amount" });
            }
            changed.push((account, asset, after));
        }
    }
    audit_lots(state, events);
    for (account, _, after) in changed {
        assert!(after == 0 || account != Account::ClearingCharges, "clearing:charges would not be empty");
    }
    Ok(())
}

/// # Panics
/// When a lot would be overdrawn, or named with another account than its own.
fn audit_lots(state: &State, events: &[Event]) {
    let mut moves: SmallVec<[LotMove; 8]> = events.iter().flat_map(Event::lots).collect();
    // Those of one lot together, in their order.
    moves.sort_by_key(|it| it.lot);
    for of_lot in moves.chunk_by(|one, next| one.lot == next.lot) {
        let lot = of_lot[0].lot;
        let (account, mut left_milli) = match state.lot(lot) {
            Some(lot) => (lot.account, lot.remaining_milli),
            None => (of_lot[0].account, 0),
        };
        for it in of_lot {
            assert_eq!(account, it.account, "the lot {lot} stands in another account");
            left_milli += it.amount_milli;
            assert!(left_milli >= 0, "the lot {lot} would be overdrawn");
        }
    }
}

/// How a command is decided.
pub(crate) trait Decide {
    /// Whether the state alone refuses a repeat: a tick has a number, a call ends once.
    const STATE_REFUSES_REPEATS: bool = false;

    /// The person whose money an admin decides on with this command, where there is one: they cannot give it.
    fn decides_on_money_of(&self, _: &State) -> Option<PersonId> {
        None
    }

    /// Guards in a fixed order, then the events; none when what is asked for is so already.
    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection>;
}

/// What deciding goes by.
pub(crate) struct Context<'a> {
    pub state: &'a State,
    pub at: Timestamp,
    pub command_id: CommandId,
    pub policy: &'a Policy,
}

/// An amount that is given in a command: positive, and no larger than amounts can be.
pub(crate) fn check_amount(field: &'static str, amount: i64) -> Result<i64, Rejection> {
    match amount {
        ..=0 => Err(Rejection::AmountNotPositive { field }),
        amount if amount > MAX_AMOUNT => Err(Rejection::AmountTooLarge { field }),
        amount => Ok(amount),
    }
}

/// A reason is a code, so that no words about a person reach the journal.
pub(crate) fn check_reason(field: &'static str, reason: &str) -> Result<String, Rejection> {
    let fits = (1..=64).contains(&reason.len())
        && reason.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if fits { Ok(reason.to_owned()) } else { Err(Rejection::ReasonInvalid { field }) }
}

/// The name that a gateway or a bank has given to something.
pub(crate) fn check_reference(field: &'static str, reference: &str) -> Result<String, Rejection> {
    let fits = (1..=64).contains(&reference.len()) && reference.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(reference.to_owned()) } else { Err(Rejection::ReferenceInvalid { field }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::legs;
    use crate::gifts::GiftSent;

    #[test]
    #[should_panic(expected = "the lots that GiftSent names hold what it posts to user:")]
    fn an_event_that_draws_other_coins_than_it_posts_is_never_appended() {
        let (sender, host, asset) = (PersonId(Uuid::nil()), PersonId(Uuid::max()), Asset::COIN);
        let sent = GiftSent {
            sending: Uuid::nil().into(),
            gift: Uuid::nil().into(),
            sender,
            host,
            call: None,
            price_milli: 5,
            draws: vec![],
            postings: legs(asset, Account::UserBonus(sender), Account::ClearingCharges, 5),
        };
        let _ = audit(&State::new(), &[sent.into()]);
    }
}
