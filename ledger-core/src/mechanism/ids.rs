//! The identities that the journal speaks of: bare UUIDs, told apart by type.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use uuid::Uuid;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl $crate::mechanism::binary::Binary for $name {
            fn shape(types: &mut serde_json::Map<String, serde_json::Value>) -> serde_json::Value {
                Uuid::shape(types)
            }

            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }

            fn take(
                from: &mut $crate::mechanism::binary::Bytes,
            ) -> Result<Self, $crate::mechanism::binary::Unfit> {
                Uuid::take(from).map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    )*};
}

id! {
    /// One human being. The same id whether they act as user or as host: this is how paying
    /// oneself is seen.
    PersonId,
    AgencyId,
    /// Names one journal for ever; checkpoints and receipts carry it.
    JournalId,
    CommandId,
    /// One call from ring to end.
    CallId,
    PlanId,
    PurchaseId,
    /// Coins that came in together, with one origin and one expiry.
    LotId,
    /// An item of the gift catalogue.
    GiftId,
    /// One sending of a gift.
    GiftSendingId,
    WithdrawalId,
    /// A version of the statement of a period.
    SettlementId,
    /// A dispute, which the gateway names: see [`crate::disputes::dispute_id`].
    DisputeId,
    AdjustmentId,
    /// A difference that a reconciliation found; kept outside the journal.
    DifferenceId,
    SubscriptionPlanId,
    /// A person's subscription to a plan, from its first period to its end.
    SubscriptionId,
    /// What a host or the platform sells by the order.
    ServiceId,
    CouponId,
    /// One order of a service.
    OrderId,
    /// What rewards users with coins, and how much at the most.
    CampaignId,
    /// Made of what a reward is for, so that it is given once.
    RewardId,
    /// A note kept outside the journal, where its words can be erased.
    NoteId,
}

/// As `Uuid::new_v5`, with the processor's own SHA-1 where it has one.
pub(crate) fn uuid_v5(namespace: Uuid, name: &[u8]) -> Uuid {
    let digest = Sha1::new().chain_update(namespace).chain_update(name).finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    uuid::Builder::from_sha1_bytes(half).into_uuid()
}

impl CommandId {
    /// The id of a thing that this command creates: the same at each retry.
    pub fn derive<T: From<Uuid>>(self, what: &str) -> T {
        T::from(uuid_v5(self.0, what.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_rfc_9562() {
        for name in [&b""[..], b"gift", &[7; 300]] {
            assert_eq!(uuid_v5(Uuid::NAMESPACE_DNS, name), Uuid::new_v5(&Uuid::NAMESPACE_DNS, name));
        }
    }
}
