//! What happened: the events of the journal, version 1.
//!
//! A recorded event decodes for ever. Amounts in coins are thousandths (`_milli`), in fiat minor
//! units (`_minor`) beside their asset. Events hold ids and codes only, never personal data.

use crate::account::{Account, Gateway, Posting};
use crate::ids::*;
use crate::money::Asset;
use crate::time::Timestamp;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How host and user talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Medium {
    Chat,
    Voice,
    Video,
}

/// Whom a commission rate is for. The most specific in force wins: host, then agency, then global.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommissionScope {
    Global,
    Agency(AgencyId),
    Host(PersonId),
}

/// The rate that a charge is split by: fixed when the charge, or the call that it is part of, begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommissionRule {
    /// Where the rate was set.
    pub scope: CommissionScope,
    /// The host's share, in basis points.
    pub host_bps: u32,
    /// The agency's share, in basis points; zero without an agency.
    pub agency_bps: u32,
    pub agency: Option<AgencyId>,
}

/// Part of a spend: how much came from which lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Draw {
    pub lot: LotId,
    pub account: Account,
    pub amount_milli: i64,
}

/// Why money fits no open case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnmatchedCause {
    UnknownOrder,
    SecondPayment,
    AmountMismatch,
    CurrencyMismatch,
    /// A refund of a purchase that is unknown, not captured, or smaller than the refund.
    RefundUnmatched,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MoneyDirection {
    In,
    Out,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BonusOrigin {
    /// Given with a coin plan.
    Plan,
    /// Given by an admin.
    Promotion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PauseCause {
    /// The payer or the host lost the connection.
    Disconnected,
    /// The server stopped; the time of the outage is never billed.
    Outage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    HungUp,
    /// The next increment could not be paid.
    Exhausted,
    /// A side was away for longer than the grace.
    Lost,
    /// An admin ended it.
    Stopped,
}

/// What a commission split divides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitSource {
    Call(CallId),
    Gift(GiftSendingId),
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
            #[serde(deny_unknown_fields)]
            pub struct $name { $($(#[$field_meta])* pub $field: $kind),* }

            impl From<$name> for Event {
                fn from(event: $name) -> Event {
                    Event::$name(event)
                }
            }
        )*

        /// One fact of the journal.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Event { $($name($name)),* }

        impl Event {
            /// The names of all types of event, in the order of this page.
            pub const KINDS: &'static [&'static str] = &[$(stringify!($name)),*];

            /// The name of the event's type, as the store records it.
            pub fn kind(&self) -> &'static str {
                match self { $(Event::$name(_) => stringify!($name)),* }
            }

            /// The canonical bytes: fields in the order of the type, no white space.
            pub fn encode(&self) -> Vec<u8> {
                let bytes = match self { $(Event::$name(event) => serde_json::to_vec(event)),* };
                bytes.expect("events hold strings, integers and lists only, which JSON always takes")
            }

            /// Reads a recorded event of version 1.
            pub fn decode(kind: &str, data: &[u8]) -> Result<Event, DecodeError> {
                let fault = |fault: serde_json::Error| DecodeError::Malformed(kind.to_owned(), fault.to_string());
                match kind {
                    $(stringify!($name) => serde_json::from_slice(data).map(Event::$name).map_err(fault),)*
                    _ => Err(DecodeError::UnknownKind(kind.to_owned())),
                }
            }

            /// The JSON Schema of each type of event.
            pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
                vec![$((stringify!($name), schemars::schema_for!($name))),*]
            }
        }
    };
}

/// Why recorded bytes are not an event that this program knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A newer program wrote it; this node must not go on.
    #[error("the journal holds an event of the unknown type {0}: a newer program wrote it")]
    UnknownKind(String),
    #[error("the journal holds a malformed {0}: {1}")]
    Malformed(String, String),
}

