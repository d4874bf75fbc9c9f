//! Decides what a command leads to. Guards come first, in a fixed order: key, duplicate, then the
//! business rules of the command; events are only made once nothing can refuse them any more.

mod calls;
mod catalogue;
mod purchases;
mod spending;
mod withdrawals;

use crate::SCHEMA_VERSION;
use crate::account::{Account, Posting};
use crate::command::{Command, Envelope, Key, Policy};
use crate::event::{Event, JournalOpened};
use crate::evolve::assert_balanced;
use crate::ids::{CommandId, JournalId, PersonId};
use crate::metadata::{Actor, Metadata, Recorded, RequestHash};
use crate::money::{Asset, MAX_AMOUNT};
use crate::rejection::Rejection;
use crate::state::{KEY_LIFE_MS, State};
use crate::time::Timestamp;
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
}

/// The events of one command, which stand or fall together; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    pub command_id: CommandId,
    pub at: Timestamp,
    pub events: Vec<Event>,
    request_hash: RequestHash,
    key_at: Option<Timestamp>,
    remembered: bool,
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
                    key_at: self.key_at,
                    remembered: self.remembered,
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
    let at = at.max(state.last_at());
    let key_at = check_key(&envelope.key, at)?;
    let context = Context { state, at, command_id: envelope.command_id(), policy: &envelope.policy };
    let request_hash = envelope.request_hash();
    if let Some(earlier) = state.remembered(context.command_id) {
        if earlier.hash != request_hash {
            return Err(Rejection::KeyReused);
        }
        return Ok(Decision::Duplicate { command_id: context.command_id, revision: earlier.revision });
    }
    let events = context.events(&envelope.command)?;
    audit(state, &events)?;
    let payer = payer(&events).filter(|payer| envelope.actor != Actor::Person(*payer));
    Ok(Decision::Append(Unit {
        command_id: context.command_id,
        at,
        events,
        request_hash,
        key_at,
        remembered: !(matches!(envelope.key, Key::State(_))
            && envelope.command.repeats_are_refused_by_state()),
        actor: envelope.actor,
        payer,
    }))
}

/// Checks a client's key at the moment `at`; answers the moment in it, by which it is forgotten later.
///
/// # Errors
/// `KeyNotV7`, `KeyExpired` or `KeyInFuture`.
pub fn check_key(key: &Key, at: Timestamp) -> Result<Option<Timestamp>, Rejection> {
    let Key::Client(key) = key else { return Ok(None) };
    if key.get_version_num() != 7 {
        return Err(Rejection::KeyNotV7);
    }
    let (seconds, nanos) = key.get_timestamp().ok_or(Rejection::KeyNotV7)?.to_unix();
    let millis = i64::try_from(seconds).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000)
        + i64::from(nanos / 1_000_000);
    let key_at = Timestamp(millis);
    match at.since(key_at) {
        age if age > KEY_LIFE_MS => Err(Rejection::KeyExpired),
        age if age < -KEY_AHEAD_MS => Err(Rejection::KeyInFuture),
        _ => Ok(Some(key_at)),
    }
}

/// The invariants of a unit, checked before anything is appended.
fn audit(state: &State, events: &[Event]) -> Result<(), Rejection> {
    assert!(!events.is_empty(), "an accepted command leads to at least one event");
    let mut changed: Vec<(Account, Asset, i128)> = Vec::new();
    for event in events {
        assert_balanced(event.postings());
        // Posting by posting, as evolve will do it: what passes here cannot stop the ledger there.
        for Posting { account, asset, amount } in event.postings().iter().copied() {
            let before = match changed.iter().position(|(a, b, _)| (*a, *b) == (account, asset)) {
                Some(place) => changed.swap_remove(place).2,
                None => i128::from(state.balance(account, asset)),
            };
            let after = before + i128::from(amount);
            assert!(after <= 0 || !account.is_owned(), "{account} would be overdrawn");
            if after.abs() > i128::from(MAX_AMOUNT) {
                return Err(Rejection::AmountTooLarge { field: "amount" });
            }
            changed.push((account, asset, after));
        }
    }
    for (account, _, after) in changed {
        assert!(after == 0 || account != Account::ClearingCharges, "clearing:charges would not be empty");
    }
    Ok(())
}

/// Who pays for what happened.
fn payer(events: &[Event]) -> Option<PersonId> {
    events.iter().find_map(|event| match event {
        Event::PurchaseOpened(it) => Some(it.user),
        Event::PurchaseCaptured(it) => Some(it.user),
        Event::CallStarted(it) => Some(it.payer),
        Event::CallTicked(it) => Some(it.payer),
        Event::GiftSent(it) => Some(it.sender),
        _ => None,
    })
}

/// What the deciding functions share.
struct Context<'a> {
    state: &'a State,
    at: Timestamp,
    command_id: CommandId,
    policy: &'a Policy,
}

