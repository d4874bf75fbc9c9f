//! What the journal says of the things that the other side has books of.

use super::{Source, Subject};
use chrono::{DateTime, Utc};
use ledger_core::event::UnmatchedCause;
use ledger_core::purchases::Resolution;
use ledger_core::{Account, Asset, Event, Gateway, Period, Recorded};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// What the journal has under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub amount: i64,
    pub asset: Option<Asset>,
    /// The first event of it, and when it was recorded.
    pub event: Uuid,
    pub at: DateTime<Utc>,
}

/// What is kept of the journal: all of the period, and what the file names.
pub struct Wanted {
    pub source: Source,
    pub period: Period,
    pub named: HashSet<Subject>,
}

/// A replay of the journal, event by event.
pub struct Ours {
    wanted: Wanted,
    known: HashMap<Subject, Known>,
    /// The last revision that was read.
    pub revision: Option<u64>,
}

impl Ours {
    pub fn new(wanted: Wanted) -> Ours {
        Ours { wanted, known: HashMap::new(), revision: None }
    }

    /// The next event.
    pub fn add(&mut self, recorded: &Recorded) {
        self.revision = Some(recorded.revision);
        let told = match self.wanted.source {
            Source::Razorpay => of_gateway(&recorded.event),
            Source::Calls => of_call(&recorded.event),
        };
        let Some((subject, amount, asset)) = told else { return };
        let at = recorded.metadata.recorded_at.to_utc();
        let Wanted { period, named, .. } = &self.wanted;
        let within = period.from.is_none_or(|from| from <= at) && period.to.is_none_or(|to| at < to);
        if let Some(known) = self.known.get_mut(&subject) {
            known.amount += amount;
        } else if within || named.contains(&subject) {
            let event = recorded.event_id;
            self.known.insert(subject, Known { amount, asset, event, at });
        }
    }

    pub(super) fn into_parts(self) -> (Wanted, HashMap<Subject, Known>) {
        (self.wanted, self.known)
    }
}

/// What an event moves on the gateway's account, under the gateway's own name of it. Adjustments are no part of it: they
/// settle what differs.
fn of_gateway(event: &Event) -> Option<(Subject, i64, Option<Asset>)> {
    let subject = match event {
        Event::PurchaseCaptured(it) => Subject::new("payment", &it.payment_ref),
        Event::PurchaseRefunded(it) => Subject::new("refund", &it.refund_ref),
        Event::UnmatchedMoneyReceived(it) => match (&it.refund_ref, it.cause) {
            (None, _) => Subject::new("payment", &it.payment_ref),
            (Some(dispute), UnmatchedCause::DisputeBeforeCapture | UnmatchedCause::DisputeUnmatched) => {
                Subject::new("dispute", dispute)
            }
            (Some(refund), _) => Subject::new("refund", refund),
        },
        Event::SuspenseResolved(it) => match &it.resolution {
            Resolution::Refund(refund) => Subject::new("refund", refund),
            Resolution::Purchase(_) | Resolution::Income => return None,
        },
        Event::DisputeLost(it) => Subject::new("dispute", &it.dispute_ref),
        Event::DisputeReversed(it) => Subject::new("dispute", &it.dispute_ref),
        _ => return None,
    };
    let book = Account::Gateway(Gateway::Razorpay);
    let mut moved = event.postings().iter().filter(|posting| posting.account == book).peekable();
    let asset = moved.peek()?.asset;
    Some((subject, moved.map(|posting| posting.amount).sum(), Some(asset)))
}

fn of_call(event: &Event) -> Option<(Subject, i64, Option<Asset>)> {
    match event {
        Event::CallEnded(it) => Some((Subject::new("call", it.call.to_string()), it.connected_ms, None)),
        _ => None,
    }
}
