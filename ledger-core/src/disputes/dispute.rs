//! A dispute as the ledger sees it.

use crate::calls::ReturnedDraw;
use crate::mechanism::event::Change;
use crate::mechanism::ids::uuid_v5;
use crate::money::share;
use crate::purchases::Captured;
use crate::{Account, Asset, DisputeId, Gateway, LotId, PersonId, PurchaseId, State, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The id that the events of a dispute correlate by, made of the gateway's name of it.
pub fn dispute_id(dispute_ref: &str) -> DisputeId {
    const NAMESPACE: Uuid = Uuid::from_u128(0x6d75_6e65_656d_4c9e_9f0b_d159_07e5_0001);
    DisputeId(uuid_v5(NAMESPACE, dispute_ref.as_bytes()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisputeStatus {
    Open,
    Won,
    /// The gateway closed it without a decision: it was taken back, or only information was asked for.
    Closed,
    Lost,
}

/// A dispute and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    pub gateway: Gateway,
    pub payment_ref: String,
    /// Absent as long as the payment has bought nothing.
    pub purchase: Option<PurchaseId>,
    pub user: Option<PersonId>,
    pub amount_minor: i64,
    pub amount_asset: Asset,
    pub status: DisputeStatus,
    /// The coins that it freezes, with the lots that they go back to.
    pub frozen: Vec<ReturnedDraw>,
    /// What it took, while it is lost.
    pub loss: Option<Loss>,
}

/// What a lost dispute took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The money that coins were taken back for, and the money that fits nothing.
    pub matched_minor: i64,
    pub unmatched_minor: i64,
    /// The lots of the purchase, to which coins go back if the money comes back.
    pub lot: Option<LotId>,
    pub bonus_lot: Option<LotId>,
    pub bonus_expires_at: Option<Timestamp>,
    pub coins_milli: i64,
    /// The part of `coins_milli` that came from the purchase's own lot.
    pub own_milli: i64,
    pub bonus_milli: i64,
    /// What the buyer owed for it at first, and what became of that.
    pub owed_milli: i64,
    pub recovered_milli: i64,
    pub written_off_milli: i64,
    /// What was taken from which earnings for it. What the buyer pays of `owed_milli` gives it back in proportion.
    pub clawed: Vec<(Account, i64)>,
    /// The revision that lost it.
    pub since: u64,
}

impl Loss {
    /// What the buyer still owes for it.
    pub fn left_milli(&self) -> i64 {
        self.owed_milli - self.recovered_milli - self.written_off_milli
    }

    /// What goes back to earnings when the buyer has paid `now_milli` more; all that is left of it, when the money came back
    /// (`None`).
    pub(super) fn given_back(&self, now_milli: Option<i64>) -> Vec<(Account, i64)> {
        let at = |clawed_milli: i64, paid_milli: i64| {
            share(clawed_milli, paid_milli, self.owed_milli).expect("a part of what was taken is an amount")
        };
        let back = |&(account, clawed_milli): &(Account, i64)| {
            let before = at(clawed_milli, self.recovered_milli);
            let after = now_milli.map_or(clawed_milli, |now| at(clawed_milli, self.recovered_milli + now));
            (account, after - before)
        };
        self.clawed.iter().map(back).filter(|(_, amount_milli)| *amount_milli > 0).collect()
    }
}

impl State {
    pub fn dispute(&self, dispute_ref: &str) -> Option<&Dispute> {
        self.tables.disputes.get(&dispute_ref.to_owned())
    }

    /// The open disputes over a purchase, with the gateway's names.
    pub(crate) fn open_disputes<'a>(
        &'a self,
        captured: &'a Captured,
    ) -> impl Iterator<Item = (&'a String, &'a Dispute)> {
        let disputes = captured.disputes.iter().filter_map(|id| Some((id, self.tables.disputes.get(id)?)));
        disputes.filter(|(_, row)| row.status == DisputeStatus::Open)
    }
}

impl Change<'_> {
    pub(super) fn edit_dispute(&mut self, dispute_ref: &String, edit: impl FnOnce(&mut Dispute)) {
        self.state.tables.disputes.edit(self.revision, dispute_ref, edit);
    }
}