impl Context<'_> {
    fn events(&self, command: &Command) -> Result<Vec<Event>, Rejection> {
        match *command {
            Command::OpenJournal { journal, ref assets } => return self.open_journal(journal, assets),
            _ if self.state.journal().is_none() => return Err(Rejection::JournalNotOpen),
            _ => {}
        }
        match command.clone() {
            Command::OpenJournal { .. } => Err(Rejection::JournalAlreadyOpen),
            Command::SetCoinPlan {
                plan,
                coins_milli,
                bonus_milli,
                bonus_valid_seconds,
                price_minor,
                price_asset,
                active,
            } => self.set_coin_plan(crate::event::CoinPlanSet {
                plan,
                coins_milli,
                bonus_milli,
                bonus_valid_seconds,
                price_minor,
                price_asset,
                active,
            }),
            Command::OpenPurchase { user, plan, gateway } => self.open_purchase(user, plan, gateway),
            Command::CapturePurchase { gateway, purchase, payment_ref, amount_minor, asset } => {
                self.capture_purchase(gateway, purchase, payment_ref, amount_minor, asset)
            }
            Command::FailPurchase { purchase, payment_ref, reason } => {
                self.fail_purchase(purchase, payment_ref, reason)
            }
            Command::RecordRefund { gateway, purchase, refund_ref, amount_minor, asset } => {
                self.record_refund(gateway, purchase, refund_ref, amount_minor, asset)
            }
            Command::RefundPurchase { purchase, refund_ref, amount_minor, asset } => {
                self.refund_purchase(purchase, refund_ref, amount_minor, asset)
            }
            Command::GrantBonus { user, origin, coins_milli, valid_seconds } => {
                self.grant_bonus(user, origin, coins_milli, valid_seconds)
            }
            Command::ExpireBonus { lot } => self.expire_bonus(lot),
            Command::JoinAgency { host, agency } => self.join_agency(host, agency),
            Command::LeaveAgency { host } => self.leave_agency(host),
            Command::SetHostRate { host, medium, price_milli_per_minute } => {
                self.set_host_rate(host, medium, price_milli_per_minute)
            }
            Command::SetGiftPrice { gift, price_milli } => self.set_gift_price(gift, price_milli),
            Command::SetCommissionRate { scope, host_bps, agency_bps, effective_from } => {
                self.set_commission_rate(scope, host_bps, agency_bps, effective_from)
            }
            Command::ClearCommissionRate { scope, effective_from } => {
                self.clear_commission_rate(scope, effective_from)
            }
            Command::StartCall { call, payer, host, medium, price_seen_milli_per_minute } => {
                self.start_call(call, payer, host, medium, price_seen_milli_per_minute)
            }
            Command::TickCall { call, number } => self.tick_call(call, number),
            Command::PauseCall { call, cause } => self.pause_call(call, cause),
            Command::ResumeCall { call } => self.resume_call(call),
            Command::EndCall { call, by } => self.end_call(call, by),
            Command::SendGift { sender, host, gift, call, price_seen_milli } => {
                self.send_gift(sender, host, gift, call, price_seen_milli)
            }
            Command::RequestWithdrawal { host, coins_milli } => self.request_withdrawal(host, coins_milli),
            Command::ApproveWithdrawal { withdrawal } => self.approve_withdrawal(withdrawal),
            Command::RejectWithdrawal { withdrawal, reason } => self.reject_withdrawal(withdrawal, reason),
            Command::CancelWithdrawal { withdrawal, host } => self.cancel_withdrawal(withdrawal, host),
            Command::MarkWithdrawalPaid { withdrawal, payout_ref } => {
                self.mark_withdrawal_paid(withdrawal, payout_ref)
            }
            Command::FailWithdrawal { withdrawal, reason } => self.fail_withdrawal(withdrawal, reason),
            Command::PostAdjustment { account, amount_milli, reason, note } => {
                self.post_adjustment(account, amount_milli, reason, note)
            }
        }
    }

    fn open_journal(&self, journal: JournalId, assets: &[Asset]) -> Result<Vec<Event>, Rejection> {
        match self.state.journal() {
            Some(_) => Err(Rejection::JournalAlreadyOpen),
            None => Ok(vec![JournalOpened { journal, format: 1, assets: assets.to_vec() }.into()]),
        }
    }
}

/// An amount that is given in a command: positive, and no larger than amounts can be.
fn check_amount(field: &'static str, amount: i64) -> Result<i64, Rejection> {
    match amount {
        ..=0 => Err(Rejection::AmountNotPositive { field }),
        amount if amount > MAX_AMOUNT => Err(Rejection::AmountTooLarge { field }),
        amount => Ok(amount),
    }
}

/// A reason is a code, so that no words about a person reach the journal.
fn check_reason(field: &'static str, reason: String) -> Result<String, Rejection> {
    let fits = (1..=64).contains(&reason.len())
        && reason.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if fits { Ok(reason) } else { Err(Rejection::ReasonInvalid { field }) }
}

/// The name that a gateway or a bank has given to something.
fn check_reference(field: &'static str, reference: String) -> Result<String, Rejection> {
    let fits = (1..=64).contains(&reference.len()) && reference.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(reference) } else { Err(Rejection::ReferenceInvalid { field }) }
}
