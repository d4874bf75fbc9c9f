//! What the other side says, out of its file.

use super::Subject;
use chrono::{DateTime, Utc};
use integrations::razorpay_settlements::{self, ReportError, SettledRow};
use ledger_core::Asset;
use serde::Deserialize;
use uuid::Uuid;

/// A row of the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theirs {
    pub subject: Subject,
    /// Minor units of the asset; milliseconds of a call.
    pub amount: i64,
    pub asset: Option<Asset>,
    pub fee: i64,
    pub tax: i64,
    pub settlement: Option<String>,
    pub at: Option<DateTime<Utc>>,
}

/// Why a file cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error("row {row}: {reason}")]
    Row { row: usize, reason: String },
    #[error("it is neither JSON (a list of rows) nor a table with the columns `call` and `duration_ms`")]
    NoCalls,
    #[error("it has more than {} rows", razorpay_settlements::MOST_ROWS)]
    TooManyRows,
}

/// The rows of Razorpay's settlement report. `assets` are those of the journal.
///
/// # Errors
/// For a file that is none, or that has a currency which the journal does not know.
pub fn of_razorpay(bytes: &[u8], assets: &[Asset]) -> Result<Vec<Theirs>, FileError> {
    let rows = razorpay_settlements::read(bytes)?;
    rows.into_iter().enumerate().map(|(index, row)| settled(row, index + 1, assets)).collect()
}

fn settled(row: SettledRow, number: usize, assets: &[Asset]) -> Result<Theirs, FileError> {
    let unfit = |reason: String| FileError::Row { row: number, reason };
    let named = |asset: &&Asset| asset.to_string().split('/').next() == Some(row.currency.as_str());
    let asset = *assets.iter().find(named).ok_or_else(|| {
        unfit(format!(
            "the journal is not kept in the currency {:?}; does the report belong to it?",
            row.currency
        ))
    })?;
    let at = DateTime::from_timestamp(row.created_at, 0);
    let at =
        at.ok_or_else(|| unfit(format!("created_at {} is no time in seconds since 1970", row.created_at)))?;
    let subject = match &row.dispute_id {
        Some(dispute) => Subject::new("dispute", dispute),
        None => Subject::new(&row.kind, &row.entity_id),
    };
    Ok(Theirs {
        subject,
        amount: row.movement(),
        asset: Some(asset),
        fee: row.fee,
        tax: row.tax,
        settlement: row.settlement_id,
        at: Some(at),
    })
}

#[derive(Deserialize)]
struct CallRow {
    call: Uuid,
    duration_ms: i64,
}

/// How long calls lasted for a media server: JSON, a list of `{"call", "duration_ms"}`, or a table with these columns. A
/// call may have several rows, one for each time that it was connected.
///
/// # Errors
/// For any other file.
pub fn of_calls(bytes: &[u8]) -> Result<Vec<Theirs>, FileError> {
    let rows: Vec<CallRow> = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => {
            let items: Vec<serde_json::Value> =
                serde_json::from_slice(bytes).map_err(|_| FileError::NoCalls)?;
            let row = |(index, item)| serde_json::from_value(item).map_err(|fault| at_row(index, &fault));
            items.into_iter().enumerate().map(row).collect::<Result<_, _>>()?
        }
        _ => {
            let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
            if !reader.headers().is_ok_and(|names| names.iter().any(|name| name == "call")) {
                return Err(FileError::NoCalls);
            }
            let row = |(index, row): (usize, Result<CallRow, csv::Error>)| {
                row.map_err(|fault| at_row(index, &fault))
            };
            reader
                .deserialize()
                .take(razorpay_settlements::MOST_ROWS + 1)
                .enumerate()
                .map(row)
                .collect::<Result<_, _>>()?
        }
    };
    if rows.len() > razorpay_settlements::MOST_ROWS {
        return Err(FileError::TooManyRows);
    }
    let mut calls: Vec<Theirs> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        // Nobody talks for a year.
        if !(0..=366 * 86_400_000).contains(&row.duration_ms) {
            return Err(at_row(index, &"duration_ms is not from 0 to a year"));
        }
        let place = *places.entry(row.call).or_insert(calls.len());
        match calls.get_mut(place) {
            Some(call) => call.amount += row.duration_ms,
            None => calls.push(Theirs {
                subject: Subject::new("call", row.call.to_string()),
                amount: row.duration_ms,
                asset: None,
                fee: 0,
                tax: 0,
                settlement: None,
                at: None,
            }),
        }
    }
    Ok(calls)
}

fn at_row(index: usize, reason: &dyn std::fmt::Display) -> FileError {
    FileError::Row { row: index + 1, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_call_are_added_up() {
        let [a, b] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let table = format!("call,duration_ms\n{a},1000\n{b},7\n{a},2000\n");
        let json = format!(
            r#"[{{"call":"{a}","duration_ms":1000}},{{"call":"{b}","duration_ms":7}},{{"call":"{a}","duration_ms":2000}}]"#
        );
        for file in [table, json] {
            let rows = of_calls(file.as_bytes()).expect("a file of calls");
            let rows: Vec<_> = rows.into_iter().map(|row| (row.subject.reference, row.amount)).collect();
            assert_eq!(rows, [(a.to_string(), 3_000), (b.to_string(), 7)]);
        }
    }

    #[test]
    fn what_cannot_be_compared_is_named() {
        for (text, says) in [
            ("", "neither JSON"),
            ("[", "neither JSON"),
            ("person,seconds\n", "neither JSON"),
            ("call,duration_ms\nx,1\n", "row 1: "),
            ("[{\"call\":\"00000000-0000-0000-0000-000000000001\"}]", "row 1: missing field"),
            ("call,duration_ms\n00000000-0000-0000-0000-000000000001,-1\n", "row 1: duration_ms"),
        ] {
            let fault = of_calls(text.as_bytes()).expect_err(text).to_string();
            assert!(fault.contains(says), "{text}: {fault}");
        }
        let report =
            "entity_id,type,debit,credit,amount,currency,fee,tax,created_at\np,payment,0,1,1,USD,0,0,1\n";
        let fault =
            of_razorpay(report.as_bytes(), &[Asset::COIN, Asset::INR]).expect_err("dollars").to_string();
        assert!(fault.starts_with("row 1: the journal is not kept in the currency \"USD\""), "{fault}");
    }
}