events! {
    /// The first event of a journal; names it.
    JournalOpened { journal: JournalId, format: u32, assets: Vec<Asset> }

    /// A plan was offered, changed or (inactive) withdrawn.
    CoinPlanSet {
        plan: PlanId,
        coins_milli: i64,
        bonus_milli: i64,
        /// How long bonus coins last; for ever when absent.
        bonus_valid_seconds: Option<u32>,
        price_minor: i64,
        price_asset: Asset,
        active: bool,
    }

    /// A user chose a plan; what it costs and gives is fixed here.
    PurchaseOpened {
        purchase: PurchaseId,
        user: PersonId,
        plan: PlanId,
        gateway: Gateway,
        coins_milli: i64,
        bonus_milli: i64,
        bonus_valid_seconds: Option<u32>,
        price_minor: i64,
        price_asset: Asset,
    }

    /// The gateway has the money; the user has a lot of bought coins.
    PurchaseCaptured {
        purchase: PurchaseId,
        user: PersonId,
        gateway: Gateway,
        payment_ref: String,
        lot: LotId,
        coins_milli: i64,
        paid_minor: i64,
        paid_asset: Asset,
        postings: Vec<Posting>,
    }

    /// A payment failed. A later capture still credits.
    PurchaseFailed { purchase: PurchaseId, user: PersonId, payment_ref: String, reason: String }

    /// Money went back to the payer; unspent coins of the lot went with it.
    PurchaseRefunded {
        purchase: PurchaseId,
        user: PersonId,
        gateway: Gateway,
        refund_ref: String,
        lot: LotId,
        coins_milli: i64,
        /// The plan's bonus coins that went back with them.
        bonus_lot: Option<LotId>,
        bonus_milli: i64,
        refunded_minor: i64,
        refunded_asset: Asset,
        /// The part whose coins were spent already: it stands in suspense.
        uncovered_minor: i64,
        postings: Vec<Posting>,
    }

    /// Real money that fits no open case stands in suspense until a person resolves it.
    UnmatchedMoneyReceived {
        gateway: Gateway,
        payment_ref: String,
        purchase: Option<PurchaseId>,
        cause: UnmatchedCause,
        direction: MoneyDirection,
        amount_minor: i64,
        amount_asset: Asset,
        postings: Vec<Posting>,
    }

    BonusGranted {
        lot: LotId,
        user: PersonId,
        origin: BonusOrigin,
        purchase: Option<PurchaseId>,
        coins_milli: i64,
        expires_at: Option<Timestamp>,
        postings: Vec<Posting>,
    }

    /// What was left of a bonus lot at its expiry went back to the platform.
    BonusExpired { lot: LotId, user: PersonId, coins_milli: i64, postings: Vec<Posting> }

    AgencyJoined { host: PersonId, agency: AgencyId }
    AgencyLeft { host: PersonId, agency: AgencyId }

    /// A host's price per minute; absent when the medium is not offered.
    HostRateSet { host: PersonId, medium: Medium, price_milli_per_minute: Option<i64> }

    /// A gift's price; absent when it is withdrawn from the catalogue.
    GiftPriceSet { gift: GiftId, price_milli: Option<i64> }

    CommissionRateSet {
        scope: CommissionScope,
        host_bps: u32,
        agency_bps: u32,
        effective_from: Timestamp,
    }
    CommissionRateCleared { scope: CommissionScope, effective_from: Timestamp }

    /// The host accepted. Everything that decides a charge is fixed here.
    CallStarted {
        call: CallId,
        payer: PersonId,
        host: PersonId,
        medium: Medium,
        price_milli_per_minute: i64,
        increment_seconds: u32,
        free_seconds: u32,
        grace_seconds: u32,
        earnings_hold_seconds: u32,
        commission: CommissionRule,
    }

    /// An increment began; it is kept.
    CallTicked {
        call: CallId,
        payer: PersonId,
        host: PersonId,
        /// From one.
        number: u32,
        begun_at: Timestamp,
        charge_milli: i64,
        charged_total_milli: i64,
        draws: Vec<Draw>,
        postings: Vec<Posting>,
    }

    CallPaused {
        call: CallId,
        payer: PersonId,
        host: PersonId,
        cause: PauseCause,
        /// Connected time so far.
        connected_ms: i64,
        /// When the call ends as lost unless it is resumed.
        lost_at: Timestamp,
    }
    CallResumed { call: CallId, payer: PersonId, host: PersonId, resumed_at: Timestamp }

    CallEnded {
        call: CallId,
        payer: PersonId,
        host: PersonId,
        reason: EndReason,
        /// Absent when nobody chose to end it.
        ended_by: Option<PersonId>,
        connected_ms: i64,
        ticks: u32,
        charged_total_milli: i64,
    }

    GiftSent {
        sending: GiftSendingId,
        gift: GiftId,
        sender: PersonId,
        host: PersonId,
        call: Option<CallId>,
        price_milli: i64,
        draws: Vec<Draw>,
        postings: Vec<Posting>,
    }

    /// Empties the clearing account of a charge to those who earned it.
    CommissionSplit {
        source: SplitSource,
        payer: PersonId,
        host: PersonId,
        commission: CommissionRule,
        gross_milli: i64,
        host_milli: i64,
        agency_milli: i64,
        platform_milli: i64,
        /// From when the earnings can be withdrawn.
        available_from: Timestamp,
        postings: Vec<Posting>,
    }

    WithdrawalRequested {
        withdrawal: WithdrawalId,
        host: PersonId,
        coins_milli: i64,
        /// Units of the payout asset for one coin, as a decimal text.
        #[schemars(with = "String")]
        rate: Decimal,
        payout_minor: i64,
        payout_asset: Asset,
        postings: Vec<Posting>,
    }
    WithdrawalApproved { withdrawal: WithdrawalId, host: PersonId }
    WithdrawalRejected {
        withdrawal: WithdrawalId,
        host: PersonId,
        reason: String,
        coins_milli: i64,
        postings: Vec<Posting>,
    }
    WithdrawalCancelled {
        withdrawal: WithdrawalId,
        host: PersonId,
        coins_milli: i64,
        postings: Vec<Posting>,
    }
    WithdrawalPaid {
        withdrawal: WithdrawalId,
        host: PersonId,
        /// What the bank or gateway calls the payout.
        payout_ref: String,
        coins_milli: i64,
        payout_minor: i64,
        payout_asset: Asset,
        postings: Vec<Posting>,
    }
    /// The payout did not arrive: the coins are the host's again.
    WithdrawalFailed {
        withdrawal: WithdrawalId,
        host: PersonId,
        reason: String,
        /// Whether it had been marked as paid: then the fiat came back too.
        was_paid: bool,
        coins_milli: i64,
        payout_minor: i64,
        payout_asset: Asset,
        postings: Vec<Posting>,
    }

    /// A person of the platform corrected an account.
    AdjustmentPosted {
        adjustment: AdjustmentId,
        account: Account,
        /// What the account's owner gains (positive) or loses (negative).
        amount_milli: i64,
        reason: String,
        note: Option<NoteId>,
        /// The lot that added coins stand in.
        lot: Option<LotId>,
        draws: Vec<Draw>,
        postings: Vec<Posting>,
    }
}

