//! What a statement says about a movement, beside its figures.

use ledger_core::event::{
    BonusOrigin, CancelCause, CommissionSplit, MoneyDirection, OrderCancelled, OrderPaid, OrderPlaced, OrderRefunded,
    ReleaseCause, SplitSource,
};
use ledger_core::{Account, Event, PersonId, Posting};
use std::borrow::Cow;

/// How a movement reads in a statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub movement: &'static str,
    pub status: &'static str,
    pub description: Cow<'static, str>,
}

fn words(movement: &'static str, status: &'static str, description: impl Into<Cow<'static, str>>) -> Words {
    Words { movement, status, description: description.into() }
}

const GIVEN_BACK: Words = Words {
    movement: "clawback",
    status: "given_back",
    description: Cow::Borrowed("Earnings given back: their coins are paid for after all"),
};

/// What `event` is to the owner of `account`. `medium` is that of the call, where it is of one.
pub(crate) fn describe(event: &Event, account: Account, medium: Option<&str>) -> Words {
    let call = match medium {
        Some("chat") => "Chat",
        Some("voice") => "Voice call",
        Some("video") => "Video call",
        _ => "Call",
    };
    match event {
        Event::PurchaseCaptured(_) => words("purchase", "completed", "Coins bought"),
        Event::PurchaseRefunded(_) => words("refund", "completed", "Purchase refunded"),
        Event::DisputeOpened(_) | Event::DisputeMatched(_) => {
            words("dispute", "frozen", "Coins frozen: the payment is disputed")
        }
        Event::DisputeReleased(it) => match it.cause {
            ReleaseCause::Taken => words("dispute", "released", "Frozen coins released to be taken back"),
            ReleaseCause::Won | ReleaseCause::Closed => {
                words("dispute", "released", "Frozen coins released: the dispute is over")
            }
        },
        Event::DisputeLost(_) => match account {
            Account::UserReceivable(_) => {
                words("receivable", "open", "Owed for spent coins whose payment was taken back")
            }
            Account::HostEarnings(_) | Account::AgencyEarnings(_) => {
                words("clawback", "taken", "Held earnings taken back: the payment of their coins was lost")
            }
            _ => words("dispute", "lost", "Payment taken back after a dispute"),
        },
        Event::DisputeReversed(_) => match account {
            Account::UserReceivable(_) => words("receivable", "cancelled", "Owed no more: the payment came back"),
            Account::HostEarnings(_) | Account::AgencyEarnings(_) => GIVEN_BACK,
            _ => words("dispute", "reversed", "Payment that was taken back came back"),
        },
        Event::ReceivableRecovered(_) => match account {
            Account::HostEarnings(_) | Account::AgencyEarnings(_) => GIVEN_BACK,
            _ => words("receivable", "recovered", "Coins bought paid for what was owed"),
        },
        Event::ReceivableWrittenOff(it) => {
            words("receivable", "written_off", format!("Owed no more: {}", it.reason.replace('_', " ")))
        }
        Event::UnmatchedMoneyReceived(it) => match it.direction {
            MoneyDirection::In => words("unmatched", "unresolved", "Payment that fits no open purchase"),
            MoneyDirection::Out => words("unmatched", "unresolved", "Refund that fits no purchase"),
        },
        Event::SuspenseResolved(it) => {
            let reason = it.reason.replace('_', " ");
            words("suspense", "resolved", format!("Money in suspense resolved: {reason}"))
        }
        Event::BonusGranted(it) => match it.origin {
            BonusOrigin::Plan => words("bonus", "completed", "Bonus coins of a plan"),
            BonusOrigin::Promotion => words("bonus", "completed", "Bonus coins"),
            BonusOrigin::Ad => words("reward", "completed", "Earned: an ad watched"),
            BonusOrigin::Daily => words("reward", "completed", "Earned: daily bonus"),
            BonusOrigin::Code => words("reward", "completed", "Earned: promotion code"),
            BonusOrigin::Referral => words("reward", "completed", "Earned: referral"),
        },
        Event::BonusExpired(_) => words("bonus_expiry", "completed", "Bonus coins expired"),
        Event::CallTicked(it) => words("call", "completed", format!("{call}, increment {}", it.number)),
        Event::CallChargeReturned(it) => {
            let (from, to) = (it.from_number, it.to_number);
            let which = if from == to { format!("increment {from}") } else { format!("increments {from} to {to}") };
            words("call_return", "completed", format!("{call}, {which} given back: a side was not there"))
        }
        Event::GiftSent(_) => words("gift", "completed", "Gift sent"),
        Event::SubscriptionPaid(it) => {
            words("subscription", "completed", format!("Subscription, period {}", it.period))
        }
        Event::OrderPlaced(_) => words("order", "held", "Service ordered"),
        Event::OrderPaid(_) => words("order", "held", "Service ordered, paid at the gateway"),
        Event::OrderCompleted(_) => words("order", "completed", "Service completed"),
        Event::OrderCancelled(it) => match it.cause {
            CancelCause::Buyer => words("order_return", "completed", "Order cancelled, coins returned"),
            CancelCause::Declined => words("order_return", "completed", "Order declined, coins returned"),
            CancelCause::Unpaid => words("order_return", "completed", "Order not paid in time, coins returned"),
        },
        Event::OrderRefunded(it) => {
            words("order_return", "completed", format!("Order refunded: {}", it.reason.replace('_', " ")))
        }
        Event::CommissionSplit(it) => split(it, account, call),
        Event::WithdrawalRequested(_) => words("withdrawal", "requested", "Withdrawal requested"),
        Event::WithdrawalRejected(_) => {
            words("withdrawal", "rejected", "Withdrawal rejected, coins returned")
        }
        Event::WithdrawalCancelled(_) => {
            words("withdrawal", "cancelled", "Withdrawal cancelled, coins returned")
        }
        Event::WithdrawalPaid(_) => words("withdrawal", "paid", "Withdrawal paid out"),
        Event::WithdrawalFailed(_) => words("withdrawal", "failed", "Payout failed, coins returned"),
        Event::WithdrawalReversed(_) => words("withdrawal", "reversed", "Payout came back, coins returned"),
        Event::AdjustmentPosted(it) => {
            words("adjustment", "completed", format!("Correction: {}", it.reason.replace('_', " ")))
        }
        Event::GatewayAdjusted(it) => {
            words("adjustment", "completed", format!("Correction: {}", it.reason.replace('_', " ")))
        }
        Event::SettlementCorrected(it) => {
            words("adjustment", "completed", format!("Settlement corrected: {}", it.reason.replace('_', " ")))
        }
        // Events that move no value have no line in a statement.
        Event::JournalOpened(_)
        | Event::CoinPlanSet(_)
        | Event::LotsMerged(_)
        | Event::CampaignSet(_)
        | Event::CampaignEnded(_)
        | Event::RewardEarned(_)
        | Event::InviterNamed(_)
        | Event::ServiceSet(_)
        | Event::CouponSet(_)
        | Event::OrderAccepted(_)
        | Event::SubscriptionPlanSet(_)
        | Event::SubscriptionGraceBegun(_)
        | Event::SubscriptionCancelled(_)
        | Event::SubscriptionResumed(_)
        | Event::SubscriptionLapsed(_)
        | Event::PurchaseOpened(_)
        | Event::PurchaseFailed(_)
        | Event::PurchaseExpired(_)
        | Event::AgencyJoined(_)
        | Event::AgencyLeft(_)
        | Event::HostRateSet(_)
        | Event::GiftPriceSet(_)
        | Event::CommissionRateSet(_)
        | Event::CommissionRateCleared(_)
        | Event::CallStarted(_)
        | Event::CallPaused(_)
        | Event::CallResumed(_)
        | Event::CallEnded(_)
        | Event::PayoutRateSet(_)
        | Event::TaxRateSet(_)
        | Event::WithdrawalApproved(_)
        | Event::WithdrawalSent(_)
        | Event::WithdrawalUnknown(_)
        | Event::SettlementClosed(_)
        | Event::SettlementPayoutRequested(_) => words("other", "completed", event.kind()),
    }
}

