//! Razorpay's settlement report: what was settled to the merchant's bank, a row for each payment, refund and adjustment.
//!
//! The rows are those of `GET /v1/settlements/recon/combined` (razorpay.com/docs/api/settlements/fetch-recon), as JSON or
//! as a table with the same columns. There amounts are in the smallest unit of the currency and times in seconds. `fee`
//! has the `tax` in it: `credit` is `amount` less `fee`.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;

/// So many rows of a file are read.
pub const MOST_ROWS: usize = 200_000;

/// One settled transaction.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SettledRow {
    pub entity_id: String,
    /// `payment`, `refund`, `adjustment`, `transfer`, ...
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(deserialize_with = "whole")]
    pub amount: i64,
    #[serde(deserialize_with = "whole")]
    pub debit: i64,
    #[serde(deserialize_with = "whole")]
    pub credit: i64,
    pub currency: String,
    #[serde(deserialize_with = "whole")]
    pub fee: i64,
    #[serde(deserialize_with = "whole")]
    pub tax: i64,
    #[serde(deserialize_with = "whole")]
    pub created_at: i64,
    #[serde(default, deserialize_with = "named")]
    pub settlement_id: Option<String>,
    #[serde(default, deserialize_with = "named")]
    pub dispute_id: Option<String>,
}

impl SettledRow {
    /// What the gateway's account gained by it, before fees.
    pub fn movement(&self) -> i64 {
        match self.kind.as_str() {
            "payment" => self.amount,
            "refund" => -self.amount,
            _ => self.credit - self.debit,
        }
    }
}

/// Why a file is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error(
        "it is neither JSON (a list of rows, or an object with `items`) nor a table whose first line names the columns"
    )]
    NoRows,
    #[error("row {row}: {reason}")]
    Row { row: usize, reason: String },
    #[error("it has more than {MOST_ROWS} rows; ask Razorpay for one day at a time")]
    TooManyRows,
}

/// Reads a report, in JSON or as a table.
///
/// # Errors
/// For anything else, with the first row that is wrong; rows are counted from 1.
pub fn read(bytes: &[u8]) -> Result<Vec<SettledRow>, ReportError> {
    let rows = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'[') => json(bytes)?,
        _ => table(bytes)?,
    };
    for (index, row) in rows.iter().enumerate() {
        let amounts = [row.amount, row.debit, row.credit, row.fee];
        let reason = match row {
            row if row.entity_id.is_empty() || row.entity_id.len() > 64 => "entity_id has 1 to 64 characters",
            row if row.kind.is_empty() || row.kind.len() > 32 => "type has 1 to 32 characters",
            _ if amounts.iter().any(|amount| !(0..=MOST).contains(amount)) => {
                "an amount is not from 0 to 2^53-1"
            }
            row if row.tax.abs() > MOST => "the tax is not from 0 to 2^53-1",
            _ => continue,
        };
        return Err(ReportError::Row { row: index + 1, reason: reason.to_owned() });
    }
    Ok(rows)
}

const MOST: i64 = (1 << 53) - 1;

fn json(bytes: &[u8]) -> Result<Vec<SettledRow>, ReportError> {
    let items = match serde_json::from_slice(bytes) {
        Ok(Value::Array(items)) => items,
        Ok(Value::Object(mut fields)) => match fields.remove("items") {
            Some(Value::Array(items)) => items,
            _ => return Err(ReportError::NoRows),
        },
        _ => return Err(ReportError::NoRows),
    };
    if items.len() > MOST_ROWS {
        return Err(ReportError::TooManyRows);
    }
    let row = |(index, item)| {
        serde_json::from_value(item)
            .map_err(|fault| ReportError::Row { row: index + 1, reason: fault.to_string() })
    };
    items.into_iter().enumerate().map(row).collect()
}

fn table(bytes: &[u8]) -> Result<Vec<SettledRow>, ReportError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let is_report = reader.headers().is_ok_and(|names| names.iter().any(|name| name == "entity_id"));
    if !is_report {
        return Err(ReportError::NoRows);
    }
    let mut rows = Vec::new();
    for row in reader.deserialize() {
        if rows.len() == MOST_ROWS {
            return Err(ReportError::TooManyRows);
        }
        let fault = |fault: csv::Error| ReportError::Row { row: rows.len() + 1, reason: fault.to_string() };
        rows.push(row.map_err(fault)?);
    }
    Ok(rows)
}