impl Event {
    /// The entry of the event: its postings, none when no value moves.
    pub fn postings(&self) -> &[Posting] {
        match self {
            Event::PurchaseCaptured(it) => &it.postings,
            Event::PurchaseRefunded(it) => &it.postings,
            Event::UnmatchedMoneyReceived(it) => &it.postings,
            Event::BonusGranted(it) => &it.postings,
            Event::BonusExpired(it) => &it.postings,
            Event::CallTicked(it) => &it.postings,
            Event::GiftSent(it) => &it.postings,
            Event::CommissionSplit(it) => &it.postings,
            Event::WithdrawalRequested(it) => &it.postings,
            Event::WithdrawalRejected(it) => &it.postings,
            Event::WithdrawalCancelled(it) => &it.postings,
            Event::WithdrawalPaid(it) => &it.postings,
            Event::WithdrawalFailed(it) => &it.postings,
            Event::AdjustmentPosted(it) => &it.postings,
            Event::JournalOpened(_)
            | Event::CoinPlanSet(_)
            | Event::PurchaseOpened(_)
            | Event::PurchaseFailed(_)
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
            | Event::WithdrawalApproved(_) => &[],
        }
    }

    /// The people whom the event concerns: they may see it.
    pub fn people(&self) -> Vec<PersonId> {
        match self {
            Event::PurchaseOpened(it) => vec![it.user],
            Event::PurchaseCaptured(it) => vec![it.user],
            Event::PurchaseFailed(it) => vec![it.user],
            Event::PurchaseRefunded(it) => vec![it.user],
            Event::BonusGranted(it) => vec![it.user],
            Event::BonusExpired(it) => vec![it.user],
            Event::AgencyJoined(it) => vec![it.host],
            Event::AgencyLeft(it) => vec![it.host],
            Event::HostRateSet(it) => vec![it.host],
            Event::CallStarted(it) => vec![it.payer, it.host],
            Event::CallTicked(it) => vec![it.payer, it.host],
            Event::CallPaused(it) => vec![it.payer, it.host],
            Event::CallResumed(it) => vec![it.payer, it.host],
            Event::CallEnded(it) => vec![it.payer, it.host],
            Event::GiftSent(it) => vec![it.sender, it.host],
            Event::CommissionSplit(it) => vec![it.host],
            Event::WithdrawalRequested(it) => vec![it.host],
            Event::WithdrawalApproved(it) => vec![it.host],
            Event::WithdrawalRejected(it) => vec![it.host],
            Event::WithdrawalCancelled(it) => vec![it.host],
            Event::WithdrawalPaid(it) => vec![it.host],
            Event::WithdrawalFailed(it) => vec![it.host],
            Event::AdjustmentPosted(it) => it.account.person().into_iter().collect(),
            Event::JournalOpened(_)
            | Event::CoinPlanSet(_)
            | Event::UnmatchedMoneyReceived(_)
            | Event::GiftPriceSet(_)
            | Event::CommissionRateSet(_)
            | Event::CommissionRateCleared(_) => vec![],
        }
    }

