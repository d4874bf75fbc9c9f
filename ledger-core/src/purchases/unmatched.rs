//! Real money that fits no open case: it stands in suspense until a person resolves it, or until what it waits
//! for arrives.

use super::{PurchaseRefunded, Refundable};
use crate::account::legs;
use crate::mechanism::binary::binary_choices;
use crate::mechanism::decide::{Context, Decide, check_reason, check_reference};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::{Account, Asset, Event, Gateway, PersonId, Posting, PurchaseId, Rejection, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why money fits no open case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnmatchedCause {
    UnknownOrder,
    SecondPayment,
    AmountMismatch,
    CurrencyMismatch,
    /// The buyer's account cannot hold so many coins.
    BalanceFull,
    /// A refund of a payment that bought nothing, or of more than was paid.
    RefundUnmatched,
    /// A refund of a payment that has not been captured yet: it waits for the capture.
    RefundBeforeCapture,
    /// A dispute was lost over a payment that bought nothing, or over more than was left of it.
    DisputeUnmatched,
    /// A dispute was lost over a payment that has not been captured yet: it waits for the capture.
    DisputeBeforeCapture,
    /// Money that a lost dispute took came back, and it is not known any more what for.
    DisputeReversed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MoneyDirection {
    In,
    Out,
}

/// What a case in suspense turns out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// Money that came in pays this open purchase, whose price it must be.
    Purchase(PurchaseId),
    /// Money that came in was sent back; the gateway's name of that refund.
    Refund(String),
    /// The platform keeps money that came in, or bears money that went out.
    Income,
}

binary_choices! { UnmatchedCause as "name" {
    0 = UnknownOrder "unknown_order"
    1 = SecondPayment "second_payment"
    2 = AmountMismatch "amount_mismatch"
    3 = CurrencyMismatch "currency_mismatch"
    4 = BalanceFull "balance_full"
    5 = RefundUnmatched "refund_unmatched"
    6 = RefundBeforeCapture "refund_before_capture"
    7 = DisputeUnmatched "dispute_unmatched"
    8 = DisputeBeforeCapture "dispute_before_capture"
    9 = DisputeReversed "dispute_reversed"
} }

binary_choices! { MoneyDirection as "name" { 0 = In "in" 1 = Out "out" } }

binary_choices! { Resolution as "name" {
    0 = Purchase(purchase: PurchaseId) "purchase"
    1 = Refund(reference: String) "refund"
    2 = Income "income"
} }

commands! {
    /// A person of the platform says what money in suspense is. The case is named by the revision of the event
    /// that opened it.
    ResolveSuspense = "ResolveSuspense" { case: u64, resolution: Resolution, reason: String }
}

events! {
    /// Real money that fits no open case stands in suspense until a person resolves it.
    UnmatchedMoneyReceived = "UnmatchedMoneyReceived" {
        gateway: Gateway,
        payment_ref: String,
        /// The gateway's name of the refund, of money that went out.
        refund_ref: Option<String>,
        purchase: Option<PurchaseId>,
        cause: UnmatchedCause,
        direction: MoneyDirection,
        amount_minor: i64,
        amount_asset: Asset,
        /// The open case that this money undoes: both together come to nothing, and neither stays open.
        settles: Option<u64>,
        postings: Vec<Posting>,
    }
    /// A case in suspense was resolved by a person.
    SuspenseResolved = "SuspenseResolved" {
        case: u64,
        gateway: Gateway,
        direction: MoneyDirection,
        amount_minor: i64,
        amount_asset: Asset,
        resolution: Resolution,
        reason: String,
        postings: Vec<Posting>,
    }
}

/// An open case in suspense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspenseCase {
    pub gateway: Gateway,
    pub direction: MoneyDirection,
    pub amount_minor: i64,
    pub amount_asset: Asset,
    pub payment_ref: String,
}

/// A payment that the gateway has told of, and the purchase whose coins it bought, if any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payment {
    pub purchase: Option<PurchaseId>,
    pub revision: u64,
}

/// A refund that came before the capture of its payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EarlyRefund {
    pub refund_ref: String,
    pub amount_minor: i64,
    pub amount_asset: Asset,
    /// Where it stands in suspense.
    pub case: u64,
}

