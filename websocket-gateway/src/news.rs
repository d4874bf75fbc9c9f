//! What the journal has to tell people: pure, from the events of a unit and the facts after it.

use crate::budget::{connected_ms, seconds_left, seconds_paid};
use crate::push::*;
use ledger_core::calls::Phase;
use ledger_core::event::{EndReason, SplitSource};
use ledger_core::{Asset, CallId, Event, Payee, PersonId, Recorded, Timestamp, Wallet};
use ledger_runtime::Facts;
use platform::identity::PersonCard;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// The last durable revision whose news have been told.
#[derive(Clone, Default)]
pub(crate) struct Offset(Arc<AtomicU64>);

impl Offset {
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn reach(&self, revision: u64) {
        self.0.fetch_max(revision, Ordering::Relaxed);
    }
}

/// What `payer` can spend, and how long the call that they pay for can last on it.
fn budget(facts: &Facts, payer: PersonId) -> (Option<i64>, Option<i64>) {
    let Some(person) = facts.of(payer) else { return (None, None) };
    let spendable = person.wallet.spendable_milli;
    let paying = person.call.as_ref().filter(|(_, call)| call.payer == payer);
    let left = paying.and_then(|(_, call)| seconds_left(call, spendable, facts.at));
    (Some(spendable), left)
}

/// The call that `payer` pays for and how long it can last, if that ends at all.
pub(crate) fn running_out(facts: &Facts, payer: PersonId) -> Option<(CallId, i64)> {
    let (id, call) = facts.of(payer)?.call.as_ref()?;
    (call.payer == payer).then_some((*id, budget(facts, payer).1?))
}

/// Those whose accounts the events posted to.
pub(crate) fn posted_to(events: &[Recorded]) -> BTreeSet<PersonId> {
    let postings = events.iter().flat_map(|recorded| recorded.event.postings());
    postings.filter_map(|posting| posting.account.person()).collect()
}

/// The two sides of each call with a tick among the events, even where it was free.
pub(crate) fn ticked_for(events: &[Recorded]) -> BTreeSet<PersonId> {
    let sides = |recorded: &Recorded| match &recorded.event {
        Event::CallTicked(it) => vec![it.payer, it.host],
        _ => Vec::new(),
    };
    events.iter().flat_map(sides).collect()
}

/// What people are called, by their ids.
pub(crate) type Names = HashMap<Uuid, PersonCard>;

/// Who is told of the event with the name of the other side, as pairs of who is told and who the other side is.
pub(crate) fn introduced(event: &Event) -> Option<[(PersonId, PersonId); 2]> {
    let (one, other) = match event {
        Event::CallStarted(it) => (it.payer, it.host),
        Event::GiftSent(it) => (it.sender, it.host),
        _ => return None,
    };
    Some([(one, other), (other, one)])
}

/// A card is blank where it could not be looked up in time: who it is, is told all the same.
pub(crate) fn named(names: &Names, person: PersonId) -> PersonCard {
    names.get(&person.0).cloned().unwrap_or_else(|| PersonCard::blank(person.0))
}

/// What to tell whom of a unit, in order, wallets apart. With each its revision.
pub(crate) fn of_unit(unit: &[Recorded], facts: &Facts, names: &Names) -> Vec<(PersonId, u64, Push)> {
    let mut news = Vec::new();
    for recorded in unit {
        let at = recorded.metadata.recorded_at;
        let told = of_event(&recorded.event, at, unit, facts, names);
        news.extend(told.into_iter().map(|(person, push)| (person, recorded.revision, push)));
    }
    news
}

