//! Which rows a batch builds on.

use ledger_core::event::{Draw, SplitSource};
use ledger_core::{Account, Asset, Event, Recorded};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The keys of the rows that the events of a batch change, as far as these may exist before it.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub balances: BTreeSet<(Account, Asset)>,
    pub calls: BTreeSet<Uuid>,
    pub purchases: BTreeSet<Uuid>,
    pub withdrawals: BTreeSet<Uuid>,
    pub bonus_lots: BTreeSet<Uuid>,
    /// Hosts who leave an agency.
    pub leavers: BTreeSet<Uuid>,
}

impl Touched {
    pub fn by(events: &[Recorded]) -> Touched {
        let mut touched = Touched::default();
        for recorded in events {
            let postings = recorded.event.postings();
            touched.balances.extend(postings.iter().map(|posting| (posting.account, posting.asset)));
            touched.add(&recorded.event);
        }
        touched
    }

    fn add(&mut self, event: &Event) {
        match event {
            Event::CallTicked(it) => {
                self.calls.insert(it.call.0);
                self.draws(&it.draws);
            }
            Event::CallPaused(it) => _ = self.calls.insert(it.call.0),
            Event::CallResumed(it) => _ = self.calls.insert(it.call.0),
            Event::CallEnded(it) => _ = self.calls.insert(it.call.0),
            Event::CommissionSplit(it) => {
                if let SplitSource::Call(call) = it.source {
                    self.calls.insert(call.0);
                }
            }
            Event::GiftSent(it) => self.draws(&it.draws),
            Event::AdjustmentPosted(it) => self.draws(&it.draws),
            Event::PurchaseCaptured(it) => _ = self.purchases.insert(it.purchase.0),
            Event::PurchaseFailed(it) => _ = self.purchases.insert(it.purchase.0),
            Event::PurchaseRefunded(it) => {
                self.purchases.insert(it.purchase.0);
                self.bonus_lots.extend(it.bonus_lot.map(|lot| lot.0));
            }
            Event::BonusExpired(it) => _ = self.bonus_lots.insert(it.lot.0),
            Event::AgencyLeft(it) => _ = self.leavers.insert(it.host.0),
            Event::WithdrawalApproved(it) => _ = self.withdrawals.insert(it.withdrawal.0),
            Event::WithdrawalRejected(it) => _ = self.withdrawals.insert(it.withdrawal.0),
            Event::WithdrawalCancelled(it) => _ = self.withdrawals.insert(it.withdrawal.0),
            Event::WithdrawalPaid(it) => _ = self.withdrawals.insert(it.withdrawal.0),
            Event::WithdrawalFailed(it) => _ = self.withdrawals.insert(it.withdrawal.0),
            Event::JournalOpened(_)
            | Event::CoinPlanSet(_)
            | Event::PurchaseOpened(_)
            | Event::UnmatchedMoneyReceived(_)
            | Event::BonusGranted(_)
            | Event::AgencyJoined(_)
            | Event::HostRateSet(_)
            | Event::GiftPriceSet(_)
            | Event::CommissionRateSet(_)
            | Event::CommissionRateCleared(_)
            | Event::CallStarted(_)
            | Event::WithdrawalRequested(_) => {}
        }
    }

    fn draws(&mut self, draws: &[Draw]) {
        let bonus = draws.iter().filter(|draw| matches!(draw.account, Account::UserBonus(_)));
        self.bonus_lots.extend(bonus.map(|draw| draw.lot.0));
    }
}
