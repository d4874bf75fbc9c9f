//! The names that the journal's enums have in columns.

use ledger_core::Event;
use ledger_core::event::CommissionScope;
use serde::Serialize;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};
use uuid::Uuid;

/// The name of a type of event: in columns, a value of the enum `read.event_kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Kind(pub &'static str);

impl Kind {
    /// The statement that creates the enum. Its values stand in the order of this program's list.
    pub fn create() -> String {
        let names: Vec<String> = Event::KINDS.iter().map(|kind| format!("'{kind}'")).collect();
        format!("CREATE TYPE event_kind AS ENUM ({})", names.join(", "))
    }
}

/// Read and bound as a text.
impl Type<Postgres> for Kind {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Kind {
    fn array_type_info() -> PgTypeInfo {
        <&str as PgHasArrayType>::array_type_info()
    }
}

impl<'q> Encode<'q, Postgres> for Kind {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&str as Encode<Postgres>>::encode_by_ref(&self.0, buffer)
    }
}

impl<'r> Decode<'r, Postgres> for Kind {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let text = <&str as Decode<Postgres>>::decode(value)?;
        let known = Event::KINDS.iter().find(|kind| **kind == text);
        Ok(Kind(known.ok_or("the journal has no such type of event")?))
    }
}

/// The name that an enum without content has in the journal.
pub(crate) fn code(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(code)) => code,
        _ => unreachable!("only enums without content are written as codes"),
    }
}

/// A scope as its kind and the id in it.
pub(crate) fn scope(scope: CommissionScope) -> (&'static str, Option<Uuid>) {
    match scope {
        CommissionScope::Global => ("global", None),
        CommissionScope::Agency(agency) => ("agency", Some(agency.0)),
        CommissionScope::Host(host) => ("host", Some(host.0)),
    }
}

/// Basis points as Postgres has them: at most 10,000.
pub(crate) fn bps(bps: u32) -> i32 {
    i32::try_from(bps).unwrap_or(i32::MAX)
}
