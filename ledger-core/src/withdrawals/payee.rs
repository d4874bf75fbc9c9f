//! Who withdraws.

use crate::mechanism::binary::binary_choices;
use crate::{Account, AgencyId, PersonId};
use schemars::JsonSchema;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

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

/// Reads the payee of a command that another node sent: the word of its kind, and its fields.
pub(crate) fn carried<'de, D: Deserializer<'de>>(from: D) -> Result<Payee, D::Error> {
    struct Parts;

    impl<'de> Visitor<'de> for Parts {
        type Value = Payee;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the parts of a payee")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Payee, A::Error> {
            let cut = || A::Error::custom("a part is missing");
            let kind: String = parts.next_element()?.ok_or_else(cut)?;
            match kind.as_str() {
                "host" => Ok(Payee::Host { person: parts.next_element()?.ok_or_else(cut)? }),
                "agency" => Ok(Payee::Agency {
                    agency: parts.next_element()?.ok_or_else(cut)?,
                    owner: parts.next_element()?.ok_or_else(cut)?,
                }),
                _ => Err(A::Error::custom("no payee is of this kind")),
            }
        }
    }

    from.deserialize_tuple(3, Parts)
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