fn of_event(
    event: &Event,
    at: Timestamp,
    unit: &[Recorded],
    facts: &Facts,
    names: &Names,
) -> Vec<(PersonId, Push)> {
    let both = |payer, host, push: Push| vec![(payer, push.clone()), (host, push)];
    match event {
        Event::CallStarted(it) => {
            let seen = |other| {
                Push::CallStarted(StartedPush {
                    call: it.call,
                    payer: it.payer,
                    host: it.host,
                    medium: it.medium,
                    asset: Asset::COIN,
                    price_milli_per_minute: it.price_milli_per_minute,
                    increment_seconds: it.increment_seconds,
                    free_seconds: it.free_seconds,
                    grace_seconds: it.grace_seconds,
                    started_at: at.to_utc(),
                    other: named(names, other),
                })
            };
            vec![(it.payer, seen(it.host)), (it.host, seen(it.payer))]
        }
        Event::CallTicked(it) => ticked(it, unit, facts),
        Event::CallPaused(it) => {
            let (call, cause, connected_ms) = (it.call, it.cause, it.connected_ms);
            let lost_at = it.lost_at.to_utc();
            let returned_milli = returned_milli(unit, call);
            let push = PausedPush { call, cause, connected_ms, returned_milli, lost_at };
            both(it.payer, it.host, Push::CallPaused(push))
        }
        Event::CallResumed(it) => {
            let resumed_at = it.resumed_at.to_utc();
            both(it.payer, it.host, Push::CallResumed(ResumedPush { call: it.call, resumed_at }))
        }
        Event::CallEnded(it) => both(
            it.payer,
            it.host,
            Push::CallEnded(EndedPush {
                call: it.call,
                reason: end_reason(it.reason).to_owned(),
                ended_by: it.ended_by,
                connected_ms: Some(it.connected_ms),
                asset: Some(Asset::COIN),
                charged_total_milli: Some(it.charged_total_milli),
            }),
        ),
        Event::GiftSent(it) => {
            let push = GiftPush {
                sending: it.sending,
                gift: it.gift,
                sender: it.sender,
                host: it.host,
                call: it.call,
                asset: Asset::COIN,
                price_milli: it.price_milli,
                earned_milli: None,
                other: named(names, it.host),
            };
            let earned = Some(earned_milli(unit, SplitSource::Gift(it.sending)));
            let to_host = GiftPush { earned_milli: earned, other: named(names, it.sender), ..push.clone() };
            vec![(it.sender, Push::GiftSent(push)), (it.host, Push::GiftSent(to_host))]
        }
        Event::PurchaseCaptured(it) => purchase(it.user, it.purchase, "captured", it.coins_milli),
        Event::PurchaseFailed(it) => purchase(it.user, it.purchase, "failed", 0),
        Event::PurchaseExpired(it) => purchase(it.user, it.purchase, "expired", 0),
        Event::PurchaseRefunded(it) => {
            purchase(it.user, it.purchase, "refunded", it.coins_milli + it.bonus_milli)
        }
        Event::WithdrawalRequested(it) => withdrawal(it.payee, it.withdrawal, "requested", None),
        Event::WithdrawalApproved(it) => withdrawal(it.payee, it.withdrawal, "approved", None),
        Event::WithdrawalRejected(it) => withdrawal(it.payee, it.withdrawal, "rejected", Some(&it.reason)),
        Event::WithdrawalCancelled(it) => withdrawal(it.payee, it.withdrawal, "cancelled", None),
        Event::WithdrawalSent(it) => withdrawal(it.payee, it.withdrawal, "sent", None),
        // Why is the admins' business.
        Event::WithdrawalUnknown(it) => withdrawal(it.payee, it.withdrawal, "unknown", None),
        Event::WithdrawalPaid(it) => withdrawal(it.payee, it.withdrawal, "paid", None),
        Event::WithdrawalFailed(it) => withdrawal(it.payee, it.withdrawal, "failed", Some(&it.reason)),
        Event::WithdrawalReversed(it) => withdrawal(it.payee, it.withdrawal, "reversed", Some(&it.reason)),
        _ => Vec::new(),
    }
}

fn ticked(it: &ledger_core::event::CallTicked, unit: &[Recorded], facts: &Facts) -> Vec<(PersonId, Push)> {
    let increment_seconds = unit.iter().find_map(|recorded| match &recorded.event {
        Event::CallStarted(started) => Some(started.increment_seconds),
        _ => None,
    });
    // A later tick's unit has no start: the call as it stands knows.
    let standing = || {
        [it.payer, it.host].into_iter().find_map(|person| {
            let (id, call) = facts.of(person)?.call.as_ref()?;
            (*id == it.call).then_some(call.increment_seconds)
        })
    };
    let push = TickedPush {
        call: it.call,
        number: it.number,
        asset: Asset::COIN,
        charge_milli: it.charge_milli,
        charged_total_milli: it.charged_total_milli,
        seconds_paid: increment_seconds
            .or_else(standing)
            .map(|seconds| i64::from(it.number) * i64::from(seconds)),
        earned_milli: None,
        spendable_left_milli: None,
        seconds_left: None,
    };
    let (spendable_left_milli, seconds_left) = budget(facts, it.payer);
    let to_payer = TickedPush { spendable_left_milli, seconds_left, ..push.clone() };
    let earned = Some(earned_milli(unit, SplitSource::Call(it.call)));
    let to_host = TickedPush { earned_milli: earned, ..push };
    vec![(it.payer, Push::CallTicked(to_payer)), (it.host, Push::CallTicked(to_host))]
}

