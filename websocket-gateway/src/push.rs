//! What the server tells without being asked: `{"push": "call:tick", "offset": 17, "data": {...}}`.
//!
//! A push that tells of the journal has an offset: the revision of the event that it tells of. The offsets that
//! one socket gets never go down, and no push with a higher offset than the welcome's is left out. So a client
//! that reads over HTTP with the welcome's offset as `min_revision`, and then applies every push with a higher
//! offset and every push without one, has missed nothing. A push without an offset (rings, presence, the token)
//! tells of no event and is always news. Amounts are integers of `asset`'s smallest unit.

use crate::protocol::frame;
use axum::extract::ws::Utf8Bytes;
use chrono::{DateTime, Utc};
use ledger_core::event::PauseCause;
use ledger_core::{
    AgencyId, Asset, CallId, GiftId, GiftSendingId, Medium, PersonId, PurchaseId, WithdrawalId,
};
use platform::calls::SeenRing;
use platform::identity::PersonCard;
use platform::presence::PresenceStatus;
use platform::push::News;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! pushes {
    ($($(#[doc = $doc:literal])* $variant:ident($name:ident) = $push:literal;)*) => {
        /// Everything that is pushed.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(tag = "push", content = "data")]
        pub enum Push { $($(#[doc = $doc])* #[serde(rename = $push)] $variant($name)),* }

        impl Push {
            /// All values of `push`, in the order of this page.
            pub const NAMES: &'static [&'static str] = &[$($push),*];

            /// The value of `push`.
            pub fn name(&self) -> &'static str {
                match self { $(Push::$variant(_) => $push),* }
            }
        }

        /// The pushes for the AsyncAPI document: name, key, what it tells whom, schema of the data.
        pub(crate) fn push_schemas(
            generator: &mut schemars::SchemaGenerator,
        ) -> Vec<(&'static str, &'static str, &'static str, schemars::Schema)> {
            vec![$(($push, stringify!($variant), concat!($($doc),*).trim(), generator.subschema_for::<$name>())),*]
        }
    };
}

pushes! {
    /// To the host: a user calls.
    CallInvite(RingPush) = "call:invite";
    /// To both: the host took the call or declined.
    CallAnswer(AnswerPush) = "call:answer";
    /// To both: the first increment has begun.
    CallStarted(StartedPush) = "call:started";
    /// To both: an increment began.
    CallTick(TickPush) = "call:tick";
    /// To the payer: the coins that are left last no longer than the warning time. Sent once, and again after a
    /// top-up.
    CallWarning(WarningPush) = "call:warning";
    /// To both: a side is away. No time runs and nothing is charged until both are back.
    CallPaused(PausedPush) = "call:paused";
    /// To both: time runs again.
    CallResumed(ResumedPush) = "call:resumed";
    /// To both: a call is over, or a ring ended before it became one.
    CallEnd(EndPush) = "call:end";
    /// To the sender and the host: a gift was sent.
    GiftSent(GiftPush) = "gift:sent";
    /// To everybody whose balance has changed, with all balances as they are now.
    WalletUpdate(WalletPush) = "wallet:update";
    /// To the user: a purchase was paid, failed or was refunded.
    PurchaseUpdate(PurchasePush) = "purchase:update";
    /// To the host: a withdrawal has moved on.
    WithdrawalUpdate(WithdrawalPush) = "withdrawal:update";
    /// To the other side of a call when a person comes, goes or is busy; to the person's own devices when they
    /// choose to be shown as online or offline.
    PresenceUpdate(PresencePush) = "presence:update";
    /// The token has expired: send `auth` with a fresh one.
    AuthExpired(ExpiredPush) = "auth:expired";
}

impl Push {
    /// The frame that carries it.
    pub(crate) fn frame(&self, offset: Option<u64>) -> Utf8Bytes {
        #[derive(Serialize)]
        struct Frame<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            offset: Option<u64>,
            #[serde(flatten)]
            push: &'a Push,
        }
        frame(&Frame { offset, push: self })
    }
}

impl From<News> for Push {
    fn from(news: News) -> Push {
        match news {
            News::Rings(ring) => Push::CallInvite(ring.into()),
            News::Answered { call, accepted } => Push::CallAnswer(AnswerPush { call, accepted }),
            News::RingEnded { call, reason } => Push::CallEnd(EndPush {
                call,
                reason: reason.to_owned(),
                ended_by: None,
                connected_ms: None,
                asset: None,
                charged_total_milli: None,
            }),
        }
    }
}

impl From<SeenRing> for RingPush {
    fn from(SeenRing { ring, other }: SeenRing) -> RingPush {
        RingPush {
            call: CallId(ring.call),
            payer: PersonId(ring.payer),
            host: PersonId(ring.host),
            medium: ring.medium,
            price_milli_per_minute: ring.price_milli_per_minute,
            expires_at: ring.expires_at,
            other,
        }
    }
}

macro_rules! data {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub struct $name { $($(#[$field_meta])* pub $field: $kind),* }
    )*};
}

data! {
    RingPush {
        call: CallId,
        payer: PersonId,
        host: PersonId,
        /// chat, voice or video
        medium: String,
        price_milli_per_minute: i64,
        expires_at: DateTime<Utc>,
        /// The other side.
        other: PersonCard,
    }

    AnswerPush { call: CallId, accepted: bool }

    StartedPush {
        call: CallId,
        payer: PersonId,
        host: PersonId,
        medium: Medium,
        asset: Asset,
        price_milli_per_minute: i64,
        increment_seconds: u32,
        free_seconds: u32,
        grace_seconds: u32,
        started_at: DateTime<Utc>,
    }

    TickPush {
        call: CallId,
        /// Which increment began, from one.
        number: u32,
        asset: Asset,
        charge_milli: i64,
        charged_total_milli: i64,
        /// The connected time, from the start, that the increments so far last.
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds_paid: Option<i64>,
        /// The host's share of this charge; to the host alone.
        #[serde(skip_serializing_if = "Option::is_none")]
        earned_milli: Option<i64>,
        /// To the payer alone.
        #[serde(skip_serializing_if = "Option::is_none")]
        spendable_left_milli: Option<i64>,
        /// How much longer the call can last on what is left; to the payer alone.
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds_left: Option<i64>,
    }

    WarningPush { call: CallId, seconds_left: i64 }

    PausedPush {
        call: CallId,
        cause: PauseCause,
        /// Up to the last moment at which both sides were seen: the call goes on from here.
        connected_ms: i64,
        /// What was given back of the call's charges: increments that began after that moment.
        returned_milli: i64,
        /// When the call ends as lost unless both are back.
        lost_at: DateTime<Utc>,
    }

    ResumedPush { call: CallId, resumed_at: DateTime<Utc> }

    EndPush {
        call: CallId,
        /// Of a call: hung_up, exhausted, lost, stopped. Of a ring: cancelled, missed, busy, or the code of
        /// the problem for which it failed.
        reason: String,
        /// Absent when nobody chose to end it, and for a ring.
        #[serde(skip_serializing_if = "Option::is_none")]
        ended_by: Option<PersonId>,
        /// Absent for a ring, as what follows.
        #[serde(skip_serializing_if = "Option::is_none")]
        connected_ms: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        asset: Option<Asset>,
        #[serde(skip_serializing_if = "Option::is_none")]
        charged_total_milli: Option<i64>,
    }

    GiftPush {
        sending: GiftSendingId,
        gift: GiftId,
        sender: PersonId,
        host: PersonId,
        #[serde(skip_serializing_if = "Option::is_none")]
        call: Option<CallId>,
        asset: Asset,
        price_milli: i64,
        /// The host's share; to the host alone.
        #[serde(skip_serializing_if = "Option::is_none")]
        earned_milli: Option<i64>,
    }

    /// What the person has now: as of the offset or later.
    WalletPush {
        asset: Asset,
        purchased_milli: i64,
        bonus_milli: i64,
        spendable_milli: i64,
        earnings_milli: i64,
        withdrawable_milli: i64,
    }

    PurchasePush {
        purchase: PurchaseId,
        /// captured, failed, expired or refunded
        status: String,
        /// Of a capture what came in, of a refund what went back.
        asset: Asset,
        coins_milli: i64,
    }

    WithdrawalPush {
        withdrawal: WithdrawalId,
        /// The agency whose withdrawal it is; absent for a host's own.
        #[serde(skip_serializing_if = "Option::is_none")]
        agency: Option<AgencyId>,
        /// requested, approved, rejected, cancelled, paid or failed
        status: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    }

    PresencePush {
        person: PersonId,
        /// online, busy or offline
        #[schemars(with = "String")]
        status: PresenceStatus,
    }

    ExpiredPush {
        /// When the socket is closed unless a fresh token came.
        closes_at: DateTime<Utc>,
    }

    /// A call that goes on, as one of the two finds it when they connect.
    Standing {
        call: CallId,
        payer: PersonId,
        host: PersonId,
        medium: Medium,
        asset: Asset,
        price_milli_per_minute: i64,
        increment_seconds: u32,
        free_seconds: u32,
        grace_seconds: u32,
        started_at: DateTime<Utc>,
        ticks: u32,
        charged_total_milli: i64,
        seconds_paid: i64,
        connected_ms: i64,
        paused: bool,
        /// While it is paused: when it ends as lost.
        #[serde(skip_serializing_if = "Option::is_none")]
        lost_at: Option<DateTime<Utc>>,
        /// To the payer alone.
        #[serde(skip_serializing_if = "Option::is_none")]
        spendable_left_milli: Option<i64>,
        /// To the payer alone.
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds_left: Option<i64>,
    }
}
