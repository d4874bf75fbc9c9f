//! The names that the journal's enums have in columns.

use ledger_core::event::CommissionScope;
use serde::Serialize;
use uuid::Uuid;

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
