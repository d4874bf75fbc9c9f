//! What the server tells without being asked: `{"type": "call:ticked", "offset": 17, "data": {...}}`.
//!
//! A push says what has happened, so its name is in the past tense.
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
    AgencyId, Asset, CallId, GiftId, GiftSendingId, Medium, PersonId, PurchaseId, WithdrawalId, rfc3339,
};
use platform::calls::SeenRing;
use platform::identity::PersonCard;
use platform::presence::PresenceStatus;
use platform::push::News;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A push, for the AsyncAPI document.
pub(crate) struct PushKind {
    pub push_type: &'static str,
    pub name: &'static str,
    /// The lines of its description.
    pub doc: &'static [&'static str],
    pub data: schemars::Schema,
}

macro_rules! pushes {
    ($($(#[doc = $doc:literal])* $name:ident($data:ident) = $push:literal;)*) => {
        /// Everything that is pushed.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(tag = "type", content = "data")]
        pub enum Push { $($(#[doc = $doc])* #[serde(rename = $push)] $name($data)),* }

        impl Push {
            /// All values of `type`, in the order of this page.
            pub const TYPES: &'static [&'static str] = &[$($push),*];

            /// The value of `type`.
            pub fn name(&self) -> &'static str {
                match self { $(Push::$name(_) => $push),* }
            }
        }

        /// The pushes for the AsyncAPI document.
        pub(crate) fn push_kinds(generator: &mut schemars::SchemaGenerator) -> Vec<PushKind> {
            vec![$(PushKind {
                push_type: $push,
                name: stringify!($name),
                doc: &[$($doc),*],
                data: generator.subschema_for::<$data>(),
            }),*]
        }
    };
}

pushes! {
    /// A user rings you. Sent to the host.
    ///
    /// Show the ring until you answer with `call:answer`, until `call:ended` comes, or until `expires_at`.
    CallInvited(RingPush) = "call:invited";
    /// The host accepted or declined the ring. Sent to both sides.
    ///
    /// If it was accepted, the call starts; `call:started` can come before or after this push. The host's other devices
    /// stop ringing.
    CallAnswered(AnsweredPush) = "call:answered";
    /// The call runs. Sent to both sides.
    ///
    /// The first `call:ticked` follows at once.
    CallStarted(StartedPush) = "call:started";
    /// An increment of the call has begun and was charged. Sent to both sides.
    ///
    /// The user also gets what is left and for how many seconds it lasts; the host gets what was earned.
    CallTicked(TickedPush) = "call:ticked";
    /// The user's coins will soon be used up. Sent to the user.
    ///
    /// Offer to buy coins: the call ends when the next increment cannot be paid. Sent once when the rest of the time falls
    /// to the warning time that admins set, and again only if coins came in between.
    CallWarned(WarnedPush) = "call:warned";
    /// A side is away, so the call is paused. Sent to both sides.
    ///
    /// No time runs and nothing is charged until both sides are back. Unless they are by `lost_at`, the call ends with the
    /// reason `lost`.
    CallPaused(PausedPush) = "call:paused";
    /// Both sides are back, and time runs again. Sent to both sides.
    CallResumed(ResumedPush) = "call:resumed";
    /// A call is over, or a ring ended without becoming one. Sent to both sides.
    ///
    /// `reason` says why. Of a call it says what was charged in all; of a ring, nothing was charged.
    CallEnded(EndedPush) = "call:ended";
    /// A gift was sent. Sent to the sender and to the host.
    GiftSent(GiftPush) = "gift:sent";
    /// Your balances have changed. Sent to whoever owns them.
    ///
    /// Holds all balances as they are now, so it is enough to show the last one that came. Changes that follow each other
    /// quickly can come as one push.
    WalletUpdated(WalletPush) = "wallet:updated";
    /// A purchase was paid, failed, expired or was refunded. Sent to the user.
    PurchaseUpdated(PurchasePush) = "purchase:updated";
    /// A withdrawal has moved on. Sent to the host, or to the owner of the agency.
    WithdrawalUpdated(WithdrawalPush) = "withdrawal:updated";
    /// Somebody came, left, or is in a call. Sent to the other side of their call, and to a person's own devices when they
    /// choose to be shown as online or offline.
    PresenceUpdated(PresencePush) = "presence:updated";
    /// Your access token has expired. Sent on each socket whose token it is.
    ///
    /// Requests are refused with `token_expired` from now on. Send `auth` with a fresh token before `closes_at`, or the
    /// socket is closed with 4401.
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
            News::Rings(ring) => Push::CallInvited(ring.into()),
            News::Answered { call, accepted } => Push::CallAnswered(AnsweredPush { call, accepted }),
            News::RingEnded { call, reason } => Push::CallEnded(EndedPush {
                call,
                reason: reason.into_owned(),
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
        /// The id that the call has if the host accepts.
        call: CallId,
        /// The user that rings and pays.
        payer: PersonId,
        host: PersonId,
        #[schemars(with = "Medium")]
        medium: String,
        price_milli_per_minute: i64,
        /// When the ring ends as missed unless the host answers.
        #[serde(serialize_with = "rfc3339::serialize")]
        expires_at: DateTime<Utc>,
        /// The person on the other side.
        other: PersonCard,
    }

    AnsweredPush {
        call: CallId,
        accepted: bool,
    }

    StartedPush {
        call: CallId,
        /// The user that pays.
        payer: PersonId,
        host: PersonId,
        medium: Medium,
        asset: Asset,
        price_milli_per_minute: i64,
        /// The length of an increment: the piece of connected time that is charged at once.
        increment_seconds: u32,
        /// Connected time at the start that costs nothing.
        free_seconds: u32,
        /// How long a side can be away before the call ends as lost.
        grace_seconds: u32,
        #[serde(serialize_with = "rfc3339::serialize")]
        started_at: DateTime<Utc>,
        /// The person on the other side.
        other: PersonCard,
    }

    TickedPush {
        call: CallId,
        /// Which increment has begun, from 1.
        number: u32,
        asset: Asset,
        /// What this increment cost.
        charge_milli: i64,
        /// What the call has cost so far.
        charged_total_milli: i64,
        /// For how many seconds of connected time, from the start, the increments so far last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds_paid: Option<i64>,
        /// The host's share of this charge. Only the host gets it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        earned_milli: Option<i64>,
        /// What the user can still spend. Only the user gets it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spendable_left_milli: Option<i64>,
        /// For how many more seconds the call can go on with what is left. Only the user gets it; absent when the call
        /// costs nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds_left: Option<i64>,
    }

    WarnedPush {
        call: CallId,
        /// For how many more seconds the call can go on with what is left.
        seconds_left: i64,
    }

    PausedPush {
        call: CallId,
        cause: PauseCause,
        /// The connected time so far: up to the last moment at which both sides were there.
        connected_ms: i64,
        /// What was given back: the charges of increments that began after that moment.
        returned_milli: i64,
        /// When the call ends as lost, unless both sides are back.
        #[serde(serialize_with = "rfc3339::serialize")]
        lost_at: DateTime<Utc>,
    }

    ResumedPush {
        call: CallId,
        #[serde(serialize_with = "rfc3339::serialize")]
        resumed_at: DateTime<Utc>,
    }

    EndedPush {
        call: CallId,
        /// Of a call: `hung_up`, `exhausted` (the coins are used up), `lost` (a side did not come back) or `stopped` (by an
        /// admin, a suspension or a ban). Of a ring: `cancelled`, `missed`, `busy` (the other side is in a call by now), or
        /// the code of the problem for which it could not start.
        reason: String,
        /// Who hung up. Absent when nobody did, and for a ring.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ended_by: Option<PersonId>,
        /// The connected time of the call. Absent for a ring.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        connected_ms: Option<i64>,
        /// Absent for a ring.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asset: Option<Asset>,
        /// What the call cost in all. Absent for a ring.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        charged_total_milli: Option<i64>,
    }

    GiftPush {
        /// The id of this gift, the same as in the reply to `gift:send` and over HTTP.
        sending: GiftSendingId,
        /// Which gift of the catalogue.
        gift: GiftId,
        sender: PersonId,
        host: PersonId,
        /// The call in which it was sent. Absent when it was sent outside of one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<CallId>,
        asset: Asset,
        price_milli: i64,
        /// The host's share. Only the host gets it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        earned_milli: Option<i64>,
        /// The person on the other side.
        other: PersonCard,
    }

    WalletPush {
        asset: Asset,
        /// Coins that were bought.
        purchased_milli: i64,
        /// Coins that were given. They are spent before those that were bought.
        bonus_milli: i64,
        /// What can be spent: bought and given coins together.
        spendable_milli: i64,
        /// What a host has earned.
        earnings_milli: i64,
        /// The part of the earnings that can be withdrawn by now.
        withdrawable_milli: i64,
        /// Coins that cannot be spent while their payment is disputed.
        frozen_milli: i64,
        /// What is owed for coins whose payment was taken back. Nothing can be paid until it is settled.
        owed_milli: i64,
    }

    PurchasePush {
        purchase: PurchaseId,
        /// `refunded` when money went back, all of it or a part; `GET /v1/purchases/{purchase}` tells the two apart.
        #[schemars(extend("enum" = ["captured", "failed", "expired", "refunded"]))]
        status: String,
        asset: Asset,
        /// The coins that came in, or went back with a refund; 0 otherwise.
        coins_milli: i64,
    }

    WithdrawalPush {
        withdrawal: WithdrawalId,
        /// The agency whose withdrawal it is. Absent for a host's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agency: Option<AgencyId>,
        #[schemars(extend("enum" = [
            "requested", "approved", "rejected", "cancelled", "sent", "unknown", "paid", "failed", "reversed"
        ]))]
        status: String,
        /// Why it was rejected, failed or came back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    }

    PresencePush {
        person: PersonId,
        #[schemars(with = "String", extend("enum" = ["online", "busy", "offline"]))]
        status: PresenceStatus,
    }

    ExpiredPush {
        /// When the socket is closed, unless a fresh token comes.
        #[serde(serialize_with = "rfc3339::serialize")]
        closes_at: DateTime<Utc>,
    }

    /// The call that you are in, as it is at the welcome's offset.
    Standing {
        call: CallId,
        /// The user that pays.
        payer: PersonId,
        host: PersonId,
        medium: Medium,
        asset: Asset,
        price_milli_per_minute: i64,
        increment_seconds: u32,
        free_seconds: u32,
        grace_seconds: u32,
        #[serde(serialize_with = "rfc3339::serialize")]
        started_at: DateTime<Utc>,
        /// How many increments have begun.
        ticks: u32,
        charged_total_milli: i64,
        /// For how many seconds of connected time, from the start, the increments so far last.
        seconds_paid: i64,
        /// The connected time so far.
        connected_ms: i64,
        /// Whether a side is away.
        paused: bool,
        /// While the call is paused: when it ends as lost, unless both sides are back.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            serialize_with = "rfc3339::option::serialize"
        )]
        lost_at: Option<DateTime<Utc>>,
        /// What the user can still spend. Only the user gets it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spendable_left_milli: Option<i64>,
        /// For how many more seconds the call can go on with what is left. Only the user gets it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds_left: Option<i64>,
        /// The person on the other side.
        other: PersonCard,
    }
}