/// The host's share of the charge in this unit; zero where the charge was.
fn earned_milli(unit: &[Recorded], of: SplitSource) -> i64 {
    let share = |recorded: &Recorded| match &recorded.event {
        Event::CommissionSplit(split) if split.source == of => Some(split.host_milli),
        _ => None,
    };
    unit.iter().find_map(share).unwrap_or(0)
}

fn purchase(
    user: PersonId,
    purchase: ledger_core::PurchaseId,
    status: &str,
    coins_milli: i64,
) -> Vec<(PersonId, Push)> {
    let status = status.to_owned();
    vec![(user, Push::PurchaseUpdated(PurchasePush { purchase, status, asset: Asset::COIN, coins_milli }))]
}

fn withdrawal(
    payee: Payee,
    withdrawal: ledger_core::WithdrawalId,
    status: &str,
    reason: Option<&String>,
) -> Vec<(PersonId, Push)> {
    let (status, reason) = (status.to_owned(), reason.cloned());
    let agency = payee.agency();
    vec![(payee.person(), Push::WithdrawalUpdated(WithdrawalPush { withdrawal, agency, status, reason }))]
}

pub(crate) fn wallet(wallet: &Wallet) -> Push {
    Push::WalletUpdated(WalletPush {
        asset: Asset::COIN,
        purchased_milli: wallet.purchased_milli,
        bonus_milli: wallet.bonus_milli,
        spendable_milli: wallet.spendable_milli,
        earnings_milli: wallet.earnings_milli,
        withdrawable_milli: wallet.withdrawable_milli,
        frozen_milli: wallet.frozen_milli,
        owed_milli: wallet.owed_milli,
    })
}

/// What a unit gives back of a call's charges.
fn returned_milli(unit: &[Recorded], call: CallId) -> i64 {
    let returned = unit.iter().find_map(|recorded| match &recorded.event {
        Event::CallChargeReturned(it) if it.call == call => Some(it.returned_milli),
        _ => None,
    });
    returned.unwrap_or(0)
}

fn end_reason(reason: EndReason) -> &'static str {
    match reason {
        EndReason::HungUp => "hung_up",
        EndReason::Exhausted => "exhausted",
        EndReason::Lost => "lost",
        EndReason::Stopped => "stopped",
    }
}

/// Who is in a call with `person`.
pub(crate) fn peer(facts: &Facts, person: PersonId) -> Option<PersonId> {
    let (_, call) = facts.of(person)?.call.as_ref()?;
    Some(if call.payer == person { call.host } else { call.payer })
}

/// The call that `person` is in, as they may see it.
pub(crate) fn standing(facts: &Facts, person: PersonId, names: &Names) -> Option<Standing> {
    let (id, call) = facts.of(person)?.call.as_ref()?;
    let other = named(names, peer(facts, person)?);
    let lost_at = match call.phase {
        Phase::Paused { lost_at, .. } => Some(lost_at.to_utc()),
        Phase::Running { .. } | Phase::Ended => None,
    };
    let (spendable_left_milli, seconds_left) =
        if call.payer == person { budget(facts, person) } else { (None, None) };
    Some(Standing {
        call: *id,
        payer: call.payer,
        host: call.host,
        medium: call.medium,
        asset: Asset::COIN,
        price_milli_per_minute: call.price_milli_per_minute,
        increment_seconds: call.increment_seconds,
        free_seconds: call.free_seconds,
        grace_seconds: call.grace_seconds,
        started_at: call.started_at.to_utc(),
        ticks: call.ticks,
        charged_total_milli: call.charged_milli,
        seconds_paid: seconds_paid(call),
        connected_ms: connected_ms(call, facts.at),
        paused: lost_at.is_some(),
        lost_at,
        spendable_left_milli,
        seconds_left,
        other,
    })
}