/// Money that came in and cannot be credited.
pub(super) fn unmatched_payment(
    context: &Context,
    (gateway, payment_ref): (Gateway, String),
    purchase: Option<PurchaseId>,
    cause: UnmatchedCause,
    amount_minor: i64,
    asset: Asset,
) -> Event {
    let early = context.state.tables.early_refunds.get(&payment_ref).into_iter().flatten();
    let mut early = early.filter(|it| (it.amount_minor, it.amount_asset) == (amount_minor, asset));
    let settles = early.find(|it| context.state.suspense_case(it.case).is_some()).map(|it| it.case);
    UnmatchedMoneyReceived {
        gateway,
        settles,
        payment_ref,
        refund_ref: None,
        purchase,
        cause,
        direction: MoneyDirection::In,
        amount_minor,
        amount_asset: asset,
        postings: legs(asset, Account::Gateway(gateway), Account::Suspense(gateway), amount_minor),
    }
    .into()
}

/// Money that went out by a refund or a lost dispute and belongs to no purchase. Of the causes the first one is that
/// the payment is not known yet.
pub(crate) fn unmatched_refund(
    context: &Context,
    gateway: Gateway,
    (payment_ref, refund_ref): (String, String),
    amount_minor: i64,
    asset: Asset,
    [unknown, known]: [UnmatchedCause; 2],
) -> Event {
    let payment = context.state.tables.payments.get(&payment_ref);
    let cause = if payment.is_none() { unknown } else { known };
    // The payment stands in suspense itself, whole: its refund closes the case.
    let settles = payment.filter(|payment| payment.purchase.is_none()).map(|payment| payment.revision);
    let settles = settles.filter(|case| {
        let open = context.state.suspense_case(*case);
        open.is_some_and(|open| (open.amount_minor, open.amount_asset) == (amount_minor, asset))
    });
    UnmatchedMoneyReceived {
        gateway,
        payment_ref,
        refund_ref: Some(refund_ref),
        purchase: payment.and_then(|payment| payment.purchase),
        cause,
        direction: MoneyDirection::Out,
        amount_minor,
        amount_asset: asset,
        settles,
        postings: legs(asset, Account::Suspense(gateway), Account::Gateway(gateway), amount_minor),
    }
    .into()
}

/// The refunds of a payment that came before its capture, now that it has bought `purchase`.
pub(super) fn early_refunds(
    context: &Context,
    purchase: PurchaseId,
    payment_ref: &str,
    open: &mut Refundable<'_>,
    price: (i64, Asset),
) -> Vec<Event> {
    let early = context.state.tables.early_refunds.get(&payment_ref.to_owned());
    let mut left_minor = price.0;
    let mut events = Vec::new();
    for it in early.into_iter().flatten() {
        // What was sent back beyond the price stays in suspense.
        if it.amount_asset == price.1 && it.amount_minor <= left_minor {
            left_minor -= it.amount_minor;
            // A case that the platform has borne meanwhile is the platform's again.
            let from = match context.state.suspense_case(it.case) {
                Some(case) => (Account::Suspense(case.gateway), Some(it.case)),
                None => (Account::PlatformRevenue, None),
            };
            events.push(open.refund(purchase, it.refund_ref.clone(), it.amount_minor, from));
        }
    }
    events
}

impl Decide for ResolveSuspense {
    fn decides_on_money_of(&self, state: &State) -> Option<PersonId> {
        match self.resolution {
            Resolution::Purchase(purchase) => state.purchase(purchase).map(|row| row.user),
            Resolution::Refund(_) | Resolution::Income => None,
        }
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let ResolveSuspense { case: number, resolution, reason } = self;
        let reason = check_reason("reason", reason)?;
        let case = context.state.suspense_case(*number).ok_or(Rejection::UnknownCase)?;
        let &SuspenseCase { gateway, direction, amount_minor, amount_asset, .. } = case;
        let suspense = Account::Suspense(gateway);
        let fits = |fits: bool| if fits { Ok(()) } else { Err(Rejection::ResolutionUnfit) };
        let came_in = direction == MoneyDirection::In;
        let (postings, more) = match resolution {
            Resolution::Purchase(id) => {
                let row = context.state.purchase(*id).ok_or(Rejection::UnknownPurchase)?;
                if row.captured.is_some() {
                    return Err(Rejection::PurchaseNotOpen);
                }
                fits(came_in && (row.price_minor, row.price_asset) == (amount_minor, amount_asset))?;
                let credited = super::capture::credit(context, *id, row, case.payment_ref.clone(), suspense);
                (Vec::new(), [credited, context.referral_rewards(row.user)].concat())
            }
            Resolution::Refund(refund_ref) => {
                check_reference("refund_ref", refund_ref)?;
                if context.state.tables.refunds.get(refund_ref).is_some() {
                    return Err(Rejection::RefundKnown);
                }
                fits(came_in)?;
                (legs(amount_asset, suspense, Account::Gateway(gateway), amount_minor), Vec::new())
            }
            Resolution::Income if came_in => {
                (legs(amount_asset, suspense, Account::PlatformRevenue, amount_minor), Vec::new())
            }
            Resolution::Income => {
                (legs(amount_asset, Account::PlatformRevenue, suspense, amount_minor), Vec::new())
            }
        };
        let resolved = SuspenseResolved {
            case: *number,
            gateway,
            direction,
            amount_minor,
            amount_asset,
            resolution: resolution.clone(),
            reason,
            postings,
        };
        Ok(std::iter::once(resolved.into()).chain(more).collect())
    }
}

