//! Who withdraws.

use crate::mechanism::binary::binary_choices;
use crate::{Account, AgencyId, PersonId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose earnings are withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Payee {
    Host {
        person: PersonId,
    },
    Agency {
        agency: AgencyId,
        /// Who acts for the agency, and is told what becomes of the withdrawal.
        owner: PersonId,
    },
}

binary_choices! { Payee as "kind" {
    0 = Host { person: PersonId } "host"
    1 = Agency { agency: AgencyId, owner: PersonId } "agency"
} }

/// The payee as a row of the state has it. The JSON of [`Payee`] names its kind in a field, which only formats that
/// describe themselves can read.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Payee")]
pub(super) enum Stored {
    Host { person: PersonId },
    Agency { agency: AgencyId, owner: PersonId },
}

impl Payee {
    /// The person whose money it is: nobody decides on their own.
    pub fn person(self) -> PersonId {
        match self {
            Payee::Host { person } => person,
            Payee::Agency { owner, .. } => owner,
        }
    }

    pub fn agency(self) -> Option<AgencyId> {
        match self {
            Payee::Host { .. } => None,
            Payee::Agency { agency, .. } => Some(agency),
        }
    }

    /// The account that the coins come from, and go back to.
    pub fn earnings(self) -> Account {
        match self {
            Payee::Host { person } => Account::HostEarnings(person),
            Payee::Agency { agency, .. } => Account::AgencyEarnings(agency),
        }
    }
}
