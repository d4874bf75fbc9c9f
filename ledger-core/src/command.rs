//! What somebody wants to happen.

use crate::account::{Account, Gateway};
use crate::event::{BonusOrigin, CommissionScope, Medium, PauseCause};
use crate::ids::*;
use crate::metadata::{Actor, RequestHash};
use crate::money::Asset;
use crate::time::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;
use uuid::Uuid;

/// By what a retry is known to be the same command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Chosen by a client: a UUIDv7, good for 24 hours of event time.
    Client(Uuid),
    /// Given by the world (a gateway's payment id): remembered for ever.
    Natural(String),
    /// The state itself refuses a repeat (a tick has a number): nothing needs to be remembered.
    State(String),
}

/// A command with all that deciding it takes.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub actor: Actor,
    pub key: Key,
    pub command: Command,
    pub policy: Policy,
}

impl Envelope {
    /// UUIDv5 of (actor, operation, key): what a retry finds its first outcome by.
    pub fn command_id(&self) -> CommandId {
        let key = match &self.key {
            Key::Client(key) => key.to_string(),
            Key::Natural(key) | Key::State(key) => key.clone(),
        };
        command_id(self.actor, self.command.operation(), &key)
    }

    pub fn request_hash(&self) -> RequestHash {
        RequestHash::of(&self.command)
    }
}

/// The id of the command that `actor` gives as `operation` under `key`.
pub fn command_id(actor: Actor, operation: &str, key: &str) -> CommandId {
    // A namespace of our own, so that no other use of UUIDv5 meets these ids.
    const NAMESPACE: Uuid = Uuid::from_u128(0x6d75_6e65_656d_4c9e_9f0b_5c0a_11ed_6e72);
    CommandId(Uuid::new_v5(&NAMESPACE, format!("{actor}|{operation}|{key}").as_bytes()))
}

/// Settings of the platform at the moment of the command. They are no part of what the client
/// asked, so a retry after a change of settings is still the same request; what matters of them is
/// recorded in the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub increment_seconds: u32,
    pub free_seconds: u32,
    pub grace_seconds: u32,
    /// For how long earnings wait before they can be withdrawn.
    pub earnings_hold_seconds: u32,
    /// Units of the payout asset for one coin.
    pub payout_rate: Decimal,
    pub payout_asset: Asset,
    pub minimum_withdrawal_milli: i64,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            increment_seconds: 10,
            free_seconds: 0,
            grace_seconds: 30,
            earnings_hold_seconds: 0,
            payout_rate: Decimal::ONE,
            payout_asset: Asset::INR,
            minimum_withdrawal_milli: 1_000,
        }
    }
}

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty),* $(,)? })*) => {
        /// Everything that can be asked of the ledger.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        pub enum Command {
            $($(#[$doc])* $name { $($(#[$field_meta])* $field: $kind),* }),*
        }

        impl Command {
            /// The command's name: part of its id.
            pub fn operation(&self) -> &'static str {
                match self { $(Command::$name { .. } => stringify!($name)),* }
            }
        }
    };
}

commands! {
    OpenJournal { journal: JournalId, assets: Vec<Asset> }
    SetCoinPlan {
        plan: PlanId,
        coins_milli: i64,
        bonus_milli: i64,
        bonus_valid_seconds: Option<u32>,
        price_minor: i64,
        price_asset: Asset,
        active: bool,
    }
    OpenPurchase { user: PersonId, plan: PlanId, gateway: Gateway }
    /// The gateway has taken money. Cannot be refused: what fits no open purchase goes to suspense.
    CapturePurchase {
        gateway: Gateway,
        /// Absent when the gateway's order is none of ours.
        purchase: Option<PurchaseId>,
        payment_ref: String,
        amount_minor: i64,
        asset: Asset,
    }
    FailPurchase { purchase: PurchaseId, payment_ref: String, reason: String }
    /// A refund that the gateway reports. Cannot be refused: what fits no purchase goes to suspense.
    RecordRefund {
        gateway: Gateway,
        purchase: Option<PurchaseId>,
        refund_ref: String,
        amount_minor: i64,
        asset: Asset,
    }
    /// A refund that a person of the platform makes: must fit the purchase and its unspent coins.
    RefundPurchase { purchase: PurchaseId, refund_ref: String, amount_minor: i64, asset: Asset }
    GrantBonus {
        user: PersonId,
        origin: BonusOrigin,
        coins_milli: i64,
        valid_seconds: Option<u32>,
    }
    ExpireBonus { lot: LotId }
    JoinAgency { host: PersonId, agency: AgencyId }
    LeaveAgency { host: PersonId }
    SetHostRate { host: PersonId, medium: Medium, price_milli_per_minute: Option<i64> }
    SetGiftPrice { gift: GiftId, price_milli: Option<i64> }
    SetCommissionRate {
        scope: CommissionScope,
        host_bps: u32,
        agency_bps: u32,
        /// At once when absent.
        effective_from: Option<Timestamp>,
    }
    ClearCommissionRate { scope: CommissionScope, effective_from: Option<Timestamp> }
    StartCall {
        call: CallId,
        payer: PersonId,
        host: PersonId,
        medium: Medium,
        /// The price that the payer saw when inviting.
        price_seen_milli_per_minute: i64,
    }
    TickCall { call: CallId, number: u32 }
    PauseCall { call: CallId, cause: PauseCause }
    ResumeCall { call: CallId }
    EndCall { call: CallId, by: Ending }
    SendGift {
        sender: PersonId,
        host: PersonId,
        gift: GiftId,
        call: Option<CallId>,
        /// The price that the sender saw.
        price_seen_milli: i64,
    }
    RequestWithdrawal { host: PersonId, coins_milli: i64 }
    ApproveWithdrawal { withdrawal: WithdrawalId }
    RejectWithdrawal { withdrawal: WithdrawalId, reason: String }
    CancelWithdrawal { withdrawal: WithdrawalId, host: PersonId }
    MarkWithdrawalPaid { withdrawal: WithdrawalId, payout_ref: String }
    FailWithdrawal { withdrawal: WithdrawalId, reason: String }
    PostAdjustment {
        account: Account,
        amount_milli: i64,
        reason: String,
        note: Option<NoteId>,
    }
}

impl Command {
    /// Whether the state alone refuses a repeat. Everything else makes or moves something each time
    /// it is decided, and must be remembered whatever its key.
    pub(crate) fn repeats_are_refused_by_state(&self) -> bool {
        matches!(
            self,
            Command::OpenJournal { .. }
                | Command::TickCall { .. }
                | Command::PauseCall { .. }
                | Command::ResumeCall { .. }
                | Command::EndCall { .. }
                | Command::ExpireBonus { .. }
        )
    }
}

/// Who or what ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Ending {
    Participant(PersonId),
    /// The grace is over.
    Lost,
    Admin(PersonId),
}
