//! Applies what was recorded. Amounts are taken as they stand, never computed again.

use crate::account::{Account, Posting};
use crate::call::{Call, Phase};
use crate::event::*;
use crate::ids::{LotId, PersonId};
use crate::metadata::Recorded;
use crate::money::{Asset, MAX_AMOUNT};
use crate::state::*;
use crate::time::Timestamp;

/// Brings `state` one event further.
///
/// # Panics
/// When the event breaks an invariant: its revision is not the next, its postings do not balance,
/// an owned account would be overdrawn, clearing is not empty at the end of a unit. The ledger must
/// stop then: the journal cannot be explained by this program.
pub fn evolve(state: &mut State, recorded: &Recorded) {
    assert_eq!(recorded.revision, state.head.next, "events are evolved in the order of their revisions");
    let revision = recorded.revision;
    post(state, revision, recorded.event.postings());
    apply(state, recorded);
    remember(state, recorded);
    let journal = match &recorded.event {
        Event::JournalOpened(opened) => Some(opened.journal),
        _ => state.head.journal,
    };
    assert!(journal.is_some(), "a journal begins with JournalOpened");
    let at = state.head.at.max(recorded.metadata.recorded_at);
    state.advance(revision, Head { journal, next: revision + 1, at });
    if recorded.metadata.closes_unit() {
        let left = state.balance(Account::ClearingCharges, Asset::COIN);
        assert_eq!(left, 0, "clearing:charges is empty at the end of the unit that closes at {revision}");
    }
}

