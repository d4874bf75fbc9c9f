//! What a settlement comes to is withdrawn in its payee's name.

use crate::mechanism::decide::{Context, Decide};
use crate::mechanism::envelope::commands;
use crate::mechanism::event::{Change, Happened, events};
use crate::withdrawals::RequestWithdrawal;
use crate::{Event, Payee, PersonId, Posting, Rejection, SettlementId, State, WithdrawalId};
use uuid::Uuid;

commands! {
    /// Requests a withdrawal of what is left to pay of a settlement. All rules of withdrawals hold.
    PaySettlement = "PaySettlement" {
        /// The last version.
        settlement: SettlementId,
        /// Whose settlement it is: a host, or an agency in the name of its owner.
        #[serde(deserialize_with = "crate::withdrawals::carried")]
        payee: Payee,
    }
}

events! {
    /// The withdrawal that was requested before this in the same unit pays a settlement.
    SettlementPayoutRequested = "SettlementPayoutRequested" {
        settlement: SettlementId,
        /// The first version.
        first: SettlementId,
        payee: Payee,
        withdrawal: WithdrawalId,
        coins_milli: i64,
    }
}

impl Decide for PaySettlement {
    fn decides_on_money_of(&self, _: &State) -> Option<PersonId> {
        Some(self.payee.person())
    }

    fn decide(&self, context: &Context) -> Result<Vec<Event>, Rejection> {
        let &PaySettlement { settlement, payee } = self;
        let (first, row) = context.state.last_version(settlement)?;
        if row.of.account() != payee.earnings() {
            return Err(Rejection::UnknownSettlement);
        }
        let coins_milli = row.open_milli();
        if coins_milli <= 0 {
            return Err(Rejection::NothingToPay);
        }
        let mut events = RequestWithdrawal { payee, coins_milli }.decide(context)?;
        let withdrawal = context.command_id.derive("withdrawal");
        events.push(SettlementPayoutRequested { settlement, first, payee, withdrawal, coins_milli }.into());
        Ok(events)
    }
}

impl Happened for SettlementPayoutRequested {
    fn postings(&self) -> &[Posting] {
        &[]
    }

    fn people(&self) -> Vec<PersonId> {
        vec![self.payee.person()]
    }

    fn correlation(&self) -> Option<Uuid> {
        Some(self.first.0)
    }

    fn evolve(&self, change: &mut Change) {
        let tables = &mut change.state.tables;
        tables.settlements.edit(change.revision, &self.first, |row| row.paid_milli += self.coins_milli);
        tables.settlement_payouts.set(change.revision, self.withdrawal, Some(self.first));
    }
}