fn split(split: &CommissionSplit, account: Account, call: &str) -> Words {
    match (account, split.source) {
        (Account::HostEarnings(_), SplitSource::Call(_)) => {
            words("call", "completed", format!("Earned: {call}"))
        }
        (Account::HostEarnings(_), SplitSource::Gift(_)) => words("gift", "completed", "Earned: gift"),
        (Account::HostEarnings(_), SplitSource::Order(_)) => words("order", "completed", "Earned: service"),
        (_, SplitSource::Order(_)) => words("commission", "completed", "Commission: service"),
        (_, SplitSource::Call(_)) => words("commission", "completed", format!("Commission: {call}")),
        (_, SplitSource::Gift(_)) => words("commission", "completed", "Commission: gift"),
    }
}

/// The posting on the other side of the one at `index`. Entries are made of pairs; where one is not,
/// it is the first of the same asset with the other sign.
pub(crate) fn opposite(postings: &[Posting], index: usize) -> Option<&Posting> {
    let posting = postings.get(index)?;
    postings
        .get(index ^ 1)
        .filter(|other| other.asset == posting.asset && other.amount == -posting.amount)
        .or_else(|| {
            postings.iter().find(|other| {
                other.asset == posting.asset && other.amount.signum() == -posting.amount.signum()
            })
        })
}

/// The person whom the owner of `account` dealt with.
pub(crate) fn counterparty(event: &Event, account: Account, other: Option<Account>) -> Option<PersonId> {
    match event {
        // Charges and earnings meet in clearing, behind which the people stand.
        Event::CallTicked(it) if account.person().is_some() => Some(it.host),
        Event::GiftSent(it) if account.person().is_some() => Some(it.host),
        Event::CallChargeReturned(it) if matches!(account, Account::HostEarnings(_)) => Some(it.payer),
        Event::CallChargeReturned(it) => Some(it.host),
        Event::OrderRefunded(it) if matches!(account, Account::HostEarnings(_)) => Some(it.user),
        Event::OrderPlaced(OrderPlaced { provider, .. })
        | Event::OrderPaid(OrderPaid { provider, .. })
        | Event::OrderCancelled(OrderCancelled { provider, .. })
        | Event::OrderRefunded(OrderRefunded { provider, .. })
            if account.person().is_some() =>
        {
            *provider
        }
        Event::CommissionSplit(it) if account.person().is_some() => Some(it.payer),
        Event::CommissionSplit(it) => Some(it.host),
        _ => other.and_then(|other| other.person()).or_else(|| match account.person() {
            Some(_) => None,
            None => event.people().first().copied(),
        }),
    }
}