/// Moves the balances. The sum over an entry is zero for each asset, so the books stay in balance.
fn post(state: &mut State, revision: u64, postings: &[Posting]) {
    assert_balanced(postings);
    for posting in postings {
        let before = state.balance(posting.account, posting.asset);
        let after = before.checked_add(posting.amount).filter(|it| it.abs() <= MAX_AMOUNT);
        let after = after.unwrap_or_else(|| panic!("{} overflows at {revision}", posting.account));
        assert!(after <= 0 || !posting.account.is_owned(), "{} is overdrawn at {revision}", posting.account);
        state.balances.set(revision, (posting.account, posting.asset), (after != 0).then_some(after));
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

fn remember(state: &mut State, recorded: &Recorded) {
    let metadata = &recorded.metadata;
    if !metadata.remembered || !metadata.closes_unit() {
        return;
    }
    if let Some(key_at) = metadata.key_at {
        state.forgettable.insert((key_at, metadata.command_id));
    }
    let row =
        Remembered { hash: metadata.request_hash, revision: recorded.revision, key_at: metadata.key_at };
    state.commands.set(recorded.revision, metadata.command_id, Some(row));
}

fn apply(state: &mut State, recorded: &Recorded) {
    let (revision, at) = (recorded.revision, recorded.metadata.recorded_at);
    match &recorded.event {
        Event::JournalOpened(_) => assert_eq!(revision, 0, "JournalOpened is the first event"),
        Event::CoinPlanSet(it) => {
            let plan = Plan {
                coins_milli: it.coins_milli,
                bonus_milli: it.bonus_milli,
                bonus_valid_seconds: it.bonus_valid_seconds,
                price_minor: it.price_minor,
                price_asset: it.price_asset,
                active: it.active,
            };
            state.plans.set(revision, it.plan, Some(plan));
        }
        Event::PurchaseOpened(it) => {
            let purchase = Purchase {
                user: it.user,
                gateway: it.gateway,
                coins_milli: it.coins_milli,
                bonus_milli: it.bonus_milli,
                bonus_valid_seconds: it.bonus_valid_seconds,
                price_minor: it.price_minor,
                price_asset: it.price_asset,
                captured: None,
            };
            state.purchases.set(revision, it.purchase, Some(purchase));
        }
        Event::PurchaseCaptured(it) => {
            edit_purchase(state, revision, it.purchase, |purchase| {
                purchase.captured = Some(Captured { lot: it.lot, bonus_lot: None, refunded_minor: 0 });
            });
            add_lot(state, revision, it.lot, Account::UserPurchased(it.user), it.coins_milli, None);
        }
        Event::PurchaseFailed(_)
        | Event::UnmatchedMoneyReceived(UnmatchedMoneyReceived { direction: MoneyDirection::In, .. }) => {}
        Event::UnmatchedMoneyReceived(it) => {
            state.refunds.set(revision, it.payment_ref.clone(), Some(revision))
        }
        Event::PurchaseRefunded(it) => {
            edit_purchase(state, revision, it.purchase, |purchase| {
                if let Some(captured) = &mut purchase.captured {
                    captured.refunded_minor += it.refunded_minor;
                }
            });
            draw(state, revision, it.lot, it.coins_milli);
            if let Some(bonus_lot) = it.bonus_lot {
                draw(state, revision, bonus_lot, it.bonus_milli);
            }
            state.refunds.set(revision, it.refund_ref.clone(), Some(revision));
        }
        Event::BonusGranted(it) => {
            add_lot(state, revision, it.lot, Account::UserBonus(it.user), it.coins_milli, it.expires_at);
            if let Some(purchase) = it.purchase {
                edit_purchase(state, revision, purchase, |purchase| {
                    if let Some(captured) = &mut purchase.captured {
                        captured.bonus_lot = Some(it.lot);
                    }
                });
            }
        }
        Event::BonusExpired(it) => draw(state, revision, it.lot, it.coins_milli),
        Event::AgencyJoined(it) => edit_host(state, revision, it.host, |host| host.agency = Some(it.agency)),
        Event::AgencyLeft(it) => edit_host(state, revision, it.host, |host| host.agency = None),
        Event::HostRateSet(it) => {
            state.rates.set(revision, (it.host, it.medium), it.price_milli_per_minute);
        }
        Event::GiftPriceSet(it) => state.gifts.set(revision, it.gift, it.price_milli),
        Event::CommissionRateSet(it) => {
            change_rate(state, revision, it.scope, it.effective_from, Some((it.host_bps, it.agency_bps)));
        }
        Event::CommissionRateCleared(it) => change_rate(state, revision, it.scope, it.effective_from, None),
        Event::CallStarted(it) => {
            state.calls.set(revision, it.call, Some(Call::begun(it, at)));
            state.engaged.set(revision, it.payer, Some(it.call));
            state.engaged.set(revision, it.host, Some(it.call));
        }
        Event::CallTicked(it) => {
            edit_call(state, revision, it.call, |call| {
                let connected_ms = i64::from(it.number - 1) * i64::from(call.increment_seconds) * 1_000;
                call.phase = Phase::Running { connected_ms, since: it.begun_at };
                call.ticks = it.number;
                call.charged_milli = it.charged_total_milli;
            });
            spend(state, revision, &it.draws);
        }
        Event::CallPaused(it) => edit_call(state, revision, it.call, |call| {
            call.phase = Phase::Paused { connected_ms: it.connected_ms, lost_at: it.lost_at };
        }),
        Event::CallResumed(it) => edit_call(state, revision, it.call, |call| {
            if let Phase::Paused { connected_ms, .. } = call.phase {
                call.phase = Phase::Running { connected_ms, since: it.resumed_at };
            }
        }),
        Event::CallEnded(it) => {
            edit_call(state, revision, it.call, |call| call.phase = Phase::Ended);
            state.engaged.set(revision, it.payer, None);
            state.engaged.set(revision, it.host, None);
        }
        Event::GiftSent(it) => spend(state, revision, &it.draws),
        Event::CommissionSplit(it) => edit_host(state, revision, it.host, |host| {
            host.pending.retain(|(from, _)| *from > at);
            if it.available_from > at && it.host_milli > 0 {
                match host.pending.iter_mut().find(|(from, _)| *from == it.available_from) {
                    Some((_, amount)) => *amount += it.host_milli,
                    None => host.pending.push((it.available_from, it.host_milli)),
                }
            }
        }),
        Event::WithdrawalRequested(it) => {
            let withdrawal = Withdrawal {
                host: it.host,
                coins_milli: it.coins_milli,
                rate: it.rate,
                payout_minor: it.payout_minor,
                payout_asset: it.payout_asset,
                status: WithdrawalStatus::Requested,
            };
            state.withdrawals.set(revision, it.withdrawal, Some(withdrawal));
        }
        Event::WithdrawalApproved(it) => {
            set_status(state, revision, it.withdrawal, WithdrawalStatus::Approved);
        }
        Event::WithdrawalRejected(it) => {
            set_status(state, revision, it.withdrawal, WithdrawalStatus::Rejected);
        }
        Event::WithdrawalCancelled(it) => {
            set_status(state, revision, it.withdrawal, WithdrawalStatus::Cancelled);
        }
        Event::WithdrawalPaid(it) => set_status(state, revision, it.withdrawal, WithdrawalStatus::Paid),
        Event::WithdrawalFailed(it) => set_status(state, revision, it.withdrawal, WithdrawalStatus::Failed),
        Event::AdjustmentPosted(it) => {
            if let Some(lot) = it.lot {
                add_lot(state, revision, lot, it.account, it.amount_milli, None);
            }
            spend(state, revision, &it.draws);
        }
    }
}

fn edit_purchase(
    state: &mut State,
    revision: u64,
    id: crate::ids::PurchaseId,
    edit: impl FnOnce(&mut Purchase),
) {
    let mut purchase = state.purchases.get(&id).cloned().expect("a purchase is opened before it is captured");
    edit(&mut purchase);
    state.purchases.set(revision, id, Some(purchase));
}

fn edit_host(state: &mut State, revision: u64, id: PersonId, edit: impl FnOnce(&mut Host)) {
    let mut host = state.hosts.get(&id).cloned().unwrap_or_default();
    edit(&mut host);
    state.hosts.set(revision, id, Some(host));
}

fn edit_call(state: &mut State, revision: u64, id: crate::ids::CallId, edit: impl FnOnce(&mut Call)) {
    let mut call = state.calls.get(&id).cloned().expect("a call is started before anything happens in it");
    edit(&mut call);
    state.calls.set(revision, id, Some(call));
}

fn set_status(state: &mut State, revision: u64, id: crate::ids::WithdrawalId, status: WithdrawalStatus) {
    let mut withdrawal = state.withdrawals.get(&id).cloned().expect("a withdrawal begins with its request");
    withdrawal.status = status;
    state.withdrawals.set(revision, id, Some(withdrawal));
}

fn change_rate(
    state: &mut State,
    revision: u64,
    scope: CommissionScope,
    effective_from: Timestamp,
    bps: Option<(u32, u32)>,
) {
    let mut changes = state.commissions.get(&scope).cloned().unwrap_or_default();
    // After those of the same moment: of two changes for one moment the later command wins.
    let place = changes.partition_point(|change| change.effective_from <= effective_from);
    changes.insert(place, RateChange { effective_from, bps });
    state.commissions.set(revision, scope, Some(changes));
}

fn add_lot(
    state: &mut State,
    revision: u64,
    id: LotId,
    account: Account,
    amount_milli: i64,
    expires_at: Option<Timestamp>,
) {
    let person = account.person().expect("lots stand in the accounts of users");
    let mut payer = state.payers.get(&person).cloned().unwrap_or_default();
    if matches!(account, Account::UserBonus(_)) {
        let key = |expiry: Option<Timestamp>| expiry.unwrap_or(Timestamp(i64::MAX));
        let place = payer.bonus.partition_point(|other| {
            state.lots.get(other).is_some_and(|lot| key(lot.expires_at) <= key(expires_at))
        });
        payer.bonus.insert(place, id);
    } else {
        payer.purchased.push(id);
    }
    state.payers.set(revision, person, Some(payer));
    state.lots.set(revision, id, Some(Lot { account, remaining_milli: amount_milli, expires_at }));
}

fn spend(state: &mut State, revision: u64, draws: &[Draw]) {
    for it in draws {
        draw(state, revision, it.lot, it.amount_milli);
    }
}

/// Takes coins from a lot; an empty lot leaves its payer's list.
fn draw(state: &mut State, revision: u64, id: LotId, amount_milli: i64) {
    if amount_milli == 0 {
        return;
    }
    let mut lot = state.lots.get(&id).cloned().expect("coins are drawn from a lot that is there");
    lot.remaining_milli -= amount_milli;
    assert!(lot.remaining_milli >= 0, "the lot {id} is overdrawn at {revision}");
    if lot.remaining_milli > 0 {
        state.lots.set(revision, id, Some(lot));
        return;
    }
    let person = lot.account.person().expect("lots stand in the accounts of users");
    let mut payer = state.payers.get(&person).cloned().unwrap_or_default();
    payer.bonus.retain(|other| *other != id);
    payer.purchased.retain(|other| *other != id);
    state.payers.set(revision, person, Some(payer));
    state.lots.set(revision, id, None);
}