    /// What the event is about, by which its neighbours are found: a call, a purchase, a withdrawal.
    pub fn correlation(&self) -> Option<uuid::Uuid> {
        Some(match self {
            Event::PurchaseOpened(it) => it.purchase.0,
            Event::PurchaseCaptured(it) => it.purchase.0,
            Event::PurchaseFailed(it) => it.purchase.0,
            Event::PurchaseRefunded(it) => it.purchase.0,
            Event::UnmatchedMoneyReceived(it) => it.purchase?.0,
            Event::BonusGranted(it) => it.purchase?.0,
            Event::CallStarted(it) => it.call.0,
            Event::CallTicked(it) => it.call.0,
            Event::CallPaused(it) => it.call.0,
            Event::CallResumed(it) => it.call.0,
            Event::CallEnded(it) => it.call.0,
            Event::GiftSent(it) => it.call.map_or(it.sending.0, |call| call.0),
            Event::CommissionSplit(it) => match it.source {
                SplitSource::Call(call) => call.0,
                SplitSource::Gift(sending) => sending.0,
            },
            Event::WithdrawalRequested(it) => it.withdrawal.0,
            Event::WithdrawalApproved(it) => it.withdrawal.0,
            Event::WithdrawalRejected(it) => it.withdrawal.0,
            Event::WithdrawalCancelled(it) => it.withdrawal.0,
            Event::WithdrawalPaid(it) => it.withdrawal.0,
            Event::WithdrawalFailed(it) => it.withdrawal.0,
            Event::AdjustmentPosted(it) => it.adjustment.0,
            _ => return None,
        })
    }
}