/// A whole number, whichever way it is written. `971.00` is refused: rupees must not be taken for paise.
fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(i64),
        Text(String),
        Other(f64),
    }
    let unfit = |text: &dyn std::fmt::Debug| {
        D::Error::custom(format!(
            "{text:?} is no whole number; amounts are in the smallest unit of the currency (paise), times in seconds since 1970"
        ))
    };
    match Written::deserialize(from)? {
        Written::Number(number) => Ok(number),
        Written::Text(text) if text.is_empty() => Ok(0),
        Written::Text(text) => text.parse().map_err(|_| unfit(&text)),
        Written::Other(number) => Err(unfit(&number)),
    }
}

/// A name; tables write an absent one as nothing.
fn named<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::deserialize(from)?.filter(|name: &String| !name.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "entity_id,type,debit,credit,amount,currency,fee,tax,created_at,settlement_id,dispute_id\n\
        pay_1,payment,0,97100,100000,INR,2900,442,1567692556,setl_1,\n\
        rfnd_1,refund,2500,0,2500,INR,0,0,1568107224,setl_1,\n\
        adj_1,adjustment,10000,0,10000,INR,0,0,1568107224,,disp_1\n";

    fn row(number: usize) -> SettledRow {
        read(TABLE.as_bytes()).expect("a report").remove(number - 1)
    }

    #[test]
    fn a_table_and_json_are_the_same_report() {
        let json = r#"{ "entity": "collection", "count": 3, "items": [
            { "entity_id": "pay_1", "type": "payment", "debit": 0, "credit": 97100, "amount": 100000, "currency": "INR",
              "fee": 2900, "tax": 442, "created_at": 1567692556, "settlement_id": "setl_1", "dispute_id": null, "notes": {} },
            { "entity_id": "rfnd_1", "type": "refund", "debit": 2500, "credit": 0, "amount": 2500, "currency": "INR",
              "fee": 0, "tax": 0, "created_at": 1568107224, "settlement_id": "setl_1" },
            { "entity_id": "adj_1", "type": "adjustment", "debit": 10000, "credit": 0, "amount": 10000, "currency": "INR",
              "fee": 0, "tax": 0, "created_at": 1568107224, "settlement_id": null, "dispute_id": "disp_1" } ] }"#;
        let report = read(json.as_bytes()).expect("a report");
        assert_eq!(report, read(TABLE.as_bytes()).expect("a report"));
        assert_eq!(report.iter().map(SettledRow::movement).collect::<Vec<_>>(), [100_000, -2_500, -10_000]);
        assert_eq!(report[0].settlement_id.as_deref(), Some("setl_1"));
        assert_eq!(
            (report[2].settlement_id.as_deref(), report[2].dispute_id.as_deref()),
            (None, Some("disp_1"))
        );
    }

    /// Whoever downloads a table from the panel has rupees in it.
    #[test]
    fn rupees_are_never_taken_for_paise() {
        let table = TABLE.replace("100000", "1000.00");
        let fault = read(table.as_bytes()).expect_err("rupees").to_string();
        assert!(fault.starts_with("row 1: ") && fault.contains("1000.0 is no whole number"), "{fault}");
        let json = r#"[{ "entity_id": "pay_1", "type": "payment", "amount": 1000.5 }]"#;
        let fault = read(json.as_bytes()).expect_err("rupees").to_string();
        assert!(fault.contains("1000.5 is no whole number"), "{fault}");
    }

    #[test]
    fn what_is_no_report_is_named() {
        for (text, says) in [
            ("", "neither JSON"),
            ("{}", "neither JSON"),
            ("{\"items\": 3}", "neither JSON"),
            ("{\"items\": [", "neither JSON"),
            ("name,amount\na,1\n", "neither JSON"),
            ("[{}]", "row 1: missing field"),
            ("entity_id,type\npay_1,payment\n", "row 1: "),
            (&TABLE.replace("pay_1", ""), "row 1: entity_id has 1 to 64 characters"),
            (&TABLE.replace("2500,0,2500", "2500,0,-2500"), "row 2: an amount is not from 0"),
            (&TABLE.replace("2500,0,2500", "2500,0,9007199254740992"), "row 2: an amount is not from 0"),
            (&TABLE.replace("2500,0,2500", "2500,0"), "row 2: "),
        ] {
            let fault = read(text.as_bytes()).expect_err(text).to_string();
            assert!(fault.contains(says), "{text}: {fault}");
        }
    }

    #[test]
    fn rows_are_what_they_say() {
        assert_eq!(row(1).kind, "payment");
        assert_eq!((row(1).fee, row(1).tax, row(1).created_at), (2_900, 442, 1_567_692_556));
        assert_eq!(row(2).currency, "INR");
    }
}