impl State {
    /// An open case in suspense, by the revision of the event that opened it.
    pub fn suspense_case(&self, case: u64) -> Option<&SuspenseCase> {
        self.tables.suspense.get(&case)
    }
}

impl Change<'_> {
    pub(super) fn close_case(&mut self, case: u64) {
        self.state.tables.suspense.set(self.revision, case, None);
    }

    pub(super) fn open_case_of_refund(&mut self, it: &PurchaseRefunded) {
        let case = SuspenseCase {
            gateway: it.gateway,
            direction: MoneyDirection::Out,
            amount_minor: it.uncovered_minor,
            amount_asset: it.refunded_asset,
            payment_ref: it.refund_ref.clone(),
        };
        self.state.tables.suspense.set(self.revision, self.revision, Some(case));
    }

    pub(super) fn know_payment(&mut self, payment_ref: &str, purchase: Option<PurchaseId>) {
        let (tables, revision) = (&mut self.state.tables, self.revision);
        tables.payments.set(revision, payment_ref.to_owned(), Some(Payment { purchase, revision }));
        if tables.early_refunds.get(&payment_ref.to_owned()).is_some() {
            tables.early_refunds.set(revision, payment_ref.to_owned(), None);
        }
    }
}

impl Happened for UnmatchedMoneyReceived {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn people(&self) -> Vec<PersonId> {
        vec![]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        self.purchase.map(|purchase| purchase.0)
    }

    fn evolve(&self, change: &mut Change) {
        match self.settles {
            Some(case) => change.close_case(case),
            None => {
                let case = SuspenseCase {
                    gateway: self.gateway,
                    direction: self.direction,
                    amount_minor: self.amount_minor,
                    amount_asset: self.amount_asset,
                    payment_ref: self.payment_ref.clone(),
                };
                change.state.tables.suspense.set(change.revision, change.revision, Some(case));
            }
        }
        let Some(refund_ref) = &self.refund_ref else {
            return change.know_payment(&self.payment_ref, None);
        };
        let (tables, revision) = (&mut change.state.tables, change.revision);
        tables.refunds.set(revision, refund_ref.clone(), Some(revision));
        let waiting = tables.early_refunds.get(&self.payment_ref).cloned();
        match self.cause {
            UnmatchedCause::RefundBeforeCapture | UnmatchedCause::DisputeBeforeCapture => {
                let mut waiting = waiting.unwrap_or_default();
                waiting.push(EarlyRefund {
                    refund_ref: refund_ref.clone(),
                    amount_minor: self.amount_minor,
                    amount_asset: self.amount_asset,
                    case: revision,
                });
                tables.early_refunds.set(revision, self.payment_ref.clone(), Some(waiting));
            }
            // What came back waits for no capture any more.
            UnmatchedCause::DisputeReversed if waiting.is_some() => {
                let mut waiting = waiting.unwrap_or_default();
                waiting.retain(|it| it.refund_ref != *refund_ref);
                let waiting = (!waiting.is_empty()).then_some(waiting);
                tables.early_refunds.set(revision, self.payment_ref.clone(), waiting);
            }
            _ => {}
        }
    }
}

impl Happened for SuspenseResolved {
    fn postings(&self) -> &[Posting] {
        &self.postings
    }

    fn people(&self) -> Vec<PersonId> {
        vec![]
    }

    fn correlation(&self) -> Option<uuid::Uuid> {
        match &self.resolution {
            Resolution::Purchase(purchase) => Some(purchase.0),
            Resolution::Refund(_) | Resolution::Income => None,
        }
    }

    fn evolve(&self, change: &mut Change) {
        change.close_case(self.case);
        if let Resolution::Refund(refund_ref) = &self.resolution {
            let refunds = &mut change.state.tables.refunds;
            refunds.set(change.revision, refund_ref.clone(), Some(change.revision));
        }
    }
}
